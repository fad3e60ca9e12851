#include "server/http_routes.h"

#include "server/app_json.h"
#include "server/refusal.h"

/* Ephemeral apps live for 14 days (http.md 8.2). */
#define EPHEMERAL_MS (14ll * 24 * 60 * 60 * 1000)

static enum inst_status answer_health(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    (void)server;
    (void)request;
    (void)err;
    inst_buf_add_str(&response->body, "{\"wal\":\"ok\"}");
    return INST_OK;
}

static enum inst_status answer_root(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    (void)server;
    (void)request;
    (void)err;
    inst_buf_add_str(&response->body, "{\"message\":\"Welcome to Instant's Backend!\"}");
    return INST_OK;
}

/* ---- POST /dash/apps/ephemeral ---- */

static void write_app(struct inst_buf *buf, const struct inst_app_info *info, const char *token) {
    inst_buf_add_str(buf, "{\"app\":");
    inst_app_json_begin(buf, info, token);
    inst_buf_add_str(buf, "},\"expires_ms\":");
    inst_buf_add_int(buf, info->expires_ms);
    inst_buf_add_char(buf, '}');
}

static enum inst_status answer_ephemeral(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    struct inst_value body;
    struct inst_app_info info = {.expires_ms =
                                     server->env->now_ms(server->env->ctx) + EPHEMERAL_MS};
    char token[INST_UUID_TEXT + 1];
    enum inst_status st;
    if (server->has_no_ephemeral) {
        inst_err_set(err, "app-creation-disabled", 400,
                     "This backend makes no apps for everybody: ask its operator for one.");
        return INST_FAILED;
    }
    inst_uuid_make_text(server->env, info.id);
    inst_uuid_make_text(server->env, token);
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_app_make_asked(server, &body, &info, token, err)) != INST_OK)
        return st;
    write_app(&response->body, &info, token);
    return INST_OK;
}

/* ---- GET /dash/apps/ephemeral/:id ---- */

static enum inst_status answer_ephemeral_app(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    static const char *const path[] = {"params", "id"};
    const char *id = inst_http_path_param(request, "id");
    struct inst_app_info info;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(id, strlen(id), &uuid)) {
        struct inst_value input = inst_cstring(id);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, plain);
    enum inst_status st = server->host.apps->find(server->host.apps_ctx, plain, &info, err);
    if (st == INST_OK && info.expires_ms == 0)
        st = inst_refuse_not_found(err, "app", "[{}]"); /* not for everybody's eyes */
    if (st == INST_OK)
        write_app(&response->body, &info, NULL);
    return st;
}

const struct inst_http_route inst_http_dash_routes[] = {
    {"GET", "/", answer_root},
    {"GET", "/health/system", answer_health},
    {"POST", "/dash/apps/ephemeral", answer_ephemeral},
    {"GET", "/dash/apps/ephemeral/:id", answer_ephemeral_app},
    {NULL, NULL, NULL},
};
