/* Bodies in chunks: conformance/http.md 37-40 as a table, each row whole and cut anywhere. */
#include "base/buf.h"
#include "io/http_chunked.h"
#include "io/http_forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads text in pieces of step bytes; body gets the data, *rest what is behind the end. */
static enum inst_chunked_result decode(const char *text, size_t len, size_t step,
                                       struct inst_buf *body, size_t *rest) {
    struct inst_chunked chunked = {0};
    enum inst_chunked_result result = INST_CHUNKED_MORE;
    *rest = len;
    for (size_t from = 0; from < len && result == INST_CHUNKED_MORE; from += step) {
        size_t n = len - from < step ? len - from : step;
        char *bytes = malloc(n); /* of its own, so that reading on is seen */
        assert_non_null(bytes);
        memcpy(bytes, text + from, n);
        const char *at = bytes;
        struct inst_slice data;
        while ((result = inst_chunked_next(&chunked, &at, bytes + n, &data)) == INST_CHUNKED_DATA)
            inst_buf_add(body, data.str, data.len);
        *rest = len - from - (size_t)(at - bytes);
        free(bytes);
    }
    return result;
}

static void expect(enum inst_chunked_result wanted, const char *text, const char *body) {
    size_t len = strlen(text), rest;
    for (size_t step = 1; step <= len; step++) {
        struct inst_buf got;
        inst_buf_init(&got);
        enum inst_chunked_result result = decode(text, len, step, &got, &rest);
        if (result != wanted)
            fail_msg("%d in place of %d for (step %zu): %s", result, wanted, step, text);
        if (body)
            assert_string_equal(got.data ? got.data : "", body);
        if (wanted == INST_CHUNKED_END)
            assert_int_equal(rest, strlen(strstr(text, "REST") ? strstr(text, "REST") : ""));
        inst_buf_free(&got);
    }
}

static void test_accepted(void **state) {
    (void)state;
    expect(INST_CHUNKED_END, "0\r\n\r\n", "");
    expect(INST_CHUNKED_END, "5\r\nhello\r\n0\r\n\r\n", "hello");
    expect(INST_CHUNKED_END, "5\r\nhello\r\n0\r\n\r\nREST of it", "hello");
    expect(INST_CHUNKED_END, "A\r\n0123456789\r\na\r\nabcdefghij\r\n00\r\n\r\n",
           "0123456789abcdefghij");
    expect(INST_CHUNKED_END, "005\r\nhello\r\n0\r\n\r\n", "hello");
    expect(INST_CHUNKED_END, "5;ext=1;b=\"x y\"\r\nhello\r\n0;z\r\n\r\n", "hello");
    expect(INST_CHUNKED_END, "5\r\nhello\r\n0\r\nContent-Length: 7\r\nX:\r\n\r\nREST", "hello");
    expect(INST_CHUNKED_END, "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n");
}

static void test_incomplete(void **state) {
    (void)state;
    expect(INST_CHUNKED_MORE, "5", "");
    expect(INST_CHUNKED_MORE, "5\r\nhel", "hel");
    expect(INST_CHUNKED_MORE, "5\r\nhello\r\n0\r\n", "hello");
    expect(INST_CHUNKED_MORE, "5\r\nhello\r\n0\r\nA: b\r\n", "hello");
    expect(INST_CHUNKED_MORE, "ffffffffffffffff\r\nx", "x");
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\r\nhello\r\n",
        "g\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5 ;a\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "00000000000000005\r\nhello\r\n",
        "5\nhello\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\nb\r\n",
        "5;a\x01\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\nX: a\nY: b\r\n\r\n",
        "0\r\n\rX",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(INST_CHUNKED_REFUSE, bad[i], NULL);
}

static void test_too_much_beside_the_body(void **state) {
    (void)state;
    static const char *const begins[] = {"5;a=", "5\r\nhello\r\n0\r\nX: "};
    for (size_t i = 0; i < 2; i++) {
        struct inst_buf text, body;
        size_t rest;
        inst_buf_init(&text);
        inst_buf_init(&body);
        inst_buf_add_str(&text, begins[i]);
        for (int n = 0; n < INST_CHUNKED_MAX_EXTRA; n++)
            inst_buf_add_char(&text, 'a');
        assert_int_equal(decode(text.data, text.len, 1000, &body, &rest), INST_CHUNKED_LONG);
        inst_buf_free(&text);
        inst_buf_free(&body);
    }
}

