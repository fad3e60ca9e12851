/*
 * schema_plan_vectors.c - schema-plan.jsonl (transactions.md 15), by `kind`:
 *
 *     diff         two schemas, renames -> txs, steps, sentences
 *     check        what the tools refuse
 *     pull         the API's schema -> JSON form, TypeScript file
 *     schema-file, perms-file
 */
#include "validation.h"

#include "base/buf.h"
#include "base/env.h"
#include "schema/api_schema.h"
#include "schema/schema_check.h"
#include "schema/schema_diff.h"
#include "schema/schema_file.h"
#include "schema/validation.h"

#include <stdio.h>

vec_handler_fn vec_schema_plan;

static void counting_random(void *ctx, uint8_t *out, size_t len) {
    uint64_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*state >> 56);
    }
}

static bool read_schema(struct vec_case *c, const char *key, const struct inst_schema **out) {
    const struct inst_value *json = vec_fixture(c, vec_get(c, key), "schema");
    struct inst_err err = {0};
    return json && vec_expect_ok(c, key, inst_schema_read(c->arena, json, out, &err), &err);
}

/* ---- diff ---- */

/* Made-up ids become attr:k, rev:k; a forward identity has the attr's id. */
static struct inst_value named(struct vec_case *c, const struct inst_value *map,
                               const struct inst_value *v) {
    struct inst_value out = *v;
    if (v->tag == INST_STRING) {
        const struct inst_value *to = inst_get(map, v->u.str, v->len);
        return to ? *to : *v;
    }
    if (v->tag == INST_ARRAY) {
        struct inst_array_builder b;
        inst_array_begin(&b, c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            inst_array_add(&b, named(c, map, &v->u.items[i]));
        }
        inst_array_end(&b, &out);
    } else if (v->tag == INST_OBJECT) {
        struct inst_object_builder b;
        inst_object_begin(&b, c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            const struct inst_member *m = &v->u.members[i];
            inst_object_add(&b, m->key, m->key_len, named(c, map, &m->value));
        }
        inst_object_end(&b, &out);
    }
    return out;
}

static void add_id(struct vec_case *c, struct inst_object_builder *map, const struct inst_value *id,
                   const char *kind, int k) {
    char *text = inst_arena_alloc(c->arena, 32);
    snprintf(text, 32, "%s:%d", kind, k);
    inst_object_add(map, id->u.str, id->len, inst_cstring(text));
}

static struct inst_value normalised(struct vec_case *c, const struct inst_value *steps) {
    struct inst_object_builder map;
    struct inst_value ids;
    int k = 0;
    inst_object_begin(&map, c->arena);
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (!inst_is_string(&step->u.items[0], "add-attr")) {
            continue;
        }
        const struct inst_value *attr = &step->u.items[1];
        const struct inst_value *reverse = inst_getz(attr, "reverse-identity");
        k++;
        add_id(c, &map, inst_getz(attr, "id"), "attr", k);
        if (reverse->tag == INST_ARRAY) {
            add_id(c, &map, &reverse->u.items[0], "rev", k);
        }
    }
    inst_object_end(&map, &ids);
    return named(c, &ids, steps);
}

/* `undefined.undefined` stands in the original where an update-attr keeps its names; here the attr
 * is named. */
static void check_sentence(struct vec_case *c, const struct inst_value *step,
                           const struct inst_value *attrs, const struct inst_value *expected) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_schema_describe(&text, step, attrs);
    if (inst_is_string(expected, "Update attribute undefined.undefined.")) {
        struct inst_buf own;
        inst_buf_init(&own);
        for (uint32_t i = 0; i < attrs->len; i++) {
            const struct inst_value *ident = inst_getz(&attrs->u.items[i], "forward-identity");
            if (inst_value_same(inst_getz(&attrs->u.items[i], "id"),
                                inst_getz(&step->u.items[1], "id"))) {
                inst_buf_addf(&own, "Update attribute %.*s.%.*s.", INST_TEXT(&ident->u.items[1]),
                              INST_TEXT(&ident->u.items[2]));
            }
        }
        vec_expect_text(c, "sentence", own.data, own.len, text.data, text.len);
        inst_buf_free(&own);
    } else {
        vec_expect_text(c, "sentence", expected->u.str, expected->len, text.data, text.len);
    }
    inst_buf_free(&text);
}

