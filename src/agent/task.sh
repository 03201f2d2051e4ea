# shellcheck shell=sh disable=SC2154 # The constants stand above it.
# What a task of Fargate runs, after the lines that set its constants and `write_files`, which unpacks the other two
# scripts. Runs as root, as the first process of the container; when it ends, so does the task.

set -u
umask 022
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"

home=/opt/mayfly

main() {
  # Whoever knows this path can sign as this task. From here on no process has it in its environment: the agent takes it
  # out of its own before anything else.
  credential=${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-}
  unset AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
  mkdir -p "$home" && write_files || exit 1
  if [ ! -f "$home/manifest.json" ]; then
    say "The image has no $home/manifest.json; the runner is installed now, which takes a minute or two."
    install_runner || exit 1
  fi
  runner_user=$(text_of runnerUser)
  runner_directory=$(text_of runnerDirectory)
  if [ -z "$runner_user" ] || [ ! -x "$runner_directory/bin/Runner.Listener" ]; then
    say "The manifest of the image names no user or no folder that holds bin/Runner.Listener."
    exit 1
  fi
  # A job under root's account could read all that the agent knows.
  case $(id -u "$runner_user" 2>/dev/null) in
    '' | 0)
      say "The account $runner_user of the image does not exist, or is root's."
      exit 1
      ;;
  esac
  export MAYFLY_IDENTITY=fargate MAYFLY_CREDENTIAL="$credential" MAYFLY_POWER_OFF=exit \
    MAYFLY_RUNNER_DIRECTORY="$runner_directory" MAYFLY_RUNNER_USER="$runner_user"
  # Images have folders in their path into which a job may write. What the agent runs as root comes from the system's.
  export MAYFLY_JOB_PATH="$PATH" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  curl_signs || use_node
  exec sh "$home/agent.sh"
}

# From 7.86.0 on, it signs the session token too.
curl_signs() {
  version=$(curl -q --version 2>/dev/null)
  version=${version#*libcurl/}
  version=${version%%[!0-9.]*}
  minor=${version#*.}
  minor=${minor%%.*}
  case ${version%%.*}:$minor in
    *[!0-9:]* | :* | *:) return 1 ;;
  esac
  [ "$((${version%%.*} * 1000 + minor))" -ge 7086 ]
}

# The runner brings a Node of its own. Without one, the agent says what is wrong with curl. It is copied: the agent runs
# it as root and hands it the role's credentials, and whatever is in the runner's folder belongs to the job's account.
use_node() {
  for node in "$runner_directory"/externals/node*/bin/node; do
    if [ -x "$node" ] && "$node" --version >/dev/null 2>&1 && cp "$node" "$home/node"; then
      export MAYFLY_NODE="$home/node"
      break
    fi
  done
  say "The curl of this image cannot sign (${version:-there is none}); ${MAYFLY_NODE:-nothing} stands in for it."
}

install_runner() {
  set -- sh "$home/install.sh"
  # Should it hang while the control plane is not there, nobody would end the task.
  ! command -v timeout >/dev/null 2>&1 || set -- timeout "$((MAYFLY_START_LIMIT_MINUTES * 60))" "$@"
  MAYFLY_RUNNER_VERSION=$MAYFLY_RUNNER_VERSION \
    MAYFLY_RUNNER_SHA256_X86_64=$MAYFLY_RUNNER_SHA256_X86_64 \
    MAYFLY_RUNNER_SHA256_ARM64=$MAYFLY_RUNNER_SHA256_ARM64 \
    MAYFLY_RUNNER_BASE_URL=$MAYFLY_RUNNER_BASE_URL \
    "$@"
}

# A text of the manifest.
# text_of <name>
text_of() {
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$home/manifest.json"
}

say() {
  printf '%s\n' "mayfly: $1" >&2
}

main
