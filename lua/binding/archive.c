/*
 * archive.c - core.import{...}, core.export{...}: an app filled from outside and read out again
 * (server/import.h, server/export.h), in a data folder that nobody else has open.
 *
 *     core.import{data=, isFile=, appId=, title=, schema=, rules=, dropSessions=}
 *     core.export{data=, isFile=, appId=, s3=}
 */
#include "context.h"
#include "s3.h"
#include "value.h"

#include "io/backend.h"
#include "server/export.h"
#include "server/import.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT "instant.import"
#define EXPORT "instant.export"

/* What was reported and not asked for yet. */
#define MAX_PROBLEMS 1000

struct import {
    struct inst_backend *backend; /* NULL: closed */
    struct inst_import *import;
    struct inst_file_writer *file; /* being written; NULL: none */
    char token[INST_UUID_TEXT + 1];
    struct inst_buf problems; /* lines */
    size_t problem_count;
};

struct export {
    struct inst_backend *backend; /* NULL: closed */
    struct inst_export *export;
};

/* ---- both ---- */

static enum inst_status open_backend(lua_State *L, struct inst_backend **out,
                                     struct inst_err *err) {
    lua_getfield(L, 1, "data");
    lua_getfield(L, 1, "isFile");
    const char *data = luaL_checkstring(L, -2);
    bool is_file = lua_toboolean(L, -1);
    lua_pop(L, 2); /* the text stays in the table */
    return inst_backend_open(inst_lua_get(L)->loop, data, is_file, out, err);
}

static const char *option(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    const char *text = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1); /* it stays in the table */
    return text;
}

static int push_true(lua_State *L) {
    lua_pushboolean(L, 1);
    return 1;
}

static int outcome(lua_State *L, enum inst_status status, struct inst_err *err) {
    return status == INST_OK ? push_true(L) : inst_lua_fail(L, err);
}

static int push_bytes(lua_State *L) {
    const struct inst_buf *buf = lua_touserdata(L, 1);
    lua_pushlstring(L, buf->data ? buf->data : "", buf->len);
    return 1;
}

/* Pushes what push makes of the buffer and frees it, also when Lua has no memory. */
static int push_buf(lua_State *L, lua_CFunction push, struct inst_buf *buf) {
    lua_pushcfunction(L, push);
    lua_pushlightuserdata(L, buf);
    int failed = lua_pcall(L, 1, 1, 0);
    inst_buf_free(buf);
    return failed ? lua_error(L) : 1;
}

/* Locations of files, one behind the other: all are of one length. */
static bool add_location(void *ctx, const char *location) {
    struct inst_buf *list = ctx;
    inst_buf_add(list, location, INST_UUID_TEXT);
    return !list->failed;
}

static int list_locations(lua_State *L) {
    const struct inst_buf *list = lua_touserdata(L, 1);
    int n = 0;
    lua_newtable(L);
    for (size_t at = 0; at < list->len; at += INST_UUID_TEXT) {
        lua_pushlstring(L, list->data + at, INST_UUID_TEXT);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int push_locations(lua_State *L, enum inst_status status, struct inst_buf *list,
                          struct inst_err *err) {
    if (status == INST_OK && list->failed)
        status = inst_err_nomem(err);
    if (status == INST_OK)
        return push_buf(L, list_locations, list);
    inst_buf_free(list);
    return inst_lua_fail(L, err);
}

/* ---- import ---- */

static struct import *check_import(lua_State *L) {
    struct import *import = luaL_checkudata(L, 1, IMPORT);
    if (!import->backend)
        luaL_error(L, "this import was closed");
    return import;
}

static void release_import(struct import *import) {
    if (!import->backend)
        return;
    inst_file_writer_free(import->file);
    inst_import_free(import->import);
    inst_backend_close(import->backend);
    inst_buf_free(&import->problems);
    import->backend = NULL;
}

static int import_close(lua_State *L) {
    release_import(luaL_checkudata(L, 1, IMPORT));
    return 0;
}

static void on_problem(void *ctx, const char *message) {
    struct import *import = ctx;
    if (import->problem_count++ >= MAX_PROBLEMS)
        return;
    inst_buf_add_str(&import->problems, message);
    inst_buf_add_char(&import->problems, 0);
}

static enum inst_status begin(lua_State *L, struct import *import, struct inst_err *err) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_value schema, rules;
    struct inst_import_config config = {.app_id = option(L, "appId"),
                                        .title = option(L, "title"),
                                        .schema = &schema,
                                        .rules = &rules,
                                        .problem = on_problem,
                                        .ctx = import};
    lua_getfield(L, 1, "dropSessions");
    config.drop_sessions = lua_toboolean(L, -1);
    lua_getfield(L, 1, "schema");
    lua_getfield(L, 1, "rules");
    if (!config.title)
        config.title = "imported app";
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, -2, &lua->scratch, &schema, err);
    if (status == INST_OK)
        status = inst_lua_to_value(L, -1, &lua->scratch, &rules, err);
    if (schema.tag == INST_UNDEFINED)
        config.schema = NULL;
    if (rules.tag == INST_UNDEFINED)
        config.rules = NULL;
    if (status == INST_OK)
        status = inst_import_begin(inst_backend_server(import->backend), &config, &import->import,
                                   import->token, err);
    inst_lua_end(lua, scope);
    lua_pop(L, 3);
    return status;
}

