#include "base/value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int make_arena(void **state) {
    struct inst_arena *arena = malloc(sizeof(*arena));
    inst_arena_init(arena);
    *state = arena;
    return 0;
}

static int free_arena(void **state) {
    inst_arena_free(*state);
    free(*state);
    return 0;
}

static struct inst_value end(struct inst_object_builder *b) {
    struct inst_value v;
    assert_true(inst_object_end(b, &v));
    return v;
}

static void test_size(void **state) {
    (void)state;
    assert_int_equal(sizeof(struct inst_value), 16);
}

static void test_get(void **state) {
    struct inst_object_builder b;
    inst_object_begin(&b, *state);
    inst_object_addz(&b, "name", inst_cstring("Ann"));
    inst_object_addz(&b, "", inst_bool(true));
    inst_object_add(&b, "n\0x", 3, inst_number(1));
    struct inst_value obj = end(&b);
    assert_true(inst_is_string(inst_getz(&obj, "name"), "Ann"));
    assert_true(inst_is_string(inst_get_string(&obj, "name"), "Ann"));
    assert_null(inst_get_string(&obj, ""));
    assert_true(inst_get_true(&obj, ""));
    assert_false(inst_get_true(&obj, "name"));
    assert_false(inst_get_true(&obj, "absent"));
    assert_int_equal(inst_get(&obj, "n\0x", 3)->u.num, 1);
    assert_null(inst_getz(&obj, "n"));
    assert_null(inst_getz(&obj, "nam"));
    assert_null(inst_get(NULL, "a", 1));
    struct inst_value text = inst_cstring("name");
    assert_null(inst_getz(&text, "name"));
}

static void test_same(void **state) {
    (void)state;
    struct inst_value items[2] = {inst_number(1), inst_number(2)};
    struct inst_value copy[2] = {inst_number(1), inst_number(2)};
    struct inst_value list[] = {
        inst_undefined(),
        inst_null(),
        inst_bool(false),
        inst_bool(true),
        inst_number(0),
        inst_number(1),
        inst_number(NAN),
        inst_string("", 0),
        inst_cstring("0"),
        inst_cstring("a"),
        inst_array(items, 2),
        inst_array(items, 1),
        inst_array(copy, 2),
        {.tag = INST_ENTITY, .u.entity = 1},
        {.tag = INST_ENTITY, .u.entity = 2},
    };
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t k = 0; k < COUNT(list); k++) {
            assert_int_equal(inst_value_same(&list[i], &list[k]), i == k);
        }
    }
    struct inst_value zero = inst_number(0);
    struct inst_value minus = inst_number(-0.0);
    assert_true(inst_value_same(&zero, &minus));
    struct inst_value day = inst_date(5);
    assert_false(inst_value_same(&day, &day));
    assert_true(inst_value_equal(&day, &day));
    struct inst_value never = inst_date(NAN);
    assert_true(inst_value_equal(&never, &never));
    struct inst_value number = inst_number(5);
    assert_false(inst_value_equal(&day, &number));
}

static void test_empty_lists_are_not_the_same(void **state) {
    struct inst_array_builder a;
    struct inst_object_builder o;
    struct inst_value lists[2];
    struct inst_value objects[2];
    for (int i = 0; i < 2; i++) {
        inst_array_begin(&a, *state);
        assert_true(inst_array_end(&a, &lists[i]));
        inst_object_begin(&o, *state);
        objects[i] = end(&o);
    }
    assert_false(inst_value_same(&lists[0], &lists[1]));
    assert_true(inst_value_equal(&lists[0], &lists[1]));
    assert_false(inst_value_same(&objects[0], &objects[1]));
    assert_true(inst_value_equal(&objects[0], &objects[1]));
    assert_false(inst_value_equal(&objects[0], &lists[0]));
}

/* An object of n members, with keys in a permuted order given by step, n prime to it. */
static struct inst_value permuted(struct inst_arena *arena, int n, int step, int changed) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (int i = 0; i < n; i++) {
        int k = i * step % n;
        char *key = inst_arena_alloc(arena, 16);
        int len = snprintf(key, 16, "k%d", k);
        inst_object_add(&b, key, (size_t)len, inst_number(k == changed ? -1 : k));
    }
    return end(&b);
}

