#include "io/http_server.h"

#include "io/backend.h"
#include "io/event_out.h"
#include "io/http_answer.h"
#include "io/http_asked.h"
#include "io/http_transfer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define FIRST_INPUT 2048
#define SWEEP_MS 500

enum state { READING, RECEIVING, ANSWERING, STREAMING, LINGERING, CLOSED };

struct conn {
    uv_poll_t poll;              /* first: the handle is the connection */
    struct inst_connection base; /* what the engine sees of an event stream */
    struct inst_http_server *server;
    struct conn *next;
    struct conn *prev;
    int fd;
    enum state state;
    bool has_head; /* head_len and body_len are known */
    bool close_after;
    struct inst_head_scan scan;
    char *in; /* what arrived and was not answered yet */
    size_t in_len;
    size_t in_cap;
    size_t head_len;
    size_t body_len; /* of a body in `in`: 0 for an upload */
    struct inst_http_transfer transfer;
    struct inst_buf out;
    size_t out_done;
    struct inst_session *session; /* of an event stream, else NULL */
    struct inst_event_out events;
    bool is_failed;   /* the event stream is to be closed at the turn's end */
    int64_t since_ms; /* of this state, or of this request's first byte */
    int64_t moved_ms; /* last byte in or out */
    size_t moved;     /* bytes since since_ms */
};

struct inst_http_server {
    uv_poll_t poll; /* the listening socket */
    struct inst_loop *loop;
    struct inst_http_server_config config; /* host is not kept */
    struct inst_timer *sweep;
    struct conn *conns;
    size_t conn_count; /* without event streams */
    size_t stream_count;
    struct inst_deferred failing; /* drops what failed while the engine was on the stack */
    int fd;
    int port;
    bool is_accepting;
};

static void on_event(uv_poll_t *poll, int status, int events);

static int64_t now_ms(const struct conn *conn) {
    return inst_loop_monotonic_ms(conn->server->loop);
}

/* ---- life of a connection ---- */

static void free_conn(uv_handle_t *handle) {
    struct conn *conn = (struct conn *)handle;
    free(conn->in);
    inst_buf_free(&conn->out);
    inst_shared_queue_clear(&conn->events.queue);
    free(conn);
}

/* Forgets the connection; its socket stays open when keep_fd. */
static void drop(struct conn *conn, bool keep_fd) {
    if (conn->state == CLOSED)
        return;
    conn->state = CLOSED;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conn->server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    if (conn->session)
        conn->server->stream_count--;
    else
        conn->server->conn_count--;
    inst_http_transfer_end(&conn->transfer);
    uv_poll_stop(&conn->poll);
    if (!keep_fd)
        close(conn->fd);
    uv_close((uv_handle_t *)&conn->poll, free_conn);
    if (conn->session)
        inst_session_close(conn->session);
    conn->session = NULL;
}

static void moved(struct conn *conn, size_t count) {
    conn->moved += count;
    conn->moved_ms = now_ms(conn);
}

static void enter(struct conn *conn, enum state state) {
    conn->state = state;
    conn->since_ms = conn->moved_ms = now_ms(conn);
    conn->moved = 0;
    uv_poll_start(&conn->poll, state == ANSWERING ? UV_WRITABLE : UV_READABLE, on_event);
}

/* ---- event streams ---- */

static struct conn *conn_of(struct inst_connection *connection) {
    return (struct conn *)((char *)connection - offsetof(struct conn, base));
}

static void fail(struct conn *conn) {
    if (conn->state == CLOSED)
        return;
    conn->is_failed = true;
    inst_shared_queue_clear(&conn->events.queue);
    conn->events = (struct inst_event_out){0};
    inst_loop_defer(conn->server->loop, &conn->server->failing);
}

static void drop_failed(void *ctx) {
    struct inst_http_server *server = ctx;
    struct conn *next;
    for (struct conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->is_failed)
            drop(conn, false);
    }
}

