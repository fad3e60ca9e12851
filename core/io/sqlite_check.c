#include "io/sqlite_internal.h"

#include <stdio.h>
#include <string.h>

/* What is wrong so far: the first problem in words, and how many. */
struct findings {
    char first[160];
    unsigned long count;
};

static void found(struct findings *findings, const char *what) {
    if (findings->count++ == 0) {
        snprintf(findings->first, sizeof findings->first, "%s", what);
    }
}

/* SQLite's own check of its pages and indexes. */
static enum inst_status check_pages(struct sqlite_app_db *db, struct findings *findings,
                                    struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status =
        inst_sqlite_prepare(db->db, db->path, "PRAGMA integrity_check", &stmt, err);
    int rc = SQLITE_DONE;
    while (status == INST_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (!text || strcmp(text, "ok") != 0) {
            found(findings, text ? text : "unknown");
        }
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

/* Each row of the query is a problem. */
static enum inst_status check_none(struct sqlite_app_db *db, const char *sql, const char *what,
                                   struct findings *findings, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status = inst_sqlite_prepare(db->db, db->path, sql, &stmt, err);
    int rc = SQLITE_DONE;
    while (status == INST_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        found(findings, what);
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

/* The key that ave must hold for the triple that scan stands on. */
static enum inst_status wanted_key(struct sqlite_app_db *db, sqlite3_stmt *scan,
                                   struct inst_arena *arena, enum index_kind kind,
                                   struct db_key *out, struct inst_err *err) {
    if (kind == KIND_LINK) {
        *out = db_int_key(sqlite3_column_int64(scan, 2));
        return INST_OK;
    }
    if (kind == KIND_ID) {
        *out = db_int_key(sqlite3_column_int64(scan, 4));
        return INST_OK;
    }
    struct inst_value v;
    enum inst_status status = db_read_value(db, scan, 3, false, arena, &v, err);
    if (status != INST_OK) {
        return status;
    }
    return db_order_key(kind, &v, &db->scratch[0], out) ? INST_OK : inst_err_nomem(err);
}

/* Looks for the triple's row at its place of this kind. */
static enum inst_status check_place(struct sqlite_app_db *db, sqlite3_stmt *scan,
                                    sqlite3_stmt *probe, struct inst_arena *arena,
                                    enum index_kind kind, bool *is_there, bool *is_in_time,
                                    struct inst_err *err) {
    struct db_key k;
    inst_arena_reset(arena);
    enum inst_status status = wanted_key(db, scan, arena, kind, &k, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(probe, 1, sqlite3_column_int64(scan, 1));
    db_bind_key(probe, 2, &k, true);
    sqlite3_bind_int64(probe, 3, sqlite3_column_int64(scan, 0));
    int rc = sqlite3_step(probe);
    *is_there = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW && (kind == KIND_VALUE || kind == KIND_LINK)) {
        *is_in_time = sqlite3_column_int64(probe, 0) == sqlite3_column_int64(scan, 4);
    } else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_reset(probe);
    return status;
}

/* Of an attr that is being moved the row may be at either place. */
static enum inst_status check_triple(struct sqlite_app_db *db, sqlite3_stmt *scan,
                                     sqlite3_stmt *probe, struct inst_arena *arena,
                                     struct findings *findings, struct inst_err *err) {
    struct db_move move = db_move_of(db, (uint32_t)sqlite3_column_int64(scan, 1));
    bool is_there = false, is_in_time = true, is_moving = move.from != move.to;
    enum inst_status status =
        check_place(db, scan, probe, arena, move.to, &is_there, &is_in_time, err);
    if (status == INST_OK && !is_there && is_moving) {
        status = check_place(db, scan, probe, arena, move.from, &is_there, &is_in_time, err);
    }
    if (status != INST_OK) {
        return status;
    }
    if ((sqlite3_column_int64(scan, 2) != 0) != (move.to == KIND_LINK)) {
        found(findings, "a triple is a link and its attr is not, or the other way round");
    }
    if (!is_there) {
        found(findings, "an index lacks a triple");
    } else if (!is_in_time && !is_moving) {
        found(findings, "an index and its triple differ in time");
    }
    return INST_OK;
}

/* Every triple has its row in ave. With as many rows in both, ave has no others: rows of one attr
 * differ in (k, e), and so do its triples. */
static enum inst_status check_triples(struct sqlite_app_db *db, struct findings *findings,
                                      struct inst_err *err) {
    sqlite3_stmt *scan = NULL, *probe = NULL;
    struct inst_arena arena;
    inst_arena_init(&arena);
    enum inst_status status =
        inst_sqlite_prepare(db->db, db->path, "SELECT e, a, ref, v, t FROM triples", &scan, err);
    if (status == INST_OK) {
        status = inst_sqlite_prepare(db->db, db->path,
                                     "SELECT t FROM ave WHERE a=?1 AND k=?2 AND e=?3", &probe, err);
    }
    int rc = SQLITE_DONE;
    while (status == INST_OK && (rc = sqlite3_step(scan)) == SQLITE_ROW) {
        status = check_triple(db, scan, probe, &arena, findings, err);
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(scan);
    sqlite3_finalize(probe);
    inst_arena_free(&arena);
    return status;
}

enum inst_status inst_sqlite_app_db_check(struct inst_app_db *base, struct inst_err *err) {
    static const struct {
        const char *sql, *what;
    } none[] = {
        {"SELECT 1 FROM triples WHERE e NOT IN (SELECT e FROM ents)",
         "a triple of an entity that is not there"},
        {"SELECT 1 FROM triples WHERE ref<>0 AND ref NOT IN (SELECT e FROM ents)",
         "a link to an entity that is not there"},
        {"SELECT 1 FROM triples WHERE a NOT IN (SELECT row FROM attrs)",
         "a triple of an attr that is not there"},
        {"SELECT 1 FROM ents WHERE length(uuid)<>16 OR typeof(uuid)<>'blob'",
         "an entity without a uuid"},
        {"SELECT 1 WHERE (SELECT count(*) FROM log)<>(SELECT coalesce(max(tx_id),0) FROM log)",
         "the log has a gap"},
    };
    struct sqlite_app_db *db = of_db(base);
    struct findings findings = {0};
    enum inst_status status = check_pages(db, &findings, err);
    bool is_readable = findings.count == 0;
    for (size_t i = 0; is_readable && status == INST_OK && i < sizeof none / sizeof *none; i++) {
        status = check_none(db, none[i].sql, none[i].what, &findings, err);
    }
    if (is_readable && status == INST_OK) {
        status = check_triples(db, &findings, err);
    }
    if (is_readable && status == INST_OK) {
        status = check_none(db,
                            "SELECT 1 WHERE (SELECT count(*) FROM triples)<>"
                            "(SELECT count(*) FROM ave)",
                            "an index has rows of no triple", &findings, err);
    }
    if (status == INST_OK && findings.count > 0) {
        char hint[64];
        status = db_damaged(db, findings.first, err);
        snprintf(hint, sizeof hint, "{\"problems\":%lu}", findings.count);
        inst_err_hint(err, hint);
    }
    return status;
}
