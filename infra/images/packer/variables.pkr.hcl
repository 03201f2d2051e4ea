variable "mayfly_version" {
  type        = string
  description = "The version whose scripts these are; a part of the image's name."
}

variable "region" {
  type        = string
  description = "Where images are built."
  default     = "eu-west-1"
}

variable "regions" {
  type        = list(string)
  description = "Where images are copied to, beside the region that they are built in."
  default     = []
}

variable "subnet_id" {
  type        = string
  description = "Where the builder gets its address. Empty: the default VPC."
  default     = ""
}

variable "associate_public_ip_address" {
  type        = bool
  description = "Whether the builder gets a public address: needed in a subnet whose way out is an internet gateway."
  default     = true
}

variable "kms_key_id" {
  type        = string
  description = "The key that images are encrypted with. Empty: the account's own for EBS, with which an image cannot be shared."
  default     = ""
}

variable "disk_gib" {
  type        = number
  description = "The disk of the image. Machines may have a larger one."
  default     = 30
}

variable "docker_images" {
  type        = list(string)
  description = "Container images that are pulled already."
  default     = []
}

variable "without" {
  type        = list(string)
  description = "Scripts to leave out, for example docker and go."
  default     = []
}

variable "deployment" {
  type        = string
  description = "The value of the tag mayfly:deployment."
  default     = "mayfly"
}

variable "pipeline" {
  type        = string
  description = "The value of the tag mayfly:pipeline: presets with image: { pipeline: <name> } take the newest image with it, if mayfly.yaml describes no pipeline of this name."
  default     = "default"
}

variable "manifest" {
  type        = string
  description = "The file that Packer writes the ids of the images to."
  default     = "packer-manifest.json"
}
