#include "io/mailer.h"

#include "base/digest.h"
#include "base/uuid.h"
#include "io/http_client.h"
#include "io/mail.h"

#include <stdlib.h>
#include <string.h>

struct letter {
    struct letter *next;
    struct inst_mailer *mailer;
    struct inst_buf bytes; /* the message, or the JSON; it has a code in it */
    char *to;
    inst_outgoing_done_fn *done;
    void *done_ctx;
};

struct inst_mailer {
    struct inst_loop *loop;
    struct inst_http_client *client; /* NULL until the first mail */
    struct inst_mail_config config;
    struct letter *waiting, **waiting_end;
    struct letter *sent; /* under way */
    size_t waiting_count, sent_count;
    struct inst_deferred sending;
};

static void free_letter(struct letter *letter) {
    if (letter->bytes.data)
        inst_wipe(letter->bytes.data, letter->bytes.len);
    inst_buf_free(&letter->bytes);
    free(letter->to);
    free(letter);
}

/* ---- sending ---- */

static void send_next(void *ctx);

static void finish(struct letter *letter, const struct inst_err *err) {
    struct inst_mailer *mailer = letter->mailer;
    inst_outgoing_done_fn *done = letter->done;
    void *done_ctx = letter->done_ctx;
    struct letter **at = &mailer->sent;
    while (*at != letter)
        at = &(*at)->next;
    *at = letter->next;
    mailer->sent_count--;
    free_letter(letter);
    done(done_ctx, NULL, err);
    send_next(mailer);
}

static void on_done(void *ctx, const struct inst_http_result *result, const struct inst_err *err) {
    struct letter *letter = ctx;
    struct inst_err failure = {0};
    bool is_sent = !err && result->status >= 200 && result->status < 300;
    if (!err && !is_sent)
        inst_err_set(&failure, "email-send-failed", 500, "the mail server answered %d",
                     result->status);
    finish(letter, err ? err : is_sent ? NULL : &failure);
    inst_err_clear(&failure);
}

static enum inst_status post(struct letter *letter, struct inst_err *err) {
    const struct inst_mail_config *config = &letter->mailer->config;
    bool is_postmark = config->kind == INST_MAIL_POSTMARK;
    struct inst_buf token;
    struct inst_http_call *call;
    inst_buf_init(&token);
    inst_buf_addf(&token, is_postmark ? "%s" : "Bearer %s", config->secret);
    if (token.failed)
        return inst_err_nomem(err);
    const struct inst_http_field fields[] = {
        {"accept", "application/json"},
        {"content-type", "application/json"},
        {is_postmark ? "x-postmark-server-token" : "authorization", token.data}};
    struct inst_http_options options = {.method = "POST",
                                        .url = config->url,
                                        .fields = fields,
                                        .field_count = 3,
                                        .body = letter->bytes.data,
                                        .body_len = letter->bytes.len,
                                        .timeout_ms = INST_MAILER_TIMEOUT_MS,
                                        .max_response = 64 << 10,
                                        .ctx = letter,
                                        .done = on_done};
    enum inst_status status = inst_http_start(letter->mailer->client, &options, &call, err);
    inst_wipe(token.data, token.len);
    inst_buf_free(&token);
    return status;
}

static enum inst_status deliver(struct letter *letter, struct inst_err *err) {
    const struct inst_mail_config *config = &letter->mailer->config;
    struct inst_http_call *call;
    if (config->kind != INST_MAIL_SMTP)
        return post(letter, err);
    struct inst_http_mail mail = {.from = config->from,
                                  .to = letter->to,
                                  .user = config->user,
                                  .password = config->secret,
                                  .tls = config->tls == INST_MAIL_TLS_NO ? INST_HTTP_TLS_NO
                                         : config->tls == INST_MAIL_TLS_REQUIRED
                                             ? INST_HTTP_TLS_REQUIRED
                                             : INST_HTTP_TLS_TRY};
    struct inst_http_options options = {.url = config->url,
                                        .mail = &mail,
                                        .body = letter->bytes.data,
                                        .body_len = letter->bytes.len,
                                        .timeout_ms = INST_MAILER_TIMEOUT_MS,
                                        .ctx = letter,
                                        .done = on_done};
    return inst_http_start(letter->mailer->client, &options, &call, err);
}

