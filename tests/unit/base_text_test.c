#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void test_every_code_point_comes_back(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char text[4];
        size_t n = inst_text_put(text, c);
        size_t pos = 0;
        assert_int_equal(inst_text_next(text, n, &pos), c);
        assert_int_equal(pos, n);
        assert_int_equal(inst_text_is_utf8(text, n), c < 0xD800 || c > 0xDFFF);
        assert_int_equal(inst_text_utf16_len(text, n), c < 0x10000 ? 1 : 2);
        /* Cut anywhere it is broken. */
        for (size_t cut = 1; cut < n; cut++) {
            pos = 0;
            assert_int_equal(inst_text_next(text, cut, &pos), 0xFFFD);
            assert_int_equal(pos, 1);
            assert_false(inst_text_is_utf8(text, cut));
        }
    }
}

static void test_broken_bytes(void **state) {
    (void)state;
    static const char *const broken[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xFE",
        "\xC3(",
        "\xE2\x82(",
        "\xF0\x9F\x98(",
    };
    for (size_t i = 0; i < COUNT(broken); i++) {
        size_t pos = 0;
        assert_int_equal(inst_text_next(broken[i], strlen(broken[i]), &pos), 0xFFFD);
        assert_int_equal(pos, 1);
        char padded[32];
        int n = snprintf(padded, sizeof(padded), "0123456789%sabcdefgh", broken[i]);
        assert_false(inst_text_is_utf8(padded, (size_t)n));
    }
    assert_true(inst_text_is_utf8("", 0));
    assert_true(inst_text_is_utf8("0123456\xC3\xA9"
                                  "89",
                                  11));
}

static void collect(void *ctx, uint16_t unit) {
    uint16_t **end = ctx;
    *(*end)++ = unit;
}

static void test_units(void **state) {
    (void)state;
    uint16_t units[8];
    uint16_t *end = units;
    const char *text = "a\xC3\xA9\xF0\x9F\x98\x80\xED\xA0\xBD!";
    inst_text_each_unit(text, strlen(text), collect, &end);
    static const uint16_t want[] = {'a', 0xE9, 0xD83D, 0xDE00, 0xD83D, '!'};
    assert_int_equal(end - units, COUNT(want));
    assert_memory_equal(units, want, sizeof(want));
    assert_int_equal(inst_text_utf16_len(text, strlen(text)), COUNT(want));
}

static int compare_units(const uint16_t *a, size_t a_len, const uint16_t *b, size_t b_len) {
    for (size_t i = 0; i < a_len && i < b_len; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return (a_len > b_len) - (a_len < b_len);
}

static int sign(int n) { return (n > 0) - (n < 0); }

/* Random strings over the code points where byte order and code unit order part. */
static void test_cmp_against_units(void **state) {
    (void)state;
    static const uint32_t alphabet[] = {'a',    'b',    0x7F,    0xE9,    0x7FF,   0x800,
                                        0xD7FF, 0xD800, 0xDBFF,  0xDC00,  0xDFFF,  0xE000,
                                        0xFFFD, 0xFFFF, 0x10000, 0x103FF, 0x10400, 0x10FFFF};
    srand(7);
    for (int round = 0; round < 200000; round++) {
        char text[2][32];
        size_t len[2] = {0, 0};
        uint16_t units[2][16];
        size_t count[2];
        for (int side = 0; side < 2; side++) {
            int n = rand() % 5;
            for (int i = 0; i < n; i++) {
                len[side] += inst_text_put(text[side] + len[side],
                                           alphabet[(size_t)rand() % COUNT(alphabet)]);
            }
            uint16_t *end = units[side];
            inst_text_each_unit(text[side], len[side], collect, &end);
            count[side] = (size_t)(end - units[side]);
        }
        int want = compare_units(units[0], count[0], units[1], count[1]);
        assert_int_equal(sign(inst_text_cmp_utf16(text[0], len[0], text[1], len[1])), want);
        assert_int_equal(sign(inst_text_cmp_utf16(text[1], len[1], text[0], len[0])), -want);
    }
}

static void test_hash(void **state) {
    (void)state;
    char bytes[64];
    uint64_t hashes[65];
    memset(bytes, 0, sizeof(bytes));
    for (size_t n = 0; n <= 64; n++) {
        hashes[n] = inst_text_hash(bytes, n, 1);
        assert_int_equal(inst_text_hash(bytes, n, 1), hashes[n]);
        assert_int_not_equal(inst_text_hash(bytes, n, 2), hashes[n]);
        for (size_t k = 0; k < n; k++) {
            assert_int_not_equal(hashes[k], hashes[n]);
        }
    }
    /* Each input bit flips about half of the output bits. */
    uint64_t flipped = 0;
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        flipped += (uint64_t)__builtin_popcountll(inst_text_hash(bytes, 64, 1) ^ hashes[64]);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_in_range(flipped / 512, 31, 33);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point_comes_back),
        cmocka_unit_test(test_broken_bytes),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_cmp_against_units),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
