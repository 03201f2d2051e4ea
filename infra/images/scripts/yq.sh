#!/usr/bin/env bash

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants yq || exit 0
fetch "https://github.com/mikefarah/yq/releases/download/v$version/yq_linux_$debian"
place "$archive" yq
installed yq "$version"
