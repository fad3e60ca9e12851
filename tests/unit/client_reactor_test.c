/*
 * The reactor's connection and queries, against a server played by hand (session.md 1.8, 5).
 */
#include "client_fixture.h"

#define TODOS "{'todos':{}}"

/* ---- birth ---- */

static void test_app_id(void **state) {
    (void)state;
    struct fixture f = {.seed = 1};
    struct inst_reactor_config config = fixture_config(&f);
    struct inst_reactor *r;
    struct inst_err err = {0};
    config.app_id = NULL;
    assert_int_equal(inst_reactor_new(&config, &r, &err), INST_FAILED);
    assert_string_equal(err.message, "Instant must be initialized with an appId.");
    config.app_id = " \t\n";
    assert_int_equal(inst_reactor_new(&config, &r, &err), INST_FAILED);
    config.app_id = "my-app";
    assert_int_equal(inst_reactor_new(&config, &r, &err), INST_FAILED);
    assert_string_equal(err.message, "Instant must be initialized with a valid appId. `my-app` is "
                                     "not a valid uuid.");
    assert_null(r);
    inst_err_clear(&err);
    config.app_id = " " APP_ID "\n";
    assert_int_equal(inst_reactor_new(&config, &r, &err), INST_OK);
    inst_reactor_free(r);
}

static void test_init_message(void **state) {
    (void)state;
    struct inst_package_version versions[] = {{"@instantdb/lua", "v0.1.0"}};
    struct inst_reactor_config config = {
        .app_id = " " APP_ID " ",
        .admin_token = "admin-1",
        .refresh_token = "refresh-1",
        .versions = versions,
        .version_count = 1,
    };
    struct fixture *f = fixture_new(&config);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_CONNECTING);
    struct inst_value init = open_transport(f);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_OPENED);
    assert_true(inst_is_string(inst_getz(&init, "app-id"), APP_ID));
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "refresh-1"));
    assert_true(inst_is_string(inst_getz(&init, "__admin-token"), "admin-1"));
    check_json(f, inst_getz(&init, "versions"),
               "{'@instantdb/core':'v1.0.67','@instantdb/lua':'v0.1.0'}");
    expect_silence(f);
    assert_null(inst_reactor_session_id(f->r));
    receive(f, INIT_OK);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    assert_non_null(inst_reactor_session_id(f->r));
    fixture_free(f);
}

struct statuses {
    char text[512];
};

static void on_status(void *ctx, enum inst_connection_status status,
                      const struct inst_reactor_error *error) {
    struct statuses *s = ctx;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "%s%s%s ", inst_connection_status_name(status),
             error ? ":" : "", error ? error->err->message : "");
}

static void test_statuses(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct statuses s = {""};
    uint64_t id;
    assert_int_equal(inst_reactor_subscribe_connection_status(f->r, on_status, &s, &id, NULL),
                     INST_OK);
    assert_string_equal(s.text, ""); /* no call with the present state */
    authenticate(f);
    inst_reactor_closed(f->r);
    authenticate(f);
    inst_reactor_set_online(f->r, false);
    inst_reactor_set_online(f->r, true);
    expect_output(f, INST_OUTPUT_CLOSE); /* the old one need not have noticed */
    authenticate(f);
    assert_string_equal(s.text, "opened authenticated closed opened authenticated closed opened "
                                "authenticated ");
    inst_reactor_unsubscribe(f->r, id);
    inst_reactor_closed(f->r);
    assert_null(strstr(s.text, "authenticated closed opened authenticated closed opened "
                               "authenticated closed"));
    fixture_free(f);
}

/* ---- reconnecting ---- */

static void fail_attempt(struct fixture *f) {
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_closed(f->r);
}

static void test_backoff_linear(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .reconnect = INST_RECONNECT_LINEAR};
    struct fixture *f = fixture_new(&config);
    static const int64_t waits[] = {0,    1000, 2000, 3000,  4000,  5000, 6000,
                                    7000, 8000, 9000, 10000, 10000, 10000};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        fail_attempt(f);
        if (waits[i]) {
            assert_int_equal(inst_reactor_next_deadline(f->r) - f->now, waits[i]);
            pass(f, waits[i] - 1);
            expect_silence(f);
            pass(f, 1);
        }
    }
    authenticate(f); /* starts again at 0 */
    inst_reactor_closed(f->r);
    authenticate(f);
    fixture_free(f);
}

/* ---- which way ---- */

static void expect_connect(struct fixture *f, enum inst_via via) {
    struct inst_output out;
    assert_true(inst_reactor_next_output(f->r, &out));
    assert_int_equal(out.kind, INST_OUTPUT_CONNECT);
    assert_int_equal(out.via, via);
}

static void begin_session(struct fixture *f) {
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    receive(f, INIT_OK);
}

static void test_falls_back_on_sse(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .has_sse = true};
    struct fixture *f = fixture_new(&config);
    for (int round = 0; round < 3; round++) {
        expect_connect(f, INST_VIA_WEBSOCKET);
        if (round == 1) { /* it opens, and is cut before it says anything */
            inst_reactor_opened(f->r);
            sent_op(f, "init");
        }
        inst_reactor_closed(f->r);
        expect_connect(f, INST_VIA_SSE); /* at once */
        inst_reactor_closed(f->r);
        if (round > 0) {
            int64_t wait = inst_reactor_next_deadline(f->r) - f->now;
            assert_true(wait > 0);
            pass(f, wait);
        }
    }
    expect_connect(f, INST_VIA_WEBSOCKET);
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_SSE);
    begin_session(f);
    /* not sticky */
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_WEBSOCKET);
    begin_session(f);
    /* one that worked is no reason to go another way */
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_WEBSOCKET);
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_SSE);
    /* offline is nobody's fault */
    inst_reactor_set_online(f->r, false);
    inst_reactor_closed(f->r);
    expect_silence(f);
    inst_reactor_set_online(f->r, true);
    expect_connect(f, INST_VIA_WEBSOCKET);
    fixture_free(f);
}

