/*
 * The client's evaluation beyond the vectors: what it throws, join order against the reference
 * order, sharing, catalogs that change.
 */
#include "instaql/match.h"
#include "instaql/plan.h"
#include "instaql/query.h"
#include "instaql/reference.h"
#include "instaql_fixture.h"

static const char *const attrs[] = {
    "people.id any unique index",
    "people.name string",
    "people.age number",
    "people.boss ref people.reports",
    "people.friends ref people.friendOf many",
    "posts.id any unique index",
    "posts.title any",
    "posts.author ref people.posts",
    "posts.labels ref labels.posts many",
    "labels.id any unique index",
    "labels.text any",
    NULL,
};

enum { PEOPLE = 14, POSTS = 20, LABELS = 5 };

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static char *make_triples(void) {
    struct inst_buf b;
    uint32_t seed = 3;
    inst_buf_init(&b);
    inst_buf_add_str(&b, "[[900,\"people.name\",\"no id\"]");
    for (uint32_t i = 1; i <= PEOPLE; i++) {
        inst_buf_addf(&b, ",[%u,\"people.id\",%u,%u]", i, i, 1 + next_random(&seed) % 4);
        if (next_random(&seed) % 5) {
            inst_buf_addf(&b, ",[%u,\"people.name\",\"n%u\"]", i, next_random(&seed) % 4);
        }
        next_random(&seed) % 4 ? inst_buf_addf(&b, ",[%u,\"people.age\",%u]", i, i % 5)
                               : inst_buf_addf(&b, ",[%u,\"people.age\",null]", i);
        if (next_random(&seed) % 3) {
            inst_buf_addf(&b, ",[%u,\"people.boss\",%u]", i, 1 + next_random(&seed) % PEOPLE);
        }
        for (uint32_t k = next_random(&seed) % 4; k > 0; k--) {
            inst_buf_addf(&b, ",[%u,\"people.friends\",%u]", i, 1 + next_random(&seed) % PEOPLE);
        }
    }
    for (uint32_t i = 101; i <= 100 + POSTS; i++) {
        inst_buf_addf(&b, ",[%u,\"posts.id\",%u],[%u,\"posts.title\",%u]", i, i, i,
                      next_random(&seed) % 4);
        if (next_random(&seed) % 5) {
            inst_buf_addf(&b, ",[%u,\"posts.author\",%u]", i, 1 + next_random(&seed) % PEOPLE);
        }
        for (uint32_t k = next_random(&seed) % 3; k > 0; k--) {
            inst_buf_addf(&b, ",[%u,\"posts.labels\",%u]", i, 201 + next_random(&seed) % LABELS);
        }
    }
    for (uint32_t i = 201; i <= 200 + LABELS; i++) {
        inst_buf_addf(&b, ",[%u,\"labels.id\",%u],[%u,\"labels.text\",\"l%u\"]", i, i, i, i % 3);
    }
    inst_buf_add_char(&b, ']');
    return inst_buf_take(&b, NULL);
}

static int setup(void **state) {
    struct fixture *f = malloc(sizeof(*f));
    char *triples = make_triples();
    fixture_begin(f, attrs, triples);
    free(triples);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_end(*state);
    free(*state);
    return 0;
}

static const char *eval(struct fixture *f, const char *query) {
    struct inst_value q = fixture_json(f, query), out;
    struct inst_buf buf;
    if (inst_instaql_eval(f->store, &q, NULL, &f->arena, &out, &f->err) != INST_OK) {
        fail_msg("%s: %s", query, f->err.message);
    }
    inst_buf_init(&buf);
    inst_json_write(&buf, &out);
    const char *text = inst_arena_dup(&f->arena, buf.data, buf.len);
    inst_buf_free(&buf);
    return text;
}

static void expect_throw(struct fixture *f, const char *query, const char *type) {
    struct inst_value q = fixture_json(f, query), out;
    if (inst_instaql_eval(f->store, &q, NULL, &f->arena, &out, &f->err) == INST_OK) {
        fail_msg("did not throw: %s", query);
    }
    if (strcmp(f->err.type, type) != 0) {
        fail_msg("%s: %s %s", query, f->err.type, f->err.message);
    }
    inst_err_clear(&f->err);
}

