# A pipeline of EC2 Image Builder for each image that presets with a pipeline start from, and who builds: a machine that
# nothing reaches and that may do nothing but what Image Builder asks of it. No schedule: the function scaleup begins
# builds, each week and with each new runner, while jobs want the image. Without such a preset, none of it is made.
locals {
  image_list = "${var.package_folder}/images.json"
  pipelines  = { for image in fileexists(local.image_list) ? jsondecode(file(local.image_list)) : [] : image.name => image }
  has_images = length(local.pipelines) > 0

  machine_image_rule     = "${var.deployment}-machine-images"
  machine_image_rule_arn = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.machine_image_rule}"
  image_builder_here     = "arn:${local.partition}:imagebuilder:${local.region}:${local.account}"
  image_builder_logs     = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/imagebuilder/${var.deployment}-image-*"

  # Of the functions that begin builds and tell of them.
  pipeline_variables = local.has_images ? { MAYFLY_IMAGE_PIPELINES = "${local.image_builder_here}:image-pipeline/${var.deployment}-image-" } : {}
}

resource "aws_iam_role" "image_builder" {
  count = local.has_images ? 1 : 0
  name  = "${var.deployment}-image-builder"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

# The agent of Systems Manager takes orders, the component is read, and the log is written.
resource "aws_iam_role_policy" "image_builder" {
  count = local.has_images ? 1 : 0
  name  = "image-builder"
  role  = aws_iam_role.image_builder[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS knows no resource for what the agent of Systems Manager asks.
      { Effect = "Allow", Action = ["ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage", "ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply"], Resource = ["*"] },
      { Effect = "Allow", Action = ["ssm:DescribeAssociation", "ssm:DescribeDocument", "ssm:GetDocument", "ssm:GetManifest", "ssm:ListAssociations", "ssm:ListInstanceAssociations", "ssm:UpdateAssociationStatus", "ssm:UpdateInstanceAssociationStatus", "ssm:UpdateInstanceInformation"], Resource = ["*"] },
      { Effect = "Allow", Action = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"], Resource = ["*"] },
      { Effect = "Allow", Action = ["imagebuilder:GetComponent"], Resource = ["${local.image_builder_here}:component/${var.deployment}-image-*/*/*"] },
      # Image Builder's own programs, which are in buckets of AWS.
      { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["arn:${local.partition}:s3:::ec2imagebuilder*"] },
      { Effect = "Allow", Action = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], Resource = [local.image_builder_logs] },
    ]
  })
}

resource "aws_iam_instance_profile" "image_builder" {
  count = local.has_images ? 1 : 0
  name  = "${var.deployment}-image-builder"
  role  = aws_iam_role.image_builder[0].name
}

# A text has one version for ever, so another text is another component, which is there before the old one goes.
resource "aws_imagebuilder_component" "image" {
  for_each    = local.pipelines
  name        = "${var.deployment}-image-${each.key}"
  platform    = "Linux"
  version     = each.value.version
  description = "What images of Mayfly hold"
  data        = each.value.component

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_imagebuilder_image_recipe" "image" {
  for_each     = local.pipelines
  name         = "${var.deployment}-image-${each.key}"
  version      = each.value.version
  parent_image = "arn:${local.partition}:imagebuilder:${local.region}:aws:image/${each.value.parent}/x.x.x"

  component {
    component_arn = aws_imagebuilder_component.image[each.key].arn
  }

  block_device_mapping {
    device_name = each.value.rootDeviceName
    ebs {
      encrypted             = true
      volume_type           = "gp3"
      volume_size           = each.value.diskGib
      delete_on_termination = true
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_imagebuilder_infrastructure_configuration" "image" {
  for_each                      = local.pipelines
  name                          = "${var.deployment}-image-${each.key}"
  instance_profile_name         = aws_iam_instance_profile.image_builder[0].name
  instance_types                = each.value.instanceTypes
  subnet_id                     = values(var.subnets)[0]
  security_group_ids            = [aws_security_group.machine.id]
  terminate_instance_on_failure = true
  resource_tags                 = { "mayfly:deployment" = var.deployment, "mayfly:pipeline" = each.value.pipeline }

  instance_metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

resource "aws_imagebuilder_distribution_configuration" "image" {
  for_each = local.pipelines
  name     = "${var.deployment}-image-${each.key}"

  distribution {
    region = local.region
    ami_distribution_configuration {
      name     = "${each.value.imageName}-{{ imagebuilder:buildDate }}"
      ami_tags = { "mayfly:deployment" = var.deployment, "mayfly:pipeline" = each.value.pipeline }
    }
  }
}

resource "aws_imagebuilder_image_pipeline" "image" {
  for_each                         = local.pipelines
  name                             = "${var.deployment}-image-${each.key}"
  description                      = "Begun by Mayfly: it has no schedule"
  image_recipe_arn                 = aws_imagebuilder_image_recipe.image[each.key].arn
  infrastructure_configuration_arn = aws_imagebuilder_infrastructure_configuration.image[each.key].arn
  distribution_configuration_arn   = aws_imagebuilder_distribution_configuration.image[each.key].arn
  enhanced_image_metadata_enabled  = false
  status                           = "ENABLED"
  tags                             = { "mayfly:deployment" = var.deployment }

  # The component validates what it made; a second machine for tests would double the time.
  image_tests_configuration {
    image_tests_enabled = false
  }
}

resource "aws_cloudwatch_event_rule" "machine_images" {
  count       = local.has_images ? 1 : 0
  name        = local.machine_image_rule
  description = "A build of a machine's image has ended."
  event_pattern = jsonencode({
    source      = ["aws.imagebuilder"]
    detail-type = ["EC2 Image Builder Image State Change"]
    resources   = [{ prefix = "${local.image_builder_here}:image/${var.deployment}-image-" }]
    detail      = { state = { status = ["AVAILABLE", "FAILED", "CANCELLED"] } }
  })
}

resource "aws_cloudwatch_event_target" "machine_images" {
  count     = local.has_images ? 1 : 0
  rule      = aws_cloudwatch_event_rule.machine_images[0].name
  target_id = "lifecycle"
  arn       = aws_sqs_queue.queue["lifecycle"].arn
}

resource "aws_iam_role_policy" "scaleup_pipelines" {
  count = local.has_images ? 1 : 0
  name  = "pipelines"
  role  = module.scaleup.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # The second is Image Builder's, in the name of the caller, as it begins.
      { Effect = "Allow", Action = ["imagebuilder:StartImagePipelineExecution", "imagebuilder:GetImagePipeline"], Resource = ["${local.image_builder_here}:image-pipeline/${var.deployment}-image-*"] },
      { Effect = "Allow", Action = ["imagebuilder:GetImage"], Resource = ["${local.image_builder_here}:image/${var.deployment}-image-*/*"] },
      { Effect = "Allow", Action = ["logs:GetLogEvents"], Resource = ["${local.image_builder_logs}:*"] },
    ]
  })
}

resource "aws_iam_role_policy" "status_pipelines" {
  count = local.has_images ? 1 : 0
  name  = "pipelines"
  role  = module.status.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:GetLogEvents"], Resource = ["${local.image_builder_logs}:*"] },
    ]
  })
}