static void test_another_user_goes_the_same_way(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .has_sse = true};
    struct fixture *f = fixture_new(&config);
    struct inst_err err = {0};
    expect_connect(f, INST_VIA_WEBSOCKET);
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_SSE);
    begin_session(f);
    assert_int_equal(inst_reactor_set_refresh_token(f->r, "another", &err), INST_OK);
    expect_output(f, INST_OUTPUT_CLOSE);
    expect_connect(f, INST_VIA_SSE);
    /* nothing was heard of this one yet */
    assert_int_equal(inst_reactor_set_refresh_token(f->r, NULL, &err), INST_OK);
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    assert_int_equal(inst_reactor_set_refresh_token(f->r, "third", &err), INST_OK);
    expect_output(f, INST_OUTPUT_CLOSE);
    expect_connect(f, INST_VIA_WEBSOCKET);
    fixture_free(f);
}

static void test_online_begins_afresh(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    expect_connect(f, INST_VIA_WEBSOCKET);
    inst_reactor_set_online(f->r, false);
    expect_silence(f);
    inst_reactor_set_online(f->r, true);
    /* the attempt of before may hang for long */
    expect_output(f, INST_OUTPUT_CLOSE);
    expect_connect(f, INST_VIA_WEBSOCKET);
    begin_session(f);
    /* it was not drained yet when its network went: nothing to close */
    inst_reactor_closed(f->r);
    inst_reactor_set_online(f->r, false);
    inst_reactor_set_online(f->r, true);
    expect_connect(f, INST_VIA_WEBSOCKET);
    begin_session(f);
    fixture_free(f);
}

static void test_websocket_only(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    expect_connect(f, INST_VIA_WEBSOCKET);
    inst_reactor_closed(f->r);
    expect_connect(f, INST_VIA_WEBSOCKET); /* the first wait is 0 */
    inst_reactor_closed(f->r);
    expect_silence(f);
    fixture_free(f);
}

static void test_backoff_exponential(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    fail_attempt(f); /* at once */
    int64_t most = 250;
    bool has_jitter = false;
    for (int i = 0; i < 12; i++) {
        fail_attempt(f);
        int64_t wait = inst_reactor_next_deadline(f->r) - f->now;
        assert_true(wait >= most / 2 && wait <= most);
        has_jitter = has_jitter || wait != most;
        pass(f, wait);
        most = most * 2 < 10000 ? most * 2 : 10000;
    }
    assert_true(has_jitter);
    authenticate(f);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    inst_reactor_closed(f->r);
    expect_output(f, INST_OUTPUT_CONNECT);
    fixture_free(f);
}

/* A server that opens and closes without an init-ok does not reset the waiting. */
static void test_backoff_needs_init(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    open_transport(f);
    inst_reactor_closed(f->r);
    open_transport(f);
    inst_reactor_closed(f->r);
    expect_silence(f);
    assert_true(inst_reactor_next_deadline(f->r) > f->now);
    fixture_free(f);
}

static void test_offline(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    inst_reactor_set_online(f->r, false);
    inst_reactor_set_online(f->r, false);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_CLOSED);
    expect_silence(f); /* the socket is left alone */
    inst_reactor_closed(f->r);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    pass(f, 60000);
    expect_silence(f);
    inst_reactor_set_online(f->r, true);
    authenticate(f);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    fixture_free(f);
}

/* Reports that fit no transport change nothing. */
static void test_odd_reports(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    inst_reactor_closed(f->r);
    inst_reactor_opened(f->r);
    receive(f, INIT_OK);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_CONNECTING);
    authenticate(f);
    inst_reactor_opened(f->r);
    expect_silence(f);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    inst_reactor_set_online(f->r, false);
    inst_reactor_set_online(f->r, true);
    inst_reactor_closed(f->r); /* the old one went before CLOSE was drained */
    authenticate(f);
    fixture_free(f);
}

/* ---- queries ---- */

static void test_query(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen *early = subscribe(f, TODOS); /* before there is a connection */
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    expect_silence(f);
    receive(f, INIT_OK);
    struct inst_value add = sent_op(f, "add-query");
    check_json(f, inst_getz(&add, "q"), TODOS);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(early, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    /* a second listener: asks again, gets what is there at once */
    struct seen *late = subscribe(f, TODOS);
    check_data(late, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    assert_int_equal(early->data_count, 1);
    sent_op(f, "add-query");
    receive(f, "{'op':'add-query-exists','q':" TODOS "}");
    /* equal results are not delivered */
    receive(f, REFRESH(TODOS, TODO("a", "one", "1"), "2"));
    assert_int_equal(early->data_count, 1);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "3"));
    check_data(early, 2, "{'todos':[{'id':'$a','title':'two'}]}");
    check_data(late, 2, "{'todos':[{'id':'$a','title':'two'}]}");
    /* only the last listener takes the query away */
    inst_reactor_unsubscribe(f->r, early->sub);
    expect_silence(f);
    inst_reactor_unsubscribe(f->r, late->sub);
    struct inst_value gone = sent_op(f, "remove-query");
    check_json(f, inst_getz(&gone, "q"), TODOS);
    receive(f, REFRESH(TODOS, TODO("a", "three", "1"), "4"));
    assert_int_equal(late->data_count, 2);
    inst_reactor_unsubscribe(f->r, late->sub);
    inst_reactor_unsubscribe(f->r, 12345);
    expect_silence(f);
    fixture_free(f);
}

