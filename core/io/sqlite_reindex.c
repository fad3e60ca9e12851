#include "io/sqlite_internal.h"

#include <string.h>

/*
 * Moves an attr's rows of ave from where one kind of index has them to where another wants them,
 * some at a time, and walks over them likewise.
 *
 *     from ──> to          the walk over places (k, e)
 *     PLAIN -> any         begins at k = 0, where all that are not moved stand, and ends behind it
 *     any   -> PLAIN       passes over k = 0, where those that are moved stand
 *     VALUE <-> DATE       everything; a row that moves forward is met again and stays
 *
 * A place between two calls is bytes:
 *     kind code, e (4 bytes), type of k, k (8 bytes of a number, else its bytes)
 */

#define PLACE_HEAD 6

static bool put_place(struct inst_buf *out, uint8_t code, const struct db_key *k, uint32_t e) {
    char type = (char)k->type;
    inst_buf_clear(out);
    inst_buf_add_char(out, (char)code);
    inst_buf_add(out, &e, sizeof e);
    inst_buf_add_char(out, type);
    if (k->type == SQLITE_INTEGER) {
        inst_buf_add(out, &k->num, sizeof k->num);
    } else if (k->type == SQLITE_FLOAT) {
        inst_buf_add(out, &k->real, sizeof k->real);
    } else if (k->len > 0) {
        inst_buf_add(out, k->bytes, k->len);
    }
    return !out->failed;
}

/* false: there is no place yet, or one of another kind of index: the walk begins anew. */
static bool read_place(const struct inst_buf *place, uint8_t code, struct db_key *k, uint32_t *e) {
    if (place->len < PLACE_HEAD || (uint8_t)place->data[0] != code) {
        return false;
    }
    *k = (struct db_key){.type = place->data[5]};
    memcpy(e, place->data + 1, sizeof *e);
    if (k->type == SQLITE_INTEGER) {
        memcpy(&k->num, place->data + PLACE_HEAD, sizeof k->num);
    } else if (k->type == SQLITE_FLOAT) {
        memcpy(&k->real, place->data + PLACE_HEAD, sizeof k->real);
    } else {
        k->bytes = place->data + PLACE_HEAD;
        k->len = place->len - PLACE_HEAD;
    }
    return true;
}

static uint8_t kind_code(const struct sqlite_app_db *db, uint32_t row) {
    return row < db->kinds_cap ? db->kinds[row] : 0;
}

/* ---- moving ---- */

static int64_t column_time(sqlite3_stmt *stmt, int column) {
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? INST_NO_TIME
                                                            : sqlite3_column_int64(stmt, column);
}

/* Moves the row that find stands on to where its value belongs now. */
static enum inst_status move_row(struct sqlite_app_db *db, uint32_t row, enum index_kind to,
                                 sqlite3_stmt *find, struct inst_arena *arena,
                                 struct inst_err *err) {
    uint32_t e = (uint32_t)sqlite3_column_int64(find, 1);
    struct inst_value v;
    struct db_key now = db_column_key(find, 0), k;
    bool found;
    enum inst_status status = db_read_value(db, find, 2, false, arena, &v, err);
    if (status != INST_OK) {
        return status;
    }
    if (!db_order_key(to, &v, &db->scratch[0], &k)) {
        return inst_err_nomem(err);
    }
    status = db_drop_ave(db, row, &now, e, column_time(find, 4), &found, err);
    if (status == INST_OK && !found) {
        status = db_damaged(db, "an index lacks a triple", err);
    }
    return status == INST_OK ? db_add_ave(db, to, row, &k, e, column_time(find, 3), err) : status;
}

/* Where the walk of a move goes on; false: it is at its end. */
static bool next_start(struct db_move move, struct db_key *k, uint32_t *e, bool is_first) {
    struct db_key zero = db_int_key(0);
    if (is_first) {
        *k = move.from == KIND_PLAIN ? zero : db_least_key();
        *e = 0;
        return true;
    }
    int order = db_key_cmp(k, &zero);
    if (move.from == KIND_PLAIN) {
        return order == 0;
    }
    if (move.to == KIND_PLAIN && order == 0) {
        *e = UINT32_MAX;
    }
    return true;
}

