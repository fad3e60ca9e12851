/*
 * backend_files.c - files of a local backend, in pieces.
 *
 *     backend:upload(method, path, query, headers, size, ready, done)
 *         -> handle: put(text, from) gives how many bytes it took; ready() says that it takes more;
 *            done(answer, err) once; cancel()
 *         -> nil, answer            refused
 *     answer.content of backend:http()
 *         -> size(), read(most) -> text, or nil at the end, or nil and err; close()
 */
#include "backend.h"

#include "io/file_upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPLOAD "instant.upload"
#define CONTENT "instant.content"

/* ---- contents ---- */

struct content {
    int fd; /* -1: closed */
    uint64_t at;
    uint64_t size;
};

static int content_close(lua_State *L) {
    struct content *content = luaL_checkudata(L, 1, CONTENT);
    if (content->fd >= 0)
        close(content->fd);
    content->fd = -1;
    return 0;
}

static int content_size(lua_State *L) {
    struct content *content = luaL_checkudata(L, 1, CONTENT);
    lua_pushnumber(L, (lua_Number)content->size);
    return 1;
}

static int content_fail(lua_State *L, const char *why) {
    struct inst_err err = {0};
    inst_err_set(&err, "io-error", 500, "The content of the file cannot be read (%s).", why);
    return inst_lua_fail(L, &err);
}

static int content_read(lua_State *L) {
    struct content *content = luaL_checkudata(L, 1, CONTENT);
    char piece[1 << 16];
    lua_Integer most = luaL_optinteger(L, 2, sizeof piece);
    size_t wanted = most > 0 && most < (lua_Integer)sizeof piece ? (size_t)most : sizeof piece;
    if (content->fd < 0)
        return luaL_error(L, "this content was closed");
    if (content->at >= content->size) {
        lua_pushnil(L);
        return 1;
    }
    ssize_t n;
    do {
        n = pread(content->fd, piece, wanted, (off_t)content->at);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return content_fail(L, n == 0 ? "it was cut short" : strerror(errno));
    content->at += (uint64_t)n;
    lua_pushlstring(L, piece, (size_t)n);
    return 1;
}

void inst_lua_push_content(lua_State *L, struct inst_local_backend *backend,
                           const struct inst_http_response *response) {
    struct inst_err err = {0};
    if (!response->file.location[0])
        return;
    struct content *content = inst_newuserdata(L, sizeof *content);
    *content = (struct content){.fd = -1};
    luaL_getmetatable(L, CONTENT);
    lua_setmetatable(L, -2);
    if (inst_backend_open_content(backend->backend, &response->file, &content->fd, &content->size,
                                  &err) != INST_OK) {
        lua_pop(L, 1);
        inst_lua_push_err(L, &err, NULL);
        inst_err_clear(&err);
        lua_setfield(L, -2, "failure");
        return;
    }
    lua_setfield(L, -2, "content");
}

/* ---- uploads ---- */

struct inst_lua_upload {
    struct inst_lua_upload *next;
    struct inst_lua_upload *prev;
    struct inst_lua *lua;
    struct inst_local_backend *backend; /* kept open */
    struct inst_file_upload *upload;    /* NULL: over */
    struct inst_lua_upload **box;       /* the userdata, NULL when that was collected */
    int ready;                          /* function refs */
    int done;
};

static void free_upload(struct inst_lua_upload *upload) {
    struct inst_lua *lua = upload->lua;
    if (upload->prev)
        upload->prev->next = upload->next;
    else
        lua->uploads = upload->next;
    if (upload->next)
        upload->next->prev = upload->prev;
    if (upload->box)
        *upload->box = NULL;
    inst_file_upload_cancel(upload->upload);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, upload->ready);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, upload->done);
    inst_lua_backend_release(lua, upload->backend);
    inst_loop_release(lua->loop);
    free(upload);
}

static void on_ready(void *ctx) {
    struct inst_lua_upload *upload = ctx;
    inst_lua_call(upload->lua, upload->ready, NULL, NULL);
}

struct outcome {
    const struct inst_http_response *response;
    const struct inst_err *err;
};

static int push_outcome(lua_State *L, const void *args) {
    const struct outcome *outcome = args;
    if (outcome->response) {
        inst_lua_push_response(L, outcome->response);
        return 1;
    }
    lua_pushnil(L);
    inst_lua_push_err(L, outcome->err, NULL);
    return 2;
}

/* Ends it with a call of done. The handle may be in use below: it finds nothing any more. */
static void finish(struct inst_lua_upload *upload, const struct outcome *outcome) {
    struct inst_lua *lua = upload->lua;
    int done = upload->done;
    upload->done = LUA_NOREF;
    inst_loop_hold(lua->loop);
    free_upload(upload);
    inst_lua_call(lua, done, push_outcome, outcome);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, done);
    inst_loop_release(lua->loop);
}

static void on_answered(void *ctx, struct inst_http_response *response) {
    struct inst_lua_upload *upload = ctx;
    struct inst_err err = {0};
    bool failed = response->body.failed || response->headers.failed;
    struct outcome outcome = {failed ? NULL : response, &err};
    if (failed)
        inst_err_nomem(&err);
    upload->upload = NULL;
    finish(upload, &outcome);
    inst_http_response_clear(response);
    inst_err_clear(&err);
}

