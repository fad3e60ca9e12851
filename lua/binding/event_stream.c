/*
 * event_stream.c - backend:http(method, path, query, headers, body, fn): one request to a backend
 * in this process. When its answer is an event stream, fn(text) is called with each message, from
 * the loop, and fn(nil) when the backend ends it. The stream holds the loop until then or its
 * close.
 */
#include "context.h"

#include "io/shared_queue.h"
#include "server/http.h"

#include <stdlib.h>

#define STREAM "instant.event_stream"

/* Messages that wait for a program that does not run its loop, bytes. */
#define MAX_QUEUED (64u << 20)

struct inst_lua_event_stream {
    struct inst_connection base; /* first: what the engine sends to */
    struct inst_lua_event_stream *next;
    struct inst_lua_event_stream *prev;
    struct inst_lua *lua;
    struct inst_local_backend *backend; /* a reference */
    struct inst_session *session;
    struct inst_shared_queue queue;
    struct inst_deferred deliver;
    struct inst_lua_event_stream **box; /* the userdata, NULL when that was collected */
    int ref;
    bool is_ended;    /* by the backend, or because too much waits */
    bool is_shutdown; /* by the program's end */
};

static void free_stream(struct inst_lua_event_stream *stream) {
    struct inst_lua *lua = stream->lua;
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        lua->event_streams = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    if (stream->box)
        *stream->box = NULL;
    inst_loop_undefer(lua->loop, &stream->deliver);
    if (stream->session)
        inst_session_close(stream->session);
    inst_shared_queue_clear(&stream->queue);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, stream->ref);
    inst_lua_backend_release(lua, stream->backend);
    inst_loop_release(lua->loop);
    free(stream);
}

/* ---- from the engine ---- */

static void stream_send(struct inst_connection *connection, struct inst_shared *message) {
    struct inst_lua_event_stream *stream = (struct inst_lua_event_stream *)connection;
    if (stream->is_ended)
        return;
    /* A gap would be worse than a new stream. */
    if (!inst_shared_queue_push(&stream->queue, message, MAX_QUEUED))
        stream->is_ended = true;
    inst_loop_defer(stream->lua->loop, &stream->deliver);
}

static void stream_end(struct inst_connection *connection) {
    struct inst_lua_event_stream *stream = (struct inst_lua_event_stream *)connection;
    stream->is_ended = true;
    inst_loop_defer(stream->lua->loop, &stream->deliver);
}

static size_t stream_backlog(struct inst_connection *connection) {
    return ((struct inst_lua_event_stream *)connection)->queue.bytes;
}

static const struct inst_connection_ops stream_ops = {
    .send = stream_send, .close = stream_end, .backlog = stream_backlog};

/* ---- to Lua ---- */

static int push_message(lua_State *L, const void *args) {
    const struct inst_shared *message = args;
    lua_pushlstring(L, message->data, message->len);
    return 1;
}

static int push_end(lua_State *L, const void *args) {
    lua_pushnil(L);
    lua_pushboolean(L, *(const bool *)args);
    return 2;
}

/* One message a call: what the function does may close the stream. */
static void deliver(void *ctx) {
    struct inst_lua_event_stream *stream = ctx;
    struct inst_lua *lua = stream->lua;
    struct inst_shared *message = inst_shared_queue_first(&stream->queue);
    if (message) {
        inst_shared_ref(message);
        inst_shared_queue_drop_first(&stream->queue);
        if (stream->queue.count > 0 || stream->is_ended)
            inst_loop_defer(lua->loop, &stream->deliver);
        else
            inst_session_drained(stream->session);
        inst_lua_call(lua, stream->ref, push_message, message);
        inst_shared_unref(message);
    } else if (stream->is_ended) {
        int ref = stream->ref;
        bool is_shutdown = stream->is_shutdown;
        stream->ref = LUA_NOREF;
        inst_loop_hold(lua->loop);
        free_stream(stream);
        inst_lua_call(lua, ref, push_end, &is_shutdown);
        luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
        inst_loop_release(lua->loop);
    }
}

static int stream_close(lua_State *L) {
    struct inst_lua_event_stream **box = luaL_checkudata(L, 1, STREAM);
    if (*box)
        free_stream(*box);
    return 0;
}

/* One that nobody holds on to goes on. */
static int stream_gc(lua_State *L) {
    struct inst_lua_event_stream **box = luaL_checkudata(L, 1, STREAM);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

/* ---- asking ---- */

struct inst_lua_event_stream *
inst_lua_event_stream_new(lua_State *L, struct inst_local_backend *backend, int fn) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_lua_event_stream **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, STREAM);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, fn);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct inst_lua_event_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        luaL_error(L, "not enough memory");
        return NULL;
    }
    *stream = (struct inst_lua_event_stream){.base = {.ops = &stream_ops},
                                             .next = lua->event_streams,
                                             .lua = lua,
                                             .backend = backend,
                                             .box = box,
                                             .ref = ref};
    stream->deliver = (struct inst_deferred){.fn = deliver, .ctx = stream};
    if (stream->next)
        stream->next->prev = stream;
    lua->event_streams = stream;
    backend->refs++;
    inst_loop_hold(lua->loop);
    *box = stream;
    return stream;
}

struct inst_connection *inst_lua_event_stream_connection(struct inst_lua_event_stream *stream) {
    return &stream->base;
}

bool inst_lua_event_stream_begin(struct inst_lua_event_stream *stream,
                                 struct inst_session *session) {
    stream->session = session;
    if (!session)
        free_stream(stream);
    return session != NULL;
}

void inst_lua_free_event_streams(struct inst_lua *lua) {
    while (lua->event_streams)
        free_stream(lua->event_streams);
}

void inst_lua_stop_event_streams(struct inst_lua *lua) {
    for (struct inst_lua_event_stream *at = lua->event_streams; at; at = at->next) {
        at->is_shutdown = true;
        stream_end(&at->base);
    }
}

void inst_lua_open_event_stream(lua_State *L) {
    static const luaL_Reg methods[] = {{"close", stream_close}, {NULL, NULL}};
    luaL_newmetatable(L, STREAM);
    lua_pushcfunction(L, stream_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 1);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
