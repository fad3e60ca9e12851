/*
 * Local transactions beyond what the vectors say: all or nothing, the catalog included; times;
 * steps that are none; deep merges of every size.
 */
#include "base/json.h"
#include "instaml/deep_merge.h"
#include "instaml/transact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char attrs_json[] =
    "[{\"id\":\"id\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"1\",\"p\",\"id\"]},"
    "{\"id\":\"name\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"2\",\"p\",\"name\"]},"
    "{\"id\":\"data\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"3\",\"p\",\"data\"]},"
    "{\"id\":\"kin\",\"value-type\":\"ref\",\"cardinality\":\"many\","
    "\"forward-identity\":[\"4\",\"p\",\"kin\"],\"reverse-identity\":[\"5\",\"p\",\"nik\"]}]";

struct fixture {
    struct inst_arena arena;
    struct inst_mem_store *store;
    struct inst_store *base;
    struct inst_created_at counter;
    int64_t now;
};

static int64_t now_of(void *ctx) { return ((struct fixture *)ctx)->now; }

static struct inst_value parse(struct fixture *f, const char *json) {
    struct inst_value v;
    struct inst_err err = {0};
    if (inst_json_parse(&f->arena, json, strlen(json), &v, &err) != INST_OK) {
        fail_msg("%s: %s", err.message, json);
    }
    return v;
}

static int open_fixture(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct inst_attrs *attrs;
    struct inst_mem_options options = {0};
    inst_arena_init(&f->arena);
    f->now = 1700000000000;
    struct inst_value list = parse(f, attrs_json);
    assert_int_equal(inst_attrs_new(&list, &attrs, NULL), INST_OK);
    assert_int_equal(inst_mem_store_new(attrs, options, &f->store, NULL), INST_OK);
    inst_attrs_unref(attrs);
    f->base = inst_mem_store_as_store(f->store);
    struct inst_value triples = parse(f, "[[\"a\",\"id\",\"a\",1],[\"a\",\"name\",\"Ann\",2],"
                                         "[\"a\",\"data\",{\"x\":{\"y\":1}},3]]");
    assert_int_equal(inst_mem_store_load(f->store, &triples, NULL), INST_OK);
    *state = f;
    return 0;
}

static int close_fixture(void **state) {
    struct fixture *f = *state;
    inst_mem_store_free(f->store);
    inst_arena_free(&f->arena);
    free(f);
    return 0;
}

static enum inst_status run(struct fixture *f, const char *json, struct inst_err *err) {
    const struct inst_env env = {.ctx = f, .now_ms = now_of};
    struct inst_value steps = parse(f, json);
    return inst_transact(f->store, &steps, &env, &f->counter, err);
}

static void run_ok(struct fixture *f, const char *json) {
    struct inst_err err = {0};
    if (run(f, json, &err) != INST_OK) {
        fail_msg("%s: %s", err.message, json);
    }
}

static void run_fails(struct fixture *f, const char *json, const char *type, const char *message) {
    struct inst_err err = {0};
    assert_int_equal(run(f, json, &err), INST_FAILED);
    assert_string_equal(err.type, type);
    assert_string_equal(err.message, message);
    inst_err_clear(&err);
}

static bool dump_triple(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    void **both = ctx;
    struct inst_store *base = both[0];
    struct inst_buf *buf = both[1];
    struct inst_value e = base->ops->entity_id(base, triple->e);
    inst_buf_addf(buf, "%.*s.%.*s=", (int)e.len, e.u.str, (int)attr->id.len, attr->id.u.str);
    inst_json_write(buf, &triple->v);
    inst_buf_add_char(buf, ' ');
    return true;
}

static void expect(struct fixture *f, const char *expected) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    void *both[] = {f->base, &buf};
    inst_mem_store_each(f->store, dump_triple, both);
    assert_string_equal(buf.data ? buf.data : "", expected);
    inst_buf_free(&buf);
}