static int core_import(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct import *import = inst_newuserdata(L, sizeof *import);
    struct inst_err err = {0};
    *import = (struct import){0};
    luaL_getmetatable(L, IMPORT);
    lua_setmetatable(L, -2);
    enum inst_status status = open_backend(L, &import->backend, &err);
    if (status != INST_OK) {
        import->backend = NULL;
        return inst_lua_fail(L, &err);
    }
    status = begin(L, import, &err);
    if (status == INST_OK)
        return 1;
    release_import(import); /* now: the folder may be wanted again */
    return inst_lua_fail(L, &err);
}

/* app() -> id, admin token or nil when it goes on where one ended, position */
static int import_app(lua_State *L) {
    struct import *import = check_import(L);
    lua_pushstring(L, inst_import_app_id(import->import));
    if (import->token[0])
        lua_pushstring(L, import->token);
    else
        lua_pushnil(L);
    lua_pushstring(L, inst_import_position(import->import));
    return 3;
}

static int import_shard(lua_State *L) {
    struct import *import = check_import(L);
    size_t len;
    const char *etype = luaL_checklstring(L, 2, &len);
    struct inst_err err = {0};
    return outcome(L, inst_import_shard(import->import, etype, len, &err), &err);
}

/* feed(text); feed(nil) at the end of the shard */
static int import_feed(lua_State *L) {
    struct import *import = check_import(L);
    struct inst_err err = {0};
    size_t len;
    if (lua_isnoneornil(L, 2))
        return outcome(L, inst_import_end(import->import, &err), &err);
    const char *bytes = luaL_checklstring(L, 2, &len);
    return outcome(L, inst_import_feed(import->import, bytes, len, &err), &err);
}

/* taken() -> bytes of the shard */
static int import_taken(lua_State *L) {
    lua_pushnumber(L, (lua_Number)inst_import_taken(check_import(L)->import));
    return 1;
}

static int import_commit(lua_State *L) {
    struct import *import = check_import(L);
    size_t len;
    const char *position = luaL_checklstring(L, 2, &len);
    struct inst_err err = {0};
    return outcome(L, inst_import_commit(import->import, position, len, &err), &err);
}

/* settings(config): what it has beside schema and rules */
static int import_settings(lua_State *L) {
    struct import *import = check_import(L);
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_value config;
    struct inst_err err = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 2, &lua->scratch, &config, &err);
    if (status == INST_OK)
        status = inst_import_settings(import->import, &config, &err);
    inst_lua_end(lua, scope);
    return outcome(L, status, &err);
}

static int import_finish(lua_State *L) {
    struct import *import = check_import(L);
    struct inst_err err = {0};
    return outcome(L, inst_import_finish(import->import, &err), &err);
}

/* counts() -> entities, triples, problems */
static int import_counts(lua_State *L) {
    struct inst_import_counts counts;
    inst_import_counts(check_import(L)->import, &counts);
    lua_pushnumber(L, (lua_Number)counts.entities);
    lua_pushnumber(L, (lua_Number)counts.triples);
    lua_pushnumber(L, (lua_Number)counts.problems);
    return 3;
}

/* problems() -> texts since it was last asked, as many as are kept */
static int import_problems(lua_State *L) {
    struct import *import = check_import(L);
    int n = 0;
    lua_newtable(L);
    for (size_t at = 0; at < import->problems.len;) {
        const char *text = import->problems.data + at;
        lua_pushstring(L, text);
        at += strlen(text) + 1;
        lua_rawseti(L, -2, ++n);
    }
    inst_buf_clear(&import->problems);
    import->problem_count = 0;
    return 1;
}

