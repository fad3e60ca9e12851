/*
 * client_storage.c - what a client keeps: local ids, and storages written in Lua.
 *
 *     reactor ── request ──> fn(id, op, store, ...)     lua/instant/storage.lua, as a task
 *             <── answer ─── client:disk_done(id, err, value)
 */
#include "client.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

/* ---- the disk ---- */

struct inst_lua_disk {
    struct inst_disk base;
    struct inst_lua_client *client; /* knows this one until it is closed */
    int ref;
    bool is_muted;
};

/* {{key, value}, ...}, {removed key, ...} */
static void push_pairs(lua_State *L, const struct inst_disk_request *request) {
    int sets = 0, removes = 0;
    lua_newtable(L);
    lua_newtable(L);
    for (size_t i = 0; i < request->pair_count; i++) {
        const struct inst_disk_pair *pair = &request->pairs[i];
        if (!pair->value) {
            lua_pushstring(L, pair->key);
            lua_rawseti(L, -2, ++removes);
            continue;
        }
        lua_createtable(L, 2, 0);
        lua_pushstring(L, pair->key);
        lua_rawseti(L, -2, 1);
        lua_pushlstring(L, pair->value, pair->len);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -3, ++sets);
    }
}

static int push_request(lua_State *L, const void *ctx) {
    static const char *const ops[] = {
        [INST_DISK_LOAD] = "load", [INST_DISK_WRITE] = "write", [INST_DISK_LIST] = "list"};
    const struct inst_disk_request *request = ctx;
    lua_pushnumber(L, (lua_Number)request->id);
    lua_pushstring(L, ops[request->op]);
    lua_pushstring(L, request->store);
    if (request->op == INST_DISK_WRITE) {
        push_pairs(L, request);
        return 5;
    }
    lua_pushstring(L, request->key);
    return 4;
}

static void disk_submit(struct inst_disk *base, const struct inst_disk_request *request) {
    struct inst_lua_disk *disk = (struct inst_lua_disk *)base;
    if (!disk->is_muted)
        inst_lua_call(disk->client->lua, disk->ref, push_request, request);
}

/* Lua code cannot be waited for from here. */
static bool disk_finish(struct inst_disk *base) {
    (void)base;
    return false;
}

static void disk_close(struct inst_disk *base) {
    struct inst_lua_disk *disk = (struct inst_lua_disk *)base;
    disk->client->disk = NULL;
    if (!disk->is_muted)
        luaL_unref(disk->client->lua->current, LUA_REGISTRYINDEX, disk->ref);
    free(disk);
}

static const struct inst_disk_ops disk_ops = {disk_submit, disk_finish, disk_close};

struct inst_disk *inst_lua_disk_new(struct inst_lua_client *client, int ref) {
    struct inst_lua_disk *disk = calloc(1, sizeof *disk);
    if (!disk) {
        luaL_unref(client->lua->current, LUA_REGISTRYINDEX, ref);
        return NULL;
    }
    disk->base.ops = &disk_ops;
    disk->client = client;
    disk->ref = ref;
    client->disk = disk;
    return &disk->base;
}

void inst_lua_disk_mute(struct inst_lua_client *client) {
    if (client->disk)
        client->disk->is_muted = true;
}

/* ---- its answers ---- */

struct answer {
    struct inst_disk_answer answer;
    struct inst_err err;
    const char **keys; /* scratch */
};

/* The strings stay in the table at `index` while the answer is given. */
static bool read_keys(lua_State *L, int index, struct inst_arena *arena, struct answer *out) {
    size_t count = lua_rawlen(L, index);
    out->keys = inst_arena_alloc(arena, (count + 1) * sizeof *out->keys);
    for (size_t i = 0; out->keys && i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        bool is_string = lua_type(L, -1) == LUA_TSTRING;
        size_t len = 0;
        const char *key = is_string ? lua_tolstring(L, -1, &len) : NULL;
        lua_pop(L, 1);
        if (key && strlen(key) == len) /* others are none of ours */
            out->keys[out->answer.key_count++] = key;
    }
    out->answer.keys = out->keys;
    return out->keys != NULL;
}

static void read_answer(lua_State *L, struct inst_arena *arena, struct answer *out) {
    if (!lua_isnil(L, 3)) {
        const char *why = lua_tostring(L, 3);
        inst_err_set(&out->err, "storage-failed", 0, "%s", why ? why : "it failed");
    } else if (lua_type(L, 4) == LUA_TSTRING) {
        out->answer.value = lua_tolstring(L, 4, &out->answer.len);
    } else if (lua_istable(L, 4) && !read_keys(L, 4, arena, out)) {
        inst_err_nomem(&out->err);
    }
    if (out->err.type)
        out->answer = (struct inst_disk_answer){.err = &out->err};
}

/* client, id, err, value or keys. A client that is gone needs no answer. */
static int client_disk_done(lua_State *L) {
    struct inst_lua_client **box = luaL_checkudata(L, 1, INST_LUA_CLIENT);
    struct inst_lua_client *client = *box;
    lua_Number id = luaL_checknumber(L, 2);
    lua_settop(L, 4);
    luaL_checkstack(L, 8, NULL);
    if (!client || !client->disk || !client->disk->base.events.done)
        return 0;
    struct answer answer = {0};
    struct inst_disk_events *events = &client->disk->base.events;
    struct inst_lua_scope scope = inst_lua_begin(client->lua, L);
    read_answer(L, &client->lua->scratch, &answer);
    events->done(events->ctx, (uint64_t)id, &answer.answer);
    inst_lua_end(client->lua, scope);
    inst_err_clear(&answer.err);
    if (client->is_shut)
        inst_loop_defer(client->lua->loop, &client->bury);
    return 0;
}

/* ---- local ids ---- */

struct id_args {
    const char *id;
    const struct inst_reactor_error *error;
};

static int push_local_id(lua_State *L, const void *ctx) {
    const struct id_args *args = ctx;
    if (args->id) {
        lua_pushstring(L, args->id);
        return 1;
    }
    lua_pushnil(L);
    inst_lua_push_problem(L, args->error);
    return 2;
}

static void on_local_id(void *ctx, const char *id, const struct inst_reactor_error *error) {
    struct id_args args = {id, error};
    inst_lua_call_once(ctx, push_local_id, &args);
}

static enum inst_status do_local_id(struct inst_lua_client *client,
                                    struct inst_lua_listener *listener, lua_State *L,
                                    struct inst_err *err) {
    size_t len;
    const char *name = lua_tolstring(L, 2, &len);
    return inst_reactor_local_id(inst_client_reactor(client->client), name, len, on_local_id,
                                 listener, err);
}

static int client_local_id(lua_State *L) {
    luaL_checktype(L, 2, LUA_TSTRING);
    return inst_lua_subscribe(L, 3, do_local_id, INST_LUA_ONCE);
}

void inst_lua_add_storage(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"local_id", client_local_id},
        {"disk_done", client_disk_done},
        {NULL, NULL},
    };
    luaL_setfuncs(L, methods, 0);
}
