#!/bin/bash
# Installs what is missing, builds, and runs every test.
set -uo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/run.sh [--full]

Runs the unit tests in a build with AddressSanitizer and UBSan; the integration tests in that build
(without those of clients in other languages) and, all of them, in a release build; and each fuzz
target on its corpus and for 10 seconds.  Takes less than 30 minutes on two cores.

  --full   runs all tests in both builds, and also ThreadSanitizer, clang-tidy, line coverage of each
           folder, three minutes of faults on each engine, the benchmarks, and deploy/run.sh and
           tests/run.sh in a bare Debian 12 made with debootstrap (needs root)
  --help   prints this help

The last line is "N passed, N failed".  Exits with 0 only if nothing failed.
USAGE
}

full=false
bare=true
for argument in "$@"; do
  case $argument in
    --full) full=true ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
# Do not make another bare Debian within the bare Debian.
[[ -n ${FANWIRE_IN_BARE:-} ]] && bare=false

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
started=$SECONDS
fuzz_seconds=10
jobs=$(nproc)
passed=0
failed=0
broken=()

say() { printf '\n== [%3d s] %s\n' $((SECONDS - started)) "$*"; }

# Runs a step that counts as one test.
step() {
  local name=$1
  shift
  say "$name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    broken+=("$name")
    echo "FAILED: $name"
  fi
}

# Configures and builds a preset: build PRESET CMAKE-OPTION...
build() {
  local preset=$1
  shift
  cmake --preset "$preset" -DFANWIRE_TESTS=ON "$@" >"build/$preset.configure.log" 2>&1 ||
    { cat "build/$preset.configure.log"; return 1; }
  cmake --build "build/$preset" -j "$jobs"
}

# Runs a preset's tests, each counted: run_tests PRESET CTEST-OPTION...
# Two tests for each core, since most wait for most of their time.
run_tests() {
  local preset=$1 report=build/$1/report.xml unit=build/$1/unit
  shift
  rm -rf "$report" "$unit"
  ctest --preset "$preset" -j $((2 * jobs)) --output-junit "$PWD/$report" "$@"
  local status=$? counts
  counts=$(/usr/bin/python3 tests/scripts/junit_counts "$report" "$unit") || counts="0 1"
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
  ((status == 0)) || broken+=("tests of $preset")
  return 0
}

built() {  # Builds; fails if the build failed, because then there is nothing to test.
  local before=$failed
  step "Build: $1" build "$@"
  ((failed == before))
}

# Fuzzes one target.  Its findings go to build/fuzz/found; the corpus in the checkout is only read.
fuzz() {
  mkdir -p "build/fuzz/inputs/$1" build/fuzz/found
  "build/asan/bin/$1_fuzz" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=0 -verbosity=0 -artifact_prefix=build/fuzz/found/ \
    "build/fuzz/inputs/$1" "tests/fuzz/corpus/$1" >"build/fuzz/$1.log" 2>&1
}

# Each fuzz target uses one core, so as many run at a time as there are cores.
step_fuzz() {
  local names=("$@") name
  say "Fuzz: ${names[*]}, $fuzz_seconds s each"
  export -f fuzz
  export fuzz_seconds
  printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} bash -c 'fuzz "$1"; echo $? >"build/fuzz/$1.status"' _ {}
  told() {
    if [[ $(cat "build/fuzz/$1.status") != 0 ]]; then
      tail -n 60 "build/fuzz/$1.log"
      return 1
    fi
  }
  for name in "${names[@]}"; do
    step "Fuzz: $name" told "$name"
  done
}

mkdir -p build
sections=(build run test)
$full && sections+=(full)
say "Packages"
deploy/install-packages "${sections[@]}" || exit

node=tests/integration/node
if [[ ! $node/node_modules/.package-lock.json -nt $node/package-lock.json ]]; then
  say "npm packages of the test clients"
  (cd $node && npm ci --ignore-scripts --no-audit --no-fund) || exit
fi

# Only --full builds the benchmark, which it runs, and the unit tests twice: compiling them takes two
# thirds of a release build, and the sanitized build runs the same tests and sees more.
more=OFF
$full && more=ON
if built release -DFANWIRE_BENCH=$more -DFANWIRE_UNIT_TESTS=$more; then
  say "Tests: release"
  run_tests release
fi
# The sanitized build skips the tests that only check scripts and run none of our C++ code; without
# --full also those of the clients and libraries in other languages.
skipped=scripts
$full || skipped='scripts|clients'
if built asan -DFANWIRE_BENCH=OFF; then
  say "Tests: AddressSanitizer and UBSan"
  run_tests asan -LE "$skipped"
  mapfile -t targets < <(basename -a -s _fuzz.cc tests/fuzz/*_fuzz.cc)
  step_fuzz "${targets[@]}"
fi

if $full; then
  if built tsan -DFANWIRE_BENCH=OFF; then
    say "Tests: ThreadSanitizer"
    run_tests tsan -LE scripts
  fi
  step "Format" tests/scripts/format --check
  step "clang-tidy" tests/scripts/tidy
  step "systemd units" tests/scripts/units
  if built coverage -DFANWIRE_BENCH=OFF; then
    say "Tests: coverage"
    find build/coverage -name '*.gcda' -delete
    run_tests coverage -LE scripts
    step "Line coverage" tests/scripts/coverage
  fi
  for engine in memory rocksdb rocksdb-sync redis; do
    step "Faults: $engine" tests/faults/run.sh --engine "$engine"
  done
  step "Benchmarks" tests/bench/run.sh --quick
  $bare && step "Bare Debian 12" tests/scripts/bare_debian
fi

say "Done"
((${#broken[@]})) && printf 'failed: %s\n' "${broken[@]}"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
