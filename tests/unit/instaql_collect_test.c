/* What the server collects for a query: triples, counts, trees, what a viewer may not see. */
#include "instaql_fixture.h"

static const char *const attrs[] = {
    "people.id any unique index",
    "people.name string index",
    "people.age number index",
    "people.active boolean index",
    "people.born date index",
    "people.nick any",
    "people.boss ref people.reports",
    "people.friends ref people.friendOf many",
    "people.profile ref profiles.person unique",
    "posts.id any unique index",
    "posts.title string index",
    "posts.likes number index",
    "posts.day date",
    "posts.author ref people.posts",
    "posts.labels ref labels.posts many",
    "labels.id any unique index",
    "labels.text any",
    "profiles.id any unique index",
    "profiles.bio any",
    "$files.id any unique index",
    "$files.path string index",
    "$files.location-id string index",
    "$files.url string",
    NULL,
};

static const char triples[] =
    "[[1,\"people.id\",1,10],[1,\"people.name\",\"Ann\",11],[1,\"people.age\",30,12],"
    "[1,\"people.active\",true,12],[1,\"people.born\",\"2000-01-02\",12],"
    "[2,\"people.id\",2,20],[2,\"people.name\",\"Bob\",21],[2,\"people.age\",null,22],"
    "[2,\"people.nick\",\"bo_b\",22],[2,\"people.boss\",1,23],[2,\"people.born\",946771200000,12],"
    "[3,\"people.id\",3,30],[3,\"people.name\",null,31],[3,\"people.age\",40,32],"
    "[3,\"people.boss\",2,33],[3,\"people.friends\",1,34],[3,\"people.friends\",2,35],"
    "[11,\"posts.id\",11,40],[11,\"posts.title\",\"Hello\",41],[11,\"posts.author\",1,42],"
    "[11,\"posts.likes\",5,43],[11,\"posts.day\",\"2020-01-01\",43],"
    "[12,\"posts.id\",12,50],[12,\"posts.title\",\"Hi%there\",51],[12,\"posts.author\",1,52],"
    "[12,\"posts.likes\",9,53],[13,\"posts.id\",13,60],[13,\"posts.title\",\"Alone\",61],"
    "[11,\"posts.labels\",21,62],[12,\"posts.labels\",21,63],[12,\"posts.labels\",22,64],"
    "[21,\"labels.id\",21,70],[21,\"labels.text\",\"red\",71],[22,\"labels.id\",22,72],"
    "[22,\"labels.text\",\"blue\",73],[31,\"profiles.id\",31,80],[31,\"profiles.bio\",\"x\",81],"
    "[1,\"people.profile\",31,82],[41,\"$files.id\",41,90],[41,\"$files.path\",\"a.txt\",91],"
    "[41,\"$files.location-id\",\"loc\",92]]";

static int setup(void **state) {
    struct fixture *f = malloc(sizeof(*f));
    fixture_begin(f, attrs, triples);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_end(*state);
    free(*state);
    return 0;
}

static void collect(struct fixture *f, struct inst_store *store, const char *query,
                    const struct inst_collect_options *opts, struct inst_collected *out) {
    struct inst_value q = fixture_json(f, query);
    if (inst_instaql_collect(store, &q, opts, &f->arena, out, &f->err) != INST_OK) {
        fail_msg("%s: %s", query, f->err.message);
    }
}

/* From the plain store and the one with ranges alike. */
static void expect(void **state, const char *query, const char *lines) {
    struct fixture *f = *state;
    struct inst_store *stores[] = {f->store, &f->ranged.store};
    for (int i = 0; i < 2; i++) {
        struct inst_collected out;
        collect(f, stores[i], query, NULL, &out);
        const char *got = fixture_lines(f, &out);
        if (strcmp(got, lines) != 0) {
            fail_msg("%s (store %d)\nexpected:\n%sgot:\n%s", query, i, lines, got);
        }
    }
}

