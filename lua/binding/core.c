/*
 * core.c - the C module instant.core: ids, JSON, the loop, and the parts of the other files. Users
 * see lua/instant/; this is what that stands on.
 */
#include "context.h"
#include "value.h"

#include "base/date.h"
#include "base/json.h"
#include "base/uuid.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- ids, time, JSON, dates ---- */

static int core_id(lua_State *L) {
    char text[INST_UUID_TEXT + 1];
    inst_uuid_make_text(inst_loop_env(inst_lua_get(L)->loop), text);
    lua_pushlstring(L, text, INST_UUID_TEXT);
    return 1;
}

static int core_now(lua_State *L) {
    const struct inst_env *env = inst_loop_env(inst_lua_get(L)->loop);
    lua_pushinteger(L, (lua_Integer)env->now_ms(env->ctx));
    return 1;
}

static int core_json_encode(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value value;
    struct inst_buf buf;
    luaL_checkany(L, 1);
    inst_buf_init(&buf);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 1, &lua->scratch, &value, &err);
    if (status == INST_OK) {
        inst_json_write(&buf, &value);
        if (buf.failed)
            status = inst_err_nomem(&err);
    }
    inst_lua_end(lua, scope);
    if (status != INST_OK) {
        inst_buf_free(&buf);
        return inst_lua_fail(L, &err);
    }
    lua_pushlstring(L, buf.data ? buf.data : "", buf.len);
    inst_buf_free(&buf);
    return 1;
}

static int core_json_decode(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value value;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_json_parse(&lua->scratch, text, len, &value, &err);
    if (status == INST_OK)
        inst_lua_push_value(L, &value);
    inst_lua_end(lua, scope);
    return status == INST_OK ? 1 : inst_lua_fail(L, &err);
}

