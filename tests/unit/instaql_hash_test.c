#include "instaql/hash.h"

#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void check(struct inst_value v, const char *hash, const char *legacy) {
    char text[INST_QUERY_HASH_TEXT + 1];
    assert_true(inst_query_hash(&v, text));
    assert_string_equal(text, hash);
    assert_true(inst_query_hash_legacy(&v, text));
    assert_string_equal(text, legacy);
}

/* The table of session.md 5.4. */
static void test_known(void **state) {
    (void)state;
    static const struct {
        const char *json, *hash, *legacy;
    } known[] = {
        {"{}", "3e8bb0dc6ae13567", "811c9dc5"},
        {"{\"users\":{}}", "25ec8fc3847e9e80", "6881dc65"},
        {"{\"goals\":{\"todos\":{}}}", "ffedeac0703f6177", "91cd8938"},
        {"{\"goals\":{\"$\":{\"where\":{\"title\":\"Get Fit\"}}}}", "76b1f5b81b045805", "2c8e0908"},
        {"{\"$$ruleParams\":{\"k\":\"v\"},\"posts\":{\"$\":{\"limit\":10,\"order\":"
         "{\"serverCreatedAt\":\"desc\"}}}}",
         "e6a7b59219254117", "f7400044"},
        {"{\"a\":1,\"b\":[1,\"2\",null,true]}", "53f70718f87db563", "2c138e64"},
        {"{\"b\":[1,\"2\",null,true],\"a\":1}", "53f70718f87db563", "2c138e64"},
        {"{\"\xC3\xA9\":\"\xE2\x9C\x93\"}", "275bca3fa30c39ca", "fd1e0b64"},
        {"\"x\"", "907204eb9e7e3a44", "fd0c5087"},
        {"1", "eb2b2475ab050fb7", "9e3779b1"},
        {"null", "0fce888ee8f6b620", "null"},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        struct inst_arena arena;
        struct inst_value v;
        inst_arena_init(&arena);
        assert_int_equal(inst_json_parse(&arena, known[i].json, strlen(known[i].json), &v, NULL),
                         INST_OK);
        check(v, known[i].hash, known[i].legacy);
        inst_arena_free(&arena);
    }
}

/* An undefined member is as good as none, an undefined item is not; a date is its ISO text. */
static void test_beyond_json(void **state) {
    (void)state;
    char with[INST_QUERY_HASH_TEXT + 1], without[INST_QUERY_HASH_TEXT + 1];
    struct inst_member members[] = {{"b", 1, inst_undefined()}, {"a", 1, inst_number(1)}};
    struct inst_value both = inst_object(members, 2), one = inst_object(members + 1, 1);
    struct inst_value items[] = {inst_undefined()};
    struct inst_value date = inst_date(0), iso = inst_cstring("1970-01-01T00:00:00.000Z");
    struct inst_value invalid = inst_date(NAN), null = inst_null();

    assert_true(inst_query_hash(&both, with) && inst_query_hash(&one, without));
    assert_string_equal(with, without);
    assert_true(inst_query_hash_legacy(&both, with) && inst_query_hash_legacy(&one, without));
    assert_string_equal(with, without);

    struct inst_value list = inst_array(items, 1), empty = inst_array(NULL, 0);
    assert_true(inst_query_hash(&list, with) && inst_query_hash(&empty, without));
    assert_string_not_equal(with, without);

    assert_true(inst_query_hash(&date, with) && inst_query_hash(&iso, without));
    assert_string_equal(with, without);
    assert_true(inst_query_hash(&invalid, with) && inst_query_hash(&null, without));
    assert_string_equal(with, without);
    assert_true(inst_query_hash_legacy(&date, with));
    assert_string_equal(with, "811c9dc5");
}

/* Keys go by UTF-16 code unit: U+1F600 (D83D ...) before U+FFEE, unlike by code point. */
static void test_key_order(void **state) {
    (void)state;
    char a[INST_QUERY_HASH_TEXT + 1], b[INST_QUERY_HASH_TEXT + 1];
    struct inst_member one[] = {{"\xEF\xBF\xAE", 3, inst_number(1)},
                                {"\xF0\x9F\x98\x80", 4, inst_number(2)}};
    struct inst_member other[] = {one[1], one[0]};
    struct inst_value x = inst_object(one, 2), y = inst_object(other, 2);
    assert_true(inst_query_hash(&x, a) && inst_query_hash(&y, b));
    assert_string_equal(a, b);
    assert_true(inst_query_hash_legacy(&x, a) && inst_query_hash_legacy(&y, b));
    assert_string_equal(a, b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_beyond_json),
        cmocka_unit_test(test_key_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
