#!/bin/sh
# Installs what is missing, builds into build/ and runs the automation example on the embedded
# backend. Arguments are handed to the example.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

# shellcheck disable=SC2086
setup_packages $BUILD_PACKAGES
say "building into build/"
cmake --preset release -DINSTANT_TESTS=OFF >build.log 2>&1 ||
  { tail -n 20 build.log >&2; fail "cmake could not configure the build; the whole output is in build.log"; }
cmake --build build >build.log 2>&1 ||
  { tail -n 20 build.log >&2; fail "the build failed; the whole output is in build.log"; }
rm -f build.log
say "build/instant-lua is ready; running examples/automation.lua on the embedded backend"
exec build/instant-lua examples/automation.lua "$@"
