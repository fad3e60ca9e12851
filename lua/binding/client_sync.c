/* client_sync.c - sync tables: methods of a client. lua/instant/sync_tables.lua turns them. */
#include "client.h"
#include "value.h"

#include "client/sync_tables.h"

struct event_args {
    const struct inst_sync_event *event;
    uint64_t sub;
};

/* The event without its data, which is asked for by the subscription's number: a table may be
 * large, and most events are looked at for what changed. */
static int push_event(lua_State *L, const void *ctx) {
    const struct event_args *args = ctx;
    const struct inst_sync_event *event = args->event;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, event->type);
    lua_setfield(L, -2, "type");
    inst_lua_set_part(L, "batch", event->batch);
    inst_lua_set_part(L, "added", event->added);
    inst_lua_set_part(L, "removed", event->removed);
    inst_lua_set_part(L, "updated", event->updated);
    if (event->error) {
        inst_lua_push_problem(L, event->error);
        lua_setfield(L, -2, "error");
    }
    lua_pushnumber(L, (lua_Number)args->sub);
    return 2;
}

static void on_event(void *ctx, const struct inst_sync_event *event) {
    struct inst_lua_listener *listener = ctx;
    struct event_args args = {event, listener->id};
    inst_lua_call(listener->owner->lua, listener->ref, push_event, &args);
}

static enum inst_status do_subscribe_table(struct inst_lua_client *client,
                                           struct inst_lua_listener *listener, lua_State *L,
                                           struct inst_err *err) {
    struct inst_value q;
    enum inst_status status = inst_lua_to_value(L, 2, &client->lua->scratch, &q, err);
    if (status != INST_OK)
        return status;
    return inst_reactor_subscribe_table(inst_client_reactor(client->client), &q, on_event, listener,
                                        &listener->id, err);
}

static int client_subscribe_table(lua_State *L) {
    return inst_lua_subscribe(L, 3, do_subscribe_table, INST_LUA_WATCH);
}

/* client, listener, keep. */
static int client_unsubscribe_table(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 2, INST_LUA_LISTENER);
    struct inst_lua_listener *listener = *box;
    bool keeps = lua_toboolean(L, 3);
    if (!listener || !listener->owner->client)
        return 0;
    struct inst_lua *lua = listener->owner->lua;
    luaL_checkstack(L, 32, NULL);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    inst_reactor_unsubscribe_table(inst_client_reactor(listener->owner->client), listener->id,
                                   keeps);
    inst_lua_stop_listener(listener);
    inst_lua_end(lua, scope);
    return 0;
}

/* client, subscription -> {etype = {...}}; nil when it has ended. */
static int client_table_data(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    uint64_t sub = (uint64_t)luaL_checknumber(L, 2);
    struct inst_value data;
    struct inst_err err = {0};
    if (!*box || (*box)->is_shut)
        return 0;
    struct inst_arena *arena = inst_lua_push_arena(L);
    if (inst_reactor_table_data(inst_client_reactor((*box)->client), sub, arena, &data, &err) !=
        INST_OK)
        return inst_lua_fail(L, &err);
    if (data.tag == INST_UNDEFINED)
        return 0;
    inst_lua_push_value(L, &data);
    inst_arena_free(arena);
    return 1;
}

void inst_lua_add_sync(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"subscribe_table", client_subscribe_table},
        {"unsubscribe_table", client_unsubscribe_table},
        {"table_data", client_table_data},
        {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
