# Changes states, and calls neither GitHub nor EC2. What EC2 tells is in events.tf.
module "lifecycle" {
  source = "./function"
  name   = "lifecycle"
  does   = "What GitHub, EC2 and the machines say happened changes the ledger"
  common = local.function

  timeout_seconds = 60
  memory_mib      = 256

  environment = {
    MAYFLY_TABLE               = aws_dynamodb_table.ledger.name
    MAYFLY_SCALEUP_QUEUE_URL   = aws_sqs_queue.queue["scaleup"].url
    MAYFLY_SCALEDOWN_QUEUE_URL = aws_sqs_queue.queue["scaledown"].url
    MAYFLY_LIFECYCLE_QUEUE_URL = aws_sqs_queue.queue["lifecycle"].url
  }

  permissions = [
    { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], Resource = [aws_sqs_queue.queue["lifecycle"].arn] },
    { Effect = "Allow", Action = ["sqs:ChangeMessageVisibility"], Resource = [aws_sqs_queue.queue["lifecycle"].arn] },
    { Effect = "Allow", Action = ["ssm:GetParameter"], Resource = [local.class_parameter] },
    { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:Query"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], Resource = [aws_dynamodb_table.ledger.arn] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/provider"] },
    { Effect = "Allow", Action = ["dynamodb:Query"], Resource = ["${aws_dynamodb_table.ledger.arn}/index/active"] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaleup"].arn] },
    { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.queue["scaledown"].arn] },
  ]
}

# Not more of it at a time than EC2 and GitHub have patience for.
resource "aws_lambda_event_source_mapping" "lifecycle" {
  function_name                      = module.lifecycle.name
  event_source_arn                   = aws_sqs_queue.queue["lifecycle"].arn
  batch_size                         = 10
  maximum_batching_window_in_seconds = 0
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 5
  }
}
