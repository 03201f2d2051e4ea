#!/usr/bin/env bash
# GitHub's command line.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants gh || exit 0
fetch "https://github.com/cli/cli/releases/download/v$version/gh_${version}_linux_$debian.tar.gz"
tar -xzf "$archive" -C "$work"
place "$work/gh_${version}_linux_$debian/bin/gh" gh
installed gh "$version"