static void send_next(void *ctx) {
    struct inst_mailer *mailer = ctx;
    while (mailer->waiting && mailer->sent_count < INST_MAILER_AT_ONCE) {
        struct letter *letter = mailer->waiting;
        struct inst_err err = {0};
        mailer->waiting = letter->next;
        if (!mailer->waiting)
            mailer->waiting_end = &mailer->waiting;
        mailer->waiting_count--;
        letter->next = mailer->sent;
        mailer->sent = letter;
        mailer->sent_count++;
        if (deliver(letter, &err) != INST_OK)
            finish(letter, &err);
        inst_err_clear(&err);
    }
}

enum inst_status inst_mailer_send(struct inst_mailer *mailer, const struct inst_outgoing_mail *mail,
                                  inst_outgoing_done_fn *done, void *done_ctx,
                                  struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(mailer->loop);
    char id[INST_UUID_TEXT + 1];
    if (!inst_mail_is_address(mail->to))
        return inst_err_set(err, "email-send-failed", 500, "no mail can go to this address");
    if (mailer->waiting_count >= INST_MAILER_MAX_WAITING)
        return inst_err_set(err, "email-send-failed", 500, "%d mails wait already",
                            INST_MAILER_MAX_WAITING);
    enum inst_status status =
        mailer->client ? INST_OK : inst_http_client_new(mailer->loop, &mailer->client, err);
    if (status != INST_OK)
        return status;
    struct letter *letter = calloc(1, sizeof *letter);
    if (!letter)
        return inst_err_nomem(err);
    inst_uuid_make_text(env, id);
    *letter = (struct letter){
        .mailer = mailer, .to = strdup(mail->to), .done = done, .done_ctx = done_ctx};
    inst_buf_init(&letter->bytes);
    if (mailer->config.kind == INST_MAIL_SMTP)
        inst_mail_write(&letter->bytes, &mailer->config, mail, id, env->now_ms(env->ctx));
    else
        inst_mail_write_json(&letter->bytes, &mailer->config, mail);
    if (!letter->to || letter->bytes.failed) {
        free_letter(letter);
        return inst_err_nomem(err);
    }
    *mailer->waiting_end = letter;
    mailer->waiting_end = &letter->next;
    mailer->waiting_count++;
    inst_loop_defer(mailer->loop, &mailer->sending); /* nobody is called from in here */
    return INST_OK;
}

/* ---- life ---- */

enum inst_status inst_mailer_new(struct inst_loop *loop, const char *how, struct inst_mailer **out,
                                 struct inst_err *err) {
    struct inst_mailer *mailer = calloc(1, sizeof *mailer);
    if (!mailer)
        return inst_err_nomem(err);
    mailer->loop = loop;
    mailer->waiting_end = &mailer->waiting;
    mailer->sending = (struct inst_deferred){.fn = send_next, .ctx = mailer};
    enum inst_status status = inst_mail_config_read(how, &mailer->config, err);
    if (status != INST_OK) {
        free(mailer);
        return status;
    }
    *out = mailer;
    return INST_OK;
}

void inst_mailer_free(struct inst_mailer *mailer) {
    if (!mailer)
        return;
    inst_loop_undefer(mailer->loop, &mailer->sending);
    inst_http_client_free(mailer->client);
    for (int i = 0; i < 2; i++) {
        struct letter *letter = i == 0 ? mailer->waiting : mailer->sent, *next;
        for (; letter; letter = next) {
            next = letter->next;
            free_letter(letter);
        }
    }
    inst_mail_config_clear(&mailer->config);
    free(mailer);
}
