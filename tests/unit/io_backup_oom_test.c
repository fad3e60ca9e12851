/* Without memory a backup and a check say so, and what was begun can be thrown away. */
#include "oom.h"

#include "io_server_fixture.h"

#include "io/backup.h"
#include "io/content_copy.h"
#include "io/data_check.h"
#include "io/data_folder.h"
#include "io/file_store.h"

#include <unistd.h>

static struct world world;
static struct inst_env *env = &world.env;
static char dir[] = "/tmp/instant-backup-oom-XXXXXX";
static char data[64], copy[64], files[80], file_copies[80];

static void make_folder(void) {
    struct inst_err err = {0};
    struct inst_apps *apps;
    struct inst_file_store *store;
    struct inst_file_writer *writer;
    struct inst_file_stored stored;
    struct inst_app_info info = {.id = "aaaaaaaa-0000-4000-8000-000000000001", .title = "x"};
    world = (struct world){.random = 5};
    world.env = (struct inst_env){&world, world_now, world_random, NULL};
    assert_non_null(mkdtemp(dir));
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(copy, sizeof copy, "%s/copy", dir);
    snprintf(files, sizeof files, "%s/files", data);
    snprintf(file_copies, sizeof file_copies, "%s/files", copy);
    assert_int_equal(inst_apps_open_dir(data, NULL, env, &apps, &err), INST_OK);
    assert_int_equal(inst_apps_ops.create(apps, &info, "token", &err), INST_OK);
    inst_apps_close(apps);
    assert_int_equal(inst_file_store_open(files, NULL, env, &store, &err), INST_OK);
    assert_int_equal(inst_file_writer_new(store, info.id, 5, &writer, &err), INST_OK);
    assert_int_equal(inst_file_writer_add(writer, "hello", 5, &err), INST_OK);
    assert_int_equal(
        inst_file_writer_finish(writer, "bbbbbbbb-0000-4000-8000-000000000001", &stored, &err),
        INST_OK);
    inst_file_writer_free(writer);
    inst_file_store_close(store);
}

static enum inst_status copy_contents(struct inst_err *err) {
    struct inst_content_copy *contents;
    bool is_done = false;
    enum inst_status status = inst_content_copy_begin(files, file_copies, &contents, err);
    if (status != INST_OK)
        return status;
    while (status == INST_OK && !is_done)
        status = inst_content_copy_step(contents, &is_done, err);
    inst_content_copy_free(contents);
    return status;
}

static enum inst_status copy_all(struct inst_err *err) {
    struct inst_sqlite_options options = {.is_existing = true};
    struct inst_apps *apps;
    struct inst_backup *backup;
    bool is_done = false;
    enum inst_status status = inst_data_make_folder(copy, err);
    if (status == INST_OK)
        status = inst_apps_open_dir(data, &options, env, &apps, err);
    if (status != INST_OK)
        return status;
    struct inst_backup_source source = inst_backup_offline(apps);
    status = inst_backup_begin(&source, copy, &backup, err);
    if (status == INST_OK) {
        while (status == INST_OK && !is_done)
            status = inst_backup_step(backup, &is_done, err);
        inst_backup_free(backup);
    }
    inst_apps_close(apps);
    return status == INST_OK ? copy_contents(err) : status;
}

static enum inst_status check_all(const char *path, size_t *problems, struct inst_err *err) {
    struct inst_data_check *check;
    struct inst_data_check_progress shown;
    bool is_done = false;
    enum inst_status status = inst_data_check_begin(path, env, &check, err);
    if (status != INST_OK)
        return status;
    while (status == INST_OK && !is_done)
        status = inst_data_check_step(check, &is_done, err);
    inst_data_check_show(check, &shown);
    *problems = shown.problems;
    inst_data_check_free(check);
    return status;
}

static void a_backup_without_memory(void **state) {
    (void)state;
    struct inst_err err = {0};
    for (long n = 0;; n++) {
        assert_true(n < 2000);
        oom_after(n);
        enum inst_status status = copy_all(&err);
        oom_off();
        if (status == INST_OK)
            break;
        inst_err_clear(&err);
        assert_int_equal(inst_data_remove(copy, &err), INST_OK);
    }
    size_t problems = 1;
    assert_int_equal(check_all(copy, &problems, &err), INST_OK);
    assert_int_equal(problems, 0);
}

/* What could not be looked at for want of memory is not taken for whole. */
static void a_check_without_memory(void **state) {
    (void)state;
    struct inst_err err = {0};
    size_t problems = 1;
    const long plenty = 1000000;
    oom_after(plenty);
    assert_int_equal(check_all(data, &problems, &err), INST_OK);
    long needed = plenty - oom_left;
    assert_int_equal(problems, 0);
    for (long n = 0; n < needed; n++) {
        problems = 0;
        oom_after(n);
        enum inst_status status = check_all(data, &problems, &err);
        oom_off();
        if (status == INST_OK && problems == 0)
            fail_msg("whole without allocation %ld of %ld", n, needed);
        inst_err_clear(&err);
    }
}

static int remove_dir(void **state) {
    (void)state;
    return inst_data_remove(dir, NULL) == INST_OK ? 0 : -1;
}

static int make_dir(void **state) {
    (void)state;
    make_folder();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_without_memory),
        cmocka_unit_test(a_check_without_memory),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
