/*
 * Pending mutations: shown at once, sent in order, confirmed, refused, timed out, cleaned up
 * (session.md 5.8, 5.9), with the regressions that the official client had.
 */
#include "client_fixture.h"

#define TODOS "{'todos':{}}"
#define PEOPLE "{'people':{}}"
#define SET(title) "[['update','todos','$a',{'title':'" title "'}]]"
#define SHOWN(title) "{'todos':[{'id':'$a','title':'" title "'}]}"

static struct fixture *with_todo(struct seen **s) {
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(*s, 1, SHOWN("one"));
    return f;
}

static void transact_ok(struct fixture *f, const char *event_id, int tx_id) {
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':%d}", event_id, tx_id);
}

static void refuse(struct fixture *f, const char *event_id) {
    receivef(f,
             "{'op':'error','status':400,'type':'permission-denied',"
             "'message':'Permission denied: not perms-pass?',"
             "'hint':{'input':['todos','update']},'trace-id':'tr','client-event-id':'%s',"
             "'original-event':{'op':'transact'}}",
             event_id);
}

/* ---- both orders of replies; no flicker ---- */

static void test_ok_then_refresh(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    check_data(s, 2, SHOWN("two")); /* at once */
    struct inst_value m = sent_op(f, "transact");
    check_json(f, inst_getz(&m, "order"), "1");
    check_json(f, inst_getz(&m, "created"), "1700000000000");
    check_json(f, inst_getz(&m, "tx-steps"),
               "[['add-triple','$a','$tid','$a',{'mode':'update'}],"
               "['add-triple','$a','$ttitle','two',{'mode':'update'}]]");
    assert_int_equal(tx->data_count, 0);
    transact_ok(f, event_id_of(f, &m), 2);
    assert_string_equal(tx->tx_status, "synced");
    assert_string_equal(tx->event_id, event_id_of(f, &m));
    assert_int_equal(s->data_count, 2); /* stays until the query has seen it */
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(s->data_count, 2); /* nothing to see */
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

static void test_refresh_then_ok(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(s->data_count, 2);
    transact_ok(f, event_id_of(f, &m), 2);
    assert_int_equal(s->data_count, 2);
    assert_string_equal(tx->tx_status, "synced");
    /* it no longer lies on the query: what the server says later counts */
    receive(f, REFRESH(TODOS, TODO("a", "three", "1"), "3"));
    check_data(s, 3, SHOWN("three"));
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

/* An older refresh between: the change does not go away for a moment. */
static void test_no_flicker(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    transact(f, SET("mine"));
    struct inst_value m = sent_op(f, "transact");
    receive(f, REFRESH(TODOS, TODO("a", "theirs", "1"), "2")); /* before mine */
    assert_int_equal(s->data_count, 2);
    transact_ok(f, event_id_of(f, &m), 3);
    assert_int_equal(s->data_count, 2);
    receive(f, REFRESH(TODOS, TODO("a", "mine", "1"), "3"));
    check_data(s, 2, SHOWN("mine"));
    fixture_free(f);
}

/* Typing: every key a transaction, replies late; the text only ever grows. */
static void test_no_flicker_typing(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    const char *ids[3];
    static const char *const ops[] = {SET("h"), SET("he"), SET("hel")};
    for (int i = 0; i < 3; i++) {
        transact(f, ops[i]);
        struct inst_value m = sent_op(f, "transact");
        ids[i] = event_id_of(f, &m);
    }
    check_data(s, 4, SHOWN("hel"));
    transact_ok(f, ids[0], 2);
    receive(f, REFRESH(TODOS, TODO("a", "h", "1"), "2"));
    receive(f, REFRESH(TODOS, TODO("a", "he", "1"), "3"));
    transact_ok(f, ids[1], 3);
    receive(f, REFRESH(TODOS, TODO("a", "hel", "1"), "4"));
    transact_ok(f, ids[2], 4);
    check_data(s, 4, SHOWN("hel"));
    receive(f, REFRESH(TODOS, TODO("a", "hel", "1"), "5"));
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

/* ---- being refused ---- */

static void test_refused(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen listener = {.f = f};
    uint64_t id;
    inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &listener, &id, NULL);
    struct seen *tx = transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    refuse(f, event_id_of(f, &m));
    check_data(s, 3, SHOWN("one")); /* back */
    assert_int_equal(tx->error_count, 1);
    assert_string_equal(tx->error, "Permission denied: not perms-pass?");
    assert_string_equal(tx->type, "permission-denied");
    assert_int_equal(tx->status, 400);
    assert_string_equal(tx->hint, "{\"input\":[\"todos\",\"update\"]}");
    assert_string_equal(tx->trace, "tr");
    assert_int_equal(listener.error_count, 1);
    assert_string_equal(listener.event_id, event_id_of(f, &m));
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    refuse(f, event_id_of(f, &m)); /* said twice */
    assert_int_equal(listener.error_count, 1);
    fixture_free(f);
}

/* The server's result stays clean: a refresh while the mutation is pending does not bake it in. */
static void test_refused_after_refresh(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    receive(f, REFRESH(TODOS, TODO("a", "one", "1"), "2"));
    check_data(s, 2, SHOWN("two"));
    refuse(f, event_id_of(f, &m));
    check_data(s, 3, SHOWN("one"));
    fixture_free(f);
}

/* One in the middle goes, the others stay and keep their order. */
static void test_refused_in_the_middle(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    transact(f, "[['update','todos','$a',{'title':'x'}]]");
    sent_op(f, "transact");
    transact(f, "[['update','todos','$a',{'title':'y','done':true}]]");
    struct inst_value m = sent_op(f, "transact");
    transact(f, "[['create','todos','$b',{'title':'new'}]]");
    sent_op(f, "transact");
    check_data(s, 4, "{'todos':[{'id':'$a','title':'y','done':true},{'id':'$b','title':'new'}]}");
    refuse(f, event_id_of(f, &m));
    check_data(s, 5, "{'todos':[{'id':'$a','title':'x'},{'id':'$b','title':'new'}]}");
    fixture_free(f);
}

static void test_cannot_expand(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen listener = {.f = f};
    uint64_t id;
    inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &listener, &id, NULL);
    struct seen *tx = transact(f, "[['update','todos',['title','x'],{'done':true}]]");
    assert_string_equal(tx->error, "title is not a unique attribute.");
    assert_int_equal(listener.error_count, 1);
    tx = transact(f, "[['teleport','todos','$a',{}]]");
    assert_string_equal(tx->error, "unsupported action teleport");
    expect_silence(f);
    assert_int_equal(s->data_count, 1);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

static void test_validation(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen s = {.f = f};
    struct inst_err err = {0};
    struct inst_value bad = value_of(f, "{'x':1}");
    assert_int_equal(inst_reactor_transact(f->r, &bad, on_tx, &s, &err), INST_FAILED);
    assert_string_equal(err.message,
                        "Transaction chunk must have __ops array, but received: undefined");
    static const char *const steps[] = {"{}", "[7]", "[[]]", "[[1]]"};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct inst_value v = value_of(f, steps[i]);
        assert_int_equal(inst_reactor_transact_steps(f->r, &v, on_tx, &s, &err), INST_FAILED);
    }
    inst_err_clear(&err);
    assert_int_equal(s.data_count + s.error_count, 0);
    fixture_free(f);
}

/* A step that cannot be applied here is the server's to judge; the others show. */
static void test_not_applicable_locally(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct inst_value steps = value_of(f, "[['add-triple','$a','$ttitle','x'],['levitate','$a']]");
    struct seen tx = {.f = f};
    assert_int_equal(inst_reactor_transact_steps(f->r, &steps, on_tx, &tx, NULL), INST_OK);
    sent_op(f, "transact");
    assert_int_equal(s->data_count, 1);
    transact(f, SET("two"));
    check_data(s, 2, SHOWN("two"));
    fixture_free(f);
}

/* ---- offline, reconnecting ---- */

static void test_enqueued(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen *tx = transact(f, "[['create','todos','$a',{'title':'offline'}]]");
    assert_string_equal(tx->tx_status, "enqueued");
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    assert_string_equal(tx->event_id, event_id_of(f, &m));
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, "", "1"));
    check_data(s, 1, SHOWN("offline"));
    transact_ok(f, event_id_of(f, &m), 2);
    assert_int_equal(tx->data_count, 1); /* settled once */
    fixture_free(f);
}

