#include "io/apps_internal.h"

#include "io/sqlite_app_db.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "INSS" */
#define SYSTEM_FILE_ID 0x494e5353
#define SYSTEM_FILE_VERSION 1

static const struct inst_sqlite_kind system_file = {
    .noun = "system data file",
    .application_id = SYSTEM_FILE_ID,
    .version = SYSTEM_FILE_VERSION,
    .schema = "CREATE TABLE apps(id TEXT PRIMARY KEY, title TEXT NOT NULL,"
              " created INTEGER NOT NULL, expires INTEGER NOT NULL, token_hash BLOB NOT NULL)"
              " WITHOUT ROWID;"
              "CREATE INDEX apps_created ON apps(created, id);",
};

static int64_t now(const struct inst_apps *apps) { return apps->env->now_ms(apps->env->ctx); }

enum inst_status inst_apps_not_found(struct inst_err *err) {
    enum inst_status status = inst_err_set(err, "record-not-found", 400, "Record not found: app");
    inst_err_hint(err, "{\"args\":[],\"record-type\":\"app\"}");
    return status;
}

static enum inst_status taken(const char *app_id, struct inst_err *err) {
    enum inst_status status =
        inst_err_set(err, "record-not-unique", 400, "Record not unique: app %s", app_id);
    inst_err_hint(err, "{\"record-type\":\"app\"}");
    return status;
}

void inst_apps_hash(const char *token, size_t len, unsigned char out[SHA256_DIGEST_LENGTH]) {
    SHA256((const unsigned char *)token, len, out);
}

static void copy_text(char *out, size_t cap, const char *text) { snprintf(out, cap, "%s", text); }

/* ---- data files and the app they belong to ---- */

static enum inst_status claim(struct inst_app_db *db, const char *path, const char *app_id,
                              struct inst_err *err) {
    char owner[INST_UUID_TEXT + 1];
    size_t len;
    enum inst_status status = inst_sqlite_app_db_meta(db, "app_id", owner, sizeof owner, &len, err);
    if (status != INST_OK) {
        return status;
    }
    if (len == 0) {
        return inst_sqlite_app_db_set_meta(db, "app_id", app_id, strlen(app_id), err);
    }
    if (strcmp(owner, app_id) != 0) {
        return inst_err_set(err, "data-file", 500,
                            "%s: holds app %s, not %s; use that app id or another file", path,
                            owner, app_id);
    }
    return INST_OK;
}

static enum inst_status open_claimed(struct inst_apps *apps, const char *path, const char *app_id,
                                     bool is_existing, struct inst_app_db **out,
                                     struct inst_err *err) {
    struct inst_sqlite_options options = apps->options;
    struct inst_app_db *db = NULL;
    options.is_existing = is_existing;
    enum inst_status status = inst_sqlite_app_db_open(path, &options, &db, err);
    if (status == INST_OK) {
        status = claim(db, path, app_id, err);
    }
    if (status != INST_OK) {
        if (db) {
            db->db_ops->close(db);
        }
        return status;
    }
    *out = db;
    return INST_OK;
}

/* Ids reach file names only in the canonical spelling of a uuid. */
bool inst_apps_data_path(const struct inst_apps *apps, const char *app_id, char out[PATH_MAX]) {
    struct inst_uuid uuid;
    char text[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(app_id, strlen(app_id), &uuid)) {
        return false;
    }
    inst_uuid_print(&uuid, text);
    return snprintf(out, PATH_MAX, "%s/apps/%s.db", apps->path, text) < PATH_MAX;
}

/* ---- folder ---- */

