#include "io_app_db_fixture.h"

#include "io/apps_internal.h"

#include <sys/stat.h>

#define APP_A "aaaaaaaa-0000-4000-8000-000000000001"
#define APP_B "bbbbbbbb-0000-4000-8000-000000000002"
#define TOKEN "cccccccc-0000-4000-8000-000000000003"

static int64_t the_time = 1234;

static int64_t fixed_now(void *ctx) {
    (void)ctx;
    return the_time;
}
static const struct inst_env env = {.now_ms = fixed_now};
static const struct inst_app_manage_ops *const manage = &inst_apps_manage_ops;

static struct inst_app_info info_of(const char *id, const char *title, int64_t created) {
    struct inst_app_info info = {.created_ms = created};
    strcpy(info.id, id);
    strcpy(info.title, title);
    return info;
}

static bool list(void *ctx, const struct inst_app_info *info) {
    char *text = ctx;
    sprintf(text + strlen(text), "%.1s=%s@%d ", info->id, info->title, (int)info->created_ms);
    return true;
}

static void write_one(struct inst_app_db *db, struct inst_err *err) {
    struct inst_uuid id = uuid_of(1);
    uint32_t e;
    bool is_new;
    must(db->db_ops->begin(db, err), err);
    must(db->db_ops->make_entity(db, &id, &e, &is_new, err), err);
    must(db->db_ops->commit(db, err), err);
}

static bool has_one(struct inst_app_db *db) {
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid id = uuid_of(1);
    inst_uuid_print(&id, text);
    return db->store.ops->entity(&db->store, text, INST_UUID_TEXT) != 0;
}

