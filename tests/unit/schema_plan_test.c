/*
 * What an app lacks of a schema, and the schema as the API shows it. What the official tools plan
 * is in the vectors (schema-plan.jsonl).
 */
#include "schema/api_schema.h"
#include "schema/schema_attrs.h"
#include "schema/schema_check.h"
#include "schema/schema_diff.h"
#include "schema/schema_plan.h"
#include "schema/system_catalog.h"

#include "base/json.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* An attr and a link in a schema. */
#define ATTR(label, type, rest) "\"" label "\":{\"valueType\":\"" type "\"" rest "}"
#define POSTS(attrs) "{\"entities\":{\"posts\":{\"attrs\":{" attrs "}},\"users\":{\"attrs\":{}}}"
#define LINK(has, rest, has2, rest2)                                                               \
    ",\"links\":{\"a\":{\"forward\":{\"on\":\"posts\",\"label\":\"author\",\"has\":\"" has         \
    "\"" rest "},\"reverse\":{\"on\":\"users\",\"label\":\"posts\",\"has\":\"" has2 "\"" rest2     \
    "}}}"
#define REQUIRED ",\"required\":true"
#define INDEXED ",\"config\":{\"indexed\":true}"
#define UNIQUE ",\"config\":{\"unique\":true}"
#define CASCADE ",\"onDelete\":\"cascade\""

struct fixture {
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_env env;
    uint64_t count;
};

static void count_up(void *ctx, uint8_t *out, size_t len) {
    uint64_t *n = ctx;
    (*n)++;
    memset(out, 0, len);
    memcpy(out, n, len < sizeof *n ? len : sizeof *n);
}

static const struct inst_schema *read(struct fixture *f, const char *json) {
    const struct inst_schema *schema = NULL;
    struct inst_value v;
    assert_int_equal(inst_json_parse(&f->arena, json, strlen(json), &v, NULL), INST_OK);
    assert_int_equal(inst_schema_read(&f->arena, &v, &schema, NULL), INST_OK);
    return schema;
}

/* An app with this schema, and the system's attrs. */
static void open_app(struct fixture *f, const char *json) {
    struct inst_value own, system;
    *f = (struct fixture){0};
    inst_arena_init(&f->arena);
    f->env = (struct inst_env){.ctx = &f->count, .random = count_up};
    assert_int_equal(inst_schema_attrs(&f->arena, read(f, json), &f->env, &own, NULL), INST_OK);
    assert_int_equal(inst_system_attrs(&f->arena, &system, NULL), INST_OK);
    struct inst_attrs *attrs;
    assert_int_equal(inst_attrs_new(&system, &attrs, NULL), INST_OK);
    assert_int_equal(inst_attrs_put_all(attrs, own.u.items, own.len, &f->attrs, NULL), INST_OK);
    inst_attrs_unref(attrs);
}

static void close_app(struct fixture *f) {
    inst_attrs_unref(f->attrs);
    inst_arena_free(&f->arena);
}

static enum inst_status plan(struct fixture *f, const char *json, bool types, bool background,
                             struct inst_value *steps, struct inst_err *err) {
    struct inst_schema_plan wanted = {
        .schema = read(f, json),
        .attrs = f->attrs,
        .env = &f->env,
        .checks_types = types,
        .is_background = background,
    };
    return inst_schema_plan(&f->arena, &wanted, steps, err);
}

/* `op label member member ...` of each step, members without ids. */
static void check_steps(struct fixture *f, const struct inst_value *steps, const char *expected) {
    struct inst_buf text;
    inst_buf_init(&text);
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *op = &steps->u.items[i].u.items[0];
        const struct inst_value *params = &steps->u.items[i].u.items[1];
        const struct inst_value *ident = inst_getz(params, "forward-identity");
        inst_buf_addf(&text, "%s%.*s %.*s.%.*s", i > 0 ? "; " : "", (int)op->len, op->u.str,
                      (int)ident->u.items[1].len, ident->u.items[1].u.str,
                      (int)ident->u.items[2].len, ident->u.items[2].u.str);
        static const char *const shown[] = {
            "unique?",           "index?",    "required?",         "cardinality",
            "checked-data-type", "on-delete", "on-delete-reverse",
        };
        for (size_t k = 0; k < COUNT(shown); k++) {
            const struct inst_value *v = inst_getz(params, shown[k]);
            if (v && v->tag == INST_TRUE) {
                inst_buf_addf(&text, " %s", shown[k]);
            } else if (v && v->tag == INST_STRING) {
                inst_buf_addf(&text, " %s=%.*s", shown[k], (int)v->len, v->u.str);
            }
        }
    }
    assert_string_equal(text.data ? text.data : "", expected);
    inst_buf_free(&text);
    (void)f;
}

