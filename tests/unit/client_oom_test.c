/*
 * Memory runs out for a while, at every place of a session in turn: nothing crashes or leaks, what
 * was promised is settled once at most, and when there is memory again the reactor finds back to
 * the server's state by itself.
 */
#include "client_fixture.h"
#include "oom.h"

#include "client/sync_tables.h"

#define TODOS "{'todos':{}}"
#define PEOPLE "{'people':{'todos':{}}}"

/* One call of the session. */
struct scene {
    struct fixture *f;
    struct inst_value todos, people, chunk, schema_steps;
    char *messages[16];
    size_t message_count;
    int settled;
    int data_count;
    char *data;            /* JSON of the last data of TODOS */
    uint64_t presence_sub; /* 0: could not be made */
    char *peers;           /* JSON of those last told */
};

static void on_todos(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    struct scene *s = ctx;
    s->data_count++;
    free(s->data);
    s->data = NULL;
    if (error) {
        return;
    }
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, result->data);
    s->data = inst_buf_take(&buf, NULL);
}

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    struct scene *s = ctx;
    struct inst_buf buf;
    free(s->peers);
    inst_buf_init(&buf);
    inst_json_write(&buf, slice->peers);
    s->peers = inst_buf_take(&buf, NULL);
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    (void)ctx;
    (void)data;
    (void)peer;
}

static void on_settled(void *ctx, const struct inst_query_result *result,
                       const struct inst_reactor_error *error) {
    (void)result;
    (void)error;
    ((struct scene *)ctx)->settled++;
}

static void on_tx_settled(void *ctx, const struct inst_transact_result *result,
                          const struct inst_reactor_error *error) {
    (void)result;
    (void)error;
    ((struct scene *)ctx)->settled++;
}

static void on_any_status(void *ctx, enum inst_connection_status status,
                          const struct inst_reactor_error *error) {
    (void)ctx;
    (void)status;
    (void)error;
}

static void prepare(struct scene *s) {
    static const char *const messages[] = {
        INIT_OK,
        QUERY_OK(TODOS, TODO("a", "one", "1"), "1"),
        QUERY_OK(PEOPLE, "['$p','$pid','$p',1]", "1"),
        REFRESH(TODOS, TODO("a", "two", "1") "," TODO("b", "more", "2"), "2"),
        "{'op':'refresh-ok','processed-tx-id':3,'computations':[],'attrs':" ATTRS "}",
        "{'op':'error','type':'x','message':'m','hint':{'a':1},'trace-id':'t',"
        "'original-event':{'op':'add-query','q':" PEOPLE "}}",
        "[{'op':'add-query-exists','q':" TODOS "},{'op':'app-status-changed','status':'active'}]",
        "{'op':'join-room-ok','room-id':'r'}",
        "{'op':'refresh-presence','room-id':'r','data':{'$p':{'data':{'x':{'y':[1,2]}}}}}",
        "{'op':'patch-presence','room-id':'r','edits':[[['$p','data','x','y',1],'+',3],"
        "[['$q'],'+',{'data':{}}],[['$p','data','z'],'+',{}]]}",
        "{'op':'server-broadcast','room-id':'r','topic':'t','data':{'peer-id':'$p','data':[1]}}",
    };
    s->message_count = sizeof(messages) / sizeof(messages[0]);
    for (size_t i = 0; i < s->message_count; i++) {
        s->messages[i] = text_of(messages[i]);
    }
    s->todos = value_of(s->f, TODOS);
    s->people = value_of(s->f, PEOPLE);
    struct inst_object_builder b;
    inst_object_begin(&b, &s->f->arena);
    inst_object_addz(&b, "__ops",
                     value_of(s->f, "[['update','todos','$a',{'title':'mine','extra':[1]}],"
                                    "['link','people','$p',{'todos':'$a'}]]"));
    assert_true(inst_object_end(&b, &s->chunk));
}

static void drain(struct scene *s) {
    struct inst_output out;
    while (inst_reactor_next_output(s->f->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(s->f->r);
        }
    }
}

