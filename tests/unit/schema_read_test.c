/*
 * Reading schemas: what is derived, what is refused, and in whose words; nesting past the limit.
 */
#include "schema/schema.h"

#include "base/json.h"
#include "schema/query_validation.h"
#include "schema/tx_validation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* `owner` of dogs is claimed twice: the reverse end of walks takes the place of the forward one. */
static const char SCHEMA[] =
    "{\"entities\":{"
    "\"dogs\":{\"attrs\":{\"name\":{\"valueType\":\"string\",\"required\":true,\"isIndexed\":false,"
    "\"config\":{\"indexed\":true,\"unique\":true}},"
    "\"born\":{\"valueType\":\"date\",\"isIndexed\":true},"
    "\"tag\":{\"valueType\":\"uuid\"},\"chip\":{}}},"
    "\"people\":{\"attrs\":{}},\"empty\":{}},"
    "\"links\":{"
    "\"dogsOwner\":{\"forward\":{\"on\":\"dogs\",\"label\":\"owner\",\"has\":\"one\","
    "\"required\":true,\"onDelete\":\"cascade\"},"
    "\"reverse\":{\"on\":\"people\",\"label\":\"dogs\",\"has\":\"many\"}},"
    "\"dogsBed\":{\"forward\":{\"on\":\"dogs\",\"label\":\"7\",\"has\":\"one\"},"
    "\"reverse\":{\"on\":\"beds\",\"label\":\"dog\",\"has\":\"one\"}},"
    "\"walks\":{\"forward\":{\"on\":\"people\",\"label\":\"walks\",\"has\":\"many\"},"
    "\"reverse\":{\"on\":\"dogs\",\"label\":\"owner\",\"has\":\"many\"}}},"
    "\"rooms\":{\"yard\":{}}}";

struct fixture {
    struct inst_arena arena;
    const struct inst_schema *schema;
};

static struct inst_value parse(struct inst_arena *arena, const char *json) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, json, strlen(json), &v, NULL), INST_OK);
    return v;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct inst_value json;
    inst_arena_init(&f->arena);
    json = parse(&f->arena, SCHEMA);
    assert_int_equal(inst_schema_read(&f->arena, &json, &f->schema, NULL), INST_OK);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    inst_arena_free(&f->arena);
    free(f);
    return 0;
}

static const struct inst_schema_entity *entity(struct fixture *f, const char *etype) {
    return inst_schema_entity(f->schema, etype, strlen(etype));
}

static void test_attrs(void **state) {
    struct fixture *f = *state;
    const struct inst_schema_entity *dogs = entity(f, "dogs");
    const struct inst_schema_attr *name = inst_schema_attr(dogs, "name", 4);
    const struct inst_schema_attr *born = inst_schema_attr(dogs, "born", 4);
    assert_int_equal(f->schema->entity_count, 3);
    assert_true(name->is_required && name->is_indexed && name->is_unique);
    assert_int_equal(name->type, INST_CHECKED_STRING);
    assert_true(!born->is_required && born->is_indexed && !born->is_unique);
    assert_int_equal(born->type, INST_CHECKED_DATE);
    /* Unknown or absent value types are json. */
    assert_int_equal(inst_schema_attr(dogs, "tag", 3)->type, INST_CHECKED_NONE);
    assert_int_equal(inst_schema_attr(dogs, "chip", 4)->type, INST_CHECKED_NONE);
    assert_null(inst_schema_attr(dogs, "id", 2));
    assert_null(inst_schema_attr(dogs, "nam", 3));
    assert_int_equal(entity(f, "empty")->attr_count, 0);
    assert_null(entity(f, "beds"));
    assert_non_null(inst_getz(&f->schema->rooms, "yard"));
}

static void test_links(void **state) {
    struct fixture *f = *state;
    const struct inst_schema_entity *dogs = entity(f, "dogs");
    const struct inst_schema_side *owner = inst_schema_side(dogs, "owner", 5);
    assert_int_equal(dogs->link_count, 2);
    /* Integer-like labels come first, as in a JavaScript object. */
    assert_true(inst_is_string(&dogs->links[0].label, "7"));
    assert_true(inst_is_string(&dogs->links[0].target, "beds"));
    assert_true(dogs->links[0].is_forward && dogs->links[0].is_singular);
    assert_true(inst_is_string(&owner->target, "people"));
    assert_true(!owner->is_forward && !owner->is_singular);
    assert_true(inst_is_string(&owner->link->name, "walks"));
    assert_true(f->schema->links[0].is_required && f->schema->links[0].forward.cascades);
    assert_false(f->schema->links[0].reverse.cascades);
    assert_int_equal(entity(f, "people")->link_count, 2);
    assert_int_equal(entity(f, "empty")->link_count, 0);
}

