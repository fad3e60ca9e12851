/*
 * The machine stops at every sync of a short workload, several times each with other losses. After
 * a restart every acknowledged group is there, none is half there, and the indexes agree.
 *
 * Transaction n makes note n with title `n`, a body, a link from note n-1's author to it and a log
 * record; every third one also overwrites the title of note 1; every fifth is undone.
 */
#include "io_app_db_fixture.h"

#include "../sim/crash_vfs.h"

#define GROUPS 12
#define SEEDS 6

struct run {
    struct fixture f;
    struct crash_vfs *vfs;
    struct inst_sqlite_options options;
    int64_t acked; /* last transaction whose group's commit returned */
    int64_t sent;  /* last transaction of a group whose commit was begun */
};

#define step(call)                                                                                 \
    do {                                                                                           \
        if ((call) != INST_OK) {                                                                   \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool retitle_first(struct run *run, uint32_t n) {
    struct inst_app_db *db = run->f.db;
    struct inst_scan scan = {.attr = attr_of(db, A_TITLE), .e = 1};
    struct inst_cursor cursor;
    struct inst_triple old;
    struct inst_value v = inst_number(1000 + n);
    step(db->store.ops->scan(&db->store, &scan, &cursor, &run->f.err));
    int found = db->store.ops->next(&cursor, &old, &run->f.err);
    enum inst_status status =
        found == 1 ? db->db_ops->put(db, 1, scan.attr, &v, 0, old.t, &old, &run->f.err)
                   : INST_FAILED;
    db->store.ops->close(&cursor);
    return status == INST_OK;
}

static bool transact(struct run *run, int64_t tx_id) {
    struct inst_app_db *db = run->f.db;
    struct inst_err *err = &run->f.err;
    struct inst_uuid id = uuid_of((uint32_t)tx_id);
    struct inst_value title = inst_number((double)tx_id), none = inst_undefined();
    char body[3000];
    uint32_t e;
    bool is_new;
    memset(body, 'a' + (int)(tx_id % 26), sizeof body);
    struct inst_value text = inst_string(body, sizeof body);
    step(db->db_ops->make_entity(db, &id, &e, &is_new, err));
    if (!is_new) {
        return false;
    }
    step(db->db_ops->put(db, e, attr_of(db, A_ID), &none, e, tx_id, NULL, err));
    step(db->db_ops->put(db, e, attr_of(db, A_TITLE), &title, 0, tx_id, NULL, err));
    step(db->db_ops->put(db, e, attr_of(db, A_BODY), &text, 0, tx_id, NULL, err));
    if (tx_id > 1) {
        step(db->db_ops->put(db, e - 1, attr_of(db, A_AUTHOR), &none, e, tx_id, NULL, err));
    }
    if (tx_id % 3 == 0 && !retitle_first(run, (uint32_t)tx_id)) {
        return false;
    }
    struct inst_log_record record = {.tx_id = tx_id,
                                     .at_ms = tx_id,
                                     .event = &id,
                                     .who = "null",
                                     .who_len = 4,
                                     .changes = "[]",
                                     .changes_len = 2};
    step(db->db_ops->append_log(db, &record, err));
    return true;
}

static bool write_group(struct run *run, int n) {
    struct inst_app_db *db = run->f.db;
    step(db->db_ops->begin(db, &run->f.err));
    for (int i = 0; i < 1 + n % 3; i++) {
        int64_t tx_id = db->db_ops->last_tx_id(db) + 1;
        if (tx_id % 5 == 0) {
            /* Once for nothing: it leaves no trace. */
            step(db->db_ops->savepoint(db, &run->f.err));
            if (!transact(run, tx_id)) {
                return false;
            }
            step(db->db_ops->undo(db, &run->f.err));
        }
        step(db->db_ops->savepoint(db, &run->f.err));
        if (!transact(run, tx_id)) {
            return false;
        }
        step(db->db_ops->release(db, &run->f.err));
    }
    run->sent = db->db_ops->last_tx_id(db);
    step(db->db_ops->commit(db, &run->f.err));
    run->acked = run->sent;
    return true;
}

static bool open_it(struct run *run) {
    struct fixture *f = &run->f;
    if (inst_sqlite_app_db_open("app.db", &run->options, &f->db, &f->err) != INST_OK) {
        f->db = NULL;
        return false;
    }
    struct inst_attrs *attrs = NULL;
    step(f->db->db_ops->load_attrs(f->db, &attrs, &f->err));
    inst_attrs_unref(f->db->store.attrs);
    f->db->store.attrs = attrs;
    return true;
}

static bool save_catalog(struct run *run) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value list = json_of(&arena, fixture_attrs);
    struct inst_attrs *attrs = NULL;
    struct inst_app_db *db = run->f.db;
    must(inst_attrs_new(&list, &attrs, &run->f.err), &run->f.err);
    bool is_ok = db->db_ops->begin(db, &run->f.err) == INST_OK;
    for (uint32_t i = 0; is_ok && i < list.len; i++) {
        struct inst_buf json;
        uint32_t row = 0;
        inst_buf_init(&json);
        inst_json_write(&json, &list.u.items[i]);
        is_ok = db->db_ops->save_attr(db, inst_attrs_at(attrs, i), json.data, json.len, false, &row,
                                      &run->f.err) == INST_OK;
        inst_buf_free(&json);
    }
    is_ok = is_ok && db->db_ops->commit(db, &run->f.err) == INST_OK;
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
    return is_ok;
}

/* From making the file to closing it; stops where the machine does. */
static void workload(struct run *run, int groups) {
    bool is_ok = open_it(run);
    if (is_ok && inst_attrs_count(run->f.db->store.attrs) == 0) {
        is_ok = save_catalog(run);
        close_file(&run->f);
        is_ok = is_ok && open_it(run);
    }
    for (int i = 0; is_ok && i < groups; i++) {
        is_ok = write_group(run, i);
    }
    close_file(&run->f);
}

/* Exactly the transactions up to some whole group are there. */
static void assert_whole(struct run *run, const char *when) {
    struct fixture *f = &run->f;
    crash_vfs_crash_at_sync(run->vfs, 0);
    crash_vfs_restart(run->vfs);
    if (!open_it(run)) {
        fail_msg("%s: %s", when, f->err.message);
    }
    if (inst_sqlite_app_db_check(f->db, &f->err) != INST_OK) {
        fail_msg("%s: %s", when, f->err.message);
    }
    int64_t last = f->db->db_ops->last_tx_id(f->db);
    if (last < run->acked || last > run->sent) {
        fail_msg("%s: acknowledged %d, sent %d, found %d", when, (int)run->acked, (int)run->sent,
                 (int)last);
    }
    if (last != run->acked && last != run->sent) {
        fail_msg("%s: half a group is there", when);
    }
    if (inst_attrs_count(f->db->store.attrs) == 0) {
        assert_int_equal(last, 0);
        close_file(f);
        return;
    }
    struct inst_store *store = &f->db->store;
    struct inst_scan notes = {.attr = attr_of(f->db, A_ID)},
                     links = {.attr = attr_of(f->db, A_AUTHOR)},
                     titles = {.attr = attr_of(f->db, A_TITLE)};
    assert_int_equal(store->ops->estimate(store, &notes, 1000), last);
    assert_int_equal(store->ops->estimate(store, &titles, 1000), last);
    assert_int_equal(store->ops->estimate(store, &links, 1000), last ? last - 1 : 0);
    if (last >= 3) {
        titles.has_v = true;
        titles.v = inst_number((double)(1000 + last - last % 3));
        assert_int_equal(store->ops->estimate(store, &titles, 10), 1);
    }
    close_file(f);
}

static void free_run(struct run *run) {
    close_file(&run->f);
    inst_err_clear(&run->f.err);
    crash_vfs_free(run->vfs);
}

static struct run new_run(uint64_t seed) {
    struct run run = {.vfs = crash_vfs_new(seed)};
    assert_non_null(run.vfs);
    run.options.vfs = crash_vfs_name(run.vfs);
    return run;
}

static void test_crash_at_every_sync(void **state) {
    (void)state;
    struct run whole = new_run(1);
    workload(&whole, GROUPS);
    assert_whole(&whole, "without a crash");
    int syncs = (int)crash_vfs_syncs(whole.vfs);
    int64_t total = whole.acked;
    assert_int_equal(total, GROUPS / 3 * 6);
    assert_true(syncs > GROUPS);
    free_run(&whole);
    for (int at = 1; at <= syncs; at++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            char when[64];
            struct run run = new_run(seed * 1000 + (uint64_t)at);
            snprintf(when, sizeof when, "crash at sync %d, seed %d", at, (int)seed);
            crash_vfs_crash_at_sync(run.vfs, at);
            workload(&run, GROUPS);
            crash_vfs_crash(run.vfs); /* also what was not synced at the end is lost */
            assert_whole(&run, when);
            free_run(&run);
        }
    }
}

