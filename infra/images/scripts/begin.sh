# shellcheck shell=bash disable=SC2034 # Who sources it reads what it sets.
# What every script of this folder begins with. Sets `system`, `architecture` and `here`, the folder.

set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=/opt/mayfly
# One file for each tool that is in place, named after it, with its version.
tools=$home/tools

say() {
  printf 'mayfly: %s\n' "$1" >&2
}

die() {
  say "$1"
  exit 1
}

recognise_system() {
  # shellcheck source=/dev/null
  system=$(. /etc/os-release && printf '%s-%s' "$ID" "$VERSION_ID")
  case $system in
    amzn-2023 | ubuntu-24.04) ;;
    *) die "This system is $system; images are made of Amazon Linux 2023 and Ubuntu 24.04." ;;
  esac
  # How vendors call it in the names of their files.
  case $(uname -m) in
    x86_64) architecture=x86_64 debian=amd64 node=x64 ;;
    aarch64 | arm64) architecture=arm64 debian=arm64 node=arm64 ;;
    *) die "This machine is $(uname -m); images are made for x86_64 and arm64." ;;
  esac
}

# Networks and mirrors fail now and then: three tries.
# again <command>
again() {
  local seconds
  for seconds in 2 10 0; do
    "$@" && return 0
    [ "$seconds" -eq 0 ] || sleep "$seconds"
  done
  die "This failed three times: $*"
}

# From the repositories of the system, or from those that a script has added: all are signed.
# install_packages <package…>
install_packages() {
  case $system in
    ubuntu-*)
      export DEBIAN_FRONTEND=noninteractive
      again apt-get -q -o DPkg::Lock::Timeout=120 update
      again apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@"
      ;;
    *) again dnf -y -q install --setopt=install_weak_deps=False "$@" ;;
  esac
}

# Sets `version` and `sha256` of a tool in versions.env. Fails when just that is in place already.
# wants <tool>
wants() {
  local name=${1//-/_}
  local version_of="${name}_version" sha256_of="${name}_sha256_$architecture"
  version=${!version_of}
  sha256=${!sha256_of}
  if [ -f "$tools/$1" ] && [ "$(cat "$tools/$1")" = "$version" ]; then
    say "$1 $version is in place."
    return 1
  fi
}

# Downloads into `work`, and leaves nothing there that has another checksum. Sets `archive`.
# fetch <address>
fetch() {
  archive=$work/${1##*/}
  again download "$1"
}

download() {
  curl -q --silent --show-error --fail --location --globoff --proto '=https' --connect-timeout 10 \
    --max-time 600 --output "$archive" "$1" || return 1
  printf '%s  %s\n' "$sha256" "$archive" | sha256sum -c - >/dev/null 2>&1 || {
    say "What came from $1 does not have the checksum $sha256."
    rm -f "$archive"
    return 1
  }
}

# In one step, so that half a program is never found.
# place <file> <program>
place() {
  install -m 755 "$1" "/usr/local/bin/$2.new"
  mv "/usr/local/bin/$2.new" "/usr/local/bin/$2"
}

# The same for a folder.
# place_folder <folder> <its place>
place_folder() {
  rm -rf "$2.new"
  cp -a "$1" "$2.new"
  rm -rf "$2"
  mv "$2.new" "$2"
}

# installed <tool> <version>
installed() {
  [ -n "$2" ] || die "$1 does not say its version."
  mkdir -p "$tools"
  printf '%s\n' "$2" >"$tools/$1.new"
  mv "$tools/$1.new" "$tools/$1"
  say "$1 $2 is installed."
}

# The first number with dots in what a program says.
version_in() {
  grep -o -E '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1
}

# The key at this address, when it has this fingerprint and no other is with it.
# fetch_key <address> <fingerprint> <file>
fetch_key() {
  local found
  again curl -q --silent --show-error --fail --location --proto '=https' --max-time 60 --output "$work/key" "$1"
  found=$(gpg --batch --show-keys --with-colons "$work/key" | awk -F: '/^pub:/ { key = 1 } /^fpr:/ && key { print $10; key = 0 }')
  [ "$found" = "$2" ] || die "The key at $1 is not $2 but ${found:-none}."
  mkdir -p "${3%/*}"
  install -m 644 "$work/key" "$3"
}

recognise_system
# shellcheck source=versions.env
. "$here/versions.env"
work=$(mktemp -d /var/tmp/mayfly.XXXXXX)
trap 'rm -rf "$work"' EXIT
