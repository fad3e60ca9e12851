#include "io/sqlite_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *     asked for             kind of attr     statement
 *     e, v                  link             EA_REF
 *     e (v)                 any other        EA, EA_EQ
 *        v                  id               EA at that entity
 *        v                  link             ave at k = ref
 *        v                  value            ave at k = v
 *        v                  date             ave at k = instant, JOIN, EQ
 *        v                  plain            ave of the attr, JOIN, EQ
 *        range, order       value, id, link  ave between two places
 *        range, order       date             ave between two places, JOIN
 *                           plain            ave of the attr, JOIN
 *
 * A place in ave is (k, e); every scan of it is the open interval between two places. One that
 * takes whole keys, as most do, is asked for by its keys alone.
 */

#define NO_ENTITY 0
#define ANY_ENTITY INT64_MAX

/* What the cursor's slots hold. */
enum { SLOT_STMT, SLOT_KIND, SLOT_E, SLOT_IS_STEPPED };

struct place {
    struct db_key k;
    sqlite3_int64 e;
};

/* ---- statements ---- */

static void ave_sql(enum scan_stmt_kind kind, char *out, size_t cap) {
    const char *direction = kind & SCAN_DESC ? " DESC" : "";
    bool is_joined = kind & SCAN_JOIN;
    snprintf(out, cap,
             "SELECT ave.e, %s FROM ave%s WHERE ave.a=?1 AND %s%s ORDER BY ave.k%s, ave.e%s",
             is_joined ? "tr.v, tr.t" : "ave.k, ave.t",
             is_joined ? " CROSS JOIN triples tr ON tr.e=ave.e AND tr.a=?1 AND tr.ref=0" : "",
             kind & SCAN_PLACES ? "(ave.k, ave.e)>(?2, ?3) AND (ave.k, ave.e)<(?4, ?5)"
                                : "ave.k>=?2 AND ave.k<=?4",
             kind & SCAN_EQ ? " AND tr.v IS ?6" : "", direction, direction);
}

static const char *scan_sql(enum scan_stmt_kind kind, char *room, size_t cap) {
    switch (kind) {
    case SCAN_EA:
        return "SELECT ref, v, t FROM triples WHERE e=?1 AND a=?2";
    case SCAN_EA_REF:
        return "SELECT ref, v, t FROM triples WHERE e=?1 AND a=?2 AND ref=?3";
    case SCAN_EA_EQ:
        return "SELECT ref, v, t FROM triples WHERE e=?1 AND a=?2 AND v IS ?3";
    case SCAN_OF:
        return "SELECT ref, v, t, a FROM triples WHERE e=?1";
    case SCAN_LINKS_TO:
        return "SELECT attrs.row, ave.e, ave.t FROM attrs INDEXED BY attrs_kind"
               " CROSS JOIN ave ON ave.a=attrs.row AND ave.k=?1 WHERE attrs.index_kind=4";
    default:
        ave_sql(kind, room, cap);
        return room;
    }
}

static enum inst_status take_stmt(struct sqlite_app_db *db, enum scan_stmt_kind kind,
                                  struct scan_stmt **out, struct inst_err *err) {
    struct scan_stmt *scan = db->pool[kind];
    if (scan) {
        db->pool[kind] = scan->next;
        *out = scan;
        return INST_OK;
    }
    char sql[400];
    scan = calloc(1, sizeof *scan);
    if (!scan) {
        return inst_err_nomem(err);
    }
    scan->kind = kind;
    inst_arena_init(&scan->arena);
    enum inst_status status =
        inst_sqlite_prepare(db->db, db->path, scan_sql(kind, sql, sizeof sql), &scan->stmt, err);
    if (status != INST_OK) {
        free(scan);
        return status;
    }
    *out = scan;
    return INST_OK;
}

static void give_back(struct sqlite_app_db *db, struct scan_stmt *scan) {
    sqlite3_reset(scan->stmt);
    inst_arena_reset(&scan->arena);
    scan->next = db->pool[scan->kind];
    db->pool[scan->kind] = scan;
}

