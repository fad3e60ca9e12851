/* What the server refuses, in which words (instaql.md 2.5). */
#include "instaql_fixture.h"

static const char *const attrs[] = {
    "users.id any unique index",
    "users.handle any",
    "users.bookshelves ref bookshelves.users many",
    "users.boss ref users.reports",
    "bookshelves.id any unique index",
    "bookshelves.name any index",
    "etype.id any unique index",
    "etype.string string index",
    "etype.number number index",
    "etype.boolean boolean index",
    "etype.date date index",
    "etype.unchecked any",
    "etype.loose any index",
    "etype.typed string",
    "etype.many number index many",
    NULL,
};

struct refusal {
    const char *query;
    const char *message; /* the whole; NULL: "Validation failed for query" and nothing more */
    const char *errors;  /* the hint's member */
};

#define M(text) "Validation failed for query: " text
#define ERRORS(key, expected, in, text)                                                            \
    "[{\"" key "\":\"" expected "\",\"in\":" in ",\"message\":\"" text "\"}]"
#define BARE(expected, in) "[{\"expected\":\"" expected "\",\"in\":" in "}]"

#define SUPPORTED                                                                                  \
    "We only support `where`, `order`, `limit`, `offset`, `before`, and `after` clauses."
#define NESTED                                                                                     \
    "We currently only support `offset`, `before`, and `after` clauses on the top-level field. "   \
    "Limit fields will be ignored"
#define FIELDS "The `fields` property should be an array of field names."

