/* What a rule may not do: nest too deep, run too long, make texts too large, hide that it did. */
#include "base/json.h"
#include "rules/rate_limit.h"
#include "rules/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct outcome {
    struct inst_arena arena;
    struct inst_cel_program *program;
    struct inst_cel_value value;
    struct inst_cel_error error;
    bool ok;
};

/* data.l is [0, 1 ... 999]. */
static void run(struct outcome *o, const char *text) {
    struct inst_array_builder list;
    struct inst_object_builder object;
    struct inst_value l, data;
    memset(o, 0, sizeof *o);
    inst_arena_init(&o->arena);
    inst_array_begin(&list, &o->arena);
    for (int i = 0; i < 1000; i++)
        inst_array_add(&list, inst_number(i));
    assert_true(inst_array_end(&list, &l));
    inst_object_begin(&object, &o->arena);
    inst_object_addz(&object, "l", l);
    assert_true(inst_object_end(&object, &data));
    assert_int_equal(inst_cel_compile(text, strlen(text), INST_CEL_SCOPE_READ, &o->program, NULL),
                     INST_OK);
    struct inst_cel_bindings bindings = {.objects = {[INST_CEL_DATA] = &data}};
    if (!o->program->issues)
        o->ok =
            inst_cel_program_run(o->program, &bindings, NULL, &o->arena, 0, &o->value, &o->error);
}

static void done(struct outcome *o) {
    inst_cel_program_free(o->program);
    inst_arena_free(&o->arena);
}

static char *repeat(const char *before, const char *unit, size_t count, const char *after) {
    struct inst_buf buf;
    size_t len;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, before);
    for (size_t i = 0; i < count; i++)
        inst_buf_add_str(&buf, unit);
    inst_buf_add_str(&buf, after);
    char *text = inst_buf_take(&buf, &len);
    assert_non_null(text);
    return text;
}

static void expect_issue(const char *text, const char *part) {
    struct outcome o;
    run(&o, text);
    assert_non_null(o.program->issues);
    assert_non_null(strstr(o.program->issues->message, part));
    done(&o);
}

static void test_size_and_depth(void **state) {
    (void)state;
    static const char *const units[] = {"(", "[", "{1:", "-(", "!(", "1 + (", "a.b(", "true ? ("};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char *deep = repeat("", units[i], 10000, "");
        expect_issue(deep, "recursion limit");
        free(deep);
    }
    static const char *const chains[] = {" + 1", ".a", "[0]", " == 1"};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        char *deep = repeat("data", chains[i], 10000, "");
        expect_issue(deep, "recursion limit");
        free(deep);
    }
    char *large = repeat("'", "x", INST_CEL_MAX_CODE_POINTS, "'");
    expect_issue(large, "exceeds limit");
    free(large);
}

/* A long run of && is no nesting. */
static void test_long_logic(void **state) {
    (void)state;
    struct outcome o;
    char *text = repeat("true", " && true", 10000, "");
    run(&o, text);
    assert_true(o.ok && o.value.u.b);
    done(&o);
    free(text);
}

/* Neither || nor cel.bind hides that the steps were used up. */
static void test_steps(void **state) {
    (void)state;
    static const char *const texts[] = {
        "data.l.map(a, data.l.map(b, data.l.map(c, a + b + c))) == []",
        "data.l.exists(a, data.l.exists(b, data.l.exists(c, a + b + c < 0))) || true",
        "cel.bind(x, data.l.all(a, data.l.all(b, data.l.all(c, true))), x || true)",
        "data.l.all(a, data.l.all(b, data.l.all(c, a + 1 > a))) || true",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome o;
        run(&o, texts[i]);
        assert_false(o.ok);
        assert_int_equal(o.error.code, INST_CEL_TOO_COSTLY);
        assert_non_null(strstr(o.error.text, "1000000 steps"));
        done(&o);
    }
}

static void test_large_texts(void **state) {
    (void)state;
    struct outcome o;
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "cel.bind(a0, '0123456789', ");
    for (int i = 1; i < 30; i++)
        inst_buf_addf(&text, "cel.bind(a%d, a%d + a%d, ", i, i - 1, i - 1);
    inst_buf_add_str(&text, "a29 == ''");
    for (int i = 0; i < 30; i++)
        inst_buf_add_char(&text, ')');
    run(&o, text.data);
    assert_false(o.ok);
    assert_int_equal(o.error.code, INST_CEL_TOO_COSTLY);
    done(&o);
    inst_buf_free(&text);
}

