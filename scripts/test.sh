#!/bin/sh
# Installs what is missing, builds, runs every test and ends with `N passed, N failed`.
#
#   sh scripts/test.sh             everything
#   sh scripts/test.sh SUITE...    some of: lint unit vectors lua e2e sim fuzz bench install valgrind
#
# Everything but install and valgrind runs on build-debug/, built with the Address and
# UndefinedBehavior sanitizers; those run on build/. Vectors come from ../shared (or $INSTANT_SHARED).
set -u
cd "$(dirname "$0")/.." || exit 1
. scripts/setup.sh

suites=${*:-lint unit vectors lua e2e sim fuzz bench install valgrind}
for suite in $suites; do
  case $suite in
    lint | unit | vectors | lua | e2e | sim | fuzz | bench | install | valgrind) ;;
    *) fail "there is no suite $suite; there are: lint unit vectors lua e2e sim fuzz bench install valgrind" ;;
  esac
done
shared=${INSTANT_SHARED:-../shared}
INSTANT_SHARED=$(cd "$shared" 2>/dev/null && pwd) || INSTANT_SHARED=""
export INSTANT_SHARED
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
out=$(mktemp -d) || fail "cannot make a temporary directory; is \$TMPDIR or /tmp writable?"
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 durations=""

# count LOG STATUS NAME: adds what a suite printed, as TAP or as `N passed, N failed`. A suite that
# failed without saying so counts as one failure; what is skipped counts as neither.
count() {
  p=$(awk '/^ok / && !/# [Ss][Kk][Ii][Pp]/ {n++} /^[0-9]+ passed, [0-9]+ failed/ {n += $1} END {print n + 0}' "$1")
  f=$(awk '/^not ok / && !/# [Ss][Kk][Ii][Pp]/ {n++} /^[0-9]+ passed, [0-9]+ failed/ {n += $3}
    END {print n + 0}' "$1")
  if [ "$2" != 0 ] && [ "$f" = 0 ]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f))
  grep -E '^skipped|^not run|^ok .*# [Ss][Kk][Ii][Pp]' "$1" | sed 's/^/   /'
  if [ "$f" != 0 ]; then
    printf '%s\n' "-- $3 failed (exit $2):"
    # Each of them, with what it said; below, the end of what was printed.
    awk '/^(ok|not ok|# Subtest)/ {n = 0} /^not ok/ && !/# [Ss][Kk][Ii][Pp]/ {n = 30} n-- > 0' "$1"
    grep -vE '^ok ' "$1" | tail -n 60
  else
    printf '   %s: %s passed\n' "$3" "$p"
  fi
}

# run NAME COMMAND...: no suite may hang.
run() {
  name=$1
  shift
  timeout --foreground -k 5 900 "$@" >"$out/log" 2>&1
  status=$?
  [ $status != 124 ] || echo "stopped after 15 minutes" >>"$out/log"
  count "$out/log" $status "$name"
}

# run_each PREFIX COMMAND...: with each program named on the input, as many at a time as there are
# cores; what they said is counted in order.
run_each() {
  prefix=$1
  shift
  cat >"$out/programs"
  rm -rf "$out/each"
  mkdir "$out/each"
  # shellcheck disable=SC2016
  xargs -P "$(nproc)" -n 1 sh -c 'log=$1 && shift && for program; do :; done # the last argument
    log=$log/$(basename "$program")
    timeout --foreground -k 5 900 "$@" >"$log.log" 2>&1
    echo $? >"$log.status"' sh "$out/each" "$@" <"$out/programs"
  while read -r program; do
    name=$(basename "$program")
    count "$out/each/$name.log" "$(cat "$out/each/$name.status")" "$prefix$name"
  done <"$out/programs"
}

# suite NAME: whether it is wanted; notes how long the one before took.
suite() {
  now=$(date +%s)
  [ -z "${current:-}" ] || durations="$durations $current $((now - since)) s,"
  current="" since=$now
  case " $suites " in *" $1 "*) current=$1 ;; *) return 1 ;; esac
  say "$1"
}

