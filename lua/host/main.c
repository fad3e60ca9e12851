/*
 * main.c - instant-lua: Lua 5.4 with Instant inside.
 *
 *     instant-lua script.lua args...    runs the script as a task
 *     instant-lua SUBCOMMAND args...    scripts/SUBCOMMAND.lua, embedded
 *     instant-lua -e 'code' args...
 *     instant-lua                       a prompt, on a terminal
 *
 * Ends when nothing is left to wait for, or on Ctrl-C: first asked to end, then told to.
 */
#include "context.h"
#include "edit.h"
#include "embedded.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

int luaopen_instant_core(lua_State *L);

static const char usage[] =
    "usage: instant-lua [option...] script.lua [argument...]\n"
    "       instant-lua [option...] -e 'code' [argument...]\n"
    "       instant-lua [option...] -i\n"
    "       instant-lua SUBCOMMAND [argument...]\n"
    "       instant-lua --help | --version\n"
    "\n"
    "  -i                 a prompt; also without a script, on a terminal\n"
    "  --watch            starts again when the script or a module of it changes\n"
    "  --log-level LEVEL  error, warn, info or debug\n"
    "  --log-json         the log as lines of JSON\n"
    "\n"
    "Runs Lua 5.4 scripts with `require \"instant\"` built in. A script runs as a task: it may\n"
    "wait for futures, and the program ends when nothing is left to wait for.\n";

/* A signal handler can reach nothing else. */
static struct inst_lua *volatile interrupted;
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
    /* Not when the loop waits: what it calls next is what this signal has to tell. */
    lua_State *L = interrupted ? interrupted->runs : NULL;
    if (interrupts == 2 && L)
        lua_sethook(L, raise_interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT,
                    1);
    kill(getpid(), SIGTERM);
}

/* ---- code that never waits ---- */

/* Nothing else goes on meanwhile: no reaction, no timer. Ticks are seconds of processor time, so an
 * idle process is not woken. */
#define LONG_RUN_TICKS 2

static volatile uint64_t seen_runs;
static volatile sig_atomic_t long_ticks;

static void report_long_run(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    luaL_traceback(L, L, NULL, 0);
    fprintf(
        stderr,
        "instant-lua: this runs for seconds without waiting, and everything else stands still;\n"
        "let others run with instant.sleep(0). Ctrl-C twice ends it.\n%s\n",
        lua_tostring(L, -1));
    lua_pop(L, 1);
}

static void on_tick(int signum) {
    struct inst_lua *lua = interrupted;
    (void)signum;
    if (!lua || !lua->runs || lua->run_count != seen_runs) {
        seen_runs = lua ? lua->run_count : 0;
        long_ticks = 0;
    } else if (++long_ticks == LONG_RUN_TICKS && inst_loop_is_held(lua->loop)) {
        lua_sethook(lua->runs, report_long_run, LUA_MASKCOUNT, 1);
    }
}

static void watch_signals(void) {
    struct sigaction interrupt = {.sa_handler = on_interrupt};
    struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval second = {{1, 0}, {1, 0}};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGVTALRM, &tick, NULL);
    setitimer(ITIMER_VIRTUAL, &second, NULL);
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
    lua_pushcfunction(L, inst_host_open_edit);
    lua_setfield(L, -2, "instant.host.edit");
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

/* ---- the command line ---- */

struct command {
    int argc;
    char **argv;
    int script; /* its place in argv; argc when there is none */
    const char *code;
    const char *log_level;
    bool logs_json;
    bool is_prompt;
    bool watches;
    bool restarts; /* afterwards: something changed */
};

static int complain(const char *problem, const char *what) {
    fprintf(stderr, "instant-lua: %s%s\n", problem, what);
    return 1;
}

/* The option at *at; false when there is none. */
static bool take_value(const struct command *command, int *at, const char **out) {
    if (*at + 1 >= command->argc)
        return false;
    *out = command->argv[++*at];
    return true;
}

static bool is_level(const char *text) {
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(text, levels[i]) == 0)
            return true;
    return false;
}