static void test_equal_objects(void **state) {
    static const int sizes[] = {1, 2, 7, 17, 101, 4001};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int n = sizes[i];
        struct inst_value a = permuted(*state, n, 1, -2);
        struct inst_value b = permuted(*state, n, n == 2 ? 1 : 3 % n ? 3 : 1, -2);
        struct inst_value changed = permuted(*state, n, 1, n - 1);
        struct inst_value more = permuted(*state, n + 1, 1, -2);
        assert_true(inst_value_equal(&a, &b));
        assert_false(inst_value_equal(&b, &changed));
        assert_false(inst_value_equal(&a, &changed));
        assert_false(inst_value_equal(&a, &more));
    }
}

static void test_equal_nested(void **state) {
    struct inst_object_builder b;
    struct inst_value inner[2];
    struct inst_value outer[2];
    for (int i = 0; i < 2; i++) {
        inst_object_begin(&b, *state);
        inst_object_addz(&b, i ? "y" : "x", inst_number(1));
        inst_object_addz(&b, i ? "x" : "y", inst_number(1));
        inner[i] = end(&b);
        outer[i] = inst_array(&inner[i], 1);
    }
    assert_true(inst_value_equal(&outer[0], &outer[1]));
    /* An absent member is not an undefined one. */
    inst_object_begin(&b, *state);
    inst_object_addz(&b, "x", inst_undefined());
    struct inst_value undefined_x = end(&b);
    inst_object_begin(&b, *state);
    inst_object_addz(&b, "y", inst_undefined());
    struct inst_value undefined_y = end(&b);
    assert_false(inst_value_equal(&undefined_x, &undefined_y));
}