#define BEFORE "a.id=\"a\" a.name=\"Ann\" a.data={\"x\":{\"y\":1}} "

static int64_t time_of(struct fixture *f, const char *e, const char *attr) {
    struct inst_triple triple = {.t = -1};
    inst_mem_store_first(f->store, f->base->ops->entity(f->base, e, strlen(e)),
                         inst_attrs_by_id(f->base->attrs, attr, strlen(attr)), &triple);
    return triple.t;
}

/* ---- all or nothing ---- */

static void a_failing_step_undoes_the_others_and_the_catalog(void **state) {
    struct fixture *f = *state;
    struct inst_attrs *attrs = f->base->attrs;
    run_fails(f,
              "[[\"add-triple\",\"b\",\"id\",\"b\"],[\"add-triple\",\"a\",\"kin\",\"b\"],"
              "[\"add-attr\",{\"id\":\"z\",\"value-type\":\"blob\",\"cardinality\":\"one\","
              "\"forward-identity\":[\"6\",\"p\",\"z\"]}],[\"add-triple\",\"a\",\"z\",1],"
              "[\"delete-attr\",\"name\"],[\"delete-entity\",\"a\",\"p\"],[\"jump\"]]",
              "Error", "unhandled transaction action: jump");
    expect(f, BEFORE);
    assert_ptr_equal(f->base->attrs, attrs);
    assert_int_equal(f->base->ops->entity(f->base, "b", 1), 0);
}

static void a_mark_of_the_caller_stays_good(void **state) {
    struct fixture *f = *state;
    uint64_t mark = inst_mem_store_mark(f->store);
    run_fails(f, "[[\"add-triple\",\"b\",\"id\",\"b\"],[\"jump\"]]", "Error",
              "unhandled transaction action: jump");
    run_ok(f, "[[\"add-triple\",\"b\",\"id\",\"b\"]]");
    run_ok(f, "[[\"delete-attr\",\"name\"]]");
    expect(f, "a.id=\"a\" a.data={\"x\":{\"y\":1}} b.id=\"b\" ");
    assert_int_equal(inst_mem_store_rollback(f->store, mark, NULL), INST_OK);
    expect(f, BEFORE);
}

static void steps_that_are_none_fail(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {"[1]", "[[]]",  "[[7,\"a\"]]", "[{}]",
                                      "{}",  "\"x\"", "[null]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        run_fails(f, bad[i], "validation-failed", "Malformed tx-step");
    }
    expect(f, BEFORE);
}

static void steps_without_what_they_need_do_nothing(void **state) {
    struct fixture *f = *state;
    run_ok(f,
           "[[\"add-triple\"],[\"add-triple\",5,\"name\",1],[\"add-triple\",\"\",\"name\",1],"
           "[\"add-triple\",null,\"name\",1],[\"add-triple\",\"b\",7,1],"
           "[\"add-triple\",[],\"name\",1],[\"add-triple\",[1,2],\"name\",1],"
           "[\"add-triple\",[\"name\",\"Bob\"],\"name\",1],[\"retract-triple\"],"
           "[\"retract-triple\",\"b\",\"name\",1],[\"retract-triple\",\"a\",\"name\",\"Bob\"],"
           "[\"deep-merge-triple\"],[\"deep-merge-triple\",\"b\",\"name\",{}],"
           "[\"delete-entity\"],[\"delete-entity\",\"b\"],[\"delete-attr\"],[\"delete-attr\",{}],"
           "[\"delete-attr\",\"q\"],[\"update-attr\"],[\"update-attr\",{\"id\":\"q\"}],"
           "[\"restore-attr\",\"q\"],[\"rule-params\",\"a\",\"p\",{}]]");
    expect(f, BEFORE);
    run_fails(f, "[[\"add-attr\"]]", "validation-failed", "Attr needs an id");
    run_fails(f, "[[\"add-attr\",{\"id\":\"q\"}]]", "validation-failed",
              "Attr q needs a forward-identity");
}

