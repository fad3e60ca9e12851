/* What outlives the process: pending mutations, the user, results, local ids. */
#include "client/persist.h"
#include "client_disk.h"

#define TODOS "{'todos':{}}"
#define WRITE(id, title) "[['update','todos','$" id "',{'title':'" title "'}]]"
#define PENDING disk_text(disk, "kv", "pendingMutations")

static struct disk *new_disk(void) {
    struct disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    return disk;
}

/* ---- mutations ---- */

/* Neither told nor shown before it is on the disk. */
static void test_told_when_durable(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    assert_int_equal(s->data_count, 1);
    pass(f, 2000);
    run_disk(f, disk);
    inst_reactor_closed(f->r);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    assert_int_equal(tx->data_count, 0);
    assert_int_equal(s->data_count, 1);
    take_requests(f, disk);
    assert_true(disk->asked[0].is_durable);
    assert_int_equal(tx->data_count, 0);
    answer(f, disk, 0, NULL);
    assert_string_equal(tx->tx_status, "enqueued");
    check_data(s, 2, "{'todos':[{'id':'$a','title':'mine'}]}");
    assert_non_null(strstr(PENDING, tx->event_id));
    assert_non_null(strstr(PENDING, "mine"));
    fixture_free(f);
    disk_free(disk);
}

/* ... also when several are on their way, and however the answer comes. */
static void test_many_in_one_write(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen *a = transact(f, WRITE("a", "1"));
    struct seen *b = transact(f, WRITE("b", "2"));
    take_requests(f, disk);
    assert_int_equal(disk->asked_count, 1);
    struct seen *c = transact(f, WRITE("c", "3"));
    take_requests(f, disk);
    assert_int_equal(disk->asked_count, 1); /* c waits for its turn */
    answer(f, disk, 0, NULL);
    assert_int_equal(a->data_count + b->data_count, 2);
    assert_int_equal(c->data_count, 0);
    run_disk(f, disk);
    assert_int_equal(c->data_count, 1);
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 3);
    fixture_free(f);
    disk_free(disk);
}

/* Sent once by the next run, in order, with the same event ids. */
static void test_resent_after_restart(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    char ids[3][64];
    const char *writes[] = {WRITE("a", "1"), WRITE("b", "2"), WRITE("a", "3")};
    for (int i = 0; i < 3; i++) {
        struct seen *tx = transact(f, writes[i]);
        run_disk(f, disk);
        assert_string_equal(tx->tx_status, "enqueued");
        memcpy(ids[i], tx->event_id, sizeof(ids[i]));
    }
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_unconfirmed_count(f->r), 3);
    authenticate(f);
    double order = 0;
    for (int i = 0; i < 3; i++) {
        struct inst_value m = sent_op(f, "transact");
        assert_string_equal(event_id_of(f, &m), ids[i]);
        assert_true(inst_getz(&m, "order")->u.num > order);
        order = inst_getz(&m, "order")->u.num;
    }
    expect_silence(f);
    struct seen *late = transact(f, WRITE("c", "4"));
    struct inst_value m = sent_op(f, "transact");
    assert_true(inst_getz(&m, "order")->u.num > order);
    for (int i = 0; i < 3; i++) {
        receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':%d}", ids[i], 10 + i);
    }
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':20}", event_id_of(f, &m));
    assert_string_equal(late->tx_status, "synced");
    receive(f, "{'op':'refresh-ok','processed-tx-id':20,'computations':[]}");
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    pass(f, 200);
    run_disk(f, disk);
    assert_null(PENDING);
    fixture_free(f);
    disk_free(disk);
}

/* What the app writes before the storage was read comes behind what is kept. */
static void test_before_loaded(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen *old = transact(f, WRITE("a", "old"));
    run_disk(f, disk);
    char old_id[64];
    memcpy(old_id, old->event_id, sizeof(old_id));
    f = killed(f, disk);
    struct seen *tx = transact(f, WRITE("a", "new"));
    assert_int_equal(inst_reactor_unconfirmed_count(f->r), 1);
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    expect_silence(f); /* whose session it is, is not known */
    run_disk(f, disk);
    sent_op(f, "init");
    assert_string_equal(tx->tx_status, "enqueued");
    receive(f, INIT_OK);
    struct inst_value m = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &m), old_id);
    m = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &m), tx->event_id);
    fixture_free(f);
    disk_free(disk);
}

static void test_not_kept(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    inst_reactor_closed(f->r);
    struct seen failures = {.f = f};
    uint64_t id;
    inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &failures, &id, NULL);
    disk->fail_writes = 1;
    struct seen *tx = transact(f, WRITE("a", "mine"));
    run_disk(f, disk);
    assert_string_equal(tx->type, "storage-failed");
    assert_string_equal(tx->error, "The write could not be kept: the disk is full");
    assert_int_equal(failures.error_count, 1);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    assert_int_equal(s->data_count, 1); /* never shown */
    /* the next is tried at once, and there is room again */
    struct seen *again = transact(f, WRITE("a", "again"));
    run_disk(f, disk);
    assert_string_equal(again->tx_status, "enqueued");
    check_data(s, 2, "{'todos':[{'id':'$a','title':'again'}]}");
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    fixture_free(f);
    disk_free(disk);
}

