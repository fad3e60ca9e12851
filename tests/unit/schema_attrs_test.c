/*
 * From schema to attrs, and the attrs of every app.
 */
#include "schema/schema_attrs.h"
#include "schema/system_catalog.h"

#include "base/json.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void count_up(void *ctx, uint8_t *out, size_t len) {
    uint64_t *n = ctx;
    (*n)++;
    memset(out, 0, len);
    memcpy(out, n, len < sizeof *n ? len : sizeof *n);
}

/* The attrs of the schema in json, or the status and message of the refusal. */
static enum inst_status attrs_of(struct inst_arena *arena, const char *json, struct inst_value *out,
                                 struct inst_err *err) {
    uint64_t n = 0;
    struct inst_env env = {.ctx = &n, .random = count_up};
    const struct inst_schema *schema;
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, json, strlen(json), &v, NULL), INST_OK);
    assert_int_equal(inst_schema_read(arena, &v, &schema, NULL), INST_OK);
    return inst_schema_attrs(arena, schema, &env, out, err);
}

/* The attr of this forward name; NULL when there is none. */
static const struct inst_value *find(const struct inst_value *attrs, const char *etype,
                                     const char *label) {
    for (uint32_t i = 0; i < attrs->len; i++) {
        const struct inst_value *name = inst_getz(&attrs->u.items[i], "forward-identity");
        if (inst_is_string(&name->u.items[1], etype) && inst_is_string(&name->u.items[2], label)) {
            return &attrs->u.items[i];
        }
    }
    return NULL;
}

/* The attr without its ids, as text. */
static void check_attr(const struct inst_value *attrs, const char *etype, const char *label,
                       const char *expected) {
    const struct inst_value *attr = find(attrs, etype, label);
    struct inst_buf buf;
    assert_non_null(attr);
    assert_true(inst_uuid_is_valid_v(inst_get_string(attr, "id")->u.str, INST_UUID_TEXT));
    inst_buf_init(&buf);
    for (uint32_t i = 0; i < attr->len; i++) {
        const struct inst_member *m = &attr->u.members[i];
        if (strstr(m->key, "identity") == m->key || m->key_len == 2 ||
            (m->key_len > 8 && memcmp(m->key + m->key_len - 8, "identity", 8) == 0)) {
            continue;
        }
        inst_buf_addf(&buf, "%.*s=", (int)m->key_len, m->key);
        inst_json_write(&buf, &m->value);
        inst_buf_add_char(&buf, ' ');
    }
    assert_string_equal(buf.data, expected);
    inst_buf_free(&buf);
}

static const char PLAIN[] =
    "{\"entities\":{"
    "\"books\":{\"attrs\":{"
    "\"title\":{\"valueType\":\"string\",\"required\":true,\"config\":{\"indexed\":true,"
    "\"unique\":true}},"
    "\"extra\":{\"valueType\":\"json\",\"required\":false,\"config\":{}}}},"
    "\"bare\":{},"
    "\"$users\":{\"attrs\":{\"email\":{\"valueType\":\"string\",\"config\":{\"unique\":true}},"
    "\"nick\":{\"valueType\":\"string\",\"required\":false}}}},"
    "\"links\":{"
    "\"booksAuthor\":{\"forward\":{\"on\":\"books\",\"label\":\"author\",\"has\":\"one\","
    "\"required\":true,\"onDelete\":\"cascade\"},"
    "\"reverse\":{\"on\":\"$users\",\"label\":\"books\",\"has\":\"many\"}},"
    "\"booksSequel\":{\"forward\":{\"on\":\"books\",\"label\":\"sequel\",\"has\":\"one\"},"
    "\"reverse\":{\"on\":\"books\",\"label\":\"prequel\",\"has\":\"one\",\"onDelete\":\"cascade\"}}"
    ","
    "\"guests\":{\"forward\":{\"on\":\"$users\",\"label\":\"linkedPrimaryUser\",\"has\":\"one\","
    "\"onDelete\":\"cascade\"},"
    "\"reverse\":{\"on\":\"$users\",\"label\":\"linkedGuestUsers\",\"has\":\"many\"}}}}";

