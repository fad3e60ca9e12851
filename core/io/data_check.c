#include "io/data_check.h"

#include "base/buf.h"
#include "io/apps.h"
#include "io/content_copy.h"
#include "io/sqlite_app_db.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct inst_data_check {
    char *path;
    bool is_folder;
    struct inst_apps *apps;
    char (*ids)[INST_UUID_TEXT + 1];
    size_t count, cap, at;
    bool is_system_done, is_nomem;
    char files[PATH_MAX]; /* the folder of contents */
    struct inst_content_copy *contents;
    bool are_contents_done;
    struct inst_buf text;
    size_t problems;
};

static void add_problem(struct inst_data_check *check, const char *fmt, ...) INST_PRINTF(2, 3);
static void add_problem(struct inst_data_check *check, const char *fmt, ...) {
    char line[PATH_MAX + 512];
    va_list args;
    if (check->problems++ >= INST_DATA_CHECK_TOLD)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    inst_buf_add_str(&check->text, line);
    inst_buf_add_char(&check->text, '\n');
}

static bool note_app(void *ctx, const struct inst_app_info *info) {
    struct inst_data_check *check = ctx;
    if (check->count == check->cap) {
        size_t cap = check->cap ? check->cap * 2 : 16;
        void *ids = realloc(check->ids, cap * sizeof *check->ids);
        if (!ids) {
            check->is_nomem = true;
            return false;
        }
        check->ids = ids;
        check->cap = cap;
    }
    memcpy(check->ids[check->count++], info->id, INST_UUID_TEXT + 1);
    return true;
}

static enum inst_status open_apps(struct inst_data_check *check, const struct inst_env *env,
                                  struct inst_err *err) {
    struct inst_sqlite_options options = {.is_existing = true};
    struct stat st;
    if (stat(check->path, &st) != 0)
        return inst_err_set(err, "data-file", 500, "%s: %s", check->path, strerror(errno));
    check->is_folder = S_ISDIR(st.st_mode);
    snprintf(check->files, sizeof check->files, "%s%s", check->path,
             check->is_folder ? "/files" : "-files");
    enum inst_status status =
        check->is_folder ? inst_apps_open_dir(check->path, &options, env, &check->apps, err)
                         : inst_apps_open_file(check->path, &options, env, &check->apps, err);
    if (status == INST_OK)
        status = inst_apps_each(check->apps, note_app, check, err);
    return status == INST_OK && check->is_nomem ? inst_err_nomem(err) : status;
}

enum inst_status inst_data_check_begin(const char *path, const struct inst_env *env,
                                       struct inst_data_check **out, struct inst_err *err) {
    struct inst_data_check *check = calloc(1, sizeof *check);
    if (!check)
        return inst_err_nomem(err);
    inst_buf_init(&check->text);
    inst_buf_add_str(&check->text, "");
    check->path = strdup(path);
    enum inst_status status = check->path ? open_apps(check, env, err) : inst_err_nomem(err);
    if (status != INST_OK) {
        inst_data_check_free(check);
        return status;
    }
    *out = check;
    return INST_OK;
}

/* ---- system.db ---- */

static void check_system(struct inst_data_check *check) {
    sqlite3 *system = inst_apps_system(check->apps);
    sqlite3_stmt *stmt = NULL;
    struct inst_err err = {0};
    char path[PATH_MAX + 16];
    int rc = SQLITE_DONE;
    snprintf(path, sizeof path, "%s/system.db", check->path);
    enum inst_status status =
        inst_sqlite_prepare(system, path, "PRAGMA integrity_check", &stmt, &err);
    while (status == INST_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (!text || strcmp(text, "ok") != 0)
            add_problem(check, "%s: the file is damaged (%s)", path, text ? text : "unknown");
    }
    if (status == INST_OK && rc != SQLITE_DONE)
        status = inst_sqlite_error(system, path, rc, &err);
    if (status != INST_OK)
        add_problem(check, "%s", err.message);
    sqlite3_finalize(stmt);
    inst_err_clear(&err);
}

/* ---- an app ---- */

struct locations {
    struct inst_data_check *check;
    const char *app;
};

