# What presets on Fargate need: a cluster, two roles, a log, and what ECS tells of tasks. An empty cluster costs nothing.
# What builds their images is in task-images.tf.
locals {
  task_rule       = "${var.deployment}-task-state"
  task_rule_arn   = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.task_rule}"
  ecs_here        = "arn:${local.partition}:ecs:${local.region}:${local.account}"
  cluster_arn     = "${local.ecs_here}:cluster/${var.deployment}"
  task_definition = "${local.ecs_here}:task-definition/mayfly-${var.deployment}-*:*"
  tasks           = "${local.ecs_here}:task/${var.deployment}/*"

  # Of the functions that launch and end.
  fargate_variables = !var.fargate ? {} : {
    MAYFLY_API_URL                 = aws_apigatewayv2_api.api.api_endpoint
    MAYFLY_CLUSTER                 = aws_ecs_cluster.tasks[0].name
    MAYFLY_TASK_EXECUTION_ROLE_ARN = aws_iam_role.task_start[0].arn
    MAYFLY_TASK_LOG_GROUP          = aws_cloudwatch_log_group.tasks[0].name
    MAYFLY_TASK_PUBLIC_ADDRESSES   = var.fargate_public_addresses ? "yes" : "no"
    MAYFLY_TASK_ROLE_ARN           = aws_iam_role.task[0].arn
    MAYFLY_TASK_SECURITY_GROUPS    = aws_security_group.machine.id
  }
  # Of the function that tasks ask.
  fargate_claim_variables = !var.fargate ? {} : { MAYFLY_TASK_ROLE_ARN = aws_iam_role.task[0].arn }

  in_our_cluster = { StringEquals = { "ecs:cluster" = local.cluster_arn } }
  as_it_is_made  = { StringEquals = { "ecs:CreateAction" = ["RegisterTaskDefinition", "RunTask"] } }

  trusts_tasks = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_ecs_cluster" "tasks" {
  count = var.fargate ? 1 : 0
  name  = var.deployment
}

resource "aws_ecs_cluster_capacity_providers" "tasks" {
  count              = var.fargate ? 1 : 0
  cluster_name       = aws_ecs_cluster.tasks[0].name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_cloudwatch_log_group" "tasks" {
  count             = var.fargate ? 1 : 0
  name              = "/mayfly/${var.deployment}/tasks"
  retention_in_days = var.log_retention_days
}

# The role that tasks prove themselves with: they can call the two routes of machines and no more.
resource "aws_iam_role" "task" {
  count              = var.fargate ? 1 : 0
  name               = "${var.deployment}-task"
  assume_role_policy = local.trusts_tasks
}

resource "aws_iam_role_policy" "task" {
  count = var.fargate ? 1 : 0
  name  = "task"
  role  = aws_iam_role.task[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["execute-api:Invoke"], Resource = ["${aws_apigatewayv2_api.api.execution_arn}/*/POST/v1/machines/fargate/*"] },
    ]
  })
}

# ECS Exec is the task's own agent of SSM, so the task's role needs it, and the one that starts it does not.
resource "aws_iam_role_policy" "task_shell" {
  count = var.fargate && var.fargate_shell ? 1 : 0
  name  = "shell"
  role  = aws_iam_role.task[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS knows no resource for them.
      { Effect = "Allow", Action = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"], Resource = ["*"] },
    ]
  })
}

# The role with which ECS starts them.
resource "aws_iam_role" "task_start" {
  count              = var.fargate ? 1 : 0
  name               = "${var.deployment}-task-start"
  assume_role_policy = local.trusts_tasks
}

resource "aws_iam_role_policy" "task_start" {
  count = var.fargate ? 1 : 0
  name  = "task"
  role  = aws_iam_role.task_start[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS knows no resource for it.
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
      { Effect = "Allow", Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource = ["arn:${local.partition}:ecr:${local.region}:${local.account}:repository/*"] },
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["${aws_cloudwatch_log_group.tasks[0].arn}:*"] },
    ]
  })
}

resource "aws_iam_role_policy" "scaleup_fargate" {
  count = var.fargate ? 1 : 0
  name  = "fargate"
  role  = module.scaleup.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["ecs:DescribeTaskDefinition"], Resource = ["*"] },
      { Effect = "Allow", Action = ["ecs:RegisterTaskDefinition"], Resource = [local.task_definition], Condition = { StringEquals = { "aws:RequestTag/mayfly:deployment" = var.deployment } } },
      { Effect = "Allow", Action = ["ecs:RunTask"], Resource = [local.task_definition], Condition = local.in_our_cluster },
      { Effect = "Allow", Action = ["ecs:TagResource"], Resource = [local.task_definition], Condition = local.as_it_is_made },
      { Effect = "Allow", Action = ["ecs:TagResource"], Resource = [local.tasks], Condition = local.as_it_is_made },
      { Effect = "Allow", Action = ["iam:PassRole"], Resource = [aws_iam_role.task[0].arn, aws_iam_role.task_start[0].arn], Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } } },
      { Effect = "Allow", Action = ["ecs:ListTasks"], Resource = ["*"], Condition = local.in_our_cluster },
      { Effect = "Allow", Action = ["codebuild:StartBuild", "codebuild:BatchGetBuilds"], Resource = [local.task_image_project_arn] },
      { Effect = "Allow", Action = ["logs:GetLogEvents"], Resource = ["${aws_cloudwatch_log_group.task_images[0].arn}:*"] },
    ]
  })
}

resource "aws_iam_role_policy" "scaledown_fargate" {
  count = var.fargate ? 1 : 0
  name  = "fargate"
  role  = module.scaledown.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["ecs:ListTasks"], Resource = ["*"], Condition = local.in_our_cluster },
      { Effect = "Allow", Action = ["ecs:DescribeTasks"], Resource = [local.tasks] },
      { Effect = "Allow", Action = ["ecs:StopTask"], Resource = [local.tasks], Condition = { StringEquals = { "aws:ResourceTag/mayfly:deployment" = var.deployment } } },
    ]
  })
}

resource "aws_iam_role_policy" "status_fargate" {
  count = var.fargate ? 1 : 0
  name  = "fargate"
  role  = module.status.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["codebuild:BatchGetBuilds"], Resource = [local.task_image_project_arn] },
      { Effect = "Allow", Action = ["logs:GetLogEvents"], Resource = ["${aws_cloudwatch_log_group.task_images[0].arn}:*"] },
      { Effect = "Allow", Action = ["ecr:DescribeImageScanFindings"], Resource = [local.task_image_repo_arn] },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "tasks" {
  count       = var.fargate ? 1 : 0
  name        = local.task_rule
  description = "A task of our cluster runs, is taken back, or is gone."
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { clusterArn = [local.cluster_arn] }
  })
}

resource "aws_cloudwatch_event_target" "tasks" {
  count     = var.fargate ? 1 : 0
  rule      = aws_cloudwatch_event_rule.tasks[0].name
  target_id = "lifecycle"
  arn       = aws_sqs_queue.queue["lifecycle"].arn
}
