/* Values of the C API: built, read, refused. */
#include "instant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_json(const struct instant_value *value, const char *expected) {
    size_t len;
    char *text = instant_value_json(value, &len);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    instant_free(text);
}

/* What a call says that is given the value. */
static void check_refused(const struct instant_value *value, const char *message) {
    struct instant_loop *loop = instant_loop_new(NULL);
    struct instant_error *error = NULL;
    assert_null(instant_init(loop, value, &error));
    assert_string_equal(instant_error_type(error), "param-malformed");
    assert_string_equal(instant_error_message(error), message);
    assert_int_equal(instant_error_status(error), 400);
    assert_null(instant_error_hint(error));
    assert_null(instant_error_trace_id(error));
    instant_error_free(error);
    assert_int_equal(instant_value_type(value), INSTANT_ABSENT);
    assert_null(instant_init(loop, value, NULL));
    instant_loop_free(loop);
}

static void test_pieces(void **state) {
    (void)state;
    struct instant_builder *b = instant_builder_new();
    instant_build_object(b);
    instant_build_key(b, "title");
    instant_build_string(b, "Milk \xc3\xa4");
    instant_build_key(b, "n");
    instant_build_number(b, 1.5);
    instant_build_key(b, "list");
    instant_build_array(b);
    instant_build_null(b);
    instant_build_bool(b, true);
    instant_build_date(b, 0);
    instant_build_string_n(b, "a\0b", 3);
    instant_build_value(b, instant_parse(b, "[{\"deep\":[]}]"));
    instant_build_end(b);
    instant_build_key(b, "title");
    instant_build_bool(b, false);
    instant_build_end(b);
    const struct instant_value *value = instant_built(b);
    check_json(value, "{\"title\":false,\"n\":1.5,\"list\":[null,true,\"1970-01-01T00:00:00.000Z\","
                      "\"a\\u0000b\",[{\"deep\":[]}]]}");
    instant_build_number(b, 7); /* another one; the first is still there */
    check_json(instant_built(b), "7");
    assert_int_equal(instant_value_count(value), 3);
    instant_builder_clear(b);
    instant_build_string(b, "x");
    check_json(instant_built(b), "\"x\"");
    instant_builder_free(b);
    instant_builder_free(NULL);
}

static void test_reading(void **state) {
    (void)state;
    struct instant_builder *b = instant_builder_new();
    const struct instant_value *v = instant_parse(
        b, "{\"s\":\"abc\",\"n\":-2.5,\"t\":true,\"z\":null,\"l\":[1,[2]],\"o\":{\"k\":\"v\"}}");
    size_t len;
    char buffer[3];
    assert_int_equal(instant_value_type(v), INSTANT_OBJECT);
    assert_int_equal(instant_value_type(instant_value_get(v, "z")), INSTANT_NULL);
    assert_int_equal(instant_value_type(instant_value_get(v, "t")), INSTANT_BOOL);
    assert_int_equal(instant_value_type(instant_value_get(v, "l")), INSTANT_ARRAY);
    assert_int_equal(instant_value_count(v), 6);
    assert_memory_equal(instant_value_key(v, 1, &len), "n", 1);
    assert_int_equal(len, 1);
    assert_null(instant_value_key(v, 6, &len));
    assert_null(instant_value_key(instant_value_get(v, "l"), 0, &len));
    assert_true(instant_value_is(instant_value_get(v, "s"), "abc"));
    assert_false(instant_value_is(instant_value_get(v, "s"), "ab"));
    assert_memory_equal(instant_value_string(instant_value_get(v, "s"), &len), "abc", 3);
    assert_int_equal(instant_value_copy(instant_value_get(v, "s"), buffer, sizeof buffer), 3);
    assert_string_equal(buffer, "ab");
    assert_int_equal(instant_value_copy(instant_value_get(v, "n"), buffer, sizeof buffer), 0);
    assert_string_equal(buffer, "");
    assert_int_equal(instant_value_copy(instant_value_get(v, "s"), NULL, 0), 3);
    assert_true(instant_value_number(instant_value_get(v, "n"), 0) == -2.5);
    assert_true(instant_value_number(instant_value_get(v, "s"), 9) == 9);
    assert_true(instant_value_bool(instant_value_get(v, "t"), false));
    assert_true(instant_value_bool(instant_value_get(v, "n"), true));
    const struct instant_value *inner =
        instant_value_at(instant_value_at(instant_value_get(v, "l"), 1), 0);
    assert_true(instant_value_number(inner, 0) == 2);
    check_json(instant_value_at(v, 5), "{\"k\":\"v\"}");

    /* What is absent goes through everything. */
    assert_null(instant_value_get(instant_value_at(instant_value_get(v, "no"), 3), "x"));
    assert_null(instant_value_get(instant_value_get(v, "s"), "x"));
    assert_null(instant_value_at(instant_value_get(v, "l"), 2));
    assert_int_equal(instant_value_type(NULL), INSTANT_ABSENT);
    assert_int_equal(instant_value_count(NULL), 0);
    assert_null(instant_value_string(NULL, &len));
    assert_null(instant_value_key(NULL, 0, &len));
    assert_false(instant_value_is(NULL, ""));
    assert_true(instant_value_number(NULL, 4) == 4);
    assert_false(instant_value_bool(NULL, false));
    check_json(NULL, "null");
    instant_builder_free(b);
}