/* Sent before the disk refused it, it is the server's word that counts. */
static void test_sent_before_refused(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    take_requests(f, disk);
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    inst_reactor_closed(f->r);
    answer(f, disk, 0, "the disk is full");
    assert_int_equal(tx->data_count + tx->error_count, 0);
    authenticate(f);
    struct inst_value again = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &again), event_id_of(f, &m));
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':7}", event_id_of(f, &m));
    assert_string_equal(tx->tx_status, "synced");
    fixture_free(f);
    disk_free(disk);
}

/* Online the server has it; the disk only follows, and may fail. */
static void test_online(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    struct inst_value m = sent_op(f, "transact");
    take_requests(f, disk);
    assert_int_equal(disk->asked_count, 0);
    disk->fail_writes = 1;
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    assert_null(PENDING);
    assert_int_equal(tx->error_count, 0);
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + INST_PERSIST_RETRY_MS);
    pass(f, INST_PERSIST_RETRY_MS);
    run_disk(f, disk);
    assert_non_null(PENDING);
    /* in flight when killed: sent again under the same id, which the server knows */
    const char *event_id = event_id_of(f, &m);
    char sent_id[64];
    snprintf(sent_id, sizeof(sent_id), "%s", event_id);
    f = restarted(f, disk);
    authenticate(f);
    m = sent_op(f, "transact");
    assert_string_equal(event_id_of(f, &m), sent_id);
    fixture_free(f);
    disk_free(disk);
}

/* Nobody is told of a failure while the next run would still send it again. */
static void test_failure_waits(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen failures = {.f = f};
    uint64_t id;
    inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &failures, &id, NULL);
    struct seen *tx = transact(f, WRITE("a", "1"));
    transact(f, WRITE("b", "2"));
    run_disk(f, disk);
    assert_string_equal(tx->tx_status, "enqueued");
    authenticate(f);
    sent_op(f, "transact");
    struct inst_value second = sent_op(f, "transact");
    receivef(f, "{'op':'error','type':'x','status':400,'message':'no','client-event-id':'%s'}",
             tx->event_id);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    assert_int_equal(failures.error_count, 0);
    disk->fail_writes = 1; /* not even now */
    run_disk(f, disk);
    assert_int_equal(failures.error_count, 0);
    pass(f, INST_PERSIST_RETRY_MS);
    run_disk(f, disk);
    assert_int_equal(failures.error_count, 1);
    assert_string_equal(failures.event_id, tx->event_id);
    assert_non_null(strstr(PENDING, "\"error\":{"));
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    assert_null(strstr(PENDING, tx->event_id));
    /* the last of a page, while an earlier state of it is being written */
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    struct seen *online = transact(f, WRITE("c", "3"));
    struct inst_value third = sent_op(f, "transact");
    pass(f, INST_PERSIST_KV_MS);
    take_requests(f, disk);
    const struct inst_value *all[] = {&second, &third};
    for (int i = 0; i < 2; i++) {
        receivef(f, "{'op':'error','type':'x','status':400,'message':'no','client-event-id':'%s'}",
                 event_id_of(f, all[i]));
    }
    assert_int_equal(online->error_count, 0);
    answer(f, disk, asked_at(disk, INST_DISK_WRITE, "kv", NULL), NULL);
    assert_int_equal(online->error_count, 0);
    run_disk(f, disk);
    assert_int_equal(online->error_count, 1);
    assert_int_equal(failures.error_count, 3);
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    assert_null(PENDING);
    /* told at the end, at the latest */
    tx = transact(f, WRITE("d", "4"));
    struct inst_value m = sent_op(f, "transact");
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    receivef(f, "{'op':'error','type':'x','status':400,'message':'no','client-event-id':'%s'}",
             event_id_of(f, &m));
    assert_int_equal(tx->error_count, 0);
    inst_reactor_shutdown(f->r);
    assert_int_equal(tx->error_count, 1);
    assert_int_equal(failures.error_count, 4);
    run_disk(f, disk);
    assert_null(PENDING);
    fixture_free(f);
    disk_free(disk);
}

/* Killed before it could tell of a failure, the next run does. */
static void test_failure_outlives(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen *tx = transact(f, WRITE("a", "1"));
    run_disk(f, disk);
    char id[64];
    memcpy(id, tx->event_id, sizeof(id));
    authenticate(f);
    sent_op(f, "transact");
    receivef(f,
             "{'op':'error','type':'permission-denied','status':400,'message':'no way',"
             "'hint':{'a':[1]},'trace-id':'t1','client-event-id':'%s'}",
             id);
    take_requests(f, disk);
    const struct inst_disk_request *request = &disk->asked[0];
    disk_put(disk, "kv", request->pairs[0].key, request->pairs[0].value, request->pairs[0].len);
    for (int i = 0; i < 2; i++) { /* as long as nothing says that it was told */
        f = killed(f, disk);
        struct seen failures = {.f = f};
        uint64_t sub;
        inst_reactor_subscribe_mutation_errors(f->r, on_mutation_error, &failures, &sub, NULL);
        run_disk(f, disk);
        assert_int_equal(failures.error_count, 1);
        assert_string_equal(failures.event_id, id);
        assert_string_equal(failures.type, "permission-denied");
        assert_string_equal(failures.error, "no way");
        assert_string_equal(failures.hint, "{\"a\":[1]}");
        assert_string_equal(failures.trace, "t1");
        assert_int_equal(failures.status, 400);
        assert_int_equal(inst_reactor_pending_count(f->r), 0);
    }
    pass(f, INST_PERSIST_KV_MS);
    run_disk(f, disk);
    assert_null(PENDING);
    fixture_free(f);
    disk_free(disk);
}

