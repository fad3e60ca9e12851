#include "server/login_settings.h"

#include "base/digest.h"
#include "server/refusal.h"
#include "server/rows.h"

#include <stdio.h>

/* ---- how long codes are good ---- */

#define EXPIRY "magic-code-expiry"

enum inst_status inst_code_minutes(struct inst_app *app, int *out, struct inst_err *err) {
    struct inst_value kept;
    enum inst_status st = inst_row_note(app, EXPIRY, &kept, err);
    bool is_kept = st == INST_OK && kept.tag == INST_NUMBER && kept.u.num >= 1 &&
                   kept.u.num <= INST_CODE_MAX_MINUTES;
    *out = is_kept ? (int)kept.u.num : INST_CODE_MAX_MINUTES;
    return st;
}

enum inst_status inst_code_set_minutes(struct inst_app *app, double minutes, struct inst_err *err) {
    if (!(minutes >= 1))
        return inst_refuse_validation(err, "app", NULL, NULL,
                                      "The magic token expiry must be positive.");
    if (minutes > INST_CODE_MAX_MINUTES)
        return inst_refuse_validation(
            err, "app", NULL, NULL,
            "The magic token expiry must be under 1,440 minutes (24 hours).");
    struct inst_value v = inst_number((double)(int)minutes);
    return inst_row_set_note(app, EXPIRY, &v, err);
}

/* ---- test users ---- */

#define TEST_USERS "test-users"

enum inst_status inst_test_users(struct inst_app *app, struct inst_value *out,
                                 struct inst_err *err) {
    enum inst_status st = inst_row_note(app, TEST_USERS, out, err);
    if (out->tag != INST_ARRAY)
        *out = inst_array(NULL, 0);
    return st;
}

static bool is_code(const char *code) {
    size_t digits = strspn(code, "0123456789");
    return digits == 6 && code[digits] == '\0';
}

static bool says(const struct inst_value *user, const char *name, const char *text) {
    const struct inst_value *v = inst_get_string(user, name);
    return v != NULL && inst_is_string(v, text);
}

enum inst_status inst_test_user_add(struct inst_app *app, const char *email, const char *code,
                                    struct inst_value *out, struct inst_err *err) {
    struct inst_arena *arena = &app->server->scratch;
    struct inst_array_builder b;
    struct inst_object_builder o;
    struct inst_value list;
    char *id = inst_arena_alloc(arena, INST_UUID_TEXT + 1);
    if (!is_code(code))
        return inst_refuse_validation(err, "code", NULL, NULL, "Code must be a 6-digit number.");
    enum inst_status st = id != NULL ? inst_test_users(app, &list, err) : inst_err_nomem(err);
    if (st != INST_OK)
        return st;
    if (list.len >= INST_TEST_USERS_MAX)
        return inst_refuse_validation(err, "app", NULL, NULL, "An app has at most %d test users.",
                                      INST_TEST_USERS_MAX);
    inst_uuid_make_text(app->server->env, id);
    inst_object_begin(&o, arena);
    inst_object_addz(&o, "id", inst_cstring(id));
    inst_object_addz(&o, "app_id", inst_cstring(app->info.id));
    inst_object_addz(&o, "email", inst_cstring(email));
    inst_object_addz(&o, "code", inst_cstring(code));
    if (!inst_object_end(&o, out))
        return inst_err_nomem(err);
    inst_array_begin(&b, arena);
    for (uint32_t i = 0; i < list.len; i++)
        if (!says(&list.u.items[i], "email", email))
            inst_array_add(&b, list.u.items[i]);
    inst_array_add(&b, *out);
    return inst_array_end(&b, &list) ? inst_row_set_note(app, TEST_USERS, &list, err)
                                     : inst_err_nomem(err);
}