/* The key order of an echoed query does not matter, its hash does. */
static void test_query_echo(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, "{'todos':{'$':{'limit':2,'where':{'title':'one'}}}}");
    sent_op(f, "add-query");
    receive(f, QUERY_OK("{'todos':{'$':{'where':{'title':'one'},'limit':2}}}",
                        TODO("a", "one", "1"), "1"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
}

static void test_rule_params(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen s = {.f = f};
    struct inst_value q = value_of(f, TODOS), params = value_of(f, "{'k':'v'}");
    uint64_t id;
    assert_int_equal(inst_reactor_subscribe_query(f->r, &q, &params, on_query, &s, &id, NULL),
                     INST_OK);
    struct inst_value add = sent_op(f, "add-query");
    check_json(f, inst_getz(&add, "q"), "{'$$ruleParams':{'k':'v'},'todos':{}}");
    receive(f, QUERY_OK("{'$$ruleParams':{'k':'v'},'todos':{}}", TODO("a", "one", "1"), "1"));
    check_data(&s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
}

static void test_links_and_meta(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, "{'people':{'$':{'limit':1},'todos':{}}}");
    sent_op(f, "add-query");
    receive(f, "{'op':'add-query-ok','q':{'people':{'$':{'limit':1},'todos':{}}},"
               "'processed-tx-id':1,'result':[{'data':{'datalog-result':{'join-rows':[["
               "['$p','$pid','$p',1],['$p','$pname','Ann',1]]]},"
               "'page-info':{'people':{'start-cursor':['$p','$pid','$p',1],"
               "'end-cursor':['$p','$pid','$p',1],'has-next-page?':true,"
               "'has-previous-page?':false}},'aggregate':{'todos':{'count':7}}},"
               "'child-nodes':[{'data':{'datalog-result':{'join-rows':[[" TODO(
                   "a", "one", "2") ","
                                    "['$a','$towner','$p',2]]]}},'child-nodes':[]}]}]}");
    char *expected = text_of("{'people':[{'id':'$p','name':'Ann',"
                             "'todos':[{'id':'$a','title':'one'}]}]}");
    assert_int_equal(s->data_count, 1);
    assert_non_null(strstr(s->data, "\"todos\":[{"));
    assert_int_equal(strlen(s->data), strlen(expected));
    free(expected);
    assert_non_null(strstr(s->page_info, "\"hasNextPage\":true"));
    assert_string_equal(s->aggregate, "{\"todos\":{\"count\":7}}");
    fixture_free(f);
}

static void test_validation(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen s = {.f = f};
    struct inst_value bad = value_of(f, "[1]");
    struct inst_err err = {0};
    uint64_t id = 7;
    bad.tag = INST_TRUE;
    assert_int_equal(inst_reactor_subscribe_query(f->r, &bad, NULL, on_query, &s, &id, &err),
                     INST_FAILED);
    assert_int_equal(id, 0);
    assert_string_equal(err.type, "validation-failed");
    assert_int_equal(inst_reactor_query_once(f->r, &bad, NULL, on_query, &s, &err), INST_FAILED);
    inst_err_clear(&err);
    fixture_free(f);

    struct inst_reactor_config config = {.app_id = APP_ID, .disable_validation = true};
    f = fixture_new(&config);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &bad, NULL, on_query, &s, &id, &err),
                     INST_FAILED);
    inst_err_clear(&err);
    fixture_free(f);
    assert_int_equal(s.data_count + s.error_count, 0);
}

static void test_query_error(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    struct inst_value add = sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    receivef(f,
             "{'op':'error','status':400,'type':'permission-denied','message':'no',"
             "'hint':{'input':['todos','view']},'client-event-id':'%s','trace-id':'t1',"
             "'original-event':{'op':'add-query','q':" TODOS ",'trace-id':'t2'}}",
             event_id_of(f, &add));
    assert_int_equal(s->error_count, 1);
    assert_string_equal(s->error, "no");
    assert_string_equal(s->type, "permission-denied");
    assert_int_equal(s->status, 400);
    assert_string_equal(s->hint, "{\"input\":[\"todos\",\"view\"]}");
    assert_string_equal(s->trace, "t1,t2");
    /* the same data after an error is news */
    receive(f, REFRESH(TODOS, TODO("a", "one", "1"), "2"));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'one'}]}");
    /* the registration stays, and is tried again */
    reconnect(f);
    sent_op(f, "add-query");
    /* an error without type, message and hint still says something */
    receive(f, "{'op':'error','type':null,'original-event':{'op':'add-query','q':" TODOS "}}");
    assert_int_equal(s->error_count, 2);
    assert_string_equal(s->type, "unknown");
    assert_int_equal(s->status, 500);
    /* a type that nobody knows is kept */
    receive(f, "{'op':'error','type':'brand-new','message':'x','status':418,"
               "'original-event':{'op':'add-query','q':" TODOS "}}");
    assert_string_equal(s->type, "brand-new");
    assert_int_equal(s->status, 418);
    fixture_free(f);
}

/* ---- schema, dates ---- */

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':true,'isIndexed':"    \
    "false,'config':{'indexed':false,'unique':false}},'due':{'valueType':'date','required':"       \
    "false,'isIndexed':false,'config':{'indexed':false,'unique':false}}},'links':{}},'people':{"   \
    "'attrs':{},'links':{}}},'links':{'owner':{'forward':{'on':'todos','label':'owner','has':"     \
    "'one'},'reverse':{'on':'people','label':'todos','has':'many'}}}}"

static struct fixture *with_schema(bool has_inference) {
    struct fixture *parser = fixture_new(NULL);
    struct inst_value schema = value_of(parser, SCHEMA);
    struct inst_reactor_config config = {.app_id = APP_ID,
                                         .schema = &schema,
                                         .use_date_objects = true,
                                         .disable_cardinality_inference = !has_inference};
    struct fixture *f = fixture_new(&config);
    fixture_free(parser); /* nothing of the config needs to live on */
    authenticate(f);
    return f;
}

