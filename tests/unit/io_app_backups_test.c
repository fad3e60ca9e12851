/*
 * Backups of one app: one at a time, given up half-way, kept for a time with the contents that
 * they name, and a disk that does not take them.
 */
#include "io_http_files_fixture.h"

#include "io/app_backups.h"

static char job[INST_UUID_TEXT + 1]; /* that was begun last */

static int ask(struct world *w, const char *method, const char *more, const char *body) {
    char target[512];
    snprintf(target, sizeof target, "/dash/apps/%s/%s", w->app.id, more);
    return request(w, method, target, admin(w, ""), body);
}

static void begin(struct world *w) {
    if (ask(w, "POST", "backups", "{\"description\":\" daily \"}") != 200)
        fail_msg("%d %s", w->status, w->body);
    snprintf(job, sizeof job, "%s", text_of(inst_getz(inst_getz(&w->json, "job"), "id")));
}

/* As it is now. */
static const char *state_of_job(struct world *w) {
    char target[128];
    snprintf(target, sizeof target, "backup-jobs/%s", job);
    assert_int_equal(ask(w, "GET", target, NULL), 200);
    return text_of(inst_getz(inst_getz(&w->json, "job"), "job_status"));
}

static void finish(struct world *w, const char *state) {
    const char *now;
    int64_t stop = inst_loop_monotonic_ms(w->loop) + LIMIT_MS;
    while (strcmp(now = state_of_job(w), "processing") == 0)
        assert_true(inst_loop_monotonic_ms(w->loop) < stop);
    assert_string_equal(now, state);
}

static uint32_t count_backups(struct world *w) {
    assert_int_equal(ask(w, "GET", "backups", NULL), 200);
    return inst_getz(&w->json, "backups")->len;
}

/* Files below the app's backups. */
static int left(struct world *w) {
    char path[160];
    snprintf(path, sizeof path, "%s/backups/%s", w->dir, w->app.id);
    counted = 0;
    nftw(path, count_entry, 4, FTW_PHYS);
    return counted;
}

static struct inst_app_backups *of(struct world *w) { return inst_backend_app_backups(w->backend); }

static void a_job_ends(void **state) {
    struct world *w = *state;
    char target[128];
    begin(w);
    finish(w, "completed");
    assert_int_equal(count_backups(w), 1);
    snprintf(target, sizeof target, "backup-jobs/%s", job);
    ask(w, "DELETE", target, NULL);
    expect_refusal(w, 400, "record-not-found", "app-backup-job");
    ask(w, "DELETE", "backup-jobs/x", NULL);
    expect_refusal(w, 400, "param-malformed", "job_id");
}

/* Without a turn of the loop in between. */
static struct inst_backup_job wished(struct world *w, const char *id) {
    struct inst_backup_job what = {.state = INST_BACKUP_PROCESSING, .created_ms = 1};
    strcpy(what.id, id);
    strcpy(what.app, w->app.id);
    strcpy(job, id);
    return what;
}

#define ID "aaaaaaaa-0000-4000-8000-00000000000"

static void busy_and_cancelled(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    struct inst_backup_job what = wished(w, ID "1"), other = wished(w, ID "2");
    bool is_busy;
    must(inst_app_backups_ops.begin(of(w), &what, "x", &is_busy, &err), &err);
    assert_false(is_busy);
    must(inst_app_backups_ops.begin(of(w), &other, "x", &is_busy, &err), &err);
    assert_true(is_busy);
    assert_true(left(w) > 0);
    assert_false(inst_app_backups_ops.cancel(of(w), w->app.id, ID "2"));
    assert_true(inst_app_backups_ops.cancel(of(w), w->app.id, ID "1"));
    assert_int_equal(left(w), 0);
    assert_false(inst_app_backups_ops.cancel(of(w), w->app.id, ID "1"));
    strcpy(job, ID "1");
    assert_string_equal(state_of_job(w), "cancelled");
    assert_int_equal(count_backups(w), 0);
    must(inst_app_backups_ops.begin(of(w), &other, "x", &is_busy, &err), &err);
    assert_false(is_busy);
    /* The app goes while it is being copied. */
    must(inst_server_remove_app(inst_backend_server(w->backend), w->app.id, &err), &err);
    for (int i = 0; i < 50; i++)
        turn(w);
}

