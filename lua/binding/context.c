#include "context.h"

#include "base/json.h"
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char context_key; /* its address is the key in the registry */

/* ---- calling out ---- */

struct call {
    int ref;
    inst_lua_push_fn *push;
    const void *args;
};

static int add_traceback(lua_State *L) {
    const char *text = lua_tostring(L, 1);
    if (!text && luaL_callmeta(L, 1, "__tostring"))
        text = lua_tostring(L, -1);
    luaL_traceback(L, L, text ? text : "(error without a message)", 1);
    return 1;
}

static int run_call(lua_State *L) {
    const struct call *call = lua_touserdata(L, 1);
    luaL_checkstack(L, 16, "callback");
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->ref);
    int count = call->push ? call->push(L, call->args) : 0;
    lua_call(L, count, 0);
    return 0;
}

void inst_lua_call(struct inst_lua *lua, int ref, inst_lua_push_fn *push, const void *args) {
    lua_State *L = lua->current;
    struct call call = {ref, push, args};
    if (!lua_checkstack(L, 8)) {
        fprintf(stderr, "instant: a callback was not called: the Lua stack is full\n");
        return;
    }
    int top = lua_gettop(L);
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, run_call);
    lua_pushlightuserdata(L, &call);
    if (lua_pcall(L, 1, 0, top + 1) != 0)
        fprintf(stderr, "instant: error in a callback: %s\n", lua_tostring(L, -1));
    lua_settop(L, top);
}

struct inst_lua_scope inst_lua_begin(struct inst_lua *lua, lua_State *L) {
    struct inst_lua_scope scope = {.before = lua->current};
    /* An error that left a scope early has left its values; the outermost scope frees them. */
    if (lua->scratch_users == 0)
        inst_arena_reset(&lua->scratch);
    lua->scratch_users++;
    scope.mark = inst_arena_mark(&lua->scratch);
    lua->current = L;
    return scope;
}

void inst_lua_end(struct inst_lua *lua, struct inst_lua_scope scope) {
    lua->current = scope.before;
    lua->scratch_users--;
    inst_arena_rewind(&lua->scratch, scope.mark);
    if (lua->scratch_users == 0)
        inst_arena_reset(&lua->scratch);
}

/* ---- errors ---- */

static void push_hint(lua_State *L, const char *json) {
    struct inst_arena arena;
    struct inst_value hint;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, json, strlen(json), &hint, NULL) == INST_OK)
        inst_lua_push_value(L, &hint);
    else
        lua_pushnil(L);
    inst_arena_free(&arena);
}

void inst_lua_push_err(lua_State *L, const struct inst_err *err, const char *trace_id) {
    lua_createtable(L, 0, 5);
    lua_pushstring(L, err->type ? err->type : "unknown");
    lua_setfield(L, -2, "type");
    lua_pushstring(L, err->message ? err->message : "");
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, err->status);
    lua_setfield(L, -2, "status");
    if (err->hint) {
        push_hint(L, err->hint);
        lua_setfield(L, -2, "hint");
    }
    if (trace_id) {
        lua_pushstring(L, trace_id);
        lua_setfield(L, -2, "traceId");
    }
    luaL_getmetatable(L, INST_LUA_ERROR);
    lua_setmetatable(L, -2);
}

int inst_lua_fail(lua_State *L, struct inst_err *err) {
    lua_pushnil(L);
    inst_lua_push_err(L, err, NULL);
    inst_err_clear(err);
    return 2;
}

/* ---- local backends ---- */

enum inst_status inst_lua_backend_open(struct inst_lua *lua, const char *path,
                                       struct inst_local_backend **out, struct inst_err *err) {
    return inst_local_backend_open(&lua->backends, lua->loop, path, out, err);
}

void inst_lua_backend_release(struct inst_lua *lua, struct inst_local_backend *backend) {
    inst_local_backend_release(&lua->backends, backend);
}

/* ---- signals ---- */

static void on_signal(void *ctx) {
    struct inst_lua_signal *watch = ctx;
    inst_lua_call(watch->lua, watch->ref, NULL, NULL);
}

enum inst_status inst_lua_watch_signal(struct inst_lua *lua, int signum, int ref,
                                       struct inst_err *err) {
    struct inst_lua_signal *watch = calloc(1, sizeof *watch);
    if (!watch)
        return inst_err_nomem(err);
    enum inst_status status =
        inst_signal_new(lua->loop, signum, on_signal, watch, &watch->signal, err);
    if (status != INST_OK) {
        free(watch);
        return status;
    }
    watch->lua = lua;
    watch->ref = ref;
    watch->next = lua->signals;
    lua->signals = watch;
    return INST_OK;
}

static void free_signals(struct inst_lua *lua) {
    while (lua->signals) {
        struct inst_lua_signal *watch = lua->signals;
        lua->signals = watch->next;
        inst_signal_free(watch->signal);
        free(watch);
    }
}

/* ---- the context ---- */

static void wake(void *ctx) {
    struct inst_lua *lua = ctx;
    if (lua->on_wake != LUA_NOREF)
        inst_lua_call(lua, lua->on_wake, NULL, NULL);
}

static int context_gc(lua_State *L) {
    struct inst_lua *lua = lua_touserdata(L, 1);
    /* os.exit(n, true) inside the loop: it is still on the stack, and the process ends anyway. */
    if (!lua->loop || lua->is_running)
        return 0;
    inst_lua_free_https(lua);
    inst_lua_free_event_streams(lua);
    inst_lua_free_uploads(lua);
    inst_lua_free_laters(lua);
    inst_lua_free_clients(lua);
    inst_lua_free_servers(lua);
    inst_lua_free_timers(lua);
    inst_lua_free_processes(lua);
    inst_lua_free_watches(lua);
    free_signals(lua);
    inst_loop_undefer(lua->loop, &lua->wake);
    inst_loop_free(lua->loop);
    lua->loop = NULL;
    inst_arena_free(&lua->scratch);
    return 0;
}

static lua_State *main_state(lua_State *L) {
#if LUA_VERSION_NUM >= 502
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
#else
    /* 5.1 does not tell which it is, and the caller may be a coroutine that waits when a callback
     * is to run: one of its own is kept in its place. */
    lua_State *main = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX);
    return main;
#endif
}

struct inst_lua *inst_lua_get(lua_State *L) {
    lua_pushlightuserdata(L, (void *)&context_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct inst_lua *lua = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (lua)
        return lua;
    lua = inst_newuserdata(L, sizeof *lua);
    memset(lua, 0, sizeof *lua);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, context_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushlightuserdata(L, (void *)&context_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    struct inst_err err = {0};
    lua->main = lua->current = main_state(L);
    lua->on_wake = lua->on_wanted = LUA_NOREF;
    lua->wake = (struct inst_deferred){.fn = wake, .ctx = lua};
    inst_arena_init(&lua->scratch);
    if (inst_loop_new(&lua->loop, &err) != INST_OK) {
        lua_pushstring(L, err.message);
        inst_err_clear(&err);
        lua_error(L);
    }
    return lua;
}
