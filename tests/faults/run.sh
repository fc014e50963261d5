#!/bin/bash
# The fault suite: real processes, real sockets, and faults from a seeded sequence.
set -uo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/faults/run.sh [--engine NAME] [--seconds N] [--seed N] [--repeat N] [--record]
       tests/faults/run.sh --totals

Runs control, two workers, publishers and subscribers; kills, stops and restarts the processes, and
breaks their links; and then checks what publishers and subscribers got.  docs/reliability.md
describes the faults and the promises.

  --engine NAME   memory (default), rocksdb, rocksdb-sync or redis
  --seconds N     how long faults are made; default 180
  --seed N        the sequence of faults; default: a random one, which is printed.  Repeated runs
                  take N, N + 1 …
  --repeat N      so many runs, one after another
  --record        appends a line for each run to tests/faults/log.csv
  --totals        prints the sums of that log for each engine, and runs nothing
  --help          prints this help

FANWIRE_BIN names the folder of the programs, which must be built; default: build/release/bin.
Exits with 0 only if no run failed.  A run that fails prints its seed and keeps its journals.  Needs
root for the full disk, which it makes with a tmpfs, and goes without that fault otherwise.
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
arguments=("$@")
while (($#)); do
  case $1 in
    --engine | --seconds | --seed | --repeat)
      (($# > 1)) || { usage >&2; exit 2; }
      shift 2 ;;
    --record) shift ;;
    --totals) exec /usr/bin/python3 "$here/totals.py" ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done

root=$(cd "$here/../.." && pwd)
if [[ -z ${FANWIRE_BIN:-} ]]; then
  "$root/deploy/install-packages" run test || exit
  export FANWIRE_BIN=$root/build/release/bin
fi
[[ -x $FANWIRE_BIN/fanwire-control ]] ||
  { echo "no programs in $FANWIRE_BIN: build them, for example with tests/run.sh" >&2; exit 1; }
# Python's gRPC code, which the build makes; else it is made here.
stubs=${FANWIRE_STUBS:-$(dirname "$FANWIRE_BIN")/tests/integration/stubs}
made=
trap '[[ -z $made ]] || rm -rf "$made"' EXIT
if [[ ! -e $stubs/fanwire/v1/publish_pb2.py ]]; then
  made=$(mktemp -d /tmp/fanwire-stubs-XXXXXX)
  stubs=$made
  protoc -I "$root/proto" --python_out="$stubs" --grpc_out="$stubs" \
    --plugin=protoc-gen-grpc="$(command -v grpc_python_plugin)" \
    "$root"/proto/fanwire/v1/{types,config_options,config,publish,admin,worker}.proto || exit
fi
export PYTHONPATH=$stubs:$root/tests/integration:$root/clients/python/src
export PYTHONDONTWRITEBYTECODE=1 FANWIRE_SOURCE=$root
# In the background, so that a signal for this shell reaches it at once.
/usr/bin/python3 "$here/run.py" "${arguments[@]}" &
runner=$!
trap 'kill -TERM "$runner" 2>/dev/null' INT TERM HUP
while true; do
  wait "$runner"
  status=$?
  kill -0 "$runner" 2>/dev/null || exit "$status"
done