/* -1: go on; else the exit code. */
static int read_option(struct command *command, int *at) {
    const char *option = command->argv[*at];
    if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(option, "--version") == 0 || strcmp(option, "-v") == 0) {
        printf("instant-lua %s (%s)\n", INSTANT_VERSION, LUA_RELEASE);
        return 0;
    }
    if (strcmp(option, "-e") == 0)
        return take_value(command, at, &command->code) ? -1 : complain("-e needs Lua code", "");
    if (strcmp(option, "--log-level") == 0)
        return take_value(command, at, &command->log_level) && is_level(command->log_level)
                   ? -1
                   : complain("--log-level takes error, warn, info or debug", "");
    if (strcmp(option, "-i") == 0)
        command->is_prompt = true;
    else if (strcmp(option, "--watch") == 0)
        command->watches = true;
    else if (strcmp(option, "--log-json") == 0)
        command->logs_json = true;
    else {
        complain("unknown option ", option);
        print_usage(stderr);
        return 1;
    }
    return -1;
}

/* -1: it may run; else the exit code. */
static int read_command(struct command *command) {
    int at = 1, code = -1;
    while (at < command->argc && command->argv[at][0] == '-' && command->argv[at][1]) {
        if ((code = read_option(command, &at)) >= 0)
            return code;
        at++;
        if (command->code)
            break;
    }
    command->script = command->code ? at - 1 : at;
    bool has_script = command->code || at < command->argc;
    if (command->is_prompt && has_script)
        return complain("-i takes no script", "");
    if (!has_script && !command->is_prompt && isatty(STDIN_FILENO) && !command->watches)
        command->is_prompt = true;
    if (!has_script && !command->is_prompt) {
        print_usage(stderr);
        return 1;
    }
    if (command->watches && (command->code || !has_script))
        return complain("--watch needs a script", "");
    return -1;
}

/* ---- running ---- */

/* What lua/instant/host.lua takes beside the function. */
static void push_options(lua_State *L, const struct command *command) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, command->log_level);
    lua_setfield(L, -2, "logLevel");
    lua_pushboolean(L, command->logs_json);
    lua_setfield(L, -2, "logsJson");
    lua_pushboolean(L, command->is_prompt);
    lua_setfield(L, -2, "isPrompt");
    if (command->watches) {
        lua_pushstring(L, command->argv[command->script]);
        lua_setfield(L, -2, "watch");
    }
}

/* Arguments: the command, the script's function or nil. Results: the exit code, whether to restart.
 */
static int run(lua_State *L) {
    const struct command *command = lua_touserdata(L, 1);
    int argc = command->argc, script = command->script;
    luaL_checkstack(L, argc + 16, "too many arguments");
    set_arg(L, argc, command->argv, script);
    interrupted = inst_lua_get(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "instant.host");
    lua_call(L, 1, 1);
    push_options(L, command);
    lua_pushvalue(L, 2);
    for (int i = script + 1; i < argc; i++)
        lua_pushstring(L, command->argv[i]);
    lua_call(L, argc > script ? argc - script + 1 : 2, 2);
    return 2;
}

/* Pushes the function, or the message of what is wrong with it. */
static int load_command(lua_State *L, const struct command *command) {
    if (command->is_prompt) {
        lua_pushnil(L);
        return LUA_OK;
    }
    if (command->code)
        return luaL_loadbuffer(L, command->code, strlen(command->code), "=(command line)");
    return load_script(L, command->argv[command->script]);
}

static int run_command(lua_State *L, struct command *command) {
    /* Under --watch a script that cannot be read yet is waited for: the host says what is wrong. */
    if (load_command(L, command) != LUA_OK && !command->watches) {
        fprintf(stderr, "instant-lua: %s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, command);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 2, 2, 2) != LUA_OK) {
        fprintf(stderr, "instant-lua: %s\n", lua_tostring(L, -1));
        return 1;
    }
    command->restarts = lua_toboolean(L, -1);
    return (int)lua_tointeger(L, -2);
}

int main(int argc, char **argv) {
    struct command command = {.argc = argc, .argv = argv};
    int status = read_command(&command);
    if (status >= 0)
        return status;
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("instant-lua: not enough memory\n", stderr);
        return 1;
    }
    luaL_openlibs(L);
    preload(L);
    watch_signals();
    status = run_command(L, &command);
    interrupted = NULL;
    lua_close(L);
    if (command.restarts) {
        execv("/proc/self/exe", argv);
        fprintf(stderr, "instant-lua: cannot start again: %s\n", strerror(errno));
        return 1;
    }
    return status;
}
