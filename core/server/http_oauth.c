/*
 * Routes: the end of a sign-in by redirects, a code for a user (http.md 4.5); and what the routes
 * of that flow share.
 */
#include "server/http_oauth.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/oauth.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- what the routes share ---- */

/* A form or a query as an object of texts. */
static enum inst_status read_form(const char *text, const char *const *names, size_t count,
                                  struct inst_arena *arena, struct inst_value *out,
                                  struct inst_err *err) {
    struct inst_http_request form = {.query = text};
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (size_t i = 0; i < count; i++) {
        const char *value;
        enum inst_status st = inst_http_param(&form, names[i], arena, &value, err);
        if (st != INST_OK)
            return st;
        if (value != NULL)
            inst_object_addz(&b, names[i], inst_cstring(value));
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_oauth_params(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   const char *const *names, size_t count, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_arena *arena = &server->scratch;
    const char *type = inst_http_header(request, "content-type");
    if (request->body_len == 0)
        return read_form(request->query, names, count, arena, out, err);
    if (type == NULL || strncmp(type, "application/x-www-form-urlencoded", 33) != 0)
        return inst_auth_body(server, request, '-', '_', out, err);
    char *form = inst_arena_dup(arena, request->body, request->body_len);
    return form != NULL ? read_form(form, names, count, arena, out, err) : inst_err_nomem(err);
}

enum inst_status inst_oauth_app(struct inst_server *server, const struct inst_http_request *request,
                                const struct inst_value *params, struct inst_app **out,
                                struct inst_err *err) {
    static const char *const path[] = {"params", "app_id"};
    const char *of_path = inst_http_path_param(request, "app_id");
    char id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    struct inst_value input = inst_cstring(of_path != NULL ? of_path : "");
    enum inst_status st = INST_OK;
    if (of_path == NULL)
        st = inst_http_body_uuid(params, "app_id", id, err);
    else if (inst_uuid_parse(of_path, strlen(of_path), &uuid))
        inst_uuid_print(&uuid, id);
    else
        st = inst_refuse_malformed(err, path, 2, &input);
    if (st == INST_OK)
        st = inst_app_get(server, id, out, err);
    if (st == INST_OK)
        inst_app_commit(*out);
    return st;
}

void inst_oauth_send_to(struct inst_http_response *response, const struct inst_buf *url) {
    for (size_t i = 0; i < url->len; i++)
        if ((unsigned char)url->data[i] <= ' ' || (unsigned char)url->data[i] >= 0x7f)
            response->headers.failed = true;
    if (url->failed)
        response->headers.failed = true;
    else
        inst_http_add_header(response, "Location", url->data);
    response->status = 302;
    inst_buf_clear(&response->body);
}

/* ---- POST /runtime/oauth/token ---- */

/* The code is used up whatever comes behind it. */
static enum inst_status exchange(struct inst_app *app, const struct inst_value *params,
                                 struct inst_sign_in *sign_in, struct inst_err *err) {
    static const char *const path[] = {"body", "code_verifier"};
    struct inst_oauth_identity identity;
    struct inst_uuid code;
    bool has_code;
    const struct inst_value *verifier = inst_get_string(params, "code_verifier");
    static const char *const code_path[] = {"body", "code"};
    enum inst_status st = inst_auth_token(params, "code", &has_code, &code, err);
    if (st == INST_OK && !has_code)
        st = inst_refuse_missing(err, code_path, 2);
    if (st == INST_OK && verifier != NULL && verifier->len > INST_OAUTH_MAX_VERIFIER)
        st = inst_refuse_malformed(err, path, 2, NULL);
    if (st == INST_OK)
        st = inst_oauth_consume(app, &code, verifier, &identity, err);
    if (st == INST_OK)
        st = inst_auth_guest(app, params, "refresh_token", &sign_in->guest, err);
    return st == INST_OK ? inst_oauth_enter(app, &identity, sign_in, err) : st;
}

static enum inst_status answer_token(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const names[] = {"app_id", "code", "code_verifier", "refresh_token",
                                        "client_id"};
    struct inst_value params;
    struct inst_app *app;
    struct inst_sign_in sign_in = {.from = inst_http_caller(request)};
    struct inst_uuid token;
    char text[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_oauth_params(server, request, names, sizeof names / sizeof *names, &params,
                                err)) != INST_OK ||
        (st = inst_oauth_app(server, request, &params, &app, err)) != INST_OK ||
        (st = inst_auth_check_origin(app, request, err)) != INST_OK ||
        (st = inst_auth_extra(&params, "extra_fields", &sign_in.extra_fields, err)) != INST_OK)
        return st;
    st = exchange(app, &params, &sign_in, err);
    if (st == INST_OK)
        st = inst_auth_answer(app, sign_in.user, &token, &response->body, err);
    else
        inst_app_commit(app);
    if (st != INST_OK)
        return st;
    inst_uuid_print(&token, text);
    inst_buf_addf(&response->body, ",\"refresh_token\":\"%s\"", text);
    inst_wipe(&token, sizeof token);
    inst_wipe(text, sizeof text);
    inst_auth_created(&response->body, sign_in.is_created);
    return INST_OK;
}

/* ---- GET /runtime/:app_id/.well-known/openid-configuration ---- */

static enum inst_status answer_configuration(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_oauth_app(server, request, NULL, &app, err);
    if (st != INST_OK)
        return st;
    struct inst_buf address;
    inst_buf_init(&address);
    inst_http_origin(server, request, &address);
    inst_buf_addf(&address, "/runtime/%s/oauth/", app->info.id);
    size_t base = address.len;
    static const char *const names[] = {"authorization_endpoint", "token_endpoint"};
    static const char *const ends[] = {"start", "token"};
    for (size_t i = 0; i < 2; i++) {
        address.len = base;
        inst_buf_add_str(&address, ends[i]);
        inst_buf_addf(&response->body, "%s\"%s\":", i == 0 ? "{" : ",", names[i]);
        if (address.failed)
            response->body.failed = true;
        else
            inst_json_write_string(&response->body, address.data, address.len);
    }
    inst_buf_add_char(&response->body, '}');
    inst_buf_free(&address);
    return INST_OK;
}

/* ---- routes ---- */

const struct inst_http_route inst_http_oauth_routes[] = {
    {"POST", "/runtime/oauth/token", answer_token},
    {"POST", "/runtime/:app_id/oauth/token", answer_token},
    {"GET", "/runtime/:app_id/.well-known/openid-configuration", answer_configuration},
    {NULL, NULL, NULL},
};
