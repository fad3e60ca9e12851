/*
 * client.c - core.client{...}: one reactor with its listeners.
 *
 *     client userdata ── inst_lua_client ── listeners: {reactor's id, callback ref}
 *                                              └── listener userdata (to stop it)
 *
 * A client lives until it is shut down or the state ends: what is subscribed goes on without
 * anybody holding the userdata. Every listener holds the loop, and so does a client whose writes
 * are not confirmed yet.
 */
#include "context.h"
#include "value.h"

#include "io/client.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT "instant.client"
#define LISTENER "instant.listener"

struct inst_lua_listener {
    struct inst_lua_listener *next;
    struct inst_lua_listener *prev;
    struct inst_lua_client *owner;
    struct inst_lua_listener **box; /* the userdata, NULL when there is none */
    uint64_t id;                    /* the reactor's; 0: called once, cannot be stopped */
    int ref;
    bool holds; /* the loop runs for it */
};

struct inst_lua_client {
    struct inst_lua_client *next;
    struct inst_lua *lua;
    struct inst_lua_client **box; /* the userdata, NULL when that was collected */
    struct inst_client *client;
    struct inst_lua_backend *backend; /* NULL: over the network */
    struct inst_lua_listener *listeners;
    struct inst_deferred bury; /* frees the reactor once nothing of it is on the stack */
    bool is_shut;
};

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

static void free_listener(struct inst_lua_listener *listener, bool unref) {
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

static void stop_listener(struct inst_lua_listener *listener) {
    if (listener->owner->client)
        inst_reactor_unsubscribe(inst_client_reactor(listener->owner->client), listener->id);
    free_listener(listener, true);
}

static int listener_stop(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 1, LISTENER);
    if (*box)
        stop_listener(*box);
    return 0;
}

static int listener_gc(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 1, LISTENER);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

/* ---- callbacks of the reactor ---- */

static void push_error(lua_State *L, const struct inst_reactor_error *error) {
    inst_lua_push_err(L, error->err, error->trace_id);
}

struct query_args {
    const struct inst_query_result *result;
    const struct inst_reactor_error *error;
};

static void set_part(lua_State *L, const char *name, const struct inst_value *value) {
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
        push_error(L, args->error);
        return 2;
    }
    lua_createtable(L, 0, 3);
    set_part(L, "data", args->result->data);
    set_part(L, "pageInfo", args->result->page_info);
    set_part(L, "aggregate", args->result->aggregate);
    return 1;
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    struct inst_lua_listener *listener = ctx;
    struct query_args args = {result, error};
    inst_lua_call(listener->owner->lua, listener->ref, push_query, &args);
}

/* Calls a listener that is called once, which is gone before its function runs. */
static void call_once(struct inst_lua_listener *listener, inst_lua_push_fn *push,
                      const void *args) {
    struct inst_lua *lua = listener->owner->lua;
    int ref = listener->ref;
    inst_loop_hold(lua->loop);
    free_listener(listener, false);
    inst_lua_call(lua, ref, push, args);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    inst_loop_release(lua->loop);
}

static void on_query_once(void *ctx, const struct inst_query_result *result,
                          const struct inst_reactor_error *error) {
    struct query_args args = {result, error};
    call_once(ctx, push_query, &args);
}

struct transact_args {
    const struct inst_transact_result *result;
    const struct inst_reactor_error *error;
};

