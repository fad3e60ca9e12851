/*
 * The machine stops at every sync of a job's work, the disk fails or is full in the middle of it:
 * the job goes on afterwards and ends as if nothing had been, and the file is whole at every start.
 */
#include "io_server_fixture.h"

#include "../sim/crash_vfs.h"
#include "io/sqlite_app_db.h"
#include "server/jobs.h"
#include "server/limits.h"

/* More than one turn takes, more than is done at once. */
#define ROWS 2300u

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}}}}},"
    "'links':{}}";

struct machine {
    struct world w;
    struct crash_vfs *vfs;
};

static void open_apps(struct machine *m) {
    struct inst_sqlite_options options = {.vfs = crash_vfs_name(m->vfs)};
    struct inst_err err = {0};
    if (inst_apps_open_file("app.db", &options, &m->w.env, &m->w.apps, &err) != INST_OK)
        fail_msg("%s", err.message);
    world_start(&m->w);
}

static struct inst_app *app_of(struct machine *m) {
    struct inst_app *app = NULL;
    struct inst_err err = {0};
    if (inst_app_get(m->w.server, m->w.app.id, &app, &err) != INST_OK)
        fail_msg("%s", err.message);
    return app;
}

static const struct inst_attr *title_of(struct machine *m) {
    return inst_attrs_forward(app_of(m)->catalog->attrs, "todos", 5, "title", 5);
}

static void fill(struct machine *m) {
    struct inst_app_db *db = app_of(m)->db;
    const struct inst_attr *title = title_of(m);
    const struct inst_attr *id_attr = inst_attrs_forward(db->store.attrs, "todos", 5, "id", 2);
    struct inst_err err = {0};
    assert_int_equal(db->db_ops->begin(db, &err), INST_OK);
    for (unsigned n = 1; n <= ROWS; n++) {
        struct inst_uuid id;
        struct inst_value none = inst_undefined(), v = inst_number((double)n - 1000);
        uint32_t e;
        bool is_new;
        inst_uuid_parse(uuid_text(n), INST_UUID_TEXT, &id);
        assert_int_equal(db->db_ops->make_entity(db, &id, &e, &is_new, &err), INST_OK);
        assert_int_equal(db->db_ops->put(db, e, id_attr, &none, e, n, NULL, &err), INST_OK);
        if (n % 3 != 0)
            assert_int_equal(db->db_ops->put(db, e, title, &v, 0, n, NULL, &err), INST_OK);
    }
    assert_int_equal(db->db_ops->commit(db, &err), INST_OK);
}

static void start(struct machine *m, uint64_t seed) {
    struct inst_err err = {0};
    struct inst_arena arena;
    struct inst_value json;
    *m = (struct machine){.vfs = crash_vfs_new(seed)};
    assert_non_null(m->vfs);
    m->w.now = 1700000000000;
    m->w.random = 88172645463325252u;
    m->w.env = (struct inst_env){&m->w, world_now, world_random, NULL};
    inst_arena_init(&m->w.arena);
    open_apps(m);
    inst_arena_init(&arena);
    char *text = quoted(schema);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &json, &err), INST_OK);
    assert_int_equal(
        inst_server_create_app(m->w.server, "Test", &json, 0, &m->w.app, m->w.token, &err),
        INST_OK);
    free(text);
    inst_arena_free(&arena);
    fill(m);
}

static void stop(struct machine *m) {
    on_close_apps(&m->w);
    inst_arena_free(&m->w.arena);
    crash_vfs_free(m->vfs);
}

static void add_job(struct machine *m, const char *type) {
    struct inst_job_wish wish = {.type = inst_cstring(type), .attr_id = title_of(m)->id};
    struct inst_err err = {0};
    if (inst_jobs_add(app_of(m), &wish, 1, NULL, &err) != INST_OK)
        fail_msg("%s", err.message);
}

static void check_file(struct machine *m, const char *when) {
    struct inst_err err = {0};
    if (inst_sqlite_app_db_check(app_of(m)->db, &err) != INST_OK)
        fail_msg("%s: %s", when, err.message);
}

static void run(struct machine *m) {
    for (unsigned turns = 0; inst_server_is_pending(m->w.server) && !crash_vfs_is_down(m->vfs);) {
        turn(&m->w);
        assert_true(++turns < 1000);
    }
}

static void expect_done(struct machine *m, const char *when) {
    const struct inst_attr *title = title_of(m);
    struct inst_store *store = &app_of(m)->db->store;
    struct inst_scan all = {.attr = title};
    struct inst_scan one = {.attr = title, .has_v = true, .v = inst_number(77 - 1000.0)};
    if (!title->is_indexed || title->is_indexing)
        fail_msg("%s: not indexed in the end", when);
    assert_true(store->ops->can_range(store, title));
    assert_int_equal(store->ops->estimate(store, &all, 2 * ROWS), ROWS); /* nulls, too */
    assert_int_equal(store->ops->estimate(store, &one, 10), 1);
    check_file(m, when);
}

