/* client_user.c - the methods of core.client{...} about who is signed in, and the schema. */
#include "client.h"
#include "value.h"

/* ---- changing ---- */

typedef enum inst_status set_fn(struct inst_client *client, const struct inst_value *user,
                                struct inst_err *err);

/* client, user or nil -> true, or nil and an error. */
static int set(lua_State *L, set_fn *fn) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    struct inst_lua *lua = client->lua;
    struct inst_value user;
    struct inst_err err = {0};
    lua_settop(L, 2);
    luaL_checkstack(L, 32, NULL);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 2, &lua->scratch, &user, &err);
    if (status == INST_OK)
        status = fn(client->client, user.tag == INST_UNDEFINED ? NULL : &user, &err);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* What later calls are checked against, and results shaped by. */
static int client_set_schema(lua_State *L) { return set(L, inst_client_set_schema); }

static int client_set_user(lua_State *L) { return set(L, inst_client_set_user); }

static enum inst_status loaded(struct inst_client *client, const struct inst_value *user,
                               struct inst_err *err) {
    return inst_reactor_user_loaded(inst_client_reactor(client), user, err);
}

/* Who it is, from the vault. */
static int client_user_loaded(lua_State *L) { return set(L, loaded); }

/* ---- reading ---- */

static int client_user(lua_State *L) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    const struct inst_value *user = inst_reactor_user(inst_client_reactor(client->client));
    if (user)
        inst_lua_push_value(L, user);
    else
        lua_pushnil(L);
    return 1;
}

static int client_is_user_known(lua_State *L) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    lua_pushboolean(L, inst_reactor_is_user_known(inst_client_reactor(client->client)));
    return 1;
}

static int push_user(lua_State *L, const void *ctx) {
    if (ctx)
        inst_lua_push_value(L, ctx);
    else
        lua_pushnil(L);
    return 1;
}

static void on_user(void *ctx, const struct inst_value *user) {
    struct inst_lua_listener *listener = ctx;
    inst_lua_call(listener->owner->lua, listener->ref, push_user, user);
}

static enum inst_status do_subscribe(struct inst_lua_client *client,
                                     struct inst_lua_listener *listener, lua_State *L,
                                     struct inst_err *err) {
    (void)L;
    return inst_reactor_subscribe_user(inst_client_reactor(client->client), on_user, listener,
                                       &listener->id, err);
}

static int client_subscribe_user(lua_State *L) {
    return inst_lua_subscribe(L, 2, do_subscribe, INST_LUA_WATCH);
}

/* The same for the client's own ends: nobody waits for it. */
static int client_listen_user(lua_State *L) {
    return inst_lua_subscribe(L, 2, do_subscribe, INST_LUA_LISTEN);
}

void inst_lua_add_user(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"set_schema", client_set_schema},       {"set_user", client_set_user},
        {"user_loaded", client_user_loaded},     {"user", client_user},
        {"is_user_known", client_is_user_known}, {"subscribe_user", client_subscribe_user},
        {"listen_user", client_listen_user},     {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
