/*
 * The snapshot of a table as of one transaction S, read over many turns while others write.
 *
 *     order of the table   a  b  c | d  e  f  g        | place: read and sent up to here
 *
 * An entity that was not touched since S is what it was at S. One that is touched in front of the
 * place has been sent; one that is touched behind it is set aside as it was at S, which its first
 * record in the log tells, and sent when the place comes to where it stood. So every entity is
 * sent once, as it was at S, and the log from S on brings the client up to date.
 */
#include "base/json.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/sync_internal.h"

#include <stdlib.h>

/* A place in the table's order. */
struct place {
    struct inst_point point;
    uint32_t e;
};

/* An entity set aside. */
struct aside {
    struct place place;
    char *text; /* of place.point; owned, NULL when that has none */
    char *row;  /* as it is sent; owned */
    size_t row_len;
};

struct inst_sync_load {
    int64_t snapshot_tx;
    int64_t seen_tx; /* the log was looked through up to here */
    uint32_t order_row;
    enum inst_checked_type order_type;
    bool is_desc;
    bool has_place; /* the next three */
    struct inst_value after_v;
    uint32_t after_e;
    struct inst_buf after_text; /* bytes of after_v */
    struct inst_table touched;  /* (e, 0) -> anything */
    struct aside *asides;       /* in the order of sending, from `first` on */
    size_t first, count, cap;
    size_t aside_bytes;
};

enum inst_status inst_sync_load_new(struct inst_sync *sync, const struct inst_attr *order,
                                    bool is_desc, struct inst_err *err) {
    struct inst_sync_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return inst_err_nomem(err);
    load->snapshot_tx = load->seen_tx = inst_sync_app(sync)->last_tx;
    load->order_row = order->row;
    load->order_type = order->checked_type;
    load->is_desc = is_desc;
    inst_buf_init(&load->after_text);
    sync->load = load;
    return INST_OK;
}

static void free_aside(struct aside *aside) {
    free(aside->text);
    free(aside->row);
}

void inst_sync_load_free(struct inst_sync_load *load) {
    if (load == NULL)
        return;
    for (size_t i = load->first; i < load->count; i++)
        free_aside(&load->asides[i]);
    free(load->asides);
    inst_table_free(&load->touched);
    inst_buf_free(&load->after_text);
    free(load);
}

/* ---- places ---- */

static struct place place_of(const struct inst_attr *order, const struct inst_value *v, int64_t t,
                             uint32_t e) {
    struct place place = {inst_point_of(order, v, t), e};
    if (place.point.class == INST_POINT_UNKNOWN)
        place.point.class = INST_POINT_HIGHEST;
    return place;
}

/* <0: a is sent before b. */
static int compare_places(const struct inst_sync_load *load, const struct place *a,
                          const struct place *b) {
    int c = inst_point_compare(&a->point, &b->point);
    if (c == 0)
        c = a->e < b->e ? -1 : a->e > b->e;
    return load->is_desc ? -c : c;
}

static bool is_behind(const struct inst_sync_load *load, const struct inst_attr *order,
                      const struct place *place) {
    if (!load->has_place)
        return false;
    int64_t t = load->after_v.tag == INST_NUMBER ? (int64_t)load->after_v.u.num : 0;
    struct place at = place_of(order, &load->after_v, t, load->after_e);
    return compare_places(load, place, &at) <= 0;
}

/* Remembers that the triple of the order attr was dealt with. */
static bool move_place(struct inst_sync_load *load, const struct inst_attr *order,
                       const struct inst_triple *triple) {
    struct inst_value v = inst_attr_is_id(order) ? inst_number((double)triple->t) : triple->v;
    inst_buf_clear(&load->after_text);
    if (v.tag == INST_STRING) {
        inst_buf_add(&load->after_text, v.u.str, v.len);
        v.u.str = load->after_text.data != NULL ? load->after_text.data : "";
    }
    load->after_v = v;
    load->after_e = triple->e;
    load->has_place = true;
    return !load->after_text.failed;
}

/* ---- rows ---- */

static void write_entity(struct inst_buf *buf, struct inst_store *store, uint32_t e) {
    struct inst_value id = store->ops->entity_id(store, e);
    if (id.tag != INST_STRING)
        buf->failed = true;
    else
        inst_json_write(buf, &id);
}

