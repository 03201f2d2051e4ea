# A function with a role of its own, its log, and an alarm for when it goes on failing.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

variable "name" {
  type = string
}

variable "does" {
  description = "What it does, in one line."
  type        = string
}

variable "common" {
  description = "What all functions are made with."
  type = object({
    deployment         = string
    package_folder     = string
    log_retention_days = number
    alarm_actions      = list(string)
    event_bus_arn      = string
  })
}

variable "timeout_seconds" {
  type = number
}

variable "memory_mib" {
  type = number
}

variable "reserved_concurrency" {
  description = "Executions that are set apart; -1 for none."
  type        = number
  default     = -1
}

variable "environment" {
  type = map(string)
}

variable "permissions" {
  description = "Statements of its policy, beside writing its log."
  type        = any
}

locals {
  function_name = "${var.common.deployment}-${var.name}"
  zip           = "${var.common.package_folder}/${var.name}.zip"
  bus_variables = var.common.event_bus_arn == "" ? {} : {
    MAYFLY_EVENT_BUS  = var.common.event_bus_arn
    MAYFLY_DEPLOYMENT = var.common.deployment
  }
}

resource "aws_cloudwatch_log_group" "log" {
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.common.log_retention_days
}

resource "aws_iam_role" "role" {
  name = local.function_name
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "policy" {
  name = var.name
  role = aws_iam_role.role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["${aws_cloudwatch_log_group.log.arn}:*"] }],
      var.permissions,
    )
  })
}

resource "aws_iam_role_policy" "events" {
  count = var.common.event_bus_arn == "" ? 0 : 1
  name  = "events"
  role  = aws_iam_role.role.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["events:PutEvents"], Resource = [var.common.event_bus_arn] }]
  })
}

resource "aws_lambda_function" "function" {
  function_name                  = local.function_name
  description                    = var.does
  runtime                        = "nodejs22.x"
  architectures                  = ["arm64"]
  handler                        = "index.handler"
  filename                       = local.zip
  source_code_hash               = filebase64sha256(local.zip)
  role                           = aws_iam_role.role.arn
  timeout                        = var.timeout_seconds
  memory_size                    = var.memory_mib
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = merge(local.bus_variables, var.environment)
  }

  # It must not run before it may do what it does. Its log has the name that Lambda looks for.
  depends_on = [aws_iam_role_policy.policy]
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${local.function_name}-errors"
  alarm_description   = "The function ${var.name} has failed for a quarter of an hour: look at its log."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = local.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.common.alarm_actions
  ok_actions          = var.common.alarm_actions
}

output "name" {
  value = aws_lambda_function.function.function_name
}

output "role" {
  value = aws_iam_role.role.name
}

output "arn" {
  value = aws_lambda_function.function.arn
}

output "reserved_concurrency" {
  value = aws_lambda_function.function.reserved_concurrent_executions
}
