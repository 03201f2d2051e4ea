# A root that deploys Mayfly into the default VPC of a region. Copy it, and choose a backend for the state.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Where machines run."
  type        = string
}

variable "package_folder" {
  description = "What `mayfly aws package --out` wrote."
  type        = string
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

data "aws_subnet" "default" {
  for_each = toset(data.aws_subnets.default.ids)
  id       = each.key
}

data "aws_secretsmanager_secret" "given" {
  for_each = toset(["webhook-secret", "app-private-key", "status-token"])
  name     = "mayfly/${each.key}"
}

module "mayfly" {
  source = "../"

  package_folder          = var.package_folder
  webhook_secret_arn      = data.aws_secretsmanager_secret.given["webhook-secret"].arn
  private_key_secret_arn  = data.aws_secretsmanager_secret.given["app-private-key"].arn
  status_token_secret_arn = data.aws_secretsmanager_secret.given["status-token"].arn
  vpc_id                  = data.aws_vpc.default.id
  subnets                 = { for subnet in data.aws_subnet.default : subnet.availability_zone => subnet.id }
}

output "webhook_url" {
  value = module.mayfly.webhook_url
}

output "api_url" {
  value = module.mayfly.api_url
}
