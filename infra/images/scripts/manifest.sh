#!/usr/bin/env bash
# Adds to the manifest, which the installation of the runner has written, what else is there.
# Reads MAYFLY_VERSION, MAYFLY_IMAGE_BUILDER and MAYFLY_DOCKER_IMAGES.

set -euo pipefail
# shellcheck source=begin.sh
. "$(dirname "${BASH_SOURCE[0]}")/begin.sh"

[ -f "$home/manifest.json" ] || die "There is no $home/manifest.json to add to: the runner is not installed."
for file in "$tools"/*; do
  jq -n --arg name "${file##*/}" --arg version "$(cat "$file")" '{ ($name): $version }'
done | jq -s --slurpfile before "$home/manifest.json" --arg builder "${MAYFLY_IMAGE_BUILDER:-}" \
  --arg version "${MAYFLY_VERSION:-}" --arg images "${MAYFLY_DOCKER_IMAGES:-}" '
  $before[0]
  + (if $version == "" then {} else { mayflyVersion: $version } end)
  + (if $builder == "" then {} else { builder: $builder } end)
  + { tools: add, dockerImages: ($images | split(" ") | map(select(. != ""))) }' >"$work/manifest.json"
install -m 644 "$work/manifest.json" "$home/manifest.json.new"
mv "$home/manifest.json.new" "$home/manifest.json"
