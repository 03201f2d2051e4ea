variable "deployment" {
  description = "What everything is called by, and machines are tagged with. Each deployment of an account needs its own, in other regions too."
  type        = string
  default     = "mayfly"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.deployment))
    error_message = "The name has 2 to 30 lower-case letters, digits and dashes, a letter first."
  }
}

variable "package_folder" {
  description = "The folder that `mayfly aws package --out` wrote: the zips of the functions with mayfly.yaml in them, and machines.json."
  type        = string

  validation {
    condition     = fileexists("${var.package_folder}/machines.json")
    error_message = "There is no machines.json in this folder. Run `mayfly aws package --config mayfly.yaml --out <folder>` first."
  }
}

variable "webhook_secret_arn" {
  description = "The secret of Secrets Manager with which GitHub signs deliveries."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.webhook_secret_arn))
    error_message = "This is not the ARN of a secret of Secrets Manager."
  }
}

variable "private_key_secret_arn" {
  description = "The secret of Secrets Manager with the private key of the GitHub App."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.private_key_secret_arn))
    error_message = "This is not the ARN of a secret of Secrets Manager."
  }
}

variable "status_token_secret_arn" {
  description = "The secret of Secrets Manager with the token for the status."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.status_token_secret_arn))
    error_message = "This is not the ARN of a secret of Secrets Manager."
  }
}

variable "vpc_id" {
  description = "The VPC of the machines."
  type        = string
}

variable "subnets" {
  description = "One subnet for each availability zone, by the zone's name, with a way to GitHub. Each zone is a pool more for spot machines."
  type        = map(string)

  validation {
    condition     = length(var.subnets) > 0
    error_message = "Without a subnet no machine can be launched."
  }
  validation {
    condition     = alltrue([for zone, subnet in var.subnets : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", zone)) && startswith(subnet, "subnet-")])
    error_message = "Subnets are given by zone, for example { eu-west-1a = \"subnet-0abc\" }."
  }
}

variable "images" {
  description = "The images of presets that name none, by architecture: `ami-…`, or `resolve:ssm:` and a parameter."
  type = object({
    x86_64 = optional(string, "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    arm64  = optional(string, "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64")
  })
  default = {}
}

variable "root_device_name" {
  description = "The device of those images' root volume: /dev/xvda of Amazon Linux, /dev/sda1 of Ubuntu."
  type        = string
  default     = "/dev/xvda"
}

variable "egress_cidrs" {
  description = "Where machines may connect to. They need GitHub and the API."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "egress_ipv6_cidrs" {
  description = "The same for IPv6."
  type        = list(string)
  default     = ["::/0"]
}

variable "machine_tags" {
  description = "Tags of instances and volumes beside those of Mayfly, for example for the allocation of costs."
  type        = map(string)
  default     = {}
}

variable "fargate" {
  description = "Whether what presets on Fargate need is made: a cluster, roles and a log, and what builds their images."
  type        = bool
  default     = false
}

variable "fargate_shell" {
  description = "Whether the role of tasks allows ECS Exec, for presets with fargate.shell."
  type        = bool
  default     = false
}

variable "fargate_public_addresses" {
  description = "Whether tasks get public addresses. false where the subnets reach GitHub by a NAT; otherwise nothing can be pulled."
  type        = bool
  default     = true
}

variable "event_bus_arn" {
  description = "The bus of EventBridge on which jobs and machines are published as they change; empty for none."
  type        = string
  default     = ""
}

variable "log_retention_days" {
  description = "How many days logs are kept."
  type        = number
  default     = 30
}

variable "alarm_topic_arn" {
  description = "The topic of SNS that hears of alarms. Without one, they are seen in CloudWatch only."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted. Set it to false, and apply, before you tear down."
  type        = bool
  default     = true
}

variable "reserve_concurrency" {
  description = "Whether executions are set apart for webhook (20) and rebalancer (1). An account needs a limit of more than 121 for it."
  type        = bool
  default     = false
}
