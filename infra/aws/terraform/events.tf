# What EC2 tells of its own accord goes to the queue of lifecycle, which drops what is about other instances.
locals {
  ec2_events = {
    instance-state = {
      description = "An instance of EC2 runs, or is gone."
      # `pending` tells nothing.
      pattern = {
        source      = ["aws.ec2"]
        detail-type = ["EC2 Instance State-change Notification"]
        detail      = { state = ["running", "shutting-down", "terminated", "stopping", "stopped"] }
      }
    }
    spot-interruption = {
      description = "A spot instance is taken back in two minutes."
      pattern     = { source = ["aws.ec2"], detail-type = ["EC2 Spot Instance Interruption Warning"] }
    }
    rebalance-recommendation = {
      description = "A spot instance may be taken back soon."
      pattern     = { source = ["aws.ec2"], detail-type = ["EC2 Instance Rebalance Recommendation"] }
    }
  }
}

resource "aws_cloudwatch_event_rule" "ec2" {
  for_each      = local.ec2_events
  name          = "${var.deployment}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "ec2" {
  for_each  = local.ec2_events
  rule      = aws_cloudwatch_event_rule.ec2[each.key].name
  target_id = "lifecycle"
  arn       = aws_sqs_queue.queue["lifecycle"].arn
}