static void test_singular_links(void **state) {
    struct fixture *f = *state;
    struct inst_value out;
    struct inst_buf buf;
    inst_buf_init(&buf);
    assert_int_equal(inst_schema_singular_links(&f->arena, f->schema, &out, NULL), INST_OK);
    inst_json_write(&buf, &out);
    assert_string_equal(buf.data, "{\"dogs\":{\"7\":true},\"people\":{},\"beds\":{\"dog\":true}}");
    inst_buf_free(&buf);
}

static void test_refusals(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"[]", "Invalid schema: it must be an object, but received: object"},
        {"5", "Invalid schema: it must be an object, but received: number"},
        {"{\"entities\":[]}", "Invalid schema: entities must be an object"},
        {"{\"links\":1}", "Invalid schema: links must be an object"},
        {"{\"entities\":{\"a\":1}}", "Invalid schema: entities.a must be an object"},
        {"{\"entities\":{\"a\":{\"attrs\":[]}}}",
         "Invalid schema: entities.a.attrs must be an object"},
        {"{\"entities\":{\"a\":{\"attrs\":{\"b\":1}}}}",
         "Invalid schema: entities.a.attrs.b must be an object"},
        {"{\"links\":{\"l\":1}}", "Invalid schema: links.l must be an object"},
        {"{\"links\":{\"l\":{}}}", "Invalid schema: links.l.forward must be an object"},
        {"{\"links\":{\"l\":{\"forward\":{\"on\":1}}}}",
         "Invalid schema: links.l.forward.on must be a string"},
        {"{\"links\":{\"l\":{\"forward\":{\"on\":\"a\",\"label\":\"b\",\"has\":\"two\"}}}}",
         "Invalid schema: links.l.forward.has must be \"one\" or \"many\""},
        {"{\"links\":{\"l\":{\"forward\":{\"on\":\"a\",\"label\":\"b\",\"has\":\"one\"},"
         "\"reverse\":{\"on\":\"a\"}}}}",
         "Invalid schema: links.l.reverse.label must be a string"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        const struct inst_schema *schema = NULL;
        struct inst_arena arena;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        struct inst_value json = parse(&arena, refused[i][0]);
        assert_int_equal(inst_schema_read(&arena, &json, &schema, &err), INST_FAILED);
        assert_null(schema);
        assert_string_equal(err.type, "validation-failed");
        assert_string_equal(err.message, refused[i][1]);
        inst_err_clear(&err);
        inst_arena_free(&arena);
    }
}

static void test_too_many_parts(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_object_builder entities, root;
    struct inst_value v;
    const struct inst_schema *schema;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    inst_object_begin(&entities, &arena);
    for (int i = 0; i <= INST_SCHEMA_MAX_PARTS; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "e%d", i);
        inst_object_add(&entities, inst_arena_dup(&arena, key, (size_t)n), (size_t)n,
                        inst_object(NULL, 0));
    }
    assert_true(inst_object_end(&entities, &v));
    inst_object_begin(&root, &arena);
    inst_object_addz(&root, "entities", v);
    assert_true(inst_object_end(&root, &v));
    assert_int_equal(inst_schema_read(&arena, &v, &schema, &err), INST_FAILED);
    assert_string_equal(err.message, "Invalid schema: more than 2000 entities");
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