/* A link of which the schema says that there is one. */
static void test_inference(void **state) {
    (void)state;
    static const char triples[] = QUERY_OK("{'todos':{'owner':{}}}",
                                           TODO("a", "one", "1") ",['$p','$pid','$p',1],"
                                                                 "['$a','$towner','$p',1]",
                                           "1");
    for (int has_inference = 0; has_inference < 2; has_inference++) {
        struct fixture *f = with_schema(has_inference);
        struct seen *s = subscribe(f, "{'todos':{'owner':{}}}");
        sent_op(f, "add-query");
        receive(f, triples);
        check_data(s, 1,
                   has_inference ? "{'todos':[{'id':'$a','title':'one','owner':{'id':'$p'}}]}"
                                 : "{'todos':[{'id':'$a','title':'one','owner':[{'id':'$p'}]}]}");
        fixture_free(f);
    }
}

/* Another init of the same client with another schema (session.md 5.1). */
static void test_schema_is_replaced(void **state) {
    (void)state;
    struct fixture *f = with_schema(true);
    struct inst_err err = {0};
    struct seen *s = subscribe(f, TODOS);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    struct inst_value bad = value_of(f, "{'entities':7}");
    assert_int_equal(inst_reactor_set_schema(f->r, &bad, &err), INST_FAILED);
    inst_err_clear(&err);
    struct inst_value ghosts = value_of(f, "{'ghosts':{}}"), other;
    uint64_t id;
    assert_int_equal(inst_reactor_subscribe_query(f->r, &ghosts, NULL, on_query, s, &id, &err),
                     INST_FAILED); /* the first is there still */
    inst_err_clear(&err);
    other = value_of(f, "{'entities':{'ghosts':{'attrs':{},'links':{}}},'links':{},'rooms':{}}");
    if (inst_reactor_set_schema(f->r, &other, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    struct inst_value todos = value_of(f, "{'todos':{}}");
    assert_int_equal(inst_reactor_subscribe_query(f->r, &ghosts, NULL, on_query, s, &id, &err),
                     INST_OK);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &todos, NULL, on_query, s, &id, &err),
                     INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(inst_reactor_set_schema(f->r, NULL, &err), INST_OK);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &todos, NULL, on_query, s, &id, &err),
                     INST_OK);
    fixture_free(f);
}

static void test_schema_validation(void **state) {
    (void)state;
    struct fixture *f = with_schema(true);
    struct inst_err err = {0};
    struct seen s = {.f = f};
    struct inst_value ghosts = value_of(f, "{'ghosts':{}}");
    uint64_t id;
    assert_int_equal(inst_reactor_subscribe_query(f->r, &ghosts, NULL, on_query, &s, &id, &err),
                     INST_FAILED);
    assert_non_null(strstr(err.message, "Entity 'ghosts' does not exist in schema."));
    struct inst_value chunk =
        value_of(f, "{'__etype':'todos','__ops':[['update','todos','$a',{'title':7}]]}");
    assert_int_equal(inst_reactor_transact(f->r, &chunk, on_tx, &s, &err), INST_FAILED);
    assert_string_equal(err.message, "Invalid value for attribute 'title' in entity 'todos'. "
                                     "Expected string, but received: number");
    assert_int_equal(s.data_count + s.error_count, 0);
    inst_err_clear(&err);
    fixture_free(f);
}

/* A date attr made by this client: parsed on the way in, an instant in results, ISO on the wire. */
static void test_dates(void **state) {
    (void)state;
    struct fixture *f = with_schema(true);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    transact(f, "[['update','todos','$a',{'due':'2024-03-01'}]]");
    assert_non_null(strstr(s->data, "\"due\":\"2024-03-01T00:00:00.000Z\""));
    struct inst_value m = sent_op(f, "transact");
    const struct inst_value *steps = inst_getz(&m, "tx-steps");
    assert_true(
        inst_is_string(inst_getz(&steps->u.items[0].u.items[1], "checked-data-type"), "date"));
    assert_true(inst_is_string(&steps->u.items[2].u.items[3], "2024-03-01T00:00:00.000Z"));
    fixture_free(f);
}

/* ---- queryOnce ---- */

static void test_once(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = ask_once(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    sent_op(f, "remove-query"); /* nobody else listens */
    expect_silence(f);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(s->data_count, 1);

    struct seen *live = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "two", "1"), "2"));
    struct seen *again = ask_once(f, TODOS);
    sent_op(f, "add-query");
    receive(f, "{'op':'add-query-exists','q':" TODOS "}");
    check_data(again, 1, "{'todos':[{'id':'$a','title':'two'}]}");
    expect_silence(f); /* somebody else listens */
    receive(f, REFRESH(TODOS, TODO("a", "three", "1"), "3"));
    assert_int_equal(again->data_count, 1);
    assert_int_equal(live->data_count, 2);
    fixture_free(f);
}

static void test_once_offline(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    inst_reactor_set_online(f->r, false);
    struct seen *s = ask_once(f, TODOS);
    assert_int_equal(s->error_count, 1);
    assert_string_equal(s->error, "We can't run `queryOnce`, because the device is offline.");
    assert_string_equal(s->type, "offline");
    fixture_free(f);
}

static void test_once_timeout(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = ask_once(f, TODOS);
    sent_op(f, "add-query");
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + 30000);
    pass(f, 29999);
    assert_int_equal(s->error_count, 0);
    pass(f, 1);
    assert_int_equal(s->error_count, 1);
    assert_string_equal(s->error, "Query timed out");
    sent_op(f, "remove-query"); /* the query does not stay behind */
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(s->data_count + s->error_count, 1);
    fixture_free(f);
}

/* Not connected, but not known to be offline: it waits for the connection. */
static void test_once_while_connecting(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen *s = ask_once(f, TODOS);
    authenticate(f);
    sent_op(f, "add-query");
    reconnect(f); /* asked, not answered, asked again */
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
}

