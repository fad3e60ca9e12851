/*
 * Memory runs out for good at every place of a run on a storage in turn: nothing crashes or leaks,
 * and the next run, which has memory, finds what was accepted before and during it.
 */
#include "client_disk.h"
#include "oom.h"

#define TODOS "{'todos':{}}"

struct promise {
    int told;
    bool is_enqueued;
    char event_id[64];
};

static void on_told(void *ctx, const struct inst_transact_result *result,
                    const struct inst_reactor_error *error) {
    struct promise *p = ctx;
    (void)error;
    p->told++;
    if (result) {
        p->is_enqueued = strcmp(result->status, "enqueued") == 0;
        snprintf(p->event_id, sizeof(p->event_id), "%s", result->event_id);
    }
}

static void on_any_query(void *ctx, const struct inst_query_result *result,
                         const struct inst_reactor_error *error) {
    (void)ctx;
    (void)result;
    (void)error;
}

static void on_any_id(void *ctx, const char *id, const struct inst_reactor_error *error) {
    (void)id;
    (void)error;
    ((struct promise *)ctx)->told++;
}

struct scene {
    struct fixture *f;
    struct disk *disk;
    struct inst_value todos, people, chunk, user;
    char *init_ok, *answer;
};

static void prepare(struct scene *s) {
    struct fixture *f = s->f;
    s->init_ok = text_of(INIT_OK);
    s->answer = text_of(QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    s->todos = value_of(f, TODOS);
    s->people = value_of(f, "{'people':{}}");
    s->user = value_of(f, "{'id':'ann','refresh_token':'t2','email':'a@b.c'}");
    struct inst_object_builder b;
    inst_object_begin(&b, &f->arena);
    inst_object_addz(&b, "__ops", value_of(f, "[['update','todos','$a',{'title':'mine'}]]"));
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

static void play(struct scene *s, struct promise p[4]) {
    struct inst_reactor *r = s->f->r;
    uint64_t id, second;
    p[0].told = inst_reactor_transact(r, &s->chunk, on_told, &p[0], NULL) != INST_OK;
    inst_reactor_subscribe_query(r, &s->todos, NULL, on_any_query, s, &id, NULL);
    run_disk(s->f, s->disk);
    p[1].told = inst_reactor_transact(r, &s->chunk, on_told, &p[1], NULL) != INST_OK;
    p[3].told = inst_reactor_local_id(r, "guest", 5, on_any_id, &p[3], NULL) != INST_OK;
    run_disk(s->f, s->disk);
    drain(s);
    inst_reactor_message(r, s->init_ok, strlen(s->init_ok));
    inst_reactor_message(r, s->answer, strlen(s->answer));
    inst_reactor_subscribe_query(r, &s->people, NULL, on_any_query, s, &second, NULL);
    p[2].told = inst_reactor_transact(r, &s->chunk, on_told, &p[2], NULL) != INST_OK;
    drain(s);
    inst_reactor_set_user(r, &s->user, NULL);
    for (int i = 0; i < 3; i++) {
        s->f->now += 40000;
        inst_reactor_tick(r);
        run_disk(s->f, s->disk);
    }
    inst_reactor_unsubscribe(r, id);
    inst_reactor_shutdown(r);
    run_disk(s->f, s->disk);
    run_disk(s->f, s->disk);
}

static bool is_kept(struct disk *disk, const char *event_id) {
    for (size_t i = 0; i < disk->count; i++) {
        if (strncmp(disk->entries[i].key, "pendingMutations", 16) == 0 &&
            strstr(disk->entries[i].text, event_id)) {
            return true;
        }
    }
    return false;
}

/* A disk with a user, a result and two writes made offline. */
static void fill(struct disk *disk, char kept_id[64]) {
    struct fixture *f = start_on(disk);
    run_disk(f, disk);
    struct inst_value ann = value_of(f, "{'id':'ann','refresh_token':'t1'}");
    inst_reactor_set_user(f->r, &ann, NULL);
    authenticate(f);
    subscribe(f, TODOS);
    receive(f, QUERY_OK(TODOS, TODO("a", "one", "1"), "5"));
    pass(f, 2000);
    run_disk(f, disk);
    inst_reactor_closed(f->r);
    struct seen *tx = transact(f, "[['update','todos','$a',{'title':'first'}]]");
    transact(f, "[['update','todos','$b',{'title':'second'}]]");
    run_disk(f, disk);
    assert_string_equal(tx->tx_status, "enqueued");
    memcpy(kept_id, tx->event_id, 64);
    fixture_free(f);
}

static void test_out_of_memory(void **state) {
    (void)state;
    bool had_failure = true;
    long failures = 0;
    for (long n = 0; had_failure; n++) {
        struct disk *disk = calloc(1, sizeof(*disk));
        assert_non_null(disk);
        char kept_id[64];
        fill(disk, kept_id);
        struct scene s = {.f = start_on(disk), .disk = disk};
        struct promise p[4] = {0};
        prepare(&s);
        oom_after(n);
        play(&s, p);
        had_failure = oom_left == 0;
        oom_off();
        failures += had_failure;
        run_disk(s.f, disk); /* what could not be asked for before */
        for (int i = 0; i < 4; i++) {
            assert_true(p[i].told <= 1);
            assert_true(!p[i].is_enqueued || is_kept(disk, p[i].event_id));
        }
        free(s.init_ok);
        free(s.answer);
        fixture_free(s.f);
        assert_true(is_kept(disk, kept_id));
        struct fixture *f = start_on(disk);
        run_disk(f, disk);
        assert_true(inst_reactor_pending_count(f->r) >= 2);
        const char *token = inst_reactor_refresh_token(f->r);
        assert_true(token && (strcmp(token, "t1") == 0 || strcmp(token, "t2") == 0));
        fixture_free(f);
        disk_free(disk);
    }
    assert_true(failures > 100);
    print_message("%ld places\n", failures);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
