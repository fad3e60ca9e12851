/*
 * Every allocation of hashing, reading a schema, validating and making attrs fails once: the call
 * says so and leaves nothing behind (AddressSanitizer sees the rest).
 */
#include "base/json.h"
#include "instaql/hash.h"
#include "oom.h"
#include "schema/api_schema.h"
#include "schema/query_validation.h"
#include "schema/schema_attrs.h"
#include "schema/schema_check.h"
#include "schema/schema_diff.h"
#include "schema/schema_file.h"
#include "schema/schema_plan.h"
#include "schema/system_catalog.h"
#include "schema/tx_validation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char SCHEMA[] =
    "{\"entities\":{\"a\":{\"attrs\":{\"n\":{\"valueType\":\"number\"}}},\"b\":{}},"
    "\"links\":{\"ab\":{\"forward\":{\"on\":\"a\",\"label\":\"b\",\"has\":\"one\"},"
    "\"reverse\":{\"on\":\"b\",\"label\":\"a\",\"has\":\"many\"}}}}";
static const char QUERY[] = "{\"a\":{\"$\":{\"where\":{\"or\":[{\"n\":\"x\"}]}}}}";
static const char CHUNK[] = "{\"__ops\":[[\"update\",\"a\",{\"x\":[1]},{}]]}";

static void zeros(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    memset(out, 0, len);
}

static struct inst_value parse(struct inst_arena *arena, const char *json) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, json, strlen(json), &v, NULL), INST_OK);
    return v;
}

/* What a step needs, made before allocations fail. */
struct given {
    struct inst_value schema_json, query, chunk;
    const struct inst_schema *schema, *empty;
    struct inst_value system; /* the system's attrs */
    struct inst_attrs *attrs;
};

typedef enum inst_status step_fn(const struct given *g, struct inst_arena *arena,
                                 struct inst_err *err);

static enum inst_status read_step(const struct given *g, struct inst_arena *arena,
                                  struct inst_err *err) {
    const struct inst_schema *schema;
    struct inst_value singular;
    enum inst_status status = inst_schema_read(arena, &g->schema_json, &schema, err);
    return status == INST_OK ? inst_schema_singular_links(arena, schema, &singular, err) : status;
}

static enum inst_status attrs_step(const struct given *g, struct inst_arena *arena,
                                   struct inst_err *err) {
    struct inst_env env = {.random = zeros};
    struct inst_value attrs;
    enum inst_status status = inst_schema_attrs(arena, g->schema, &env, &attrs, err);
    return status == INST_OK ? inst_system_attrs(arena, &attrs, err) : status;
}

static enum inst_status query_step(const struct given *g, struct inst_arena *arena,
                                   struct inst_err *err) {
    (void)arena;
    return inst_query_validate(&g->query, g->schema, err);
}

static enum inst_status tx_step(const struct given *g, struct inst_arena *arena,
                                struct inst_err *err) {
    (void)arena;
    return inst_tx_validate(&g->chunk, g->schema, err);
}

static enum inst_status hash_step(const struct given *g, struct inst_arena *arena,
                                  struct inst_err *err) {
    char text[INST_QUERY_HASH_TEXT + 1];
    (void)arena;
    bool ok = inst_query_hash(&g->query, text) && inst_query_hash_legacy(&g->query, text);
    assert_int_equal(strlen(text) > 0, ok);
    return ok ? INST_OK : inst_err_nomem(err);
}

/* The app has no attrs of its own yet: all of the schema is planned. */
static enum inst_status plan_step(const struct given *g, struct inst_arena *arena,
                                  struct inst_err *err) {
    struct inst_env env = {.random = zeros};
    struct inst_schema_plan plan = {g->schema, g->attrs, &env, true, true};
    struct inst_value out;
    enum inst_status status = inst_schema_plan(arena, &plan, &out, err);
    if (status == INST_OK) {
        status = inst_schema_as_api(arena, g->schema, &out, err);
    }
    if (status == INST_OK) {
        status = inst_api_schema(arena, g->attrs, INST_REF_KEY_LIST, &out, err);
    }
    return status == INST_OK ? inst_api_schema_read(arena, &out, &out, err) : status;
}

