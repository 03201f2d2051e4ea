# Packer 1.7 and newer fetch the plugin with `packer init`. In a file of its own, as older ones, which have it built in,
# do not know this block.
packer {
  required_version = ">= 1.7.0"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}
