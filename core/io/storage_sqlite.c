/*
 * storage_sqlite.c - a storage in one SQLite file.
 *
 *     client of app A ── storage ──┐
 *     client of app B ── storage ──┴── storage file ── one connection (sqlite_file.h)
 *
 * The connection is shared by all clients of a loop that name the file, each of which works on a
 * thread of its own: a mutex lets one at a time use it. Writes that must survive a power cut are
 * synced, results that the server can give again are not; either way a write is there wholly or not
 * at all.
 */
#include "io/storage.h"

#include "io/sqlite_file.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct inst_sqlite_kind storage_kind = {
    .noun = "storage file",
    .application_id = 0x49537430, /* "ISt0" */
    .version = 1,
    .schema = "CREATE TABLE item(app TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL,"
              " value TEXT NOT NULL, PRIMARY KEY(app, store, key));",
};

enum statement { RUN_LOAD, RUN_PUT, RUN_REMOVE, RUN_LIST, STATEMENTS };
static const char *const statement_sql[STATEMENTS] = {
    [RUN_LOAD] = "SELECT value FROM item WHERE app=?1 AND store=?2 AND key=?3",
    [RUN_PUT] = ("INSERT INTO item(app,store,key,value) VALUES(?1,?2,?3,?4)"
                 " ON CONFLICT(app,store,key) DO UPDATE SET value=excluded.value"),
    [RUN_REMOVE] = "DELETE FROM item WHERE app=?1 AND store=?2 AND key=?3",
    [RUN_LIST] = "SELECT key FROM item WHERE app=?1 AND store=?2",
};

/* One open file; its place in the list belongs to the loop's thread, the rest to who has the mutex.
 */
struct inst_storage_file {
    struct inst_storage_file *next;
    struct inst_storage_file **list;
    char *path; /* resolved */
    size_t refs;
    struct sqlite_storage *users; /* also the loop's thread's */
    pthread_mutex_t mutex;
    sqlite3 *db;         /* NULL: could not be opened again */
    unsigned generation; /* counts files that were set aside */
    sqlite3_stmt *statements[STATEMENTS];
    bool is_synced; /* commits are */
};

struct sqlite_storage {
    struct inst_storage base;
    struct sqlite_storage *next; /* of its file */
    struct inst_storage_file *file;
    char app_id[40];
    unsigned generation; /* of the file that it was told of */
};

/* ---- the file ---- */

static void close_file(struct inst_storage_file *file) {
    for (size_t i = 0; i < STATEMENTS; i++) {
        if (file->statements[i])
            sqlite3_finalize(file->statements[i]);
        file->statements[i] = NULL;
    }
    inst_sqlite_close(file->db);
    file->db = NULL;
}

static enum inst_status open_once(struct inst_storage_file *file, bool *is_unusable,
                                  struct inst_err *err) {
    struct inst_sqlite_options options = {.is_unusable = is_unusable};
    enum inst_status status = inst_sqlite_open(file->path, &storage_kind, &options, &file->db, err);
    for (size_t i = 0; i < STATEMENTS && status == INST_OK; i++)
        status =
            inst_sqlite_prepare(file->db, file->path, statement_sql[i], &file->statements[i], err);
    /* What is removed is gone: earlier versions kept tokens here. */
    if (status == INST_OK)
        sqlite3_exec(file->db, "PRAGMA secure_delete=ON", NULL, NULL, NULL);
    if (status != INST_OK && file->db) {
        *is_unusable = inst_sqlite_is_damage(sqlite3_errcode(file->db));
        close_file(file);
    }
    file->is_synced = true;
    return status;
}

/* The write-ahead log first: a new file would take the old one's for its own. */
static enum inst_status set_aside(struct inst_storage_file *file, const char *why, char **warning,
                                  struct inst_err *err) {
    struct inst_buf name;
    char from[PATH_MAX], to[PATH_MAX + 16];
    enum inst_status status = inst_storage_aside_name(file->path, &name, err);
    if (status == INST_OK) {
        snprintf(from, sizeof from, "%s-wal", file->path);
        snprintf(to, sizeof to, "%s-wal", name.data);
        rename(from, to);
        status = inst_storage_set_aside(file->path, name.data, why, warning, err);
    }
    inst_buf_free(&name);
    return status;
}

static enum inst_status open_file(struct inst_storage_file *file, char **warning,
                                  struct inst_err *err) {
    struct inst_err cause = {0};
    bool is_unusable = false;
    enum inst_status status = open_once(file, &is_unusable, &cause);
    if (status != INST_OK && is_unusable &&
        set_aside(file, cause.message, warning, err) == INST_OK) {
        inst_err_clear(&cause);
        status = open_once(file, &is_unusable, &cause);
    }
    return status == INST_OK ? INST_OK : inst_storage_fail(&cause, err);
}

/* Says what went wrong; a damaged file is set aside and a new one opened, for the next to use. */
static enum inst_status broke(struct sqlite_storage *storage, int rc, struct inst_err *err) {
    struct inst_storage_file *file = storage->file;
    struct inst_err cause = {0};
    inst_sqlite_error(file->db, file->path, rc, &cause);
    if (inst_sqlite_is_damage(rc)) {
        sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        close_file(file);
        if (set_aside(file, "the file is damaged", &storage->base.warning, NULL) == INST_OK)
            open_file(file, &storage->base.warning, NULL);
        file->generation++;
    }
    return inst_storage_fail(&cause, err);
}

