/*
 * store_transact_vectors.c - tx-steps on a memory store (transactions.md 15).
 *
 * After the steps the store's triples, its changed attrs and the results of some queries must be
 * the line's. Every case is then rolled back, which must give the triples it began with.
 */
#include "vectors.h"

#include "base/env.h"
#include "base/json.h"
#include "instaml/transact.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vec_handler_fn vec_store_transact;

/* So much larger than the fixtures' times that a new triple is known by it. */
#define NOW_MS 1700000000000
#define FIRST_NEW_TIME (NOW_MS * 10)

static int64_t fixed_now(void *ctx) {
    (void)ctx;
    return NOW_MS;
}

/* ---- triples ---- */

struct row {
    struct inst_value triple; /* [e, a, v, t or "new:k"] */
    const char *key;          /* e, a and the JSON of v: the order to compare in */
    int64_t t;
};

struct rows {
    struct vec_case *c;
    struct inst_mem_store *store;
    struct row *at;
    size_t count;
};

static bool add_row(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    struct rows *rows = ctx;
    struct inst_store *store = inst_mem_store_as_store(rows->store);
    struct row *row = &rows->at[rows->count++];
    struct inst_value *items = inst_arena_alloc(rows->c->arena, 4 * sizeof(*items));
    items[0] = store->ops->entity_id(store, triple->e);
    items[1] = attr->id;
    items[2] = triple->v;
    items[3] = triple->t == INST_NO_TIME ? inst_undefined() : inst_number((double)triple->t);
    row->triple = inst_array(items, 4);
    row->t = triple->t;
    struct inst_buf key;
    inst_buf_init(&key);
    inst_buf_add(&key, items[0].u.str, items[0].len);
    inst_buf_add_char(&key, ' ');
    inst_buf_add(&key, items[1].u.str, items[1].len);
    inst_buf_add_char(&key, ' ');
    inst_json_write(&key, &items[2]);
    row->key = inst_arena_dup(rows->c->arena, key.data, key.len);
    inst_buf_free(&key);
    return true;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct row *)a)->key, ((const struct row *)b)->key);
}

/* "new:k" for the k-th in time of the triples that the steps made. */
static void name_new(struct rows *rows) {
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = &rows->at[i];
        int place = 1;
        for (size_t j = 0; j < rows->count; j++) {
            place += rows->at[j].t >= FIRST_NEW_TIME && rows->at[j].t < row->t;
        }
        if (row->t >= FIRST_NEW_TIME) {
            char *name = inst_arena_alloc(rows->c->arena, 16);
            snprintf(name, 16, "new:%d", place);
            ((struct inst_value *)row->triple.u.items)[3] = inst_cstring(name);
        }
    }
}

/* All triples of the store as the line writes them. */
static struct inst_value dump(struct vec_case *c, struct inst_mem_store *store) {
    size_t count = inst_mem_store_count(store);
    struct rows rows = {.c = c, .store = store};
    rows.at = inst_arena_alloc(c->arena, (count + 1) * sizeof(*rows.at));
    inst_mem_store_each(store, add_row, &rows);
    name_new(&rows);
    qsort(rows.at, rows.count, sizeof(*rows.at), by_key);
    struct inst_value *items = inst_arena_alloc(c->arena, (rows.count + 1) * sizeof(*items));
    for (size_t i = 0; i < rows.count; i++) {
        items[i] = rows.at[i].triple;
    }
    struct inst_value all = inst_array(items, rows.count), copy;
    inst_value_dup(c->arena, &all, &copy);
    return copy;
}

/* ---- attrs ---- */

static void check_attrs(struct vec_case *c, const struct inst_value *expected,
                        struct inst_attrs *before, struct inst_attrs *after) {
    const struct inst_value *put = inst_getz(expected, "attrsPut");
    const struct inst_value *gone = inst_getz(expected, "attrsGone");
    struct inst_object_builder is_put;
    struct inst_array_builder is_gone;
    struct inst_value v;
    inst_object_begin(&is_put, c->arena);
    inst_array_begin(&is_gone, c->arena);
    for (size_t i = 0; i < inst_attrs_count(after); i++) {
        const struct inst_attr *attr = inst_attrs_at(after, i);
        const struct inst_attr *old = inst_attrs_by_id(before, attr->id.u.str, attr->id.len);
        if (!old || !inst_value_equal(&old->json, &attr->json)) {
            inst_object_add(&is_put, attr->id.u.str, attr->id.len, attr->json);
        }
    }
    for (size_t i = 0; i < inst_attrs_count(before); i++) {
        const struct inst_attr *attr = inst_attrs_at(before, i);
        if (!inst_attrs_by_id(after, attr->id.u.str, attr->id.len)) {
            inst_array_add(&is_gone, attr->id);
        }
    }
    inst_object_end(&is_put, &v);
    vec_expect_equal(c, "attrs put", put ? put : &(struct inst_value){.tag = INST_OBJECT}, &v);
    inst_array_end(&is_gone, &v);
    vec_expect_equal(c, "attrs gone", gone ? gone : &(struct inst_value){.tag = INST_ARRAY}, &v);
}

/* The attrs of a fixture, a map from id to attr, as the list that a catalog is made of. */
static struct inst_value list_of(struct vec_case *c, const struct inst_value *map) {
    struct inst_array_builder b;
    struct inst_value list;
    inst_array_begin(&b, c->arena);
    for (uint32_t i = 0; i < map->len; i++) {
        inst_array_add(&b, map->tag == INST_OBJECT ? map->u.members[i].value : map->u.items[i]);
    }
    inst_array_end(&b, &list);
    return list;
}