static void test_small_chunks(void **state) {
    (void)state;
    struct inst_buf text, body;
    size_t rest;
    inst_buf_init(&text);
    inst_buf_init(&body);
    for (int n = 0; n < 1 << 20; n++)
        inst_buf_addf(&text, "1\r\n%c\r\n", 'a' + n % 26);
    inst_buf_add_str(&text, "0\r\n\r\n");
    assert_int_equal(decode(text.data, text.len, 1000, &body, &rest), INST_CHUNKED_END);
    assert_int_equal(body.len, 1 << 20);
    for (size_t n = 0; n < body.len; n++)
        assert_int_equal(body.data[n], 'a' + n % 26);
    inst_buf_free(&text);
    inst_buf_free(&body);
}

/* ---- who asks (http_forwarded.h) ---- */

static void test_client_ip(void **state) {
    (void)state;
    static const struct {
        const char *fields;
        unsigned hops;
        const char *ip;
    } rows[] = {
        {"X-Forwarded-For: 1.2.3.4\r\n", 0, "9.9.9.9"},
        {"X-Forwarded-For: 1.2.3.4\r\n", 1, "1.2.3.4"},
        {"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", 1, "1.2.3.4"},
        {"X-Forwarded-For: 6.6.6.6 , 1.2.3.4,5.6.7.8\r\n", 2, "1.2.3.4"},
        {"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n", 2, "1.2.3.4"},
        {"X-Forwarded-For: 6.6.6.6\r\n", 2, "9.9.9.9"},
        {"X-Forwarded-For: unknown\r\n", 1, "9.9.9.9"},
        {"X-Forwarded-For:\r\n", 1, "9.9.9.9"},
        {"X-Forwarded-For: 1.2.3.4,\r\n", 1, "9.9.9.9"},
        {"X-Forwarded-For: 1.2.3.4:5678\r\n", 1, "1.2.3.4"},
        {"X-Forwarded-For: 2001:DB8:0::1\r\n", 1, "2001:db8::1"},
        {"X-Forwarded-For: [2001:db8::1]:443\r\n", 1, "2001:db8::1"},
        {"X-Forwarded-For: ::ffff:1.2.3.4\r\n", 1, "1.2.3.4"},
        {"X-Forwarded-For: [1.2.3.4\r\n", 1, "9.9.9.9"},
        {"", 1, "9.9.9.9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct inst_head_scan scan = {0};
        struct inst_http_head head;
        size_t head_len;
        int status;
        char text[256], ip[INST_IP_TEXT] = "", peer[INST_IP_TEXT] = "9.9.9.9";
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i].fields);
        assert_int_equal(inst_http_head_parse(&scan, text, (size_t)n, &head, &head_len, &status),
                         INST_HEAD_DONE);
        inst_http_client_ip(&head, rows[i].hops, peer, ip);
        assert_string_equal(ip, rows[i].ip);
    }
}

static void test_client_scheme(void **state) {
    (void)state;
    static const struct {
        const char *fields;
        unsigned hops;
        const char *scheme;
    } rows[] = {
        {"X-Forwarded-Proto: https\r\n", 0, NULL},
        {"X-Forwarded-Proto: https\r\n", 1, "https"},
        {"x-forwarded-proto: HTTP \r\n", 1, "http"},
        {"X-Forwarded-Proto: https\r\n", 3, "https"},
        {"X-Forwarded-Proto: https, http\r\n", 1, "http"},
        {"X-Forwarded-Proto: https, http\r\n", 2, "https"},
        {"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", 1, "https"},
        {"X-Forwarded-Proto: javascript\r\n", 1, NULL},
        {"X-Forwarded-Proto:\r\n", 1, NULL},
        {"", 1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct inst_head_scan scan = {0};
        struct inst_http_head head;
        size_t head_len;
        int status;
        char text[256];
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i].fields);
        assert_int_equal(inst_http_head_parse(&scan, text, (size_t)n, &head, &head_len, &status),
                         INST_HEAD_DONE);
        const char *scheme = inst_http_client_scheme(&head, rows[i].hops);
        assert_string_equal(scheme ? scheme : "none", rows[i].scheme ? rows[i].scheme : "none");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_too_much_beside_the_body),
        cmocka_unit_test(test_small_chunks),  cmocka_unit_test(test_client_ip),
        cmocka_unit_test(test_client_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