static void want_events(struct conn *conn) {
    int writable = inst_event_out_is_pending(&conn->events) ? UV_WRITABLE : 0;
    uv_poll_start(&conn->poll, UV_READABLE | writable, on_event);
}

/* Also while the request is being answered: what is queued goes out behind the answer. */
static void stream_send(struct inst_connection *connection, struct inst_shared *message) {
    struct conn *conn = conn_of(connection);
    if (conn->state == CLOSED || conn->is_failed)
        return;
    if (!inst_shared_queue_push(&conn->events.queue, message, conn->server->config.max_queued))
        fail(conn);
    else if (conn->state == STREAMING)
        want_events(conn);
}

static void stream_close(struct inst_connection *connection) { fail(conn_of(connection)); }

static size_t stream_backlog(struct inst_connection *connection) {
    return conn_of(connection)->events.queue.bytes;
}

static const struct inst_connection_ops stream_ops = {
    .send = stream_send, .close = stream_close, .backlog = stream_backlog};

static void send_events(struct conn *conn) {
    size_t sent = 0;
    int result = inst_event_out_write(&conn->events, conn->fd, &sent);
    if (sent > 0)
        conn->moved_ms = now_ms(conn);
    if (result < 0) {
        drop(conn, false);
        return;
    }
    if (result == 1)
        inst_session_drained(conn->session);
    want_events(conn);
}

/* The answer's head is out: from here on there are events. */
static void begin_stream(struct conn *conn) {
    /* A peer that vanished without a word takes no more: the kernel notices. */
    unsigned limit = 3 * (unsigned)conn->server->config.stream_comment_ms;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
    enter(conn, STREAMING);
    send_events(conn);
}

