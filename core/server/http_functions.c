#include "base/json.h"
#include "server/functions.h"
#include "server/http_routes.h"
#include "server/operators.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/users.h"

/* ---- who calls ---- */

static enum inst_status refuse_function(struct inst_err *err, const char *name) {
    struct inst_buf args;
    inst_buf_init(&args);
    inst_buf_add_str(&args, "[{\"name\":");
    inst_json_write_string(&args, name, strlen(name));
    inst_buf_add_str(&args, "}]");
    enum inst_status st = inst_refuse_not_found(err, "function", args.failed ? NULL : args.data);
    inst_buf_free(&args);
    return st;
}

static enum inst_status find_app(struct inst_server *server,
                                 const struct inst_http_request *request, struct inst_app **app,
                                 struct inst_err *err) {
    static const char *const path[] = {"params", "app_id"};
    const char *id = inst_http_path_param(request, "app_id");
    struct inst_uuid uuid;
    char text[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(id, strlen(id), &uuid)) {
        struct inst_value input = inst_cstring(id);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, text);
    enum inst_status st = inst_app_get(server, text, app, err);
    if (st == INST_OK)
        inst_app_commit(*app);
    return st;
}

/* As the admin API has it (session.md 7.1), when a header says so. */
static enum inst_status find_impersonated(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_app *app, struct inst_viewer *viewer,
                                          struct inst_err *err) {
    struct inst_app *named;
    enum inst_status st = inst_http_viewer(server, request, &named, viewer, err);
    if (st == INST_OK && named != app)
        return inst_user_refuse(err);
    return st;
}

/* A refresh token: its user. The app's admin token, or an operator's: an admin. None: nobody. One
 * that is not known is refused, for whoever shows one does not mean to be nobody. */
static enum inst_status find_caller(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_app *app,
                                    struct inst_viewer *viewer, struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    if (inst_http_header(request, "as-token") != NULL ||
        inst_http_header(request, "as-email") != NULL ||
        inst_http_header(request, "as-guest") != NULL)
        return find_impersonated(server, request, app, viewer, err);
    const char *token = inst_http_bearer(server, request);
    struct inst_uuid uuid;
    uint32_t user = 0;
    *viewer = (struct inst_viewer){.from = inst_http_caller(request)};
    if (token == NULL)
        return INST_OK;
    if (inst_operator_is_token(token)) {
        viewer->is_admin = true;
        return inst_operator_check(server, token, err);
    }
    enum inst_status st = INST_OK;
    if (inst_uuid_parse(token, strlen(token), &uuid))
        st = inst_user_by_token(app, &uuid, &user, err);
    if (st != INST_OK || inst_row_id(app, user, viewer->user))
        return st;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(token, strlen(token), &uuid))
        return inst_user_refuse(err);
    inst_uuid_print(&uuid, plain);
    viewer->is_admin =
        host->apps->is_admin_token(host->apps_ctx, app->info.id, plain, INST_UUID_TEXT);
    return viewer->is_admin ? INST_OK : inst_user_refuse(err);
}

/* ---- POST /apps/:app_id/functions/:name ---- */

/* Any JSON; nothing at all is no params. */
static enum inst_status read_params(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_value *params, struct inst_err *err) {
    static const char *const path[] = {"body"};
    *params = inst_undefined();
    if (request->body_len == 0)
        return INST_OK;
    enum inst_status st =
        inst_json_parse(&server->scratch, request->body, request->body_len, params, NULL);
    if (st == INST_NOMEM)
        return inst_err_nomem(err);
    return st == INST_OK ? INST_OK : inst_refuse_malformed(err, path, 1, NULL);
}

static enum inst_status answer_function(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    const char *name = inst_http_path_param(request, "name");
    struct inst_viewer viewer;
    struct inst_value params;
    struct inst_app *app;
    enum inst_status st;
    if (server->functions == NULL)
        return refuse_function(err, name);
    if ((st = read_params(server, request, &params, err)) != INST_OK ||
        (st = find_app(server, request, &app, err)) != INST_OK ||
        (st = find_caller(server, request, app, &viewer, err)) != INST_OK)
        return st;
    struct inst_call call = {.app = app, .viewer = &viewer};
    st = server->functions->function(server->functions_ctx, &call, name, &params, &response->body,
                                     err);
    return inst_call_finish(app, st, err);
}

/* ---- any method, /apps/:app_id/routes/... ---- */

static enum inst_status answer_route(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    const char *rest = inst_http_path_param(request, "rest");
    struct inst_viewer viewer;
    struct inst_app *app;
    enum inst_status st;
    if (server->functions == NULL)
        return refuse_function(err, rest);
    if ((st = find_app(server, request, &app, err)) != INST_OK ||
        (st = find_caller(server, request, app, &viewer, err)) != INST_OK)
        return st;
    struct inst_call call = {.app = app, .viewer = &viewer};
    st = server->functions->route(server->functions_ctx, &call, request, rest, response, err);
    return inst_call_finish(app, st, err);
}

const struct inst_http_route inst_http_functions_routes[] = {
    {"POST", "/apps/:app_id/functions/:name", answer_function},
    {"GET", "/apps/:app_id/routes*rest", answer_route},
    {"POST", "/apps/:app_id/routes*rest", answer_route},
    {"PUT", "/apps/:app_id/routes*rest", answer_route},
    {"DELETE", "/apps/:app_id/routes*rest", answer_route},
    {NULL, NULL, NULL},
};
