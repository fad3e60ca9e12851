/*
 * watch.c - core.watch(path or descriptor, fn): calls back when something changes there or can be
 * read. Does not hold the loop.
 */
#include "context.h"

#include "io/watch.h"

#include <stdlib.h>

#define WATCH "instant.watch"

struct inst_lua_watch {
    struct inst_lua_watch *next, *prev;
    struct inst_lua *lua;
    struct inst_watch *watch;
    struct inst_lua_watch **box; /* the userdata */
    int ref;
};

static void free_watch(struct inst_lua_watch *self) {
    struct inst_lua *lua = self->lua;
    if (self->prev)
        self->prev->next = self->next;
    else
        lua->watches = self->next;
    if (self->next)
        self->next->prev = self->prev;
    if (self->box)
        *self->box = NULL;
    inst_watch_free(self->watch);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, self->ref);
    free(self);
}

static int push_name(lua_State *L, const void *name) {
    lua_pushstring(L, name);
    return 1;
}

static void on_event(void *ctx, const char *name) {
    struct inst_lua_watch *self = ctx;
    inst_lua_call(self->lua, self->ref, push_name, name);
}

static int core_watch(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    enum inst_status status;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct inst_lua_watch **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, WATCH);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct inst_lua_watch *self = calloc(1, sizeof *self);
    if (!self) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return luaL_error(L, "not enough memory");
    }
    *self = (struct inst_lua_watch){.next = lua->watches, .lua = lua, .box = box, .ref = ref};
    if (self->next)
        self->next->prev = self;
    lua->watches = self;
    *box = self;
    if (lua_type(L, 1) == LUA_TNUMBER)
        status =
            inst_watch_fd(lua->loop, (int)lua_tointeger(L, 1), on_event, self, &self->watch, &err);
    else
        status =
            inst_watch_path(lua->loop, luaL_checkstring(L, 1), on_event, self, &self->watch, &err);
    if (status == INST_OK)
        return 1;
    free_watch(self);
    return inst_lua_fail(L, &err);
}

static int watch_stop(lua_State *L) {
    struct inst_lua_watch **box = luaL_checkudata(L, 1, WATCH);
    if (*box)
        free_watch(*box);
    return 0;
}

void inst_lua_free_watches(struct inst_lua *lua) {
    while (lua->watches)
        free_watch(lua->watches);
}

void inst_lua_open_watch(lua_State *L) {
    static const luaL_Reg methods[] = {{"stop", watch_stop}, {NULL, NULL}};
    inst_lua_class(L, WATCH, watch_stop, methods);
    lua_pushcfunction(L, core_watch);
    lua_setfield(L, -2, "watch");
}