/* A client says nothing on its stream; that it went away shows here. */
static void listen_to_stream(struct conn *conn) {
    char sink[4096];
    ssize_t n = recv(conn->fd, sink, sizeof sink, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        drop(conn, false);
}

/* true: it is to be dropped. */
static bool is_stream_dead(struct conn *conn, int64_t now) {
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

/* ---- answering ---- */

static void send_out(struct conn *conn) {
    while (conn->out_done < conn->out.len) {
        ssize_t n = send(conn->fd, conn->out.data + conn->out_done, conn->out.len - conn->out_done,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            drop(conn, false);
            return;
        }
        conn->out_done += (size_t)n;
        moved(conn, (size_t)n);
    }
    size_t count;
    enum inst_transfer transfer = inst_http_transfer_send(&conn->transfer, conn->fd, &count);
    if (count > 0)
        moved(conn, count);
    if (transfer == INST_TRANSFER_LOST)
        drop(conn, false);
    if (transfer != INST_TRANSFER_DONE)
        return;
    conn->out_done = 0;
    inst_buf_free(&conn->out);
    if (conn->session) {
        begin_stream(conn);
        return;
    }
    if (conn->close_after) {
        /* Reading on for a moment lets the client see the answer instead of a reset. */
        shutdown(conn->fd, SHUT_WR);
        enter(conn, LINGERING);
        return;
    }
    enter(conn, READING);
}

static void refuse(struct conn *conn, const struct inst_http_head *head, int status,
                   const char *message) {
    conn->close_after = true;
    enter(conn, ANSWERING);
    inst_http_write_error(&conn->out, head, status, message, false);
    if (conn->out.failed)
        drop(conn, false);
    else
        send_out(conn);
}

static const char *refusal(int status) {
    switch (status) {
    case 405:
        return "This method is not allowed here.";
    case 411:
        return "A request body needs a Content-Length.";
    case 413:
        return "The request body is too large.";
    case 414:
        return "The request target is too long.";
    case 417:
        return "Unknown expectation.";
    case 426:
        return "This address speaks WebSocket.";
    case 431:
        return "The request headers are too large.";
    case 501:
        return "Not implemented.";
    case 503:
        return "Too many connections.";
    case 505:
        return "Only HTTP/1.1 is spoken here.";
    default:
        return "The request is malformed.";
    }
}

static bool is_known_method(const struct inst_slice *method) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (method->len == strlen(names[i]) && memcmp(method->str, names[i], method->len) == 0)
            return true;
    return false;
}

/* The answer goes on as an event stream, or does not: then nothing must be left of one. */
static void take_stream(struct conn *conn, const struct inst_http_head *head,
                        struct inst_http_response *response) {
    struct inst_http_server *server = conn->server;
    if (response->stream && inst_slice_is(&head->method, "HEAD")) {
        inst_session_close(response->stream);
        response->stream = NULL;
    }
    if (!response->stream) {
        inst_shared_queue_clear(&conn->events.queue);
        return;
    }
    conn->session = response->stream;
    server->conn_count--;
    server->stream_count++;
}

/* Writes what the application answers into conn->out. */
static bool write_response(struct conn *conn, const struct inst_http_head *head,
                           const struct inst_http_response *response) {
    const struct inst_http_server_config *config = &conn->server->config;
    bool keep_alive = !conn->close_after;
    uint64_t size = 0;
    if (response->body.failed || response->headers.failed)
        return false;
    if (conn->session)
        inst_http_write_stream(&conn->out, head, response);
    else if (!response->file.location[0])
        inst_http_write_response(&conn->out, head, response, keep_alive);
    if (conn->session || !response->file.location[0])
        return !conn->out.failed;
    int content = config->open ? config->open(config->ctx, &response->file, &size) : -1;
    if (content >= 0)
        inst_http_transfer_begin(&conn->transfer, &conn->out, head, response, content, size,
                                 keep_alive);
    else
        inst_http_write_error(&conn->out, head, 500, "The content of this file cannot be read.",
                              keep_alive);
    return !conn->out.failed;
}

/* Asks the application and writes its answer into conn->out. */
static bool ask(struct conn *conn, const struct inst_http_head *head) {
    struct inst_http_asked asked;
    struct inst_http_response response = {.status = 500};
    const char *body = conn->in + conn->head_len;
    int refused = inst_http_asked_make(&asked, head, conn->head_len, body, conn->body_len);
    if (refused) {
        free(asked.text);
        if (refused > 0)
            inst_http_write_error(&conn->out, head, refused, refusal(refused), !conn->close_after);
        return refused > 0 && !conn->out.failed;
    }
    asked.request.connection = &conn->base;
    conn->server->config.answer(conn->server->config.ctx, &asked.request, &response);
    take_stream(conn, head, &response);
    bool ok = write_response(conn, head, &response);
    inst_http_response_clear(&response);
    free(asked.text);
    return ok;
}

static void consume(struct conn *conn) {
    size_t used = conn->head_len + conn->body_len;
    memmove(conn->in, conn->in + used, conn->in_len - used);
    conn->in_len -= used;
    if (conn->in_len == 0) {
        free(conn->in);
        conn->in = NULL;
        conn->in_cap = 0;
    }
    conn->has_head = false;
    conn->scan = (struct inst_head_scan){0};
    conn->head_len = conn->body_len = 0;
}

/* Input may have moved in memory since the head was read: its slices are made again. */
static void read_head_again(struct conn *conn, struct inst_http_head *head) {
    int status;
    struct inst_head_scan scan = {0};
    inst_http_head_parse(&scan, conn->in, conn->in_len, head, &conn->head_len, &status);
}

static void send_answer(struct conn *conn, bool ok) {
    if (!ok || conn->out.failed) {
        drop(conn, false);
        return;
    }
    consume(conn);
    send_out(conn);
}

/* The whole request is there. */
static void answer(struct conn *conn) {
    struct inst_http_head head;
    read_head_again(conn, &head);
    conn->close_after = !head.keep_alive;
    enter(conn, ANSWERING);
    bool ok = true;
    if (inst_slice_is(&head.method, "OPTIONS"))
        inst_http_write_preflight(&conn->out, &head, !conn->close_after);
    else
        ok = ask(conn, &head);
    send_answer(conn, ok);
}

/* ---- uploads ---- */

static void process(struct conn *conn);

static void answer_upload(struct conn *conn, struct inst_http_response *response) {
    struct inst_http_head head;
    read_head_again(conn, &head);
    enter(conn, ANSWERING);
    bool ok = write_response(conn, &head, response);
    inst_http_response_clear(response);
    send_answer(conn, ok);
}

static void receive(struct conn *conn) {
    size_t count;
    enum inst_transfer transfer = inst_http_transfer_receive(&conn->transfer, conn->fd, &count);
    moved(conn, count);
    if (transfer == INST_TRANSFER_LOST)
        drop(conn, false);
    else if (transfer == INST_TRANSFER_DONE) /* the client waits, in the end in its own send */
        uv_poll_stop(&conn->poll);
}

static void on_room(void *ctx) {
    struct conn *conn = ctx;
    uv_poll_start(&conn->poll, UV_READABLE, on_event);
    receive(conn);
}

static void on_stored(void *ctx, struct inst_http_response *response) {
    struct conn *conn = ctx;
    /* Refused in the middle: what is still coming is not the next request. */
    if (inst_file_upload_left(conn->transfer.upload) > 0)
        conn->close_after = true;
    conn->transfer.upload = NULL;
    answer_upload(conn, response);
    process(conn);
}

/* Takes over a request whose body is an upload; false: it is none. */
static bool begin_upload(struct conn *conn, const struct inst_http_head *head, size_t head_len) {
    const struct inst_http_server_config *config = &conn->server->config;
    struct inst_file_upload_config how = {.size = head->content_length,
                                          .max_size = config->max_upload,
                                          .ctx = conn,
                                          .ready = on_room,
                                          .answered = on_stored};
    struct inst_http_response response = {0};
    struct inst_http_asked asked;
    if (!config->begin || !inst_slice_is(&head->method, "PUT"))
        return false;
    conn->head_len = head_len;
    /* What is wrong with the request is said when it is answered as an ordinary one. */
    bool is_ours =
        inst_http_asked_make(&asked, head, head_len, "", 0) == 0 &&
        config->begin(config->ctx, &asked.request, &how, &conn->transfer.upload, &response);
    free(asked.text);
    if (!is_ours)
        return false;
    conn->has_head = true;
    conn->close_after = !head->keep_alive;
    if (!conn->transfer.upload) {
        /* A body that is there is passed over, one that is not need not come. */
        if (conn->in_len - head_len >= head->content_length)
            conn->body_len = (size_t)head->content_length;
        else
            conn->close_after = true;
        answer_upload(conn, &response);
        return true;
    }
    enter(conn, RECEIVING);
    char *rest = conn->in + head_len;
    size_t len = conn->in_len - head_len;
    size_t taken = inst_http_transfer_first(&conn->transfer, rest, len);
    memmove(rest, rest + taken, len - taken);
    conn->in_len -= taken;
    return true;
}

/* ---- reading ---- */

static void upgrade(struct conn *conn, const struct inst_http_head *head, size_t head_len) {
    struct inst_http_server *server = conn->server;
    struct inst_slice key = *inst_head_field(head, "sec-websocket-key", NULL);
    drop(conn, true); /* memory stays until libuv's close callback */
    server->config.upgrade(server->config.ctx, conn->fd, &key, conn->in + head_len,
                           conn->in_len - head_len);
}

/* Reads a head that has just become complete. */
static void take_head(struct conn *conn, const struct inst_http_head *head, size_t head_len) {
    int handshake = inst_ws_handshake(head);
    if (handshake == 101) {
        upgrade(conn, head, head_len);
        return;
    }
    if (handshake) {
        refuse(conn, head, handshake, refusal(handshake));
        return;
    }
    if (!is_known_method(&head->method)) {
        refuse(conn, head, 501, refusal(501));
        return;
    }
    bool has_body = conn->in_len > head_len, is_upload = begin_upload(conn, head, head_len);
    if (!is_upload && head->content_length > INST_HTTP_MAX_BODY) {
        refuse(conn, head, 413, refusal(413));
        return;
    }
    if (!is_upload) {
        conn->has_head = true;
        conn->head_len = head_len;
        conn->body_len = (size_t)head->content_length;
    }
    bool is_wanted = conn->state == READING || conn->state == RECEIVING;
    if (head->expects_continue && !has_body && is_wanted) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        (void)!send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
    }
}