static void test_once_error(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *live = subscribe(f, TODOS);
    sent_op(f, "add-query");
    struct seen *s = ask_once(f, TODOS);
    struct inst_value add = sent_op(f, "add-query");
    receivef(f,
             "{'op':'error','status':400,'type':'validation-failed','message':'bad',"
             "'client-event-id':'%s','original-event':{'op':'add-query','q':" TODOS "}}",
             event_id_of(f, &add));
    assert_int_equal(s->error_count, 1);
    assert_string_equal(s->error, "bad");
    assert_int_equal(live->error_count, 1);
    fixture_free(f);
}

/* ---- init ---- */

static void test_init_failure(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct statuses statuses = {""};
    uint64_t id;
    inst_reactor_subscribe_connection_status(f->r, on_status, &statuses, &id, NULL);
    struct seen *s = subscribe(f, TODOS);
    struct seen *once = ask_once(f, "{'people':{}}");
    struct inst_value init = open_transport(f);
    receivef(
        f,
        "{'op':'error','status':400,'type':'record-not-found','message':'Record not found: app',"
        "'hint':{'record-type':'app'},'client-event-id':'%s',"
        "'original-event':{'op':'init'}}",
        event_id_of(f, &init));
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_ERRORED);
    assert_string_equal(statuses.text, "opened errored:Record not found: app ");
    assert_string_equal(s->error, "Record not found: app"); /* the query is told */
    assert_string_equal(once->error, "Record not found: app");
    struct seen *late = subscribe(f, TODOS); /* so is one that comes later, and nobody twice */
    assert_int_equal(late->error_count, 1);
    assert_int_equal(s->error_count, 1);
    assert_int_equal(ask_once(f, TODOS)->error_count, 1);
    expect_silence(f); /* no retry until the transport closes */
    pass(f, 60000);
    expect_silence(f);
    reconnect(f);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(s->data_count, 1);
    assert_int_equal(late->data_count, 1);
    fixture_free(f);
}

/* A token that the server does not know: the user is logged out, and connects anonymously. */
static void test_unknown_token(void **state) {
    (void)state;
    struct inst_reactor_config config = {.app_id = APP_ID, .refresh_token = "old"};
    struct fixture *f = fixture_new(&config);
    struct seen *s = subscribe(f, TODOS);
    static const char refused[] =
        "{'op':'error','status':400,'type':'record-not-found',"
        "'message':'Record not found: app-user','hint':{'record-type':'app-user'},"
        "'original-event':{'op':'init'}}";
    open_transport(f);
    receive(f, refused);
    assert_null(inst_reactor_refresh_token(f->r));
    expect_output(f, INST_OUTPUT_CLOSE);
    struct inst_value init = open_transport(f);
    assert_null(inst_getz(&init, "refresh-token"));
    assert_int_equal(s->error_count, 0);
    /* said again to somebody anonymous it is an error like others, not a loop */
    receive(f, refused);
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_ERRORED);
    expect_silence(f);
    fixture_free(f);
}

static void test_change_user(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'mine'}]]");
    sent_op(f, "transact");
    assert_int_equal(s->data_count, 2);
    assert_int_equal(inst_reactor_set_refresh_token(f->r, "tok", NULL), INST_OK);
    assert_string_equal(tx->type, "user-changed");
    assert_string_equal(tx->error, "User changed while transaction was in progress.");
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    expect_output(f, INST_OUTPUT_CLOSE);
    struct inst_value init = open_transport(f);
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "tok"));
    receive(f, INIT_OK);
    sent_op(f, "add-query");
    assert_int_equal(s->data_count, 2); /* nothing of the former user is shown again */
    receive(f, QUERY_OK(TODOS, TODO("b", "hers", "1"), "1"));
    check_data(s, 3, "{'todos':[{'id':'$b','title':'hers'}]}");
    assert_int_equal(inst_reactor_set_refresh_token(f->r, "tok", NULL), INST_OK);
    expect_silence(f); /* the same user */
    fixture_free(f);
}

/* After init-ok: queries with their first event ids, then queryOnce, then mutations in order. */
static void test_resend_order(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    subscribe(f, TODOS);
    struct inst_value first = sent_op(f, "add-query");
    struct seen *tx1 = transact(f, "[['update','todos','$a',{'title':'1'}]]");
    struct inst_value m1 = sent_op(f, "transact");
    ask_once(f, "{'people':{}}");
    struct inst_value once = sent_op(f, "add-query");
    transact(f, "[['update','todos','$a',{'title':'2'}]]");
    struct inst_value m2 = sent_op(f, "transact");
    reconnect(f);
    struct inst_value again = sent_op(f, "add-query");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &first));
    again = sent_op(f, "add-query");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &once));
    again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &m1));
    check_json(f, inst_getz(&again, "order"), "1");
    again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &m2));
    expect_silence(f);
    /* lost again before init-ok: nothing is lost */
    inst_reactor_closed(f->r);
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    inst_reactor_closed(f->r);
    pass(f, 1000);
    authenticate(f);
    sent_op(f, "add-query");
    sent_op(f, "add-query");
    again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &m1));
    sent_op(f, "transact");
    assert_int_equal(tx1->data_count, 0); /* still nobody knows */
    fixture_free(f);
}

/* ---- what a server may say ---- */

