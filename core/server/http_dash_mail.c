/* Routes: what an app's owner says of magic codes and their mail (http.md 8.2, 9.3). */
#include "server/http_auth.h"

#include "base/json.h"
#include "server/login_settings.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- the template ---- */

static enum inst_status answer_default(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    struct inst_buf *out = &response->body;
    struct inst_value subject = inst_cstring(inst_template_subject);
    struct inst_value body = inst_cstring(inst_template_body);
    (void)server, (void)request, (void)err;
    inst_buf_add_str(out, "{\"email-type\":\"magic-code\",\"sender-email\":null,\"subject\":");
    inst_json_write(out, &subject);
    inst_buf_add_str(out, ",\"body\":");
    inst_json_write(out, &body);
    inst_buf_add_char(out, '}');
    return INST_OK;
}

static enum inst_status answer_status(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value template;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_template(app, &template, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"info\":");
    inst_json_write(&response->body, &template);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status read_text(struct inst_server *server, const struct inst_value *body,
                                  const char *name, const char *title, size_t max, const char **out,
                                  struct inst_err *err) {
    const char *const path[] = {"body", name};
    enum inst_status st = inst_http_body_text(body, name, &server->scratch, out, err);
    if (st != INST_OK)
        return st;
    if (strlen(*out) > max)
        return inst_refuse_malformed(err, path, 2, NULL);
    if (strstr(*out, "{code}") == NULL)
        return inst_refuse_validation(err, name, NULL, NULL,
                                      "%s does not contain template variable: '{code}'", title);
    return INST_OK;
}

/* A name of the sender that may stand in the head of a mail; NULL: none. */
static enum inst_status read_sender(struct inst_server *server, const struct inst_value *body,
                                    const char **out, struct inst_err *err) {
    static const char *const path[] = {"body", "sender-name"};
    const struct inst_value *v = inst_getz(body, "sender-name");
    *out = NULL;
    if (v == NULL || inst_is_nullish(v) || inst_is_string(v, ""))
        return INST_OK;
    enum inst_status st = inst_http_body_text(body, "sender-name", &server->scratch, out, err);
    for (const char *c = st == INST_OK ? *out : ""; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || c - *out > 255)
            return inst_refuse_malformed(err, path, 2, v);
    return st;
}

/* Anybody can make an app that expires: its mail says what the operator's would, not what somebody
 * unknown wants read in his name. */
static enum inst_status check_app(const struct inst_app *app, struct inst_err *err) {
    if (app->info.expires_ms == 0)
        return INST_OK;
    return inst_refuse_validation(err, "app", NULL, NULL,
                                  "An app that expires cannot change its e-mail. Claim it first.");
}

/* Mail goes out from the operator's address: another one cannot be vouched for here. */
static enum inst_status check_sender_email(const struct inst_value *body, struct inst_err *err) {
    const struct inst_value *v = inst_getz(body, "sender-email");
    if (v == NULL || inst_is_nullish(v) || inst_is_string(v, ""))
        return INST_OK;
    return inst_refuse_validation(err, "sender-email", v, NULL,
                                  "This backend sends mail from its operator's address only.");
}

static enum inst_status answer_template(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body, template;
    struct inst_object_builder b;
    const char *type, *subject, *text, *name;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = check_app(app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "email-type", &server->scratch, &type, err)) != INST_OK ||
        (st = read_text(server, &body, "subject", "Subject", INST_TEMPLATE_MAX_SUBJECT, &subject,
                        err)) != INST_OK ||
        (st = read_text(server, &body, "body", "Body", INST_TEMPLATE_MAX_BODY, &text, err)) !=
            INST_OK ||
        (st = read_sender(server, &body, &name, err)) != INST_OK ||
        (st = check_sender_email(&body, err)) != INST_OK)
        return st;
    if (strcmp(type, "magic-code") != 0)
        return inst_refuse_validation(err, "email-type", NULL, NULL, "Unknown email type.");
    inst_uuid_make_text(server->env, id);
    inst_object_begin(&b, &server->scratch);
    inst_object_addz(&b, "id", inst_cstring(id));
    inst_object_addz(&b, "app_id", inst_cstring(app->info.id));
    inst_object_addz(&b, "email_type", inst_cstring("magic-code"));
    inst_object_addz(&b, "subject", inst_cstring(subject));
    inst_object_addz(&b, "body", inst_cstring(text));
    inst_object_addz(&b, "name", inst_cstring(name != NULL ? name : app->info.title));
    if (!inst_object_end(&b, &template))
        return inst_err_nomem(err);
    if ((st = inst_template_set(app, &template, err)) == INST_OK)
        inst_buf_addf(&response->body, "{\"id\":\"%s\"}", id);
    return st;
}

static enum inst_status answer_template_delete(struct inst_server *server,
                                               const struct inst_http_request *request,
                                               struct inst_http_response *response,
                                               struct inst_err *err) {
    struct inst_app *app;
    struct inst_value template, none = inst_null();
    enum inst_status st;
    (void)response;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_template(app, &template, err)) != INST_OK)
        return st;
    const struct inst_value *id = inst_get_string(&template, "id");
    if (id == NULL || !inst_is_string(id, inst_http_path_param(request, "id")))
        return INST_OK;
    return inst_template_set(app, &none, err);
}