static void test_schema_attrs(void **state) {
    (void)state;
    static const char blob[] = "value-type=\"blob\" cardinality=\"one\" ";
    struct inst_arena arena;
    struct inst_value attrs;
    char expected[256];
    inst_arena_init(&arena);
    assert_int_equal(attrs_of(&arena, PLAIN, &attrs, NULL), INST_OK);
    assert_int_equal(attrs.len, 7);
    /* Ids first, in the schema's order; those of the system are not made again. */
    assert_ptr_equal(find(&attrs, "books", "id"), &attrs.u.items[0]);
    assert_ptr_equal(find(&attrs, "bare", "id"), &attrs.u.items[1]);
    assert_null(find(&attrs, "$users", "id"));
    assert_null(find(&attrs, "$users", "email"));
    assert_null(find(&attrs, "$users", "linkedPrimaryUser"));

    snprintf(expected, sizeof expected, "%s%s", blob,
             "unique?=true index?=false required?=false inferred-types=null catalog=\"user\" ");
    check_attr(&attrs, "books", "id", expected);
    snprintf(expected, sizeof expected, "%s%s", blob,
             "unique?=true index?=true required?=true inferred-types=null catalog=\"user\" "
             "checked-data-type=\"string\" ");
    check_attr(&attrs, "books", "title", expected);
    snprintf(expected, sizeof expected, "%s%s", blob,
             "unique?=false index?=false required?=false inferred-types=null catalog=\"user\" ");
    check_attr(&attrs, "books", "extra", expected);
    check_attr(&attrs, "books", "author",
               "value-type=\"ref\" cardinality=\"one\" unique?=false index?=false required?=true "
               "inferred-types=null catalog=\"user\" on-delete=\"cascade\" ");
    check_attr(&attrs, "books", "sequel",
               "value-type=\"ref\" cardinality=\"one\" unique?=true index?=false required?=false "
               "inferred-types=null catalog=\"user\" on-delete-reverse=\"cascade\" ");
    inst_arena_free(&arena);
}

static void test_ids_differ(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value attrs;
    const struct inst_value *seen[32];
    size_t count = 0;
    inst_arena_init(&arena);
    assert_int_equal(attrs_of(&arena, PLAIN, &attrs, NULL), INST_OK);
    for (uint32_t i = 0; i < attrs.len; i++) {
        const struct inst_value *reverse = inst_getz(&attrs.u.items[i], "reverse-identity");
        seen[count++] = inst_get_string(&attrs.u.items[i], "id");
        seen[count++] = &inst_getz(&attrs.u.items[i], "forward-identity")->u.items[0];
        if (reverse) {
            seen[count++] = &reverse->u.items[0];
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_false(inst_value_same(seen[i], seen[j]));
        }
    }
    inst_arena_free(&arena);
}

#define LINK(name, on, label, has, rest, on2, label2, has2, rest2)                                 \
    "\"" name "\":{\"forward\":{\"on\":\"" on "\",\"label\":\"" label "\",\"has\":\"" has          \
    "\"" rest "},\"reverse\":{\"on\":\"" on2 "\",\"label\":\"" label2 "\",\"has\":\"" has2         \
    "\"" rest2 "}}"

