/* An admin's routes about users: their codes, tokens, rows (http.md 4.4). */
#include "server/http_auth.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- who and what ---- */

/* Who must be an admin, then the body. */
static enum inst_status begin(struct inst_server *server, const struct inst_http_request *request,
                              struct inst_app **app, struct inst_value *body,
                              struct inst_err *err) {
    enum inst_status st = inst_auth_body(server, request, '_', '-', body, err);
    return st == INST_OK ? inst_http_admin_app(server, request, app, err) : st;
}

/* The text of an id that may be absent: "" then. */
static enum inst_status optional_id(const struct inst_value *body, char out[INST_UUID_TEXT + 1],
                                    struct inst_err *err) {
    const struct inst_value *v = inst_getz(body, "id");
    out[0] = '\0';
    return v == NULL || inst_is_nullish(v) ? INST_OK : inst_http_body_uuid(body, "id", out, err);
}

/* ---- magic codes ---- */

typedef enum inst_status code_fn(struct inst_app *app, const char *email,
                                 char code[INST_MAGIC_CODE_DIGITS + 1], struct inst_err *err);

static enum inst_status answer_code(struct inst_server *server,
                                    const struct inst_http_request *request, code_fn *make,
                                    struct inst_buf *out, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    char email[INST_USERS_MAX_EMAIL + 1], code[INST_MAGIC_CODE_DIGITS + 1];
    enum inst_status st;
    if ((st = begin(server, request, &app, &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, false, email, err)) != INST_OK ||
        (st = make(app, email, code, err)) != INST_OK ||
        (st = inst_row_commit(app, err)) != INST_OK)
        return st;
    inst_buf_addf(out, "{\"code\":\"%s\"}", code);
    return INST_OK;
}

static enum inst_status answer_magic_code(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    return answer_code(server, request, inst_code_create, &response->body, err);
}

static enum inst_status answer_send(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    return answer_code(server, request, inst_code_send, &response->body, err);
}