/* A schema may link to an etype that it does not list: nothing there is known, nothing crashes. */
static void test_unlisted_target(void **state) {
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"{\"dogs\":{\"7\":{}}}", NULL},
        {"{\"dogs\":{\"7\":{\"$\":{\"where\":{\"x\":1}}}}}", NULL},
        {"{\"dogs\":{\"7\":{\"pillow\":{}}}}",
         "At path 'dogs.7.pillow': Entity 'beds' does not exist in schema. Available entities: "
         "dogs, people, empty"},
        {"{\"dogs\":{\"$\":{\"where\":{\"7.size\":1}}}}",
         "At path 'dogs.$.where.7.size': Target entity 'beds' does not exist in schema for dot "
         "notation path '7.size'."},
        {"{\"dogs\":{\"$\":{\"where\":{\"7.pillow.size\":1}}}}",
         "At path 'dogs.$.where.7.pillow.size': Entity 'beds' does not exist in schema while "
         "traversing dot notation path '7.pillow.size'."},
        {"{\"dogs\":{\"owner\":[{}]}}",
         "At path 'dogs.owner.0': Link '0' does not exist on entity 'people'. Available links: "
         "walks, dogs"},
        {"{\"dogs\":{\"$\":[1]}}",
         "At path 'dogs.$': Invalid query parameter '0' in $ object. Valid parameters are: where, "
         "order, limit, last, first, offset, after, afterInclusive, before, beforeInclusive, "
         "fields, aggregate. Found: 0"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inst_value query = parse(&f->arena, cases[i][0]);
        struct inst_err err = {0};
        enum inst_status status = inst_query_validate(&query, f->schema, &err);
        assert_int_equal(status, cases[i][1] ? INST_FAILED : INST_OK);
        if (cases[i][1]) {
            assert_string_equal(err.message, cases[i][1]);
        }
        inst_err_clear(&err);
    }
}

/* `{"or":[{"or":[ ...` built in memory, deeper than any JSON text may be. */
static void test_deep_where(void **state) {
    struct fixture *f = *state;
    struct inst_value v = inst_object(NULL, 0);
    struct inst_err err = {0};
    for (int i = 0; i < 3 * INST_JSON_MAX_DEPTH; i++) {
        struct inst_value *item = inst_arena_alloc(&f->arena, sizeof *item);
        struct inst_member *member = inst_arena_alloc(&f->arena, sizeof *member);
        *item = v;
        *member = (struct inst_member){"or", 2, inst_array(item, 1)};
        v = inst_object(member, 1);
    }
    struct inst_member where = {"where", 5, v};
    struct inst_member dollar = {"$", 1, inst_object(&where, 1)};
    struct inst_member dogs = {"dogs", 4, inst_object(&dollar, 1)};
    struct inst_value query = inst_object(&dogs, 1);
    assert_int_equal(inst_query_validate(&query, f->schema, &err), INST_FAILED);
    assert_string_equal(err.message, "Query must not be nested deeper than 500");
    inst_err_clear(&err);
}

/* Argument maps that are lists or dates have the entries that JavaScript gives them. */
static void test_odd_tx_arguments(void **state) {
    struct fixture *f = *state;
    struct inst_value id = inst_cstring("5c92a9e0-3f2b-41ee-8e56-0242ac120002");
    struct inst_value date = inst_date(0), items[] = {inst_number(1)};
    struct inst_value list = inst_array(items, 1);
    struct inst_value op[] = {inst_cstring("link"), inst_cstring("dogs"), id, list};
    struct inst_value ops = inst_array(op, 4);
    struct inst_member member = {"__ops", 5, inst_array(&ops, 1)};
    struct inst_value chunk = inst_object(&member, 1);
    struct inst_err err = {0};
    assert_int_equal(inst_tx_validate(&chunk, f->schema, &err), INST_FAILED);
    assert_string_equal(err.message,
                        "Link '0' does not exist on entity 'dogs'. Available links: 7, owner");
    inst_err_clear(&err);
    op[3] = date;
    assert_int_equal(inst_tx_validate(&chunk, f->schema, &err), INST_OK);
    op[2] = date;
    assert_int_equal(inst_tx_validate(&chunk, f->schema, &err), INST_FAILED);
    assert_string_equal(err.message,
                        "Invalid id for entity 'dogs'. Expected a UUID, but received: Thu Jan 01 "
                        "1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
    inst_err_clear(&err);
    /* An op of fewer parts lacks them as JavaScript would. */
    ops = inst_array(op, 1);
    assert_int_equal(inst_tx_validate(&chunk, f->schema, &err), INST_FAILED);
    assert_string_equal(err.message,
                        "Invalid id for entity 'undefined'. Expected a UUID, but received: "
                        "undefined");
    inst_err_clear(&err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_attrs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_singular_links, setup, teardown),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_parts),
        cmocka_unit_test_setup_teardown(test_unlisted_target, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep_where, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_tx_arguments, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
