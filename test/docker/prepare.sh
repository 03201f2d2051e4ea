#!/bin/sh
# Podman for the tests of the compute adapter docker, on Debian, as root, without an image registry.
#
#   prepare.sh start <folder>   installs what is missing, imports a small image, answers the Docker API on
#                               <folder>/podman.sock; everything that it makes is in <folder>
#   prepare.sh stop <folder>    removes the containers and ends what `start` started
#
# Exit status 3, with a sentence on standard error, where it cannot be done.

set -eu

# Everything under one folder, so that a Podman that the machine already has is left as it is.
use_own_podman() {
  folder=$1
  export CONTAINERS_CONF="$folder/containers.conf"
  export CONTAINERS_STORAGE_CONF="$folder/storage.conf"
}

start() {
  [ "$(id -u)" -eq 0 ] || cannot "Podman for the tests is started by root only."
  install_missing
  mkdir -p "$folder"
  write_configuration
  build_image
  podman system service --time=0 "unix://$folder/podman.sock" >"$folder/podman.log" 2>&1 &
  echo "$!" >"$folder/podman.pid"
  wait_for_answer
}

install_missing() {
  missing=
  for pair in podman:podman runc:runc curl:curl catatonit:catatonit busybox:busybox-static; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null 2>&1 || cannot "Missing:$missing; and there is no apt-get to install it."
  # shellcheck disable=SC2086 # Several names.
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 ||
    cannot "apt-get could not install$missing."
}

# runc with cgroupfs and plain copies of the image works in places where systemd, overlayfs and crun do not.
write_configuration() {
  cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
init_path = "$(command -v catatonit)"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$folder/libpod"
volume_path = "$folder/volumes"
[network]
network_config_dir = "$folder/networks"
EOF
  cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "vfs"
graphroot = "$folder/storage"
runroot = "$folder/run"
EOF
}

# A root file system of busybox and curl with its libraries. Its user `runner` runs a listener that does what the
# file /home/runner/listener.sh says, and otherwise waits for a file named finish.
build_image() {
  root=$folder/root
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/home/runner/bin" "$root/usr/bin"
  chmod 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
  done
  cp "$(command -v curl)" "$root/usr/bin/curl"
  for library in $(ldd "$(command -v curl)" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'runner:x:1001:1001::/home/runner:/bin/sh' >>"$root/etc/passwd"
  printf 'root:x:0:\nrunner:x:1001:\n' >"$root/etc/group"
  cat >"$root/home/runner/bin/Runner.Listener" <<'EOF'
#!/bin/sh
echo "Listening for Jobs"
while [ ! -e /home/runner/finish ]; do sleep 0.1; done
sh "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
EOF
  chmod 755 "$root/home/runner/bin/Runner.Listener"
  chown -R 1001:1001 "$root/home/runner"
  tar -C "$root" -cf "$folder/image.tar" .
  podman import --change USER=runner --change WORKDIR=/home/runner \
    --change ENV=PATH=/usr/local/bin:/usr/bin:/bin "$folder/image.tar" localhost/mayfly-test:latest \
    >"$folder/import.log" 2>&1 || cannot "Podman could not import an image: $(tail -n 1 "$folder/import.log")"
  podman run --rm --network host --entrypoint /bin/true localhost/mayfly-test:latest >"$folder/run.log" 2>&1 ||
    cannot "Podman cannot run containers here: $(tail -n 1 "$folder/run.log")"
}

wait_for_answer() {
  tries=100
  while ! curl -s --unix-socket "$folder/podman.sock" http://podman/_ping >/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || cannot "Podman does not answer: $(tail -n 1 "$folder/podman.log")"
    sleep 0.1
  done
}

stop() {
  [ -e "$folder/podman.pid" ] || return 0
  podman rm --all --force --volumes --time 0 >/dev/null 2>&1 || true
  kill "$(cat "$folder/podman.pid")" 2>/dev/null || true
  rm -rf "$folder"
}

cannot() {
  echo "No tests with Podman: $1" >&2
  stop
  exit 3
}

case ${1:-} in
  start | stop)
    use_own_podman "${2:?the folder is missing}"
    "$1"
    ;;
  *)
    echo "usage: prepare.sh start|stop <folder>" >&2
    exit 2
    ;;
esac
