#include "io/tls_front.h"

#include "io/http_forwarded.h"
#include "io/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define PIECE 16384 /* a TLS record */
/* Pieces that one connection moves before others get their turn. */
#define TURN 16
#define SWEEP_MS 500
/* How long a client may take to end its side when the server has ended the other one, and how long
 * the kernel waits for a client that says nothing. */
#define LINGER_MS 2000
#define VANISHED_MS 45000

/* What tells a file from the one that takes its place. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* Bytes on their way to one side; memory only while they wait. */
struct waiting {
    char *bytes;
    size_t at, len;
};

struct conn {
    struct inst_tls_front *front;
    struct conn *next, *prev;
    uv_poll_t outer_poll, inner_poll;
    int handles;      /* of the two, that are not closed yet */
    int outer, inner; /* sockets; inner -1: not before the handshake is done */
    SSL *ssl;
    struct waiting in, out; /* to the server, to the client */
    bool reads_want_write, writes_want_read;
    bool in_ended, out_ended; /* no more comes from there */
    bool is_shut;             /* the client was told that there is no more */
    int64_t since_ms;         /* of the handshake, or of is_shut */
};

struct inst_tls_front {
    struct inst_loop *loop;
    struct inst_tls_front_config config; /* its texts are owned */
    struct inst_listener *listener;
    struct inst_timer *sweep;
    SSL_CTX *tls;
    struct stamp read[2]; /* of certificate and key, as they were last read */
    int64_t looked_ms;
    struct conn *conns;
    size_t handshakes;
};

static void on_outer(uv_poll_t *poll, int status, int events);
static void on_inner(uv_poll_t *poll, int status, int events);

/* ---- life of a connection ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct conn *conn = handle->data;
    if (--conn->handles == 0)
        free(conn);
}

static void drop(struct conn *conn) {
    struct inst_tls_front *front = conn->front;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        front->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    if (conn->inner < 0)
        front->handshakes--;
    free(conn->in.bytes);
    free(conn->out.bytes);
    SSL_free(conn->ssl);
    ERR_clear_error();
    bool has_inner = conn->inner >= 0;
    uv_poll_stop(&conn->outer_poll);
    close(conn->outer);
    if (has_inner) {
        uv_poll_stop(&conn->inner_poll);
        close(conn->inner);
        uv_close((uv_handle_t *)&conn->inner_poll, on_handle_closed);
    }
    uv_close((uv_handle_t *)&conn->outer_poll, on_handle_closed);
}

/* ---- moving bytes ---- */

enum moved { MOVED, BLOCKED, LOST };

static bool keep(struct waiting *w, const char *bytes, size_t len) {
    w->bytes = malloc(len);
    if (!w->bytes)
        return false;
    memcpy(w->bytes, bytes, len);
    w->at = 0;
    w->len = len;
    return true;
}

static void took(struct waiting *w, size_t count) {
    w->at += count;
    if (w->at < w->len)
        return;
    free(w->bytes);
    *w = (struct waiting){0};
}

/* What OpenSSL wants before it goes on. *wants: the other direction than the one asked for. */
static enum moved why(struct conn *conn, int result, int other, bool *wants) {
    int error = SSL_get_error(conn->ssl, result);
    *wants = error == other;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return BLOCKED;
    return LOST;
}

static enum moved to_client(struct conn *conn, const char *bytes, size_t len, size_t *count) {
    ERR_clear_error();
    *count = 0;
    int n = SSL_write(conn->ssl, bytes, (int)len);
    if (n > 0) {
        *count = (size_t)n;
        conn->writes_want_read = false;
        return MOVED;
    }
    return why(conn, n, SSL_ERROR_WANT_READ, &conn->writes_want_read);
}

static enum moved to_server(struct conn *conn, const char *bytes, size_t len, size_t *count) {
    ssize_t n = send(conn->inner, bytes, len, MSG_NOSIGNAL);
    *count = n > 0 ? (size_t)n : 0;
    if (n >= 0)
        return MOVED;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? BLOCKED : LOST;
}

