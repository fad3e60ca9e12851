#include "base/json.h"
#include "io/sqlite_internal.h"

#include <stdlib.h>
#include <string.h>

/* A scratch buffer that grew past this for one large value is given back. */
#define SCRATCH_KEPT (64u << 10)
/* What the text of one entity takes in the arena. */
#define TEXT_BYTES 40

static const char schema_sql[] =
    "CREATE TABLE ents(e INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE);"
    "CREATE TABLE attrs(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, json TEXT NOT NULL,"
    " index_kind INTEGER NOT NULL, deleted INTEGER NOT NULL);"
    "CREATE INDEX attrs_kind ON attrs(index_kind);"
    "CREATE TABLE triples(e INTEGER NOT NULL, a INTEGER NOT NULL, ref INTEGER NOT NULL, v,"
    " t INTEGER, PRIMARY KEY(e, a, ref)) WITHOUT ROWID;"
    "CREATE TABLE ave(a INTEGER NOT NULL, k, e INTEGER NOT NULL, t INTEGER,"
    " PRIMARY KEY(a, k, e)) WITHOUT ROWID;"
    "CREATE TABLE log(tx_id INTEGER PRIMARY KEY, at INTEGER NOT NULL, event BLOB,"
    " who TEXT NOT NULL, changes TEXT NOT NULL);"
    "CREATE UNIQUE INDEX log_event ON log(event) WHERE event IS NOT NULL;"
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;";

static const struct inst_sqlite_kind app_file = {
    .noun = "app data file",
    .application_id = INST_APP_FILE_ID,
    .version = INST_APP_FILE_VERSION,
    .schema = schema_sql,
};

static const char *const run_sql[RUN_COUNT] = {
    [RUN_BEGIN] = "BEGIN IMMEDIATE",
    [RUN_COMMIT] = "COMMIT",
    [RUN_ROLLBACK] = "ROLLBACK",
    [RUN_SAVEPOINT] = "SAVEPOINT tx",
    [RUN_UNDO] = "ROLLBACK TO tx",
    [RUN_RELEASE] = "RELEASE tx",
    [RUN_FIND_ENTITY] = "SELECT e FROM ents WHERE uuid=?1",
    [RUN_ADD_ENTITY] = "INSERT OR IGNORE INTO ents(uuid) VALUES(?1)",
    [RUN_DROP_ENTITY] = "DELETE FROM ents WHERE uuid=?1",
    [RUN_FIND_UUID] = "SELECT uuid FROM ents WHERE e=?1",
    [RUN_ADD_TRIPLE] = "INSERT INTO triples(e,a,ref,v,t) VALUES(?1,?2,?3,?4,?5)",
    [RUN_ADD_LINK] = "INSERT OR IGNORE INTO triples(e,a,ref,v,t) VALUES(?1,?2,?3,?4,?5)",
    [RUN_SET_TRIPLE] = "UPDATE triples SET v=?4, t=?5 WHERE e=?1 AND a=?2 AND ref=?3",
    [RUN_DROP_TRIPLE] = "DELETE FROM triples WHERE e=?1 AND a=?2 AND ref=?3",
    [RUN_ADD_AVE] = "INSERT INTO ave(a,k,e,t) VALUES(?1,?2,?3,?4)",
    [RUN_DROP_AVE] = "DELETE FROM ave WHERE a=?1 AND k=?2 AND e=?3",
    [RUN_HAS_AVE] = "SELECT 1 FROM ave WHERE a=?1 LIMIT 1",
    [RUN_FIND_ATTR] = "SELECT row FROM attrs WHERE id=?1",
    [RUN_ADD_ATTR] = "INSERT INTO attrs(id,json,index_kind,deleted) VALUES(?1,?2,?3,?4)",
    [RUN_SET_ATTR] = "UPDATE attrs SET id=?1, json=?2, deleted=?4 WHERE row=?5",
    [RUN_SET_KIND] = "UPDATE attrs SET index_kind=?2 WHERE row=?1",
    [RUN_DROP_ATTR] = "DELETE FROM attrs WHERE row=?1",
    [RUN_ADD_LOG] = "INSERT INTO log(tx_id,at,event,who,changes) VALUES(?1,?2,?3,?4,?5)",
    [RUN_DROP_LOG] = "DELETE FROM log WHERE tx_id=?1",
    [RUN_FIND_EVENT] = "SELECT tx_id FROM log WHERE event=?1",
    [RUN_READ_LOG] = "SELECT tx_id,at,event,who,changes FROM log WHERE tx_id>?1 ORDER BY tx_id",
    [RUN_EACH_META] = "SELECT key,value FROM meta WHERE key>=?1 ORDER BY key",
    [RUN_DROP_META] = "DELETE FROM meta WHERE key=?1",
    [RUN_NEXT_PLACE] = "SELECT ave.k, ave.e, tr.v, tr.t, ave.t FROM ave CROSS JOIN triples tr"
                       " ON tr.e=ave.e AND tr.a=?1 AND tr.ref=0"
                       " WHERE ave.a=?1 AND (ave.k, ave.e)>(?2, ?3) ORDER BY ave.k, ave.e LIMIT 1",
    [RUN_OTHER_LINK] = "SELECT e FROM ave WHERE a=?1 AND k=?2 AND e<>?3 LIMIT 1",
    [RUN_OTHER_VALUE] = "SELECT ave.e FROM ave CROSS JOIN triples tr ON tr.e=ave.e AND tr.a=?1"
                        " AND tr.ref=0 WHERE ave.a=?1 AND ave.k=?2 AND ave.e<>?3 AND tr.v IS ?4"
                        " LIMIT 1",
    [RUN_COUNT_AVE] =
        "SELECT count(*) FROM (SELECT 1 FROM ave WHERE a=?1 AND k>=?2 AND k<=?4 LIMIT ?6)",
    [RUN_COUNT_PLACES] = "SELECT count(*) FROM (SELECT 1 FROM ave WHERE a=?1 AND (k,e)>(?2,?3)"
                         " AND (k,e)<(?4,?5) LIMIT ?6)",
    [RUN_COUNT_EA] = "SELECT count(*) FROM (SELECT 1 FROM triples WHERE e=?1 AND a=?2 LIMIT ?3)",
    [RUN_GET_META] = "SELECT value FROM meta WHERE key=?1",
    [RUN_SET_META] = "INSERT OR REPLACE INTO meta(key,value) VALUES(?1,?2)",
};

