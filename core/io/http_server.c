#include "io/http_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_MS 500

/* ---- life of a connection ---- */

static void free_conn(uv_handle_t *handle) {
    struct inst_http_conn *conn = (struct inst_http_conn *)handle;
    free(conn->in);
    inst_buf_free(&conn->out);
    inst_shared_queue_clear(&conn->events.queue);
    free(conn);
}

void inst_conn_drop(struct inst_http_conn *conn, bool keep_fd) {
    if (conn->state == INST_CONN_CLOSED)
        return;
    conn->state = INST_CONN_CLOSED;
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
    if (conn->later)
        inst_http_later_forget(conn->later);
    inst_loop_undefer(conn->server->loop, &conn->coming);
    inst_http_response_clear(&conn->came);
    uv_poll_stop(&conn->poll);
    if (!keep_fd)
        close(conn->fd);
    uv_close((uv_handle_t *)&conn->poll, free_conn);
    if (conn->session)
        inst_session_close(conn->session);
    conn->session = NULL;
}

void inst_conn_moved(struct inst_http_conn *conn, size_t count) {
    conn->moved += count;
    conn->moved_ms = inst_conn_now(conn);
}

void inst_conn_enter(struct inst_http_conn *conn, enum inst_conn_state state) {
    conn->state = state;
    conn->since_ms = conn->moved_ms = inst_conn_now(conn);
    conn->moved = 0;
    uv_poll_start(&conn->poll, state == INST_CONN_ANSWERING ? UV_WRITABLE : UV_READABLE,
                  inst_conn_on_event);
}

int64_t inst_conn_now(const struct inst_http_conn *conn) {
    return inst_loop_monotonic_ms(conn->server->loop);
}

/* ---- time limits ---- */

static bool is_too_slow(const struct inst_http_conn *conn, int64_t now) {
    int64_t age = now - conn->since_ms, silence = now - conn->moved_ms;
    if (conn->state == INST_CONN_LINGERING)
        return age > INST_HTTP_LINGER_MS;
    if (conn->state == INST_CONN_WAITING) /* for as long as the engine lets the other server take */
        return false;
    if (conn->state == INST_CONN_READING && conn->in_len == 0)
        return age > (conn->moved ? INST_HTTP_IDLE_MS : INST_HTTP_HEAD_MS);
    if (conn->state == INST_CONN_READING && !conn->has_head)
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
    struct inst_http_conn *next;
    for (struct inst_http_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->state == INST_CONN_STREAMING ? inst_conn_is_stream_dead(conn, now)
                                               : is_too_slow(conn, now))
            inst_conn_drop(conn, false);
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
    struct inst_http_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        close(fd);
        return;
    }
    conn->base.ops = &inst_conn_stream_ops;
    conn->server = server;
    conn->coming = (struct inst_deferred){.fn = inst_conn_send_what_came, .ctx = conn};
    conn->fd = fd;
    inst_http_peer_ip(fd, conn->peer_ip);
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
    inst_conn_enter(conn, INST_CONN_READING);
    if (server->conn_count > INST_HTTP_MAX_CONNECTIONS)
        inst_conn_refuse(conn, NULL, 503);
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
    if (server->config.max_body == 0)
        server->config.max_body = INST_HTTP_MAX_BODY;
    server->failing = (struct inst_deferred){.fn = inst_conn_drop_failed, .ctx = server};
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
        inst_conn_drop(server->conns, false);
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
