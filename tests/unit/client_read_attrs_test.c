/*
 * What an evaluation looked at, and which steps can therefore leave its result alone.
 */
#include "client_fixture.h"

#include "client/read_attrs.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

struct rig {
    struct fixture *f;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct inst_read_attrs reads;
};

static void build(struct rig *rig, const char *triples) {
    rig->f = fixture_new(NULL);
    struct inst_value list = value_of(rig->f, ATTRS), all = value_of(rig->f, triples);
    struct inst_mem_options options = {false};
    assert_int_equal(inst_attrs_new(&list, &rig->attrs, NULL), INST_OK);
    assert_int_equal(inst_mem_store_new(rig->attrs, options, &rig->store, NULL), INST_OK);
    assert_int_equal(inst_mem_store_load(rig->store, &all, NULL), INST_OK);
    inst_read_attrs_init(&rig->reads);
}

static void evaluate(struct rig *rig, const char *q) {
    struct inst_value query = value_of(rig->f, q), out;
    struct inst_store *store =
        inst_read_attrs_over(&rig->reads, inst_mem_store_as_store(rig->store));
    assert_int_equal(inst_instaql_eval(store, &query, NULL, &rig->f->arena, &out, NULL), INST_OK);
}

static bool meets(struct rig *rig, const char *steps) {
    struct inst_value v = value_of(rig->f, steps);
    return inst_read_attrs_meet(&rig->reads, &v);
}

static void tear_down(struct rig *rig) {
    inst_read_attrs_free(&rig->reads);
    inst_mem_store_free(rig->store);
    inst_attrs_unref(rig->attrs);
    fixture_free(rig->f);
}

#define ADD(attr) "[['add-triple','$x','$" attr "','v']]"

static void test_reads(void **state) {
    (void)state;
    struct rig rig;
    build(&rig, "[" TODO("a", "one", "1") ",['$p','$pid','$p',1],['$a','$towner','$p',1]]");
    assert_true(meets(&rig, ADD("pname"))); /* nothing evaluated, nothing known */
    evaluate(&rig, "{'todos':{}}");
    assert_true(meets(&rig, ADD("tid")));
    assert_true(meets(&rig, ADD("ttitle")));
    assert_true(meets(&rig, "[['retract-triple','$a','$tdone',true]]"));
    assert_true(meets(&rig, "[['deep-merge-triple','$a','$ttitle',{}]]"));
    assert_false(meets(&rig, ADD("pname")));
    assert_false(meets(&rig, ADD("towner"))); /* a link that was not asked for */
    assert_false(meets(&rig, ADD("ghost")));  /* unknown: not applied either */
    assert_false(meets(&rig, "[]"));
    assert_false(meets(&rig, "[['rule-params','$a','todos',{}]]"));
    assert_true(meets(&rig, "[['add-triple','$x','$pname','v'],['add-triple','$x','$tid','$x']]"));
    evaluate(&rig, "{'people':{'todos':{}}}");
    assert_true(meets(&rig, ADD("towner")));
    assert_true(meets(&rig, ADD("ttitle")));
    evaluate(&rig, "{'people':{}}");
    assert_true(meets(&rig, ADD("pname")));
    assert_false(meets(&rig, ADD("ttitle")));
    tear_down(&rig);
}

/* A condition reads what it tests, also when nothing fits. */
static void test_conditions(void **state) {
    (void)state;
    struct rig rig;
    build(&rig, "[['$p','$pid','$p',1],['$p','$pname','Ann',1]]");
    evaluate(&rig, "{'people':{'$':{'where':{'todos.title':'x'}}}}");
    assert_true(
        meets(&rig, "[['add-triple','$a','$ttitle','x'],['add-triple','$a','$towner','$p']]"));
    evaluate(&rig, "{'people':{'$':{'where':{'todos.title':{'$isNull':true}}}}}");
    assert_true(
        meets(&rig, "[['add-triple','$a','$ttitle','x'],['add-triple','$a','$towner','$p']]"));
    evaluate(&rig, "{'todos':{'$':{'where':{'id':'$nobody'}}}}");
    assert_true(meets(&rig, ADD("tid"))); /* an id that is not known yet */
    tear_down(&rig);
}

/* Steps that reach further than their attr. */
static void test_wide_steps(void **state) {
    (void)state;
    struct rig rig;
    build(&rig, "[" TODO("a", "one", "1") "]");
    evaluate(&rig, "{'todos':{}}");
    static const char *const wide[] = {
        "[['delete-entity','$p','people']]",
        "[['add-attr',{}]]",
        "[['update-attr',{}]]",
        "[['delete-attr','$pname']]",
        "[['restore-attr','$pname']]",
        "[['add-triple']]",
        "[['add-triple','$a',7,1]]",
        "[[]]",
        "[7]",
    };
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        assert_true(meets(&rig, wide[i]));
    }
    tear_down(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_wide_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