static void test_bad_input(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'x'}]]");
    sent_op(f, "add-query");
    struct inst_value m = sent_op(f, "transact");
    static const char *const bad[] = {
        "",
        "{",
        "nonsense",
        "null",
        "1",
        "'text'",
        "[]",
        "[1,null,'x',[],{}]",
        "{}",
        "{'op':null}",
        "{'op':7}",
        "{'op':''}",
        "{'op':'surprise','data':[1,2]}",
        "{'op':'add-query-ok'}",
        "{'op':'add-query-ok','q':null}",
        "{'op':'add-query-ok','q':" TODOS "}",
        "{'op':'add-query-ok','q':" TODOS ",'result':{}}",
        "{'op':'add-query-ok','q':" TODOS ",'result':[null,1,[],{}]}",
        "{'op':'add-query-ok','q':" TODOS ",'result':[{'data':{'datalog-result':{'join-rows':"
        "[1,[1,[],['a'],['a',1,2],[1,'$tid','x'],['$a','$tid']]]}},'child-nodes':7}]}",
        "{'op':'add-query-ok','q':" TODOS ",'result':[{'data':{'datalog-result':{'join-rows':"
        "[[['$a','$towner',7,1],['$a','$towner',{'x':1},'t'],['$a','$ttitle',null,null]]]},"
        "'page-info':[1],'aggregate':'x'},'child-nodes':[]}],'processed-tx-id':'12'}",
        "{'op':'add-query-exists'}",
        "{'op':'add-query-exists','q':[]}",
        "{'op':'refresh-ok'}",
        "{'op':'refresh-ok','computations':{}}",
        "{'op':'refresh-ok','computations':[null,{},{'instaql-query':" TODOS "}]}",
        "{'op':'refresh-ok','computations':[],'attrs':{}}",
        "{'op':'refresh-ok','computations':[],'attrs':[null]}",
        "{'op':'refresh-ok','computations':[],'attrs':[{'id':7}],'processed-tx-id':-1}",
        "{'op':'transact-ok'}",
        "{'op':'transact-ok','client-event-id':{}}",
        "{'op':'error'}",
        "{'op':'error','original-event':[]}",
        "{'op':'error','original-event':{'op':'add-query'}}",
        "{'op':'error','original-event':{'op':'add-query','q':null}}",
        "{'op':'error','status':'x','type':[],'message':7,'hint':'h','trace-id':9,"
        "'original-event':{'op':'refresh'}}",
        "{'op':'app-status-changed'}",
        "{'op':'init-ok'}",
        "{'op':'init-ok','attrs':'x','session-id':7,'app-status':7}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        receive(f, bad[i]);
    }
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':'x'}", event_id_of(f, &m));
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':-3}", event_id_of(f, &m));
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':1e300}", event_id_of(f, &m));
    assert_int_equal(tx->data_count + tx->error_count, 0);
    assert_non_null(strstr(f->log, "not understood"));
    assert_non_null(strstr(f->log, "unknown op surprise"));
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    /* and then it goes on as if nothing had been */
    struct inst_output out;
    while (inst_reactor_next_output(f->r, &out)) {
    }
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':5}", event_id_of(f, &m));
    assert_string_equal(tx->tx_status, "synced");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    assert_non_null(strstr(s->data, "one"));
    fixture_free(f);
}

/* One computation that cannot be used does not stop the others. */
static void test_siblings(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *a = subscribe(f, TODOS);
    struct seen *b = subscribe(f, "{'people':{}}");
    sent_op(f, "add-query");
    sent_op(f, "add-query");
    receive(f, "{'op':'refresh-ok','processed-tx-id':3,'computations':["
               "{'instaql-query':{'ghosts':{}},'instaql-result':[]},"
               "{'instaql-query':" TODOS ",'instaql-result':7},"
               "{'instaql-query':{'people':{}},'instaql-result':" RESULT(
                   "['$p','$pid','$p',1],['$p','$pname','Ann',1]") "}]}");
    assert_string_equal(a->data, "{\"todos\":[]}");
    assert_non_null(strstr(b->data, "Ann"));
    fixture_free(f);
}

static void test_huge_and_deep(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    size_t len = (32u << 20) + 100;
    char *huge = malloc(len);
    memset(huge, ' ', len);
    inst_reactor_message(f->r, huge, len);
    memset(huge, '[', len);
    inst_reactor_message(f->r, huge, 100000);
    free(huge);
    assert_non_null(strstr(f->log, "not understood"));
    /* as deep as the reader allows */
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "{\"op\":\"add-query-ok\",\"q\":{\"todos\":{}},\"processed-tx-id\":1,"
                           "\"result\":");
    for (int i = 0; i < 240; i++) {
        inst_buf_add_str(&buf, "[{\"child-nodes\":");
    }
    inst_buf_add_str(&buf, "[]");
    for (int i = 0; i < 240; i++) {
        inst_buf_add_str(&buf, "}]");
    }
    inst_buf_add_char(&buf, '}');
    inst_reactor_message(f->r, buf.data, buf.len);
    inst_buf_free(&buf);
    check_data(s, 1, "{'todos':[]}");
    fixture_free(f);
}

static void test_message_array(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, "[" QUERY_OK(TODOS, TODO("a", "one", "1"),
                            "1") "," REFRESH(TODOS, TODO("a", "two", "1"), "2") "]");
    check_data(s, 1, "{'todos':[{'id':'$a','title':'two'}]}"); /* once, with the last */
    fixture_free(f);
}

/* Attrs that a result uses may come after it. */
/* Lanes of a server know no order (session.md 2.5): the first answer comes after a refresh. */
static void test_overtaken_answer(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, "{'todos':{}}");
    struct seen *once = ask_once(f, "{'todos':{}}");
    receive(f, REFRESH("{'todos':{}}", TODO("a", "new", "1"), "7"));
    receive(f, QUERY_OK("{'todos':{}}", TODO("a", "old", "1"), "5"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'new'}]}");
    check_data(once, 1, "{'todos':[{'id':'$a','title':'new'}]}");
    /* A backend that was set back says less after a reconnect, and is right. */
    reconnect(f);
    receive(f, QUERY_OK("{'todos':{}}", TODO("a", "back", "1"), "3"));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'back'}]}");
    fixture_free(f);
}

/* What our backend says of all results holds for one that comes later than that. */
static void test_overtaken_answer_is_current(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, "{'todos':{'$':{'limit':1}}}");
    while (inst_reactor_next_output(f->r, &(struct inst_output){0})) {
    }
    transact(f, "[['update','todos','$b',{'title':'outside'}]]");
    struct inst_value msg = sent_op(f, "transact");
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':6}", event_id_of(f, &msg));
    receive(f, "{'op':'refresh-ok','processed-tx-id':7,'computations':[],'current':true}");
    receive(f, QUERY_OK("{'todos':{'$':{'limit':1}}}", TODO("a", "inside", "1"), "5"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'inside'}]}");
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    fixture_free(f);
}