static void test_a_folder_of_apps(void **state) {
    struct fixture *f = *state;
    char dir[96], path[160], seen[128] = "";
    struct stat st;
    struct inst_apps *apps;
    struct inst_app_db *db;
    struct inst_app_info a = info_of(APP_A, "First", 10), b = info_of(APP_B, "Second", 5), out;
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    const struct inst_apps_ops *ops = &inst_apps_ops;
    assert_int_equal(ops->find(apps, APP_A, &out, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "record-not-found");
    assert_non_null(strstr(f->err.hint, "\"record-type\":\"app\""));
    must(ops->create(apps, &a, TOKEN, &f->err), &f->err);
    must(ops->create(apps, &b, TOKEN, &f->err), &f->err);
    assert_int_equal(ops->create(apps, &a, TOKEN, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "record-not-unique");
    struct inst_app_info bad = info_of("../../etc/passwd", "", 0);
    assert_int_equal(ops->create(apps, &bad, TOKEN, &f->err), INST_FAILED);
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    write_one(db, &f->err);
    db->db_ops->close(db);
    inst_apps_close(apps);

    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    must(ops->find(apps, APP_A, &out, &f->err), &f->err);
    assert_string_equal(out.title, "First");
    must(inst_apps_each(apps, list, seen, &f->err), &f->err);
    assert_string_equal(seen, "b=Second@5 a=First@10 ");
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    assert_true(has_one(db));
    db->db_ops->close(db);
    assert_int_equal(ops->open(apps, "../system", &db, &f->err), INST_FAILED);
    snprintf(path, sizeof path, "%s/apps/%s.db", dir, APP_A);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    inst_apps_close(apps);
}

/* A removed app is found no more; its file stays for a week. */
static void test_removing(void **state) {
    struct fixture *f = *state;
    char dir[96], path[160], seen[128] = "";
    struct stat st;
    struct inst_apps *apps;
    struct inst_app_db *db;
    struct inst_app_info a = info_of(APP_A, "First", 10), b = info_of(APP_B, "Second", 5), out;
    const struct inst_apps_ops *ops = &inst_apps_ops;
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    snprintf(path, sizeof path, "%s/apps/%s.db", dir, APP_A);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    must(ops->create(apps, &a, TOKEN, &f->err), &f->err);
    must(ops->create(apps, &b, APP_A, &f->err), &f->err);
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    must(manage->remove(apps, APP_A, &f->err), &f->err); /* also while it is open */
    write_one(db, &f->err);
    db->db_ops->close(db);
    assert_int_equal(ops->find(apps, APP_A, &out, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "record-not-found");
    assert_int_equal(ops->open(apps, APP_A, &db, &f->err), INST_FAILED);
    assert_false(ops->is_admin_token(apps, APP_A, TOKEN, strlen(TOKEN)));
    assert_int_equal(manage->find_by_token(apps, TOKEN, strlen(TOKEN), &out, NULL), INST_FAILED);
    assert_int_equal(manage->remove(apps, APP_A, &f->err), INST_FAILED);
    assert_int_equal(manage->remove(apps, "../system", &f->err), INST_FAILED);
    must(manage->each(apps, list, seen, &f->err), &f->err);
    assert_string_equal(seen, "b=Second@5 ");
    /* Nobody gets the data by making an app of the same id. */
    assert_int_equal(ops->create(apps, &a, TOKEN, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "record-not-unique");
    inst_apps_close(apps);

    the_time += INST_APPS_REMOVED_MS - 1000;
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    assert_int_equal(stat(path, &st), 0);
    inst_apps_close(apps);
    the_time += 2000;
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    assert_int_equal(stat(path, &st), -1);
    must(ops->create(apps, &a, TOKEN, &f->err), &f->err);
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    assert_false(has_one(db));
    db->db_ops->close(db);
    inst_apps_close(apps);
    the_time = 1234;
}

static bool list_operator(void *ctx, const struct inst_operator_token *who) {
    char *text = ctx;
    sprintf(text + strlen(text), "%.1s=%s@%d ", who->id, who->name, (int)who->created_ms);
    return true;
}

static void test_operators(void **state) {
    struct fixture *f = *state;
    char dir[96], command[160], seen[128] = "";
    struct inst_apps *apps;
    struct inst_app_info a = info_of(APP_A, "First", 10), out;
    struct inst_operator_token one = {APP_A, "one", 7}, two = {APP_B, "two", 8};
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    assert_false(manage->is_operator(apps, "per_1", 5));
    must(manage->add_operator(apps, &one, "per_1", &f->err), &f->err);
    must(manage->add_operator(apps, &two, "per_2", &f->err), &f->err);
    inst_apps_close(apps);

    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    assert_true(manage->is_operator(apps, "per_1", 5));
    assert_true(manage->is_operator(apps, "per_2", 5));
    assert_false(manage->is_operator(apps, "per_", 4));
    assert_false(manage->is_operator(apps, "", 0));
    must(manage->each_operator(apps, list_operator, seen, &f->err), &f->err);
    assert_string_equal(seen, "a=one@7 b=two@8 ");
    must(manage->remove_operator(apps, APP_A, &f->err), &f->err);
    must(manage->remove_operator(apps, "no id", &f->err), &f->err);
    assert_false(manage->is_operator(apps, "per_1", 5));
    assert_true(manage->is_operator(apps, "per_2", 5));

    must(inst_apps_ops.create(apps, &a, TOKEN, &f->err), &f->err);
    must(manage->find_by_token(apps, TOKEN, strlen(TOKEN), &out, &f->err), &f->err);
    assert_string_equal(out.id, APP_A);
    must(manage->rename(apps, APP_A, "Named anew", &f->err), &f->err);
    must(manage->set_token(apps, APP_A, APP_B, &f->err), &f->err);
    must(inst_apps_ops.find(apps, APP_A, &out, &f->err), &f->err);
    assert_string_equal(out.title, "Named anew");
    assert_true(inst_apps_ops.is_admin_token(apps, APP_A, APP_B, strlen(APP_B)));
    assert_false(inst_apps_ops.is_admin_token(apps, APP_A, TOKEN, strlen(TOKEN)));
    assert_int_equal(manage->rename(apps, APP_B, "x", &f->err), INST_FAILED);
    assert_int_equal(manage->set_token(apps, APP_B, TOKEN, &f->err), INST_FAILED);
    assert_int_equal(manage->keep_for_ever(apps, "x", &f->err), INST_FAILED);
    inst_apps_close(apps);
    snprintf(command, sizeof command, "grep -rq per_ '%s'", dir);
    assert_int_not_equal(system(command), 0);
}

/* A folder of a version that knew no operators. */
static void test_an_older_folder(void **state) {
    struct fixture *f = *state;
    char dir[96], path[160];
    struct inst_apps *apps;
    struct inst_operator_token one = {APP_A, "one", 7};
    sqlite3 *db;
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    snprintf(path, sizeof path, "%s/system.db", dir);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    inst_apps_close(apps);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP TABLE operators; DROP TABLE removed_apps;"
                                  "DROP INDEX apps_token",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    must(manage->add_operator(apps, &one, "per_1", &f->err), &f->err);
    assert_true(manage->is_operator(apps, "per_1", 5));
    inst_apps_close(apps);
}

static void test_one_owner_manages_nothing(void **state) {
    struct fixture *f = *state;
    struct inst_apps *apps;
    struct inst_operator_token one = {APP_A, "one", 7};
    must(inst_apps_open_file(":memory:", NULL, &env, &apps, &f->err), &f->err);
    assert_true(manage->is_operator(apps, "per_1", 5));
    assert_int_equal(manage->add_operator(apps, &one, "per_1", &f->err), INST_FAILED);
    assert_int_equal(manage->remove(apps, APP_A, &f->err), INST_FAILED);
    assert_int_equal(manage->rename(apps, APP_A, "x", &f->err), INST_FAILED);
    inst_apps_close(apps);
}

static void test_admin_tokens(void **state) {
    struct fixture *f = *state;
    char dir[96];
    struct inst_apps *apps;
    struct inst_app_info a = info_of(APP_A, "", 1);
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    must(inst_apps_ops.create(apps, &a, TOKEN, &f->err), &f->err);
    assert_true(inst_apps_ops.is_admin_token(apps, APP_A, TOKEN, strlen(TOKEN)));
    assert_false(inst_apps_ops.is_admin_token(apps, APP_A, TOKEN, strlen(TOKEN) - 1));
    assert_false(inst_apps_ops.is_admin_token(apps, APP_A, "", 0));
    assert_false(inst_apps_ops.is_admin_token(apps, APP_B, TOKEN, strlen(TOKEN)));
    inst_apps_close(apps);
    /* The token itself is nowhere on the disk. */
    char command[160];
    snprintf(command, sizeof command, "grep -rq %s '%s'", TOKEN, dir);
    assert_int_not_equal(system(command), 0);
}

static void test_one_file_is_one_app(void **state) {
    struct fixture *f = *state;
    char path[96], seen[128] = "";
    struct inst_apps *apps;
    struct inst_app_db *db;
    struct inst_app_info out;
    snprintf(path, sizeof path, "%s/mine.db", f->dir);
    must(inst_apps_open_file(path, NULL, &env, &apps, &f->err), &f->err);
    const struct inst_apps_ops *ops = &inst_apps_ops;
    assert_string_equal(inst_apps_only_id(apps), "");
    assert_int_equal(ops->find(apps, "no id", &out, &f->err), INST_FAILED);
    must(ops->find(apps, APP_A, &out, &f->err), &f->err);
    assert_string_equal(inst_apps_only_id(apps), APP_A);
    assert_int_equal(ops->find(apps, APP_B, &out, &f->err), INST_FAILED);
    assert_true(ops->is_admin_token(apps, APP_A, "any", 3));
    assert_false(ops->is_admin_token(apps, APP_B, "any", 3));
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    write_one(db, &f->err);
    db->db_ops->close(db);
    must(ops->open(apps, APP_A, &db, &f->err), &f->err); /* again, after closing */
    assert_true(has_one(db));
    db->db_ops->close(db);
    inst_apps_close(apps);

    must(inst_apps_open_file(path, NULL, &env, &apps, &f->err), &f->err);
    assert_string_equal(inst_apps_only_id(apps), APP_A);
    must(inst_apps_each(apps, list, seen, &f->err), &f->err);
    assert_string_equal(seen, "a=@1234 ");
    must(ops->open(apps, APP_A, &db, &f->err), &f->err);
    assert_true(has_one(db));
    db->db_ops->close(db);
    inst_apps_close(apps);
}

static void test_a_file_of_another_app_is_refused(void **state) {
    struct fixture *f = *state;
    char dir[96], command[512];
    struct inst_apps *apps;
    struct inst_app_db *db;
    struct inst_app_info a = info_of(APP_A, "", 1), b = info_of(APP_B, "", 2);
    snprintf(dir, sizeof dir, "%s/data", f->dir);
    must(inst_apps_open_dir(dir, NULL, &env, &apps, &f->err), &f->err);
    must(inst_apps_ops.create(apps, &a, TOKEN, &f->err), &f->err);
    must(inst_apps_ops.create(apps, &b, TOKEN, &f->err), &f->err);
    snprintf(command, sizeof command, "cp '%s/apps/%s.db' '%s/apps/%s.db'", dir, APP_A, dir, APP_B);
    assert_int_equal(system(command), 0);
    assert_int_equal(inst_apps_ops.open(apps, APP_B, &db, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, "holds app " APP_A));
    snprintf(command, sizeof command, "rm '%s/apps/%s.db'", dir, APP_B);
    assert_int_equal(system(command), 0);
    assert_int_equal(inst_apps_ops.open(apps, APP_B, &db, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, "no such file"));
    inst_apps_close(apps);
}

static void test_memory(void **state) {
    struct fixture *f = *state;
    char seen[128] = "";
    struct inst_apps *apps;
    struct inst_app_db *db, *other;
    struct inst_app_info a = info_of(APP_A, "First", 10), out;
    must(inst_apps_open_file(":memory:", NULL, &env, &apps, &f->err), &f->err);
    must(inst_apps_ops.create(apps, &a, TOKEN, &f->err), &f->err);
    assert_int_equal(inst_apps_ops.create(apps, &a, TOKEN, &f->err), INST_FAILED);
    must(inst_apps_ops.find(apps, APP_B, &out, &f->err), &f->err);
    assert_int_equal(out.created_ms, 1234);
    must(inst_apps_each(apps, list, seen, &f->err), &f->err);
    assert_string_equal(seen, "a=First@10 b=@1234 ");
    must(inst_apps_ops.open(apps, APP_A, &db, &f->err), &f->err);
    must(inst_apps_ops.open(apps, APP_B, &other, &f->err), &f->err);
    write_one(db, &f->err);
    assert_true(has_one(db));
    assert_false(has_one(other));
    db->db_ops->close(db);
    other->db_ops->close(other);
    inst_apps_close(apps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_folder_of_apps),
        TEST(test_removing),
        TEST(test_operators),
        TEST(test_an_older_folder),
        TEST(test_one_owner_manages_nothing),
        TEST(test_admin_tokens),
        TEST(test_one_file_is_one_app),
        TEST(test_a_file_of_another_app_is_refused),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