static void test_truthy_and_typeof(void **state) {
    (void)state;
    struct inst_value item = inst_null();
    const struct {
        struct inst_value v;
        bool truthy;
        const char *type;
    } cases[] = {
        {inst_undefined(), false, "undefined"}, {inst_null(), false, "object"},
        {inst_bool(false), false, "boolean"},   {inst_bool(true), true, "boolean"},
        {inst_number(0), false, "number"},      {inst_number(-0.0), false, "number"},
        {inst_number(NAN), false, "number"},    {inst_number(-1), true, "number"},
        {inst_string("", 0), false, "string"},  {inst_cstring("0"), true, "string"},
        {inst_array(&item, 0), true, "object"}, {inst_object(NULL, 0), true, "object"},
        {inst_date(NAN), true, "object"},       {{.tag = INST_ENTITY}, true, "string"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(inst_value_truthy(&cases[i].v), cases[i].truthy);
        assert_string_equal(inst_value_typeof(&cases[i].v), cases[i].type);
    }
}

static void test_dup(void **state) {
    struct inst_arena other;
    inst_arena_init(&other);
    struct inst_value items[] = {inst_string("a\0b", 3),
                                 inst_date(7),
                                 inst_undefined(),
                                 {.tag = INST_ENTITY, .u.entity = 9}};
    items[0].flags = INST_VALUE_INTERNED;
    struct inst_object_builder b;
    inst_object_begin(&b, &other);
    inst_object_add(&b, inst_arena_dup(&other, "list", 4), 4, inst_array(items, COUNT(items)));
    inst_object_addz(&b, "empty", inst_string("", 0));
    struct inst_value v = end(&b);
    struct inst_value copy;
    assert_true(inst_value_dup(*state, &v, &copy));
    inst_arena_free(&other);
    memset(items, 0xFF, sizeof(items));
    const struct inst_value *list = inst_getz(&copy, "list");
    assert_int_equal(list->len, 4);
    assert_memory_equal(list->u.items[0].u.str, "a\0b", 3);
    assert_int_equal(list->u.items[0].flags, 0);
    assert_true(list->u.items[1].tag == INST_DATE && list->u.items[1].u.num == 7);
    assert_int_equal(list->u.items[2].tag, INST_UNDEFINED);
    assert_int_equal(list->u.items[3].tag, INST_NULL);
    assert_true(inst_is_string(inst_getz(&copy, "empty"), ""));
}

static void check_key(const struct inst_value *obj, uint32_t at, const char *key, double num) {
    assert_true(at < obj->len);
    const struct inst_member *m = &obj->u.members[at];
    assert_int_equal(m->key_len, strlen(key));
    assert_memory_equal(m->key, key, m->key_len);
    assert_true(m->value.u.num == num);
}

static void test_builder_order(void **state) {
    struct inst_object_builder b;
    inst_object_begin(&b, *state);
    inst_object_addz(&b, "b", inst_number(1));
    inst_object_addz(&b, "10", inst_number(2));
    inst_object_addz(&b, "a", inst_number(3));
    inst_object_addz(&b, "9", inst_number(4));
    inst_object_addz(&b, "b", inst_number(5));
    inst_object_addz(&b, "10", inst_number(6));
    struct inst_value obj = end(&b);
    assert_int_equal(obj.len, 4);
    check_key(&obj, 0, "9", 4);
    check_key(&obj, 1, "10", 6);
    check_key(&obj, 2, "b", 5);
    check_key(&obj, 3, "a", 3);
}

/* One key many times, among others, at every length around the switch to sorting. */
static void test_builder_repeats(void **state) {
    for (int n = 1; n < 60; n++) {
        struct inst_object_builder b;
        inst_object_begin(&b, *state);
        for (int i = 0; i < n; i++) {
            char *key = inst_arena_alloc(*state, 16);
            int len = snprintf(key, 16, "k%d", i);
            inst_object_add(&b, key, (size_t)len, inst_number(i));
            inst_object_addz(&b, "k0", inst_number(1000 + i));
        }
        struct inst_value obj = end(&b);
        assert_int_equal(obj.len, n);
        check_key(&obj, 0, "k0", 1000 + n - 1);
        for (int i = 1; i < n; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d", i);
            check_key(&obj, (uint32_t)i, key, i);
        }
    }
}

static void test_builder_too_big(void **state) {
    struct inst_object_builder b;
    struct inst_value v = inst_number(3);
    inst_object_begin(&b, *state);
    inst_object_addz(&b, "a", inst_null());
    inst_object_reserve(&b, SIZE_MAX / 2);
    inst_object_addz(&b, "b", inst_null());
    assert_false(inst_object_end(&b, &v));
    assert_int_equal(v.tag, INST_NUMBER);
}

static void test_array_builder(void **state) {
    struct inst_array_builder b;
    struct inst_value v;
    inst_array_begin(&b, *state);
    for (int i = 0; i < 1000; i++) {
        inst_array_add(&b, inst_number(i));
    }
    assert_true(inst_array_end(&b, &v));
    assert_int_equal(v.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_true(v.u.items[i].u.num == i);
    }
}

static void test_key_is_index(void **state) {
    (void)state;
    static const struct {
        const char *key;
        bool is_index;
        uint32_t index;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"10", true, 10},
        {"4294967294", true, 4294967294u},
        {"4294967295", false, 0},
        {"9999999999", false, 0},
        {"10000000000", false, 0},
        {"", false, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"-1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {" 1", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t index = 0;
        bool is_index = inst_key_is_index(cases[i].key, strlen(cases[i].key), &index);
        assert_int_equal(is_index, cases[i].is_index);
        assert_int_equal(index, cases[i].index);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_empty_lists_are_not_the_same),
        cmocka_unit_test(test_equal_objects),
        cmocka_unit_test(test_equal_nested),
        cmocka_unit_test(test_truthy_and_typeof),
        cmocka_unit_test(test_dup),
        cmocka_unit_test(test_builder_order),
        cmocka_unit_test(test_builder_repeats),
        cmocka_unit_test(test_builder_too_big),
        cmocka_unit_test(test_array_builder),
        cmocka_unit_test(test_key_is_index),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