/* file(location, size) -> is there an entity for it: then its bytes may come */
static int import_file(lua_State *L) {
    struct import *import = check_import(L);
    const char *location = luaL_checkstring(L, 2);
    lua_Number size = luaL_optnumber(L, 3, 0);
    struct inst_err err = {0};
    bool is_named;
    inst_file_writer_free(import->file);
    import->file = NULL;
    enum inst_status status = inst_import_names_file(import->import, location, &is_named, &err);
    if (status == INST_OK && is_named)
        status = inst_file_writer_new(inst_backend_files(import->backend),
                                      inst_import_app_id(import->import),
                                      size > 0 ? (uint64_t)size : 0, &import->file, &err);
    if (status != INST_OK) {
        import->file = NULL;
        return inst_lua_fail(L, &err);
    }
    lua_pushboolean(L, is_named);
    return 1;
}

static int import_write(lua_State *L) {
    struct import *import = check_import(L);
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    struct inst_err err = {0};
    luaL_argcheck(L, import->file, 1, "no file was begun");
    return outcome(L, inst_file_writer_add(import->file, bytes, len, &err), &err);
}

/* keep(location): the file's bytes are all there */
static int import_keep(lua_State *L) {
    struct import *import = check_import(L);
    const char *location = luaL_checkstring(L, 2);
    struct inst_file_stored stored;
    struct inst_err err = {0};
    luaL_argcheck(L, import->file, 1, "no file was begun");
    enum inst_status status = inst_file_writer_finish(import->file, location, &stored, &err);
    inst_file_writer_free(import->file);
    import->file = NULL;
    return outcome(L, status, &err);
}

/* files() -> the locations that entities name */
static int import_files(lua_State *L) {
    struct import *import = check_import(L);
    struct inst_buf list;
    struct inst_err err = {0};
    inst_buf_init(&list);
    return push_locations(L, inst_import_files(import->import, add_location, &list, &err), &list,
                          &err);
}

/* ---- export ---- */

static struct export *check_export(lua_State *L) {
    struct export *export = luaL_checkudata(L, 1, EXPORT);
    if (!export->backend)
        luaL_error(L, "this export was closed");
    return export;
}

static void release_export(struct export *export) {
    if (!export->backend)
        return;
    inst_export_free(export->export);
    inst_backend_close(export->backend);
    export->backend = NULL;
}

static int export_close(lua_State *L) {
    release_export(luaL_checkudata(L, 1, EXPORT));
    return 0;
}

static void push_app(void *ctx, const struct inst_app_info *info) {
    lua_State *L = ctx;
    lua_pushstring(L, info->id);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
}

/* The app that is meant: the one that is named, or the only one there is. */
static enum inst_status only_app(lua_State *L, struct inst_backend *backend, const char **id,
                                 struct inst_err *err) {
    lua_newtable(L);
    enum inst_status status = inst_backend_each_app(backend, push_app, L, err);
    if (status != INST_OK)
        return status;
    size_t count = lua_rawlen(L, -1);
    if (count != 1)
        return inst_err_set(err, "validation-failed", 400,
                            count == 0 ? "There is no app in it."
                                       : "There is more than one app in it; say which.");
    lua_rawgeti(L, -1, 1);
    *id = lua_tostring(L, -1); /* kept by the list on the stack */
    return INST_OK;
}

static int core_export(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct export *export = inst_newuserdata(L, sizeof *export);
    struct inst_err err = {0};
    *export = (struct export){0};
    luaL_getmetatable(L, EXPORT);
    lua_setmetatable(L, -2);
    struct inst_s3_config s3;
    enum inst_status status = open_backend(L, &export->backend, &err);
    if (status != INST_OK) {
        export->backend = NULL;
        return inst_lua_fail(L, &err);
    }
    luaL_checkstack(L, 20, NULL);
    if (inst_lua_s3_option(L, &s3))
        status = inst_backend_use_s3(export->backend, &s3, &err);
    const char *id = option(L, "appId");
    if (status == INST_OK && !id)
        status = only_app(L, export->backend, &id, &err);
    if (status == INST_OK)
        status = inst_export_begin(inst_backend_server(export->backend), id, &export->export, &err);
    if (status != INST_OK) {
        release_export(export);
        return inst_lua_fail(L, &err);
    }
    lua_pushvalue(L, 2);
    lua_pushstring(L, id);
    return 2;
}