/* Crash after crash on the same file, the recovery itself being cut short too. */
static void test_crash_upon_crash(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run run = new_run(seed);
        for (int i = 0; i < 15; i++) {
            char when[64];
            snprintf(when, sizeof when, "crash upon crash %d, seed %d", i, (int)seed);
            crash_vfs_crash_at_sync(run.vfs, 1 + (int)((seed * 7 + (uint64_t)i * 5) % 9));
            workload(&run, 3);
            crash_vfs_crash(run.vfs);
            assert_whole(&run, when);
            /* What was found counts from now on: it may not be lost later. */
            crash_vfs_restart(run.vfs);
            if (open_it(&run)) {
                run.acked = run.sent = run.f.db->db_ops->last_tx_id(run.f.db);
                close_file(&run.f);
            }
        }
        free_run(&run);
    }
}

/* The disk fails at one sync or one write and works again: the group is undone, the rest goes on.
 */
static void test_a_failure_of_the_disk(void **state) {
    (void)state;
    int failures = 0;
    for (int at = 1; at <= 40; at++) {
        for (int is_write = 0; is_write <= 1; is_write++) {
            char when[64];
            struct run run = new_run((uint64_t)at);
            workload(&run, 2);
            assert_true(open_it(&run));
            (is_write ? crash_vfs_fail_at_write : crash_vfs_fail_at_sync)(run.vfs, at);
            for (int i = 0; i < 8; i++) {
                int64_t before = run.f.db->db_ops->last_tx_id(run.f.db);
                if (!write_group(&run, i)) {
                    failures++;
                    assert_string_equal(run.f.err.type, "data-file");
                    run.f.db->db_ops->rollback(run.f.db);
                    assert_int_equal(run.f.db->db_ops->last_tx_id(run.f.db), before);
                    run.sent = before;
                }
            }
            snprintf(when, sizeof when, "%s %d fails", is_write ? "write" : "sync", at);
            must(inst_sqlite_app_db_check(run.f.db, &run.f.err), &run.f.err);
            close_file(&run.f);
            assert_whole(&run, when);
            free_run(&run);
        }
    }
    assert_true(failures > 10);
}