/* ---- what a scan asks for ---- */

/* The interval of ave that a scan covers. Keys borrow from the scan and db->scratch. */
static bool interval(struct sqlite_app_db *db, enum index_kind kind, const struct inst_scan *scan,
                     struct place *low, struct place *high) {
    *low = (struct place){db_least_key(), NO_ENTITY};
    *high = (struct place){db_greatest_key(), NO_ENTITY};
    if (kind == KIND_PLAIN) {
        return true;
    }
    if (kind == KIND_LINK && scan->ref) {
        low->k = high->k = db_int_key(scan->ref);
        high->e = ANY_ENTITY;
        return true;
    }
    enum index_kind keys = kind == KIND_DATE ? KIND_DATE : KIND_VALUE;
    if (scan->has_v) {
        high->e = ANY_ENTITY;
        return db_order_key(keys, &scan->v, &db->scratch[0], &low->k) &&
               db_order_key(keys, &scan->v, &db->scratch[1], &high->k);
    }
    if (scan->low.is_set) {
        low->e = scan->low.is_inclusive ? NO_ENTITY : ANY_ENTITY;
        if (!db_order_key(keys, &scan->low.v, &db->scratch[0], &low->k)) {
            return false;
        }
    }
    if (scan->high.is_set) {
        high->e = scan->high.is_inclusive ? ANY_ENTITY : NO_ENTITY;
        if (!db_order_key(keys, &scan->high.v, &db->scratch[1], &high->k)) {
            return false;
        }
    }
    if (scan->after_e) {
        struct place after = {.e = scan->after_e};
        if (!db_order_key(keys, &scan->after_v, &db->scratch[2], &after.k)) {
            return false;
        }
        /* The narrower of the two counts. */
        struct place *end = scan->order == INST_ORDER_DESC ? high : low;
        int order = db_key_cmp(&after.k, &end->k);
        order = order ? order : after.e < end->e ? -1 : after.e > end->e;
        if (end == low ? order > 0 : order < 0) {
            *end = after;
        }
    }
    return true;
}

/* Only whole keys between the two, both included? */
static bool takes_whole_keys(const struct place *low, const struct place *high) {
    struct db_key greatest = db_greatest_key();
    return low->e == NO_ENTITY && (high->e == ANY_ENTITY || db_key_cmp(&high->k, &greatest) == 0);
}

static bool is_inside(const struct db_key *k, const struct place *low, const struct place *high) {
    int above = db_key_cmp(k, &low->k), below = db_key_cmp(k, &high->k);
    return (above > 0 || (above == 0 && low->e == NO_ENTITY)) &&
           (below < 0 || (below == 0 && high->e != NO_ENTITY));
}

static enum inst_status bind_interval(sqlite3_stmt *stmt, uint32_t row, const struct place *low,
                                      const struct place *high, bool has_places,
                                      struct inst_err *err) {
    sqlite3_bind_int64(stmt, 1, row);
    if (db_bind_key(stmt, 2, &low->k, false) != SQLITE_OK ||
        db_bind_key(stmt, 4, &high->k, false) != SQLITE_OK) {
        return inst_err_nomem(err);
    }
    if (has_places) {
        sqlite3_bind_int64(stmt, 3, low->e);
        sqlite3_bind_int64(stmt, 5, high->e);
    }
    return INST_OK;
}

/* Fits what was asked to how the attr is kept: afterwards ref is only set for links, and e for the
 * id attr. false: nothing can fit. text is room for a uuid. */