static int export_config(lua_State *L) {
    struct export *export = check_export(L);
    struct inst_buf buf;
    struct inst_err err = {0};
    inst_buf_init(&buf);
    if (inst_export_config(export->export, &buf, &err) != INST_OK) {
        inst_buf_free(&buf);
        return inst_lua_fail(L, &err);
    }
    return push_buf(L, push_bytes, &buf);
}

/* etypes() -> {{name=, count=}, ...} */
static int export_etypes(lua_State *L) {
    struct export *export = check_export(L);
    size_t count = inst_export_etypes(export->export);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        const struct inst_value *name = inst_export_etype(export->export, i);
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, name->u.str, name->len);
        lua_setfield(L, -2, "name");
        lua_pushnumber(L, (lua_Number)inst_export_entities(export->export, i));
        lua_setfield(L, -2, "count");
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* shard(n), counted from 1 */
static int export_shard(lua_State *L) {
    struct export *export = check_export(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    struct inst_err err = {0};
    luaL_argcheck(L, n >= 1 && (size_t)n <= inst_export_etypes(export->export), 2, "no shard");
    return outcome(L, inst_export_shard(export->export, (size_t)n - 1, &err), &err);
}

/* lines() -> text, are there more */
static int export_lines(lua_State *L) {
    struct export *export = check_export(L);
    struct inst_buf buf;
    struct inst_err err = {0};
    bool more;
    inst_buf_init(&buf);
    if (inst_export_lines(export->export, 1 << 20, &buf, &more, &err) != INST_OK) {
        inst_buf_free(&buf);
        return inst_lua_fail(L, &err);
    }
    push_buf(L, push_bytes, &buf);
    lua_pushboolean(L, more);
    return 2;
}

/* files() -> locations */
static int export_files(lua_State *L) {
    struct export *export = check_export(L);
    struct inst_buf list;
    struct inst_err err = {0};
    inst_buf_init(&list);
    return push_locations(L, inst_export_files(export->export, add_location, &list, &err), &list,
                          &err);
}

/* path(app id, location) -> where the content is on the disk */
static int export_path(lua_State *L) {
    struct export *export = check_export(L);
    char path[PATH_MAX];
    struct inst_err err = {0};
    if (inst_file_store_path(inst_backend_files(export->backend), luaL_checkstring(L, 2),
                             luaL_checkstring(L, 3), path, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushstring(L, path);
    return 1;
}

/* address(app id, location) -> where the content is read when it is not on the disk; nil: nowhere
 */
static int export_address(lua_State *L) {
    struct export *export = check_export(L);
    struct inst_http_file file = {0};
    const struct inst_buf none = {0};
    struct inst_buf url;
    snprintf(file.app, sizeof file.app, "%s", luaL_checkstring(L, 2));
    snprintf(file.location, sizeof file.location, "%s", luaL_checkstring(L, 3));
    inst_buf_init(&url);
    bool is_there = inst_backend_locate(export->backend, &file, "GET", &none, &url);
    if (is_there && !url.failed)
        return push_buf(L, push_bytes, &url);
    inst_buf_free(&url);
    lua_pushnil(L);
    return 1;
}

void inst_lua_open_archive(lua_State *L) {
    static const luaL_Reg importing[] = {
        {"app", import_app},           {"shard", import_shard},   {"feed", import_feed},
        {"taken", import_taken},       {"commit", import_commit}, {"finish", import_finish},
        {"settings", import_settings}, {"counts", import_counts}, {"file", import_file},
        {"problems", import_problems}, {"write", import_write},   {"keep", import_keep},
        {"files", import_files},       {"close", import_close},   {NULL, NULL}};
    static const luaL_Reg exporting[] = {
        {"config", export_config},   {"etypes", export_etypes}, {"shard", export_shard},
        {"lines", export_lines},     {"files", export_files},   {"path", export_path},
        {"address", export_address}, {"close", export_close},   {NULL, NULL}};
    inst_lua_class(L, IMPORT, import_close, importing);
    inst_lua_class(L, EXPORT, export_close, exporting);
    lua_pushcfunction(L, core_import);
    lua_setfield(L, -2, "import");
    lua_pushcfunction(L, core_export);
    lua_setfield(L, -2, "export");
}
