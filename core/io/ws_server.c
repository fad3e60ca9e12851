#include "io/ws_server.h"

#include "base/utf8.h"
#include "io/http_forwarded.h"
#include "io/http_server.h"
#include "io/lws_limits.h"
#include "io/operator.h"
#include "io/ops.h"
#include "io/shared_queue.h"
#include "io/tls_front.h"
#include "server/http.h"

#include <assert.h>
#include <libwebsockets.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(INST_SHARED_HEADROOM >= LWS_PRE, "libwebsockets needs room for a frame header");

/* How long a peer has to answer a close frame when the server ends. */
#define GOODBYE_MS 2000

/* Lives in the memory that libwebsockets keeps for each connection. */
struct conn {
    struct inst_connection base; /* first: what the engine sees */
    struct inst_ws_server *server;
    struct lws *wsi;
    struct inst_session *session; /* NULL before and after */
    struct conn *next;
    struct conn *prev;
    char *in; /* pieces of the message being received */
    size_t in_len;
    size_t in_cap;
    struct inst_utf8 utf8;            /* of the message being received, when it is a text */
    struct inst_shared_queue queue;   /* messages to send */
    int64_t ping_ms;                  /* when the next ping is due */
    int unanswered;                   /* pings since something was heard */
    uint64_t sent;                    /* bytes of messages */
    uint64_t acked;                   /* bytes the peer's kernel had taken at the last look */
    enum lws_close_status close_code; /* not 0: close with it as soon as possible */
    bool wants_ping;
    bool is_leaving;   /* closed with 1001 when what is queued has gone out */
    double tokens;     /* messages that it may still send at once, */
    int64_t tokens_ms; /* ... as of then */
    struct inst_http_peer *peer;
    bool is_ending; /* libwebsockets was told to close it */
};

struct inst_ws_server {
    struct inst_loop *loop;
    struct inst_backend *backend;
    struct inst_operator *op; /* NULL: nobody */
    struct inst_http_server *http;
    struct inst_tls_front *tls; /* NULL: the port is http's */
    struct lws_vhost *vhost;
    struct inst_timer *sweep;
    struct conn *conns;
    size_t conn_count;
    size_t max_message;
    size_t max_queued;
    int64_t ping_ms;
    int64_t silence_ms;
    struct inst_deferred failing; /* closes what failed while somebody else was on the stack */
    double message_rate;
    int64_t drain_ms;
    int64_t opened_ms;
    char *metrics_token; /* owned; NULL: none */
    struct inst_http_peers *peers;
    struct inst_ws_stats stats;
    inst_loop_fn *drained; /* not NULL: closing, called when nobody is connected */
    void *drained_ctx;
    int64_t drain_until_ms;
    int64_t quiet_ms; /* when something was last on its way */
};

/* ---- out ---- */

static void fail(struct conn *conn, enum lws_close_status code) {
    if (conn->close_code)
        return;
    conn->close_code = code;
    inst_shared_queue_clear(&conn->queue);
    inst_loop_defer(conn->server->loop, &conn->server->failing);
}

static void conn_send(struct inst_connection *connection, struct inst_shared *message) {
    struct conn *conn = (struct conn *)connection;
    if (conn->close_code || conn->is_leaving)
        return;
    if (!inst_shared_queue_push(&conn->queue, message, conn->server->max_queued)) {
        conn->server->stats.slow++;
        fail(conn, LWS_CLOSE_STATUS_POLICY_VIOLATION);
        return;
    }
    lws_callback_on_writable(conn->wsi);
}

static void conn_close(struct inst_connection *connection) {
    fail((struct conn *)connection, LWS_CLOSE_STATUS_POLICY_VIOLATION);
}

static size_t conn_backlog(struct inst_connection *connection) {
    return ((struct conn *)connection)->queue.bytes;
}

static const struct inst_connection_ops conn_ops = {
    .send = conn_send, .close = conn_close, .backlog = conn_backlog};

/* Only from outside of libwebsockets' callbacks a close frame is sent with a code of ours:
 * returning -1 from the writeable callback drops the socket. It waits 5 s for the peer, then drops
 * it. */
