#include "base/json.h"
#include "base/text.h"
#include "server/admin_steps.h"
#include "server/checks.h"
#include "server/evaluation.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* Answers of `/admin/query_perms_check` and `/admin/transact_perms_check` (http.md 6.3). */

static bool is_given(const struct inst_value *v) {
    return v != NULL && !inst_is_nullish(v) && v->tag != INST_FALSE;
}

/* Rules that nobody enforces would be a promise broken: they are refused, not ignored. */
static enum inst_status check_override(const struct inst_value *body, struct inst_err *err) {
    const struct inst_value *rules = inst_getz(body, "rules-override");
    if (!is_given(rules) || (rules->tag == INST_OBJECT && rules->len == 0))
        return INST_OK;
    return inst_refuse_validation(err, "rule", rules, NULL, "Rules are not enforced yet.");
}

static enum inst_status check_text(const struct inst_value *body, const char *name,
                                   struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *v = inst_getz(body, name);
    if (!is_given(v) || v->tag == INST_NUMBER)
        return INST_OK;
    for (uint32_t i = 0; v->tag == INST_STRING && i < v->len; i++)
        if (strchr(" \t\r\n", v->u.str[i]) == NULL)
            return INST_OK;
    return inst_refuse_malformed(err, path, 2, v);
}

/* Only an admin may ask, and only about somebody else. */
static enum inst_status read_request(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_value *body, struct inst_app **app,
                                     struct inst_viewer *viewer, struct inst_err *err) {
    struct inst_value input = inst_cstring("non-admin");
    enum inst_status st;
    if ((st = inst_http_body(server, request, body, err)) != INST_OK ||
        (st = inst_http_admin_app(server, request, app, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, app, viewer, err)) != INST_OK)
        return st;
    if (viewer->is_admin)
        return inst_refuse_validation(err, "non-admin", &input, NULL, "Cannot test perms as admin");
    if ((st = check_override(body, err)) != INST_OK ||
        (st = check_text(body, "ip-override", err)) != INST_OK)
        return st;
    return check_text(body, "origin-override", err);
}

/* ---- queries ---- */

struct checked {
    struct inst_table seen; /* (e, hash of etype) */
    struct inst_buf json;
};

static enum inst_status check_entity(struct checked *checked, struct inst_app *app,
                                     const struct inst_viewer *viewer, uint32_t e,
                                     const struct inst_value *etype, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_arena *arena = &app->server->scratch;
    struct inst_buf *buf = &checked->json;
    struct inst_value record;
    enum inst_status st = inst_checks_record(store, etype, e, arena, &record, err);
    if (st != INST_OK)
        return st;
    struct inst_value id = store->ops->entity_id(store, e);
    if (buf->len > 0)
        inst_buf_add_char(buf, ',');
    inst_buf_add_str(buf, "{\"id\":");
    inst_json_write(buf, &id);
    inst_buf_add_str(buf, ",\"entity\":");
    inst_json_write(buf, etype);
    inst_buf_add_str(buf, ",\"label\":null,\"record\":");
    inst_json_write(buf, &record);
    inst_buf_add_str(buf, ",\"program\":");
    inst_checks_write_program(buf, etype, "view");
    inst_buf_addf(buf, ",\"check\":%s}",
                  inst_checks_allow(viewer, etype, "view", &record) ? "true" : "false");
    return INST_OK;
}

/* Every entity that the query touches, whether it may be seen or not. */
static enum inst_status check_query(struct checked *checked, struct inst_app *app,
                                    const struct inst_value *q, const struct inst_viewer *viewer,
                                    struct inst_err *err) {
    struct inst_arena *arena = &app->server->scratch;
    struct inst_collect_options options = {.collator = app->server->collator};
    struct inst_collected collected = {0};
    struct inst_query *query;
    enum inst_status st = inst_query_new(q, INST_QUERY_SERVER, &query, err);
    if (st != INST_OK)
        return st;
    st = inst_query_collect(query, &app->db->store, &options, arena, &collected, err);
    for (size_t i = 0; st == INST_OK && i < collected.triple_count; i++) {
        const struct inst_collected_triple *t = &collected.triples[i];
        const struct inst_value *etype = &t->attr->forward.etype;
        struct inst_table_key key = {t->triple.e,
                                     inst_text_hash(etype->u.str, etype->len, app->server->seed)};
        if (inst_table_get(&checked->seen, key) != NULL)
            continue;
        st = inst_table_put(&checked->seen, key, checked)
                 ? check_entity(checked, app, viewer, t->triple.e, etype, err)
                 : inst_err_nomem(err);
    }
    inst_query_free(query);
    return st;
}

