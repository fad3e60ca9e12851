/*
 * What the vectors do not show: chunks and lookups by hand, bad input, rewriting of whole
 * transactions against a server's attrs (transactions.md 1, 2, 4).
 */
#include "base/json.h"
#include "instaml/chunks.h"
#include "instaml/rewrite.h"
#include "instaml/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "11111111-1111-4111-8111-111111111111"

struct rig {
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_err err;
    uint64_t seed;
};

static void count_up(void *ctx, uint8_t *out, size_t len) {
    memset(out, (int)++*(uint64_t *)ctx, len);
}

/* `'` stands for `"`. */
static struct inst_value parse(struct rig *rig, const char *text) {
    char *copy = inst_arena_dup(&rig->arena, text, strlen(text));
    for (char *p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    struct inst_value v;
    if (inst_json_parse(&rig->arena, copy, strlen(copy), &v, &rig->err) != INST_OK) {
        fail_msg("%s: %s", copy, rig->err.message);
    }
    return v;
}

static void check(struct rig *rig, const struct inst_value *actual, const char *expected) {
    struct inst_value v = parse(rig, expected);
    struct inst_buf a, b;
    inst_buf_init(&a);
    inst_buf_init(&b);
    inst_json_write(&a, actual);
    inst_json_write(&b, &v);
    assert_string_equal(a.data, b.data);
    inst_buf_free(&a);
    inst_buf_free(&b);
}

static void begin(struct rig *rig, const char *attrs) {
    memset(rig, 0, sizeof(*rig));
    inst_arena_init(&rig->arena);
    struct inst_value list = parse(rig, attrs);
    assert_int_equal(inst_attrs_new(&list, &rig->attrs, NULL), INST_OK);
}

static void end(struct rig *rig) {
    inst_attrs_unref(rig->attrs);
    inst_err_clear(&rig->err);
    inst_arena_free(&rig->arena);
}

/* ---- chunks ---- */

static void test_chunks(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "[]");
    struct inst_value first, second, args = parse(&rig, "{'a':1}"), none = inst_undefined();
    struct inst_value opts = parse(&rig, "{'upsert':false}"), id = inst_cstring(ID);
    assert_int_equal(inst_chunk_new(&rig.arena, inst_cstring("goals"), &first, NULL), INST_OK);
    check(&rig, &first, "{'__etype':'goals','__ops':[]}");
    assert_int_equal(inst_chunk_add(&rig.arena, &first, "update", id, args, opts, &second, NULL),
                     INST_OK);
    assert_int_equal(
        inst_chunk_add(&rig.arena, &second, "delete", id, none, inst_null(), &second, NULL),
        INST_OK);
    check(&rig, &second,
          "{'__etype':'goals','__ops':[['update','goals','" ID "',{'a':1},{'upsert':false}],"
          "['delete','goals','" ID "',null]]}");
    check(&rig, &first, "{'__etype':'goals','__ops':[]}"); /* as it was */
    assert_int_equal(inst_chunk_add(&rig.arena, &args, "x", id, none, none, &second, &rig.err),
                     INST_FAILED);
    end(&rig);
}

static void test_lookup_text(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "[]");
    static const char *const values[] = {"1", "'x'", "'a__b__c'", "{'a':[null]}", "''", "null"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct inst_value v = parse(&rig, values[i]), pair;
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_lookup_encode(&buf, "e_mail", 6, &v);
        assert_true(inst_lookup_is_text(buf.data, buf.len));
        assert_int_equal(inst_chunk_id(&rig.arena, buf.data, buf.len, &pair, &rig.err), INST_OK);
        assert_true(inst_is_string(&pair.u.items[0], "e_mail"));
        assert_true(inst_value_equal(&pair.u.items[1], &v));
        inst_buf_free(&buf);
    }
    static const char *const bad[] = {"lookup__",        "lookup__a",  "lookup__a__",
                                      "lookup__a__oops", "lookup__a_", "lookup__a__undefined"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct inst_value pair;
        assert_int_equal(inst_chunk_id(&rig.arena, bad[i], strlen(bad[i]), &pair, &rig.err),
                         INST_FAILED);
    }
    struct inst_value plain;
    assert_int_equal(inst_chunk_id(&rig.arena, "lookup_", 7, &plain, NULL), INST_OK);
    assert_true(inst_is_string(&plain, "lookup_"));
    end(&rig);
}