static void named_and_expired(void **state) {
    struct world *w = *state;
    struct inst_apps *apps = inst_backend_apps(w->backend);
    char path[256], location[INST_UUID_TEXT + 1];
    put(w, "a.txt", "", "content");
    snprintf(location, sizeof location, "%s", data(w, "location-id"));
    assert_false(inst_app_backups_name(of(w), w->app.id, location));
    begin(w);
    finish(w, "completed");
    assert_int_equal(count_backups(w), 1);
    assert_string_equal(
        text_of(inst_getz(&inst_getz(&w->json, "backups")->u.items[0], "description")), "daily");
    assert_true(inst_app_backups_name(of(w), w->app.id, location));
    assert_false(inst_app_backups_name(of(w), w->app.id, ID "3"));
    assert_false(inst_app_backups_name(of(w), ID "3", location));
    assert_false(inst_app_backups_name(of(w), w->app.id, "../a"));
    inst_app_backups_sweep(of(w), apps);
    assert_int_equal(count_backups(w), 1);
    /* Its time is over. */
    snprintf(path, sizeof path, "%s/backups/%s/%s/backup.json", w->dir, w->app.id, job);
    FILE *info = fopen(path, "w");
    assert_non_null(info);
    fputs("{\"expires\":1,\"objects\":[]}", info);
    fclose(info);
    assert_int_equal(count_backups(w), 0);
    snprintf(path, sizeof path, "backups/%s/files", job);
    ask(w, "GET", path, NULL);
    expect_refusal(w, 400, "record-not-found", "app-backup");
    assert_true(left(w) > 0);
    inst_app_backups_sweep(of(w), apps);
    assert_int_equal(left(w), 0);
    assert_false(inst_app_backups_name(of(w), w->app.id, location));
}

/* One that cannot be read stands in nobody's way, and goes when it is older than any is kept. */
static void one_that_is_broken(void **state) {
    struct world *w = *state;
    struct inst_apps *apps = inst_backend_apps(w->backend);
    char folder[200], path[256];
    begin(w);
    finish(w, "completed");
    snprintf(folder, sizeof folder, "%s/backups/%s/%s", w->dir, w->app.id, job);
    snprintf(path, sizeof path, "%s/backup.json", folder);
    FILE *info = fopen(path, "w");
    assert_non_null(info);
    fputs("{\"expires\":", info);
    fclose(info);
    assert_int_equal(count_backups(w), 0);
    begin(w);
    finish(w, "completed");
    assert_int_equal(count_backups(w), 1);
    inst_app_backups_sweep(of(w), apps);
    assert_int_equal(access(folder, F_OK), 0);
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, folder, long_ago, 0), 0);
    inst_app_backups_sweep(of(w), apps);
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(count_backups(w), 1);
}

static void no_place(void **state) {
    struct world *w = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/backups", w->dir);
    FILE *file = fopen(path, "w"); /* in the folder's place */
    assert_non_null(file);
    fclose(file);
    assert_int_equal(ask(w, "POST", "backups", "{}"), 500);
    assert_null(strstr(w->body, w->dir));
    assert_int_equal(request(w, "GET", "/health/system", "", NULL), 200);
    unlink(path);
    begin(w);
    finish(w, "completed");
}

static void not_of_ephemeral_apps(void **state) {
    struct world *w = *state;
    char id[INST_UUID_TEXT + 1], token[INST_UUID_TEXT + 1], target[128], head[128];
    assert_int_equal(request(w, "POST", "/dash/apps/ephemeral", "", "{\"title\":\"x\"}"), 200);
    const struct inst_value *app = inst_getz(&w->json, "app");
    snprintf(id, sizeof id, "%s", text_of(inst_getz(app, "id")));
    snprintf(token, sizeof token, "%s", text_of(inst_getz(app, "admin-token")));
    snprintf(target, sizeof target, "/dash/apps/%s/backups", id);
    snprintf(head, sizeof head, "Authorization: Bearer %s\r\n", token);
    request(w, "POST", target, head, "{}");
    expect_refusal(w, 400, "validation-failed", "Ephemeral apps can't be backed up.");
    /* A stranger's token opens nothing. */
    snprintf(target, sizeof target, "/dash/apps/%s/backups", w->app.id);
    request(w, "POST", target, head, "{}");
    expect_refusal(w, 400, "record-not-found", "app-admin-token");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        T(a_job_ends),         T(busy_and_cancelled), T(named_and_expired),
        T(one_that_is_broken), T(no_place),           T(not_of_ephemeral_apps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