/* Told "enqueued", refused later: the listeners hear of it. */
static void test_enqueued_then_refused(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen *quiet = transact(f, SET("a"));
    transact(f, SET("b"));
    struct seen listener = {.f = f};
    uint64_t id;
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    refuse(f, event_id_of(f, &m));
    assert_non_null(strstr(f->log, "Permission denied")); /* nobody listens: at least the log */
    inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &listener, &id, NULL);
    m = sent_op(f, "transact");
    refuse(f, event_id_of(f, &m));
    assert_int_equal(listener.error_count, 1);
    assert_int_equal(quiet->error_count, 0);
    fixture_free(f);
}

/* Lost between sending and the answer: sent again under the same id, settled by its answer. */
static void test_resent(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    inst_reactor_closed(f->r);
    assert_int_equal(s->data_count, 2); /* results stay */
    authenticate(f);
    sent_op(f, "add-query");
    struct inst_value again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &m), event_id_of(f, &again));
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(s->data_count, 2);
    transact_ok(f, event_id_of(f, &m), 2);
    assert_string_equal(tx->tx_status, "synced");
    /* confirmed: not sent again */
    reconnect(f);
    sent_op(f, "add-query");
    expect_silence(f);
    receive(f, QUERY_OK(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(s->data_count, 2);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

static void test_no_callback_needed(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct inst_value steps = value_of(f, "[['add-triple','$a','$ttitle','x']]");
    assert_int_equal(inst_reactor_transact_steps(f->r, &steps, NULL, NULL, NULL), INST_OK);
    struct inst_value m = sent_op(f, "transact");
    check_data(s, 2, SHOWN("x"));
    refuse(f, event_id_of(f, &m));
    check_data(s, 3, SHOWN("one"));
    fixture_free(f);
}

/* A long queue goes out in order, as the host drains it, and is not piled up in memory. */
static void test_backlog(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    enum { COUNT = 600 };
    char *big = malloc(10001);
    memset(big, 'x', 10000);
    big[10000] = '\0';
    char ops[11000];
    for (int i = 0; i < COUNT; i++) {
        snprintf(ops, sizeof(ops), "[['update','todos','$a',{'title':'%s'}]]", big);
        transact(f, ops);
    }
    free(big);
    authenticate(f);
    for (int i = 1; i <= COUNT; i++) {
        struct inst_value m = sent_op(f, "transact");
        assert_int_equal(inst_getz(&m, "order")->u.num, i);
        if (i == 10) { /* one more meanwhile goes to the end */
            transact(f, SET("last"));
        }
        if (i == 100) { /* and it starts again from the first */
            inst_reactor_closed(f->r);
            authenticate(f);
            i = 0;
            break;
        }
    }
    for (int i = 1; i <= COUNT + 1; i++) {
        struct inst_value m = sent_op(f, "transact");
        assert_int_equal(inst_getz(&m, "order")->u.num, i);
    }
    expect_silence(f);
    fixture_free(f);
}

/* ---- the ack time-out ---- */

static void test_ack_timeout(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + 6000);
    pass(f, 5999);
    assert_int_equal(tx->error_count, 0);
    pass(f, 1);
    assert_string_equal(tx->error, "transaction timed out");
    assert_string_equal(tx->type, "timeout");
    check_data(s, 3, SHOWN("one"));
    /* the server had it after all: nothing is stale */
    transact_ok(f, event_id_of(f, &m), 2);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    check_data(s, 4, SHOWN("two"));
    transact(f, SET("three"));
    check_data(s, 5, SHOWN("three"));
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    fixture_free(f);
}

/* Each further one in flight has 6 s more. */
static void test_ack_timeout_grows(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *a = transact(f, SET("a"));
    struct seen *b = transact(f, SET("b"));
    struct seen *c = transact(f, SET("c"));
    pass(f, 6000);
    assert_int_equal(a->error_count, 1);
    assert_int_equal(b->error_count, 0);
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + 6000);
    pass(f, 6000);
    assert_int_equal(b->error_count, 1);
    assert_int_equal(c->error_count, 0);
    pass(f, 6000);
    assert_int_equal(c->error_count, 1);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    check_data(s, 4 + 1, SHOWN("one"));
    fixture_free(f);
}

