#!/bin/sh
# The Mayfly agent: the one program that Mayfly puts on a machine.
#
#   claim -> run the listener -> report each step -> power off, whatever happens
#
# Needs a POSIX shell, the POSIX tools, mktemp and curl. The protocol that it speaks and every variable that it
# reads are described in docs/reference/machine-protocol.md.
#
# Credentials and the JIT config never appear in an argument, because everybody on a machine may read the
# arguments of everybody else, and never in a file. curl receives credentials on its standard input; the
# listener receives the JIT config in the one variable that it reads and removes by itself.

set -u
# A variable that arrived exported would stay exported when it is assigned, and so reach the job.
unset credential jit_config answer original_umask metadata metadata_token
# Where the system's curl cannot sign, one on the runner's own Node stands in for it.
[ -z "${MAYFLY_NODE:-}" ] || curl() {
  "$MAYFLY_NODE" "${0%/*}/curl.mjs" "$@"
}

main() {
  take_credential
  original_umask=$(umask)
  umask 077
  trap 'finish' EXIT
  trap 'on_signal' TERM INT HUP
  read_settings
  case $identity in
    ec2) become_instance ;;
    fargate) become_task ;;
  esac
  prepare_directory
  claim
  prepare_hook
  now
  begun_at=$now
  watch_over &
  watcher=$!
  run_listener
  stop_watcher
  report_exit
}

# ------------------------------------------------------------------------------------------------ settings

# The credential arrives in the environment, or in a file that is removed. What a process was started with can
# be read in /proc for as long as it lives, even after `unset`; so the script starts itself once more, in the same
# process, without the variable, and reads the value from a pipe.
take_credential() {
  credential=
  if [ -n "${MAYFLY_CREDENTIAL:-}" ]; then
    credential=$MAYFLY_CREDENTIAL
    unset MAYFLY_CREDENTIAL
    MAYFLY_CREDENTIAL_DESCRIPTOR=3
    export MAYFLY_CREDENTIAL_DESCRIPTOR
    # The shell may be two words, for example `busybox sh`.
    # shellcheck disable=SC2086
    exec ${MAYFLY_SHELL:-sh} "$0" 3<<EOF
$credential
EOF
  elif [ -n "${MAYFLY_CREDENTIAL_DESCRIPTOR:-}" ]; then
    IFS= read -r credential <&3
    exec 3<&-
  elif [ -n "${MAYFLY_CREDENTIAL_FILE:-}" ]; then
    IFS= read -r credential <"$MAYFLY_CREDENTIAL_FILE"
    rm -f "$MAYFLY_CREDENTIAL_FILE" || credential=
  fi
  unset MAYFLY_CREDENTIAL_DESCRIPTOR MAYFLY_CREDENTIAL_FILE
}

read_settings() {
  control_plane=${MAYFLY_URL:-}
  control_plane=${control_plane%/}
  machine=${MAYFLY_MACHINE_ID:-}
  identity=${MAYFLY_IDENTITY:-token}
  region=${MAYFLY_REGION:-}
  runner_directory=${MAYFLY_RUNNER_DIRECTORY:-}
  runner_user=${MAYFLY_RUNNER_USER:-}
  boot_timeout=${MAYFLY_BOOT_TIMEOUT_SECONDS:-300}
  job_timeout=${MAYFLY_JOB_TIMEOUT_SECONDS:-21600}
  idle_timeout=0
  spot_notice=${MAYFLY_SPOT_NOTICE:-}
  notice_grace=${MAYFLY_NOTICE_GRACE_SECONDS:-70}
  stop_grace=${MAYFLY_STOP_GRACE_SECONDS:-40}
  # How long a second is when the script sleeps. Only tests change it.
  unit=${MAYFLY_SECOND_MILLISECONDS:-1000}

  case $control_plane in
    *[!A-Za-z0-9:/._~%@\[\]-]*) die "MAYFLY_URL holds a character that no address needs." ;;
    http://?* | https://?*) ;;
    *) die "MAYFLY_URL is not an http or https address." ;;
  esac
  case $identity:$machine in
    ec2:* | fargate:*) ;;
    *: | *:*[!a-z0-9-]*) die "MAYFLY_MACHINE_ID is missing or holds more than small letters, digits and dashes." ;;
  esac
  case $runner_user in
    *[!a-z0-9_-]* | -*) die "MAYFLY_RUNNER_USER is not the name of a user." ;;
  esac
  is_number "$boot_timeout" || die "MAYFLY_BOOT_TIMEOUT_SECONDS is not a whole number."
  is_number "$job_timeout" || die "MAYFLY_JOB_TIMEOUT_SECONDS is not a whole number."
  is_number "$notice_grace" || die "MAYFLY_NOTICE_GRACE_SECONDS is not a whole number."
  is_number "$stop_grace" || die "MAYFLY_STOP_GRACE_SECONDS is not a whole number."
  is_number "$unit" || die "MAYFLY_SECOND_MILLISECONDS is not a whole number."
  command -v curl >/dev/null 2>&1 || die "There is no curl on this machine; install it in the image."
  if [ ! -x "$runner_directory/bin/Runner.Listener" ] && [ ! -x "$runner_directory/run.sh" ]; then
    die "MAYFLY_RUNNER_DIRECTORY ($runner_directory) holds neither bin/Runner.Listener nor run.sh."
  fi
  case $identity in
    ec2 | fargate) ;;
    token) proof >/dev/null || die "MAYFLY_IDENTITY is token, and its proof is missing." ;;
    *) die "MAYFLY_IDENTITY ($identity) is unknown." ;;
  esac
}

