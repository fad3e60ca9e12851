/* Who is signed in: told, kept, changed, and what goes with somebody who is gone. */
#include "client_fixture.h"

#define TODOS "{'todos':{}}"

struct users {
    struct fixture *f;
    int count;
    char *last; /* JSON, or "nobody" */
    bool replaces;
};

static void on_user(void *ctx, const struct inst_value *user) {
    struct users *u = ctx;
    u->count++;
    if (u->replaces) { /* what the callback was given stays whole to its end */
        u->replaces = false;
        assert_int_equal(inst_reactor_set_user(u->f->r, NULL, NULL), INST_OK);
    }
    u->last = user ? json_of(u->f, user) : "nobody";
}

static uint64_t watch(struct users *u, struct fixture *f) {
    uint64_t id;
    *u = (struct users){.f = f};
    assert_int_equal(inst_reactor_subscribe_user(f->r, on_user, u, &id, NULL), INST_OK);
    return id;
}

static enum inst_status set_user(struct fixture *f, const char *record) {
    struct inst_value v = value_of(f, record);
    return inst_reactor_set_user(f->r, &v, NULL);
}

static void test_told(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct users u, late;
    uint64_t id = watch(&u, f);
    assert_int_equal(u.count, 1);
    assert_string_equal(u.last, "nobody");
    assert_int_equal(set_user(f, "{'id':'ann','refresh_token':'t1','email':'a@b.c'}"), INST_OK);
    assert_int_equal(u.count, 2);
    assert_string_equal(u.last, "{\"id\":\"ann\",\"refresh_token\":\"t1\",\"email\":\"a@b.c\"}");
    assert_string_equal(inst_reactor_refresh_token(f->r), "t1");
    assert_int_equal(set_user(f, "{'email':'a@b.c','refresh_token':'t1','id':'ann'}"), INST_OK);
    assert_int_equal(u.count, 2); /* the same */
    watch(&late, f);
    assert_int_equal(late.count, 1);
    assert_int_equal(u.count, 2);
    assert_int_equal(set_user(f, "'ann'"), INST_FAILED);
    inst_reactor_unsubscribe(f->r, id);
    assert_int_equal(inst_reactor_set_user(f->r, NULL, NULL), INST_OK);
    assert_int_equal(u.count, 2);
    assert_string_equal(late.last, "nobody");
    assert_null(inst_reactor_user(f->r));
    fixture_free(f);
}

static void test_changed_inside(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct users u;
    watch(&u, f);
    u.replaces = true;
    assert_int_equal(set_user(f, "{'id':'ann','refresh_token':'t1'}"), INST_OK);
    assert_int_equal(u.count, 3);
    assert_string_equal(u.last, "nobody");
    fixture_free(f);
}

/* Nothing is sent before it is known whose session it is. */
static void test_awaited(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .awaits_user = true};
    struct fixture *f = fixture_new(&config);
    struct users u;
    watch(&u, f);
    assert_int_equal(u.count, 0);
    assert_false(inst_reactor_is_user_known(f->r));
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    expect_silence(f);
    struct inst_value record = value_of(f, "{'id':'ann','refresh_token':'t1'}");
    assert_int_equal(inst_reactor_user_loaded(f->r, &record, NULL), INST_OK);
    assert_int_equal(u.count, 1);
    struct inst_value init = sent_op(f, "init");
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "t1"));
    expect_silence(f);
    assert_int_equal(inst_reactor_user_loaded(f->r, NULL, NULL), INST_OK);
    assert_int_equal(u.count, 1); /* said once */
    fixture_free(f);
}

static void test_set_before_loaded(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .awaits_user = true};
    struct fixture *f = fixture_new(&config);
    assert_int_equal(set_user(f, "{'id':'bob','refresh_token':'t2'}"), INST_OK);
    struct inst_value record = value_of(f, "{'id':'ann','refresh_token':'t1'}");
    assert_int_equal(inst_reactor_user_loaded(f->r, &record, NULL), INST_OK);
    struct inst_value init = open_transport(f);
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "t2"));
    fixture_free(f);
}

/* Another token of the same person connects anew and keeps what is pending. */
static void test_same_person(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    receive(f, INIT_OK);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'mine'}]]");
    struct inst_value first = sent_op(f, "transact");
    set_user(f, "{'id':'ann','refresh_token':'t1','email':'new@b.c'}");
    expect_silence(f); /* only her address is new */
    set_user(f, "{'id':'ann','refresh_token':'t2'}");
    assert_int_equal(tx->error_count, 0);
    expect_output(f, INST_OUTPUT_CLOSE);
    struct inst_value init = open_transport(f);
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "t2"));
    receive(f, INIT_OK);
    sent_op(f, "add-query");
    struct inst_value again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &first));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'mine'}]}");
    set_user(f, "{'id':'bob','refresh_token':'t3'}");
    assert_string_equal(tx->type, "user-changed");
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

static void test_rejected(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .refresh_token = "old"};
    struct fixture *f = fixture_new(&config);
    struct users u;
    watch(&u, f);
    assert_string_equal(u.last, "{\"refresh_token\":\"old\"}");
    open_transport(f);
    receive(f, "{'op':'error','status':400,'type':'record-not-found','message':'m',"
               "'hint':{'record-type':'app-user'},'original-event':{'op':'init'}}");
    assert_int_equal(u.count, 2);
    assert_string_equal(u.last, "nobody");
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),        cmocka_unit_test(test_changed_inside),
        cmocka_unit_test(test_awaited),     cmocka_unit_test(test_set_before_loaded),
        cmocka_unit_test(test_same_person), cmocka_unit_test(test_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