/* A timer from before a reconnect does not hit what was sent again. */
static void test_ack_timer_ends_with_connection(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    sent_op(f, "transact");
    pass(f, 5000);
    inst_reactor_closed(f->r);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    pass(f, 60000); /* long away */
    assert_int_equal(tx->error_count, 0);
    authenticate(f);
    sent_op(f, "add-query");
    sent_op(f, "transact");
    pass(f, 5999);
    assert_int_equal(tx->error_count, 0);
    pass(f, 1);
    assert_string_equal(tx->error, "transaction timed out");
    fixture_free(f);
}

static void test_no_timeout_offline(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *tx = transact(f, SET("two"));
    sent_op(f, "transact");
    inst_reactor_set_online(f->r, false);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    pass(f, 60000);
    assert_int_equal(tx->error_count, 0);
    struct seen *more = transact(f, SET("three"));
    assert_string_equal(more->tx_status, "enqueued");
    expect_silence(f);
    check_data(s, 3, SHOWN("three"));
    fixture_free(f);
}

/* ---- cleaning up ---- */

/* A query that a mutation does not concern keeps it, up to a number and a time. */
static void test_static_query(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    subscribe(f, PEOPLE);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(PEOPLE, "", "1"));
    for (int i = 0; i < 250; i++) {
        char ops[100];
        snprintf(ops, sizeof(ops), "[['update','todos','$a',{'title':'%d'}]]", i);
        transact(f, ops);
        struct inst_value m = sent_op(f, "transact");
        transact_ok(f, event_id_of(f, &m), i + 2);
    }
    receive(f, REFRESH(TODOS, TODO("a", "249", "1"), "251"));
    assert_int_equal(inst_reactor_pending_count(f->r), 250);
    pass(f, 30001);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    assert_non_null(strstr(s->data, "249"));
    fixture_free(f);
}

