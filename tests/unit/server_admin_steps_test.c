/*
 * The steps of the admin API: what they become, and what is wrong with them in the original's words
 * (transactions.md 11).
 */
#include "base/json.h"
#include "server/admin_steps.h"
#include "server/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A "11111111-1111-4111-8111-111111111111"
#define B "22222222-2222-4222-8222-222222222222"

struct rig {
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_env env;
    uint64_t seed;
};

static const char ATTRS[] =
    "[{'id':'a-id','forward-identity':['i1','todos','id'],'value-type':'blob','cardinality':'one',"
    "'unique?':true,'index?':false},"
    "{'id':'a-title','forward-identity':['i2','todos','title'],'value-type':'blob','cardinality':"
    "'one','unique?':false,'index?':false},"
    "{'id':'a-slug','forward-identity':['i3','todos','slug'],'value-type':'blob','cardinality':"
    "'one','unique?':true,'index?':true},"
    "{'id':'a-a.b','forward-identity':['i7','todos','a.b'],'value-type':'blob','cardinality':"
    "'one','unique?':false,'index?':true},"
    "{'id':'a-owner','forward-identity':['i4','todos','owner'],'reverse-identity':['r4','users',"
    "'todos'],'value-type':'ref','cardinality':'one','unique?':false,'index?':false},"
    "{'id':'u-id','forward-identity':['i5','users','id'],'value-type':'blob','cardinality':'one',"
    "'unique?':true,'index?':false},"
    "{'id':'u-email','forward-identity':['i6','users','email'],'value-type':'blob','cardinality':"
    "'one','unique?':true,'index?':true}]";

static void count_up(void *ctx, uint8_t *out, size_t len) {
    uint64_t n = ++*(uint64_t *)ctx;
    memset(out, 0, len);
    memcpy(out, &n, len < sizeof n ? len : sizeof n);
}

/* `'` stands for `"`. */
static struct inst_value parse(struct rig *rig, const char *text) {
    struct inst_err err = {0};
    char *copy = inst_arena_dup(&rig->arena, text, strlen(text));
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    struct inst_value v;
    if (inst_json_parse(&rig->arena, copy, strlen(copy), &v, &err) != INST_OK)
        fail_msg("%s: %s", copy, err.message);
    return v;
}

static int begin(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    inst_arena_init(&rig->arena);
    rig->env = (struct inst_env){&rig->seed, NULL, count_up, NULL};
    struct inst_value list = parse(rig, ATTRS);
    *state = rig;
    return inst_attrs_new(&list, &rig->attrs, NULL) != INST_OK;
}

static int end(void **state) {
    struct rig *rig = *state;
    inst_attrs_unref(rig->attrs);
    inst_arena_free(&rig->arena);
    free(rig);
    return 0;
}

static enum inst_status convert(struct rig *rig, const char *steps, bool is_strict,
                                struct inst_value *out, struct inst_err *err) {
    struct inst_value in = parse(rig, steps);
    struct inst_admin_steps context = {
        .env = &rig->env, .attrs = rig->attrs, .throw_on_missing = is_strict};
    return inst_admin_steps_to_tx(&rig->arena, &context, &in, out, err);
}

static void becomes(struct rig *rig, const char *steps, const char *wanted) {
    struct inst_value out, expected = parse(rig, wanted);
    struct inst_err err = {0};
    struct inst_buf a, b;
    if (convert(rig, steps, false, &out, &err) != INST_OK)
        fail_msg("%s: %s", steps, err.message);
    inst_buf_init(&a);
    inst_buf_init(&b);
    inst_json_write(&a, &out);
    inst_json_write(&b, &expected);
    assert_string_equal(a.data, b.data);
    inst_buf_free(&a);
    inst_buf_free(&b);
}

/* hint: JSON of its errors[0]. */
static void refused(struct rig *rig, const char *steps, bool is_strict, const char *data_type,
                    const char *error) {
    struct inst_value out, hint, wanted = parse(rig, error);
    struct inst_err err = {0};
    if (convert(rig, steps, is_strict, &out, &err) != INST_FAILED)
        fail_msg("taken: %s", steps);
    assert_string_equal(err.type, "validation-failed");
    assert_int_equal(err.status, 400);
    assert_int_equal(inst_json_parse(&rig->arena, err.hint, strlen(err.hint), &hint, NULL),
                     INST_OK);
    if (!inst_is_string(inst_getz(&hint, "data-type"), data_type))
        fail_msg("%s: wanted %s, hint: %s", steps, data_type, err.hint);
    if (!inst_value_equal(&inst_getz(&hint, "errors")->u.items[0], &wanted))
        fail_msg("%s\nwanted: %s\nhint: %s", steps, error, err.hint);
    inst_err_clear(&err);
}

