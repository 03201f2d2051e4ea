#!/usr/bin/env bash
# The disk of the builder is as large as that of the image's machines; here its partition and its file system become so.
# Reads MAYFLY_DISK_GIB; without it, the disk is left as it is.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

[ -n "${MAYFLY_DISK_GIB:-}" ] || exit 0
case $MAYFLY_DISK_GIB in
  *[!0-9]* | 0*) die "MAYFLY_DISK_GIB is not a whole number." ;;
esac
case $system in
  amzn-*) install_packages cloud-utils-growpart xfsprogs e2fsprogs ;;
  *) install_packages cloud-guest-utils xfsprogs e2fsprogs ;;
esac
device=$(findmnt -n -o SOURCE /)
disk=/dev/$(lsblk -n -d -o PKNAME "$device")
number=$(cat "/sys/class/block/${device##*/}/partition")
# Fails with NOCHANGE where cloud-init has done it at the first boot.
said=$(growpart "$disk" "$number" 2>&1) || grep -q NOCHANGE <<<"$said" || die "$disk could not be grown: $said"
case $(findmnt -n -o FSTYPE /) in
  xfs) xfs_growfs / ;;
  ext4) resize2fs "$device" ;;
  *) die "The root file system is neither xfs nor ext4." ;;
esac
# Some of it goes to other partitions and to what the file system needs for itself.
gib=$(($(df --output=size -B 1M / | tail -n 1) / 1024))
[ "$gib" -ge "$((MAYFLY_DISK_GIB * 9 / 10))" ] || die "The root file system has $gib GiB of the $MAYFLY_DISK_GIB that it should have."
say "The root file system has $gib GiB."
