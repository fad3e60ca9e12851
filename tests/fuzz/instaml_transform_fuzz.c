/*
 * Bytes choose ops over a few names; whatever comes out, steps use known attrs only, can be applied
 * to a store, and can be rewritten against a server that made the same attrs under other ids.
 */
#include "base/json.h"
#include "base/uuid.h"
#include "fuzz.h"
#include "instaml/chunks.h"
#include "instaml/rewrite.h"
#include "instaml/transact.h"
#include "instaml/transform.h"

#include <string.h>

struct source {
    const uint8_t *at;
    const uint8_t *end;
    struct inst_arena *arena;
};

static unsigned pick(struct source *s, unsigned n) { return s->at < s->end ? *s->at++ % n : 0; }

static const char *const labels[] = {"id",      "title",     "todos",       "author", "a.b",
                                     "tags.id", "author.id", "2",           "10",     "",
                                     "a__b",    "$users",    "author.id.id"};
static const char *const etypes[] = {"todos", "people", "$users", "author", ""};
static const char *const actions[] = {"create", "update",     "merge",  "link",
                                      "unlink", "ruleParams", "delete", "fly"};
static const char *const texts[] = {"11111111-1111-4111-8111-111111111111",
                                    "22222222-2222-4222-8222-222222222222",
                                    "lookup__title__\"x\"",
                                    "lookup__author.id__1",
                                    "lookup__a__b__{\"a\":[1]}",
                                    "lookup__title__",
                                    "lookup__",
                                    "lookup__id__null",
                                    "2024-01-01",
                                    ""};

#define PICK(s, list) (list)[pick(s, sizeof(list) / sizeof((list)[0]))]

static struct inst_value any_value(struct source *s, int depth) {
    struct inst_value out = inst_undefined();
    struct inst_array_builder list;
    struct inst_object_builder object;
    switch (pick(s, depth > 3 ? 6 : 9)) {
    case 0:
        return inst_null();
    case 1:
        return inst_bool(pick(s, 2));
    case 2:
        return inst_number((double)pick(s, 5) - 1.5);
    case 3:
    case 4:
        return inst_cstring(PICK(s, texts));
    case 5:
        return depth > 3 ? inst_date(0) : inst_undefined();
    case 6:
    case 7:
        inst_array_begin(&list, s->arena);
        for (unsigned n = pick(s, 4); n; n--) {
            inst_array_add(&list, any_value(s, depth + 1));
        }
        inst_array_end(&list, &out);
        return out;
    default:
        inst_object_begin(&object, s->arena);
        for (unsigned n = pick(s, 4); n; n--) {
            inst_object_addz(&object, PICK(s, labels), any_value(s, depth + 1));
        }
        inst_object_end(&object, &out);
        return out;
    }
}

static struct inst_value any_eid(struct source *s) {
    struct inst_value out;
    struct inst_array_builder pair;
    switch (pick(s, 4)) {
    case 0:
    case 1:
        return inst_cstring(PICK(s, texts));
    case 2:
        inst_array_begin(&pair, s->arena);
        inst_array_add(&pair, inst_cstring(PICK(s, labels)));
        inst_array_add(&pair, any_value(s, 2));
        inst_array_end(&pair, &out);
        return out;
    default:
        return any_value(s, 1);
    }
}

static struct inst_value any_args(struct source *s, bool is_link) {
    if (pick(s, 12) == 0) {
        return any_value(s, 0);
    }
    struct inst_object_builder object;
    struct inst_value out;
    inst_object_begin(&object, s->arena);
    for (unsigned n = pick(s, 4); n; n--) {
        inst_object_addz(&object, PICK(s, labels), is_link ? any_eid(s) : any_value(s, 1));
    }
    inst_object_end(&object, &out);
    return out;
}

static struct inst_value any_chunk(struct source *s) {
    struct inst_value chunk;
    FUZZ_REQUIRE(inst_chunk_new(s->arena, inst_cstring(PICK(s, etypes)), &chunk, NULL) == INST_OK);
    for (unsigned n = 1 + pick(s, 3); n; n--) {
        const char *action = PICK(s, actions);
        bool is_link = strstr(action, "link") != NULL;
        FUZZ_REQUIRE(inst_chunk_add(s->arena, &chunk, action, any_eid(s), any_args(s, is_link),
                                    pick(s, 3) ? inst_undefined() : any_value(s, 2), &chunk,
                                    NULL) == INST_OK);
    }
    return chunk;
}

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    FUZZ_REQUIRE(inst_json_parse(arena, text, strlen(text), &v, NULL) == INST_OK);
    return v;
}

