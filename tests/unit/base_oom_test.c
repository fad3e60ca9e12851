/*
 * Every allocation of the ground floor fails once: the call says so, frees what it took and leaves
 * what it was given whole (AddressSanitizer sees the rest).
 */
#include "base/collate.h"
#include "base/json.h"
#include "base/shared.h"
#include "oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Runs step with n = 0, 1, 2, ... allocations until it succeeds; it must fail at least `least`
 * times, so that a run proves something. */
static void until_success(bool (*step)(void *ctx), void *ctx, int least) {
    int failures = 0;
    for (long n = 0;; n++) {
        assert_true(n < 100000);
        oom_after(n);
        bool done = step(ctx);
        oom_off();
        if (done) {
            break;
        }
        failures++;
    }
    assert_true(failures >= least);
}

/* Enough of everything: nesting, long lists, many and repeated keys, index keys, escapes. */
static char *big_text(size_t *len) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "{\"list\":[");
    for (int i = 0; i < 2000; i++) {
        inst_buf_addf(&buf, "%s{\"id\":%d,\"t\":\"\\u00e9\\n%d\"}", i ? "," : "", i, i);
    }
    inst_buf_add_str(&buf, "],\"many\":{");
    for (int i = 0; i < 1000; i++) {
        inst_buf_addf(&buf, "%s\"%d\":[],\"k%d\":1.5", i ? "," : "", i % 700, i % 700);
    }
    inst_buf_add_str(&buf, "}}");
    return inst_buf_take(&buf, len);
}

struct parsing {
    char *text;
    size_t len;
    struct inst_arena *arena;
    struct inst_value before;
};

static bool parse_step(void *ctx) {
    struct parsing *p = ctx;
    struct inst_err err = {0};
    struct inst_value v = inst_number(4);
    size_t total = p->arena->total;
    enum inst_status status = inst_json_parse(p->arena, p->text, p->len, &v, &err);
    assert_true(inst_is_string(&p->before.u.items[0], "before"));
    if (status == INST_OK) {
        assert_int_equal(inst_getz(&v, "list")->len, 2000);
        return true;
    }
    assert_int_equal(status, INST_NOMEM);
    assert_string_equal(err.type, "out-of-memory");
    assert_int_equal(v.tag, INST_NUMBER);
    assert_int_equal(p->arena->total, total);
    inst_err_clear(&err);
    return false;
}

static void test_parse(void **state) {
    (void)state;
    struct inst_arena arena;
    struct parsing p = {.arena = &arena};
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, "[\"before\"]", 10, &p.before, NULL), INST_OK);
    p.text = big_text(&p.len);
    until_success(parse_step, &p, 8);
    free(p.text);
    inst_arena_free(&arena);
}

/* A refusal needs memory for its message; without any it is still that refusal. */
static bool refuse_step(void *ctx) {
    struct inst_arena *arena = ctx;
    struct inst_err err = {0};
    struct inst_value v;
    enum inst_status status = inst_json_parse(arena, "[1,,]", 5, &v, &err);
    assert_int_not_equal(status, INST_OK);
    bool whole = status == INST_FAILED &&
                 strcmp(err.message, "Invalid JSON at byte 3: expected a value") == 0;
    if (status == INST_FAILED) {
        assert_string_equal(err.type, "param-malformed");
        assert_int_equal(err.status, 400);
        inst_err_hint(&err, "{}");
        whole = whole && err.hint;
    }
    assert_non_null(err.message);
    struct inst_err moved = {0};
    inst_err_move(&moved, &err);
    assert_non_null(moved.message);
    inst_err_clear(&moved);
    inst_arena_free(arena);
    return whole;
}

static void test_refusal(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    until_success(refuse_step, &arena, 4);
}

struct copying {
    const struct inst_value *from;
};

static bool dup_step(void *ctx) {
    struct copying *c = ctx;
    struct inst_arena arena;
    struct inst_value copy;
    inst_arena_init(&arena);
    bool done = inst_value_dup(&arena, c->from, &copy);
    if (done) {
        assert_true(inst_value_equal(&copy, c->from));
    }
    inst_arena_free(&arena);
    return done;
}

static bool write_step(void *ctx) {
    struct copying *c = ctx;
    struct inst_buf buf;
    size_t len = 0;
    inst_buf_init(&buf);
    inst_json_write(&buf, c->from);
    char *text = inst_buf_take(&buf, &len);
    assert_true(!text || text[len - 1] == '}');
    free(text);
    return text != NULL;
}

