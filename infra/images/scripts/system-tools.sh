#!/usr/bin/env bash
# What jobs expect of a system: compilers, archivers, clients. All of it from the system's own repositories.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

common=(acl bzip2 ca-certificates cmake file gcc git jq make parted patch rsync sudo tar time unzip wget zip zstd)
case $system in
  # The system's curl-minimal signs requests too, and the full one would replace it.
  amzn-*) packages=(bind-utils gcc-c++ gnupg2-minimal libicu lz4 nmap-ncat openssl openssl-devel pkgconf procps-ng shadow-utils util-linux which xz) ;;
  *) packages=(build-essential curl dnsutils gnupg iproute2 libicu74 libssl-dev lz4 netcat-openbsd openssl pkg-config procps util-linux xz-utils) ;;
esac
install_packages "${common[@]}" "${packages[@]}"
installed git "$(version_in "$(git --version)")"
installed jq "$(version_in "$(jq --version)")"
