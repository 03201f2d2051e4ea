# The HTTP API: GitHub's deliveries, the machines' claims and reports, and the status. Each stage has its routes.
resource "aws_apigatewayv2_api" "api" {
  name          = var.deployment
  protocol_type = "HTTP"
  description   = "Mayfly: webhook, claims of machines, status"
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/vendedlogs/${var.deployment}-api"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "api" {
  api_id      = aws_apigatewayv2_api.api.id
  name        = "$default"
  auto_deploy = true

  # For each route. A burst of two hundred machines that start together is let through.
  default_route_settings {
    throttling_rate_limit  = 100
    throttling_burst_limit = 200
  }

  # Neither headers nor bodies, which hold signatures.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format = jsonencode({
      time         = "$context.requestTime"
      requestId    = "$context.requestId"
      ip           = "$context.identity.sourceIp"
      route        = "$context.routeKey"
      path         = "$context.path"
      status       = "$context.status"
      caller       = "$context.identity.userArn"
      milliseconds = "$context.responseLatency"
      error        = "$context.error.message"
    })
  }
}

resource "aws_cloudwatch_metric_alarm" "api_failures" {
  alarm_name          = "${var.deployment}-api-failures"
  alarm_description   = "The API answers requests with 5xx: look at the logs of the functions webhook, claim and status."
  namespace           = "AWS/ApiGateway"
  metric_name         = "5xx"
  dimensions          = { ApiId = aws_apigatewayv2_api.api.id }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 4
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