/* ---- running statements ---- */

enum inst_status db_error(struct sqlite_app_db *db, int rc, struct inst_err *err) {
    if (db->is_begun && sqlite3_get_autocommit(db->db)) {
        db->is_lost = true;
    }
    return inst_sqlite_error(db->db, db->path, rc, err);
}

enum inst_status db_damaged(struct sqlite_app_db *db, const char *what, struct inst_err *err) {
    return inst_err_set(err, "data-file", 500,
                        "%s: the file is damaged (%s); restore it from a backup", db->path, what);
}

sqlite3_stmt *db_stmt(struct sqlite_app_db *db, enum run_stmt which, struct inst_err *err) {
    if (!db->run[which]) {
        inst_sqlite_prepare(db->db, db->path, run_sql[which], &db->run[which], err);
    }
    return db->run[which];
}

enum inst_status db_run(struct sqlite_app_db *db, sqlite3_stmt *stmt, struct inst_err *err) {
    int rc = sqlite3_step(stmt);
    enum inst_status status = INST_OK;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        status = db_error(db, rc, err);
    }
    sqlite3_reset(stmt);
    return status;
}

static enum inst_status run(struct sqlite_app_db *db, enum run_stmt which, struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, which, err);
    return stmt ? db_run(db, stmt, err) : INST_FAILED;
}

enum inst_status db_may_write(struct sqlite_app_db *db, struct inst_err *err) {
    if (db->is_lost) {
        return inst_err_set(err, "data-file", 500,
                            "%s: the group of transactions was given up after a failure of the "
                            "disk; send them again",
                            db->path);
    }
    if (!db->is_begun) {
        return inst_err_set(err, "data-file", 500, "%s: written outside a group", db->path);
    }
    return INST_OK;
}

/* ---- attrs ---- */

