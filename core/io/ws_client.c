#include "io/ws_client.h"

#include "base/utf8.h"
#include "io/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#define FLUSH_SECONDS 2

struct out {
    struct out *next;
    size_t len;
    unsigned char frame[]; /* LWS_PRE bytes, then the message */
};

struct inst_ws_client {
    struct inst_loop *loop;
    struct lws_vhost *vhost; /* made at the first connection */
    char *host;              /* without brackets */
    char *header;            /* the Host header */
    char *path;              /* with the query */
    char *ca_file;
    int64_t open_ms;
    struct inst_proxy proxy; /* host NULL: none */
    int port;
    bool is_tls;
    bool is_freed;             /* by its owner; some connections are still saying goodbye */
    size_t conns;              /* that exist */
    struct inst_deferred bury; /* frees it, outside of libwebsockets' callbacks */
};

enum state { RESOLVING, CONNECTING, OPEN, ENDED };

struct conn {
    struct inst_transport base;
    struct inst_ws_client *client;
    struct inst_loop *loop;
    struct lws *wsi; /* of the present attempt */
    enum state state;
    unsigned attempt;       /* addresses tried so far */
    struct addrinfo *found; /* of the resolver */
    struct addrinfo *next;  /* address to try when this one fails */
    uv_getaddrinfo_t resolve;
    bool is_resolving; /* the request is libuv's until its callback */
    bool is_orphan;    /* closed by its owner; freed when libuv and libwebsockets let go */
    struct inst_timer *timer;
    struct inst_deferred end; /* reports `closed` */
    char why[256];
    struct out *first;
    struct out *last;
    size_t queued;
    char *in; /* pieces of the message being received */
    size_t in_len;
    size_t in_cap;
    struct inst_utf8 utf8; /* of that message, when it is a text */
    int64_t heard_ms;
    bool wants_ping;
    bool is_flushing; /* closed by its owner with messages queued; holds the loop */
};

/* ---- addresses ---- */

static enum inst_status bad_uri(const char *uri, struct inst_err *err) {
    return inst_err_set(err, "param-malformed", 400,
                        "`%s` is no WebSocket address (ws://host:port/path or wss://...).", uri);
}