/* The end of the client's side: with or without a word, as clients do it. */
static enum moved end_in(struct conn *conn) {
    conn->in_ended = true;
    shutdown(conn->inner, SHUT_WR);
    return BLOCKED;
}

/* One piece from the client to the server. */
static enum moved pump_in(struct conn *conn) {
    char piece[PIECE];
    size_t count;
    enum moved moved;
    if (conn->in.bytes) {
        moved = to_server(conn, conn->in.bytes + conn->in.at, conn->in.len - conn->in.at, &count);
        if (moved == MOVED)
            took(&conn->in, count);
        return moved;
    }
    if (conn->in_ended)
        return BLOCKED;
    ERR_clear_error();
    int n = SSL_read(conn->ssl, piece, sizeof piece);
    if (n <= 0) {
        moved = why(conn, n, SSL_ERROR_WANT_WRITE, &conn->reads_want_write);
        return moved == LOST ? end_in(conn) : moved;
    }
    conn->reads_want_write = false;
    moved = to_server(conn, piece, (size_t)n, &count);
    if (moved == LOST)
        return LOST;
    return count == (size_t)n || keep(&conn->in, piece + count, (size_t)n - count) ? MOVED : LOST;
}

/* The server has nothing more to say. */
static enum moved end_out(struct conn *conn) {
    if (!conn->is_shut) {
        SSL_shutdown(conn->ssl);
        ERR_clear_error();
        shutdown(conn->outer, SHUT_WR);
        conn->is_shut = true;
        conn->since_ms = inst_loop_monotonic_ms(conn->front->loop);
    }
    return conn->in_ended ? LOST : BLOCKED;
}

static enum moved pump_out(struct conn *conn) {
    char piece[PIECE];
    size_t count;
    enum moved moved;
    if (conn->out.bytes) {
        moved =
            to_client(conn, conn->out.bytes + conn->out.at, conn->out.len - conn->out.at, &count);
        if (moved == MOVED)
            took(&conn->out, count);
        return moved;
    }
    if (conn->out_ended)
        return end_out(conn);
    ssize_t n = recv(conn->inner, piece, sizeof piece, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return BLOCKED;
    if (n <= 0) {
        conn->out_ended = true;
        return MOVED;
    }
    moved = to_client(conn, piece, (size_t)n, &count);
    if (moved == LOST)
        return LOST;
    return count == (size_t)n || keep(&conn->out, piece + count, (size_t)n - count) ? MOVED : LOST;
}

/* ---- events ---- */

static void watch(uv_poll_t *poll, int events, uv_poll_cb fn) {
    if (events)
        uv_poll_start(poll, events, fn);
    else
        uv_poll_stop(poll);
}

static void watch_both(struct conn *conn) {
    int outer = 0, inner = 0;
    bool reads = !conn->in.bytes && !conn->in_ended;
    if ((reads && !conn->reads_want_write) || (conn->out.bytes && conn->writes_want_read))
        outer |= UV_READABLE;
    if ((conn->out.bytes && !conn->writes_want_read) || (reads && conn->reads_want_write))
        outer |= UV_WRITABLE;
    if (!conn->out.bytes && !conn->out_ended)
        inner |= UV_READABLE;
    if (conn->in.bytes)
        inner |= UV_WRITABLE;
    watch(&conn->outer_poll, outer, on_outer);
    watch(&conn->inner_poll, inner, on_inner);
}

static void pump(struct conn *conn) {
    for (int i = 0; i < TURN; i++) {
        enum moved in = pump_in(conn);
        enum moved out = in == LOST ? LOST : pump_out(conn);
        if (out == LOST) {
            drop(conn);
            return;
        }
        if (in == BLOCKED && out == BLOCKED)
            break;
    }
    watch_both(conn);
    /* What OpenSSL has decrypted already no socket will announce. */
    if (!conn->in.bytes && !conn->in_ended && SSL_pending(conn->ssl) > 0)
        watch(&conn->outer_poll, UV_READABLE | UV_WRITABLE, on_outer);
}

/* ---- the handshake ---- */

static bool open_inner(struct conn *conn) {
    struct inst_tls_front *front = conn->front;
    char ip[INST_IP_TEXT];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    if (uv_poll_init(inst_loop_uv(front->loop), &conn->inner_poll, pair[0]) != 0) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    conn->inner_poll.data = conn;
    conn->handles++;
    conn->inner = pair[0];
    front->handshakes--;
    inst_http_peer_ip(conn->outer, ip);
    front->config.adopt(front->config.ctx, pair[1], ip);
    return true;
}

static void shake_hands(struct conn *conn) {
    ERR_clear_error();
    int result = SSL_do_handshake(conn->ssl);
    if (result == 1) {
        if (open_inner(conn))
            pump(conn);
        else
            drop(conn);
        return;
    }
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        watch(&conn->outer_poll, UV_READABLE, on_outer);
        return;
    case SSL_ERROR_WANT_WRITE:
        watch(&conn->outer_poll, UV_WRITABLE, on_outer);
        return;
    default:
        drop(conn);
    }
}

