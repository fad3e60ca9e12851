/*
 * process.c - core.spawn{...}: child processes for lua/instant/process.lua, which says how they are
 * used. A running one holds the loop.
 */
#include "context.h"

#include "io/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS "instant.process"

enum callback { ON_OUTPUT, ON_WRITTEN, ON_END, CALLBACKS };

struct inst_lua_process {
    struct inst_lua_process *next, *prev;
    struct inst_lua *lua;
    struct inst_process *process;
    struct inst_lua_process **box; /* the userdata, NULL when that was collected */
    int refs[CALLBACKS];
};

static void free_process(struct inst_lua_process *self) {
    struct inst_lua *lua = self->lua;
    if (self->prev)
        self->prev->next = self->next;
    else
        lua->processes = self->next;
    if (self->next)
        self->next->prev = self->prev;
    if (self->box)
        *self->box = NULL;
    inst_process_free(self->process);
    for (int i = 0; i < CALLBACKS; i++)
        luaL_unref(lua->current, LUA_REGISTRYINDEX, self->refs[i]);
    free(self);
}

/* ---- events ---- */

struct output {
    int fd;
    const char *bytes;
    size_t len;
};

static int push_output(lua_State *L, const void *args) {
    const struct output *output = args;
    lua_pushinteger(L, output->fd);
    if (output->len)
        lua_pushlstring(L, output->bytes, output->len);
    else
        lua_pushnil(L);
    return 2;
}

static void on_output(void *ctx, int fd, const char *bytes, size_t len) {
    struct inst_lua_process *self = ctx;
    struct output output = {fd, bytes, len};
    inst_lua_call(self->lua, self->refs[ON_OUTPUT], push_output, &output);
}

static void on_written(void *ctx) {
    struct inst_lua_process *self = ctx;
    inst_lua_call(self->lua, self->refs[ON_WRITTEN], NULL, NULL);
}

struct ending {
    int64_t code;
    int signum;
};

static int push_ending(lua_State *L, const void *args) {
    const struct ending *ending = args;
    lua_pushinteger(L, (lua_Integer)ending->code);
    lua_pushinteger(L, ending->signum);
    return 2;
}

static void on_end(void *ctx, int64_t code, int signum) {
    struct inst_lua_process *self = ctx;
    struct inst_lua *lua = self->lua;
    struct ending ending = {code, signum};
    int ref = self->refs[ON_END];
    self->refs[ON_END] = LUA_NOREF;
    inst_loop_hold(lua->loop);
    free_process(self);
    inst_lua_call(lua, ref, push_ending, &ending);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
    inst_loop_release(lua->loop);
}

/* ---- options ---- */

/* The texts of the list at index, NULL at the end, in a userdata that stays on the stack. */
static char **push_list(lua_State *L, int index) {
    size_t count = lua_rawlen(L, index);
    char **list = inst_newuserdata(L, (count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        if (!text || strlen(text) != lua_rawlen(L, -1))
            luaL_error(L, "spawn: texts without NUL are expected");
        list[i] = (char *)text; /* the list keeps it */
        lua_pop(L, 1);
    }
    list[count] = NULL;
    return list;
}

static bool flag(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    bool is_set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_set;
}

static void take_callbacks(lua_State *L, struct inst_lua_process *self) {
    static const char *const names[CALLBACKS] = {"output", "written", "ended"};
    for (int i = 0; i < CALLBACKS; i++) {
        lua_getfield(L, 1, names[i]);
        self->refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}

static void read_options(lua_State *L, struct inst_process_options *options) {
    lua_getfield(L, 1, "args");
    luaL_checktype(L, -1, LUA_TTABLE);
    options->args = push_list(L, lua_gettop(L));
    luaL_argcheck(L, options->args[0] != NULL, 1, "no command");
    lua_getfield(L, 1, "env");
    if (lua_istable(L, -1))
        options->env = push_list(L, lua_gettop(L));
    lua_getfield(L, 1, "cwd");
    options->cwd = lua_tostring(L, -1);
    options->inherits_in = flag(L, "inherits_in");
    options->inherits_out = flag(L, "inherits_out");
    options->inherits_err = flag(L, "inherits_err");
}

/* spawn{args=, env=, cwd=, inherits_in=, ..., output=fn(fd, bytes or nil), written=fn(),
 * ended=fn(code, signal)} */
static int core_spawn(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_process_options options = {0};
    struct inst_err err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 16, NULL);
    read_options(L, &options);
    struct inst_lua_process **box = inst_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, PROCESS);
    lua_setmetatable(L, -2);
    struct inst_lua_process *self = calloc(1, sizeof *self);
    if (!self)
        return luaL_error(L, "not enough memory");
    *self = (struct inst_lua_process){.next = lua->processes, .lua = lua, .box = box};
    if (self->next)
        self->next->prev = self;
    lua->processes = self;
    *box = self;
    for (int i = 0; i < CALLBACKS; i++)
        self->refs[i] = LUA_NOREF;
    take_callbacks(L, self);
    struct inst_process_events events = {self, on_output, on_written, on_end};
    if (inst_process_spawn(lua->loop, &options, &events, &self->process, &err) != INST_OK) {
        free_process(self);
        return inst_lua_fail(L, &err);
    }
    return 1;
}

/* ---- methods ---- */

static struct inst_lua_process *check_process(lua_State *L) {
    return *(struct inst_lua_process **)luaL_checkudata(L, 1, PROCESS);
}

static int process_write(lua_State *L) {
    struct inst_lua_process *self = check_process(L);
    struct inst_err err = {0};
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    enum inst_status status = self ? inst_process_write(self->process, bytes, len, &err)
                                   : inst_err_set(&err, "io-error", 0, "The process has ended.");
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int process_close_input(lua_State *L) {
    struct inst_lua_process *self = check_process(L);
    if (self)
        inst_process_close_input(self->process);
    return 0;
}

/* kill(signal's number) -> whether it still ran */
static int process_kill(lua_State *L) {
    struct inst_lua_process *self = check_process(L);
    int signum = (int)luaL_checkinteger(L, 2);
    lua_pushboolean(L, self && inst_process_kill(self->process, signum));
    return 1;
}

static int process_pid(lua_State *L) {
    struct inst_lua_process *self = check_process(L);
    if (!self)
        return 0;
    lua_pushinteger(L, inst_process_pid(self->process));
    return 1;
}

/* One that nobody holds on to goes on. */
static int process_gc(lua_State *L) {
    struct inst_lua_process **box = luaL_checkudata(L, 1, PROCESS);
    if (*box)
        (*box)->box = NULL;
    *box = NULL;
    return 0;
}

void inst_lua_free_processes(struct inst_lua *lua) {
    while (lua->processes)
        free_process(lua->processes);
}

void inst_lua_stop_processes(struct inst_lua *lua) {
    for (struct inst_lua_process *at = lua->processes; at; at = at->next)
        inst_process_kill(at->process, SIGTERM);
}

void inst_lua_open_process(lua_State *L) {
    static const luaL_Reg methods[] = {{"write", process_write},
                                       {"close_input", process_close_input},
                                       {"kill", process_kill},
                                       {"pid", process_pid},
                                       {NULL, NULL}};
    inst_lua_class(L, PROCESS, process_gc, methods);
    lua_pushcfunction(L, core_spawn);
    lua_setfield(L, -2, "spawn");
}