static void throws_where_javascript_does(void **state) {
    struct fixture *f = *state;
    expect_throw(f, "null", "TypeError");
    expect_throw(f, "{\"people\":null}", "TypeError");
    expect_throw(f, "{\"people\":{\"posts\":null}}", "TypeError");
    expect_throw(f, "{\"people\":{\"$\":{\"where\":{\"name\":null}}}}", "TypeError");
    expect_throw(f, "{\"people\":{\"$\":{\"where\":{\"or\":[null]}}}}", "TypeError");
    expect_throw(f, "{\"people\":{\"$\":{\"where\":{\"name\":{\"$in\":5}}}}}", "TypeError");
    expect_throw(f, "{\"people\":{\"name\":{}}}", "Error");
    expect_throw(f, "{\"people\":{\"$\":{\"where\":{\"name.x\":1}}}}", "Error");
    /* A variable bound to null and met again. */
    expect_throw(f, "{\"people\":{\"$\":{\"where\":{\"age\":\"?x\",\"boss.age\":\"?x\"}}}}",
                 "TypeError");
}

static void throws_only_when_a_row_asks(void **state) {
    struct fixture *f = *state;
    assert_string_equal(eval(f, "{\"people\":{\"$\":{\"where\":{\"name\":\"zz\"}},\"name\":{}}}"),
                        "{\"data\":{\"people\":[]}}");
    assert_string_equal(eval(f, "{\"people\":{\"$\":{\"where\":{\"nope\":1,\"name\":null}}}}"),
                        "{\"data\":{\"people\":[]}}");
    assert_string_equal(eval(f, "{\"people\":{\"$\":{\"offset\":1,\"where\":{\"name\":null}}}}"),
                        "{\"data\":{\"people\":[]}}");
}

static void takes_odd_queries(void **state) {
    struct fixture *f = *state;
    assert_string_equal(eval(f, "5"), "{\"data\":{}}");
    assert_string_equal(eval(f, "[]"), "{\"data\":{}}");
    assert_string_equal(eval(f, "\"ab\""), "{\"data\":{\"0\":[],\"1\":[]}}");
    assert_string_equal(eval(f, "{\"labels\":{\"$\":{\"where\":{\"text\":\"l2\",\"id\":\"?x\"}}}}"),
                        eval(f, "{\"labels\":{\"$\":{\"where\":{\"text\":\"l2\"}}}}"));
    assert_string_equal(eval(f, "{\"nope\":\"ab\"}"), "{\"data\":{\"nope\":[]}}");
    assert_string_equal(eval(f, "{\"$$ruleParams\":{\"a\":1}}"), "{\"data\":{}}");
}

/* ---- join order ---- */

static void add_condition(struct inst_buf *b, uint32_t *seed, int depth);

static void add_where(struct inst_buf *b, uint32_t *seed, int depth) {
    uint32_t count = 1 + next_random(seed) % 3;
    inst_buf_add_char(b, '{');
    for (uint32_t i = 0; i < count; i++) {
        inst_buf_add(b, ",", i > 0);
        add_condition(b, seed, depth);
    }
    inst_buf_add_char(b, '}');
}

static void add_condition(struct inst_buf *b, uint32_t *seed, int depth) {
    static const char *const paths[] = {"name",
                                        "age",
                                        "boss.name",
                                        "posts.title",
                                        "reports.age",
                                        "friends.name",
                                        "friendOf.posts.title",
                                        "posts.labels.text",
                                        "boss.boss.id",
                                        "posts.author.age"};
    static const char *const conditions[] = {"\"n1\"",
                                             "2",
                                             "{\"$in\":[\"n1\",\"n2\",1,null]}",
                                             "{\"$not\":\"n1\"}",
                                             "{\"$not\":1}",
                                             "{\"$isNull\":true}",
                                             "{\"$isNull\":false}",
                                             "{\"$gt\":1}",
                                             "{\"$lte\":2}",
                                             "{\"$like\":\"n%\"}",
                                             "\"l1\""};
    if (depth > 0 && next_random(seed) % 4 == 0) {
        uint32_t count = next_random(seed) % 4;
        inst_buf_addf(b, "\"%s\":[", next_random(seed) % 2 ? "or" : "and");
        for (uint32_t i = 0; i < count; i++) {
            inst_buf_add(b, ",", i > 0);
            add_where(b, seed, depth - 1);
        }
        inst_buf_add_char(b, ']');
        return;
    }
    inst_buf_addf(b, "\"%s\":%s", paths[next_random(seed) % 10],
                  conditions[next_random(seed) % 11]);
}