/* What is in flight is never cleaned away, however old and however many. */
static void test_in_flight_stays(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    const char *ids[250];
    for (int i = 0; i < 250; i++) {
        char ops[100];
        snprintf(ops, sizeof(ops), "[['update','todos','$a',{'title':'%d'}]]", i);
        transact(f, ops);
        struct inst_value m = sent_op(f, "transact");
        ids[i] = event_id_of(f, &m);
    }
    for (int i = 0; i < 10; i++) {
        transact_ok(f, ids[i], i + 2);
    }
    f->now += 40000; /* time passes between two messages, without a tick */
    receive(f, REFRESH(TODOS, TODO("a", "4", "1"), "6"));
    assert_int_equal(inst_reactor_pending_count(f->r), 240);
    assert_non_null(strstr(s->data, "249"));
    for (int i = 10; i < 250; i++) {
        transact_ok(f, ids[i], i + 2);
    }
    assert_non_null(strstr(s->data, "249"));
    receive(f, REFRESH(TODOS, TODO("a", "249", "1"), "251"));
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

/* A query whose first answer is on its way, and older than what the others saw. */
static void test_awaited_query_keeps_mutations(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *late = subscribe(f, "{'todos':{'$':{'limit':5}}}");
    sent_op(f, "add-query");
    transact(f, SET("two"));
    struct inst_value m = sent_op(f, "transact");
    transact_ok(f, event_id_of(f, &m), 2);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    receive(f, QUERY_OK("{'todos':{'$':{'limit':5}}}", TODO("a", "one", "1"), "1"));
    check_data(late, 1, "{'todos':[{'id':'$a','title':'two'}]}");
    fixture_free(f);
}

/* A write beside a window changes no result, so no refresh of it comes; our backend says so. */
static void test_current(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    struct seen *window = subscribe(f, "{'todos':{'$':{'limit':1}}}");
    sent_op(f, "add-query");
    receive(f, QUERY_OK("{'todos':{'$':{'limit':1}}}", TODO("a", "one", "1"), "1"));
    transact(f, "[['delete','todos','$a']]");
    struct inst_value m = sent_op(f, "transact");
    transact_ok(f, event_id_of(f, &m), 2);
    check_data(window, 2, "{'todos':[]}");
    receive(f, "{'op':'refresh-ok','processed-tx-id':2,'computations':[]}");
    assert_int_equal(window->data_count, 2); /* it speaks of the queries it names only */
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    receive(f, "{'op':'refresh-ok','processed-tx-id':2,'computations':[],'current':true}");
    check_data(window, 3, SHOWN("one")); /* say, undone by a trigger at once */
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    receive(f, "{'op':'refresh-ok','processed-tx-id':3,'computations':[],'current':true}");
    assert_int_equal(window->data_count, 3);
    fixture_free(f);
}

/* ---- attrs ---- */

/* A transaction made before the server's attrs are known uses ids of its own. */
static void test_rewritten(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    transact(f, "[['update','todos','$a',{'title':'t','fresh':1}],"
                "['link','people','$p',{'todos':'$a'}]]");
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    const struct inst_value *steps = inst_getz(&m, "tx-steps");
    /* only `fresh` is new to the server; people.todos is its todos.owner from the other side */
    struct inst_value first = steps->u.items[0];
    check_json(f, &first.u.items[0], "'add-attr'");
    const struct inst_value *fresh = inst_getz(&first.u.items[1], "forward-identity");
    assert_true(inst_is_string(&fresh->u.items[2], "fresh"));
    assert_int_equal(steps->len, 5);
    check_json(f, &steps->u.items[1], "['add-triple','$a','$tid','$a']");
    check_json(f, &steps->u.items[2], "['add-triple','$a','$ttitle','t']");
    check_json(f, &steps->u.items[4], "['add-triple','$a','$towner','$p']");
    struct seen *s = subscribe(f, "{'todos':{'owner':{}}}");
    sent_op(f, "add-query");
    receive(
        f, QUERY_OK("{'todos':{'owner':{}}}", "['$p','$pid','$p',1],['$p','$pname','Ann',1]", "1"));
    assert_non_null(strstr(s->data, "\"fresh\":1"));
    assert_non_null(strstr(s->data, "Ann"));
    /* confirmed: the new attr is the server's now, and not sent again */
    transact_ok(f, event_id_of(f, &m), 2);
    transact(f, "[['update','todos','$a',{'fresh':2}]]");
    m = sent_op(f, "transact");
    assert_int_equal(inst_getz(&m, "tx-steps")->len, 2);
    assert_non_null(strstr(s->data, "\"fresh\":2"));
    fixture_free(f);
}

/* A pending attr of ours that another client made meanwhile. */
static void test_rewritten_by_refresh(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    transact(f, "[['update','todos','$a',{'fresh':1}]]");
    struct inst_value m = sent_op(f, "transact");
    transact(f, "[['update','todos','$a',{'fresh':2}]]"); /* unsynced: sent along again */
    struct inst_value second = sent_op(f, "transact");
    assert_int_equal(inst_getz(&second, "tx-steps")->len, 3);
    inst_reactor_closed(f->r);
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    receive(f, "{'op':'init-ok','session-id':'x','attrs':["
               "{'id':'$tid','forward-identity':['$ftid','todos','id'],'value-type':'blob',"
               "'cardinality':'one','unique?':true,'index?':false},"
               "{'id':'$ttitle','forward-identity':['$fttitle','todos','title'],"
               "'value-type':'blob','cardinality':'one','unique?':false,'index?':false},"
               "{'id':'$theirs','forward-identity':['$ftheirs','todos','fresh'],"
               "'value-type':'blob','cardinality':'one','unique?':false,'index?':false}]}");
    sent_op(f, "add-query");
    m = sent_op(f, "transact");
    check_json(f, inst_getz(&m, "tx-steps"),
               "[['add-triple','$a','$tid','$a',{'mode':'update'}],"
               "['add-triple','$a','$theirs',1,{'mode':'update'}]]");
    second = sent_op(f, "transact");
    check_json(f, inst_getz(&second, "tx-steps"),
               "[['add-triple','$a','$tid','$a',{'mode':'update'}],"
               "['add-triple','$a','$theirs',2,{'mode':'update'}]]");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1") ",['$a','$theirs',0,1]", "1"));
    assert_non_null(strstr(s->data, "\"fresh\":2"));
    fixture_free(f);
}

/* Schema edits made offline are not lost. */
static void test_attr_edits_survive(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct inst_value steps =
        value_of(f, "[['update-attr',{'id':'$ttitle','forward-identity':"
                    "['$fttitle','todos','name']}],['delete-attr','$tdone']]");
    assert_int_equal(inst_reactor_transact_steps(f->r, &steps, NULL, NULL, NULL), INST_OK);
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    check_json(f, inst_getz(&m, "tx-steps"),
               "[['update-attr',{'id':'$ttitle','forward-identity':['$fttitle','todos','name']}],"
               "['delete-attr','$tdone']]");
    struct inst_attrs *attrs = inst_reactor_attrs(f->r);
    assert_int_equal(inst_attrs_count(attrs), 5);
    assert_non_null(inst_attrs_forward(attrs, "todos", 5, "name", 4));
    inst_attrs_unref(attrs);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1") ",['$a','$tdone',true,1]", "1"));
    check_data(s, 1, "{'todos':[{'id':'$a','name':'one'}]}");
    refuse(f, event_id_of(f, &m));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'one','done':true}]}");
    fixture_free(f);
}

