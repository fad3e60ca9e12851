#include "io/sqlite_internal.h"

#include <string.h>

/* ---- entities ---- */

/* uuids are random, so any bytes of them spread; the last ones, as the first may count time. */
static struct entity_slot *entity_slot(struct sqlite_app_db *db, const struct inst_uuid *id) {
    uint32_t hash;
    memcpy(&hash, id->bytes + sizeof id->bytes - sizeof hash, sizeof hash);
    return &db->entities[hash % ENTITY_SLOTS];
}

/* Of a uuid's entity: found, or not there (0), or failed. */
static enum inst_status look_up(struct sqlite_app_db *db, const struct inst_uuid *id, uint32_t *e,
                                struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, RUN_FIND_ENTITY, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_blob(stmt, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    *e = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
    enum inst_status status =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
    sqlite3_reset(stmt);
    return status;
}

uint32_t db_find_entity(struct sqlite_app_db *db, const struct inst_uuid *id) {
    struct entity_slot *slot = entity_slot(db, id);
    if (slot->e && memcmp(&slot->id, id, sizeof *id) == 0) {
        return slot->e;
    }
    uint32_t e = 0;
    if (look_up(db, id, &e, NULL) == INST_OK && e) {
        *slot = (struct entity_slot){.id = *id, .e = e};
    }
    return e;
}

static struct db_key uuid_key(const struct inst_uuid *id) {
    return (struct db_key){
        .type = SQLITE_BLOB, .bytes = (const char *)id->bytes, .len = sizeof id->bytes};
}

enum inst_status db_make_entity(struct inst_app_db *base, const struct inst_uuid *id, uint32_t *e,
                                bool *is_new, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write(db, err);
    if (status != INST_OK) {
        return status;
    }
    struct entity_slot *slot = entity_slot(db, id);
    *is_new = false;
    if (slot->e && memcmp(&slot->id, id, sizeof *id) == 0) {
        *e = slot->e;
        return INST_OK;
    }
    sqlite3_stmt *stmt = db_stmt(db, RUN_ADD_ENTITY, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_blob(stmt, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    struct undo_row added = {.kind = UNDO_ADDED_ENTITY, .key = uuid_key(id)};
    status = db_run_noted(db, stmt, &added, err);
    if (status == INST_OK && sqlite3_changes(db->db) > 0) {
        sqlite3_int64 row = sqlite3_last_insert_rowid(db->db);
        if (row > UINT32_MAX) {
            return inst_err_set(err, "data-file", 500, "%s: no more than %lld entities fit",
                                db->path, (long long)UINT32_MAX);
        }
        *e = (uint32_t)row;
        *is_new = true;
    } else if (status == INST_OK) {
        status = look_up(db, id, e, err);
    }
    if (status == INST_OK) {
        *slot = (struct entity_slot){.id = *id, .e = *e};
    }
    return status;
}

/* ---- rows ---- */

static void bind_triple_key(sqlite3_stmt *stmt, uint32_t e, uint32_t a, uint32_t ref) {
    sqlite3_bind_int64(stmt, 1, e);
    sqlite3_bind_int64(stmt, 2, a);
    sqlite3_bind_int64(stmt, 3, ref);
}

static void bind_time(sqlite3_stmt *stmt, int at, int64_t t) {
    if (t == INST_NO_TIME) {
        sqlite3_bind_null(stmt, at);
    } else {
        sqlite3_bind_int64(stmt, at, t);
    }
}

/* old, old_t: what RUN_SET_TRIPLE replaces. */
static enum inst_status write_triple(struct sqlite_app_db *db, enum run_stmt which, uint32_t e,
                                     uint32_t a, uint32_t ref, const struct db_key *v, int64_t t,
                                     const struct db_key *old, int64_t old_t,
                                     struct inst_err *err) {
    struct undo_row row = {.kind = UNDO_ADDED_TRIPLE, .e = e, .a = a, .ref = ref};
    sqlite3_stmt *stmt = db_stmt(db, which, err);
    if (!stmt) {
        return INST_FAILED;
    }
    if (which == RUN_SET_TRIPLE) {
        row.kind = UNDO_SET_TRIPLE;
        row.key = *old;
        row.t = old_t;
    }
    bind_triple_key(stmt, e, a, ref);
    db_bind_key(stmt, 4, v, true);
    bind_time(stmt, 5, t);
    return db_run_noted(db, stmt, &row, err);
}

/* v, t: what it is, for undoing. */
static enum inst_status drop_triple(struct sqlite_app_db *db, uint32_t e, uint32_t a, uint32_t ref,
                                    const struct db_key *v, int64_t t, struct inst_err *err) {
    struct undo_row row = {
        .kind = UNDO_DROPPED_TRIPLE, .e = e, .a = a, .ref = ref, .t = t, .key = *v};
    sqlite3_stmt *stmt = db_stmt(db, RUN_DROP_TRIPLE, err);
    if (!stmt) {
        return INST_FAILED;
    }
    bind_triple_key(stmt, e, a, ref);
    return db_run_noted(db, stmt, &row, err);
}

/* t as ave keeps it: only where a scan gives it without looking at the triple. */
static int64_t ave_time(enum index_kind kind, int64_t t) {
    return kind == KIND_VALUE || kind == KIND_LINK ? t : INST_NO_TIME;
}

enum inst_status db_add_ave(struct sqlite_app_db *db, enum index_kind kind, uint32_t a,
                            const struct db_key *k, uint32_t e, int64_t t, struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, RUN_ADD_AVE, err);
    if (!stmt) {
        return INST_FAILED;
    }
    struct undo_row row = {.kind = UNDO_ADDED_AVE, .e = e, .a = a, .key = *k};
    sqlite3_bind_int64(stmt, 1, a);
    db_bind_key(stmt, 2, k, true);
    sqlite3_bind_int64(stmt, 3, e);
    bind_time(stmt, 4, ave_time(kind, t));
    return db_run_noted(db, stmt, &row, err);
}

enum inst_status db_drop_ave(struct sqlite_app_db *db, uint32_t a, const struct db_key *k,
                             uint32_t e, int64_t t, bool *found, struct inst_err *err) {
    struct undo_row row = {.kind = UNDO_DROPPED_AVE, .e = e, .a = a, .t = t, .key = *k};
    sqlite3_stmt *stmt = db_stmt(db, RUN_DROP_AVE, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, a);
    db_bind_key(stmt, 2, k, true);
    sqlite3_bind_int64(stmt, 3, e);
    enum inst_status status = db_run_noted(db, stmt, &row, err);
    *found = status == INST_OK && sqlite3_changes(db->db) == 1;
    return status;
}

/* The order key of a triple. */
static bool triple_key(enum index_kind kind, const struct inst_value *v, uint32_t ref, int64_t t,
                       struct inst_buf *scratch, struct db_key *out) {
    if (kind == KIND_LINK) {
        *out = db_int_key(ref);
        return true;
    }
    if (kind == KIND_ID) {
        *out = db_int_key(t == INST_NO_TIME ? 0 : t);
        return true;
    }
    return db_order_key(kind, v, scratch, out);
}

/* A triple's value as `triples` keeps it: links and ids have none. */
static bool stored_key(enum index_kind kind, const struct inst_value *v, struct inst_buf *scratch,
                       struct db_key *out) {
    *out = (struct db_key){.type = SQLITE_NULL};
    return kind == KIND_LINK || kind == KIND_ID || db_value_key(v, scratch, out);
}

/* Takes the triple's row out of the index: of a moving attr it may still be at its old place. */
static enum inst_status drop_place(struct sqlite_app_db *db, const struct inst_attr *attr,
                                   uint32_t e, const struct inst_value *v, uint32_t ref, int64_t t,
                                   struct inst_err *err) {
    struct db_move move = db_move_of(db, attr->row);
    enum index_kind kinds[2] = {move.to, move.from};
    bool found = false;
    enum inst_status status = INST_OK;
    for (int i = 0; i < 2 && status == INST_OK && !found; i++) {
        struct db_key k;
        if (i == 1 && kinds[0] == kinds[1]) {
            break;
        }
        if (!triple_key(kinds[i], v, ref, t, &db->scratch[2], &k)) {
            return inst_err_nomem(err);
        }
        status = db_drop_ave(db, attr->row, &k, e, ave_time(kinds[i], t), &found, err);
    }
    return status != INST_OK || found ? status : db_damaged(db, "an index lacks a triple", err);
}

/* ---- put and retract ---- */

enum inst_status db_may_write_attr(struct sqlite_app_db *db, const struct inst_attr *attr,
                                   struct inst_err *err) {
    enum inst_status status = db_may_write(db, err);
    if (status == INST_OK && attr->row == 0) {
        return inst_err_set(err, "data-file", 500, "%s: a triple of an attr that is not saved",
                            db->path);
    }
    return status;
}

static enum inst_status put_link(struct sqlite_app_db *db, uint32_t e, const struct inst_attr *attr,
                                 uint32_t ref, int64_t t, const struct inst_triple *old,
                                 struct inst_err *err) {
    static const struct db_key no_value = {.type = SQLITE_NULL};
    enum inst_status status = INST_OK;
    if (old) {
        status = drop_triple(db, e, attr->row, old->ref, &no_value, old->t, err);
        if (status == INST_OK) {
            status = drop_place(db, attr, e, NULL, old->ref, old->t, err);
        }
    }
    if (status == INST_OK) {
        status = write_triple(db, RUN_ADD_LINK, e, attr->row, ref, &no_value, t, NULL, 0, err);
    }
    /* A link that is there already stays as it is. */
    if (status != INST_OK || sqlite3_changes(db->db) == 0) {
        return status;
    }
    struct db_key k = db_int_key(ref);
    return db_add_ave(db, KIND_LINK, attr->row, &k, e, t, err);
}

enum inst_status db_put(struct inst_app_db *base, uint32_t e, const struct inst_attr *attr,
                        const struct inst_value *v, uint32_t ref, int64_t t,
                        const struct inst_triple *old, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write_attr(db, attr, err);
    if (status != INST_OK) {
        return status;
    }
    struct db_move move = db_move_of(db, attr->row);
    enum index_kind kind = move.to;
    if (kind == KIND_LINK) {
        return put_link(db, e, attr, ref, t, old, err);
    }
    struct db_key stored, k, old_stored, old_k = {.type = SQLITE_NULL};
    int64_t old_t = old ? old->t : INST_NO_TIME;
    if (!stored_key(kind, v, &db->scratch[0], &stored) ||
        !triple_key(kind, v, 0, t, &db->scratch[1], &k) ||
        (old && (!triple_key(kind, &old->v, 0, old_t, &db->scratch[2], &old_k) ||
                 !stored_key(kind, &old->v, &db->scratch[3], &old_stored)))) {
        return inst_err_nomem(err);
    }
    bool is_moved = !old || move.from != move.to || db_key_cmp(&k, &old_k) != 0 ||
                    (kind == KIND_VALUE && t != old_t);
    if (old && is_moved) {
        status = drop_place(db, attr, e, &old->v, 0, old_t, err);
    }
    if (status == INST_OK) {
        status = write_triple(db, old ? RUN_SET_TRIPLE : RUN_ADD_TRIPLE, e, attr->row, 0, &stored,
                              t, &old_stored, old_t, err);
    }
    if (status == INST_OK && old && sqlite3_changes(db->db) != 1) {
        return db_damaged(db, "a triple that is to be replaced is missing", err);
    }
    if (status == INST_OK && is_moved) {
        status = db_add_ave(db, kind, attr->row, &k, e, t, err);
    }
    return status;
}

enum inst_status db_retract(struct inst_app_db *base, const struct inst_attr *attr,
                            const struct inst_triple *triple, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write_attr(db, attr, err);
    if (status != INST_OK) {
        return status;
    }
    enum index_kind kind = db_move_of(db, attr->row).to;
    struct db_key stored;
    if (!stored_key(kind, &triple->v, &db->scratch[1], &stored)) {
        return inst_err_nomem(err);
    }
    uint32_t ref = kind == KIND_LINK ? triple->ref : 0;
    status = drop_triple(db, triple->e, attr->row, ref, &stored, triple->t, err);
    if (status != INST_OK || sqlite3_changes(db->db) == 0) {
        return status;
    }
    return drop_place(db, attr, triple->e, &triple->v, triple->ref, triple->t, err);
}