static enum inst_status parse_uri(struct inst_ws_client *client, const char *uri,
                                  struct inst_err *err) {
    const char *at;
    if (strncasecmp(uri, "ws://", 5) == 0) {
        at = uri + 5;
        client->port = 80;
    } else if (strncasecmp(uri, "wss://", 6) == 0) {
        at = uri + 6;
        client->port = 443;
        client->is_tls = true;
    } else {
        return bad_uri(uri, err);
    }
    size_t authority = strcspn(at, "/?#");
    const char *end = at + authority, *host = at, *host_end;
    if (*host == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        at = host_end ? host_end + 1 : NULL;
    } else {
        host_end = memchr(host, ':', authority);
        host_end = host_end ? host_end : end;
        at = host_end;
    }
    if (!host_end || host_end == host || memchr(host, '@', (size_t)(end - host)))
        return bad_uri(uri, err);
    if (at < end) {
        char *port_end;
        if (*at != ':')
            return bad_uri(uri, err);
        long port = strtol(at + 1, &port_end, 10);
        if (port_end != end || port < 1 || port > 65535)
            return bad_uri(uri, err);
        client->port = (int)port;
    }
    for (const char *c = uri; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return bad_uri(uri, err);
    size_t path_len = strcspn(end, "#");
    client->host = strndup(host, (size_t)(host_end - host));
    client->header = strndup(uri + (client->is_tls ? 6 : 5), authority);
    client->path = malloc(path_len + 2);
    if (!client->host || !client->header || !client->path)
        return inst_err_nomem(err);
    /* "?query" without a path means the root. */
    snprintf(client->path, path_len + 2, "%s%.*s", *end == '/' ? "" : "/", (int)path_len, end);
    return INST_OK;
}

/* libwebsockets would go on with nobody to trust, and only fail to connect. */
static enum inst_status check_ca_file(const char *path, struct inst_err *err) {
    FILE *file = fopen(path, "r");
    if (!file)
        return inst_err_set(err, "param-malformed", 400, "Cannot read the CA file %s: %s.", path,
                            strerror(errno));
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    if (!certificate)
        return inst_err_set(err, "param-malformed", 400,
                            "The CA file %s has no certificate in PEM form.", path);
    X509_free(certificate);
    return INST_OK;
}

static void bury(void *ctx) {
    struct inst_ws_client *client = ctx;
    inst_loop_undefer(client->loop, &client->bury);
    if (client->vhost && !inst_loop_is_ending(client->loop)) /* else it is gone with its context */
        lws_vhost_destroy(client->vhost);
    free(client->host);
    free(client->header);
    free(client->path);
    free(client->ca_file);
    inst_proxy_clear(&client->proxy);
    free(client);
}

static const char *environment(const char *name) { return getenv(name); }

enum inst_status inst_ws_client_new(struct inst_loop *loop, const char *uri, const char *ca_file,
                                    int64_t open_ms, struct inst_ws_client **out,
                                    struct inst_err *err) {
    struct inst_ws_client *client = calloc(1, sizeof *client);
    if (!client)
        return inst_err_nomem(err);
    client->loop = loop;
    client->open_ms = open_ms ? open_ms : INST_WS_OPEN_MS;
    client->bury = (struct inst_deferred){.fn = bury, .ctx = client};
    enum inst_status status = parse_uri(client, uri, err);
    if (status == INST_OK && ca_file)
        status = check_ca_file(ca_file, err);
    if (status == INST_OK && ca_file && !(client->ca_file = strdup(ca_file)))
        status = inst_err_nomem(err);
    if (status != INST_OK) {
        inst_ws_client_free(client);
        return status;
    }
    *out = client;
    return INST_OK;
}

void inst_ws_client_free(struct inst_ws_client *client) {
    if (!client)
        return;
    client->is_freed = true;
    if (client->conns == 0)
        bury(client);
}

/* ---- the end of a connection ---- */

static void clear_queue(struct conn *conn) {
    while (conn->first) {
        struct out *out = conn->first;
        conn->first = out->next;
        free(out);
    }
    conn->last = NULL;
    conn->queued = 0;
}

/* Frees it once nobody points at it any more. */
static void free_orphan(struct conn *conn) {
    if (!conn->is_orphan || conn->is_resolving || conn->wsi)
        return;
    struct inst_ws_client *client = conn->client;
    if (conn->is_flushing)
        inst_loop_release(conn->loop);
    clear_queue(conn);
    free(conn->in);
    free(conn);
    if (--client->conns == 0 && client->is_freed)
        inst_loop_defer(client->loop, &client->bury);
}

static void report_end(void *ctx) {
    struct conn *conn = ctx;
    conn->base.events.closed(conn->base.events.ctx, conn->why);
}

static void end(struct conn *conn, const char *why) {
    if (conn->state == ENDED)
        return;
    conn->state = ENDED;
    if (why != conn->why)
        snprintf(conn->why, sizeof conn->why, "%s", why);
    inst_timer_stop(conn->timer);
    if (!conn->is_orphan)
        inst_loop_defer(conn->loop, &conn->end);
}

static void kill_wsi(struct conn *conn) {
    if (conn->wsi)
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void on_timer(void *ctx) {
    struct conn *conn = ctx;
    int64_t now = inst_loop_monotonic_ms(conn->loop);
    if (conn->state != OPEN) {
        end(conn, "The connection could not be opened in time.");
        kill_wsi(conn);
    } else if (now - conn->heard_ms >= 2 * INST_WS_CLIENT_PING_MS) {
        end(conn, "Nothing was heard of the backend for too long.");
        kill_wsi(conn);
    } else if (now - conn->heard_ms >= INST_WS_CLIENT_PING_MS) {
        conn->wants_ping = true;
        lws_callback_on_writable(conn->wsi);
    }
}

static void ws_close(struct inst_transport *transport) {
    struct conn *conn = (struct conn *)transport;
    inst_loop_undefer(conn->loop, &conn->end);
    inst_timer_free(conn->timer);
    conn->timer = NULL;
    conn->is_orphan = true;
    if (conn->found)
        uv_freeaddrinfo(conn->found);
    conn->found = NULL;
    if (conn->is_resolving)
        uv_cancel((uv_req_t *)&conn->resolve);
    bool was_open = conn->state == OPEN;
    conn->state = ENDED;
    if (conn->wsi && was_open && conn->first) {
        /* What was sent before still goes out, if that is soon. */
        conn->is_flushing = true;
        inst_loop_hold(conn->loop);
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, FLUSH_SECONDS);
        return;
    }
    if (conn->wsi) {
        struct lws *wsi = conn->wsi;
        if (was_open)
            lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
        return; /* its last callback frees the rest */
    }
    free_orphan(conn);
}

/* ---- connecting ---- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len);

static const struct lws_protocols protocols[] = {
    {.name = "instant-client", .callback = on_event},
    {0},
};

static bool make_vhost(struct inst_ws_client *client, struct inst_err *err) {
    struct lws_context *lws = inst_loop_lws(client->loop, err);
    if (!lws)
        return false;
    if (client->vhost)
        return true;
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.vhost_name = "instant-client";
    info.http_proxy_address = ""; /* else it looks at http_proxy alone, whatever no_proxy says */
    if (client->is_tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.client_ssl_ca_filepath = client->ca_file;
        if (client->ca_file)
            info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    }
    client->vhost = lws_create_vhost(lws, &info);
    if (!client->vhost)
        inst_err_set(err, "io-error", 500, "Cannot prepare connections%s%s.",
                     client->ca_file ? ": is this a file of CA certificates? " : "",
                     client->ca_file ? client->ca_file : "");
    return client->vhost != NULL;
}

