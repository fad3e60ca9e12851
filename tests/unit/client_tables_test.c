#include "client_fixture.h"

#include "client/sync_tables.h"

static struct inst_reactor_config config_for_admins(void) {
    return (struct inst_reactor_config){.app_id = APP_ID, .admin_token = "token"};
}

static int set_up(void **state) {
    struct inst_reactor_config config = config_for_admins();
    *state = fixture_new(&config);
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

/* ---- what a listener heard ---- */

struct heard {
    struct fixture *f;
    struct inst_buf log; /* one event a line */
    uint64_t sub;
    bool wants_data;
    uint64_t ends; /* a subscription to end from inside */
    bool keep;
};

static void add_part(struct heard *h, const char *name, const struct inst_value *v) {
    if (v) {
        inst_buf_addf(&h->log, " %s=%s", name, json_of(h->f, v));
    }
}

static void on_event(void *ctx, const struct inst_sync_event *event) {
    struct heard *h = ctx;
    inst_buf_add_str(&h->log, event->type);
    add_part(h, "batch", event->batch);
    add_part(h, "added", event->added);
    add_part(h, "removed", event->removed);
    add_part(h, "updated", event->updated);
    if (event->error) {
        inst_buf_addf(&h->log, " error=%s", event->error->err->message);
    }
    if (h->wants_data) {
        add_part(h, "data", inst_sync_event_data(event));
    }
    inst_buf_add_char(&h->log, '\n');
    if (h->ends) {
        inst_reactor_unsubscribe_table(h->f->r, h->ends, h->keep);
        h->ends = 0;
    }
}

static struct heard *follow(struct fixture *f, const char *q) {
    struct heard *h = inst_arena_zalloc(&f->arena, sizeof(*h));
    struct inst_value v = value_of(f, q);
    struct inst_err err = {0};
    h->f = f;
    inst_buf_init(&h->log);
    if (inst_reactor_subscribe_table(f->r, &v, on_event, h, &h->sub, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    return h;
}

/* What was heard since the last look; `'` for `"`. */
static void expect_heard(struct heard *h, const char *short_text) {
    char *wanted = text_of(short_text);
    assert_string_equal(h->log.data ? h->log.data : "", wanted);
    free(wanted);
    inst_buf_free(&h->log);
}

static void let_go(struct heard *h) { inst_buf_free(&h->log); }

#define START_OK                                                                                   \
    "{'op':'start-sync-ok','q':{'todos':{}},'client-event-id':'%s',"                               \
    "'subscription-id':'$sync','token':'$token'}"

static void start_ok(struct fixture *f) {
    struct inst_value start = sent_op(f, "start-sync");
    char *id = json_of(f, inst_getz(&start, "client-event-id"));
    id[strlen(id) - 1] = '\0';
    receivef(f, START_OK, id + 1);
}

#define BATCH(rows) "{'op':'sync-load-batch','subscription-id':'$sync','join-rows':[" rows "]}"
#define FINISH(tx) "{'op':'sync-init-finish','subscription-id':'$sync','tx-id':" tx "}"
#define TX(tx, changes) "{'tx-id':" tx ",'changes':[" changes "]}"
#define UPDATES(txes) "{'op':'sync-update-triples','subscription-id':'$sync','txes':[" txes "]}"
#define ADD(triple) "{'action':'added','triple':" triple "}"
#define REMOVE(triple) "{'action':'removed','triple':" triple "}"
#define ROW(id, title, t) "[" TODO(id, title, t) "]"

/* A table with a, b, c, in order of creation, at transaction 5. */
static struct heard *with_three(struct fixture *f) {
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    start_ok(f);
    receive(f, BATCH(ROW("a", "A", "1") "," ROW("b", "B", "2") "," ROW("c", "C", "3")));
    receive(f, FINISH("5"));
    inst_buf_free(&h->log);
    return h;
}

/* ---- the way of a table ---- */

static void comes_in_batches(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    h->wants_data = true;
    struct inst_value start = sent_op(f, "start-sync");
    check_json(f, inst_getz(&start, "q"), "{'todos':{}}");
    char *id = json_of(f, inst_getz(&start, "client-event-id"));
    id[strlen(id) - 1] = '\0';
    receivef(f, START_OK, id + 1);
    expect_heard(h, "");
    receive(f, BATCH(ROW("a", "A", "1")));
    expect_heard(h, "InitialSyncBatch batch=[{'id':'$a','title':'A'}] "
                    "data={'todos':[{'id':'$a','title':'A'}]}\n");
    receive(f, BATCH(ROW("b", "B", "2")));
    expect_heard(h, "InitialSyncBatch batch=[{'id':'$b','title':'B'}] "
                    "data={'todos':[{'id':'$a','title':'A'},{'id':'$b','title':'B'}]}\n");
    receive(f, FINISH("5"));
    expect_heard(h, "InitialSyncComplete "
                    "data={'todos':[{'id':'$a','title':'A'},{'id':'$b','title':'B'}]}\n");
    expect_silence(f);
    let_go(h);
}

static void an_empty_table(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    h->wants_data = true;
    start_ok(f);
    receive(f, FINISH("5"));
    expect_heard(h, "InitialSyncComplete data={'todos':[]}\n");
    receive(f, UPDATES(TX("6", ADD("['$a','$tid','$a',9]"))));
    expect_heard(h, "SyncTransaction added=[{'id':'$a'}] removed=[] updated=[] "
                    "data={'todos':[{'id':'$a'}]}\n");
    let_go(h);
}

static void changes_are_told(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    receive(f,
            UPDATES(TX("6", REMOVE("['$b','$ttitle','B',2]") "," ADD("['$b','$ttitle','B2',2]"))));
    expect_heard(h, "SyncTransaction added=[] removed=[] updated=[{"
                    "'oldEntity':{'id':'$b','title':'B'},'newEntity':{'id':'$b','title':'B2'},"
                    "'changedFields':{'title':{'oldValue':'B','newValue':'B2'}}}]\n");
    /* a field that was not there, a link, a value that ends as it began */
    receive(f,
            UPDATES(TX(
                "7", ADD("['$b','$tdone',true,2]") "," ADD("['$b','$towner','$p',2]") "," REMOVE(
                         "['$b','"
                         "$ttitle"
                         "','B2',"
                         "2]") "," ADD("['$b','$ttitle','x',2]") "," REMOVE("['$b','$ttitle','x',"
                                                                            "2]") "," ADD("['$b','$"
                                                                                          "ttitle',"
                                                                                          "'B2',"
                                                                                          "2]"))));
    expect_heard(h, "SyncTransaction added=[] removed=[] updated=[{"
                    "'oldEntity':{'id':'$b','title':'B2'},"
                    "'newEntity':{'id':'$b','title':'B2','done':true},"
                    "'changedFields':{'done':{'newValue':true},'owner':{'newValue':'$p'}}}]\n");
    receive(f,
            UPDATES(TX("8", REMOVE("['$a','$tid','$a',1]") "," REMOVE("['$a','$ttitle','A',1]"))));
    expect_heard(h, "SyncTransaction added=[] removed=[{'id':'$a','title':'A'}] updated=[]\n");
    /* two in one message are two events, each with the table as of itself */
    h->wants_data = true;
    receive(f, UPDATES(TX("9", ADD("['$d','$tid','$d',0]")) "," TX(
                   "10", REMOVE("['$b','$tid','$b',2]"))));
    expect_heard(h, "SyncTransaction added=[{'id':'$d'}] removed=[] updated=[] "
                    "data={'todos':[{'id':'$d'},{'id':'$b','title':'B2','done':true},"
                    "{'id':'$c','title':'C'}]}\n"
                    "SyncTransaction added=[] removed=[{'id':'$b','title':'B2','done':true}] "
                    "updated=[] data={'todos':[{'id':'$d'},{'id':'$c','title':'C'}]}\n");
    let_go(h);
}

/* The official client sorts the places of removed rows as texts: of twelve it takes the wrong ones.
 */
static void removing_many_takes_the_right_ones(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    start_ok(f);
    char text[4000] = "";
    for (int i = 0; i < 40; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "%s[['$e%02d','$tid','$e%02d',%d]]", i ? "," : "", i, i, i);
    }
    receivef(f, BATCH("%s"), text);
    receive(f, FINISH("5"));
    inst_buf_free(&h->log);
    receive(f, UPDATES(TX(
                   "6", REMOVE("['$e02','$tid','$e02',2]") "," REMOVE(
                            "['$e11','$tid','$e11',11]") "," REMOVE("['$e09','$tid','$e09',9]"))));
    expect_heard(h, "SyncTransaction added=[] removed=[{'id':'$e11'},{'id':'$e09'},{'id':'$e02'}] "
                    "updated=[]\n");
    /* and more than are moved one by one */
    text[0] = '\0';
    for (int i = 12; i < 38; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "%s" REMOVE("['$e%02d','$tid','$e%02d',%d]"), i > 12 ? "," : "", i, i, i);
    }
    h->wants_data = true;
    receivef(f, UPDATES("{'tx-id':7,'changes':[%s]}"), text);
    assert_non_null(strstr(h->log.data, "updated=[] data={\"todos\":[{\"id\""));
    size_t count = 0;
    for (const char *p = strstr(h->log.data, "data="); (p = strstr(p, "\"id\"")); p++) {
        count++;
    }
    assert_int_equal(count, 11);
    let_go(h);
}

static void known_transactions_are_skipped(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    receive(f, UPDATES(TX("5", REMOVE("['$a','$tid','$a',1]")) "," TX("4", "") "," TX(
                   "6", ADD("['$a','$tdone',1,1]"))));
    expect_heard(
        h, "SyncTransaction added=[] removed=[] updated=[{'oldEntity':{'id':'$a','title':'A'},"
           "'newEntity':{'id':'$a','title':'A','done':1},"
           "'changedFields':{'done':{'newValue':1}}}]\n");
    let_go(h);
}

/* ---- order ---- */

static void texts_are_in_our_order(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{'$':{'order':{'title':'desc'}}}}");
    receive(f,
            "{'op':'refresh-ok','processed-tx-id':2,'computations':[],'attrs':["
            "{'id':'$tid','forward-identity':['$ftid','todos','id'],'value-type':'blob',"
            "'cardinality':'one','unique?':true,'index?':false},"
            "{'id':'$ttitle','forward-identity':['$fttitle','todos','title'],'value-type':'blob',"
            "'cardinality':'one','unique?':false,'index?':true,'checked-data-type':'string'}]}");
    start_ok(f);
    receive(f, BATCH(ROW("a", "b", "1") "," ROW("b", "a", "2") "," ROW("c", "B", "3")));
    h->wants_data = true;
    inst_buf_free(&h->log);
    receive(f, FINISH("5"));
    expect_heard(h, "InitialSyncComplete data={'todos':[{'id':'$c','title':'B'},"
                    "{'id':'$a','title':'b'},{'id':'$b','title':'a'}]}\n");
    receive(f,
            UPDATES(TX("6", REMOVE("['$b','$ttitle','a',2]") "," ADD("['$b','$ttitle','c',2]"))));
    assert_non_null(strstr(h->log.data, "c"));
    inst_buf_free(&h->log);
    receive(f, UPDATES(TX("7", ADD("['$d','$tid','$d',7]") "," ADD("['$d','$ttitle',null,7]"))));
    expect_heard(h, "SyncTransaction added=[{'id':'$d','title':null}] removed=[] updated=[] "
                    "data={'todos':[{'id':'$b','title':'c'},{'id':'$c','title':'B'},"
                    "{'id':'$a','title':'b'},{'id':'$d','title':null}]}\n");
    let_go(h);
}