/* date_parse(value) -> ms, or nil and an error, by the official client's rules. */
static int core_date_parse(lua_State *L) {
    struct inst_err err = {0};
    struct inst_value in, out;
    size_t len;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        in = inst_number((double)lua_tonumber(L, 1));
    } else {
        const char *text = luaL_checklstring(L, 1, &len);
        in = inst_string(text, len);
    }
    if (inst_date_coerce(&in, &out, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushnumber(L, out.u.num);
    return 1;
}

static int core_date_iso(lua_State *L) {
    char text[INST_DATE_TEXT_MAX];
    lua_pushlstring(L, text, inst_date_iso((double)luaL_checknumber(L, 1), text));
    return 1;
}

/* ---- the loop ---- */

/* set_scheduler(fn): fn runs at the end of a turn in which core.wake() was called. */
static int core_set_scheduler(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_unref(L, LUA_REGISTRYINDEX, lua->on_wake);
    lua->on_wake = LUA_NOREF;
    lua_pushvalue(L, 1);
    lua->on_wake = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int core_wake(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    inst_loop_defer(lua->loop, &lua->wake);
    return 0;
}

static struct inst_lua *enter(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    if (lua->is_running)
        luaL_error(L, "the loop is running already; inside a callback, wait in a task");
    luaL_checkstack(L, 32, NULL);
    lua->is_running = true;
    return lua;
}

/* Callbacks are protected, so that nothing raises through the loop. */
static void leave(struct inst_lua *lua, struct inst_lua_scope scope) {
    lua->is_running = false;
    inst_lua_end(lua, scope);
}

/* run(): until nothing is left to wait for. */
static int core_run(lua_State *L) {
    struct inst_lua *lua = enter(L);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    inst_loop_run(lua->loop);
    leave(lua, scope);
    return 0;
}

/* wait() -> bool: one turn, waiting for something to happen; false when nothing can. */
static int core_wait(lua_State *L) {
    struct inst_lua *lua = enter(L);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    bool is_held = inst_loop_turn(lua->loop);
    leave(lua, scope);
    lua_pushboolean(L, is_held);
    return 1;
}

/* step(): what is ready, without waiting. */
static int core_step(lua_State *L) {
    struct inst_lua *lua = enter(L);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    inst_loop_step(lua->loop);
    leave(lua, scope);
    return 0;
}

/* poll(budget_us) -> bool: the same again and again while something is ready, for about that long;
 * true when something still is. */
static int core_poll(lua_State *L) {
    lua_Number budget_us = luaL_checknumber(L, 1);
    struct inst_lua *lua = enter(L);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    bool has_more = inst_loop_step_for(lua->loop, (int64_t)budget_us);
    leave(lua, scope);
    lua_pushboolean(L, has_more);
    return 1;
}

/* is_time_up() -> bool: whoever has more to do in this poll leaves it for the next one. */
static int core_is_time_up(lua_State *L) {
    lua_pushboolean(L, inst_loop_is_time_up(inst_lua_get(L)->loop));
    return 1;
}

static void on_wanted(void *ctx) {
    struct inst_lua *lua = ctx;
    inst_lua_call(lua, lua->on_wanted, NULL, NULL);
}

/* on_wanted(fn): called between steps when there is something for the next one. It must only note
 * it: it is called from inside whatever wants it. */
static int core_on_wanted(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_unref(L, LUA_REGISTRYINDEX, lua->on_wanted);
    lua->on_wanted = LUA_NOREF;
    lua_pushvalue(L, 1);
    lua->on_wanted = luaL_ref(L, LUA_REGISTRYINDEX);
    inst_loop_on_wanted(lua->loop, on_wanted, lua);
    return 0;
}

/* timeout() -> for how many milliseconds at most nothing is to be done; -1: for ever. */
static int core_timeout(lua_State *L) {
    lua_pushinteger(L, inst_loop_timeout(inst_lua_get(L)->loop));
    return 1;
}

static int core_is_running(lua_State *L) {
    lua_pushboolean(L, inst_lua_get(L)->is_running);
    return 1;
}

/* hold(), release(): a task that sleeps in a future counts as something to wait for. */
static int core_hold(lua_State *L) {
    inst_loop_hold(inst_lua_get(L)->loop);
    return 0;
}

static int core_release(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    if (!inst_loop_is_held(lua->loop))
        return luaL_error(L, "release without hold");
    inst_loop_release(lua->loop);
    return 0;
}

/* running(co): which coroutine a task runs in now, nil for none: whoever has to interrupt Lua code
 * finds it there. The task that says so keeps it alive. */
static int core_running(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    lua->runs = lua_tothread(L, 1);
    lua->run_count++;
    return 0;
}

/* stop(now): everything open is closed, and run() returns when that is done; at once with true. */
static int core_stop(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    inst_lua_stop_timers(lua);
    inst_lua_stop_https(lua);
    inst_lua_stop_event_streams(lua);
    inst_lua_stop_uploads(lua);
    inst_lua_stop_processes(lua);
    inst_lua_free_laters(lua); /* who waits for such an answer ends with the program */
    inst_lua_stop_clients(lua);
    inst_lua_stop_servers(lua);
    if (lua_toboolean(L, 1))
        inst_loop_stop(lua->loop);
    return 0;
}

/* signal(name, fn): fn is called whenever it comes. Does not hold the loop. */
static int core_signal(lua_State *L) {
    static const char *const names[] = {"INT", "TERM", "HUP", NULL};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    int signum = numbers[luaL_checkoption(L, 1, NULL, names)];
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct inst_err err = {0};
    if (inst_lua_watch_signal(inst_lua_get(L), signum, ref, &err) == INST_OK)
        return 0;
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return inst_lua_fail(L, &err);
}

static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};

/* log_level(level[, "text" | "json"]) */
static int core_log_level(lua_State *L) {
    static const char *const formats[] = {"text", "json", NULL};
    inst_loop_log_level(inst_lua_get(L)->loop,
                        (enum inst_log_level)luaL_checkoption(L, 1, "warn", level_names));
    if (!lua_isnoneornil(L, 2))
        inst_loop_log_json(inst_lua_get(L)->loop, luaL_checkoption(L, 2, NULL, formats) == 1);
    return 0;
}

/* logs(level) -> "text" or "json" when a line of this level gets anywhere, else false. */
static int core_logs(lua_State *L) {
    struct inst_loop *loop = inst_lua_get(L)->loop;
    if (!inst_loop_logs(loop, (enum inst_log_level)luaL_checkoption(L, 1, NULL, level_names)))
        lua_pushboolean(L, false);
    else
        lua_pushstring(L, inst_loop_logs_json(loop) ? "json" : "text");
    return 1;
}

/* log(level, line) */
static int core_log(lua_State *L) {
    inst_loop_log_event(inst_lua_get(L)->loop,
                        (enum inst_log_level)luaL_checkoption(L, 1, NULL, level_names),
                        luaL_checkstring(L, 2), NULL, 0);
    return 0;
}

static int core_error(lua_State *L) {
    struct inst_err err = {0};
    inst_err_set(&err, "unknown", 0, "%s", luaL_checkstring(L, 2));
    inst_lua_push_err(L, &err, NULL);
    inst_err_clear(&err);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "type");
    return 1;
}