#define KEYLESS "A value was built in an object without instant_build_key in front of it."
#define TWO "A value was built behind another one: instant_built was not called."

static void test_mistakes(void **state) {
    (void)state;
    struct instant_builder *b = instant_builder_new();
    check_refused(instant_built(b), "Nothing was built.");
    instant_build_object(b);
    check_refused(instant_built(b), "An object or array was begun and not ended.");
    instant_build_object(b);
    instant_build_number(b, 1);
    instant_build_end(b);
    check_refused(instant_built(b), KEYLESS);
    instant_build_object(b);
    instant_build_array(b);
    check_refused(instant_built(b), KEYLESS);
    instant_build_object(b);
    instant_build_key(b, "k");
    instant_build_end(b);
    check_refused(instant_built(b), "An object ends behind a key that has no value.");
    instant_build_key(b, "k");
    check_refused(instant_built(b), "A key was built outside of an object, or behind another key.");
    instant_build_object(b);
    instant_build_key(b, "a");
    instant_build_key(b, "b");
    check_refused(instant_built(b), "A key was built outside of an object, or behind another key.");
    instant_build_end(b);
    check_refused(instant_built(b),
                  "instant_build_end was called without an open object or array.");
    instant_build_null(b);
    instant_build_null(b);
    check_refused(instant_built(b), TWO);
    instant_build_null(b);
    instant_build_array(b);
    check_refused(instant_built(b), TWO);
    instant_build_number(b, NAN);
    check_refused(instant_built(b), "NaN and infinities are no values.");
    instant_build_string(b, "\xff");
    check_refused(instant_built(b), "A string is not valid UTF-8.");
    instant_build_object(b);
    instant_build_key(b, "\xc3");
    check_refused(instant_built(b), "A string is not valid UTF-8.");
    instant_build_value(b, NULL);
    check_refused(instant_built(b), "instant_build_value was given an absent value.");
    for (int i = 0; i < 501; i++)
        instant_build_array(b);
    check_refused(instant_built(b), "The value is nested too deep.");

    /* A mistake concerns its own value only, and those it gets into. */
    const struct instant_value *broken = instant_parse(b, "{\"a\":}");
    check_refused(broken, "Invalid JSON at byte 5: expected a value");
    instant_build_array(b);
    instant_build_value(b, broken);
    instant_build_end(b);
    check_refused(instant_built(b), "Invalid JSON at byte 5: expected a value");
    check_json(instant_parse_n(b, "[1]x", 3), "[1]");
    check_json(broken, "null");
    instant_builder_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
