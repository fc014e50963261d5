#!/bin/bash
# Builds Fanwire and runs it in the foreground, on a fresh Debian 12 too.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: deploy/run.sh [--demo] [--config FILE]

Installs the Debian packages that are missing (as root, or with sudo), builds the release
binaries in build/release/bin, starts fanwire-control, which starts the workers, and prints what
to paste next.  Ctrl-C stops everything.

  --demo          also publishes a lively stream of every event of the catalog
  --config FILE   configuration to start with; default deploy/config/fanwire.yaml
  --help          this text
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
      [[ -n ${2:-} ]] || { echo "--config needs a file" >&2; exit 2; }
      config=$(cd "$started_in" && realpath -- "$2")
      shift
      ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

say() { printf '\n== %s\n' "$*"; }

# Paths as the reader can paste them: short where the script was started in the checkout.
here=
[[ $started_in == "$root" ]] || here=$root/
bin=build/release/bin
wsctl=$bin/wsctl

say "Packages"
deploy/install-packages build run
echo "all there"

say "Build"
# An existing build directory keeps its options: tests/run.sh builds in it as well.
if [[ ! -f build/release/build.ninja ]]; then
  cmake --preset release -DFANWIRE_TESTS=OFF -DFANWIRE_BENCH=OFF
fi
cmake --build build/release --target fanwire-control fanwire-fanout wsctl

say "Start"
control_pid=
demo_pid=
stop() {
  trap '' INT TERM HUP
  if [[ -n $demo_pid ]]; then kill -TERM -- "-$demo_pid" 2>/dev/null || true; fi
  local status=0
  if [[ -n $control_pid ]]; then
    printf '\nStopping\n'
    kill -TERM "$control_pid" 2>/dev/null || true
    wait "$control_pid" || status=$?
    echo "Stopped"
  fi
  exit "$status"
}
trap stop INT TERM HUP

# In a session of its own, so that Ctrl-C reaches this script alone and everything stops in order.
setsid "$bin/fanwire-control" --config "$config" &
control_pid=$!
tries=0
until "$wsctl" --output json services list >/dev/null 2>&1 &&
  "$wsctl" --output json workers list 2>/dev/null | grep -q '"ready"'; do
  if ! kill -0 "$control_pid" 2>/dev/null; then
    wait "$control_pid" || status=$?
    echo "fanwire-control ended before it was ready; its last lines say why" >&2
    exit "${status:-1}"
  fi
  if ((++tries > 300)); then
    echo "not ready after 30 s" >&2
    stop
  fi
  sleep 0.1
done

say "Ready"
"$wsctl" services list
cat <<TEXT

Watch a channel (in another terminal):
  /usr/bin/python3 ${here}deploy/client.py ws://127.0.0.1:8690 'workflow:*'

Publish an event:
  ${here}$wsctl publish mahavishnu workflow:wf_demo workflow.started '{"workflow_id":"wf_demo"}'

Ctrl-C stops.
TEXT

if $demo; then
  say "Demo: publishing every event of the catalog"
  setsid bash -c "/usr/bin/python3 deploy/demo.py | $wsctl publish --batch - >/dev/null" &
  demo_pid=$!
fi

# A signal ends `wait` early; then the trap has already run.
wait "$control_pid" || status=$?
control_pid=
echo "fanwire-control has ended" >&2
[[ -z $demo_pid ]] || kill -TERM -- "-$demo_pid" 2>/dev/null || true
exit "${status:-0}"