enum inst_status inst_test_user_remove(struct inst_app *app, const char *id, struct inst_value *out,
                                       struct inst_err *err) {
    struct inst_array_builder b;
    struct inst_value list;
    *out = inst_undefined();
    enum inst_status st = inst_test_users(app, &list, err);
    if (st != INST_OK)
        return st;
    inst_array_begin(&b, &app->server->scratch);
    for (uint32_t i = 0; i < list.len; i++) {
        if (says(&list.u.items[i], "id", id))
            *out = list.u.items[i];
        else
            inst_array_add(&b, list.u.items[i]);
    }
    if (out->tag == INST_UNDEFINED) {
        *out = inst_null();
        return INST_OK;
    }
    return inst_array_end(&b, &list) ? inst_row_set_note(app, TEST_USERS, &list, err)
                                     : inst_err_nomem(err);
}

enum inst_status inst_test_user_matches(struct inst_app *app, const char *email, const char *code,
                                        size_t code_len, bool *out, struct inst_err *err) {
    struct inst_value list;
    enum inst_status st = inst_test_users(app, &list, err);
    *out = false;
    for (uint32_t i = 0; st == INST_OK && i < list.len; i++) {
        const struct inst_value *kept = inst_get_string(&list.u.items[i], "code");
        if (says(&list.u.items[i], "email", email) && kept != NULL && kept->len == code_len &&
            inst_secret_equal(kept->u.str, code, code_len))
            *out = true;
    }
    return st;
}

/* ---- the mail ---- */

#define TEMPLATE "email-template"

const char inst_template_subject[] = "{code} is your verification code for {app_title}";
const char inst_template_body[] =
    "<!DOCTYPE html><html><body style=\"font-family: sans-serif\">"
    "<p>Somebody, hopefully you, is signing in to {app_title} as {user_email}. This is the "
    "code:</p><h2 style=\"letter-spacing: 0.2em\">{code}</h2>"
    "<p>It works once, within {expiration}. Was it not you? Then ignore this mail: without the "
    "code nobody gets in.</p></body></html>";

enum inst_status inst_template(struct inst_app *app, struct inst_value *out, struct inst_err *err) {
    enum inst_status st = inst_row_note(app, TEMPLATE, out, err);
    if (out->tag != INST_OBJECT)
        *out = inst_null();
    return st;
}

enum inst_status inst_template_set(struct inst_app *app, const struct inst_value *template,
                                   struct inst_err *err) {
    return inst_row_set_note(app, TEMPLATE, template->tag == INST_OBJECT ? template : NULL, err);
}

struct word {
    const char *name, *value;
};

static void add_escaped(struct inst_buf *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (strchr("&<>\"'", *c) != NULL)
            inst_buf_addf(out, "&#%d;", *c);
        else
            inst_buf_add_char(out, *c);
    }
}

/* Puts the words into a template; in one pass, so that a value cannot bring a word along. */
static void fill_in(struct inst_buf *out, const char *text, size_t len, const struct word *words,
                    bool is_html) {
    const char *end = text + len;
    while (text < end) {
        const struct word *word = words;
        while (word->name != NULL && ((size_t)(end - text) < strlen(word->name) ||
                                      memcmp(text, word->name, strlen(word->name)) != 0))
            word++;
        if (word->name == NULL) {
            inst_buf_add_char(out, *text++);
            continue;
        }
        if (is_html)
            add_escaped(out, word->value);
        else
            inst_buf_add_str(out, word->value);
        text += strlen(word->name);
    }
}

static void say_minutes(int minutes, char out[32]) {
    int n = minutes >= 60 ? minutes / 60 : minutes;
    snprintf(out, 32, "%d %s%s", n, minutes >= 60 ? "hour" : "minute", n > 1 ? "s" : "");
}

static void tell(struct inst_server *server, const char *text, const char *why) {
    char line[512];
    if (server->env->log == NULL)
        return;
    snprintf(line, sizeof line, "%s: %s", text, why);
    server->env->log(server->env->ctx, INST_LOG_ERROR, line);
}

