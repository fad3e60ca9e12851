/*
 * script_libs.c - what code in a sandbox may call.
 *
 *     not there                  because
 *     io, debug, package         the machine is the operator's; hooks and registry are ours
 *     os but for the time        likewise
 *     load, dofile, loadfile     code comes from the operator's files only, never from data
 *     string.dump                its only use is load
 *     collectgarbage             a full collection is long and costs no steps
 *     warn                       print goes to the log
 *     __gc                       hooks rest while a finalizer runs: it would have no limits
 *
 * Functions whose work in C grows with their arguments spend steps for it first. Those of patterns
 * are our own (script_pattern.h).
 */
#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "script_pattern.h"
#include "script_sandbox.h"

#include <stdio.h>
#include <string.h>

/* How many steps the bytes of a string, or the items of a table, are, as one over this. */
#define BYTES_A_STEP 16u
#define ITEMS_A_STEP 4u

/* ---- functions of Lua that spend first; the upvalue is Lua's own ---- */

static int call_original(lua_State *L) { return lua_tocfunction(L, lua_upvalueindex(1))(L); }

static uint64_t size_of_args(lua_State *L) {
    uint64_t steps = 1;
    for (int i = 1; i <= lua_gettop(L); i++) {
        if (lua_type(L, i) == LUA_TSTRING)
            steps += lua_rawlen(L, i) / BYTES_A_STEP;
        else if (lua_type(L, i) == LUA_TTABLE)
            steps += lua_rawlen(L, i) / ITEMS_A_STEP;
    }
    return steps;
}

static int spend_by_size(lua_State *L) {
    inst_sandbox_spend(L, size_of_args(L));
    return call_original(L);
}

/* These ask __len how long to go on. */
static void check_list(lua_State *L) {
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        luaL_argerror(L, 1, "a table without __len is needed here");
}

static int spend_by_list(lua_State *L) {
    check_list(L);
    return spend_by_size(L);
}

static int spend_by_sort(lua_State *L) {
    uint64_t count = lua_istable(L, 1) ? lua_rawlen(L, 1) : 0, rounds = 1;
    while (count >> rounds)
        rounds++;
    check_list(L);
    inst_sandbox_spend(L, count * rounds / ITEMS_A_STEP);
    return call_original(L);
}

static int spend_by_move(lua_State *L) {
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    if (to >= from)
        inst_sandbox_spend(L, ((uint64_t)to - (uint64_t)from) / ITEMS_A_STEP + 1);
    return call_original(L);
}

static int spend_by_rep(lua_State *L) {
    size_t len, between_len = 0;
    luaL_checklstring(L, 1, &len);
    lua_Integer count = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &between_len);
    uint64_t each = len + between_len;
    if (each == 0) { /* Lua's own counts all the same */
        lua_pushliteral(L, "");
        return 1;
    }
    if (count > 0 && (uint64_t)count > inst_sandbox_of(L)->limits.memory / each)
        return luaL_error(L, "resulting string too large");
    if (count > 0)
        inst_sandbox_spend(L,
                           (uint64_t)count / ITEMS_A_STEP + (uint64_t)count * each / BYTES_A_STEP);
    return call_original(L);
}

/* ---- our own ---- */

static int base_setmetatable(lua_State *L) {
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_argerror(L, 2, "there are no finalizers (__gc) here");
        lua_pop(L, 1);
    }
    return call_original(L);
}

/* A line of the log, as the operator may read it at level info. */
static int base_print(lua_State *L) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    int count = lua_gettop(L);
    luaL_Buffer line;
    if (box->lines++ >= INST_SANDBOX_LINES)
        return luaL_error(L, "print: a run may print %d lines", INST_SANDBOX_LINES);
    luaL_buffinit(L, &line);
    luaL_addstring(&line, "script: ");
    for (int i = 1; i <= count; i++) {
        if (i > 1)
            luaL_addchar(&line, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_pushresult(&line);
    const char *text = luaL_gsub(L, lua_tostring(L, -1), "\r", "\\r");
    text = luaL_gsub(L, text, "\n", "\\n");
    if (box->env->log)
        box->env->log(box->env->ctx, INST_LOG_INFO, text);
    return 0;
}

/* ---- the allow-list ---- */

struct allowed {
    const char *name;
    lua_CFunction around; /* NULL: as it is */
};

static const struct allowed base[] = {
    {"assert", NULL},
    {"error", NULL},
    {"getmetatable", NULL},
    {"ipairs", NULL},
    {"next", NULL},
    {"pairs", NULL},
    {"pcall", NULL},
    {"rawequal", NULL},
    {"rawget", NULL},
    {"rawlen", NULL},
    {"rawset", NULL},
    {"select", NULL},
    {"type", NULL},
    {"xpcall", NULL},
    {"setmetatable", base_setmetatable},
    {"_VERSION", NULL},
    {"tonumber", spend_by_size},
    {"tostring", NULL},
    {NULL, NULL},
};

static const struct allowed string[] = {
    {"byte", spend_by_size},
    {"char", NULL},
    {"format", spend_by_size},
    {"len", NULL},
    {"lower", spend_by_size},
    {"pack", spend_by_size},
    {"packsize", spend_by_size},
    {"rep", spend_by_rep},
    {"reverse", spend_by_size},
    {"sub", NULL},
    {"unpack", spend_by_size},
    {"upper", spend_by_size},
    {NULL, NULL},
};

static const struct allowed table[] = {
    {"concat", spend_by_list}, {"insert", spend_by_list}, {"move", spend_by_move},   {"pack", NULL},
    {"remove", spend_by_list}, {"sort", spend_by_sort},   {"unpack", spend_by_list}, {NULL, NULL},
};

static const struct allowed utf8[] = {
    {"char", NULL},
    {"charpattern", NULL},
    {"codepoint", spend_by_size},
    {"codes", spend_by_size},
    {"len", spend_by_size},
    {"offset", spend_by_size},
    {NULL, NULL},
};

static const struct allowed os[] = {
    {"clock", NULL}, {"date", spend_by_size}, {"difftime", NULL}, {"time", NULL}, {NULL, NULL},
};

/* From the table on top into the one under it. */
static void copy_allowed(lua_State *L, const struct allowed *list) {
    for (; list->name; list++) {
        lua_getfield(L, -1, list->name);
        if (list->around)
            lua_pushcclosure(L, list->around, 1);
        lua_setfield(L, -3, list->name);
    }
}

/* The library's table, with only what is allowed, into the globals under it. */
static void open_lib(lua_State *L, const char *name, lua_CFunction open,
                     const struct allowed *list) {
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    if (list) {
        lua_createtable(L, 0, 20);
        lua_insert(L, -2);
        copy_allowed(L, list);
        lua_pop(L, 1);
    }
    lua_setfield(L, -2, name);
}

/* Methods of strings are looked up in the library as it is here. */
static void set_string_methods(lua_State *L) {
    lua_getfield(L, -1, "string");
    inst_script_open_patterns(L);
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 2);
}

void inst_script_open_libs(lua_State *L) {
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    lua_createtable(L, 0, 32);
    lua_insert(L, -2);
    copy_allowed(L, base);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_pushcfunction(L, base_print);
    lua_setfield(L, -2, "print");
    open_lib(L, "coroutine", luaopen_coroutine, NULL);
    open_lib(L, "math", luaopen_math, NULL);
    open_lib(L, "os", luaopen_os, os);
    open_lib(L, "string", luaopen_string, string);
    open_lib(L, "table", luaopen_table, table);
    open_lib(L, "utf8", luaopen_utf8, utf8);
    set_string_methods(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

#endif
