#!/usr/bin/env bash
# Makes a machine with Amazon Linux 2023 or Ubuntu 24.04 into what an image of Mayfly is taken of. As root; may be
# repeated. install.sh and runner-release.json of src/agent lie beside it.
#
# Reads MAYFLY_WITHOUT, names of scripts to leave out with blanks between them, and what the scripts read.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

[ "$(id -u)" -eq 0 ] || die "This has to run as root."
for script in system-tools disk docker python node go aws-cli kubectl helm gh yq git-lfs yamllint runner \
  docker-images manifest clean-up; do
  case " ${MAYFLY_WITHOUT:-} " in
    *" $script "*) say "$script is left out." ;;
    *) "$BASH" "$here/$script.sh" ;;
  esac
done
say "The image is ready to be taken."
