#!/usr/bin/env bash
# The AWS CLI, version 2.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

wants aws-cli || exit 0
case $architecture in
  arm64) file=aarch64 ;;
  *) file=x86_64 ;;
esac
fetch "https://awscli.amazonaws.com/awscli-exe-linux-$file-$version.zip"
unzip -q "$archive" -d "$work"
"$work/aws/install" --update --install-dir /usr/local/aws-cli --bin-dir /usr/local/bin
installed aws-cli "$version"
