#!/usr/bin/env bash

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants helm || exit 0
fetch "https://get.helm.sh/helm-v$version-linux-$debian.tar.gz"
tar -xzf "$archive" -C "$work"
place "$work/linux-$debian/helm" helm
installed helm "$version"
