#!/usr/bin/env bash

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

install_packages git-lfs
git lfs install --system --skip-repo
installed git-lfs "$(version_in "$(git lfs version)")"