static bool adapt(struct sqlite_app_db *db, enum index_kind kind, struct inst_scan *scan,
                  char text[INST_UUID_TEXT + 1]) {
    bool names_entity = kind == KIND_ID || kind == KIND_LINK;
    if (names_entity && scan->has_v) {
        struct inst_uuid id;
        uint32_t ref = scan->v.tag == INST_ENTITY ? (uint32_t)scan->v.u.entity : 0;
        if (scan->v.tag == INST_STRING && inst_uuid_parse(scan->v.u.str, scan->v.len, &id)) {
            ref = db_find_entity(db, &id);
        }
        if (ref == 0 || (scan->ref && scan->ref != ref)) {
            return false;
        }
        scan->ref = ref;
        scan->has_v = false;
    }
    if (kind == KIND_ID && scan->ref) {
        if (scan->e && scan->e != scan->ref) {
            return false;
        }
        scan->e = scan->ref;
        scan->ref = 0;
    }
    if (!names_entity && scan->ref) {
        struct inst_value id = inst_sqlite_store_ops.entity_id(&db->base.store, scan->ref);
        if (id.tag != INST_STRING || scan->has_v) {
            return false;
        }
        memcpy(text, id.u.str, id.len);
        scan->v = inst_string(text, id.len);
        scan->has_v = true;
        scan->ref = 0;
    }
    return true;
}

/* ---- scans with a fixed entity ---- */

/* An entity's value and a range: one row is read and compared here. */
static enum inst_status check_range(struct sqlite_app_db *db, enum index_kind kind,
                                    const struct inst_scan *scan, struct inst_cursor *cursor,
                                    struct inst_err *err) {
    struct scan_stmt *held = cursor->slot[SLOT_STMT].ptr;
    struct inst_scan range = {.low = scan->low, .high = scan->high};
    struct place low, high;
    struct db_key k;
    struct inst_value v;
    if (!interval(db, kind, &range, &low, &high)) {
        return inst_err_nomem(err);
    }
    int rc = sqlite3_step(held->stmt);
    bool fits = false;
    if (rc == SQLITE_ROW && kind == KIND_ID) {
        k = db_int_key(sqlite3_column_int64(held->stmt, 2));
        fits = is_inside(&k, &low, &high);
    } else if (rc == SQLITE_ROW) {
        enum inst_status status = db_read_value(db, held->stmt, 1, false, &held->arena, &v, err);
        if (status != INST_OK) {
            return status;
        }
        if (!db_order_key(kind, &v, &db->scratch[2], &k)) {
            return inst_err_nomem(err);
        }
        fits = is_inside(&k, &low, &high);
    } else if (rc != SQLITE_DONE) {
        return db_error(db, rc, err);
    }
    cursor->slot[SLOT_IS_STEPPED].num = fits;
    if (!fits) {
        give_back(db, held);
        cursor->slot[SLOT_STMT].ptr = NULL;
    }
    return INST_OK;
}

static enum inst_status open_at_entity(struct sqlite_app_db *db, enum index_kind kind,
                                       const struct inst_scan *scan, struct inst_cursor *cursor,
                                       struct inst_err *err) {
    enum scan_stmt_kind which = scan->ref ? SCAN_EA_REF : scan->has_v ? SCAN_EA_EQ : SCAN_EA;
    struct scan_stmt *held = NULL;
    enum inst_status status = take_stmt(db, which, &held, err);
    if (status != INST_OK) {
        return status;
    }
    cursor->slot[SLOT_STMT].ptr = held;
    sqlite3_bind_int64(held->stmt, 1, scan->e);
    sqlite3_bind_int64(held->stmt, 2, scan->attr->row);
    if (scan->ref) {
        sqlite3_bind_int64(held->stmt, 3, scan->ref);
    } else if (scan->has_v) {
        struct db_key v;
        if (!db_value_key(&scan->v, &db->scratch[0], &v)) {
            return inst_err_nomem(err);
        }
        if (db_bind_key(held->stmt, 3, &v, false) != SQLITE_OK) {
            return inst_err_nomem(err);
        }
    }
    if ((scan->low.is_set || scan->high.is_set) && kind != KIND_LINK) {
        return check_range(db, kind == KIND_PLAIN ? KIND_VALUE : kind, scan, cursor, err);
    }
    return INST_OK;
}

/* ---- scans over an attr ---- */

