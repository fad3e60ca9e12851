/*
 * Any bytes, taken as tx-steps on a small store: as JSON when they are JSON, else four bytes choose
 * the parts of one step. They are applied or refused, a refused transaction leaves no trace, and a
 * rollback gives the store back as it was, order included, though indexes were built in between.
 */
#include "base/json.h"
#include "fuzz.h"
#include "instaml/transact.h"

#include <string.h>

static const char attrs_json[] =
    "[{\"id\":\"i\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"1\",\"p\",\"id\"]},"
    "{\"id\":\"n\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"2\",\"p\",\"name\"]},"
    "{\"id\":\"m\",\"value-type\":\"blob\",\"cardinality\":\"many\","
    "\"forward-identity\":[\"3\",\"q\",\"many\"]},"
    "{\"id\":\"d\",\"value-type\":\"blob\",\"cardinality\":\"one\",\"checked-data-type\":\"date\","
    "\"forward-identity\":[\"4\",\"p\",\"date\"]},"
    "{\"id\":\"r\",\"value-type\":\"ref\",\"cardinality\":\"one\",\"on-delete\":\"cascade\","
    "\"forward-identity\":[\"5\",\"p\",\"boss\"],\"reverse-identity\":[\"6\",\"q\",\"staff\"]},"
    "{\"id\":\"s\",\"value-type\":\"ref\",\"cardinality\":\"many\",\"on-delete-reverse\":"
    "\"cascade\","
    "\"forward-identity\":[\"7\",\"q\",\"kin\"],\"reverse-identity\":[\"8\",\"p\",\"nik\"]}]";

static const char triples_json[] =
    "[[\"a\",\"i\",\"a\",1],[\"a\",\"n\",\"x\",2],[\"a\",\"n\",\"y\",3],[\"a\",\"r\",\"b\",4],"
    "[\"a\",\"d\",\"2025-01-02\",5],[\"b\",\"i\",\"b\"],[\"b\",\"m\",1],[\"b\",\"m\",null],"
    "[\"b\",\"s\",\"a\",6],[\"b\",\"s\",\"c\",7],[\"c\",\"n\",{\"k\":{\"l\":[1]}},8],"
    "[\"c\",\"r\",\"b\",9],[\"c\",\"i\",\"c\",10]]";

static int64_t fixed_now(void *ctx) {
    (void)ctx;
    return 1700000000000;
}

struct dump {
    struct inst_store *base;
    struct inst_buf text;
};

static bool dump_triple(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    struct dump *dump = ctx;
    struct inst_value e = dump->base->ops->entity_id(dump->base, triple->e);
    inst_json_write(&dump->text, &e);
    inst_json_write(&dump->text, &attr->id);
    inst_json_write(&dump->text, &triple->v);
    inst_buf_addf(&dump->text, "%lld\n", (long long)triple->t);
    return true;
}

/* By eav, by attr, and by every value in it. */
static struct inst_buf dump_store(struct inst_mem_store *store) {
    struct dump dump = {.base = inst_mem_store_as_store(store)};
    const struct inst_store_ops *ops = dump.base->ops;
    inst_buf_init(&dump.text);
    inst_mem_store_each(store, dump_triple, &dump);
    for (size_t i = 0; i < inst_attrs_count(dump.base->attrs); i++) {
        struct inst_scan all = {.attr = inst_attrs_at(dump.base->attrs, i)};
        struct inst_cursor outer, inner;
        struct inst_triple triple, same;
        size_t count = 0;
        FUZZ_REQUIRE(ops->scan(dump.base, &all, &outer, NULL) == INST_OK);
        while (ops->next(&outer, &triple, NULL) == 1 && count++ < 50) {
            struct inst_scan by_value = {.attr = all.attr, .has_v = true, .v = triple.v};
            bool is_there = triple.v.tag > INST_STRING || triple.v.tag == INST_UNDEFINED;
            dump_triple(&dump, all.attr, &triple);
            FUZZ_REQUIRE(ops->scan(dump.base, &by_value, &inner, NULL) == INST_OK);
            while (ops->next(&inner, &same, NULL) == 1) {
                is_there = is_there || same.seq == triple.seq;
                dump_triple(&dump, all.attr, &same);
            }
            ops->close(&inner);
            FUZZ_REQUIRE(is_there);
        }
        ops->close(&outer);
    }
    return dump.text;
}

static void require_same(struct inst_buf *a, struct inst_buf *b) {
    FUZZ_REQUIRE(a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0));
    inst_buf_free(b);
}