static void write_triple(struct inst_buf *buf, struct inst_store *store,
                         const struct inst_attr *attr, const struct inst_triple *triple) {
    inst_buf_add_char(buf, '[');
    write_entity(buf, store, triple->e);
    inst_buf_add_char(buf, ',');
    inst_json_write(buf, &attr->id);
    inst_buf_add_char(buf, ',');
    if (inst_attr_names_entity(attr))
        write_entity(buf, store, triple->ref);
    else
        inst_json_write(buf, &triple->v);
    inst_buf_add_char(buf, ',');
    if (triple->t == INST_NO_TIME)
        inst_buf_add_str(buf, "null");
    else
        inst_buf_add_int(buf, triple->t);
    inst_buf_add_char(buf, ']');
}

/* What one turn works with. */
struct piece {
    struct inst_sync *sync;
    struct inst_sync_load *load;
    struct inst_store *store;
    const struct inst_attr *order;
    const struct inst_attr **attrs; /* the covered ones that there still are */
    struct inst_triple *triples;    /* of one entity, for each of attrs */
    size_t attr_count;
    struct inst_arena arena;
    struct inst_buf rows; /* what is sent */
    size_t row_count;
};

static enum inst_status begin_piece(struct piece *piece, struct inst_sync *sync,
                                    struct inst_err *err) {
    struct inst_app *app = inst_sync_app(sync);
    *piece = (struct piece){.sync = sync, .load = sync->load, .store = &app->db->store};
    inst_arena_init(&piece->arena);
    inst_buf_init(&piece->rows);
    piece->order = inst_catalog_at_row(app->catalog, sync->load->order_row);
    if (piece->order == NULL || piece->order->checked_type != sync->load->order_type ||
        !piece->store->ops->can_range(piece->store, piece->order))
        return inst_err_set(err, "validation-failed", 400,
                            "The order of the table changed while it was being read.");
    piece->attrs = inst_arena_alloc(&piece->arena, (sync->attr_count + 1) * sizeof *piece->attrs);
    piece->triples =
        inst_arena_alloc(&piece->arena, (sync->attr_count + 1) * sizeof *piece->triples);
    if (piece->attrs == NULL || piece->triples == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < sync->attr_count; i++) {
        const struct inst_value *id = &sync->attr_ids[i];
        const struct inst_attr *attr = inst_attrs_by_id(app->catalog->attrs, id->u.str, id->len);
        if (attr != NULL)
            piece->attrs[piece->attr_count++] = attr;
    }
    return INST_OK;
}

static void end_piece(struct piece *piece) {
    inst_buf_free(&piece->rows);
    inst_arena_free(&piece->arena);
}

static bool has_id(const struct piece *piece) {
    for (size_t i = 0; i < piece->attr_count; i++)
        if (piece->triples[i].e != 0 && inst_attr_is_id(piece->attrs[i]))
            return true;
    return false;
}

/* The entity as it is. One without an id is none (instaql.md 1.3). */
static enum inst_status add_entity(struct piece *piece, uint32_t e, struct inst_err *err) {
    struct inst_buf *rows = &piece->rows;
    enum inst_status st = piece->store->ops->fields(piece->store, e, piece->attrs,
                                                    piece->attr_count, piece->triples, err);
    if (st != INST_OK || !has_id(piece))
        return st;
    inst_buf_add_str(rows, piece->row_count++ > 0 ? ",[" : "[");
    size_t start = rows->len;
    for (size_t i = 0; i < piece->attr_count; i++) {
        if (piece->triples[i].e == 0)
            continue;
        if (rows->len > start)
            inst_buf_add_char(rows, ',');
        write_triple(rows, piece->store, piece->attrs[i], &piece->triples[i]);
    }
    inst_buf_add_char(rows, ']');
    return rows->failed ? inst_err_nomem(err) : INST_OK;
}

/* ---- what was touched since the last piece ---- */

/* The log between two pieces. */
struct touching {
    struct piece *piece;
    struct inst_arena record; /* one record's changes */
    struct inst_arena kept;   /* firsts */
    struct inst_table firsts; /* (e, covered attr + 1) -> its first change, ["+" or "-", ...] */
    uint32_t *fresh;          /* entities touched for the first time */
    size_t fresh_count, fresh_cap;
    struct inst_table is_fresh; /* (e, 0) */
    enum inst_status status;
    struct inst_err *err;
};