/* Confirmed ones are kept as such: shown on top of an older result, not sent again. */
static void test_confirmed_is_kept(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    transact(f, WRITE("a", "two"));
    struct inst_value m = sent_op(f, "transact");
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':7}", event_id_of(f, &m));
    pass(f, 2000);
    run_disk(f, disk);
    f = killed(f, disk);
    struct seen *s = subscribe(f, TODOS);
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'two'}]}");
    authenticate(f);
    sent_op(f, "add-query");
    expect_silence(f);
    fixture_free(f);
    disk_free(disk);
}

/* A long queue is many pages; a write made offline writes one. */
static void test_pages(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    char ops[9000], title[8001];
    memset(title, 'x', sizeof(title));
    title[8000] = '\0';
    for (int i = 0; i < 40; i++) {
        snprintf(ops, sizeof(ops), "[['update','todos','$a%d',{'title':'%s'}]]", i, title);
        struct seen *tx = transact(f, ops);
        take_requests(f, disk);
        assert_int_equal(disk->asked_count, 1);
        assert_int_equal(disk->asked[0].pair_count, 1);
        assert_true(disk->asked[0].pairs[0].len < 50000);
        answer(f, disk, 0, NULL);
        assert_string_equal(tx->tx_status, "enqueued");
    }
    assert_non_null(PENDING);
    assert_non_null(disk_text(disk, "kv", "pendingMutations_7"));
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 40);
    authenticate(f);
    for (int i = 0; i < 40; i++) {
        struct inst_value m = sent_op(f, "transact");
        const struct inst_value *steps = inst_getz(&m, "tx-steps");
        char eid[64];
        snprintf(eid, sizeof(eid), "'$a%d'", i);
        char *expected = text_of(eid);
        assert_non_null(strstr(json_of(f, steps), expected));
        free(expected);
        receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':%d}", event_id_of(f, &m),
                 i + 1);
    }
    receive(f, "{'op':'refresh-ok','processed-tx-id':40,'computations':[]}");
    pass(f, 200);
    run_disk(f, disk);
    for (size_t i = 0; i < disk->count; i++) {
        assert_null(strstr(disk->entries[i].key, "pending"));
    }
    fixture_free(f);
    disk_free(disk);
}

/* Made offline against attrs that the server turns out to have under other ids. */
static void test_rewritten_after_restart(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    transact(f, WRITE("a", "1"));
    transact(f, WRITE("b", "2"));
    run_disk(f, disk);
    f = restarted(f, disk);
    authenticate(f);
    for (int i = 0; i < 2; i++) {
        struct inst_value m = sent_op(f, "transact");
        const char *steps = json_of(f, inst_getz(&m, "tx-steps"));
        char *title = text_of("'$ttitle'");
        assert_non_null(strstr(steps, title));
        assert_null(strstr(steps, "add-attr"));
        free(title);
    }
    pass(f, 200);
    take_requests(f, disk);
    size_t at = asked_at(disk, INST_DISK_WRITE, "kv", NULL);
    assert_null(strstr(disk->asked[at].pairs[0].value, "add-attr"));
    fixture_free(f);
    disk_free(disk);
}

/* Schema steps made offline and never sent survive the attrs that come with init-ok. */
static void test_attr_steps_survive(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct inst_value steps =
        value_of(f, "[['update-attr',{'id':'$ttitle','index?':true}],['delete-attr','$tdone']]");
    assert_int_equal(inst_reactor_transact_steps(f->r, &steps, NULL, NULL, NULL), INST_OK);
    run_disk(f, disk);
    f = restarted(f, disk);
    authenticate(f);
    struct inst_value m = sent_op(f, "transact");
    check_json(f, inst_getz(&m, "tx-steps"),
               "[['update-attr',{'id':'$ttitle','index?':true}],['delete-attr','$tdone']]");
    fixture_free(f);
    disk_free(disk);
}

/* ---- the end ---- */

/* In flight when the client is shut down: it is kept, and told so when it is. */
static void test_shutdown_keeps(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    sent_op(f, "transact");
    inst_reactor_shutdown(f->r);
    assert_int_equal(tx->data_count + tx->error_count, 0);
    assert_false(inst_reactor_is_flushed(f->r));
    run_disk(f, disk);
    assert_true(inst_reactor_is_flushed(f->r));
    assert_string_equal(tx->tx_status, "enqueued");
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    /* and when the disk refuses it then */
    tx = transact(f, WRITE("b", "mine"));
    inst_reactor_shutdown(f->r);
    disk->fail_writes = 1;
    run_disk(f, disk);
    assert_string_equal(tx->type, "storage-failed");
    assert_true(inst_reactor_is_flushed(f->r));
    fixture_free(f);
    disk_free(disk);
}

static void test_shutdown_before_loaded(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    inst_reactor_shutdown(f->r);
    assert_string_equal(tx->type, "shutdown");
    run_disk(f, disk);
    assert_true(inst_reactor_is_flushed(f->r));
    assert_null(PENDING);
    fixture_free(f);
    disk_free(disk);
}

