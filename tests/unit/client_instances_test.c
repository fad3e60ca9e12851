/*
 * Several instances on one reactor: what one subscribed, asked and wrote is its own, what the
 * server said serves all.
 */
#include "client_disk.h"

#define TODOS "{'todos':{}}"
#define SET(title) "[['update','todos','$a',{'title':'" title "'}]]"
#define SHOWN(title) "{'todos':[{'id':'$a','title':'" title "'}]}"

struct told {
    struct seen seen;
    char status[32];
};

static void on_status(void *ctx, enum inst_connection_status status,
                      const struct inst_reactor_error *error) {
    struct told *t = ctx;
    (void)error;
    snprintf(t->status, sizeof t->status, "%s", inst_connection_status_name(status));
}

static void listen(struct fixture *f, struct told *t) {
    uint64_t id;
    t->seen.f = f;
    assert_int_equal(inst_reactor_subscribe_connection_status(f->r, on_status, t, &id, NULL),
                     INST_OK);
    assert_int_equal(
        inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &t->seen, &id, NULL),
        INST_OK);
}

static void refuse(struct fixture *f, const struct inst_value *sent) {
    receivef(f,
             "{'op':'error','status':400,'type':'permission-denied','message':'no',"
             "'client-event-id':'%s','original-event':{'op':'transact'}}",
             event_id_of(f, sent));
}

static void test_one_query_serves_both(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *one = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    inst_reactor_set_instance(f->r, 2);
    struct seen *two = subscribe(f, TODOS);
    check_data(two, 1, SHOWN("one")); /* at once */
    transact(f, SET("two"));
    check_data(one, 2, SHOWN("two"));
    check_data(two, 2, SHOWN("two"));
    fixture_free(f);
}

static void test_the_end_of_one_is_not_the_others(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct told first = {0}, second = {0};
    listen(f, &first);
    struct seen *kept = subscribe(f, TODOS);
    sent_op(f, "add-query");
    inst_reactor_set_instance(f->r, 2);
    listen(f, &second);
    struct seen *ended = subscribe(f, TODOS);
    sent_op(f, "add-query"); /* every subscription asks, as the official client does */
    struct seen *asked = ask_once(f, "{'people':{}}");
    sent_op(f, "add-query");
    struct seen *written = transact(f, SET("mine"));
    struct inst_value m = sent_op(f, "transact");

    inst_reactor_end_instance(f->r, 2);
    assert_string_equal(asked->type, "shutdown");
    assert_string_equal(written->type, "shutdown");
    assert_string_equal(second.status, "closed");
    assert_string_equal(first.status, "");
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    struct inst_value gone = sent_op(f, "remove-query"); /* nobody asks for people any more */
    check_json(f, inst_getz(&gone, "q"), "{'people':{}}");
    expect_silence(f);

    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(kept, 1, SHOWN("mine")); /* the write is still on its way */
    assert_int_equal(ended->data_count, 0);
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':2}", event_id_of(f, &m));
    assert_int_equal(written->data_count + written->error_count, 1);
    inst_reactor_end_instance(f->r, 2); /* again: nothing */
    inst_reactor_end_instance(f->r, 3);
    fixture_free(f);
}

static void test_failures_are_told_to_whoever_wrote(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct told first = {0}, second = {0};
    listen(f, &first);
    inst_reactor_set_instance(f->r, 2);
    listen(f, &second);
    transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    refuse(f, &m);
    assert_int_equal(first.seen.error_count, 0);
    assert_int_equal(second.seen.error_count, 1);

    /* Of one that has ended nobody hears, but it is logged. */
    transact(f, SET("three"));
    m = sent_op(f, "transact");
    inst_reactor_end_instance(f->r, 2);
    refuse(f, &m);
    assert_int_equal(first.seen.error_count, 0);
    assert_int_equal(second.seen.error_count, 1);
    assert_non_null(strstr(f->log, "nobody listens"));
    fixture_free(f);
}

static void test_forgetting_calls_nobody(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    inst_reactor_set_instance(f->r, 2);
    struct told told = {0};
    listen(f, &told);
    struct seen *live = subscribe(f, TODOS);
    struct seen *asked = ask_once(f, TODOS);
    struct seen *written = transact(f, SET("x"));
    inst_reactor_forget_instance(f->r, 2);
    assert_string_equal(told.status, "");
    assert_int_equal(live->error_count + asked->error_count + written->error_count, 0);
    assert_int_equal(inst_reactor_unconfirmed_count(f->r), 1);
    inst_reactor_shutdown(f->r);
    assert_int_equal(live->error_count + asked->error_count + written->error_count, 0);
    inst_reactor_end_instance(f->r, 2);
    fixture_free(f);
}

struct id_seen {
    char id[64], type[64];
};

static void on_id(void *ctx, const char *id, const struct inst_reactor_error *error) {
    struct id_seen *s = ctx;
    snprintf(s->id, sizeof s->id, "%s", id ? id : "");
    snprintf(s->type, sizeof s->type, "%s", error ? error->err->type : "");
}

