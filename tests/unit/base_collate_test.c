/* Every order here is instaql.md 1.8's; the random part asks ICU itself. */
#include "base/collate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucol.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int sign(int n) { return (n > 0) - (n < 0); }

static int compare(struct inst_collator *collator, const char *a, const char *b) {
    int order = sign(inst_collator_compare(collator, a, strlen(a), b, strlen(b)));
    assert_int_equal(sign(inst_collator_compare(collator, b, strlen(b), a, strlen(a))), -order);
    return order;
}

static int open_collator(void **state) {
    struct inst_collator *collator = NULL;
    struct inst_err err = {0};
    if (inst_collator_new(&collator, &err) != INST_OK) {
        return -1;
    }
    *state = collator;
    return 0;
}

static int close_collator(void **state) {
    inst_collator_free(*state);
    return 0;
}

static void test_ascending(void **state) {
    static const char *const words[] = {
        "",
        " ",
        "_",
        "-",
        ",",
        "10",
        "2",
        "a",
        "A",
        "aa",
        "ab",
        "aB",
        "Ab",
        "AB",
        "b",
        "e",
        "\xC3\xA9" /* é */,
        "ea",
        "\xC3\xA9"
        "a",
        "ez",
        "ss",
        "\xC3\x9F" /* ß */,
        "z",
        "Z",
        "\xCE\xB1" /* alpha */,
        "\xD0\xB0" /* Cyrillic a */,
        "\xE4\xB8\x80" /* 一 */,
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        for (size_t k = 0; k < COUNT(words); k++) {
            assert_int_equal(compare(*state, words[i], words[k]), (i > k) - (i < k));
        }
    }
}

static void test_equal(void **state) {
    assert_int_equal(compare(*state, "\xC3\xA9", "e\xCC\x81"), 0);
    /* Controls are ignorable. */
    assert_int_equal(compare(*state, "ab",
                             "a\x01"
                             "b"),
                     0);
    assert_int_equal(inst_collator_compare(*state, "ab", 2, "a\0b", 3), 0);
    assert_int_equal(inst_collator_compare(*state, NULL, 0, NULL, 0), 0);
}

/* Whitespace controls and other characters take ICU's way; the order has no seam there. */
static void test_beside_the_fast_path(void **state) {
    assert_int_equal(compare(*state, "a\tb", "a b"), -1);
    assert_int_equal(compare(*state, "a\nb", "a\rb"), -1);
    assert_int_equal(compare(*state, "zz", "\xC3\xA9"), 1);
    assert_int_equal(compare(*state, "aB\xC3\xA9", "Ab\xC3\xA9"), -1);
}

static void test_lone_surrogates(void **state) {
    /* U+D800 and U+DFFF: different, and behind every letter. */
    assert_int_equal(compare(*state, "\xED\xA0\x80", "\xED\xBF\xBF"), -1);
    assert_int_equal(compare(*state, "\xED\xA0\x80", "z"), 1);
    assert_int_equal(compare(*state, "a\xED\xA0\x80", "a\xED\xA0\x80"), 0);
    char longer[2000];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer + 1997, "\xED\xA0\x80", 3);
    assert_int_equal(inst_collator_compare(*state, longer, 2000, longer, 1997), 1);
}

/* The fast path against ICU with the same bytes. */
static void test_ascii_against_icu(void **state) {
    UErrorCode code = U_ZERO_ERROR;
    UCollator *icu = ucol_open("en_US", &code);
    assert_true(U_SUCCESS(code));
    srand(11);
    for (int round = 0; round < 300000; round++) {
        char text[2][16];
        int32_t len[2];
        /* Half of the rounds use few characters, so that ties and prefixes happen. */
        bool few = round % 2;
        for (int side = 0; side < 2; side++) {
            len[side] = rand() % (few ? 5 : 16);
            for (int i = 0; i < len[side]; i++) {
                text[side][i] = few ? "aAbB-1 \\"[rand() % 8] : (char)(0x20 + rand() % 95);
            }
        }
        int want = ucol_strcollUTF8(icu, text[0], len[0], text[1], len[1], &code);
        int got = inst_collator_compare(*state, text[0], (size_t)len[0], text[1], (size_t)len[1]);
        assert_int_equal(sign(got), want);
    }
    /* And every pair of characters. */
    for (char a = 0x20; a < 0x7F; a++) {
        for (char b = 0x20; b < 0x7F; b++) {
            int want = ucol_strcollUTF8(icu, &a, 1, &b, 1, &code);
            assert_int_equal(sign(inst_collator_compare(*state, &a, 1, &b, 1)), want);
        }
    }
    assert_true(U_SUCCESS(code));
    ucol_close(icu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascending),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_beside_the_fast_path),
        cmocka_unit_test(test_lone_surrogates),
        cmocka_unit_test(test_ascii_against_icu),
    };
    return cmocka_run_group_tests(tests, open_collator, close_collator);
}
