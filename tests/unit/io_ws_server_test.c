/* The port of a backend, by a raw client on the same thread: the loop is stepped, nothing sleeps.
 */
#include "io/client.h"
#include "io_port_fixture.h"

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static struct peer *open_session(struct world *world) {
    static const char head[] = "GET /runtime/session HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct peer *peer = dial(world);
    send_all(peer, head, sizeof head - 1);
    char *end = NULL;
    int64_t stop = now(peer) + LIMIT_MS;
    while (!end && now(peer) < stop) {
        turn(peer);
        peer->in[peer->len] = '\0';
        end = strstr(peer->in, "\r\n\r\n");
    }
    assert_non_null(end);
    assert_non_null(strstr(peer->in, "HTTP/1.1 101"));
    assert_non_null(strstr(peer->in, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    size_t used = (size_t)(end + 4 - peer->in);
    memmove(peer->in, peer->in + used, peer->len - used);
    peer->len -= used;
    return peer;
}

static void send_frame(struct peer *peer, int first, const void *bytes, size_t len) {
    unsigned char *frame = calloc(1, len + 14);
    assert_non_null(frame);
    size_t n = 0;
    frame[n++] = (unsigned char)first;
    if (len < 126) {
        frame[n++] = (unsigned char)(0x80 | len);
    } else {
        frame[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            frame[n++] = (unsigned char)((uint64_t)len >> shift);
    }
    if (len >= 126 && len < 65536) { /* the shortest form */
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(len >> 8);
        frame[3] = (unsigned char)len;
        n = 4;
    }
    n += 4; /* a mask of zeros leaves the bytes as they are */
    memset(frame + n - 4, 0, 4);
    memcpy(frame + n, bytes, len);
    send_all(peer, frame, n + len);
    free(frame);
}

static void send_text(struct peer *peer, const char *text) {
    send_frame(peer, FIN | TEXT, text, strlen(text));
}

/* The next frame's first byte; its payload is NUL-terminated in out (cut to cap). -1: the end. */
static int read_frame(struct peer *peer, char *out, size_t cap, size_t *len) {
    need(peer, 2);
    if (peer->len < 2)
        return -1;
    size_t at = 2, n = (unsigned char)peer->in[1];
    assert_true(n < 128); /* never masked */
    if (n >= 126) {
        size_t bytes = n == 126 ? 2 : 8;
        need(peer, 2 + bytes);
        for (n = 0; at < 2 + bytes; at++)
            n = n << 8 | (unsigned char)peer->in[at];
    }
    need(peer, at + n);
    if (peer->len < at + n)
        return -1;
    int first = (unsigned char)peer->in[0];
    size_t copy = n < cap - 1 ? n : cap - 1;
    memcpy(out, peer->in + at, copy);
    out[copy] = '\0';
    *len = n;
    memmove(peer->in, peer->in + at + n, peer->len - at - n);
    peer->len -= at + n;
    return first;
}

/* The next frame that is no ping of the server's. */
static int read_answer(struct peer *peer, char *out, size_t cap, size_t *len) {
    int first;
    do
        first = read_frame(peer, out, cap, len);
    while (first == (FIN | PING));
    return first;
}

static void expect_text(struct peer *peer, const char *part) {
    char text[4096];
    size_t len;
    assert_int_equal(read_answer(peer, text, sizeof text, &len), FIN | TEXT);
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

/* A close frame with this code, and nothing behind it. */
static void expect_close(struct peer *peer, int code) {
    char text[256];
    size_t len;
    int first = read_answer(peer, text, sizeof text, &len);
    assert_int_equal(first, FIN | CLOSE);
    assert_true(len >= 2);
    assert_int_equal((unsigned char)text[0] << 8 | (unsigned char)text[1], code);
    send_frame(peer, FIN | CLOSE, text, 2);
    assert_int_equal(read_frame(peer, text, sizeof text, &len), -1);
    assert_true(peer->is_eof);
}

/* ---- sessions ---- */

static void test_session(void **state) {
    struct peer *peer = open_session(*state);
    send_text(peer, "{\"op\":\"init\",\"app-id\":\"00000000-0000-4000-8000-000000000001\"}");
    expect_text(peer, "\"op\":\"init-ok\"");
    send_text(peer, "{\"op\":\"add-query\",\"q\":{\"todos\":{}},\"client-event-id\":\"e\"}");
    expect_text(peer, "\"op\":\"add-query-ok\"");
    hang_up(peer);
}

static void test_not_json(void **state) {
    struct peer *peer = open_session(*state);
    static const char *const texts[] = {"", "x", "\"x\"", "1", "[]", "null", "{}", "{\"op\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        send_text(peer, texts[i]);
        expect_text(peer, "Invalid op");
    }
    send_frame(peer, FIN | BINARY, "{\"op\":\"init\"}", 13);
    expect_text(peer, "Invalid op");
    hang_up(peer);
}

static void test_fragments_and_pings(void **state) {
    struct peer *peer = open_session(*state);
    char text[256];
    size_t len;
    send_frame(peer, TEXT, "{\"op\":", 6);
    send_frame(peer, FIN | PING, "between", 7);
    assert_int_equal(read_answer(peer, text, sizeof text, &len), FIN | PONG);
    assert_string_equal(text, "between");
    send_frame(peer, 0, "", 0);
    send_frame(peer, FIN, "\"x\"}", 4);
    expect_text(peer, "Invalid op");
    hang_up(peer);
}

static void test_broken_utf8(void **state) {
    struct peer *peer = open_session(*state);
    send_frame(peer, FIN | TEXT, "a\xed\xa0\x80z", 5);
    expect_close(peer, 1007);
    hang_up(peer);
    /* over fragments, and in the middle of a frame: at the first byte that cannot be mended */
    peer = open_session(*state);
    send_frame(peer, TEXT, "a\xf4", 2);
    send_frame(peer, 0, "\x90", 1);
    expect_close(peer, 1007);
    hang_up(peer);
    /* a text that ends inside a character; the next one begins afresh */
    peer = open_session(*state);
    send_frame(peer, TEXT, "\xce", 1);
    send_frame(peer, FIN, "\xba", 1);
    expect_text(peer, "param-malformed");
    send_frame(peer, FIN | TEXT, "\xce", 1);
    expect_close(peer, 1007);
    hang_up(peer);
    /* a binary message is not looked at, a close reason is */
    peer = open_session(*state);
    send_frame(peer, FIN | BINARY, "\xff\xfe", 2);
    expect_text(peer, "param-malformed");
    send_frame(peer, FIN | CLOSE, "\x03\xe8\xed\xa0\x80", 5);
    char text[256];
    size_t len;
    assert_int_equal(read_answer(peer, text, sizeof text, &len), -1);
    hang_up(peer);
}

static void test_too_large(void **state) {
    char *bytes = malloc(MAX_MESSAGE + 1);
    assert_non_null(bytes);
    memset(bytes, ' ', MAX_MESSAGE + 1);
    struct peer *peer = open_session(*state);
    send_frame(peer, FIN | TEXT, bytes, MAX_MESSAGE);
    expect_text(peer, "Invalid op");
    send_frame(peer, TEXT, bytes, MAX_MESSAGE);
    send_frame(peer, FIN, bytes, 1);
    expect_close(peer, 1009);
    hang_up(peer);
    peer = open_session(*state);
    send_frame(peer, FIN | TEXT, bytes, MAX_MESSAGE + 1);
    expect_close(peer, 1009);
    hang_up(peer);
    /* A length that only a header announces. */
    static const unsigned char huge[] = {FIN | TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff,       0xff, 0,    0,    0,    0,    'a'};
    peer = open_session(*state);
    send_all(peer, huge, sizeof huge);
    /* Without waiting for the end: an answer would only be more of the frame's payload. */
    char text[256];
    size_t len;
    assert_int_equal(read_answer(peer, text, sizeof text, &len), FIN | CLOSE);
    assert_int_equal((unsigned char)text[0] << 8 | (unsigned char)text[1], 1009);
    hang_up(peer);
    free(bytes);
}

static void test_bad_frames(void **state) {
    static const struct {
        int first;
        const char *bytes;
        size_t len;
    } rows[] = {
        {FIN | 0x40 | TEXT, "x", 1},
        {FIN | 3, "", 0},
        {FIN | 11, "x", 1},
        {FIN, "x", 1},
        {CLOSE, "", 0},
        {FIN | CLOSE, "a", 1},
        {FIN | CLOSE, "\x03\xed", 2},
        {FIN | CLOSE, "\0\0", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer *peer = open_session(*state);
        send_frame(peer, rows[i].first, rows[i].bytes, rows[i].len);
        expect_close(peer, 1002);
        hang_up(peer);
    }
}

static void test_close(void **state) {
    struct peer *peer = open_session(*state);
    struct world *world = *state;
    assert_int_equal(inst_ws_server_connections(world->server), 1);
    send_frame(peer, FIN | CLOSE, "\x03\xe8", 2);
    expect_close(peer, 1000);
    assert_int_equal(inst_ws_server_connections(world->server), 0);
    hang_up(peer);
    peer = open_session(*state);
    assert_int_equal(inst_ws_server_connections(world->server), 1);
    int64_t stop = now(peer) + LIMIT_MS;
    close(peer->fd);
    while (inst_ws_server_connections(world->server) > 0) {
        inst_loop_step(world->loop);
        assert_true(now(peer) < stop);
    }
    free(peer);
}

/* ---- liveness and limits ---- */

static void test_silent_peer_is_dropped(void **state) {
    struct peer *peer = open_session(*state);
    char text[256];
    size_t len;
    int pings = 0;
    int64_t start = now(peer);
    while (read_frame(peer, text, sizeof text, &len) == (FIN | PING))
        pings++;
    assert_true(peer->is_eof);
    assert_true(pings >= 2);
    assert_in_range(now(peer) - start, 80, LIMIT_MS);
    hang_up(peer);
}

static void test_answering_peer_is_kept(void **state) {
    struct peer *peer = open_session(*state);
    char text[256];
    size_t len;
    int64_t start = now(peer);
    while (now(peer) - start < 300) {
        assert_int_equal(read_frame(peer, text, sizeof text, &len), FIN | PING);
        send_frame(peer, FIN | PONG, text, len); /* as every client answers */
    }
    send_text(peer, "x");
    expect_text(peer, "Invalid op");
    hang_up(peer);
}

/* A message that the server answers with as many bytes, in one frame; freed by the caller. */
static char *make_echoed(size_t *len) {
    static const unsigned char head[] = {FIN | TEXT, 0x80 | 126, 60000 >> 8, 60000 & 0xff};
    char *frame = malloc(60008);
    assert_non_null(frame);
    memset(frame, 'x', 60008);
    memcpy(frame, head, sizeof head);
    memset(frame + 4, 0, 4);
    memcpy(frame + 8, "{\"op\":\"", 7);
    memcpy(frame + 60006, "\"}", 2);
    *len = 60008;
    return frame;
}

/* Sends on from where it was in the frame, as much as the socket takes; reads nothing. */
static void push(struct peer *peer, const char *frame, size_t len, size_t *at) {
    ssize_t n = send(peer->fd, frame + *at, len - *at, MSG_NOSIGNAL);
    if (n > 0)
        *at = (*at + (size_t)n) % len;
}

/* Asks for more than it reads until the server has enough of it; another one goes on meanwhile. */
static void test_reader_that_stopped_is_dropped(void **state) {
    struct world *world = *state;
    struct peer *slow = open_session(world), *other = open_session(world);
    int small = 4096;
    setsockopt(slow->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t len, at = 0;
    char *frame = make_echoed(&len);
    size_t connections = inst_ws_server_connections(world->server);
    int64_t stop = now(slow) + 4 * LIMIT_MS;
    while (inst_ws_server_connections(world->server) == connections) {
        push(slow, frame, len, &at);
        send_text(other, "x");
        expect_text(other, "Invalid op");
        assert_true(now(slow) < stop);
    }
    free(frame);
    hang_up(slow);
    hang_up(other);
}

/* The same with nobody else there: what is waiting for its socket must not keep it alive. */
static void test_blocked_silent_peer_is_dropped(void **state) {
    struct world *world = *state;
    struct peer *peer = open_session(world);
    int small = 4096;
    setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t len, at = 0;
    char *frame = make_echoed(&len);
    int64_t stop = now(peer) + 4 * LIMIT_MS;
    while (inst_ws_server_connections(world->server) > 0) {
        push(peer, frame, len, &at);
        inst_loop_step(world->loop);
        assert_true(now(peer) < stop);
    }
    free(frame);
    hang_up(peer);
}

static void on_closed(void *ctx) { ((struct world *)ctx)->is_closed = true; }

static void test_server_says_goodbye(void **state) {
    struct world *world = *state;
    struct peer *peer = open_session(world);
    inst_ws_server_close(world->server, on_closed, world);
    expect_close(peer, 1001);
    int64_t stop = now(peer) + LIMIT_MS;
    while (!world->is_closed && now(peer) < stop)
        inst_loop_step(world->loop);
    assert_true(world->is_closed);
    hang_up(peer);
}

/* ---- HTTP beside it ---- */

static void expect_http(struct peer *peer, const char *request, const char *const *parts) {
    send_all(peer, request, strlen(request));
    int64_t stop = now(peer) + LIMIT_MS;
    for (; *parts; parts++) {
        for (;;) {
            peer->in[peer->len] = '\0';
            if (strstr(peer->in, *parts))
                break;
            if (now(peer) >= stop || peer->is_eof)
                fail_msg("no %s in %s", *parts, peer->in);
            turn(peer);
        }
    }
}

static void test_http(void **state) {
    struct peer *peer = dial(*state);
    expect_http(peer, "GET /nothing HTTP/1.1\r\nHost: a\r\nOrigin: http://x\r\n\r\n",
                (const char *[]){"HTTP/1.1 404", "Access-Control-Allow-Origin: http://x\r\n",
                                 "application/json", "couldn't match this route", NULL});
    peer->len = 0;
    expect_http(peer,
                "OPTIONS /admin/query HTTP/1.1\r\nHost: a\r\nOrigin: null\r\n"
                "Access-Control-Request-Headers: app-id, authorization\r\n\r\n",
                (const char *[]){"HTTP/1.1 200", "Access-Control-Allow-Origin: null\r\n",
                                 "Access-Control-Allow-Headers: app-id, authorization\r\n",
                                 "GET, PUT, POST, DELETE", "Max-Age: 600", NULL});
    peer->len = 0;
    expect_http(peer, "GET /runtime/session HTTP/1.1\r\nHost: a\r\n\r\nGET /probe HTTP/1.1\r\n",
                (const char *[]){"HTTP/1.1 426", "Connection: close", NULL});
    while (!peer->is_eof)
        turn(peer);
    peer->in[peer->len] = '\0';
    assert_null(strstr(peer->in + 10, "HTTP/1.1"));
    hang_up(peer);
}

static void test_smuggled_request_is_not_answered(void **state) {
    struct peer *peer = dial(*state);
    expect_http(peer,
                "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
                "\r\n0\r\n\r\nGET /probe HTTP/1.1\r\nHost: a\r\n\r\n",
                (const char *[]){"HTTP/1.1 400", NULL});
    while (!peer->is_eof)
        turn(peer);
    peer->in[peer->len] = '\0';
    assert_null(strstr(peer->in + 10, "HTTP/1.1"));
    hang_up(peer);
}

static void test_port_in_use(void **state) {
    struct world *world = *state;
    struct inst_err err = {0};
    struct inst_ws_server *second = NULL;
    struct inst_ws_server_config config = {.port = inst_ws_server_port(world->server)};
    assert_int_equal(inst_ws_server_new(world->loop, world->backend, &config, &second, &err),
                     INST_FAILED);
    assert_string_equal(err.type, "address-in-use");
    assert_non_null(strstr(err.message, "already in use"));
    inst_err_clear(&err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_session, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_not_json, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_fragments_and_pings, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_broken_utf8, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_bad_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_silent_peer_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answering_peer_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_stopped_is_dropped, setup_patient,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_blocked_silent_peer_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_says_goodbye, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_http, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_smuggled_request_is_not_answered, setup_patient,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_port_in_use, setup_patient, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