/* A failure in the middle of a group takes the group with it, and says so until it is rolled
 * back. */
static void test_the_disk_fails_inside_a_group(void **state) {
    (void)state;
    struct run run = new_run(5);
    run.options.cache_kib = 40; /* ten pages: the group spills into the log before its commit */
    workload(&run, 3);
    assert_true(open_it(&run));
    int64_t before = run.acked;
    bool is_failed = false;
    assert_int_equal(run.f.db->db_ops->begin(run.f.db, &run.f.err), INST_OK);
    crash_vfs_set_room(run.vfs, crash_vfs_used(run.vfs) + 60000);
    for (int64_t i = 1; i <= 60 && !is_failed; i++) {
        is_failed = run.f.db->db_ops->savepoint(run.f.db, &run.f.err) != INST_OK ||
                    !transact(&run, before + i) ||
                    run.f.db->db_ops->release(run.f.db, &run.f.err) != INST_OK;
    }
    assert_true(is_failed);
    assert_non_null(strstr(run.f.err.message, "disk is full"));
    enum inst_status undone = run.f.db->db_ops->undo(run.f.db, &run.f.err);
    if (undone != INST_OK) {
        assert_int_equal(run.f.db->db_ops->commit(run.f.db, &run.f.err), INST_FAILED);
    } else {
        run.f.db->db_ops->rollback(run.f.db);
    }
    crash_vfs_set_room(run.vfs, 0);
    assert_int_equal(run.f.db->db_ops->last_tx_id(run.f.db), before);
    assert_true(write_group(&run, 1));
    close_file(&run.f);
    assert_whole(&run, "a full disk inside a group");
    free_run(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_at_every_sync),
        cmocka_unit_test(test_crash_upon_crash),
        cmocka_unit_test(test_a_failure_of_the_disk),
        cmocka_unit_test(test_the_disk_fails_inside_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