static void test_writes(void **state) {
    struct rig *rig = *state;
    becomes(rig, "[]", "[]");
    becomes(rig, "[['create','todos','" A "',{'id':'" B "','title':'x'}]]",
            "[['add-triple','" A "','a-id','" A "',{'mode':'create'}],"
            "['add-triple','" A "','a-title','x',{'mode':'create'}]]");
    becomes(rig, "[['update','todos','" A "',{'title':'x'}]]",
            "[['add-triple','" A "','a-id','" A "'],['add-triple','" A "','a-title','x']]");
    becomes(rig, "[['update','todos','" A "',{'title':null},{'upsert':false}]]",
            "[['add-triple','" A "','a-id','" A "',{'mode':'update'}],"
            "['add-triple','" A "','a-title',null,{'mode':'update'}]]");
    becomes(rig, "[['merge','todos','" A "',{'title':{'a':1}},{'upsert':true}]]",
            "[['add-triple','" A "','a-id','" A "',{'mode':'upsert'}],"
            "['deep-merge-triple','" A "','a-title',{'a':1},{'mode':'upsert'}]]");
    becomes(rig, "[['update','todos','" A "',{},{'upsert':null}],['update','todos','" A "',{},{}]]",
            "[['add-triple','" A "','a-id','" A "'],['add-triple','" A "','a-id','" A "']]");
    becomes(rig, "[['delete','todos','" A "',null],['delete','todos','" A "']]",
            "[['delete-entity','" A "','todos'],['delete-entity','" A "','todos']]");
    becomes(rig, "[['ruleParams','todos','" A "',{'k':1,'id':2}]]",
            "[['rule-params','" A "','todos',{'k':1}]]");
    becomes(rig, "[['add-attr',{'any':1}],['delete-attr','" A "']]",
            "[['add-attr',{'any':1}],['delete-attr','" A "']]");
}

static void test_lookups(void **state) {
    struct rig *rig = *state;
    static const char wanted[] = "[['delete-entity',['a-slug','x__y'],'todos']]";
    becomes(rig, "[['delete','todos',['slug','x__y']]]", wanted);
    becomes(rig, "[['delete','todos',{'slug':'x__y'}]]", wanted);
    struct inst_value out, steps, in = parse(rig, "['x']");
    struct inst_err err = {0};
    /* quotes inside, which the notation of this test has no way to write */
    const char text[] = "[[\"delete\",\"todos\",\"lookup__slug__\\\"x__y\\\"\"]]";
    assert_int_equal(inst_json_parse(&rig->arena, text, strlen(text), &steps, &err), INST_OK);
    struct inst_admin_steps context = {.env = &rig->env, .attrs = rig->attrs};
    assert_int_equal(inst_admin_steps_to_tx(&rig->arena, &context, &steps, &out, &err), INST_OK);
    in = parse(rig, wanted);
    assert_true(inst_value_equal(&out, &in));
    becomes(rig, "[['update','todos',['slug','x'],{'title':'t'}]]",
            "[['add-triple',['a-slug','x'],'a-id',['a-slug','x']],"
            "['add-triple',['a-slug','x'],'a-title','t']]");
    becomes(rig, "[['link','todos',['slug','x'],{'owner':{'email':'e'}}]]",
            "[['add-triple',['a-slug','x'],'a-id',['a-slug','x']],"
            "['add-triple',['a-slug','x'],'a-owner',['u-email','e']]]");
    becomes(rig, "[['unlink','users','" A "',{'todos':['" A "',['slug','x']]}]]",
            "[['retract-triple','" A "','a-owner','" A "'],"
            "['retract-triple',['a-slug','x'],'a-owner','" A "']]");
    /* link on a plain attr sets it, as upstream does */
    becomes(rig, "[['link','todos','" A "',{'title':'" B "'}]]",
            "[['add-triple','" A "','a-title','" B "']]");
}

static const struct inst_value *part(const struct inst_value *steps, uint32_t i, uint32_t k) {
    return &steps->u.items[i].u.items[k];
}

static void expect_attr(const struct inst_value *steps, uint32_t i, const char *etype,
                        const char *label, bool is_ref, bool is_unique, bool is_indexed) {
    assert_true(inst_is_string(part(steps, i, 0), "add-attr"));
    const struct inst_value *attr = part(steps, i, 1);
    const struct inst_value *ident = inst_getz(attr, "forward-identity");
    assert_true(inst_is_string(&ident->u.items[1], etype));
    assert_true(inst_is_string(&ident->u.items[2], label));
    assert_true(inst_is_string(inst_getz(attr, "value-type"), is_ref ? "ref" : "blob"));
    assert_int_equal(inst_get_true(attr, "unique?"), is_unique);
    assert_int_equal(inst_get_true(attr, "index?"), is_indexed);
}