static void test_late_attrs(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    open_transport(f);
    receive(f, "{'op':'init-ok','session-id':'x','attrs':[]}");
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    check_data(s, 1, "{'todos':[]}");
    receive(f, "{'op':'refresh-ok','processed-tx-id':1,'computations':[],'attrs':" ATTRS "}");
    check_data(s, 2, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
}

/* ---- app status, attrs ---- */

struct app_seen {
    char text[256];
};

static void on_app_status(void *ctx, const struct inst_app_status *status) {
    struct app_seen *s = ctx;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "%s%s ",
             status->is_loading ? "loading" : status->status, status->is_read_only ? "!" : "");
}

static void test_app_status(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct app_seen seen = {""}, late = {""};
    uint64_t id;
    inst_reactor_subscribe_app_status(f->r, on_app_status, &seen, &id, NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    receive(f, "{'op':'app-status-changed','status':'read-only'}");
    receive(f, "{'op':'app-status-changed','status':'disabled'}");
    assert_string_equal(s->error, "This app is currently disabled.");
    assert_string_equal(s->hint, "{\"status\":\"disabled\"}");
    receive(f, "{'op':'app-status-changed','status':'disabled'}");
    assert_int_equal(s->error_count, 1);
    inst_reactor_subscribe_app_status(f->r, on_app_status, &late, &id, NULL);
    receive(f, "{'op':'app-status-changed','status':'active'}");
    assert_string_equal(seen.text, "loading active read-only! disabled! active ");
    assert_string_equal(late.text, "disabled! active ");
    expect_output(f, INST_OUTPUT_CLOSE); /* asks for everything anew */
    authenticate(f);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(s->data_count, 2);
    fixture_free(f);
}

static void on_attrs(void *ctx, struct inst_attrs *attrs) {
    size_t *count = ctx;
    *count = *count * 100 + inst_attrs_count(attrs);
}

static void test_attrs(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    size_t seen = 0, late = 0;
    uint64_t id;
    assert_null(inst_reactor_attrs(f->r));
    inst_reactor_subscribe_attrs(f->r, on_attrs, &seen, &id, NULL);
    assert_int_equal(seen, 0);
    authenticate(f);
    assert_int_equal(seen, 6);
    transact(f, "[['update','todos','$a',{'extra':1}]]");
    assert_int_equal(seen, 607);
    inst_reactor_subscribe_attrs(f->r, on_attrs, &late, &id, NULL);
    assert_int_equal(late, 7);
    assert_int_equal(seen, 607);
    struct inst_attrs *attrs = inst_reactor_attrs(f->r);
    assert_int_equal(inst_attrs_count(attrs), 7);
    inst_attrs_unref(attrs);
    fixture_free(f);
}

/* ---- callbacks ---- */

struct meddler {
    struct fixture *f;
    struct seen *victim; /* unsubscribed by the callback */
    uint64_t own;
    int calls;
    bool does_shutdown;
    bool does_transact;
    bool does_subscribe;
    struct seen late;
};

static void on_meddle(void *ctx, const struct inst_query_result *result,
                      const struct inst_reactor_error *error) {
    struct meddler *m = ctx;
    m->calls++;
    assert_null(error);
    assert_non_null(result->data);
    if (m->victim) {
        inst_reactor_unsubscribe(m->f->r, m->victim->sub);
    }
    if (m->does_shutdown) {
        inst_reactor_shutdown(m->f->r);
    }
    if (m->does_transact) {
        m->does_transact = false;
        transact(m->f, "[['update','todos','$a',{'title':'meddled'}]]");
    }
    if (m->does_subscribe) {
        m->does_subscribe = false;
        struct inst_value q = value_of(m->f, TODOS);
        m->late.f = m->f;
        inst_reactor_subscribe_query(m->f->r, &q, NULL, on_query, &m->late, &m->late.sub, NULL);
        assert_int_equal(m->late.data_count, 0); /* not from inside */
    }
    inst_reactor_unsubscribe(m->f->r, m->own);
    json_of(m->f, result->data); /* what it was given is still whole */
}

static struct fixture *meddling(struct meddler *m) {
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    m->f = f;
    struct inst_value q = value_of(f, TODOS);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &q, NULL, on_meddle, m, &m->own, NULL),
                     INST_OK);
    sent_op(f, "add-query");
    return f;
}

static void test_callback_unsubscribes(void **state) {
    (void)state;
    struct meddler m = {0};
    struct fixture *f = meddling(&m);
    m.victim = subscribe(f, TODOS);
    struct seen *other = subscribe(f, TODOS);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(m.calls, 1);
    assert_int_equal(m.victim->data_count, 0); /* it came later in the list */
    assert_int_equal(other->data_count, 1);
    receive(f, REFRESH(TODOS, TODO("a", "two", "1"), "2"));
    assert_int_equal(m.calls, 1);
    assert_int_equal(other->data_count, 2);
    fixture_free(f);
}

static void test_callback_is_last_listener(void **state) {
    (void)state;
    struct meddler m = {0};
    struct fixture *f = meddling(&m);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(m.calls, 1);
    sent_op(f, "remove-query");
    fixture_free(f);
}

static void test_callback_calls_again(void **state) {
    (void)state;
    struct meddler m = {.does_transact = true, .does_subscribe = true};
    struct fixture *f = meddling(&m);
    struct seen *other = subscribe(f, TODOS);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(m.calls, 1);
    check_data(other, 2, "{'todos':[{'id':'$a','title':'meddled'}]}");
    assert_non_null(strstr(m.late.data, "meddled"));
    fixture_free(f);
}

