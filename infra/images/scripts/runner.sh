#!/usr/bin/env bash
# The account, GitHub's runner and the manifest, by the same script that a machine without a prepared image runs at its
# start; then the runner is warmed up: what it compiles at its first start is kept in the image.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

release=$here/runner-release.json
[ -f "$release" ] || die "There is no runner-release.json beside this script; copy it and install.sh from src/agent."
version=$(jq -r .version "$release")
if [ "$(cat "$tools/runner" 2>/dev/null)" != "$version" ] || [ ! -f "$home/manifest.json" ]; then
  rm -f "$home/manifest.json"
  MAYFLY_RUNNER_VERSION=$version \
    MAYFLY_RUNNER_SHA256_X86_64=$(jq -r .sha256.x86_64 "$release") \
    MAYFLY_RUNNER_SHA256_ARM64=$(jq -r .sha256.arm64 "$release") \
    MAYFLY_RUNNER_BASE_URL=${MAYFLY_RUNNER_BASE_URL:-} \
    sh "$here/install.sh"
  # A machine believes a manifest, so there is none when this fails.
  (cd "$home/runner" && HOME=/home/mayfly-runner setpriv --reuid mayfly-runner --regid mayfly-runner --clear-groups ./bin/Runner.Listener warmup) || {
    rm -f "$home/manifest.json"
    die "The runner $version could not be warmed up."
  }
fi
# Whoever may use Docker is root on this machine, which runs one job and is gone after it.
! getent group docker >/dev/null || usermod --append --groups docker mayfly-runner
installed runner "$version"