static enum inst_status closed(const struct inst_storage_file *file, struct inst_err *err) {
    return inst_err_set(err, "storage-failed", 0, "%s: cannot be opened", file->path);
}

/* ---- operations, under the mutex ---- */

static void leave(struct sqlite_storage *storage) {
    struct inst_storage_file *file = storage->file;
    storage->base.is_anew = storage->base.is_anew || storage->generation != file->generation;
    storage->generation = file->generation;
    pthread_mutex_unlock(&file->mutex);
}

static sqlite3_stmt *bind(struct sqlite_storage *storage, enum statement which, const char *store,
                          const char *key) {
    sqlite3_stmt *stmt = storage->file->statements[which];
    sqlite3_bind_text(stmt, 1, storage->app_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, store, -1, SQLITE_STATIC);
    if (key)
        sqlite3_bind_text(stmt, 3, key, -1, SQLITE_STATIC);
    return stmt;
}

static int finish(sqlite3_stmt *stmt) {
    int rc = sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc;
}

static int load(struct sqlite_storage *storage, const char *store, const char *key,
                struct inst_buf *out, bool *is_there) {
    sqlite3_stmt *stmt = bind(storage, RUN_LOAD, store, key);
    int rc = sqlite3_step(stmt);
    *is_there = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        const void *text = sqlite3_column_text(stmt, 0);
        if (text)
            inst_buf_add(out, text, (size_t)sqlite3_column_bytes(stmt, 0));
        rc = text && !out->failed ? SQLITE_DONE : SQLITE_NOMEM;
    }
    int end = finish(stmt);
    return rc == SQLITE_DONE ? end : rc;
}

static int list(struct sqlite_storage *storage, const char *store, struct inst_buf *out) {
    sqlite3_stmt *stmt = bind(storage, RUN_LIST, store, NULL);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(stmt, 0);
        if (key)
            inst_buf_add(out, key, strlen(key) + 1);
    }
    finish(stmt);
    return rc != SQLITE_DONE ? rc : out->failed ? SQLITE_NOMEM : SQLITE_OK;
}

static int put(struct sqlite_storage *storage, const char *store,
               const struct inst_disk_pair *pair) {
    sqlite3_stmt *stmt = bind(storage, pair->value ? RUN_PUT : RUN_REMOVE, store, pair->key);
    if (pair->value)
        sqlite3_bind_text64(stmt, 4, pair->value, pair->len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(stmt);
    int end = finish(stmt);
    return rc == SQLITE_DONE ? end : rc;
}

static int exec(const struct inst_storage_file *file, const char *sql) {
    return sqlite3_exec(file->db, sql, NULL, NULL, NULL);
}

static int write_all(struct sqlite_storage *storage, const char *store,
                     const struct inst_disk_pair *pairs, size_t count, bool is_durable) {
    struct inst_storage_file *file = storage->file;
    int rc = SQLITE_OK;
    if (file->is_synced != is_durable) {
        rc = exec(file, is_durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        file->is_synced = rc == SQLITE_OK ? is_durable : file->is_synced;
    }
    rc = rc == SQLITE_OK ? exec(file, "BEGIN IMMEDIATE") : rc;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        rc = put(storage, store, &pairs[i]);
    rc = rc == SQLITE_OK ? exec(file, "COMMIT") : rc;
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(file->db))
        exec(file, "ROLLBACK");
    return rc;
}

static enum inst_status sqlite_load(struct inst_storage *base, const char *store, const char *key,
                                    struct inst_buf *out, bool *is_there, struct inst_err *err) {
    struct sqlite_storage *storage = (struct sqlite_storage *)base;
    struct inst_storage_file *file = storage->file;
    enum inst_status status = INST_OK;
    pthread_mutex_lock(&file->mutex);
    int rc = file->db ? load(storage, store, key, out, is_there) : SQLITE_CANTOPEN;
    if (!file->db) {
        status = closed(file, err);
    } else if (rc != SQLITE_OK) {
        *is_there = false;
        status = broke(storage, rc, err);
        /* What was in the damaged file is gone, and the new one has nothing: that is no failure. */
        if (inst_sqlite_is_damage(rc) && file->db) {
            inst_err_clear(err);
            inst_buf_clear(out);
            status = INST_OK;
        }
    }
    leave(storage);
    return status;
}

static enum inst_status sqlite_list(struct inst_storage *base, const char *store,
                                    struct inst_buf *out, struct inst_err *err) {
    struct sqlite_storage *storage = (struct sqlite_storage *)base;
    struct inst_storage_file *file = storage->file;
    enum inst_status status = INST_OK;
    pthread_mutex_lock(&file->mutex);
    int rc = file->db ? list(storage, store, out) : SQLITE_CANTOPEN;
    if (!file->db) {
        status = closed(file, err);
    } else if (rc != SQLITE_OK) {
        status = broke(storage, rc, err);
        if (inst_sqlite_is_damage(rc) && file->db) {
            inst_err_clear(err);
            inst_buf_clear(out);
            status = INST_OK;
        }
    }
    leave(storage);
    return status;
}

static enum inst_status sqlite_write(struct inst_storage *base, const char *store,
                                     const struct inst_disk_pair *pairs, size_t count,
                                     bool is_durable, struct inst_err *err) {
    struct sqlite_storage *storage = (struct sqlite_storage *)base;
    struct inst_storage_file *file = storage->file;
    enum inst_status status = INST_OK;
    pthread_mutex_lock(&file->mutex);
    int rc = file->db ? write_all(storage, store, pairs, count, is_durable) : SQLITE_CANTOPEN;
    if (!file->db)
        status = closed(file, err);
    else if (rc != SQLITE_OK)
        status = broke(storage, rc, err);
    leave(storage);
    return status;
}

/* ---- life ---- */

static void release_file(struct inst_storage_file *file) {
    if (--file->refs > 0)
        return;
    for (struct inst_storage_file **at = file->list; *at; at = &(*at)->next) {
        if (*at == file) {
            *at = file->next;
            break;
        }
    }
    if (file->db)
        close_file(file);
    pthread_mutex_destroy(&file->mutex);
    free(file->path);
    free(file);
}

static void sqlite_storage_close(struct inst_storage *base) {
    struct sqlite_storage *storage = (struct sqlite_storage *)base;
    for (struct sqlite_storage **at = &storage->file->users; *at; at = &(*at)->next) {
        if (*at == storage) {
            *at = storage->next;
            break;
        }
    }
    release_file(storage->file);
    free(base->warning);
    free(base->beside);
    free(storage);
}

static const struct inst_storage_ops sqlite_ops = {sqlite_load, sqlite_write, sqlite_list,
                                                   sqlite_storage_close};

/* The path that all names of the file share. */
static char *resolve(const char *path) {
    char *whole = realpath(path, NULL);
    if (whole)
        return whole;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *real = dir ? realpath(dir, NULL) : NULL;
    free(dir);
    if (!real)
        return strdup(path); /* its folder is made with it */
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path);
    free(real);
    return inst_buf_take(&buf, NULL);
}

