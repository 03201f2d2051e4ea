# Anybody may call it; it answers who has the status token.
module "status" {
  source = "./function"
  name   = "status"
  does   = "What runs, why a job waits, what it cost"
  common = local.function

  timeout_seconds = 29
  memory_mib      = 512

  environment = merge({
    MAYFLY_TABLE                  = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL      = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL    = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_STATUS_TOKEN_SECRET_ID = var.status_token_secret_arn
  }, local.task_image_variables, local.pipeline_variables)

  permissions = [
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.status_token_secret_arn] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/active"] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/ended"] },
    # Where an operator ends a machine.
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]
}

resource "aws_apigatewayv2_integration" "status" {
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.status.arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_lambda_permission" "status_api" {
  action        = "lambda:InvokeFunction"
  function_name = module.status.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*/*"
}

resource "aws_apigatewayv2_route" "status" {
  for_each           = toset(["GET /api/{path+}", "POST /api/machines/{id}/terminate", "POST /api/images/build", "GET /metrics"])
  api_id             = aws_apigatewayv2_api.api.id
  route_key          = each.key
  authorization_type = "NONE"
  target             = "integrations/${aws_apigatewayv2_integration.status.id}"
}
