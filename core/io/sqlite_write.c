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

static enum inst_status add_ave(struct sqlite_app_db *db, enum index_kind kind, uint32_t a,
                                const struct db_key *k, uint32_t e, int64_t t,
                                struct inst_err *err) {
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

/* t: what it has there, for undoing. */
static enum inst_status drop_ave(struct sqlite_app_db *db, uint32_t a, const struct db_key *k,
                                 uint32_t e, int64_t t, struct inst_err *err) {
    struct undo_row row = {.kind = UNDO_DROPPED_AVE, .e = e, .a = a, .t = t, .key = *k};
    sqlite3_stmt *stmt = db_stmt(db, RUN_DROP_AVE, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, a);
    db_bind_key(stmt, 2, k, true);
    sqlite3_bind_int64(stmt, 3, e);
    enum inst_status status = db_run_noted(db, stmt, &row, err);
    if (status == INST_OK && sqlite3_changes(db->db) != 1) {
        return db_damaged(db, "an index lacks a triple", err);
    }
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

/* ---- put and retract ---- */

static enum inst_status may_write_attr(struct sqlite_app_db *db, const struct inst_attr *attr,
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
        struct db_key k = db_int_key(old->ref);
        status = drop_triple(db, e, attr->row, old->ref, &no_value, old->t, err);
        if (status == INST_OK) {
            status = drop_ave(db, attr->row, &k, e, old->t, err);
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
    return add_ave(db, KIND_LINK, attr->row, &k, e, t, err);
}

enum inst_status db_put(struct inst_app_db *base, uint32_t e, const struct inst_attr *attr,
                        const struct inst_value *v, uint32_t ref, int64_t t,
                        const struct inst_triple *old, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = may_write_attr(db, attr, err);
    if (status != INST_OK) {
        return status;
    }
    enum index_kind kind = db_kind(db, attr->row);
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
    bool is_moved = !old || db_key_cmp(&k, &old_k) != 0 || (kind == KIND_VALUE && t != old_t);
    if (old && is_moved) {
        status = drop_ave(db, attr->row, &old_k, e, ave_time(kind, old_t), err);
    }
    if (status == INST_OK) {
        status = write_triple(db, old ? RUN_SET_TRIPLE : RUN_ADD_TRIPLE, e, attr->row, 0, &stored,
                              t, &old_stored, old_t, err);
    }
    if (status == INST_OK && old && sqlite3_changes(db->db) != 1) {
        return db_damaged(db, "a triple that is to be replaced is missing", err);
    }
    if (status == INST_OK && is_moved) {
        status = add_ave(db, kind, attr->row, &k, e, t, err);
    }
    return status;
}

enum inst_status db_retract(struct inst_app_db *base, const struct inst_attr *attr,
                            const struct inst_triple *triple, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = may_write_attr(db, attr, err);
    if (status != INST_OK) {
        return status;
    }
    enum index_kind kind = db_kind(db, attr->row);
    struct db_key stored, k;
    if (!triple_key(kind, &triple->v, triple->ref, triple->t, &db->scratch[0], &k) ||
        !stored_key(kind, &triple->v, &db->scratch[1], &stored)) {
        return inst_err_nomem(err);
    }
    uint32_t ref = kind == KIND_LINK ? triple->ref : 0;
    status = drop_triple(db, triple->e, attr->row, ref, &stored, triple->t, err);
    if (status != INST_OK || sqlite3_changes(db->db) == 0) {
        return status;
    }
    return drop_ave(db, attr->row, &k, triple->e, ave_time(kind, triple->t), err);
}

/* ---- reindexing ---- */

enum inst_status db_has_triples(struct sqlite_app_db *db, uint32_t row, bool *out,
                                struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, RUN_HAS_AVE, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, row);
    int rc = sqlite3_step(stmt);
    *out = rc == SQLITE_ROW;
    enum inst_status status =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
    sqlite3_reset(stmt);
    return status;
}

/* Moves the index row that find stands on to where the value belongs now. */
static enum inst_status reindex_row(struct sqlite_app_db *db, uint32_t row, enum index_kind kind,
                                    sqlite3_stmt *find, struct inst_arena *arena,
                                    struct inst_err *err) {
    uint32_t e = (uint32_t)sqlite3_column_int64(find, 1);
    int64_t t =
        sqlite3_column_type(find, 3) == SQLITE_NULL ? INST_NO_TIME : sqlite3_column_int64(find, 3);
    struct inst_value v;
    enum inst_status status = db_read_value(db, find, 2, false, arena, &v, err);
    if (status != INST_OK) {
        return status;
    }
    struct db_key now = db_column_key(find, 0), k;
    if (!db_order_key(kind, &v, &db->scratch[0], &k)) {
        return inst_err_nomem(err);
    }
    status = drop_ave(db, row, &now, e, INST_NO_TIME, err);
    return status == INST_OK ? add_ave(db, kind, row, &k, e, t, err) : status;
}

/* Row by row in the index's order, each time starting behind the place of the last one. A row that
 * moves forward is met again and stays where it is: keys come from the values alone. */
static enum inst_status reindex_rows(struct sqlite_app_db *db, uint32_t row, enum index_kind kind,
                                     struct inst_err *err) {
    sqlite3_stmt *find = NULL;
    struct inst_arena arena;
    inst_arena_init(&arena);
    enum inst_status status = inst_sqlite_prepare(
        db->db, db->path,
        "SELECT ave.k, ave.e, tr.v, tr.t FROM ave CROSS JOIN triples tr ON tr.e=ave.e"
        " AND tr.a=?1 AND tr.ref=0 WHERE ave.a=?1 AND (ave.k, ave.e)>(?2, ?3)"
        " ORDER BY ave.k, ave.e LIMIT 1",
        &find, err);
    struct db_key least = db_least_key();
    if (status == INST_OK) {
        sqlite3_bind_int64(find, 1, row);
        db_bind_key(find, 2, &least, true);
        sqlite3_bind_int64(find, 3, 0);
    }
    int rc = SQLITE_DONE;
    while (status == INST_OK && (rc = sqlite3_step(find)) == SQLITE_ROW) {
        inst_arena_reset(&arena);
        status = reindex_row(db, row, kind, find, &arena, err);
        sqlite3_value *place = sqlite3_value_dup(sqlite3_column_value(find, 0));
        sqlite3_int64 e = sqlite3_column_int64(find, 1);
        sqlite3_reset(find);
        if (!place || sqlite3_bind_value(find, 2, place) != SQLITE_OK) {
            status = status == INST_OK ? inst_err_nomem(err) : status;
        }
        sqlite3_bind_int64(find, 3, e);
        sqlite3_value_free(place);
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    sqlite3_finalize(find);
    inst_arena_free(&arena);
    return status;
}

static bool is_blob_kind(enum index_kind kind) {
    return kind == KIND_PLAIN || kind == KIND_VALUE || kind == KIND_DATE;
}

enum inst_status db_reindex_attr(struct inst_app_db *base, const struct inst_attr *attr,
                                 struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = may_write_attr(db, attr, err);
    enum index_kind wanted = db_wanted_kind(attr), kind = db_kind(db, attr->row);
    if (status != INST_OK || wanted == kind) {
        return status;
    }
    bool has_triples = false;
    status = db_undo_deepen(db, err);
    if (status == INST_OK) {
        status = db_has_triples(db, attr->row, &has_triples, err);
    }
    if (status == INST_OK && has_triples) {
        if (!is_blob_kind(wanted) || !is_blob_kind(kind)) {
            /* What triples of links and ids keep is of another shape: they stay what they are. */
            return INST_OK;
        }
        status = reindex_rows(db, attr->row, wanted, err);
    }
    return status == INST_OK ? db_set_kind(db, attr->row, wanted, err) : status;
}
