#include "io/http_conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

static struct inst_http_conn *conn_of(struct inst_connection *connection) {
    return (struct inst_http_conn *)((char *)connection - offsetof(struct inst_http_conn, base));
}

static void fail(struct inst_http_conn *conn) {
    if (conn->state == INST_CONN_CLOSED)
        return;
    conn->is_failed = true;
    inst_shared_queue_clear(&conn->events.queue);
    conn->events = (struct inst_event_out){0};
    inst_loop_defer(conn->server->loop, &conn->server->failing);
}

void inst_conn_drop_failed(void *ctx) {
    struct inst_http_server *server = ctx;
    struct inst_http_conn *next;
    for (struct inst_http_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->is_failed)
            inst_conn_drop(conn, false);
    }
}

static void want_events(struct inst_http_conn *conn) {
    int writable = inst_event_out_is_pending(&conn->events) ? UV_WRITABLE : 0;
    uv_poll_start(&conn->poll, UV_READABLE | writable, inst_conn_on_event);
}

/* Also while the request is being answered: what is queued goes out behind the answer. */
static void stream_send(struct inst_connection *connection, struct inst_shared *message) {
    struct inst_http_conn *conn = conn_of(connection);
    if (conn->state == INST_CONN_CLOSED || conn->is_failed)
        return;
    if (!inst_shared_queue_push(&conn->events.queue, message, conn->server->config.max_queued))
        fail(conn);
    else if (conn->state == INST_CONN_STREAMING)
        want_events(conn);
}

static void stream_close(struct inst_connection *connection) { fail(conn_of(connection)); }

static size_t stream_backlog(struct inst_connection *connection) {
    return conn_of(connection)->events.queue.bytes;
}

const struct inst_connection_ops inst_conn_stream_ops = {
    .send = stream_send, .close = stream_close, .backlog = stream_backlog};

static void send_events(struct inst_http_conn *conn) {
    size_t sent = 0;
    int result = inst_event_out_write(&conn->events, conn->fd, &sent);
    if (sent > 0)
        inst_conn_sent(conn, sent);
    if (result < 0) {
        inst_conn_drop(conn, false);
        return;
    }
    if (result == 1)
        inst_session_drained(conn->session);
    want_events(conn);
}

void inst_conn_begin_stream(struct inst_http_conn *conn) {
    /* A peer that vanished without a word takes no more: the kernel notices. */
    unsigned limit = 3 * (unsigned)conn->server->config.stream_comment_ms;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
    inst_conn_enter(conn, INST_CONN_STREAMING);
    send_events(conn);
}

/* A client says nothing on its stream; that it went away shows here. */
static void listen_to_stream(struct inst_http_conn *conn) {
    char sink[4096];
    ssize_t n = recv(conn->fd, sink, sizeof sink, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        inst_conn_drop(conn, false);
}

bool inst_conn_is_stream_dead(struct inst_http_conn *conn, int64_t now) {
    int64_t comment_ms = conn->server->config.stream_comment_ms;
    bool is_pending = inst_event_out_is_pending(&conn->events);
    if (is_pending)
        return now - conn->moved_ms > 3 * comment_ms;
    if (now - conn->moved_ms >= comment_ms) {
        conn->events.wants_comment = true;
        want_events(conn);
    }
    return false;
}

void inst_conn_stream_event(struct inst_http_conn *conn, int events) {
    if (events & UV_READABLE)
        listen_to_stream(conn);
    if (conn->state == INST_CONN_STREAMING && (events & UV_WRITABLE))
        send_events(conn);
}