/* ---- connections ---- */

static void resumes_where_it_was(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    receive(f, UPDATES(TX("9", ADD("['$a','$tdone',1,1]"))));
    inst_buf_free(&h->log);
    reconnect(f);
    struct inst_value resync = sent_op(f, "resync-table");
    check_json(f, inst_getz(&resync, "subscription-id"), "'$sync'");
    check_json(f, inst_getz(&resync, "client-event-id"), "'$sync'");
    check_json(f, inst_getz(&resync, "token"), "'$token'");
    check_json(f, inst_getz(&resync, "tx-id"), "9");
    receive(f, UPDATES(TX("10", ADD("['$d','$tid','$d',9]"))));
    expect_heard(h, "SyncTransaction added=[{'id':'$d'}] removed=[] updated=[]\n");
    let_go(h);
}

static void a_load_that_was_cut_begins_again(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    h->wants_data = true;
    start_ok(f);
    receive(f, BATCH(ROW("a", "A", "1")));
    inst_buf_free(&h->log);
    reconnect(f);
    start_ok(f);
    receive(f, BATCH(ROW("b", "B", "2")));
    expect_heard(h, "InitialSyncBatch batch=[{'id':'$b','title':'B'}] "
                    "data={'todos':[{'id':'$b','title':'B'}]}\n");
    let_go(h);
}

