# Installs what the build and the tests need, on Debian 12. Sourced by start.sh and test.sh.
#
#   setup_packages PACKAGE...   installs those that are missing, with apt-get

say() { printf '%s\n' "== $*"; }

fail() {
  printf '%s\n' "error: $*" >&2
  exit 1
}

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config lua5.4 liblua5.4-dev libwebsockets-dev
  libuv1-dev libcjson-dev libsqlite3-dev libssl-dev libicu-dev"
TEST_PACKAGES="libcmocka-dev lua-busted lua-check valgrind"

setup_packages() {
  command -v dpkg-query >/dev/null 2>&1 ||
    fail "this script installs Debian packages; elsewhere install the equivalents of: $*"
  missing=""
  for package in "$@"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=""
    [ "$state" = "install ok installed" ] || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing:$missing"
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
      fail "these packages are missing and need root to install: apt-get install$missing"
    as_root=sudo
  fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
    fail "apt-get update failed; check the network and /etc/apt/sources.list, then run this again"
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
    >/dev/null || fail "apt-get could not install:$missing"
}
