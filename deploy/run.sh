#!/bin/bash
# Builds Fanwire and runs it in the foreground, on a fresh Debian 12 too.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: deploy/run.sh [--demo] [--config FILE]

Installs the Debian packages that are missing (as root, or with sudo), builds the release
binaries in build/release/bin, starts fanwire-control, which starts the workers, and prints what
to paste next.  Ctrl-C stops everything.  Exits with 1 if what was started does not become ready.

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
begun=$SECONDS
# An existing build directory keeps its options: tests/run.sh builds in it as well.
if [[ ! -f build/release/build.ninja ]]; then
  cmake --preset release -DFANWIRE_TESTS=OFF -DFANWIRE_BENCH=OFF
fi
cmake --build build/release --target fanwire-control fanwire-fanout wsctl
echo "built in $((SECONDS - begun)) s"

say "Start"
control_pid=
demo_pid=
refused=false

# Stops all that was started, and exits with $1; without it, as fanwire-control did.
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
  exit "${1:-$status}"
}
trap stop INT TERM HUP

# Whether every worker listens; sets `refused` if one cannot take the configuration.
ready() {
  local workers
  workers=$("$wsctl" --output json workers list 2>/dev/null) || return 1
  refused=false
  if grep -q '"config_error": "[^"]' <<<"$workers"; then refused=true; fi
  # No state but ready begins so.
  ! $refused && grep -q '"state": "r' <<<"$workers" && ! grep -q '"state": "[^r]' <<<"$workers" &&
    ! grep -q '"listeners": \[\]' <<<"$workers"
}

# Says what there is to look at, and ends.
give_up() {
  {
    say "$1"
    "$wsctl" workers list || true
    if $refused; then
      cat <<TEXT

A worker refused $config: the reason stands above.  If a port is in use, stop the program that has
it (\`ss -ltnp\` names it), or give other ports in a file of your own: deploy/run.sh --config FILE
TEXT
    else
      cat <<TEXT

Every worker should be "ready".  What fanwire-control and the workers say of it stands above, its
errors in lines that begin with E; docs/troubleshooting.md tells what they mean.
TEXT
    fi
  } >&2
  stop 1
}

# In a session of its own, so that Ctrl-C reaches this script alone and everything stops in order.
setsid "$bin/fanwire-control" --config "$config" &
control_pid=$!
begun=$SECONDS
refused_since=
until ready; do
  if ! kill -0 "$control_pid" 2>/dev/null; then
    wait "$control_pid" || status=$?
    echo "fanwire-control ended before it was ready; its last lines say why" >&2
    exit "${status:-1}"
  fi
  # A refusal may pass, as a port does that is just being given back.
  $refused || refused_since=
  if $refused && ((SECONDS - ${refused_since:=$SECONDS} >= 3)); then give_up "Not ready"; fi
  if ((SECONDS - begun >= 30)); then give_up "Not ready after 30 s"; fi
  sleep 0.1
done

say "Ready"
"$wsctl" services list
# mahavishnu, or the first service of a configuration that has none.
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
  setsid bash -c "/usr/bin/python3 deploy/demo.py | $wsctl publish --batch - >/dev/null" &
  demo_pid=$!
fi

# A signal ends `wait` early; then the trap has already run.
wait "$control_pid" || status=$?
control_pid=
echo "fanwire-control has ended" >&2
[[ -z $demo_pid ]] || kill -TERM -- "-$demo_pid" 2>/dev/null || true
exit "${status:-0}"