# The log holds what the agent says and what the listener prints. The folder `job` is the only place where the
# listener's user may write.
prepare_directory() {
  directory=$(mktemp -d "${TMPDIR:-/tmp}/mayfly-agent.XXXXXX") || die "No folder could be made in ${TMPDIR:-/tmp}."
  chmod 711 "$directory"
  mkdir "$directory/job" "$directory/reports"
  chmod 755 "$directory/job"
  [ -z "$runner_user" ] || chown "$runner_user" "$directory/job"
  log=${MAYFLY_LOG:-$directory/log}
  : >>"$log" || die "The log $log cannot be written."
  say "Machine $machine asks $control_plane what it is for."
}

# Whole numbers of at most nine digits. A leading zero would make the shell read them as octal.
is_number() {
  case $1 in
    '' | *[!0-9]* | 0?* | ??????????*) return 1 ;;
  esac
}

# ------------------------------------------------------------------------------------------- EC2 instances

# An instance is called what EC2 calls it, and its role proves that: nothing of its own was given to it.
become_instance() {
  require_region
  require_signing_curl
  attempt=0
  until metadata instance-id && role_is_known; do
    [ "$attempt" -lt 8 ] || die "The metadata service does not tell the instance's id and role; it needs IMDSv2 and a role."
    back_off
  done
  spot_notice=${spot_notice:-metadata}
}

require_region() {
  case $region in
    '' | *[!a-z0-9-]*) die "MAYFLY_REGION is missing or is not the name of a region." ;;
  esac
}

# Sets `machine` and `role`.
role_is_known() {
  case $metadata in
    i-*[!a-z0-9-]*) return 1 ;;
    i-?*) machine=ec2/$metadata ;;
    *) return 1 ;;
  esac
  metadata iam/security-credentials/ || return 1
  role=${metadata%%"$newline"*}
  case $role in
    '' | *[!A-Za-z0-9+=,.@_-]*) return 1 ;;
  esac
}

# Before 7.86.0, curl signed neither the session token nor any other header that it was given.
require_signing_curl() {
  version=$(curl -q --version 2>/dev/null)
  version=${version#*libcurl/}
  version=${version%%[!0-9.]*}
  minor=${version#*.}
  minor=${minor%%.*}
  if ! is_number "${version%%.*}" || ! is_number "$minor"; then
    die "The version of curl in this image cannot be told; it must be 7.86.0 or newer."
  fi
  [ "$((${version%%.*} * 1000 + minor))" -ge 7086 ] ||
    die "The curl of this image ($version) cannot sign a request with a session token; install 7.86.0 or newer."
}

# Sets `metadata` to an entry of the instance's metadata. IMDSv2 only: each answer needs a session token, which is
# renewed when it is no longer taken. 1: there is no such entry. 2: the service does not answer.
# metadata <path>
metadata() {
  for _ in 1 2; do
    [ -n "${metadata_token:-}" ] || renew_metadata_token || return 2
    metadata=$(metadata_request "meta-data/$1" <<EOF
header = "X-aws-ec2-metadata-token: $metadata_token"
EOF
    )
    found=${metadata##*"$newline"}
    metadata=${metadata%"$newline"*}
    case $found in
      200) return 0 ;;
      404) return 1 ;;
      401) metadata_token= ;;
      *) return 2 ;;
    esac
  done
  return 2
}

