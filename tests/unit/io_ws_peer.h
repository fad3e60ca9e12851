/*
 * io_ws_peer.h - a WebSocket server played by hand for our client, on the same thread, for tests:
 * the loop is stepped, nothing sleeps.
 */
#ifndef INST_TESTS_IO_WS_PEER_H
#define INST_TESTS_IO_WS_PEER_H

#include "io/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 5000
#define OPEN_MS 400
#define MAX (1u << 20)

struct world {
    struct inst_loop *loop;
    struct inst_ws_client *client;
    struct inst_transport *transport;
    int listener;
    int port;
    /* what the application heard */
    int opened, closed;
    char why[256];
    char seen[MAX]; /* messages, each in brackets */
    size_t seen_len;
    size_t messages;
    /* the server's end of the connection */
    int fd;
    unsigned char in[MAX];
    size_t in_len;
    bool is_eof;
    char pongs[4096];
    int code; /* of the close that it sent; 0: none so far */
};

/* ---- the application ---- */

static inline void on_opened(void *ctx) { ((struct world *)ctx)->opened++; }

static inline void on_message(void *ctx, const char *bytes, size_t len) {
    struct world *w = ctx;
    w->messages++;
    if (w->seen_len + len + 2 >= sizeof w->seen)
        return;
    w->seen[w->seen_len++] = '[';
    memcpy(w->seen + w->seen_len, bytes, len);
    w->seen_len += len;
    w->seen[w->seen_len++] = ']';
    w->seen[w->seen_len] = '\0';
}

static inline void on_closed(void *ctx, const char *why) {
    struct world *w = ctx;
    w->closed++;
    snprintf(w->why, sizeof w->why, "%s", why);
}

static inline void on_drained(void *ctx) { (void)ctx; }

/* ---- the world ---- */

static inline int64_t now(const struct world *w) { return inst_loop_monotonic_ms(w->loop); }

static inline void turn(struct world *w) {
    inst_loop_step(w->loop);
    if (w->fd < 0 || w->is_eof)
        return;
    ssize_t n = recv(w->fd, w->in + w->in_len, sizeof w->in - w->in_len, MSG_DONTWAIT);
    if (n > 0)
        w->in_len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        w->is_eof = true;
}