static struct inst_lua_upload *check_upload(lua_State *L) {
    struct inst_lua_upload **box = luaL_checkudata(L, 1, UPLOAD);
    return *box;
}

static int upload_put(lua_State *L) {
    struct inst_lua_upload *upload = check_upload(L);
    size_t len, cap, taken = 0;
    const char *text = luaL_checklstring(L, 2, &len);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    luaL_argcheck(L, from >= 1 && (size_t)from <= len + 1, 3, "behind the text's end");
    text += from - 1;
    len -= (size_t)from - 1;
    char *room;
    while (upload && taken < len && (room = inst_file_upload_room(upload->upload, &cap)) != NULL) {
        size_t count = len - taken < cap ? len - taken : cap;
        memcpy(room, text + taken, count);
        taken += count;
        inst_file_upload_fill(upload->upload, count);
    }
    lua_pushinteger(L, (lua_Integer)taken);
    return 1;
}

static int upload_cancel(lua_State *L) {
    struct inst_lua_upload *upload = check_upload(L);
    if (upload)
        free_upload(upload);
    return 0;
}

static int upload_gc(lua_State *L) {
    struct inst_lua_upload **box = luaL_checkudata(L, 1, UPLOAD);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

/* The handle is in its box and on top of the stack. */
static struct inst_lua_upload *new_upload(lua_State *L, struct inst_lua *lua,
                                          struct inst_local_backend *backend) {
    struct inst_lua_upload **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, UPLOAD);
    lua_setmetatable(L, -2);
    struct inst_lua_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        luaL_error(L, "not enough memory");
        return NULL;
    }
    *upload = (struct inst_lua_upload){.lua = lua,
                                       .backend = backend,
                                       .next = lua->uploads,
                                       .box = box,
                                       .ready = LUA_NOREF,
                                       .done = LUA_NOREF};
    if (upload->next)
        upload->next->prev = upload;
    lua->uploads = upload;
    *box = upload;
    backend->refs++;
    inst_loop_hold(lua->loop);
    return upload;
}

static int push_refusal(lua_State *L) {
    inst_lua_push_response(L, lua_touserdata(L, 1));
    return 1;
}

int inst_lua_backend_upload(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_local_backend *backend = inst_lua_check_backend(L);
    struct inst_http_field fields[INST_LUA_MAX_FIELDS];
    struct inst_http_request head;
    struct inst_http_response response;
    lua_Number size = luaL_checknumber(L, 6);
    luaL_argcheck(L, size >= 0 && size < 9007199254740992.0, 6, "no size of a file");
    luaL_checktype(L, 7, LUA_TFUNCTION);
    luaL_checktype(L, 8, LUA_TFUNCTION);
    lua_settop(L, 8);
    inst_lua_read_request(L, &head, fields);
    struct inst_lua_upload *upload = new_upload(L, lua, backend);
    lua_pushvalue(L, 7);
    upload->ready = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 8);
    upload->done = luaL_ref(L, LUA_REGISTRYINDEX);
    struct inst_file_upload_config config = {
        .size = (uint64_t)size, .ctx = upload, .ready = on_ready, .answered = on_answered};
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    bool is_upload =
        inst_file_upload_begin(backend->backend, &head, &config, &upload->upload, &response);
    bool is_accepted = is_upload && upload->upload;
    if (!is_accepted)
        free_upload(upload);
    inst_lua_end(lua, scope);
    if (is_accepted)
        return 1;
    if (!is_upload)
        return luaL_error(L, "this route takes no upload");
    lua_pushnil(L);
    lua_pushcfunction(L, push_refusal);
    lua_pushlightuserdata(L, &response);
    int failed = response.body.failed || lua_pcall(L, 1, 1, 0) != 0;
    inst_http_response_clear(&response);
    return failed ? luaL_error(L, "not enough memory") : 2;
}

void inst_lua_free_uploads(struct inst_lua *lua) {
    while (lua->uploads)
        free_upload(lua->uploads);
}

void inst_lua_stop_uploads(struct inst_lua *lua) {
    struct inst_err err = {0};
    inst_err_set(&err, "shutdown", 0, "The upload was given up: the program ends.");
    struct outcome outcome = {NULL, &err};
    /* What a callback starts is at the front: it goes on. */
    size_t count = 0;
    for (struct inst_lua_upload *at = lua->uploads; at; at = at->next)
        count++;
    for (; count > 0 && lua->uploads; count--) {
        struct inst_lua_upload *last = lua->uploads;
        while (last->next)
            last = last->next;
        finish(last, &outcome);
    }
    inst_err_clear(&err);
}

static void open_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 3);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void inst_lua_open_backend_files(lua_State *L) {
    static const luaL_Reg content[] = {
        {"size", content_size}, {"read", content_read}, {"close", content_close}, {NULL, NULL}};
    static const luaL_Reg upload[] = {{"put", upload_put}, {"cancel", upload_cancel}, {NULL, NULL}};
    open_class(L, CONTENT, content, content_close);
    open_class(L, UPLOAD, upload, upload_gc);
}
