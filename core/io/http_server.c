#include "io/http_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_MS 500

const double inst_http_bucket_s[INST_HTTP_BUCKETS] = {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60};

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
    if (conn->peer)
        inst_http_peers_leave(conn->server->config.peers, conn->peer);
    conn->peer = NULL;
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

static void moved(struct inst_http_conn *conn, size_t count) {
    conn->moved += count;
    conn->moved_ms = inst_conn_now(conn);
}

void inst_conn_received(struct inst_http_conn *conn, size_t count) {
    conn->server->stats.received += count;
    moved(conn, count);
}

void inst_conn_sent(struct inst_http_conn *conn, size_t count) {
    conn->server->stats.sent += count;
    moved(conn, count);
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
    const struct inst_http_times *times = &conn->server->config.times;
    int64_t age = now - conn->since_ms, silence = now - conn->moved_ms;
    if (conn->state == INST_CONN_LINGERING)
        return age > INST_HTTP_LINGER_MS;
    if (conn->state == INST_CONN_WAITING) /* for as long as the engine lets the other server take */
        return false;
    if (conn->state == INST_CONN_READING && conn->in_len == 0)
        return age > (conn->asked_us ? times->idle_ms : times->head_ms);
    if (conn->state == INST_CONN_READING && !conn->has_head)
        return age > times->head_ms;
    if (inst_http_transfer_is_busy(&conn->transfer))
        return false;
    if (silence > times->silence_ms)
        return true;
    return age > times->rate_window_ms && (int64_t)conn->moved < age * INST_HTTP_RATE_MIN / 1000;
}

static void sweep(void *ctx) {
    struct inst_http_server *server = ctx;
    int64_t now = inst_loop_monotonic_ms(server->loop);
    struct inst_http_conn *next;
    for (struct inst_http_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (conn->state == INST_CONN_STREAMING ? inst_conn_is_stream_dead(conn, now)
                                               : is_too_slow(conn, now)) {
            server->stats.too_slow += conn->state != INST_CONN_LINGERING;
            inst_conn_drop(conn, false);
        }
    }
}

/* ---- listening ---- */

/* 0: welcome; else the status to refuse the connection with. */
static int count_in(struct inst_http_server *server, struct inst_http_conn *conn) {
    /* Behind proxies the sockets are theirs: whose the connection is shows with its requests. */
    const char *ip = server->config.trusted_hops == 0 ? conn->peer_ip : "";
    if (server->conn_count > INST_HTTP_MAX_CONNECTIONS)
        return 503;
    if (!server->config.peers)
        return 0;
    switch (inst_http_peers_join(server->config.peers, ip, &conn->peer)) {
    case INST_PEER_WELCOME:
        return 0;
    case INST_PEER_TOO_MANY:
        return 429;
    default:
        return 503;
    }
}

void inst_http_server_adopt(struct inst_http_server *server, int fd, const char *ip) {
    struct inst_http_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        close(fd);
        return;
    }
    conn->base.ops = &inst_conn_stream_ops;
    conn->server = server;
    conn->coming = (struct inst_deferred){.fn = inst_conn_send_what_came, .ctx = conn};
    conn->fd = fd;
    snprintf(conn->peer_ip, sizeof conn->peer_ip, "%s", ip);
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
    server->stats.accepted++;
    inst_conn_enter(conn, INST_CONN_READING);
    int refused = count_in(server, conn);
    if (refused) {
        server->stats.refused++;
        inst_conn_refuse(conn, NULL, refused);
    }
}

static void on_accepted(void *ctx, int fd) {
    char ip[INST_IP_TEXT];
    inst_http_peer_ip(fd, ip);
    inst_http_server_adopt(ctx, fd, ip);
}

static int64_t or_else(int64_t value, int64_t otherwise) { return value ? value : otherwise; }

static void set_defaults(struct inst_http_server_config *config) {
    struct inst_http_times *times = &config->times;
    config->host = NULL;
    if (config->max_body == 0)
        config->max_body = INST_HTTP_MAX_BODY;
    times->head_ms = or_else(times->head_ms, INST_HTTP_HEAD_MS);
    times->silence_ms = or_else(times->silence_ms, INST_HTTP_BODY_SILENCE_MS);
    times->idle_ms = or_else(times->idle_ms, INST_HTTP_IDLE_MS);
    times->rate_window_ms = or_else(times->rate_window_ms, INST_HTTP_RATE_WINDOW_MS);
}

enum inst_status inst_http_server_new(struct inst_loop *loop,
                                      const struct inst_http_server_config *config,
                                      struct inst_http_server **out, struct inst_err *err) {
    struct inst_http_server *server = calloc(1, sizeof *server);
    if (!server)
        return inst_err_nomem(err);
    server->loop = loop;
    server->config = *config;
    set_defaults(&server->config);
    server->failing = (struct inst_deferred){.fn = inst_conn_drop_failed, .ctx = server};
    enum inst_status status = inst_timer_new(loop, sweep, server, &server->sweep, err);
    if (status == INST_OK && config->port != INST_HTTP_NO_PORT)
        status = inst_listener_new(loop, config->host, config->port, on_accepted, server,
                                   &server->listener, err);
    if (status != INST_OK) {
        inst_timer_free(server->sweep);
        free(server);
        return status;
    }
    inst_timer_start(server->sweep, SWEEP_MS, SWEEP_MS);
    *out = server;
    return INST_OK;
}

/* ---- ending ---- */

static void stop_listening(struct inst_http_server *server) {
    inst_listener_free(server->listener);
    server->listener = NULL;
    server->is_draining = true;
}

void inst_http_server_drain(struct inst_http_server *server) {
    struct inst_http_conn *next;
    stop_listening(server);
    for (struct inst_http_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        bool is_idle = conn->state == INST_CONN_READING && conn->in_len == 0;
        if (is_idle || conn->state == INST_CONN_STREAMING)
            inst_conn_drop(conn, false);
        else
            conn->close_after = true;
    }
}

bool inst_http_server_is_busy(const struct inst_http_server *server) {
    for (const struct inst_http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->state != INST_CONN_LINGERING)
            return true;
    return false;
}

void inst_http_server_stats(const struct inst_http_server *server, struct inst_http_stats *out) {
    *out = server->stats;
    out->connections = server->conn_count;
    out->streams = server->stream_count;
}

void inst_http_server_free(struct inst_http_server *server) {
    if (!server)
        return;
    while (server->conns)
        inst_conn_drop(server->conns, false);
    inst_loop_undefer(server->loop, &server->failing);
    inst_timer_free(server->sweep);
    stop_listening(server);
    free(server);
}

size_t inst_http_server_streams(const struct inst_http_server *server) {
    return server->stream_count;
}

int inst_http_server_port(const struct inst_http_server *server) {
    return server->listener ? inst_listener_port(server->listener) : 0;
}
