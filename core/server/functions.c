#include "server/functions.h"

#include "base/json.h"
#include "server/admin_steps.h"
#include "server/engine.h"
#include "server/evaluation.h"
#include "server/reactions.h"
#include "server/users.h"

void inst_server_set_functions(struct inst_server *server, const struct inst_function_ops *ops,
                               void *ctx) {
    server->functions = ops;
    server->functions_ctx = ctx;
    inst_reactions_reload(server);
}

void inst_server_functions_changed(struct inst_server *server) { inst_reactions_reload(server); }

/* ---- what a call may ask ---- */

const char *inst_call_app_id(const struct inst_call *call) { return call->app->info.id; }

enum inst_status inst_call_user(const struct inst_call *call, struct inst_buf *out,
                                struct inst_err *err) {
    uint32_t user = 0;
    enum inst_status st = INST_OK;
    if (call->viewer->user[0] != '\0')
        st = inst_user_by_id(call->app, call->viewer->user, &user, err);
    if (st == INST_OK && user != 0)
        return inst_user_write(call->app, user, NULL, out, err);
    inst_buf_add_str(out, "null");
    return st;
}

static struct inst_viewer viewer_of(const struct inst_call *call, bool as_admin) {
    struct inst_viewer viewer = *call->viewer;
    viewer.is_admin = viewer.is_admin || as_admin;
    return viewer;
}

enum inst_status inst_call_query(const struct inst_call *call, bool as_admin,
                                 const struct inst_value *query, struct inst_buf *out,
                                 struct inst_err *err) {
    struct inst_arena *scratch = &call->app->server->scratch;
    struct inst_arena_mark mark = inst_arena_mark(scratch);
    struct inst_viewer viewer = viewer_of(call, as_admin);
    struct inst_outcome outcome;
    inst_outcome_init(&outcome);
    enum inst_status st = inst_evaluate_once(call->app, query, &viewer, true, false, &outcome, err);
    if (st == INST_OK)
        inst_buf_add(out, outcome.result.data, outcome.result.len);
    inst_outcome_free(&outcome);
    inst_arena_rewind(scratch, mark);
    return st;
}

enum inst_status inst_call_transact(const struct inst_call *call, bool as_admin,
                                    const struct inst_value *steps, struct inst_err *err) {
    struct inst_app *app = call->app;
    struct inst_server *server = app->server;
    struct inst_viewer viewer = viewer_of(call, as_admin);
    struct inst_tx_source source = {.viewer = &viewer};
    struct inst_admin_steps context = {.env = server->env, .attrs = app->catalog->attrs};
    struct inst_value tx_steps;
    int64_t tx_id;
    bool is_repeated;
    if (!call->may_write)
        return inst_err_set(err, "validation-failed", 400,
                            "Only mutations, routes and reactions "
                            "may transact.");
    struct inst_arena_mark mark = inst_arena_mark(&server->scratch);
    enum inst_status st = inst_admin_steps_to_tx(&server->scratch, &context, steps, &tx_steps, err);
    if (st == INST_OK)
        st = inst_app_transact(app, &tx_steps, &source, &tx_id, &is_repeated, err);
    inst_arena_rewind(&server->scratch, mark);
    return st;
}

/* ---- the whole call ---- */

enum inst_status inst_call_finish(struct inst_app *app, enum inst_status st, struct inst_err *err) {
    if (st != INST_OK) {
        if (app->is_group_open)
            inst_app_give_up(app, err);
        return st;
    }
    int64_t made = app->made_tx;
    inst_app_commit(app);
    return app->last_tx >= made
               ? INST_OK
               : inst_err_set(err, "sql-exception", 500,
                              "What the function wrote could not be kept; call it again.");
}

enum inst_status inst_server_run(struct inst_server *server, const char *app_id, inst_run_fn *fn,
                                 void *ctx, struct inst_err *err) {
    static const struct inst_viewer nobody = {0};
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    if (st != INST_OK)
        return st;
    inst_app_commit(app);
    struct inst_call call = {.app = app, .viewer = &nobody, .may_write = true};
    st = inst_call_finish(app, fn(ctx, &call, err), err);
    inst_arena_reset(&server->scratch);
    return st;
}

/* ---- checks ---- */

static bool wants(void *ctx, const struct inst_value *etype) {
    const struct inst_check_source *source = ctx;
    const struct inst_server *server = source->app->server;
    return server->functions->has_check(server->functions_ctx, source->app->info.id, etype);
}

static enum inst_status run(void *ctx, const struct inst_value *changes, struct inst_arena *arena,
                            struct inst_value *values, struct inst_err *err) {
    const struct inst_check_source *source = ctx;
    const struct inst_server *server = source->app->server;
    struct inst_call call = {.app = source->app, .viewer = source->viewer};
    return server->functions->check(server->functions_ctx, &call, changes, arena, values, err);
}

bool inst_app_checks(struct inst_check_source *source, struct inst_tx_checks *checks) {
    if (source->app->server->functions == NULL)
        return false;
    *checks = (struct inst_tx_checks){.ctx = source, .wants = wants, .run = run};
    return true;
}