static void subscribed_before_connecting(void **state) {
    struct fixture *f = *state;
    struct heard *h = follow(f, "{'todos':{}}");
    open_transport(f);
    expect_silence(f);
    receive(f, INIT_OK);
    sent_op(f, "start-sync");
    expect_silence(f);
    let_go(h);
}

static void a_refused_resync_starts_over(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    reconnect(f);
    sent_op(f, "resync-table");
    receive(f, "{'op':'error','status':400,'type':'validation-failed','message':'too far',"
               "'client-event-id':'$sync',"
               "'original-event':{'op':'resync-table','subscription-id':'$sync'}}");
    struct inst_value remove = sent_op(f, "remove-sync");
    check_json(f, inst_getz(&remove, "subscription-id"), "'$sync'");
    check_json(f, inst_getz(&remove, "keep-subscription"), "false");
    expect_heard(h, "");
    start_ok(f);
    h->wants_data = true;
    receive(f, BATCH(ROW("z", "Z", "1")));
    expect_heard(h, "InitialSyncBatch batch=[{'id':'$z','title':'Z'}] "
                    "data={'todos':[{'id':'$z','title':'Z'}]}\n");
    let_go(h);
}

static void a_refused_start_is_told(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    struct inst_value start = sent_op(f, "start-sync");
    char *id = json_of(f, inst_getz(&start, "client-event-id"));
    id[strlen(id) - 1] = '\0';
    receivef(f,
             "{'op':'error','status':400,'type':'validation-failed','message':'No matching table.',"
             "'client-event-id':'%s','original-event':{'op':'start-sync','q':{'todos':{}}}}",
             id + 1);
    expect_heard(h, "Error error=No matching table.\n");
    /* it is tried again with the next connection */
    reconnect(f);
    start_ok(f);
    receive(f, BATCH(ROW("a", "A", "1")));
    /* and may fail in the middle: what came is void */
    receive(f, "{'op':'error','status':400,'type':'limit-exceeded','message':'too fast',"
               "'client-event-id':null,'original-event':{'op':'start-sync','q':{'todos':{}}}}");
    inst_buf_free(&h->log);
    receive(f, BATCH(ROW("b", "B", "1")));
    receive(f, FINISH("5"));
    expect_heard(h, "");
    let_go(h);
}