/* ---- bad input ---- */

static enum inst_status transform(struct rig *rig, const char *chunks, struct inst_value *out) {
    struct inst_env env = {.ctx = &rig->seed, .random = count_up};
    struct inst_tx_context context = {.attrs = rig->attrs, .env = &env};
    struct inst_value v = parse(rig, chunks);
    return inst_tx_transform(&rig->arena, &context, &v, out, &rig->err);
}

static void test_bad_input(void **state) {
    (void)state;
    static const struct {
        const char *chunks;
        const char *message;
    } cases[] = {
        {"7", "Transaction chunk must be an object, but received: number"},
        {"[null]", "Transaction chunk must be an object, but received: object"},
        {"{}", "Transaction chunk must have __ops array, but received: undefined"},
        {"[{'__ops':{}}]", "Transaction chunk must have __ops array, but received: object"},
        {"{'__ops':['x']}", "Transaction operation must be an array, but received: string"},
        {"{'__ops':[[]]}", "Transaction operation is incomplete."},
        {"{'__ops':[['update','todos']]}", "Transaction operation is incomplete."},
        {"{'__ops':[[1,'todos','" ID "']]}", "Transaction operation is incomplete."},
        {"{'__ops':[['update',1,'" ID "',{}]]}",
         "Entity name must be a string, but received: number"},
        {"{'__ops':[['update','todos','" ID "',[1]]]}",
         "Arguments for data operation on entity 'todos' must be an object, but received: array"},
        {"{'__ops':[['update','todos','" ID "','text']]}",
         "Arguments for data operation on entity 'todos' must be an object, but received: string"},
        {"{'__ops':[['create','todos','" ID "']]}", "Cannot convert undefined or null to object"},
        {"{'__ops':[['update','todos',7,{}]]}",
         "lookup must be an object with a single unique attr and value."},
        {"{'__ops':[['update','todos',null,{}]]}", "Cannot convert undefined or null to object"},
        {"{'__ops':[['update','todos',[],{}]]}",
         "lookup must be an object with a single unique attr and value."},
        {"{'__ops':[['link','todos','" ID "',{'title':'" ID "'}]]}", "todos.title is not a link."},
        {"{'__ops':[['vanish','todos','" ID "',{}]]}", "unsupported action vanish"},
    };
    struct rig rig;
    begin(&rig, "[{'id':'T','forward-identity':['t','todos','title'],'value-type':'blob',"
                "'cardinality':'one','unique?':false,'index?':false}]");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct inst_value out;
        assert_int_equal(transform(&rig, cases[i].chunks, &out), INST_FAILED);
        assert_string_equal(rig.err.message, cases[i].message);
        assert_string_equal(rig.err.type, "validation-failed");
    }
    end(&rig);
}

/* ---- rewriting ---- */

#define BLOB(id, etype, label)                                                                     \
    "{'id':'" id "','forward-identity':['f" id "','" etype "','" label                             \
    "'],'value-type':'blob','cardinality':'one','unique?':false,'index?':false}"
#define REF(id, etype, label, other, back)                                                         \
    "{'id':'" id "','forward-identity':['f" id "','" etype "','" label                             \
    "'],'reverse-identity':['r" id "','" other "','" back                                          \
    "'],'value-type':'ref','cardinality':'many','unique?':false,'index?':false}"

struct rewriting {
    struct rig rig;
    struct inst_attr_mapping mapping;
};

static void begin_rewriting(struct rewriting *w, const char *attrs) {
    begin(&w->rig, attrs);
    inst_attr_mapping_init(&w->mapping, &w->rig.arena);
}

