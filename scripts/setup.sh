# shellcheck shell=sh disable=SC2034
# What start.sh and test.sh share: installing what is missing (Debian 12) and building. Sourced from
# the project's root.
#
#   setup_packages PACKAGE...   installs those that are missing, with apt-get
#   setup_build PRESET TESTS    builds build/ (preset release) or build-debug/ (debug); with TESTS ON
#                               the tests and the module for LuaJIT too

say() { printf '%s\n' "== $*"; }

fail() {
  printf '%s\n' "error: $*" >&2
  exit 1
}

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config lua5.4 liblua5.4-dev libwebsockets-dev
  libuv1-dev libcjson-dev libsqlite3-dev libssl-dev libicu-dev libcurl4-openssl-dev libzip-dev"
TEST_PACKAGES="libcmocka-dev lua-busted lua-check clang-format valgrind libsecret-1-0 gnome-keyring
  dbus-daemon curl nginx libnginx-mod-http-lua lua-resty-core lua-nginx-websocket
  wrk lua-cjson luarocks libedit2 tzdata bsdutils love minetest-server"
# OpenResty's LuaJIT, which installs beside nginx's Lua module. The original one does as well, and
# the two exclude each other.
if ! command -v luajit >/dev/null 2>&1 || ! pkg-config --exists luajit 2>/dev/null; then
  TEST_PACKAGES="$TEST_PACKAGES luajit2 libluajit2-5.1-dev"
fi

# setup_logged COMMAND...: keeps what it prints in setup.log, and shows the end of it when it fails.
setup_logged() {
  "$@" >setup.log 2>&1 || {
    tail -n 25 setup.log >&2
    return 1
  }
}

setup_can_write() {
  (: >setup.log) 2>/dev/null ||
    fail "cannot write into $PWD; clone the repository into a folder of your own, or run this as its owner"
}

setup_packages() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    say "not a Debian system, so nothing is installed; needed are the equivalents of: $*"
    return 0
  fi
  missing=""
  for package in "$@"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=""
    [ "$state" = "install ok installed" ] || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  setup_can_write
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
      fail "packages are missing; as root run this, then start again: apt-get install$missing"
    say "asking sudo for the right to install packages"
    sudo -v || fail "sudo refused; let an administrator run this, then start again: apt-get install$missing"
    as_root=sudo
  fi
  say "installing with apt-get (this can take a minute or two):$missing"
  # A package list that cannot be fetched may belong to some other source: the installation decides.
  setup_logged $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q ||
    say "apt-get update had problems (above); going on with the package lists that are there"
  # shellcheck disable=SC2086
  setup_logged $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing ||
    fail "apt-get could not install:$missing
  (its last lines are above). Check the network and /etc/apt, see that this is Debian 12 or newer, then
  start again."
  rm -f setup.log
  # These are wanted as programs for the tests, not as services of this machine.
  for service in nginx minetest-server; do
    case "$missing " in
      *" $service "*) $as_root systemctl disable --now "$service" >/dev/null 2>&1 || : ;;
    esac
  done
}

setup_build() {
  case $1 in release) folder=build ;; *) folder=build-debug ;; esac
  setup_can_write
  say "building $folder/ ($1)"
  setup_logged cmake --preset "$1" -DINSTANT_TESTS="$2" -DINSTANT_LUAJIT="$2" ||
    fail "cmake could not configure $folder/ (its last lines are above). When a package is missing, install
  it; when $folder/ is from another place or another cmake, remove it; then start again."
  if [ -t 1 ]; then
    cmake --build "$folder"
  else
    setup_logged cmake --build "$folder"
  fi ||
    fail "the $1 build failed (its last lines are above). In an unchanged clone try again after
  rm -rf $folder; when the compiler was killed, the machine has too little memory: CMAKE_BUILD_PARALLEL_LEVEL=1"
  rm -f setup.log
}