/* Only which entities of the first namespace came: "1 3". */
static void expect_roots(void **state, const char *where, const char *numbers) {
    struct fixture *f = *state;
    char query[512];
    struct inst_store *stores[] = {f->store, &f->ranged.store};
    snprintf(query, sizeof(query), "{\"people\":{\"$\":{\"where\":%s}}}", where);
    for (int i = 0; i < 2; i++) {
        struct inst_value q = fixture_json(f, query), tree;
        struct inst_query *prepared;
        char got[64] = "";
        assert_int_equal(inst_query_new(&q, INST_QUERY_SERVER, &prepared, &f->err), INST_OK);
        if (inst_query_tree(prepared, stores[i], NULL, &f->arena, &tree, NULL, &f->err)) {
            fail_msg("%s: %s", where, f->err.message);
        }
        const struct inst_value *people = inst_getz(&tree, "people");
        for (uint32_t k = 0; k < people->len; k++) {
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u", k ? " " : "",
                     fixture_number(inst_getz(&people->u.items[k], "id")));
        }
        inst_query_free(prepared);
        if (strcmp(got, numbers) != 0) {
            fail_msg("%s (store %d): expected [%s], got [%s]", where, i, numbers, got);
        }
    }
}

static void collects_fields_of_matches(void **state) {
    expect(state, "{\"people\":{\"$\":{\"where\":{\"name\":\"Bob\"}}}}",
           "2 people.age null\n2 people.born 946771200000\n2 people.boss 1\n2 people.id 2\n"
           "2 people.name \"Bob\"\n2 people.nick \"bo_b\"\n");
}

static void leaves_out_many_links(void **state) {
    expect(state,
           "{\"people\":{\"$\":{\"where\":{\"id\":\"00000003-0000-4000-8000-000000000000\"}}}}",
           "3 people.age 40\n3 people.boss 2\n3 people.id 3\n3 people.name null\n");
}

static void collects_children_and_their_links(void **state) {
    expect(state,
           "{\"people\":{\"$\":{\"where\":{\"name\":\"Ann\"},\"fields\":[\"name\"]},"
           "\"posts\":{\"$\":{\"where\":{\"title\":\"Hello\"},\"fields\":[]},"
           "\"labels\":{\"$\":{\"fields\":[\"text\"]}}}}}",
           "1 people.id 1\n1 people.name \"Ann\"\n11 posts.author 1\n11 posts.id 11\n"
           "11 posts.labels 21\n11 posts.title \"Hello\"\n21 labels.id 21\n"
           "21 labels.text \"red\"\n");
}

static void collects_the_links_of_a_path(void **state) {
    expect(
        state,
        "{\"people\":{\"$\":{\"where\":{\"posts.labels.text\":\"blue\"},\"fields\":[\"name\"]}}}",
        "1 people.id 1\n1 people.name \"Ann\"\n12 posts.author 1\n12 posts.labels 22\n"
        "22 labels.text \"blue\"\n");
}

static void collects_the_id_for_null(void **state) {
    expect(state, "{\"posts\":{\"$\":{\"where\":{\"author\":{\"$isNull\":true}},\"fields\":[]}}}",
           "13 posts.id 13\n");
}

static void ignores_limit_and_order_of_children(void **state) {
    expect(state,
           "{\"people\":{\"$\":{\"where\":{\"name\":\"Ann\"},\"fields\":[]},\"posts\":{\"$\":"
           "{\"limit\":1,\"order\":{\"likes\":\"desc\"},\"fields\":[]}}}}",
           "1 people.id 1\n1 people.name \"Ann\"\n11 posts.author 1\n11 posts.id 11\n"
           "12 posts.author 1\n12 posts.id 12\n");
}

static void gives_nothing_for_unknown_names(void **state) {
    expect(state, "{\"nope\":{},\"people\":{\"$\":{\"where\":{\"what\":1}}}}", "");
    expect(state,
           "{\"people\":{\"$\":{\"where\":{\"name\":\"Ann\"},\"fields\":[\"what\"]},\"nope\":{}}}",
           "1 people.id 1\n1 people.name \"Ann\"\n");
    expect(state, "{}", "");
}

