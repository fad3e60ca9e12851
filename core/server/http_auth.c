/* Sign-in of an app's users (http.md 4.1-4.3). */
#include "server/http_auth.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/origins.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- parameters (http.md 1.2) ---- */

static struct inst_value body_with(struct inst_arena *arena, const struct inst_value *body,
                                   char from, char to) {
    struct inst_object_builder b;
    struct inst_value out;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; i < body->len; i++) {
        const struct inst_member *member = &body->u.members[i];
        char *key = inst_arena_dup(arena, member->key, member->key_len);
        for (size_t k = 0; key != NULL && k < member->key_len; k++)
            key[k] = key[k] == from ? to : key[k];
        if (key == NULL)
            b.failed = true;
        else
            inst_object_add(&b, key, member->key_len, member->value);
    }
    return inst_object_end(&b, &out) ? out : inst_undefined();
}

enum inst_status inst_auth_body(struct inst_server *server, const struct inst_http_request *request,
                                char from, char to, struct inst_value *out, struct inst_err *err) {
    struct inst_value body;
    enum inst_status st = inst_http_body(server, request, &body, err);
    if (st != INST_OK)
        return st;
    *out = body_with(&server->scratch, &body, from, to);
    return out->tag == INST_OBJECT ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_auth_email(const struct inst_value *body, bool is_optional,
                                 char out[INST_USERS_MAX_EMAIL + 1], struct inst_err *err) {
    static const char *const path[] = {"body", "email"};
    const struct inst_value *v = inst_getz(body, "email");
    out[0] = '\0';
    if (v == NULL || inst_is_nullish(v))
        return is_optional ? INST_OK : inst_refuse_missing(err, path, 2);
    if (v->tag != INST_STRING || !inst_email_read(v->u.str, v->len, out))
        return inst_refuse_malformed(err, path, 2, v);
    return INST_OK;
}

enum inst_status inst_auth_code(const struct inst_value *body, struct inst_value *out,
                                struct inst_err *err) {
    static const char *const path[] = {"body", "code"};
    const struct inst_value *v = inst_getz(body, "code");
    if (v == NULL || inst_is_nullish(v))
        return inst_refuse_missing(err, path, 2);
    if (v->tag != INST_STRING)
        return inst_refuse_malformed(err, path, 2, NULL);
    const char *from = v->u.str, *to = from + v->len;
    while (from < to && strchr(" \t\r\n\f\v", *from))
        from++;
    while (to > from && strchr(" \t\r\n\f\v", to[-1]))
        to--;
    *out = inst_string(from, (size_t)(to - from));
    return INST_OK;
}

enum inst_status inst_auth_token(const struct inst_value *body, const char *name, bool *has,
                                 struct inst_uuid *out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *v = inst_getz(body, name);
    char text[INST_UUID_TEXT + 1];
    *has = v != NULL && !inst_is_nullish(v);
    if (!*has)
        return INST_OK;
    if (inst_http_body_uuid(body, name, text, NULL) != INST_OK)
        return inst_refuse_malformed(err, path, 2, NULL);
    inst_uuid_parse(text, INST_UUID_TEXT, out);
    inst_wipe(text, sizeof text);
    return INST_OK;
}

static enum inst_status require_token(const struct inst_value *body, const char *name,
                                      struct inst_uuid *out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    bool has;
    enum inst_status st = inst_auth_token(body, name, &has, out, err);
    return st == INST_OK && !has ? inst_refuse_missing(err, path, 2) : st;
}

enum inst_status inst_auth_extra(const struct inst_value *body, const char *name,
                                 const struct inst_value **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    *out = inst_getz(body, name);
    if (*out == NULL || inst_is_nullish(*out)) {
        *out = NULL;
        return INST_OK;
    }
    return (*out)->tag == INST_OBJECT ? INST_OK : inst_refuse_malformed(err, path, 2, *out);
}

enum inst_status inst_auth_app(struct inst_server *server, const struct inst_value *body,
                               const char *name, struct inst_app **out, struct inst_err *err) {
    char id[INST_UUID_TEXT + 1];
    enum inst_status st = inst_http_body_uuid(body, name, id, err);
    if (st == INST_OK)
        st = inst_app_get(server, id, out, err);
    if (st == INST_OK)
        inst_app_commit(*out);
    return st;
}

enum inst_status inst_auth_check_origin(struct inst_app *app,
                                        const struct inst_http_request *request,
                                        struct inst_err *err) {
    const char *origin = inst_http_header(request, "origin");
    struct inst_value list;
    if (origin == NULL)
        return INST_OK;
    enum inst_status st = inst_origins_list(app, &list, err);
    if (st != INST_OK || inst_origins_allow(&list, origin))
        return st;
    struct inst_value input = inst_cstring(origin);
    return inst_refuse_validation(err, "origin", &input, NULL, "Unauthorized origin.");
}

enum inst_status inst_auth_guest(struct inst_app *app, const struct inst_value *body,
                                 const char *name, uint32_t *guest, struct inst_err *err) {
    struct inst_uuid token;
    bool has, is_guest = false;
    *guest = 0;
    enum inst_status st = inst_auth_token(body, name, &has, &token, err);
    if (st != INST_OK || !has)
        return st;
    st = inst_user_by_token(app, &token, guest, err);
    if (st == INST_OK && *guest == 0)
        st = inst_user_refuse(err);
    if (st == INST_OK)
        st = inst_user_is_guest(app, *guest, &is_guest, err);
    if (!is_guest)
        *guest = 0;
    return st;
}

/* ---- answers ---- */

enum inst_status inst_auth_answer_kept(struct inst_app *app, const char *id,
                                       const struct inst_uuid *token, struct inst_buf *body,
                                       struct inst_err *err) {
    uint32_t user = 0;
    enum inst_status st = inst_row_commit(app, err);
    if (st == INST_OK)
        st = inst_user_by_id(app, id, &user, err);
    if (st == INST_OK && user == 0)
        st = inst_user_refuse(err);
    inst_buf_add_str(body, "{\"user\":");
    return st == INST_OK ? inst_user_write(app, user, token, body, err) : st;
}

enum inst_status inst_auth_answer(struct inst_app *app, const char *id, struct inst_uuid *token,
                                  struct inst_buf *body, struct inst_err *err) {
    struct inst_uuid made;
    enum inst_status st = inst_token_create(app, id, &made, err);
    if (st == INST_OK)
        st = inst_auth_answer_kept(app, id, &made, body, err);
    if (st == INST_OK && token != NULL)
        *token = made;
    inst_wipe(&made, sizeof made);
    return st;
}

void inst_auth_created(struct inst_buf *body, bool is_created) {
    inst_buf_addf(body, ",\"created\":%s}", is_created ? "true" : "false");
}

/* ---- magic codes ---- */

static enum inst_status answer_send(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    char email[INST_USERS_MAX_EMAIL + 1], code[INST_MAGIC_CODE_DIGITS + 1];
    enum inst_status st;
    if ((st = inst_auth_body(server, request, '_', '-', &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, false, email, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app-id", &app, err)) != INST_OK ||
        (st = inst_code_send(app, email, code, err)) != INST_OK ||
        (st = inst_row_commit(app, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"sent\":true}");
    return INST_OK;
}

static enum inst_status answer_verify(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body, code = inst_undefined();
    struct inst_app *app;
    struct inst_sign_in sign_in = {.from = inst_http_caller(request)};
    char email[INST_USERS_MAX_EMAIL + 1];
    enum inst_status st;
    if ((st = inst_auth_body(server, request, '_', '-', &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, false, email, err)) != INST_OK ||
        (st = inst_auth_code(&body, &code, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app-id", &app, err)) != INST_OK ||
        (st = inst_auth_extra(&body, "extra-fields", &sign_in.extra_fields, err)) != INST_OK ||
        (st = inst_auth_guest(app, &body, "refresh-token", &sign_in.guest, err)) != INST_OK)
        return st;
    sign_in.email = email;
    st = inst_code_verify(app, code.u.str, code.len, &sign_in, err);
    if (st == INST_OK)
        st = inst_auth_answer(app, sign_in.user, NULL, &response->body, err);
    else
        inst_app_commit(app);
    inst_auth_created(&response->body, sign_in.is_created);
    return st;
}

/* ---- guests ---- */

static enum inst_status answer_guest(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_new_user user = {.type = "guest", .from = inst_http_caller(request)};
    enum inst_status st;
    if ((st = inst_auth_body(server, request, '_', '-', &body, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app-id", &app, err)) != INST_OK ||
        (st = inst_auth_extra(&body, "extra-fields", &user.extra_fields, err)) != INST_OK)
        return st;
    inst_uuid_make_text(server->env, user.id);
    if ((st = inst_user_check_new(app, &user, err)) != INST_OK ||
        (st = inst_user_create(app, &user, err)) != INST_OK)
        return st;
    st = inst_auth_answer(app, user.id, NULL, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    return st;
}

/* ---- refresh tokens ---- */

static enum inst_status answer_verify_token(struct inst_server *server,
                                            const struct inst_http_request *request,
                                            struct inst_http_response *response,
                                            struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_uuid token;
    uint32_t user;
    enum inst_status st;
    if ((st = inst_auth_body(server, request, '_', '-', &body, err)) != INST_OK ||
        (st = require_token(&body, "refresh-token", &token, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app-id", &app, err)) != INST_OK ||
        (st = inst_user_by_token(app, &token, &user, err)) != INST_OK)
        return st;
    if (user == 0)
        return inst_user_refuse(err);
    inst_buf_add_str(&response->body, "{\"user\":");
    st = inst_user_write(app, user, &token, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    inst_wipe(&token, sizeof token);
    return st;
}

static enum inst_status answer_sign_out(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_uuid token;
    enum inst_status st;
    (void)response;
    if ((st = inst_auth_body(server, request, '-', '_', &body, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app_id", &app, err)) != INST_OK ||
        (st = require_token(&body, "refresh_token", &token, err)) != INST_OK ||
        (st = inst_token_delete(app, &token, err)) != INST_OK)
        return st;
    return inst_row_commit(app, err);
}

/* ---- routes ---- */

const struct inst_http_route inst_http_auth_routes[] = {
    {"POST", "/runtime/auth/send_magic_code", answer_send},
    {"POST", "/runtime/auth/verify_magic_code", answer_verify},
    {"POST", "/runtime/auth/sign_in_guest", answer_guest},
    {"POST", "/runtime/auth/verify_refresh_token", answer_verify_token},
    {"POST", "/runtime/signout", answer_sign_out},
    {NULL, NULL, NULL},
};
