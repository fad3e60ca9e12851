/* client_streams.c - streams: methods of a client. lua/instant/streams.lua turns them. */
#include "client.h"
#include "value.h"

#include "client/streams.h"

/* Every stream is a listener; its number is listener->id. */
static struct inst_lua_listener *check_stream(lua_State *L) {
    struct inst_lua_listener **box = luaL_checkudata(L, 2, INST_LUA_LISTENER);
    return *box && (*box)->owner->client ? *box : NULL;
}

/* ---- writing ---- */

static int push_writer(lua_State *L, const void *ctx) {
    static const char *const kinds[] = {"started", "flushed", "done", "failed"};
    const struct inst_writer_event *event = ctx;
    lua_pushstring(L, kinds[event->kind]);
    lua_pushnumber(L, (lua_Number)event->unflushed);
    if (event->error)
        inst_lua_push_problem(L, event->error);
    else if (event->stream_id)
        lua_pushstring(L, event->stream_id);
    else
        lua_pushnil(L);
    return 3;
}

static void on_writer(void *ctx, const struct inst_writer_event *event) {
    struct inst_lua_listener *listener = ctx;
    inst_lua_call(listener->owner->lua, listener->ref, push_writer, event);
}

/* A stream stays with the connection that it was begun on, and so with its user: it must not be one
 * that other clients share. */
static struct inst_reactor *own_reactor(struct inst_lua_client *client,
                                        struct inst_lua_listener *listener, struct inst_err *err) {
    listener->is_own = true;
    return inst_client_own_reactor(client->client, err);
}

static enum inst_status do_write_stream(struct inst_lua_client *client,
                                        struct inst_lua_listener *listener, lua_State *L,
                                        struct inst_err *err) {
    struct inst_value name, params;
    struct inst_arena *arena = &client->lua->scratch;
    enum inst_status status = inst_lua_to_value(L, 2, arena, &name, err);
    if (status == INST_OK)
        status = inst_lua_to_value(L, 3, arena, &params, err);
    if (status == INST_OK && name.tag != INST_STRING)
        status = inst_err_set(err, "validation-failed", 400, "A stream needs a clientId.");
    if (status != INST_OK)
        return status;
    struct inst_reactor *reactor = own_reactor(client, listener, err);
    return reactor ? inst_reactor_create_write_stream(reactor, name.u.str, name.len, &params,
                                                      on_writer, listener, &listener->id, err)
                   : INST_FAILED;
}

/* client, clientId, ruleParams, fn(kind, unflushed, streamId or err) -> stream */
static int client_write_stream(lua_State *L) {
    return inst_lua_subscribe(L, 4, do_write_stream, INST_LUA_WATCH);
}

/* client, stream, text -> unflushed, or nil and an error */
static int client_stream_write(lua_State *L) {
    struct inst_lua_listener *listener = check_stream(L);
    size_t len, unflushed = 0;
    const char *text = luaL_checklstring(L, 3, &len);
    struct inst_err err = {0};
    if (!listener) {
        inst_err_set(&err, "stream-closed", 0, "Stream has been closed.");
        return inst_lua_fail(L, &err);
    }
    struct inst_lua *lua = listener->owner->lua;
    luaL_checkstack(L, 32, NULL);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    struct inst_reactor *reactor = inst_client_own_reactor(listener->owner->client, &err);
    enum inst_status status =
        reactor ? inst_reactor_stream_write(reactor, listener->id, text, len, &unflushed, &err)
                : INST_FAILED;
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushnumber(L, (lua_Number)unflushed);
    return 1;
}

/* client, stream, abort reason or nil -> true, or nil and an error */
static int client_stream_close(lua_State *L) {
    struct inst_lua_listener *listener = check_stream(L);
    const char *reason = luaL_optstring(L, 3, NULL);
    struct inst_err err = {0};
    if (!listener) {
        inst_err_set(&err, "stream-closed", 0, "Stream has been closed.");
        return inst_lua_fail(L, &err);
    }
    struct inst_lua *lua = listener->owner->lua;
    luaL_checkstack(L, 32, NULL);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    struct inst_reactor *reactor = inst_client_own_reactor(listener->owner->client, &err);
    enum inst_status status =
        reactor ? inst_reactor_stream_close(reactor, listener->id, reason, &err) : INST_FAILED;
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- reading ---- */

static int push_reader(lua_State *L, const void *ctx) {
    static const char *const kinds[] = {"started", "text", "fetch", "done", "failed"};
    const struct inst_reader_event *event = ctx;
    lua_pushstring(L, kinds[event->kind]);
    switch (event->kind) {
    case INST_READER_STARTED:
        lua_pushstring(L, event->stream_id);
        return 2;
    case INST_READER_TEXT:
        lua_pushlstring(L, event->bytes, event->len);
        return 2;
    case INST_READER_FETCH:
        lua_pushstring(L, event->url);
        lua_pushnumber(L, (lua_Number)event->fetch);
        return 3;
    case INST_READER_DONE:
        lua_pushstring(L, event->abort_reason); /* NULL: nil */
        return 2;
    default:
        inst_lua_push_problem(L, event->error);
        return 2;
    }
}

static void on_reader(void *ctx, const struct inst_reader_event *event) {
    struct inst_lua_listener *listener = ctx;
    inst_lua_call(listener->owner->lua, listener->ref, push_reader, event);
}

static enum inst_status do_read_stream(struct inst_lua_client *client,
                                       struct inst_lua_listener *listener, lua_State *L,
                                       struct inst_err *err) {
    struct inst_value values[3];
    struct inst_read_stream_options options = {
        .client_id = &values[0],
        .stream_id = &values[1],
        .rule_params = &values[2],
        .byte_offset = (uint64_t)lua_tonumber(L, 5),
    };
    for (int i = 0; i < 3; i++) {
        enum inst_status status =
            inst_lua_to_value(L, 2 + i, &client->lua->scratch, &values[i], err);
        if (status != INST_OK)
            return status;
    }
    struct inst_reactor *reactor = own_reactor(client, listener, err);
    return reactor ? inst_reactor_create_read_stream(reactor, &options, on_reader, listener,
                                                     &listener->id, err)
                   : INST_FAILED;
}

/* client, clientId, streamId, ruleParams, offset, fn(kind, ...) -> stream */
static int client_read_stream(lua_State *L) {
    return inst_lua_subscribe(L, 6, do_read_stream, INST_LUA_WATCH);
}

/* client, stream, fetch, bytes: a piece of the download; true or false instead: it is over. */
static int client_stream_fetched(lua_State *L) {
    struct inst_lua_listener *listener = check_stream(L);
    uint64_t fetch = (uint64_t)luaL_checknumber(L, 3);
    if (!listener)
        return 0;
    struct inst_lua *lua = listener->owner->lua;
    struct inst_reactor *r = inst_client_own_reactor(listener->owner->client, NULL);
    size_t len = 0;
    const char *bytes = lua_type(L, 4) == LUA_TSTRING ? lua_tolstring(L, 4, &len) : NULL;
    bool is_whole = lua_toboolean(L, 4);
    uint64_t id = listener->id;
    luaL_checkstack(L, 32, NULL);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    if (r && bytes)
        inst_reactor_stream_fetched(r, id, fetch, bytes, len);
    else if (r)
        inst_reactor_stream_fetch_done(r, id, fetch, is_whole);
    inst_lua_end(lua, scope);
    return 0;
}

void inst_lua_add_streams(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"write_stream", client_write_stream},     {"stream_write", client_stream_write},
        {"stream_close", client_stream_close},     {"read_stream", client_read_stream},
        {"stream_fetched", client_stream_fetched}, {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