static void matches_as_the_server_does(void **state) {
    expect_roots(state, "{}", "1 2 3");
    expect_roots(state, "{\"age\":{\"$gt\":30}}", "3");
    expect_roots(state, "{\"age\":{\"$gte\":30}}", "1 3");
    expect_roots(state, "{\"age\":{\"$lt\":35}}", "1");             /* null is no number */
    expect_roots(state, "{\"name\":{\"$lt\":\"Bob\"}}", "1 3");     /* null is below all text */
    expect_roots(state, "{\"age\":{\"$gt\":0,\"$lt\":35}}", "1 3"); /* first key only */
    expect_roots(state, "{\"and\":[{\"age\":{\"$gt\":0}},{\"age\":{\"$lt\":35}}]}", "1");
    expect_roots(state, "{\"name\":{\"$not\":\"Ann\"}}", "2 3");
    expect_roots(state, "{\"nick\":{\"$ne\":\"bo_b\"}}", "1 3");
    expect_roots(state, "{\"active\":true}", "1");
    expect_roots(state, "{\"active\":{\"$isNull\":true}}", "2 3");
    expect_roots(state, "{\"active\":{\"$isNull\":false}}", "1");
    expect_roots(state, "{\"name\":{\"$in\":[\"Ann\",\"Bob\",\"Ann\"]}}", "1 2");
    expect_roots(state, "{\"name\":{\"$in\":[null,\"Bob\"]}}", "2 3");
    expect_roots(state, "{\"name\":{\"$in\":[]}}", "");
    expect_roots(state, "{\"name\":{\"$like\":\"B%\"}}", "2");
    expect_roots(state, "{\"name\":{\"$ilike\":\"%B\"}}", "2");
    expect_roots(state, "{\"name\":\"?x\"}", ""); /* plain text here */
}

static void compares_indexed_dates_as_instants(void **state) {
    expect_roots(state, "{\"born\":946771200000}", "1 2"); /* 2000-01-02 */
    expect_roots(state, "{\"born\":\"2000-01-02T00:00:00Z\"}", "1 2");
    expect_roots(state, "{\"born\":{\"$in\":[\"2000-01-02\",0]}}", "1 2");
    expect_roots(state, "{\"born\":{\"$gt\":\"2000-01-01\"}}", "1 2");
    expect_roots(state, "{\"born\":{\"$lt\":\"2000-01-02\"}}", "");
    expect_roots(state, "{\"born\":{\"$not\":\"2000-01-02\"}}", "");
    /* Without an index the stored value counts. */
    expect_roots(state, "{\"posts.day\":\"2020-01-01\"}", "1");
    expect_roots(state, "{\"posts.day\":1577836800000}", "");
}

static void reads_links_both_ways(void **state) {
    const char *one = "\"00000001-0000-4000-8000-000000000000\"";
    char where[200];
    snprintf(where, sizeof(where), "{\"boss\":%s}", one);
    expect_roots(state, where, "2");
    snprintf(where, sizeof(where), "{\"boss\":{\"$in\":[%s]}}", one);
    expect_roots(state, where, "2");
    snprintf(where, sizeof(where), "{\"boss\":{\"$not\":%s}}", one);
    expect_roots(state, where, "1 3");
    snprintf(where, sizeof(where), "{\"friendOf\":{\"$in\":[%s]}}",
             "\"00000003-0000-4000-8000-000000000000\"");
    expect_roots(state, where, "1 2");
    snprintf(where, sizeof(where), "{\"reports\":{\"$not\":%s}}",
             "\"00000002-0000-4000-8000-000000000000\"");
    expect_roots(state, where, "2 3"); /* 2 has another, 3 has none */
    expect_roots(state, "{\"reports\":{\"$isNull\":true}}", "3");
    expect_roots(state, "{\"boss.boss.name\":\"Ann\"}", "3");
    expect_roots(state, "{\"boss.name\":{\"$isNull\":true}}", "1");
    expect_roots(state, "{\"boss.name\":{\"$not\":\"Ann\"}}", "1 3");
}