static const struct refusal refusals[] = {
    /* not maps */
    {"1", NULL, BARE("map?", "[]")},
    {"{\"users\":{\"posts\":2}}", NULL, BARE("map?", "[\"users\",\"posts\"]")},
    {"{\"users\":[]}", NULL, BARE("map?", "[\"users\"]")},
    {"{\"users\":{\"$\":5}}", NULL, BARE("map?", "[\"users\",\"$\"]")},
    {"{\"users\":{\"$\":{\"where\":[\"foo\"]}}}", NULL,
     BARE("map?", "[\"users\",\"$\",\"where\"]")},
    {"{\"users\":{\"$\":{\"order\":\"x\"}}}", NULL, BARE("map?", "[\"users\",\"$\",\"order\"]")},
    /* options */
    {"{\"users\":{\"$\":{\"forgot-where\":[\"foo\"]}}}", M(SUPPORTED),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\"]", SUPPORTED)},
    {"{\"users\":{\"bookshelves\":{\"$\":{\"offset\":3}}}}", M(NESTED),
     ERRORS("expected", "supported-options?", "[\"users\",\"bookshelves\",\"$\"]", NESTED)},
    {"{\"users\":{\"$\":{\"limit\":-1}}}", M("The limit field must be a positive integer. Got -1."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"limit\"]",
            "The limit field must be a positive integer. Got -1.")},
    {"{\"users\":{\"$\":{\"limit\":1.5}}}",
     M("The limit field must be a positive integer. Got 1.5."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"limit\"]",
            "The limit field must be a positive integer. Got 1.5.")},
    {"{\"users\":{\"$\":{\"first\":0}}}", M("The first field must be a positive integer. Got 0."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"first\"]",
            "The first field must be a positive integer. Got 0.")},
    {"{\"users\":{\"$\":{\"last\":\"a\"}}}",
     M("The last field must be a positive integer. Got \"a\"."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"last\"]",
            "The last field must be a positive integer. Got \\\"a\\\".")},
    {"{\"users\":{\"$\":{\"offset\":-2}}}",
     M("The offset field must be a non-negative integer. Got -2."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"offset\"]",
            "The offset field must be a non-negative integer. Got -2.")},
    {"{\"users\":{\"$\":{\"limit\":10,\"first\":10}}}",
     M("Only provide one of `limit` or `first`."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\"]",
            "Only provide one of `limit` or `first`.")},
    {"{\"users\":{\"$\":{\"last\":1,\"first\":1,\"limit\":1}}}",
     M("Only provide one of `limit` or `first` or `last`."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\"]",
            "Only provide one of `limit` or `first` or `last`.")},
    {"{\"users\":{\"$\":{\"aggregate\":\"sum\"}}}",
     M("The aggregate field only accepts \"count\", got \"sum\"."),
     ERRORS("expected", "supported-options?", "[\"users\",\"$\",\"aggregate\"]",
            "The aggregate field only accepts \\\"count\\\", got \\\"sum\\\".")},
    {"{\"users\":{\"$\":{\"aggregate\":\"count\"}}}",
     M("Aggregates are currently only available for admin queries."),
     ERRORS("expected", "admin?", "[\"users\",\"$\",\"aggregate\"]",
            "Aggregates are currently only available for admin queries.")},
    {"{\"users\":{\"$\":{\"fields\":{\"a\":1}}}}", M(FIELDS),
     ERRORS("expected", "array?", "[\"users\",\"$\",\"fields\"]", FIELDS)},
    {"{\"users\":{\"$\":{\"afterInclusive\":1}}}", NULL,
     BARE("boolean?", "[\"users\",\"$\",\"afterInclusive\"]")},
    /* cursors */
    {"{\"users\":{\"$\":{\"before\":10}}}", M("Expected a join row for the cursor, got 10."),
     ERRORS("expected", "join-row?", "[\"users\",\"$\",\"before\"]",
            "Expected a join row for the cursor, got 10.")},
    {"{\"users\":{\"$\":{\"after\":[1]}}}",
     M("Expected a join row with 4 items for the cursor, got [1]."),
     ERRORS("expected", "join-row?", "[\"users\",\"$\",\"after\"]",
            "Expected a join row with 4 items for the cursor, got [1].")},
    {"{\"users\":{\"$\":{\"after\":[\"e\",\"a\",1,2]}}}",
     M("Expected a join row with a uuid attribute id in the second position, got \"a\"."),
     ERRORS("expected", "join-row?", "[\"users\",\"$\",\"after\"]",
            "Expected a join row with a uuid attribute id in the second position, got \\\"a\\\".")},
    {"{\"users\":{\"$\":{\"after\":[\"e\",\"00000000-0000-4000-9000-000000000001\",1,\"t\"]}}}",
     M("Expected a join row with an integer created_at in the last position, got \"t\"."),
     ERRORS("expected", "join-row?", "[\"users\",\"$\",\"after\"]",
            "Expected a join row with an integer created_at in the last position, got \\\"t\\\".")},
    {"{\"etype\":{\"$\":{\"order\":{\"string\":\"desc\"},\"after\":[\"e\","
     "\"00000000-0000-4000-9000-000000000009\",null,0]}}}",
     M("Invalid after cursor. The query orders by `string`, but the query that returned the cursor "
       "orders by `number`."),
     ERRORS("expected", "valid-cursor?", "[\"etype\",\"$\",\"after\"]",
            "Invalid after cursor. The query orders by `string`, but the query that returned the "
            "cursor orders by `number`.")},
    {"{\"etype\":{\"$\":{\"before\":[\"e\",\"00000000-0000-4000-9000-0000000000ff\",null,0]}}}",
     M("Invalid before cursor. The query orders by `serverCreatedAt`, but the query that returned "
       "the cursor orders by a missing attribute."),
     ERRORS("expected", "valid-cursor?", "[\"etype\",\"$\",\"before\"]",
            "Invalid before cursor. The query orders by `serverCreatedAt`, but the query that "
            "returned the cursor orders by a missing attribute.")},
    /* order */
    {"{\"users\":{\"$\":{\"order\":{\"a\":\"asc\",\"b\":\"asc\"}}}}",
     M("We only support a single key in the `order` clause. Got a,b."),
     ERRORS("expected", "single-key?", "[\"users\",\"$\",\"order\"]",
            "We only support a single key in the `order` clause. Got a,b.")},
    {"{\"users\":{\"$\":{\"order\":{\"serverCreatedAt\":\"DESC\"}}}}",
     M("We only support \"asc\" or \"desc\" in the `order` clause. Got \"DESC\"."),
     ERRORS(
         "expected", "valid-direction?", "[\"users\",\"$\",\"order\",\"serverCreatedAt\"]",
         "We only support \\\"asc\\\" or \\\"desc\\\" in the `order` clause. Got \\\"DESC\\\".")},
    {"{\"users\":{\"$\":{\"order\":{\"random-field\":\"desc\"}}}}",
     M("There is no `random-field` attribute for users."),
     ERRORS("expected", "supported-order?", "[\"users\",\"$\",\"order\"]",
            "There is no `random-field` attribute for users.")},
    {"{\"etype\":{\"$\":{\"order\":{\"typed\":\"desc\"}}}}",
     M("The `etype.typed` attribute is not indexed. Only indexed and typed attributes can be used "
       "to order by."),
     ERRORS("expected", "supported-order?", "[\"etype\",\"$\",\"order\"]",
            "The `etype.typed` attribute is not indexed. Only indexed and typed attributes can be "
            "used to order by.")},
    {"{\"etype\":{\"$\":{\"order\":{\"loose\":\"desc\"}}}}",
     M("The `etype.loose` attribute is not typed. Only typed and indexed attributes can be used to "
       "order by."),
     ERRORS("expected", "supported-order?", "[\"etype\",\"$\",\"order\"]",
            "The `etype.loose` attribute is not typed. Only typed and indexed attributes can be "
            "used to order by.")},
    {"{\"etype\":{\"$\":{\"order\":{\"many\":\"desc\"}}}}",
     M("The `etype.many` attribute has cardinality `many`. Only attributes with cardinality `one` "
       "can be used to order by."),
     ERRORS("expected", "supported-order?", "[\"etype\",\"$\",\"order\"]",
            "The `etype.many` attribute has cardinality `many`. Only attributes with cardinality "
            "`one` can be used to order by.")},
    /* lists */
    {"{\"users\":{\"$\":{\"where\":{\"or\":[]}}}}",
     M("The list of `or` conditions can't be empty."),
     ERRORS("expected", "non-empty-list?", "[\"users\",\"$\",\"or\"]",
            "The list of `or` conditions can't be empty.")},
    {"{\"users\":{\"$\":{\"where\":{\"and\":[{}]}}}}",
     M("The list of `and` conditions can't be empty."),
     ERRORS("expected", "non-empty-list?", "[\"users\",\"$\",\"and\"]",
            "The list of `and` conditions can't be empty.")},
    /* links */
    {"{\"users\":{\"$\":{\"where\":{\"bookshelves\":\"hello\"}}}}",
     M("Expected bookshelves to be a uuid, got \"hello\""),
     ERRORS("expected", "uuid?", "[\"users\",\"$\",\"where\",\"bookshelves\"]",
            "Expected bookshelves to be a uuid, got \\\"hello\\\"")},
    {"{\"users\":{\"$\":{\"where\":{\"bookshelves\":{\"in\":"
     "[\"00000000-0000-0000-0000-000000000000\",\"hello\"]}}}}}",
     M("Expected bookshelves to match on a uuid, found \"hello\" in "
       "[\"00000000-0000-0000-0000-000000000000\",\"hello\"]"),
     ERRORS("expected", "uuid?", "[\"users\",\"$\",\"where\",\"bookshelves\"]",
            "Expected bookshelves to match on a uuid, found \\\"hello\\\" in "
            "[\\\"00000000-0000-0000-0000-000000000000\\\",\\\"hello\\\"]")},
    /* types */
    {"{\"etype\":{\"$\":{\"where\":{\"string\":1}}}}",
     M("The data type of `etype.string` is `string`, but the query got the value `1` of type "
       "`number`."),
     ERRORS("expected?", "string?", "[\"etype\",\"$\",\"where\",\"string\"]",
            "The data type of `etype.string` is `string`, but the query got the value `1` of type "
            "`number`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"typed\":{\"$in\":[\"a\",true]}}}}}",
     M("The data type of `etype.typed` is `string`, but the query got the value `true` of type "
       "`boolean`."),
     ERRORS("expected?", "string?", "[\"etype\",\"$\",\"where\",\"typed\"]",
            "The data type of `etype.typed` is `string`, but the query got the value `true` of "
            "type `boolean`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"number\":{\"$not\":\"hello\"}}}}}",
     M("The data type of `etype.number` is `number`, but the query got the value `\"hello\"` of "
       "type `string`."),
     ERRORS("expected?", "number?", "[\"etype\",\"$\",\"where\",\"number\"]",
            "The data type of `etype.number` is `number`, but the query got the value "
            "`\\\"hello\\\"` of type `string`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"date\":9999999999999999999999}}}}",
     M("The data type of `etype.date` is `date`, but the query got value `1e+22` of type "
       "`number`."),
     ERRORS("expected?", "timestamp?", "[\"etype\",\"$\",\"where\",\"date\"]",
            "The data type of `etype.date` is `date`, but the query got value `1e+22` of type "
            "`number`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"date\":\"tomorrow\"}}}}",
     M("The data type of `etype.date` is `date`, but the query got value `\"tomorrow\"` of type "
       "`string`."),
     ERRORS("expected?", "date-string?", "[\"etype\",\"$\",\"where\",\"date\"]",
            "The data type of `etype.date` is `date`, but the query got value `\\\"tomorrow\\\"` "
            "of type `string`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"date\":true}}}}",
     M("The data type of `etype.date` is `date`, but the query got the value `true` of type "
       "`boolean`."),
     ERRORS("expected?", "date?", "[\"etype\",\"$\",\"where\",\"date\"]",
            "The data type of `etype.date` is `date`, but the query got the value `true` of type "
            "`boolean`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"boolean\":{\"$gt\":1}}}}}",
     M("The data type of `etype.boolean` is `boolean`, but the query got the value `1` of type "
       "`number`."),
     ERRORS("expected?", "boolean?", "[\"etype\",\"$\",\"where\",\"boolean\",\"$gt\"]",
            "The data type of `etype.boolean` is `boolean`, but the query got the value `1` of "
            "type `number`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"string\":{\"$ilike\":10}}}}}",
     M("The $like value for `etype.string` must be a string, but the query got the value `10` of "
       "type `number`."),
     ERRORS("expected?", "string?", "[\"etype\",\"$\",\"where\",\"string\",\"$ilike\"]",
            "The $like value for `etype.string` must be a string, but the query got the value `10` "
            "of type `number`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"number\":{\"$like\":\"a\"}}}}}",
     M("The data type of `etype.number` is `number`, but the query got the value `\"a\"` of type "
       "`string`."),
     ERRORS("expected?", "number?", "[\"etype\",\"$\",\"where\",\"number\",\"$like\"]",
            "The data type of `etype.number` is `number`, but the query got the value `\\\"a\\\"` "
            "of type `string`.")},
    {"{\"etype\":{\"$\":{\"where\":{\"unchecked\":{\"$gt\":1}}}}}",
     M("The `etype.unchecked` attribute must be indexed to use comparison operators."),
     ERRORS("expected?", "indexed?", "[\"etype\",\"$\",\"where\",\"unchecked\"]",
            "The `etype.unchecked` attribute must be indexed to use comparison operators.")},
    {"{\"etype\":{\"$\":{\"where\":{\"loose\":{\"$gt\":1}}}}}",
     M("The `etype.loose` attribute must have an enforced type to use comparison operators."),
     ERRORS("expected?", "checked-data-type?", "[\"etype\",\"$\",\"where\",\"loose\"]",
            "The `etype.loose` attribute must have an enforced type to use comparison operators.")},
    {"{\"etype\":{\"$\":{\"where\":{\"unchecked\":{\"$in\":[1,null]}}}}}",
     M("Only indexed attrs can check for `nil` in `$in`. etype.unchecked is not indexed."),
     ERRORS("expected?", "indexed?", "[\"etype\",\"$\",\"where\",\"$in\",[1,null]]",
            "Only indexed attrs can check for `nil` in `$in`. etype.unchecked is not indexed.")},
};

/* The shape of conditions: [expected, in]; the input shown is the grouped query. */
static const struct refusal coerced[] = {
    {"{\"users\":{\"$\":{\"where\":{\"handle\":{\"in\":{}}}}}}", NULL,
     BARE("vector?", "[0,\"option-map\",\"where-conds\",0,1,\"in\"]")},
    {"{\"users\":{\"$\":{\"where\":{\"handle\":{\"is\":\"stopa\"}}}}}", NULL,
     BARE("instant.db.instaql/where-value-valid-keys?", "[0,\"option-map\",\"where-conds\",0,1]")},
    {"{\"users\":{\"$\":{\"where\":{\"handle\":{\"$isNull\":\"a\"}}}}}", NULL,
     BARE("boolean?", "[0,\"option-map\",\"where-conds\",0,1,\"$isNull\"]")},
    {"{\"users\":{\"$\":{\"where\":{\"handle\":null}}}}", NULL,
     BARE("map?", "[0,\"option-map\",\"where-conds\",0,1]")},
    {"{\"users\":{\"$\":{\"where\":{\"handle\":{\"$in\":[1,{}]}}}}}", NULL,
     BARE("instant.db.instaql/in-value-valid?",
          "[0,\"option-map\",\"where-conds\",0,1,\"$in\",1]")},
    {"{\"users\":{},\"bookshelves\":{\"users\":{\"$\":{\"where\":{\"a\":1,\"or\":[{\"b\":1},"
     "{\"c\":{\"$gt\":[]}}]}}}}}",
     NULL,
     BARE("boolean?", "[1,\"child-forms\",0,\"option-map\",\"where-conds\",1,\"or\",1,1,\"$gt\"]")},
};

static int setup(void **state) {
    struct fixture *f = malloc(sizeof(*f));
    fixture_begin(f, attrs, "[]");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_end(*state);
    free(*state);
    return 0;
}

static void check(struct fixture *f, const struct refusal *r, const char *data_type) {
    struct inst_value q = fixture_json(f, r->query), hint, expected;
    struct inst_collected out;
    char plain[80];
    snprintf(plain, sizeof(plain), "Validation failed for %s", data_type);
    if (inst_instaql_collect(f->store, &q, NULL, &f->arena, &out, &f->err) == INST_OK) {
        fail_msg("accepted: %s", r->query);
    }
    assert_string_equal(f->err.type, "validation-failed");
    assert_int_equal(f->err.status, 400);
    if (strcmp(f->err.message, r->message ? r->message : plain) != 0) {
        fail_msg("%s\n  %s", r->query, f->err.message);
    }
    assert_non_null(f->err.hint);
    hint = fixture_json(f, f->err.hint);
    expected = fixture_json(f, r->errors);
    assert_true(inst_is_string(inst_getz(&hint, "data-type"), data_type));
    if (!inst_value_equal(inst_getz(&hint, "errors"), &expected)) {
        fail_msg("%s\n  %s", r->query, f->err.hint);
    }
    if (strcmp(data_type, "query") == 0) {
        assert_true(inst_value_equal(inst_getz(&hint, "input"), &q));
    }
}

static void refuses(void **state) {
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        check(*state, &refusals[i], "query");
    }
}

static void refuses_malformed_conditions(void **state) {
    for (size_t i = 0; i < sizeof(coerced) / sizeof(coerced[0]); i++) {
        check(*state, &coerced[i], "coerced-query");
    }
    struct fixture *f = *state;
    struct inst_value hint = fixture_json(f, f->err.hint);
    struct inst_value expected = fixture_json(
        f, "[{\"k\":\"users\",\"etype\":\"users\",\"option-map\":{},\"child-forms\":[]},"
           "{\"k\":\"bookshelves\",\"etype\":\"bookshelves\",\"option-map\":{},\"child-forms\":["
           "{\"k\":\"users\",\"etype\":\"users\",\"option-map\":{\"where-conds\":[[[\"a\"],1],"
           "{\"or\":[[[\"b\"],1],[[\"c\"],{\"$gt\":[]}]]}]},\"child-forms\":[]}]}]");
    assert_true(inst_value_equal(inst_getz(&hint, "input"), &expected));
}

static void refuses_a_null_query(void **state) {
    const struct refusal r = {"null", "Validation failed for add-query: Query can not be null.",
                              "[{\"message\":\"Query can not be null.\"}]"};
    check(*state, &r, "add-query");
}

static void refuses_what_is_no_link(void **state) {
    const struct refusal child = {"{\"users\":{\"handle\":{}}}",
                                  "Validation failed for attr: users.handle needs to be a link",
                                  "[{\"message\":\"users.handle needs to be a link\"}]"};
    const struct refusal path = {"{\"users\":{\"$\":{\"where\":{\"boss.handle.x\":1}}}}",
                                 "Validation failed for attr: users.handle needs to be a link",
                                 "[{\"message\":\"users.handle needs to be a link\"}]"};
    check(*state, &child, "attr");
    check(*state, &path, "attr");
}

static void refuses_counting_with_children(void **state) {
    struct fixture *f = *state;
    struct inst_value q =
        fixture_json(f, "{\"users\":{\"$\":{\"aggregate\":\"count\"},\"bookshelves\":{}}}");
    struct inst_collect_options opts = {.is_admin = true};
    struct inst_collected out;
    assert_int_equal(inst_instaql_collect(f->store, &q, &opts, &f->arena, &out, &f->err),
                     INST_FAILED);
    assert_string_equal(f->err.message,
                        M("You can not combine aggregates with child queries at this time."));
}

static void accepts(void **state) {
    static const char *const queries[] = {
        "{}",
        "{\"users\":{\"$\":null}}",
        "{\"users\":{\"$\":{\"where\":null,\"order\":null,\"limit\":null,\"offset\":0}}}",
        "{\"users\":{\"$\":{\"order\":{}}}}",
        "{\"users\":{\"bookshelves\":{\"$\":{\"limit\":3,\"order\":{\"x\":\"asc\"}}}}}",
        "{\"$$ruleParams\":{\"a\":1},\"users\":{}}",
        "{\"users\":{\"$\":{\"where\":{\"handle\":{\"$in\":[]}}}}}",
        "{\"bookshelves\":{\"$\":{\"where\":{\"name\":{\"$in\":[null]}}}}}",
        "{\"etype\":{\"$\":{\"where\":{\"date\":\"2020-01-01\"}}}}",
        "{\"users\":{\"$\":{\"where\":{\"$entityIdStartsWith\":\"0\"}}}}",
        "{\"nope\":{\"$\":{\"order\":{\"x\":\"asc\"},\"limit\":3}}}",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct inst_value q = fixture_json(f, queries[i]);
        struct inst_collected out;
        if (inst_instaql_collect(f->store, &q, NULL, &f->arena, &out, &f->err) != INST_OK) {
            fail_msg("%s: %s", queries[i], f->err.message);
        }
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(refuses),
        TEST(refuses_malformed_conditions),
        TEST(refuses_a_null_query),
        TEST(refuses_what_is_no_link),
        TEST(refuses_counting_with_children),
        TEST(accepts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