static void process(struct conn *conn) {
    while (conn->state == READING && conn->in_len > 0) {
        if (!conn->has_head) {
            struct inst_http_head head;
            size_t head_len;
            int status;
            enum inst_head_result result = inst_http_head_parse(&conn->scan, conn->in, conn->in_len,
                                                                &head, &head_len, &status);
            if (result == INST_HEAD_MORE)
                return;
            if (result == INST_HEAD_REFUSE) {
                refuse(conn, NULL, status, refusal(status));
                return;
            }
            take_head(conn, &head, head_len);
            continue;
        }
        if (conn->in_len < conn->head_len + conn->body_len)
            return;
        answer(conn);
    }
}

static bool make_room(struct conn *conn) {
    if (conn->in_len < conn->in_cap)
        return true;
    size_t cap = conn->in_cap ? conn->in_cap * 2 : FIRST_INPUT;
    char *in = realloc(conn->in, cap);
    if (!in)
        return false;
    conn->in = in;
    conn->in_cap = cap;
    return true;
}

static void read_some(struct conn *conn) {
    if (!make_room(conn)) {
        drop(conn, false);
        return;
    }
    ssize_t n = recv(conn->fd, conn->in + conn->in_len, conn->in_cap - conn->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        drop(conn, false);
        return;
    }
    conn->moved_ms = now_ms(conn);
    if (conn->in_len == 0) { /* first byte of a request: its time begins */
        conn->since_ms = conn->moved_ms;
        conn->moved = 0;
    }
    conn->in_len += (size_t)n;
    conn->moved += (size_t)n;
    process(conn);
}