static enum inst_status answer_verify(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body, code;
    struct inst_app *app;
    struct inst_sign_in sign_in = {.is_admin = true};
    char email[INST_USERS_MAX_EMAIL + 1];
    enum inst_status st;
    if ((st = begin(server, request, &app, &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, false, email, err)) != INST_OK ||
        (st = inst_auth_code(&body, &code, err)) != INST_OK ||
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

/* ---- tokens and guests ---- */

/* The user of the address or, without one, of the id; made when there is none. */
static enum inst_status find_or_make(struct inst_app *app, struct inst_new_user *user,
                                     bool *is_created, struct inst_err *err) {
    uint32_t e;
    enum inst_status st = user->email != NULL ? inst_user_by_email(app, user->email, &e, err)
                                              : inst_user_by_id(app, user->id, &e, err);
    *is_created = st == INST_OK && e == 0;
    if (st != INST_OK)
        return st;
    if (!*is_created) {
        inst_row_id(app, e, user->id);
        return INST_OK;
    }
    if (user->id[0] == '\0')
        inst_uuid_make_text(app->server->env, user->id);
    st = inst_user_check_new(app, user, err);
    return st == INST_OK ? inst_user_create(app, user, err) : st;
}

static enum inst_status answer_tokens(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_new_user user = {.is_admin = true};
    char email[INST_USERS_MAX_EMAIL + 1];
    bool is_created = false;
    enum inst_status st;
    if ((st = begin(server, request, &app, &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, true, email, err)) != INST_OK ||
        (st = optional_id(&body, user.id, err)) != INST_OK ||
        (st = inst_auth_extra(&body, "extra-fields", &user.extra_fields, err)) != INST_OK)
        return st;
    if (email[0] == '\0' && user.id[0] == '\0')
        return inst_refuse_validation(err, "body", &body, NULL,
                                      "Please provide an `email` or `id`");
    user.email = email[0] != '\0' ? email : NULL;
    st = find_or_make(app, &user, &is_created, err);
    if (st == INST_OK)
        st = inst_auth_answer(app, user.id, NULL, &response->body, err);
    inst_auth_created(&response->body, is_created);
    return st;
}

static enum inst_status answer_guest(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_new_user user = {.type = "guest", .is_admin = true};
    enum inst_status st;
    if ((st = begin(server, request, &app, &body, err)) != INST_OK ||
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

/* ---- signing out ---- */

static enum inst_status sign_out(struct inst_app *app, const struct inst_value *body,
                                 struct inst_err *err) {
    char email[INST_USERS_MAX_EMAIL + 1], id[INST_UUID_TEXT + 1];
    struct inst_uuid token;
    uint32_t user = 0;
    bool has_token;
    enum inst_status st = optional_id(body, id, err);
    if (st == INST_OK && id[0] != '\0') {
        st = inst_user_by_id(app, id, &user, err);
        return st == INST_OK && user != 0 ? inst_token_delete_all(app, user, err) : st;
    }
    if (st == INST_OK)
        st = inst_auth_email(body, true, email, err);
    if (st == INST_OK && email[0] != '\0') {
        st = inst_user_by_email(app, email, &user, err);
        if (st == INST_OK && user == 0)
            st = inst_user_refuse(err);
        return st == INST_OK ? inst_token_delete_all(app, user, err) : st;
    }
    if (st == INST_OK)
        st = inst_auth_token(body, "refresh-token", &has_token, &token, err);
    if (st != INST_OK)
        return st;
    return has_token ? inst_token_delete(app, &token, err)
                     : inst_refuse_validation(err, "body", body, NULL,
                                              "Please provide an `id`, `email`, or "
                                              "`refresh_token`");
}

static enum inst_status answer_sign_out(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    enum inst_status st;
    if ((st = begin(server, request, &app, &body, err)) != INST_OK ||
        (st = sign_out(app, &body, err)) != INST_OK || (st = inst_row_commit(app, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"ok\":true}");
    return INST_OK;
}

/* ---- users ---- */

/* A uuid of the query. is_secret: errors do not echo it. */
static enum inst_status read_uuid(const char *name, const char *text, bool is_secret,
                                  struct inst_uuid *out, struct inst_err *err) {
    const char *const path[] = {"params", name};
    struct inst_value input = inst_cstring(text);
    return inst_uuid_parse(text, strlen(text), out)
               ? INST_OK
               : inst_refuse_malformed(err, path, 2, is_secret ? NULL : &input);
}

static enum inst_status by_param(struct inst_app *app, const char *name, const char *text,
                                 uint32_t *user, struct inst_err *err) {
    static const char *const path[] = {"params", "email"};
    char email[INST_USERS_MAX_EMAIL + 1], id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    struct inst_value input = inst_cstring(text);
    if (strcmp(name, "email") == 0)
        return inst_email_read(text, strlen(text), email)
                   ? inst_user_by_email(app, email, user, err)
                   : inst_refuse_malformed(err, path, 2, &input);
    bool is_token = strcmp(name, "refresh_token") == 0;
    enum inst_status st = read_uuid(name, text, is_token, &uuid, err);
    if (st != INST_OK)
        return st;
    if (is_token)
        return inst_user_by_token(app, &uuid, user, err);
    inst_uuid_print(&uuid, id);
    return inst_user_by_id(app, id, user, err);
}

/* The user that the query names; 0: there is none. */
static enum inst_status find_user(struct inst_server *server,
                                  const struct inst_http_request *request, struct inst_app **app,
                                  uint32_t *user, struct inst_err *err) {
    static const char *const names[] = {"email", "refresh_token", "id"};
    enum inst_status st = inst_http_admin_app(server, request, app, err);
    for (size_t i = 0; st == INST_OK && i < 3; i++) {
        const char *text;
        st = inst_http_param(request, names[i], &server->scratch, &text, err);
        if (st == INST_OK && text != NULL)
            return by_param(*app, names[i], text, user, err);
    }
    return st != INST_OK ? st
                         : inst_refuse_validation(err, "params", NULL, NULL,
                                                  "Please provide a user id, email, or "
                                                  "refresh_token");
}

static enum inst_status write_user(struct inst_app *app, uint32_t user, struct inst_buf *out,
                                   struct inst_err *err) {
    if (user != 0)
        return inst_user_write(app, user, NULL, out, err);
    inst_buf_add_str(out, "null");
    return INST_OK;
}

static enum inst_status answer_get(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    uint32_t user;
    enum inst_status st = find_user(server, request, &app, &user, err);
    inst_buf_add_str(&response->body, "{\"user\":");
    if (st == INST_OK)
        st = write_user(app, user, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    return st;
}

static enum inst_status answer_delete(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    uint32_t user;
    enum inst_status st = find_user(server, request, &app, &user, err);
    inst_buf_add_str(&response->body, "{\"deleted\":");
    if (st == INST_OK)
        st = write_user(app, user, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    if (st == INST_OK && user != 0)
        st = inst_user_delete(app, user, err);
    return st == INST_OK ? inst_row_commit(app, err) : st;
}

/* ---- routes ---- */

const struct inst_http_route inst_http_admin_users_routes[] = {
    {"POST", "/admin/magic_code", answer_magic_code},
    {"POST", "/admin/send_magic_code", answer_send},
    {"POST", "/admin/verify_magic_code", answer_verify},
    {"POST", "/admin/refresh_tokens", answer_tokens},
    {"POST", "/admin/sign_in_guest", answer_guest},
    {"POST", "/admin/sign_out", answer_sign_out},
    {"GET", "/admin/users", answer_get},
    {"DELETE", "/admin/users", answer_delete},
    {NULL, NULL, NULL},
};