static const char *const cases[][4] = {
    /* the app, the schema, steps without and with the background */
    {POSTS("") "}", POSTS(ATTR("t", "string", REQUIRED)) "}",
     "add-attr posts.t required? cardinality=one checked-data-type=string",
     "add-attr posts.t required? cardinality=one checked-data-type=string"},
    {"{}", POSTS("") "}",
     "add-attr posts.id unique? cardinality=one; add-attr users.id unique? cardinality=one",
     "add-attr posts.id unique? cardinality=one; add-attr users.id unique? cardinality=one"},
    {POSTS(ATTR("t", "string", "")) "}", POSTS(ATTR("t", "string", "")) "}", "", ""},
    {POSTS(ATTR("t", "string", "")) "}", POSTS("") "}", "", ""},
    {POSTS(ATTR("t", "string", "")) "}", POSTS(ATTR("t", "string", INDEXED REQUIRED)) "}",
     "update-attr posts.t index? required? cardinality=one", "index posts.t; required posts.t"},
    {POSTS(ATTR("t", "string", UNIQUE REQUIRED)) "}", POSTS(ATTR("t", "number", "")) "}",
     "update-attr posts.t cardinality=one; check-data-type posts.t checked-data-type=number",
     "remove-unique posts.t; remove-required posts.t; check-data-type posts.t "
     "checked-data-type=number"},
    {POSTS(ATTR("t", "string", "")) "}", POSTS(ATTR("t", "json", UNIQUE)) "}",
     "update-attr posts.t unique? cardinality=one; remove-data-type posts.t",
     "unique posts.t; remove-data-type posts.t"},
    {POSTS("") "}", POSTS("") LINK("one", CASCADE, "many", "") "}",
     "add-attr posts.author cardinality=one on-delete=cascade",
     "add-attr posts.author cardinality=one on-delete=cascade"},
    {POSTS("") LINK("one", "", "many", "") "}", POSTS("") LINK("many", "", "one", CASCADE) "}",
     "update-attr posts.author unique? cardinality=many on-delete-reverse=cascade",
     "update-attr posts.author unique? cardinality=many on-delete-reverse=cascade"},
    {POSTS("") LINK("one", "", "many", "") "}", POSTS("") LINK("one", REQUIRED, "many", "") "}",
     "update-attr posts.author required? cardinality=one", "required posts.author"},
    /* What is the system's is not the schema's to change. */
    {"{}",
     "{\"entities\":{\"$users\":{\"attrs\":{" ATTR("email", "number",
                                                   REQUIRED) "," ATTR("nick", "string", "") "}}}}",
     "add-attr $users.nick cardinality=one checked-data-type=string",
     "add-attr $users.nick cardinality=one checked-data-type=string"},
};

static void test_plans(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int background = 0; background < 2; background++) {
            struct fixture f;
            struct inst_value steps;
            open_app(&f, cases[i][0]);
            assert_int_equal(plan(&f, cases[i][1], true, background, &steps, NULL), INST_OK);
            check_steps(&f, &steps, cases[i][2 + background]);
            close_app(&f);
        }
    }
}

static void test_types_do_not_count(void **state) {
    (void)state;
    struct fixture f;
    struct inst_value steps;
    open_app(&f, POSTS(ATTR("t", "string", "")) "}");
    assert_int_equal(plan(&f, POSTS(ATTR("t", "number", "") "," ATTR("u", "date", "")) "}", false,
                          true, &steps, NULL),
                     INST_OK);
    check_steps(&f, &steps, "add-attr posts.u cardinality=one");
    close_app(&f);
}

