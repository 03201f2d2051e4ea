# Anybody may call this function, so it reads no secret but the one with which GitHub signs.
module "webhook" {
  source = "./function"
  name   = "webhook"
  does   = "GitHub's deliveries become entries of the ledger and messages"
  common = local.function

  timeout_seconds      = 15
  memory_mib           = 256
  reserved_concurrency = var.reserve_concurrency ? 20 : -1

  environment = {
    MAYFLY_TABLE               = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL   = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_LIFECYCLE_QUEUE_URL = aws_sqs_queue.queue["lifecycle"].url
    MAYFLY_WEBHOOK_SECRET_ID   = var.webhook_secret_arn
  }

  permissions = [
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.webhook_secret_arn] },
    { Effect = "Allow", Action = ["ssm:GetParameter"], Resource = [local.class_parameter] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["lifecycle"].arn] },
  ]
}

# Whoever routes jobs may read their classes, where labels.classesParameter names this parameter.
locals {
  class_parameter = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/${var.deployment}/classes"
}

resource "aws_apigatewayv2_integration" "webhook" {
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.webhook.arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_lambda_permission" "webhook_api" {
  action        = "lambda:InvokeFunction"
  function_name = module.webhook.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*/*"
}

resource "aws_apigatewayv2_route" "webhook" {
  for_each           = toset(["POST /webhook"])
  api_id             = aws_apigatewayv2_api.api.id
  route_key          = each.key
  authorization_type = "NONE"
  target             = "integrations/${aws_apigatewayv2_integration.webhook.id}"
}
