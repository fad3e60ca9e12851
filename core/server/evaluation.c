#include "server/evaluation.h"

#include "base/json.h"
#include "server/engine.h"
#include "server/files.h"
#include "server/view.h"

void inst_outcome_init(struct inst_outcome *outcome) {
    *outcome = (struct inst_outcome){.sum = {0, 0}};
    inst_buf_init(&outcome->result);
    inst_buf_init(&outcome->meta);
}

void inst_outcome_free(struct inst_outcome *outcome) {
    inst_buf_free(&outcome->result);
    inst_buf_free(&outcome->meta);
}

static enum inst_status collator_of(struct inst_server *server, struct inst_err *err) {
    return server->collator != NULL ? INST_OK : inst_collator_new(&server->collator, err);
}

/* What the evaluator's callbacks need. */
struct run {
    struct inst_view view; /* first: inst_view_shows takes it for the context */
    struct inst_server *server;
    const char *app_id;
    struct inst_outcome *out;
};

static enum inst_status file_url(void *ctx, uint32_t e, const struct inst_value *location,
                                 struct inst_arena *arena, struct inst_value *url,
                                 struct inst_err *err) {
    struct run *run = ctx;
    (void)e;
    run->out->has_urls = true;
    return inst_files_url(run->server, run->app_id, location, arena, url, err);
}

static enum inst_status run_rows(struct inst_query *query, struct inst_store *store,
                                 const struct inst_collect_options *options, uint64_t seed,
                                 struct inst_arena *arena, struct inst_outcome *out,
                                 struct inst_err *err) {
    struct inst_collected collected = {0};
    enum inst_status st = inst_query_collect(query, store, options, arena, &collected, err);
    if (st != INST_OK)
        return st;
    inst_result_write_rows(&out->result, store, &collected, seed, &out->sum);
    inst_buf_add_str(&out->meta, "null");
    return INST_OK;
}

static enum inst_status run_tree(struct inst_query *query, struct inst_store *store,
                                 const struct inst_collect_options *options, uint64_t seed,
                                 struct inst_arena *arena, struct inst_outcome *out,
                                 struct inst_err *err) {
    struct inst_collected collected = {0};
    struct inst_value tree;
    enum inst_status st = inst_query_tree(query, store, options, arena, &tree, &collected, err);
    if (st != INST_OK)
        return st;
    inst_json_write(&out->result, &tree);
    inst_result_write_meta(&out->meta, store, &collected);
    if (!out->result.failed)
        inst_result_hash_bytes(out->result.data, out->result.len, seed, &out->sum);
    if (!out->meta.failed)
        inst_result_hash_bytes(out->meta.data, out->meta.len, seed, &out->sum);
    return INST_OK;
}

enum inst_status inst_evaluate(struct inst_app *app, struct inst_query *query,
                               struct inst_store *store, const struct inst_evaluation *how,
                               struct inst_arena *arena, struct inst_outcome *out,
                               struct inst_err *err) {
    struct inst_server *server = app->server;
    struct run run = {.server = server, .app_id = app->info.id, .out = out};
    bool is_guarded = how->is_guarded && !how->viewer->is_admin;
    enum inst_status st = inst_app_check_read(app, err);
    if (st == INST_OK)
        st = collator_of(server, err);
    if (st != INST_OK)
        return st;
    if (is_guarded)
        inst_view_init(&run.view, app, how->rules, how->viewer, how->rule_params, store, arena);
    if (is_guarded)
        run.view.permissions.explains = how->explains;
    struct inst_collect_options options = {
        .is_admin = how->viewer->is_admin,
        .is_visible = is_guarded ? inst_view_shows : NULL,
        .filter = is_guarded && !how->asks_each ? inst_view_filter : NULL,
        .found = inst_view_found,
        .file_url = server->host.files != NULL ? file_url : NULL,
        .ctx = &run,
        .collator = server->collator,
        .infer_singular = how->infers,
    };
    st = how->is_tree ? run_tree(query, store, &options, server->seed, arena, out, err)
                      : run_rows(query, store, &options, server->seed, arena, out, err);
    if (is_guarded)
        inst_view_release(&run.view);
    if (st == INST_OK && (out->result.failed || out->meta.failed))
        st = inst_err_nomem(err);
    return st;
}

static enum inst_status run_once(struct inst_app *app, const struct inst_value *q,
                                 struct inst_evaluation *how, struct inst_outcome *out,
                                 struct inst_err *err) {
    struct inst_query *query;
    enum inst_status st = inst_query_new(q, INST_QUERY_SERVER, &query, err);
    if (st != INST_OK)
        return st;
    how->is_guarded = true;
    how->rule_params = inst_getz(q, "$$ruleParams");
    app->server->stats.computations_run++;
    st = inst_evaluate(app, query, &app->db->store, how, &app->server->scratch, out, err);
    app->db->db_ops->trim(app->db);
    inst_query_free(query);
    return st;
}

enum inst_status inst_evaluate_once(struct inst_app *app, const struct inst_value *q,
                                    const struct inst_viewer *viewer, bool is_tree, bool infers,
                                    struct inst_outcome *out, struct inst_err *err) {
    struct inst_evaluation how = {.viewer = viewer, .is_tree = is_tree, .infers = infers};
    return run_once(app, q, &how, out, err);
}

enum inst_status inst_evaluate_by(struct inst_app *app, const struct inst_value *q,
                                  struct inst_rules *rules, const struct inst_viewer *viewer,
                                  bool is_tree, bool infers, struct inst_outcome *out,
                                  struct inst_err *err) {
    struct inst_evaluation how = {
        .viewer = viewer, .is_tree = is_tree, .infers = infers, .rules = rules, .explains = true};
    return run_once(app, q, &how, out, err);
}
