#!/usr/bin/env bash

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants kubectl || exit 0
fetch "https://dl.k8s.io/release/v$version/bin/linux/$debian/kubectl"
place "$archive" kubectl
installed kubectl "$version"