static void test_silence(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct seen *tx = transact(f, WRITE("a", "mine"));
    inst_reactor_silence(f->r);
    inst_reactor_flush(f->r);
    run_disk(f, disk);
    assert_int_equal(tx->data_count, 0);
    assert_non_null(PENDING);
    fixture_free(f);
    disk_free(disk);
}

/* ---- a storage that cannot be read ---- */

static void test_unreadable(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    transact(f, WRITE("a", "kept"));
    run_disk(f, disk);
    f = killed(f, disk);
    struct seen *early = transact(f, WRITE("b", "early"));
    disk->fail_lists = 1;
    run_disk(f, disk);
    assert_non_null(strstr(f->log, "the storage cannot be read, going on without what it holds: "
                                   "the disk is full"));
    assert_string_equal(early->type, "storage-failed");
    authenticate(f); /* it goes on */
    struct seen *tx = transact(f, WRITE("b", "online"));
    struct inst_value m = sent_op(f, "transact");
    receivef(f, "{'op':'transact-ok','client-event-id':'%s','tx-id':7}", event_id_of(f, &m));
    assert_string_equal(tx->tx_status, "synced");
    pass(f, 5000);
    run_disk(f, disk);
    assert_non_null(strstr(PENDING, "kept")); /* and touches nothing */
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    fixture_free(f);
    disk_free(disk);
}

static void test_silent_storage(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    take_requests(f, disk);
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + INST_PERSIST_START_MS);
    pass(f, INST_PERSIST_START_MS);
    sent_op(f, "init");
    assert_non_null(strstr(f->log, "it does not answer"));
    /* too late, but harmless */
    while (disk->asked_count) {
        answer(f, disk, 0, NULL);
    }
    expect_silence(f);
    fixture_free(f);
    disk_free(disk);
}

/* Answers to the requests of a start in every order lead to the same. */
static void test_any_order(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "1"));
    pass(f, 2000);
    run_disk(f, disk);
    inst_reactor_closed(f->r);
    transact(f, WRITE("a", "mine"));
    run_disk(f, disk);
    for (unsigned seed = 0; seed < 200; seed++) {
        f = killed(f, disk);
        struct seen *s = subscribe(f, TODOS);
        unsigned dice = seed;
        take_requests(f, disk);
        while (disk->asked_count) {
            answer(f, disk, dice % disk->asked_count, NULL);
            dice = dice * 1103515245u + 12345u + seed;
            take_requests(f, disk);
        }
        check_data(s, 1, "{'todos':[{'id':'$a','title':'mine'}]}");
        assert_int_equal(inst_reactor_pending_count(f->r), 1);
    }
    fixture_free(f);
    disk_free(disk);
}

/* ---- values that are not ours ---- */

static void put_text(struct disk *disk, const char *store, const char *key, const char *text) {
    disk_put(disk, store, key, text, strlen(text));
}

static void test_set_aside(void **state) {
    (void)state;
    static const char *const bad[] = {
        "{\"version\":1,\"value",       /* cut off */
        "\xff\xfe",                     /* no text */
        "[[\"not\",\"ours\"]]",         /* foreign */
        "{\"version\":2,\"value\":[]}", /* newer */
        "{\"version\":1}",              /* empty */
        "",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct disk *disk = new_disk();
        put_text(disk, "kv", "pendingMutations", bad[i]);
        put_text(disk, "kv", "currentUser", bad[i]);
        put_text(disk, "querySubs", "__attrs", bad[i]);
        put_text(disk, "querySubs", "__meta", bad[i]);
        struct fixture *f = start_on(disk);
        run_disk(f, disk);
        assert_non_null(strstr(f->log, "pendingMutations of storage kv cannot be used"));
        assert_non_null(strstr(f->log, "is set aside: "));
        struct seen *tx = transact(f, WRITE("a", "mine"));
        run_disk(f, disk);
        assert_string_equal(tx->tx_status, "enqueued");
        assert_string_equal(disk_text(disk, "kv", "__aside_pendingMutations"), bad[i]);
        assert_string_equal(disk_text(disk, "kv", "__aside_currentUser"), bad[i]);
        assert_null(disk_text(disk, "kv", "currentUser"));
        pass(f, 2000);
        run_disk(f, disk);
        assert_string_equal(disk_text(disk, "querySubs", "__aside___attrs"), bad[i]);
        f = restarted(f, disk);
        assert_int_equal(inst_reactor_pending_count(f->r), 1);
        authenticate(f);
        fixture_free(f);
        disk_free(disk);
    }
}

/* A storage that was found damaged and started anew gets again what is known. */
static void test_started_anew(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct inst_value ann = value_of(f, "{'id':'ann','refresh_token':'t1'}");
    inst_reactor_set_user(f->r, &ann, NULL);
    transact(f, WRITE("a", "first"));
    run_disk(f, disk);
    while (disk->count > 0) {
        struct disk_entry *entry = &disk->entries[0];
        disk_put(disk, entry->store, entry->key, NULL, 0);
    }
    struct seen *tx = transact(f, WRITE("b", "second"));
    take_requests(f, disk);
    struct inst_err err = {0};
    inst_err_set(&err, "storage-failed", 0, "the file is damaged");
    struct inst_disk_answer damaged = {.err = &err, .is_anew = true};
    uint64_t id = disk->asked[0].id;
    disk->asked_count = 0;
    inst_reactor_disk_done(f->r, id, &damaged);
    inst_err_clear(&err);
    assert_int_equal(tx->error_count, 1);
    run_disk(f, disk);
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    assert_string_equal(inst_reactor_refresh_token(f->r), "t1");
    fixture_free(f);
    disk_free(disk);
}

