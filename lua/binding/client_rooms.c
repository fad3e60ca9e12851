/* client_rooms.c - rooms: methods of a client, over a connection of its own, for a connection is
 * one peer. lua/instant/rooms.lua turns them. */
#include "client.h"
#include "value.h"

#include "base/text.h"

#include <string.h>

/* A name that goes over the wire and comes back. */
static const char *check_name(lua_State *L, int index) {
    size_t len;
    const char *text = luaL_checklstring(L, index, &len);
    luaL_argcheck(L, strlen(text) == len, index, "a zero byte in it");
    luaL_argcheck(L, inst_text_is_utf8(text, len), index, "not UTF-8");
    return text;
}

/* ---- callbacks of the reactor ---- */

static int push_presence(lua_State *L, const void *ctx) {
    const struct inst_presence_slice *slice = ctx;
    lua_createtable(L, 0, 3);
    inst_lua_set_part(L, "user", slice->user);
    inst_lua_set_part(L, "peers", slice->peers);
    lua_pushboolean(L, slice->is_loading);
    lua_setfield(L, -2, "isLoading");
    if (slice->has_error) {
        inst_lua_push_problem(L, &slice->error);
        lua_setfield(L, -2, "error");
    }
    return 1;
}

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    struct inst_lua_listener *listener = ctx;
    inst_lua_call(listener->owner->lua, listener->ref, push_presence, slice);
}

struct topic_args {
    const struct inst_value *data;
    const struct inst_value *peer;
};

static int push_topic(lua_State *L, const void *ctx) {
    const struct topic_args *args = ctx;
    inst_lua_push_value(L, args->data);
    if (args->peer)
        inst_lua_push_value(L, args->peer);
    else
        lua_pushnil(L);
    return 2;
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    struct inst_lua_listener *listener = ctx;
    struct topic_args args = {data, peer};
    inst_lua_call(listener->owner->lua, listener->ref, push_topic, &args);
}

/* ---- options ---- */

struct options {
    struct inst_value all, keys, peers;
    struct inst_presence_options presence;
};

/* An empty table of Lua is no list by itself. */
static enum inst_status read_list(const struct inst_value *all, const char *name,
                                  struct inst_value *list, const struct inst_value **out,
                                  struct inst_err *err) {
    const struct inst_value *value = inst_getz(all, name);
    if (!value || inst_is_nullish(value))
        return INST_OK;
    if (value->tag != INST_ARRAY && (value->tag != INST_OBJECT || value->len))
        return inst_err_set(err, "validation-failed", 400, "`%s` must be a list.", name);
    *list = value->tag == INST_ARRAY ? *value : inst_array(NULL, 0);
    *out = list;
    return INST_OK;
}

/* {keys?, peers?, withoutUser?, initialPresence?}, or nil. */
static enum inst_status read_options(struct inst_lua *lua, lua_State *L, int index,
                                     struct options *options, struct inst_err *err) {
    *options = (struct options){0};
    enum inst_status status = inst_lua_to_value(L, index, &lua->scratch, &options->all, err);
    if (status != INST_OK || options->all.tag != INST_OBJECT)
        return status;
    struct inst_presence_options *presence = &options->presence;
    presence->without_user = inst_get_true(&options->all, "withoutUser");
    presence->initial_presence = inst_getz(&options->all, "initialPresence");
    status = read_list(&options->all, "keys", &options->keys, &presence->keys, err);
    if (status == INST_OK)
        status = read_list(&options->all, "peers", &options->peers, &presence->peers, err);
    return status;
}

/* ---- methods ---- */

/* client, type, id, options, function */
static enum inst_status do_subscribe_presence(struct inst_lua_client *client,
                                              struct inst_lua_listener *listener, lua_State *L,
                                              struct inst_err *err) {
    struct options options;
    struct inst_reactor *reactor = inst_client_own_reactor(client->client, err);
    enum inst_status status =
        reactor ? read_options(client->lua, L, 4, &options, err) : INST_FAILED;
    if (status != INST_OK)
        return status;
    listener->is_own = true;
    return inst_reactor_subscribe_presence(reactor, lua_tostring(L, 2), lua_tostring(L, 3),
                                           &options.presence, on_presence, listener, &listener->id,
                                           err);
}

static int client_subscribe_presence(lua_State *L) {
    check_name(L, 2);
    check_name(L, 3);
    return inst_lua_subscribe(L, 5, do_subscribe_presence, INST_LUA_WATCH);
}

