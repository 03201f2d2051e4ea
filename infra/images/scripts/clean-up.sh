#!/usr/bin/env bash
# What must not be in an image that many machines start from: caches, and what makes one machine itself.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

case $system in
  amzn-*)
    dnf -q clean all
    rm -rf /var/cache/dnf
    ;;
  *)
    apt-get -q clean
    rm -rf /var/lib/apt/lists
    mkdir -p /var/lib/apt/lists/partial
    ;;
esac
! command -v cloud-init >/dev/null || cloud-init clean --logs
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub ~root/.bash_history /home/*/.bash_history
rm -f ~root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
: >/etc/machine-id
sync