static int push_transact(lua_State *L, const void *ctx) {
    const struct transact_args *args = ctx;
    if (args->error) {
        lua_pushnil(L);
        push_error(L, args->error);
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
    call_once(ctx, push_transact, &args);
}

struct mutation_args {
    const char *event_id;
    const struct inst_reactor_error *error;
};

static int push_mutation_error(lua_State *L, const void *ctx) {
    const struct mutation_args *args = ctx;
    push_error(L, args->error);
    lua_pushstring(L, args->event_id);
    return 2;
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
    push_error(L, args->error);
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

/* ---- methods ---- */

static struct inst_lua_client *check_client(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, CLIENT);
    if (!*box || (*box)->is_shut)
        luaL_error(L, "this client was shut down");
    return *box;
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
    luaL_getmetatable(L, LISTENER);
    lua_setmetatable(L, -2);
    return box;
}

/* What a subscribing function of the reactor looks like behind its own arguments. */
typedef enum inst_status subscribe_fn(struct inst_lua_client *client,
                                      struct inst_lua_listener *listener, lua_State *L,
                                      struct inst_err *err);

enum kind {
    WATCH,  /* called again and again: a reason to go on */
    LISTEN, /* the same, no reason */
    ONCE,
};

/* client, ..., function at fn_index -> listener, or nil and an error. */
static int subscribe(lua_State *L, int fn_index, subscribe_fn *fn, enum kind kind) {
    struct inst_lua_client *client = check_client(L);
    struct inst_lua *lua = client->lua;
    struct inst_err err = {0};
    struct inst_lua_listener **box = push_box(L);
    int top = lua_gettop(L);
    int ref = ref_function(L, fn_index);
    luaL_checkstack(L, 32, "arguments nested too deep");
    struct inst_lua_listener *listener = new_listener(client, ref, kind != LISTEN);
    if (!listener) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        inst_err_nomem(&err);
        return inst_lua_fail(L, &err);
    }
    if (kind != ONCE) {
        *box = listener;
        listener->box = box;
    }
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = fn(client, listener, L, &err);
    inst_lua_end(lua, scope);
    lua_settop(L, top);
    if (status == INST_OK)
        return 1;
    free_listener(listener, true);
    return inst_lua_fail(L, &err);
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
    return subscribe(L, 4, do_subscribe_query, WATCH);
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

static int client_query_once(lua_State *L) { return subscribe(L, 4, do_query_once, ONCE); }

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

static int client_transact(lua_State *L) { return subscribe(L, 3, do_transact, ONCE); }

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

static int client_transact_steps(lua_State *L) { return subscribe(L, 3, do_transact_steps, ONCE); }

static enum inst_status do_subscribe_status(struct inst_lua_client *client,
                                            struct inst_lua_listener *listener, lua_State *L,
                                            struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_connection_status(inst_client_reactor(client->client), on_status,
                                                    listener, &listener->id, err);
}

static int client_subscribe_status(lua_State *L) {
    return subscribe(L, 2, do_subscribe_status, WATCH);
}

static enum inst_status do_subscribe_app_status(struct inst_lua_client *client,
                                                struct inst_lua_listener *listener, lua_State *L,
                                                struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_app_status(inst_client_reactor(client->client), on_app_status,
                                             listener, &listener->id, err);
}

static int client_subscribe_app_status(lua_State *L) {
    return subscribe(L, 2, do_subscribe_app_status, WATCH);
}

static enum inst_status do_subscribe_mutation_errors(struct inst_lua_client *client,
                                                     struct inst_lua_listener *listener,
                                                     lua_State *L, struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_mutation_errors(inst_client_reactor(client->client),
                                                  on_mutation_error, listener, &listener->id, err);
}

static int client_subscribe_mutation_errors(lua_State *L) {
    return subscribe(L, 2, do_subscribe_mutation_errors, LISTEN);
}

static int client_status(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, CLIENT);
    if (!*box || (*box)->is_shut) {
        lua_pushliteral(L, "closed");
        return 1;
    }
    lua_pushstring(
        L, inst_connection_status_name(inst_reactor_status(inst_client_reactor((*box)->client))));
    return 1;
}

static int client_pending(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, CLIENT);
    size_t count = *box && !(*box)->is_shut
                       ? inst_reactor_unconfirmed_count(inst_client_reactor((*box)->client))
                       : 0;
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

/* ---- life ---- */

static void unlink_client(struct inst_lua_client *client) {
    for (struct inst_lua_client **at = &client->lua->clients; *at; at = &(*at)->next) {
        if (*at == client) {
            *at = client->next;
            return;
        }
    }
}

/* Frees the client, outside of its own callbacks. */
static void bury(void *ctx) {
    struct inst_lua_client *client = ctx;
    struct inst_client *inner = client->client;
    client->client = NULL;
    inst_client_free(inner);
    while (client->listeners)
        free_listener(client->listeners, true);
    inst_lua_backend_release(client->lua, client->backend);
    client->backend = NULL;
    unlink_client(client);
    if (client->box)
        *client->box = NULL;
    inst_loop_release(client->lua->loop);
    free(client);
}

static void shut(struct inst_lua_client *client, lua_State *L) {
    struct inst_lua *lua = client->lua;
    if (client->is_shut)
        return;
    client->is_shut = true;
    inst_loop_hold(lua->loop); /* until it is buried */
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    inst_reactor_shutdown(inst_client_reactor(client->client));
    /* Those that are called once hear of it: when a callback shuts its own client, after it. */
    for (struct inst_lua_listener *listener = client->listeners, *next; listener; listener = next) {
        next = listener->next;
        if (listener->id)
            stop_listener(listener);
    }
    inst_lua_end(lua, scope);
    inst_loop_defer(lua->loop, &client->bury);
}

