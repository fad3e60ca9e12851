/*
 * Any bytes that are JSON, as a query, on the client and on the server: it answers or refuses, in
 * bounds; join order never changes what the client sees; what the server collects is enough for the
 * client to find the same entities again.
 */
#include "base/json.h"
#include "fuzz.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

#include <string.h>

static const char attrs_text[] =
    "[{\"id\":\"00000000-0000-4000-9000-000000000001\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"1\",\"a\",\"id\"],\"unique?\":true,\"index?\":true},"
    "{\"id\":\"00000000-0000-4000-9000-000000000002\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"2\",\"a\",\"s\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"string\"},"
    "{\"id\":\"00000000-0000-4000-9000-000000000003\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"3\",\"a\",\"n\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"number\"},"
    "{\"id\":\"00000000-0000-4000-9000-000000000004\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"4\",\"a\",\"d\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"date\"},"
    "{\"id\":\"00000000-0000-4000-9000-000000000005\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"5\",\"a\",\"x\"],\"unique?\":false,\"index?\":false},"
    "{\"id\":\"00000000-0000-4000-9000-000000000006\",\"value-type\":\"ref\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"6\",\"a\",\"b\"],\"reverse-identity\":[\"7\",\"b\",\"a\"],"
    "\"unique?\":false,\"index?\":false},"
    "{\"id\":\"00000000-0000-4000-9000-000000000007\",\"value-type\":\"ref\",\"cardinality\":"
    "\"many\",\"forward-identity\":[\"8\",\"b\",\"m\"],\"reverse-identity\":[\"9\",\"a\",\"o\"],"
    "\"unique?\":false,\"index?\":false},"
    "{\"id\":\"00000000-0000-4000-9000-000000000008\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\",\"forward-identity\":[\"10\",\"b\",\"id\"],\"unique?\":true,\"index?\":true}]";

#define A "00000000-0000-4000-9000-00000000000"
#define E "-0000-4000-8000-000000000000"

static const char triples_text[] =
    "[[\"00000001" E "\",\"" A "1\",\"00000001" E "\",1],[\"00000002" E "\",\"" A "1\","
    "\"00000002" E "\",1],[\"00000003" E "\",\"" A "1\",\"00000003" E "\",2],"
    "[\"00000001" E "\",\"" A "2\",\"one\",1],[\"00000002" E "\",\"" A "2\",null,1],"
    "[\"00000003" E "\",\"" A "2\",\"One\",1],[\"00000001" E "\",\"" A "3\",1,1],"
    "[\"00000002" E "\",\"" A "3\",2,1],[\"00000003" E "\",\"" A "3\",2,1],"
    "[\"00000001" E "\",\"" A "4\",\"2020-01-01\",1],[\"00000002" E "\",\"" A "4\",0,1],"
    "[\"00000001" E "\",\"" A "5\",{\"$in\":[1]},1],[\"00000002" E "\",\"" A "5\",[1],1],"
    "[\"00000001" E "\",\"" A "6\",\"00000011" E "\",1],[\"00000002" E "\",\"" A "6\","
    "\"00000011" E "\",1],[\"00000011" E "\",\"" A "7\",\"00000001" E "\",1],"
    "[\"00000011" E "\",\"" A "7\",\"00000003" E "\",1],[\"00000012" E "\",\"" A "7\","
    "\"00000003" E "\",1],[\"00000011" E "\",\"" A "8\",\"00000011" E "\",1],"
    "[\"00000012" E "\",\"" A "8\",\"00000012" E "\",1]]";

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    FUZZ_REQUIRE(inst_json_parse(arena, text, strlen(text), &v, NULL) == INST_OK);
    return v;
}

static void check_error(struct inst_err *err) {
    static const char *const types[] = {"Error", "TypeError", "limit-exceeded", "validation-failed",
                                        "timeout"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        is_known = is_known || strcmp(err->type, types[i]) == 0;
    }
    FUZZ_REQUIRE(is_known);
    FUZZ_REQUIRE(err->message && err->message[0]);
    if (err->hint) {
        struct inst_arena arena;
        struct inst_value hint;
        inst_arena_init(&arena);
        FUZZ_REQUIRE(inst_json_parse(&arena, err->hint, strlen(err->hint), &hint, NULL) == INST_OK);
        inst_arena_free(&arena);
    }
    inst_err_clear(err);
}