/* Without memory to sort by, comparing big objects is slower and says the same. */
static bool equal_step(void *ctx) {
    struct inst_value *pair = ctx;
    assert_true(inst_value_equal(&pair[0], &pair[1]));
    return oom_left != 0;
}

static struct inst_value counted(struct inst_arena *arena, int from, int to, int by) {
    struct inst_object_builder b;
    struct inst_value v;
    inst_object_begin(&b, arena);
    for (int i = from; i != to; i += by) {
        char key[16];
        int len = snprintf(key, sizeof(key), "k%d", i);
        inst_object_add(&b, inst_arena_dup(arena, key, (size_t)len), (size_t)len, inst_number(i));
    }
    assert_true(inst_object_end(&b, &v));
    return v;
}

static void test_copy_write_compare(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value v;
    size_t len;
    char *text = big_text(&len);
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, text, len, &v, NULL), INST_OK);
    free(text);
    struct copying c = {&v};
    until_success(dup_step, &c, 3);
    until_success(write_step, &c, 5);
    struct inst_value pair[2] = {counted(&arena, 0, 100, 1), counted(&arena, 99, -1, -1)};
    until_success(equal_step, pair, 2);
    inst_arena_free(&arena);
}

static bool build_step(void *ctx) {
    (void)ctx;
    struct inst_arena arena;
    struct inst_object_builder b;
    struct inst_array_builder list;
    struct inst_value v;
    struct inst_value items;
    inst_arena_init(&arena);
    inst_object_begin(&b, &arena);
    inst_array_begin(&list, &arena);
    for (int i = 0; i < 3000; i++) {
        char *key = inst_arena_alloc(&arena, 16);
        if (!key) {
            break;
        }
        int len = snprintf(key, 16, i % 3 ? "k%d" : "%d", i);
        inst_object_add(&b, key, (size_t)len, inst_number(i));
        inst_array_add(&list, inst_number(i));
    }
    bool done = inst_array_end(&list, &items) && inst_object_end(&b, &v) && v.len == 3000;
    if (done) {
        assert_int_equal(items.len, 3000);
        assert_memory_equal(v.u.members[0].key, "0", 1);
        assert_true(inst_getz(&v, "k2999")->u.num == 2999);
    }
    inst_arena_free(&arena);
    return done;
}

static void test_builders(void **state) {
    (void)state;
    until_success(build_step, NULL, 5);
}

static bool buf_step(void *ctx) {
    (void)ctx;
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (int i = 0; i < 1000; i++) {
        inst_buf_addf(&buf, "%d,", i);
        inst_buf_add_int(&buf, i);
        inst_buf_add_char(&buf, ';');
        inst_json_write_string(&buf, "a\"b", 3);
    }
    bool failed = buf.failed;
    char *text = inst_buf_take(&buf, NULL);
    assert_int_equal(failed, text == NULL);
    free(text);
    return !failed;
}

static bool shared_step(void *ctx) {
    (void)ctx;
    struct inst_shared *shared = inst_shared_new("abc", 3);
    inst_shared_unref(shared);
    return shared != NULL;
}

static bool collator_step(void *ctx) {
    (void)ctx;
    struct inst_collator *collator = NULL;
    struct inst_err err = {0};
    enum inst_status status = inst_collator_new(&collator, &err);
    if (status != INST_OK) {
        assert_int_equal(status, INST_NOMEM);
        assert_null(collator);
        inst_err_clear(&err);
    }
    inst_collator_free(collator);
    return status == INST_OK;
}

/* Long strings with lone surrogates want memory; without it there is still an order. */
static bool collate_step(void *ctx) {
    static char left[4000];
    static char right[4000];
    memset(left, 'a', sizeof(left));
    memset(right, 'a', sizeof(right));
    memcpy(left + 3990, "\xED\xA0\x80", 3);
    memcpy(right + 3990, "\xED\xA0\x81", 3);
    int order = inst_collator_compare(ctx, left, sizeof(left), right, sizeof(right));
    assert_true(order <= 0);
    return order < 0 && oom_left != 0;
}

static void test_the_rest(void **state) {
    (void)state;
    until_success(buf_step, NULL, 5);
    until_success(shared_step, NULL, 1);
    until_success(collator_step, NULL, 1);
    struct inst_collator *collator = NULL;
    assert_int_equal(inst_collator_new(&collator, NULL), INST_OK);
    until_success(collate_step, collator, 2);
    inst_collator_free(collator);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_copy_write_compare),
        cmocka_unit_test(test_builders),
        cmocka_unit_test(test_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
