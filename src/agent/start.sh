# shellcheck shell=sh disable=SC2154 # The constants stand above it.
# What a machine's user data does, after the lines that set its constants and `write_files`, which unpacks the other
# two scripts. Runs once, as root, at the first boot. However it ends, the machine is powered off, and is gone by that:
# nothing may be left behind that costs money and serves nobody.

set -u
umask 022
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"

home=/opt/mayfly
metadata_address=169.254.169.254
metadata_address_six=fd00:ec2::254

main() {
  trap 'power_off' EXIT
  trap 'exit 143' TERM INT HUP
  # Should this script hang, or be killed, before the agent runs. The agent has limits of its own.
  shutdown -h "+$MAYFLY_START_LIMIT_MINUTES" "mayfly: this machine did not start in time" || :
  mkdir -p "$home" || exit 1
  write_files || exit 1
  if [ -f "$home/manifest.json" ]; then
    say "The image is prepared: $(tr -d '\n' <"$home/manifest.json")"
  else
    say "The image has no $home/manifest.json; the runner is installed now, which takes a minute or two."
    MAYFLY_RUNNER_VERSION=$MAYFLY_RUNNER_VERSION \
      MAYFLY_RUNNER_SHA256_X86_64=$MAYFLY_RUNNER_SHA256_X86_64 \
      MAYFLY_RUNNER_SHA256_ARM64=$MAYFLY_RUNNER_SHA256_ARM64 \
      MAYFLY_RUNNER_BASE_URL=$MAYFLY_RUNNER_BASE_URL \
      sh "$home/install.sh" || exit 1
  fi
  runner_user=$(text_of runnerUser)
  runner_directory=$(text_of runnerDirectory)
  if [ -z "$runner_user" ] || [ ! -x "$runner_directory/bin/Runner.Listener" ]; then
    say "The manifest of the image names no user or no folder that holds bin/Runner.Listener."
    exit 1
  fi
  [ "$MAYFLY_JOBS_MAY_READ_METADATA" = yes ] || shut_metadata || exit 1
  start_agent
}

# Only root may ask the metadata service from now on: whoever may ask it can sign as this machine. A rule of routing
# needs no package and knows the accounts of containers without root too. Of those that root starts, the hop limit keeps
# the answers. That it works is seen, not believed.
shut_metadata() {
  ip rule add pref 1 to "$metadata_address" uidrange 1-4294967294 prohibit || return 1
  # Where the instance has no IPv6, there is nothing to reach.
  ip -6 rule add pref 1 to "$metadata_address_six" uidrange 1-4294967294 prohibit || :
  for host in "$metadata_address" "[$metadata_address_six]"; do
    if setpriv --reuid "$runner_user" --clear-groups curl -q --silent --globoff --noproxy '*' --max-time 2 \
      --output /dev/null --request PUT "http://$host/latest/api/token"; then
      say "The account $runner_user reaches the metadata service at $host, though it must not."
      return 1
    fi
  done
}

start_agent() {
  shutdown -c || :
  MAYFLY_IDENTITY=ec2 \
    MAYFLY_URL=$MAYFLY_URL \
    MAYFLY_REGION=$MAYFLY_REGION \
    MAYFLY_BOOT_TIMEOUT_SECONDS=$MAYFLY_BOOT_TIMEOUT_SECONDS \
    MAYFLY_RUNNER_DIRECTORY=$runner_directory \
    MAYFLY_RUNNER_USER=$runner_user \
    MAYFLY_POWER_OFF=exit \
    sh "$home/agent.sh"
}

# A text of the manifest.
# text_of <name>
text_of() {
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$home/manifest.json"
}

# Shutting down terminates the instance, as its launch template says.
# shellcheck disable=SC2317 # A trap calls it.
power_off() {
  ended_with=$?
  trap '' TERM INT HUP EXIT
  say "The machine is powered off (status $ended_with)."
  sync
  shutdown -h now || poweroff -f || halt -f -p
  exit "$ended_with"
}

say() {
  printf '%s\n' "mayfly: $1" >&2
}

main
exit "$?"
