#include "io/sqlite_internal.h"

#include <string.h>

static bool is_noting(const struct sqlite_app_db *db) { return db->is_saved && !db->is_deep; }

enum inst_status db_undo_deepen(struct sqlite_app_db *db, struct inst_err *err) {
    if (!is_noting(db)) {
        return INST_OK;
    }
    sqlite3_stmt *stmt = db_stmt(db, RUN_SAVEPOINT, err);
    enum inst_status status = stmt ? db_run(db, stmt, err) : INST_FAILED;
    db->is_deep = status == INST_OK;
    return status;
}

/* Before the row is written: *is_noted says whether it has to be forgotten when it was not. */
static enum inst_status note(struct sqlite_app_db *db, const struct undo_row *row, bool *is_noted,
                             struct inst_err *err) {
    *is_noted = false;
    if (is_noting(db) && (db->undo_count >= INST_SQLITE_UNDO_ROWS ||
                          db->undo_arena.total >= INST_SQLITE_UNDO_BYTES)) {
        enum inst_status status = db_undo_deepen(db, err);
        if (status != INST_OK) {
            return status;
        }
    }
    if (!is_noting(db)) {
        return INST_OK;
    }
    struct undo_row *noted = inst_arena_alloc(&db->undo_arena, sizeof *noted);
    if (!noted) {
        return inst_err_nomem(err);
    }
    *noted = *row;
    if (row->key.bytes) {
        noted->key.bytes = inst_arena_dup(&db->undo_arena, row->key.bytes, row->key.len);
        if (!noted->key.bytes) {
            return inst_err_nomem(err);
        }
    }
    noted->before = db->undo_last;
    db->undo_last = noted;
    db->undo_count++;
    *is_noted = true;
    return INST_OK;
}

static void forget_last(struct sqlite_app_db *db) {
    db->undo_last = db->undo_last->before;
    db->undo_count--;
}

enum inst_status db_run_noted(struct sqlite_app_db *db, sqlite3_stmt *stmt,
                              const struct undo_row *row, struct inst_err *err) {
    bool is_noted;
    enum inst_status status = note(db, row, &is_noted, err);
    if (status != INST_OK) {
        return status;
    }
    status = db_run(db, stmt, err);
    if (is_noted && (status != INST_OK || sqlite3_changes(db->db) == 0)) {
        forget_last(db);
    }
    return status;
}

void db_undo_clear(struct sqlite_app_db *db) {
    db->undo_last = NULL;
    db->undo_count = 0;
    db->is_deep = false;
    inst_arena_reset(&db->undo_arena);
}

/* ---- taking back ---- */

static enum run_stmt inverse_of(enum undo_kind kind) {
    switch (kind) {
    case UNDO_ADDED_ENTITY:
        return RUN_DROP_ENTITY;
    case UNDO_ADDED_TRIPLE:
        return RUN_DROP_TRIPLE;
    case UNDO_SET_TRIPLE:
        return RUN_SET_TRIPLE;
    case UNDO_DROPPED_TRIPLE:
        return RUN_ADD_TRIPLE;
    case UNDO_ADDED_AVE:
        return RUN_DROP_AVE;
    case UNDO_DROPPED_AVE:
        return RUN_ADD_AVE;
    default:
        return RUN_DROP_LOG;
    }
}

static void bind_time(sqlite3_stmt *stmt, int at, int64_t t) {
    if (t == INST_NO_TIME) {
        sqlite3_bind_null(stmt, at);
    } else {
        sqlite3_bind_int64(stmt, at, t);
    }
}

static void bind_row(sqlite3_stmt *stmt, const struct undo_row *row) {
    switch (row->kind) {
    case UNDO_ADDED_ENTITY:
        db_bind_key(stmt, 1, &row->key, true);
        break;
    case UNDO_SET_TRIPLE:
    case UNDO_DROPPED_TRIPLE:
        db_bind_key(stmt, 4, &row->key, true);
        bind_time(stmt, 5, row->t);
        /* fall through */
    case UNDO_ADDED_TRIPLE:
        sqlite3_bind_int64(stmt, 1, row->e);
        sqlite3_bind_int64(stmt, 2, row->a);
        sqlite3_bind_int64(stmt, 3, row->ref);
        break;
    case UNDO_DROPPED_AVE:
        bind_time(stmt, 4, row->t);
        /* fall through */
    case UNDO_ADDED_AVE:
        sqlite3_bind_int64(stmt, 1, row->a);
        db_bind_key(stmt, 2, &row->key, true);
        sqlite3_bind_int64(stmt, 3, row->e);
        break;
    default:
        sqlite3_bind_int64(stmt, 1, row->t);
    }
}

static enum inst_status take_back(struct sqlite_app_db *db, const struct undo_row *row,
                                  struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, inverse_of(row->kind), err);
    if (!stmt) {
        return INST_FAILED;
    }
    bind_row(stmt, row);
    enum inst_status status = db_run(db, stmt, err);
    if (status == INST_OK && sqlite3_changes(db->db) != 1) {
        return db_damaged(db, "a row that was just written is missing", err);
    }
    return status;
}

enum inst_status db_undo_all(struct sqlite_app_db *db, struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (db->is_deep) {
        sqlite3_stmt *undo = db_stmt(db, RUN_UNDO, err);
        sqlite3_stmt *release = undo ? db_stmt(db, RUN_RELEASE, err) : NULL;
        status = release ? db_run(db, undo, err) : INST_FAILED;
        if (status == INST_OK) {
            status = db_run(db, release, err);
        }
        db->is_deep = status != INST_OK;
    }
    while (status == INST_OK && db->undo_last) {
        status = take_back(db, db->undo_last, err);
        if (status == INST_OK) {
            forget_last(db);
        }
    }
    return status;
}