static bool add_fresh(struct touching *t, uint32_t e) {
    struct inst_table_key key = {e, 0};
    if (inst_table_get(&t->is_fresh, key) != NULL)
        return true;
    if (t->fresh_count == t->fresh_cap) {
        size_t cap = t->fresh_cap == 0 ? 64 : t->fresh_cap * 2;
        uint32_t *fresh = realloc(t->fresh, cap * sizeof *fresh);
        if (fresh == NULL)
            return false;
        t->fresh = fresh;
        t->fresh_cap = cap;
    }
    t->fresh[t->fresh_count++] = e;
    return inst_table_put(&t->is_fresh, key, t);
}

static enum inst_status note_change(struct touching *t, const struct inst_value *change) {
    struct inst_sync_load *load = t->piece->load;
    struct inst_store *store = t->piece->store;
    const struct inst_value *id = &change->u.items[1];
    int place = inst_sync_attr(t->piece->sync, &change->u.items[2]);
    if (place < 0)
        return INST_OK;
    uint32_t e = store->ops->entity(store, id->u.str, id->len);
    struct inst_table_key touched = {e, 0}, first = {e, (uint64_t)place + 1};
    if (e == 0)
        return inst_err_set(t->err, "data-file", 500, "The log names an entity that is not there.");
    if (inst_table_get(&load->touched, touched) != NULL ||
        inst_table_get(&t->firsts, first) != NULL)
        return INST_OK;
    struct inst_value *copy = inst_arena_alloc(&t->kept, sizeof *copy);
    if (copy == NULL || !inst_value_dup(&t->kept, change, copy) ||
        !inst_table_put(&t->firsts, first, copy) || !add_fresh(t, e))
        return inst_err_nomem(t->err);
    if (load->touched.count + t->fresh_count > INST_SYNC_MAX_TOUCHED ||
        load->aside_bytes + t->kept.total > INST_SYNC_MAX_TOUCHED_BYTES)
        return inst_err_set(t->err, "limit-exceeded", 400,
                            "The table changes faster than it can be read.");
    return INST_OK;
}

static bool touch_record(void *ctx, const struct inst_log_record *record) {
    struct touching *t = ctx;
    struct inst_sync_load *load = t->piece->load;
    const struct inst_value *triples;
    bool has_attrs;
    if (record->tx_id != load->seen_tx + 1) {
        t->status = inst_sync_refuse_gap(t->piece->sync->id, load->seen_tx, t->err);
        return false;
    }
    inst_arena_reset(&t->record);
    t->status = inst_sync_changes(&t->record, record, &triples, &has_attrs, t->err);
    for (uint32_t i = 0; t->status == INST_OK && i < triples->len; i++)
        if (inst_sync_is_change(&triples->u.items[i]))
            t->status = note_change(t, &triples->u.items[i]);
    load->seen_tx = record->tx_id;
    return t->status == INST_OK;
}

/* The first change of an attr of e since the last piece; NULL: none. */
static const struct inst_value *first_change(const struct touching *t, uint32_t e,
                                             const struct inst_attr *attr) {
    int place = inst_sync_attr(t->piece->sync, &attr->id);
    struct inst_table_key key = {e, (uint64_t)place + 1};
    return inst_table_get(&t->firsts, key);
}

static bool was_there(const struct inst_value *change) {
    return change->u.items[0].u.str[0] == '-';
}

/* Where e stood at the snapshot; false: nowhere. Borrows. */
static bool old_place(const struct touching *t, uint32_t e, struct place *out) {
    const struct piece *piece = t->piece;
    const struct inst_value *change = first_change(t, e, piece->order);
    if (change != NULL && !was_there(change))
        return false;
    if (change != NULL) {
        const struct inst_value *time = &change->u.items[4];
        int64_t at = time->tag == INST_NUMBER ? (int64_t)time->u.num : 0;
        *out = place_of(piece->order, &change->u.items[3], at, e);
        return true;
    }
    for (size_t i = 0; i < piece->attr_count; i++) {
        if (piece->attrs[i] == piece->order && piece->triples[i].e != 0) {
            *out = place_of(piece->order, &piece->triples[i].v, piece->triples[i].t, e);
            return true;
        }
    }
    return false;
}

/* Was it an entity at the snapshot? */
static bool had_id(const struct touching *t, uint32_t e) {
    for (size_t i = 0; i < t->piece->attr_count; i++) {
        const struct inst_attr *attr = t->piece->attrs[i];
        if (!inst_attr_is_id(attr))
            continue;
        const struct inst_value *change = first_change(t, e, attr);
        return change != NULL ? was_there(change) : t->piece->triples[i].e != 0;
    }
    return false;
}

