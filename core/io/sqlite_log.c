#include "io/sqlite_internal.h"

#include <string.h>

/* ---- the log ---- */

enum inst_status db_append_log(struct inst_app_db *base, const struct inst_log_record *record,
                               struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status != INST_OK) {
        return status;
    }
    if (record->tx_id != db->last_tx_id + 1) {
        return inst_err_set(err, "data-file", 500,
                            "%s: the log wants transaction %lld next, not %lld", db->path,
                            (long long)db->last_tx_id + 1, (long long)record->tx_id);
    }
    sqlite3_stmt *stmt = db_stmt(db, RUN_ADD_LOG, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, record->tx_id);
    sqlite3_bind_int64(stmt, 2, record->at_ms);
    if (record->event) {
        sqlite3_bind_blob(stmt, 3, record->event->bytes, sizeof record->event->bytes,
                          SQLITE_STATIC);
    } else {
        sqlite3_bind_null(stmt, 3);
    }
    sqlite3_bind_text64(stmt, 4, record->who, record->who_len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text64(stmt, 5, record->changes, record->changes_len, SQLITE_STATIC, SQLITE_UTF8);
    struct undo_row row = {.kind = UNDO_ADDED_LOG, .t = record->tx_id};
    status = db_run_noted(db, stmt, &row, err);
    if (status == INST_OK) {
        db->last_tx_id = record->tx_id;
    }
    return status;
}

enum inst_status db_find_event(struct inst_app_db *base, const struct inst_uuid *event,
                               int64_t *tx_id, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = db_stmt(db, RUN_FIND_EVENT, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_blob(stmt, 1, event->bytes, sizeof event->bytes, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    enum inst_status status = INST_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        *tx_id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    } else {
        status = db_error(db, rc, err);
    }
    sqlite3_reset(stmt);
    return status;
}

enum inst_status db_load_last_tx_id(struct sqlite_app_db *db, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status =
        inst_sqlite_prepare(db->db, db->path, "SELECT max(tx_id) FROM log", &stmt, err);
    if (status == INST_OK) {
        int rc = sqlite3_step(stmt);
        db->last_tx_id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
        status = rc == SQLITE_ROW ? INST_OK : db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

/* The record that the statement stands on; its event goes to *event. */
static struct inst_log_record column_record(sqlite3_stmt *stmt, struct inst_uuid *event) {
    struct inst_log_record record = {.tx_id = sqlite3_column_int64(stmt, 0),
                                     .at_ms = sqlite3_column_int64(stmt, 1)};
    if (sqlite3_column_bytes(stmt, 2) == (int)sizeof event->bytes) {
        memcpy(event->bytes, sqlite3_column_blob(stmt, 2), sizeof event->bytes);
        record.event = event;
    }
    record.who = (const char *)sqlite3_column_text(stmt, 3);
    record.who_len = (size_t)sqlite3_column_bytes(stmt, 3);
    record.changes = (const char *)sqlite3_column_text(stmt, 4);
    record.changes_len = (size_t)sqlite3_column_bytes(stmt, 4);
    return record;
}

enum inst_status db_read_log(struct inst_app_db *base, int64_t after,
                             bool (*fn)(void *ctx, const struct inst_log_record *record), void *ctx,
                             struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = db_stmt(db, RUN_READ_LOG, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, after);
    enum inst_status status = INST_OK;
    bool goes_on = true;
    int rc = SQLITE_DONE;
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct inst_uuid event;
        struct inst_log_record record = column_record(stmt, &event);
        if (!record.who || !record.changes) {
            status = inst_err_nomem(err);
            break;
        }
        goes_on = fn(ctx, &record);
    }
    if (status == INST_OK && goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_reset(stmt);
    return status;
}

/* ---- notes: beside what the file says about itself, in the same table ---- */

static const char note_prefix[] = "note:";

static void note_key(struct inst_buf *out, const char *key) {
    inst_buf_init(out);
    inst_buf_add_str(out, note_prefix);
    inst_buf_add_str(out, key);
}

enum inst_status db_set_note(struct inst_app_db *base, const char *key, const char *bytes,
                             size_t len, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct inst_buf full;
    enum inst_status status = db_may_write(db, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_stmt *stmt = db_stmt(db, bytes ? RUN_SET_META : RUN_DROP_META, err);
    if (!stmt) {
        return INST_FAILED;
    }
    note_key(&full, key);
    if (full.failed) {
        status = inst_err_nomem(err);
    } else {
        sqlite3_bind_text64(stmt, 1, full.data, full.len, SQLITE_STATIC, SQLITE_UTF8);
        if (bytes) {
            sqlite3_bind_blob64(stmt, 2, bytes, len, SQLITE_STATIC);
        }
        status = db_run(db, stmt, err);
        sqlite3_clear_bindings(stmt);
    }
    inst_buf_free(&full);
    return status;
}

enum inst_status db_get_note(struct inst_app_db *base, const char *key, struct inst_buf *out,
                             bool *found, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct inst_buf full;
    sqlite3_stmt *stmt = db_stmt(db, RUN_GET_META, err);
    *found = false;
    if (!stmt) {
        return INST_FAILED;
    }
    note_key(&full, key);
    enum inst_status status = full.failed ? inst_err_nomem(err) : INST_OK;
    if (status == INST_OK) {
        sqlite3_bind_text64(stmt, 1, full.data, full.len, SQLITE_STATIC, SQLITE_UTF8);
        int rc = sqlite3_step(stmt);
        *found = rc == SQLITE_ROW;
        if (*found) {
            const void *bytes = sqlite3_column_blob(stmt, 0);
            inst_buf_add(out, bytes, (size_t)sqlite3_column_bytes(stmt, 0));
            status = out->failed ? inst_err_nomem(err) : INST_OK;
        } else if (rc != SQLITE_DONE) {
            status = db_error(db, rc, err);
        }
        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
    }
    inst_buf_free(&full);
    return status;
}

enum inst_status db_each_note(struct inst_app_db *base, const char *prefix, const char *after,
                              bool (*fn)(void *ctx, const char *key, const char *bytes, size_t len),
                              void *ctx, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct inst_buf full, from;
    sqlite3_stmt *stmt = db_stmt(db, RUN_EACH_META, err);
    if (!stmt) {
        return INST_FAILED;
    }
    note_key(&full, prefix);
    note_key(&from, after ? after : prefix);
    if (full.failed || from.failed) {
        inst_buf_free(&full);
        inst_buf_free(&from);
        return inst_err_nomem(err);
    }
    sqlite3_bind_text64(stmt, 1, from.data, from.len, SQLITE_STATIC, SQLITE_UTF8);
    enum inst_status status = INST_OK;
    bool goes_on = true;
    int rc = SQLITE_DONE;
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(stmt, 0);
        const char *bytes = sqlite3_column_blob(stmt, 1);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 1);
        if (!key) {
            status = inst_err_nomem(err);
            break;
        }
        if (!after || strcmp(key, from.data) != 0)
            goes_on = strncmp(key, full.data, full.len) == 0 &&
                      fn(ctx, key + sizeof note_prefix - 1, bytes, len);
    }
    if (status == INST_OK && goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    inst_buf_free(&full);
    inst_buf_free(&from);
    return status;
}