renew_metadata_token() {
  metadata_token=$(metadata_request api/token --request PUT <<EOF
header = "X-aws-ec2-metadata-token-ttl-seconds: 21600"
EOF
  )
  found=${metadata_token##*"$newline"}
  metadata_token=${metadata_token%"$newline"*}
  case $found:$metadata_token in
    200: | 200:*[!A-Za-z0-9+/=_-]*) ;;
    200:*) return 0 ;;
  esac
  metadata_token=
  return 1
}

# Reads a curl config from standard input. The service is on this very host, so no proxy has a part in it.
# metadata_request <path> <curl options>
metadata_request() {
  address=http://169.254.169.254/latest/$1
  shift
  curl -q --config - --silent --noproxy '*' --connect-timeout 2 --max-time 5 --write-out '\n%{http_code}' \
    "$@" "$address" 2>/dev/null | head -c 65536
}

# ---------------------------------------------------------------------------------------- tasks of Fargate

# A task is called what ECS calls it, and its role proves that. `credential` is the path at which ECS hands out the
# role's credentials to whoever knows it, so it is kept as a secret.
become_task() {
  require_region
  require_signing_curl
  case $credential in
    /?*) is_plain "$credential" || die "The path of the task's credentials holds a character that none needs." ;;
    *) die "The path of the task's credentials is missing: the task has no role." ;;
  esac
  attempt=0
  until task_is_known; do
    [ "$attempt" -lt 8 ] || die "ECS does not tell which task this is."
    back_off
  done
}

# Sets `machine`.
task_is_known() {
  metadata=$(curl -q --silent --noproxy '*' --connect-timeout 2 --max-time 5 \
    "${ECS_CONTAINER_METADATA_URI_V4:-}/task" 2>/dev/null | head -c 65536)
  task=$(text_of TaskARN)
  task=${task##*/}
  case $task in
    '' | *[!a-z0-9-]*) return 1 ;;
  esac
  machine=fargate/$task
}

# Prints a text of the JSON object in `metadata`.
# text_of <name>
text_of() {
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" <<EOF
$metadata
EOF
}

# ------------------------------------------------------------------------------------------------- requests

# Prints what proves to the control plane that this machine asks, as lines of a curl config file. The one place
# that knows kinds of proof.
proof() {
  case $identity in
    token)
      is_plain "$credential" || return 1
      cat <<EOF
header = "Authorization: Bearer $credential"
EOF
      ;;
    ec2)
      # Asked for each time: a role's credentials are replaced while a job runs.
      metadata "iam/security-credentials/$role" || return 1
      signature
      ;;
    fargate)
      metadata=$(
        curl -q --config - --silent --fail --noproxy '*' --connect-timeout 2 --max-time 5 <<EOF
url = "http://169.254.170.2$credential"
EOF
      ) || return 1
      signature
      ;;
    *) return 1 ;;
  esac
}

# By the role's credentials in `metadata`.
signature() {
  access_key=$(text_of AccessKeyId)
  secret_key=$(text_of SecretAccessKey)
  session_token=$(text_of Token)
  is_plain "$access_key" && is_plain "$secret_key" && is_plain "$session_token" || return 1
  cat <<EOF
aws-sigv4 = "aws:amz:$region:execute-api"
user = "$access_key:$secret_key"
header = "x-amz-security-token: $session_token"
EOF
}

# Anything else could end the quoted text of a config file and add options.
is_plain() {
  case $1 in
    '' | *[!A-Za-z0-9._~+/=-]*) return 1 ;;
  esac
}

# Prints the body of the answer and then, on its own line, the status; 000 when there was no answer. `-q` comes
# first: a ~/.curlrc that a job left behind must not be read. Nothing is asked without a proof: the refusal would
# be taken for the control plane's word.
# request <claim|report> <curl options that make the body>
request() {
  address=$control_plane/v1/machines/$machine/$1
  shift
  evidence=$(proof) || return 0
  curl -q --config - --silent --show-error --globoff --proto '=http,https' --request POST \
    --connect-timeout 10 --max-time 30 --write-out '\n%{http_code}' "$@" "$address" 2>>"$log" <<EOF |
$evidence
EOF
    head -c 65536
}