/* ---- listeners ---- */

static void listeners_share_a_table(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    struct heard *k = follow(f, "{'todos':{}}");
    expect_silence(f);
    expect_heard(k, "LoadFromStorage\n");
    expect_heard(h, "");
    receive(f, UPDATES(TX("6", ADD("['$d','$tid','$d',9]"))));
    expect_heard(k, "SyncTransaction added=[{'id':'$d'}] removed=[] updated=[]\n");
    expect_heard(h, "SyncTransaction added=[{'id':'$d'}] removed=[] updated=[]\n");
    inst_reactor_unsubscribe(f->r, h->sub);
    expect_silence(f);
    inst_reactor_unsubscribe_table(f->r, k->sub, true);
    struct inst_value remove = sent_op(f, "remove-sync");
    check_json(f, inst_getz(&remove, "keep-subscription"), "true");
    inst_reactor_unsubscribe_table(f->r, k->sub, true);
    expect_silence(f);
    receive(f, UPDATES(TX("7", ADD("['$e','$tid','$e',9]"))));
    expect_heard(k, "");
    let_go(h), let_go(k);
}

/* What the server began for somebody who left is ended. */
static void leaving_before_the_answer(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, "{'todos':{}}");
    inst_reactor_unsubscribe(f->r, h->sub);
    struct inst_value start = sent_op(f, "start-sync");
    expect_silence(f);
    char *id = json_of(f, inst_getz(&start, "client-event-id"));
    id[strlen(id) - 1] = '\0';
    struct heard *k = follow(f, "{'todos':{}}");
    struct inst_value second = sent_op(f, "start-sync");
    receivef(f, START_OK, id + 1);
    struct inst_value remove = sent_op(f, "remove-sync");
    check_json(f, inst_getz(&remove, "subscription-id"), "'$sync'");
    char *other = json_of(f, inst_getz(&second, "client-event-id"));
    other[strlen(other) - 1] = '\0';
    receivef(f, START_OK, other + 1);
    expect_silence(f);
    receive(f, FINISH("5"));
    expect_heard(k, "InitialSyncComplete\n");
    let_go(h), let_go(k);
}

