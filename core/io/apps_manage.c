#include "io/apps_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- one statement ---- */

/* Prepares, runs to its end, and gives up the statement. rows: how many were changed, or NULL. */
static enum inst_status run(struct inst_apps *apps, const char *sql,
                            void (*bind)(sqlite3_stmt *stmt, const void *values),
                            const void *values, int *rows, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status = inst_sqlite_prepare(apps->system, apps->path, sql, &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    bind(stmt, values);
    int rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE) {
        return inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    if (rows) {
        *rows = sqlite3_changes(apps->system);
    }
    return INST_OK;
}

static enum inst_status folder_only(const struct inst_apps *apps, struct inst_err *err) {
    return inst_err_set(err, "data-file", 500, "%s: one app only, which is managed by its owner",
                        apps->path);
}

/* The uuid in its canonical spelling, as it is kept. */
static bool plain_id(const char *text, char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, strlen(text), &uuid)) {
        return false;
    }
    inst_uuid_print(&uuid, out);
    return true;
}

/* ---- operators ---- */

struct operator_row {
    const struct inst_operator_token *who;
    unsigned char hash[SHA256_DIGEST_LENGTH];
};

static void bind_operator(sqlite3_stmt *stmt, const void *values) {
    const struct operator_row *row = values;
    sqlite3_bind_text(stmt, 1, row->who->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, row->who->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, row->who->created_ms);
    sqlite3_bind_blob(stmt, 4, row->hash, sizeof row->hash, SQLITE_STATIC);
}

static enum inst_status add_operator(void *ctx, const struct inst_operator_token *who,
                                     const char *token, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    struct operator_row row = {.who = who};
    if (apps->variant != INST_APPS_IN_DIR) {
        return folder_only(apps, err);
    }
    inst_apps_hash(token, strlen(token), row.hash);
    return run(apps, "INSERT INTO operators(id, name, created, hash) VALUES(?1,?2,?3,?4)",
               bind_operator, &row, NULL, err);
}

/* Looks at every token, so that the time taken says nothing about them; there are few. */
static bool is_operator(void *ctx, const char *token, size_t len) {
    struct inst_apps *apps = ctx;
    unsigned char given[SHA256_DIGEST_LENGTH];
    sqlite3_stmt *stmt = NULL;
    bool is_one = false;
    if (apps->variant != INST_APPS_IN_DIR) {
        return true; /* whoever can open the file owns it */
    }
    if (inst_sqlite_prepare(apps->system, apps->path, "SELECT hash FROM operators", &stmt, NULL) !=
        INST_OK) {
        return false;
    }
    inst_apps_hash(token, len, given);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        if (sqlite3_column_bytes(stmt, 0) == SHA256_DIGEST_LENGTH &&
            CRYPTO_memcmp(sqlite3_column_blob(stmt, 0), given, sizeof given) == 0) {
            is_one = true;
        }
    }
    sqlite3_finalize(stmt);
    return is_one;
}

static void copy_column(char *out, size_t cap, sqlite3_stmt *stmt, int column) {
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    snprintf(out, cap, "%s", text ? text : "");
}

