/* Request heads: conformance/http.md 1-3 as a table, each row whole, cut anywhere, byte by byte. */
#include "io/http_answer.h"
#include "io/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 0: accepted, else the status it is refused with; -1: more is needed. */
static int parse(const char *text, size_t len, size_t step, struct inst_http_head *head) {
    struct inst_head_scan scan = {0};
    size_t head_len;
    int status;
    /* In its own allocation, cut where the input is cut: reading on is seen. */
    for (size_t n = step < len ? step : len;; n = n + step < len ? n + step : len) {
        char *bytes = malloc(n ? n : 1);
        assert_non_null(bytes);
        memcpy(bytes, text, n);
        enum inst_head_result result =
            inst_http_head_parse(&scan, bytes, n, head, &head_len, &status);
        free(bytes);
        if (result == INST_HEAD_DONE)
            return 0;
        if (result == INST_HEAD_REFUSE)
            return status;
        if (n == len)
            return -1;
    }
}

static void expect(int status, const char *text) {
    size_t len = strlen(text);
    struct inst_http_head head;
    for (size_t step = 1; step <= len; step += step < 8 ? 1 : len / 7 + 1) {
        int got = parse(text, len, step, &head);
        if (got != status)
            fail_msg("%d in place of %d for (step %zu): %s", got, status, step, text);
    }
}

#define HOST "Host: a\r\n"