static void keeps_elements_of_lists_apart(void **state) {
    /* One post has the title, another the likes. */
    expect_roots(state, "{\"posts.title\":\"Hello\",\"posts.likes\":9}", "");
    expect_roots(state, "{\"and\":[{\"posts.title\":\"Hello\"},{\"posts.likes\":9}]}", "1");
    expect_roots(state, "{\"and\":[{\"posts.title\":\"Hello\",\"posts.likes\":9}]}", "1");
    expect_roots(state, "{\"or\":[{\"posts.title\":\"Hello\",\"posts.likes\":9},{\"age\":40}]}",
                 "1 3");
    expect_roots(state, "{\"or\":[{\"or\":[{\"age\":40}]},{\"name\":\"Bob\"}]}", "2 3");
    expect_roots(state, "{\"or\":[{},{\"name\":\"Bob\"}]}", "1 2 3");
}

static void finds_ids_by_prefix(void **state) {
    expect_roots(state, "{\"$entityIdStartsWith\":\"00000002\"}", "2");
    expect_roots(state, "{\"$entityIdStartsWith\":\"\"}", "1 2 3");
    expect_roots(state, "{\"$entityIdStartsWith\":\"9\"}", "");
}

/* ---- seeing ---- */

struct viewer {
    const char *hidden; /* "etype.label" or "etype" */
    uint32_t entity;    /* 0: any */
    struct fixture *f;
    unsigned asked;
    bool fails;
};

static int see(void *ctx, const struct inst_attr *attr, const struct inst_triple *t,
               struct inst_err *err) {
    struct viewer *viewer = ctx;
    char name[128];
    size_t len = strlen(viewer->hidden);
    struct inst_value id = viewer->f->store->ops->entity_id(viewer->f->store, t->e);
    viewer->asked++;
    if (viewer->fails) {
        inst_err_set(err, "permission-evaluation-failed", 400, "no");
        return -1;
    }
    snprintf(name, sizeof(name), "%.*s.%.*s", (int)attr->forward.etype.len,
             attr->forward.etype.u.str, (int)attr->forward.label.len, attr->forward.label.u.str);
    bool is_hidden = strncmp(name, viewer->hidden, len) == 0 &&
                     (!viewer->entity || viewer->entity == fixture_number(&id));
    return !is_hidden;
}

static const char *seen(void **state, const char *query, const char *hidden, uint32_t entity) {
    struct fixture *f = *state;
    struct viewer viewer = {.hidden = hidden, .entity = entity, .f = f};
    struct inst_collect_options opts = {.is_visible = see, .ctx = &viewer};
    struct inst_collected out;
    collect(f, f->store, query, &opts, &out);
    return fixture_lines(f, &out);
}

static void drops_matches_through_what_is_hidden(void **state) {
    const char *path =
        "{\"people\":{\"$\":{\"where\":{\"posts.title\":\"Hello\"},\"fields\":[\"name\"]}}}";
    assert_string_equal(seen(state, path, "posts", 0), "");
    assert_string_equal(seen(state, path, "posts.title", 0), "");
    assert_string_equal(seen(state, path, "posts.likes", 0),
                        "1 people.id 1\n1 people.name \"Ann\"\n11 posts.author 1\n"
                        "11 posts.title \"Hello\"\n");
}

static void drops_fields_and_entities_that_are_hidden(void **state) {
    const char *all =
        "{\"people\":{\"$\":{\"fields\":[\"name\"]},\"posts\":{\"$\":{\"fields\":[]}}}}";
    assert_string_equal(seen(state, all, "people.name", 0),
                        "1 people.id 1\n11 posts.author 1\n11 posts.id 11\n12 posts.author 1\n"
                        "12 posts.id 12\n2 people.id 2\n3 people.id 3\n");
    assert_string_equal(seen(state, all, "people", 1),
                        "2 people.id 2\n2 people.name \"Bob\"\n3 people.id 3\n"
                        "3 people.name null\n");
    assert_string_equal(seen(state, all, "posts", 11),
                        "1 people.id 1\n1 people.name \"Ann\"\n12 posts.author 1\n12 posts.id 12\n"
                        "2 people.id 2\n2 people.name \"Bob\"\n3 people.id 3\n"
                        "3 people.name null\n");
}

