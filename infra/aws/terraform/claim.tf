# Only who signs with the role of the machines gets as far as this function.
module "claim" {
  source = "./function"
  name   = "claim"
  does   = "A machine asks what it is for, and reports what it does"
  common = local.function

  timeout_seconds = 29
  memory_mib      = 512

  environment = merge({
    MAYFLY_TABLE                     = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL         = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL       = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_LIFECYCLE_QUEUE_URL       = aws_sqs_queue.queue["lifecycle"].url
    MAYFLY_APP_PRIVATE_KEY_SECRET_ID = var.private_key_secret_arn
    MAYFLY_MACHINE_ROLE_ARN          = local.machine_arn
  }, local.fargate_claim_variables)

  permissions = [
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/provider"] },
    { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.private_key_secret_arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["lifecycle"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]
}

resource "aws_apigatewayv2_integration" "claim" {
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.claim.arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_lambda_permission" "claim_api" {
  action        = "lambda:InvokeFunction"
  function_name = module.claim.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*/*"
}

resource "aws_apigatewayv2_route" "claim" {
  for_each           = toset(["POST /v1/machines/ec2/{name+}", "POST /v1/machines/fargate/{name+}"])
  api_id             = aws_apigatewayv2_api.api.id
  route_key          = each.key
  authorization_type = "AWS_IAM"
  target             = "integrations/${aws_apigatewayv2_integration.claim.id}"
}