static void test_missing_attrs(void **state) {
    struct rig *rig = *state;
    struct inst_value out;
    struct inst_err err = {0};
    assert_int_equal(convert(rig,
                             "[['update','posts',['slug','x'],{'body':'b'}],"
                             "['link','posts','" A "',{'tags':[['name','n']]}]]",
                             false, &out, &err),
                     INST_OK);
    expect_attr(&out, 0, "posts", "slug", false, true, true);
    expect_attr(&out, 1, "posts", "tags", true, true, true);
    expect_attr(&out, 2, "tags", "name", false, true, true);
    expect_attr(&out, 3, "posts", "id", false, true, false);
    expect_attr(&out, 4, "posts", "body", false, false, false);
    assert_true(inst_is_string(part(&out, 5, 0), "add-triple"));
    assert_true(inst_value_equal(part(&out, 5, 2), inst_getz(part(&out, 3, 1), "id")));
    refused(rig, "[['update','todos','" A "',{'title':'x','color':'red'}]]", true, "steps",
            "{'message':'Attributes are missing in your schema',"
            "'hint':{'attributes':['todos.color']}}");
    assert_int_equal(convert(rig, "[['update','todos','" A "',{'title':'x'}]]", true, &out, &err),
                     INST_OK);
}

static void test_lookup_errors(void **state) {
    struct rig *rig = *state;
    refused(rig, "[['update','todos',['title','t'],{}]]", false, "lookup",
            "{'message':'title is not a unique attribute on todos'}");
    refused(rig, "[['update','todos',['test.isbn','t'],{}]]", false, "lookup",
            "{'message':'test.isbn is not a valid lookup attribute.'}");
    refused(rig, "[['update','todos',['a.b','t'],{}]]", false, "lookup",
            "{'message':'a.b is not a unique attribute on todos'}");
    /* forward labels only; and ruleParams makes no attrs */
    refused(rig, "[['update','users',['todos.id','" A "'],{}]]", false, "lookup",
            "{'message':'todos.id is not a unique attribute on users'}");
    refused(rig, "[['ruleParams','todos',['nope','x'],{}]]", false, "lookup",
            "{'message':'nope is not a unique attribute on todos'}");
    refused(rig, "[['unlink','todos','" A "',{'owner':[['nope','x']]}]]", false, "lookup",
            "{'message':'nope is not a unique attribute on users'}");
    refused(rig, "[['delete','todos',{'slug':1,'title':2}]]", false, "lookup",
            "{'message':'lookup must be an object with a single unique attr and value.'}");
    refused(rig, "[['link','todos','" A "',{'owner':'lookup__linkOn__undefined'}]]", false,
            "lookup",
            "{'message':'lookup value is invalid','hint':{'attribute':'linkOn',"
            "'value':'undefined'}}");
    refused(rig, "[['delete','todos','lookup__slug']]", false, "lookup",
            "{'message':'lookup value is invalid','hint':{'attribute':'slug','value':''}}");
    refused(rig, "[['delete','todos','lookup__']]", false, "lookup",
            "{'message':'lookup value is invalid','hint':{'attribute':'','value':''}}");
}