static int compare_numbers(const void *a, const void *b) {
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static size_t sorted_distinct(uint32_t *list, size_t count) {
    size_t kept = 0;
    qsort(list, count, sizeof(*list), compare_numbers);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || list[kept - 1] != list[i]) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* Entities by the planned order against those by the reference order. */
static void compare_orders(struct fixture *f, struct inst_query *query, const char *text) {
    struct inst_arena scratch;
    struct inst_matcher planned, reference;
    struct inst_match_rows rows = {0};
    static uint32_t got[200000], want[200000];
    size_t got_count = 0, want_count = 0;
    inst_arena_init(&scratch);
    struct inst_run run = {.store = f->store, .scratch = &scratch, .err = &f->err};
    run.operators.store = f->store;
    assert_int_equal(inst_query_prepare(query, f->attrs, &f->err), INST_OK);
    const struct inst_spec *spec = &query->forms[0].spec;
    assert_int_equal(query->forms[0].state, INST_SPEC_OK);
    assert_int_equal(inst_matcher_init(&planned, &run, spec), INST_OK);
    assert_int_equal(inst_matcher_init(&reference, &run, spec), INST_OK);
    planned.is_existential = true;
    inst_matcher_start(&planned, 0, 0);
    assert_int_equal(inst_plan_make(&planned), INST_OK);
    while (inst_matcher_next(&planned) == 1) {
        got[got_count++] = planned.slots[spec->root].e;
        inst_matcher_leave_root(&planned);
    }
    assert_int_equal(inst_reference_run(&reference, 0, &rows), INST_OK);
    for (size_t i = 0; i < rows.count; i++) {
        want[want_count++] = rows.items[i].e;
    }
    got_count = sorted_distinct(got, got_count);
    want_count = sorted_distinct(want, want_count);
    if (got_count != want_count || memcmp(got, want, got_count * sizeof(*got)) != 0) {
        fail_msg("%zu entities in planned order, %zu in reference order: %s", got_count, want_count,
                 text);
    }
    inst_buf_free(&run.operators.scratch[0]);
    inst_buf_free(&run.operators.scratch[1]);
    inst_arena_free(&scratch);
}

static void join_order_does_not_show(void **state) {
    struct fixture *f = *state;
    uint32_t seed = 17;
    for (int i = 0; i < 1500; i++) {
        struct inst_buf b;
        struct inst_query *query;
        inst_buf_init(&b);
        inst_buf_add_str(&b, "{\"people\":{\"$\":{\"where\":");
        add_where(&b, &seed, 2);
        inst_buf_add_str(&b, "}}}");
        struct inst_value q = fixture_json(f, b.data);
        assert_int_equal(inst_query_new(&q, INST_QUERY_CLIENT, &query, &f->err), INST_OK);
        compare_orders(f, query, b.data);
        inst_query_free(query);
        inst_buf_free(&b);
    }
}

static void a_limit_cuts_what_would_have_come(void **state) {
    static const char *const labels[] = {"name", "age", "id", "boss"};
    struct fixture *f = *state;
    for (int i = 0; i < 4 * 2 * 3 * 2; i++) {
        char all[200], cut[200], where[80] = "";
        struct inst_value q, whole, few;
        if (i % 2) {
            snprintf(where, sizeof(where), ",\"where\":{\"friends.id\":{\"$isNull\":false}}");
        }
        const char *label = labels[i / 2 % 4], *direction = i / 8 % 2 ? "desc" : "asc";
        snprintf(all, sizeof(all), "{\"people\":{\"$\":{\"order\":{\"%s\":\"%s\"}%s}}}", label,
                 direction, where);
        snprintf(cut, sizeof(cut),
                 "{\"people\":{\"$\":{\"order\":{\"%s\":\"%s\"},\"limit\":%d%s}}}", label,
                 direction, 1 + i / 16, where);
        q = fixture_json(f, all);
        assert_int_equal(inst_instaql_eval(f->store, &q, NULL, &f->arena, &whole, &f->err), 0);
        q = fixture_json(f, cut);
        assert_int_equal(inst_instaql_eval(f->store, &q, NULL, &f->arena, &few, &f->err), 0);
        const struct inst_value *rows = inst_getz(inst_getz(&whole, "data"), "people");
        const struct inst_value *first = inst_getz(inst_getz(&few, "data"), "people");
        assert_int_equal(first->len, 1 + i / 16);
        for (uint32_t k = 0; k < first->len; k++) {
            assert_true(inst_value_equal(&first->u.items[k], &rows->u.items[k]));
        }
    }
}

/* ---- prepared queries ---- */

static void runs_again_after_writes_and_new_attrs(void **state) {
    struct fixture *f = *state;
    struct inst_value q =
        fixture_json(f, "{\"labels\":{\"$\":{\"where\":{\"extra\":1},\"fields\":[\"extra\"]}}}");
    struct inst_query *query;
    struct inst_value out;
    struct inst_attrs *more;
    assert_int_equal(inst_query_new(&q, INST_QUERY_CLIENT, &query, &f->err), INST_OK);
    assert_int_equal(inst_query_eval(query, f->store, NULL, &f->arena, &out, &f->err), INST_OK);
    assert_int_equal(inst_getz(inst_getz(&out, "data"), "labels")->len, 0);
    struct inst_value attr = fixture_json(
        f, "{\"id\":\"x\",\"value-type\":\"blob\",\"cardinality\":\"one\","
           "\"forward-identity\":[\"i\",\"labels\",\"extra\"],\"unique?\":false,\"index?\":false}");
    assert_int_equal(inst_attrs_put(f->store->attrs, &attr, &more, &f->err), INST_OK);
    assert_int_equal(inst_mem_store_set_attrs(f->mem, more, false, &f->err), INST_OK);
    char id[37];
    fixture_id(202, id);
    struct inst_value one = inst_number(1);
    assert_int_equal(inst_mem_store_put(f->mem, inst_mem_store_intern(f->mem, id, 36),
                                        inst_attrs_by_id(more, "x", 1), &one, 5, &f->err),
                     INST_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inst_query_eval(query, f->store, NULL, &f->arena, &out, &f->err), INST_OK);
        const struct inst_value *labels = inst_getz(inst_getz(&out, "data"), "labels");
        assert_int_equal(labels->len, 1);
        assert_int_equal(inst_getz(&labels->u.items[0], "extra")->u.num, 1);
    }
    inst_attrs_unref(more);
    inst_query_free(query);
}