static enum inst_status open_over_attr(struct sqlite_app_db *db, enum index_kind kind,
                                       const struct inst_scan *scan, struct inst_cursor *cursor,
                                       struct inst_err *err) {
    int which = scan->order == INST_ORDER_DESC ? SCAN_DESC : 0;
    if (kind == KIND_PLAIN || kind == KIND_DATE) {
        which |= SCAN_JOIN | (scan->has_v ? SCAN_EQ : 0);
    }
    struct place low, high;
    struct scan_stmt *held = NULL;
    if (!interval(db, kind, scan, &low, &high)) {
        return inst_err_nomem(err);
    }
    which |= takes_whole_keys(&low, &high) ? 0 : SCAN_PLACES;
    enum inst_status status = take_stmt(db, (enum scan_stmt_kind)which, &held, err);
    if (status != INST_OK) {
        return status;
    }
    cursor->slot[SLOT_STMT].ptr = held;
    status = bind_interval(held->stmt, scan->attr->row, &low, &high, which & SCAN_PLACES, err);
    if (status != INST_OK) {
        return status;
    }
    if (which & SCAN_EQ) {
        struct db_key v;
        if (!db_value_key(&scan->v, &db->scratch[0], &v) ||
            db_bind_key(held->stmt, 6, &v, false) != SQLITE_OK) {
            return inst_err_nomem(err);
        }
    }
    return INST_OK;
}

/* ---- the Store interface ---- */

static void close_cursor(struct inst_cursor *cursor) {
    struct scan_stmt *held = cursor->slot[SLOT_STMT].ptr;
    if (held) {
        give_back(of_store(cursor->store), held);
        cursor->slot[SLOT_STMT].ptr = NULL;
    }
}

static enum inst_status open_scan(struct inst_store *store, const struct inst_scan *asked,
                                  struct inst_cursor *cursor, struct inst_err *err) {
    struct sqlite_app_db *db = of_store(store);
    enum index_kind kind = db_kind(db, asked->attr->row);
    struct inst_scan scan = *asked;
    char text[INST_UUID_TEXT + 1];
    memset(cursor, 0, sizeof *cursor);
    cursor->store = store;
    cursor->slot[SLOT_KIND].num = kind;
    if (asked->attr->row == 0 || !adapt(db, kind, &scan, text)) {
        return INST_OK;
    }
    cursor->slot[SLOT_E].num = scan.e;
    enum inst_status status = scan.e ? open_at_entity(db, kind, &scan, cursor, err)
                                     : open_over_attr(db, kind, &scan, cursor, err);
    if (status != INST_OK) {
        close_cursor(cursor);
    }
    return status;
}

static struct inst_value entity_value(uint32_t e) {
    return (struct inst_value){.tag = INST_ENTITY, .u.entity = e};
}

static int64_t column_time(sqlite3_stmt *stmt, int column) {
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? INST_NO_TIME
                                                            : sqlite3_column_int64(stmt, column);
}

/* A row of `ref, v, t`; arrays and objects go to arena. */
static enum inst_status read_triple(struct sqlite_app_db *db, struct scan_stmt *held,
                                    enum index_kind kind, uint32_t e, struct inst_arena *arena,
                                    struct inst_triple *out, struct inst_err *err) {
    *out = (struct inst_triple){.e = e, .t = column_time(held->stmt, 2)};
    if (kind == KIND_LINK || kind == KIND_ID) {
        out->ref = kind == KIND_ID ? e : (uint32_t)sqlite3_column_int64(held->stmt, 0);
        out->v = entity_value(out->ref);
        return INST_OK;
    }
    return db_read_value(db, held->stmt, 1, false, arena, &out->v, err);
}

/* A row of ave: `e, k, t` or, joined, `e, v, t`. */
static enum inst_status read_ave(struct sqlite_app_db *db, struct scan_stmt *held,
                                 enum index_kind kind, struct inst_triple *out,
                                 struct inst_err *err) {
    *out = (struct inst_triple){.e = (uint32_t)sqlite3_column_int64(held->stmt, 0)};
    if (kind == KIND_ID) {
        out->ref = out->e;
        out->v = entity_value(out->e);
        out->t = sqlite3_column_int64(held->stmt, 1);
        return INST_OK;
    }
    out->t = column_time(held->stmt, 2);
    if (kind == KIND_LINK) {
        out->ref = (uint32_t)sqlite3_column_int64(held->stmt, 1);
        out->v = entity_value(out->ref);
        return INST_OK;
    }
    bool is_key = !(held->kind & SCAN_JOIN);
    return db_read_value(db, held->stmt, 1, is_key, &held->arena, &out->v, err);
}

