# Finds what nobody told of. While it is silent, what gets lost stays lost: that is an alarm of its own.
module "rebalancer" {
  source = "./function"
  name   = "rebalancer"
  does   = "Finds demand and events that nobody told of, and writes the metrics"
  common = local.function

  timeout_seconds      = 55
  memory_mib           = 512
  reserved_concurrency = var.reserve_concurrency ? 1 : -1

  environment = {
    MAYFLY_TABLE                     = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL         = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL       = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_APP_PRIVATE_KEY_SECRET_ID = var.private_key_secret_arn
    MAYFLY_METRICS_NAMESPACE         = local.metrics_namespace
  }

  permissions = [
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.private_key_secret_arn] },
    { Effect = "Allow", Action = ["ssm:GetParameter"], Resource = [local.class_parameter] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/active"] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/ended"] },
    { Effect = "Allow", Action = ["dynamodb:BatchWriteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]
}

# A round that failed is not repeated: the next one does what it left.
resource "aws_cloudwatch_event_rule" "rebalancer" {
  name                = "${var.deployment}-rebalancer"
  description         = "Calls the function rebalancer regularly."
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "rebalancer" {
  rule      = aws_cloudwatch_event_rule.rebalancer.name
  target_id = "rebalancer"
  arn       = module.rebalancer.arn

  retry_policy {
    maximum_retry_attempts       = 0
    maximum_event_age_in_seconds = 60
  }
}

resource "aws_lambda_permission" "rebalancer_schedule" {
  action        = "lambda:InvokeFunction"
  function_name = module.rebalancer.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.rebalancer.arn
}

resource "aws_lambda_function_event_invoke_config" "rebalancer" {
  function_name                = module.rebalancer.name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_cloudwatch_metric_alarm" "rebalancer_silent" {
  alarm_name          = "${var.deployment}-rebalancer-silent"
  alarm_description   = "The function rebalancer was not called for five minutes: what gets lost is not found."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = module.rebalancer.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "jobs_given_up" {
  alarm_name          = "${var.deployment}-jobs-given-up"
  alarm_description   = "A job was given up: `mayfly why` says for what reason."
  namespace           = local.metrics_namespace
  metric_name         = "JobsEnded"
  dimensions          = { Outcome = "given-up" }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "launches_misconfigured" {
  alarm_name          = "${var.deployment}-launches-misconfigured"
  alarm_description   = "EC2 refuses launches for what is configured: `mayfly status` has its sentence."
  namespace           = local.metrics_namespace
  metric_name         = "LaunchRefusals"
  dimensions          = { Class = "configuration" }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