/* ---- queries ---- */

/* {etype: {label: true}} of the schema's has-one sides (instaql.md 3.7). */
static struct inst_value singular_links(struct vec_case *c, const struct inst_value *schema) {
    const struct inst_value *links = inst_getz(schema, "links");
    static const char *const sides[] = {"forward", "reverse"};
    struct inst_value all = inst_object(NULL, 0);
    for (uint32_t i = 0; links && i < 2 * links->len; i++) {
        const struct inst_value *side = inst_getz(&links->u.members[i / 2].value, sides[i % 2]);
        const struct inst_value *on = inst_get_string(side, "on");
        const struct inst_value *label = inst_get_string(side, "label");
        const struct inst_value *old = inst_get(&all, on->u.str, on->len);
        struct inst_object_builder b;
        struct inst_value labels;
        inst_object_begin(&b, c->arena);
        for (uint32_t j = 0; old && j < old->len; j++) {
            inst_object_add(&b, old->u.members[j].key, old->u.members[j].key_len,
                            old->u.members[j].value);
        }
        if (inst_is_string(inst_getz(side, "has"), "one")) {
            inst_object_add(&b, label->u.str, label->len, inst_bool(true));
        }
        inst_object_end(&b, &labels);
        inst_object_begin(&b, c->arena);
        for (uint32_t j = 0; j < all.len; j++) {
            inst_object_add(&b, all.u.members[j].key, all.u.members[j].key_len,
                            all.u.members[j].value);
        }
        inst_object_add(&b, on->u.str, on->len, labels);
        inst_object_end(&b, &all);
    }
    return all;
}

static void check_queries(struct vec_case *c, const struct inst_value *queries,
                          struct inst_mem_store *store) {
    struct inst_value singular;
    struct inst_eval_options options = {0};
    const struct inst_value *schema = vec_get(c, "schema");
    if (inst_get_true(c->line, "cardinalityInference") && schema->tag != INST_UNDEFINED) {
        singular = singular_links(c, vec_fixture(c, schema, "schema"));
        options.singular_links = &singular;
    }
    for (uint32_t i = 0; queries && i < queries->len; i++) {
        const struct inst_value *query = &queries->u.items[i];
        struct inst_err err = {0};
        struct inst_value result;
        enum inst_status status =
            inst_instaql_eval(inst_mem_store_as_store(store), inst_getz(query, "query"), &options,
                              c->arena, &result, &err);
        if (vec_expect_ok(c, "query", status, &err)) {
            vec_expect_json(c, "data", inst_getz(query, "data"), inst_getz(&result, "data"));
        }
    }
}

/* ---- a case ---- */

static void check_steps(struct vec_case *c, struct inst_mem_store *store,
                        struct inst_attrs *before) {
    const struct inst_env env = {.now_ms = fixed_now};
    const struct inst_value *expected = vec_get(c, "expected");
    const struct inst_value *error = inst_get_string(expected, "error");
    struct inst_created_at counter = {0};
    struct inst_err err = {0};
    enum inst_status status = inst_transact(store, vec_get(c, "steps"), &env, &counter, &err);
    if (!error) {
        if (vec_expect_ok(c, "steps", status, &err)) {
            struct inst_value triples = dump(c, store);
            vec_expect_json(c, "triples", inst_getz(expected, "triples"), &triples);
            check_attrs(c, expected, before, inst_mem_store_as_store(store)->attrs);
            check_queries(c, inst_getz(expected, "queries"), store);
        }
    } else if (status == INST_OK) {
        vec_fail(c, "no error");
    } else {
        vec_expect_text(c, "error", error->u.str, error->len, err.message, strlen(err.message));
        inst_err_clear(&err);
    }
}

static void check_store(struct vec_case *c, struct inst_mem_store *store,
                        struct inst_attrs *attrs) {
    struct inst_value before = dump(c, store);
    uint64_t mark = inst_mem_store_mark(store);
    check_steps(c, store, attrs);
    inst_mem_store_rollback(store, mark, NULL);
    struct inst_value after = dump(c, store);
    vec_expect_json(c, "rolled back", &before, &after);
    if (inst_mem_store_as_store(store)->attrs != attrs) {
        vec_fail(c, "rolled back to another catalog");
    }
}

void vec_store_transact(struct vec_case *c) {
    const struct inst_value *map = vec_fixture(c, vec_get(c, "attrs"), "attrs");
    const struct inst_value *triples = vec_triples(c, vec_get(c, "triples"));
    struct inst_mem_options options = {
        .use_date_objects = inst_get_true(c->line, "useDateObjects"),
    };
    struct inst_attrs *attrs = NULL;
    struct inst_mem_store *store = NULL;
    struct inst_err err = {0};
    if (!map || !triples) {
        return;
    }
    struct inst_value list = list_of(c, map);
    if (vec_expect_ok(c, "attrs", inst_attrs_new(&list, &attrs, &err), &err) &&
        vec_expect_ok(c, "store", inst_mem_store_new(attrs, options, &store, &err), &err) &&
        vec_expect_ok(c, "load", inst_mem_store_load(store, triples, &err), &err)) {
        check_store(c, store, attrs);
    }
    inst_mem_store_free(store);
    inst_attrs_unref(attrs);
}
