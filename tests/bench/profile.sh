#!/bin/bash
# Draws where the CPU time of a worker and of control goes, as flame graphs.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/bench/profile.sh [--seconds N] [--publish]

Records with perf, for N seconds each (default 5): a worker with 1,000 subscribers and one
publication in flight, and control while a stream publishes to 1,000 channels.  Writes
flame_worker.svg and flame_control.svg into build/bench/, and prints the heaviest functions of each.

  --publish  also copies the graphs into docs/performance/

Where perf may not record (a container without the right, say) it prints callgrind's summary of the
same two paths' micro-benchmarks instead, if valgrind is there.
USAGE
}

publish=false
seconds=5
while (($#)); do
  case $1 in
    --seconds)
      seconds=${2:?--seconds needs a number}
      shift
      ;;
    --publish) publish=true ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deploy/install-packages build run bench
cmake --preset release -DFANWIRE_TESTS=ON -DFANWIRE_BENCH=ON >/dev/null
cmake --build build/release --target fanwire-control fanwire-fanout wsctl \
  bench_load bench_publish bench_micro
ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if perf record -q -o "$work/try" -e cpu-clock true >"$work/why" 2>&1; then
  /usr/bin/python3 tests/bench/profile.py --bin build/release/bin --out build/bench \
    --seconds "$seconds"
  if $publish; then
    tests/bench/publish_docs.py flames
  fi
  exit
fi

echo "perf cannot record here: $(head -n 1 "$work/why")" >&2
if ! type -P valgrind >/dev/null; then
  echo "and valgrind is not installed: no profile" >&2
  exit 1
fi
for benchmark in BM_HubBroadcast/subscribers:1000/publications:1 \
  BM_RouterPublish/links:1/channels:10000/events:256; do
  valgrind -q --tool=callgrind --callgrind-out-file="$work/callgrind" \
    build/release/bin/bench_micro --benchmark_filter="$benchmark\$" --benchmark_min_time=0.01
  callgrind_annotate "$work/callgrind" >"$work/summary"
  sed -n '/file:function/,$p' "$work/summary" | sed -n 1,30p
done
