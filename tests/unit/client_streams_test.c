#include "client_fixture.h"

#include "client/streams.h"

struct heard {
    struct fixture *f;
    struct inst_buf log;
    uint64_t id;
    uint64_t fetch;
    bool ends; /* at the first text */
};

static int set_up(void **state) {
    *state = fixture_new(NULL);
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

static void expect_heard(struct heard *h, const char *wanted) {
    assert_string_equal(h->log.data ? h->log.data : "", wanted);
    inst_buf_free(&h->log);
}

static void on_writer(void *ctx, const struct inst_writer_event *event) {
    static const char *const names[] = {"started", "flushed", "done", "failed"};
    struct heard *h = ctx;
    inst_buf_addf(&h->log, "%s %zu", names[event->kind], event->unflushed);
    if (event->error) {
        inst_buf_addf(&h->log, " %s", event->error->err->message);
    }
    inst_buf_add_char(&h->log, '\n');
}

static void on_reader(void *ctx, const struct inst_reader_event *event) {
    struct heard *h = ctx;
    switch (event->kind) {
    case INST_READER_STARTED:
        inst_buf_add_str(&h->log, "started\n");
        break;
    case INST_READER_TEXT:
        inst_buf_addf(&h->log, "[%.*s]\n", (int)event->len, event->bytes);
        break;
    case INST_READER_FETCH:
        inst_buf_addf(&h->log, "fetch %s\n", event->url);
        h->fetch = event->fetch;
        break;
    case INST_READER_DONE:
        inst_buf_addf(&h->log, "done %s\n", event->abort_reason ? event->abort_reason : "");
        break;
    case INST_READER_FAILED:
        inst_buf_addf(&h->log, "failed %s\n", event->error->err->message);
        break;
    }
    if (h->ends && event->kind == INST_READER_TEXT) {
        inst_reactor_unsubscribe(h->f->r, h->id);
    }
}

static struct heard *heard_new(struct fixture *f) {
    struct heard *h = inst_arena_zalloc(&f->arena, sizeof(*h));
    h->f = f;
    inst_buf_init(&h->log);
    return h;
}

/* ---- writing ---- */

static struct heard *create(struct fixture *f) {
    struct heard *h = heard_new(f);
    assert_int_equal(
        inst_reactor_create_write_stream(f->r, "chat", 4, NULL, on_writer, h, &h->id, NULL),
        INST_OK);
    return h;
}

static void put(struct heard *h, const char *text) {
    size_t unflushed;
    struct inst_err err = {0};
    if (inst_reactor_stream_write(h->f->r, h->id, text, strlen(text), &unflushed, &err) !=
        INST_OK) {
        fail_msg("%s", err.message);
    }
}

/* The start is answered. */
static void start_ok(struct fixture *f, int offset) {
    struct inst_value m = sent_op(f, "start-stream");
    check_json(f, inst_getz(&m, "client-id"), "'chat'");
    receivef(f,
             "{'op':'start-stream-ok','client-event-id':'%.36s','stream-id':'$stream','client-id':"
             "'chat','offset':%d}",
             inst_getz(&m, "client-event-id")->u.str, offset);
}

static void expect_append(struct fixture *f, const char *chunks, int offset, const char *done) {
    struct inst_value m = sent_op(f, "append-stream");
    check_json(f, inst_getz(&m, "chunks"), chunks);
    check_json(f, inst_getz(&m, "done"), done);
    check_json(f, inst_getz(&m, "stream-id"), "'$stream'");
    assert_int_equal((int)inst_getz(&m, "offset")->u.num, offset);
}

#define FLUSHED(offset, done)                                                                      \
    "{'op':'stream-flushed','stream-id':'$stream','offset':" offset ",'done':" done "}"

static void written(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = create(f);
    put(h, "Hel");
    start_ok(f, 0);
    expect_append(f, "['Hel']", 0, "false");
    put(h, "l\xc3\xb6");
    expect_append(f, "['l\xc3\xb6']", 3, "false");
    expect_heard(h, "started 3\n");
    receive(f, FLUSHED("3", "false"));
    expect_heard(h, "flushed 3\n");
    assert_int_equal(inst_reactor_stream_close(f->r, h->id, NULL, NULL), INST_OK);
    expect_append(f, "[]", 6, "true");
    expect_heard(h, "");
    receive(f, FLUSHED("6", "true"));
    expect_heard(h, "done 0\n");
    struct inst_err err = {0};
    size_t n;
    assert_int_equal(inst_reactor_stream_write(f->r, h->id, "x", 1, &n, &err), INST_FAILED);
    assert_string_equal(err.message, "Stream has been closed.");
    inst_err_clear(&err);
    reconnect(f);
    expect_silence(f);
}

static void goes_on_after_a_lost_connection(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = create(f);
    start_ok(f, 0);
    put(h, "abc");
    put(h, "def");
    expect_append(f, "['abc']", 0, "false");
    expect_append(f, "['def']", 3, "false");
    inst_reactor_closed(f->r);
    put(h, "ghi");
    authenticate(f);
    struct inst_value again = sent_op(f, "start-stream");
    receivef(f,
             "{'op':'start-stream-ok','client-event-id':'%.36s','stream-id':'$stream','offset':3}",
             inst_getz(&again, "client-event-id")->u.str);
    expect_append(f, "['def','ghi']", 3, "false");
    expect_silence(f);
    inst_buf_free(&h->log);
}

/* The official client forgets the end of a stream that was closed while it was away. */
static void the_end_is_said_again(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = create(f);
    start_ok(f, 0);
    put(h, "abc");
    expect_append(f, "['abc']", 0, "false");
    inst_reactor_closed(f->r);
    assert_int_equal(inst_reactor_stream_close(f->r, h->id, "tired", NULL), INST_OK);
    authenticate(f);
    start_ok(f, 0);
    struct inst_value m = sent_op(f, "append-stream");
    check_json(f, inst_getz(&m, "done"), "true");
    check_json(f, inst_getz(&m, "abort-reason"), "'tired'");
    /* lost again, with everything kept but the end */
    inst_reactor_closed(f->r);
    pass(f, 20000);
    authenticate(f);
    start_ok(f, 3);
    expect_append(f, "[]", 3, "true");
    /* and once more: this time the end had got through */
    inst_reactor_closed(f->r);
    pass(f, 20000);
    authenticate(f);
    m = sent_op(f, "start-stream");
    inst_buf_free(&h->log);
    receivef(f,
             "{'op':'error','type':'validation-failed','message':'Validation failed for "
             "start-stream: Stream is closed.','client-event-id':'%.36s','original-event':"
             "{'op':'start-stream'}}",
             inst_getz(&m, "client-event-id")->u.str);
    expect_heard(h, "done 0\n");
}

static void failed_appends_back_off(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = create(f);
    put(h, "abc");
    start_ok(f, 0);
    expect_append(f, "['abc']", 0, "false");
    for (int i = 0; i < 2; i++) { /* at once, twice */
        receive(f, "{'op':'append-failed','stream-id':'$stream'}");
        start_ok(f, 0);
        expect_append(f, "['abc']", 0, "false");
    }
    receive(f, "{'op':'error','type':'x','message':'m','original-event':"
               "{'op':'append-stream','stream-id':'$stream'}}");
    expect_silence(f);
    pass(f, 499);
    expect_silence(f);
    pass(f, 1);
    start_ok(f, 0);
    expect_append(f, "['abc']", 0, "false");
    receive(f, FLUSHED("3", "false")); /* it got through */
    receive(f, "{'op':'append-failed','stream-id':'$stream'}");
    sent_op(f, "start-stream");
    inst_buf_free(&h->log);
}

static void what_cannot_be_true(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = create(f);
    start_ok(f, 7);
    expect_heard(h, "failed 0 Write stream is corrupted\n");
    h = create(f);
    put(h, "abc");
    start_ok(f, 0);
    expect_append(f, "['abc']", 0, "false");
    receive(f, FLUSHED("3", "false"));
    put(h, "d");
    expect_append(f, "['d']", 3, "false");
    inst_buf_free(&h->log);
    reconnect(f);
    start_ok(f, 0); /* what was kept is gone */
    expect_heard(h, "failed 1 Write stream is corrupted\n");
    h = create(f);
    struct inst_value m = sent_op(f, "start-stream");
    receivef(f,
             "{'op':'error','type':'validation-failed','message':'taken','client-event-id':'%.36s',"
             "'original-event':{'op':'start-stream'}}",
             inst_getz(&m, "client-event-id")->u.str);
    expect_heard(h, "failed 0 taken\n");
}

static void limits_and_ends(void **state) {
    struct fixture *f = *state;
    struct inst_err err = {0};
    struct heard *h = create(f);
    size_t n;
    assert_int_equal(inst_reactor_stream_close(f->r, h->id, " \t", &err), INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(
        inst_reactor_stream_write(f->r, h->id, NULL, INST_STREAM_MAX_UNFLUSHED + 1u, &n, &err),
        INST_FAILED);
    assert_string_equal(err.type, "limit-exceeded");
    inst_err_clear(&err);
    put(h, "");
    inst_reactor_shutdown(f->r);
    expect_heard(h, "failed 0 The client was shut down.\n");
    assert_int_equal(
        inst_reactor_create_write_stream(f->r, "a", 1, NULL, on_writer, h, &h->id, &err),
        INST_FAILED);
    inst_err_clear(&err);
}

/* ---- reading ---- */

static struct heard *follow(struct fixture *f, uint64_t offset) {
    struct heard *h = heard_new(f);
    struct inst_value client = inst_cstring("chat");
    struct inst_read_stream_options options = {.client_id = &client, .byte_offset = offset};
    assert_int_equal(inst_reactor_create_read_stream(f->r, &options, on_reader, h, &h->id, NULL),
                     INST_OK);
    return h;
}

static char event_id[40];

/* subscribe-stream was sent, from this offset. */
static void subscribed(struct fixture *f, int offset) {
    struct inst_value m = sent_op(f, "subscribe-stream");
    const struct inst_value *sent_offset = inst_getz(&m, "offset");
    assert_int_equal(sent_offset ? (int)sent_offset->u.num : 0, offset);
    snprintf(event_id, sizeof(event_id), "%.36s", inst_getz(&m, "client-event-id")->u.str);
}

#define APPEND(more) "{'op':'stream-append','client-event-id':'%s','stream-id':'$stream'" more "}"
#define FILE_OF(name, size) "{'id':'$" name "','size':" size ",'url':'http://x/" name "'}"

static void fetched(struct heard *h, const char *bytes, bool is_whole) {
    uint64_t fetch = h->fetch;
    inst_reactor_stream_fetched(h->f->r, h->id, fetch, bytes, strlen(bytes));
    inst_reactor_stream_fetch_done(h->f->r, h->id, fetch, is_whole);
}

static void read_live(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    subscribed(f, 0);
    receivef(f, APPEND(",'offset':0,'files':[],'content':'Hel'"), event_id);
    receivef(f, APPEND(",'offset':3,'content':'lo'"), event_id);
    receivef(f, APPEND(",'done':true,'abort-reason':'tired'"), event_id);
    expect_heard(h, "started\n[Hel]\n[lo]\ndone tired\n");
    reconnect(f);
    expect_silence(f);
}

static void read_files(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    subscribed(f, 0);
    receivef(f,
             APPEND(",'offset':0,'files':[" FILE_OF("a", "5") "," FILE_OF(
                 "b", "2") "],'content':'tail'"),
             event_id);
    receivef(f, APPEND(",'offset':11,'content':'more'"), event_id);
    expect_heard(h, "started\nfetch http://x/a\n");
    /* a character cut between two pieces, and between two files */
    inst_reactor_stream_fetched(f->r, h->id, h->fetch, "a\xe2", 2);
    inst_reactor_stream_fetched(f->r, h->id, h->fetch, "\x82", 1);
    inst_reactor_stream_fetched(f->r, h->id, h->fetch, "\xac\xc3", 2);
    expect_heard(h, "[a]\n[\xe2\x82\xac]\n");
    inst_reactor_stream_fetch_done(f->r, h->id, h->fetch, true);
    expect_heard(h, "fetch http://x/b\n");
    fetched(h, "\xb6!", true);
    expect_heard(h, "[\xc3\xb6]\n[!]\n[tail]\n[more]\n");
    inst_reactor_stream_fetched(f->r, h->id, h->fetch, "late", 4);
    expect_heard(h, "");
}

static void what_was_seen_is_skipped(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 8);
    subscribed(f, 8);
    receivef(
        f,
        APPEND(",'offset':0,'files':[" FILE_OF("a", "5") "," FILE_OF("b", "5") "],'content':'xyz'"),
        event_id);
    expect_heard(h, "started\nfetch http://x/b\n"); /* all of the first was seen */
    fetched(h, "bcdef", true);
    expect_heard(h, "[ef]\n[xyz]\n");
    receivef(f, APPEND(",'offset':11,'content':'yz!'"), event_id);
    expect_heard(h, "[!]\n");
    receivef(f, APPEND(",'offset':99,'content':'gap'"), event_id);
    expect_heard(h, "failed Stream is corrupted.\n");
    sent_op(f, "unsubscribe-stream");
}

static void reads_on_after_a_lost_connection(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    subscribed(f, 0);
    receivef(f, APPEND(",'offset':0,'content':'abc'"), event_id);
    char old[40];
    snprintf(old, sizeof(old), "%s", event_id);
    reconnect(f);
    subscribed(f, 3);
    receivef(f, APPEND(",'offset':3,'content':'void'"), old);
    receivef(f, APPEND(",'offset':0,'content':'abcdef'"), event_id);
    expect_heard(h, "started\n[abc]\n[def]\n");
    /* in the middle of a download */
    receivef(f, APPEND(",'offset':6,'files':[" FILE_OF("a", "4") "]"), event_id);
    inst_reactor_stream_fetched(f->r, h->id, h->fetch, "gh", 2);
    uint64_t before = h->fetch;
    reconnect(f);
    subscribed(f, 8);
    inst_reactor_stream_fetched(f->r, h->id, before, "void", 4);
    expect_heard(h, "fetch http://x/a\n[gh]\n");
    receivef(f, APPEND(",'offset':6,'files':[" FILE_OF("a", "4") "],'done':true"), event_id);
    /* the end is known: nothing to ask for again while it is being downloaded */
    reconnect(f);
    expect_silence(f);
    fetched(h, "ghij", true);
    expect_heard(h, "fetch http://x/a\n[ij]\ndone \n");
}

static void retries_back_off(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    for (int i = 0; i < 3; i++) {
        subscribed(f, 0);
        receivef(f, APPEND(",'error':true,'error-type':'rate-limit','retry':true"), event_id);
    }
    expect_silence(f);
    pass(f, 500);
    subscribed(f, 0);
    receivef(f, APPEND(",'offset':0,'content':'a'"), event_id);
    receivef(f, APPEND(",'error':true,'retry':true"), event_id);
    subscribed(f, 1);
    receivef(f, APPEND(",'error':true"), event_id);
    expect_heard(h, "started\n[a]\nfailed The stream cannot be read on\n");
}

static void downloads_that_fail(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    for (int i = 0; i <= INST_STREAM_MAX_FETCH_FAILURES; i++) {
        pass(f, 20000);
        subscribed(f, 0);
        receivef(f, APPEND(",'offset':0,'files':[" FILE_OF("a", "4") "]"), event_id);
        switch (i % 3) {
        case 0:
            fetched(h, "", false);
            break;
        case 1:
            fetched(h, "", true); /* shorter than it should be */
            break;
        default:
            fetched(h, "too long", true);
            break;
        }
        if (i % 3 == 2) { /* what came of it counts */
            break;
        }
        sent_op(f, "unsubscribe-stream");
        inst_buf_free(&h->log);
    }
    assert_non_null(strstr(h->log.data, "[too ]"));
    inst_buf_free(&h->log);
    sent_op(f, "unsubscribe-stream");
    for (int i = 2; i < INST_STREAM_MAX_FETCH_FAILURES; i++) {
        pass(f, 20000);
        subscribed(f, 4);
        receivef(f, APPEND(",'offset':4,'files':[" FILE_OF("b", "4") "]"), event_id);
        inst_buf_free(&h->log);
        fetched(h, "", false);
        if (i + 1 < INST_STREAM_MAX_FETCH_FAILURES) {
            sent_op(f, "unsubscribe-stream");
        }
    }
    if (!h->log.data) {
        sent_op(f, "unsubscribe-stream");
        pass(f, 20000);
        subscribed(f, 4);
        receivef(f, APPEND(",'offset':4,'files':[" FILE_OF("b", "4") "]"), event_id);
        inst_buf_free(&h->log);
        fetched(h, "", false);
    }
    expect_heard(h, "failed Unable to process stream.\n");
}

static void ending_it(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    struct heard *h = follow(f, 0);
    h->ends = true;
    subscribed(f, 0);
    receivef(f, APPEND(",'offset':0,'content':'a'"), event_id);
    receivef(f, APPEND(",'offset':1,'content':'b'"), event_id);
    expect_heard(h, "started\n[a]\n");
    struct inst_value m = sent_op(f, "unsubscribe-stream");
    assert_true(inst_is_string(inst_getz(&m, "subscribe-event-id"), event_id));
    receive(f, "{'op':'error','type':'x','message':'m','original-event':{'op':"
               "'unsubscribe-stream'}}");
    expect_silence(f);
}

static void refusals(void **state) {
    struct fixture *f = *state;
    struct inst_err err = {0};
    struct inst_read_stream_options none = {0};
    struct heard *h = heard_new(f);
    assert_int_equal(inst_reactor_create_read_stream(f->r, &none, on_reader, h, &h->id, &err),
                     INST_FAILED);
    assert_string_equal(err.message,
                        "Must provide one of streamId or clientId to subscribe to the stream.");
    inst_err_clear(&err);
    authenticate(f);
    h = follow(f, 0);
    subscribed(f, 0);
    receivef(f,
             "{'op':'error','type':'validation-failed','message':'Stream is missing.',"
             "'client-event-id':'%s','original-event':{'op':'subscribe-stream'}}",
             event_id);
    expect_heard(h, "failed Stream is missing.\n");
}

static void what_the_server_should_not_send(void **state) {
    struct fixture *f = *state;
    authenticate(f);
    static const char *const odd[] = {
        APPEND(",'offset':-1,'content':'a'"),
        APPEND(",'offset':'x','files':7,'content':7"),
        APPEND(",'offset':0,'files':[7]"),
        APPEND(",'offset':0,'files':[{'url':7,'size':1}]"),
        APPEND(",'offset':0,'files':[{'url':'u','size':-1}]"),
        APPEND(",'error':'odd'"),
        APPEND(",'error':{},'retry':1"),
        APPEND(",'done':7"),
    };
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct heard *h = follow(f, 0);
        subscribed(f, 0);
        receivef(f, odd[i], event_id);
        inst_reactor_unsubscribe(f->r, h->id);
        struct inst_output out;
        while (inst_reactor_next_output(f->r, &out)) {
        }
        inst_buf_free(&h->log);
    }
    struct heard *h = create(f);
    start_ok(f, 0);
    receive(f, "{'op':'stream-flushed'}");
    receive(f, FLUSHED("'x'", "7"));
    receive(f, FLUSHED("1.5", "true"));
    receive(f, "{'op':'append-failed'}");
    receive(f, "{'op':'start-stream-ok','client-event-id':7}");
    receive(f, "{'op':'error','original-event':{'op':'append-stream','stream-id':7}}");
    receive(f, "{'op':'error','original-event':{'op':'start-stream'}}");
    expect_silence(f);
    expect_heard(h, "started 0\n");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(written),
        TEST(goes_on_after_a_lost_connection),
        TEST(the_end_is_said_again),
        TEST(failed_appends_back_off),
        TEST(what_cannot_be_true),
        TEST(limits_and_ends),
        TEST(read_live),
        TEST(read_files),
        TEST(what_was_seen_is_skipped),
        TEST(reads_on_after_a_lost_connection),
        TEST(retries_back_off),
        TEST(downloads_that_fail),
        TEST(ending_it),
        TEST(refusals),
        TEST(what_the_server_should_not_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
