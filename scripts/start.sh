#!/bin/sh
# Installs what is missing, builds into build/ and runs the automation example on the embedded
# backend, which ends by itself. Arguments are handed to the example.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

# shellcheck disable=SC2086
setup_packages $BUILD_PACKAGES
setup_build release OFF
if [ $# -gt 0 ]; then
  say "running build/instant-lua examples/automation.lua $*"
  exec build/instant-lua examples/automation.lua "$@"
fi
say "build/instant-lua is ready; examples/automation.lua runs on the embedded backend, for a few seconds:"
build/instant-lua examples/automation.lua ||
  fail "the example failed; run it again with: build/instant-lua examples/automation.lua"
say "done. Next:
   build/instant-lua examples/todo.lua add Buy milk     a to-do list in a file of its own
   build/instant-lua serve --data instant-data          a backend for all clients; Ctrl-C ends it
   sh scripts/test.sh                                   every test"
