/*
 * main.c - instant-lua: Lua 5.4 with Instant inside.
 *
 *     instant-lua script.lua args...    runs the script as a task
 *     instant-lua SUBCOMMAND args...    scripts/SUBCOMMAND.lua, embedded
 *     instant-lua -e 'code' args...
 *
 * Ends when nothing is left to wait for, or on Ctrl-C: first asked to end, then told to.
 */
#include "embedded.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int luaopen_instant_core(lua_State *L);

static const char usage[] =
    "usage: instant-lua script.lua [argument...]\n"
    "       instant-lua -e 'code' [argument...]\n"
    "       instant-lua SUBCOMMAND [argument...]\n"
    "       instant-lua --help | --version\n"
    "\n"
    "Runs Lua 5.4 scripts with `require \"instant\"` built in. A script runs as a task: it may\n"
    "wait for futures, and the program ends when nothing is left to wait for.\n";

/* A signal handler can reach nothing else. */
static lua_State *volatile interrupted_state;
static volatile sig_atomic_t interrupts;

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

/* The first Ctrl-C ends the program in order, through the loop's SIGTERM. The second stops Lua code
 * that never comes back to the loop, the third everything. */
static void on_interrupt(int signum) {
    (void)signum;
    interrupts++;
    if (interrupts > 2)
        _exit(130);
    if (interrupts == 2)
        lua_sethook(interrupted_state, raise_interrupt,
                    LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
    kill(getpid(), SIGTERM);
}

static void print_usage(FILE *to) {
    fputs(usage, to);
    fputs("\nSubcommands:", to);
    for (const struct inst_embedded *file = inst_embedded_scripts; file->name; file++)
        fprintf(to, " %s", file->name);
    fputs("\n", to);
}

/* ---- modules ---- */

static int load_module(lua_State *L) {
    const struct inst_embedded *file = lua_touserdata(L, lua_upvalueindex(1));
    char chunk[64];
    snprintf(chunk, sizeof chunk, "=%s", file->name);
    if (luaL_loadbuffer(L, (const char *)file->bytes, file->len, chunk) != LUA_OK)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void preload(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_instant_core);
    lua_setfield(L, -2, "instant.core");
    for (const struct inst_embedded *file = inst_embedded_modules; file->name; file++) {
        lua_pushlightuserdata(L, (void *)file);
        lua_pushcclosure(L, load_module, 1);
        lua_setfield(L, -2, file->name);
    }
    lua_pop(L, 1);
}

/* ---- what to run ---- */

static const struct inst_embedded *find_script(const char *name) {
    for (const struct inst_embedded *file = inst_embedded_scripts; file->name; file++)
        if (strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

/* Pushes the script's function, or an error message. */
static int load_script(lua_State *L, const char *name) {
    const struct inst_embedded *file = find_script(name);
    if (file && access(name, R_OK) != 0) {
        char chunk[64];
        snprintf(chunk, sizeof chunk, "=%s", name);
        return luaL_loadbuffer(L, (const char *)file->bytes, file->len, chunk);
    }
    if (strcmp(name, "-") == 0)
        return luaL_loadfile(L, NULL);
    if (access(name, R_OK) != 0) {
        lua_pushfstring(L, "cannot read %s: %s", name, strerror(errno));
        return LUA_ERRFILE;
    }
    return luaL_loadfile(L, name);
}

/* The global `arg` as the plain interpreter has it: arg[0] is the script. */
static void set_arg(lua_State *L, int argc, char **argv, int script) {
    lua_createtable(L, argc - script, script);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

static int add_traceback(lua_State *L) {
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* Arguments: argc, argv, index of the script, its function. */
static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1), script = (int)lua_tointeger(L, 3);
    char **argv = lua_touserdata(L, 2);
    luaL_checkstack(L, argc + 16, "too many arguments");
    set_arg(L, argc, argv, script);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "instant.host");
    lua_call(L, 1, 1);
    lua_pushvalue(L, 4);
    for (int i = script + 1; i < argc; i++)
        lua_pushstring(L, argv[i]);
    lua_call(L, argc - script, 1);
    return 1;
}

static int run_script(lua_State *L, int argc, char **argv, int script, const char *code) {
    int loaded = code ? luaL_loadbuffer(L, code, strlen(code), "=(command line)")
                      : load_script(L, argv[script]);
    if (loaded != LUA_OK) {
        fprintf(stderr, "instant-lua: %s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    lua_pushinteger(L, script);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 4, 1, 2) != LUA_OK) {
        fprintf(stderr, "instant-lua: %s\n", lua_tostring(L, -1));
        return 1;
    }
    return (int)lua_tointeger(L, -1);
}

int main(int argc, char **argv) {
    int script = 1;
    const char *code = NULL;
    if (argc < 2) {
        print_usage(stderr);
        return 1;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        printf("instant-lua %s (%s)\n", INSTANT_VERSION, LUA_RELEASE);
        return 0;
    }
    if (strcmp(argv[1], "-e") == 0) {
        if (argc < 3) {
            fputs("instant-lua: -e needs Lua code\n", stderr);
            return 1;
        }
        script = 2;
        code = argv[2];
    } else if (argv[1][0] == '-' && argv[1][1]) {
        fprintf(stderr, "instant-lua: unknown option %s\n", argv[1]);
        print_usage(stderr);
        return 1;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("instant-lua: not enough memory\n", stderr);
        return 1;
    }
    luaL_openlibs(L);
    preload(L);
    interrupted_state = L;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    int status = run_script(L, argc, argv, script, code);
    lua_close(L);
    return status;
}