static enum inst_status diff_step(const struct given *g, struct inst_arena *arena,
                                  struct inst_err *err) {
    struct inst_env env = {.random = zeros};
    struct inst_value names, txs, steps, none = inst_array(NULL, 0);
    struct inst_schema_diff diff = {g->empty, g->schema, NULL, &names};
    enum inst_status status = inst_schema_system_names(arena, &g->system, &names, err);
    if (status == INST_OK) {
        status = inst_schema_diff(arena, &diff, &txs, err);
    }
    return status == INST_OK ? inst_schema_steps(arena, &txs, &none, &env, &steps, err) : status;
}

static enum inst_status file_step(const struct given *g, struct inst_arena *arena,
                                  struct inst_err *err) {
    struct inst_schema_file file = {.schema = &g->schema_json, .module = "@instantdb/core"};
    struct inst_buf text;
    (void)arena;
    inst_buf_init(&text);
    enum inst_status status = inst_schema_file(&text, &file, err);
    inst_perms_file(&text, &g->schema_json, "@instantdb/core");
    if (status == INST_OK && text.failed) {
        status = inst_err_nomem(err);
    }
    inst_buf_free(&text);
    return status;
}

static void run(step_fn *step, enum inst_status end) {
    struct inst_arena given_arena;
    struct given g;
    long failures = 0;
    inst_arena_init(&given_arena);
    g.schema_json = parse(&given_arena, SCHEMA);
    g.query = parse(&given_arena, QUERY);
    g.chunk = parse(&given_arena, CHUNK);
    assert_int_equal(inst_schema_read(&given_arena, &g.schema_json, &g.schema, NULL), INST_OK);
    struct inst_value empty = inst_object(NULL, 0);
    assert_int_equal(inst_schema_read(&given_arena, &empty, &g.empty, NULL), INST_OK);
    assert_int_equal(inst_system_attrs(&given_arena, &g.system, NULL), INST_OK);
    assert_int_equal(inst_attrs_new(&g.system, &g.attrs, NULL), INST_OK);
    for (long n = 0;; n++) {
        struct inst_arena arena;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        oom_after(n);
        enum inst_status status = step(&g, &arena, &err);
        oom_off();
        /* A message that could not be allocated is still an error with a type. */
        bool done = status == end && (end == INST_OK || (err.message && *err.message));
        if (!done) {
            assert_true(status != INST_OK);
            assert_non_null(err.type);
            failures++;
        }
        inst_err_clear(&err);
        inst_arena_free(&arena);
        assert_true(n < 10000);
        if (done) {
            break;
        }
    }
    assert_true(failures > 0);
    inst_attrs_unref(g.attrs);
    inst_arena_free(&given_arena);
}

static void test_read(void **state) {
    (void)state;
    run(read_step, INST_OK);
}
static void test_attrs(void **state) {
    (void)state;
    run(attrs_step, INST_OK);
}
static void test_query(void **state) {
    (void)state;
    run(query_step, INST_FAILED);
}
static void test_tx(void **state) {
    (void)state;
    run(tx_step, INST_FAILED);
}
static void test_plan(void **state) {
    (void)state;
    run(plan_step, INST_OK);
}
static void test_diff(void **state) {
    (void)state;
    run(diff_step, INST_OK);
}
static void test_file(void **state) {
    (void)state;
    run(file_step, INST_OK);
}
static void test_hash(void **state) {
    (void)state;
    run(hash_step, INST_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read), cmocka_unit_test(test_attrs), cmocka_unit_test(test_query),
        cmocka_unit_test(test_tx),   cmocka_unit_test(test_hash),  cmocka_unit_test(test_plan),
        cmocka_unit_test(test_diff), cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