static void fails_when_seeing_fails(void **state) {
    struct fixture *f = *state;
    struct viewer viewer = {.hidden = "", .f = f, .fails = true};
    struct inst_collect_options opts = {.is_visible = see, .ctx = &viewer};
    struct inst_value q = fixture_json(f, "{\"people\":{\"posts\":{}}}");
    struct inst_collected out;
    assert_int_equal(inst_instaql_collect(f->store, &q, &opts, &f->arena, &out, &f->err),
                     INST_FAILED);
    assert_string_equal(f->err.type, "permission-evaluation-failed");
    assert_int_equal(viewer.asked, 1);
}

static void takes_cursors_from_what_is_visible(void **state) {
    struct fixture *f = *state;
    struct viewer viewer = {.hidden = "people", .entity = 1, .f = f};
    struct inst_collect_options opts = {.is_visible = see, .ctx = &viewer};
    struct inst_collected out;
    collect(f, f->store, "{\"people\":{\"$\":{\"limit\":2,\"fields\":[]}}}", &opts, &out);
    assert_string_equal(fixture_lines(f, &out), "2 people.id 2\n");
    assert_int_equal(out.page_count, 1);
    assert_false(out.pages[0].is_empty);
    assert_true(out.pages[0].has_next);
    assert_int_equal(fixture_number(&out.pages[0].start.triple.v), 2);
    assert_int_equal(fixture_number(&out.pages[0].end.triple.v), 2);
}

/* ---- counts, trees, files ---- */

static void counts_for_admins(void **state) {
    struct fixture *f = *state;
    struct inst_collect_options opts = {.is_admin = true};
    struct inst_collected out;
    collect(
        f, f->store,
        "{\"people\":{\"$\":{\"aggregate\":\"count\"}},\"posts\":{\"$\":{\"aggregate\":\"count\","
        "\"where\":{\"likes\":{\"$gt\":5}}}},\"labels\":{}}",
        &opts, &out);
    assert_int_equal(out.count_count, 2);
    assert_int_equal(out.counts[0].count, 3);
    assert_true(inst_is_string(&out.counts[1].etype, "posts"));
    assert_int_equal(out.counts[1].count, 1);
    assert_int_equal(out.triple_count, 4); /* of labels only */
}

static const char *tree(void **state, const char *query, bool infers) {
    struct fixture *f = *state;
    struct inst_value q = fixture_json(f, query), out;
    struct inst_collect_options opts = {.infer_singular = infers};
    struct inst_query *prepared;
    struct inst_buf buf;
    assert_int_equal(inst_query_new(&q, INST_QUERY_SERVER, &prepared, &f->err), INST_OK);
    if (inst_query_tree(prepared, &f->ranged.store, &opts, &f->arena, &out, NULL, &f->err)) {
        fail_msg("%s: %s", query, f->err.message);
    }
    inst_buf_init(&buf);
    inst_json_write(&buf, &out);
    const char *text = inst_arena_dup(&f->arena, buf.data, buf.len);
    inst_buf_free(&buf);
    inst_query_free(prepared);
    return text;
}

#define ID(n) "\"0000000" n "-0000-4000-8000-000000000000\""

static void makes_trees(void **state) {
    const char *query = "{\"people\":{\"$\":{\"order\":{\"age\":\"desc\"},\"fields\":[\"boss\"]},"
                        "\"profile\":{\"$\":{\"fields\":[]}},\"boss\":{\"$\":{\"fields\":[]}}}}";
    assert_string_equal(tree(state, query, false),
                        "{\"people\":[{\"boss\":[{\"id\":" ID("2") "}],\"id\":" ID(
                            "3") ",\"profile\":[]},"
                                 "{\"boss\":[{\"id\":" ID("1") "}],\"id\":" ID(
                                     "2") ",\"profile\":[]},"
                                          "{\"id\":" ID("1") ",\"profile\":[{\"id\":\"0000001f-"
                                                             "0000-4000-8000-000000000000\"}],"
                                                             "\"boss\":[]}]}");
    assert_string_equal(tree(state,
                             "{\"profiles\":{\"$\":{\"fields\":[]},\"person\":{\"$\":{\"fields\":"
                             "[]},\"boss\":{},\"posts\":{\"$\":{\"where\":{\"title\":\"x\"}}}}}}",
                             true),
                        "{\"profiles\":[{\"id\":\"0000001f-0000-4000-8000-000000000000\","
                        "\"person\":{\"id\":" ID("1") ",\"boss\":null,\"posts\":[]}}]}");
    /* Links to one are raw ids unless asked for. */
    assert_string_equal(tree(state,
                             "{\"people\":{\"$\":{\"where\":{\"name\":\"Bob\"},\"fields\":"
                             "[\"boss\"]}},\"nope\":{}}",
                             false),
                        "{\"people\":[{\"boss\":" ID("1") ",\"id\":" ID("2") "}],\"nope\":[]}");
}

