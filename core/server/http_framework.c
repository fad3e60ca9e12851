#include "server/evaluation.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* ---- POST /runtime/framework/query (http.md 7.4) ---- */

/* What a web server renders a page with, for the user whose token it has: the rows of a session's
 * result, with the attrs that a session learns from init-ok. A token that is not known is nobody's.
 */
static enum inst_status answer_query(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "query"};
    struct inst_value body;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_outcome outcome;
    const char *attrs;
    size_t attrs_len;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK)
        return st;
    const struct inst_value *query = inst_getz(&body, "query");
    if (query == NULL || inst_is_nullish(query))
        return inst_refuse_missing(err, path, 2);
    if (query->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, query);
    if ((st = inst_http_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_bearer_user(server, request, app, &viewer, err)) != INST_OK)
        return st;
    inst_outcome_init(&outcome);
    if ((st = inst_evaluate_once(app, query, &viewer, false, false, &outcome, err)) == INST_OK &&
        (st = inst_catalog_json(app->catalog, &attrs, &attrs_len, err)) == INST_OK) {
        inst_buf_add_str(&response->body, "{\"result\":");
        inst_buf_add(&response->body, outcome.result.data, outcome.result.len);
        inst_buf_add_str(&response->body, ",\"attrs\":");
        inst_buf_add(&response->body, attrs, attrs_len);
        inst_buf_add_char(&response->body, '}');
    }
    inst_outcome_free(&outcome);
    return st;
}

const struct inst_http_route inst_http_framework_routes[] = {
    {"POST", "/runtime/framework/query", answer_query},
    {NULL, NULL, NULL},
};