enum index_kind db_wanted_kind(const struct inst_attr *attr) {
    if (attr->is_ref) {
        return KIND_LINK;
    }
    if (inst_is_string(&attr->forward.label, "id")) {
        return KIND_ID;
    }
    bool is_date = attr->checked_type == INST_CHECKED_DATE && !attr->is_checking_type;
    bool is_ordered = attr->is_indexed || attr->is_unique;
    return !is_ordered ? KIND_PLAIN : is_date ? KIND_DATE : KIND_VALUE;
}

static bool is_kind_code(int code) {
    int from = code >> 3 & 3, to = code >> 5;
    if (code >= 0 && code < 8) {
        return code <= KIND_LINK;
    }
    return code > 0 && code < 128 && (code & 7) == KIND_PLAIN && from != to && from <= KIND_DATE &&
           to <= KIND_DATE;
}

static bool keep_kind(struct sqlite_app_db *db, uint32_t row, int code) {
    if (row >= db->kinds_cap) {
        uint32_t cap = db->kinds_cap ? db->kinds_cap : 64;
        while (cap <= row) {
            cap *= 2;
        }
        uint8_t *kinds = realloc(db->kinds, cap);
        if (!kinds) {
            return false;
        }
        memset(kinds + db->kinds_cap, 0, cap - db->kinds_cap);
        db->kinds = kinds;
        db->kinds_cap = cap;
    }
    db->kinds[row] = (uint8_t)code;
    return true;
}