static struct inst_mem_store *open_store(struct inst_arena *arena, bool use_date_objects) {
    struct inst_mem_options options = {.use_date_objects = use_date_objects};
    struct inst_value attrs_list, triples;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    FUZZ_REQUIRE(inst_json_parse(arena, attrs_json, strlen(attrs_json), &attrs_list, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_json_parse(arena, triples_json, strlen(triples_json), &triples, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_attrs_new(&attrs_list, &attrs, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_mem_store_new(attrs, options, &store, NULL) == INST_OK);
    inst_attrs_unref(attrs);
    FUZZ_REQUIRE(inst_mem_store_load(store, &triples, NULL) == INST_OK);
    return store;
}

static void apply(struct inst_mem_store *store, const struct inst_value *steps) {
    const struct inst_env env = {.now_ms = fixed_now};
    struct inst_created_at counter = {0};
    struct inst_err err = {0};
    uint64_t mark = inst_mem_store_mark(store);
    struct inst_buf before = dump_store(store), after;
    for (int i = 0; i < 2; i++) {
        enum inst_status status = inst_transact(store, steps, &env, &counter, &err);
        after = dump_store(store);
        if (status != INST_OK && i == 0) {
            FUZZ_REQUIRE(err.message);
            require_same(&before, &after);
        } else {
            inst_buf_free(&after);
        }
        inst_err_clear(&err);
    }
    FUZZ_REQUIRE(inst_mem_store_rollback(store, mark, NULL) == INST_OK);
    after = dump_store(store);
    require_same(&before, &after);
    inst_buf_free(&before);
}

/* The choices of one byte each: an action, an entity or catalog change, an attr, a value. */
static struct inst_value step_of(struct inst_arena *arena, const uint8_t *code) {
    static const char *const actions[] = {"add-triple",        "add-triple",    "add-triple",
                                          "deep-merge-triple", "delete-entity", "retract-triple",
                                          "update-attr",       "add-attr",      "delete-attr"};
    static const char *const entities[] = {"\"a\"", "\"b\"", "\"c\"", "\"e\"", "[\"n\",\"x\"]"};
    static const char *const attrs[] = {"i", "n", "m", "d", "r", "s", "z"};
    static const char *const etypes[] = {"\"p\"", "\"q\"", "null", "\"x\""};
    static const char *const changes[] = {
        "\"cardinality\":\"one\"",       "\"cardinality\":\"many\"",
        "\"value-type\":\"ref\"",        "\"value-type\":\"blob\"",
        "\"on-delete\":\"cascade\"",     "\"on-delete-reverse\":\"cascade\"",
        "\"checked-data-type\":\"date\""};
    static const char *const values[] = {"\"a\"",          "\"b\"", "\"c\"", "\"d\"",
                                         "\"x\"",          "1",     "2",     "null",
                                         "\"2025-01-02\"", "true",  "[1]",   "{\"k\":{\"m\":null}}",
                                         "[\"n\",\"x\"]",  "\"e\"", "3",     "4"};
    static const char *const modes[] = {"", ",{\"mode\":\"create\"}", ",{\"mode\":\"update\"}", ""};
#define OF(list, byte) list[(byte) % (sizeof(list) / sizeof(*(list)))]
    const char *action = OF(actions, code[0]), *attr = OF(attrs, code[2]);
    char text[320];
    struct inst_value step;
    if (strcmp(action, "delete-entity") == 0) {
        snprintf(text, sizeof(text), "[\"%s\",%s,%s]", action, OF(entities, code[1]),
                 OF(etypes, code[2]));
    } else if (strcmp(action, "delete-attr") == 0) {
        snprintf(text, sizeof(text), "[\"%s\",\"%s\"]", action, attr);
    } else if (strstr(action, "-attr")) {
        snprintf(text, sizeof(text),
                 "[\"%s\",{\"id\":\"%s\",\"value-type\":\"blob\",\"cardinality\":\"one\","
                 "\"forward-identity\":[\"1\",\"p\",\"l%d\"],"
                 "\"reverse-identity\":[\"2\",\"q\",\"m%d\"],%s,%s}]",
                 action, attr, code[3] & 3, code[3] & 3, OF(changes, code[1]),
                 OF(changes, code[3]));
    } else {
        snprintf(text, sizeof(text), "[\"%s\",%s,\"%s\",%s%s]", action, OF(entities, code[1]), attr,
                 OF(values, code[3]), OF(modes, code[3] >> 6));
    }
    FUZZ_REQUIRE(inst_json_parse(arena, text, strlen(text), &step, NULL) == INST_OK);
    return step;
}

static struct inst_value steps_of(struct inst_arena *arena, const uint8_t *data, size_t size) {
    size_t count = size / 4 < 200 ? size / 4 : 200;
    struct inst_value *steps = inst_arena_alloc(arena, count * sizeof(*steps));
    for (size_t i = 0; i < count; i++) {
        steps[i] = step_of(arena, data + 4 * i);
    }
    return inst_array(steps, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_arena arena;
    struct inst_value steps;
    if (size == 0) {
        return 0;
    }
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, (const char *)data + 1, size - 1, &steps, NULL) != INST_OK) {
        steps = steps_of(&arena, data + 1, size - 1);
    }
    struct inst_mem_store *store = open_store(&arena, data[0] & 1);
    apply(store, &steps);
    inst_mem_store_free(store);
    inst_arena_free(&arena);
    return 0;
}