/* ---- what is known ---- */

static void test_mode(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    transact(f, "[['update','todos','$zz',{'title':'unknown'}]]");
    struct inst_value m = sent_op(f, "transact");
    assert_int_equal(inst_getz(&m, "tx-steps")->u.items[1].len, 4);
    /* an update behind a pending delete must not make the entity anew, in part */
    transact(f, "[['delete','todos','$a']]");
    sent_op(f, "transact");
    transact(f, SET("ghost"));
    m = sent_op(f, "transact");
    check_json(f, &inst_getz(&m, "tx-steps")->u.items[1],
               "['add-triple','$a','$ttitle','ghost',{'mode':'update'}]");
    check_data(s, 3, "{'todos':[{'id':'$zz','title':'unknown'}]}");
    fixture_free(f);
}

static void test_read_only(void **state) {
    (void)state;
    struct seen *s;
    struct fixture *f = with_todo(&s);
    receive(f, "{'op':'app-status-changed','status':'read-only'}");
    struct seen *tx = transact(f, SET("two"));
    assert_string_equal(tx->error, "This app is in read-only mode.");
    assert_string_equal(tx->hint, "{\"status\":\"read-only\"}");
    receive(f, "{'op':'app-status-changed','status':'disabled'}");
    tx = transact(f, SET("two"));
    assert_string_equal(tx->error, "This app is currently disabled.");
    assert_string_equal(tx->hint, "{\"status\":\"disabled\"}");
    expect_silence(f);
    assert_int_equal(s->data_count, 1);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

/* Links, deletes, merges and lookups, shown before the server says anything. */
static void test_optimistic_kinds(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, "{'people':{'todos':{}}}");
    sent_op(f, "add-query");
    receive(f,
            QUERY_OK("{'people':{'todos':{}}}",
                     "['$p','$pid','$p',1],['$p','$pname','Ann',1]," TODO("a", "one", "2"), "1"));
    transact(f, "[['link','people',['name','Ann'],{'todos':'$a'}]]");
    check_data(s, 2, "{'people':[{'id':'$p','name':'Ann','todos':[{'id':'$a','title':'one'}]}]}");
    transact(f, "[['merge','todos','$a',{'title':{'x':1}}]]");
    transact(f, "[['merge','todos','$a',{'title':{'y':2}}]]");
    check_data(s, 4,
               "{'people':[{'id':'$p','name':'Ann',"
               "'todos':[{'id':'$a','title':{'x':1,'y':2}}]}]}");
    transact(f, "[['delete','todos','$a']]");
    check_data(s, 5, "{'people':[{'id':'$p','name':'Ann','todos':[]}]}");
    transact(f, "[['delete','people','$p']]");
    check_data(s, 6, "{'people':[]}");
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ok_then_refresh),
        cmocka_unit_test(test_refresh_then_ok),
        cmocka_unit_test(test_no_flicker),
        cmocka_unit_test(test_no_flicker_typing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_after_refresh),
        cmocka_unit_test(test_refused_in_the_middle),
        cmocka_unit_test(test_cannot_expand),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_not_applicable_locally),
        cmocka_unit_test(test_enqueued),
        cmocka_unit_test(test_enqueued_then_refused),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_no_callback_needed),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_ack_timeout),
        cmocka_unit_test(test_ack_timeout_grows),
        cmocka_unit_test(test_ack_timer_ends_with_connection),
        cmocka_unit_test(test_no_timeout_offline),
        cmocka_unit_test(test_static_query),
        cmocka_unit_test(test_in_flight_stays),
        cmocka_unit_test(test_awaited_query_keeps_mutations),
        cmocka_unit_test(test_current),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_rewritten_by_refresh),
        cmocka_unit_test(test_attr_edits_survive),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_optimistic_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