# Sets `status` and `answer`.
ask() {
  answer=$(request "$@")
  status=${answer##*"$newline"}
  answer=${answer%"$newline"*}
}

newline='
'
carriage_return=$(printf '\r')

# ---------------------------------------------------------------------------------------------------- claim

# Asks until there is something to run; ends the machine when there is nothing. The boot limit counts from the
# last answer that made sense, as a machine may be told to wait for hours.
claim() {
  attempt=0
  now
  claim_until=$((now + boot_timeout))
  while :; do
    stop_if_interrupted
    ask claim --data ''
    case $status in
      200)
        if read_answer; then
          [ "$action" != run ] || return 0
          attempt=0
          wait_for_demand "$after"
          now
          claim_until=$((now + boot_timeout))
          continue
        fi
        say "The answer to the claim cannot be understood; asking again."
        ;;
      401 | 403 | 404 | 409) refused ;;
      *) say "The claim was not answered (status ${status:-000}); asking again." ;;
    esac
    now
    [ "$now" -lt "$claim_until" ] || die "No claim succeeded within $boot_timeout seconds."
    back_off
  done
}

# What the control plane says itself is final. A gateway in front of it that verifies signatures answers with 403, also
# to those of a role that is too young, or while the clock of a machine that boots is not right yet.
refused() {
  case $identity:$status in
    ec2:403 | fargate:403)
      say "The signature of the claim was refused (status 403); asking again."
      return 0
      ;;
  esac
  die "The control plane refuses the claim with status $status."
}

# Reads `key=value` lines. Keys that are not known are left alone, so that the protocol can grow.
read_answer() {
  action='' jit_config='' after='' because=''
  rest=$answer$newline
  answer=
  while [ -n "$rest" ]; do
    line=${rest%%"$newline"*}
    rest=${rest#*"$newline"}
    line=${line%"$carriage_return"}
    value=${line#*=}
    case $line in
      action=*) action=$value ;;
      jit-config=*) jit_config=$value ;;
      job-timeout-seconds=*) is_number "$value" || return 1; job_timeout=$value ;;
      idle-timeout-seconds=*) is_number "$value" || return 1; idle_timeout=$value ;;
      after-seconds=*) is_number "$value" || return 1; after=$value ;;
      because=*) because=$value ;;
    esac
  done
  line='' value=''
  case $action in
    run)
      case $jit_config in
        '' | *[!A-Za-z0-9+/=_-]*) return 1 ;;
      esac
      ;;
    wait) [ -n "$after" ] ;;
    shut-down)
      say "The control plane has no use for this machine: ${because:-no reason given}"
      exit 0
      ;;
    *) return 1 ;;
  esac
}

# wait_for_demand <seconds>
wait_for_demand() {
  left=$1
  # A busy loop would help nobody.
  [ "$left" -gt 0 ] || left=1
  while [ "$left" -gt 0 ]; do
    slice=5
    [ "$left" -ge "$slice" ] || slice=$left
    nap "$slice"
    left=$((left - slice))
    stop_if_interrupted
  done
}

# 1, 2, 4, 8, 15, 15, … seconds; counts in `attempt`.
back_off() {
  attempt=$((attempt + 1))
  case $attempt in
    1) nap 1 ;;
    2) nap 2 ;;
    3) nap 4 ;;
    4) nap 8 ;;
    *) nap 15 ;;
  esac
}

# ------------------------------------------------------------------------------------------------- listener

# Runs the listener until it has ended for good, and sets `code`. Exit codes 2, 3 and 4 mean "start me again",
# as in the runner's own run.sh: a retryable error, and two kinds of update.
run_listener() {
  while :; do
    start_listener
    await_listener
    say "The listener ended with code $code."
    # What puts the runner's new files into place is a script of the listener's group.
    case $code in
      3 | 4) await_update ;;
    esac
    # What the listener left in its group must not outlive it.
    signal_listener KILL
    rm -f "$directory/listener"
    listener=
    [ ! -e "$directory/stop" ] || return 0
    case $code in
      2) nap 5 ;;
      3 | 4) ;;
      *) return 0 ;;
    esac
    [ ! -e "$directory/stop" ] || return 0
  done
}