static void test_refusals(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"{\"links\":{" LINK("l", "a", "b", "many", ",\"onDelete\":\"cascade\"", "c", "d", "one",
                             "") "}}",
         "Validation failed for schema: a->b: Cascade delete is only possible on links with `has: "
         "'one'`."},
        {"{\"links\":{" LINK("l", "a", "b", "one", "", "c", "d", "many",
                             ",\"onDelete\":\"cascade\"") "}}",
         "Validation failed for schema: c->d: Cascade delete is only possible on links with `has: "
         "'one'`."},
        {"{\"entities\":{\"a\":{\"attrs\":{\"b\":{}}}},\"links\":{" LINK("l", "a", "b", "one", "",
                                                                         "c", "d", "many", "") "}}",
         "Validation failed for schema: a->b: Duplicate entry found for attribute."},
        {"{\"links\":{" LINK("l", "a", "b", "one", "", "c", "d", "many",
                             "") "," LINK("m", "c", "d", "one", "", "a", "x", "many", "") "}}",
         "Validation failed for schema: c->d: Duplicate entry found for attribute."},
        {"{\"links\":{" LINK("l", "a", "b", "one", "", "$files", "$stream", "many", "") "}}",
         "Validation failed for schema: $files->$stream: Duplicate entry found for attribute."},
        {"{\"entities\":{\"$mine\":{}}}",
         "Validation failed for attributes: $ is reserved for system tables. You can't create "
         "$mine"},
        {"{\"entities\":{\" \":{}}}",
         "Validation failed for schema:  ->id: A name must not be blank."},
        {"{\"entities\":{\"$users\":{\"attrs\":{\"nick\":{\"required\":true}}}}}",
         "You can't create a required system attribute. Make sure it's optional. Check out the "
         "docs to learn more: https://www.instantdb.com/docs/modeling-data#required-constraints"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct inst_arena arena;
        struct inst_value attrs;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        assert_int_equal(attrs_of(&arena, refused[i][0], &attrs, &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        assert_int_equal(err.status, 400);
        assert_string_equal(err.message, refused[i][1]);
        if (err.hint) {
            struct inst_value hint;
            assert_int_equal(inst_json_parse(&arena, err.hint, strlen(err.hint), &hint, NULL),
                             INST_OK);
            assert_int_equal(inst_getz(&hint, "errors")->len, 1);
        }
        inst_err_clear(&err);
        inst_arena_free(&arena);
    }
}

/* The ids that instaql.md 1.4, transactions.md 12.3 and session.md 4.7 list. */
static void test_system_ids(void **state) {
    (void)state;
    static const char *const ids[][3] = {
        {"$users", "id", "a4b4-81ffffffffff"},
        {"$users", "email", "a4b4-46010bffffff"},
        {"$users", "type", "a4b5-3cbc9fffffff"},
        {"$users", "imageURL", "a4b4-8600c4a457ff"},
        {"$users", "linkedPrimaryUser", "a4b4-b7d3ffffffff"},
        {"$files", "id", "2a34-81ffffffffff"},
        {"$files", "path", "2a34-f04cffffffff"},
        {"$files", "size", "2a35-24609fffffff"},
        {"$files", "content-type", "2a34-29e5e4ffffff"},
        {"$files", "content-disposition", "2a34-21a24fffffff"},
        {"$files", "location-id", "2a34-b40fffffffff"},
        {"$files", "key-version", "2a34-aaffffffffff"},
        {"$files", "url", "2a35-48afffffffff"},
        {"$streams", "id", "94f4-81ffffffffff"},
        {"$streams", "clientId", "94f4-25a08d9a07ff"},
        {"$streams", "machineId", "94f4-c008e869103f"},
        {"$streams", "$files", "94f4-547fffffffff"},
        {"$streams", "done", "94f4-37349fffffff"},
        {"$streams", "size", "94f5-24609fffffff"},
        {"$streams", "hashedReconnectToken", "94f4-7048f124dcaf"},
        {"$streams", "abortReason", "94f4-00c6712024df"},
    };
    struct inst_arena arena;
    struct inst_value attrs;
    inst_arena_init(&arena);
    assert_int_equal(inst_system_attrs(&arena, &attrs, NULL), INST_OK);
    for (size_t i = 0; i < COUNT(ids); i++) {
        char text[INST_UUID_TEXT + 1], expected[INST_UUID_TEXT + 1];
        const struct inst_value *attr = find(&attrs, ids[i][0], ids[i][1]);
        assert_true(inst_system_id(INST_SYSTEM_ATTR_ID, ids[i][0], ids[i][1], text));
        snprintf(expected, sizeof expected, "96653230-13ff-ffff-%s", ids[i][2]);
        assert_string_equal(text, expected);
        assert_true(inst_is_string(inst_get_string(attr, "id"), expected));
        snprintf(expected, sizeof expected, "96653231-03ff-ffff-%s", ids[i][2]);
        assert_true(inst_is_string(&inst_getz(attr, "forward-identity")->u.items[0], expected));
        assert_true(inst_is_string(inst_get_string(attr, "catalog"), "system"));
    }
    inst_arena_free(&arena);
}

static void test_system_attrs(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value attrs;
    struct inst_attrs *catalog;
    inst_arena_init(&arena);
    assert_int_equal(inst_system_attrs(&arena, &attrs, NULL), INST_OK);
    assert_int_equal(attrs.len, 57);
    for (uint32_t i = 1; i < attrs.len; i++) {
        assert_true(memcmp(inst_get_string(&attrs.u.items[i - 1], "id")->u.str,
                           inst_get_string(&attrs.u.items[i], "id")->u.str, INST_UUID_TEXT) < 0);
    }
    /* A catalog takes them as they are. */
    assert_int_equal(inst_attrs_new(&attrs, &catalog, NULL), INST_OK);
    const struct inst_attr *files = inst_attrs_forward(catalog, "$streams", 8, "$files", 6);
    assert_true(files->is_ref && files->is_many && files->is_unique && files->is_system);
    assert_true(files->on_delete_reverse_cascade && !files->on_delete_cascade);
    assert_ptr_equal(inst_attrs_reverse(catalog, "$files", 6, "$stream", 7), files);
    const struct inst_attr *primary =
        inst_attrs_reverse(catalog, "$users", 6, "linkedGuestUsers", 16);
    assert_true(primary->is_ref && !primary->is_many && primary->on_delete_cascade);
    const struct inst_attr *path = inst_attrs_forward(catalog, "$files", 6, "path", 4);
    assert_true(path->is_unique && path->is_indexed && path->is_required && !path->is_ref);
    assert_int_equal(path->checked_type, INST_CHECKED_STRING);
    inst_attrs_unref(catalog);
    inst_arena_free(&arena);
}

static void test_system_names(void **state) {
    (void)state;
    char text[INST_UUID_TEXT + 1];
    struct inst_value users = inst_cstring("$users"), lpu = inst_cstring("linkedPrimaryUser"),
                      lgu = inst_cstring("linkedGuestUsers");
    assert_true(inst_system_has_name("$users", 6, "email", 5));
    assert_true(inst_system_has_name("$users", 6, "linkedGuestUsers", 16));
    assert_false(inst_system_has_name("$users", 6, "nick", 4));
    assert_false(inst_system_has_name("users", 5, "email", 5));
    assert_true(inst_system_has_link(&users, &lpu, &users, &lgu));
    assert_false(inst_system_has_link(&users, &lgu, &users, &lpu));
    assert_true(inst_system_is_open_etype("$streams", 8));
    assert_false(inst_system_is_open_etype("$magicCodes", 11));
    assert_true(inst_system_is_hidden("$files", 6, "location-id", 11));
    assert_false(inst_system_is_hidden("$files", 6, "url", 3));
    assert_true(inst_system_is_hidden("$magicCodes", 11, "email", 5));
    assert_false(inst_system_is_hidden("files", 5, "size", 4));
    assert_false(inst_system_id(INST_SYSTEM_ATTR_ID, "users", "email", text));
    assert_false(inst_system_id(INST_SYSTEM_ATTR_ID, "$users", "", text));
    assert_false(inst_system_id(INST_SYSTEM_ATTR_ID, "$users", "morethannine", text));
    assert_false(inst_system_id(INST_SYSTEM_ATTR_ID, "$users", "a b", text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_attrs), cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_system_ids),
        cmocka_unit_test(test_system_attrs), cmocka_unit_test(test_system_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