/* How many promises were given. */
static int play(struct scene *s) {
    struct inst_reactor *r = s->f->r;
    uint64_t id;
    int promises = 0;
    inst_reactor_subscribe_connection_status(r, on_any_status, s, &id, NULL);
    inst_reactor_subscribe_query(r, &s->todos, NULL, on_todos, s, &id, NULL);
    inst_reactor_subscribe_presence(r, "chat", "r", NULL, on_presence, s, &s->presence_sub, NULL);
    inst_reactor_subscribe_topic(r, "chat", "r", "t", on_topic, s, &id, NULL);
    inst_reactor_publish_presence(r, "r", &s->todos, NULL);
    inst_reactor_publish_topic(r, "r", "t", &s->todos, NULL);
    inst_reactor_join_room(r, "chat", "left again", &s->todos, NULL);
    inst_reactor_leave_room(r, "left again");
    drain(s);
    for (size_t i = 0; i < s->message_count; i++) {
        inst_reactor_message(r, s->messages[i], strlen(s->messages[i]));
        if (i == 0) {
            promises +=
                inst_reactor_query_once(r, &s->people, &s->chunk, on_settled, s, NULL) == INST_OK;
        }
        if (i == 1 || i == 4) {
            promises += inst_reactor_transact(r, &s->chunk, on_tx_settled, s, NULL) == INST_OK;
        }
        drain(s);
    }
    s->f->now += 7000;
    inst_reactor_tick(r);
    inst_reactor_set_online(r, false);
    inst_reactor_set_online(r, true);
    drain(s);
    inst_reactor_set_refresh_token(r, "token", NULL);
    drain(s);
    return promises;
}

/* There is memory again, and a server that answers everything. */
static void recover(struct scene *s) {
    struct fixture *f = s->f;
    inst_reactor_closed(f->r);
    pass(f, 20000);
    struct inst_output out;
    while (inst_reactor_next_output(f->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(f->r);
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "\"op\":\"init\"")) {
            receive(f, INIT_OK);
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "\"op\":\"transact\"")) {
            struct inst_value msg;
            assert_int_equal(inst_json_parse(&f->arena, out.bytes, out.len, &msg, NULL), INST_OK);
            receivef(f, "{'op':'error','type':'x','message':'m','client-event-id':'%s'}",
                     event_id_of(f, &msg));
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "\"op\":\"join-room\"")) {
            receive(f, "[{'op':'join-room-ok','room-id':'r'},{'op':'refresh-presence',"
                       "'room-id':'r','data':{'$p':{'data':{'x':'final'}}}}]");
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "\"people\"")) {
            receive(f, QUERY_OK(PEOPLE, "", "9"));
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "add-query")) {
            receive(f, QUERY_OK(TODOS, TODO("a", "final", "1"), "9"));
        }
    }
    assert_int_equal(inst_reactor_status(f->r), INST_CONNECTION_AUTHENTICATED);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
}

static void test_out_of_memory(void **state) {
    (void)state;
    bool had_failure = true;
    long failures = 0;
    for (long n = 0; had_failure; n++) {
        struct scene s = {.f = fixture_new(NULL)};
        prepare(&s);
        oom_after(n);
        int promises = play(&s);
        had_failure = oom_left == 0;
        oom_off();
        failures += had_failure;
        assert_true(s.settled <= promises);
        recover(&s);
        if (s.data_count || !had_failure) { /* it had come to be subscribed */
            char *expected = text_of("{'todos':[{'id':'$a','title':'final'}]}");
            assert_non_null(s.data);
            assert_string_equal(s.data, expected);
            free(expected);
        }
        if (s.presence_sub) {
            char *expected = text_of("{'$p':{'x':'final','peerId':'$p'}}");
            assert_string_equal(s.peers, expected);
            free(expected);
        }
        inst_reactor_shutdown(s.f->r);
        assert_int_equal(s.settled, promises);
        for (size_t i = 0; i < s.message_count; i++) {
            free(s.messages[i]);
        }
        free(s.data);
        free(s.peers);
        fixture_free(s.f);
    }
    assert_true(failures > 100);
    print_message("%ld places\n", failures);
}