/* Of an address found, the text. */
static void print_address(const struct addrinfo *at, char out[INET6_ADDRSTRLEN]) {
    const void *raw = at->ai_family == AF_INET6
                          ? (const void *)&((struct sockaddr_in6 *)at->ai_addr)->sin6_addr
                          : (const void *)&((struct sockaddr_in *)at->ai_addr)->sin_addr;
    inet_ntop(at->ai_family, raw, out, INET6_ADDRSTRLEN);
}

/* The next connection goes to this address of the proxy, which is asked for `target`. */
static bool set_proxy(struct inst_ws_client *client, const char *address, char *target,
                      size_t cap) {
    const struct inst_proxy *proxy = &client->proxy;
    char text[256];
    bool is_v6 = strchr(address, ':') != NULL;
    int n =
        snprintf(text, sizeof text, "%s%s%s%s%s:%d", proxy->auth ? proxy->auth : "",
                 proxy->auth ? "@" : "", is_v6 ? "[" : "", address, is_v6 ? "]" : "", proxy->port);
    is_v6 = strchr(client->host, ':') != NULL;
    int m = snprintf(target, cap, "%s%s%s", is_v6 ? "[" : "", client->host, is_v6 ? "]" : "");
    return n > 0 && (size_t)n < sizeof text && m > 0 && (size_t)m < cap &&
           lws_set_proxy(client->vhost, text) == 0;
}

static void try_next(struct conn *conn) {
    struct inst_ws_client *client = conn->client;
    char address[INET6_ADDRSTRLEN], target[256];
    if (!conn->next) {
        end(conn, conn->why[0] ? conn->why : "No address answers.");
        return;
    }
    struct addrinfo *at = conn->next;
    conn->next = at->ai_next;
    print_address(at, address);
    if (client->proxy.host && !set_proxy(client, address, target, sizeof target)) {
        end(conn, "The proxy's address, user and password are too long.");
        return;
    }
    struct lws_client_connect_info info;
    memset(&info, 0, sizeof info);
    info.context = inst_loop_lws(client->loop, NULL);
    info.vhost = client->vhost;
    info.address = client->proxy.host ? target : address;
    info.port = client->port;
    info.path = client->path;
    info.host = client->header;
    info.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (client->is_tls ? LCCSCF_USE_SSL : 0);
    info.local_protocol_name = protocols[0].name;
    info.userdata = conn;
    info.pwsi = &conn->wsi;
    conn->state = CONNECTING;
    unsigned attempt = ++conn->attempt;
    /* When it fails at once its callback may have come, and gone on to the next address, already.
     */
    if (!lws_client_connect_via_info(&info) && conn->state == CONNECTING &&
        conn->attempt == attempt) {
        conn->wsi = NULL;
        try_next(conn);
    }
}

