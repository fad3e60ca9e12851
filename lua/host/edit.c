#include "edit.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The part of libedit's <editline/readline.h> that is used: its interface is that of readline. */
typedef void line_fn(char *line);
typedef char *generator_fn(const char *text, int state);
typedef char **complete_fn(const char *text, int start, int end);

static struct {
    void *library; /* NULL: not loaded */
    void (*handler_install)(const char *prompt, line_fn *fn);
    void (*handler_remove)(void);
    void (*read_char)(void);
    void (*redisplay)(void);
    int (*using_history)(void);
    int (*add_history)(const char *line);
    int (*read_history)(const char *path);
    int (*write_history)(const char *path);
    void (*stifle_history)(int most);
    char **(*matches)(const char *text, generator_fn *fn);
    complete_fn **attempted;
    char **word_breaks;
    int *append_character;
    lua_State *L;          /* libedit's callbacks carry no context */
    int on_line, complete; /* registry references */
    int completions;       /* the list that is gone through */
    char prompt[64];
    bool is_open;
    bool is_taken; /* a finished line is being worked on: there is none to draw again */
} edit;

#define HISTORY_MAX 1000

static bool find(void *target, const char *name) {
    void *symbol = dlsym(edit.library, name);
    memcpy(target, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool load_library(void) {
    static const char *const names[] = {"libedit.so.2", "libedit.so.0", "libedit.so"};
    if (edit.library)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names && !edit.library; i++)
        edit.library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!edit.library)
        return false;
    return find(&edit.handler_install, "rl_callback_handler_install") &&
           find(&edit.handler_remove, "rl_callback_handler_remove") &&
           find(&edit.read_char, "rl_callback_read_char") &&
           find(&edit.redisplay, "rl_forced_update_display") &&
           find(&edit.using_history, "using_history") && find(&edit.add_history, "add_history") &&
           find(&edit.read_history, "read_history") && find(&edit.write_history, "write_history") &&
           find(&edit.stifle_history, "stifle_history") &&
           find(&edit.matches, "rl_completion_matches") &&
           find(&edit.attempted, "rl_attempted_completion_function") &&
           find(&edit.word_breaks, "rl_completer_word_break_characters") &&
           find(&edit.append_character, "rl_completion_append_character");
}

/* ---- completion ---- */

/* Called again and again for one word: state 0 asks Lua, then its answers come one by one. libedit
 * frees what it is given. */
static char *next_completion(const char *text, int state) {
    lua_State *L = edit.L;
    char *found = NULL;
    if (state == 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, edit.complete);
        lua_pushstring(L, text);
        if (lua_pcall(L, 1, 1, 0) != LUA_OK || !lua_istable(L, -1)) {
            lua_pop(L, 1);
            lua_newtable(L);
        }
        lua_rawseti(L, LUA_REGISTRYINDEX, edit.completions);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, edit.completions);
    lua_rawgeti(L, -1, state + 1);
    if (lua_isstring(L, -1))
        found = strdup(lua_tostring(L, -1));
    lua_pop(L, 2);
    return found;
}

static char **complete(const char *text, int start, int end) {
    (void)start;
    (void)end;
    return edit.matches(text, next_completion);
}

/* ---- lines ---- */

static void on_line(char *line) {
    lua_State *L = edit.L;
    edit.is_taken = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, edit.on_line);
    if (line)
        lua_pushstring(L, line);
    else
        lua_pushnil(L);
    free(line);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        fprintf(stderr, "instant-lua: %s\n", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    edit.is_taken = false;
}

static int edit_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        lua_pushnil(L);
        lua_pushliteral(L, "no terminal");
        return 2;
    }
    if (!load_library()) {
        lua_pushnil(L);
        lua_pushliteral(L, "libedit is missing (Debian: libedit2)");
        return 2;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    edit.L = lua_tothread(L, -1);
    lua_pop(L, 1);
    lua_settop(L, 2);
    edit.complete = luaL_ref(L, LUA_REGISTRYINDEX);
    edit.on_line = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    edit.completions = luaL_ref(L, LUA_REGISTRYINDEX);
    edit.using_history();
    edit.stifle_history(HISTORY_MAX);
    *edit.attempted = complete;
    *edit.word_breaks = (char *)" \t\n\"'`(){}[]=+-*/%^#~<>,;|&";
    *edit.append_character = 0;
    edit.is_open = true;
    lua_pushboolean(L, true);
    return 1;
}

static int edit_prompt(lua_State *L) {
    snprintf(edit.prompt, sizeof edit.prompt, "%s", luaL_checkstring(L, 1));
    if (edit.is_open)
        edit.handler_install(edit.prompt, on_line);
    return 0;
}

static int edit_read(lua_State *L) {
    (void)L;
    if (edit.is_open)
        edit.read_char();
    return 0;
}

static int edit_above(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    bool has_line = edit.is_open && !edit.is_taken;
    if (has_line)
        fputs("\r\033[J", stdout);
    fwrite(text, 1, len, stdout);
    if (len == 0 || text[len - 1] != '\n')
        fputc('\n', stdout);
    fflush(stdout);
    if (has_line)
        edit.redisplay();
    return 0;
}

static int edit_load(lua_State *L) {
    if (edit.is_open)
        edit.read_history(luaL_checkstring(L, 1));
    return 0;
}

static int edit_save(lua_State *L) {
    if (edit.is_open)
        edit.write_history(luaL_checkstring(L, 1));
    return 0;
}

static int edit_add(lua_State *L) {
    if (edit.is_open)
        edit.add_history(luaL_checkstring(L, 1));
    return 0;
}

static int edit_close(lua_State *L) {
    (void)L;
    if (edit.is_open)
        edit.handler_remove();
    edit.is_open = false;
    return 0;
}

int inst_host_open_edit(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"open", edit_open},   {"prompt", edit_prompt}, {"read", edit_read},
        {"above", edit_above}, {"load", edit_load},     {"save", edit_save},
        {"add", edit_add},     {"close", edit_close},   {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