/* Syncs of the whole job without a crash. */
static int count_syncs(void) {
    struct machine m;
    start(&m, 1);
    uint64_t before = crash_vfs_syncs(m.vfs);
    add_job(&m, "index");
    run(&m);
    expect_done(&m, "without a crash");
    int syncs = (int)(crash_vfs_syncs(m.vfs) - before);
    stop(&m);
    return syncs;
}

static void crashes_at_every_sync(void **state) {
    (void)state;
    int syncs = count_syncs();
    assert_true(syncs >= 5);
    for (int at = 2; at <= syncs; at++) { /* the first is the job's own: it was added */
        char when[64];
        struct machine m;
        snprintf(when, sizeof when, "crash at sync %d of %d", at, syncs);
        start(&m, (uint64_t)at * 7);
        add_job(&m, "index");
        crash_vfs_crash_at_sync(m.vfs, at - 1);
        run(&m);
        crash_vfs_crash(m.vfs);
        on_close_apps(&m.w);
        crash_vfs_restart(m.vfs);
        open_apps(&m);
        check_file(&m, when);
        run(&m);
        expect_done(&m, when);
        stop(&m);
    }
}

/* By update-attr, whose wish stands in the attr alone until the job has begun. */
static void require_title(struct machine *m) {
    struct connection *c = enter(&m->w, true);
    learn_attrs(&m->w);
    for (unsigned n = 3; n <= ROWS; n += 3) { /* what fill left out */
        char steps[80];
        snprintf(steps, sizeof steps, "[['add-triple','#%u','@todos.title',7]]", n);
        say(&m->w, c, "{'op':'transact','client-event-id':'t','tx-steps':%s}", steps);
    }
    turn(&m->w);
    transact(&m->w, c, "[['update-attr',{'id':'@todos.title','required?':true}]]");
    disconnect(c);
    assert_true(title_of(m)->is_setting_required);
}

static void expect_required(struct machine *m, const char *when) {
    const struct inst_attr *title = title_of(m);
    if (!title->is_required || title->is_setting_required)
        fail_msg("%s: not required in the end", when);
    check_file(m, when);
}

static void update_attr_survives_every_crash(void **state) {
    (void)state;
    struct machine m;
    start(&m, 5);
    require_title(&m);
    uint64_t before = crash_vfs_syncs(m.vfs);
    run(&m);
    expect_required(&m, "without a crash");
    int syncs = (int)(crash_vfs_syncs(m.vfs) - before);
    stop(&m);
    assert_true(syncs >= 2); /* looking alone writes nothing */
    for (int at = 1; at <= syncs; at++) {
        char when[64];
        snprintf(when, sizeof when, "crash at sync %d of %d", at, syncs);
        start(&m, (uint64_t)at * 11);
        require_title(&m);
        crash_vfs_crash_at_sync(m.vfs, at);
        run(&m);
        crash_vfs_crash(m.vfs);
        on_close_apps(&m.w);
        crash_vfs_restart(m.vfs);
        open_apps(&m);
        /* Nobody opens the app: the server does. */
        run(&m);
        expect_required(&m, when);
        stop(&m);
    }
}

/* The disk fails once: the job rests until something else could be committed, then goes on. */
static void a_failure_of_the_disk(void **state) {
    (void)state;
    int stalls = 0;
    for (int at = 1; at <= 6; at++) {
        char when[64];
        struct machine m;
        snprintf(when, sizeof when, "failure at sync %d", at);
        start(&m, (uint64_t)at);
        add_job(&m, "index");
        crash_vfs_fail_at_sync(m.vfs, at);
        run(&m); /* does not go round and round */
        check_file(&m, when);
        stalls += title_of(&m)->is_indexing || !title_of(&m)->is_indexed;
        struct connection *c = enter(&m.w, true);
        learn_attrs(&m.w);
        transact(&m.w, c, "[['add-triple','#1','@todos.title',5000]]");
        run(&m);
        expect_done(&m, when);
        disconnect(c);
        stop(&m);
    }
    assert_true(stalls > 0);
}

static void a_full_disk(void **state) {
    (void)state;
    struct machine m;
    start(&m, 3);
    add_job(&m, "index");
    crash_vfs_set_room(m.vfs, crash_vfs_used(m.vfs) + 100000);
    run(&m);
    check_file(&m, "full");
    assert_true(!title_of(&m)->is_indexed || title_of(&m)->is_indexing);
    crash_vfs_set_room(m.vfs, 0);
    on_close_apps(&m.w);
    open_apps(&m);
    check_file(&m, "opened again");
    run(&m);
    expect_done(&m, "with room");
    stop(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crashes_at_every_sync),
        cmocka_unit_test(update_attr_survives_every_crash),
        cmocka_unit_test(a_failure_of_the_disk),
        cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
