# Images of Mayfly: Amazon Linux 2023 and Ubuntu 24.04, for x86_64 and arm64. docs/guides/images.md

locals {
  agent   = "${path.root}/../../../src/agent"
  release = jsondecode(file("${path.root}/../../../src/agent/runner-release.json"))
}

locals {
  runner  = local.release.version
  time    = formatdate("YYYYMMDDhhmmss", timestamp())
  name    = "mayfly-${var.mayfly_version}-runner${local.runner}-${local.time}"
  scripts = "${path.root}/../scripts"

  tags = {
    "mayfly:deployment" = var.deployment
    "mayfly:pipeline"   = var.pipeline
    "mayfly:version"    = var.mayfly_version
    "mayfly:runner"     = local.runner
    "mayfly:builder"    = "packer"
  }
}

source "amazon-ebs" "builder" {
  region                      = var.region
  subnet_id                   = var.subnet_id
  associate_public_ip_address = var.associate_public_ip_address
  ssh_timeout                 = "10m"

  ami_regions   = var.regions
  encrypt_boot  = true
  kms_key_id    = var.kms_key_id
  ebs_optimized = true
  ena_support   = true

  # IMDSv2, of the builder and of what is started from the image.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

build {
  source "amazon-ebs.builder" {
    name            = "al2023-x86_64"
    ami_name        = "${local.name}-al2023-x86_64"
    ami_description = "Mayfly ${var.mayfly_version}: Amazon Linux 2023, x86_64, runner ${local.runner}"
    instance_type   = "m7i.large"
    ssh_username    = "ec2-user"
    tags            = local.tags
    snapshot_tags   = local.tags
    run_tags        = local.tags
    run_volume_tags = local.tags

    source_ami_filter {
      most_recent = true
      owners      = ["amazon"]
      filters = {
        name                = "al2023-ami-2023.*-x86_64"
        architecture        = "x86_64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }

    launch_block_device_mappings {
      device_name           = "/dev/xvda"
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      iops                  = 3000
      throughput            = 125
      delete_on_termination = true
    }
  }

  source "amazon-ebs.builder" {
    name            = "al2023-arm64"
    ami_name        = "${local.name}-al2023-arm64"
    ami_description = "Mayfly ${var.mayfly_version}: Amazon Linux 2023, arm64, runner ${local.runner}"
    instance_type   = "m7g.large"
    ssh_username    = "ec2-user"
    tags            = local.tags
    snapshot_tags   = local.tags
    run_tags        = local.tags
    run_volume_tags = local.tags

    source_ami_filter {
      most_recent = true
      owners      = ["amazon"]
      filters = {
        name                = "al2023-ami-2023.*-arm64"
        architecture        = "arm64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }

    launch_block_device_mappings {
      device_name           = "/dev/xvda"
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      iops                  = 3000
      throughput            = 125
      delete_on_termination = true
    }
  }

  source "amazon-ebs.builder" {
    name            = "ubuntu2404-x86_64"
    ami_name        = "${local.name}-ubuntu2404-x86_64"
    ami_description = "Mayfly ${var.mayfly_version}: Ubuntu 24.04, x86_64, runner ${local.runner}"
    instance_type   = "m7i.large"
    ssh_username    = "ubuntu"
    tags            = local.tags
    snapshot_tags   = local.tags
    run_tags        = local.tags
    run_volume_tags = local.tags

    source_ami_filter {
      most_recent = true
      # Canonical.
      owners = ["099720109477"]
      filters = {
        name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
        architecture        = "x86_64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }

    launch_block_device_mappings {
      device_name           = "/dev/sda1"
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      iops                  = 3000
      throughput            = 125
      delete_on_termination = true
    }
  }

  source "amazon-ebs.builder" {
    name            = "ubuntu2404-arm64"
    ami_name        = "${local.name}-ubuntu2404-arm64"
    ami_description = "Mayfly ${var.mayfly_version}: Ubuntu 24.04, arm64, runner ${local.runner}"
    instance_type   = "m7g.large"
    ssh_username    = "ubuntu"
    tags            = local.tags
    snapshot_tags   = local.tags
    run_tags        = local.tags
    run_volume_tags = local.tags

    source_ami_filter {
      most_recent = true
      owners      = ["099720109477"]
      filters = {
        name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-*"
        architecture        = "arm64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }

    launch_block_device_mappings {
      device_name           = "/dev/sda1"
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      iops                  = 3000
      throughput            = 125
      delete_on_termination = true
    }
  }

  # cloud-init installs packages at the first boot.
  provisioner "shell" {
    inline = ["cloud-init status --wait || true", "mkdir -p /tmp/mayfly-scripts"]
  }

  provisioner "file" {
    source      = "${local.scripts}/"
    destination = "/tmp/mayfly-scripts"
  }

  provisioner "file" {
    sources     = ["${local.agent}/install.sh", "${local.agent}/runner-release.json"]
    destination = "/tmp/mayfly-scripts/"
  }

  provisioner "shell" {
    environment_vars = [
      "MAYFLY_VERSION=${var.mayfly_version}",
      "MAYFLY_IMAGE_BUILDER=packer",
      "MAYFLY_DISK_GIB=${var.disk_gib}",
      "MAYFLY_DOCKER_IMAGES=${join(" ", var.docker_images)}",
      "MAYFLY_WITHOUT=${join(" ", var.without)}",
    ]
    execute_command = "sudo env {{ .Vars }} bash {{ .Path }}"
    inline_shebang  = "/bin/bash -e"
    inline = [
      "bash /tmp/mayfly-scripts/build.sh",
      "rm -rf /tmp/mayfly-scripts",
    ]
  }

  post-processor "manifest" {
    output      = var.manifest
    strip_path  = true
    custom_data = local.tags
  }
}