static void close_failed(void *ctx) {
    struct inst_ws_server *server = ctx;
    struct conn *next;
    for (struct conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (!conn->close_code || conn->is_ending)
            continue;
        conn->is_ending = true;
        lws_close_reason(conn->wsi, conn->close_code, NULL, 0);
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    }
}

/* The ping carries a byte, which the pong repeats: libwebsockets tells us of no empty pong. */
static int write_ping(struct conn *conn) {
    unsigned char frame[LWS_PRE + 1];
    conn->wants_ping = false;
    frame[LWS_PRE] = 'i';
    return lws_write(conn->wsi, frame + LWS_PRE, 1, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* Ends a connection whose peer is taken for dead. What waits for its socket would keep it: with
 * bytes unsent libwebsockets stays in a flushing state, whose time limit a second
 * LWS_TO_KILL_SYNC removes. */
static void cut(struct conn *conn) {
    conn->is_ending = true;
    shutdown(lws_get_socket_fd(conn->wsi), SHUT_RDWR);
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static int on_writable(struct conn *conn) {
    /* Behind a close frame of libwebsockets' own nothing may follow (websocket.md 15). */
    if (lws_get_close_length(conn->wsi) || conn->close_code)
        return 0;
    if (conn->wants_ping && write_ping(conn) < 0)
        return -1;
    struct inst_shared *message;
    bool is_first = true; /* for which this callback says that there is room */
    while ((message = inst_shared_queue_first(&conn->queue)) &&
           (is_first || !lws_send_pipe_choked(conn->wsi))) {
        is_first = false;
        int n = lws_write(conn->wsi, (unsigned char *)message->data, message->len, LWS_WRITE_TEXT);
        conn->server->stats.sent_bytes += message->len;
        conn->sent += message->len;
        inst_shared_queue_drop_first(&conn->queue);
        if (n < 0)
            return -1;
    }
    if (message) {
        lws_callback_on_writable(conn->wsi);
    } else {
        inst_shared_queue_clear(&conn->queue); /* idle connections keep no memory */
        if (conn->is_leaving)
            fail(conn, LWS_CLOSE_STATUS_GOINGAWAY);
        else if (conn->session)
            inst_session_drained(conn->session);
    }
    return 0;
}

/* ---- in ---- */

static bool append(struct conn *conn, const char *bytes, size_t len) {
    if (len == 0) /* an empty first fragment: there is no memory yet, and none is needed */
        return true;
    if (conn->in_len + len > conn->in_cap) {
        size_t cap = conn->in_cap ? conn->in_cap : 4096;
        while (cap < conn->in_len + len)
            cap *= 2;
        char *in = realloc(conn->in, cap);
        if (!in)
            return false;
        conn->in = in;
        conn->in_cap = cap;
    }
    memcpy(conn->in + conn->in_len, bytes, len);
    conn->in_len += len;
    return true;
}

/* Messages come faster than a stated rate: false. */
static bool is_within_rate(struct conn *conn) {
    double rate = conn->server->message_rate, most = rate * INST_WS_RATE_BURST_S;
    int64_t now = inst_loop_monotonic_ms(conn->server->loop);
    if (rate <= 0)
        return true;
    most = most < 1 ? 1 : most;
    conn->tokens += (double)(now - conn->tokens_ms) / 1000 * rate;
    conn->tokens_ms = now;
    if (conn->tokens > most)
        conn->tokens = most;
    conn->tokens -= 1;
    return conn->tokens >= 0;
}

static void deliver(struct conn *conn, const char *bytes, size_t len) {
    conn->server->stats.received_bytes += len;
    if (!is_within_rate(conn)) {
        conn->server->stats.limited++;
        fail(conn, LWS_CLOSE_STATUS_POLICY_VIOLATION);
        return;
    }
    /* A binary message is as good as one that is not JSON (websocket.md 14.3). */
    if (lws_frame_is_binary(conn->wsi))
        len = 0;
    inst_session_receive(conn->session, len ? bytes : "", len);
}

static void clear_input(struct conn *conn) {
    free(conn->in);
    conn->in = NULL;
    conn->in_len = conn->in_cap = 0;
}

static bool is_text(struct conn *conn, const char *bytes, size_t len, bool is_last) {
    if (!inst_utf8_feed(&conn->utf8, bytes, len))
        return false;
    return !is_last || inst_utf8_is_whole(&conn->utf8); /* a text ends with nothing left over */
}

static int on_receive(struct conn *conn, const char *bytes, size_t len) {
    conn->unanswered = 0;
    if (conn->close_code || conn->is_leaving)
        return 0;
    size_t max = conn->server->max_message, announced = lws_remaining_packet_payload(conn->wsi);
    if (len > max || announced > max || conn->in_len + len + announced > max) {
        lws_close_reason(conn->wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
        return -1;
    }
    bool is_last = lws_is_final_fragment(conn->wsi) && announced == 0;
    if (!lws_frame_is_binary(conn->wsi) && !is_text(conn, bytes, len, is_last)) {
        lws_close_reason(conn->wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, NULL, 0);
        return -1;
    }
    if (is_last && conn->in_len == 0) {
        deliver(conn, bytes, len);
        return 0;
    }
    if (!append(conn, bytes, len)) {
        lws_close_reason(conn->wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
        return -1;
    }
    if (is_last) {
        deliver(conn, conn->in, conn->in_len);
        clear_input(conn);
    }
    return 0;
}

/* ---- life ---- */

/* Where the client is, as on_upgrade wrote it down. */
static enum inst_status set_caller(struct conn *conn, struct inst_err *err) {
    char ip[INST_IP_TEXT] = "", origin[INST_SESSION_MAX_ORIGIN + 1] = "";
    lws_hdr_copy(conn->wsi, ip, sizeof ip, WSI_TOKEN_X_FORWARDED_FOR);
    lws_hdr_copy(conn->wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN);
    if (inst_http_peers_join(conn->server->peers, ip, &conn->peer) != INST_PEER_WELCOME)
        return INST_FAILED;
    return inst_session_set_caller(conn->session, ip, origin, err);
}

static int on_established(struct conn *conn, struct inst_ws_server *server, struct lws *wsi) {
    struct inst_err err = {0};
    conn->base.ops = &conn_ops;
    conn->server = server;
    conn->wsi = wsi;
    conn->tokens_ms = inst_loop_monotonic_ms(server->loop);
    conn->tokens = server->message_rate * INST_WS_RATE_BURST_S;
    conn->ping_ms = conn->tokens_ms + server->ping_ms;
    server->stats.opened++;
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    server->conn_count++;
    enum inst_status status =
        inst_session_open(inst_backend_server(server->backend), conn, &conn->session, &err);
    if (status == INST_OK)
        status = set_caller(conn, &err);
    inst_err_clear(&err);
    return status == INST_OK ? 0 : -1;
}

static void on_closed(struct conn *conn) {
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conn->server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    conn->server->conn_count--;
    conn->close_code =
        LWS_CLOSE_STATUS_GOINGAWAY; /* what the session's end still sends is dropped */
    if (conn->session)
        inst_session_close(conn->session);
    conn->session = NULL;
    inst_http_peers_leave(conn->server->peers, conn->peer);
    inst_shared_queue_clear(&conn->queue);
    clear_input(conn);
    conn->server = NULL;
}

/* A close payload of one byte cannot hold a code (websocket.md 7.2.2). A reason that is no text
 * (7.4) ends the connection without a word: its peer has closed already. */
static int on_peer_closes(struct conn *conn, const char *payload, size_t len) {
    struct inst_utf8 utf8 = {0};
    if (len > 2)
        return inst_utf8_feed(&utf8, payload + 2, len - 2) && inst_utf8_is_whole(&utf8) ? 0 : -1;
    if (len != 1)
        return 0;
    lws_close_reason(conn->wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
    return -1;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len) {
    struct conn *conn = user;
    /* Once the server let go of a connection (inst_ws_server_free) only its end is left. */
    bool is_ours = conn && conn->server;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return on_established(conn, lws_vhost_user(lws_get_vhost(wsi)), wsi);
    case LWS_CALLBACK_RECEIVE:
        return is_ours ? on_receive(conn, in, len) : -1;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (is_ours)
            conn->unanswered = 0;
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return is_ours ? on_writable(conn) : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return is_ours ? on_peer_closes(conn, in, len) : 0;
    case LWS_CALLBACK_CLOSED:
        if (is_ours)
            on_closed(conn);
        return 0;
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        return -1; /* only handshakes are handed over */
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "instant",
     .callback = on_event,
     .per_session_data_size = sizeof(struct conn),
     .rx_buffer_size = INST_LWS_RX_BYTES,
     .tx_packet_size = INST_LWS_TX_BYTES},
    {0},
};

/* ---- liveness ---- */

/* Bytes that the other end has taken, as far as can be told; behind TLS that is the front, which
 * takes none before its client does. */
static uint64_t taken(const struct conn *conn) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    int fd = lws_get_socket_fd(conn->wsi), unsent = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
        return info.tcpi_bytes_acked;
    return ioctl(fd, SIOCOUTQ, &unsent) == 0 ? conn->sent - (uint64_t)unsent : conn->acked;
}

/* Has the peer taken bytes of a backlog since the last look? Then it is alive, however long its
 * pong has to queue. */
static bool is_taking(struct conn *conn) {
    if (conn->queue.count == 0 && !lws_partial_buffered(conn->wsi))
        return false;
    uint64_t now = taken(conn);
    bool moved = now != conn->acked;
    conn->acked = now;
    return moved;
}

/* Is something still on its way to somebody? */
static bool is_busy(const struct inst_ws_server *server) {
    for (const struct conn *conn = server->conns; conn; conn = conn->next)
        if (conn->queue.count > 0)
            return true;
    return inst_http_server_is_busy(server->http) ||
           (server->tls && inst_tls_front_is_busy(server->tls));
}

static void drain(struct inst_ws_server *server, int64_t now) {
    if (is_busy(server))
        server->quiet_ms = now;
    bool is_over = now >= server->drain_until_ms || now - server->quiet_ms >= GOODBYE_MS;
    if (!is_over && (server->conns || server->quiet_ms == now))
        return;
    inst_loop_fn *done = server->drained;
    inst_timer_stop(server->sweep);
    done(server->drained_ctx); /* may free the server */
}

static void sweep(void *ctx) {
    struct inst_ws_server *server = ctx;
    int64_t now = inst_loop_monotonic_ms(server->loop);
    struct conn *next;
    if (server->drained) {
        drain(server, now);
        return;
    }
    for (struct conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        if (now < conn->ping_ms || conn->is_ending)
            continue;
        if (is_taking(conn))
            conn->unanswered = 0;
        /* Counted in pings, not in time: after a pause of this whole process nobody has had a
         * chance to answer. */
        if ((conn->unanswered + 1) * server->ping_ms >= server->silence_ms) {
            server->stats.silent++;
            cut(conn);
            continue;
        }
        conn->ping_ms = now + server->ping_ms;
        conn->unanswered++;
        conn->wants_ping = true;
        lws_callback_on_writable(conn->wsi);
    }
}

/* ---- from the listener ---- */

static void add_field(struct inst_buf *form, const char *name, const char *value, size_t len) {
    inst_buf_add_str(form, name);
    inst_buf_add(form, value, len);
    inst_buf_add_str(form, "\r\n");
}

static void on_upgrade(void *ctx, int fd, const struct inst_http_head *asked, const char *ip,
                       const char *rest, size_t rest_len) {
    static const char form[] = "GET /runtime/session HTTP/1.1\r\nHost: instant\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\n";
    const struct inst_slice *key = inst_head_field(asked, "sec-websocket-key", NULL);
    const struct inst_slice *origin = inst_head_field(asked, "origin", NULL);
    struct inst_ws_server *server = ctx;
    struct inst_buf head;
    /* What libwebsockets reads is what we have read, and nothing else. */
    inst_buf_init(&head);
    inst_buf_add_str(&head, form);
    add_field(&head, "Sec-WebSocket-Key: ", key->str, key->len);
    add_field(&head, "X-Forwarded-For: ", ip, strlen(ip));
    if (origin && origin->len <= INST_SESSION_MAX_ORIGIN)
        add_field(&head, "Origin: ", origin->str, origin->len);
    inst_buf_add_str(&head, "\r\n");
    inst_buf_add(&head, rest, rest_len);
    if (head.failed)
        close(fd);
    else
        lws_adopt_socket_vhost_readbuf(server->vhost, fd, head.data, head.len);
    inst_buf_free(&head);
}

/* What is counted only when somebody asks. */
static void count_now(struct inst_ws_server *server) {
    server->stats.open = server->conn_count;
    server->stats.queued = 0;
    server->stats.uptime_ms = inst_loop_monotonic_ms(server->loop) - server->opened_ms;
    for (const struct conn *conn = server->conns; conn; conn = conn->next)
        server->stats.queued += conn->queue.bytes;
}

static void on_request(void *ctx, const struct inst_http_request *request,
                       struct inst_http_response *response) {
    struct inst_ws_server *server = ctx;
    struct inst_server *engine = inst_backend_server(server->backend);
    struct inst_http_stats http;
    struct inst_server_stats stats;
    inst_http_server_stats(server->http, &http);
    inst_server_stats(engine, &stats);
    count_now(server);
    struct inst_ops host = {.metrics_token = server->metrics_token,
                            .is_stopping = server->drained != NULL,
                            .http = &http,
                            .ws = &server->stats,
                            .engine = &stats};
    bool is_answered = inst_ops_answer(&host, request, response) ||
                       (server->op && inst_operator_answers(server->op, request, response));
    if (!is_answered)
        inst_server_http(engine, request, response);
}

static void on_log(void *ctx, const struct inst_http_log *entry) {
    inst_ops_log(((struct inst_ws_server *)ctx)->loop, entry);
}

static bool on_upload(void *ctx, const struct inst_http_request *head,
                      const struct inst_file_upload_config *how, struct inst_file_upload **out,
                      struct inst_http_response *response) {
    struct inst_ws_server *server = ctx;
    return inst_file_upload_begin(server->backend, head, how, out, response);
}

static bool locate_content(void *ctx, const struct inst_http_response *response, const char *method,
                           struct inst_buf *out) {
    struct inst_ws_server *server = ctx;
    return inst_backend_locate(server->backend, &response->file, method, &response->headers, out);
}

static int open_content(void *ctx, const struct inst_http_file *file, uint64_t *size) {
    struct inst_ws_server *server = ctx;
    const struct inst_env *env = inst_loop_env(server->loop);
    struct inst_err err = {0};
    int fd = -1;
    if (inst_backend_open_content(server->backend, file, &fd, size, &err) != INST_OK)
        env->log(env->ctx, INST_LOG_ERROR, err.message);
    inst_err_clear(&err);
    return fd;
}

/* ---- the server ---- */

/* Without: libwebsockets keeps one more timer a connection, in a list that it searches each time.
 */
static const lws_retry_bo_t no_pings = {.secs_since_valid_ping = 0};

static enum inst_status make_vhost(struct inst_ws_server *server, struct inst_err *err) {
    struct lws_context *lws = inst_loop_lws(server->loop, err);
    if (!lws)
        return INST_FAILED;
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.user = server;
    info.vhost_name = "instant-server";
    info.retry_and_idle_policy = &no_pings;
    info.timeout_secs = 10;
    server->vhost = lws_create_vhost(lws, &info);
    if (!server->vhost)
        return inst_err_set(err, "io-error", 500, "Cannot start the WebSocket server.");
    return INST_OK;
}

static void on_decrypted(void *ctx, int fd, const char *ip) { inst_ws_server_adopt(ctx, fd, ip); }

static enum inst_status open_tls(struct inst_ws_server *server,
                                 const struct inst_ws_server_config *config, struct inst_err *err) {
    struct inst_tls_front_config tls = {.host = config->host,
                                        .port = config->port,
                                        .cert_file = config->tls_cert,
                                        .key_file = config->tls_key,
                                        .ctx = server,
                                        .adopt = on_decrypted};
    return inst_tls_front_new(server->loop, &tls, &server->tls, err);
}

enum inst_status inst_ws_server_reload_tls(struct inst_ws_server *server, struct inst_err *err) {
    if (!server->tls)
        return inst_err_set(err, "io-error", 500, "This port has no certificate.");
    return inst_tls_front_reload(server->tls, err);
}

enum inst_status inst_ws_server_new(struct inst_loop *loop, struct inst_backend *backend,
                                    const struct inst_ws_server_config *config,
                                    struct inst_ws_server **out, struct inst_err *err) {
    struct inst_ws_server *server = calloc(1, sizeof *server);
    if (!server)
        return inst_err_nomem(err);
    server->loop = loop;
    server->backend = backend;
    server->max_message = config->max_message ? config->max_message : INST_WS_MAX_MESSAGE;
    server->max_queued = config->max_queued ? config->max_queued : INST_WS_MAX_QUEUED;
    server->ping_ms = config->ping_ms ? config->ping_ms : INST_WS_PING_MS;
    server->silence_ms = config->silence_ms ? config->silence_ms : INST_WS_SILENCE_MS;
    server->message_rate = config->message_rate;
    server->drain_ms = config->drain_ms ? config->drain_ms : INST_WS_DRAIN_MS;
    server->opened_ms = inst_loop_monotonic_ms(loop);
    server->failing.fn = close_failed;
    server->failing.ctx = server;
    struct inst_http_server_config http = {
        .host = config->host,
        .port = config->tls_cert ? INST_HTTP_NO_PORT : config->port,
        .ctx = server,
        .answer = on_request,
        .max_queued = server->max_queued,
        .stream_comment_ms = 3 * server->ping_ms,
        .begin = on_upload,
        .max_upload = config->max_upload,
        .locate = locate_content,
        .open = open_content,
        .upgrade = on_upgrade,
        .log = on_log,
        .max_body = config->max_body,
        .trusted_hops = config->trusted_hops,
        .times = config->times,
    };
    enum inst_status status =
        inst_http_peers_new(inst_loop_env(loop), &config->peers, &server->peers, err);
    http.peers = server->peers;
    if (status == INST_OK && config->metrics_token &&
        !(server->metrics_token = strdup(config->metrics_token)))
        status = inst_err_nomem(err);
    if (status == INST_OK)
        status = make_vhost(server, err);
    if (status == INST_OK)
        status = inst_timer_new(loop, sweep, server, &server->sweep, err);
    if (status == INST_OK)
        status = inst_http_server_new(loop, &http, &server->http, err);
    if (status == INST_OK && config->tls_cert)
        status = open_tls(server, config, err);
    if (status != INST_OK) {
        inst_ws_server_free(server);
        return status;
    }
    /* Often enough that a ping is at most a fifth late. */
    int64_t sweep_ms = server->ping_ms / 5 + 1;
    inst_timer_start(server->sweep, sweep_ms, sweep_ms);
    *out = server;
    return INST_OK;
}

void inst_ws_server_close(struct inst_ws_server *server, inst_loop_fn *done, void *ctx) {
    /* What was received is answered before its connection ends. */
    inst_server_turn(inst_backend_server(server->backend));
    server->drained = done;
    server->drained_ctx = ctx;
    server->quiet_ms = inst_loop_monotonic_ms(server->loop);
    server->drain_until_ms = server->quiet_ms + server->drain_ms;
    inst_http_server_drain(server->http);
    if (server->tls)
        inst_tls_front_stop_listening(server->tls);
    for (struct conn *conn = server->conns; conn; conn = conn->next) {
        conn->is_leaving = true;
        if (conn->queue.count == 0)
            fail(conn, LWS_CLOSE_STATUS_GOINGAWAY);
    }
    inst_timer_start(server->sweep, 0, 50);
}

void inst_ws_server_free(struct inst_ws_server *server) {
    if (!server)
        return;
    inst_http_server_free(server->http);
    while (server->conns) {
        struct conn *conn = server->conns;
        struct lws *wsi = conn->wsi;
        on_closed(conn);
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    }
    inst_loop_undefer(server->loop, &server->failing);
    inst_timer_free(server->sweep);
    if (server->vhost)
        lws_vhost_destroy(server->vhost);
    inst_tls_front_free(server->tls);
    inst_http_peers_free(server->peers);
    free(server->metrics_token);
    free(server);
}

void inst_ws_server_set_operator(struct inst_ws_server *server, struct inst_operator *op) {
    server->op = op;
}

void inst_ws_server_adopt(struct inst_ws_server *server, int fd, const char *ip) {
    inst_http_server_adopt(server->http, fd, ip);
}

int inst_ws_server_port(const struct inst_ws_server *server) {
    if (server->tls)
        return inst_tls_front_port(server->tls);
    return server->http ? inst_http_server_port(server->http) : 0;
}

size_t inst_ws_server_connections(const struct inst_ws_server *server) {
    return server->conn_count + (server->http ? inst_http_server_streams(server->http) : 0);
}
