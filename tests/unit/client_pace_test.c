/* A host with little time: what is told waits, one by one, and nobody is forgotten. */
#include "client_fixture.h"

#define TODOS "{'todos':{}}"
#define PEOPLE "{'people':{}}"

static bool is_up(void *ctx) { return *(bool *)ctx; }

struct rig {
    struct fixture *f;
    bool is_time_up;
    struct seen *todos, *people;
};

/* Two queries with their answers, which nobody was told. */
static void setup(struct rig *rig) {
    struct fixture *f = rig->f = fixture_new(NULL);
    rig->is_time_up = false;
    inst_reactor_pace(f->r, is_up, &rig->is_time_up);
    authenticate(f);
    rig->todos = subscribe(f, TODOS);
    rig->people = subscribe(f, PEOPLE);
    sent_op(f, "add-query");
    sent_op(f, "add-query");
    assert_false(inst_reactor_go_on(f->r));
    rig->is_time_up = true;
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    receive(f, QUERY_OK(PEOPLE, "['$p','$pid','$p',1]", "5"));
    assert_int_equal(rig->todos->data_count + rig->people->data_count, 0);
}

static void test_one_by_one(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    assert_true(inst_reactor_go_on(rig.f->r));
    check_data(rig.todos, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    assert_int_equal(rig.people->data_count, 0);
    assert_false(inst_reactor_go_on(rig.f->r));
    check_data(rig.people, 1, "{'people':[{'id':'$p'}]}");
    assert_false(inst_reactor_go_on(rig.f->r));
    fixture_free(rig.f);
}

static void test_time_again(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    rig.is_time_up = false;
    assert_false(inst_reactor_go_on(rig.f->r));
    assert_int_equal(rig.todos->data_count + rig.people->data_count, 2);
    fixture_free(rig.f);
}

/* What a call causes comes behind what waits, and only the newest result is shown. */
static void test_calls_between(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    rig.is_time_up = false;
    struct seen *tx = transact(rig.f, "[['update','todos','$a',{'title':'mine'}]]");
    sent_op(rig.f, "transact"); /* that does not wait */
    assert_int_equal(rig.todos->data_count + rig.people->data_count, 0);
    assert_false(inst_reactor_go_on(rig.f->r));
    check_data(rig.todos, 1, "{'todos':[{'id':'$a','title':'mine'}]}");
    assert_int_equal(rig.people->data_count, 1);
    assert_int_equal(tx->data_count, 0);
    fixture_free(rig.f);
}

static void test_unsubscribed(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    inst_reactor_unsubscribe(rig.f->r, rig.todos->sub);
    assert_int_equal(rig.people->data_count, 0);
    while (inst_reactor_go_on(rig.f->r))
        ;
    assert_int_equal(rig.todos->data_count, 0);
    assert_int_equal(rig.people->data_count, 1);
    fixture_free(rig.f);
}

static void test_shutdown(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    struct seen *tx = transact(rig.f, "[['update','todos','$a',{'title':'mine'}]]");
    inst_reactor_shutdown(rig.f->r);
    assert_string_equal(tx->type, "shutdown");
    assert_int_equal(tx->error_count, 1);
    assert_false(inst_reactor_go_on(rig.f->r));
    fixture_free(rig.f);
}

static void test_freed_with_all(void **state) {
    (void)state;
    struct rig rig;
    setup(&rig);
    fixture_free(rig.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_by_one),    cmocka_unit_test(test_time_again),
        cmocka_unit_test(test_calls_between), cmocka_unit_test(test_unsubscribed),
        cmocka_unit_test(test_shutdown),      cmocka_unit_test(test_freed_with_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