static int client_shutdown(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, CLIENT);
    struct inst_lua_client *client = *box;
    luaL_checkstack(L, 32, NULL);
    if (client)
        shut(client, L);
    return 0;
}

/* A client whose userdata was dropped goes on for its listeners; the end of the state frees it. */
static int client_gc(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, CLIENT);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

void inst_lua_stop_clients(struct inst_lua *lua) {
    for (struct inst_lua_client *client = lua->clients, *next; client; client = next) {
        next = client->next;
        shut(client, lua->current);
    }
}

void inst_lua_free_clients(struct inst_lua *lua) {
    while (lua->clients) {
        struct inst_lua_client *client = lua->clients;
        inst_loop_undefer(lua->loop, &client->bury);
        if (!client->is_shut)
            inst_loop_hold(lua->loop); /* bury releases it */
        while (client->listeners)
            free_listener(client->listeners, false);
        bury(client);
    }
}

/* ---- core.client ---- */

static const char *opt_string(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1); /* the table keeps it alive */
    return text;
}

static bool opt_true(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    bool is_true = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_true;
}

static enum inst_status start_client(lua_State *L, struct inst_lua_client *client,
                                     struct inst_err *err) {
    struct inst_lua *lua = client->lua;
    struct inst_value schema;
    const char *local = opt_string(L, "local_path");
    const char *reconnect = opt_string(L, "reconnect");
    struct inst_client_config config = {
        .websocket_uri = opt_string(L, "websocket_uri"),
        .ca_file = opt_string(L, "ca_file"),
        .reactor =
            {
                .app_id = opt_string(L, "app_id"),
                .admin_token = opt_string(L, "admin_token"),
                .refresh_token = opt_string(L, "refresh_token"),
                .use_date_objects = opt_true(L, "use_date_objects"),
                .disable_validation = opt_true(L, "disable_validation"),
                .verbose = opt_true(L, "verbose"),
                .reconnect = reconnect && strcmp(reconnect, "linear") == 0
                                 ? INST_RECONNECT_LINEAR
                                 : INST_RECONNECT_EXPONENTIAL,
            },
    };
    lua_getfield(L, 1, "schema");
    enum inst_status status = inst_lua_to_value(L, -1, &lua->scratch, &schema, err);
    if (status != INST_OK)
        return status;
    if (schema.tag != INST_UNDEFINED)
        config.reactor.schema = &schema;
    if (local) {
        status = inst_lua_backend_open(lua, local, &client->backend, err);
        if (status != INST_OK)
            return status;
        config.backend = client->backend->backend;
        if (!config.reactor.app_id)
            config.reactor.app_id = inst_backend_app_id(config.backend);
    }
    status = inst_client_new(lua->loop, &config, &client->client, err);
    if (status != INST_OK)
        inst_lua_backend_release(lua, client->backend);
    return status;
}

static int core_client(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct inst_lua_client **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, CLIENT);
    lua_setmetatable(L, -2);
    struct inst_err err = {0};
    struct inst_lua_client *client = calloc(1, sizeof *client);
    if (!client) {
        inst_err_nomem(&err);
        return inst_lua_fail(L, &err);
    }
    client->lua = lua;
    client->bury = (struct inst_deferred){.fn = bury, .ctx = client};
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = start_client(L, client, &err);
    inst_lua_end(lua, scope);
    if (status != INST_OK) {
        free(client);
        return inst_lua_fail(L, &err);
    }
    client->next = lua->clients;
    lua->clients = client;
    *box = client;
    client->box = box;
    lua_settop(L, 2);
    if (client->backend)
        lua_pushstring(L, inst_backend_app_id(client->backend->backend));
    else
        lua_pushnil(L);
    return 2;
}

void inst_lua_open_client(lua_State *L) {
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
        {"shutdown", client_shutdown},
        {NULL, NULL},
    };
    luaL_newmetatable(L, CLIENT);
    lua_pushcfunction(L, client_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 10);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    luaL_newmetatable(L, LISTENER);
    lua_pushcfunction(L, listener_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, listener_stop);
    lua_setfield(L, -2, "stop");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
    lua_pushcfunction(L, core_client);
    lua_setfield(L, -2, "client");
}