static void test_callback_shuts_down(void **state) {
    (void)state;
    struct meddler m = {.does_shutdown = true};
    struct fixture *f = meddling(&m);
    struct seen *other = subscribe(f, TODOS);
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'x'}]]");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(m.calls, 1);
    assert_int_equal(other->data_count, 0);
    assert_string_equal(tx->type, "shutdown");
    expect_output(f, INST_OUTPUT_CLOSE);
    expect_silence(f);
    fixture_free(f);
}

static void test_shutdown(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct statuses statuses = {""};
    uint64_t id;
    inst_reactor_subscribe_connection_status(f->r, on_status, &statuses, &id, NULL);
    struct seen *s = subscribe(f, TODOS);
    struct seen *once = ask_once(f, TODOS);
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'x'}]]");
    inst_reactor_shutdown(f->r);
    assert_string_equal(once->type, "shutdown");
    assert_string_equal(tx->type, "shutdown");
    assert_int_equal(s->error_count, 0);
    assert_string_equal(statuses.text, "closed ");
    inst_reactor_shutdown(f->r);
    expect_output(f, INST_OUTPUT_CLOSE);
    expect_silence(f);
    inst_reactor_closed(f->r);
    pass(f, 100000);
    expect_silence(f);
    assert_int_equal(inst_reactor_next_deadline(f->r), INST_REACTOR_NEVER);
    struct inst_err err = {0};
    struct inst_value q = value_of(f, TODOS);
    assert_int_equal(inst_reactor_subscribe_query(f->r, &q, NULL, on_query, s, &id, &err),
                     INST_FAILED);
    assert_string_equal(err.type, "shutdown");
    assert_int_equal(inst_reactor_transact(f->r, &q, on_tx, s, &err), INST_FAILED);
    assert_int_equal(inst_reactor_query_once(f->r, &q, NULL, on_query, s, &err), INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(s->data_count + s->error_count, 0);
    fixture_free(f);
}

/* Freed with everything outstanding: nobody is called, nothing leaks. */
static void test_free_in_flight(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    struct seen *once = ask_once(f, "{'people':{}}");
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'x','more':1}]]");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    int calls = s->data_count;
    inst_reactor_free(f->r);
    f->r = NULL;
    assert_int_equal(s->data_count, calls);
    assert_int_equal(once->data_count + once->error_count, 0);
    assert_int_equal(tx->data_count + tx->error_count, 0);
    fixture_free(f);
    inst_reactor_free(NULL);
}

/* Unsubscribed and subscribed again at any point of the exchange: never stuck. */
static void test_no_stuck_queries(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    inst_reactor_unsubscribe(f->r, s->sub); /* before the answer */
    sent_op(f, "remove-query");
    struct seen *again = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1")); /* of the first one */
    receive(f, "{'op':'remove-query-ok','q':" TODOS "}");
    receive(f, QUERY_OK(TODOS, TODO("a", "two", "1"), "2"));
    check_data(again, 2, "{'todos':[{'id':'$a','title':'two'}]}");
    assert_int_equal(s->data_count, 0);
    /* after an error of the first listener's query */
    receive(f, "{'op':'error','status':400,'type':'timeout','message':'slow',"
               "'original-event':{'op':'add-query','q':" TODOS "}}");
    struct seen *third = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "two", "1"), "2"));
    assert_true(third->data_count >= 1);
    /* while the connection is away */
    inst_reactor_closed(f->r);
    inst_reactor_unsubscribe(f->r, again->sub);
    inst_reactor_unsubscribe(f->r, third->sub);
    struct seen *fourth = subscribe(f, TODOS);
    check_data(fourth, 1, "{'todos':[{'id':'$a','title':'two'}]}"); /* what was last known */
    authenticate(f);
    sent_op(f, "add-query");
    expect_silence(f);
    receive(f, QUERY_OK(TODOS, TODO("a", "three", "1"), "3"));
    check_data(fourth, 2, "{'todos':[{'id':'$a','title':'three'}]}");
    /* asked once at the moment of a lost connection, on a query with data */
    struct seen *once = ask_once(f, TODOS);
    sent_op(f, "add-query");
    reconnect(f);
    sent_op(f, "add-query");
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "three", "1"), "3"));
    assert_int_equal(once->data_count, 1);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_id),
        cmocka_unit_test(test_init_message),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_backoff_linear),
        cmocka_unit_test(test_falls_back_on_sse),
        cmocka_unit_test(test_another_user_goes_the_same_way),
        cmocka_unit_test(test_websocket_only),
        cmocka_unit_test(test_online_begins_afresh),
        cmocka_unit_test(test_backoff_exponential),
        cmocka_unit_test(test_backoff_needs_init),
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_odd_reports),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_echo),
        cmocka_unit_test(test_rule_params),
        cmocka_unit_test(test_links_and_meta),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_query_error),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_schema_validation),
        cmocka_unit_test(test_schema_is_replaced),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_once_offline),
        cmocka_unit_test(test_once_timeout),
        cmocka_unit_test(test_once_while_connecting),
        cmocka_unit_test(test_once_error),
        cmocka_unit_test(test_init_failure),
        cmocka_unit_test(test_unknown_token),
        cmocka_unit_test(test_change_user),
        cmocka_unit_test(test_resend_order),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_siblings),
        cmocka_unit_test(test_huge_and_deep),
        cmocka_unit_test(test_message_array),
        cmocka_unit_test(test_overtaken_answer),
        cmocka_unit_test(test_overtaken_answer_is_current),
        cmocka_unit_test(test_late_attrs),
        cmocka_unit_test(test_app_status),
        cmocka_unit_test(test_attrs),
        cmocka_unit_test(test_callback_unsubscribes),
        cmocka_unit_test(test_callback_is_last_listener),
        cmocka_unit_test(test_callback_calls_again),
        cmocka_unit_test(test_callback_shuts_down),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_free_in_flight),
        cmocka_unit_test(test_no_stuck_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
