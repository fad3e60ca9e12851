/*
 * http.c - core.http{...}: one HTTP request; lua/instant/http.lua says what users see. A request
 * holds the loop until it is done or cancelled.
 *
 *     method, url, ca_file      text             timeout, connect_timeout, silence   ms
 *     headers                   list of {name, value}           max_response, redirects
 *     body                      text
 *     read(sink)                calls sink(text) with the next piece of the body, with nothing at
 *                               its end; body_size says how long it is
 *     head(status, headers)     headers: list of {name, value}
 *     data(text)                the body as it comes
 *     progress(sent, of, received, of)
 *     done(result, err)         result: {status, headers, body}
 */
#include "context.h"

#include "base/buf.h"
#include "io/http_client.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HTTP "instant.http"

enum { READ, HEAD, DATA, PROGRESS, DONE, FUNCTIONS };
static const char *const function_names[FUNCTIONS] = {"read", "head", "data", "progress", "done"};

struct inst_lua_http {
    struct inst_lua_http *next;
    struct inst_lua_http *prev;
    struct inst_lua *lua;
    uint64_t number;             /* how many were started before */
    struct inst_http_call *call; /* NULL: over */
    struct inst_lua_http **box;  /* the userdata, NULL when that was collected */
    int refs[FUNCTIONS];         /* LUA_NOREF: none */
    struct inst_buf piece;       /* what `read` gave last, from taken on not sent yet */
    size_t taken;
    bool has_piece; /* in this call of `read` */
    bool is_gone;   /* freed when the callback that it is in returns */
    bool is_calling;
};

static void free_http(struct inst_lua_http *http) {
    struct inst_lua *lua = http->lua;
    if (http->prev)
        http->prev->next = http->next;
    else
        lua->https = http->next;
    if (http->next)
        http->next->prev = http->prev;
    if (http->box)
        *http->box = NULL;
    for (int i = 0; i < FUNCTIONS; i++)
        luaL_unref(lua->current, LUA_REGISTRYINDEX, http->refs[i]);
    inst_buf_free(&http->piece);
    inst_loop_release(lua->loop);
    free(http);
}

/* Ends it; its memory stays while it is inside a callback. */
static void end(struct inst_lua_http *http) {
    if (http->call)
        inst_http_cancel(http->call);
    http->call = NULL;
    if (http->box)
        *http->box = NULL;
    http->box = NULL;
    http->is_gone = true;
    if (!http->is_calling)
        free_http(http);
}

/* false: it is gone. */
static bool call(struct inst_lua_http *http, int which, inst_lua_push_fn *push, const void *args) {
    bool was_calling = http->is_calling;
    http->is_calling = true;
    inst_lua_call(http->lua, http->refs[which], push, args);
    http->is_calling = was_calling;
    if (!http->is_gone)
        return true;
    if (!was_calling)
        free_http(http);
    return false;
}

/* ---- from the request ---- */