#define TURN_UNTIL(w, holds)                                                                       \
    for (int64_t stop_ = now(w) + LIMIT_MS; !(holds); turn(w))                                     \
        if (now(w) > stop_)                                                                        \
    fail_msg("never: %s (closed %d: %s)", #holds, (w)->closed, (w)->why)

static inline void connect_client(struct world *w, const char *path) {
    char uri[200];
    struct inst_err err = {0};
    struct inst_transport_events events = {.ctx = w,
                                           .opened = on_opened,
                                           .message = on_message,
                                           .closed = on_closed,
                                           .drained = on_drained};
    snprintf(uri, sizeof uri, "ws://127.0.0.1:%d%s", w->port, path);
    if (!w->client)
        assert_int_equal(inst_ws_client_new(w->loop, uri, NULL, OPEN_MS, &w->client, &err),
                         INST_OK);
    w->opened = w->closed = 0;
    w->why[0] = '\0';
    w->seen_len = w->messages = w->in_len = 0;
    w->seen[0] = '\0';
    w->is_eof = false;
    w->pongs[0] = '\0';
    w->code = 0;
    w->fd = -1;
    assert_int_equal(inst_ws_client_connect(w->client, &events, &w->transport, &err), INST_OK);
}

static inline void accept_client(struct world *w) {
    TURN_UNTIL(w, (w->fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
}

/* The client's request, NUL-terminated, taken out of the input. */
static const char *read_request(struct world *w) {
    static char head[4096];
    char *end = NULL;
    TURN_UNTIL(w, (w->in[w->in_len] = '\0', end = strstr((char *)w->in, "\r\n\r\n")) != NULL);
    size_t len = (size_t)(end + 4 - (char *)w->in);
    assert_true(len < sizeof head);
    memcpy(head, w->in, len);
    head[len] = '\0';
    w->in_len -= len;
    memmove(w->in, w->in + len, w->in_len);
    return head;
}

static inline void find_field(const char *head, const char *name, char out[128]) {
    char key[64];
    snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = strcasestr(head, key);
    if (!at)
        fail_msg("no %s in %s", name, head);
    at += strlen(key);
    size_t len = strcspn(at, "\r");
    assert_true(len < 128);
    memcpy(out, at, len);
    out[len] = '\0';
}

static inline void accept_value(const char *key, char out[64]) {
    char text[200];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((unsigned char *)text, (size_t)n, digest);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

/* piece 0: all at once. */
static inline void send_pieces(struct world *w, const void *bytes, size_t len, size_t piece) {
    const char *at = bytes;
    while (len > 0 && !w->is_eof) {
        size_t wanted = piece && piece < len ? piece : len;
        ssize_t n = send(w->fd, at, wanted, MSG_NOSIGNAL);
        if (n > 0)
            at += n, len -= (size_t)n;
        else if (errno != EAGAIN)
            return;
        turn(w);
    }
}

static inline void send_text(struct world *w, const char *text) {
    send_pieces(w, text, strlen(text), 0);
}

static inline void answer_handshake(struct world *w, size_t piece, const void *behind, size_t len) {
    char key[128], accept[64], head[4096];
    find_field(read_request(w), "Sec-WebSocket-Key", key);
    accept_value(key, accept);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    if (len > 0)
        memcpy(head + n, behind, len);
    send_pieces(w, head, (size_t)n + len, piece);
}

static inline void open_connection(struct world *w) {
    connect_client(w, "/runtime/session?app_id=x");
    accept_client(w);
    answer_handshake(w, 0, NULL, 0);
    TURN_UNTIL(w, w->opened);
}

static inline void end_connection(struct world *w) {
    if (w->transport)
        w->transport->ops->close(w->transport);
    w->transport = NULL;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    for (int i = 0; i < 3; i++)
        inst_loop_step(w->loop);
}

static inline int set_up(void **state) {
    struct world *w = calloc(1, sizeof *w);
    struct inst_err err = {0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(inst_loop_new(&w->loop, &err), INST_OK);
    inst_loop_log_level(w->loop, INST_LOG_ERROR);
    w->fd = -1;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(w->listener, 100), 0);
    getsockname(w->listener, (struct sockaddr *)&address, &len);
    w->port = ntohs(address.sin_port);
    *state = w;
    return 0;
}

static inline int tear_down(void **state) {
    struct world *w = *state;
    end_connection(w);
    inst_ws_client_free(w->client);
    close(w->listener);
    inst_loop_free(w->loop);
    free(w);
    return 0;
}

/* ---- frames ---- */

struct bytes {
    unsigned char data[MAX];
    size_t len;
};

static inline void add(struct bytes *out, const void *bytes, size_t len) {
    assert_true(out->len + len <= sizeof out->data);
    if (len > 0)
        memcpy(out->data + out->len, bytes, len);
    out->len += len;
}

/* A frame as a server sends it: not masked, length in the shortest form. */
static inline void add_frame(struct bytes *out, int first, const void *payload, size_t len) {
    unsigned char head[10] = {(unsigned char)first};
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)len;
    } else if (len < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        n = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    add(out, head, n);
    add(out, payload, len);
}

static inline void add_hex(struct bytes *out, const char *hex) {
    for (; hex[0] && hex[1]; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        unsigned char byte = (unsigned char)strtoul(two, NULL, 16);
        add(out, &byte, 1);
    }
}

/*
 * Frames in short: words of a letter, a colon and a payload, with blanks between.
 *   t text   b binary   p ping   o pong   c close: a code, or a code, a slash and a reason
 *   T text without FIN   C continuation without FIN   F continuation with FIN
 *   h bytes in hex, as they are   x so many bytes more
 */
static inline void build(struct bytes *out, const char *script) {
    static const struct {
        char letter;
        int first;
    } kinds[] = {{'t', 0x81}, {'b', 0x82}, {'p', 0x89}, {'o', 0x8a},
                 {'T', 0x01}, {'C', 0x00}, {'F', 0x80}, {'c', 0x88}};
    out->len = 0;
    while (*script) {
        size_t len = strcspn(script, " ");
        const char *payload = script + 2;
        size_t n = len - 2;
        char hex[4096];
        if (*script == 'x') {
            for (int left = atoi(payload); left > 0; left--)
                add(out, "x", 1);
        } else if (*script == 'h') {
            snprintf(hex, sizeof hex, "%.*s", (int)n, payload);
            add_hex(out, hex);
        } else if (*script == 'c') {
            struct bytes close = {.len = 0};
            if (n > 0) {
                char *reason;
                unsigned long code = strtoul(payload, &reason, 10);
                unsigned char two[2] = {(unsigned char)(code >> 8), (unsigned char)code};
                add(&close, two, 2);
                if (*reason == '/')
                    add(&close, reason + 1, (size_t)(payload + n - reason - 1));
            }
            add_frame(out, 0x88, close.data, close.len);
        } else {
            for (size_t i = 0; i < 8; i++)
                if (kinds[i].letter == *script)
                    add_frame(out, kinds[i].first, payload, n);
        }
        script += len + (script[len] == ' ');
    }
}

/* The next frame of the client, which must be masked, with a new mask; -1: none is whole. */
static inline int take_frame(struct world *w, char *out, size_t cap, size_t *len) {
    if (w->in_len < 2)
        return -1;
    size_t at = 2, n = w->in[1] & 0x7f;
    assert_true(w->in[1] & 0x80);
    if (n >= 126) {
        size_t size = n == 126 ? 2 : 8;
        if (w->in_len < at + size)
            return -1;
        for (n = 0; size > 0; size--)
            n = n << 8 | w->in[at++];
        assert_true(at == 4 ? n >= 126 : n >= 65536); /* the shortest form */
    }
    if (w->in_len < at + 4 + n)
        return -1;
    unsigned char mask[4];
    memcpy(mask, w->in + at, 4);
    at += 4;
    for (size_t i = 0; i < n && i + 1 < cap; i++)
        out[i] = (char)(w->in[at + i] ^ mask[i % 4]);
    out[n < cap ? n : cap - 1] = '\0';
    *len = n;
    int first = w->in[0];
    w->in_len -= at + n;
    memmove(w->in, w->in + at + n, w->in_len);
    return first;
}

/* Reads the frames of the client: pongs as (payload), a close as its code, which is answered. */
static inline void react(struct world *w) {
    char payload[256];
    size_t len;
    int first;
    while ((first = take_frame(w, payload, sizeof payload, &len)) >= 0) {
        assert_int_equal(w->code, 0); /* nothing behind a close */
        if (first == 0x8a) {
            size_t used = strlen(w->pongs);
            snprintf(w->pongs + used, sizeof w->pongs - used, "(%s)", payload);
        } else if (first == 0x88) {
            w->code = len >= 2 ? (unsigned char)payload[0] << 8 | (unsigned char)payload[1] : 1005;
            static const unsigned char answer[] = {0x88, 2, 3, 0xe8};
            send(w->fd, answer, sizeof answer, MSG_NOSIGNAL);
        } else {
            fail_msg("an unexpected frame %02x", first);
        }
    }
}

struct row {
    const char *frames;
    const char *messages; /* in brackets */
    const char *pongs;    /* in parentheses */
    int code;             /* 0: stays open; -1: closed, cleanly; else the code that fails it */
    bool may_miss_pongs;  /* libwebsockets keeps one pong at a time */
};

static inline void check_row(struct world *w, const struct row *row, size_t piece) {
    static struct bytes bytes;
    build(&bytes, row->frames);
    if (row->code == 0)
        add_frame(&bytes, 0x81, "last", 4); /* to know that all in front of it was read */
    open_connection(w);
    send_pieces(w, bytes.data, bytes.len, piece);
    for (int64_t stop = now(w) + LIMIT_MS; row->code ? !w->closed : !strstr(w->seen, "[last]");
         turn(w)) {
        react(w);
        if (now(w) > stop || (w->closed && row->code == 0))
            fail_msg("%s in pieces of %zu: closed %d: %s", row->frames, piece, w->closed, w->why);
    }
    for (int i = 0; i < 5; i++)
        turn(w);
    react(w);
    if (row->code == 0) {
        assert_int_equal(w->closed, 0);
        *strstr(w->seen, "[last]") = '\0';
    } else {
        assert_int_equal(w->closed, 1);
        /* libwebsockets drops some without a close frame, which passes. */
        if (row->code > 0 && w->code != 0 && w->code != row->code && w->code != 1002)
            fail_msg("%s: code %d", row->frames, w->code);
    }
    if (strcmp(w->seen, row->messages) != 0)
        fail_msg("%s in pieces of %zu: messages %s", row->frames, piece, w->seen);
    bool has_pongs = row->may_miss_pongs ? strstr(row->pongs, w->pongs) != NULL
                                         : strcmp(w->pongs, row->pongs) == 0;
    if (!has_pongs)
        fail_msg("%s in pieces of %zu: pongs %s", row->frames, piece, w->pongs);
    end_connection(w);
}

static inline void check_rows(struct world *w, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t piece = 0; piece < 2; piece++)
            check_row(w, &rows[i], piece);
}

#define CHECK_ROWS(w, rows) check_rows(w, rows, sizeof rows / sizeof rows[0])

#endif
