/*
 * compat.h - the C API common to Lua 5.4 and LuaJIT (the 5.1 ABI), under the newer names.
 */
#ifndef INST_LUA_COMPAT_H
#define INST_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen(L, i)
#define lua_absindex(L, i) ((i) > 0 || (i) <= LUA_REGISTRYINDEX ? (i) : lua_gettop(L) + (i) + 1)
#endif

#if LUA_VERSION_NUM < 503
#define lua_isinteger(L, i) 0
#endif

#if LUA_VERSION_NUM < 504
#define inst_newuserdata(L, size) lua_newuserdata(L, size)
#else
#define inst_newuserdata(L, size) lua_newuserdatauv(L, size, 0)
#endif

#endif
