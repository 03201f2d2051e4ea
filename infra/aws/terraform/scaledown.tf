# The only function that terminates, and only what bears our tag.
module "scaledown" {
  source = "./function"
  name   = "scaledown"
  does   = "Ends machines that are not needed, and compares what exists with the ledger"
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
  }, local.fargate_variables)

  permissions = [
    { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
    { Effect = "Allow", Action = ["sqs:ChangeMessageVisibility"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/active"] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/provider"] },
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.private_key_secret_arn] },
    { Effect = "Allow", Action = ["ec2:DescribeInstances"], Resource = ["*"] },
    { Effect = "Allow", Action = ["ec2:TerminateInstances"], Resource = ["${local.ec2_here}:instance/*"], Condition = { StringEquals = { "aws:ResourceTag/mayfly:deployment" = var.deployment } } },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]
}

# A round that failed is not repeated: the next one does what it left.
resource "aws_cloudwatch_event_rule" "scaledown" {
  name                = "${var.deployment}-scaledown"
  description         = "Calls the function scaledown regularly."
  schedule_expression = "rate(5 minutes)"
}

resource "aws_cloudwatch_event_target" "scaledown" {
  rule      = aws_cloudwatch_event_rule.scaledown.name
  target_id = "scaledown"
  arn       = module.scaledown.arn

  retry_policy {
    maximum_retry_attempts       = 0
    maximum_event_age_in_seconds = 60
  }
}

resource "aws_lambda_permission" "scaledown_schedule" {
  action        = "lambda:InvokeFunction"
  function_name = module.scaledown.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.scaledown.arn
}

resource "aws_lambda_function_event_invoke_config" "scaledown" {
  function_name                = module.scaledown.name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

# Not more of it at a time than EC2 and GitHub have patience for.
resource "aws_lambda_event_source_mapping" "scaledown" {
  function_name                      = module.scaledown.name
  event_source_arn                   = aws_sqs_queue.queue["scaledown"].arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 5
  }
}