static void shares_what_is_reached_twice(void **state) {
    struct fixture *f = *state;
    struct inst_value q = fixture_json(f, "{\"posts\":{\"labels\":{\"posts\":{}}}}"), out;
    assert_int_equal(inst_instaql_eval(f->store, &q, NULL, &f->arena, &out, &f->err), INST_OK);
    const struct inst_value *posts = inst_getz(inst_getz(&out, "data"), "posts");
    const struct inst_value *first = NULL;
    unsigned shared = 0;
    for (uint32_t i = 0; i < posts->len; i++) {
        const struct inst_value *labels = inst_getz(&posts->u.items[i], "labels");
        for (uint32_t k = 0; k < labels->len; k++) {
            const struct inst_value *label = &labels->u.items[k];
            if (!first) {
                first = label;
            } else if (inst_value_equal(first, label)) {
                shared += inst_value_same(first, label);
            }
        }
    }
    assert_true(shared > 0);
}

static void keeps_result_of_a_query_run_once(void **state) {
    struct fixture *f = *state;
    char *text = strdup("{\"labels\":{\"$\":{\"limit\":1,\"fields\":[\"text\"]},\"nope\":{}}}");
    struct inst_value q = fixture_json(f, text), out, copy;
    struct inst_arena arena;
    inst_arena_init(&arena);
    assert_true(inst_value_dup(&arena, &q, &copy));
    assert_int_equal(inst_instaql_eval(f->store, &copy, NULL, &f->arena, &out, &f->err), INST_OK);
    inst_arena_free(&arena);
    free(text);
    assert_non_null(inst_getz(&inst_getz(inst_getz(&out, "data"), "labels")->u.items[0], "nope"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(throws_where_javascript_does),
        TEST(throws_only_when_a_row_asks),
        TEST(takes_odd_queries),
        TEST(join_order_does_not_show),
        TEST(a_limit_cuts_what_would_have_come),
        TEST(runs_again_after_writes_and_new_attrs),
        TEST(shares_what_is_reached_twice),
        TEST(keeps_result_of_a_query_run_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
