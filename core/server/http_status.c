/* POST /dash/apps/:app_id/status (http.md 8.2): an app is made read-only, disabled, or active
 * again.
 */
#include "server/http_routes.h"
#include "server/refusal.h"

static enum inst_status answer_status(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "status"};
    enum inst_app_state state;
    struct inst_value body;
    struct inst_app *app;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_path_app(server, request, &app, err)) != INST_OK)
        return st;
    const struct inst_value *status = inst_getz(&body, "status");
    if (status == NULL || inst_is_nullish(status))
        return inst_refuse_missing(err, path, 2);
    if (!inst_app_find_state(status, &state))
        return inst_refuse_malformed(err, path, 2, status);
    if ((st = inst_app_set_status(app, state, err)) != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"status\":\"%s\"}", inst_app_status_name(state));
    return INST_OK;
}

const struct inst_http_route inst_http_status_routes[] = {
    {"POST", "/dash/apps/:app_id/status", answer_status},
    {NULL, NULL, NULL},
};