static void ending_from_inside(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    h->ends = h->sub;
    h->wants_data = true;
    receive(f,
            UPDATES(TX("6", ADD("['$d','$tid','$d',9]")) "," TX("7", ADD("['$d','$tdone',1,9]"))));
    assert_non_null(strstr(h->log.data, "added=[{"));
    assert_null(strstr(h->log.data, "done"));
    sent_op(f, "remove-sync");
    expect_silence(f);
    let_go(h);
}

static void what_is_no_query(void **state) {
    struct fixture *f = *state;
    static const char *const odd[] = {"{}", "[]", "7", "null"};
    for (size_t i = 0; i < 4; i++) {
        struct inst_value q = value_of(f, odd[i]);
        struct inst_err err = {0};
        uint64_t id = 7;
        assert_int_equal(inst_reactor_subscribe_table(f->r, &q, on_event, NULL, &id, &err),
                         INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        assert_int_equal(id, 0);
        inst_err_clear(&err);
    }
}

static void a_shutdown_ends_it(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    inst_reactor_shutdown(f->r);
    struct inst_value q = value_of(f, "{'todos':{}}");
    struct inst_err err = {0};
    uint64_t id;
    assert_int_equal(inst_reactor_subscribe_table(f->r, &q, on_event, h, &id, &err), INST_FAILED);
    assert_string_equal(err.type, "shutdown");
    inst_err_clear(&err);
    inst_reactor_unsubscribe_table(f->r, h->sub, false);
    let_go(h);
}

/* ---- bad input ---- */

static void what_the_server_should_not_send(void **state) {
    struct fixture *f = *state;
    struct heard *h = with_three(f);
    static const char *const messages[] = {
        "{'op':'start-sync-ok'}",
        "{'op':'start-sync-ok','subscription-id':7,'token':7,'client-event-id':7}",
        "{'op':'sync-load-batch'}",
        BATCH(""),
        BATCH("7,[7],[[]],[['$a']],[['$a','$tid','$a',1]]"),
        "{'op':'sync-load-batch','subscription-id':'$sync','join-rows':7}",
        "{'op':'sync-init-finish','subscription-id':'$sync','tx-id':'x'}",
        FINISH("9"),
        "{'op':'sync-update-triples','subscription-id':'$sync','txes':7}",
        UPDATES(""),
        UPDATES("7,[],{}"),
        UPDATES(TX("-6", ADD("['$a','$tid','$a',1]"))),
        UPDATES(TX("1.5", ADD("['$a','$tid','$a',1]"))),
        "{'op':'error','original-event':{'op':'start-sync'}}",
        "{'op':'error','original-event':{'op':'resync-table','subscription-id':7}}",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        receive(f, messages[i]);
        struct inst_output out;
        while (inst_reactor_next_output(f->r, &out)) {
        }
    }
    expect_heard(h, "");
    receive(f, UPDATES(TX(
                   "6", "7,{},{'action':'added'},{'action':7,'triple':['$a','$tid','$a',1]},"
                        "{'action':'added','triple':[1,2,3]},{'action':'added','triple':[]}," ADD(
                            "['$a','$unknown',1,1]") "," REMOVE("['$c','$ttitle','not this',1]"))));
    assert_non_null(strstr(h->log.data, "SyncTransaction"));
    let_go(h);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(comes_in_batches),
        TEST(an_empty_table),
        TEST(changes_are_told),
        TEST(removing_many_takes_the_right_ones),
        TEST(known_transactions_are_skipped),
        TEST(texts_are_in_our_order),
        TEST(resumes_where_it_was),
        TEST(a_load_that_was_cut_begins_again),
        TEST(subscribed_before_connecting),
        TEST(a_refused_resync_starts_over),
        TEST(a_refused_start_is_told),
        TEST(listeners_share_a_table),
        TEST(leaving_before_the_answer),
        TEST(ending_from_inside),
        TEST(what_is_no_query),
        TEST(a_shutdown_ends_it),
        TEST(what_the_server_should_not_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
