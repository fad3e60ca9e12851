/* Ranges and cache conditions of a file's answer: RFC 9110 13, 14 as a table. */
#include "io/http_range.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ETAG "\"abc\""

static void expect(uint64_t size, const char *fields, int status, uint64_t from, uint64_t len) {
    char text[1024];
    struct inst_http_head head;
    struct inst_head_scan scan = {0};
    size_t head_len;
    int refused;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    assert_int_equal(inst_http_head_parse(&scan, text, (size_t)n, &head, &head_len, &refused),
                     INST_HEAD_DONE);
    struct inst_http_part part = inst_http_part_of(&head, ETAG, size);
    if (part.status != status || part.from != from || part.len != len)
        fail_msg("%d %" PRIu64 "+%" PRIu64 " for %s", part.status, part.from, part.len, fields);
}

static void range(const char *spec, int status, uint64_t from, uint64_t len) {
    char field[256];
    snprintf(field, sizeof field, "Range: %s\r\n", spec);
    expect(10, field, status, from, len);
}

static void test_ranges(void **state) {
    (void)state;
    expect(10, "", 200, 0, 10);
    range("bytes=0-0", 206, 0, 1);
    range("bytes=0-9", 206, 0, 10);
    range("bytes=3-", 206, 3, 7);
    range("bytes=9-9", 206, 9, 1);
    range("bytes=9-100", 206, 9, 1);
    range("bytes=-1", 206, 9, 1);
    range("bytes=-10", 206, 0, 10);
    range("bytes=-11", 206, 0, 10);
    range("BYTES=1-2", 206, 1, 2);
    range("bytes= 1-2 ", 206, 1, 2);
    range("bytes=0-18446744073709551615", 206, 0, 10);
    range("bytes=0-99999999999999999999999", 206, 0, 10);
}

static void test_behind_the_end(void **state) {
    (void)state;
    range("bytes=10-", 416, 0, 0);
    range("bytes=10-12", 416, 0, 0);
    range("bytes=-0", 416, 0, 0);
    range("bytes=99999999999999999999999-", 416, 0, 0);
    expect(0, "Range: bytes=0-\r\n", 416, 0, 0);
    expect(0, "Range: bytes=-5\r\n", 416, 0, 0);
    expect(0, "", 200, 0, 0);
}

/* What is no range that we know is no range at all. */
static void test_ignored(void **state) {
    (void)state;
    static const char *const specs[] = {
        "bytes=",     "bytes=-",    "bytes=a-",        "bytes=0-a",   "bytes=5-3",
        "bytes=0-1,", "bytes=,0-1", "bytes=0-1,3-4",   "bytes=0-1 3", "bytes 0-1",
        "bytes=1",    "bytes=--1",  "bytes=+1-2",      "bytes=0x1-2", "items=0-1",
        "",           "bytes",      "bytes=0-1, 2-3 ", "bytes=-1-2",  "bytes=1-2-3",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        range(specs[i], 200, 0, 10);
    expect(10, "Range: bytes=0-1\r\nRange: bytes=2-3\r\n", 200, 0, 10);
}

static void test_conditions(void **state) {
    (void)state;
    expect(10, "If-Range: " ETAG "\r\nRange: bytes=1-2\r\n", 206, 1, 2);
    expect(10, "If-Range: W/" ETAG "\r\nRange: bytes=1-2\r\n", 200, 0, 10);
    expect(10, "If-Range: \"other\"\r\nRange: bytes=1-2\r\n", 200, 0, 10);
    expect(10, "If-None-Match: " ETAG "\r\n", 304, 0, 0);
    expect(10, "If-None-Match: \"x\", W/" ETAG "\r\nRange: bytes=1-2\r\n", 304, 0, 0);
    expect(10, "If-None-Match: *\r\n", 304, 0, 0);
    expect(10, "If-None-Match: \"x\" , ,\"y\"\r\n", 200, 0, 10);
    expect(10, "If-None-Match: abc\r\n", 200, 0, 10);
    assert_int_equal(inst_http_part_of(NULL, ETAG, 3).len, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
