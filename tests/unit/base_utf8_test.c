/* UTF-8 in pieces, against the reader of whole texts: all short sequences, and all code points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "base/utf8.h"

#include <string.h>

static bool is_utf8(const char *bytes, size_t len, size_t piece) {
    struct inst_utf8 state = {0};
    for (size_t at = 0; at < len; at += piece) {
        if (!inst_utf8_feed(&state, bytes + at, len - at < piece ? len - at : piece)) {
            return false;
        }
    }
    return inst_utf8_is_whole(&state);
}

static void check(const char *bytes, size_t len) {
    bool wanted = inst_text_is_utf8(bytes, len);
    for (size_t piece = 1; piece <= len + 1; piece++) {
        if (is_utf8(bytes, len, piece) != wanted) {
            fail_msg("%02x %02x %02x, %zu", (unsigned char)bytes[0], (unsigned char)bytes[1],
                     (unsigned char)bytes[2], len);
        }
    }
}

static void short_sequences(void **state) {
    (void)state;
    char bytes[4] = "";
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bytes[0] = (char)a;
            bytes[1] = (char)b;
            check(bytes, 1);
            check(bytes, 2);
        }
    }
    static const unsigned char starts[] = {0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5};
    for (size_t i = 0; i < sizeof starts; i++) {
        for (int b = 0; b < 256; b++) {
            for (int c = 0x7e; c < 0xc2; c++) {
                bytes[0] = (char)starts[i];
                bytes[1] = (char)b;
                bytes[2] = (char)c;
                bytes[3] = (char)0x80;
                check(bytes, 3);
                check(bytes, 4);
            }
        }
    }
}

static void code_points(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 17) {
        char bytes[8];
        check(bytes, inst_text_put(bytes, c));
    }
}

static void refused_at_the_first_byte(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t at; /* the byte that cannot be, from 1 */
    } cases[] = {{"\xf4\x90", 2}, {"\xed\xa0", 2}, {"\xe0\x80", 2}, {"\xc0", 1},
                 {"\xff", 1},     {"ab\x80", 3},   {"\xce z", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct inst_utf8 s = {0};
        for (size_t n = 1; n <= cases[i].at; n++) {
            assert_int_equal(inst_utf8_feed(&s, cases[i].bytes + n - 1, 1), n < cases[i].at);
        }
    }
}

static void long_texts(void **state) {
    (void)state;
    static char text[100003];
    memset(text, 'a', sizeof text);
    assert_true(is_utf8(text, sizeof text, sizeof text));
    for (size_t at = 0; at < 40; at++) {
        memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        for (size_t piece = 1; piece < 20; piece++) {
            assert_true(is_utf8(text, 100, piece));
        }
        text[at + 3] = 'a';
        assert_false(is_utf8(text, sizeof text, sizeof text));
        memset(text, 'a', 50);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_sequences),
        cmocka_unit_test(code_points),
        cmocka_unit_test(refused_at_the_first_byte),
        cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
