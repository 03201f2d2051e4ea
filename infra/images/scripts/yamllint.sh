#!/usr/bin/env bash
# Ubuntu has a package of it. On Amazon Linux it is in a folder of its own, on the system's Python and PyYAML.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

case $system in
  amzn-*)
    if [ "$(cat "$tools/yamllint" 2>/dev/null)" != "$yamllint_version" ]; then
      python3 -m venv --clear --system-site-packages /usr/local/lib/yamllint
      again /usr/local/lib/yamllint/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        "yamllint==$yamllint_version" "pathspec==$pathspec_version"
      ln -sfn /usr/local/lib/yamllint/bin/yamllint /usr/local/bin/yamllint
    fi
    ;;
  *) install_packages yamllint ;;
esac
installed yamllint "$(version_in "$(yamllint --version)")"
