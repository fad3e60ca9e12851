/*
 * backend.c - core.backend(path): the backend of a local file, asked over HTTP without a network.
 * It is shared with the clients of that file and closed when nobody uses it any more.
 */
#include "backend.h"

#include "io/backend.h"
#include "script.h"
#include "script_load.h"

#include <string.h>

#define BACKEND "instant.backend"

struct inst_local_backend *inst_lua_check_backend(lua_State *L) {
    struct inst_local_backend **box = luaL_checkudata(L, 1, BACKEND);
    if (!*box)
        luaL_error(L, "this backend was closed");
    return *box;
}

static int backend_close(lua_State *L) {
    struct inst_local_backend **box = luaL_checkudata(L, 1, BACKEND);
    struct inst_local_backend *backend = *box;
    *box = NULL;
    if (backend)
        inst_lua_backend_release(inst_lua_get(L), backend);
    return 0;
}

static void free_scripts(void *extra) { inst_scripts_free(extra); }

/* set_script{...}: see script_load.h. */
static int backend_set_script(lua_State *L) {
    struct inst_local_backend *local = inst_lua_check_backend(L);
    struct inst_scripts *scripts = local->extra;
    int count = inst_lua_set_script(L, local->backend, &scripts);
    local->extra = scripts;
    local->free_extra = free_scripts;
    return count;
}

static int backend_schedules(lua_State *L) {
    return inst_lua_schedules(L, inst_lua_check_backend(L)->extra);
}

static int backend_run_schedule(lua_State *L) {
    return inst_lua_run_schedule(L, inst_lua_check_backend(L)->extra);
}

/* app_id(): of the file's app. */
static int backend_app_id(lua_State *L) {
    lua_pushstring(L, inst_backend_app_id(inst_lua_check_backend(L)->backend));
    return 1;
}

static size_t read_fields(lua_State *L, int index, struct inst_http_field *fields) {
    size_t count = lua_type(L, index) == LUA_TTABLE ? lua_rawlen(L, index) : 0;
    luaL_argcheck(L, count <= INST_LUA_MAX_FIELDS, index, "too many header fields");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        fields[i].name = luaL_checkstring(L, -2); /* kept alive by the table */
        fields[i].value = luaL_checkstring(L, -1);
        lua_pop(L, 3);
    }
    return count;
}

void inst_lua_read_request(lua_State *L, struct inst_http_request *out,
                           struct inst_http_field fields[INST_LUA_MAX_FIELDS]) {
    *out = (struct inst_http_request){.method = luaL_checkstring(L, 2),
                                      .path = luaL_checkstring(L, 3),
                                      .query = luaL_optstring(L, 4, "")};
    out->field_count = read_fields(L, 5, fields);
    out->fields = fields;
}

void inst_lua_push_response(lua_State *L, const struct inst_http_response *response) {
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, response->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, response->body.data ? response->body.data : "{}",
                    response->body.data ? response->body.len : 2);
    lua_setfield(L, -2, "body");
    lua_pushlstring(L, response->headers.data ? response->headers.data : "", response->headers.len);
    lua_setfield(L, -2, "headers");
}

struct answer {
    struct inst_local_backend *backend;
    struct inst_http_response response;
};

static int push_answer(lua_State *L) {
    const struct answer *answer = lua_touserdata(L, 1);
    inst_lua_push_response(L, &answer->response);
    inst_lua_push_content(L, answer->backend, &answer->response);
    return 1;
}

/* No route that answers later is asked without a function. */
static int wait_for(lua_State *L, struct inst_local_backend *backend, struct inst_later *later) {
    if (lua_type(L, 8) != LUA_TFUNCTION)
        return luaL_error(L, "this answer comes later: a function is needed for it");
    if (!inst_lua_later_new(L, backend, later, 8))
        return luaL_error(L, "not enough memory");
    lua_pushnil(L);
    return 1;
}

/* http(method, path, query, headers, body, fn, later) -> {status, body, headers}; headers: list of
 * {name in lower case, value}; those of the answer are its lines as text. A file that it brings is
 * in `content`, or `failure` says why that cannot be read. With fn the answer may be an event
 * stream, given as a second value (event_stream.c). nil: the answer comes later, and the function
 * `later` is called with it. */
static int backend_http(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct answer answer = {.backend = inst_lua_check_backend(L)};
    struct inst_http_field fields[INST_LUA_MAX_FIELDS];
    struct inst_http_request request;
    inst_lua_read_request(L, &request, fields);
    request.body = luaL_optlstring(L, 6, "", &request.body_len);
    lua_settop(L, 8);
    struct inst_lua_event_stream *stream = NULL;
    if (lua_type(L, 7) == LUA_TFUNCTION)
        stream = inst_lua_event_stream_new(L, answer.backend, 7);
    request.connection = stream ? inst_lua_event_stream_connection(stream) : NULL;
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    inst_server_http(inst_backend_server(answer.backend->backend), &request, &answer.response);
    bool is_stream = stream && inst_lua_event_stream_begin(stream, answer.response.stream);
    inst_lua_end(lua, scope);
    if (answer.response.later)
        return wait_for(L, answer.backend, answer.response.later);
    if (answer.response.body.failed || answer.response.headers.failed) {
        inst_http_response_clear(&answer.response);
        return luaL_error(L, "not enough memory");
    }
    lua_pushcfunction(L, push_answer);
    lua_pushlightuserdata(L, &answer);
    int failed = lua_pcall(L, 1, 1, 0);
    inst_http_response_clear(&answer.response);
    if (failed)
        return lua_error(L);
    if (!is_stream)
        return 1;
    lua_insert(L, -2); /* in front of the userdata */
    return 2;
}

static int core_backend(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    const char *path = luaL_checkstring(L, 1);
    struct inst_err err = {0};
    struct inst_local_backend **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, BACKEND);
    lua_setmetatable(L, -2);
    if (inst_lua_backend_open(lua, path, box, &err) != INST_OK) {
        *box = NULL;
        return inst_lua_fail(L, &err);
    }
    return 1;
}

void inst_lua_open_backend(lua_State *L) {
    static const luaL_Reg methods[] = {{"app_id", backend_app_id},
                                       {"http", backend_http},
                                       {"set_script", backend_set_script},
                                       {"schedules", backend_schedules},
                                       {"run_schedule", backend_run_schedule},
                                       {"upload", inst_lua_backend_upload},
                                       {"close", backend_close},
                                       {NULL, NULL}};
    inst_lua_open_backend_files(L);
    luaL_newmetatable(L, BACKEND);
    lua_pushcfunction(L, backend_close);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 4);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_backend);
    lua_setfield(L, -2, "backend");
}
