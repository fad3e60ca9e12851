/*
 * instaml_vectors.c - chunks to tx-steps, and the rewriting of steps (transactions.md 15).
 *
 * A case is run twice: from `calls` through the chunk helpers, whose ops must be the line's, and
 * from `ops` as they stand. Ids that were made up become attr:k, fwd:k, rev:k before comparing.
 */
#include "vectors.h"

#include "base/env.h"
#include "instaml/chunks.h"
#include "instaml/rewrite.h"
#include "instaml/transform.h"
#include "triples/mem_store.h"

#include <stdio.h>
#include <string.h>

vec_handler_fn vec_instaml;

static void counting_random(void *ctx, uint8_t *out, size_t len) {
    uint64_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*state >> 56);
    }
}

/* ---- ids ---- */

/* text -> "attr:k" and so on. */
struct names {
    struct vec_case *c;
    struct inst_attrs *known;
    struct inst_object_builder map;
    int count;
};

static void name_id(struct names *names, const struct inst_value *id, const char *kind) {
    char *text = inst_arena_alloc(names->c->arena, 32);
    snprintf(text, 32, "%s:%d", kind, names->count);
    inst_object_add(&names->map, id->u.str, id->len, inst_cstring(text));
}

static void name_attr(struct names *names, const struct inst_value *attr) {
    const struct inst_value *id = inst_get_string(attr, "id");
    if (!id || inst_attrs_by_id(names->known, id->u.str, id->len)) {
        return;
    }
    names->count++;
    name_id(names, id, "attr");
    const struct inst_value *ident = inst_getz(attr, "forward-identity");
    if (ident && ident->tag == INST_ARRAY) {
        name_id(names, &ident->u.items[0], "fwd");
    }
    ident = inst_getz(attr, "reverse-identity");
    if (ident && ident->tag == INST_ARRAY) {
        name_id(names, &ident->u.items[0], "rev");
    }
}

static struct inst_value renamed(struct names *names, const struct inst_value *map,
                                 const struct inst_value *v) {
    if (v->tag == INST_STRING) {
        const struct inst_value *to = inst_get(map, v->u.str, v->len);
        return to ? *to : *v;
    }
    struct inst_value out = *v;
    if (v->tag == INST_ARRAY) {
        struct inst_array_builder b;
        inst_array_begin(&b, names->c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            inst_array_add(&b, renamed(names, map, &v->u.items[i]));
        }
        inst_array_end(&b, &out);
    } else if (v->tag == INST_OBJECT) {
        struct inst_object_builder b;
        inst_object_begin(&b, names->c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            const struct inst_member *m = &v->u.members[i];
            inst_object_add(&b, m->key, m->key_len, renamed(names, map, &m->value));
        }
        inst_object_end(&b, &out);
    }
    return out;
}

static struct inst_value normalised(struct vec_case *c, struct inst_attrs *known,
                                    const struct inst_value *steps) {
    struct names names = {.c = c, .known = known};
    inst_object_begin(&names.map, c->arena);
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (inst_is_string(&step->u.items[0], "add-attr")) {
            name_attr(&names, &step->u.items[1]);
        }
    }
    struct inst_value map;
    inst_object_end(&names.map, &map);
    return renamed(&names, &map, steps);
}

/* ---- chunks ---- */

/* One of `calls`: [etype, key, [[method, args, opts], ...]]. */
static bool chunk_of_call(struct vec_case *c, const struct inst_value *call,
                          struct inst_value *out) {
    struct inst_err err = {0};
    const struct inst_value *key = &call->u.items[1];
    struct inst_value id;
    struct inst_buf text;
    inst_buf_init(&text);
    const struct inst_value *pair = inst_getz(key, "lookup");
    if (pair) {
        inst_lookup_encode(&text, pair->u.items[0].u.str, pair->u.items[0].len, &pair->u.items[1]);
    } else {
        inst_buf_add(&text, key->u.str, key->len);
    }
    char *copy = inst_arena_dup(c->arena, text.data, text.len);
    enum inst_status status = inst_chunk_id(c->arena, copy, text.len, &id, &err);
    inst_buf_free(&text);
    bool ok =
        vec_expect_ok(c, "key", status, &err) &&
        vec_expect_ok(c, "chunk", inst_chunk_new(c->arena, call->u.items[0], out, &err), &err);
    const struct inst_value *chain = &call->u.items[2];
    for (uint32_t i = 0; ok && i < chain->len; i++) {
        const struct inst_value *method = &chain->u.items[i];
        const struct inst_value *name = &method->u.items[0];
        char *action = inst_arena_dup(c->arena, name->u.str, name->len);
        ok = vec_expect_ok(c, "op",
                           inst_chunk_add(c->arena, out, action, id,
                                          method->len > 1 ? method->u.items[1] : inst_undefined(),
                                          method->len > 2 ? method->u.items[2] : inst_undefined(),
                                          out, &err),
                           &err);
    }
    return ok;
}

static bool chunks_of_calls(struct vec_case *c, const struct inst_value *calls,
                            struct inst_value *out) {
    struct inst_array_builder chunks, ops;
    inst_array_begin(&chunks, c->arena);
    inst_array_begin(&ops, c->arena);
    for (uint32_t i = 0; i < calls->len; i++) {
        struct inst_value chunk;
        if (!chunk_of_call(c, &calls->u.items[i], &chunk)) {
            return false;
        }
        inst_array_add(&chunks, chunk);
        const struct inst_value *own = inst_getz(&chunk, "__ops");
        for (uint32_t k = 0; k < own->len; k++) {
            inst_array_add(&ops, own->u.items[k]);
        }
    }
    struct inst_value flat;
    inst_array_end(&ops, &flat);
    return inst_array_end(&chunks, out) && vec_expect_json(c, "ops", vec_get(c, "ops"), &flat);
}