start_listener() {
  (
    umask "$original_umask"
    cd "$runner_directory" || exit 126
    export ACTIONS_RUNNER_INPUT_JITCONFIG="$jit_config"
    # shellcheck disable=SC2030 # Only the listener gets it.
    export ACTIONS_RUNNER_HOOK_JOB_STARTED="$directory/job/started.sh"
    # Without it, a version that GitHub no longer serves would look like any other failure.
    export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
    # The machine's id and folder stay: they are how leftovers of a job are found.
    unset MAYFLY_URL MAYFLY_IDENTITY MAYFLY_REGION MAYFLY_POWER_OFF MAYFLY_RUNNER_USER MAYFLY_SPOT_NOTICE \
      MAYFLY_LOG MAYFLY_SHELL MAYFLY_SECOND_MILLISECONDS MAYFLY_BOOT_TIMEOUT_SECONDS MAYFLY_JOB_TIMEOUT_SECONDS \
      MAYFLY_STOP_GRACE_SECONDS MAYFLY_NOTICE_GRACE_SECONDS ECS_CONTAINER_METADATA_URI_V4 \
      ECS_CONTAINER_METADATA_URI ECS_AGENT_URI MAYFLY_NODE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    if [ -x bin/Runner.Listener ]; then
      set -- ./bin/Runner.Listener run --startuptype service
    else
      set -- ./run.sh
    fi
    # Set by the last of the programs: those before it are run as root, and are to be the system's.
    [ -z "${MAYFLY_JOB_PATH:-}" ] || set -- env "PATH=$MAYFLY_JOB_PATH" "$@"
    unset MAYFLY_JOB_PATH
    become_runner_user "$@"
  ) </dev/null >>"$log" 2>&1 &
  listener=$!
  echo "$listener" >"$directory/listener"
  say "The listener runs as process $listener."
}

# Replaces this process by the command, as the leader of its own process group where `setsid` exists.
become_runner_user() {
  if [ -n "$runner_user" ]; then
    # The name was checked, so it can be used to look up its home.
    eval "HOME=~$runner_user"
    USER=$runner_user LOGNAME=$runner_user
    export HOME USER LOGNAME
    if setpriv --reuid "$runner_user" --clear-groups true 2>/dev/null; then
      group=$(id -g "$runner_user")
      set -- setpriv --reuid "$runner_user" --regid "$group" --init-groups "$@"
    else
      # shellcheck disable=SC2016 # The inner shell expands it.
      set -- su -s /bin/sh "$runner_user" -c 'exec "$0" "$@"' -- "$@"
    fi
  elif [ "$(id -u)" -eq 0 ]; then
    export RUNNER_ALLOW_RUNASROOT=1
  fi
  # What a shell starts beside itself ignores SIGINT, by which the runner ends a step and a test ends a server. Nothing
  # that inherits this can change it.
  if env --default-signal=INT,QUIT true 2>/dev/null; then
    set -- env --default-signal=INT,QUIT "$@"
  fi
  if has_groups; then
    exec setsid "$@"
  fi
  exec "$@"
}

has_groups() {
  command -v setsid >/dev/null 2>&1
}

# `wait` returns early when a signal is trapped; the listener is waited for again then.
await_listener() {
  code=127
  while :; do
    signalled=no
    wait "$listener"
    waited=$?
    # 127: the shell has already said how this process ended.
    [ "$waited" -eq 127 ] && [ "$code" -ne 127 ] || code=$waited
    [ "$signalled" = yes ] || return 0
  done
}

# The runner's script waits for its listener to end, replaces the runner's files and then writes update.finished.
await_update() {
  say "The runner updates itself."
  tries=30
  while [ "$tries" -gt 0 ] && [ ! -e "$runner_directory/update.finished" ] && [ ! -e "$directory/stop" ]; do
    nap 1
    tries=$((tries - 1))
  done
  rm -f "$runner_directory/update.finished"
}

# signal_listener <TERM|KILL>
signal_listener() {
  [ -e "$directory/listener" ] || return 0
  read -r target <"$directory/listener"
  if has_groups; then
    kill "-$1" "-$target" 2>/dev/null || [ "$1" = KILL ] || kill -s "$1" "$target" 2>/dev/null
  elif [ "$1" != KILL ] || [ -n "${stop_since:-}" ]; then
    kill -s "$1" "$target" 2>/dev/null
  fi
  return 0
}

