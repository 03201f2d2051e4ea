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

variable "vpc_id" {
  description = "The VPC of the machines. Without it, the default VPC of the region."
  type        = string
  default     = null
}

variable "subnets" {
  description = "With vpc_id: one subnet for each zone, by the zone's name. Without it, those of the default VPC."
  type        = map(string)
  default     = null
}

variable "fargate" {
  description = "Whether what presets on Fargate need is made, too."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted. false, and apply, before you destroy."
  type        = bool
  default     = true
}

data "aws_vpc" "default" {
  count   = var.vpc_id == null ? 1 : 0
  default = true
}

data "aws_subnets" "default" {
  count = var.vpc_id == null ? 1 : 0

  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

data "aws_subnet" "default" {
  for_each = toset(flatten(data.aws_subnets.default[*].ids))
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
  vpc_id                  = coalesce(var.vpc_id, one(data.aws_vpc.default[*].id))
  subnets                 = var.vpc_id == null ? { for subnet in data.aws_subnet.default : subnet.availability_zone => subnet.id } : var.subnets
  fargate                 = var.fargate
  deletion_protection     = var.deletion_protection
}

output "webhook_url" {
  value = module.mayfly.webhook_url
}

output "api_url" {
  value = module.mayfly.api_url
}