/* ---- trying one out ---- */

static enum inst_status answer_test(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "to"};
    struct inst_app *app;
    struct inst_value body, template, address;
    struct inst_object_builder b;
    const char *to, *subject, *text, *name;
    char email[INST_USERS_MAX_EMAIL + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = check_app(app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "to", &server->scratch, &to, err)) != INST_OK ||
        (st = read_text(server, &body, "subject", "Subject", INST_TEMPLATE_MAX_SUBJECT, &subject,
                        err)) != INST_OK ||
        (st = read_text(server, &body, "body", "Body", INST_TEMPLATE_MAX_BODY, &text, err)) !=
            INST_OK ||
        (st = read_sender(server, &body, &name, err)) != INST_OK ||
        (st = check_sender_email(&body, err)) != INST_OK)
        return st;
    address = inst_cstring(to);
    if (!inst_email_read(address.u.str, address.len, email))
        return inst_refuse_malformed(err, path, 2, &address);
    inst_object_begin(&b, &server->scratch);
    inst_object_addz(&b, "subject", inst_cstring(subject));
    inst_object_addz(&b, "body", inst_cstring(text));
    inst_object_addz(&b, "name", inst_cstring(name != NULL ? name : app->info.title));
    if (!inst_object_end(&b, &template))
        return inst_err_nomem(err);
    if ((st = inst_code_count_mail(app, email, err)) != INST_OK ||
        (st = inst_template_try(app, &template, email, err)) != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"sent-to\":\"%s\"}", email);
    return INST_OK;
}

/* ---- senders ---- */

static enum inst_status answer_verification(struct inst_server *server,
                                            const struct inst_http_request *request,
                                            struct inst_http_response *response,
                                            struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    inst_buf_add_str(&response->body, "{\"instant\":{\"verified?\":null},\"verification\":null}");
    return st;
}

static enum inst_status answer_no_sender(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    (void)response;
    return st == INST_OK ? inst_refuse_not_found(err, "app-email-sender", "[{}]") : st;
}

/* ---- codes ---- */

static enum inst_status answer_expiry(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "expiry"};
    struct inst_app *app;
    struct inst_value body, title;
    int minutes;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK)
        return st;
    const struct inst_value *v = inst_getz(&body, "expiry");
    if (v == NULL || inst_is_nullish(v))
        return inst_refuse_missing(err, path, 2);
    if (v->tag != INST_NUMBER)
        return inst_refuse_malformed(err, path, 2, v);
    if ((st = inst_code_set_minutes(app, v->u.num, err)) != INST_OK ||
        (st = inst_code_minutes(app, &minutes, err)) != INST_OK)
        return st;
    title = inst_cstring(app->info.title);
    inst_buf_addf(&response->body, "{\"app\":{\"id\":\"%s\",\"title\":", app->info.id);
    inst_json_write(&response->body, &title);
    inst_buf_addf(&response->body, ",\"magic_code_expiry_minutes\":%d}}", minutes);
    return INST_OK;
}

static void write_user(struct inst_http_response *response, const char *name,
                       const struct inst_value *v) {
    inst_buf_addf(&response->body, "{\"%s\":", name);
    inst_json_write(&response->body, v);
    inst_buf_add_char(&response->body, '}');
}

static enum inst_status answer_users(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value list;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_test_users(app, &list, err)) != INST_OK)
        return st;
    write_user(response, "test-users", &list);
    return INST_OK;
}

static enum inst_status answer_user_add(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body, user;
    char email[INST_USERS_MAX_EMAIL + 1];
    const char *code;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_auth_email(&body, false, email, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "code", &server->scratch, &code, err)) != INST_OK ||
        (st = inst_test_user_add(app, email, code, &user, err)) != INST_OK)
        return st;
    write_user(response, "test-user", &user);
    return INST_OK;
}

static enum inst_status answer_user_delete(struct inst_server *server,
                                           const struct inst_http_request *request,
                                           struct inst_http_response *response,
                                           struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body, user;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "id", id, err)) != INST_OK ||
        (st = inst_test_user_remove(app, id, &user, err)) != INST_OK)
        return st;
    write_user(response, "test-user", &user);
    return INST_OK;
}

/* ---- routes ---- */

const struct inst_http_route inst_http_dash_mail_routes[] = {
    {"GET", "/dash/default-email-template", answer_default},
    {"GET", "/dash/apps/:app_id/email_status", answer_status},
    {"POST", "/dash/apps/:app_id/email_templates", answer_template},
    {"DELETE", "/dash/apps/:app_id/email_templates/:id", answer_template_delete},
    {"POST", "/dash/apps/:app_id/send-test-email", answer_test},
    {"GET", "/dash/apps/:app_id/sender-verification", answer_verification},
    {"POST", "/dash/apps/:app_id/sender-verification/send-magic-code", answer_no_sender},
    {"POST", "/dash/apps/:app_id/sender-verification/verify-magic-code", answer_no_sender},
    {"POST", "/dash/apps/:app_id/set-magic-code-expiry", answer_expiry},
    {"GET", "/dash/apps/:app_id/test_users", answer_users},
    {"POST", "/dash/apps/:app_id/test_users", answer_user_add},
    {"DELETE", "/dash/apps/:app_id/test_users", answer_user_delete},
    {NULL, NULL, NULL},
};
