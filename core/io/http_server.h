/*
 * http_server.h - accepts connections, reads HTTP requests, writes answers.
 *
 *     accept -> HEAD -> BODY -> ANSWER -> HEAD ...        keep-alive, one request at a time
 *                 |                 |─> LINGER -> closed  answered with `Connection: close`
 *                 |        │        └─> STREAM -> closed  an event stream: messages of the engine
 *                 |        └ WAIT ─> ANSWER               the engine asks another server first
 *                 └─> handed over (WebSocket)             the socket is no longer ours
 *
 * Stands in front of libwebsockets because that reads requests too loosely (conformance/http.md,
 * last section): what passes here is one well-formed request with a body whose end is known.
 * Answers are open to any origin (http.md 1.4). Uploads go to the disk as they come, files from it
 * as they are taken (http_transfer.h); all other bodies are kept in memory.
 *
 * A comment goes out on every event stream that is silent, after each stream_comment_ms; one whose
 * peer takes nothing for three times that is dropped (session.md 1.3).
 */
#ifndef INST_IO_HTTP_SERVER_H
#define INST_IO_HTTP_SERVER_H

#include "base/err.h"
#include "io/file_upload.h"
#include "io/http_head.h"
#include "io/http_peers.h"
#include "io/loop.h"
#include "server/http.h"

#include <stddef.h>

/* Time limits, ms (conformance/http.md 80). */
#define INST_HTTP_HEAD_MS 10000
#define INST_HTTP_BODY_SILENCE_MS 30000
#define INST_HTTP_IDLE_MS 60000
#define INST_HTTP_LINGER_MS 2000
/* Over this time a body or an answer moves at least so many bytes a second. */
#define INST_HTTP_RATE_WINDOW_MS 60000
#define INST_HTTP_RATE_MIN 1024
#define INST_HTTP_MAX_BODY (32u << 20)
/* Connections that speak HTTP, WebSockets and event streams not counted; more are answered 503. */
#define INST_HTTP_MAX_CONNECTIONS 4096

#define INST_HTTP_NO_PORT (-1)

struct inst_http_server;

/* Time limits; 0: those above. */
struct inst_http_times {
    int64_t head_ms;
    int64_t silence_ms;
    int64_t idle_ms;
    int64_t rate_window_ms;
};

/* Since the start, except where it says now. */
#define INST_HTTP_BUCKETS 8
struct inst_http_stats {
    uint64_t accepted;    /* connections */
    uint64_t refused;     /* connections: there were too many */
    uint64_t limited;     /* requests: that address asked too often */
    uint64_t too_slow;    /* connections that were dropped for it */
    uint64_t requests[6]; /* answered, by the first digit of the status */
    uint64_t received, sent;
    double seconds; /* from a request's head to its answer, in all */
    /* ... how many took at most inst_http_bucket_s[i] */
    uint64_t took[INST_HTTP_BUCKETS];
    size_t connections; /* now */
    size_t streams;     /* now */
};
extern const double inst_http_bucket_s[INST_HTTP_BUCKETS];

/* One answer. Everything is borrowed for the call. */
struct inst_http_log {
    struct inst_slice method, path; /* as sent; empty: the head could not be read */
    int status;
    int64_t took_us;
    const char *ip;    /* of the client, as far as it is known */
    const char *trace; /* of an error, as its envelope has it, or "" */
};

struct inst_http_server_config {
    const char *host; /* address to listen on; NULL: 127.0.0.1 */
    int port;         /* 0: any free one; INST_HTTP_NO_PORT: it is handed its connections */
    void *ctx;
    void (*answer)(void *ctx, const struct inst_http_request *request,
                   struct inst_http_response *response);
    size_t max_queued;         /* bytes that an event stream may leave unread */
    int64_t stream_comment_ms; /* see above */
    /* Is the request's body an upload (file_upload.h)? May be NULL: never. */
    bool (*begin)(void *ctx, const struct inst_http_request *head,
                  const struct inst_file_upload_config *how, struct inst_file_upload **out,
                  struct inst_http_response *response);
    uint64_t max_upload;   /* bytes of one; 0: any */
    size_t max_body;       /* bytes of any other body; 0: INST_HTTP_MAX_BODY */
    unsigned trusted_hops; /* proxies of our own in front (http_forwarded.h) */
    struct inst_http_times times;
    /* Told of every answer; may be NULL. */
    void (*log)(void *ctx, const struct inst_http_log *entry);
    struct inst_http_peers *peers; /* borrowed; NULL: nobody counts addresses */
    /* Appends where a client is to be sent for the content that a response names; false: it is
     * here. method: GET or HEAD. May be NULL: never. */
    bool (*locate)(void *ctx, const struct inst_http_response *response, const char *method,
                   struct inst_buf *out);
    /* Opens the content that a response names, or gives -1. May be NULL. */
    int (*open)(void *ctx, const struct inst_http_file *file, uint64_t *size);
    /* A valid WebSocket handshake for /runtime/session arrived. Takes fd. ip: of the client, as far
     * as it is known; it has left the peers, and has been told when there are too many of them.
     * rest: what the client sent behind the head. */
    void (*upgrade)(void *ctx, int fd, const struct inst_http_head *head, const char *ip,
                    const char *rest, size_t rest_len);
};

/* Listens when it returns. err names the address: in use, not allowed, not ours. */
enum inst_status inst_http_server_new(struct inst_loop *loop,
                                      const struct inst_http_server_config *config,
                                      struct inst_http_server **out, struct inst_err *err);
/* Takes over a connected socket, which does not block, as if it had been accepted. ip: of its other
 * end, "" when it has none. */
void inst_http_server_adopt(struct inst_http_server *server, int fd, const char *ip);
/* Stops listening. Requests that have begun are answered, with `Connection: close`; idle
 * connections and event streams end at once. */
void inst_http_server_drain(struct inst_http_server *server);
/* Is a request still being read or answered? */
bool inst_http_server_is_busy(const struct inst_http_server *server);
/* Closes every connection. NULL is fine. */
void inst_http_server_free(struct inst_http_server *server);
/* Event streams that are open. */
size_t inst_http_server_streams(const struct inst_http_server *server);
void inst_http_server_stats(const struct inst_http_server *server, struct inst_http_stats *out);
int inst_http_server_port(const struct inst_http_server *server);

#endif
