/*
 * script_load.c - set_script{...} of a server: the Lua that runs the backend hands it a script.
 */
#include "script_load.h"
#include "context.h"
#include "script.h"

#include <string.h>

struct finding {
    lua_State *L;
    int fn;   /* index of the function, or 0 */
    int cron; /* likewise */
};

/* find(module) -> text, name of its chunk; or nil, message. */
static enum inst_status find_module(void *ctx, const char *module, struct inst_buf *text,
                                    struct inst_buf *name, struct inst_err *err) {
    struct finding *finding = ctx;
    lua_State *L = finding->L;
    int top = lua_gettop(L);
    enum inst_status status;
    size_t len;
    if (!finding->fn || !lua_checkstack(L, 8))
        return inst_err_set(err, "function-failed", 500, "module '%s' not found", module);
    lua_pushvalue(L, finding->fn);
    lua_pushstring(L, module);
    if (lua_pcall(L, 1, 2, 0) != 0) {
        const char *why = lua_tostring(L, -1);
        status = inst_err_set(err, "function-failed", 500, "%s", why ? why : "?");
    } else if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
        const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "not found";
        status = inst_err_set(err, "function-failed", 500, "module '%s': %s", module, why);
    } else {
        const char *bytes = lua_tolstring(L, -2, &len);
        inst_buf_add(text, bytes, len);
        inst_buf_add_str(name, lua_tostring(L, -1));
        status = text->failed || name->failed ? inst_err_nomem(err) : INST_OK;
    }
    lua_settop(L, top);
    return status;
}

/* cron(text) -> true; or nil, message. */
static enum inst_status check_cron(void *ctx, const char *cron, struct inst_err *err) {
    struct finding *finding = ctx;
    lua_State *L = finding->L;
    int top = lua_gettop(L);
    enum inst_status status = INST_OK;
    if (!finding->cron || !lua_checkstack(L, 8))
        return INST_OK;
    lua_pushvalue(L, finding->cron);
    lua_pushstring(L, cron);
    bool is_right = lua_pcall(L, 1, 2, 0) == 0 && lua_toboolean(L, -2);
    const char *why = lua_tostring(L, -1);
    if (!is_right)
        status = inst_err_set(err, "function-failed", 500, "server.schedule: %s", why ? why : cron);
    lua_settop(L, top);
    return status;
}

static double number_field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    lua_Number number = luaL_optnumber(L, -1, 0);
    luaL_argcheck(L, number >= 0 && number < 9007199254740992.0, 2, name);
    lua_pop(L, 1);
    return number;
}

int inst_lua_set_script(lua_State *L, struct inst_backend *backend, struct inst_scripts **scripts) {
    struct inst_err err = {0};
    size_t len;
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getfield(L, 2, "app");
    const char *app = luaL_optstring(L, 3, NULL);
    lua_getfield(L, 2, "name");
    const char *name = luaL_checkstring(L, 4);
    lua_getfield(L, 2, "text");
    const char *text = luaL_checklstring(L, 5, &len);
    lua_getfield(L, 2, "find");
    lua_getfield(L, 2, "cron");
    struct inst_sandbox_limits limits = {
        .memory = (size_t)number_field(L, "memory"),
        .steps = (int64_t)number_field(L, "steps"),
        .ms = (int64_t)number_field(L, "ms"),
    };
    struct finding finding = {L, lua_isfunction(L, 6) ? 6 : 0, lua_isfunction(L, 7) ? 7 : 0};
    struct inst_script_loader loader = {find_module, check_cron, &finding};
    enum inst_status status = INST_OK;
    if (!*scripts)
        status =
            inst_scripts_new(inst_backend_server(backend),
                             inst_loop_env(inst_backend_loop(backend)), &limits, scripts, &err);
    if (status == INST_OK)
        status = inst_scripts_load(*scripts, app, name, text, len, &loader, &err);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static void add_schedule(void *ctx, const char *name, const char *cron) {
    lua_State *L = ctx;
    lua_createtable(L, 2, 0);
    lua_pushstring(L, name);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, cron);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
}

int inst_lua_schedules(lua_State *L, struct inst_scripts *scripts) {
    const char *app = luaL_checkstring(L, 2);
    lua_newtable(L);
    if (scripts)
        inst_scripts_each_schedule(scripts, app, add_schedule, L);
    return 1;
}

int inst_lua_run_schedule(lua_State *L, struct inst_scripts *scripts) {
    struct inst_err err = {0};
    const char *app = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    if (!scripts)
        return luaL_error(L, "there are no scripts");
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_scripts_run_schedule(scripts, app, name, &err);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}