static void linger(struct conn *conn) {
    char sink[65536];
    ssize_t n = recv(conn->fd, sink, sizeof sink, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        drop(conn, false);
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct conn *conn = (struct conn *)poll;
    if (status < 0) {
        drop(conn, false);
        return;
    }
    if (conn->state == ANSWERING && (events & UV_WRITABLE)) {
        send_out(conn);
        process(conn);
    } else if (conn->state == STREAMING) {
        if (events & UV_READABLE)
            listen_to_stream(conn);
        if (conn->state == STREAMING && (events & UV_WRITABLE))
            send_events(conn);
    } else if (conn->state == READING && (events & UV_READABLE)) {
        read_some(conn);
    } else if (conn->state == RECEIVING && (events & UV_READABLE)) {
        receive(conn);
    } else if (conn->state == LINGERING) {
        linger(conn);
    }
}

/* ---- time limits ---- */

static bool is_too_slow(const struct conn *conn, int64_t now) {
    int64_t age = now - conn->since_ms, silence = now - conn->moved_ms;
    if (conn->state == LINGERING)
        return age > INST_HTTP_LINGER_MS;
    if (conn->state == READING && conn->in_len == 0)
        return age > (conn->moved ? INST_HTTP_IDLE_MS : INST_HTTP_HEAD_MS);
    if (conn->state == READING && !conn->has_head)
        return age > INST_HTTP_HEAD_MS;
    if (inst_http_transfer_is_busy(&conn->transfer))
        return false;
    if (silence > INST_HTTP_BODY_SILENCE_MS)
        return true;
    return age > INST_HTTP_RATE_WINDOW_MS && (int64_t)conn->moved < age / 1000 * INST_HTTP_RATE_MIN;
}

static void on_accept(uv_poll_t *poll, int status, int events);

static void sweep(void *ctx) {
    struct inst_http_server *server = ctx;
    int64_t now = inst_loop_monotonic_ms(server->loop);
    struct conn *next;
    for (struct conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->state == STREAMING ? is_stream_dead(conn, now) : is_too_slow(conn, now))
            drop(conn, false);
    }
    if (!server->is_accepting) {
        server->is_accepting = true;
        uv_poll_start(&server->poll, UV_READABLE, on_accept);
    }
}

