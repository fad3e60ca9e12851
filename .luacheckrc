-- lua/instant runs on Lua 5.4 and LuaJIT: only what both have.
std = "min"
max_line_length = 120

files["lua/instant/host.lua"] = { std = "lua54" }
files["lua/instant/meta*.lua"] = { ignore = { ".*" } }
files["scripts"] = { std = "lua54" }
files["lua/instant/coroutines.lua"] = { globals = { "coroutine" } }
files["lua/instant/nginx*.lua"] = { std = "ngx_lua" }
files["examples"] = { std = "lua54" }
files["examples/migrations"] = { read_globals = { "i" } }
files["examples/love"] = { std = "luajit+love" }
files["examples/luanti"] = { std = "luajit", read_globals = { "core", "vector", "ItemStack" } }
files["examples/openresty"] = { std = "ngx_lua" }
files["tests/e2e/nginx"] = { std = "ngx_lua" }
files["tests"] = { std = "lua54" }
files["tests/lua"] = { std = "lua54+busted" }
exclude_files = { "tests/e2e/node_modules", "examples/js-client/node_modules", "build*" }
