/* client.c - core.client{...}: how a client is made and how it ends. */
#include "client.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static void unlink_client(struct inst_lua_client *client) {
    for (struct inst_lua_client **at = &client->lua->clients; *at; at = &(*at)->next) {
        if (*at == client) {
            *at = client->next;
            return;
        }
    }
}

static void on_overdue(void *ctx) {
    struct inst_lua_client *client = ctx;
    client->is_overdue = true;
    inst_loop_defer(client->lua->loop, &client->bury);
}

/* An app's own storage has yet to answer: it calls for the burial when it does. */
static bool waits_for_disk(struct inst_lua_client *client) {
    if (!client->disk || client->is_overdue || inst_client_is_finished(client->client))
        return false;
    if (!client->patience &&
        inst_timer_new(client->lua->loop, on_overdue, client, &client->patience, NULL) != INST_OK)
        return false;
    inst_timer_start(client->patience, INST_LUA_DISK_MS, 0);
    return true;
}

/* Frees the client, outside of its own callbacks. */
static void bury(void *ctx) {
    struct inst_lua_client *client = ctx;
    struct inst_client *inner = client->client;
    if (waits_for_disk(client))
        return;
    inst_timer_free(client->patience);
    client->client = NULL;
    inst_client_free(inner);
    inst_lua_carrier_free(client->carrier);
    client->carrier = NULL;
    while (client->listeners)
        inst_lua_free_listener(client->listeners, true);
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
    inst_client_shutdown(client->client);
    /* Those that are called once hear of it: when a callback shuts its own client, after it. */
    for (struct inst_lua_listener *listener = client->listeners, *next; listener; listener = next) {
        next = listener->next;
        if (listener->id)
            inst_lua_stop_listener(listener);
    }
    inst_lua_end(lua, scope);
    inst_loop_defer(lua->loop, &client->bury);
}

static int client_shutdown(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    struct inst_lua_client *client = *box;
    luaL_checkstack(L, 32, NULL);
    if (client)
        shut(client, L);
    return 0;
}

/* A client whose userdata was dropped goes on for its listeners; the end of the state frees it. */
static int client_gc(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
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
        inst_lua_disk_mute(client);
        inst_lua_carrier_mute(client->carrier);
        client->is_overdue = true;
        if (!client->is_shut)
            inst_loop_hold(lua->loop); /* bury releases it */
        while (client->listeners)
            inst_lua_free_listener(client->listeners, false);
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

static int64_t opt_ms(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Number ms = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return ms > 0 && ms < 1e9 ? (int64_t)ms : 0;
}

static bool opt_true(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    bool is_true = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_true;
}

static bool has_function(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    bool is_function = lua_isfunction(L, -1);
    lua_pop(L, 1);
    return is_function;
}

static enum inst_status take_carrier(lua_State *L, struct inst_lua_client *client,
                                     struct inst_client_config *config, struct inst_err *err) {
    lua_getfield(L, 1, "carrier");
    client->carrier = inst_lua_carrier_new(client->lua, luaL_ref(L, LUA_REGISTRYINDEX));
    if (!client->carrier)
        return inst_err_nomem(err);
    config->carrier = inst_lua_carrier_base(client->carrier);
    return INST_OK;
}

static struct inst_disk *take_disk(lua_State *L, struct inst_lua_client *client) {
    lua_getfield(L, 1, "disk");
    return inst_lua_disk_new(client, luaL_ref(L, LUA_REGISTRYINDEX));
}

static enum inst_status start_client(lua_State *L, struct inst_lua_client *client,
                                     struct inst_err *err) {
    struct inst_lua *lua = client->lua;
    struct inst_value schema;
    const char *local = opt_string(L, "local_path");
    const char *reconnect = opt_string(L, "reconnect");
    struct inst_client_config config = {
        .websocket_uri = opt_string(L, "websocket_uri"),
        .api_uri = opt_string(L, "api_uri"),
        .ca_file = opt_string(L, "ca_file"),
        .open_ms = opt_ms(L, "connect_timeout"),
        .has_own_connection = opt_true(L, "own_connection"),
        .watches_network = opt_string(L, "network") != NULL,
        .storage = opt_string(L, "storage"),
        .reactor =
            {
                .app_id = opt_string(L, "app_id"),
                .admin_token = opt_string(L, "admin_token"),
                .refresh_token = opt_string(L, "refresh_token"),
                .awaits_user = opt_true(L, "awaits_user"),
                .use_date_objects = opt_true(L, "use_date_objects"),
                .disable_validation = opt_true(L, "disable_validation"),
                .verbose = opt_true(L, "verbose"),
                .reconnect = reconnect && strcmp(reconnect, "linear") == 0
                                 ? INST_RECONNECT_LINEAR
                                 : INST_RECONNECT_EXPONENTIAL,
            },
    };
    lua_getfield(L, 1, "vault");
    config.vault = inst_lua_vault(L, -1);
    config.vault_scope = opt_string(L, "vault_scope");
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
    if (has_function(L, "carrier"))
        status = take_carrier(L, client, &config, err);
    if (status == INST_OK && has_function(L, "disk") && !(config.disk = take_disk(L, client)))
        status = inst_err_nomem(err);
    if (status == INST_OK)
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
    luaL_getmetatable(L, INST_LUA_CLIENT);
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
        inst_lua_carrier_free(client->carrier);
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
    luaL_newmetatable(L, INST_LUA_CLIENT);
    lua_pushcfunction(L, client_gc);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_pushcfunction(L, client_shutdown);
    lua_setfield(L, -2, "shutdown");
    inst_lua_add_calls(L);
    inst_lua_add_rooms(L);
    inst_lua_add_sync(L);
    inst_lua_add_streams(L);
    inst_lua_add_network(L);
    inst_lua_add_storage(L);
    inst_lua_add_user(L);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    inst_lua_open_listener(L);
    inst_lua_open_carrier(L);
    lua_pushcfunction(L, core_client);
    lua_setfield(L, -2, "client");
}