static void test_new(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct inst_value schema = value_of(
        f,
        "{'entities':{'todos':{'attrs':{},'links':{}}},'links':{'l':{'forward':{'on':'todos',"
        "'label':'owner','has':'one'},'reverse':{'on':'people','label':'todos','has':'many'}}}}");
    struct inst_package_version version = {"a", "v1"};
    struct inst_reactor_config config = fixture_config(f);
    config.admin_token = config.refresh_token = "x";
    config.schema = &schema;
    config.versions = &version;
    config.version_count = 1;
    for (long n = 0;; n++) {
        struct inst_reactor *r = NULL;
        struct inst_err err = {0};
        oom_after(n);
        enum inst_status status = inst_reactor_new(&config, &r, &err);
        oom_off();
        assert_true((status == INST_OK) == (r != NULL));
        inst_err_clear(&err);
        inst_reactor_free(r);
        if (status == INST_OK) {
            assert_true(n >= 2);
            break;
        }
        assert_int_equal(status, INST_NOMEM);
    }
    fixture_free(f);
}

/* ---- sync tables ---- */

struct table_scene {
    struct fixture *f;
    uint64_t sub;
    char start_id[40]; /* of the last start-sync */
    long resumes_at;   /* the last resync-table's tx-id; 0: start-sync came later */
    bool is_told;
    char *data; /* JSON of the last event's data */
};

static void on_table(void *ctx, const struct inst_sync_event *event) {
    struct table_scene *s = ctx;
    const struct inst_value *data = inst_sync_event_data(event);
    s->is_told = true;
    free(s->data);
    s->data = NULL;
    if (data) {
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_json_write(&buf, data);
        s->data = inst_buf_take(&buf, NULL);
    }
}

/* Looks without allocating at what is sent. */
static void drain_table(struct table_scene *s) {
    struct inst_output out;
    while (inst_reactor_next_output(s->f->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(s->f->r);
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "\"op\":\"start-sync\"")) {
            memcpy(s->start_id, strstr(out.bytes, "client-event-id") + 18, 36);
            s->resumes_at = 0;
        } else if (out.kind == INST_OUTPUT_SEND && strstr(out.bytes, "resync-table")) {
            s->resumes_at = atol(strstr(out.bytes, "tx-id") + 7);
        }
    }
}

#define CHANGE(action, triple) "{'action':'" action "','triple':" triple "}"
static const char *const table_txes[] = {
    "{'tx-id':6,'changes':[" CHANGE("removed", "['$a','$ttitle','A',1]") "," CHANGE(
        "added", "['$a','$ttitle','A2',1]") "]}",
    "{'tx-id':7,'changes':[" CHANGE("removed", "['$b','$tid','$b',1]") "]}",
    "{'tx-id':8,'changes':[" CHANGE("added", "['$c','$tid','$c',3]") "]}",
    "{'tx-id':9,'changes':[" CHANGE("added", "['$a','$ttitle','final',1]") "]}",
};

/* Started as answered by the server of these transactions: as of `tx`. */
static void answer_table(struct table_scene *s, char *const *parts, bool is_late) {
    char text[300];
    int len = snprintf(text, sizeof text,
                       "{\"op\":\"start-sync-ok\",\"client-event-id\":\"%s\","
                       "\"subscription-id\":\"aaaaaaaa-0000-4000-8000-000000000001\","
                       "\"token\":\"aaaaaaaa-0000-4000-8000-000000000002\"}",
                       s->start_id);
    if (s->resumes_at == 0) {
        inst_reactor_message(s->f->r, text, (size_t)len);
        inst_reactor_message(s->f->r, parts[0], strlen(parts[0]));
        inst_reactor_message(s->f->r, parts[1], strlen(parts[1]));
        s->resumes_at = 5;
    }
    for (long tx = s->resumes_at + 1; tx <= (is_late ? 9 : 8); tx++) {
        inst_reactor_message(s->f->r, parts[tx - 4], strlen(parts[tx - 4]));
    }
}

