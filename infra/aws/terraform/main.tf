data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  region    = data.aws_region.here.name

  # `arn:aws:ec2:eu-west-1:123456789012`, and the same for what has no account or another one.
  ec2_here    = "arn:${local.partition}:ec2:${local.region}:${local.account}"
  ec2_of_all  = "arn:${local.partition}:ec2:${local.region}:*"
  machine_arn = aws_iam_role.machine.arn

  metrics_namespace = "Mayfly/${var.deployment}"
  alarm_actions     = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # What every function is made with; its stage says the rest.
  function = {
    deployment         = var.deployment
    package_folder     = var.package_folder
    log_retention_days = var.log_retention_days
    alarm_actions      = local.alarm_actions
    event_bus_arn      = var.event_bus_arn
  }
}