static void test_shape_errors(void **state) {
    struct rig *rig = *state;
    static const struct {
        const char *steps;
        const char *error;
    } cases[] = {
        {"{}", "{'expected':'coll?','in':[]}"},
        {"['x']", "{'expected':'sequential?','in':[0]}"},
        {"[[]]", "{'expected':['delete-attr'],'in':[0]}"},
        {"[['updatez','todos','" A "',{}]]", "{'expected':['delete-attr'],'in':[0,0]}"},
        {"[['update']]", "{'expected':'string?','in':[0]}"},
        {"[['update',1,'" A "',{'title':'x'}]]", "{'expected':'string?','in':[0,1]}"},
        {"[['update','todos']]", "{'expected':'instant.admin.model/lookup','in':[0]}"},
        {"[['update','todos','" A "']]", "{'expected':'map?','in':[0]}"},
        {"[['update','todos','" A "',2]]", "{'expected':'map?','in':[0,3]}"},
        {"[['update','todos','" A "',[]]]", "{'expected':'map?','in':[0,3]}"},
        {"[['update','todos','" A "',{},1]]", "{'expected':'map?','in':[0,4]}"},
        {"[['update','todos','" A "',{},{'upsert':'yes'}]]",
         "{'expected':'boolean?','in':[0,4,'upsert']}"},
        {"[['update','todos','" A "',{},{},1]]", "{'expected':'cat','in':[0,5]}"},
        {"[['create','todos','" A "',{},{}]]", "{'expected':'cat','in':[0,4]}"},
        {"[['delete','todos',[1,2]]]", "{'expected':'string?','in':[0,2,0]}"},
        {"[['delete','todos',['slug']]]", "{'expected':'instant.admin.model/lookup?','in':[0,2]}"},
        {"[['link','todos','" A "',{'owner':5}]]",
         "{'expected':'instant.admin.model/lookup?','in':[0,3,'owner',1]}"},
        {"[['link','todos','" A "',{'owner':['" A "','" B "',null]}]]",
         "{'expected':'instant.admin.model/lookup?','in':[0,3,'owner',1,2]}"},
        {"[['add-attr','todos']]", "{'expected':'map?','in':[0,1]}"},
        {"[['add-attr']]", "{'expected':'map?','in':[0]}"},
        {"[['delete-attr','x']]", "{'expected':'instant.admin.model/coercible-uuid?','in':[0,1]}"},
        {"[['delete','todos',12345]]",
         "{'message':'Invalid entity ID #12345#. Entity IDs must be UUIDs or lookup references.',"
         "'in':[0,2]}"},
        {"[['update',1,'" A "',{}],['link','todos','bad-id',{'owner':'" A "'}]]",
         "{'message':'Invalid entity ID #bad-id#. Entity IDs must be UUIDs or lookup references.',"
         "'in':[1,2]}"},
        {"[['delete','todos',null]]",
         "{'message':'Invalid entity ID #null#. Entity IDs must be UUIDs or lookup references.',"
         "'in':[0,2]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        /* the messages have ' in them, which stands for " here: # */
        size_t n = strlen(cases[i].error), at = 0;
        for (size_t k = 0; k < n && at + 8 < sizeof text; k++) {
            if (cases[i].error[k] == '#')
                at += (size_t)sprintf(text + at, "\\u0027");
            else
                text[at++] = cases[i].error[k];
        }
        text[at] = 0;
        refused(rig, cases[i].steps, false, "steps", text);
    }
    refused(rig, "[['update-attr',{'id':'" A "'}]]", false, "action",
            "{'message':'Unsupported action update-attr','hint':{'value':'update-attr'}}");
}

/* Each is made once, however often it is asked for; a catalog for each would take minutes. */
static void test_many_labels(void **state) {
    struct rig *rig = *state;
    enum { LABELS = 20000 };
    struct inst_object_builder args;
    struct inst_value step[4] = {inst_cstring("update"), inst_cstring("wide"), inst_cstring(A)};
    inst_object_begin(&args, &rig->arena);
    inst_object_reserve(&args, LABELS);
    for (int i = 0; i < LABELS; i++) {
        char *label = inst_arena_alloc(&rig->arena, 16);
        int len = snprintf(label, 16, "label%d", i);
        args.members[args.count++] = (struct inst_member){label, (size_t)len, inst_number(i)};
    }
    assert_true(inst_object_end(&args, &step[3]));
    struct inst_value pair[2] = {inst_array(step, 4), inst_array(step, 4)}, out;
    struct inst_value steps = inst_array(pair, 2);
    struct inst_admin_steps context = {.env = &rig->env, .attrs = rig->attrs};
    struct inst_err err = {0};
    assert_int_equal(inst_admin_steps_to_tx(&rig->arena, &context, &steps, &out, &err), INST_OK);
    assert_int_equal(out.len, (LABELS + 1) * 3);
    expect_attr(&out, 0, "wide", "id", false, true, false);
    expect_attr(&out, LABELS, "wide", "label19999", false, false, false);
    assert_true(inst_is_string(part(&out, LABELS + 1, 0), "add-triple"));
}

static void test_many_steps(void **state) {
    struct rig *rig = *state;
    struct inst_value step = parse(rig, "['delete','todos','" A "']"), out;
    size_t count = INST_SERVER_MAX_STEPS + 1;
    struct inst_value *steps = inst_arena_alloc(&rig->arena, count * sizeof *steps);
    for (size_t i = 0; i < count; i++)
        steps[i] = step;
    struct inst_value list = inst_array(steps, count);
    struct inst_admin_steps context = {.env = &rig->env, .attrs = rig->attrs};
    struct inst_err err = {0};
    assert_int_equal(inst_admin_steps_to_tx(&rig->arena, &context, &list, &out, &err), INST_FAILED);
    assert_string_equal(err.type, "parameter-limit-exceeded");
    assert_non_null(strstr(err.hint, "takes at most 250000 steps, this one has 250001."));
    inst_err_clear(&err);
    list = inst_array(steps, count - 1);
    assert_int_equal(inst_admin_steps_to_tx(&rig->arena, &context, &list, &out, &err), INST_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writes, begin, end),
        cmocka_unit_test_setup_teardown(test_lookups, begin, end),
        cmocka_unit_test_setup_teardown(test_missing_attrs, begin, end),
        cmocka_unit_test_setup_teardown(test_lookup_errors, begin, end),
        cmocka_unit_test_setup_teardown(test_shape_errors, begin, end),
        cmocka_unit_test_setup_teardown(test_many_labels, begin, end),
        cmocka_unit_test_setup_teardown(test_many_steps, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
