/*
 * Every allocation of the app db fails once (those inside SQLite do not): the call says so, nothing
 * leaks, and the same work succeeds afterwards.
 */
#include "oom.h"

#include "io_app_db_fixture.h"

#include "io/apps.h"

static const char body_json[] = "{'a':[1,2,{'b':'a text that is not short, not short at all'}]}";

static bool count_one(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    (void)attr_row, (void)triple;
    ++*(int *)ctx;
    return true;
}

static enum inst_status scan_all(struct inst_app_db *db, const struct inst_attr *attr,
                                 struct inst_err *err) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_triple triple;
    enum inst_status status = db->store.ops->scan(&db->store, &scan, &cursor, err);
    if (status != INST_OK) {
        return status;
    }
    int more;
    while ((more = db->store.ops->next(&cursor, &triple, err)) == 1) {
    }
    db->store.ops->close(&cursor);
    return more < 0 ? INST_FAILED : INST_OK;
}

#define step(call)                                                                                 \
    do {                                                                                           \
        enum inst_status step_status = (call);                                                     \
        if (step_status != INST_OK) {                                                              \
            return step_status;                                                                    \
        }                                                                                          \
    } while (0)

/* One transaction and every way to read it. */
static enum inst_status work(struct inst_app_db *db, struct inst_attrs *attrs,
                             const struct inst_value *body, struct inst_err *err) {
    const struct inst_attr *by_row[A_COUNT];
    struct inst_value values[A_COUNT], none = inst_undefined();
    struct inst_uuid id = uuid_of(1), event = uuid_of(2);
    uint32_t e;
    bool is_new;
    int seen = 0;
    step(db->db_ops->begin(db, err));
    for (uint32_t i = 0; i < A_COUNT; i++) {
        uint32_t row = 0;
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        step(db->db_ops->save_attr(db, attr, "{}", 2, false, &row, err));
        inst_attrs_set_row(attrs, attr->id.u.str, attr->id.len, row);
        by_row[i] = attr;
    }
    step(db->db_ops->savepoint(db, err));
    step(db->db_ops->make_entity(db, &id, &e, &is_new, err));
    step(db->db_ops->put(db, e, by_row[A_ID - 1], &none, e, 1, NULL, err));
    step(db->db_ops->put(db, e, by_row[A_TITLE - 1], body, 0, 1, NULL, err));
    step(db->db_ops->put(db, e, by_row[A_BODY - 1], body, 0, 1, NULL, err));
    step(db->db_ops->put(db, e, by_row[A_AUTHOR - 1], &none, e, 1, NULL, err));
    struct inst_log_record record = {.tx_id = 1,
                                     .event = &event,
                                     .who = "null",
                                     .who_len = 4,
                                     .changes = "[]",
                                     .changes_len = 2};
    step(db->db_ops->append_log(db, &record, err));
    step(db->db_ops->release(db, err));
    for (uint32_t i = 0; i < A_COUNT; i++) {
        step(scan_all(db, by_row[i], err));
    }
    step(db->store.ops->row(&db->store, e, by_row, A_COUNT, values, err));
    step(db->db_ops->each_of(db, e, count_one, &seen, err));
    step(db->db_ops->each_link_to(db, e, count_one, &seen, err));
    if (db->store.ops->entity_id(&db->store, e).tag != INST_STRING) {
        return INST_NOMEM;
    }
    return db->db_ops->commit(db, err);
}

/* A catalog of its own each time: rows are set on it. */
static struct inst_attrs *new_attrs(struct inst_arena *arena) {
    struct inst_err err = {0};
    struct inst_attrs *attrs = NULL;
    struct inst_value list = json_of(arena, fixture_attrs);
    must(inst_attrs_new(&list, &attrs, &err), &err);
    return attrs;
}

static void test_app_db(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value body = json_of(&arena, body_json);
    long n = 0;
    bool is_done = false;
    for (; !is_done; n++) {
        struct inst_err err = {0};
        struct inst_app_db *db = NULL;
        struct inst_attrs *attrs = new_attrs(&arena);
        oom_after(n);
        enum inst_status status = inst_sqlite_app_db_open(":memory:", NULL, &db, &err);
        if (status == INST_OK) {
            status = work(db, attrs, &body, &err);
        }
        oom_off();
        is_done = status == INST_OK;
        if (!is_done && db) {
            assert_string_equal(err.type ? err.type : "out-of-memory", "out-of-memory");
            db->db_ops->rollback(db);
            assert_int_equal(db->db_ops->last_tx_id(db), 0);
            must(work(db, attrs, &body, &err), &err);
        }
        if (db) {
            must(inst_sqlite_app_db_check(db, &err), &err);
            db->db_ops->close(db);
        }
        inst_attrs_unref(attrs);
        inst_err_clear(&err);
    }
    assert_true(n > 10);
    inst_arena_free(&arena);
}

static int64_t fixed_now(void *ctx) {
    (void)ctx;
    return 1;
}

static enum inst_status use_apps(struct inst_apps *apps, struct inst_err *err) {
    static const char id[] = "aaaaaaaa-0000-4000-8000-000000000001";
    struct inst_app_info info = {.created_ms = 1}, found;
    struct inst_app_db *db = NULL;
    strcpy(info.id, id);
    step(inst_apps_ops.create(apps, &info, id, err));
    step(inst_apps_ops.find(apps, id, &found, err));
    step(inst_apps_ops.open(apps, id, &db, err));
    db->db_ops->close(db);
    return INST_OK;
}

static void test_apps(void **state) {
    (void)state;
    static const struct inst_env env = {.now_ms = fixed_now};
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        struct inst_err err = {0};
        struct inst_apps *apps = NULL;
        oom_after(n);
        enum inst_status status = inst_apps_open_file(":memory:", NULL, &env, &apps, &err);
        if (status == INST_OK) {
            status = use_apps(apps, &err);
        }
        oom_off();
        is_done = status == INST_OK;
        assert_true(is_done || status == INST_NOMEM);
        inst_apps_close(apps);
        inst_err_clear(&err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_db),
        cmocka_unit_test(test_apps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
