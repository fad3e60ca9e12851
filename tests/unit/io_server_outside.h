/*
 * io_server_outside.h - other servers for the engine of io_server_fixture.h: what it asks of them
 * is kept until a test answers it, or answered from a script of addresses.
 *
 *     outside_open(&world)          the engine may ask; settle answers from the script
 *     serve(url, status, fields, body)   body NULL: it cannot be reached
 *     asked(url)                    how often so far
 */
#ifndef INST_TESTS_IO_SERVER_OUTSIDE_H
#define INST_TESTS_IO_SERVER_OUTSIDE_H

#include "io_server_http_fixture.h"

#include "base/base64.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

struct question {
    char method[16], url[512], body[4096], authorization[256];
    inst_outgoing_done_fn *done;
    void *done_ctx;
};

static struct outside {
    struct {
        char url[512], control[128];
        int status;
        char *body;
        unsigned asked;
    } script[16];
    size_t count;
    struct question waiting[64];
    size_t waiting_count;
    bool is_closed; /* refuses every question */
    char last_body[4096], last_authorization[256];
    char mail_to[512], mail_subject[512], mail_html[8192], mail_text[8192], mail_sender[256];
    unsigned mails;
    bool has_mail, fails_mail;
} outside;

static inline enum inst_status outside_http(void *ctx, const struct inst_outgoing_request *request,
                                            inst_outgoing_done_fn *done, void *done_ctx,
                                            struct inst_err *err) {
    (void)ctx;
    if (outside.is_closed)
        return inst_err_set(err, "io-error", 0, "closed");
    assert_in_range(outside.waiting_count, 0, 63);
    struct question *q = &outside.waiting[outside.waiting_count++];
    *q = (struct question){.done = done, .done_ctx = done_ctx};
    snprintf(q->method, sizeof q->method, "%s", request->method ? request->method : "GET");
    snprintf(q->url, sizeof q->url, "%s", request->url);
    snprintf(q->body, sizeof q->body, "%.*s", (int)request->body_len,
             request->body ? request->body : "");
    for (size_t i = 0; i < request->field_count; i++)
        if (strcmp(request->fields[i].name, "authorization") == 0)
            snprintf(q->authorization, sizeof q->authorization, "%s", request->fields[i].value);
    return INST_OK;
}

static inline bool outside_has_mail(void *ctx) {
    (void)ctx;
    return outside.has_mail;
}

static inline enum inst_status outside_mail(void *ctx, const struct inst_outgoing_mail *mail,
                                            inst_outgoing_done_fn *done, void *done_ctx,
                                            struct inst_err *err) {
    (void)ctx;
    if (outside.fails_mail)
        return inst_err_set(err, "email-send-failed", 500, "no");
    snprintf(outside.mail_to, sizeof outside.mail_to, "%s", mail->to);
    snprintf(outside.mail_subject, sizeof outside.mail_subject, "%s", mail->subject);
    snprintf(outside.mail_html, sizeof outside.mail_html, "%s", mail->html);
    snprintf(outside.mail_text, sizeof outside.mail_text, "%s", mail->text);
    snprintf(outside.mail_sender, sizeof outside.mail_sender, "%s",
             mail->sender_name ? mail->sender_name : "");
    outside.mails++;
    done(done_ctx, NULL, NULL);
    return INST_OK;
}