/* client, type, id, topic, function */
static enum inst_status do_subscribe_topic(struct inst_lua_client *client,
                                           struct inst_lua_listener *listener, lua_State *L,
                                           struct inst_err *err) {
    struct inst_reactor *reactor = inst_client_own_reactor(client->client, err);
    listener->is_own = true;
    return reactor ? inst_reactor_subscribe_topic(reactor, lua_tostring(L, 2), lua_tostring(L, 3),
                                                  lua_tostring(L, 4), on_topic, listener,
                                                  &listener->id, err)
                   : INST_FAILED;
}

static int client_subscribe_topic(lua_State *L) {
    check_name(L, 2);
    check_name(L, 3);
    check_name(L, 4);
    return inst_lua_subscribe(L, 5, do_subscribe_topic, INST_LUA_WATCH);
}

/* What a call does with the value at the last index. */
typedef enum inst_status room_fn(struct inst_reactor *reactor, lua_State *L,
                                 const struct inst_value *value, struct inst_err *err);

/* ..., value at value_index -> true, or nil and an error. */
static int call(lua_State *L, int value_index, room_fn *fn) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    struct inst_err err = {0};
    struct inst_value value;
    lua_settop(L, value_index);
    luaL_checkstack(L, 32, "arguments nested too deep");
    struct inst_lua_scope scope = inst_lua_begin(client->lua, L);
    enum inst_status status =
        inst_lua_to_value(L, value_index, &client->lua->scratch, &value, &err);
    struct inst_reactor *reactor =
        status == INST_OK ? inst_client_own_reactor(client->client, &err) : NULL;
    status = reactor ? fn(reactor, L, &value, &err) : INST_FAILED;
    inst_lua_end(client->lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static enum inst_status do_join(struct inst_reactor *reactor, lua_State *L,
                                const struct inst_value *value, struct inst_err *err) {
    return inst_reactor_join_room(reactor, lua_tostring(L, 2), lua_tostring(L, 3), value, err);
}

static int client_join_room(lua_State *L) {
    check_name(L, 2);
    check_name(L, 3);
    return call(L, 4, do_join);
}

static enum inst_status do_publish_presence(struct inst_reactor *reactor, lua_State *L,
                                            const struct inst_value *value, struct inst_err *err) {
    return inst_reactor_publish_presence(reactor, lua_tostring(L, 2), value, err);
}

static int client_publish_presence(lua_State *L) {
    check_name(L, 2);
    return call(L, 3, do_publish_presence);
}

static enum inst_status do_publish_topic(struct inst_reactor *reactor, lua_State *L,
                                         const struct inst_value *value, struct inst_err *err) {
    struct inst_value nothing = inst_null();
    return inst_reactor_publish_topic(reactor, lua_tostring(L, 2), lua_tostring(L, 3),
                                      value->tag == INST_UNDEFINED ? &nothing : value, err);
}

static int client_publish_topic(lua_State *L) {
    check_name(L, 2);
    check_name(L, 3);
    return call(L, 4, do_publish_topic);
}

/* client, id; nothing when the client was shut down. */
static int client_leave_room(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    struct inst_lua_client *client = *box;
    const char *id = check_name(L, 2);
    luaL_checkstack(L, 32, NULL);
    if (!client || client->is_shut)
        return 0;
    struct inst_lua_scope scope = inst_lua_begin(client->lua, L);
    struct inst_reactor *reactor = inst_client_own_reactor(client->client, NULL);
    if (reactor)
        inst_reactor_leave_room(reactor, id);
    inst_lua_end(client->lua, scope);
    return 0;
}

/* client, id, options -> {user?, peers, isLoading, error?}, or nil: not in it. */
static int client_get_presence(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    struct inst_lua_client *client = *box;
    const char *id = check_name(L, 2);
    struct inst_err err = {0};
    struct options options;
    struct inst_presence_slice slice = {0};
    lua_settop(L, 3);
    luaL_checkstack(L, 32, NULL);
    if (!client || client->is_shut)
        return 0;
    struct inst_arena *arena = inst_lua_push_arena(L);
    struct inst_lua_scope scope = inst_lua_begin(client->lua, L);
    struct inst_reactor *reactor = inst_client_own_reactor(client->client, &err);
    enum inst_status status =
        reactor ? read_options(client->lua, L, 3, &options, &err) : INST_FAILED;
    if (status == INST_OK)
        status = inst_reactor_get_presence(reactor, id, &options.presence, arena, &slice, &err);
    inst_lua_end(client->lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    if (!slice.peers)
        return 0;
    push_presence(L, &slice);
    inst_arena_free(arena);
    return 1;
}

void inst_lua_add_rooms(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"join_room", client_join_room},
        {"leave_room", client_leave_room},
        {"publish_presence", client_publish_presence},
        {"get_presence", client_get_presence},
        {"subscribe_presence", client_subscribe_presence},
        {"publish_topic", client_publish_topic},
        {"subscribe_topic", client_subscribe_topic},
        {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