static void push_fields(lua_State *L, const struct inst_http_result *result) {
    lua_createtable(L, (int)result->field_count, 0);
    for (size_t i = 0; i < result->field_count; i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, result->fields[i].name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, result->fields[i].value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static int push_head(lua_State *L, const void *args) {
    const struct inst_http_result *head = args;
    lua_pushinteger(L, head->status);
    push_fields(L, head);
    return 2;
}

static void on_head(void *ctx, const struct inst_http_result *head) {
    call(ctx, HEAD, push_head, head);
}

struct text {
    const char *bytes;
    size_t len;
};

static int push_text(lua_State *L, const void *args) {
    const struct text *text = args;
    lua_pushlstring(L, text->bytes, text->len);
    return 1;
}

static bool on_data(void *ctx, const char *bytes, size_t len) {
    struct text text = {bytes, len};
    return call(ctx, DATA, push_text, &text);
}

/* sink(text) of a `read` */
static int take_piece(lua_State *L) {
    struct inst_lua_http *http = lua_touserdata(L, lua_upvalueindex(1));
    size_t len = 0;
    const char *bytes = luaL_optlstring(L, 1, "", &len);
    if (!http->is_calling || http->has_piece)
        return luaL_error(L, "the next piece was not asked for");
    http->has_piece = true;
    inst_buf_add(&http->piece, bytes, len);
    return 0;
}

static int push_sink(lua_State *L, const void *args) {
    lua_pushlightuserdata(L, (void *)args);
    lua_pushcclosure(L, take_piece, 1);
    return 1;
}

static size_t on_read(void *ctx, char *to, size_t cap) {
    struct inst_lua_http *http = ctx;
    if (http->taken == http->piece.len) {
        inst_buf_clear(&http->piece);
        http->taken = 0;
        http->has_piece = false;
        if (!call(http, READ, push_sink, http) || !http->has_piece || http->piece.failed)
            return INST_HTTP_READ_FAILED;
    }
    size_t left = http->piece.len - http->taken;
    size_t n = left < cap ? left : cap;
    if (n > 0)
        memcpy(to, http->piece.data + http->taken, n);
    http->taken += n;
    return n;
}

static int push_counts(lua_State *L, const void *args) {
    const uint64_t *counts = args;
    for (int i = 0; i < 4; i++)
        lua_pushnumber(L, (lua_Number)counts[i]);
    return 4;
}

static void on_progress(void *ctx, uint64_t sent, uint64_t send_total, uint64_t received,
                        uint64_t receive_total) {
    const uint64_t counts[4] = {sent, send_total, received, receive_total};
    call(ctx, PROGRESS, push_counts, counts);
}

struct outcome {
    const struct inst_http_result *result;
    const struct inst_err *err;
};

static int push_outcome(lua_State *L, const void *args) {
    const struct outcome *outcome = args;
    if (!outcome->result) {
        lua_pushnil(L);
        inst_lua_push_err(L, outcome->err, NULL);
        return 2;
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, outcome->result->status);
    lua_setfield(L, -2, "status");
    push_fields(L, outcome->result);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, outcome->result->body, outcome->result->body_len);
    lua_setfield(L, -2, "body");
    return 1;
}

static void on_done(void *ctx, const struct inst_http_result *result, const struct inst_err *err) {
    struct inst_lua_http *http = ctx;
    struct outcome outcome = {result, err};
    http->call = NULL;
    if (call(http, DONE, push_outcome, &outcome))
        free_http(http);
}

/* ---- core.http ---- */

static const char *opt_text(lua_State *L, const char *name, size_t *len) {
    lua_getfield(L, 1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, len) : NULL;
    lua_pop(L, 1); /* the table keeps it alive */
    return text;
}

static double opt_number(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    double number = (double)lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

/* Its strings are kept alive by the tables they are in. */
static struct inst_http_field *read_fields(lua_State *L, struct inst_arena *arena, size_t *count) {
    lua_getfield(L, 1, "headers");
    *count = lua_type(L, -1) == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    struct inst_http_field *fields = inst_arena_alloc(arena, (*count + 1) * sizeof *fields);
    for (size_t i = 0; fields && i < *count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        fields[i].name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        fields[i].value = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
    return fields;
}

static void read_functions(lua_State *L, struct inst_lua_http *http,
                           struct inst_http_options *options) {
    for (int i = 0; i < FUNCTIONS; i++) {
        lua_getfield(L, 1, function_names[i]);
        if (lua_type(L, -1) == LUA_TFUNCTION)
            http->refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
        else
            lua_pop(L, 1);
    }
    options->ctx = http;
    options->read = http->refs[READ] != LUA_NOREF ? on_read : NULL;
    options->head = http->refs[HEAD] != LUA_NOREF ? on_head : NULL;
    options->data = http->refs[DATA] != LUA_NOREF ? on_data : NULL;
    options->progress = http->refs[PROGRESS] != LUA_NOREF ? on_progress : NULL;
    options->done = on_done;
}

static enum inst_status start(lua_State *L, struct inst_lua_http *http, struct inst_err *err) {
    struct inst_lua *lua = http->lua;
    double size = opt_number(L, "body_size"), limit = opt_number(L, "max_response");
    struct inst_http_options options = {
        .method = opt_text(L, "method", NULL),
        .url = opt_text(L, "url", NULL),
        .ca_file = opt_text(L, "ca_file", NULL),
        .timeout_ms = (int64_t)opt_number(L, "timeout"),
        .connect_ms = (int64_t)opt_number(L, "connect_timeout"),
        .silence_ms = (int64_t)opt_number(L, "silence"),
        .max_response = limit > 0 ? (size_t)limit : 0,
        .max_redirects = (unsigned)opt_number(L, "redirects"),
    };
    options.body = opt_text(L, "body", &options.body_len);
    options.fields = read_fields(L, &lua->scratch, &options.field_count);
    read_functions(L, http, &options);
    if (options.read)
        options.body_len = size >= 0 ? (size_t)size : SIZE_MAX;
    struct inst_http_client *client = inst_loop_http(lua->loop, err);
    if (!client || !options.fields)
        return inst_err_nomem(err);
    return inst_http_start(client, &options, &http->call, err);
}

static int core_http(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct inst_lua_http **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, HTTP);
    lua_setmetatable(L, -2);
    struct inst_err err = {0};
    struct inst_lua_http *http = calloc(1, sizeof *http);
    if (!http) {
        inst_err_nomem(&err);
        return inst_lua_fail(L, &err);
    }
    http->lua = lua;
    http->number = lua->http_count++;
    for (int i = 0; i < FUNCTIONS; i++)
        http->refs[i] = LUA_NOREF;
    http->next = lua->https;
    if (http->next)
        http->next->prev = http;
    lua->https = http;
    http->box = box;
    *box = http;
    inst_loop_hold(lua->loop);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = start(L, http, &err);
    if (status != INST_OK)
        free_http(http);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_settop(L, 2);
    return 1;
}

/* cancel(): nobody is called any more. */
static int http_cancel(lua_State *L) {
    struct inst_lua_http **box = luaL_checkudata(L, 1, HTTP);
    if (*box)
        end(*box);
    return 0;
}

/* A request that nobody holds on to goes on. */
static int http_gc(lua_State *L) {
    struct inst_lua_http **box = luaL_checkudata(L, 1, HTTP);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

void inst_lua_free_https(struct inst_lua *lua) {
    while (lua->https) {
        lua->https->is_calling = false;
        end(lua->https);
    }
}

/* The first that was started before so many were. */
static struct inst_lua_http *find_older(struct inst_lua *lua, uint64_t count) {
    for (struct inst_lua_http *http = lua->https; http; http = http->next)
        if (http->call && http->number < count)
            return http;
    return NULL;
}

void inst_lua_stop_https(struct inst_lua *lua) {
    struct inst_err err = {0};
    inst_err_set(&err, "shutdown", 0, "The request was given up: the program ends.");
    struct outcome outcome = {NULL, &err};
    /* Each call may start and cancel others; what it starts goes on. */
    uint64_t count = lua->http_count;
    for (struct inst_lua_http *http; (http = find_older(lua, count)) != NULL;) {
        inst_http_cancel(http->call);
        http->call = NULL;
        if (http->box)
            *http->box = NULL;
        http->box = NULL;
        http->is_gone = true;
        call(http, DONE, push_outcome, &outcome);
    }
    inst_err_clear(&err);
}

void inst_lua_open_http(lua_State *L) {
    static const luaL_Reg methods[] = {{"cancel", http_cancel}, {NULL, NULL}};
    luaL_newmetatable(L, HTTP);
    lua_pushcfunction(L, http_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 1);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_http);
    lua_setfield(L, -2, "http");
}
