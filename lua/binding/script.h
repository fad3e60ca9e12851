/*
 * script.h - the scripts of a server's apps: query logic that runs on the server.
 *
 *     app.lua ── inst_scripts_load ──> struct inst_script: bytecode, and what it declares
 *                                          │
 *     engine (server/functions.h) ── ops ──┴─> a sandbox: prelude, script, then one of its
 * functions
 *
 * A script that does not load leaves the one before it in its place. Scripts run on the loop's
 * thread; their limits (script_sandbox.h) are what one call may hold it for, besides the queries
 * and transactions that it asks for.
 */
#ifndef INST_LUA_SCRIPT_H
#define INST_LUA_SCRIPT_H

#include "base/buf.h"
#include "base/err.h"
#include "script_sandbox.h"
#include "server/server.h"

/* Modules that one script may require, and the bytes of each. */
#define INST_SCRIPT_MAX_MODULES 64
#define INST_SCRIPT_MAX_BYTES ((size_t)4 << 20)

struct inst_scripts;

/* Zero in limits: as much as by default. The server and env outlive it. */
enum inst_status inst_scripts_new(struct inst_server *server, const struct inst_env *env,
                                  const struct inst_sandbox_limits *limits,
                                  struct inst_scripts **out, struct inst_err *err);
/* From then on the server's apps have no scripts. NULL is fine. */
void inst_scripts_free(struct inst_scripts *scripts);

/* A module that the script requires while it loads: appends its text, and puts what its chunk is
 * called in name. */
typedef enum inst_status inst_script_find_fn(void *ctx, const char *module, struct inst_buf *text,
                                             struct inst_buf *name, struct inst_err *err);

/* What a script's loading asks of whoever loads it; ctx is that of the load. */
struct inst_script_loader {
    inst_script_find_fn *find; /* NULL: there are no modules */
    /* Is it right? NULL: any is. */
    enum inst_status (*check_cron)(void *ctx, const char *cron, struct inst_err *err);
    void *ctx;
};

/* Loads a script for one app, or for all that have none of their own (app_id NULL). name: that of
 * its chunk, "@app.lua". Not from inside a call. err: "function-failed", its message begins with
 * file and line. */
enum inst_status inst_scripts_load(struct inst_scripts *scripts, const char *app_id,
                                   const char *name, const char *text, size_t len,
                                   const struct inst_script_loader *loader, struct inst_err *err);

/* The schedules of an app: their names, and when they are due. */
void inst_scripts_each_schedule(struct inst_scripts *scripts, const char *app_id,
                                void (*fn)(void *ctx, const char *name, const char *cron),
                                void *ctx);
/* Runs one; between turns. err: also when the script no longer has it. */
enum inst_status inst_scripts_run_schedule(struct inst_scripts *scripts, const char *app_id,
                                           const char *name, struct inst_err *err);

#endif
