rockspec_format = "3.0"
package = "instant"
version = "scm-1"

-- Built where the sources are: luarocks make rockspec/instant-scm-1.rockspec
source = { url = "." }

description = {
  summary = "A live, relational database for Lua programs, compatible with InstantDB",
  detailed = [[
Subscribe to InstaQL queries and see every change at once, write optimistically, go on working through
lost connections. The backend may be InstantDB, instant-lua serve, or one inside the process.

For Lua 5.4 and LuaJIT. Needs a C compiler, cmake, pkg-config, and libraries:
Debian:   apt-get install gcc cmake make pkg-config liblua5.4-dev libwebsockets-dev libuv1-dev libcjson-dev
          libsqlite3-dev libssl-dev libicu-dev libcurl4-openssl-dev libzip-dev
Fedora:   dnf install gcc cmake make pkgconf lua-devel libwebsockets-devel libuv-devel cjson-devel
          sqlite-devel openssl-devel libicu-devel libcurl-devel libzip-devel
Alpine:   apk add build-base cmake pkgconf lua5.4-dev libwebsockets-dev libuv-dev cjson-dev
          sqlite-dev openssl-dev icu-dev curl-dev libzip-dev
Homebrew: brew install cmake pkgconf lua libwebsockets libuv cjson sqlite openssl@3 icu4c curl libzip
(for LuaJIT libluajit2-5.1-dev, luajit-devel, luajit-dev, luajit in the place of Lua's)
]],
  license = "Apache-2.0",
}

supported_platforms = { "linux" }
-- LuaJIT is 5.1 to LuaRocks.
dependencies = { "lua >= 5.1, ~= 5.2, ~= 5.3, < 5.5" }

-- LuaRocks names what it does not find by these names; Debian's packages are beside them, those of other
-- systems above.
external_dependencies = {
  LIBWEBSOCKETS = { header = "libwebsockets.h" }, -- libwebsockets-dev
  LIBUV = { header = "uv.h" }, -- libuv1-dev
  CJSON = { header = "cjson/cJSON.h" }, -- libcjson-dev
  SQLITE3 = { header = "sqlite3.h" }, -- libsqlite3-dev
  OPENSSL = { header = "openssl/ssl.h" }, -- libssl-dev
  CURL = { library = "curl" }, -- libcurl4-openssl-dev, whose header Debian has where LuaRocks does not look
  LIBZIP = { header = "zip.h" }, -- libzip-dev
  ICU = { header = "unicode/ucol.h" }, -- libicu-dev
}

build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "Release",
    CMAKE_INSTALL_PREFIX = "$(PREFIX)",
    INSTANT_HOST = "OFF",
    INSTANT_TESTS = "OFF",
    INSTANT_LUA_INCDIR = "$(LUA_INCDIR)",
    INSTANT_INSTALL_LUADIR = "$(LUADIR)",
    INSTANT_INSTALL_CDIR = "$(LIBDIR)",
  },
  copy_directories = { "examples" },
}
