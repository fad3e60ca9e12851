/* client_calls.c - queries, transactions, statuses: the methods of a client. */
#include "client.h"
#include "value.h"

/* ---- callbacks of the reactor ---- */

struct query_args {
    const struct inst_query_result *result;
    const struct inst_reactor_error *error;
};

void inst_lua_set_part(lua_State *L, const char *name, const struct inst_value *value) {
    if (!value)
        return;
    inst_lua_push_value(L, value);
    lua_setfield(L, -2, name);
}

/* nil, result or err: the order of a Lua callback that may fail, turned by lua/instant/db.lua. */
static int push_query(lua_State *L, const void *ctx) {
    const struct query_args *args = ctx;
    if (args->error) {
        lua_pushnil(L);
        inst_lua_push_problem(L, args->error);
        return 2;
    }
    lua_createtable(L, 0, 3);
    inst_lua_set_part(L, "data", args->result->data);
    inst_lua_set_part(L, "pageInfo", args->result->page_info);
    inst_lua_set_part(L, "aggregate", args->result->aggregate);
    return 1;
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    struct inst_lua_listener *listener = ctx;
    struct query_args args = {result, error};
    inst_lua_call(listener->owner->lua, listener->ref, push_query, &args);
}

static void on_query_once(void *ctx, const struct inst_query_result *result,
                          const struct inst_reactor_error *error) {
    struct query_args args = {result, error};
    inst_lua_call_once(ctx, push_query, &args);
}

struct transact_args {
    const struct inst_transact_result *result;
    const struct inst_reactor_error *error;
};

static int push_transact(lua_State *L, const void *ctx) {
    const struct transact_args *args = ctx;
    if (args->error) {
        lua_pushnil(L);
        inst_lua_push_problem(L, args->error);
        return 2;
    }
    lua_createtable(L, 0, 2);
    lua_pushstring(L, args->result->status);
    lua_setfield(L, -2, "status");
    lua_pushstring(L, args->result->event_id);
    lua_setfield(L, -2, "eventId");
    return 1;
}

static void on_transact(void *ctx, const struct inst_transact_result *result,
                        const struct inst_reactor_error *error) {
    struct transact_args args = {result, error};
    inst_lua_call_once(ctx, push_transact, &args);
}

struct mutation_args {
    const char *event_id;
    const struct inst_reactor_error *error;
};

/* err, eventId, whether the future was rejected too */
static int push_mutation_error(lua_State *L, const void *ctx) {
    const struct mutation_args *args = ctx;
    inst_lua_push_problem(L, args->error);
    lua_pushstring(L, args->event_id);
    lua_pushboolean(L, args->error->is_told);
    return 3;
}

static void on_mutation_error(void *ctx, const char *event_id,
                              const struct inst_reactor_error *error) {
    struct inst_lua_listener *listener = ctx;
    struct mutation_args args = {event_id, error};
    inst_lua_call(listener->owner->lua, listener->ref, push_mutation_error, &args);
}

struct status_args {
    enum inst_connection_status status;
    const struct inst_reactor_error *error;
};

static int push_status(lua_State *L, const void *ctx) {
    const struct status_args *args = ctx;
    lua_pushstring(L, inst_connection_status_name(args->status));
    if (!args->error)
        return 1;
    inst_lua_push_problem(L, args->error);
    return 2;
}

static void on_status(void *ctx, enum inst_connection_status status,
                      const struct inst_reactor_error *error) {
    struct inst_lua_listener *listener = ctx;
    struct status_args args = {status, error};
    inst_lua_call(listener->owner->lua, listener->ref, push_status, &args);
}

static int push_app_status(lua_State *L, const void *ctx) {
    const struct inst_app_status *status = ctx;
    lua_createtable(L, 0, 3);
    lua_pushboolean(L, status->is_loading);
    lua_setfield(L, -2, "isLoading");
    lua_pushboolean(L, status->is_read_only);
    lua_setfield(L, -2, "isReadOnly");
    lua_pushstring(L, status->status);
    lua_setfield(L, -2, "status");
    return 1;
}

static void on_app_status(void *ctx, const struct inst_app_status *status) {
    struct inst_lua_listener *listener = ctx;
    inst_lua_call(listener->owner->lua, listener->ref, push_app_status, status);
}

/* Arguments 2 (query) and 3 (ruleParams, or nil) as values. */
static enum inst_status query_arguments(struct inst_lua_client *client, lua_State *L,
                                        struct inst_value values[2], struct inst_err *err) {
    struct inst_arena *arena = &client->lua->scratch;
    enum inst_status status = inst_lua_to_value(L, 2, arena, &values[0], err);
    return status == INST_OK ? inst_lua_to_value(L, 3, arena, &values[1], err) : status;
}

