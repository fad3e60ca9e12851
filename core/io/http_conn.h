/*
 * http_conn.h - one connection of the HTTP server. Only for http_server.c (which accepts, limits
 * and ends connections), http_request.c (requests and answers) and http_events.c (event streams).
 */
#ifndef INST_IO_HTTP_CONN_H
#define INST_IO_HTTP_CONN_H

#include "io/backend.h"
#include "io/event_out.h"
#include "io/http_chunked.h"
#include "io/http_forwarded.h"
#include "io/http_server.h"
#include "io/http_transfer.h"
#include "io/listener.h"

#include <uv.h>

enum inst_conn_state {
    INST_CONN_READING,
    INST_CONN_RECEIVING, /* an upload */
    INST_CONN_WAITING,   /* for an answer that comes later */
    INST_CONN_ANSWERING,
    INST_CONN_STREAMING,
    INST_CONN_LINGERING,
    INST_CONN_CLOSED,
};

struct inst_http_conn {
    uv_poll_t poll;              /* first: the handle is the connection */
    struct inst_connection base; /* what the engine sees of an event stream */
    struct inst_http_server *server;
    struct inst_http_conn *next;
    struct inst_http_conn *prev;
    int fd;
    char peer_ip[INST_IP_TEXT];  /* of the socket; "": it has none */
    struct inst_http_peer *peer; /* NULL: not counted */
    enum inst_conn_state state;
    bool has_head;   /* head_len and is_chunked are known, and body_len if that is false */
    bool is_chunked; /* what is behind head_len + body_len in `in` is still to be decoded */
    bool close_after;
    struct inst_head_scan scan;
    struct inst_chunked chunked;
    char *in; /* what arrived and was not answered yet */
    size_t in_len;
    size_t in_cap;
    size_t head_len;
    size_t body_len; /* of a body in `in`: 0 for an upload */
    struct inst_http_transfer transfer;
    struct inst_buf out;
    size_t out_done;
    struct inst_later *later;       /* an answer that is waited for */
    struct inst_http_response came; /* ... and is here, sent at the turn's end */
    struct inst_deferred coming;
    struct inst_session *session; /* of an event stream, else NULL */
    struct inst_event_out events;
    bool is_failed;   /* the event stream is to be closed at the turn's end */
    int64_t asked_us; /* when the present request's head was there */
    int64_t since_ms; /* of this state, or of this request's first byte */
    int64_t moved_ms; /* last byte in or out */
    size_t moved;     /* bytes since since_ms */
};

struct inst_http_server {
    struct inst_loop *loop;
    struct inst_http_server_config config; /* host is not kept */
    struct inst_timer *sweep;
    struct inst_http_conn *conns;
    size_t conn_count; /* without event streams */
    size_t stream_count;
    struct inst_deferred failing;   /* drops what failed while the engine was on the stack */
    struct inst_listener *listener; /* NULL: none, or no longer */
    bool is_draining;
    struct inst_http_stats stats;
};

/* ---- http_server.c ---- */
/* Forgets the connection; its socket stays open when keep_fd. */
void inst_conn_drop(struct inst_http_conn *conn, bool keep_fd);
void inst_conn_enter(struct inst_http_conn *conn, enum inst_conn_state state);
/* So many bytes went in, or out. */
void inst_conn_received(struct inst_http_conn *conn, size_t count);
void inst_conn_sent(struct inst_http_conn *conn, size_t count);
int64_t inst_conn_now(const struct inst_http_conn *conn);

/* ---- http_request.c ---- */
void inst_conn_on_event(uv_poll_t *poll, int status, int events);
/* Deferred: sends what came. */
void inst_conn_send_what_came(void *ctx);
/* Answers with an error and closes. head NULL: it could not be read. */
void inst_conn_refuse(struct inst_http_conn *conn, const struct inst_http_head *head, int status);

/* ---- http_events.c ---- */
extern const struct inst_connection_ops inst_conn_stream_ops;
/* The answer's head is out: from here on there are events. */
void inst_conn_begin_stream(struct inst_http_conn *conn);
void inst_conn_stream_event(struct inst_http_conn *conn, int events);
/* true: it is to be dropped. Asks for a comment when it has been silent. */
bool inst_conn_is_stream_dead(struct inst_http_conn *conn, int64_t now);
/* Deferred: drops the streams that failed. */
void inst_conn_drop_failed(void *ctx);

#endif
