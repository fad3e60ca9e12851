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

For Lua 5.4 and LuaJIT. Needs a C compiler, cmake, pkg-config, and libraries; on Debian:
apt-get install gcc cmake make pkg-config liblua5.4-dev libwebsockets-dev libuv1-dev libcjson-dev
libsqlite3-dev libssl-dev libicu-dev libcurl4-openssl-dev libzip-dev
(for LuaJIT libluajit2-5.1-dev in the place of liblua5.4-dev)
]],
  license = "Apache-2.0",
}

supported_platforms = { "linux" }
-- LuaJIT is 5.1 to LuaRocks.
dependencies = { "lua >= 5.1, ~= 5.2, ~= 5.3, < 5.5" }

-- LuaRocks names what it does not find by these names; Debian's packages are beside them.
external_dependencies = {
  LIBWEBSOCKETS = { header = "libwebsockets.h" }, -- libwebsockets-dev
  LIBUV = { header = "uv.h" }, -- libuv1-dev
  CJSON = { header = "cjson/cJSON.h" }, -- libcjson-dev
  SQLITE3 = { header = "sqlite3.h" }, -- libsqlite3-dev
  OPENSSL = { header = "openssl/ssl.h" }, -- libssl-dev
  CURL = { header = "curl/curl.h" }, -- libcurl4-openssl-dev
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
