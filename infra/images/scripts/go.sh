#!/usr/bin/env bash
# Go, as its project builds it.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants go || exit 0
fetch "https://go.dev/dl/go$version.linux-$debian.tar.gz"
tar -xzf "$archive" -C "$work" --no-same-owner
place_folder "$work/go" /usr/local/go
for program in go gofmt; do
  ln -sfn "/usr/local/go/bin/$program" "/usr/local/bin/$program"
done
installed go "$version"
