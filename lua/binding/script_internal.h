/*
 * script_internal.h - what the parts of scripts share. Only for script*.c.
 *
 *     script        loading, which app has which
 *     script_run    the engine's calls become runs
 *     script_core   what the prelude may ask of the backend
 */
#ifndef INST_LUA_SCRIPT_INTERNAL_H
#define INST_LUA_SCRIPT_INTERNAL_H

#include "script.h"
#include "server/functions.h"

/* Runs inside each other: a function's transaction, that transaction's check, and compiling. */
#define INST_SCRIPT_DEPTH 3

/* Bytecode under the name that require finds it by. */
struct inst_code {
    struct inst_code *next;
    char *name; /* "": the script itself */
    struct inst_buf code;
};

enum inst_declared_kind {
    INST_DECLARED_QUERY,
    INST_DECLARED_MUTATION,
    INST_DECLARED_LIVE,
    INST_DECLARED_CHECK,
    INST_DECLARED_ROUTE,
    INST_DECLARED_REACTION,
    INST_DECLARED_SCHEDULE,
    INST_DECLARED_KINDS
};

struct inst_declared {
    struct inst_declared *next;
    enum inst_declared_kind kind;
    unsigned actions;  /* of a reaction: enum inst_feed_action */
    const char *about; /* a reaction's etype, a schedule's cron expression; behind the name */
    char name[];
};

/* Immutable once it is loaded. */
struct inst_script {
    struct inst_script *next; /* of another app */
    char *app;                /* NULL: of all that have none of their own */
    struct inst_code *codes;
    size_t code_count;
    struct inst_declared *declared;
    /* Of the state in which the script has run, for each depth. L NULL: not yet, or too large. */
    struct inst_sandbox_image images[INST_SCRIPT_DEPTH];
    bool is_too_large;
};

struct inst_scripts {
    struct inst_server *server;
    const struct inst_env *env;
    struct inst_sandbox_limits limits;
    struct inst_code *own; /* the prelude and the modules that it requires */
    struct inst_script *list;
    struct inst_sandbox boxes[INST_SCRIPT_DEPTH];
    unsigned depth; /* runs under way */
};

/* One run: what script_core.c finds from inside the sandbox. */
struct inst_script_run {
    struct inst_scripts *scripts;
    struct inst_script *script;
    struct inst_call *call; /* NULL: the script is being loaded */
    /* Called with server, dispatch and declared at 1, 2, 3 when the script has run. */
    lua_CFunction then;
    void *ctx;                 /* of then */
    inst_script_find_fn *find; /* while loading */
    void *find_ctx;
};

/* ---- script.c ---- */
struct inst_script *inst_scripts_of(struct inst_scripts *scripts, const char *app_id);
const struct inst_declared *inst_script_declares(const struct inst_script *script,
                                                 enum inst_declared_kind kind, const char *name,
                                                 size_t len);
const struct inst_code *inst_code_find(const struct inst_code *codes, const char *name);
/* Compiles and adds. */
enum inst_status inst_code_add(struct inst_scripts *scripts, struct inst_code **codes,
                               const char *module, const char *name, const char *text, size_t len,
                               const struct inst_code **out, struct inst_err *err);

/* ---- script_run.c ---- */
enum inst_status inst_script_run(struct inst_script_run *run, struct inst_err *err);
extern const struct inst_function_ops inst_script_ops; /* ctx is the struct inst_scripts */

/* ---- script_core.c ---- */
struct inst_script_run *inst_script_run_of(lua_State *L);
/* Pushes the table that the prelude gets. */
void inst_script_push_core(lua_State *L);
/* Pushes the function of this bytecode. */
void inst_script_push_code(lua_State *L, const struct inst_code *code);
/* Pushes what is written as JSON. */
void inst_script_push_json(lua_State *L, const char *json, size_t len);

#endif
