# Conditions and rules of the variables, with a provider that makes nothing.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/mock" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:123456789012:mock" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/mock" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:mock" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:mock" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:rule/mock" }
  }
  mock_resource "aws_apigatewayv2_api" {
    defaults = {
      id            = "mock"
      execution_arn = "arn:aws:execute-api:eu-west-1:123456789012:mock"
      api_endpoint  = "https://mock.execute-api.eu-west-1.amazonaws.com"
    }
  }
}

variables {
  # package_folder comes from the command line.
  webhook_secret_arn      = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a"
  private_key_secret_arn  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:b"
  status_token_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:c"
  vpc_id                  = "vpc-0123456789abcdef0"
  subnets                 = { eu-west-1a = "subnet-0123456789abcdef0" }
}

run "as_usual" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.ledger.deletion_protection_enabled
    error_message = "The table must be protected."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.dead_letters["lifecycle"].alarm_actions) == 0
    error_message = "Without a topic an alarm tells nobody."
  }
}

run "sets_executions_apart_when_asked" {
  command = plan
  variables {
    reserve_concurrency = true
  }

  assert {
    condition     = [for stage in [module.webhook, module.rebalancer] : stage.reserved_concurrency] == [20, 1]
    error_message = "Webhook and rebalancer must have executions of their own."
  }
}

run "makes_nothing_for_fargate_unasked" {
  command = plan

  assert {
    condition     = length(aws_ecs_cluster.tasks) + length(aws_iam_role.task) + length(aws_iam_role_policy.scaleup_fargate) + length(aws_ecr_repository.task_images) + length(aws_codebuild_project.task_images) == 0
    error_message = "Without presets on Fargate there is nothing of it."
  }
}

run "opens_no_shell_unasked" {
  command = plan
  variables {
    fargate = true
  }

  assert {
    condition     = length(aws_iam_role_policy.task_shell) == 0
    error_message = "The role of tasks has no right to ECS Exec that nobody asked for."
  }
  assert {
    condition     = local.fargate_variables.MAYFLY_TASK_PUBLIC_ADDRESSES == "yes"
    error_message = "In public subnets, tasks need addresses."
  }
}

run "opens_a_shell_and_keeps_addresses_private_when_asked" {
  command = plan
  variables {
    fargate                  = true
    fargate_shell            = true
    fargate_public_addresses = false
  }

  assert {
    condition     = length(aws_iam_role_policy.task_shell) == 1
    error_message = "ECS Exec needs its four actions on the role of the task."
  }
  assert {
    condition     = local.fargate_variables.MAYFLY_TASK_PUBLIC_ADDRESSES == "no"
    error_message = "Tasks must get no public addresses."
  }
}

run "tells_a_topic" {
  command = plan
  variables {
    alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:alarms"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.dead_letters["lifecycle"].alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:alarms"])
    error_message = "The topic must hear of alarms."
  }
}

run "refuses_a_name_that_roles_cannot_have" {
  command = plan
  variables {
    deployment = "Mayfly_1"
  }
  expect_failures = [var.deployment]
}

run "refuses_something_else_than_a_secret" {
  command = plan
  variables {
    webhook_secret_arn = "the secret itself"
  }
  expect_failures = [var.webhook_secret_arn]
}

run "refuses_subnets_without_zones" {
  command = plan
  variables {
    subnets = { first = "subnet-0123456789abcdef0" }
  }
  expect_failures = [var.subnets]
}

run "refuses_a_folder_without_a_package" {
  command = plan
  variables {
    package_folder = "/nothing"
  }
  expect_failures = [var.package_folder]
}
