#include "base/json.h"
#include "schema/api_schema.h"
#include "server/admin_steps.h"
#include "server/evaluation.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* ---- parameters ---- */

static bool is_false(const struct inst_value *v) {
    return v == NULL || inst_is_nullish(v) || v->tag == INST_FALSE;
}

/* A member that must be an object, or (steps) at least no plain value. */
static enum inst_status read_part(const struct inst_value *body, const char *name, bool may_be_list,
                                  const struct inst_value **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    *out = inst_getz(body, name);
    if (is_false(*out))
        return inst_refuse_missing(err, path, 2);
    if ((*out)->tag == INST_OBJECT || (may_be_list && (*out)->tag == INST_ARRAY))
        return INST_OK;
    return inst_refuse_malformed(err, path, 2, *out);
}

/* ---- POST /admin/query (http.md 6.1) ---- */

static enum inst_status answer_query(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    const struct inst_value *query;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_outcome outcome;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_part(&body, "query", false, &query, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, &app, &viewer, err)) != INST_OK)
        return st;
    inst_outcome_init(&outcome);
    bool infers = !is_false(inst_getz(&body, "inference?"));
    st = inst_evaluate_once(app, query, &viewer, true, infers, &outcome, err);
    if (st == INST_OK)
        inst_buf_add(&response->body, outcome.result.data, outcome.result.len);
    inst_outcome_free(&outcome);
    return st;
}

/* ---- POST /admin/transact (http.md 6.2) ---- */

static enum inst_status answer_transact(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body, tx_steps;
    const struct inst_value *steps;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_tx_source source = {.viewer = &viewer};
    int64_t tx_id;
    bool is_repeated;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_part(&body, "steps", true, &steps, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, &app, &viewer, err)) != INST_OK)
        return st;
    struct inst_admin_steps context = {
        .env = server->env,
        .attrs = app->catalog->attrs,
        .throw_on_missing = !is_false(inst_getz(&body, "throw-on-missing-attrs?")),
    };
    st = inst_admin_steps_to_tx(&server->scratch, &context, steps, &tx_steps, err);
    if (st != INST_OK)
        return st;
    st = inst_app_transact(app, &tx_steps, &source, &tx_id, &is_repeated, err);
    inst_app_commit(app);
    if (st != INST_OK)
        return st;
    if (app->last_tx < tx_id)
        return inst_err_set(err, "sql-exception", 500,
                            "The transaction could not be kept; send it again.");
    inst_buf_add_str(&response->body, "{\"tx-id\":");
    inst_buf_add_int(&response->body, tx_id);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* ---- GET /admin/schema (http.md 6.5, transactions.md 13.2) ---- */

static enum inst_status answer_schema(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value schema;
    enum inst_status st = inst_http_admin_app(server, request, &app, err);
    if (st == INST_OK)
        st = inst_api_schema(&server->scratch, app->catalog->attrs, INST_REF_KEY_JOINED, &schema,
                             err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"schema\":");
    inst_json_write(&response->body, &schema);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* ---- routes ---- */

const struct inst_http_route inst_http_admin_routes[] = {
    {"POST", "/admin/query", answer_query},
    {"POST", "/admin/transact", answer_transact},
    {"GET", "/admin/schema", answer_schema},
    {NULL, NULL, NULL},
};
