/*
 * zip.c - core.zip_open(path), core.zip_create(path): ZIP archives (io/zip.h).
 */
#include "context.h"

#include "io/zip.h"

#define READER "instant.zip"
#define WRITER "instant.zip_writer"

/* ---- reading ---- */

static struct inst_zip *check_reader(lua_State *L) {
    struct inst_zip **box = luaL_checkudata(L, 1, READER);
    if (!*box)
        luaL_error(L, "this archive was closed");
    return *box;
}

static int reader_close(lua_State *L) {
    struct inst_zip **box = luaL_checkudata(L, 1, READER);
    inst_zip_close(*box);
    *box = NULL;
    return 0;
}

/* entries() -> {{name=, size=}, ...} in the archive's order */
static int reader_entries(lua_State *L) {
    struct inst_zip *zip = check_reader(L);
    struct inst_err err = {0};
    uint64_t count = inst_zip_count(zip);
    lua_newtable(L);
    for (uint64_t i = 0; i < count; i++) {
        const char *name;
        uint64_t size;
        if (inst_zip_entry(zip, i, &name, &size, &err) != INST_OK)
            return inst_lua_fail(L, &err);
        lua_createtable(L, 0, 2);
        lua_pushstring(L, name);
        lua_setfield(L, -2, "name");
        lua_pushnumber(L, (lua_Number)size);
        lua_setfield(L, -2, "size");
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* begin(n): reads from the start of the n-th entry, counted from 1 */
static int reader_begin(lua_State *L) {
    struct inst_zip *zip = check_reader(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    struct inst_err err = {0};
    luaL_argcheck(L, n >= 1, 2, "no entry");
    if (inst_zip_begin(zip, (uint64_t)n - 1, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* read() -> text; nil at the end; nil and an error */
static int reader_read(lua_State *L) {
    struct inst_zip *zip = check_reader(L);
    struct inst_err err = {0};
    char piece[1 << 16];
    size_t len;
    if (inst_zip_read(zip, piece, sizeof piece, &len, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    if (len > 0)
        lua_pushlstring(L, piece, len);
    else
        lua_pushnil(L);
    return 1;
}

static int core_zip_open(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct inst_zip **box = inst_newuserdata(L, sizeof *box);
    struct inst_err err = {0};
    *box = NULL;
    luaL_getmetatable(L, READER);
    lua_setmetatable(L, -2);
    if (inst_zip_open(path, box, &err) != INST_OK) {
        *box = NULL;
        return inst_lua_fail(L, &err);
    }
    return 1;
}

/* ---- writing ---- */

static struct inst_zip_writer *check_writer(lua_State *L) {
    struct inst_zip_writer **box = luaL_checkudata(L, 1, WRITER);
    if (!*box)
        luaL_error(L, "this archive is finished");
    return *box;
}

static int writer_discard(lua_State *L) {
    struct inst_zip_writer **box = luaL_checkudata(L, 1, WRITER);
    inst_zip_discard(*box);
    *box = NULL;
    return 0;
}

/* add(name, file): the file is read by finish */
static int writer_add(lua_State *L) {
    struct inst_zip_writer *writer = check_writer(L);
    struct inst_err err = {0};
    if (inst_zip_add(writer, luaL_checkstring(L, 2), luaL_checkstring(L, 3), &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

struct progress {
    struct inst_lua *lua;
    int ref;
};

static int push_done(lua_State *L, const void *done) {
    lua_pushnumber(L, *(const double *)done);
    return 1;
}

static void on_progress(void *ctx, double done) {
    struct progress *progress = ctx;
    inst_lua_call(progress->lua, progress->ref, push_done, &done);
}

/* finish(fn): writes everything; fn hears from 0 to 1 */
static int writer_finish(lua_State *L) {
    struct inst_zip_writer *writer = check_writer(L);
    struct inst_lua *lua = inst_lua_get(L);
    struct progress progress = {.lua = lua, .ref = LUA_NOREF};
    struct inst_err err = {0};
    lua_settop(L, 2);
    if (lua_type(L, 2) == LUA_TFUNCTION)
        progress.ref = luaL_ref(L, LUA_REGISTRYINDEX);
    *(struct inst_zip_writer **)lua_touserdata(L, 1) = NULL;
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status =
        inst_zip_finish(writer, progress.ref != LUA_NOREF ? on_progress : NULL, &progress, &err);
    inst_lua_end(lua, scope);
    luaL_unref(L, LUA_REGISTRYINDEX, progress.ref);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int core_zip_create(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct inst_zip_writer **box = inst_newuserdata(L, sizeof *box);
    struct inst_err err = {0};
    *box = NULL;
    luaL_getmetatable(L, WRITER);
    lua_setmetatable(L, -2);
    if (inst_zip_create(path, box, &err) != INST_OK) {
        *box = NULL;
        return inst_lua_fail(L, &err);
    }
    return 1;
}

void inst_lua_open_zip(lua_State *L) {
    static const luaL_Reg reading[] = {{"entries", reader_entries},
                                       {"begin", reader_begin},
                                       {"read", reader_read},
                                       {"close", reader_close},
                                       {NULL, NULL}};
    static const luaL_Reg writing[] = {
        {"add", writer_add}, {"finish", writer_finish}, {"discard", writer_discard}, {NULL, NULL}};
    inst_lua_class(L, READER, reader_close, reading);
    inst_lua_class(L, WRITER, writer_discard, writing);
    lua_pushcfunction(L, core_zip_open);
    lua_setfield(L, -2, "zip_open");
    lua_pushcfunction(L, core_zip_create);
    lua_setfield(L, -2, "zip_create");
}
