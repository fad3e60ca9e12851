/* Without a storage: who subscribes again is shown at once what the last listener had. */
#include "client_fixture.h"

#define TODOS "{'todos':{}}"

static void answer_todos(struct fixture *f, const char *title) {
    receivef(f,
             "{'op':'add-query-ok','q':" TODOS ",'result':" RESULT(
                 "['$a','$tid','$a',1],['$a','$ttitle','%s',1]") ",'processed-tx-id':5}",
             title);
}

static void leave(struct fixture *f, struct seen *s) {
    inst_reactor_unsubscribe(f->r, s->sub);
    sent_op(f, "remove-query");
}

static void test_shown_again(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    answer_todos(f, "one");
    leave(f, s);
    struct seen *again = subscribe(f, TODOS);
    check_data(again, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    sent_op(f, "add-query"); /* it is asked for all the same */
    answer_todos(f, "two");
    check_data(again, 2, "{'todos':[{'id':'$a','title':'two'}]}");
    leave(f, again);
    inst_reactor_closed(f->r);
    again = subscribe(f, TODOS); /* also without a connection */
    check_data(again, 1, "{'todos':[{'id':'$a','title':'two'}]}");
    fixture_free(f);
}

/* What is pending is on top of it, not in it. */
static void test_bare(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    answer_todos(f, "one");
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'mine'}]]");
    struct inst_value m = sent_op(f, "transact");
    check_data(s, 2, "{'todos':[{'id':'$a','title':'mine'}]}");
    leave(f, s);
    s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    check_data(s, 1, "{'todos':[{'id':'$a','title':'mine'}]}");
    leave(f, s);
    receivef(f, "{'op':'error','type':'x','message':'m','client-event-id':'%s'}",
             event_id_of(f, &m));
    assert_int_equal(tx->error_count, 1);
    s = subscribe(f, TODOS);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
}

static void test_not_for_others(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    answer_todos(f, "hers");
    leave(f, s);
    inst_reactor_set_refresh_token(f->r, "his", NULL);
    s = subscribe(f, TODOS);
    assert_int_equal(s->data_count, 0);
    fixture_free(f);
}

/* A question has its own answer; and its answer is not remembered. */
static void test_once(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    answer_todos(f, "one");
    leave(f, s);
    struct seen *once = ask_once(f, TODOS);
    sent_op(f, "add-query");
    assert_int_equal(once->data_count, 0);
    answer_todos(f, "two");
    check_data(once, 1, "{'todos':[{'id':'$a','title':'two'}]}");
    sent_op(f, "remove-query");
    s = subscribe(f, TODOS);
    assert_int_equal(s->data_count, 0);
    fixture_free(f);
}

/* Attrs that came meanwhile count, and triples that waited for them are there. */
static void test_new_attrs(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, "{'op':'add-query-ok','q':" TODOS ",'result':" RESULT(
                   "['$a','$tid','$a',1],['$a','$tnew','x',1]") ",'processed-tx-id':5}");
    check_data(s, 1, "{'todos':[{'id':'$a'}]}");
    leave(f, s);
    receive(f, "{'op':'refresh-ok','processed-tx-id':6,'computations':[],'attrs':["
               "{'id':'$tid','forward-identity':['$ftid','todos','id'],'value-type':'blob',"
               "'cardinality':'one','unique?':true,'index?':false},"
               "{'id':'$tnew','forward-identity':['$ftnew','todos','fresh'],'value-type':'blob',"
               "'cardinality':'one','unique?':false,'index?':false}]}");
    s = subscribe(f, TODOS);
    check_data(s, 1, "{'todos':[{'id':'$a','fresh':'x'}]}");
    fixture_free(f);
}

/* The newest few, so that a program that asks many things does not grow. */
static void test_limit(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    char q[80];
    for (int i = 0; i < 15; i++) {
        snprintf(q, sizeof(q), "{'todos':{'$':{'where':{'title':'t%d'}}}}", i);
        struct seen *s = subscribe(f, q);
        sent_op(f, "add-query");
        receivef(f,
                 "{'op':'add-query-ok','q':%s,'result':" RESULT(
                     "['$a','$tid','$a',1],['$a','$ttitle','t%d',1]") ",'processed-tx-id':5}",
                 q, i);
        assert_int_equal(s->data_count, 1);
        leave(f, s);
    }
    for (int i = 0; i < 15; i++) {
        snprintf(q, sizeof(q), "{'todos':{'$':{'where':{'title':'t%d'}}}}", i);
        assert_int_equal(subscribe(f, q)->data_count, i >= 5);
    }
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shown_again),    cmocka_unit_test(test_bare),
        cmocka_unit_test(test_not_for_others), cmocka_unit_test(test_once),
        cmocka_unit_test(test_new_attrs),      cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
