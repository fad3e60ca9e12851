/* Event streams, read in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/event_in.h"

#include <stdlib.h>
#include <string.h>

struct seen {
    char text[4096];
    int left; /* events that are taken */
};

static bool on_event(void *ctx, const char *data, size_t len) {
    struct seen *seen = ctx;
    strcat(seen->text, "[");
    strncat(seen->text, data, len);
    strcat(seen->text, "]");
    return --seen->left > 0;
}

static bool read_in(const char *stream, size_t piece, size_t max, struct seen *seen, int left) {
    struct inst_event_in in = {.max = max};
    size_t len = strlen(stream);
    bool goes_on = true;
    *seen = (struct seen){.left = left};
    for (size_t at = 0; goes_on && at < len; at += piece)
        goes_on = inst_event_in_read(&in, stream + at, len - at < piece ? len - at : piece,
                                     on_event, seen);
    inst_event_in_free(&in);
    return goes_on;
}

static void events(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"data: {\"a\":1}\n\n", "[{\"a\":1}]"},
        {"data:x\n\ndata:  y\n\n", "[x][ y]"},
        {"data: a\ndata: b\n\n", "[a\nb]"},
        {"data\n\n", "[]"},
        {"data:\ndata\n\n", "[\n]"},
        {"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", "[a][b][c]"},
        {":\n\n: data: x\n\n\n\n", ""},
        {"event: e\nid: 1\nretry: 500\ndata: x\nother\n\n", "[x]"},
        {"event: e\n\n", ""},
        {"datax: 1\ndat: 2\n data: 3\nData: 4\n\n", ""},
        {"data: never ended\n", ""},
        {"data: a\n\ndata: b", "[a]"},
        {"", ""},
    };
    struct seen seen;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            assert_true(read_in(cases[i][0], piece, 1000, &seen, 100));
            assert_string_equal(seen.text, cases[i][1]);
        }
    }
}

static void limits(void **state) {
    (void)state;
    struct seen seen;
    for (size_t piece = 1; piece < 20; piece++) {
        assert_true(read_in("data: 12345\n\n", piece, 11, &seen, 100));
        assert_string_equal(seen.text, "[12345]");
        assert_false(read_in("data: 1\ndata: 2\ndata: 3\n\n", piece, 4, &seen, 100));
        assert_string_equal(seen.text, "");
        /* a line without end takes no more memory than that */
        assert_false(read_in("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", piece, 20, &seen, 100));
    }
}

static void may_be_ended(void **state) {
    (void)state;
    struct seen seen;
    assert_false(read_in("data: a\n\ndata: b\n\ndata: c\n\n", 100, 1000, &seen, 2));
    assert_string_equal(seen.text, "[a][b]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(limits),
        cmocka_unit_test(may_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