/* Of a page whose one entry is damaged the others are still sent. */
static void test_half_a_page(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    transact(f, WRITE("a", "1"));
    transact(f, WRITE("b", "2"));
    run_disk(f, disk);
    char *text = strdup(PENDING);
    char *second = strstr(text, ",[\"");
    second = strstr(second + 1, "]],\"created\"");
    assert_non_null(second);
    char *event = strstr(second, "}],[\"");
    assert_non_null(event);
    event[5] = 'z'; /* no uuid any more */
    put_text(disk, "kv", "pendingMutations", text);
    free(text);
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    pass(f, 200);
    run_disk(f, disk);
    assert_non_null(disk_text(disk, "kv", "__aside_pendingMutations"));
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    fixture_free(f);
    disk_free(disk);
}

/* ---- results ---- */

static void test_shown_from_disk(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1") "," TODO("b", "two", "2"), "5"));
    assert_int_equal(inst_reactor_next_deadline(f->r), f->now + INST_PERSIST_CACHE_MS);
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    f = killed(f, disk);
    struct seen *s = subscribe(f, TODOS);
    assert_int_equal(s->data_count, 0);
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'},{'id':'$b','title':'two'}]}");
    /* the server's word replaces it */
    authenticate(f);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "6"));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
    disk_free(disk);
}

/* Without waiting for its time when the query goes; shown again without the server. */
static void test_unsubscribed(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    inst_reactor_unsubscribe(f->r, s->sub);
    sent_op(f, "remove-query");
    s = subscribe(f, TODOS); /* from what is still on its way to the disk */
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    inst_reactor_unsubscribe(f->r, s->sub);
    pass(f, INST_PERSIST_CACHE_MS);
    take_requests(f, disk);
    s = subscribe(f, TODOS); /* ... while it is being written */
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    inst_reactor_unsubscribe(f->r, s->sub);
    run_disk(f, disk);
    s = subscribe(f, TODOS);
    assert_int_equal(s->data_count, 0);
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
    disk_free(disk);
}

/* What came from the server meanwhile is newer than what the disk says late. */
static void test_memory_wins(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "old", "1"), "5"));
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    f = restarted(f, disk);
    authenticate(f);
    /* not preloaded any more once somebody has it */
    struct seen *first = subscribe(f, TODOS);
    sent_op(f, "add-query");
    check_data(first, 1, "{'todos':[{'id':'$a','title':'old'}]}");
    inst_reactor_unsubscribe(f->r, first->sub);
    sent_op(f, "remove-query");
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    take_requests(f, disk);
    receive(f, QUERY_OK(TODOS, TODO("a", "new", "1"), "6"));
    check_data(s, 1, "{'todos':[{'id':'$a','title':'new'}]}");
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'new'}]}");
    fixture_free(f);
    disk_free(disk);
}

/* Kept is what the server said, not what pending mutations make of it. */
static void test_kept_bare(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    transact(f, WRITE("a", "mine"));
    check_data(s, 2, "{'todos':[{'id':'$a','title':'mine'}]}");
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    for (size_t i = 0; i < disk->count; i++) {
        if (strcmp(disk->entries[i].store, "querySubs") == 0) {
            assert_null(strstr(disk->entries[i].text, "mine"));
        }
    }
    struct seen *other = subscribe(f, TODOS); /* the layers are back */
    check_data(other, 1, "{'todos':[{'id':'$a','title':'mine'}]}");
    assert_int_equal(s->data_count, 2);
    fixture_free(f);
    disk_free(disk);
}

static void test_page_info(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, "{'todos':{'$':{'limit':1}}}");
    sent_op(f, "add-query");
    receive(f, "{'op':'add-query-ok','q':{'todos':{'$':{'limit':1}}},'processed-tx-id':3,'result':"
               "[{'data':{'page-info':{'todos':{'start-cursor':['$a','$tid','$a',1],"
               "'end-cursor':['$a','$tid','$a',1],'has-next-page?':true,'has-previous-page?':false}"
               "},'datalog-result':{'join-rows':[[" TODO("a", "one", "1") "]]}},"
                                                                          "'child-nodes':[]}]}");
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    f = killed(f, disk);
    struct seen *s = subscribe(f, "{'todos':{'$':{'limit':1}}}");
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a','title':'one'}]}");
    assert_non_null(strstr(s->page_info, "\"hasNextPage\":true"));
    fixture_free(f);
    disk_free(disk);
}