static void rewrites(struct rewriting *w, bool is_processed, const char *steps,
                     const char *expected) {
    struct inst_value in = parse(&w->rig, steps), out;
    bool is_changed;
    assert_int_equal(inst_rewrite_steps(&w->mapping, w->rig.attrs, &in, is_processed, &out,
                                        &is_changed, &w->rig.err),
                     INST_OK);
    check(&w->rig, &out, expected ? expected : steps);
    assert_int_equal(is_changed, expected != NULL);
}

static void test_rewrite_dropped(void **state) {
    (void)state;
    struct rewriting w;
    begin_rewriting(&w, "[" BLOB("B", "todos", "title") "]");
    rewrites(
        &w, false,
        "[['add-attr'," BLOB(
            "A", "todos",
            "title") "],['add-triple','e','A',1],"
                     "['add-triple',['A','x'],'C',['A',2]],['delete-entity',['A','x'],'todos']]",
        "[['add-triple','e','B',1],['add-triple',['B','x'],'C',['B',2]],"
        "['delete-entity',['B','x'],'todos']]");
    /* the mapping holds for the mutations behind it */
    rewrites(&w, false, "[['deep-merge-triple','e','A',{'k':1}]]",
             "[['deep-merge-triple','e','B',{'k':1}]]");
    rewrites(&w, false, "[['update-attr',{'id':'A','index?':true}],['delete-attr','A']]",
             "[['update-attr',{'id':'B','index?':true}],['delete-attr','B']]");
    rewrites(&w, false, "[['add-triple','e','Z',1]]", NULL);
    end(&w.rig);
}

static void test_rewrite_swapped(void **state) {
    (void)state;
    struct rewriting w;
    begin_rewriting(&w, "[" REF("B", "people", "todos", "todos", "owner") "]");
    rewrites(
        &w, false,
        "[['add-attr'," REF(
            "A", "todos", "owner", "owner",
            "todos") "],"
                     "['add-triple','todo','A','person'],['retract-triple','todo','A','person'],"
                     "['update-attr',{'id':'A','cardinality':'one'}]]",
        "[['add-triple','person','B','todo'],['retract-triple','person','B','todo']]");
    end(&w.rig);
}

/* A link of a namespace to itself under its own name is both forward and reverse. */
static void test_rewrite_self_link(void **state) {
    (void)state;
    struct rewriting w;
    begin_rewriting(&w, "[" REF("A", "goals", "goals", "goals", "goals") "]");
    rewrites(
        &w, false,
        "[['add-attr'," REF("A", "goals", "goals", "goals", "goals") "],"
                                                                     "['add-triple','a','A','b']]",
        NULL);
    end(&w.rig);
}

/* Attr steps stay until the server's attrs are known to include them. */
static void test_rewrite_processed(void **state) {
    (void)state;
    static const char steps[] = "[['add-attr'," BLOB(
        "N", "todos", "new") "],['update-attr',{'id':'B'}],"
                             "['delete-attr','B'],['restore-attr','B'],['add-triple','e','N',1]]";
    struct rewriting w;
    begin_rewriting(&w, "[" BLOB("B", "todos", "title") "]");
    rewrites(&w, false, steps, NULL);
    rewrites(&w, true, steps, "[['restore-attr','B'],['add-triple','e','N',1]]");
    end(&w.rig);
}

static void test_rewrite_odd_steps(void **state) {
    (void)state;
    struct rewriting w;
    begin_rewriting(&w, "[" BLOB("B", "todos", "title") "]");
    rewrites(&w, false,
             "[7,[],['add-attr'],['add-attr',7],['add-attr',{'id':'A'}],"
             "['add-attr',{'id':'A','forward-identity':['x']}],['update-attr'],[1,2]]",
             NULL);
    rewrites(&w, false, "{}", NULL);
    end(&w.rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_lookup_text),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_rewrite_dropped),
        cmocka_unit_test(test_rewrite_swapped),
        cmocka_unit_test(test_rewrite_self_link),
        cmocka_unit_test(test_rewrite_processed),
        cmocka_unit_test(test_rewrite_odd_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
