/*
 * Any JSON as schema, query and transaction at once: `{"schema", "query", "chunks"}`. The same
 * verdict comes twice, a refusal has its message, a schema that is accepted makes a catalog.
 */
#include "base/json.h"
#include "fuzz.h"
#include "instaql/hash.h"
#include "schema/query_validation.h"
#include "schema/schema_attrs.h"
#include "schema/tx_validation.h"

#include <string.h>

static void count_up(void *ctx, uint8_t *out, size_t len) {
    uint64_t *n = ctx;
    (*n)++;
    memset(out, 0, len);
    memcpy(out, n, len < sizeof *n ? len : sizeof *n);
}

typedef enum inst_status validate_fn(const struct inst_value *v, const struct inst_schema *schema,
                                     struct inst_err *err);

static void check_verdict(validate_fn *validate, const struct inst_value *v,
                          const struct inst_schema *schema) {
    struct inst_err err = {0}, again = {0};
    enum inst_status status = validate(v, schema, &err);
    FUZZ_REQUIRE(validate(v, schema, &again) == status);
    if (status != INST_OK) {
        FUZZ_REQUIRE(strcmp(err.type, "validation-failed") == 0);
        FUZZ_REQUIRE(strlen(err.message) > 10);
        FUZZ_REQUIRE(strcmp(err.message, again.message) == 0);
    }
    inst_err_clear(&err);
    inst_err_clear(&again);
}

static void check_schema(struct inst_arena *arena, const struct inst_schema *schema) {
    uint64_t n = 0;
    struct inst_env env = {.ctx = &n, .random = count_up};
    struct inst_err err = {0};
    struct inst_value v;
    FUZZ_REQUIRE(inst_schema_singular_links(arena, schema, &v, NULL) == INST_OK);
    if (inst_schema_attrs(arena, schema, &env, &v, &err) == INST_OK) {
        struct inst_attrs *attrs;
        FUZZ_REQUIRE(inst_attrs_new(&v, &attrs, NULL) == INST_OK);
        FUZZ_REQUIRE(inst_attrs_count(attrs) == v.len);
        inst_attrs_unref(attrs);
    } else {
        FUZZ_REQUIRE(strcmp(err.type, "validation-failed") == 0);
    }
    inst_err_clear(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct inst_value absent;
    const struct inst_schema *schema = NULL;
    const struct inst_value *json, *query, *chunks;
    char hash[INST_QUERY_HASH_TEXT + 1];
    struct inst_arena arena;
    struct inst_value v;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, (const char *)data, size, &v, NULL) == INST_OK) {
        json = inst_getz(&v, "schema");
        query = inst_getz(&v, "query");
        chunks = inst_getz(&v, "chunks");
        if (json && inst_schema_read(&arena, json, &schema, NULL) == INST_OK) {
            check_schema(&arena, schema);
        } else {
            schema = NULL;
        }
        query = query ? query : &absent;
        check_verdict(inst_query_validate, query, schema);
        check_verdict(inst_tx_validate, chunks ? chunks : &absent, schema);
        FUZZ_REQUIRE(inst_query_hash(query, hash) && strlen(hash) == INST_QUERY_HASH_TEXT);
        FUZZ_REQUIRE(inst_query_hash_legacy(query, hash));
    }
    inst_arena_free(&arena);
    return 0;
}