static void check_steps(struct vec_case *c, const struct inst_value *txs) {
    uint64_t seed = c->line_no;
    struct inst_env env = {.ctx = &seed, .random = counting_random};
    const struct inst_value *expected = vec_get(c, "expected"), *attrs = vec_get(c, "attrs");
    const struct inst_value *sentences = inst_getz(expected, "descriptions");
    struct inst_value steps;
    struct inst_err err = {0};
    if (!vec_expect_ok(c, "steps", inst_schema_steps(c->arena, txs, attrs, &env, &steps, &err),
                       &err)) {
        return;
    }
    struct inst_value shown = normalised(c, &steps);
    vec_expect_equal(c, "steps", inst_getz(expected, "steps"), &shown);
    if (sentences->len != steps.len) {
        vec_fail(c, "%u steps, %u sentences expected", steps.len, sentences->len);
    }
    for (uint32_t i = 0; i < steps.len && i < sentences->len; i++) {
        check_sentence(c, &steps.u.items[i], attrs, &sentences->u.items[i]);
    }
}

static void run_diff(struct vec_case *c) {
    const struct inst_value *renames = vec_get(c, "renames");
    struct inst_schema_diff diff = {
        .renames = renames->tag == INST_ARRAY ? renames : NULL,
        .system_names = vec_get(c, "systemNames"),
    };
    const struct inst_value *expected = vec_get(c, "expected");
    struct inst_value txs;
    struct inst_err err = {0};
    if (!read_schema(c, "old", &diff.before) || !read_schema(c, "new", &diff.after)) {
        return;
    }
    enum inst_status status = inst_schema_diff(c->arena, &diff, &txs, &err);
    if (inst_getz(expected, "error") || status != INST_OK) {
        validation_outcome(c, status, &err);
        return;
    }
    vec_expect_equal(c, "txs", inst_getz(expected, "txs"), &txs);
    check_steps(c, &txs);
}

/* ---- the other kinds ---- */

static void run_check(struct vec_case *c) {
    const struct inst_schema *schema;
    struct inst_err err = {0};
    if (read_schema(c, "schema", &schema)) {
        validation_outcome(c, inst_schema_check(schema, vec_get(c, "systemNames"), &err), &err);
    }
}

static void expect_file(struct vec_case *c, struct inst_buf *text) {
    const struct inst_value *expected = inst_getz(vec_get(c, "expected"), "text");
    vec_expect_text(c, "text", expected->u.str, expected->len, text->data, text->len);
}

static const char *module_of(struct vec_case *c) {
    const struct inst_value *module = vec_get(c, "module");
    return module->tag == INST_STRING ? inst_arena_dup(c->arena, module->u.str, module->len)
                                      : "@instantdb/core";
}

static void check_file(struct vec_case *c, const struct inst_value *schema, bool is_pulled) {
    const struct inst_value *previous = vec_get(c, "previous");
    struct inst_schema_file file = {
        .schema = schema,
        .previous = previous->tag == INST_OBJECT ? previous : NULL,
        .module = module_of(c),
        .is_pulled = is_pulled,
    };
    struct inst_err err = {0};
    struct inst_buf text;
    inst_buf_init(&text);
    if (vec_expect_ok(c, "file", inst_schema_file(&text, &file, &err), &err)) {
        expect_file(c, &text);
    }
    inst_buf_free(&text);
}

static void run_schema_file(struct vec_case *c) {
    check_file(c, vec_fixture(c, vec_get(c, "schema"), "schema"), false);
}

static void run_perms_file(struct vec_case *c) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_perms_file(&text, vec_get(c, "code"), module_of(c));
    expect_file(c, &text);
    inst_buf_free(&text);
}

static void run_pull(struct vec_case *c) {
    struct inst_value schema;
    struct inst_err err = {0};
    enum inst_status status =
        inst_api_schema_read(c->arena, vec_get(c, "apiSchema"), &schema, &err);
    if (vec_expect_ok(c, "pull", status, &err)) {
        vec_expect_json(c, "schema", inst_getz(vec_get(c, "expected"), "schema"), &schema);
        check_file(c, &schema, true);
    }
}

void vec_schema_plan(struct vec_case *c) {
    static const struct {
        const char *kind;
        vec_handler_fn *run;
    } kinds[] = {
        {"diff", run_diff},
        {"check", run_check},
        {"schema-file", run_schema_file},
        {"perms-file", run_perms_file},
        {"pull", run_pull},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (inst_is_string(vec_get(c, "kind"), kinds[i].kind)) {
            kinds[i].run(c);
            return;
        }
    }
    vec_fail(c, "unknown kind");
}