static enum inst_status answer_query(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "query"};
    struct inst_value body;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_outcome outcome;
    struct checked checked;
    enum inst_status st = read_request(server, request, &body, &app, &viewer, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *query = inst_getz(&body, "query");
    if (!is_given(query))
        return inst_refuse_missing(err, path, 2);
    if (query->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, query);
    inst_outcome_init(&outcome);
    inst_table_init(&checked.seen);
    inst_buf_init(&checked.json);
    bool infers = is_given(inst_getz(&body, "inference?"));
    st = inst_evaluate_once(app, query, &viewer, true, infers, &outcome, err);
    if (st == INST_OK)
        st = check_query(&checked, app, query, &viewer, err);
    if (st == INST_OK) {
        inst_buf_add_str(&response->body, "{\"result\":");
        inst_buf_add(&response->body, outcome.result.data, outcome.result.len);
        inst_buf_add_str(&response->body, ",\"check-results\":[");
        inst_buf_add(&response->body, checked.json.data, checked.json.len);
        inst_buf_add_str(&response->body, "],\"rule-wheres\":{}}");
        response->body.failed = response->body.failed || checked.json.failed;
    }
    inst_outcome_free(&outcome);
    inst_table_free(&checked.seen);
    inst_buf_free(&checked.json);
    return st;
}

/* ---- transactions ---- */

struct trial {
    struct inst_checks checks;
    bool is_dry;
};

static enum inst_status keep(void *ctx, bool *keep, struct inst_err *err) {
    struct trial *trial = ctx;
    enum inst_status st = inst_checks_end(&trial->checks, err);
    *keep = !trial->is_dry && trial->checks.all_ok;
    return st;
}

static enum inst_status try_steps(struct inst_app *app, const struct inst_value *steps,
                                  const struct inst_viewer *viewer, bool is_dry,
                                  struct inst_buf *out, struct inst_err *err) {
    struct trial trial = {.is_dry = is_dry};
    char who[INST_VIEWER_WHO_MAX];
    int64_t tx_id = 0;
    bool is_kept = false;
    inst_viewer_who(viewer, who);
    enum inst_status st = inst_checks_begin(&trial.checks, &app->db->store, steps, viewer,
                                            &app->server->scratch, err);
    if (st == INST_OK)
        st = inst_app_try(app, steps, who, viewer->is_admin, keep, &trial, &tx_id, &is_kept, err);
    if (st == INST_OK) {
        inst_buf_add_str(out, "{\"tx-id\":");
        inst_buf_add_int(out, tx_id);
        inst_buf_addf(out, ",\"all-checks-ok?\":%s,\"committed?\":%s,\"check-results\":[",
                      trial.checks.all_ok ? "true" : "false", is_kept ? "true" : "false");
        inst_buf_add(out, trial.checks.json.data, trial.checks.json.len);
        inst_buf_add_str(out, "]}");
    }
    inst_checks_release(&trial.checks);
    return st;
}

static enum inst_status answer_transact(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "steps"};
    struct inst_value body, tx_steps;
    struct inst_viewer viewer;
    struct inst_app *app;
    enum inst_status st = read_request(server, request, &body, &app, &viewer, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *steps = inst_getz(&body, "steps");
    if (!is_given(steps))
        return inst_refuse_missing(err, path, 2);
    if (steps->tag != INST_ARRAY && steps->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, steps);
    struct inst_admin_steps context = {
        .env = server->env,
        .attrs = app->catalog->attrs,
        .throw_on_missing = is_given(inst_getz(&body, "throw-on-missing-attrs?")),
    };
    st = inst_admin_steps_to_tx(&server->scratch, &context, steps, &tx_steps, err);
    if (st != INST_OK)
        return st;
    bool is_dry = !is_given(inst_getz(&body, "dangerously-commit-tx"));
    return try_steps(app, &tx_steps, &viewer, is_dry, &response->body, err);
}

const struct inst_http_route inst_http_debug_routes[] = {
    {"POST", "/admin/query_perms_check", answer_query},
    {"POST", "/admin/transact_perms_check", answer_transact},
    {NULL, NULL, NULL},
};
