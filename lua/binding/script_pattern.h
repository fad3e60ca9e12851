/*
 * script_pattern.h - string.find, match, gmatch and gsub for sandboxes.
 *
 * They do what Lua's own do (manual, 6.4.1), but every step of matching is spent from the call's
 * budget (script_sandbox.h): Lua's own go on inside C for as long as a pattern makes them, where no
 * hook comes by.
 */
#ifndef INST_LUA_SCRIPT_PATTERN_H
#define INST_LUA_SCRIPT_PATTERN_H

#include "compat.h"

/* Into the table on top, in the place of Lua's own. */
void inst_script_open_patterns(lua_State *L);

#endif
