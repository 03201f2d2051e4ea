locals {
  queues           = toset(["scaleup", "scaledown", "lifecycle"])
  queue_attempts   = 10
  only_with_tls    = { Bool = { "aws:SecureTransport" = "false" } }
  ec2_event_sender = { ArnEquals = { "aws:SourceArn" = concat([for rule in aws_cloudwatch_event_rule.ec2 : rule.arn], [local.task_rule_arn, local.task_image_rule_arn, local.machine_image_rule_arn]) } }
}

resource "aws_sqs_queue" "dead" {
  for_each                  = local.queues
  name                      = "${var.deployment}-${each.key}-dead"
  message_retention_seconds = 14 * 24 * 60 * 60
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "queue" {
  for_each                   = local.queues
  name                       = "${var.deployment}-${each.key}"
  visibility_timeout_seconds = 90
  message_retention_seconds  = 4 * 24 * 60 * 60
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = local.queue_attempts
  })
}

# What comes without TLS is refused, whoever sends it.
resource "aws_sqs_queue_policy" "dead" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "OnlyTls", Effect = "Deny", Principal = "*", Action = "sqs:*", Resource = aws_sqs_queue.dead[each.key].arn, Condition = local.only_with_tls },
    ]
  })
}

resource "aws_sqs_queue_policy" "queue" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.queue[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Sid = "OnlyTls", Effect = "Deny", Principal = "*", Action = "sqs:*", Resource = aws_sqs_queue.queue[each.key].arn, Condition = local.only_with_tls }],
      each.key != "lifecycle" ? [] : [{
        Sid       = "EventsOfEc2"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.queue[each.key].arn
        Condition = local.ec2_event_sender
      }],
    )
  })
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each            = local.queues
  alarm_name          = "${var.deployment}-${each.key}-dead-letters"
  alarm_description   = "Messages of the queue ${each.key} failed ${local.queue_attempts} times: `mayfly aws redrive` shows them."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "age" {
  for_each            = local.queues
  alarm_name          = "${var.deployment}-${each.key}-age"
  alarm_description   = "Messages of the queue ${each.key} wait longer than five minutes: its function fails, or is too slow."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.queue[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 300
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
