# What builds the images of tasks: a repository, and a project that may push to it and write its log, and nothing else.
# Both cost nothing while nothing is built or kept. What a build does comes with its order, from the function scaleup.
locals {
  task_images            = "${var.deployment}-task-images"
  task_image_rule        = "${var.deployment}-task-image"
  task_image_rule_arn    = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.task_image_rule}"
  task_image_repo_arn    = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.task_images}"
  task_image_project_arn = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project/${local.task_images}"
  # After so many days an image is dropped. The code starts nothing from one that is older than `servesSeconds`.
  task_image_kept_days = 90

  # Of the functions that begin builds and show them.
  task_image_variables = !var.fargate ? {} : {
    MAYFLY_IMAGE_PROJECT    = aws_codebuild_project.task_images[0].name
    MAYFLY_IMAGE_REPOSITORY = "${local.account}.dkr.ecr.${local.region}.${data.aws_partition.here.dns_suffix}/${local.task_images}"
  }
}

# A tag is the hash of what is under it, and never means something else.
resource "aws_ecr_repository" "task_images" {
  count                = var.fargate ? 1 : 0
  name                 = local.task_images
  image_tag_mutability = "IMMUTABLE"
  # Everything in it can be built again.
  force_delete = true

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "task_images" {
  count      = var.fargate ? 1 : 0
  repository = aws_ecr_repository.task_images[0].name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What a build left behind that did not end"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Longer than any image serves"
        selection    = { tagStatus = "any", countType = "sinceImagePushed", countUnit = "days", countNumber = local.task_image_kept_days }
        action       = { type = "expire" }
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "task_images" {
  count             = var.fargate ? 1 : 0
  name              = "/mayfly/${var.deployment}/task-images"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "task_images" {
  count       = var.fargate ? 1 : 0
  name        = local.task_images
  description = "A build of an image of tasks"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "codebuild.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "task_images" {
  count = var.fargate ? 1 : 0
  name  = "build"
  role  = aws_iam_role.task_images[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS knows no resource for it.
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
      # With the last two, docker sees whether an image is there already.
      { Effect = "Allow", Action = ["ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource = [local.task_image_repo_arn] },
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["${aws_cloudwatch_log_group.task_images[0].arn}:*"] },
    ]
  })
}

# In privileged mode, because `docker build` needs a daemon, and CodeBuild starts none without it. What runs of the base
# runs in a container of that daemon, without privileges, and knows no way to the credentials of the role.
resource "aws_codebuild_project" "task_images" {
  count          = var.fargate ? 1 : 0
  name           = local.task_images
  description    = "Builds the images of tasks, as the function scaleup orders them"
  service_role   = aws_iam_role.task_images[0].arn
  build_timeout  = 30
  queued_timeout = 10

  source {
    type      = "NO_SOURCE"
    buildspec = jsonencode({ version = 0.2, phases = { build = { commands = ["echo Mayfly orders builds.", "exit 1"] } } })
  }
  artifacts {
    type = "NO_ARTIFACTS"
  }
  environment {
    type            = "LINUX_CONTAINER"
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    privileged_mode = true
  }
  logs_config {
    cloudwatch_logs {
      status     = "ENABLED"
      group_name = aws_cloudwatch_log_group.task_images[0].name
    }
  }
}

resource "aws_cloudwatch_event_rule" "task_images" {
  count       = var.fargate ? 1 : 0
  name        = local.task_image_rule
  description = "A build of an image has ended."
  event_pattern = jsonencode({
    source      = ["aws.codebuild"]
    detail-type = ["CodeBuild Build State Change"]
    detail      = { project-name = [local.task_images], build-status = [{ anything-but = ["IN_PROGRESS"] }] }
  })
}

resource "aws_cloudwatch_event_target" "task_images" {
  count     = var.fargate ? 1 : 0
  rule      = aws_cloudwatch_event_rule.task_images[0].name
  target_id = "lifecycle"
  arn       = aws_sqs_queue.queue["lifecycle"].arn
}
