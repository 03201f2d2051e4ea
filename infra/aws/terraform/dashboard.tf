locals {
  ours = local.metrics_namespace
  pictures = [
    ["Seconds from creation to start", [
      [local.ours, "QueueToStart", { stat = "p50" }],
      ["...", { stat = "p95" }],
    ]],
    ["Jobs and machines that are there", [
      [{ id = "jobs", expression = "SEARCH('{\"${local.ours}\",State} MetricName=\"Jobs\"', 'Maximum', 60)" }],
      [{ id = "machines", expression = "SEARCH('{\"${local.ours}\",State} MetricName=\"Machines\"', 'Maximum', 60)" }],
    ]],
    ["Jobs and machines that ended", [
      [{ id = "jobsended", expression = "SEARCH('{\"${local.ours}\",Outcome} MetricName=\"JobsEnded\"', 'Sum', 60)" }],
      [{ id = "machinesended", expression = "SEARCH('{\"${local.ours}\",Reason} MetricName=\"MachinesEnded\"', 'Sum', 60)" }],
    ]],
    ["Launches, and what was refused", [
      [local.ours, "Launches", { stat = "Sum" }],
      [{ id = "launchrefusals", expression = "SEARCH('{\"${local.ours}\",Class} MetricName=\"LaunchRefusals\"', 'Sum', 60)" }],
    ]],
    ["Messages that wait", [
      for name in ["scaleup", "scaledown", "lifecycle"] :
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${var.deployment}-${name}", { stat = "Maximum" }]
    ]],
    ["Failures of functions", [
      for name in ["webhook", "scaleup", "claim", "lifecycle", "rebalancer", "scaledown", "status"] :
      ["AWS/Lambda", "Errors", "FunctionName", "${var.deployment}-${name}", { stat = "Sum" }]
    ]],
  ]
}

resource "aws_cloudwatch_dashboard" "mayfly" {
  dashboard_name = var.deployment
  dashboard_body = jsonencode({
    widgets = [for index, picture in local.pictures : {
      type   = "metric"
      x      = (index % 2) * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = picture[0]
        metrics = picture[1]
        region  = local.region
        period  = 60
      }
    }]
  })
}