# The runner calls this script when a job starts, with the job's environment. It fails only where the user's own
# hook, which it replaces, fails.
prepare_hook() {
  # shellcheck disable=SC2031 # It is read before the listener gets ours.
  users_hook=${ACTIONS_RUNNER_HOOK_JOB_STARTED:-}
  take_hook_from_dot_env
  [ -z "$users_hook" ] || printf '%s\n' "$users_hook" >"$directory/job/users-hook"
  # The folder is written into the script: a runner may source it, and then $0 is not its path.
  {
    printf "#!/bin/sh\nfolder='%s'\n" "$(printf '%s\n' "$directory/job" | sed "s/'/'\\\\''/g")"
    cat <<'EOF'
: >"$folder/started" || :
[ -e "$folder/users-hook" ] || exit 0
IFS= read -r hook <"$folder/users-hook"
if command -v bash >/dev/null 2>&1; then
  exec bash --noprofile --norc -e -o pipefail "$hook"
fi
exec sh -e "$hook"
EOF
  } >"$directory/job/started.sh"
  chmod 755 "$directory/job/started.sh"
  [ ! -e "$directory/job/users-hook" ] || chmod 644 "$directory/job/users-hook"
}

# What stands in the runner's file .env wins over the environment, so our line could not be heard.
take_hook_from_dot_env() {
  [ -r "$runner_directory/.env" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      ACTIONS_RUNNER_HOOK_JOB_STARTED=*) users_hook=${line#*=} ;;
      *) printf '%s\n' "$line" ;;
    esac
  done <"$runner_directory/.env" >"$directory/dot-env"
  [ -z "$users_hook" ] || cat "$directory/dot-env" >"$runner_directory/.env" ||
    say "The line ACTIONS_RUNNER_HOOK_JOB_STARTED could not be taken out of .env; job starts go unnoticed."
}

# -------------------------------------------------------------------------------------------------- watches

# Runs beside the listener, about once a second. Its own signals are those of the agent, which decides.
watch_over() {
  trap '' TERM INT HUP
  trap 'exit 0' USR1
  stop_since=
  started_at=
  noticed_at=
  ticks=0
  while :; do
    nap 1
    now
    notice_progress
    notice_interruption
    notice_limits
    send_in_background
  done
}

stop_watcher() {
  kill -s USR1 "$watcher" 2>/dev/null
  wait "$watcher" 2>/dev/null
  watcher=
}

# Whether the listener listens, and whether it got a job. Seen from the watcher and, for short jobs, at the end.
notice_progress() {
  if [ ! -e "$directory/told-listening" ]; then
    if job_has_started || [ "$((now - begun_at))" -ge 10 ] ||
      grep -q 'Listening for Jobs' "$log" 2>/dev/null; then
      tell listening
    fi
  fi
  if [ ! -e "$directory/told-job-started" ] && job_has_started; then
    started_at=$now
    tell job-started
  fi
}

# The listener says so when it was given a job. The hook comes after the job's actions were downloaded, and not at all
# where they could not be.
job_has_started() {
  [ -e "$directory/told-job-started" ] || [ -e "$directory/job/started" ] ||
    grep -q 'Z: Running job: ' "$log" 2>/dev/null
}

notice_interruption() {
  if [ -e "$directory/end-notice" ] && [ -z "$noticed_at" ]; then
    noticed_at=$now
    job_has_started || request_stop "ECS stops the task."
  fi
  ticks=$((ticks + 1))
  # The metadata service is asked every five seconds, as its maker recommends.
  [ "$((ticks % 5))" -eq 1 ] || [ "$spot_notice" != metadata ] || return 0
  if [ ! -e "$directory/told-interrupted" ] && interruption_notice; then
    noticed_at=$now
    tell interrupted "$notice"
    # A running job may still end in time; a listener without one would only catch a job that cannot.
    job_has_started || request_stop "The machine will be taken: $notice"
  elif [ ! -e "$directory/told-at-risk" ] && risk_notice; then
    tell at-risk "$notice"
    job_has_started || request_stop "The machine may be taken: $notice"
  fi
}

