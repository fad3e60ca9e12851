/*
 * timer.c - core.timer(delay, repeat, fn): a running timer holds the loop.
 */
#include "context.h"

#include <stdlib.h>

#define TIMER "instant.timer"

struct inst_lua_timer {
    struct inst_lua_timer *next;
    struct inst_lua_timer *prev;
    struct inst_lua *lua;
    struct inst_timer *timer;
    struct inst_lua_timer **box; /* the userdata, NULL when that was collected */
    int ref;
    bool repeats;
};

static void free_timer(struct inst_lua_timer *timer, bool unref) {
    struct inst_lua *lua = timer->lua;
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        lua->timers = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
    if (timer->box)
        *timer->box = NULL;
    inst_timer_free(timer->timer);
    if (unref)
        luaL_unref(lua->current, LUA_REGISTRYINDEX, timer->ref);
    inst_loop_release(lua->loop);
    free(timer);
}

static void on_time(void *ctx) {
    struct inst_lua_timer *timer = ctx;
    struct inst_lua *lua = timer->lua;
    if (timer->repeats) {
        inst_lua_call(lua, timer->ref, NULL, NULL);
        return;
    }
    /* Its last call: it is gone before, so that stopping it inside does nothing. */
    int ref = timer->ref;
    inst_loop_hold(lua->loop);
    free_timer(timer, false);
    inst_lua_call(lua, ref, NULL, NULL);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    inst_loop_release(lua->loop);
}

static int timer_stop(lua_State *L) {
    struct inst_lua_timer **box = luaL_checkudata(L, 1, TIMER);
    if (*box)
        free_timer(*box, true);
    return 0;
}

/* A timer that nobody holds on to goes on. */
static int timer_gc(lua_State *L) {
    struct inst_lua_timer **box = luaL_checkudata(L, 1, TIMER);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

static int core_timer(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    double delay = luaL_checknumber(L, 1), repeat = luaL_checknumber(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_argcheck(L, delay >= 0 && delay < 1e15, 1, "milliseconds, 0 or more");
    luaL_argcheck(L, repeat >= 0 && repeat < 1e15, 2, "milliseconds, 0 or more");
    struct inst_lua_timer **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, TIMER);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 3);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct inst_err err = {0};
    struct inst_lua_timer *timer = calloc(1, sizeof *timer);
    if (!timer || inst_timer_new(lua->loop, on_time, timer, &timer->timer, &err) != INST_OK) {
        free(timer);
        inst_err_clear(&err);
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return luaL_error(L, "not enough memory");
    }
    *timer = (struct inst_lua_timer){.next = lua->timers,
                                     .lua = lua,
                                     .timer = timer->timer,
                                     .box = box,
                                     .ref = ref,
                                     .repeats = repeat > 0};
    if (timer->next)
        timer->next->prev = timer;
    lua->timers = timer;
    *box = timer;
    inst_loop_hold(lua->loop);
    inst_timer_start(timer->timer, (int64_t)delay, (int64_t)repeat);
    return 1;
}

void inst_lua_free_timers(struct inst_lua *lua) {
    while (lua->timers)
        free_timer(lua->timers, false);
}

void inst_lua_stop_timers(struct inst_lua *lua) {
    while (lua->timers)
        free_timer(lua->timers, true);
}

void inst_lua_open_timer(lua_State *L) {
    static const luaL_Reg methods[] = {{"stop", timer_stop}, {NULL, NULL}};
    luaL_newmetatable(L, TIMER);
    lua_pushcfunction(L, timer_gc);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 1);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_timer);
    lua_setfield(L, -2, "timer");
}
