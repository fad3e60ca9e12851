/*
 * instaql.jsonl (instaql.md 6.2): load attrs and triples, apply the transactions, evaluate, compare
 * the serialised bytes.
 */
#include "vectors.h"

#include "base/env.h"
#include "instaml/transact.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

#include <stdio.h>
#include <string.h>

static int64_t fixed_now(void *ctx) {
    (void)ctx;
    return 1800000000000; /* later than every triple of the data sets */
}

static const struct inst_value *load(struct vec_case *c, const char *part) {
    const struct inst_value *dataset = vec_get(c, "dataset");
    char path[128];
    if (dataset->tag != INST_STRING || inst_is_string(dataset, "inline")) {
        return vec_get(c, part);
    }
    snprintf(path, sizeof(path), "data/%.*s.%s.json", (int)dataset->len, dataset->u.str, part);
    return vec_file(c, path);
}

/* One side of a schema's link: {on: {label: true}} when it has one. */
/* {label: is it singular} of one namespace. */
static struct inst_value labels_of(struct vec_case *c, const struct inst_value *links,
                                   const struct inst_value *on) {
    static const char *const ends[] = {"forward", "reverse"};
    struct inst_object_builder b;
    struct inst_value out;
    inst_object_begin(&b, c->arena);
    for (uint32_t i = 0; i < links->len * 2; i++) {
        const struct inst_value *end = inst_getz(&links->u.members[i / 2].value, ends[i % 2]);
        const struct inst_value *label = inst_get_string(end, "label");
        if (inst_value_same(inst_get_string(end, "on"), on)) {
            inst_object_add(&b, label->u.str, label->len,
                            inst_bool(inst_is_string(inst_get_string(end, "has"), "one")));
        }
    }
    inst_object_end(&b, &out);
    return out;
}

static struct inst_value singular_links(struct vec_case *c) {
    static const char *const ends[] = {"forward", "reverse"};
    const struct inst_value *links = inst_getz(vec_get(c, "schema"), "links");
    struct inst_object_builder b;
    struct inst_value out;
    inst_object_begin(&b, c->arena);
    for (uint32_t i = 0; links && i < links->len * 2; i++) {
        const struct inst_value *end = inst_getz(&links->u.members[i / 2].value, ends[i % 2]);
        const struct inst_value *on = inst_get_string(end, "on");
        inst_object_add(&b, on->u.str, on->len, labels_of(c, links, on));
    }
    inst_object_end(&b, &out);
    return out;
}

static enum inst_status run(struct vec_case *c, struct inst_mem_store *store,
                            struct inst_value *out, struct inst_err *err) {
    const struct inst_env env = {.now_ms = fixed_now};
    struct inst_created_at counter = {0};
    const struct inst_value *txs = vec_get(c, "tx");
    for (uint32_t i = 0; txs->tag == INST_ARRAY && i < txs->len; i++) {
        enum inst_status status = inst_transact(store, &txs->u.items[i], &env, &counter, err);
        if (status != INST_OK) {
            return status;
        }
    }
    struct inst_value singular = singular_links(c);
    const struct inst_value *page_info = vec_get(c, "pageInfo");
    const struct inst_value *aggregate = vec_get(c, "aggregate");
    const struct inst_eval_options opts = {
        .page_info = page_info->tag == INST_UNDEFINED ? NULL : page_info,
        .aggregate = aggregate->tag == INST_UNDEFINED ? NULL : aggregate,
        .singular_links = inst_get_true(c->line, "cardinalityInference") ? &singular : NULL,
    };
    struct inst_value query = vec_js(c, vec_get(c, "query"));
    return inst_instaql_eval(inst_mem_store_as_store(store), &query, &opts, c->arena, out, err);
}

static void expect_error(struct vec_case *c, enum inst_status status, const struct inst_err *err) {
    const struct inst_value *expected = vec_get(c, "error");
    const struct inst_value *name = inst_get_string(expected, "name");
    const struct inst_value *message = inst_get_string(expected, "message");
    if (status == INST_OK) {
        vec_fail(c, "succeeded, but must fail");
        return;
    }
    /* What a store refuses while loading has the type it has on the wire. */
    const char *type = strcmp(err->type, "validation-failed") == 0 ? "Error" : err->type;
    vec_expect_text(c, "error type", name->u.str, name->len, type, strlen(type));
    if (message) {
        vec_expect_text(c, "error message", message->u.str, message->len, err->message,
                        strlen(err->message));
    }
}

void vec_instaql(struct vec_case *c) {
    const struct inst_value *attr_list = load(c, "attrs");
    const struct inst_value *triples = load(c, "triples");
    const struct inst_mem_options options = {
        .use_date_objects = inst_get_true(c->line, "useDateObjects"),
    };
    bool must_fail = vec_get(c, "error")->tag != INST_UNDEFINED;
    struct inst_attrs *attrs = NULL;
    struct inst_mem_store *store = NULL;
    struct inst_value out;
    struct inst_err err = {0};
    if (!attr_list || !triples ||
        !vec_expect_ok(c, "attrs", inst_attrs_new(attr_list, &attrs, &err), &err)) {
        return;
    }
    enum inst_status status = inst_mem_store_new(attrs, options, &store, &err);
    if (status == INST_OK) {
        status = inst_mem_store_load(store, triples, &err);
    }
    if (status == INST_OK) {
        status = run(c, store, &out, &err);
    }
    if (must_fail) {
        expect_error(c, status, &err);
    } else if (vec_expect_ok(c, "evaluate", status, &err)) {
        vec_expect_json(c, "result", vec_get(c, "expected"), &out);
    }
    inst_err_clear(&err);
    inst_mem_store_free(store);
    inst_attrs_unref(attrs);
}