/* ---- listening ---- */

static void adopt(struct inst_http_server *server, int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        close(fd);
        return;
    }
    conn->base.ops = &stream_ops;
    conn->server = server;
    conn->fd = fd;
    if (uv_poll_init(inst_loop_uv(server->loop), &conn->poll, fd) != 0) {
        close(fd);
        free(conn);
        return;
    }
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    server->conn_count++;
    enter(conn, READING);
    if (server->conn_count > INST_HTTP_MAX_CONNECTIONS)
        refuse(conn, NULL, 503, refusal(503));
}

static void on_accept(uv_poll_t *poll, int status, int events) {
    struct inst_http_server *server = poll->data;
    (void)status;
    (void)events;
    /* Bounded, so that a flood of connections does not keep the others waiting. */
    for (int i = 0; i < 64; i++) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Would come back at once, for ever: the sweep tries again. */
            uv_poll_stop(&server->poll);
            server->is_accepting = false;
        }
        return;
    }
}

static enum inst_status listen_on(struct inst_http_server *server, const char *host, int port,
                                  struct inst_err *err) {
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed)
        return inst_err_set(err, "io-error", 500, "Cannot listen on %s: %s.", host,
                            gai_strerror(failed));
    enum inst_status status = INST_OK;
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        if (errno == EADDRINUSE)
            status =
                inst_err_set(err, "address-in-use", 500,
                             "Port %d on %s is already in use by another program.", port, host);
        else
            status = inst_err_set(err, "io-error", 500, "Cannot listen on %s port %d: %s.", host,
                                  port, strerror(errno));
        if (fd >= 0)
            close(fd);
        goto out;
    }
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &len);
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    server->fd = fd;
out:
    freeaddrinfo(found);
    return status;
}

enum inst_status inst_http_server_new(struct inst_loop *loop,
                                      const struct inst_http_server_config *config,
                                      struct inst_http_server **out, struct inst_err *err) {
    struct inst_http_server *server = calloc(1, sizeof *server);
    if (!server)
        return inst_err_nomem(err);
    server->loop = loop;
    server->config = *config;
    server->config.host = NULL;
    server->failing = (struct inst_deferred){.fn = drop_failed, .ctx = server};
    enum inst_status status =
        listen_on(server, config->host ? config->host : "127.0.0.1", config->port, err);
    if (status == INST_OK)
        status = inst_timer_new(loop, sweep, server, &server->sweep, err);
    if (status != INST_OK) {
        if (server->fd > 0)
            close(server->fd);
        free(server);
        return status;
    }
    uv_poll_init(inst_loop_uv(loop), &server->poll, server->fd);
    server->poll.data = server;
    server->is_accepting = true;
    uv_poll_start(&server->poll, UV_READABLE, on_accept);
    inst_timer_start(server->sweep, SWEEP_MS, SWEEP_MS);
    *out = server;
    return INST_OK;
}

static void free_server(uv_handle_t *handle) { free(handle); }

void inst_http_server_free(struct inst_http_server *server) {
    if (!server)
        return;
    while (server->conns)
        drop(server->conns, false);
    inst_loop_undefer(server->loop, &server->failing);
    inst_timer_free(server->sweep);
    uv_poll_stop(&server->poll);
    close(server->fd);
    uv_close((uv_handle_t *)&server->poll, free_server);
}

size_t inst_http_server_streams(const struct inst_http_server *server) {
    return server->stream_count;
}

int inst_http_server_port(const struct inst_http_server *server) { return server->port; }