/* ---- transform ---- */

static void check_transform(struct vec_case *c, struct inst_attrs *attrs,
                            struct inst_mem_store *store, const struct inst_value *chunks) {
    uint64_t seed = c->line_no;
    struct inst_env env = {.ctx = &seed, .random = counting_random};
    const struct inst_value *schema = vec_get(c, "schema");
    struct inst_tx_context context = {
        .attrs = attrs,
        .schema = schema->tag == INST_UNDEFINED ? NULL : vec_fixture(c, schema, "schema"),
        .stores = &store,
        .store_count = store ? 1 : 0,
        .use_date_objects = inst_get_true(c->line, "useDateObjects"),
        .env = &env,
    };
    struct inst_value steps;
    struct inst_err err = {0};
    enum inst_status status = inst_tx_transform(c->arena, &context, chunks, &steps, &err);
    const struct inst_value *expected = vec_get(c, "expected");
    const struct inst_value *error = inst_get_string(expected, "error");
    if (error && status == INST_OK) {
        vec_fail(c, "expected the error %.*s", (int)error->len, error->u.str);
    } else if (error) {
        const struct inst_value *exact = inst_getz(expected, "exact");
        if (!exact || exact->tag != INST_FALSE) {
            vec_expect_text(c, "error", error->u.str, error->len, err.message, strlen(err.message));
        }
    } else if (vec_expect_ok(c, "transform", status, &err)) {
        struct inst_value shown = normalised(c, attrs, &steps);
        vec_expect_json(c, "steps", inst_getz(expected, "steps"), &shown);
    }
    inst_err_clear(&err);
}

/* The attrs of a line: a map by id, or a fixture of that shape; as a list in map order. */
static bool make_attrs(struct vec_case *c, struct inst_attrs **out) {
    const struct inst_value *map = vec_fixture(c, vec_get(c, "attrs"), "attrs");
    struct inst_array_builder list;
    inst_array_begin(&list, c->arena);
    for (uint32_t i = 0; map && i < map->len; i++) {
        inst_array_add(&list, map->tag == INST_OBJECT ? map->u.members[i].value : map->u.items[i]);
    }
    struct inst_value attrs;
    struct inst_err err = {0};
    return inst_array_end(&list, &attrs) &&
           vec_expect_ok(c, "attrs", inst_attrs_new(&attrs, out, &err), &err);
}

static bool make_store(struct vec_case *c, struct inst_attrs *attrs, struct inst_mem_store **out) {
    struct inst_err err = {0};
    const struct inst_value *triples = vec_get(c, "triples");
    if (triples->tag == INST_UNDEFINED) {
        return true;
    }
    struct inst_mem_options options = {inst_get_true(c->line, "useDateObjects")};
    return vec_expect_ok(c, "store", inst_mem_store_new(attrs, options, out, &err), &err) &&
           vec_expect_ok(c, "triples", inst_mem_store_load(*out, vec_triples(c, triples), &err),
                         &err);
}

static void run_transform(struct vec_case *c) {
    struct inst_attrs *attrs = NULL;
    struct inst_mem_store *store = NULL;
    if (make_attrs(c, &attrs) && make_store(c, attrs, &store)) {
        const struct inst_value *calls = vec_get(c, "calls");
        struct inst_value chunks;
        if (calls->tag == INST_ARRAY && chunks_of_calls(c, calls, &chunks)) {
            check_transform(c, attrs, store, &chunks);
        }
        struct inst_object_builder raw;
        inst_object_begin(&raw, c->arena);
        inst_object_addz(&raw, "__ops", *vec_get(c, "ops"));
        inst_object_end(&raw, &chunks);
        check_transform(c, attrs, store, &chunks);
    }
    inst_mem_store_free(store);
    inst_attrs_unref(attrs);
}

/* ---- rewriting ---- */

static void run_rewrite(struct vec_case *c) {
    const struct inst_value *mapping = vec_get(c, "mapping");
    const struct inst_value *ids = inst_getz(mapping, "attrIdMap");
    const struct inst_value *swapped = inst_getz(mapping, "refSwapAttrIds");
    struct inst_attr_mapping map;
    struct inst_err err = {0};
    inst_attr_mapping_init(&map, c->arena);
    for (uint32_t i = 0; i < ids->len; i++) {
        const struct inst_member *m = &ids->u.members[i];
        struct inst_value from = inst_string(m->key, m->key_len);
        bool is_swapped = false;
        for (uint32_t k = 0; k < swapped->len; k++) {
            is_swapped = is_swapped || inst_value_same(&swapped->u.items[k], &from);
        }
        vec_expect_ok(c, "mapping", inst_attr_mapping_add(&map, from, m->value, is_swapped, &err),
                      &err);
    }
    struct inst_value out;
    if (vec_expect_ok(c, "rewrite", inst_rewrite_step(&map, vec_get(c, "step"), &out, &err),
                      &err)) {
        vec_expect_json(c, "step", vec_get(c, "expected"), &out);
    }
}

void vec_instaml(struct vec_case *c) {
    if (inst_is_string(vec_get(c, "kind"), "rewrite-step")) {
        run_rewrite(c);
    } else {
        run_transform(c);
    }
}