static enum inst_status file_url(void *ctx, uint32_t e, const struct inst_value *location,
                                 struct inst_arena *arena, struct inst_value *url,
                                 struct inst_err *err) {
    char text[64];
    (void)ctx;
    (void)e;
    (void)err;
    int len = snprintf(text, sizeof(text), "http://f/%.*s", (int)location->len, location->u.str);
    *url = inst_string(inst_arena_dup(arena, text, (size_t)len), (size_t)len);
    return INST_OK;
}

static void makes_urls_of_files(void **state) {
    struct fixture *f = *state;
    struct inst_collect_options opts = {.file_url = file_url};
    struct inst_collected out;
    collect(f, f->store, "{\"$files\":{}}", &opts, &out);
    assert_string_equal(fixture_lines(f, &out),
                        "41 $files.id 41\n41 $files.location-id \"loc\"\n41 $files.path \"a.txt\"\n"
                        "41 $files.url \"http://f/loc\"\n");
    collect(f, f->store, "{\"$files\":{\"$\":{\"fields\":[\"url\"]}}}", &opts, &out);
    assert_string_equal(fixture_lines(f, &out),
                        "41 $files.id 41\n41 $files.url \"http://f/loc\"\n");
    collect(f, f->store, "{\"$files\":{\"$\":{\"fields\":[\"path\"]}}}", &opts, &out);
    assert_string_equal(fixture_lines(f, &out), "41 $files.id 41\n41 $files.path \"a.txt\"\n");
}

static void prepares_again_for_another_catalog(void **state) {
    struct fixture *f = *state;
    struct inst_value q = fixture_json(f, "{\"people\":{\"$\":{\"where\":{\"name\":\"Ann\"}}}}");
    struct inst_query *query;
    struct inst_collected out;
    struct fixture other;
    static const char *const few[] = {"people.id any", "people.name string", NULL};
    fixture_begin(&other, few, "[[7,\"people.id\",7],[7,\"people.name\",\"Ann\"]]");
    assert_int_equal(inst_query_new(&q, INST_QUERY_SERVER, &query, &f->err), INST_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inst_query_collect(query, f->store, NULL, &f->arena, &out, &f->err), 0);
        assert_int_equal(out.triple_count, 6);
        assert_int_equal(
            inst_query_collect(query, other.store, NULL, &other.arena, &out, &other.err), 0);
        assert_string_equal(fixture_lines(&other, &out), "7 people.id 7\n7 people.name \"Ann\"\n");
    }
    inst_query_free(query);
    fixture_end(&other);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(collects_fields_of_matches),
        TEST(leaves_out_many_links),
        TEST(collects_children_and_their_links),
        TEST(collects_the_links_of_a_path),
        TEST(collects_the_id_for_null),
        TEST(ignores_limit_and_order_of_children),
        TEST(gives_nothing_for_unknown_names),
        TEST(matches_as_the_server_does),
        TEST(compares_indexed_dates_as_instants),
        TEST(reads_links_both_ways),
        TEST(keeps_elements_of_lists_apart),
        TEST(finds_ids_by_prefix),
        TEST(drops_matches_through_what_is_hidden),
        TEST(drops_fields_and_entities_that_are_hidden),
        TEST(fails_when_seeing_fails),
        TEST(takes_cursors_from_what_is_visible),
        TEST(counts_for_admins),
        TEST(makes_trees),
        TEST(makes_urls_of_files),
        TEST(prepares_again_for_another_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