lint() {
  status=0
  find core lua tests examples -name node_modules -prune -o -name '*.[ch]' -exec clang-format --dry-run -Werror {} + || status=1
  luacheck -q lua scripts examples tests || status=1
  # Shown as one line each, so that the summary has something to count.
  [ $status = 0 ] && echo "ok 1 - format and static checks"
  return $status
}

# shellcheck disable=SC2086
setup_packages $BUILD_PACKAGES $TEST_PACKAGES
setup_build debug ON

if suite lint; then
  lint >"$out/log" 2>&1
  count "$out/log" $? "clang-format and luacheck"
fi
if suite unit; then
  printf '%s\n' build-debug/tests/*_test | run_each "" env CMOCKA_MESSAGE_OUTPUT=TAP
fi
if suite vectors; then
  if [ -d "$INSTANT_SHARED/vectors" ]; then
    run vectors env INSTANT_BUILD=build-debug tests/vectors/run "$INSTANT_SHARED/vectors"
  else
    say "vectors: not run, there are none in $shared/vectors (they are no part of this repository)"
  fi
  if [ -d "$INSTANT_SHARED/conformance/cel" ]; then
    run "CEL conformance" env INSTANT_BUILD=build-debug tests/vectors/run "$INSTANT_SHARED/conformance/cel"
  fi
fi
if suite lua; then
  run lua env INSTANT_BUILD=build-debug sh tests/lua/run
fi
if suite e2e; then
  if ! command -v npm >/dev/null 2>&1 || ! command -v node >/dev/null 2>&1; then
    setup_packages nodejs npm ca-certificates
  fi
  # In a shell of its own: without a browser its tests are skipped, the others are not.
  command -v chromium >/dev/null 2>&1 || (setup_packages chromium) || say "no Chromium: its tests are skipped"
  run e2e env INSTANT_BUILD=build-debug sh tests/e2e/run
fi
if suite sim; then
  run "sim, ${SIM_SEEDS:-200} seeds" build-debug/tests/sim/sim_run --seeds "${SIM_SEEDS:-200}" --jobs "$(nproc)"
fi
if suite fuzz; then
  printf '%s\n' build-debug/tests/fuzz/*_fuzz | run_each "" sh tests/fuzz/run
fi
if suite bench; then
  command -v npm >/dev/null 2>&1 || setup_packages nodejs npm
  run "benchmarks, small" env INSTANT_BUILD=build-debug sh tests/bench/run --quick
fi
if suite install; then
  setup_build release ON
  run install env INSTANT_BUILD=build sh tests/install/run
fi
if suite valgrind; then
  setup_build release ON
  VALGRIND="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect"
  for test in build/tests/*_test; do
    case $test in
      */capi_oom_test | */io_crash_test | */io_server_oom_test | */io_server_refresh_test | */triples_mem_store_test)
        echo "   $(basename "$test"): left to the sanitizers, it takes minutes here" >&2
        ;;
      */io_http_limits_test | */io_ws_client_test)
        echo "   $(basename "$test"): left to the sanitizers, its clock is real and too fast for valgrind" >&2
        ;;
      *) echo "$test" ;;
    esac
  done >"$out/memcheck"
  # shellcheck disable=SC2086
  run_each "valgrind " env CMOCKA_MESSAGE_OUTPUT=TAP $VALGRIND <"$out/memcheck"
  # A short life of the client that bench/soak measures, with storage and reconnections.
  mkdir -p "$out/soak"
  run "valgrind soak" sh -c "$VALGRIND build/tests/bench/bench_soak 2000 300 $out/soak && echo ok 1 - soak"
  if [ -d "$INSTANT_SHARED/vectors" ]; then
    # shellcheck disable=SC2086
    run "valgrind vectors" $VALGRIND build/tests/vectors/vectors_run "$INSTANT_SHARED/vectors"
  fi
fi
suite end || :

say "took${durations%,}"
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
