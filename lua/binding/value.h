/*
 * value.h - Lua values to core values and back.
 *
 *     nil                 UNDEFINED (only outside tables)      instant.null   NULL
 *     integer, float      NUMBER: 1 and 1.0 are both 1         string         STRING, must be UTF-8
 *     table 1..n          ARRAY                                instant.array  ARRAY, also when
 * empty table of strings    OBJECT, keys in sorted order         {}             OBJECT instant.date
 * DATE
 *
 * Everything else (functions, NaN, integers beyond 2^53, mixed tables, lists with holes, cycles,
 * weak tables, tables deeper than INST_LUA_MAX_DEPTH) is an error that names the path. Keys are
 * sorted so that the same program sends the same bytes every time.
 *
 * Back: whole numbers up to 2^53 become integers where Lua has them; null inside data is
 * instant.null; every array carries instant.array's metatable, so that an empty one stays one.
 */
#ifndef INST_LUA_VALUE_H
#define INST_LUA_VALUE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "compat.h"

#define INST_LUA_MAX_DEPTH 100

/* Names of the metatables in the registry. */
#define INST_LUA_ARRAY "instant.array"
#define INST_LUA_DATE "instant.date"
#define INST_LUA_ERROR "instant.error"

/* Raises only when Lua is out of memory. Strings are borrowed from Lua: the value must stay where
 * it is on the stack. */
enum inst_status inst_lua_to_value(lua_State *L, int index, struct inst_arena *arena,
                                   struct inst_value *out, struct inst_err *err);
/* Told what converting takes before it is done: `items` more values, and a text among them or a
 * key. Need not come back. */
typedef void inst_lua_spend_fn(lua_State *L, size_t items, const char *text, size_t len);
enum inst_status inst_lua_to_value_spending(lua_State *L, int index, struct inst_arena *arena,
                                            inst_lua_spend_fn *spend, struct inst_value *out,
                                            struct inst_err *err);
/* Raises only when out of memory. */
void inst_lua_push_value(lua_State *L, const struct inst_value *value);

/* To the table on top. Whoever has such a table may have put a finalizer (__gc) into the metatable:
 * it is taken out. */
void inst_lua_set_metatable(lua_State *L, const char *name);

/* Pushes an arena that Lua frees when what comes next raises; else free it yourself. */
struct inst_arena *inst_lua_push_arena(lua_State *L);

/* Makes the metatables. */
void inst_lua_open_values(lua_State *L);

#endif