static enum inst_status step_add(struct inst_apps *apps, const struct inst_app_info *info,
                                 const unsigned char hash[SHA256_DIGEST_LENGTH],
                                 struct inst_err *err) {
    sqlite3_bind_text(apps->add, 1, info->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(apps->add, 2, info->title, -1, SQLITE_STATIC);
    sqlite3_bind_int64(apps->add, 3, info->created_ms);
    sqlite3_bind_int64(apps->add, 4, info->expires_ms);
    sqlite3_bind_blob(apps->add, 5, hash, SHA256_DIGEST_LENGTH, SQLITE_STATIC);
    int rc = sqlite3_step(apps->add);
    sqlite3_reset(apps->add);
    if (rc == SQLITE_DONE) {
        return INST_OK;
    }
    return (rc & 0xff) == SQLITE_CONSTRAINT ? taken(info->id, err)
                                            : inst_sqlite_error(apps->system, apps->path, rc, err);
}

void inst_apps_read_info(sqlite3_stmt *stmt, struct inst_app_info *out) {
    const char *id = (const char *)sqlite3_column_text(stmt, 0);
    const char *title = (const char *)sqlite3_column_text(stmt, 1);
    memset(out, 0, sizeof *out);
    copy_text(out->id, sizeof out->id, id ? id : "");
    copy_text(out->title, sizeof out->title, title ? title : "");
    out->created_ms = sqlite3_column_int64(stmt, 2);
    out->expires_ms = sqlite3_column_int64(stmt, 3);
}

/* hash may be NULL. */
static enum inst_status find_in_dir(struct inst_apps *apps, const char *app_id,
                                    struct inst_app_info *out,
                                    unsigned char hash[SHA256_DIGEST_LENGTH],
                                    struct inst_err *err) {
    struct inst_uuid uuid;
    char text[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(app_id, strlen(app_id), &uuid)) {
        return inst_apps_not_found(err);
    }
    inst_uuid_print(&uuid, text);
    sqlite3_bind_text(apps->find, 1, text, -1, SQLITE_STATIC);
    int rc = sqlite3_step(apps->find);
    enum inst_status status = INST_OK;
    if (rc == SQLITE_ROW) {
        inst_apps_read_info(apps->find, out);
        if (hash && sqlite3_column_bytes(apps->find, 4) == SHA256_DIGEST_LENGTH) {
            memcpy(hash, sqlite3_column_blob(apps->find, 4), SHA256_DIGEST_LENGTH);
        } else if (hash) {
            status = inst_err_set(err, "data-file", 500, "%s: the file is damaged", apps->path);
        }
    } else {
        status = rc == SQLITE_DONE ? inst_apps_not_found(err)
                                   : inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_reset(apps->find);
    return status;
}

static enum inst_status create_in_dir(struct inst_apps *apps, const struct inst_app_info *info,
                                      const char *token, struct inst_err *err) {
    char path[PATH_MAX];
    struct inst_app_info known;
    if (!inst_apps_data_path(apps, info->id, path)) {
        return inst_err_set(err, "param-malformed", 400, "An app id must be a uuid");
    }
    if (find_in_dir(apps, info->id, &known, NULL, NULL) == INST_OK ||
        inst_apps_is_removed(apps, info->id)) {
        return taken(info->id, err);
    }
    struct inst_app_db *db = NULL;
    enum inst_status status = open_claimed(apps, path, info->id, false, &db, err);
    if (status != INST_OK) {
        return status;
    }
    db->db_ops->close(db);
    unsigned char hash[SHA256_DIGEST_LENGTH];
    inst_apps_hash(token, strlen(token), hash);
    return step_add(apps, info, hash, err);
}

/* ---- file and memory ---- */

static enum inst_status read_meta_int(struct inst_app_db *db, const char *key, int64_t *out,
                                      struct inst_err *err) {
    char text[32];
    size_t len;
    enum inst_status status = inst_sqlite_app_db_meta(db, key, text, sizeof text, &len, err);
    *out = status == INST_OK && len > 0 ? strtoll(text, NULL, 10) : 0;
    return status;
}

static enum inst_status read_only_app(struct inst_apps *apps, struct inst_err *err) {
    struct inst_app_info *only = &apps->only;
    size_t len;
    enum inst_status status =
        inst_sqlite_app_db_meta(apps->ready, "app_id", only->id, sizeof only->id, &len, err);
    if (status == INST_OK) {
        status = inst_sqlite_app_db_meta(apps->ready, "title", only->title, sizeof only->title,
                                         &len, err);
    }
    if (status == INST_OK) {
        status = read_meta_int(apps->ready, "created", &only->created_ms, err);
    }
    return status;
}

/* The file's app is what was asked for first. */
static enum inst_status adopt(struct inst_apps *apps, const struct inst_app_info *info,
                              struct inst_err *err) {
    char created[32];
    int n = snprintf(created, sizeof created, "%lld", (long long)info->created_ms);
    struct inst_app_db *db = apps->ready;
    if (!db) {
        return inst_err_set(err, "data-file", 500, "%s: its app is open already", apps->path);
    }
    /* The id comes last: with it the app is there. */
    enum inst_status status =
        inst_sqlite_app_db_set_meta(db, "title", info->title, strlen(info->title), err);
    if (status == INST_OK) {
        status = inst_sqlite_app_db_set_meta(db, "created", created, (size_t)n, err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_app_db_set_meta(db, "app_id", info->id, strlen(info->id), err);
    }
    if (status == INST_OK) {
        apps->only = *info;
        apps->only.expires_ms = 0;
    }
    return status;
}

static struct inst_memory_app *find_in_memory(struct inst_apps *apps, const char *app_id) {
    struct inst_memory_app *app = apps->oldest;
    while (app && strcmp(app->info.id, app_id) != 0) {
        app = app->next;
    }
    return app;
}

static enum inst_status add_in_memory(struct inst_apps *apps, const struct inst_app_info *info,
                                      struct inst_err *err) {
    struct inst_memory_app **end = &apps->oldest;
    while (*end) {
        end = &(*end)->next;
    }
    *end = calloc(1, sizeof **end);
    if (!*end) {
        return inst_err_nomem(err);
    }
    (*end)->info = *info;
    return INST_OK;
}

/* ---- the ops ---- */

static enum inst_status create(void *ctx, const struct inst_app_info *info,
                               const char admin_token[INST_UUID_TEXT + 1], struct inst_err *err) {
    struct inst_apps *apps = ctx;
    switch (apps->variant) {
    case INST_APPS_IN_DIR:
        return create_in_dir(apps, info, admin_token, err);
    case INST_APPS_IN_FILE:
        return apps->only.id[0] ? taken(info->id, err) : adopt(apps, info, err);
    default:
        return find_in_memory(apps, info->id) ? taken(info->id, err)
                                              : add_in_memory(apps, info, err);
    }
}

static enum inst_status find(void *ctx, const char *app_id, struct inst_app_info *out,
                             struct inst_err *err) {
    struct inst_apps *apps = ctx;
    if (apps->variant == INST_APPS_IN_DIR) {
        return find_in_dir(apps, app_id, out, NULL, err);
    }
    struct inst_uuid uuid;
    struct inst_app_info made = {.created_ms = now(apps)};
    if (!inst_uuid_parse(app_id, strlen(app_id), &uuid)) {
        return inst_apps_not_found(err);
    }
    inst_uuid_print(&uuid, made.id);
    enum inst_status status = INST_OK;
    if (apps->variant == INST_APPS_IN_FILE) {
        if (!apps->only.id[0]) {
            status = adopt(apps, &made, err);
        }
        if (status == INST_OK && strcmp(apps->only.id, made.id) != 0) {
            return inst_apps_not_found(err);
        }
        *out = apps->only;
        return status;
    }
    struct inst_memory_app *app = find_in_memory(apps, made.id);
    if (!app) {
        status = add_in_memory(apps, &made, err);
    }
    *out = app ? app->info : made;
    return status;
}

static bool is_admin_token(void *ctx, const char *app_id, const char *token, size_t len) {
    struct inst_apps *apps = ctx;
    struct inst_app_info info;
    if (apps->variant != INST_APPS_IN_DIR) {
        return find(ctx, app_id, &info, NULL) == INST_OK;
    }
    unsigned char kept[SHA256_DIGEST_LENGTH], given[SHA256_DIGEST_LENGTH];
    if (find_in_dir(apps, app_id, &info, kept, NULL) != INST_OK) {
        return false;
    }
    inst_apps_hash(token, len, given);
    return CRYPTO_memcmp(kept, given, sizeof kept) == 0;
}

static enum inst_status open_app(void *ctx, const char *app_id, struct inst_app_db **out,
                                 struct inst_err *err) {
    struct inst_apps *apps = ctx;
    struct inst_app_info info;
    char path[PATH_MAX];
    enum inst_status status = find(ctx, app_id, &info, err);
    if (status != INST_OK) {
        return status;
    }
    switch (apps->variant) {
    case INST_APPS_IN_DIR:
        return inst_apps_data_path(apps, info.id, path)
                   ? open_claimed(apps, path, info.id, true, out, err)
                   : inst_apps_not_found(err);
    case INST_APPS_IN_FILE:
        if (!apps->ready) {
            return open_claimed(apps, apps->path, info.id, true, out, err);
        }
        *out = apps->ready;
        apps->ready = NULL;
        return INST_OK;
    default:
        return open_claimed(apps, ":memory:", info.id, false, out, err);
    }
}

const struct inst_apps_ops inst_apps_ops = {
    .create = create,
    .find = find,
    .is_admin_token = is_admin_token,
    .open = open_app,
    .manage = &inst_apps_manage_ops,
};

/* ---- listing ---- */

static enum inst_status each_in_dir(struct inst_apps *apps,
                                    bool (*fn)(void *ctx, const struct inst_app_info *info),
                                    void *ctx, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status = inst_sqlite_prepare(
        apps->system, apps->path,
        "SELECT id, title, created, expires FROM apps ORDER BY created, id", &stmt, err);
    int rc = SQLITE_DONE;
    bool goes_on = status == INST_OK;
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct inst_app_info info;
        inst_apps_read_info(stmt, &info);
        goes_on = fn(ctx, &info);
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = inst_sqlite_error(apps->system, apps->path, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

enum inst_status inst_apps_each(struct inst_apps *apps,
                                bool (*fn)(void *ctx, const struct inst_app_info *info), void *ctx,
                                struct inst_err *err) {
    if (apps->variant == INST_APPS_IN_DIR) {
        return each_in_dir(apps, fn, ctx, err);
    }
    if (apps->variant == INST_APPS_IN_FILE) {
        if (apps->only.id[0]) {
            fn(ctx, &apps->only);
        }
        return INST_OK;
    }
    struct inst_memory_app *app = apps->oldest;
    while (app && fn(ctx, &app->info)) {
        app = app->next;
    }
    return INST_OK;
}

const char *inst_apps_only_id(const struct inst_apps *apps) { return apps->only.id; }

sqlite3 *inst_apps_system(const struct inst_apps *apps) { return apps->system; }

/* ---- opening and closing ---- */

static enum inst_status open_system(struct inst_apps *apps, struct inst_err *err) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/system.db", apps->path) >= (int)sizeof path) {
        return inst_err_set(err, "data-file", 500, "%s: the path is too long", apps->path);
    }
    enum inst_status status =
        inst_sqlite_open(path, &system_file, &apps->options, &apps->system, err);
    if (status == INST_OK) {
        status = inst_sqlite_prepare(
            apps->system, apps->path,
            "SELECT id, title, created, expires, token_hash FROM apps WHERE id=?1", &apps->find,
            err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_prepare(
            apps->system, apps->path,
            "INSERT INTO apps(id, title, created, expires, token_hash) VALUES(?1,?2,?3,?4,?5)",
            &apps->add, err);
    }
    return status == INST_OK ? inst_apps_manage_open(apps, err) : status;
}

static enum inst_status open_apps(const char *path, enum inst_apps_variant variant,
                                  const struct inst_sqlite_options *options,
                                  const struct inst_env *env, struct inst_apps **out,
                                  struct inst_err *err) {
    struct inst_apps *apps = calloc(1, sizeof *apps);
    if (!apps) {
        return inst_err_nomem(err);
    }
    apps->variant = variant;
    apps->env = env;
    apps->path = strdup(path);
    if (options) {
        apps->options = *options;
        apps->vfs = options->vfs ? strdup(options->vfs) : NULL;
        apps->options.vfs = apps->vfs;
    }
    enum inst_status status = INST_OK;
    if (!apps->path || (options && options->vfs && !apps->vfs)) {
        status = inst_err_nomem(err);
    } else if (variant == INST_APPS_IN_DIR) {
        status = open_system(apps, err);
    } else if (variant == INST_APPS_IN_FILE) {
        status = inst_sqlite_app_db_open(path, &apps->options, &apps->ready, err);
        if (status == INST_OK) {
            status = read_only_app(apps, err);
        }
    }
    if (status != INST_OK) {
        inst_apps_close(apps);
        return status;
    }
    *out = apps;
    return INST_OK;
}

enum inst_status inst_apps_open_dir(const char *dir, const struct inst_sqlite_options *options,
                                    const struct inst_env *env, struct inst_apps **out,
                                    struct inst_err *err) {
    return open_apps(dir, INST_APPS_IN_DIR, options, env, out, err);
}

enum inst_status inst_apps_open_file(const char *path, const struct inst_sqlite_options *options,
                                     const struct inst_env *env, struct inst_apps **out,
                                     struct inst_err *err) {
    enum inst_apps_variant variant =
        strcmp(path, ":memory:") == 0 ? INST_APPS_IN_MEMORY : INST_APPS_IN_FILE;
    return open_apps(path, variant, options, env, out, err);
}

void inst_apps_close(struct inst_apps *apps) {
    if (!apps) {
        return;
    }
    if (apps->system) { /* else SQLite need not be there at all */
        sqlite3_finalize(apps->find);
        sqlite3_finalize(apps->add);
        inst_sqlite_close(apps->system);
    }
    if (apps->ready) {
        apps->ready->db_ops->close(apps->ready);
    }
    while (apps->oldest) {
        struct inst_memory_app *app = apps->oldest;
        apps->oldest = app->next;
        free(app);
    }
    free(apps->vfs);
    free(apps->path);
    free(apps);
}