/* e as it was at the snapshot. */
static void write_old_row(struct touching *t, uint32_t e, struct inst_buf *buf) {
    struct piece *piece = t->piece;
    inst_buf_add_char(buf, '[');
    for (size_t i = 0; i < piece->attr_count; i++) {
        const struct inst_value *change = first_change(t, e, piece->attrs[i]);
        if (change != NULL ? !was_there(change) : piece->triples[i].e == 0)
            continue;
        if (buf->len > 1)
            inst_buf_add_char(buf, ',');
        if (change != NULL)
            inst_sync_write_change(buf, change);
        else
            write_triple(buf, piece->store, piece->attrs[i], &piece->triples[i]);
    }
    inst_buf_add_char(buf, ']');
}

/* Takes aside. */
static enum inst_status insert_aside(struct inst_sync_load *load, struct aside *aside,
                                     struct inst_err *err) {
    if (load->count == load->cap) {
        size_t cap = load->cap == 0 ? 64 : load->cap * 2;
        struct aside *asides = realloc(load->asides, cap * sizeof *asides);
        if (asides == NULL) {
            free_aside(aside);
            return inst_err_nomem(err);
        }
        load->asides = asides;
        load->cap = cap;
    }
    size_t low = load->first, high = load->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_places(load, &load->asides[middle].place, &aside->place) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&load->asides[low + 1], &load->asides[low], (load->count - low) * sizeof *load->asides);
    load->asides[low] = *aside;
    load->count++;
    load->aside_bytes += aside->row_len + sizeof *aside;
    return INST_OK;
}

static enum inst_status set_aside(struct touching *t, uint32_t e, struct inst_err *err) {
    struct piece *piece = t->piece;
    struct aside aside = {.text = NULL};
    enum inst_status st = piece->store->ops->fields(piece->store, e, piece->attrs,
                                                    piece->attr_count, piece->triples, err);
    if (st != INST_OK || !had_id(t, e) || !old_place(t, e, &aside.place) ||
        is_behind(piece->load, piece->order, &aside.place))
        return st;
    struct inst_buf row;
    inst_buf_init(&row);
    write_old_row(t, e, &row);
    aside.row = inst_buf_take(&row, &aside.row_len);
    if (aside.place.point.class == INST_POINT_STRING) {
        aside.text = malloc(aside.place.point.len + 1);
        if (aside.text != NULL)
            memcpy(aside.text, aside.place.point.str, aside.place.point.len);
    }
    if (aside.row == NULL || (aside.place.point.class == INST_POINT_STRING && aside.text == NULL)) {
        free_aside(&aside);
        return inst_err_nomem(err);
    }
    if (aside.text != NULL)
        aside.place.point.str = aside.text;
    return insert_aside(piece->load, &aside, err);
}

/* Brings `touched` and `asides` up to the present. */
static enum inst_status catch_up(struct piece *piece, struct inst_err *err) {
    struct inst_app *app = inst_sync_app(piece->sync);
    struct inst_sync_load *load = piece->load;
    struct touching t = {.piece = piece, .status = INST_OK, .err = err};
    if (load->seen_tx == app->last_tx)
        return INST_OK;
    inst_arena_init(&t.record);
    inst_arena_init(&t.kept);
    enum inst_status st = app->db->db_ops->read_log(app->db, load->seen_tx, touch_record, &t, err);
    st = st == INST_OK ? t.status : st;
    if (st == INST_OK && load->seen_tx != app->last_tx)
        st = inst_sync_refuse_gap(piece->sync->id, load->seen_tx, err);
    for (size_t i = 0; st == INST_OK && i < t.fresh_count; i++) {
        struct inst_table_key key = {t.fresh[i], 0};
        st = set_aside(&t, t.fresh[i], err);
        if (st == INST_OK && !inst_table_put(&load->touched, key, load))
            st = inst_err_nomem(err);
    }
    free(t.fresh);
    inst_table_free(&t.firsts);
    inst_table_free(&t.is_fresh);
    inst_arena_free(&t.record);
    inst_arena_free(&t.kept);
    return st;
}

/* ---- a piece ---- */

static bool is_full(const struct piece *piece) {
    return piece->row_count >= INST_SYNC_BATCH || piece->rows.len >= INST_SYNC_BATCH_BYTES;
}