static enum inst_status do_subscribe_query(struct inst_lua_client *client,
                                           struct inst_lua_listener *listener, lua_State *L,
                                           struct inst_err *err) {
    struct inst_value values[2];
    enum inst_status status = query_arguments(client, L, values, err);
    if (status != INST_OK)
        return status;
    return inst_reactor_subscribe_query(inst_client_reactor(client->client), &values[0],
                                        values[1].tag == INST_UNDEFINED ? NULL : &values[1],
                                        on_query, listener, &listener->id, err);
}

static int client_subscribe_query(lua_State *L) {
    return inst_lua_subscribe(L, 4, do_subscribe_query, INST_LUA_WATCH);
}

static enum inst_status do_query_once(struct inst_lua_client *client,
                                      struct inst_lua_listener *listener, lua_State *L,
                                      struct inst_err *err) {
    struct inst_value values[2];
    enum inst_status status = query_arguments(client, L, values, err);
    if (status != INST_OK)
        return status;
    return inst_reactor_query_once(inst_client_reactor(client->client), &values[0],
                                   values[1].tag == INST_UNDEFINED ? NULL : &values[1],
                                   on_query_once, listener, err);
}

static int client_query_once(lua_State *L) {
    return inst_lua_subscribe(L, 4, do_query_once, INST_LUA_ONCE);
}

static enum inst_status do_transact(struct inst_lua_client *client,
                                    struct inst_lua_listener *listener, lua_State *L,
                                    struct inst_err *err) {
    struct inst_value chunks;
    enum inst_status status = inst_lua_to_value(L, 2, &client->lua->scratch, &chunks, err);
    if (status != INST_OK)
        return status;
    return inst_reactor_transact(inst_client_reactor(client->client), &chunks, on_transact,
                                 listener, err);
}

static int client_transact(lua_State *L) {
    return inst_lua_subscribe(L, 3, do_transact, INST_LUA_ONCE);
}

static enum inst_status do_transact_steps(struct inst_lua_client *client,
                                          struct inst_lua_listener *listener, lua_State *L,
                                          struct inst_err *err) {
    struct inst_value steps;
    enum inst_status status = inst_lua_to_value(L, 2, &client->lua->scratch, &steps, err);
    if (status != INST_OK)
        return status;
    return inst_reactor_transact_steps(inst_client_reactor(client->client), &steps, on_transact,
                                       listener, err);
}

static int client_transact_steps(lua_State *L) {
    return inst_lua_subscribe(L, 3, do_transact_steps, INST_LUA_ONCE);
}

static enum inst_status do_subscribe_status(struct inst_lua_client *client,
                                            struct inst_lua_listener *listener, lua_State *L,
                                            struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_connection_status(inst_client_reactor(client->client), on_status,
                                                    listener, &listener->id, err);
}

static int client_subscribe_status(lua_State *L) {
    return inst_lua_subscribe(L, 2, do_subscribe_status, INST_LUA_WATCH);
}

static enum inst_status do_subscribe_app_status(struct inst_lua_client *client,
                                                struct inst_lua_listener *listener, lua_State *L,
                                                struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_app_status(inst_client_reactor(client->client), on_app_status,
                                             listener, &listener->id, err);
}

static int client_subscribe_app_status(lua_State *L) {
    return inst_lua_subscribe(L, 2, do_subscribe_app_status, INST_LUA_WATCH);
}

static enum inst_status do_subscribe_mutation_errors(struct inst_lua_client *client,
                                                     struct inst_lua_listener *listener,
                                                     lua_State *L, struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_mutation_errors(inst_client_reactor(client->client),
                                                  on_mutation_error, listener, &listener->id, err);
}

static int client_subscribe_mutation_errors(lua_State *L) {
    return inst_lua_subscribe(L, 2, do_subscribe_mutation_errors, INST_LUA_LISTEN);
}

static int client_status(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    if (!*box || (*box)->is_shut) {
        lua_pushliteral(L, "closed");
        return 1;
    }
    lua_pushstring(
        L, inst_connection_status_name(inst_reactor_status(inst_client_reactor((*box)->client))));
    return 1;
}

static int client_pending(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    size_t count = *box && !(*box)->is_shut
                       ? inst_reactor_unconfirmed_count(inst_client_reactor((*box)->client))
                       : 0;
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

void inst_lua_add_calls(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"subscribe_query", client_subscribe_query},
        {"query_once", client_query_once},
        {"transact", client_transact},
        {"transact_steps", client_transact_steps},
        {"subscribe_connection_status", client_subscribe_status},
        {"subscribe_app_status", client_subscribe_app_status},
        {"subscribe_mutation_errors", client_subscribe_mutation_errors},
        {"status", client_status},
        {"pending", client_pending},
        {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