static void on_outer(uv_poll_t *poll, int status, int events) {
    struct conn *conn = poll->data;
    (void)events;
    if (status < 0)
        drop(conn);
    else if (conn->inner < 0)
        shake_hands(conn);
    else
        pump(conn);
}

static void on_inner(uv_poll_t *poll, int status, int events) {
    struct conn *conn = poll->data;
    (void)events;
    if (status < 0)
        drop(conn);
    else
        pump(conn);
}

static void on_accepted(void *ctx, int fd) {
    struct inst_tls_front *front = ctx;
    unsigned limit = VANISHED_MS;
    struct conn *conn = calloc(1, sizeof *conn);
    SSL *ssl = conn && front->handshakes < INST_TLS_MAX_HANDSHAKES ? SSL_new(front->tls) : NULL;
    if (!ssl || SSL_set_fd(ssl, fd) != 1 ||
        uv_poll_init(inst_loop_uv(front->loop), &conn->outer_poll, fd) != 0) {
        SSL_free(ssl);
        free(conn);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
    SSL_set_accept_state(ssl);
    conn->outer_poll.data = conn;
    conn->handles = 1;
    conn->front = front;
    conn->ssl = ssl;
    conn->outer = fd;
    conn->inner = -1;
    conn->since_ms = inst_loop_monotonic_ms(front->loop);
    conn->next = front->conns;
    if (conn->next)
        conn->next->prev = conn;
    front->conns = conn;
    front->handshakes++;
    shake_hands(conn);
}

/* ---- certificates ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *ctx) {
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static enum inst_status refuse(struct inst_err *err, const char *what, const char *path) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SYS)
        reason = strerror(ERR_GET_REASON(ERR_peek_error()));
    inst_err_set(err, "io-error", 500, "%s %s cannot be used: %s.", what, path,
                 reason ? reason : "it is not PEM");
    ERR_clear_error();
    return INST_FAILED;
}

static enum inst_status read_files(const struct inst_tls_front_config *config, SSL_CTX **out,
                                   struct inst_err *err) {
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    enum inst_status status = INST_OK;
    if (!tls)
        return inst_err_nomem(err);
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(tls, config->cert_file) != 1)
        status = refuse(err, "The certificate", config->cert_file);
    else if (SSL_CTX_use_PrivateKey_file(tls, config->key_file, SSL_FILETYPE_PEM) != 1)
        status = refuse(err, "The key", config->key_file);
    else if (SSL_CTX_check_private_key(tls) != 1)
        status = refuse(err, "The key", config->key_file);
    if (status == INST_OK)
        *out = tls;
    else
        SSL_CTX_free(tls);
    return status;
}

/* A file that is not there is all zeros. */
static void look(const struct inst_tls_front_config *config, struct stamp out[2]) {
    const char *const paths[] = {config->cert_file, config->key_file};
    for (int i = 0; i < 2; i++) {
        struct stat st;
        out[i] = (struct stamp){0};
        if (stat(paths[i], &st) == 0) {
            out[i].device = st.st_dev;
            out[i].inode = st.st_ino;
            out[i].size = st.st_size;
            out[i].changed = st.st_mtim;
        }
    }
}

static bool is_same(const struct stamp *a, const struct stamp *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

enum inst_status inst_tls_front_reload(struct inst_tls_front *front, struct inst_err *err) {
    SSL_CTX *fresh = NULL;
    look(&front->config, front->read); /* before: what changes meanwhile is read again */
    enum inst_status status = read_files(&front->config, &fresh, err);
    if (status != INST_OK)
        return status;
    SSL_CTX_free(front->tls); /* connections that have it keep it */
    front->tls = fresh;
    return INST_OK;
}

static void look_at_files(struct inst_tls_front *front, int64_t now) {
    const struct inst_env *env = inst_loop_env(front->loop);
    struct inst_err err = {0};
    struct stamp there[2];
    char line[512];
    front->looked_ms = now;
    look(&front->config, there);
    if (is_same(&there[0], &front->read[0]) && is_same(&there[1], &front->read[1]))
        return;
    /* Between the new certificate and its key: the old pair serves until both are there. */
    enum inst_status status = inst_tls_front_reload(front, &err);
    snprintf(line, sizeof line, "%s%s",
             status == INST_OK ? "certificate read again" : "certificate kept as it was: ",
             err.message ? err.message : "");
    env->log(env->ctx, status == INST_OK ? INST_LOG_INFO : INST_LOG_WARN, line);
    inst_err_clear(&err);
}

/* ---- now and then ---- */

static void sweep(void *ctx) {
    struct inst_tls_front *front = ctx;
    int64_t now = inst_loop_monotonic_ms(front->loop);
    struct conn *next;
    for (struct conn *conn = front->conns; conn; conn = next) {
        next = conn->next;
        int64_t limit = conn->inner < 0 ? INST_TLS_HANDSHAKE_MS : LINGER_MS;
        if ((conn->inner < 0 || conn->is_shut) && now - conn->since_ms > limit)
            drop(conn);
    }
    if (now - front->looked_ms >= INST_TLS_LOOK_MS)
        look_at_files(front, now);
}

/* ---- the port ---- */

enum inst_status inst_tls_front_new(struct inst_loop *loop,
                                    const struct inst_tls_front_config *config,
                                    struct inst_tls_front **out, struct inst_err *err) {
    struct inst_tls_front *front = calloc(1, sizeof *front);
    if (!front)
        return inst_err_nomem(err);
    front->loop = loop;
    front->config = *config;
    front->config.cert_file = strdup(config->cert_file);
    front->config.key_file = strdup(config->key_file);
    enum inst_status status = front->config.cert_file && front->config.key_file
                                  ? inst_tls_front_reload(front, err)
                                  : inst_err_nomem(err);
    if (status == INST_OK)
        status = inst_timer_new(loop, sweep, front, &front->sweep, err);
    if (status == INST_OK)
        status = inst_listener_new(loop, config->host, config->port, on_accepted, front,
                                   &front->listener, err);
    if (status != INST_OK) {
        inst_tls_front_free(front);
        return status;
    }
    inst_timer_start(front->sweep, SWEEP_MS, SWEEP_MS);
    *out = front;
    return INST_OK;
}

int inst_tls_front_port(const struct inst_tls_front *front) {
    return front->listener ? inst_listener_port(front->listener) : 0;
}

void inst_tls_front_stop_listening(struct inst_tls_front *front) {
    struct conn *next;
    inst_listener_free(front->listener);
    front->listener = NULL;
    for (struct conn *conn = front->conns; conn; conn = next) {
        next = conn->next;
        if (conn->inner < 0)
            drop(conn);
    }
}

bool inst_tls_front_is_busy(const struct inst_tls_front *front) {
    for (const struct conn *conn = front->conns; conn; conn = conn->next)
        if (!conn->is_shut)
            return true;
    return false;
}

void inst_tls_front_free(struct inst_tls_front *front) {
    if (!front)
        return;
    while (front->conns)
        drop(front->conns);
    inst_listener_free(front->listener);
    inst_timer_free(front->sweep);
    SSL_CTX_free(front->tls);
    free((char *)front->config.cert_file);
    free((char *)front->config.key_file);
    free(front);
}
