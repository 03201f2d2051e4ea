# Neither a provider nor a backend is configured here: that is for who uses the module. Terraform and OpenTofu know all of it.
terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}
