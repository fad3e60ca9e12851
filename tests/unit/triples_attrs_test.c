/*
 * Catalogs: what an attr's wire shape means, names and their order, and that a catalog never
 * changes under its holders.
 */
#include "base/json.h"
#include "triples/attrs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct inst_arena arena;

static int open_arena(void **state) {
    (void)state;
    inst_arena_init(&arena);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    inst_arena_free(&arena);
    return 0;
}

static struct inst_value parse(const char *json) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(&arena, json, strlen(json), &v, NULL), INST_OK);
    return v;
}

static struct inst_attrs *make(const char *json) {
    struct inst_value v = parse(json);
    struct inst_attrs *attrs;
    assert_int_equal(inst_attrs_new(&v, &attrs, NULL), INST_OK);
    return attrs;
}

static const struct inst_attr *by_id(struct inst_attrs *attrs, const char *id) {
    return inst_attrs_by_id(attrs, id, strlen(id));
}

static const char *id_of(const struct inst_attr *attr) {
    static char text[64];
    if (!attr) {
        return "-";
    }
    snprintf(text, sizeof(text), "%.*s", (int)attr->id.len, attr->id.u.str);
    return text;
}

static const char *forward(struct inst_attrs *attrs, const char *etype, const char *label) {
    return id_of(inst_attrs_forward(attrs, etype, strlen(etype), label, strlen(label)));
}

static const char *reverse(struct inst_attrs *attrs, const char *etype, const char *label) {
    return id_of(inst_attrs_reverse(attrs, etype, strlen(etype), label, strlen(label)));
}

static const char *id_attr(struct inst_attrs *attrs, const char *etype) {
    return id_of(inst_attrs_id_attr(attrs, etype, strlen(etype)));
}

typedef size_t list_fn(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                       const struct inst_attr *const **out);

/* "a b c" */
static void expect_list(struct inst_attrs *attrs, list_fn *fn, const char *etype,
                        const char *expected) {
    const struct inst_attr *const *list;
    size_t n = fn(attrs, etype, strlen(etype), &list);
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (size_t i = 0; i < n; i++) {
        inst_buf_addf(&buf, "%s%s", i ? " " : "", id_of(list[i]));
    }
    assert_string_equal(buf.data ? buf.data : "", expected);
    inst_buf_free(&buf);
}

#define BLOB(id, etype, label)                                                                     \
    "{\"id\":\"" id "\",\"value-type\":\"blob\",\"cardinality\":\"one\","                          \
    "\"forward-identity\":[\"f\",\"" etype "\",\"" label "\"]}"
#define REF(id, etype, label, to, back)                                                            \
    "{\"id\":\"" id "\",\"value-type\":\"ref\",\"cardinality\":\"many\","                          \
    "\"forward-identity\":[\"f\",\"" etype "\",\"" label "\"],"                                    \
    "\"reverse-identity\":[\"r\",\"" to "\",\"" back "\"]}"

static void reads_every_member(void **state) {
    (void)state;
    struct inst_attrs *attrs =
        make("[{\"id\":\"a\",\"value-type\":\"ref\",\"cardinality\":\"one\",\"unique?\":true,"
             "\"index?\":true,\"required?\":true,\"primary?\":true,\"catalog\":\"system\","
             "\"isUnsynced\":true,\"on-delete\":\"cascade\",\"on-delete-reverse\":\"cascade\","
             "\"checking-data-type?\":true,\"indexing?\":true,\"setting-unique?\":true,"
             "\"checked-data-type\":\"date\",\"forward-identity\":[\"f\",\"p\",\"x\"],"
             "\"reverse-identity\":[\"r\",\"q\",\"y\"],\"metadata\":{\"k\":[1]}},"
             "{\"id\":\"b\",\"value-type\":\"blob\",\"forward-identity\":[null,\"p\",\"z\"],"
             "\"reverse-identity\":null,\"checked-data-type\":\"json\"}]");
    const struct inst_attr *a = by_id(attrs, "a"), *b = by_id(attrs, "b");
    assert_true(a->is_ref && !a->is_many && a->is_unique && a->is_indexed && a->is_required);
    assert_true(a->is_primary && a->is_system && a->is_unsynced && a->on_delete_cascade);
    assert_true(a->on_delete_reverse_cascade && a->is_checking_type && a->is_indexing);
    assert_true(a->is_setting_unique && a->checked_type == INST_CHECKED_DATE);
    assert_true(inst_is_string(&a->reverse.etype, "q") && inst_is_string(&a->reverse.id, "r"));
    assert_non_null(inst_getz(&a->json, "metadata"));
    assert_int_equal(a->position, 0);
    assert_int_equal(b->position, 1);
    /* Without a cardinality the official client takes it as many. */
    assert_true(b->is_many && !b->is_ref && b->checked_type == INST_CHECKED_NONE);
    assert_int_equal(b->forward.id.tag, INST_UNDEFINED);
    assert_int_equal(b->reverse.label.tag, INST_UNDEFINED);
    inst_attrs_unref(attrs);
}