static bool check_location(void *ctx, const struct inst_triple *triple) {
    struct locations *locations = ctx;
    struct inst_data_check *check = locations->check;
    char path[PATH_MAX + 128];
    if (triple->v.tag != INST_STRING || triple->v.len != INST_UUID_TEXT)
        return true;
    const char *id = triple->v.u.str;
    snprintf(path, sizeof path, "%s/%s/at/%.2s/%.36s", check->files, locations->app, id, id);
    if (access(path, F_OK) == 0)
        return true;
    snprintf(path, sizeof path, "%s/%s/gone/%.36s", check->files, locations->app, id);
    if (access(path, F_OK) != 0)
        add_problem(check, "%s: app %s: the content of file location %.36s is missing", check->path,
                    locations->app, id);
    return true;
}

static enum inst_status check_locations(struct inst_data_check *check, struct inst_app_db *db,
                                        const char *app, struct inst_err *err) {
    struct locations locations = {check, app};
    struct inst_attrs *attrs = NULL;
    struct inst_buf place;
    size_t count;
    bool is_done = false;
    enum inst_status status = db->db_ops->load_attrs(db, &attrs, err);
    if (status != INST_OK)
        return status;
    const struct inst_attr *attr = inst_attrs_forward(attrs, "$files", 6, "location-id", 11);
    inst_buf_init(&place);
    while (status == INST_OK && attr && !is_done)
        status = db->db_ops->walk(db, attr, 1000, &place, check_location, &locations, &count,
                                  &is_done, err);
    inst_buf_free(&place);
    inst_attrs_unref(attrs);
    return status;
}

static void check_app(struct inst_data_check *check, const char *app) {
    struct inst_app_db *db = NULL;
    struct inst_err err = {0};
    enum inst_status status = inst_apps_ops.open(check->apps, app, &db, &err);
    if (status == INST_OK)
        status = inst_sqlite_app_db_check(db, &err);
    if (status == INST_OK)
        status = check_locations(check, db, app, &err);
    if (status != INST_OK)
        add_problem(check, "%s", err.message);
    if (db)
        db->db_ops->close(db);
    inst_err_clear(&err);
}

/* ---- contents ---- */

static enum inst_status check_contents(struct inst_data_check *check, struct inst_err *err) {
    struct inst_content_progress seen;
    if (!check->contents) {
        enum inst_status status =
            inst_content_copy_begin(check->files, NULL, &check->contents, err);
        if (status != INST_OK)
            return status;
    }
    enum inst_status status =
        inst_content_copy_step(check->contents, &check->are_contents_done, err);
    inst_content_copy_show(check->contents, &seen);
    if (status == INST_OK && check->are_contents_done && seen.damaged > 0)
        add_problem(check, "%s: %zu contents are damaged; the first is %s", check->files,
                    seen.damaged, seen.first_damaged);
    return status;
}

enum inst_status inst_data_check_step(struct inst_data_check *check, bool *is_done,
                                      struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (check->is_folder && !check->is_system_done) {
        check_system(check);
        check->is_system_done = true;
    } else if (check->at < check->count) {
        check_app(check, check->ids[check->at++]);
    } else if (!check->are_contents_done) {
        status = check_contents(check, err);
        if (status == INST_FAILED) { /* what cannot be read is a problem like the others */
            add_problem(check, "%s", err->message);
            inst_err_clear(err);
            check->are_contents_done = true;
            status = INST_OK;
        }
    }
    *is_done = check->at == check->count && check->are_contents_done;
    return status == INST_OK && check->text.failed ? inst_err_nomem(err) : status;
}

void inst_data_check_show(const struct inst_data_check *check,
                          struct inst_data_check_progress *out) {
    struct inst_content_progress seen = {0};
    if (check->contents)
        inst_content_copy_show(check->contents, &seen);
    *out = (struct inst_data_check_progress){
        .name = check->is_folder && !check->is_system_done ? "system.db"
                : check->at < check->count                 ? check->ids[check->at]
                                                           : "files",
        .file = check->at + check->is_system_done,
        .files = check->count + check->is_folder,
        .contents = seen.files,
        .problems = check->problems,
        .text = check->text.data,
    };
}

void inst_data_check_free(struct inst_data_check *check) {
    if (!check)
        return;
    inst_content_copy_free(check->contents);
    inst_apps_close(check->apps);
    inst_buf_free(&check->text);
    free(check->ids);
    free(check->path);
    free(check);
}