static int next_row(struct inst_cursor *cursor, struct inst_triple *out, struct inst_err *err) {
    struct scan_stmt *held = cursor->slot[SLOT_STMT].ptr;
    if (!held) {
        return 0;
    }
    struct sqlite_app_db *db = of_store(cursor->store);
    enum index_kind kind = (enum index_kind)cursor->slot[SLOT_KIND].num;
    int rc = SQLITE_ROW;
    if (cursor->slot[SLOT_IS_STEPPED].num) {
        cursor->slot[SLOT_IS_STEPPED].num = 0;
    } else {
        inst_arena_reset(&held->arena);
        rc = sqlite3_step(held->stmt);
    }
    if (rc != SQLITE_ROW) {
        enum inst_status status = rc == SQLITE_DONE ? INST_OK : db_error(db, rc, err);
        close_cursor(cursor);
        return status == INST_OK ? 0 : -1;
    }
    uint32_t e = (uint32_t)cursor->slot[SLOT_E].num;
    enum inst_status status = held->kind >= SCAN_EA
                                  ? read_triple(db, held, kind, e, &held->arena, out, err)
                                  : read_ave(db, held, kind, out, err);
    return status == INST_OK ? 1 : -1;
}

static size_t count_rows(sqlite3_stmt *stmt, size_t limit) {
    size_t n = sqlite3_step(stmt) == SQLITE_ROW ? (size_t)sqlite3_column_int64(stmt, 0) : limit;
    sqlite3_reset(stmt);
    return n;
}

static size_t estimate(struct inst_store *store, const struct inst_scan *asked, size_t limit) {
    struct sqlite_app_db *db = of_store(store);
    enum index_kind kind = db_kind(db, asked->attr->row);
    struct inst_scan scan = *asked;
    char text[INST_UUID_TEXT + 1];
    struct place low, high;
    if (limit == 0 || asked->attr->row == 0 || !adapt(db, kind, &scan, text)) {
        return 0;
    }
    if (scan.e && (kind != KIND_LINK || scan.ref || !scan.attr->is_many)) {
        return 1;
    }
    if (scan.e) {
        sqlite3_stmt *stmt = db_stmt(db, RUN_COUNT_EA, NULL);
        if (!stmt) {
            return limit;
        }
        sqlite3_bind_int64(stmt, 1, scan.e);
        sqlite3_bind_int64(stmt, 2, scan.attr->row);
        sqlite3_bind_int64(stmt, 3, (sqlite3_int64)limit);
        return count_rows(stmt, limit);
    }
    if (!interval(db, kind, &scan, &low, &high)) {
        return limit;
    }
    bool has_places = !takes_whole_keys(&low, &high);
    sqlite3_stmt *stmt = db_stmt(db, has_places ? RUN_COUNT_PLACES : RUN_COUNT_AVE, NULL);
    if (!stmt || bind_interval(stmt, scan.attr->row, &low, &high, has_places, NULL) != INST_OK) {
        return limit;
    }
    sqlite3_bind_int64(stmt, 6, (sqlite3_int64)limit);
    return count_rows(stmt, limit);
}

static enum inst_status presence(struct inst_store *store, uint32_t e, const struct inst_attr *attr,
                                 bool reverse, enum inst_presence *out, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_triple triple;
    if (reverse) {
        scan.ref = e;
    } else {
        scan.e = e;
    }
    enum inst_status status = open_scan(store, &scan, &cursor, err);
    if (status != INST_OK) {
        return status;
    }
    int found = next_row(&cursor, &triple, err);
    *out = found <= 0 ? INST_MISSING : triple.v.tag == INST_NULL ? INST_IS_NULL : INST_PRESENT;
    close_cursor(&cursor);
    return found < 0 ? INST_FAILED : INST_OK;
}

