/* Sync tables on a disk: a client goes on where another one stopped. */
#include "client_disk.h"

#include "client/persist.h"
#include "client/sync_tables.h"
#include "instaql/hash.h"

#define KEPT disk_text(disk, "syncSubs", key_of_todos())
#define START_OK                                                                                   \
    "{'op':'start-sync-ok','q':{'todos':{}},'client-event-id':'%s',"                               \
    "'subscription-id':'$sync','token':'$token'}"
#define TX(tx, changes)                                                                            \
    "{'op':'sync-update-triples','subscription-id':'$sync','txes':[{'tx-id':" tx                   \
    ",'changes':[" changes "]}]}"

struct heard {
    struct fixture *f;
    struct inst_buf log;
    uint64_t sub;
};

static void on_event(void *ctx, const struct inst_sync_event *event) {
    struct heard *h = ctx;
    const struct inst_value *data = inst_sync_event_data(event);
    const struct inst_value *todos = inst_getz(data, "todos");
    inst_buf_addf(&h->log, "%s %u\n", event->type, todos ? todos->len : 0);
}

static struct inst_value query(struct fixture *f) { return value_of(f, "{'todos':{}}"); }

static const char *key_of_todos(void) {
    static char key[INST_QUERY_HASH_TEXT + 1];
    struct inst_member members[] = {{"todos", 5, inst_object(NULL, 0)}};
    struct inst_value q = inst_object(members, 1);
    assert_true(inst_query_hash(&q, key));
    return key;
}

static struct heard *follow(struct fixture *f) {
    struct heard *h = inst_arena_zalloc(&f->arena, sizeof(*h));
    struct inst_value q = query(f);
    struct inst_err err = {0};
    h->f = f;
    inst_buf_init(&h->log);
    assert_int_equal(inst_reactor_subscribe_table(f->r, &q, on_event, h, &h->sub, &err), INST_OK);
    return h;
}

static void expect_heard(struct heard *h, const char *wanted) {
    assert_string_equal(h->log.data ? h->log.data : "", wanted);
    inst_buf_free(&h->log);
}

static void wait_for_disk(struct fixture *f, struct disk *disk) {
    f->now += INST_PERSIST_CACHE_MS + 1;
    inst_reactor_tick(f->r);
    run_disk(f, disk);
}

/* Two todos at transaction 5, on the disk. */
static struct fixture *with_two(struct disk *disk, struct heard **h) {
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    authenticate(f);
    *h = follow(f);
    run_disk(f, disk);
    struct inst_value start = sent_op(f, "start-sync");
    char *id = json_of(f, inst_getz(&start, "client-event-id"));
    id[strlen(id) - 1] = '\0';
    receivef(f, START_OK, id + 1);
    receive(f, "{'op':'sync-load-batch','subscription-id':'$sync','join-rows':[[" TODO(
                   "a", "A", "1") "],[" TODO("b", "B", "2") "]]}");
    receive(f, "{'op':'sync-init-finish','subscription-id':'$sync','tx-id':5}");
    expect_heard(*h, "InitialSyncBatch 2\nInitialSyncComplete 2\n");
    wait_for_disk(f, disk);
    assert_non_null(KEPT);
    return f;
}

static struct disk *new_disk(void) {
    struct disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    return disk;
}

static void goes_on_after_a_restart(void **state) {
    struct disk *disk = new_disk();
    struct heard *h;
    (void)state;
    struct fixture *f = with_two(disk, &h);
    f = killed(f, disk);
    h = follow(f);
    run_disk(f, disk);
    expect_heard(h, "LoadFromStorage 2\n"); /* before there is a connection */
    authenticate(f);
    struct inst_value resync = sent_op(f, "resync-table");
    assert_string_equal(json_of(f, inst_getz(&resync, "tx-id")), "5");
    char *token = text_of("'$token'");
    assert_string_equal(json_of(f, inst_getz(&resync, "token")), token);
    free(token);
    receive(f, TX("6", "{'action':'removed','triple':['$a','$todos.id','$a',1]}"));
    expect_heard(h, "SyncTransaction 1\n");
    wait_for_disk(f, disk);
    assert_non_null(strstr(KEPT, "\"txId\":6"));
    fixture_free(f);
    disk_free(disk);
}

static void keeps_only_what_is_asked_for(void **state) {
    struct disk *disk = new_disk();
    struct heard *h;
    (void)state;
    struct fixture *f = with_two(disk, &h);
    inst_reactor_unsubscribe_table(f->r, h->sub, true);
    sent_op(f, "remove-sync");
    wait_for_disk(f, disk);
    assert_non_null(KEPT);
    h = follow(f);
    run_disk(f, disk);
    expect_heard(h, "LoadFromStorage 2\n");
    sent_op(f, "resync-table");
    inst_reactor_unsubscribe_table(f->r, h->sub, false);
    wait_for_disk(f, disk);
    assert_null(KEPT);
    fixture_free(f);
    disk_free(disk);
}

static void does_not_keep_what_the_server_forgot(void **state) {
    struct disk *disk = new_disk();
    struct heard *h;
    (void)state;
    struct fixture *f = with_two(disk, &h);
    f = killed(f, disk);
    h = follow(f);
    run_disk(f, disk);
    authenticate(f);
    expect_heard(h, "LoadFromStorage 2\n");
    sent_op(f, "resync-table");
    receive(f, "{'op':'error','status':400,'type':'record-not-found','message':'gone',"
               "'original-event':{'op':'resync-table','subscription-id':'$sync'}}");
    sent_op(f, "remove-sync");
    sent_op(f, "start-sync");
    wait_for_disk(f, disk);
    assert_null(KEPT);
    fixture_free(f);
    disk_free(disk);
}

static void starts_over_when_nothing_can_be_read(void **state) {
    static const char *const texts[] = {
        "{", "{\"version\":1,\"user\":null,\"value\":{}}",
        "{\"version\":1,\"user\":null,\"value\":{\"q\":{\"todos\":{}},\"id\":1}}"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) + 1; i++) {
        struct disk *disk = new_disk();
        struct heard *h;
        struct fixture *f = with_two(disk, &h);
        fixture_free(f);
        bool fails = i == sizeof(texts) / sizeof(texts[0]);
        if (!fails) {
            disk_put(disk, "syncSubs", key_of_todos(), texts[i], strlen(texts[i]));
        }
        f = start_on(disk);
        run_disk(f, disk);
        disk->fail_loads = fails;
        h = follow(f);
        run_disk(f, disk);
        authenticate(f);
        expect_heard(h, "");
        sent_op(f, "start-sync");
        fixture_free(f);
        disk_free(disk);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_after_a_restart),
        cmocka_unit_test(keeps_only_what_is_asked_for),
        cmocka_unit_test(does_not_keep_what_the_server_forgot),
        cmocka_unit_test(starts_over_when_nothing_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