static void a_long_action_is_cut(void **state) {
    struct fixture *f = *state;
    struct inst_err err = {0};
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "[[\"");
    for (int i = 0; i < 100000; i++) {
        inst_buf_add_char(&buf, 'x');
    }
    inst_buf_add_str(&buf, "\"]]");
    assert_int_equal(run(f, buf.data, &err), INST_FAILED);
    assert_true(strlen(err.message) < 400);
    inst_err_clear(&err);
    inst_buf_free(&buf);
}

/* ---- lookups and modes ---- */

static void lookups_find_entities_and_values(void **state) {
    struct fixture *f = *state;
    run_ok(f, "[[\"add-triple\",\"b\",\"name\",\"Bob\"],"
              "[\"add-triple\",[\"name\",\"Bob\"],\"kin\",[\"name\",\"Ann\"]],"
              "[\"add-triple\",[\"name\",\"Ann\"],\"data\",[\"nope\",\"Bob\"]],"
              "[\"add-triple\",\"a\",\"kin\",[\"name\",\"Cy\"]]]");
    expect(f, "a.id=\"a\" a.name=\"Ann\" a.data=[\"nope\",\"Bob\"] b.name=\"Bob\" b.kin=\"a\" ");
    run_ok(f, "[[\"delete-entity\",[\"name\",\"Ann\"],\"p\"]]");
    expect(f, "b.name=\"Bob\" ");
}

static void modes_look_at_the_state_before(void **state) {
    struct fixture *f = *state;
    run_ok(f, "[[\"add-triple\",\"b\",\"id\",\"b\",{\"mode\":\"create\"}],"
              "[\"add-triple\",\"b\",\"name\",\"Bob\",{\"mode\":\"update\"}],"
              "[\"add-triple\",\"a\",\"name\",\"No\",{\"mode\":\"create\"}],"
              "[\"deep-merge-triple\",\"a\",\"data\",{\"z\":1},{\"mode\":\"update\"}],"
              "[\"add-triple\",\"a\",\"kin\",\"b\",{\"mode\":\"upsert\"}]]");
    expect(f, "a.id=\"a\" a.name=\"Ann\" a.data={\"x\":{\"y\":1},\"z\":1} a.kin=\"b\" b.id=\"b\" ");
}

/* ---- times ---- */

static void times_grow_whatever_the_clock_does(void **state) {
    struct fixture *f = *state;
    run_ok(f, "[[\"add-triple\",\"b\",\"name\",1]]");
    int64_t first = time_of(f, "b", "name");
    assert_true(first >= 17000000000000);
    f->now -= 1000000;
    run_ok(f, "[[\"add-triple\",\"b\",\"name\",2]]");
    int64_t second = time_of(f, "b", "name");
    assert_true(second > first);
    run_ok(f, "[[\"add-triple\",\"b\",\"name\",2]]");
    assert_true(time_of(f, "b", "name") == second);
    f->now += 5000000;
    run_ok(f, "[[\"add-triple\",\"b\",\"name\",3]]");
    assert_true(time_of(f, "b", "name") >= f->now * 10);
}

static void a_merged_object_counts_as_new_once_a_transaction(void **state) {
    struct fixture *f = *state;
    run_ok(f, "[[\"deep-merge-triple\",\"a\",\"data\",{\"b\":1}],"
              "[\"deep-merge-triple\",\"a\",\"data\",{\"c\":1}]]");
    int64_t t = time_of(f, "a", "data");
    assert_int_equal(f->counter.count, 1);
    assert_true(t == f->counter.last);
    run_ok(f, "[[\"deep-merge-triple\",\"a\",\"name\",{\"n\":1}]]");
    assert_int_equal(time_of(f, "a", "name"), 2);
    expect(f, "a.id=\"a\" a.name={\"n\":1} a.data={\"x\":{\"y\":1},\"b\":1,\"c\":1} ");
}

/* ---- deep merge ---- */