static enum inst_status get_file(struct inst_loop *loop, const char *path,
                                 struct inst_storage_file **out, char **warning,
                                 struct inst_err *err) {
    struct inst_storage_file **list = inst_loop_storage_files(loop);
    char *whole = resolve(path);
    if (!whole)
        return inst_err_nomem(err);
    for (struct inst_storage_file *file = *list; file; file = file->next) {
        if (strcmp(file->path, whole) == 0) {
            free(whole);
            file->refs++;
            *out = file;
            return INST_OK;
        }
    }
    struct inst_storage_file *file = calloc(1, sizeof *file);
    if (!file) {
        free(whole);
        return inst_err_nomem(err);
    }
    file->path = whole;
    file->refs = 1;
    file->list = list;
    pthread_mutex_init(&file->mutex, NULL);
    enum inst_status status =
        strlen(whole) + 40 < PATH_MAX
            ? open_file(file, warning, err)
            : inst_err_set(err, "storage-failed", 0, "%s: the path is too long", path);
    if (status != INST_OK) {
        release_file(file);
        return status;
    }
    file->next = *list;
    *list = file;
    *out = file;
    return INST_OK;
}

enum inst_status inst_storage_open_sqlite(struct inst_loop *loop, const char *path,
                                          const char *app_id, struct inst_storage **out,
                                          struct inst_err *err) {
    struct sqlite_storage *storage = calloc(1, sizeof *storage);
    if (!storage)
        return inst_err_nomem(err);
    storage->base.ops = &sqlite_ops;
    snprintf(storage->app_id, sizeof storage->app_id, "%s", app_id);
    enum inst_status status = get_file(loop, path, &storage->file, &storage->base.warning, err);
    if (status != INST_OK) {
        free(storage->base.warning);
        free(storage);
        return status;
    }
    for (struct sqlite_storage *user = storage->file->users; user; user = user->next) {
        if (strcmp(user->app_id, storage->app_id) == 0) {
            status = inst_err_set(err, "storage-failed", 0,
                                  "%s: in use by another client of this app; give each one of its "
                                  "own, or end that one first",
                                  storage->file->path);
        }
    }
    struct inst_buf beside;
    inst_buf_init(&beside);
    inst_buf_addf(&beside, "%s-user", storage->file->path);
    storage->base.beside = inst_buf_take(&beside, NULL);
    if (status == INST_OK && !storage->base.beside)
        status = inst_err_nomem(err);
    if (status != INST_OK) {
        release_file(storage->file);
        free(storage->base.warning);
        free(storage->base.beside);
        free(storage);
        return status;
    }
    pthread_mutex_lock(&storage->file->mutex);
    storage->generation = storage->file->generation;
    pthread_mutex_unlock(&storage->file->mutex);
    storage->next = storage->file->users;
    storage->file->users = storage;
    *out = &storage->base;
    return INST_OK;
}
