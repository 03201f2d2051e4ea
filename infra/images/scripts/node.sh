#!/usr/bin/env bash
# Node LTS, as its project builds it.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants node || exit 0
fetch "https://nodejs.org/dist/v$version/node-v$version-linux-$node.tar.xz"
tar -xJf "$archive" -C "$work" --no-same-owner
place_folder "$work/node-v$version-linux-$node" /usr/local/lib/node
for program in node npm npx corepack; do
  ln -sfn "/usr/local/lib/node/bin/$program" "/usr/local/bin/$program"
done
installed node "$version"
