#!/usr/bin/env bash
# Docker CE with Compose and Buildx, from Docker's own repository, whose key has a fingerprint that is known. There is
# none for Amazon Linux; that for EL 9 is what fits its C library.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

place=https://download.docker.com/linux
case $system in
  amzn-*)
    fetch_key "$place/centos/gpg" "$docker_rpm_key" /etc/pki/rpm-gpg/RPM-GPG-KEY-docker
    mkdir -p /etc/yum.repos.d
    # shellcheck disable=SC2016 # dnf expands it.
    printf '%s\n' '[docker-ce-stable]' 'name=Docker CE' "baseurl=$place/centos/9/\$basearch/stable" enabled=1 \
      gpgcheck=1 gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker >/etc/yum.repos.d/docker-ce.repo
    ;;
  *)
    fetch_key "$place/ubuntu/gpg" "$docker_apt_key" /etc/apt/keyrings/docker.asc
    mkdir -p /etc/apt/sources.list.d
    printf '%s\n' "deb [arch=$debian signed-by=/etc/apt/keyrings/docker.asc] $place/ubuntu noble stable" \
      >/etc/apt/sources.list.d/docker.list
    ;;
esac
install_packages docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
systemctl enable docker
installed docker "$(version_in "$(docker --version)")"
installed docker-compose "$(version_in "$(docker compose version)")"
installed docker-buildx "$(version_in "$(docker buildx version)")"