static inline enum inst_status outside_key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY],
                                           struct inst_err *err) {
    (void)ctx, (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}

static inline void serve(const char *url, int status, const char *control, const char *body) {
    size_t i = 0;
    while (i < outside.count && strcmp(outside.script[i].url, url) != 0)
        i++;
    if (i == outside.count)
        outside.count++;
    snprintf(outside.script[i].url, sizeof outside.script[i].url, "%s", url);
    snprintf(outside.script[i].control, sizeof outside.script[i].control, "%s",
             control ? control : "");
    outside.script[i].status = status;
    free(outside.script[i].body);
    outside.script[i].body = body ? strdup(body) : NULL;
}

static inline unsigned asked(const char *url) {
    for (size_t i = 0; i < outside.count; i++)
        if (strcmp(outside.script[i].url, url) == 0)
            return outside.script[i].asked;
    return 0;
}

static inline void answer_question(const struct question *q) {
    struct inst_err err = {0};
    memcpy(outside.last_body, q->body, sizeof outside.last_body);
    memcpy(outside.last_authorization, q->authorization, sizeof outside.last_authorization);
    for (size_t i = 0; i < outside.count; i++) {
        if (strcmp(outside.script[i].url, q->url) != 0)
            continue;
        outside.script[i].asked++;
        if (outside.script[i].body == NULL)
            break;
        struct inst_http_field field = {"cache-control", outside.script[i].control};
        struct inst_outgoing_response response = {.status = outside.script[i].status,
                                                  .fields = &field,
                                                  .field_count = 1,
                                                  .body = outside.script[i].body,
                                                  .body_len = strlen(outside.script[i].body)};
        q->done(q->done_ctx, &response, NULL);
        return;
    }
    inst_err_set(&err, "io-error", 0, "The request to %s failed.", q->url);
    q->done(q->done_ctx, NULL, &err);
    inst_err_clear(&err);
}

static inline void settle(struct world *w) {
    (void)w;
    while (outside.waiting_count > 0) {
        struct question q = outside.waiting[0];
        memmove(outside.waiting, outside.waiting + 1,
                --outside.waiting_count * sizeof *outside.waiting);
        answer_question(&q);
    }
}

static inline void outside_open(struct world *w) {
    static const struct inst_outgoing_ops ops = {
        .http = outside_http, .has_mail = outside_has_mail, .mail = outside_mail};
    static const struct inst_files_ops files = {.key = outside_key};
    w->server->host.outgoing = &ops;
    w->server->host.files = &files;
    w->settle = settle;
}

static inline void outside_close(void) {
    for (size_t i = 0; i < outside.count; i++)
        free(outside.script[i].body);
    outside = (struct outside){0};
}

/* ---- keys and tokens of a provider ---- */

struct provider_key {
    EVP_PKEY *key;
    bool is_ec;
};

static inline struct provider_key new_key(bool is_ec) {
    return (struct provider_key){is_ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048), is_ec};
}

static inline void add_bn(struct inst_buf *out, EVP_PKEY *key, const char *name, int width) {
    uint8_t bytes[600];
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    int len = width ? width : BN_num_bytes(n);
    assert_int_equal(BN_bn2binpad(n, bytes, len), len);
    inst_base64url_add(out, bytes, (size_t)len);
    BN_free(n);
}

/* Its public half as a member of a JWK set. */
static inline void add_jwk(struct inst_buf *out, const struct provider_key *key, const char *kid) {
    if (kid != NULL)
        inst_buf_addf(out, "{\"kid\":\"%s\",\"use\":\"sig\",", kid);
    else
        inst_buf_add_str(out, "{");
    if (key->is_ec) {
        inst_buf_add_str(out, "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
        add_bn(out, key->key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
        inst_buf_add_str(out, "\",\"y\":\"");
        add_bn(out, key->key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    } else {
        inst_buf_add_str(out, "\"kty\":\"RSA\",\"n\":\"");
        add_bn(out, key->key, OSSL_PKEY_PARAM_RSA_N, 0);
        inst_buf_add_str(out, "\",\"e\":\"");
        add_bn(out, key->key, OSSL_PKEY_PARAM_RSA_E, 0);
    }
    inst_buf_add_str(out, "\"}");
}

static inline void add_signature(struct inst_buf *token, const struct provider_key *key) {
    uint8_t bytes[600], raw[64];
    size_t len = sizeof bytes;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, bytes, &len, (const uint8_t *)token->data, token->len), 1);
    EVP_MD_CTX_free(ctx);
    inst_buf_add_char(token, '.');
    if (key->is_ec) {
        const uint8_t *at = bytes;
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32);
        ECDSA_SIG_free(pair);
        inst_base64url_add(token, raw, sizeof raw);
    } else {
        inst_base64url_add(token, bytes, len);
    }
}

/* The first two parts; JSON with ' for ". */
static inline void begin_token(struct inst_buf *token, const char *header, const char *claims) {
    char *head = quoted(header), *payload = quoted(claims);
    inst_buf_init(token);
    inst_base64url_add(token, head, strlen(head));
    inst_buf_add_char(token, '.');
    inst_base64url_add(token, payload, strlen(payload));
    free(head);
    free(payload);
}

/* Good until 8 more were made. */
static inline const char *token_of(const struct provider_key *key, const char *kid,
                                   const char *claims) {
    static char texts[8][4096];
    static unsigned turn;
    char *text = texts[turn++ % 8], header[128];
    struct inst_buf token;
    snprintf(header, sizeof header, kid ? "{'alg':'%s','kid':'%s'}" : "{'alg':'%s'}",
             key->is_ec ? "ES256" : "RS256", kid);
    begin_token(&token, header, claims);
    add_signature(&token, key);
    snprintf(text, sizeof texts[0], "%s", token.data);
    inst_buf_free(&token);
    return text;
}

#endif
