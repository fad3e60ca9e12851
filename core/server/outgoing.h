/*
 * outgoing.h - what the engine asks of other servers, through its host: HTTP requests and mail.
 *
 *     engine ── ops->http(request, done) ──> host ── libcurl, or a test's script
 *     engine <── done(response or err) ───── host    once, from the loop, never from inside ops
 *
 * The engine does no I/O: it hands out a request and goes on; what comes back runs the continuation
 * that it left. Whoever waits for it is in later.h (routes that answer when another server has) or
 * has nobody waiting (mail, webhooks). Requests are made for apps, whose owners write the
 * addresses: the host refuses those that lead into its own network unless its operator allows them
 * (io/outgoing.h), bounds time and size as the request says, follows no redirect, and sends no
 * cookies.
 */
#ifndef INST_SERVER_OUTGOING_H
#define INST_SERVER_OUTGOING_H

#include "base/err.h"
#include "base/http_field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unless a request says otherwise. */
#define INST_OUTGOING_TIMEOUT_MS 10000
#define INST_OUTGOING_MAX_RESPONSE (512u << 10)

/* Everything is copied by the host. Nothing of it is logged but the address's host. */
struct inst_outgoing_request {
    const char *method; /* NULL: GET */
    const char *url;    /* https, or http where the operator allows it */
    const struct inst_http_field *fields;
    size_t field_count;
    const char *body; /* NULL: none */
    size_t body_len;
    int64_t timeout_ms;  /* 0: INST_OUTGOING_TIMEOUT_MS */
    size_t max_response; /* bytes of the answer's body; 0: INST_OUTGOING_MAX_RESPONSE */
    /* Not 0: only so many bytes of the body are wanted; what follows is not read, and no error. */
    size_t first_bytes;
};

/* What speaks against an address that an app's owner writes, before anybody is asked. */
enum inst_outgoing_fault {
    INST_OUTGOING_FINE,
    INST_OUTGOING_BAD_URL,
    INST_OUTGOING_NOT_HTTPS,
    INST_OUTGOING_NOT_PUBLIC, /* as far as can be seen: names are resolved when it is asked */
};

/* Borrowed for the call of done. Any status is an answer. */
struct inst_outgoing_response {
    int status;
    const struct inst_http_field *fields; /* names in lower case */
    size_t field_count;
    const char *body; /* "" when empty */
    size_t body_len;
};

/* Sent from the operator's address; UTF-8. */
struct inst_outgoing_mail {
    const char *to;          /* one address, checked */
    const char *sender_name; /* NULL: the operator's */
    const char *subject;
    const char *html;
    const char *text; /* the same for readers without HTML */
};

/* One of response and err is NULL; a mail that was taken has the response NULL too. */
typedef void inst_outgoing_done_fn(void *ctx, const struct inst_outgoing_response *response,
                                   const struct inst_err *err);

struct inst_outgoing_ops {
    /* INST_OK: done is called once, unless the server is freed before. */
    enum inst_status (*http)(void *ctx, const struct inst_outgoing_request *request,
                             inst_outgoing_done_fn *done, void *done_ctx, struct inst_err *err);
    enum inst_outgoing_fault (*fault)(void *ctx, const char *url);
    bool (*has_mail)(void *ctx); /* did the operator say how mail is sent? */
    /* Likewise; its failure is for the log only. */
    enum inst_status (*mail)(void *ctx, const struct inst_outgoing_mail *mail,
                             inst_outgoing_done_fn *done, void *done_ctx, struct inst_err *err);
};

#endif
