/*
 * script_load.h - how the Lua that runs a backend hands it scripts (script.h).
 */
#ifndef INST_LUA_SCRIPT_LOAD_H
#define INST_LUA_SCRIPT_LOAD_H

#include "compat.h"

struct inst_backend;
struct inst_scripts;

/* set_script{name=, text=, app=, find=, memory=, steps=, ms=}, the table at 2, for one app or all:
 * true, or nil and an error. find(module) gives text and name of a module's chunk. *scripts is made
 * with the first script, whose limits count. */
int inst_lua_set_script(lua_State *L, struct inst_backend *backend, struct inst_scripts **scripts);
/* schedules(app) -> {{name, cron}, ...} */
int inst_lua_schedules(lua_State *L, struct inst_scripts *scripts);
/* run_schedule(app, name): true, or nil and an error. */
int inst_lua_run_schedule(lua_State *L, struct inst_scripts *scripts);

#endif