static enum inst_status each_operator(void *ctx,
                                      bool (*fn)(void *ctx, const struct inst_operator_token *who),
                                      void *fn_ctx, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    sqlite3_stmt *stmt = NULL;
    int rc = SQLITE_DONE;
    if (apps->variant != INST_APPS_IN_DIR) {
        return INST_OK;
    }
    enum inst_status status = inst_sqlite_prepare(
        apps->system, apps->path, "SELECT id, name, created FROM operators ORDER BY created, id",
        &stmt, err);
    bool goes_on = status == INST_OK;
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct inst_operator_token who;
        copy_column(who.id, sizeof who.id, stmt, 0);
        copy_column(who.name, sizeof who.name, stmt, 1);
        who.created_ms = sqlite3_column_int64(stmt, 2);
        goes_on = fn(fn_ctx, &who);
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

static void bind_text(sqlite3_stmt *stmt, const void *values) {
    sqlite3_bind_text(stmt, 1, values, -1, SQLITE_STATIC);
}

static enum inst_status remove_operator(void *ctx, const char *id, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    char plain[INST_UUID_TEXT + 1] = "";
    plain_id(id, plain);
    return apps->variant != INST_APPS_IN_DIR
               ? folder_only(apps, err)
               : run(apps, "DELETE FROM operators WHERE id=?1", bind_text, plain, NULL, err);
}

/* ---- records ---- */

struct record {
    const char *key, *bytes;
    size_t len;
};

static void bind_record(sqlite3_stmt *stmt, const void *values) {
    const struct record *record = values;
    sqlite3_bind_text(stmt, 1, record->key, -1, SQLITE_STATIC);
    if (record->bytes) {
        sqlite3_bind_blob64(stmt, 2, record->bytes, record->len, SQLITE_STATIC);
    }
}

static enum inst_status set_record(void *ctx, const char *key, const char *bytes, size_t len,
                                   struct inst_err *err) {
    struct inst_apps *apps = ctx;
    const struct record record = {key, bytes, len};
    const char *sql = bytes ? "INSERT OR REPLACE INTO records(key, value) VALUES(?1,?2)"
                            : "DELETE FROM records WHERE key=?1";
    return apps->variant != INST_APPS_IN_DIR ? folder_only(apps, err)
                                             : run(apps, sql, bind_record, &record, NULL, err);
}

static enum inst_status each_record(void *ctx, const char *prefix,
                                    bool (*fn)(void *ctx, const char *key, const char *bytes,
                                               size_t len),
                                    void *fn_ctx, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    sqlite3_stmt *stmt = NULL;
    int rc = SQLITE_DONE;
    if (apps->variant != INST_APPS_IN_DIR) {
        return INST_OK;
    }
    enum inst_status status = inst_sqlite_prepare(
        apps->system, apps->path,
        "SELECT key, value FROM records WHERE substr(key, 1, length(?1)) = ?1 AND key >= ?1"
        " ORDER BY key",
        &stmt, err);
    bool goes_on = status == INST_OK;
    if (goes_on) {
        sqlite3_bind_text(stmt, 1, prefix, -1, SQLITE_STATIC);
    }
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *bytes = sqlite3_column_blob(stmt, 1);
        goes_on = fn(fn_ctx, (const char *)sqlite3_column_text(stmt, 0), bytes ? bytes : "",
                     (size_t)sqlite3_column_bytes(stmt, 1));
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

struct found_record {
    const char *key;
    struct inst_buf *out;
    bool found;
};

static bool take_record(void *ctx, const char *key, const char *bytes, size_t len) {
    struct found_record *record = ctx;
    record->found = strcmp(key, record->key) == 0;
    if (record->found) {
        inst_buf_add(record->out, bytes, len);
    }
    return false; /* the one with this key comes first */
}

static enum inst_status get_record(void *ctx, const char *key, struct inst_buf *out, bool *found,
                                   struct inst_err *err) {
    struct found_record record = {.key = key, .out = out};
    enum inst_status status = each_record(ctx, key, take_record, &record, err);
    *found = record.found;
    return status;
}

/* ---- apps ---- */

static enum inst_status each(void *ctx, bool (*fn)(void *ctx, const struct inst_app_info *info),
                             void *fn_ctx, struct inst_err *err) {
    return inst_apps_each(ctx, fn, fn_ctx, err);
}

static enum inst_status find_by_token(void *ctx, const char *token, size_t len,
                                      struct inst_app_info *out, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    sqlite3_stmt *stmt = NULL;
    if (apps->variant != INST_APPS_IN_DIR) {
        return inst_apps_not_found(err);
    }
    enum inst_status status = inst_sqlite_prepare(
        apps->system, apps->path,
        "SELECT id, title, created, expires FROM apps WHERE token_hash=?1", &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    inst_apps_hash(token, len, hash);
    sqlite3_bind_blob(stmt, 1, hash, sizeof hash, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        inst_apps_read_info(stmt, out);
    } else {
        status = rc == SQLITE_DONE ? inst_apps_not_found(err)
                                   : inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

struct change {
    char id[INST_UUID_TEXT + 1];
    const char *title;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    int64_t at;
};

static void bind_title(sqlite3_stmt *stmt, const void *values) {
    const struct change *change = values;
    sqlite3_bind_text(stmt, 1, change->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, change->title, -1, SQLITE_STATIC);
}

static void bind_hash(sqlite3_stmt *stmt, const void *values) {
    const struct change *change = values;
    sqlite3_bind_text(stmt, 1, change->id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, change->hash, sizeof change->hash, SQLITE_STATIC);
}

static void bind_time(sqlite3_stmt *stmt, const void *values) {
    const struct change *change = values;
    sqlite3_bind_text(stmt, 1, change->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, change->at);
}

static void bind_id(sqlite3_stmt *stmt, const void *values) {
    const struct change *change = values;
    sqlite3_bind_text(stmt, 1, change->id, -1, SQLITE_STATIC);
}

/* One app's row changes, or there is none. */
static enum inst_status change_app(struct inst_apps *apps, const char *app_id, const char *sql,
                                   void (*bind)(sqlite3_stmt *stmt, const void *values),
                                   struct change *change, struct inst_err *err) {
    int rows = 0;
    if (apps->variant != INST_APPS_IN_DIR) {
        return folder_only(apps, err);
    }
    if (!plain_id(app_id, change->id)) {
        return inst_apps_not_found(err);
    }
    enum inst_status status = run(apps, sql, bind, change, &rows, err);
    return status == INST_OK && rows == 0 ? inst_apps_not_found(err) : status;
}

static enum inst_status rename_app(void *ctx, const char *app_id, const char *title,
                                   struct inst_err *err) {
    struct change change = {.title = title};
    return change_app(ctx, app_id, "UPDATE apps SET title=?2 WHERE id=?1", bind_title, &change,
                      err);
}

static enum inst_status set_token(void *ctx, const char *app_id, const char *token,
                                  struct inst_err *err) {
    struct change change = {.at = 0};
    inst_apps_hash(token, strlen(token), change.hash);
    return change_app(ctx, app_id, "UPDATE apps SET token_hash=?2 WHERE id=?1", bind_hash, &change,
                      err);
}

static enum inst_status keep_for_ever(void *ctx, const char *app_id, struct inst_err *err) {
    struct change change = {.at = 0};
    return change_app(ctx, app_id, "UPDATE apps SET expires=0 WHERE id=?1", bind_id, &change, err);
}

/* The row moves: from then on nothing finds the app, and its file waits. */
static enum inst_status remove_app(void *ctx, const char *app_id, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    struct change change = {.at = apps->env->now_ms(apps->env->ctx)};
    if (apps->variant != INST_APPS_IN_DIR) {
        return folder_only(apps, err);
    }
    if (!plain_id(app_id, change.id)) {
        return inst_apps_not_found(err);
    }
    enum inst_status status = inst_sqlite_exec(apps->system, apps->path, "BEGIN IMMEDIATE", err);
    if (status != INST_OK) {
        return status;
    }
    status = change_app(apps, app_id,
                        "INSERT OR REPLACE INTO removed_apps"
                        " SELECT id, title, created, expires, token_hash, ?2 FROM apps WHERE id=?1",
                        bind_time, &change, err);
    if (status == INST_OK) {
        status = change_app(apps, app_id, "DELETE FROM apps WHERE id=?1", bind_id, &change, err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_exec(apps->system, apps->path, "COMMIT", err);
    }
    if (status != INST_OK) {
        inst_sqlite_exec(apps->system, apps->path, "ROLLBACK", NULL);
    }
    return status;
}

bool inst_apps_is_removed(struct inst_apps *apps, const char *app_id) {
    sqlite3_stmt *stmt = NULL;
    char plain[INST_UUID_TEXT + 1];
    if (!plain_id(app_id, plain) ||
        inst_sqlite_prepare(apps->system, apps->path, "SELECT 1 FROM removed_apps WHERE id=?1",
                            &stmt, NULL) != INST_OK) {
        return false;
    }
    sqlite3_bind_text(stmt, 1, plain, -1, SQLITE_STATIC);
    bool is_there = sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return is_there;
}

/* ---- opening ---- */

static enum inst_status delete_files(struct inst_apps *apps, const char *app_id,
                                     struct inst_err *err) {
    static const char *const parts[] = {"", "-wal", "-journal"};
    char path[PATH_MAX], part[PATH_MAX];
    if (!inst_apps_data_path(apps, app_id, path)) {
        return INST_OK;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (snprintf(part, sizeof part, "%s%s", path, parts[i]) < (int)sizeof part &&
            unlink(part) != 0 && errno != ENOENT) {
            return inst_err_set(err, "data-file", 500, "%s: cannot be deleted (%s)", part,
                                strerror(errno));
        }
    }
    return INST_OK;
}

/* The file goes first: a crash in between leaves a row whose file is looked for once more. One app
 * a call; *found says whether there was one. */
static enum inst_status purge_one(struct inst_apps *apps, bool *found, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    struct change change = {.at = 0};
    enum inst_status status =
        inst_sqlite_prepare(apps->system, apps->path,
                            "SELECT id FROM removed_apps WHERE removed<?1 LIMIT 1", &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(stmt, 1, apps->env->now_ms(apps->env->ctx) - INST_APPS_REMOVED_MS);
    *found = sqlite3_step(stmt) == SQLITE_ROW;
    if (*found) {
        copy_column(change.id, sizeof change.id, stmt, 0);
    }
    sqlite3_finalize(stmt);
    if (!*found) {
        return INST_OK;
    }
    status = delete_files(apps, change.id, err);
    return status == INST_OK
               ? run(apps, "DELETE FROM removed_apps WHERE id=?1", bind_id, &change, NULL, err)
               : status;
}

enum inst_status inst_apps_purge(struct inst_apps *apps, struct inst_err *err) {
    bool found = true;
    enum inst_status status = INST_OK;
    while (status == INST_OK && found) {
        status = purge_one(apps, &found, err);
    }
    return status;
}

/* ---- apps at work ---- */

/* Where there is only one app its file says it all. */
static enum inst_status set_working(void *ctx, const char *app_id, bool is_working,
                                    struct inst_err *err) {
    struct inst_apps *apps = ctx;
    struct change change = {.at = 0};
    if (apps->variant != INST_APPS_IN_DIR) {
        return INST_OK;
    }
    if (!plain_id(app_id, change.id)) {
        return inst_apps_not_found(err);
    }
    return run(apps,
               is_working ? "INSERT OR IGNORE INTO working_apps(id) VALUES(?1)"
                          : "DELETE FROM working_apps WHERE id=?1",
               bind_id, &change, NULL, err);
}

static enum inst_status each_working(void *ctx, bool (*fn)(void *ctx, const char *app_id),
                                     void *fn_ctx, struct inst_err *err) {
    struct inst_apps *apps = ctx;
    sqlite3_stmt *stmt = NULL;
    int rc = SQLITE_DONE;
    if (apps->variant == INST_APPS_IN_FILE && apps->only.id[0] != '\0') {
        fn(fn_ctx, apps->only.id);
    }
    if (apps->variant != INST_APPS_IN_DIR) {
        return INST_OK;
    }
    enum inst_status status =
        inst_sqlite_prepare(apps->system, apps->path, "SELECT id FROM working_apps", &stmt, err);
    while (status == INST_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(stmt, 0);
        if (id && !fn(fn_ctx, id)) {
            rc = SQLITE_DONE;
            break;
        }
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

enum inst_status inst_apps_manage_open(struct inst_apps *apps, struct inst_err *err) {
    static const char tables[] =
        "CREATE INDEX IF NOT EXISTS apps_token ON apps(token_hash);"
        "CREATE TABLE IF NOT EXISTS operators(id TEXT PRIMARY KEY, name TEXT NOT NULL,"
        " created INTEGER NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS records(key TEXT PRIMARY KEY, value BLOB NOT NULL)"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS removed_apps(id TEXT PRIMARY KEY, title TEXT NOT NULL,"
        " created INTEGER NOT NULL, expires INTEGER NOT NULL, token_hash BLOB NOT NULL,"
        " removed INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS working_apps(id TEXT PRIMARY KEY) WITHOUT ROWID;";
    enum inst_status status = inst_sqlite_exec(apps->system, apps->path, tables, err);
    return status == INST_OK ? inst_apps_purge(apps, err) : status;
}

const struct inst_app_manage_ops inst_apps_manage_ops = {
    .add_operator = add_operator,
    .is_operator = is_operator,
    .each_operator = each_operator,
    .remove_operator = remove_operator,
    .set_record = set_record,
    .get_record = get_record,
    .each_record = each_record,
    .each = each,
    .find_by_token = find_by_token,
    .rename = rename_app,
    .set_token = set_token,
    .keep_for_ever = keep_for_ever,
    .remove = remove_app,
    .set_working = set_working,
    .each_working = each_working,
};