static enum inst_status move_rows(struct sqlite_app_db *db, uint32_t row, size_t limit,
                                  struct inst_buf *place, size_t *count, bool *is_done,
                                  struct inst_err *err) {
    sqlite3_stmt *find = db_stmt(db, RUN_NEXT_PLACE, err);
    struct db_move move = db_move_of(db, row);
    uint8_t code = kind_code(db, row);
    enum inst_status status = INST_OK;
    struct inst_arena arena;
    if (!find) {
        return INST_FAILED;
    }
    inst_arena_init(&arena);
    while (status == INST_OK && !*is_done && *count < limit) {
        struct db_key k;
        uint32_t e = 0;
        bool is_first = !read_place(place, code, &k, &e);
        if (!next_start(move, &k, &e, is_first)) {
            *is_done = true;
            break;
        }
        inst_arena_reset(&arena);
        sqlite3_bind_int64(find, 1, row);
        db_bind_key(find, 2, &k, false);
        sqlite3_bind_int64(find, 3, e);
        int rc = sqlite3_step(find);
        if (rc == SQLITE_ROW) {
            struct db_key now = db_column_key(find, 0);
            uint32_t at = (uint32_t)sqlite3_column_int64(find, 1);
            *is_done = move.from == KIND_PLAIN && (now.type != SQLITE_INTEGER || now.num != 0);
            if (!*is_done) {
                status = put_place(place, code, &now, at) ? INST_OK : inst_err_nomem(err);
            }
            if (status == INST_OK && !*is_done) {
                status = move_row(db, row, move.to, find, &arena, err);
                ++*count;
            }
        } else {
            *is_done = true;
            status = rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
        }
        sqlite3_reset(find);
    }
    inst_arena_free(&arena);
    return status;
}