/* What was planned and applied is planned no more. */
static void test_nothing_is_planned_twice(void **state) {
    (void)state;
    struct fixture f;
    struct inst_value steps;
    open_app(&f, "{}");
    static const char wanted[] =
        POSTS(ATTR("t", "string", INDEXED REQUIRED)) LINK("one", CASCADE REQUIRED, "many", "") "}";
    assert_int_equal(plan(&f, wanted, true, true, &steps, NULL), INST_OK);
    assert_int_equal(steps.len, 4);
    for (uint32_t i = 0; i < steps.len; i++) {
        struct inst_attrs *next;
        assert_int_equal(inst_attrs_put(f.attrs, &steps.u.items[i].u.items[1], &next, NULL),
                         INST_OK);
        inst_attrs_unref(f.attrs);
        f.attrs = next;
    }
    assert_int_equal(plan(&f, wanted, true, true, &steps, NULL), INST_OK);
    assert_int_equal(steps.len, 0);
    close_app(&f);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *app, *schema, *message;
    } refused[] = {
        {POSTS(ATTR("author", "string", "")) "}", POSTS("") LINK("one", "", "many", "") "}",
         "Validation failed for schema: posts->author: Duplicate entry found"},
        {POSTS("") "}", POSTS("") LINK("many", CASCADE, "many", "") "}",
         "Validation failed for schema: posts->author: Cascade delete"},
        {POSTS("") LINK("one", "", "many", "") "}", POSTS("") LINK("one", "", "many", CASCADE) "}",
         "Validation failed for schema: users->posts: Cascade delete"},
        {POSTS("") ",\"links\":{\"a\":{\"forward\":{\"on\":\"users\",\"label\":\"posts\",\"has\":"
                   "\"many\"},\"reverse\":{\"on\":\"posts\",\"label\":\"author\",\"has\":\"one\"}}"
                   "}}",
         POSTS("") LINK("one", "", "many", "") "}",
         "Validation failed for schema: posts->author: Conflicting link found"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct fixture f;
        struct inst_value steps, hint;
        struct inst_err err = {0};
        open_app(&f, refused[i].app);
        assert_int_equal(plan(&f, refused[i].schema, true, true, &steps, &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        assert_true(strstr(err.message, refused[i].message) == err.message);
        assert_int_equal(inst_json_parse(&f.arena, err.hint, strlen(err.hint), &hint, NULL),
                         INST_OK);
        const struct inst_value *first = &inst_getz(&hint, "errors")->u.items[0];
        assert_true(inst_is_string(&inst_getz(first, "in")->u.items[0], "schema"));
        assert_non_null(inst_get_string(first, "message"));
        inst_err_clear(&err);
        close_app(&f);
    }
}

/* An app's schema as the API shows it, read back, is no other schema. */
static void test_api_schema(void **state) {
    (void)state;
    struct fixture f;
    struct inst_value api, back, names, txs, all;
    struct inst_array_builder list;
    open_app(&f, POSTS(ATTR("t", "string", UNIQUE)) LINK("one", CASCADE, "many", "") "}");
    assert_int_equal(inst_api_schema(&f.arena, f.attrs, INST_REF_KEY_LIST, &api, NULL), INST_OK);
    const struct inst_value *blobs = inst_getz(&api, "blobs");
    assert_null(inst_getz(blobs, "$magicCodes"));
    assert_null(inst_getz(inst_getz(blobs, "$files"), "location-id"));
    assert_true(inst_get_true(inst_getz(inst_getz(blobs, "$files"), "url"), "required?"));
    assert_non_null(
        inst_getz(inst_getz(&api, "refs"), "[\"posts\" \"author\" \"users\" \"posts\"]"));
    assert_int_equal(inst_api_schema_read(&f.arena, &api, &back, NULL), INST_OK);

    inst_array_begin(&list, &f.arena);
    for (size_t i = 0; i < inst_attrs_count(f.attrs); i++) {
        inst_array_add(&list, inst_attrs_at(f.attrs, i)->json);
    }
    assert_true(inst_array_end(&list, &all));
    assert_int_equal(inst_schema_system_names(&f.arena, &all, &names, NULL), INST_OK);
    assert_true(inst_getz(&names, "$magicCodes")->len > 1);
    struct inst_schema_diff diff = {.system_names = &names};
    assert_int_equal(inst_schema_read(&f.arena, &back, &diff.before, NULL), INST_OK);
    diff.after = read(&f, POSTS(ATTR("t", "string", UNIQUE)) LINK("one", CASCADE, "many", "") "}");
    assert_int_equal(inst_schema_diff(&f.arena, &diff, &txs, NULL), INST_OK);
    assert_int_equal(txs.len, 0);

    assert_int_equal(inst_api_schema(&f.arena, f.attrs, INST_REF_KEY_JOINED, &api, NULL), INST_OK);
    assert_non_null(inst_getz(inst_getz(&api, "refs"), "posts-author-users-posts"));
    close_app(&f);
}

static void test_no_api_schema(void **state) {
    (void)state;
    static const char *const broken[] = {
        "{}", "{\"blobs\":{},\"refs\":[]}", "{\"blobs\":{\"a\":1},\"refs\":{}}",
        "{\"blobs\":{\"a\":{\"b\":1}},\"refs\":{}}",
        "{\"blobs\":{},\"refs\":{\"x\":{\"forward-identity\":[1,2,3]}}}"};
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct inst_arena arena;
        struct inst_value v, out;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        assert_int_equal(inst_json_parse(&arena, broken[i], strlen(broken[i]), &v, NULL), INST_OK);
        assert_int_equal(inst_api_schema_read(&arena, &v, &out, &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        inst_err_clear(&err);
        inst_arena_free(&arena);
    }
}

/* A renamed link keeps its cascade, which a backend would clear. */
static void test_renamed_link_keeps_its_cascade(void **state) {
    (void)state;
    struct fixture f;
    struct inst_value names, renames, txs;
    open_app(&f, "{}");
    static const char renames_json[] = "[\" posts.author : posts.writer \"]";
    static const char after[] =
        POSTS("") ",\"links\":{\"a\":{\"forward\":{\"on\":\"posts\",\"label\":\"writer\",\"has\":"
                  "\"one\",\"onDelete\":\"cascade\"},\"reverse\":{\"on\":\"users\",\"label\":"
                  "\"posts\",\"has\":\"many\"}}}}";
    assert_int_equal(
        inst_json_parse(&f.arena, renames_json, sizeof renames_json - 1, &renames, NULL), INST_OK);
    names = inst_object(NULL, 0);
    struct inst_schema_diff diff = {
        .before = read(&f, POSTS("") LINK("one", CASCADE, "many", "") "}"),
        .after = read(&f, after),
        .renames = &renames,
        .system_names = &names,
    };
    assert_int_equal(inst_schema_diff(&f.arena, &diff, &txs, NULL), INST_OK);
    assert_int_equal(txs.len, 1);
    const struct inst_value *partial = inst_getz(&txs.u.items[0], "partialAttr");
    assert_true(inst_is_string(inst_getz(partial, "on-delete"), "cascade"));
    close_app(&f);
}

static void test_bad_renames(void **state) {
    (void)state;
    static const char *const bad[] = {"[\"a.b\"]", "[\"a.b:\"]",  "[\":a.b\"]",  "[1]",
                                      "[\"\"]",    "[\"a:b.c\"]", "[\"a.b:c.\"]"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fixture f;
        struct inst_value renames, txs, names = inst_object(NULL, 0);
        struct inst_err err = {0};
        open_app(&f, "{}");
        assert_int_equal(inst_json_parse(&f.arena, bad[i], strlen(bad[i]), &renames, NULL),
                         INST_OK);
        struct inst_schema_diff diff = {
            .before = read(&f, "{}"),
            .after = read(&f, "{}"),
            .renames = &renames,
            .system_names = &names,
        };
        assert_int_equal(inst_schema_diff(&f.arena, &diff, &txs, &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        inst_err_clear(&err);
        close_app(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_types_do_not_count),
        cmocka_unit_test(test_nothing_is_planned_twice),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_api_schema),
        cmocka_unit_test(test_no_api_schema),
        cmocka_unit_test(test_renamed_link_keeps_its_cascade),
        cmocka_unit_test(test_bad_renames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