#define SYNC_ID "'subscription-id':'aaaaaaaa-0000-4000-8000-000000000001'"

static void test_sync_tables(void **state) {
    (void)state;
    char *parts[6], *init = text_of(INIT_OK), text[1000];
    parts[0] = text_of("{'op':'sync-load-batch'," SYNC_ID
                       ",'join-rows':[[" TODO("a", "A", "1") "],[" TODO("b", "B", "1") "]]}");
    parts[1] = text_of("{'op':'sync-init-finish'," SYNC_ID ",'tx-id':5}");
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "{'op':'sync-update-triples'," SYNC_ID ",'txes':[%s]}",
                 table_txes[i]);
        parts[i + 2] = text_of(text);
    }
    bool had_failure = true;
    for (long n = 0; had_failure; n++) {
        struct table_scene s = {.f = fixture_new(NULL)};
        struct inst_value q = value_of(s.f, TODOS);
        oom_after(n);
        inst_reactor_subscribe_table(s.f->r, &q, on_table, &s, &s.sub, NULL);
        drain_table(&s);
        inst_reactor_message(s.f->r, init, strlen(init));
        drain_table(&s);
        answer_table(&s, parts, false);
        drain_table(&s);
        had_failure = oom_left == 0;
        oom_off();
        inst_reactor_closed(s.f->r);
        pass(s.f, 20000);
        drain_table(&s);
        inst_reactor_message(s.f->r, init, strlen(init));
        drain_table(&s);
        if (s.sub) {
            answer_table(&s, parts, true);
            char *expected = text_of("{'todos':[{'id':'$a','title':'final'},{'id':'$c'}]}");
            assert_non_null(s.data);
            assert_string_equal(s.data, expected);
            free(expected);
        }
        free(s.data);
        fixture_free(s.f);
        assert_true(n < 5000);
    }
    for (size_t i = 0; i < 6; i++) {
        free(parts[i]);
    }
    free(init);
}

/* ---- moving to a connection of one's own ---- */

static void on_any_user(void *ctx, const struct inst_value *user) {
    (void)user;
    (*(int *)ctx)++;
}

/* It goes over whole, or everything is as it was. */
static void test_moving_an_instance(void **state) {
    (void)state;
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        struct fixture *f = fixture_new(NULL), *to = fixture_new(NULL);
        struct scene s = {.f = f};
        int told = 0;
        uint64_t id;
        prepare(&s);
        authenticate(f);
        inst_reactor_set_instance(f->r, 2);
        assert_int_equal(
            inst_reactor_subscribe_query(f->r, &s.todos, NULL, on_todos, &s, &id, NULL), INST_OK);
        assert_int_equal(inst_reactor_subscribe_user(f->r, on_any_user, &told, &id, NULL), INST_OK);
        assert_int_equal(told, 1);
        oom_after(n);
        enum inst_status status = inst_reactor_move_instance(f->r, 2, to->r, NULL);
        oom_off();
        is_done = status == INST_OK;
        assert_true(is_done || status == INST_NOMEM);
        struct inst_reactor *now = is_done ? to->r : f->r;
        if (!is_done) { /* what was made of it goes, calling nobody */
            inst_reactor_free(to->r);
            to->r = NULL;
        }
        assert_int_equal(inst_reactor_set_refresh_token(now, "token", NULL), INST_OK);
        assert_int_equal(told, 2);
        inst_reactor_free(f->r);
        f->r = NULL;
        for (size_t i = 0; i < s.message_count; i++) {
            free(s.messages[i]);
        }
        free(s.data);
        fixture_free(to);
        fixture_free(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_sync_tables),
        cmocka_unit_test(test_moving_an_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