static void write(const struct inst_value *v, struct inst_buf *out) {
    inst_buf_clear(out);
    inst_json_write(out, v);
    FUZZ_REQUIRE(!out->failed);
}

/* Twice with one prepared query, once without: the same bytes. */
static void check_client(struct inst_store *store, const struct inst_value *q,
                         struct inst_arena *arena) {
    struct inst_query *query;
    struct inst_value out;
    struct inst_err err = {0};
    struct inst_buf first, again;
    if (inst_query_new(q, INST_QUERY_CLIENT, &query, &err) != INST_OK) {
        check_error(&err);
        return;
    }
    inst_buf_init(&first);
    inst_buf_init(&again);
    if (inst_query_eval(query, store, NULL, arena, &out, &err) == INST_OK) {
        write(&out, &first);
        FUZZ_REQUIRE(inst_query_eval(query, store, NULL, arena, &out, &err) == INST_OK);
        write(&out, &again);
        FUZZ_REQUIRE(first.len == again.len && !memcmp(first.data, again.data, first.len));
        FUZZ_REQUIRE(inst_instaql_eval(store, q, NULL, arena, &out, &err) == INST_OK);
        write(&out, &again);
        FUZZ_REQUIRE(first.len == again.len && !memcmp(first.data, again.data, first.len));
    } else {
        check_error(&err);
        FUZZ_REQUIRE(inst_query_eval(query, store, NULL, arena, &out, NULL) != INST_OK);
    }
    inst_buf_free(&first);
    inst_buf_free(&again);
    inst_query_free(query);
}

static void check_server(struct inst_store *store, const struct inst_value *q,
                         struct inst_arena *arena) {
    const struct inst_collect_options admin = {.is_admin = true, .infer_singular = true};
    struct inst_collected out;
    struct inst_value tree;
    struct inst_query *query;
    struct inst_err err = {0};
    enum inst_status status = inst_instaql_collect(store, q, &admin, arena, &out, &err);
    if (status != INST_OK) {
        check_error(&err);
    }
    for (size_t i = 0; status == INST_OK && i < out.triple_count; i++) {
        FUZZ_REQUIRE(out.triples[i].triple.e != 0);
        for (size_t k = 0; k < i; k++) {
            FUZZ_REQUIRE(out.triples[i].attr != out.triples[k].attr ||
                         out.triples[i].triple.e != out.triples[k].triple.e ||
                         out.triples[i].triple.ref != out.triples[k].triple.ref);
        }
    }
    if (inst_query_new(q, INST_QUERY_SERVER, &query, &err) != INST_OK) {
        check_error(&err);
        return;
    }
    FUZZ_REQUIRE(inst_query_tree(query, store, &admin, arena, &tree, NULL, &err) == status);
    inst_err_clear(&err);
    if (inst_query_collect(query, store, NULL, arena, &out, &err) != INST_OK) {
        check_error(&err);
    }
    inst_query_free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_arena arena;
    struct inst_value q;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, (const char *)data, size, &q, NULL) == INST_OK) {
        struct inst_value list = parse(&arena, attrs_text);
        struct inst_value triples = parse(&arena, triples_text);
        FUZZ_REQUIRE(inst_attrs_new(&list, &attrs, NULL) == INST_OK);
        FUZZ_REQUIRE(inst_mem_store_new(attrs, (struct inst_mem_options){0}, &store, NULL) ==
                     INST_OK);
        FUZZ_REQUIRE(inst_mem_store_load(store, &triples, NULL) == INST_OK);
        check_client(inst_mem_store_as_store(store), &q, &arena);
        check_server(inst_mem_store_as_store(store), &q, &arena);
        inst_mem_store_free(store);
        inst_attrs_unref(attrs);
    }
    inst_arena_free(&arena);
    return 0;
}
