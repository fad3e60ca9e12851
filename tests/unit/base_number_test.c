/* Expected texts are what a JavaScript engine prints for the same literal. */
#include "base/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void check_text(double num, const char *want) {
    char got[INST_NUMBER_TEXT_MAX];
    size_t n = inst_number_text(num, got);
    assert_string_equal(got, want);
    assert_int_equal(n, strlen(want));
}

static void test_text(void **state) {
    (void)state;
    static const struct {
        double num;
        const char *want;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1, "-1"},
        {123456789, "123456789"},
        {9007199254740991, "9007199254740991"},
        {9007199254740992, "9007199254740992"},
        {9007199254740994, "9007199254740994"},
        {123456789012345680, "123456789012345680"},
        {1e20, "100000000000000000000"},
        {999999999999999900000.0, "999999999999999900000"},
        {1e21, "1e+21"},
        {-1.5e21, "-1.5e+21"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {0.5, "0.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {3.14, "3.14"},
        {-273.15, "-273.15"},
        {19.99, "19.99"},
        {1234567.891, "1234567.891"},
        {0.000001, "0.000001"},
        {0.0000015, "0.0000015"},
        {1e-7, "1e-7"},
        {1.25e-7, "1.25e-7"},
        {0.00001234567, "0.00001234567"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {123456.7890625, "123456.7890625"},
        {999999999.999999, "999999999.999999"},
        {1e9 + 0.5, "1000000000.5"},
        {4.35, "4.35"},
        {5e-324, "5e-324"},
        {1e-323, "1e-323"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {2.225073858507201e-308, "2.225073858507201e-308"},
        /* Powers of two: the gap below is half the gap above. */
        {5.684341886080802e-14, "5.684341886080802e-14"},
        {9.5367431640625e-7, "9.5367431640625e-7"},
        {9.007199254740993e15, "9007199254740992"},
        {2.0769187434139311e34, "2.076918743413931e+34"},
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
        {NAN, "NaN"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_text(cases[i].num, cases[i].want);
    }
}

static double from_bits(uint64_t bits) {
    double num;
    memcpy(&num, &bits, sizeof(num));
    return num;
}

static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Digits of the mantissa as printed, without trailing zeros. */
static size_t count_digits(const char *text) {
    size_t count = 0;
    size_t zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text == '0' && count == 0) {
            continue;
        }
        if (*text >= '0' && *text <= '9') {
            count++;
            zeros = *text == '0' ? zeros + 1 : 0;
        }
    }
    return count - zeros;
}

/* It reads back, and nothing with fewer digits would. */
static void check_shortest(double num) {
    char text[INST_NUMBER_TEXT_MAX];
    char shorter[64];
    inst_number_text(num, text);
    assert_true(strtod(text, NULL) == num);
    size_t count = count_digits(text);
    if (count > 1) {
        snprintf(shorter, sizeof(shorter), "%.*e", (int)count - 2, num);
        assert_true(strtod(shorter, NULL) != num);
    }
}

static void test_text_random(void **state) {
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 50000; i++) {
        double num = from_bits(next_random(&seed));
        if (isfinite(num) && num != 0) {
            check_shortest(num);
        }
        check_shortest((double)(int64_t)(next_random(&seed) >> 20) / 1000 + 0.001);
        check_shortest((double)(next_random(&seed) % 1000000 + 1) / 1e8);
    }
    for (int e = -1074; e < 1024; e++) {
        check_shortest(ldexp(1, e));
    }
    for (uint64_t bits = 1; bits < 1000; bits++) {
        check_shortest(from_bits(bits));
    }
}

static void check_parse(const char *text) {
    double got = inst_number_parse(text, strlen(text));
    double want = strtod(text, NULL);
    assert_memory_equal(&got, &want, sizeof(got));
}

static void test_parse(void **state) {
    (void)state;
    static const char *const cases[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "-1",
        "0.1",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.00000000000000000000000000000000000001",
        "123456789012345678901234567890",
        "0.000000000000000000000000000000000000000000001",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2e-324",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e99999999999999999999",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "179769313486231580793728971405301e276",
        "0.00000000000000000000000000000000000000000000000000001e60",
        "8.5e1",
        "1E+5",
        "1E-5",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_parse(cases[i]);
    }
}

static void test_parse_random(void **state) {
    (void)state;
    uint64_t seed = 4711;
    char text[64];
    for (int i = 0; i < 50000; i++) {
        double num = from_bits(next_random(&seed));
        if (isfinite(num)) {
            snprintf(text, sizeof(text), "%.*e", (int)(next_random(&seed) % 20), num);
            check_parse(text);
        }
        snprintf(text, sizeof(text), "%u.%ue%d", (unsigned)next_random(&seed),
                 (unsigned)next_random(&seed), (int)(next_random(&seed) % 60) - 30);
        check_parse(text);
    }
}

/* Exactly between two doubles, where a digit thousands of places behind decides. */
static void test_parse_far_digits(void **state) {
    (void)state;
    enum { ZEROS = 5000 };
    char text[ZEROS + 64];
    int n = snprintf(text, sizeof(text), "9007199254740993.");
    memset(text + n, '0', ZEROS);
    strcpy(text + n + ZEROS, "1");
    assert_true(inst_number_parse(text, strlen(text)) == 9007199254740994.0);
    text[n + ZEROS] = '0';
    assert_true(inst_number_parse(text, strlen(text)) == 9007199254740992.0);
    memset(text, '0', ZEROS);
    strcpy(text + ZEROS, "5e-324");
    assert_true(inst_number_parse(text, strlen(text)) == 5e-324);
    text[1] = '.';
    strcpy(text + ZEROS, "123e5000");
    assert_true(inst_number_parse(text, strlen(text)) == 12.3);
}

static void check_number(const char *text, double want) {
    double got = inst_number_from_text(text, strlen(text));
    if (isnan(want)) {
        assert_true(isnan(got));
    } else {
        assert_memory_equal(&got, &want, sizeof(got));
    }
}

static void test_from_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double want;
    } cases[] = {
        {"", 0},
        {" \t\n\v\f\r", 0},
        {"\xC2\xA0\xEF\xBB\xBF\xE2\x80\x83\xE3\x80\x80 7 \xE2\x80\xA8", 7},
        {"\xC2\x85"
         "7",
         NAN}, /* next line is no whitespace there */
        {"\xE1\xA0\x8E"
         "7",
         NAN},
        {"42", 42},
        {"+42", 42},
        {"-42", -42},
        {"-0", -0.0},
        {"- 1", NAN},
        {"4 2", NAN},
        {"1.", 1},
        {".5", 0.5},
        {"-.5e1", -5},
        {".", NAN},
        {"+", NAN},
        {"e5", NAN},
        {".e5", NAN},
        {"1e", NAN},
        {"1e+", NAN},
        {"1e5 ", 100000},
        {"1e1000", INFINITY},
        {"-1e1000", -INFINITY},
        {"007", 7},
        {"1_000", NAN},
        {"1,5", NAN},
        {"12px", NAN},
        {"0x1F", 31},
        {"0XfF", 255},
        {"0o17", 15},
        {"0b101", 5},
        {"0B2", NAN},
        {"0o8", NAN},
        {"0xg", NAN},
        {"0x", NAN},
        {"-0x10", NAN},
        {"+0x10", NAN},
        {"0x1.8", NAN},
        {"0x20000000000001", 9007199254740992.0},
        {"0x20000000000003", 9007199254740996.0},
        {"0x20000000000001000000000000000001", 4.253529586511732e37},
        {"Infinity", INFINITY},
        {"+Infinity", INFINITY},
        {" -Infinity ", -INFINITY},
        {"infinity", NAN},
        {"Infinit", NAN},
        {"inf", NAN},
        {"nan", NAN},
        {"NaN", NAN},
        {"null", NAN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_number(cases[i].text, cases[i].want);
    }
    assert_true(isnan(inst_number_from_text("1\0", 2)));
    /* 2^1024 and more digits than any exponent. */
    char text[5000];
    memset(text, 'f', sizeof(text));
    memcpy(text, "0x", 2);
    assert_true(isinf(inst_number_from_text(text, sizeof(text))));
}

/* A decimal comma in the program's locale changes nothing. Only where such a locale is installed.
 */
static void test_locale(void **state) {
    (void)state;
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C.UTF-8"};
    for (size_t i = 0; i < COUNT(commas); i++) {
        if (!setlocale(LC_ALL, commas[i])) {
            continue;
        }
        check_text(0.1 + 0.2, "0.30000000000000004");
        check_text(1.25e-7, "1.25e-7");
        assert_true(inst_number_parse("0.30000000000000004", 19) == 0.1 + 0.2);
        assert_true(inst_number_parse("1.7976931348623157e308", 22) == DBL_MAX);
    }
    setlocale(LC_ALL, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_random),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_random),
        cmocka_unit_test(test_parse_far_digits),
        cmocka_unit_test(test_from_text),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
