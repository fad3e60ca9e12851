#include "io/http_conn.h"

#include "io/http_answer.h"
#include "io/http_asked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_INPUT 2048

/* ---- answering ---- */

static void send_out(struct inst_http_conn *conn) {
    while (conn->out_done < conn->out.len) {
        ssize_t n = send(conn->fd, conn->out.data + conn->out_done, conn->out.len - conn->out_done,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            inst_conn_drop(conn, false);
            return;
        }
        conn->out_done += (size_t)n;
        inst_conn_sent(conn, (size_t)n);
    }
    size_t count;
    enum inst_transfer transfer = inst_http_transfer_send(&conn->transfer, conn->fd, &count);
    if (count > 0)
        inst_conn_sent(conn, count);
    if (transfer == INST_TRANSFER_LOST)
        inst_conn_drop(conn, false);
    if (transfer != INST_TRANSFER_DONE)
        return;
    conn->out_done = 0;
    inst_buf_free(&conn->out);
    if (conn->session) {
        inst_conn_begin_stream(conn);
        return;
    }
    if (conn->close_after) {
        /* Reading on for a moment lets the client see the answer instead of a reset. */
        shutdown(conn->fd, SHUT_WR);
        inst_conn_enter(conn, INST_CONN_LINGERING);
        return;
    }
    if (conn->peer && conn->server->config.trusted_hops > 0)
        inst_http_peers_move(conn->server->config.peers, &conn->peer, "");
    inst_conn_enter(conn, INST_CONN_READING);
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
    case 415:
        return "Bodies are taken as they are, without a content coding.";
    case 417:
        return "Unknown expectation.";
    case 426:
        return "This address speaks WebSocket.";
    case 429:
        return "Your request exceeded the rate limit.";
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

/* The answer in conn->out is about to leave. head NULL: its request could not be read. */
static void note_answer(struct inst_http_conn *conn, const struct inst_http_head *head,
                        const char *trace) {
    struct inst_http_server *server = conn->server;
    struct inst_http_stats *stats = &server->stats;
    struct inst_http_log entry = {.trace = trace};
    if (conn->out.failed || conn->out.len < 12)
        return;
    entry.status = atoi(conn->out.data + sizeof "HTTP/1.1");
    entry.took_us = head ? (int64_t)(uv_hrtime() / 1000) - conn->asked_us : 0;
    stats->requests[entry.status / 100 % 6]++;
    double seconds = (double)entry.took_us / 1e6;
    stats->seconds += seconds;
    for (size_t i = 0; i < INST_HTTP_BUCKETS; i++)
        stats->took[i] += seconds <= inst_http_bucket_s[i];
    if (!server->config.log)
        return;
    char ip[INST_IP_TEXT];
    memcpy(ip, conn->peer_ip, sizeof ip);
    if (head) {
        inst_http_client_ip(head, server->config.trusted_hops, conn->peer_ip, ip);
        entry.method = head->method;
        entry.path = head->path;
    }
    entry.ip = ip;
    server->config.log(server->config.ctx, &entry);
}

/* extra: header lines instead of those that the status has; or NULL. */
static void refuse_with(struct inst_http_conn *conn, const struct inst_http_head *head, int status,
                        const char *extra) {
    conn->close_after = true;
    inst_conn_enter(conn, INST_CONN_ANSWERING);
    if (extra)
        inst_http_write_refusal(&conn->out, head, status, refusal(status), false, extra);
    else
        inst_http_write_error(&conn->out, head, status, refusal(status), false);
    note_answer(conn, head, "");
    if (conn->out.failed)
        inst_conn_drop(conn, false);
    else
        send_out(conn);
}

void inst_conn_refuse(struct inst_http_conn *conn, const struct inst_http_head *head, int status) {
    refuse_with(conn, head, status, NULL);
}

static bool is_known_method(const struct inst_slice *method) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (method->len == strlen(names[i]) && memcmp(method->str, names[i], method->len) == 0)
            return true;
    return false;
}