/* RE2 answers in linear time; what it lacks is refused, what takes long is cut off. */
static void test_regex(void **state) {
    (void)state;
    static const char *const refused[] = {"'aa'.matches('(a)\\\\1')", "'a'.matches('(?=a)a')",
                                          "'a'.matches('(?<!b)a')", "'a'.matches('[')"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct outcome o;
        run(&o, refused[i]);
        assert_false(o.ok);
        assert_int_equal(o.error.code, INST_CEL_INVALID_ARGUMENT);
        done(&o);
    }
    struct outcome o;
    char *slow = repeat("'", "a", 200, "!'.matches('^(a+)+$')");
    run(&o, slow);
    assert_false(o.ok);
    assert_int_equal(o.error.code, INST_CEL_TOO_COSTLY);
    done(&o);
    free(slow);
}

/* ---- token buckets ---- */

static struct inst_rate_limit_config config(const char *json) {
    struct inst_arena arena;
    struct inst_value v;
    struct inst_rate_limit_config out;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, json, strlen(json), &v, NULL), INST_OK);
    assert_null(inst_rate_limit_read(&v, &out));
    inst_arena_free(&arena);
    return out;
}

static struct inst_cel_limit take(struct inst_rate_limits *limits,
                                  const struct inst_rate_limit_config *c, const char *key,
                                  int64_t tokens, int64_t now) {
    struct inst_cel_limit out;
    struct inst_value k = inst_cstring(key);
    assert_int_equal(inst_rate_limits_take(limits, c, "b", 1, &k, tokens, now, &out, NULL),
                     INST_OK);
    return out;
}

static void test_greedy_bucket(void **state) {
    (void)state;
    struct inst_rate_limits *limits;
    struct inst_rate_limit_config c =
        config("{\"limits\":[{\"capacity\":2,\"refill\":{\"period\":\"10 seconds\"}}]}");
    assert_int_equal(inst_rate_limits_new(1, &limits, NULL), INST_OK);
    assert_true(take(limits, &c, "a", 1, 1000).is_allowed);
    assert_true(take(limits, &c, "a", 1, 1000).is_allowed);
    struct inst_cel_limit refused = take(limits, &c, "a", 1, 1000);
    assert_false(refused.is_allowed);
    assert_int_equal(refused.retry_at_ms, 6000); /* two in ten seconds: one in five */
    assert_true(take(limits, &c, "other", 2, 1000).is_allowed);
    assert_false(take(limits, &c, "a", 1, 5999).is_allowed);
    assert_true(take(limits, &c, "a", 1, 6000).is_allowed);
    assert_false(take(limits, &c, "a", 3, 100000).is_allowed); /* more than it ever holds */
    assert_true(take(limits, &c, "a", 2, 100000).is_allowed);
    inst_rate_limits_free(limits);
}

static void test_interval_bucket_and_two_limits(void **state) {
    (void)state;
    struct inst_rate_limits *limits;
    struct inst_rate_limit_config c =
        config("{\"limits\":[{\"capacity\":3,\"refill\":{\"amount\":3,\"period\":\"1 minute\","
               "\"type\":\"interval\"}},{\"capacity\":100,\"refill\":{\"period\":\"01:00:00\"}}]}");
    assert_int_equal(c.limits[1].period_ms, 3600000);
    assert_int_equal(inst_rate_limits_new(1, &limits, NULL), INST_OK);
    assert_true(take(limits, &c, "a", 3, 0).is_allowed);
    assert_int_equal(take(limits, &c, "a", 1, 30000).retry_at_ms, 60000);
    assert_false(take(limits, &c, "a", 1, 59999).is_allowed);
    assert_true(take(limits, &c, "a", 3, 60000).is_allowed);
    inst_rate_limits_free(limits);
}

/* Whoever makes up keys gets no more memory for it. */
static void test_many_keys(void **state) {
    (void)state;
    struct inst_rate_limits *limits;
    struct inst_rate_limit_config c = config("{\"limits\":[{\"capacity\":1}]}");
    assert_int_equal(inst_rate_limits_new(1, &limits, NULL), INST_OK);
    assert_true(take(limits, &c, "kept", 1, 200000).is_allowed);
    for (int i = 0; i < 100000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        assert_true(take(limits, &c, key, 1, 100000).is_allowed);
    }
    assert_false(take(limits, &c, "kept", 1, 200000).is_allowed); /* asked last: not forgotten */
    inst_rate_limits_free(limits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_and_depth),
        cmocka_unit_test(test_long_logic),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_large_texts),
        cmocka_unit_test(test_regex),
        cmocka_unit_test(test_greedy_bucket),
        cmocka_unit_test(test_interval_bucket_and_two_limits),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