static void on_sent(void *ctx, const struct inst_outgoing_response *response,
                    const struct inst_err *err) {
    (void)response;
    if (err != NULL)
        tell(ctx, "a mail with a code was not sent", err->message);
}

static enum inst_status send_mail(struct inst_app *app, const struct inst_value *template,
                                  const char *email, const char *code, struct inst_err *err) {
    struct inst_server *server = app->server;
    struct inst_buf subject, html, text;
    char expiration[32];
    int minutes = INST_CODE_MAX_MINUTES;
    enum inst_status st = inst_code_minutes(app, &minutes, err);
    if (st != INST_OK)
        return st;
    say_minutes(minutes, expiration);
    const struct word words[] = {{"{code}", code},
                                 {"{user_email}", email},
                                 {"{app_title}", app->info.title},
                                 {"{expiration}", expiration},
                                 {NULL, NULL}};
    struct inst_value standard[] = {inst_cstring(inst_template_subject),
                                    inst_cstring(inst_template_body)};
    const struct inst_value *own_subject = inst_get_string(template, "subject");
    const struct inst_value *own_body = inst_get_string(template, "body");
    const struct inst_value *name = inst_get_string(template, "name");
    const struct inst_value *s = own_subject != NULL ? own_subject : &standard[0];
    const struct inst_value *b = own_body != NULL ? own_body : &standard[1];
    inst_buf_init(&subject);
    inst_buf_init(&html);
    inst_buf_init(&text);
    fill_in(&subject, s->u.str, s->len, words, false);
    fill_in(&html, b->u.str, b->len, words, true);
    inst_buf_addf(&text, "%s is your verification code for %s. It works once, within %s.\n", code,
                  app->info.title, expiration);
    struct inst_outgoing_mail mail = {
        .to = email,
        .sender_name = name != NULL ? inst_arena_dup(&server->scratch, name->u.str, name->len)
                                    : app->info.title,
        .subject = subject.data,
        .html = html.data,
        .text = text.data};
    if (subject.failed || html.failed || text.failed || mail.sender_name == NULL)
        st = inst_err_nomem(err);
    else
        st = server->host.outgoing->mail(server->host.outgoing_ctx, &mail, on_sent, server, err);
    inst_buf_free(&subject);
    inst_buf_free(&html);
    inst_buf_free(&text);
    return st;
}

/* Without mail it goes to the log, where developers find it (http.md 4.1). */
static void log_code(struct inst_app *app, const char *email, const char *code) {
    const struct inst_env *env = app->server->env;
    struct inst_buf line;
    if (env->log == NULL)
        return;
    inst_buf_init(&line);
    inst_buf_addf(&line, "no e-mail is configured; the code of %s for \"%s\" is %s", email,
                  app->info.title, code);
    if (!line.failed)
        env->log(env->ctx, INST_LOG_WARN, line.data);
    if (line.data != NULL)
        inst_wipe(line.data, line.len);
    inst_buf_free(&line);
}

static bool has_mail(const struct inst_app *app) {
    const struct inst_server_host *host = &app->server->host;
    return host->outgoing != NULL && host->outgoing->has_mail(host->outgoing_ctx);
}

enum inst_status inst_template_try(struct inst_app *app, const struct inst_value *template,
                                   const char *email, struct inst_err *err) {
    return has_mail(app) ? send_mail(app, template, email, "123456", err)
                         : inst_refuse_validation(err, "email", NULL, NULL,
                                                  "This backend sends no mail: see --mail.");
}

void inst_code_mail(struct inst_app *app, const char *email, const char *code) {
    struct inst_value template;
    struct inst_err err = {0};
    if (!has_mail(app)) {
        log_code(app, email, code);
        return;
    }
    enum inst_status st = inst_template(app, &template, &err);
    if (st == INST_OK)
        st = send_mail(app, &template, email, code, &err);
    if (st != INST_OK)
        tell(app->server, "a mail with a code was not sent", err.message);
    inst_err_clear(&err);
}
