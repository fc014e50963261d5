#!/bin/bash
# Measures Fanwire against the floor and against its peers, all in the same run: fan-out, latency,
# connections, publishing, many channels, fairness, several workers, and single functions.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/bench/run.sh [--quick] [--only PREFIX]
       tests/bench/run.sh --publish

Builds the release binaries and the benchmark's programs, starts each server on loopback in turns,
and prints medians and ratios.  About 14 minutes on two idle cores; it stops by itself.
Writes results.json, micro.json, the table results.md and plots of the rows into build/bench/.

  --quick        one short round of each row: about two minutes, no medians
  --only PREFIX  rows whose key begins so: fanout, rate, slow, idle, publish, channels, fairness,
                 workers, micro … (results.json has the keys)
  --publish      also copies the table, and the plots that docs/performance.md links to, into
                 docs/performance/; a complete run only
USAGE
}

publish=false
arguments=()
while (($#)); do
  case $1 in
    --quick) arguments+=(--quick) ;;
    --only)
      arguments+=(--only "${2:?--only needs a prefix}")
      shift
      ;;
    --publish) publish=true ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
if $publish && ((${#arguments[@]})); then
  echo "--publish needs a complete run, without --quick and --only" >&2
  exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deploy/install-packages build run test bench
node=tests/integration/node
if [[ ! $node/node_modules/.package-lock.json -nt $node/package-lock.json ]]; then
  (cd $node && npm ci --ignore-scripts --no-audit --no-fund)
fi
cmake --preset release -DFANWIRE_TESTS=ON -DFANWIRE_BENCH=ON >/dev/null
cmake --build build/release --target fanwire-control fanwire-fanout wsctl \
  bench_flood bench_load bench_publish bench_floor bench_micro peer_websocketpp

ulimit -n "$(ulimit -Hn)"
/usr/bin/python3 tests/bench/run.py --bin build/release/bin --out build/bench "${arguments[@]}"
if $publish; then
  tests/bench/publish_docs.py results
fi
