/*
 * functions.h - what the owner of an app adds to it: functions, routes, checks, reactions. In which
 * language they are written the engine does not know: the host runs them.
 *
 *     POST /apps/:app_id/functions/:name ─ ops->function ─┐
 *     ANY  /apps/:app_id/routes/...      ─ ops->route ────┼─> owner's code ─> inst_call_query
 *     reactions.h, after a commit        ─ ops->react ────┤                   inst_call_transact
 *     inst_server_run, when the host will                 │
 *     a transaction, before its commit   ─ ops->check ────┘
 *
 * A call is one unit: its transactions are committed together when it returns, and none of them is
 * kept when it fails. It reads its own writes. It runs on the thread
 * of the engine, so the host bounds how long it takes.
 *
 * Checks see what a transaction wrote, entity by entity, as a part of that transaction: whatever
 * they refuse is undone with all of it, whatever they change is written with it. They read, with
 * inst_call_query, and write nothing.
 */
#ifndef INST_SERVER_FUNCTIONS_H
#define INST_SERVER_FUNCTIONS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"
#include "server/http.h"
#include "server/viewer.h"

struct inst_app;
struct inst_reaction_spec;

/* One call of the owner's code, for as long as it runs. */
struct inst_call {
    struct inst_app *app;
    const struct inst_viewer *viewer; /* who called; an admin has no rules */
    bool may_write;                   /* the host sets it, except in checks */
};

const char *inst_call_app_id(const struct inst_call *call);
/* Appends the user who called as JSON, or null. */
enum inst_status inst_call_user(const struct inst_call *call, struct inst_buf *out,
                                struct inst_err *err);
/* Runs an InstaQL query and appends its objects as JSON; as an admin, or as who called. */
enum inst_status inst_call_query(const struct inst_call *call, bool as_admin,
                                 const struct inst_value *query, struct inst_buf *out,
                                 struct inst_err *err);
/* Applies steps in the form of the admin API (admin_steps.h). */
enum inst_status inst_call_transact(const struct inst_call *call, bool as_admin,
                                    const struct inst_value *steps, struct inst_err *err);

/* ctx is the host's. Errors have the owner's type, message and hint. */
struct inst_function_ops {
    /* Appends the result as JSON. params UNDEFINED: none came. */
    enum inst_status (*function)(void *ctx, struct inst_call *call, const char *name,
                                 const struct inst_value *params, struct inst_buf *out,
                                 struct inst_err *err);
    /* path: behind the prefix, with its leading slash. */
    enum inst_status (*route)(void *ctx, struct inst_call *call,
                              const struct inst_http_request *request, const char *path,
                              struct inst_http_response *response, struct inst_err *err);
    /* Has the app a check of this etype? Asked for each entity that is written: cheap. */
    bool (*has_check)(void *ctx, const char *app_id, const struct inst_value *etype);
    /* changes: [{etype, id, action: "create" | "update" | "delete", old?, new?}, ...]. *values
     * gets, on the arena, one item for each: values to be written by label, or null. */
    enum inst_status (*check)(void *ctx, struct inst_call *call, const struct inst_value *changes,
                              struct inst_arena *arena, struct inst_value *values,
                              struct inst_err *err);
    /* Calls back for every reaction of the app; false stops. */
    void (*each_reaction)(void *ctx, const char *app_id,
                          bool (*fn)(void *fn_ctx, const struct inst_reaction_spec *spec),
                          void *fn_ctx);
    /* change: {etype, id, key, action, old?, new?, who?, at, txId}. */
    enum inst_status (*react)(void *ctx, struct inst_call *call, const char *reaction,
                              const struct inst_value *change, struct inst_err *err);
};

/* What it reacts to. */
struct inst_reaction_spec {
    const char *name; /* says whose place in the log it is */
    const char *etype;
    unsigned actions; /* of enum inst_feed_action (feed.h) */
};

/* NULL ops: nothing is added any more. Between turns, not from inside a call. */
void inst_server_set_functions(struct inst_server *server, const struct inst_function_ops *ops,
                               void *ctx);

/* What the host's functions are has changed. */
void inst_server_functions_changed(struct inst_server *server);

/* A call of the host's own, by nobody: fn may use the call until it returns. Between turns. */
typedef enum inst_status inst_run_fn(void *ctx, struct inst_call *call, struct inst_err *err);
enum inst_status inst_server_run(struct inst_server *server, const char *app_id, inst_run_fn *fn,
                                 void *ctx, struct inst_err *err);

/* ---- for the engine ---- */
/* Ends a call that came to st: all that it wrote is durable, or nothing of it is kept. */
enum inst_status inst_call_finish(struct inst_app *app, enum inst_status st, struct inst_err *err);

struct inst_tx_checks;
struct inst_check_source {
    struct inst_app *app;
    const struct inst_viewer *viewer;
};
/* What a transaction asks; false: nobody has anything to say. source outlives the transaction. */
bool inst_app_checks(struct inst_check_source *source, struct inst_tx_checks *checks);

#endif