static void refuses_what_is_no_attr(void **state) {
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[1]",
        "[{}]",
        "[{\"id\":5,\"forward-identity\":[\"f\",\"p\",\"x\"]}]",
        "[{\"id\":\"a\"}]",
        "[{\"id\":\"a\",\"forward-identity\":[\"f\",\"p\"]}]",
        "[{\"id\":\"a\",\"forward-identity\":[\"f\",\"p\",1]}]",
        "[" BLOB("a", "p", "x") ",{\"id\":\"b\",\"forward-identity\":\"fpx\"}]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct inst_value v = parse(bad[i]);
        struct inst_attrs *attrs = NULL;
        struct inst_err err = {0};
        assert_int_equal(inst_attrs_new(&v, &attrs, &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        assert_null(attrs);
        inst_err_clear(&err);
    }
}

static void knows_names_both_ways(void **state) {
    (void)state;
    struct inst_attrs *attrs = make("[" BLOB("i", "p", "id") "," BLOB("n", "p", "name") "," REF(
        "l", "p", "posts", "q", "author") "," REF("m", "q", "tags", "q", "tagged") "]");
    assert_string_equal(forward(attrs, "p", "name"), "n");
    assert_string_equal(forward(attrs, "p", "posts"), "l");
    assert_string_equal(forward(attrs, "q", "author"), "-");
    assert_string_equal(reverse(attrs, "q", "author"), "l");
    assert_string_equal(reverse(attrs, "p", "posts"), "-");
    assert_string_equal(forward(attrs, "", ""), "-");
    assert_string_equal(id_attr(attrs, "p"), "i");
    assert_string_equal(id_attr(attrs, "q"), "-");
    expect_list(attrs, inst_attrs_of, "p", "i n l");
    expect_list(attrs, inst_attrs_blobs, "p", "i n");
    expect_list(attrs, inst_attrs_reverse_of, "q", "l m");
    expect_list(attrs, inst_attrs_of, "nowhere", "");
    assert_null(inst_attrs_at(attrs, 4));
    inst_attrs_unref(attrs);
}

static void a_later_attr_of_the_same_name_keeps_the_place(void **state) {
    (void)state;
    struct inst_attrs *attrs = make("[" BLOB("a", "p", "x") "," BLOB("b", "p", "y") "," BLOB(
        "c", "p", "x") "," REF("d", "p", "y", "q", "z") "," REF("e", "p", "w", "q", "z") "]");
    assert_string_equal(forward(attrs, "p", "x"), "c");
    assert_string_equal(forward(attrs, "p", "y"), "d");
    assert_string_equal(reverse(attrs, "q", "z"), "e");
    expect_list(attrs, inst_attrs_blobs, "p", "c b");
    expect_list(attrs, inst_attrs_of, "p", "a b c d e");
    inst_attrs_unref(attrs);
}

static void a_repeated_id_keeps_the_first_place_and_the_last_value(void **state) {
    (void)state;
    struct inst_attrs *attrs =
        make("[" BLOB("a", "p", "x") "," BLOB("b", "p", "y") "," BLOB("a", "p", "z") "]");
    assert_int_equal(inst_attrs_count(attrs), 2);
    assert_string_equal(forward(attrs, "p", "x"), "-");
    expect_list(attrs, inst_attrs_blobs, "p", "a b");
    inst_attrs_unref(attrs);
}

static void labels_like_integers_come_first(void **state) {
    (void)state;
    struct inst_attrs *attrs =
        make("[" BLOB("a", "p", "x") "," BLOB("b", "p", "10") "," BLOB("c", "p", "2") "," BLOB(
            "d", "p", "02") "," BLOB("e", "p", "4294967295") "," BLOB("f", "p", "0") "]");
    expect_list(attrs, inst_attrs_blobs, "p", "f c b a d e");
    expect_list(attrs, inst_attrs_of, "p", "a b c d e f");
    inst_attrs_unref(attrs);
}

static void the_primary_attr_is_the_id_attr(void **state) {
    (void)state;
    struct inst_attrs *attrs = make(
        "[" BLOB("i", "p", "id") ",{\"id\":\"k\",\"value-type\":\"blob\",\"cardinality\":\"one\","
                                 "\"primary?\":true,\"forward-identity\":[\"f\",\"p\",\"key\"]}]");
    assert_string_equal(id_attr(attrs, "p"), "k");
    inst_attrs_unref(attrs);
}

static void changes_make_new_catalogs(void **state) {
    (void)state;
    struct inst_attrs *old = make("[" BLOB("a", "p", "x") "," BLOB("b", "p", "y") "]"), *put,
                      *merged, *same, *dropped;
    struct inst_value attr = parse(BLOB("a", "q", "n"));
    struct inst_value partial = parse("{\"id\":\"b\",\"index?\":true,\"unique?\":null}");
    struct inst_value other = parse("{\"id\":\"zz\",\"index?\":true}");
    inst_attrs_set_row(old, "a", 1, 7);
    assert_int_equal(inst_attrs_put(old, &attr, &put, NULL), INST_OK);
    assert_int_equal(inst_attrs_merge(put, &partial, &merged, NULL), INST_OK);
    assert_int_equal(inst_attrs_merge(merged, &other, &same, NULL), INST_OK);
    assert_ptr_equal(same, merged);
    inst_attrs_unref(same);
    assert_int_equal(inst_attrs_drop(merged, "a", 1, &dropped, NULL), INST_OK);
    assert_int_equal(inst_attrs_drop(merged, "zz", 2, &same, NULL), INST_OK);
    assert_ptr_equal(same, merged);
    inst_attrs_unref(same);
    assert_string_equal(forward(old, "p", "x"), "a");
    assert_string_equal(forward(put, "p", "x"), "-");
    assert_string_equal(forward(put, "q", "n"), "a");
    assert_int_equal(by_id(put, "a")->row, 7);
    assert_int_equal(by_id(put, "a")->position, 0);
    assert_false(by_id(put, "b")->is_indexed);
    assert_true(by_id(merged, "b")->is_indexed);
    assert_string_equal(forward(merged, "p", "y"), "b");
    inst_attrs_unref(old);
    inst_attrs_unref(put);
    inst_attrs_unref(merged);
    assert_int_equal(inst_attrs_count(dropped), 1);
    assert_int_equal(by_id(dropped, "b")->position, 0);
    assert_true(by_id(dropped, "b")->is_indexed);
    assert_null(by_id(dropped, "a"));
    inst_attrs_unref(dropped);
}

static void several_are_put_at_once(void **state) {
    (void)state;
    struct inst_attrs *old = make("[" BLOB("a", "p", "x") "]"), *put, *same;
    struct inst_value list =
        parse("[" BLOB("b", "p", "y") "," BLOB("a", "q", "z") "," BLOB("b", "q", "y") "]");
    assert_int_equal(inst_attrs_put_all(old, list.u.items, list.len, &put, NULL), INST_OK);
    assert_int_equal(inst_attrs_count(put), 2);
    assert_string_equal(forward(put, "q", "z"), "a");
    assert_string_equal(forward(put, "q", "y"), "b");
    assert_string_equal(forward(put, "p", "y"), "-");
    assert_int_equal(by_id(put, "a")->position, 0);
    assert_int_equal(inst_attrs_put_all(old, NULL, 0, &same, NULL), INST_OK);
    assert_int_equal(inst_attrs_count(same), 1);
    assert_string_equal(forward(old, "p", "x"), "a");
    inst_attrs_unref(old);
    inst_attrs_unref(put);
    inst_attrs_unref(same);
}

static void a_change_that_fails_changes_nothing(void **state) {
    (void)state;
    struct inst_attrs *attrs = make("[" BLOB("a", "p", "x") "]"), *out = NULL;
    struct inst_err err = {0};
    struct inst_value bad = parse("{\"id\":\"a\"}");
    struct inst_value worse = parse("{\"id\":\"a\",\"forward-identity\":5}");
    struct inst_value none = inst_null();
    assert_int_equal(inst_attrs_put(attrs, &bad, &out, &err), INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(inst_attrs_put(attrs, &none, &out, &err), INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(inst_attrs_merge(attrs, &worse, &out, &err), INST_FAILED);
    inst_err_clear(&err);
    assert_null(out);
    assert_string_equal(forward(attrs, "p", "x"), "a");
    inst_attrs_unref(attrs);
}

static void many_attrs_are_all_found(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    struct inst_buf buf;
    char text[64];
    inst_buf_init(&buf);
    inst_buf_add_char(&buf, '[');
    for (int i = 0; i < COUNT; i++) {
        inst_buf_addf(&buf,
                      "%s{\"id\":\"i%d\",\"value-type\":\"blob\",\"cardinality\":\"one\","
                      "\"forward-identity\":[\"f\",\"e%d\",\"l%d\"]}",
                      i ? "," : "", i, i % 50, i);
    }
    inst_buf_add_char(&buf, ']');
    struct inst_attrs *attrs = make(buf.data);
    inst_buf_free(&buf);
    for (int i = 0; i < COUNT; i++) {
        char etype[16], label[16];
        snprintf(text, sizeof(text), "i%d", i);
        snprintf(etype, sizeof(etype), "e%d", i % 50);
        snprintf(label, sizeof(label), "l%d", i);
        assert_string_equal(forward(attrs, etype, label), text);
        assert_int_equal(by_id(attrs, text)->position, i);
    }
    inst_attrs_unref(attrs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_member),
        cmocka_unit_test(refuses_what_is_no_attr),
        cmocka_unit_test(knows_names_both_ways),
        cmocka_unit_test(a_later_attr_of_the_same_name_keeps_the_place),
        cmocka_unit_test(a_repeated_id_keeps_the_first_place_and_the_last_value),
        cmocka_unit_test(labels_like_integers_come_first),
        cmocka_unit_test(the_primary_attr_is_the_id_attr),
        cmocka_unit_test(changes_make_new_catalogs),
        cmocka_unit_test(several_are_put_at_once),
        cmocka_unit_test(a_change_that_fails_changes_nothing),
        cmocka_unit_test(many_attrs_are_all_found),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
