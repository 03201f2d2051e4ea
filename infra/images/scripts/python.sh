#!/usr/bin/env bash
# The system's own Python 3, with pip and venv.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

case $system in
  amzn-*) install_packages python3 python3-devel python3-pip python3-pyyaml ;;
  *) install_packages python3 python3-dev python3-pip python3-venv python3-yaml ;;
esac
installed python "$(version_in "$(python3 --version)")"