/* Whom the connection goes to first. */
static const char *dialled(const struct inst_ws_client *client) {
    return client->proxy.host ? client->proxy.host : client->host;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct conn *conn = request->data;
    char why[256];
    conn->is_resolving = false;
    if (conn->is_orphan || conn->state == ENDED) {
        uv_freeaddrinfo(found);
        free_orphan(conn);
        return;
    }
    if (status != 0) {
        snprintf(why, sizeof why, "%s: %s.", dialled(conn->client), uv_strerror(status));
        end(conn, why);
        return;
    }
    conn->found = conn->next = found;
    try_next(conn);
}

static bool ws_send(struct inst_transport *transport, const char *bytes, size_t len) {
    struct conn *conn = (struct conn *)transport;
    if (conn->state != OPEN)
        return true; /* `closed` is on its way */
    struct out *out = malloc(sizeof *out + LWS_PRE + len);
    if (!out)
        return false;
    out->next = NULL;
    out->len = len;
    memcpy(out->frame + LWS_PRE, bytes, len);
    if (conn->last)
        conn->last->next = out;
    else
        conn->first = out;
    conn->last = out;
    conn->queued += len;
    lws_callback_on_writable(conn->wsi);
    return true;
}

static size_t ws_queued(const struct inst_transport *transport) {
    return ((const struct conn *)transport)->queued;
}

static const struct inst_transport_ops ops = {
    .send = ws_send, .queued = ws_queued, .close = ws_close};

enum inst_status inst_ws_client_connect(struct inst_ws_client *client,
                                        const struct inst_transport_events *events,
                                        struct inst_transport **out, struct inst_err *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char service[8];
    if (!client->proxy.host) {
        enum inst_status found =
            inst_proxy_find(environment, client->is_tls, client->host, &client->proxy, err);
        if (found != INST_OK)
            return found;
    }
    if (!make_vhost(client, err))
        return INST_FAILED;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return inst_err_nomem(err);
    conn->base.ops = &ops;
    conn->base.events = *events;
    conn->client = client;
    conn->loop = client->loop;
    conn->end.fn = report_end;
    conn->end.ctx = conn;
    conn->resolve.data = conn;
    enum inst_status status = inst_timer_new(client->loop, on_timer, conn, &conn->timer, err);
    if (status != INST_OK) {
        free(conn);
        return status;
    }
    inst_timer_start(conn->timer, client->open_ms, INST_WS_CLIENT_PING_MS / 2);
    snprintf(service, sizeof service, "%d", client->proxy.host ? client->proxy.port : client->port);
    int failed = uv_getaddrinfo(inst_loop_uv(client->loop), &conn->resolve, on_resolved,
                                dialled(client), service, &hints);
    if (failed)
        end(conn, uv_strerror(failed));
    else
        conn->is_resolving = true;
    client->conns++;
    *out = &conn->base;
    return INST_OK;
}

/* ---- events of libwebsockets ---- */

static int on_opened(struct conn *conn) {
    if (conn->state != CONNECTING)
        return -1;
    conn->state = OPEN;
    conn->heard_ms = inst_loop_monotonic_ms(conn->loop);
    inst_timer_start(conn->timer, INST_WS_CLIENT_PING_MS / 2, INST_WS_CLIENT_PING_MS / 2);
    conn->base.events.opened(conn->base.events.ctx);
    return 0;
}

static int on_writable(struct conn *conn) {
    if (lws_get_close_length(conn->wsi))
        return 0;
    if (conn->state != OPEN && !conn->is_flushing)
        return -1;
    if (conn->wants_ping) {
        unsigned char frame[LWS_PRE + 1];
        conn->wants_ping = false;
        /* Not empty: libwebsockets tells us of no empty pong. */
        frame[LWS_PRE] = 'i';
        if (lws_write(conn->wsi, frame + LWS_PRE, 1, LWS_WRITE_PING) < 0)
            return -1;
    }
    while (conn->first && !lws_send_pipe_choked(conn->wsi)) {
        struct out *out = conn->first;
        int n = lws_write(conn->wsi, out->frame + LWS_PRE, out->len, LWS_WRITE_TEXT);
        conn->first = out->next;
        if (!conn->first)
            conn->last = NULL;
        conn->queued -= out->len;
        free(out);
        if (n < 0)
            return -1;
    }
    if (conn->first)
        lws_callback_on_writable(conn->wsi);
    else if (conn->is_flushing)
        return -1;
    else
        conn->base.events.drained(conn->base.events.ctx);
    return 0;
}

