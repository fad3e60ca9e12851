/* Every allocation of preparing and running a query fails once: it is said, and nothing leaks. */
#include "oom.h"

#include "instaql_fixture.h"

static const char *const attrs[] = {
    "people.id any unique index",    "people.name string index",
    "people.age number index",       "people.boss ref people.reports",
    "posts.id any unique index",     "posts.title any",
    "posts.author ref people.posts", NULL,
};

static const char triples[] =
    "[[1,\"people.id\",1],[1,\"people.name\",\"Ann\"],[1,\"people.age\",3],[2,\"people.id\",2],"
    "[2,\"people.name\",\"ann\"],[2,\"people.age\",null],[2,\"people.boss\",1],[3,\"people.id\",3],"
    "[3,\"people.name\",\"\xC3\xA9t\xC3\xA9\"],[3,\"people.boss\",2],[11,\"posts.id\",11],"
    "[11,\"posts.title\",\"x\"],[11,\"posts.author\",1],[12,\"posts.id\",12],[12,\"posts.author\","
    "3]]";

static const char *const queries[] = {
    "{\"people\":{\"$\":{\"order\":{\"name\":\"desc\"},\"limit\":2},\"posts\":{\"author\":{}}}}",
    "{\"people\":{\"$\":{\"where\":{\"or\":[{\"name\":{\"$like\":\"A%\"}},{\"boss.name\":{\"$not\":"
    "\"Ann\"}}],\"age\":{\"$isNull\":true}}}}}",
    "{\"posts\":{\"$\":{\"where\":{\"author.name\":{\"$in\":[\"Ann\",\"b\",\"c\",\"d\",\"e\",\"f\","
    "\"g\",\"h\",\"i\",\"j\"]}},\"fields\":[\"title\"]}}}",
    "{\"people\":{\"$\":{\"where\":{\"nope\":{}},\"limit\":-1}}}",
};

static enum inst_status run(struct fixture *f, const struct inst_value *q, int mode,
                            struct inst_arena *arena) {
    struct inst_query *query;
    struct inst_collected collected;
    struct inst_value out;
    enum inst_status status;
    switch (mode) {
    case 0:
        return inst_instaql_eval(f->store, q, NULL, arena, &out, &f->err);
    case 1:
        return inst_instaql_collect(&f->ranged.store, q, NULL, arena, &collected, &f->err);
    default:
        status = inst_query_new(q, INST_QUERY_SERVER, &query, &f->err);
        if (status == INST_OK) {
            status = inst_query_tree(query, f->store, NULL, arena, &out, &collected, &f->err);
            inst_query_free(query);
        }
        return status;
    }
}

static void says_so(void **state) {
    struct fixture f;
    (void)state;
    fixture_begin(&f, attrs, triples);
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct inst_value q = fixture_json(&f, queries[i]);
        for (int mode = 0; mode < 3; mode++) {
            long n = 0;
            for (;; n++) {
                struct inst_arena arena;
                inst_arena_init(&arena);
                /* The double of a store does not expect to be without memory. */
                oom_after(mode == 1 ? -1 : n);
                enum inst_status status = run(&f, &q, mode, &arena);
                oom_off();
                inst_arena_free(&arena);
                if (status != INST_NOMEM) {
                    break;
                }
                assert_string_equal(f.err.type, "out-of-memory");
                inst_err_clear(&f.err);
                assert_true(n < 10000);
            }
            assert_true(n > 0 || mode == 1);
            inst_err_clear(&f.err);
        }
    }
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
