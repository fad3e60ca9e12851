#!/bin/sh
# Runs every test and ends with `N passed, N failed`.
#
#   sh scripts/test.sh             everything
#   sh scripts/test.sh SUITE...    some of: lint unit vectors lua e2e sim fuzz valgrind
#
# Everything but valgrind runs on build-debug/, built with the Address and UndefinedBehavior
# sanitizers. Vectors come from ../shared (or $INSTANT_SHARED).
set -u
cd "$(dirname "$0")/.." || exit 1
. scripts/setup.sh

suites=${*:-lint unit vectors lua e2e sim fuzz valgrind}
shared=${INSTANT_SHARED:-../shared}
INSTANT_SHARED=$(cd "$shared" 2>/dev/null && pwd) || INSTANT_SHARED=""
export INSTANT_SHARED
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
out=$(mktemp -d) || fail "cannot make a temporary directory"
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

# count LOG STATUS NAME: adds what a suite printed, as TAP or as `N passed, N failed`. A suite that
# failed without saying so counts as one failure.
count() {
  p=$(awk '/^ok / && !/# [Ss][Kk][Ii][Pp]/ {n++} /^[0-9]+ passed, [0-9]+ failed/ {n += $1} END {print n + 0}' "$1")
  f=$(awk '/^not ok / {n++} /^[0-9]+ passed, [0-9]+ failed/ {n += $3} END {print n + 0}' "$1")
  if [ "$2" != 0 ] && [ "$f" = 0 ]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f))
  grep -E '# [Ss][Kk][Ii][Pp]|^skipped|^not run' "$1"
  if [ "$f" != 0 ]; then
    printf '%s\n' "-- $3 failed (exit $2):"
    grep -vE '^ok ' "$1" | tail -n 60
  else
    printf '   %s: %s passed\n' "$3" "$p"
  fi
}

# run NAME COMMAND...
run() {
  name=$1
  shift
  "$@" >"$out/log" 2>&1
  count "$out/log" $? "$name"
}

wanted() { case " $suites " in *" $1 "*) return 0 ;; esac; return 1; }

build() { # build PRESET
  say "building $1"
  cmake --preset "$1" -DINSTANT_TESTS=ON >"$out/log" 2>&1 &&
    cmake --build --preset "$1" >"$out/log" 2>&1 ||
    { tail -n 40 "$out/log" >&2; fail "the $1 build failed; its last lines are above"; }
}

lint() {
  files=$(git ls-files '*.c' '*.h') && clang-format --dry-run -Werror $files || return 1
  luacheck -q lua scripts examples tests
}

# shellcheck disable=SC2086
setup_packages $BUILD_PACKAGES $TEST_PACKAGES
build debug

if wanted lint; then
  say "lint"
  setup_packages clang-format
  run "clang-format and luacheck" lint
fi
if wanted unit; then
  say "unit"
  for test in build-debug/tests/*_test; do
    run "$(basename "$test")" env CMOCKA_MESSAGE_OUTPUT=TAP "$test"
  done
fi
if wanted vectors; then
  say "vectors"
  run vectors env INSTANT_BUILD=build-debug tests/vectors/run "$shared/vectors"
fi
if wanted lua; then
  say "lua"
  run lua env INSTANT_BUILD=build-debug sh tests/lua/run
fi
if wanted e2e; then
  say "e2e"
  command -v npm >/dev/null 2>&1 || setup_packages nodejs npm
  run e2e env INSTANT_BUILD=build-debug sh tests/e2e/run
fi
if wanted sim; then
  say "sim: ${SIM_SEEDS:-200} seeds"
  run sim build-debug/tests/sim/sim_run --seeds "${SIM_SEEDS:-200}"
fi
if wanted fuzz; then
  say "fuzz"
  for target in build-debug/tests/fuzz/*_fuzz; do
    run "$(basename "$target")" sh tests/fuzz/run "$target"
  done
fi
if wanted valgrind; then
  build release
  say "valgrind: unit and vector suites"
  VALGRIND="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect"
  for test in build/tests/*_test; do
    # shellcheck disable=SC2086
    run "valgrind $(basename "$test")" env CMOCKA_MESSAGE_OUTPUT=TAP INSTANT_SLOW=1 $VALGRIND "$test"
  done
  # shellcheck disable=SC2086
  [ -z "$INSTANT_SHARED" ] || run "valgrind vectors" $VALGRIND build/tests/vectors/vectors_run "$INSTANT_SHARED/vectors"
fi

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
