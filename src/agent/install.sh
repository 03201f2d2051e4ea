#!/bin/sh
# Prepares a machine for the Mayfly agent: packages, the runner's account, GitHub's runner, and at last
# /opt/mayfly/manifest.json, which says what is there. Image builders run it once for an image; a machine whose image
# has no manifest runs it at its start. docs/reference/image-manifest.md
#
# Runs as root on Amazon Linux 2023, Ubuntu 22.04 and 24.04, Debian 12 and 13, RHEL 9 and 10 and their relatives, x86_64
# and arm64. Not on Alpine: GitHub's runner needs glibc. Reads MAYFLY_RUNNER_VERSION, its checksums
# MAYFLY_RUNNER_SHA256_X86_64 and MAYFLY_RUNNER_SHA256_ARM64, and MAYFLY_RUNNER_BASE_URL where the runner comes from
# somewhere else than GitHub. Exits with 0 only when everything is in place.

set -eu
umask 022

home=/opt/mayfly
runner_user=mayfly-runner

main() {
  mkdir -p "$home"
  recognise_system
  install_packages
  create_account
  install_runner
  write_manifest
  say "Runner $MAYFLY_RUNNER_VERSION is installed in $home/runner."
}

# Sets `system` and `architecture`.
recognise_system() {
  # shellcheck source=/dev/null
  system=$(. /etc/os-release && printf '%s-%s' "$ID" "$VERSION_ID")
  case $system in
    amzn-2023 | ubuntu-22.04 | ubuntu-24.04 | debian-12 | debian-13) ;;
    rhel-9* | rhel-10* | rocky-9* | rocky-10* | almalinux-9* | almalinux-10* | centos-9 | centos-10) ;;
    alpine-*)
      die "GitHub's runner needs glibc, which Alpine does not have: take an image of Debian, Ubuntu, Amazon Linux 2023 or a relative of RHEL."
      ;;
    *) die "This system is $system; machines run Amazon Linux 2023, Ubuntu, Debian, or a relative of RHEL." ;;
  esac
  case $(uname -m) in
    x86_64) architecture=x86_64 file=x64 sha256=${MAYFLY_RUNNER_SHA256_X86_64:-} ;;
    aarch64 | arm64) architecture=arm64 file=arm64 sha256=${MAYFLY_RUNNER_SHA256_ARM64:-} ;;
    *) die "This machine is $(uname -m); the runner exists for x86_64 and arm64." ;;
  esac
  case ${MAYFLY_RUNNER_VERSION:-}:$sha256 in
    :* | *:*[!0-9a-f]*) die "MAYFLY_RUNNER_VERSION or the checksum for $architecture is missing." ;;
    *[!0-9.]*:*) die "MAYFLY_RUNNER_VERSION is not a version." ;;
    *:????????????????????????????????????????????????????????????????) ;;
    *) die "The checksum for $architecture is not one of SHA-256." ;;
  esac
}

# The runner needs ICU; jobs expect git. Another installer may hold the lock of the packages when a machine boots.
install_packages() {
  case $system in
    ubuntu-* | debian-*)
      case $system in
        ubuntu-22.04) icu=libicu70 ;;
        ubuntu-24.04) icu=libicu74 ;;
        debian-12) icu=libicu72 ;;
        *) icu=libicu76 ;;
      esac
      export DEBIAN_FRONTEND=noninteractive
      again apt-get -q -o DPkg::Lock::Timeout=120 update
      again apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends \
        ca-certificates curl git "$icu"
      ;;
    *) again dnf -y -q install git libicu tar gzip shadow-utils util-linux ;;
  esac
}

create_account() {
  id "$runner_user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$runner_user"
}

# Unpacked beside its place and moved there, so that half a runner is never taken for one.
install_runner() {
  base=${MAYFLY_RUNNER_BASE_URL:-https://github.com/actions/runner/releases/download/v$MAYFLY_RUNNER_VERSION}
  archive=$(mktemp "$home/runner.XXXXXX")
  rm -rf "$home/runner" "$home/runner.new"
  mkdir "$home/runner.new"
  again fetch "$base/actions-runner-linux-$file-$MAYFLY_RUNNER_VERSION.tar.gz"
  tar -xzf "$archive" -C "$home/runner.new"
  rm -f "$archive"
  [ -x "$home/runner.new/bin/Runner.Listener" ] || die "The archive of the runner holds no bin/Runner.Listener."
  chown -R "$runner_user" "$home/runner.new"
  mv "$home/runner.new" "$home/runner"
}

# The checksum is looked at before anything of the archive is used; a broken download is tried again.
# fetch <address>
fetch() {
  curl -q --silent --show-error --fail --location --globoff --proto '=http,https' --connect-timeout 10 \
    --max-time 600 --output "$archive" "$1" || return 1
  printf '%s  %s\n' "$sha256" "$archive" | sha256sum -c - >/dev/null 2>&1 || {
    say "What came from $1 does not have the checksum $sha256."
    return 1
  }
}

# The last act: a machine that finds the manifest finds everything that it names.
write_manifest() {
  curl_version=$(curl -q --version)
  curl_version=${curl_version#*libcurl/}
  cat >"$home/manifest.json.new" <<EOF
{
  "schema": 1,
  "builtAt": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "system": "$system",
  "architecture": "$architecture",
  "curl": "${curl_version%%[!0-9.]*}",
  "runnerUser": "$runner_user",
  "runnerDirectory": "$home/runner",
  "runnerVersion": "$MAYFLY_RUNNER_VERSION",
  "runnerSha256": "$sha256"
}
EOF
  mv "$home/manifest.json.new" "$home/manifest.json"
}

# Networks and mirrors fail now and then: three tries.
# again <command>
again() {
  for seconds in 2 10 0; do
    "$@" && return 0
    [ "$seconds" -eq 0 ] || sleep "$seconds"
  done
  die "This failed three times: $1"
}

die() {
  say "$1"
  exit 1
}

say() {
  printf '%s\n' "mayfly: $1" >&2
}

main