/* The newest are there before anybody asks. */
static void test_preload(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    char q[100];
    for (int i = 0; i < 15; i++) {
        snprintf(q, sizeof(q), "{'todos':{'$':{'where':{'title':'t%d'}}}}", i);
        struct seen *s = subscribe(f, q);
        sent_op(f, "add-query");
        receivef(f,
                 "{'op':'add-query-ok','q':%s,'result':[{'data':{'datalog-result':{'join-rows':"
                 "[[['$a','$tid','$a',1],['$a','$ttitle','t%d',1]]]}},'child-nodes':[]}],"
                 "'processed-tx-id':1}",
                 q, i);
        inst_reactor_unsubscribe(f->r, s->sub);
        sent_op(f, "remove-query");
        pass(f, INST_PERSIST_CACHE_MS);
        run_disk(f, disk);
    }
    f = killed(f, disk);
    disk->loads = 0;
    run_disk(f, disk);
    assert_int_equal(disk->loads, 4 + INST_PERSIST_PRELOAD); /* user, attrs, two metas */
    disk->loads = 0;
    struct seen *s = subscribe(f, q);
    assert_int_equal(s->data_count, 1);
    s = subscribe(f, "{'todos':{'$':{'where':{'title':'t0'}}}}");
    assert_int_equal(s->data_count, 0);
    run_disk(f, disk);
    assert_int_equal(s->data_count, 1);
    assert_int_equal(disk->loads, 1);
    fixture_free(f);
    disk_free(disk);
}

/* Triples of attrs that are not kept wait for the server to tell of them. */
static void test_unknown_attrs(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    char *attrs = text_of("{'version':1,'value':[{'id':'$tid','forward-identity':['$ftid','todos',"
                          "'id'],'value-type':'blob','cardinality':'one','unique?':true,"
                          "'index?':false}]}");
    put_text(disk, "querySubs", "__attrs", attrs);
    free(attrs);
    f = killed(f, disk);
    struct seen *s = subscribe(f, TODOS);
    run_disk(f, disk);
    check_data(s, 1, "{'todos':[{'id':'$a'}]}");
    authenticate(f);
    check_data(s, 2, "{'todos':[{'id':'$a','title':'one'}]}");
    fixture_free(f);
    disk_free(disk);
}

/* ---- limits ---- */

static void meta_of(struct inst_buf *buf, int count, int size) {
    inst_buf_init(buf);
    inst_buf_add_str(buf, "{\"version\":1,\"value\":{\"objects\":{");
    for (int i = 0; i < count; i++) {
        inst_buf_addf(buf, "%s\"%016x\":{\"createdAt\":%d,\"updatedAt\":%lld,\"size\":%d}",
                      i ? "," : "", i, i, 1690000000000LL + i, size);
    }
    inst_buf_add_str(buf, "}}}");
}

static size_t count_in(struct disk *disk, const char *store) {
    size_t count = 0;
    for (size_t i = 0; i < disk->count; i++) {
        count += strcmp(disk->entries[i].store, store) == 0 && disk->entries[i].key[0] != '_';
    }
    return count;
}

/* GC with `count` results of `size` triples each; how many are left. */
static size_t collect(int count, int size, int64_t later, const char **kept) {
    struct disk *disk = new_disk();
    struct inst_buf meta;
    char key[20];
    meta_of(&meta, count, size);
    disk_put(disk, "querySubs", "__meta", meta.data, meta.len);
    inst_buf_free(&meta);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%016x", i);
        put_text(disk, "querySubs", key, "{\"version\":1,\"value\":{}}");
    }
    put_text(disk, "querySubs", "unknown", "x");
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    f->now += later;
    pass(f, INST_PERSIST_GC_MS);
    run_disk(f, disk);
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    snprintf(key, sizeof(key), "%016x", count - 1); /* the newest of them */
    *kept = disk_text(disk, "querySubs", key) ? "newest" : "none";
    assert_null(disk_text(disk, "querySubs", "unknown"));
    assert_non_null(disk_text(disk, "querySubs", "__attrs"));
    size_t left = count_in(disk, "querySubs");
    f = restarted(f, disk); /* meta says the same */
    assert_int_equal(count_in(disk, "querySubs"), left);
    fixture_free(f);
    disk_free(disk);
    return left;
}

static void test_gc(void **state) {
    (void)state;
    const char *kept;
    assert_int_equal(collect(1005, 1, 0, &kept), INST_PERSIST_MAX_ENTRIES - 1); /* and attrs */
    assert_string_equal(kept, "newest");
    assert_int_equal(collect(10, 300000, 0, &kept), 3 + 1); /* three of them and the live one */
    assert_string_equal(kept, "newest");
    assert_int_equal(collect(10, 1, 2 * INST_PERSIST_MAX_AGE_MS, &kept), 1); /* the live one */
    assert_string_equal(kept, "none");
    assert_int_equal(collect(10, 1, 0, &kept), 11);
}

/* ---- the user ---- */

static void on_user(void *ctx, const struct inst_value *user) {
    struct seen *s = ctx;
    s->data_count++;
    s->data = user ? json_of(s->f, user) : "nobody";
}

static struct seen *watch_user(struct fixture *f) {
    struct seen *s = inst_arena_zalloc(&f->arena, sizeof(*s));
    s->f = f;
    assert_int_equal(inst_reactor_subscribe_user(f->r, on_user, s, &s->sub, NULL), INST_OK);
    return s;
}

static void set_user(struct fixture *f, const char *record) {
    struct inst_value v = value_of(f, record);
    assert_int_equal(inst_reactor_set_user(f->r, &v, NULL), INST_OK);
}