/* What was asked and written before the storage is read. */
static void test_the_end_before_the_storage_is_read(void **state) {
    (void)state;
    for (int is_quiet = 0; is_quiet < 2; is_quiet++) {
        struct disk *disk = calloc(1, sizeof *disk);
        struct fixture *f = start_on(disk);
        struct id_seen kept = {0}, ended = {0};
        struct seen *mine = transact(f, SET("mine"));
        inst_reactor_local_id(f->r, "n", 1, on_id, &kept, NULL);
        inst_reactor_set_instance(f->r, 2);
        struct seen *gone = transact(f, SET("gone"));
        inst_reactor_local_id(f->r, "n", 1, on_id, &ended, NULL);
        if (is_quiet) {
            inst_reactor_forget_instance(f->r, 2);
        } else {
            inst_reactor_end_instance(f->r, 2);
        }
        assert_string_equal(gone->type, is_quiet ? "" : "shutdown");
        assert_string_equal(ended.type, is_quiet ? "" : "shutdown");
        run_disk(f, disk);
        assert_string_equal(mine->tx_status, "enqueued");
        assert_int_equal(strlen(kept.id), INST_UUID_TEXT);
        assert_string_equal(ended.id, "");
        assert_int_equal(inst_reactor_pending_count(f->r), 1);
        fixture_free(f);
        disk_free(disk);
    }
}

/* A callback that ends its own instance, and another one's. */
struct ender {
    struct fixture *f;
    uint64_t instance;
    int calls;
};

static void end_from_callback(void *ctx, const struct inst_query_result *result,
                              const struct inst_reactor_error *error) {
    struct ender *e = ctx;
    (void)result;
    (void)error;
    e->calls++;
    inst_reactor_end_instance(e->f->r, e->instance);
}

static void test_a_callback_may_end_its_instance(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct inst_value q = value_of(f, TODOS);
    struct ender e = {.f = f, .instance = 2};
    uint64_t id;
    inst_reactor_set_instance(f->r, 2);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &q, NULL, end_from_callback, &e, &id, NULL),
                     INST_OK);
    struct seen *same = subscribe(f, TODOS);
    inst_reactor_set_instance(f->r, 1);
    struct seen *other = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(e.calls, 1);
    assert_int_equal(same->data_count, 0);
    check_data(other, 1, SHOWN("one"));
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(e.calls, 1);
    check_data(other, 2, SHOWN("two"));
    fixture_free(f);
}

/* ---- becoming another user ---- */

static void on_user(void *ctx, const struct inst_value *user) {
    struct told *t = ctx;
    const struct inst_value *id = user ? inst_get_string(user, "id") : NULL;
    snprintf(t->status, sizeof t->status, "%.*s", id ? (int)id->len : 6, id ? id->u.str : "nobody");
}

/* What one subscribed goes with it, under the same id, and is asked for anew; the other notices
 * nothing. */
static void test_moving(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL), *to = fixture_new(NULL);
    uint64_t id;
    authenticate(f);
    struct told first = {0}, second = {0}, user = {0};
    listen(f, &first);
    struct seen *stays = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    inst_reactor_set_instance(f->r, 2);
    listen(f, &second);
    struct seen *moves = subscribe(f, TODOS);
    sent_op(f, "add-query");
    assert_int_equal(inst_reactor_subscribe_user(f->r, on_user, &user, &id, NULL), INST_OK);
    assert_string_equal(user.status, "nobody");
    struct seen *asked = ask_once(f, "{'people':{}}");
    sent_op(f, "add-query");
    struct seen *written = transact(f, SET("mine"));
    sent_op(f, "transact");
    check_data(stays, 2, SHOWN("mine"));

    assert_int_equal(inst_reactor_move_instance(f->r, 2, to->r, NULL), INST_OK);
    assert_string_equal(asked->type, "user-changed");
    assert_string_equal(written->type, "user-changed");
    assert_string_equal(second.status, "closed");
    assert_string_equal(first.status, "");
    check_data(stays, 3, SHOWN("one")); /* the write is taken back */
    sent_op(f, "remove-query");         /* people: nobody else asked */
    expect_silence(f);

    struct inst_value ann = value_of(to, "{'id':'ann','refresh_token':'t1'}");
    assert_int_equal(inst_reactor_set_user(to->r, &ann, NULL), INST_OK);
    assert_string_equal(user.status, "ann");
    assert_null(inst_reactor_user(f->r));
    authenticate(to);
    assert_string_equal(second.status, "authenticated");
    sent_op(to, "add-query");
    receive(to, QUERY_OK(TODOS, TODO("b", "hers", "1"), "1"));
    check_data(moves, moves->data_count, "{'todos':[{'id':'$b','title':'hers'}]}");
    check_data(stays, 3, SHOWN("one"));

    /* The id that the subscription was given ends it. */
    inst_reactor_unsubscribe(f->r, id);
    inst_reactor_unsubscribe(to->r, id);
    assert_int_equal(inst_reactor_set_user(to->r, NULL, NULL), INST_OK);
    assert_string_equal(user.status, "ann");
    fixture_free(to);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_query_serves_both),
        cmocka_unit_test(test_the_end_of_one_is_not_the_others),
        cmocka_unit_test(test_failures_are_told_to_whoever_wrote),
        cmocka_unit_test(test_forgetting_calls_nobody),
        cmocka_unit_test(test_the_end_before_the_storage_is_read),
        cmocka_unit_test(test_a_callback_may_end_its_instance),
        cmocka_unit_test(test_moving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
