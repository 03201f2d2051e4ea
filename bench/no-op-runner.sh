#!/bin/sh
# Stands where GitHub's runner stands: takes one job of the emulator, runs nothing, and says that it is done. It is
# small, so that the burst measures the control plane and not a hundred runners. The protocol is described in
# src/emulator/runner-sessions.ts.

set -u

# member <name>: the text of this member of the JSON on standard input.
member() {
  sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

# file <name>: one of the files in the JIT config.
file() {
  printf '%s' "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d | member "$1" | base64 -d
}

# call <path> <body>
call() {
  curl -q -sN -X POST -H "Authorization: Bearer $runner.$token" -d "$2" "$server/_emulator/runner/$1"
}

settings=$(file '.runner')
server=$(printf '%s' "$settings" | member ServerUrl)
runner=$(printf '%s' "$settings" | member AgentId)
token=$(file '.credentials' | member Token)

echo 'Listening for Jobs'
job=
while [ -z "$job" ]; do
  message=$(call acquire '{}') || exit 1
  case $message in *'no longer exists'* | *'runner removed'*) exit 0 ;; esac
  job=$(printf '%s' "$message" | sed -n 's/.*"jobId":\([0-9]*\).*/\1/p')
done
# The answer to `start` stays open for as long as the job runs.
call "jobs/$job/start" '{}' | {
  read -r _
  sh "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
  call "jobs/$job/finish" '{"conclusion":"success"}' >/dev/null
}
