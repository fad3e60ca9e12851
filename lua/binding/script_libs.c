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

/* Items of a table that are worked on for one step. */
#define ITEMS_A_STEP 4u
/* Lua's own MAXTAGLOOP: so far it follows __index and __newindex. */
#define MAX_CHAIN 2000u

/* ---- functions of Lua that spend first; the upvalue is Lua's own ---- */

static int call_original(lua_State *L) { return lua_tocfunction(L, lua_upvalueindex(1))(L); }

static uint64_t size_of_args(lua_State *L) {
    uint64_t steps = 1;
    for (int i = 1; i <= lua_gettop(L); i++) {
        if (lua_type(L, i) == LUA_TSTRING)
            steps += lua_rawlen(L, i) / INST_SANDBOX_BYTES_A_STEP;
        else if (lua_type(L, i) == LUA_TTABLE)
            steps += lua_rawlen(L, i) / ITEMS_A_STEP;
    }
    return steps;
}

static int spend_by_size(lua_State *L) {
    inst_sandbox_spend(L, size_of_args(L));
    return call_original(L);
}

/* Lua's own take anything with __index; these ask __len how long to go on. */
static void check_list(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        luaL_argerror(L, 1, "a table without __len is needed here");
}

/* How many tables are asked, at most, for an item of this one. */
static uint64_t length_of_chain(lua_State *L, int index, const char *event) {
    uint64_t length = 1;
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    lua_pushvalue(L, index);
    while (length < MAX_CHAIN && lua_getmetatable(L, -1)) {
        lua_pushstring(L, event);
        lua_rawget(L, -2);
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
        length++;
    }
    lua_settop(L, top);
    return length;
}

/* For the items from..to, each of which is work, there or not. */
static void spend_by_items(lua_State *L, lua_Integer from, lua_Integer to, uint64_t each) {
    uint64_t count = to < from ? 0 : (uint64_t)to - (uint64_t)from;
    if (count > (uint64_t)INT64_MAX / (each + 1))
        count = (uint64_t)INT64_MAX / (each + 1);
    inst_sandbox_spend(L, (count + 1) * each / ITEMS_A_STEP + 1);
}

/* insert, remove: those behind the place move. Lua's own refuses places not in the list. */
static int spend_by_place(lua_State *L, bool is_given) {
    lua_Integer last = (lua_Integer)lua_rawlen(L, 1);
    lua_Integer at = is_given ? luaL_checkinteger(L, 2) : last;
    spend_by_items(L, at < 1 ? last : at, last,
                   length_of_chain(L, 1, "__index") + length_of_chain(L, 1, "__newindex"));
    return call_original(L);
}

static int spend_by_insert(lua_State *L) {
    check_list(L);
    return spend_by_place(L, lua_gettop(L) > 2);
}

static int spend_by_remove(lua_State *L) {
    check_list(L);
    return spend_by_place(L, !lua_isnoneornil(L, 2));
}

static int spend_by_concat(lua_State *L) {
    check_list(L);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    lua_Integer to = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1));
    spend_by_items(L, from, to, length_of_chain(L, 1, "__index"));
    return call_original(L);
}

static int spend_by_unpack(lua_State *L) {
    check_list(L);
    lua_Integer from = luaL_optinteger(L, 2, 1);
    lua_Integer to = luaL_optinteger(L, 3, (lua_Integer)lua_rawlen(L, 1));
    if (from <= to && (uint64_t)to - (uint64_t)from < LUAI_MAXSTACK) /* Lua's own refuses more */
        spend_by_items(L, from, to, length_of_chain(L, 1, "__index"));
    return call_original(L);
}

/* What comparing the items of the list costs each of them, all together. */
static uint64_t size_of_items(lua_State *L, uint64_t count) {
    uint64_t size = count * length_of_chain(L, 1, "__index") / ITEMS_A_STEP;
    bool is_in_c = lua_isnoneornil(L, 2) || lua_iscfunction(L, 2);
    for (uint64_t i = 1; is_in_c && i <= count; i++) {
        if (lua_rawgeti(L, 1, (lua_Integer)i) == LUA_TSTRING)
            size += lua_rawlen(L, -1) / INST_SANDBOX_BYTES_A_STEP;
        lua_pop(L, 1);
    }
    return size;
}