notice_limits() {
  if [ -e "$directory/stop" ]; then
    if [ -z "$stop_since" ]; then
      stop_since=$now
    elif [ "$((now - stop_since))" -ge "$stop_grace" ]; then
      signal_listener KILL
    fi
  elif [ -n "$started_at" ]; then
    [ "$((now - started_at))" -lt "$job_timeout" ] ||
      request_stop "The job has reached its limit of $job_timeout seconds."
    # Stopped, the job fails at once, with its log; cut off, GitHub waits for its runner for ten minutes.
    [ -z "$noticed_at" ] || [ "$((now - noticed_at))" -lt "$notice_grace" ] ||
      request_stop "The machine will be taken, and the job has not ended $notice_grace seconds after the notice."
  elif [ "$idle_timeout" -gt 0 ] && [ "$((now - begun_at))" -ge "$idle_timeout" ]; then
    request_stop "No job came within $idle_timeout seconds."
  fi
}

# Asks the listener to end; the watcher insists after a while.
request_stop() {
  say "Stopping the listener. $1"
  : >"$directory/stop"
  signal_listener TERM
}

# Sets `notice` when the machine will be taken away. The one place that knows where such notices appear.
interruption_notice() {
  case $spot_notice in
    file:*)
      [ -e "${spot_notice#file:}" ] || return 1
      notice=
      IFS= read -r notice <"${spot_notice#file:}" || :
      notice=$(printf '%.200s' "${notice:-no detail}")
      ;;
    metadata)
      metadata spot/instance-action || return 1
      notice="EC2 takes the instance back: $(text_of action) at $(text_of time)"
      notice=$(printf '%.200s' "$notice")
      ;;
    *) return 1 ;;
  esac
}

# Sets `notice` when the machine is more likely than others to be taken away. It may never be.
risk_notice() {
  [ "$spot_notice" = metadata ] || return 1
  metadata events/recommendations/rebalance || return 1
  notice=$(printf '%.200s' "EC2 recommends to move away from the instance since $(text_of noticeTime)")
}

# For a machine that has not claimed yet: it has nothing to lose.
stop_if_interrupted() {
  interruption_notice || return 0
  attempt=0
  report 3 --data-urlencode step=interrupted --data-urlencode "detail=$notice"
  die "The machine will be taken before it got work: $notice"
}

# -------------------------------------------------------------------------------------------------- reports

# Queues a report: the numbered files in `reports` are sent in order, and never hold up the watcher.
# tell <step> [<detail>]
tell() {
  told=0
  for file in "$directory"/told-*; do
    [ ! -e "$file" ] || told=$((told + 1))
  done
  printf '%s\n%s\n' "$1" "${2:-}" >"$directory/reports/$told"
  : >"$directory/told-$1"
}

