# The only function that launches: from templates that bear our tag, and nothing that does not get it.
module "scaleup" {
  source = "./function"
  name   = "scaleup"
  does   = "Looks at a fleet and launches the machines that it misses"
  common = local.function

  timeout_seconds = 60
  memory_mib      = 512

  environment = merge({
    MAYFLY_DEPLOYMENT                = var.deployment
    MAYFLY_TABLE                     = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL         = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL       = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_APP_PRIVATE_KEY_SECRET_ID = var.private_key_secret_arn
    MAYFLY_SUBNETS                   = jsonencode(var.subnets)
    MAYFLY_TAGS                      = jsonencode(var.machine_tags)
  }, local.fargate_variables, local.task_image_variables, local.pipeline_variables)

  permissions = [
    { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:ChangeMessageVisibility"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/provider"] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/active"] },
    { Effect = "Allow", Action = ["ec2:CreateFleet", "ec2:RunInstances"], Resource = local.used_by_launches },
    { Effect = "Allow", Action = ["ec2:CreateFleet", "ec2:RunInstances"], Resource = ["${local.ec2_here}:launch-template/*"], Condition = { StringEquals = { "aws:ResourceTag/mayfly:deployment" = var.deployment } } },
    { Effect = "Allow", Action = ["ec2:CreateFleet", "ec2:RunInstances"], Resource = local.made_by_launches, Condition = { StringEquals = { "aws:RequestTag/mayfly:deployment" = var.deployment } } },
    { Effect = "Allow", Action = ["ec2:CreateTags"], Resource = local.made_by_launches, Condition = { StringEquals = { "ec2:CreateAction" = ["CreateFleet", "RunInstances"] } } },
    { Effect = "Allow", Action = ["iam:PassRole"], Resource = [local.machine_arn], Condition = { StringEquals = { "iam:PassedToService" = ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"] } } },
    { Effect = "Allow", Action = ["ssm:GetParameter", "ssm:GetParameters"], Resource = local.image_parameters },
    { Effect = "Allow", Action = ["ec2:DescribeLaunchTemplateVersions"], Resource = ["*"] },
    { Effect = "Allow", Action = ["ec2:DescribeImages"], Resource = ["*"] },
    { Effect = "Allow", Action = ["ec2:DescribeFleets"], Resource = ["*"] },
    { Effect = "Allow", Action = ["ec2:DescribeInstances"], Resource = ["*"] },
    { Effect = "Allow", Action = ["ec2:DescribeSpotPriceHistory"], Resource = ["*"] },
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.private_key_secret_arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]

  # What it knows of them is true only once they are.
  depends_on = [aws_imagebuilder_image_pipeline.image]
}

locals {
  # What a launch uses. Images and snapshots have no account, or that of whoever shares them.
  used_by_launches = [
    for kind in ["fleet", "image", "key-pair", "network-interface", "placement-group", "security-group", "snapshot", "spot-instances-request", "subnet"] :
    "${local.ec2_of_all}:${kind}/*"
  ]
  made_by_launches = ["${local.ec2_here}:instance/*", "${local.ec2_here}:volume/*"]
  # AWS's own, such as those of its images, and those that are named after the deployment.
  image_parameters = [
    "arn:${local.partition}:ssm:${local.region}::parameter/aws/service/*",
    "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/${var.deployment}/*",
  ]
}

# Not more of it at a time than EC2 and GitHub have patience for.
resource "aws_lambda_event_source_mapping" "scaleup" {
  function_name                      = module.scaleup.name
  event_source_arn                   = aws_sqs_queue.queue["scaleup"].arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 5
  }
}