/* The answer goes on as an event stream, or does not: then nothing must be left of one. */
static void take_stream(struct inst_http_conn *conn, const struct inst_http_head *head,
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

/* Sends the client elsewhere for a content; false: it is here. */
static bool write_redirect(struct inst_http_conn *conn, const struct inst_http_head *head,
                           const struct inst_http_response *response) {
    const struct inst_http_server_config *config = &conn->server->config;
    const char *method = inst_slice_is(&head->method, "HEAD") ? "HEAD" : "GET";
    struct inst_buf address;
    inst_buf_init(&address);
    bool is_elsewhere = config->locate && config->locate(config->ctx, response, method, &address);
    if (is_elsewhere)
        inst_http_write_redirect(&conn->out, head, address.data, !conn->close_after);
    inst_buf_free(&address);
    return is_elsewhere;
}

/* Writes what the application answers into conn->out. */
static bool write_response(struct inst_http_conn *conn, const struct inst_http_head *head,
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
    if (conn->session || !response->file.location[0] || write_redirect(conn, head, response))
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

static void on_answered(void *ctx, struct inst_http_response *response) {
    struct inst_http_conn *conn = ctx;
    conn->later = NULL;
    conn->came = *response;
    inst_buf_init(&response->headers);
    inst_buf_init(&response->body);
    inst_loop_defer(conn->server->loop, &conn->coming);
}

/* Asks the application and writes its answer into conn->out, or waits for it. */
static bool ask(struct inst_http_conn *conn, const struct inst_http_head *head) {
    struct inst_http_asked asked;
    struct inst_http_response response = {.status = 500};
    const char *body = conn->in + conn->head_len;
    char ip[INST_IP_TEXT];
    int refused = inst_http_asked_make(&asked, head, conn->head_len, body, conn->body_len);
    if (refused) {
        free(asked.text);
        conn->close_after = true;
        if (refused > 0)
            inst_http_write_error(&conn->out, head, refused, refusal(refused), false);
        note_answer(conn, head, "");
        return refused > 0 && !conn->out.failed;
    }
    inst_http_client_ip(head, conn->server->config.trusted_hops, conn->peer_ip, ip);
    asked.request.ip = ip;
    asked.request.scheme = inst_http_client_scheme(head, conn->server->config.trusted_hops);
    asked.request.connection = &conn->base;
    conn->server->config.answer(conn->server->config.ctx, &asked.request, &response);
    free(asked.text);
    if (response.later) {
        conn->later = response.later;
        inst_http_later_wait(response.later, on_answered, conn);
        return true;
    }
    take_stream(conn, head, &response);
    bool ok = write_response(conn, head, &response);
    note_answer(conn, head, response.trace);
    inst_http_response_clear(&response);
    return ok;
}

static void consume(struct inst_http_conn *conn) {
    size_t used = conn->head_len + conn->body_len;
    memmove(conn->in, conn->in + used, conn->in_len - used);
    conn->in_len -= used;
    if (conn->in_len == 0) {
        free(conn->in);
        conn->in = NULL;
        conn->in_cap = 0;
    }
    conn->has_head = conn->is_chunked = false;
    conn->scan = (struct inst_head_scan){0};
    conn->chunked = (struct inst_chunked){0};
    conn->head_len = conn->body_len = 0;
}

/* Input may have moved in memory since the head was read: its slices are made again. */
static void read_head_again(struct inst_http_conn *conn, struct inst_http_head *head) {
    int status;
    struct inst_head_scan scan = {0};
    inst_http_head_parse(&scan, conn->in, conn->in_len, head, &conn->head_len, &status);
}

static void send_answer(struct inst_http_conn *conn, bool ok) {
    if (!ok || conn->out.failed) {
        inst_conn_drop(conn, false);
        return;
    }
    consume(conn);
    send_out(conn);
}

static void answer_preflight(struct inst_http_conn *conn, const struct inst_http_head *head) {
    inst_http_write_preflight(&conn->out, head, !conn->close_after);
    note_answer(conn, head, "");
}

/* The whole request is there. */
static void answer(struct inst_http_conn *conn) {
    struct inst_http_head head;
    read_head_again(conn, &head);
    conn->close_after = !head.keep_alive || conn->server->is_draining;
    inst_conn_enter(conn, INST_CONN_ANSWERING);
    bool ok = true;
    if (inst_slice_is(&head.method, "OPTIONS"))
        answer_preflight(conn, &head);
    else
        ok = ask(conn, &head);
    if (!conn->later) {
        send_answer(conn, ok);
        return;
    }
    inst_conn_enter(conn, INST_CONN_WAITING);
    uv_poll_stop(&conn->poll); /* what comes meanwhile waits, in the end in the client's own send */
}

/* ---- uploads ---- */

static void process(struct inst_http_conn *conn);

/* An answer that did not come in the call that asked for it. */
static void answer_with(struct inst_http_conn *conn, struct inst_http_response *response) {
    struct inst_http_head head;
    read_head_again(conn, &head);
    inst_conn_enter(conn, INST_CONN_ANSWERING);
    bool ok = write_response(conn, &head, response);
    note_answer(conn, &head, response->trace);
    inst_http_response_clear(response);
    send_answer(conn, ok);
}

void inst_conn_send_what_came(void *ctx) {
    struct inst_http_conn *conn = ctx;
    answer_with(conn, &conn->came);
    process(conn);
}

static bool make_room(struct inst_http_conn *conn);

static void receive_plain(struct inst_http_conn *conn) {
    size_t count;
    enum inst_transfer transfer = inst_http_transfer_receive(&conn->transfer, conn->fd, &count);
    inst_conn_received(conn, count);
    if (transfer == INST_TRANSFER_LOST)
        inst_conn_drop(conn, false);
    else if (transfer == INST_TRANSFER_DONE) /* the client waits, in the end in its own send */
        uv_poll_stop(&conn->poll);
}

/* true: what `in` has behind the head was used up, and more is wanted. */
static bool take_chunks(struct inst_http_conn *conn) {
    size_t len = conn->in_len - conn->head_len;
    int refused;
    enum inst_transfer transfer = inst_http_transfer_chunks(
        &conn->transfer, &conn->chunked, conn->in + conn->head_len, &len, &refused);
    conn->in_len = conn->head_len + len;
    if (refused) {
        inst_http_transfer_end(&conn->transfer);
        inst_conn_refuse(conn, NULL, refused);
        return false;
    }
    if (transfer == INST_TRANSFER_DONE)
        conn->is_chunked = false;
    if (!inst_http_transfer_is_busy(&conn->transfer))
        return true;
    uv_poll_stop(&conn->poll);
    return false;
}

static void receive_chunked(struct inst_http_conn *conn) {
    while (take_chunks(conn)) {
        if (!make_room(conn)) {
            inst_conn_drop(conn, false);
            return;
        }
        ssize_t n = recv(conn->fd, conn->in + conn->in_len, conn->in_cap - conn->in_len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            inst_conn_drop(conn, false);
            return;
        }
        conn->in_len += (size_t)n;
        inst_conn_received(conn, (size_t)n);
    }
}

static void receive(struct inst_http_conn *conn) {
    if (conn->is_chunked)
        receive_chunked(conn);
    else
        receive_plain(conn);
}

static void on_room(void *ctx) {
    struct inst_http_conn *conn = ctx;
    uv_poll_start(&conn->poll, UV_READABLE, inst_conn_on_event);
    receive(conn);
}

static void on_stored(void *ctx, struct inst_http_response *response) {
    struct inst_http_conn *conn = ctx;
    /* Refused in the middle: what is still coming is not the next request. */
    if (inst_file_upload_left(conn->transfer.upload) > 0)
        conn->close_after = true;
    conn->transfer.upload = NULL;
    answer_with(conn, response);
    process(conn);
}

/* Takes over a request whose body is an upload; false: it is none. */
static bool begin_upload(struct inst_http_conn *conn, const struct inst_http_head *head,
                         size_t head_len) {
    const struct inst_http_server_config *config = &conn->server->config;
    struct inst_file_upload_config how = {.size = head->is_chunked ? INST_FILE_SIZE_UNKNOWN
                                                                   : head->content_length,
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
    conn->close_after = !head->keep_alive || conn->server->is_draining;
    if (!conn->transfer.upload) {
        /* A body that is there is passed over, one that is not need not come. */
        if (!head->is_chunked && conn->in_len - head_len >= head->content_length)
            conn->body_len = (size_t)head->content_length;
        else
            conn->close_after = true;
        answer_with(conn, &response);
        return true;
    }
    inst_conn_enter(conn, INST_CONN_RECEIVING);
    conn->is_chunked = head->is_chunked;
    if (conn->is_chunked) {
        receive_chunked(conn);
        return true;
    }
    char *rest = conn->in + head_len;
    size_t len = conn->in_len - head_len;
    size_t taken = inst_http_transfer_first(&conn->transfer, rest, len);
    memmove(rest, rest + taken, len - taken);
    conn->in_len -= taken;
    return true;
}

/* ---- reading ---- */

static void upgrade(struct inst_http_conn *conn, const struct inst_http_head *head,
                    size_t head_len) {
    struct inst_http_server *server = conn->server;
    char ip[INST_IP_TEXT];
    inst_http_client_ip(head, server->config.trusted_hops, conn->peer_ip, ip);
    inst_conn_drop(conn, true); /* memory stays until libuv's close callback */
    server->stats.requests[1]++;
    server->config.upgrade(server->config.ctx, conn->fd, head, ip, conn->in + head_len,
                           conn->in_len - head_len);
}

/* Does its client ask too often, or for too much at once? Then it has been told. A connection of a
 * proxy carries requests of many clients: it is each one's from the head to the answer's end. */
static bool is_limited(struct inst_http_conn *conn, const struct inst_http_head *head) {
    const struct inst_http_server_config *config = &conn->server->config;
    char ip[INST_IP_TEXT], extra[40];
    int after;
    if (!config->peers)
        return false;
    inst_http_client_ip(head, config->trusted_hops, conn->peer_ip, ip);
    if (conn->peer && config->trusted_hops > 0 &&
        inst_http_peers_move(config->peers, &conn->peer, ip) != INST_PEER_WELCOME) {
        conn->server->stats.refused++;
        inst_conn_refuse(conn, head, 429);
        return true;
    }
    if (inst_http_peers_may_ask(config->peers, ip, &after))
        return false;
    conn->server->stats.limited++;
    snprintf(extra, sizeof extra, "Retry-After: %d\r\n", after);
    refuse_with(conn, head, 429, extra);
    return true;
}

/* Reads a head that has just become complete. */
static void take_head(struct inst_http_conn *conn, const struct inst_http_head *head,
                      size_t head_len) {
    conn->asked_us = (int64_t)(uv_hrtime() / 1000);
    if (is_limited(conn, head))
        return;
    int handshake = inst_ws_handshake(head);
    if (handshake == 101) {
        upgrade(conn, head, head_len);
        return;
    }
    if (handshake) {
        inst_conn_refuse(conn, head, handshake);
        return;
    }
    if (!is_known_method(&head->method)) {
        inst_conn_refuse(conn, head, 501);
        return;
    }
    bool has_body = conn->in_len > head_len, is_upload = begin_upload(conn, head, head_len);
    if (!is_upload && head->content_length > conn->server->config.max_body) {
        inst_conn_refuse(conn, head, 413);
        return;
    }
    if (!is_upload) {
        conn->has_head = true;
        conn->head_len = head_len;
        conn->body_len = (size_t)head->content_length;
        conn->is_chunked = head->is_chunked;
    }
    bool is_wanted = conn->state == INST_CONN_READING || conn->state == INST_CONN_RECEIVING;
    if (head->expects_continue && !has_body && is_wanted) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        (void)!send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
    }
}

/* Moves what has come of a body in chunks together, behind the head; 0, or the status to refuse the
 * request with. */
static int decode_body(struct inst_http_conn *conn) {
    char *to = conn->in + conn->head_len + conn->body_len;
    const char *at = to, *end = conn->in + conn->in_len;
    struct inst_slice data;
    enum inst_chunked_result result;
    while ((result = inst_chunked_next(&conn->chunked, &at, end, &data)) == INST_CHUNKED_DATA) {
        memmove(to, data.str, data.len);
        to += data.len;
        conn->body_len += data.len;
        if (conn->body_len > conn->server->config.max_body)
            return 413;
    }
    if (result == INST_CHUNKED_REFUSE || result == INST_CHUNKED_LONG)
        return result == INST_CHUNKED_LONG ? 431 : 400;
    conn->is_chunked = result != INST_CHUNKED_END;
    memmove(to, at, (size_t)(end - at));
    conn->in_len = conn->head_len + conn->body_len + (size_t)(end - at);
    return 0;
}

static void process(struct inst_http_conn *conn) {
    while (conn->state == INST_CONN_READING && conn->in_len > 0) {
        if (!conn->has_head) {
            struct inst_http_head head;
            size_t head_len;
            int status;
            enum inst_head_result result = inst_http_head_parse(&conn->scan, conn->in, conn->in_len,
                                                                &head, &head_len, &status);
            if (result == INST_HEAD_MORE)
                return;
            if (result == INST_HEAD_REFUSE) {
                inst_conn_refuse(conn, NULL, status);
                return;
            }
            take_head(conn, &head, head_len);
            continue;
        }
        int refused = conn->is_chunked ? decode_body(conn) : 0;
        if (refused) {
            inst_conn_refuse(conn, NULL, refused);
            return;
        }
        if (conn->is_chunked || conn->in_len < conn->head_len + conn->body_len)
            return;
        answer(conn);
    }
}

static bool make_room(struct inst_http_conn *conn) {
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

static void read_some(struct inst_http_conn *conn) {
    if (!make_room(conn)) {
        inst_conn_drop(conn, false);
        return;
    }
    ssize_t n = recv(conn->fd, conn->in + conn->in_len, conn->in_cap - conn->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        inst_conn_drop(conn, false);
        return;
    }
    if (conn->in_len == 0) { /* first byte of a request: its time begins */
        conn->since_ms = inst_conn_now(conn);
        conn->moved = 0;
    }
    conn->in_len += (size_t)n;
    inst_conn_received(conn, (size_t)n);
    process(conn);
}

static void linger(struct inst_http_conn *conn) {
    char sink[65536];
    ssize_t n = recv(conn->fd, sink, sizeof sink, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        inst_conn_drop(conn, false);
}

void inst_conn_on_event(uv_poll_t *poll, int status, int events) {
    struct inst_http_conn *conn = (struct inst_http_conn *)poll;
    if (status < 0) {
        inst_conn_drop(conn, false);
        return;
    }
    if (conn->state == INST_CONN_ANSWERING && (events & UV_WRITABLE)) {
        send_out(conn);
        process(conn);
    } else if (conn->state == INST_CONN_STREAMING) {
        inst_conn_stream_event(conn, events);
    } else if (conn->state == INST_CONN_READING && (events & UV_READABLE)) {
        read_some(conn);
    } else if (conn->state == INST_CONN_RECEIVING && (events & UV_READABLE)) {
        receive(conn);
    } else if (conn->state == INST_CONN_LINGERING) {
        linger(conn);
    }
}
