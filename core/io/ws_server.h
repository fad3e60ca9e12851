/*
 * ws_server.h - the port of a backend: sessions over WebSocket, everything else over HTTP.
 *
 *     http_server (heads, bodies) ──handshake──> libwebsockets (frames) ──message──> inst_session
 *              └── inst_server_http                     ▲
 *                                    queue of shared bytes per connection <── engine's send
 *
 * Every connection: pinged every 5 s, dropped after 15 s without a text, binary or pong of the
 * peer, unless it is still taking bytes of ours (session.md 1.3, websocket.md 11). Messages above
 * INST_WS_MAX_MESSAGE close it with 1009, broken UTF-8 with 1007. A binary message is answered like
 * one that is not JSON. A consumer that leaves INST_WS_MAX_QUEUED bytes unread is dropped: nobody
 * else waits for it.
 *
 * Sessions over server-sent events are http_server's, under the same limit of unread bytes.
 *
 * The same bytes serve all sockets: the frame header goes into the headroom in front of them and is
 * the same for each.
 */
#ifndef INST_IO_WS_SERVER_H
#define INST_IO_WS_SERVER_H

#include "base/err.h"
#include "io/backend.h"
#include "io/http_server.h"
#include "io/loop.h"

#include <stddef.h>

#define INST_WS_MAX_MESSAGE (32u << 20)
#define INST_WS_MAX_QUEUED (64u << 20)
#define INST_WS_PING_MS 5000
#define INST_WS_SILENCE_MS 15000
#define INST_WS_DRAIN_MS 10000
/* So many seconds of its rate a WebSocket may use at once; then it is closed with 1008. */
#define INST_WS_RATE_BURST_S 10

struct inst_operator;
struct inst_ws_server;

struct inst_ws_server_config {
    const char *host;    /* NULL: 127.0.0.1, loopback only */
    int port;            /* 0: any free one */
    size_t max_message;  /* bytes; 0: INST_WS_MAX_MESSAGE */
    size_t max_queued;   /* bytes; 0: INST_WS_MAX_QUEUED */
    uint64_t max_upload; /* bytes of one file; 0: any that the disk has room for */
    int64_t ping_ms;     /* 0: INST_WS_PING_MS */
    int64_t silence_ms;  /* 0: INST_WS_SILENCE_MS */
    size_t max_body;     /* bytes of a request that is no upload; 0: INST_HTTP_MAX_BODY */
    struct inst_http_times times;
    struct inst_http_peers_config peers;
    double message_rate;   /* messages a second of one WebSocket; 0: any */
    unsigned trusted_hops; /* proxies of our own in front (http_forwarded.h) */
    const char *tls_cert;  /* PEM files: the port speaks TLS (tls_front.h); NULL: it does not */
    const char *tls_key;
    const char *metrics_token; /* of GET /metrics; NULL: there are none */
    int64_t drain_ms;          /* for requests and answers when closing; 0: INST_WS_DRAIN_MS */
};

/* Listens when it returns. Borrows the backend, which must outlive it. */
enum inst_status inst_ws_server_new(struct inst_loop *loop, struct inst_backend *backend,
                                    const struct inst_ws_server_config *config,
                                    struct inst_ws_server **out, struct inst_err *err);
/* Stops listening, commits, lets requests that have begun and messages that are queued go out,
 * closes every WebSocket with 1001 and calls back, from the loop, when all are gone or after
 * drain_ms; then it waits to be freed. */
void inst_ws_server_close(struct inst_ws_server *server, inst_loop_fn *done, void *ctx);
/* Drops what is still connected. NULL is fine. */
void inst_ws_server_free(struct inst_ws_server *server);
/* Who is asked before the engine (operator.h); NULL: nobody. Borrowed. */
void inst_ws_server_set_operator(struct inst_ws_server *server, struct inst_operator *op);
int inst_ws_server_port(const struct inst_ws_server *server);
/* Reads certificate and key again, for connections from now on. When that fails, or there are none,
 * everything stays and err says why. */
enum inst_status inst_ws_server_reload_tls(struct inst_ws_server *server, struct inst_err *err);
/* Takes over a connected socket, as inst_http_server_adopt does. */
void inst_ws_server_adopt(struct inst_ws_server *server, int fd, const char *ip);
/* Sessions: WebSockets and event streams. */
size_t inst_ws_server_connections(const struct inst_ws_server *server);

#endif