static void test_user_is_kept(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    struct seen *u = watch_user(f);
    assert_int_equal(u->data_count, 0);
    run_disk(f, disk);
    assert_string_equal(u->data, "nobody");
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    run_disk(f, disk);
    f = restarted(f, disk);
    u = watch_user(f);
    assert_string_equal(u->data, "{\"id\":\"ann\",\"refresh_token\":\"t1\"}");
    struct inst_value init = open_transport(f);
    assert_true(inst_is_string(inst_getz(&init, "refresh-token"), "t1"));
    inst_reactor_set_user(f->r, NULL, NULL);
    run_disk(f, disk);
    f = restarted(f, disk);
    assert_string_equal(watch_user(f)->data, "nobody");
    fixture_free(f);
    disk_free(disk);
}

/* Set before the storage was read: it wins over who was kept. */
static void test_user_before_loaded(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    transact(f, WRITE("a", "hers"));
    run_disk(f, disk);
    f = killed(f, disk);
    set_user(f, "{'id':'bob','refresh_token':'t2'}");
    run_disk(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 0); /* hers are not sent as his */
    f = restarted(f, disk);
    assert_string_equal(inst_reactor_refresh_token(f->r), "t2");
    fixture_free(f);
    disk_free(disk);
}

/* What one user was shown and wrote is neither shown to another nor sent as theirs, even when the
 * process dies before anything could be removed. */
static void test_other_user(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    authenticate(f);
    struct seen *s = subscribe(f, TODOS);
    sent_op(f, "add-query");
    receive(f, QUERY_OK(TODOS, TODO("a", "hers", "1"), "5"));
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    inst_reactor_closed(f->r);
    struct seen *tx = transact(f, WRITE("a", "hers too"));
    run_disk(f, disk);
    assert_string_equal(tx->tx_status, "enqueued");
    /* only who is signed in reaches the disk */
    char *bob = text_of("{'version':1,'value':{'id':'bob','refresh_token':'t2'}}");
    put_text(disk, "kv", "currentUser", bob);
    free(bob);
    f = killed(f, disk);
    s = subscribe(f, TODOS);
    run_disk(f, disk);
    assert_int_equal(s->data_count, 0);
    assert_int_equal(inst_reactor_pending_count(f->r), 0);
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    assert_null(PENDING);
    assert_int_equal(count_in(disk, "querySubs"), 0);
    fixture_free(f);
    disk_free(disk);
}

static void test_user_changed(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    authenticate(f);
    struct seen *s = subscribe(f, "{'people':{}}");
    inst_reactor_unsubscribe(f->r, s->sub);
    s = subscribe(f, TODOS);
    receive(f, QUERY_OK("{'people':{}}", "['$p','$pid','$p',1]", "5"));
    receive(f, QUERY_OK(TODOS, TODO("a", "hers", "1"), "5"));
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    inst_reactor_closed(f->r);
    transact(f, WRITE("a", "hers too"));
    run_disk(f, disk);
    set_user(f, "{'id':'bob','refresh_token':'t2'}");
    run_disk(f, disk);
    assert_null(strstr(PENDING, "hers")); /* only that it failed */
    pass(f, INST_PERSIST_CACHE_MS);
    run_disk(f, disk);
    assert_null(PENDING);
    run_disk(f, disk);
    assert_int_equal(count_in(disk, "querySubs"), 0);
    assert_non_null(disk_text(disk, "querySubs", "__attrs"));
    f = restarted(f, disk);
    assert_string_equal(inst_reactor_refresh_token(f->r), "t2");
    fixture_free(f);
    disk_free(disk);
}

/* First known by the token alone, then by name: it is the same person's still. */
static void test_renamed(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    inst_reactor_set_refresh_token(f->r, "t1", NULL);
    transact(f, WRITE("a", "mine"));
    run_disk(f, disk);
    set_user(f, "{'id':'ann','refresh_token':'t1'}");
    run_disk(f, disk);
    f = restarted(f, disk);
    assert_int_equal(inst_reactor_pending_count(f->r), 1);
    fixture_free(f);
    disk_free(disk);
}

/* With a vault the host says who it is; nothing of it is on this disk. */
static void test_vault(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct inst_reactor_config config = {
        .app_id = APP_ID, .has_storage = true, .awaits_user = true};
    struct fixture *f = fixture_new(&config);
    run_disk(f, disk);
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    f->now += 2 * INST_PERSIST_START_MS; /* a person types the passphrase */
    pass(f, 0);
    expect_silence(f);
    struct inst_value ann = value_of(f, "{'id':'ann','refresh_token':'t1'}");
    inst_reactor_user_loaded(f->r, &ann, NULL);
    run_disk(f, disk);
    sent_op(f, "init");
    inst_reactor_closed(f->r);
    transact(f, WRITE("a", "mine"));
    run_disk(f, disk);
    assert_non_null(PENDING);
    assert_null(disk_text(disk, "kv", "currentUser"));
    for (size_t i = 0; i < disk->count; i++) {
        assert_null(strstr(disk->entries[i].text, "t1"));
    }
    fixture_free(f);
    disk_free(disk);
}

/* ---- local ids ---- */

