#!/usr/bin/env bash
# Pulls container images that jobs need, so that they find them there. Reads MAYFLY_DOCKER_IMAGES, names with blanks
# between them.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

[ -n "${MAYFLY_DOCKER_IMAGES:-}" ] || exit 0
systemctl start docker
for image in $MAYFLY_DOCKER_IMAGES; do
  case $image in
    -* | *[!A-Za-z0-9./:@_-]*) die "$image is not the name of a container image." ;;
  esac
  again docker pull --quiet "$image"
done