/* Has the attr's index a row at all? */
static enum inst_status has_triples_of(struct sqlite_app_db *db, uint32_t row, bool *out,
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

static bool is_blob_kind(enum index_kind kind) {
    return kind == KIND_PLAIN || kind == KIND_VALUE || kind == KIND_DATE;
}

/* Nothing is moved where there is nothing, or where what triples keep is of another shape: links
 * and id attrs stay what they are. */
static enum inst_status begin_move(struct sqlite_app_db *db, uint32_t row, enum index_kind wanted,
                                   bool *is_done, struct inst_err *err) {
    struct db_move move = db_move_of(db, row);
    bool has_triples = false;
    enum inst_status status = has_triples_of(db, row, &has_triples, err);
    if (status != INST_OK) {
        return status;
    }
    if (!has_triples) {
        *is_done = true;
        return db_set_move(db, row, (struct db_move){wanted, wanted}, err);
    }
    if (move.from != move.to) {
        return INST_OK; /* that is brought to its end first */
    }
    if (!is_blob_kind(wanted) || !is_blob_kind(move.to)) {
        *is_done = true;
        return INST_OK;
    }
    return db_set_move(db, row, (struct db_move){move.to, wanted}, err);
}

enum inst_status db_reindex_some(struct inst_app_db *base, const struct inst_attr *attr,
                                 size_t limit, struct inst_buf *place, size_t *count, bool *is_done,
                                 struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    enum inst_status status = db_may_write_attr(db, attr, err);
    enum index_kind wanted = db_wanted_kind(attr);
    *count = 0;
    *is_done = false;
    while (status == INST_OK && !*is_done && *count < limit) {
        struct db_move move = db_move_of(db, attr->row);
        if (move.from == move.to && move.to == wanted) {
            *is_done = true;
            break;
        }
        status = begin_move(db, attr->row, wanted, is_done, err);
        if (status != INST_OK || *is_done) {
            break;
        }
        bool is_moved = false;
        move = db_move_of(db, attr->row);
        status = move_rows(db, attr->row, limit, place, count, &is_moved, err);
        if (status == INST_OK && is_moved) {
            inst_buf_clear(place);
            status = db_set_move(db, attr->row, (struct db_move){move.to, move.to}, err);
        }
    }
    return status;
}

enum inst_status db_reindex_attr(struct inst_app_db *base, const struct inst_attr *attr,
                                 struct inst_err *err) {
    struct inst_buf place;
    bool is_done;
    size_t count;
    inst_buf_init(&place);
    enum inst_status status = db_reindex_some(base, attr, SIZE_MAX, &place, &count, &is_done, err);
    inst_buf_free(&place);
    return status;
}

/* ---- walking ---- */

static enum inst_status walk_rows(struct sqlite_app_db *db, sqlite3_stmt *stmt, uint8_t code,
                                  struct inst_buf *place,
                                  bool (*fn)(void *ctx, const struct inst_triple *triple),
                                  void *ctx, size_t *count, bool *goes_on, struct inst_err *err) {
    enum index_kind kind = (enum index_kind)(code & 7);
    enum inst_status status = INST_OK;
    struct inst_arena arena;
    int rc = SQLITE_DONE;
    inst_arena_init(&arena);
    while (status == INST_OK && *goes_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct db_key k = db_column_key(stmt, 0);
        struct inst_triple triple = {.e = (uint32_t)sqlite3_column_int64(stmt, 1),
                                     .t = column_time(stmt, 3)};
        inst_arena_reset(&arena);
        if (kind == KIND_LINK || kind == KIND_ID) {
            triple.ref = kind == KIND_ID ? triple.e : (uint32_t)k.num;
            triple.v = (struct inst_value){.tag = INST_ENTITY, .u.entity = triple.ref};
        } else {
            status = db_read_value(db, stmt, 2, false, &arena, &triple.v, err);
        }
        if (status == INST_OK && !put_place(place, code, &k, triple.e)) {
            status = inst_err_nomem(err);
        }
        if (status == INST_OK) {
            ++*count;
            *goes_on = fn(ctx, &triple);
        }
    }
    if (status == INST_OK && *goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    inst_arena_free(&arena);
    return status;
}

enum inst_status db_walk(struct inst_app_db *base, const struct inst_attr *attr, size_t limit,
                         struct inst_buf *place,
                         bool (*fn)(void *ctx, const struct inst_triple *triple), void *ctx,
                         size_t *count, bool *is_done, struct inst_err *err) {
    static const char blob_sql[] =
        "SELECT ave.k, ave.e, tr.v, tr.t FROM ave CROSS JOIN triples tr ON tr.e=ave.e AND tr.a=?1"
        " AND tr.ref=0 WHERE ave.a=?1 AND (ave.k, ave.e)>(?2, ?3) ORDER BY ave.k, ave.e LIMIT ?4";
    static const char entity_sql[] =
        "SELECT k, e, NULL, iif(?5, k, t) FROM ave WHERE a=?1 AND (k, e)>(?2, ?3)"
        " ORDER BY k, e LIMIT ?4";
    struct sqlite_app_db *db = of_db(base);
    uint8_t code = kind_code(db, attr->row);
    enum index_kind kind = (enum index_kind)(code & 7);
    struct db_key k = db_least_key();
    uint32_t e = 0;
    sqlite3_stmt *stmt = NULL;
    bool goes_on = true;
    *count = 0;
    *is_done = false;
    if (!read_place(place, code, &k, &e)) {
        k = db_least_key();
        e = 0;
    }
    enum inst_status status = inst_sqlite_prepare(
        db->db, db->path, kind == KIND_LINK || kind == KIND_ID ? entity_sql : blob_sql, &stmt, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(stmt, 1, attr->row);
    sqlite3_bind_int64(stmt, 3, e);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)limit);
    if (kind == KIND_LINK || kind == KIND_ID) {
        sqlite3_bind_int(stmt, 5, kind == KIND_ID);
    }
    /* Copied: the place it points into moves on with every row. */
    status = db_bind_key(stmt, 2, &k, false) == SQLITE_OK
                 ? walk_rows(db, stmt, code, place, fn, ctx, count, &goes_on, err)
                 : inst_err_nomem(err);
    *is_done = status == INST_OK && goes_on && *count < limit;
    sqlite3_finalize(stmt);
    return status;
}

/* ---- who else has a value ---- */

static enum inst_status probe(struct sqlite_app_db *db, enum run_stmt which, uint32_t row,
                              const struct db_key *k, uint32_t e, const struct db_key *v,
                              uint32_t *other, struct inst_err *err) {
    sqlite3_stmt *stmt = db_stmt(db, which, err);
    if (!stmt) {
        return INST_FAILED;
    }
    sqlite3_bind_int64(stmt, 1, row);
    db_bind_key(stmt, 2, k, true);
    sqlite3_bind_int64(stmt, 3, e);
    if (v) {
        db_bind_key(stmt, 4, v, true);
    }
    int rc = sqlite3_step(stmt);
    *other = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
    enum inst_status status =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return status;
}

enum inst_status db_find_other(struct inst_app_db *base, const struct inst_attr *attr,
                               const struct inst_value *v, uint32_t ref, uint32_t e,
                               uint32_t *other, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct db_move move = db_move_of(db, attr->row);
    enum index_kind kinds[2] = {move.to, move.from};
    enum inst_status status = INST_OK;
    struct db_key k, stored;
    *other = 0;
    if (move.to == KIND_LINK) {
        k = db_int_key(ref);
        return probe(db, RUN_OTHER_LINK, attr->row, &k, e, NULL, other, err);
    }
    if (!db_value_key(v, &db->scratch[1], &stored)) {
        return inst_err_nomem(err);
    }
    for (int i = 0; i < 2 && status == INST_OK && *other == 0; i++) {
        if ((i == 1 && kinds[0] == kinds[1]) || (kinds[i] != KIND_VALUE && kinds[i] != KIND_DATE)) {
            continue;
        }
        if (!db_order_key(kinds[i], v, &db->scratch[0], &k)) {
            return inst_err_nomem(err);
        }
        status = probe(db, RUN_OTHER_VALUE, attr->row, &k, e, &stored, other, err);
    }
    return status;
}