static void on_local_id(void *ctx, const char *id, const struct inst_reactor_error *error) {
    struct seen *s = ctx;
    assert_true((id == NULL) != (error == NULL));
    if (error) {
        see_error(s, error);
        return;
    }
    s->data_count++;
    snprintf(s->event_id, sizeof(s->event_id), "%s", id);
}

static struct seen *local_id(struct fixture *f, const char *name) {
    struct seen *s = inst_arena_zalloc(&f->arena, sizeof(*s));
    s->f = f;
    assert_int_equal(inst_reactor_local_id(f->r, name, strlen(name), on_local_id, s, NULL),
                     INST_OK);
    return s;
}

static void test_local_id(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    struct seen *a = local_id(f, "guest"), *b = local_id(f, "guest");
    struct seen *other = local_id(f, "é other/name");
    assert_int_equal(a->data_count, 0);
    run_disk(f, disk);
    struct seen *c = local_id(f, "guest");
    assert_int_equal(c->data_count, 1);
    assert_string_equal(a->event_id, b->event_id);
    assert_string_equal(a->event_id, c->event_id);
    assert_string_not_equal(a->event_id, other->event_id);
    char id[64];
    memcpy(id, a->event_id, sizeof(id));
    f = killed(f, disk);
    a = local_id(f, "guest");
    run_disk(f, disk);
    assert_string_equal(a->event_id, id);
    /* not told before it is safe */
    a = local_id(f, "late");
    take_requests(f, disk);
    answer(f, disk, 0, NULL);
    take_requests(f, disk);
    b = local_id(f, "late");
    assert_int_equal(a->data_count + b->data_count, 0);
    answer(f, disk, 0, NULL);
    run_disk(f, disk);
    assert_int_equal(a->data_count + b->data_count, 2);
    assert_string_equal(a->event_id, b->event_id);
    fixture_free(f);
    disk_free(disk);
}

static void test_local_id_fails(void **state) {
    (void)state;
    struct disk *disk = new_disk();
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    disk->fail_writes = 1;
    struct seen *a = local_id(f, "guest");
    run_disk(f, disk);
    assert_string_equal(a->error, "The id could not be kept: the disk is full");
    struct seen *b = local_id(f, "guest");
    run_disk(f, disk);
    assert_int_equal(b->data_count, 1);
    disk->fail_loads = 1;
    a = local_id(f, "other");
    run_disk(f, disk);
    assert_int_equal(a->error_count, 1);
    a = local_id(f, "other");
    run_disk(f, disk);
    assert_int_equal(a->data_count, 1);
    put_text(disk, "kv", "localToken_odd", "{\"version\":1,\"value\":7}");
    a = local_id(f, "odd");
    run_disk(f, disk);
    assert_int_equal(a->data_count, 1);
    pass(f, 200);
    run_disk(f, disk);
    assert_non_null(disk_text(disk, "kv", "__aside_localToken_odd"));
    char name[INST_LOCAL_ID_MAX_NAME + 2];
    memset(name, 'n', sizeof(name));
    assert_int_equal(inst_reactor_local_id(f->r, name, sizeof(name) - 1, on_local_id, a, NULL),
                     INST_FAILED);
    assert_int_equal(inst_reactor_local_id(f->r, "a\0b", 3, on_local_id, a, NULL), INST_FAILED);
    a = local_id(f, "never");
    inst_reactor_shutdown(f->r);
    assert_string_equal(a->type, "shutdown");
    fixture_free(f);
    disk_free(disk);
}

static void test_local_id_without_storage(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct seen *a = local_id(f, "guest"), *b = local_id(f, "guest"), *c = local_id(f, "");
    assert_int_equal(a->data_count, 1);
    assert_string_equal(a->event_id, b->event_id);
    assert_string_not_equal(a->event_id, c->event_id);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_when_durable),
        cmocka_unit_test(test_many_in_one_write),
        cmocka_unit_test(test_resent_after_restart),
        cmocka_unit_test(test_before_loaded),
        cmocka_unit_test(test_not_kept),
        cmocka_unit_test(test_sent_before_refused),
        cmocka_unit_test(test_online),
        cmocka_unit_test(test_failure_waits),
        cmocka_unit_test(test_failure_outlives),
        cmocka_unit_test(test_confirmed_is_kept),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_rewritten_after_restart),
        cmocka_unit_test(test_attr_steps_survive),
        cmocka_unit_test(test_shutdown_keeps),
        cmocka_unit_test(test_shutdown_before_loaded),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_silent_storage),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_set_aside),
        cmocka_unit_test(test_half_a_page),
        cmocka_unit_test(test_started_anew),
        cmocka_unit_test(test_shown_from_disk),
        cmocka_unit_test(test_unsubscribed),
        cmocka_unit_test(test_memory_wins),
        cmocka_unit_test(test_kept_bare),
        cmocka_unit_test(test_page_info),
        cmocka_unit_test(test_preload),
        cmocka_unit_test(test_unknown_attrs),
        cmocka_unit_test(test_gc),
        cmocka_unit_test(test_user_is_kept),
        cmocka_unit_test(test_user_before_loaded),
        cmocka_unit_test(test_other_user),
        cmocka_unit_test(test_user_changed),
        cmocka_unit_test(test_renamed),
        cmocka_unit_test(test_vault),
        cmocka_unit_test(test_local_id),
        cmocka_unit_test(test_local_id_fails),
        cmocka_unit_test(test_local_id_without_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
