output "webhook_url" {
  description = "The webhook URL of the GitHub App."
  value       = "${aws_apigatewayv2_api.api.api_endpoint}/webhook"
}

output "status_url" {
  description = "Answers who has the status token."
  value       = "${aws_apigatewayv2_api.api.api_endpoint}/api/status"
}

output "api_url" {
  description = "For `mayfly --url`."
  value       = aws_apigatewayv2_api.api.api_endpoint
}

output "table_name" {
  description = "The ledger."
  value       = aws_dynamodb_table.ledger.name
}

output "queue_urls" {
  description = "The queues, by name."
  value       = { for name, queue in aws_sqs_queue.queue : name => queue.url }
}

output "function_arns" {
  description = "The functions, by stage."
  value = {
    webhook    = module.webhook.arn
    scaleup    = module.scaleup.arn
    claim      = module.claim.arn
    lifecycle  = module.lifecycle.arn
    rebalancer = module.rebalancer.arn
    scaledown  = module.scaledown.arn
    status     = module.status.arn
  }
}

output "machine_security_group_id" {
  description = "The security group of the machines."
  value       = aws_security_group.machine.id
}

output "machine_role_arn" {
  description = "The role of the machines."
  value       = aws_iam_role.machine.arn
}

output "instance_profile_name" {
  description = "The instance profile of the machines."
  value       = aws_iam_instance_profile.machine.name
}
