# Who a machine is: whatever runs on it, and can reach its role, can call the two routes of machines and no more.
resource "aws_iam_role" "machine" {
  name        = "${var.deployment}-machine"
  description = "A machine of Mayfly; the name of its session is the id of its instance"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "machine" {
  name = "machine"
  role = aws_iam_role.machine.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["execute-api:Invoke"], Resource = ["${aws_apigatewayv2_api.api.execution_arn}/*/POST/v1/machines/ec2/*"] },
    ]
  })
}

resource "aws_iam_instance_profile" "machine" {
  name = "${var.deployment}-machine"
  role = aws_iam_role.machine.name
}

# Machines begin connections and accept none.
resource "aws_security_group" "machine" {
  name        = "${var.deployment}-machine"
  description = "Machines of Mayfly: nothing comes in"
  vpc_id      = var.vpc_id
  tags        = { "mayfly:deployment" = var.deployment }

  egress {
    description      = "Where jobs may connect to"
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = var.egress_cidrs
    ipv6_cidr_blocks = var.egress_ipv6_cidrs
  }
}

# One for each preset, as the adapter of EC2 wants it: it looks at what it finds before it launches from it.
resource "aws_launch_template" "preset" {
  for_each = { for machine in jsondecode(file("${var.package_folder}/machines.json")) : machine.preset => machine }

  name                                 = "${var.deployment}-${each.key}"
  image_id                             = var.images[each.value.architecture]
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true
  vpc_security_group_ids               = [aws_security_group.machine.id]
  # Without this tag, scaleup may not launch from it.
  tags = { "mayfly:deployment" = var.deployment }

  user_data = base64encode(replace(replace(each.value.userData,
    "@mayfly-api@", aws_apigatewayv2_api.api.api_endpoint),
  "@mayfly-region@", local.region))

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine.arn
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }
  block_device_mappings {
    device_name = var.root_device_name
    ebs {
      encrypted             = true
      volume_type           = "gp3"
      volume_size           = each.value.diskGib
      delete_on_termination = true
    }
  }
}
