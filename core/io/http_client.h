/*
 * http_client.h - HTTP requests of this process, many at once, on libcurl driven by our loop.
 *
 *     start ──> (end of turn) curl ──> head ──> data* ──> done(result)
 *       └── cancel: nobody is called any more       └──> done(err)
 *
 * Every callback comes from the loop, never from inside a call made here; in each of them starting
 * and cancelling is allowed. TLS certificates are always verified. Only http and https; no cookies,
 * no redirects unless asked for, no compression. A proxy comes from the environment as libcurl
 * reads it (http_proxy, https_proxy, all_proxy, no_proxy). HTTP/1.1.
 *
 * Requests do not hold the loop: whoever waits for one does.
 */
#ifndef INST_IO_HTTP_CLIENT_H
#define INST_IO_HTTP_CLIENT_H

#include "base/err.h"
#include "base/http_field.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_HTTP_TIMEOUT_MS 30000         /* of a whole request, unless it says otherwise */
#define INST_HTTP_CONNECT_MS 15000         /* of resolving, connecting and TLS */
#define INST_HTTP_MAX_RESPONSE (64u << 20) /* bytes of a body that is kept */
#define INST_HTTP_MAX_RESPONSE_HEAD (64u << 10)
#define INST_HTTP_MAX_RESPONSE_FIELDS 256

struct sockaddr;
struct inst_http_client;
struct inst_http_call; /* one request under way; gone after done, or by cancel */

/* Borrowed for the callback. */
struct inst_http_result {
    int status;
    const struct inst_http_field *fields;
    size_t field_count;
    const char *body; /* "" when data was streamed */
    size_t body_len;
};

enum inst_http_tls { INST_HTTP_TLS_TRY, INST_HTTP_TLS_NO, INST_HTTP_TLS_REQUIRED };
/* A mail instead of a request: url is smtp://HOST:PORT or smtps://..., body the whole message, and
 * the result's status that of the server's last answer, 250 when it took the mail. */
struct inst_http_mail {
    const char *from, *to;       /* the envelope: bare addresses */
    const char *user, *password; /* NULL: none */
    enum inst_http_tls tls;      /* STARTTLS, of smtp:// */
};

#define INST_HTTP_READ_FAILED ((size_t)-1)

/* Copied by inst_http_start, except what ctx and the callbacks stand for. Zero is the default. */
struct inst_http_options {
    const char *method; /* NULL: GET */
    const char *url;
    const struct inst_http_field *fields;
    size_t field_count;
    const char *body; /* NULL: none, or `read` */
    size_t body_len;
    const struct inst_http_mail *mail; /* NULL: it is HTTP */
    const char *ca_file;               /* trusted instead of the system's roots */
    int64_t timeout_ms;                /* 0: INST_HTTP_TIMEOUT_MS; -1: none, for streams */
    int64_t connect_ms;                /* 0: INST_HTTP_CONNECT_MS */
    int64_t silence_ms;                /* longest time without a byte in either direction; 0: any */
    size_t max_response;               /* 0: INST_HTTP_MAX_RESPONSE */
    unsigned max_redirects;            /* 0: a redirect is a result like any other */

    void *ctx;
    /* Asked about every address just before it is connected to; false: the request fails. A
     * connection that is there already is not asked about, so that requests with and without this
     * do not share a client. NULL: any. */
    bool (*may_connect)(void *ctx, const struct sockaddr *address);
    /* The body in pieces: puts up to cap bytes into to, gives how many; 0: the end; or
     * INST_HTTP_READ_FAILED, and the request fails. body_len says how many there will be in all,
     * SIZE_MAX: not known (sent chunked, which not every server takes). */
    size_t (*read)(void *ctx, char *to, size_t cap);
    bool (*rewind)(void *ctx); /* to its beginning, should it be sent again; may be NULL */
    /* Once, before data; body is empty. May be NULL. */
    void (*head)(void *ctx, const struct inst_http_result *head);
    /* The body as it comes; false ends the request. NULL: it is kept for done. */
    bool (*data)(void *ctx, const char *bytes, size_t len);
    /* May be NULL. Totals are 0 while not known. */
    void (*progress)(void *ctx, uint64_t sent, uint64_t send_total, uint64_t received,
                     uint64_t receive_total);
    /* Exactly once, unless cancelled. One of the two is NULL. err: "timeout", "io-error" (the
     * message names host and reason), "response-too-large", "aborted" (by a callback),
     * "address-refused" (by may_connect). */
    void (*done)(void *ctx, const struct inst_http_result *result, const struct inst_err *err);
};

/* Cheap: libcurl is loaded by the first request. One for a loop; inst_loop_http gives it. */
enum inst_status inst_http_client_new(struct inst_loop *loop, struct inst_http_client **out,
                                      struct inst_err *err);
/* Cancels everything. Not from inside a callback. NULL is fine. */
void inst_http_client_free(struct inst_http_client *client);

/* err: "param-malformed" for a URL, method or header that is none; "io-error" when there is no
 * libcurl. done is not called then. */
enum inst_status inst_http_start(struct inst_http_client *client,
                                 const struct inst_http_options *options,
                                 struct inst_http_call **out, struct inst_err *err);
void inst_http_cancel(struct inst_http_call *call);

/* The first field of that name (lower case) of a result; NULL: none. */
const char *inst_http_result_field(const struct inst_http_result *result, const char *name);

/* For tests: instead of Debian's names of libcurl. The list ends with NULL and is kept. */
void inst_http_client_set_libraries(struct inst_http_client *client, const char *const *names);

#endif