static void expect_merge(struct fixture *f, const char *target, const char *patch,
                         const char *expected) {
    struct inst_value a = parse(f, target), b = parse(f, patch), out;
    struct inst_buf buf;
    inst_buf_init(&buf);
    assert_true(inst_deep_merge(&f->arena, &a, &b, &out));
    inst_json_write(&buf, &out);
    assert_string_equal(buf.data, expected);
    inst_buf_free(&buf);
}

static void merges_as_the_official_client(void **state) {
    struct fixture *f = *state;
    expect_merge(f, "{}", "{}", "{}");
    expect_merge(f, "{\"b\":1,\"a\":2}", "{\"c\":3,\"a\":4}", "{\"b\":1,\"a\":4,\"c\":3}");
    expect_merge(f, "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"x\":null,\"z\":{\"n\":null}}}",
                 "{\"a\":{\"y\":2,\"z\":{\"n\":null}}}");
    expect_merge(f, "{\"a\":[1]}", "{\"a\":{\"b\":null}}", "{\"a\":{\"b\":null}}");
    expect_merge(f, "{\"a\":1}", "[1]", "[1]");
    expect_merge(f, "5", "{\"a\":null}", "{\"a\":null}");
    expect_merge(f, "{\"a\":1}", "null", "null");
    expect_merge(f, "{\"z\":1}", "{\"7\":1}", "{\"7\":1,\"z\":1}");
}

static void merges_large_objects(void **state) {
    struct fixture *f = *state;
    struct inst_buf target, patch, expected;
    inst_buf_init(&target);
    inst_buf_init(&patch);
    inst_buf_init(&expected);
    for (int i = 0; i < 3000; i++) {
        char c = i ? ',' : '{';
        inst_buf_addf(&target, "%c\"k%d\":{\"n\":%d}", c, i, i);
        inst_buf_addf(&patch, i % 3 ? "%c\"k%d\":{\"m\":%d}" : "%c\"k%d\":null", c, i + 1000, i);
    }
    for (int i = 0; i < 4000; i++) {
        bool is_old = i < 3000, is_patched = i >= 1000;
        if (is_patched && (i - 1000) % 3 == 0) {
            continue;
        }
        inst_buf_addf(&expected, "%c\"k%d\":{", i ? ',' : '{', i);
        if (is_old) {
            inst_buf_addf(&expected, "\"n\":%d", i);
        }
        if (is_patched) {
            inst_buf_addf(&expected, "%s\"m\":%d", is_old ? "," : "", i - 1000);
        }
        inst_buf_add_char(&expected, '}');
    }
    inst_buf_add_char(&target, '}');
    inst_buf_add_char(&patch, '}');
    inst_buf_add_char(&expected, '}');
    expect_merge(f, target.data, patch.data, expected.data);
    inst_buf_free(&target);
    inst_buf_free(&patch);
    inst_buf_free(&expected);
}

static void dates_merge_as_objects_without_members(void **state) {
    struct fixture *f = *state;
    struct inst_value date = inst_date(0), object = parse(f, "{\"a\":1,\"b\":null}"), out;
    assert_true(inst_deep_merge(&f->arena, &date, &object, &out));
    assert_int_equal(out.tag, INST_OBJECT);
    assert_int_equal(out.len, 1);
    assert_true(inst_deep_merge(&f->arena, &object, &date, &out));
    assert_int_equal(out.len, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        TEST(a_failing_step_undoes_the_others_and_the_catalog),
        TEST(a_mark_of_the_caller_stays_good),
        TEST(steps_that_are_none_fail),
        TEST(steps_without_what_they_need_do_nothing),
        TEST(a_long_action_is_cut),
        TEST(lookups_find_entities_and_values),
        TEST(modes_look_at_the_state_before),
        TEST(times_grow_whatever_the_clock_does),
        TEST(a_merged_object_counts_as_new_once_a_transaction),
        TEST(merges_as_the_official_client),
        TEST(merges_large_objects),
        TEST(dates_merge_as_objects_without_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