send_in_background() {
  set -- "$directory/reports"/*
  [ -e "$1" ] || return 0
  [ ! -e "$directory/sending" ] || return 0
  : >"$directory/sending"
  (
    send_reports 4
    rm -f "$directory/sending"
  ) &
}

# send_reports <tries for each>
send_reports() {
  for file in "$directory/reports"/*; do
    [ -e "$file" ] || continue
    {
      IFS= read -r step
      IFS= read -r detail
    } <"$file"
    rm -f "$file"
    if [ -n "$detail" ]; then
      report "$1" --data-urlencode "step=$step" --data-urlencode "detail=$detail"
    else
      report "$1" --data-urlencode "step=$step"
    fi
  done
}

# report <tries> <curl options that make the body>
report() {
  tries=$1
  shift
  attempt=0
  while :; do
    ask report "$@"
    case $status in
      2??) return 0 ;;
      429 | 5?? | 000 | '') ;;
      *)
        say "A report was refused with status $status."
        return 1
        ;;
    esac
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || break
    # While the machine waits to end, the earlier reports are not worth a delay: the last one says it all.
    [ ! -e "$directory/ending" ] || [ -n "${ending:-}" ] || break
    back_off
  done
  say "A report could not be delivered (status ${status:-000})."
  return 1
}

report_exit() {
  : >"$directory/ending"
  now
  notice_progress
  tries=40
  while [ -e "$directory/sending" ] && [ "$tries" -gt 0 ]; do
    nap 1
    tries=$((tries - 1))
  done
  send_reports 1
  ending=yes
  ran_job=false
  ! job_has_started || ran_job=true
  # A listener that is told to end may call that well; its job did not end by itself.
  [ "$ran_job$code" != true0 ] || [ ! -e "$directory/stop" ] || code=143
  set -- --data-urlencode step=exited --data-urlencode "exit-code=$code" --data-urlencode "ran-job=$ran_job"
  if [ "$code" -ne 0 ] || [ "$ran_job" = false ] || [ -e "$directory/stop" ]; then
    write_clean_log >"$directory/clean-log"
    set -- "$@" --data-urlencode "log@$directory/clean-log"
  fi
  report 10 "$@"
}

# The end of the log, at most 16 KiB, without the secrets that this script knows and without what looks like one.
# awk receives them on its standard input.
write_clean_log() {
  LC_ALL=C awk '
    NR == FNR { if ($0 != "") secrets[++count] = $0; next }
    {
      line = $0
      for (i = 1; i <= count; i++) line = without(line, secrets[i])
      line = without_parts(line)
      gsub(/(gh[a-z]|github_pat)_[A-Za-z0-9_]+/, "[removed]", line)
      gsub(/eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+/, "[removed]", line)
      gsub(/[Bb]earer [^ ]+/, "Bearer [removed]", line)
      print line
    }
    function without(text, secret,   clean, at) {
      clean = ""
      while ((at = index(text, secret)) > 0) {
        clean = clean substr(text, 1, at - 1) "[removed]"
        text = substr(text, at + length(secret))
      }
      return clean text
    }
    # A secret may have been printed in lines of its own.
    function without_parts(text,   clean, word, i) {
      clean = ""
      while (match(text, /[A-Za-z0-9+\/=_-]+/)) {
        word = substr(text, RSTART, RLENGTH)
        clean = clean substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
        if (length(word) >= 20)
          for (i = 1; i <= count; i++) if (index(secrets[i], word) > 0) word = "[removed]"
        clean = clean word
      }
      return clean text
    }
  ' - "$log" <<EOF | LC_ALL=C tr -d '\000-\010\013-\037' | tail -c 16384
$credential
$jit_config
EOF
}

# ------------------------------------------------------------------------------------------------ the end

# shellcheck disable=SC2317 # A trap calls it.
on_signal() {
  signalled=yes
  # Before the listener runs, and after it has ended, there is nothing to wait for.
  [ -n "${listener:-}" ] || exit 143
  # The signal is all that a task hears before it is taken; ECS itself tells the control plane why. A running job may
  # still end in time.
  if [ "$identity" = fargate ]; then
    : >"$directory/end-notice"
    return 0
  fi
  request_stop "The agent was told to end."
}

# Ends the machine after saying why.
die() {
  say "$1"
  exit 1
}

# Runs at every exit.
# shellcheck disable=SC2317 # A trap calls it.
finish() {
  ended_with=$?
  trap '' TERM INT HUP EXIT
  [ -z "${listener:-}" ] || signal_listener KILL
  [ -z "${watcher:-}" ] || kill -s USR1 "$watcher" 2>/dev/null
  say "The machine ends."
  [ -z "${directory:-}" ] || rm -rf "$directory"
  case ${MAYFLY_POWER_OFF:-poweroff} in
    exit) ;;
    *) systemctl poweroff 2>/dev/null || poweroff 2>/dev/null || shutdown -h now || sudo -n poweroff ;;
  esac
  exit "$ended_with"
}

# ------------------------------------------------------------------------------------------------ small parts

# Sets `now`: seconds on a clock that never jumps where there is one. A machine that boots may set its clock
# forward by years, and no limit has passed by that.
now() {
  if [ -r /proc/uptime ]; then
    read -r now _ </proc/uptime
    now=${now%%.*}
  else
    now=$(date +%s)
  fi
}

# Sleeps, but wakes for a trapped signal.
# nap <seconds>
nap() {
  milliseconds=$(($1 * unit))
  length=$((milliseconds / 1000))
  if [ "$((milliseconds % 1000))" -ne 0 ]; then
    fraction=$((1000 + milliseconds % 1000))
    length=$length.${fraction#1}
  fi
  sleep "$length" &
  wait "$!"
}

say() {
  if [ -n "${log:-}" ]; then
    printf '%s\n' "mayfly: $1" >>"$log"
    [ -z "${MAYFLY_LOG:-}" ] || return 0
  fi
  printf '%s\n' "mayfly: $1" >&2
}

# The whole script has been read by now, so nobody can change it while it runs.
main "$@"
exit "$?"
