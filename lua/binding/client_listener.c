#include "client.h"
#include "value.h"

#include <stdlib.h>

/* ---- listeners ---- */

/* ref is taken. */
static struct inst_lua_listener *new_listener(struct inst_lua_client *owner, int ref, bool holds) {
    struct inst_lua_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    listener->owner = owner;
    listener->ref = ref;
    listener->holds = holds;
    listener->next = owner->listeners;
    if (listener->next)
        listener->next->prev = listener;
    owner->listeners = listener;
    if (holds)
        inst_loop_hold(owner->lua->loop);
    return listener;
}

void inst_lua_free_listener(struct inst_lua_listener *listener, bool unref) {
    struct inst_lua *lua = listener->owner->lua;
    if (listener->prev)
        listener->prev->next = listener->next;
    else
        listener->owner->listeners = listener->next;
    if (listener->next)
        listener->next->prev = listener->prev;
    if (listener->box)
        *listener->box = NULL;
    if (unref)
        luaL_unref(lua->current, LUA_REGISTRYINDEX, listener->ref);
    if (listener->holds)
        inst_loop_release(lua->loop);
    free(listener);
}

void inst_lua_stop_listener(struct inst_lua_listener *listener) {
    struct inst_client *client = listener->owner->client;
    struct inst_reactor *reactor = client == NULL     ? NULL
                                   : listener->is_own ? inst_client_own_reactor(client, NULL)
                                                      : inst_client_reactor(client);
    if (reactor)
        inst_reactor_unsubscribe(reactor, listener->id);
    inst_lua_free_listener(listener, true);
}

static int listener_stop(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 1, INST_LUA_LISTENER);
    if (*box)
        inst_lua_stop_listener(*box);
    return 0;
}

static int listener_gc(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 1, INST_LUA_LISTENER);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

void inst_lua_call_once(struct inst_lua_listener *listener, inst_lua_push_fn *push,
                        const void *args) {
    struct inst_lua *lua = listener->owner->lua;
    int ref = listener->ref;
    inst_loop_hold(lua->loop);
    inst_lua_free_listener(listener, false);
    inst_lua_call(lua, ref, push, args);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    inst_loop_release(lua->loop);
}

struct inst_lua_client *inst_lua_check_client(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    if (!*box || (*box)->is_shut)
        luaL_error(L, "this client was shut down");
    return *box;
}

void inst_lua_push_problem(lua_State *L, const struct inst_reactor_error *error) {
    inst_lua_push_err(L, error->err, error->trace_id);
}

static int ref_function(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TFUNCTION);
    lua_pushvalue(L, index);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The userdata of a listener, pushed before the listener exists. */
static struct inst_lua_listener **push_box(lua_State *L) {
    struct inst_lua_listener **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, INST_LUA_LISTENER);
    lua_setmetatable(L, -2);
    return box;
}

int inst_lua_subscribe(lua_State *L, int fn_index, inst_lua_subscribe_fn *fn,
                       enum inst_lua_listening kind) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    struct inst_lua *lua = client->lua;
    struct inst_err err = {0};
    struct inst_lua_listener **box = push_box(L);
    int top = lua_gettop(L);
    int ref = ref_function(L, fn_index);
    luaL_checkstack(L, 32, "arguments nested too deep");
    struct inst_lua_listener *listener = new_listener(client, ref, kind != INST_LUA_LISTEN);
    if (!listener) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        inst_err_nomem(&err);
        return inst_lua_fail(L, &err);
    }
    if (kind != INST_LUA_ONCE) {
        *box = listener;
        listener->box = box;
    }
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = fn(client, listener, L, &err);
    inst_lua_end(lua, scope);
    lua_settop(L, top);
    if (status == INST_OK)
        return 1;
    inst_lua_free_listener(listener, true);
    return inst_lua_fail(L, &err);
}

void inst_lua_open_listener(lua_State *L) {
    luaL_newmetatable(L, INST_LUA_LISTENER);
    lua_pushcfunction(L, listener_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, listener_stop);
    lua_setfield(L, -2, "stop");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