static int spend_by_sort(lua_State *L) {
    check_list(L);
    uint64_t count = lua_rawlen(L, 1), rounds = 1;
    while (count >> rounds)
        rounds++;
    inst_sandbox_spend(L, count / ITEMS_A_STEP);
    inst_sandbox_spend(L, size_of_items(L, count) * rounds);
    return call_original(L);
}

static int spend_by_move(lua_State *L) {
    int into = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, into, LUA_TTABLE);
    spend_by_items(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3),
                   length_of_chain(L, 1, "__index") + length_of_chain(L, into, "__newindex"));
    return call_original(L);
}

/* The hook's count begins anew in each coroutine. */
static int spend_by_coroutine(lua_State *L) {
    inst_sandbox_spend(L, INST_SANDBOX_HOOK);
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
        inst_sandbox_spend(L, (uint64_t)count / ITEMS_A_STEP +
                                  (uint64_t)count * each / INST_SANDBOX_BYTES_A_STEP);
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

struct line {
    char text[INST_SANDBOX_LINE + sizeof "..."];
    size_t len;
};

static void add_to_line(struct line *line, const char *bytes, size_t len) {
    for (size_t i = 0; i < len && line->len <= INST_SANDBOX_LINE; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            line->text[line->len++] = '\\';
        line->text[line->len++] = bytes[i] == '\n' ? 'n' : bytes[i] == '\r' ? 'r' : bytes[i];
    }
}

/* Cut where it is too long, between characters. */
static void end_line(struct line *line) {
    if (line->len > INST_SANDBOX_LINE) {
        line->len = INST_SANDBOX_LINE;
        while (line->len > INST_SANDBOX_LINE - 4 &&
               ((unsigned char)line->text[line->len] & 0xc0) == 0x80)
            line->len--;
        memcpy(line->text + line->len, "...", 3);
        line->len += 3;
    }
    line->text[line->len] = '\0';
}

/* A line of the log, as the operator may read it at level info. */
static int base_print(lua_State *L) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    int count = lua_gettop(L);
    struct line line = {.len = 0};
    if (box->lines++ >= INST_SANDBOX_LINES)
        return luaL_error(L, "print: a run may print %d lines", INST_SANDBOX_LINES);
    add_to_line(&line, "script: ", strlen("script: "));
    for (int i = 1; i <= count; i++) {
        size_t len;
        const char *text = luaL_tolstring(L, i, &len);
        if (i > 1)
            add_to_line(&line, "\t", 1);
        add_to_line(&line, text, len);
        lua_pop(L, 1);
    }
    end_line(&line);
    if (box->env->log)
        box->env->log(box->env->ctx, INST_LOG_INFO, line.text);
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
    {"concat", spend_by_concat}, {"insert", spend_by_insert},
    {"move", spend_by_move},     {"pack", NULL},
    {"remove", spend_by_remove}, {"sort", spend_by_sort},
    {"unpack", spend_by_unpack}, {NULL, NULL},
};

static const struct allowed coroutine[] = {
    {"close", NULL},
    {"create", spend_by_coroutine},
    {"isyieldable", NULL},
    {"resume", NULL},
    {"running", NULL},
    {"status", NULL},
    {"wrap", spend_by_coroutine},
    {"yield", NULL},
    {NULL, NULL},
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
    open_lib(L, "coroutine", luaopen_coroutine, coroutine);
    open_lib(L, "math", luaopen_math, NULL);
    open_lib(L, "os", luaopen_os, os);
    open_lib(L, "string", luaopen_string, string);
    open_lib(L, "table", luaopen_table, table);
    open_lib(L, "utf8", luaopen_utf8, utf8);
    set_string_methods(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

#endif