/* The server's attrs: some names as ours may make them, some links the other way round. */
static const char attrs_text[] =
    "[{\"id\":\"A\",\"forward-identity\":[\"a\",\"todos\",\"id\"],\"value-type\":\"blob\","
    "\"cardinality\":\"one\",\"unique?\":true,\"index?\":true},"
    "{\"id\":\"B\",\"forward-identity\":[\"b\",\"todos\",\"title\"],\"value-type\":\"blob\","
    "\"cardinality\":\"one\",\"unique?\":true,\"index?\":true,\"isUnsynced\":true},"
    "{\"id\":\"C\",\"forward-identity\":[\"c\",\"people\",\"todos\"],"
    "\"reverse-identity\":[\"d\",\"todos\",\"author\"],\"value-type\":\"ref\","
    "\"cardinality\":\"many\",\"unique?\":true,\"index?\":false},"
    "{\"id\":\"D\",\"forward-identity\":[\"e\",\"people\",\"a.b\"],\"value-type\":\"blob\","
    "\"cardinality\":\"one\",\"unique?\":true,\"index?\":true,\"checked-data-type\":\"date\"}]";

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    uint64_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*state >> 56);
    }
}

static int64_t clock_ms(void *ctx) {
    (void)ctx;
    return 1700000000000;
}

/* Every attr that a step names is known, or was added by a step before it. */
static void check_steps(const struct inst_attrs *known, const struct inst_value *steps) {
    FUZZ_REQUIRE(steps->tag == INST_ARRAY);
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        FUZZ_REQUIRE(step->tag == INST_ARRAY && step->len >= 2);
        const struct inst_value *action = &step->u.items[0];
        bool is_triple = strstr("add-triple retract-triple deep-merge-triple", action->u.str);
        if (!is_triple) {
            continue;
        }
        FUZZ_REQUIRE(step->len == 4 || step->len == 5);
        const struct inst_value *a = &step->u.items[2];
        bool is_known = inst_attrs_by_id(known, a->u.str, a->len) != NULL;
        for (uint32_t k = 0; k < i && !is_known; k++) {
            const struct inst_value *other = &steps->u.items[k];
            is_known = inst_is_string(&other->u.items[0], "add-attr") &&
                       inst_value_same(inst_getz(&other->u.items[1], "id"), a);
        }
        FUZZ_REQUIRE(is_known);
    }
}

/* The same transaction, made when nothing was known, meets the server's attrs. */
static void check_rewrite(struct inst_arena *arena, const struct inst_attrs *server,
                          const struct inst_value *steps) {
    struct inst_attr_mapping mapping;
    struct inst_value out, again;
    bool is_changed;
    inst_attr_mapping_init(&mapping, arena);
    FUZZ_REQUIRE(inst_rewrite_steps(&mapping, server, steps, false, &out, &is_changed, NULL) ==
                 INST_OK);
    check_steps(server, &out);
    FUZZ_REQUIRE(inst_rewrite_steps(&mapping, server, &out, false, &again, &is_changed, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(!is_changed && inst_value_equal(&out, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct source s = {data, data + size, &arena};
    struct inst_value list = parse(&arena, attrs_text), none = inst_array(NULL, 0);
    struct inst_value triples = parse(&arena, "[[\"11111111-1111-4111-8111-111111111111\",\"A\","
                                              "\"11111111-1111-4111-8111-111111111111\",1],"
                                              "[\"11111111-1111-4111-8111-111111111111\",\"B\","
                                              "\"x\",1]]");
    struct inst_attrs *server, *empty;
    struct inst_mem_store *store;
    FUZZ_REQUIRE(inst_attrs_new(&list, &server, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_attrs_new(&none, &empty, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_mem_store_new(server, (struct inst_mem_options){true}, &store, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_mem_store_load(store, &triples, NULL) == INST_OK);
    uint64_t seed = 1;
    struct inst_env env = {&seed, clock_ms, random_bytes, NULL};
    struct inst_tx_context context = {.stores = &store, .store_count = 1, .env = &env};
    context.use_date_objects = pick(&s, 2);
    struct inst_value chunk = any_chunk(&s), steps;
    struct inst_err err = {0};
    struct inst_created_at created = {0};
    context.attrs = server;
    if (inst_tx_transform(&arena, &context, &chunk, &steps, &err) == INST_OK) {
        check_steps(server, &steps);
        inst_transact(store, &steps, &env, &created, &err);
    } else {
        FUZZ_REQUIRE(err.message && err.message[0]);
    }
    inst_err_clear(&err);
    context.attrs = empty;
    if (inst_tx_transform(&arena, &context, &chunk, &steps, NULL) == INST_OK) {
        check_steps(empty, &steps);
        check_rewrite(&arena, server, &steps);
    }
    inst_mem_store_free(store);
    inst_attrs_unref(server);
    inst_attrs_unref(empty);
    inst_arena_free(&arena);
    return 0;
}