void inst_lua_class(lua_State *L, const char *name, lua_CFunction gc, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

/* Where a pid means something: containers of one machine have one each. nil where the system does
 * not say. */
static void push_pid_namespace(lua_State *L) {
    char name[64];
    ssize_t size = readlink("/proc/self/ns/pid", name, sizeof name);
    if (size > 0)
        lua_pushlstring(L, name, (size_t)size);
    else
        lua_pushnil(L);
}

int luaopen_instant_core(lua_State *L);

int luaopen_instant_core(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"id", core_id},
        {"now", core_now},
        {"json_encode", core_json_encode},
        {"json_decode", core_json_decode},
        {"date_parse", core_date_parse},
        {"date_iso", core_date_iso},
        {"set_scheduler", core_set_scheduler},
        {"wake", core_wake},
        {"run", core_run},
        {"wait", core_wait},
        {"step", core_step},
        {"poll", core_poll},
        {"is_time_up", core_is_time_up},
        {"on_wanted", core_on_wanted},
        {"timeout", core_timeout},
        {"is_running", core_is_running},
        {"hold", core_hold},
        {"release", core_release},
        {"running", core_running},
        {"stop", core_stop},
        {"signal", core_signal},
        {"log_level", core_log_level},
        {"logs", core_logs},
        {"log", core_log},
        {"error", core_error},
        {NULL, NULL},
    };
    /* A peer that is gone, or a file that may not grow (ulimit -f), is an error of the write, not
     * of the program. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    inst_lua_get(L);
    inst_lua_open_values(L);
    lua_createtable(L, 0, 32);
    luaL_setfuncs(L, functions, 0);
    inst_lua_open_client(L);
    inst_lua_open_server(L);
    inst_lua_open_data(L);
    inst_lua_open_timer(L);
    inst_lua_open_check(L);
    inst_lua_open_schema(L);
    inst_lua_open_http(L);
    inst_lua_open_backend(L);
    inst_lua_open_event_stream(L);
    inst_lua_open_vault(L);
    inst_lua_open_zip(L);
    inst_lua_open_archive(L);
    inst_lua_open_process(L);
    inst_lua_open_watch(L);
    lua_pushinteger(L, getpid()); /* a loop is no other process's, not a child's either */
    lua_setfield(L, -2, "pid");
    push_pid_namespace(L);
    lua_setfield(L, -2, "pid_namespace");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    luaL_getmetatable(L, INST_LUA_ARRAY);
    lua_setfield(L, -2, "array_mt");
    luaL_getmetatable(L, INST_LUA_DATE);
    lua_setfield(L, -2, "date_mt");
    luaL_getmetatable(L, INST_LUA_ERROR);
    lua_setfield(L, -2, "error_mt");
    return 1;
}