/* Without a close frame: waiting for the answer to one, libwebsockets 4.1.6 goes on reading the
 * frame that was refused, past the end of its buffer. */
static int refuse(struct conn *conn, const char *why) {
    end(conn, why);
    return -1;
}

static int too_big(struct conn *conn) {
    return refuse(conn, "The backend sent a message that is too large.");
}

static bool is_text(struct conn *conn, const char *bytes, size_t len, bool is_last) {
    if (!inst_utf8_feed(&conn->utf8, bytes, len))
        return false;
    return !is_last || inst_utf8_is_whole(&conn->utf8); /* a text ends with nothing left over */
}

static int on_receive(struct conn *conn, const char *bytes, size_t len) {
    const size_t max = INST_WS_CLIENT_MAX_MESSAGE;
    size_t announced = lws_remaining_packet_payload(conn->wsi);
    conn->heard_ms = inst_loop_monotonic_ms(conn->loop);
    if (conn->state != OPEN)
        return 0;
    if (len > max || announced > max || conn->in_len + len + announced > max)
        return too_big(conn);
    bool is_last = lws_is_final_fragment(conn->wsi) && announced == 0;
    if (!lws_frame_is_binary(conn->wsi) && !is_text(conn, bytes, len, is_last))
        return refuse(conn, "The backend sent a text that is no UTF-8.");
    if (conn->in_len + len > conn->in_cap) {
        size_t cap = conn->in_cap ? conn->in_cap : 4096;
        while (cap < conn->in_len + len)
            cap *= 2;
        char *in = realloc(conn->in, cap);
        if (!in)
            return too_big(conn);
        conn->in = in;
        conn->in_cap = cap;
    }
    if (len)
        memcpy(conn->in + conn->in_len, bytes, len);
    conn->in_len += len;
    if (!is_last)
        return 0;
    len = conn->in_len;
    conn->in_len = 0;
    if (!lws_frame_is_binary(conn->wsi)) /* binary messages mean nothing here */
        conn->base.events.message(conn->base.events.ctx, conn->in ? conn->in : "", len);
    if (conn->in_cap > 65536) { /* a rare large result keeps no memory */
        free(conn->in);
        conn->in = NULL;
        conn->in_cap = 0;
    }
    return 0;
}

/* Half a code, which libwebsockets would send back, or a reason that is no text (websocket.md 7.2,
 * 7.4). All of the frame is read by now. */
static int on_peer_closes(struct conn *conn, const char *payload, size_t len) {
    struct inst_utf8 utf8 = {0};
    if (len == 0 || len == 2 ||
        (len > 2 && inst_utf8_feed(&utf8, payload + 2, len - 2) && inst_utf8_is_whole(&utf8)))
        return 0;
    lws_close_reason(conn->wsi,
                     len == 1 ? LWS_CLOSE_STATUS_PROTOCOL_ERR : LWS_CLOSE_STATUS_INVALID_PAYLOAD,
                     NULL, 0);
    return -1;
}

static void on_failed(struct conn *conn, const char *why) {
    conn->wsi = NULL;
    if (conn->state == CONNECTING) {
        const struct inst_ws_client *client = conn->client;
        snprintf(conn->why, sizeof conn->why, "%s port %d%s%s: %s.", client->host, client->port,
                 client->proxy.host ? " by the proxy " : "",
                 client->proxy.host ? client->proxy.host : "", why ? why : "no connection");
        try_next(conn);
    }
    free_orphan(conn);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len) {
    struct conn *conn = user;
    if (!conn)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        conn->wsi = wsi;
        return on_opened(conn);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        lws_set_wsi_user(wsi, NULL); /* it is destroyed later */
        on_failed(conn, in);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_receive(conn, in, len);
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        conn->heard_ms = inst_loop_monotonic_ms(conn->loop);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(conn);
    case LWS_CALLBACK_CLIENT_CLOSED:
        lws_set_wsi_user(wsi, NULL);
        end(conn, "The connection was closed.");
        conn->wsi = NULL;
        free_orphan(conn);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_peer_closes(conn, in, len);
    case LWS_CALLBACK_WSI_DESTROY:
        /* The only word of one that ends in the middle of its handshake. */
        if (conn->wsi == wsi) {
            conn->wsi = NULL;
            free_orphan(conn);
        }
        return 0;
    default:
        return 0;
    }
}