static uint32_t entity(struct inst_store *store, const char *id, size_t len) {
    struct inst_uuid uuid;
    return inst_uuid_parse(id, len, &uuid) ? db_find_entity(of_store(store), &uuid) : 0;
}

/* ---- entity texts ---- */

static struct text_slot *text_slot(struct text_slot *slots, size_t cap, uint32_t e) {
    size_t i = (e * 2654435769u) & (cap - 1);
    while (slots[i].e && slots[i].e != e) {
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static bool grow_texts(struct sqlite_app_db *db) {
    size_t cap = db->texts_cap ? db->texts_cap * 2 : 64;
    struct text_slot *slots = calloc(cap, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < db->texts_cap; i++) {
        if (db->texts[i].e) {
            *text_slot(slots, cap, db->texts[i].e) = db->texts[i];
        }
    }
    free(db->texts);
    db->texts = slots;
    db->texts_cap = cap;
    return true;
}

static bool read_uuid(struct sqlite_app_db *db, uint32_t e, struct inst_uuid *out) {
    sqlite3_stmt *stmt = db_stmt(db, RUN_FIND_UUID, NULL);
    if (!stmt) {
        return false;
    }
    sqlite3_bind_int64(stmt, 1, e);
    bool is_found =
        sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == (int)sizeof out->bytes;
    if (is_found) {
        memcpy(out->bytes, sqlite3_column_blob(stmt, 0), sizeof out->bytes);
    }
    sqlite3_reset(stmt);
    return is_found;
}

static struct inst_value entity_id(struct inst_store *store, uint32_t e) {
    struct sqlite_app_db *db = of_store(store);
    if (e == 0) {
        return inst_undefined();
    }
    if ((db->texts_count + 1) * 2 > db->texts_cap && !grow_texts(db)) {
        return inst_undefined();
    }
    struct text_slot *slot = text_slot(db->texts, db->texts_cap, e);
    if (slot->e) {
        return inst_string(slot->text, INST_UUID_TEXT);
    }
    struct inst_uuid id;
    char *text =
        read_uuid(db, e, &id) ? inst_arena_alloc(&db->texts_arena, INST_UUID_TEXT + 1) : NULL;
    if (!text) {
        return inst_undefined();
    }
    inst_uuid_print(&id, text);
    *slot = (struct text_slot){.e = e, .text = text};
    db->texts_count++;
    return inst_string(text, INST_UUID_TEXT);
}

static bool can_range(struct inst_store *store, const struct inst_attr *attr) {
    struct sqlite_app_db *db = of_store(store);
    enum index_kind kind = db_kind(db, attr->row);
    if (attr->row == 0 || kind == KIND_PLAIN || kind == KIND_LINK) {
        return false;
    }
    return kind == KIND_ID || (!attr->is_indexing && kind == db_wanted_kind(attr));
}

/* ---- one object ---- */

/* Copies a triple out of the statement, so that it outlives the next step. */
static enum inst_status keep_triple(struct sqlite_app_db *db, struct scan_stmt *held,
                                    enum index_kind kind, uint32_t e, struct inst_triple *out,
                                    struct inst_err *err) {
    enum inst_status status = read_triple(db, held, kind, e, &db->row_arena, out, err);
    if (status == INST_OK && out->v.tag == INST_STRING) {
        const char *copy = inst_arena_dup(&db->row_arena, out->v.u.str, out->v.len);
        out->v = inst_string(copy, out->v.len);
        status = copy ? INST_OK : inst_err_nomem(err);
    }
    return status;
}

/* One walk over e's triples: they lie together. Either of values and triples is filled. */
static enum inst_status walk_entity(struct inst_store *store, uint32_t e,
                                    const struct inst_attr *const *attrs, size_t n,
                                    struct inst_value *values, struct inst_triple *triples,
                                    struct inst_err *err) {
    struct sqlite_app_db *db = of_store(store);
    struct scan_stmt *held = NULL;
    struct inst_triple triple;
    inst_arena_reset(&db->row_arena);
    enum inst_status status = take_stmt(db, SCAN_OF, &held, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(held->stmt, 1, e);
    int rc = SQLITE_DONE;
    size_t at = 0;
    while (status == INST_OK && (rc = sqlite3_step(held->stmt)) == SQLITE_ROW) {
        uint32_t a = (uint32_t)sqlite3_column_int64(held->stmt, 3);
        /* Rows come by attr row and so, mostly, do the attrs: the search starts where it ended. */
        for (size_t tries = 0; tries < n; tries++, at = at + 1 < n ? at + 1 : 0) {
            if (attrs[at]->row == a) {
                status = keep_triple(db, held, db_kind(db, a), e, &triple, err);
                if (values) {
                    values[at] = triple.v;
                } else {
                    triples[at] = triple;
                }
                break;
            }
        }
    }
    if (status == INST_OK && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    give_back(db, held);
    return status;
}

static enum inst_status row(struct inst_store *store, uint32_t e,
                            const struct inst_attr *const *attrs, size_t n, struct inst_value *out,
                            struct inst_err *err) {
    memset(out, 0, n * sizeof *out);
    return walk_entity(store, e, attrs, n, out, NULL, err);
}

static enum inst_status fields(struct inst_store *store, uint32_t e,
                               const struct inst_attr *const *attrs, size_t n,
                               struct inst_triple *out, struct inst_err *err) {
    memset(out, 0, n * sizeof *out);
    return walk_entity(store, e, attrs, n, NULL, out, err);
}

const struct inst_store_ops inst_sqlite_store_ops = {
    .scan = open_scan,
    .next = next_row,
    .close = close_cursor,
    .estimate = estimate,
    .presence = presence,
    .entity = entity,
    .entity_id = entity_id,
    .can_range = can_range,
    .row = row,
    .fields = fields,
};

/* ---- triples whatever their attr ---- */

enum inst_status db_each_link_to(struct inst_app_db *base, uint32_t e,
                                 bool (*fn)(void *ctx, uint32_t attr_row,
                                            const struct inst_triple *triple),
                                 void *ctx, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct scan_stmt *held = NULL;
    enum inst_status status = take_stmt(db, SCAN_LINKS_TO, &held, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(held->stmt, 1, e);
    int rc;
    bool goes_on = true;
    while (goes_on && (rc = sqlite3_step(held->stmt)) == SQLITE_ROW) {
        struct inst_triple triple = {
            .e = (uint32_t)sqlite3_column_int64(held->stmt, 1),
            .ref = e,
            .v = entity_value(e),
            .t = column_time(held->stmt, 2),
        };
        goes_on = fn(ctx, (uint32_t)sqlite3_column_int64(held->stmt, 0), &triple);
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    give_back(db, held);
    return status;
}

enum inst_status db_each_of(struct inst_app_db *base, uint32_t e,
                            bool (*fn)(void *ctx, uint32_t attr_row,
                                       const struct inst_triple *triple),
                            void *ctx, struct inst_err *err) {
    struct sqlite_app_db *db = of_db(base);
    struct scan_stmt *held = NULL;
    enum inst_status status = take_stmt(db, SCAN_OF, &held, err);
    if (status != INST_OK) {
        return status;
    }
    sqlite3_bind_int64(held->stmt, 1, e);
    int rc = SQLITE_DONE;
    bool goes_on = true;
    while (goes_on && (rc = sqlite3_step(held->stmt)) == SQLITE_ROW) {
        uint32_t row = (uint32_t)sqlite3_column_int64(held->stmt, 3);
        struct inst_triple triple;
        inst_arena_reset(&held->arena);
        status = read_triple(db, held, db_kind(db, row), e, &held->arena, &triple, err);
        goes_on = status == INST_OK && fn(ctx, row, &triple);
    }
    if (goes_on && rc != SQLITE_DONE) {
        status = db_error(db, rc, err);
    }
    give_back(db, held);
    return status;
}
