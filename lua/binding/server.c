/*
 * server.c - core.server{data=, host=, port=, ...}: a backend with its port. It holds the loop
 * until its close is through.
 */
#include "context.h"
#include "s3.h"
#include "script.h"
#include "script_load.h"
#include "value.h"

#include "io/operator.h"
#include "io/ws_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER "instant.server"

struct inst_lua_server {
    struct inst_lua_server *next;
    struct inst_lua *lua;
    struct inst_backend *backend;
    struct inst_ws_server *ws;
    struct inst_operator *op;
    struct inst_scripts *scripts; /* NULL: no app has one */
    struct inst_lua_server **box; /* the userdata, NULL when that was collected */
    int on_closed;                /* LUA_NOREF: nobody asked */
    bool is_closing;
};

static void free_server(struct inst_lua_server *server) {
    struct inst_lua *lua = server->lua;
    for (struct inst_lua_server **at = &lua->servers; *at; at = &(*at)->next) {
        if (*at == server) {
            *at = server->next;
            break;
        }
    }
    if (server->box)
        *server->box = NULL;
    inst_ws_server_free(server->ws);
    inst_operator_free(server->op);
    inst_scripts_free(server->scripts);
    inst_backend_close(server->backend);
    inst_loop_release(lua->loop);
    free(server);
}

static void on_drained(void *ctx) {
    struct inst_lua_server *server = ctx;
    struct inst_lua *lua = server->lua;
    int ref = server->on_closed;
    inst_loop_hold(lua->loop);
    free_server(server);
    if (ref != LUA_NOREF) {
        inst_lua_call(lua, ref, NULL, NULL);
        luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    }
    inst_loop_release(lua->loop);
}

static struct inst_lua_server *check_server(lua_State *L) {
    struct inst_lua_server **box = luaL_checkudata(L, 1, SERVER);
    if (!*box)
        luaL_error(L, "this server was closed");
    return *box;
}