static void add_aside(struct piece *piece) {
    struct inst_sync_load *load = piece->load;
    struct aside *aside = &load->asides[load->first++];
    if (piece->row_count++ > 0)
        inst_buf_add_char(&piece->rows, ',');
    inst_buf_add(&piece->rows, aside->row, aside->row_len);
    load->aside_bytes -= aside->row_len + sizeof *aside;
    free_aside(aside);
}

/* What was set aside and stood in front of `place` (NULL: all); false: no more fits. */
static bool add_asides(struct piece *piece, const struct place *place) {
    struct inst_sync_load *load = piece->load;
    while (load->first < load->count &&
           (place == NULL || compare_places(load, &load->asides[load->first].place, place) < 0)) {
        if (is_full(piece))
            return false;
        add_aside(piece);
    }
    return true;
}

/* One entity of the table's order; *fits false: it is for the next piece. */
static enum inst_status add_next(struct piece *piece, const struct inst_triple *triple, bool *fits,
                                 struct inst_err *err) {
    struct inst_sync_load *load = piece->load;
    struct inst_table_key touched = {triple->e, 0};
    struct place place = place_of(piece->order, &triple->v, triple->t, triple->e);
    enum inst_status st = INST_OK;
    *fits = add_asides(piece, &place) && !is_full(piece);
    if (!*fits)
        return INST_OK;
    if (!move_place(load, piece->order, triple))
        return inst_err_nomem(err);
    if (inst_table_get(&load->touched, touched) == NULL)
        st = add_entity(piece, triple->e, err);
    return st;
}

/* *is_end: the table was read to its end. */
static enum inst_status read_rows(struct piece *piece, bool *is_end, struct inst_err *err) {
    struct inst_sync_load *load = piece->load;
    struct inst_store *store = piece->store;
    struct inst_scan scan = {.attr = piece->order,
                             .order = load->is_desc ? INST_ORDER_DESC : INST_ORDER_ASC};
    if (load->has_place) {
        scan.after_v = load->after_v;
        scan.after_e = load->after_e;
    }
    struct inst_cursor cursor;
    struct inst_triple triple;
    bool fits = true;
    int more = 1;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    for (size_t i = 0; st == INST_OK && fits && i < INST_SYNC_TURN_ROWS &&
                       (more = store->ops->next(&cursor, &triple, err)) == 1;
         i++)
        st = add_next(piece, &triple, &fits, err);
    store->ops->close(&cursor);
    if (more < 0)
        return INST_FAILED;
    *is_end = st == INST_OK && more == 0 && add_asides(piece, NULL);
    return st;
}

static void send_rows(struct piece *piece) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_reserve(&buf, piece->rows.len + 256);
    inst_reply_begin(&buf, "sync-load-batch");
    inst_buf_addf(&buf, ",\"subscription-id\":\"%s\",\"join-rows\":[", piece->sync->id);
    inst_buf_add(&buf, piece->rows.data, piece->rows.len);
    inst_buf_add_char(&buf, ']');
    inst_sync_send(piece->sync, &buf);
}

static enum inst_status finish(struct inst_sync *sync, struct inst_err *err) {
    struct inst_buf buf;
    enum inst_status st = inst_sync_keep(sync, err);
    if (st != INST_OK)
        return st;
    sync->sent_tx = sync->load->snapshot_tx;
    inst_sync_load_free(sync->load);
    sync->load = NULL;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "sync-init-finish");
    inst_buf_addf(&buf, ",\"subscription-id\":\"%s\",\"tx-id\":", sync->id);
    inst_buf_add_int(&buf, sync->sent_tx);
    inst_sync_send(sync, &buf);
    return INST_OK;
}

void inst_sync_load_turn(struct inst_sync *sync) {
    struct inst_err err = {0};
    struct piece piece;
    bool is_end = false;
    enum inst_status st = begin_piece(&piece, sync, &err);
    if (st == INST_OK)
        st = catch_up(&piece, &err);
    if (st == INST_OK)
        st = read_rows(&piece, &is_end, &err);
    if (st == INST_OK && piece.rows.failed)
        st = inst_err_nomem(&err);
    if (st == INST_OK && piece.row_count > 0)
        send_rows(&piece);
    end_piece(&piece);
    inst_sync_app(sync)->db->db_ops->trim(inst_sync_app(sync)->db);
    if (st == INST_OK && is_end)
        st = finish(sync, &err);
    if (st != INST_OK)
        inst_sync_fail(sync, &err);
    inst_err_clear(&err);
}
