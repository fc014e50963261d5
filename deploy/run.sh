#!/bin/bash
# Builds Fanwire and runs it in the foreground.  Also works on a fresh Debian 12.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: deploy/run.sh [--demo] [--config FILE]

Installs the Debian packages that are missing (as root, or with sudo), builds the release
binaries in build/release/bin, starts fanwire-control, which starts the workers, and prints
commands to try.  Ctrl-C stops everything.  Exits with 1 if Fanwire does not become ready.

  --demo          also publishes a realistic stream with every event of the catalog
  --config FILE   configuration file; default deploy/config/fanwire.yaml
  --help          prints this help
USAGE
}

started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
config=deploy/config/fanwire.yaml
demo=false
while (($#)); do
  case $1 in
    --demo) demo=true ;;
    --config)
      [[ -n ${2:-} ]] || { echo "run.sh: --config needs FILE; see deploy/run.sh --help" >&2; exit 2; }
      config=$(cd "$started_in" && realpath -- "$2")
      shift
      ;;
    --help | -h) usage; exit ;;
    *) echo "run.sh: unexpected argument: $1; see deploy/run.sh --help" >&2; exit 2 ;;
  esac
  shift
done

# Prints a headline.  If the reader has gone away, the trap of PIPE stops the script, and bash's own
# error message is hidden.
say() { printf '\n== %s\n' "$*" 2>/dev/null || true; }

# The prefix of printed paths, so that the user can paste them: empty if started in the checkout.
here=
[[ $started_in == "$root" ]] || here=$root/
bin=build/release/bin
wsctl=$bin/wsctl

say "Packages"
deploy/install-packages build run
echo "all installed"

say "Build"
begun=$SECONDS
# An existing build directory keeps its options, because tests/run.sh uses it too.
if [[ ! -f build/release/build.ninja ]]; then
  cmake --preset release -DFANWIRE_TESTS=OFF -DFANWIRE_BENCH=OFF
fi
cmake --build build/release --target fanwire-control fanwire-fanout wsctl
echo "built in $((SECONDS - begun)) s"

say "Start"
control_pid=
demo_pid=
refused=false

# Stops all started processes and exits with $1, or without $1 with fanwire-control's exit code.
stop() {
  trap '' INT TERM HUP PIPE
  if [[ -n $demo_pid ]]; then kill -TERM -- "-$demo_pid" 2>/dev/null || true; fi
  local status=0
  if [[ -n $control_pid ]]; then
    printf '\nStopping\n' 2>/dev/null || true  # perhaps nobody reads it
    kill -TERM "$control_pid" 2>/dev/null || true
    wait "$control_pid" || status=$?
    echo "Stopped" 2>/dev/null || true
  fi
  exit "${1:-$status}"
}
trap stop INT TERM HUP PIPE

# Succeeds if every worker listens at every port.  Sets `refused` if a worker refused the
# configuration or cannot open a port.
ready() {
  local workers
  workers=$("$wsctl" --output json workers list 2>/dev/null) || return 1
  refused=false
  if grep -qE '"(config_)?error": *"[^"]' <<<"$workers"; then refused=true; fi
  # "ready" is the only state that begins with r.
  ! $refused && grep -q '"state": *"r' <<<"$workers" && ! grep -q '"state": *"[^r]' <<<"$workers" &&
    ! grep -q '"listeners": *\[\]' <<<"$workers"
}

# Prints the state of the workers and what to do, then stops everything.
give_up() {
  {
    say "$1"
    "$wsctl" workers list || true
    if $refused; then
      cat <<TEXT

A worker cannot use $config; the reason is printed above.  If a port is in use, stop the program that
uses it (\`ss -ltnp\` shows it), or set other ports in your own file: deploy/run.sh --config FILE
TEXT
    else
      cat <<TEXT

Every worker should be "ready".  The log of fanwire-control and the workers is printed above; lines
that begin with E are errors.  docs/troubleshooting.md says what to do.
TEXT
    fi
  } >&2
  stop 1
}

# control runs in its own session, so that Ctrl-C reaches only this script, which stops the rest in
# order.
setsid "$bin/fanwire-control" --config "$config" &
control_pid=$!
begun=$SECONDS
refused_since=
until ready; do
  if ! kill -0 "$control_pid" 2>/dev/null; then
    wait "$control_pid" || status=$?
    echo "fanwire-control ended before it was ready; its last log lines say why" >&2
    exit "${status:-1}"
  fi
  # A refusal may be temporary, for instance while another program releases a port.
  $refused || refused_since=
  if $refused && ((SECONDS - ${refused_since:=$SECONDS} >= 3)); then give_up "Not ready"; fi
  if ((SECONDS - begun >= 30)); then give_up "Not ready after 30 s"; fi
  sleep 0.1
done

say "Ready"
"$wsctl" services list
# Use mahavishnu, or the first service if the configuration has no mahavishnu.
read -r service url < <("$wsctl" --output json services list | /usr/bin/python3 -c '
import json, sys
services = json.load(sys.stdin)
service = next((s for s in services if s["name"] == "mahavishnu"), services[0])
listener = next((l for l in service["listeners"] if l["dialect"] == "common"), service["listeners"][0])
host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener["host"], listener["host"])
print(service["name"], "ws{}://{}:{}".format(
    "s" if listener["tls"] else "", f"[{host}]" if ":" in host else host, listener["port"]))')
cat <<TEXT

Watch a channel (in another terminal):
  /usr/bin/python3 ${here}deploy/client.py $url 'workflow:*'

Publish an event:
  ${here}$wsctl publish $service workflow:wf_demo workflow.started '{"workflow_id":"wf_demo"}'

Ctrl-C stops.
TEXT

if $demo; then
  say "Demo: publishing every event of the catalog"
  setsid /usr/bin/python3 deploy/demo.py &
  demo_pid=$!
fi

# If a signal interrupts `wait`, the trap runs and exits; the lines below are for an end by itself.
wait "$control_pid" || status=$?
control_pid=
echo "fanwire-control has ended" >&2
[[ -z $demo_pid ]] || kill -TERM -- "-$demo_pid" 2>/dev/null || true
exit "${status:-0}"