static void test_accepted(void **state) {
    (void)state;
    expect(0, "GET / HTTP/1.1\r\n" HOST "\r\n");
    expect(0, "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    expect(0, "GET / HTTP/1.0\r\n\r\n");
    expect(0, "GET http://a/x HTTP/1.1\r\n" HOST "\r\n");
    expect(0, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    expect(0, "GET /?a=1&b HTTP/1.1\r\n" HOST "\r\n");
    expect(0, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    expect(0, "GET / HTTP/1.1\r\nHost:a:80\r\nX_y: \t v \t\r\nE:\r\n\r\n");
    expect(0, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 005\r\n\r\n");
    expect(0, "PUT / HTTP/1.1\r\n" HOST "path: photos/\xc3\xbc \xe9.png\r\n\r\n");
}

static void test_incomplete(void **state) {
    (void)state;
    expect(-1, "");
    expect(-1, "GET / HTTP/1.1\r\nHost: a\r\n");
    expect(-1, "GET / HTTP/1.1\r\nHost: a\r\n\r");
}

static void test_lines(void **state) {
    (void)state;
    expect(400, "GET / HTTP/1.1\nHost: a\n\n");
    expect(400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\n b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "abc\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "a b: c\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "a(: c\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "\xc3\xa9: c\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\x0b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n");
    expect(400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    struct inst_http_head head;
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    assert_int_equal(parse(nul, sizeof nul - 1, 1, &head), 400);
}

static void test_request_line(void **state) {
    (void)state;
    expect(400, "GET  / HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET /\r\n" HOST "\r\n");
    expect(400, "GET / HTTP/1\r\n" HOST "\r\n");
    expect(400, "GET / HTTQ/1.1\r\n" HOST "\r\n");
    expect(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
    expect(400, "GET x HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET // HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET  HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET a:80 HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET /#f HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "GET * HTTP/1.1\r\n" HOST "\r\n");
    expect(400, "G(T / HTTP/1.1\r\n" HOST "\r\n");
}

static void test_lengths(void **state) {
    (void)state;
    static const char *const bad[] = {"",    "+5", "-5",  "0x5",  "5a",
                                      "5 5", "5;", "1e1", "5, 6", "\xef\xbc\x95"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "PUT / HTTP/1.1\r\n" HOST "Content-Length: %s\r\n\r\n", bad[i]);
        expect(400, text);
    }
    expect(413, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n");
    expect(413, "PUT / HTTP/1.1\r\n" HOST
                "Content-Length: 9999999999999999999999999999999999999999\r\n\r\n");
    expect(400, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
    expect(400, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\ncontent-length: 50\r\n\r\n");
    expect(400,
           "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect(400,
           "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
    expect(0, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: \r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n");
    expect(400, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n");
    expect(400, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n");
    expect(501, "PUT / HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect(501, "PUT / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    struct inst_http_head head;
    const char *big = "PUT / HTTP/1.1\r\n" HOST "Content-Length: 4294967301\r\n\r\n";
    assert_int_equal(parse(big, strlen(big), 1, &head), 0);
    assert_true(head.content_length == 4294967301u);
}

static void test_hosts(void **state) {
    (void)state;
    expect(400, "GET / HTTP/1.1\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n");
    expect(400, "GET / HTTP/1.1\r\n" HOST "app-id: a\r\nApp-Id: b\r\n\r\n");
    expect(417, "PUT / HTTP/1.1\r\n" HOST "Expect: x\r\nContent-Length: 1\r\n\r\n");
}

/* "GET /" and so many letters. */
static char *long_target(size_t letters) {
    char *text = malloc(letters + 64);
    assert_non_null(text);
    strcpy(text, "GET /");
    memset(text + 5, 'a', letters);
    strcpy(text + 5 + letters, " HTTP/1.1\r\n" HOST "\r\n");
    return text;
}

static void test_limits(void **state) {
    (void)state;
    struct inst_http_head head;
    char *text = long_target(INST_HTTP_MAX_TARGET - 1);
    assert_int_equal(parse(text, strlen(text), 1000, &head), 0);
    free(text);
    text = long_target(INST_HTTP_MAX_TARGET);
    assert_int_equal(parse(text, strlen(text), 1000, &head), 414);
    free(text);
    text = long_target(1000000);
    assert_int_equal(parse(text, 100000, 1000, &head), 414);
    free(text);

    struct inst_buf buf;
    for (int count = INST_HTTP_MAX_FIELDS; count <= INST_HTTP_MAX_FIELDS + 1; count++) {
        inst_buf_init(&buf);
        inst_buf_add_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            inst_buf_add_str(&buf, "X: a\r\n");
        inst_buf_add_str(&buf, "\r\n");
        assert_int_equal(parse(buf.data, buf.len, 100, &head),
                         count > INST_HTTP_MAX_FIELDS ? 431 : 0);
        inst_buf_free(&buf);
    }
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < INST_HTTP_MAX_HEAD; i++)
        inst_buf_add_char(&buf, 'a');
    assert_int_equal(parse(buf.data, buf.len, 1000, &head), 431);
    inst_buf_free(&buf);
}

static void test_paths(void **state) {
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {
        {"/a", "/a"},
        {"/%72untime/%61uth", "/runtime/auth"},
        {"/a%2Fb%5c", "/a%2Fb%5c"},
        {"/%252e", "/%2e"},
        {"/%c3%bc", "/\xc3\xbc"},
        {"/a%20b", "/a b"},
        {"/%", NULL},
        {"/%2", NULL},
        {"/%zz", NULL},
        {"/%u0041", NULL},
        {"/%00", NULL},
        {"/%0d%0a", NULL},
        {"/%7f", NULL},
        {"/%c0%af", NULL},
        {"/%ed%a0%80", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        struct inst_slice path = {rows[i].in, strlen(rows[i].in)};
        assert_int_equal(inst_http_decode_path(&path, out), rows[i].out != NULL);
        if (rows[i].out)
            assert_string_equal(out, rows[i].out);
    }
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define SESSION "GET /runtime/session?app_id=x HTTP/1.1\r\n" HOST

static void test_handshakes(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {101, SESSION UPGRADE CONNECTION KEY VERSION "\r\n"},
        {101, SESSION "uPGRADE:WebSocket\r\nCONNECTION:keep-alive, upgrade\r\n" KEY VERSION "\r\n"},
        {101, SESSION UPGRADE "Connection: keep-alive\r\n" CONNECTION KEY VERSION "\r\n"},
        {101, SESSION UPGRADE CONNECTION KEY VERSION "Sec-WebSocket-Protocol: a, b\r\n\r\n"},
        {101, SESSION UPGRADE CONNECTION KEY VERSION "Sec-WebSocket-Extensions: ;;a=\r\n\r\n"},
        {0, "GET /other HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n"},
        {0, "OPTIONS /runtime/session HTTP/1.1\r\n" HOST "\r\n"},
        {426, SESSION "\r\n"},
        {426, SESSION "Upgrade: h2c\r\n" CONNECTION KEY VERSION "\r\n"},
        {426, SESSION "Upgrade: websocketx\r\n" CONNECTION KEY VERSION "\r\n"},
        {426, SESSION UPGRADE KEY VERSION "\r\n"},
        {426, SESSION UPGRADE "Connection: close\r\n" KEY VERSION "\r\n"},
        {426, SESSION UPGRADE "Connection: up\r\n" KEY VERSION "\r\n"},
        {426, "GET /runtime/session HTTP/1.0\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n"},
        {405, "POST /runtime/session HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "\r\n"},
        {400, SESSION UPGRADE CONNECTION VERSION "\r\n"},
        {400, SESSION UPGRADE CONNECTION KEY KEY VERSION "\r\n"},
        {400, SESSION UPGRADE CONNECTION "Sec-WebSocket-Key:\r\n" VERSION "\r\n"},
        {400,
         SESSION UPGRADE CONNECTION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" VERSION "\r\n"},
        {400, SESSION UPGRADE CONNECTION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n" VERSION
                                         "\r\n"},
        {400, SESSION UPGRADE CONNECTION KEY "\r\n"},
        {400, SESSION UPGRADE CONNECTION KEY "Sec-WebSocket-Version: abc\r\n\r\n"},
        {426, SESSION UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 12\r\n\r\n"},
        {426, SESSION UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 12\r\n\r\n"},
        {400, SESSION UPGRADE CONNECTION KEY VERSION "Content-Length: 5\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct inst_http_head head;
        size_t head_len;
        int status;
        struct inst_head_scan scan = {0};
        assert_int_equal(inst_http_head_parse(&scan, rows[i].text, strlen(rows[i].text), &head,
                                              &head_len, &status),
                         INST_HEAD_DONE);
        if (inst_ws_handshake(&head) != rows[i].status)
            fail_msg("%d in place of %d for %s", inst_ws_handshake(&head), rows[i].status,
                     rows[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),   cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_request_line),
        cmocka_unit_test(test_lengths),    cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_paths),
        cmocka_unit_test(test_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