/* close(fn): fn, if given, is called when all connections are gone and the files are closed. */
static int server_close(lua_State *L) {
    struct inst_lua_server **box = luaL_checkudata(L, 1, SERVER);
    struct inst_lua_server *server = *box;
    if (!server || server->is_closing)
        return 0;
    if (lua_type(L, 2) == LUA_TFUNCTION) {
        lua_pushvalue(L, 2);
        server->on_closed = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    server->is_closing = true;
    inst_ws_server_close(server->ws, on_drained, server);
    return 0;
}

static int server_gc(lua_State *L) {
    struct inst_lua_server **box = luaL_checkudata(L, 1, SERVER);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

/* set_origin(url, is_guess): what addresses that it gives out begin with. */
static int server_set_origin(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    const char *origin = luaL_checkstring(L, 2);
    struct inst_err err = {0};
    bool is_guess = lua_toboolean(L, 3);
    if (inst_backend_set_origin(server->backend, origin, is_guess, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* allow_ephemeral(is_allowed): may anybody make an app that expires? */
static int server_allow_ephemeral(lua_State *L) {
    inst_backend_allow_ephemeral(check_server(L)->backend, lua_toboolean(L, 2));
    return 0;
}

/* allow_host(host): sign-in providers there may be asked, wherever it is. */
static int server_allow_host(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    const char *host = luaL_checkstring(L, 2);
    struct inst_err err = {0};
    if (inst_backend_allow_host(server->backend, host, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* set_mail(how): how codes are mailed (core/io/mail.h). */
static int server_set_mail(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    const char *how = luaL_checkstring(L, 2);
    struct inst_err err = {0};
    if (inst_backend_set_mail(server->backend, how, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* set_script{...}: see script_load.h. */
static int server_set_script(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    return inst_lua_set_script(L, server->backend, &server->scripts);
}

static int server_schedules(lua_State *L) {
    return inst_lua_schedules(L, check_server(L)->scripts);
}

static int server_run_schedule(lua_State *L) {
    return inst_lua_run_schedule(L, check_server(L)->scripts);
}

/* reload_tls(): certificate and key are read again. */
static int server_reload_tls(lua_State *L) {
    struct inst_err err = {0};
    if (inst_ws_server_reload_tls(check_server(L)->ws, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int server_port(lua_State *L) {
    lua_pushinteger(L, inst_ws_server_port(check_server(L)->ws));
    return 1;
}

static void push_app(void *ctx, const struct inst_app_info *info) {
    lua_State *L = ctx;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, info->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, info->title);
    lua_setfield(L, -2, "title");
    lua_pushnumber(L, (lua_Number)info->created_ms);
    lua_setfield(L, -2, "createdAt");
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
}

static int server_apps(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    struct inst_err err = {0};
    lua_createtable(L, 4, 0);
    if (inst_backend_each_app(server->backend, push_app, L, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    return 1;
}

/* create_app(title, schema) -> {id, title, adminToken} */
static int server_create_app(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    const char *title = luaL_checkstring(L, 2);
    struct inst_lua *lua = server->lua;
    struct inst_err err = {0};
    struct inst_value schema;
    struct inst_app_info info;
    char token[INST_UUID_TEXT + 1];
    lua_settop(L, 3);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 3, &lua->scratch, &schema, &err);
    if (status == INST_OK)
        status = inst_server_create_app(inst_backend_server(server->backend), title,
                                        schema.tag == INST_UNDEFINED ? NULL : &schema, 0, &info,
                                        token, &err);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, info.id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, info.title);
    lua_setfield(L, -2, "title");
    lua_pushstring(L, token);
    lua_setfield(L, -2, "adminToken");
    return 1;
}

/* add_operator(name) -> token */
static int server_add_operator(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    const char *name = luaL_checkstring(L, 2);
    char token[INST_OPERATOR_TOKEN + 1];
    struct inst_err err = {0};
    if (inst_server_add_operator(inst_backend_server(server->backend), name, token, &err) !=
        INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushstring(L, token);
    return 1;
}

static int server_has_operator(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    bool has_one = false;
    struct inst_err err = {0};
    if (inst_server_has_operator(inst_backend_server(server->backend), &has_one, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, has_one);
    return 1;
}

/* app_status(id) -> "active", ...; app_status(id, status) changes it first */
static int server_app_status(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    struct inst_server *engine = inst_backend_server(server->backend);
    const char *id = luaL_checkstring(L, 2), *wanted = luaL_optstring(L, 3, NULL), *now = NULL;
    struct inst_err err = {0};
    struct inst_lua_scope scope = inst_lua_begin(server->lua, L);
    enum inst_status status =
        wanted ? inst_server_set_app_status(engine, id, wanted, &err) : INST_OK;
    if (status == INST_OK)
        status = inst_server_app_status(engine, id, &now, &err);
    inst_lua_end(server->lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushstring(L, now);
    return 1;
}

static int server_stats(lua_State *L) {
    struct inst_lua_server *server = check_server(L);
    struct inst_server_stats stats;
    inst_server_stats(inst_backend_server(server->backend), &stats);
    const struct {
        const char *name;
        double value;
    } counters[] = {
        {"transactions", (double)stats.transactions},
        {"commits", (double)stats.commits},
        {"computationsRun", (double)stats.computations_run},
        {"refreshesSent", (double)stats.refreshes_sent},
        {"sessions", (double)stats.sessions},
        {"subscriptions", (double)stats.subscriptions},
        {"computations", (double)stats.computations},
        {"connections", (double)inst_ws_server_connections(server->ws)},
    };
    lua_createtable(L, 0, 8);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        lua_pushinteger(L, (lua_Integer)counters[i].value);
        lua_setfield(L, -2, counters[i].name);
    }
    return 1;
}

void inst_lua_stop_servers(struct inst_lua *lua) {
    for (struct inst_lua_server *server = lua->servers; server; server = server->next) {
        if (server->is_closing)
            continue;
        server->is_closing = true;
        inst_ws_server_close(server->ws, on_drained, server);
    }
}

void inst_lua_free_servers(struct inst_lua *lua) {
    while (lua->servers)
        free_server(lua->servers);
}

/* Tells who owns the folder how to ask this server. */
static enum inst_status announce(struct inst_lua_server *server, const char *data, const char *host,
                                 bool is_tls, struct inst_err *err) {
    char url[300];
    int port = inst_ws_server_port(server->ws);
    if (!host || strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    snprintf(url, sizeof url, strchr(host, ':') ? "%s://[%s]:%d" : "%s://%s:%d",
             is_tls ? "https" : "http", host, port);
    enum inst_status status =
        inst_operator_new(server->lua->loop, server->backend, data, url, &server->op, err);
    if (status == INST_OK)
        inst_ws_server_set_operator(server->ws, server->op);
    return status;
}

/* ---- options: a table at 1, whose texts stay on the stack ---- */

static double number_option(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Number number = luaL_optnumber(L, -1, 0);
    if (!(number >= 0 && number < 9007199254740992.0))
        luaL_error(L, "`%s` must be a number that is not negative", name);
    lua_pop(L, 1);
    return number;
}

static const char *text_option(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    return luaL_optstring(L, -1, NULL);
}

static void read_options(lua_State *L, struct inst_ws_server_config *config) {
    *config = (struct inst_ws_server_config){
        .host = text_option(L, "host"),
        .metrics_token = text_option(L, "metricsToken"),
        .tls_cert = text_option(L, "tlsCert"),
        .tls_key = text_option(L, "tlsKey"),
        .port = (int)number_option(L, "port"),
        .max_upload = (uint64_t)number_option(L, "maxFileSize"),
        .max_body = (size_t)number_option(L, "maxBodySize"),
        .max_message = (size_t)number_option(L, "maxMessageSize"),
        .max_queued = (size_t)number_option(L, "maxQueued"),
        .peers = {.max_connections = (size_t)number_option(L, "maxConnections"),
                  .max_per_ip = (size_t)number_option(L, "maxPerAddress"),
                  .rate = number_option(L, "rate")},
        .message_rate = number_option(L, "messageRate"),
        .trusted_hops = (unsigned)number_option(L, "trustedHops"),
        .drain_ms = (int64_t)(number_option(L, "drain") * 1000),
    };
}

static int core_server(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "data");
    const char *data = luaL_checkstring(L, 2);
    luaL_checkstack(L, 20, NULL);
    struct inst_ws_server_config config;
    struct inst_s3_config s3;
    read_options(L, &config);
    bool has_s3 = inst_lua_s3_option(L, &s3);
    luaL_argcheck(L, !config.tls_cert == !config.tls_key, 1, "needs both `tlsCert` and `tlsKey`");
    struct inst_lua_server **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, SERVER);
    lua_setmetatable(L, -2);
    struct inst_err err = {0};
    struct inst_lua_server *server = calloc(1, sizeof *server);
    if (!server) {
        inst_err_nomem(&err);
        return inst_lua_fail(L, &err);
    }
    server->lua = lua;
    server->on_closed = LUA_NOREF;
    enum inst_status status = inst_backend_open(lua->loop, data, false, &server->backend, &err);
    if (status == INST_OK && has_s3)
        status = inst_backend_use_s3(server->backend, &s3, &err);
    /* The port opens last: whoever finds it open finds the backend ready. */
    if (status == INST_OK)
        status = inst_ws_server_new(lua->loop, server->backend, &config, &server->ws, &err);
    if (status == INST_OK)
        status = announce(server, data, config.host, config.tls_cert != NULL, &err);
    if (status != INST_OK) {
        inst_ws_server_free(server->ws);
        inst_backend_close(server->backend);
        free(server);
        return inst_lua_fail(L, &err);
    }
    inst_loop_hold(lua->loop);
    server->next = lua->servers;
    lua->servers = server;
    server->box = box;
    *box = server;
    return 1;
}

void inst_lua_open_server(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"port", server_port},
        {"reload_tls", server_reload_tls},
        {"set_origin", server_set_origin},
        {"allow_host", server_allow_host},
        {"allow_ephemeral", server_allow_ephemeral},
        {"set_mail", server_set_mail},
        {"set_script", server_set_script},
        {"schedules", server_schedules},
        {"run_schedule", server_run_schedule},
        {"apps", server_apps},
        {"create_app", server_create_app},
        {"stats", server_stats},
        {"close", server_close},
        {"app_status", server_app_status},
        {"add_operator", server_add_operator},
        {"has_operator", server_has_operator},
        {NULL, NULL},
    };
    luaL_newmetatable(L, SERVER);
    lua_pushcfunction(L, server_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 6);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_server);
    lua_setfield(L, -2, "server");
}
