/*
 * script_core.c - what the prelude (lua/script/prelude.lua) may ask of the backend.
 *
 * A limit may end the run inside each lua_ call (script_sandbox.h): whatever is held meanwhile is
 * on the sandbox's arena.
 */
#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "script_internal.h"

#include "base/json.h"
#include "base/uuid.h"
#include "value.h"

#include <string.h>

struct inst_script_run *inst_script_run_of(lua_State *L) {
    return inst_sandbox_of(L)->owner;
}

static struct inst_call *call_of(lua_State *L) {
    struct inst_call *call = inst_script_run_of(L)->call;
    if (!call)
        luaL_error(L, "only inside a function: nobody calls while the script loads");
    return call;
}

void inst_script_push_code(lua_State *L, const struct inst_code *code) {
    if (luaL_loadbufferx(L, code->code.data, code->code.len, code->name, "b") != LUA_OK)
        lua_error(L);
}

void inst_script_push_json(lua_State *L, const char *json, size_t len) {
    struct inst_err err = {0};
    if (inst_sandbox_push_json(L, json, len, &err) != INST_OK)
        inst_sandbox_raise(L, &err);
}

/* Pushes what is in buf, as a text or read as JSON, and frees it. The bytes move to the arena. */
static int push_buf(lua_State *L, struct inst_buf *buf, bool is_json) {
    struct inst_arena *arena = &inst_sandbox_of(L)->arena;
    struct inst_arena_mark mark = inst_arena_mark(arena);
    size_t len = buf->len;
    char *text = buf->failed ? NULL : inst_arena_dup(arena, buf->data ? buf->data : "", len);
    inst_buf_free(buf);
    if (!text)
        return luaL_error(L, "not enough memory");
    if (is_json)
        inst_script_push_json(L, text, len);
    else
        lua_pushlstring(L, text, len);
    inst_arena_rewind(arena, mark);
    return 1;
}

/* ---- modules ---- */

static const struct inst_code *require_file(lua_State *L, const char *module) {
    struct inst_script_run *run = inst_script_run_of(L);
    struct inst_err err = {0};
    struct inst_buf text, name;
    const struct inst_code *code = NULL;
    inst_buf_init(&text);
    inst_buf_init(&name);
    enum inst_status status = run->find(run->find_ctx, module, &text, &name, &err);
    if (status == INST_OK)
        status = inst_code_add(run->scripts, &run->script->codes, module, name.data, text.data,
                               text.len, &code, &err);
    inst_buf_free(&text);
    inst_buf_free(&name);
    if (status != INST_OK)
        inst_sandbox_raise(L, &err);
    run->script->code_count++;
    return code;
}

/* chunk(module): the function of a module; nil and why there is none. */
static int core_chunk(lua_State *L) {
    const struct inst_script_run *run = inst_script_run_of(L);
    const char *module = luaL_checkstring(L, 1);
    const struct inst_code *code = inst_code_find(run->scripts->own, module);
    if (!code && module[0] && run->script)
        code = inst_code_find(run->script->codes, module);
    if (!code && (!run->find || run->script->code_count >= INST_SCRIPT_MAX_MODULES)) {
        lua_pushnil(L);
        lua_pushfstring(L, "module '%s' %s", module,
                        run->find ? "is one too many"
                                  : "was not required when the script was loaded");
        return 2;
    }
    if (!code)
        code = require_file(L, module);
    inst_script_push_code(L, code);
    return 1;
}

/* ---- values ---- */

static int core_id(lua_State *L) {
    char text[INST_UUID_TEXT + 1];
    inst_uuid_make_text(inst_sandbox_of(L)->env, text);
    lua_pushlstring(L, text, INST_UUID_TEXT);
    return 1;
}

static int core_now(lua_State *L) {
    const struct inst_env *env = inst_sandbox_of(L)->env;
    lua_pushinteger(L, (lua_Integer)env->now_ms(env->ctx));
    return 1;
}

static int core_json_encode(lua_State *L) {
    struct inst_arena *arena = &inst_sandbox_of(L)->arena;
    struct inst_arena_mark mark = inst_arena_mark(arena);
    struct inst_value value;
    struct inst_buf buf;
    luaL_checkany(L, 1);
    inst_sandbox_check_value(L, 1, &value);
    inst_buf_init(&buf);
    inst_json_write(&buf, &value);
    inst_arena_rewind(arena, mark);
    return push_buf(L, &buf, false);
}

static int core_json_decode(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    inst_script_push_json(L, text, len);
    return 1;
}

/* ---- the caller and the data ---- */

static int core_app(lua_State *L) {
    lua_pushstring(L, inst_call_app_id(call_of(L)));
    return 1;
}

static int core_is_admin(lua_State *L) {
    lua_pushboolean(L, call_of(L)->viewer->is_admin);
    return 1;
}

/* user(): the caller's row, nil when nobody has signed in. */
static int core_user(lua_State *L) {
    struct inst_err err = {0};
    struct inst_buf buf;
    struct inst_call *call = call_of(L);
    inst_buf_init(&buf);
    if (inst_call_user(call, &buf, &err) != INST_OK) {
        inst_buf_free(&buf);
        return inst_sandbox_raise(L, &err);
    }
    push_buf(L, &buf, true);
    if (lua_islightuserdata(L, -1))
        lua_pushnil(L);
    return 1;
}

/* query(as_admin, query) -> objects */
static int core_query(lua_State *L) {
    struct inst_call *call = call_of(L);
    struct inst_arena *arena = &inst_sandbox_of(L)->arena;
    struct inst_arena_mark mark = inst_arena_mark(arena);
    struct inst_err err = {0};
    struct inst_value query;
    struct inst_buf buf;
    inst_sandbox_check_value(L, 2, &query);
    inst_buf_init(&buf);
    if (inst_call_query(call, lua_toboolean(L, 1), &query, &buf, &err) != INST_OK) {
        inst_buf_free(&buf);
        return inst_sandbox_raise(L, &err);
    }
    inst_arena_rewind(arena, mark);
    return push_buf(L, &buf, true);
}

/* transact(as_admin, steps) */
static int core_transact(lua_State *L) {
    struct inst_call *call = call_of(L);
    struct inst_arena *arena = &inst_sandbox_of(L)->arena;
    struct inst_arena_mark mark = inst_arena_mark(arena);
    struct inst_err err = {0};
    struct inst_value steps;
    inst_sandbox_check_value(L, 2, &steps);
    if (inst_call_transact(call, lua_toboolean(L, 1), &steps, &err) != INST_OK)
        return inst_sandbox_raise(L, &err);
    inst_arena_rewind(arena, mark);
    return 0;
}

void inst_script_push_core(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"chunk", core_chunk},
        {"id", core_id},
        {"now", core_now},
        {"json_encode", core_json_encode},
        {"json_decode", core_json_decode},
        {"app", core_app},
        {"is_admin", core_is_admin},
        {"user", core_user},
        {"query", core_query},
        {"transact", core_transact},
        {NULL, NULL},
    };
    lua_createtable(L, 0, 16);
    luaL_setfuncs(L, functions, 0);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    luaL_getmetatable(L, INST_LUA_ARRAY);
    lua_setfield(L, -2, "array_mt");
    luaL_getmetatable(L, INST_LUA_ERROR);
    lua_setfield(L, -2, "error_mt");
}

#endif