static enum inst_status load_kinds(struct sqlite_app_db *db, struct inst_err *err) {
    sqlite3_stmt *stmt = NULL;
    enum inst_status status =
        inst_sqlite_prepare(db->db, db->path, "SELECT row, index_kind FROM attrs", &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        sqlite3_int64 row = sqlite3_column_int64(stmt, 0);
        int kind = sqlite3_column_int(stmt, 1);
        if (row <= 0 || row > UINT32_MAX / 2 || !is_kind_code(kind)) {
            status = db_damaged(db, "an attr that cannot be", err);
            break;
        }
        if (!keep_kind(db, (uint32_t)row, kind)) {
            status = inst_err_nomem(err);
            break;
        }
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

enum inst_status db_set_move(struct sqlite_app_db *db, uint32_t row, struct db_move move,
                             struct inst_err *err) {
    int code = move.from == move.to ? (int)move.to : (int)(move.from << 3 | move.to << 5);
    sqlite3_stmt *stmt = db_stmt(db, RUN_SET_KIND, err);
    enum inst_status status = stmt ? db_undo_deepen(db, err) : INST_FAILED;
    if (status != INST_OK) {
        return status;
    }
    db->is_attrs_changed = true;
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int(stmt, 2, code);
    status = db_run(db, stmt, err);
    if (status == INST_OK && !keep_kind(db, row, code)) {
        status = inst_err_nomem(err);
    }
    return status;
}

static enum inst_status find_attr(struct sqlite_app_db *db, const struct inst_attr *attr,
                                  uint32_t *row, struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, RUN_FIND_ATTR, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_text64(stmt, 1, attr->id.u.str, attr->id.len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(stmt);
    *row = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
    enum inst_status status =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
    sqlite3_reset(stmt);
    return status;
}

static enum inst_status save_attr(struct inst_app_db *base, const struct inst_attr *attr,
                                  const char *json, size_t len, bool deleted, uint32_t *row,
                                  struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK) {
        status = db_undo_deepen(db, err);
    }
    if (status == INST_OK && *row == 0) {
        status = find_attr(db, attr, row, err);
    }
    if (status != INST_OK) {
        return status;
    }
    bool is_new = *row == 0;
    sqlite3_stmt *stmt = db_stmt(db, is_new ? RUN_ADD_ATTR : RUN_SET_ATTR, err);
    if (!stmt) {
        return INST_FAILED;
    }
    enum index_kind kind = db_wanted_kind(attr);
    db->is_attrs_changed = true;
    sqlite3_bind_text64(stmt, 1, attr->id.u.str, attr->id.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text64(stmt, 2, json, len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int(stmt, 4, deleted);
    if (is_new) {
        sqlite3_bind_int(stmt, 3, kind);
    } else {
        sqlite3_bind_int64(stmt, 5, *row);
    }
    status = db_run(db, stmt, err);
    if (status == INST_OK && is_new) {
        *row = (uint32_t)sqlite3_last_insert_rowid(db->db);
        status = keep_kind(db, *row, kind) ? INST_OK : inst_err_nomem(err);
    }
    return status;
}

static enum inst_status drop_attr(struct inst_app_db *base, uint32_t row, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK) {
        status = db_undo_deepen(db, err);
    }
    sqlite3_stmt *stmt = status == INST_OK ? db_stmt(db, RUN_DROP_ATTR, err) : NULL;
    if (!stmt) {
        return status == INST_OK ? INST_FAILED : status;
    }
    db->is_attrs_changed = true;
    sqlite3_bind_int64(stmt, 1, row);
    return db_run(db, stmt, err);
}

static enum inst_status read_attr_json(struct inst_app_db *base, const char *id, size_t id_len,
                                       char **json, size_t *len, bool *deleted, uint32_t *row,
                                       struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = NULL;
    *json = NULL;
    enum inst_status status = inst_sqlite_prepare(
        db->db, db->path, "SELECT row, json, deleted FROM attrs WHERE id = ?1", &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_text64(stmt, 1, id, id_len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 1);
        *len = (size_t)sqlite3_column_bytes(stmt, 1);
        *row = (uint32_t)sqlite3_column_int64(stmt, 0);
        *deleted = sqlite3_column_int(stmt, 2) != 0;
        *json = text ? malloc(*len + 1) : NULL;
        if (*json) {
            memcpy(*json, text, *len + 1);
        } else {
            status = inst_err_nomem(err);
        }
    } else if (rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

static enum inst_status each_hidden_attr(struct inst_app_db *base,
                                         bool (*fn)(void *ctx, const char *json, size_t len),
                                         void *ctx, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = NULL;
    int rc = SQLITE_ROW;
    enum inst_status status = inst_sqlite_prepare(
        db->db, db->path, "SELECT json FROM attrs WHERE deleted ORDER BY id", &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    bool goes_on = true;
    while (goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *json = (const char *)sqlite3_column_text(stmt, 0);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 0);
        goes_on = json && fn(ctx, json, len);
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

/* Rows are remembered beside the attrs while the catalog is made, then set on it. */
static enum inst_status read_attrs(struct sqlite_app_db *db, sqlite3_stmt *stmt,
                                   struct inst_arena *arena, struct inst_array_builder *attrs,
                                   struct inst_array_builder *rows, struct inst_err *err) {
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *json = (const char *)sqlite3_column_text(stmt, 1);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 1);
        struct inst_value attr;
        enum inst_status status =
            json ? inst_json_parse(arena, json, len, &attr, NULL) : INST_NOMEM;
        if (status != INST_OK) {
            return status == INST_NOMEM ? inst_err_nomem(err)
                                        : db_damaged(db, "an attr is no JSON", err);
        }
        inst_array_add(attrs, attr);
        inst_array_add(rows, inst_number((double)sqlite3_column_int64(stmt, 0)));
    }
    return rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
}

static enum inst_status load_attrs(struct inst_app_db *base, struct inst_attrs **out,
                                   struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_array_builder attrs, rows;
    inst_array_begin(&attrs, &arena);
    inst_array_begin(&rows, &arena);
    struct inst_value list, row_list;
    sqlite3_stmt *stmt = NULL;
    enum inst_status status = inst_sqlite_prepare(
        db->db, db->path, "SELECT row, json FROM attrs WHERE NOT deleted ORDER BY id", &stmt, err);
    if (status == INST_OK) {
        status = read_attrs(db, stmt, &arena, &attrs, &rows, err);
    }
    if (status == INST_OK &&
        (!inst_array_end(&attrs, &list) || !inst_array_end(&rows, &row_list))) {
        status = inst_err_nomem(err);
    }
    if (status == INST_OK) {
        status = inst_attrs_new(&list, out, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < list.len; i++) {
        const struct inst_value *id = inst_get_string(&list.u.items[i], "id");
        inst_attrs_set_row(*out, id->u.str, id->len, (uint32_t)row_list.u.items[i].u.num);
    }
    sqlite3_finalize(stmt);
    inst_arena_free(&arena);
    return status;
}

/* ---- caches ---- */

void db_forget_entities(struct sqlite_app_db *db) { memset(db->entities, 0, sizeof db->entities); }

static void forget_texts(struct sqlite_app_db *db) {
    free(db->texts);
    db->texts = NULL;
    db->texts_cap = db->texts_count = 0;
    inst_arena_free(&db->texts_arena);
    inst_arena_init(&db->texts_arena);
}

void db_trim(struct sqlite_app_db *db) {
    if (db->texts_arena.total > (size_t)INST_SQLITE_KEPT_TEXTS * TEXT_BYTES) {
        forget_texts(db);
    }
    for (size_t i = 0; i < sizeof db->scratch / sizeof *db->scratch; i++) {
        if (db->scratch[i].cap > SCRATCH_KEPT) {
            inst_buf_free(&db->scratch[i]);
            inst_buf_init(&db->scratch[i]);
        }
    }
}

/* Something was undone: what was cached of it is no longer so. Texts that were given out stay where
 * they are until the group ends, only nobody finds them again. */
static enum inst_status forget_undone(struct sqlite_app_db *db, struct inst_err *err) {
    db_forget_entities(db);
    if (db->texts) {
        memset(db->texts, 0, db->texts_cap * sizeof *db->texts);
        db->texts_count = 0;
    }
    if (!db->is_attrs_changed) {
        return INST_OK;
    }
    if (db->kinds) {
        memset(db->kinds, 0, db->kinds_cap);
    }
    return load_kinds(db, err);
}

/* ---- the group ---- */

static enum inst_status begin(struct inst_app_db *base, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    if (db->is_begun) {
        return db_may_write(db, err);
    }
    enum inst_status status = run(db, RUN_BEGIN, err);
    if (status == INST_OK) {
        db->is_begun = true;
        db->is_saved = db->is_lost = db->is_attrs_changed = false;
        db->group_tx_id = db->last_tx_id;
    }
    return status;
}

static void rollback(struct inst_app_db *base) {
    struct sqlite_app_db *db = of_db(base);
    if (!db->is_begun) {
        return;
    }
    if (!sqlite3_get_autocommit(db->db)) {
        run(db, RUN_ROLLBACK, NULL);
    }
    db->is_begun = db->is_saved = db->is_lost = false;
    db_undo_clear(db);
    db->last_tx_id = db->group_tx_id;
    forget_undone(db, NULL);
    forget_texts(db);
    db->is_attrs_changed = false;
}

static enum inst_status commit(struct inst_app_db *base, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    if (!db->is_begun) {
        db_trim(db);
        return INST_OK;
    }
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK) {
        status = run(db, RUN_COMMIT, err);
    }
    if (status != INST_OK) {
        rollback(base);
        return status;
    }
    db->is_begun = db->is_saved = db->is_attrs_changed = false;
    db_undo_clear(db);
    db_trim(db);
    return INST_OK;
}

static enum inst_status savepoint(struct inst_app_db *base, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK && db->is_saved) {
        return inst_err_set(err, "data-file", 500, "%s: a savepoint inside a savepoint", db->path);
    }
    if (status == INST_OK) {
        db_undo_clear(db);
        db->is_saved = true;
        db->saved_tx_id = db->last_tx_id;
    }
    return status;
}

static enum inst_status release(struct inst_app_db *base, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK && db->is_deep) {
        status = run(db, RUN_RELEASE, err);
    }
    if (status == INST_OK) {
        db->is_saved = false;
        db_undo_clear(db);
    }
    return status;
}

static enum inst_status undo(struct inst_app_db *base, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status != INST_OK || !db->is_saved) {
        return status;
    }
    status = db_undo_all(db, err);
    if (status == INST_OK) {
        db->is_saved = false;
        db_undo_clear(db);
        db->last_tx_id = db->saved_tx_id;
        status = forget_undone(db, err);
    }
    return status;
}

static void trim(struct inst_app_db *base) { db_trim(of_db(base)); }

static int64_t last_tx_id(struct inst_app_db *base) { return of_db(base)->last_tx_id; }

/* ---- meta ---- */

enum inst_status inst_sqlite_app_db_meta(struct inst_app_db *base, const char *key, char *out,
                                         size_t cap, size_t *len, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = db_stmt(db, RUN_GET_META, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    enum inst_status status = INST_OK;
    *len = 0;
    if (rc == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(stmt, 0);
        size_t n = (size_t)sqlite3_column_bytes(stmt, 0);
        *len = n < cap ? n : cap - 1;
        if (*len > 0) {
            memcpy(out, bytes, *len);
        }
    } else if (rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    out[*len] = '\0';
    sqlite3_reset(stmt);
    return status;
}

enum inst_status inst_sqlite_app_db_set_meta(struct inst_app_db *base, const char *key,
                                             const char *value, size_t len, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    sqlite3_stmt *stmt = db_stmt(db, RUN_SET_META, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text64(stmt, 2, value, len, SQLITE_STATIC, SQLITE_UTF8);
    return db_run(db, stmt, err);
}

sqlite3 *inst_sqlite_app_db_connection(struct inst_app_db *base) { return of_db(base)->db; }

/* ---- opening and closing ---- */

static void close_db(struct inst_app_db *base) {
    if (!base) {
        return;
    }
    struct sqlite_app_db *db = of_db(base);
    rollback(base);
    for (int i = 0; i < RUN_COUNT; i++) {
        sqlite3_finalize(db->run[i]);
    }
    for (int i = 0; i < SCAN_COUNT; i++) {
        while (db->pool[i]) {
            struct scan_stmt *scan = db->pool[i];
            db->pool[i] = scan->next;
            sqlite3_finalize(scan->stmt);
            inst_arena_free(&scan->arena);
            free(scan);
        }
    }
    inst_sqlite_close(db->db);
    inst_attrs_unref(base->store.attrs);
    forget_texts(db);
    inst_arena_free(&db->row_arena);
    inst_arena_free(&db->undo_arena);
    for (size_t i = 0; i < sizeof db->scratch / sizeof *db->scratch; i++) {
        inst_buf_free(&db->scratch[i]);
    }
    free(db->kinds);
    free(db->path);
    free(db);
}

static const struct inst_app_db_ops app_db_ops = {
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .savepoint = savepoint,
    .release = release,
    .undo = undo,
    .trim = trim,
    .make_entity = db_make_entity,
    .put = db_put,
    .retract = db_retract,
    .each_link_to = db_each_link_to,
    .each_of = db_each_of,
    .save_attr = save_attr,
    .find_attr = read_attr_json,
    .reindex_attr = db_reindex_attr,
    .reindex_some = db_reindex_some,
    .walk = db_walk,
    .find_other = db_find_other,
    .append_log = db_append_log,
    .set_note = db_set_note,
    .find_event = db_find_event,
    .last_tx_id = last_tx_id,
    .read_log = db_read_log,
    .get_note = db_get_note,
    .each_note = db_each_note,
    .load_attrs = load_attrs,
    .drop_attr = drop_attr,
    .each_hidden_attr = each_hidden_attr,
    .close = close_db,
};

enum inst_status inst_sqlite_app_db_open(const char *path,
                                         const struct inst_sqlite_options *options,
                                         struct inst_app_db **out, struct inst_err *err) {
    static const struct inst_sqlite_options defaults;
    struct sqlite_app_db *db = calloc(1, sizeof *db);
    if (!db) {
        return inst_err_nomem(err);
    }
    db->base.store.ops = &inst_sqlite_store_ops;
    db->base.db_ops = &app_db_ops;
    inst_arena_init(&db->texts_arena);
    inst_arena_init(&db->row_arena);
    inst_arena_init(&db->undo_arena);
    for (size_t i = 0; i < sizeof db->scratch / sizeof *db->scratch; i++) {
        inst_buf_init(&db->scratch[i]);
    }
    enum inst_status status = INST_OK;
    db->path = strdup(path);
    if (!db->path) {
        status = inst_err_nomem(err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_open(path, &app_file, options ? options : &defaults, &db->db, err);
    }
    if (status == INST_OK) {
        status = load_kinds(db, err);
    }
    if (status == INST_OK) {
        status = db_load_last_tx_id(db, err);
    }
    if (status != INST_OK) {
        close_db(&db->base);
        return status;
    }
    *out = &db->base;
    return INST_OK;
}
