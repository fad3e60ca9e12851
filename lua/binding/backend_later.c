/*
 * backend_later.c - answers of a local backend that come later (server/later.h): held in the loop
 * until they are here, and given to a function.
 */
#include "backend.h"

#include <stdlib.h>

struct inst_lua_later {
    struct inst_lua_later *next, *prev;
    struct inst_lua *lua;
    struct inst_local_backend *backend; /* a reference */
    struct inst_later *later;           /* NULL: the answer is here */
    struct inst_http_response came;
    struct inst_deferred coming;
    int ref;
};

static void free_later(struct inst_lua_later *waits) {
    struct inst_lua *lua = waits->lua;
    if (waits->prev)
        waits->prev->next = waits->next;
    else
        lua->laters = waits->next;
    if (waits->next)
        waits->next->prev = waits->prev;
    if (waits->later)
        inst_http_later_forget(waits->later);
    inst_loop_undefer(lua->loop, &waits->coming);
    inst_http_response_clear(&waits->came);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, waits->ref);
    inst_lua_backend_release(lua, waits->backend);
    inst_loop_release(lua->loop);
    free(waits);
}

static int push_answer(lua_State *L, const void *args) {
    inst_lua_push_response(L, args);
    return 1;
}

/* The function may close the backend, whose engine is not on the stack here. */
static void deliver(void *ctx) {
    struct inst_lua_later *waits = ctx;
    struct inst_lua *lua = waits->lua;
    struct inst_http_response response = waits->came;
    int ref = waits->ref;
    inst_buf_init(&waits->came.headers);
    inst_buf_init(&waits->came.body);
    waits->ref = LUA_NOREF;
    inst_loop_hold(lua->loop);
    free_later(waits);
    inst_lua_call(lua, ref, push_answer, &response);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    inst_http_response_clear(&response);
    inst_loop_release(lua->loop);
}

static void on_answered(void *ctx, struct inst_http_response *response) {
    struct inst_lua_later *waits = ctx;
    waits->later = NULL;
    waits->came = *response;
    inst_buf_init(&response->headers);
    inst_buf_init(&response->body);
    if (waits->came.body.failed)
        waits->came.status = 500;
    inst_loop_defer(waits->lua->loop, &waits->coming);
}

bool inst_lua_later_new(lua_State *L, struct inst_local_backend *backend, struct inst_later *later,
                        int fn) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_lua_later *waits = calloc(1, sizeof *waits);
    if (!waits)
        return false;
    lua_pushvalue(L, fn);
    *waits = (struct inst_lua_later){.next = lua->laters,
                                     .lua = lua,
                                     .backend = backend,
                                     .later = later,
                                     .ref = luaL_ref(L, LUA_REGISTRYINDEX)};
    waits->coming = (struct inst_deferred){.fn = deliver, .ctx = waits};
    if (waits->next)
        waits->next->prev = waits;
    lua->laters = waits;
    backend->refs++;
    inst_loop_hold(lua->loop);
    inst_http_later_wait(later, on_answered, waits);
    return true;
}

void inst_lua_free_laters(struct inst_lua *lua) {
    while (lua->laters)
        free_later(lua->laters);
}
