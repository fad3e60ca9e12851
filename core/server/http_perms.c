#include "base/json.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* Reading and saving an app's permission rules (http.md 8.5, permissions.md 6). */

static enum inst_status answer_read(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"perms\":");
    if (inst_app_has_rules(app))
        inst_json_write(&response->body, inst_rules_code(app->rules));
    else
        inst_buf_add_str(&response->body, "null");
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status save(struct inst_server *server, const struct inst_http_request *request,
                             struct inst_app **app, struct inst_err *err) {
    static const char *const path[] = {"body", "code"};
    struct inst_value body;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_path_app(server, request, app, err)) != INST_OK)
        return st;
    const struct inst_value *code = inst_getz(&body, "code");
    if (code == NULL || inst_is_nullish(code))
        return inst_refuse_missing(err, path, 2);
    if (code->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, code);
    return inst_app_set_rules(*app, code, err);
}

static enum inst_status answer_save(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = save(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"rules\":{\"app_id\":\"%s\",\"code\":", app->info.id);
    inst_json_write(&response->body, inst_rules_code(app->rules));
    inst_buf_add_str(&response->body, "}}");
    return INST_OK;
}

const struct inst_http_route inst_http_perms_routes[] = {
    {"GET", "/dash/apps/:app_id/perms/pull", answer_read},
    {"POST", "/dash/apps/:app_id/rules", answer_save},
    {"GET", "/superadmin/apps/:app_id/perms", answer_read},
    {"POST", "/superadmin/apps/:app_id/perms", answer_save},
    {NULL, NULL, NULL},
};
