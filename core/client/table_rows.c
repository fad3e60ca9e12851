#include "client/table_rows.h"

#include "base/date.h"
#include "base/json.h"
#include "instaql/compare.h"
#include "triples/store.h"

#include <stdlib.h>

/* A row's cells while they are being read or changed. */
struct cell {
    uint32_t k;
    struct inst_value v;
};

struct cells {
    struct inst_arena arena; /* values, and the list */
    struct cell *items;
    size_t count, cap;
};

/* ---- life ---- */

void inst_table_rows_init(struct inst_table_rows *rows, const struct inst_value *etype,
                          uint64_t seed) {
    *rows = (struct inst_table_rows){.etype = *etype};
    inst_arena_init(&rows->arena);
    inst_map_init(&rows->by_id, seed);
    inst_buf_init(&rows->order.scratch[0]);
    inst_buf_init(&rows->order.scratch[1]);
}

static bool is_text(const char *text, const struct inst_value *v) {
    return v->tag == INST_STRING && strlen(text) == v->len && memcmp(text, v->u.str, v->len) == 0;
}

enum inst_status inst_table_rows_order(struct inst_table_rows *rows, const struct inst_attr *attr,
                                       bool is_desc, struct inst_err *err) {
    rows->order.is_desc = is_desc;
    rows->order.is_text = attr && attr->checked_type == INST_CHECKED_STRING;
    rows->type = attr ? attr->checked_type : INST_CHECKED_NONE;
    if (attr && rows->order_attr && is_text(rows->order_attr, &attr->id)) {
        return INST_OK;
    }
    rows->order_attr = NULL;
    if (attr) {
        rows->order_attr = inst_arena_dup(&rows->arena, attr->id.u.str, attr->id.len);
    }
    return attr && !rows->order_attr ? inst_err_nomem(err) : INST_OK;
}

static void free_row(struct inst_table_row *row) {
    free(row->data);
    free(row);
}

void inst_table_rows_clear(struct inst_table_rows *rows) {
    size_t left = 0;
    for (size_t i = 0; i < rows->touched_count; i++) { /* gone, or in no list but this */
        struct inst_table_row *row = rows->touched[i];
        if (row->is_gone || row->place == UINT32_MAX) {
            rows->touched[left++] = row;
        }
    }
    for (size_t i = 0; i < rows->count; i++) {
        if (!rows->items[i]->is_gone) {
            free_row(rows->items[i]);
        }
    }
    while (left > 0) {
        free_row(rows->touched[--left]);
    }
    uint64_t seed = rows->by_id.seed;
    inst_map_free(&rows->by_id);
    inst_map_init(&rows->by_id, seed);
    free(rows->items);
    rows->items = NULL;
    rows->count = rows->cap = rows->touched_count = 0;
}

void inst_table_rows_free(struct inst_table_rows *rows) {
    inst_table_rows_clear(rows);
    inst_map_free(&rows->by_id);
    free(rows->touched);
    free(rows->attrs);
    inst_buf_free(&rows->order.scratch[0]);
    inst_buf_free(&rows->order.scratch[1]);
    inst_arena_free(&rows->arena);
}

/* ---- attrs ---- */

/* The number of an attr id; -1: none yet. */
static int find_attr(const struct inst_table_rows *rows, const struct inst_value *id) {
    for (size_t i = 0; i < rows->attr_count; i++) {
        if (is_text(rows->attrs[i], id)) {
            return (int)i;
        }
    }
    return -1;
}

static enum inst_status number_attr(struct inst_table_rows *rows, const struct inst_value *id,
                                    uint32_t *out, struct inst_err *err) {
    int k = find_attr(rows, id);
    if (k >= 0) {
        *out = (uint32_t)k;
        return INST_OK;
    }
    if (rows->attr_count >= INST_TABLE_MAX_ATTRS) {
        return inst_err_set(err, "limit-exceeded", 400, "A sync table has too many attributes.");
    }
    if (rows->attr_count == rows->attr_cap) {
        size_t cap = rows->attr_cap ? rows->attr_cap * 2 : 16;
        const char **attrs = realloc(rows->attrs, cap * sizeof(*attrs));
        if (!attrs) {
            return inst_err_nomem(err);
        }
        rows->attrs = attrs;
        rows->attr_cap = cap;
    }
    const char *copy = inst_arena_dup(&rows->arena, id->u.str, id->len);
    if (!copy) {
        return inst_err_nomem(err);
    }
    *out = (uint32_t)rows->attr_count;
    rows->attrs[rows->attr_count++] = copy;
    return INST_OK;
}

/* ---- cells ---- */

static struct cell *find_cell(const struct cells *cells, uint32_t k) {
    for (size_t i = 0; i < cells->count; i++) {
        if (cells->items[i].k == k) {
            return &cells->items[i];
        }
    }
    return NULL;
}

/* The value is borrowed. */
static enum inst_status set_cell(struct cells *cells, uint32_t k, const struct inst_value *v,
                                 struct inst_err *err) {
    struct cell *cell = find_cell(cells, k);
    if (!cell && cells->count == cells->cap) {
        size_t cap = cells->cap ? cells->cap * 2 : 16;
        struct cell *items = inst_arena_alloc(&cells->arena, cap * sizeof(*items));
        if (!items) {
            return inst_err_nomem(err);
        }
        if (cells->count) {
            memcpy(items, cells->items, cells->count * sizeof(*items));
        }
        cells->items = items;
        cells->cap = cap;
    }
    if (!cell) {
        cell = &cells->items[cells->count++];
    }
    *cell = (struct cell){k, *v};
    return INST_OK;
}

static void remove_cell(struct cells *cells, uint32_t k, const struct inst_value *v) {
    struct cell *cell = find_cell(cells, k);
    if (cell && inst_value_equal(&cell->v, v)) {
        size_t behind = cells->count - 1 - (size_t)(cell - cells->items);
        memmove(cell, cell + 1, behind * sizeof(*cell));
        cells->count--;
    }
}

static enum inst_status read_cells(const struct inst_table_row *row, struct cells *cells,
                                   struct inst_err *err) {
    struct inst_value list;
    enum inst_status status = inst_json_parse(&cells->arena, row->data, row->cells_len, &list, err);
    for (uint32_t i = 0; status == INST_OK && i + 1 < list.len; i += 2) {
        status = set_cell(cells, (uint32_t)list.u.items[i].u.num, &list.u.items[i + 1], err);
    }
    return status;
}

static bool is_triple(const struct inst_value *v) {
    return v && v->tag == INST_ARRAY && v->len >= 3 && v->u.items[0].tag == INST_STRING &&
           v->u.items[1].tag == INST_STRING;
}

/* Is it the triple by which something is an entity: its own id under the id attr? */
static bool is_id_triple(const struct inst_value *triple) {
    return inst_value_same(&triple->u.items[0], &triple->u.items[2]);
}

static int64_t time_of(const struct inst_value *triple) {
    const struct inst_value *t = triple->len > 3 ? &triple->u.items[3] : NULL;
    bool is_time = t && t->tag == INST_NUMBER && t->u.num >= -9e15 && t->u.num <= 9e15;
    return is_time ? (int64_t)t->u.num : INST_NO_TIME;
}

/* ---- rows ---- */

/* What it is ordered by; text is borrowed from the cells. */
static struct inst_value key_of(struct inst_table_rows *rows, const struct cells *cells,
                                int64_t created_at) {
    if (!rows->order_attr) {
        return created_at == INST_NO_TIME ? inst_undefined() : inst_number((double)created_at);
    }
    struct inst_value id = inst_cstring(rows->order_attr);
    int k = find_attr(rows, &id);
    const struct cell *cell = k < 0 ? NULL : find_cell(cells, (uint32_t)k);
    if (!cell || cell->v.tag == INST_ARRAY || cell->v.tag == INST_OBJECT) {
        return inst_undefined();
    }
    if (rows->type == INST_CHECKED_DATE && cell->v.tag != INST_NULL) {
        return inst_number(inst_js_date(&cell->v, &rows->order.scratch[0]));
    }
    return cell->v;
}

/* The row gets these cells. */
static enum inst_status fill_row(struct inst_table_rows *rows, struct inst_table_row *row,
                                 const struct cells *cells, int64_t created_at,
                                 struct inst_err *err) {
    struct inst_value key = key_of(rows, cells, created_at);
    struct inst_buf data;
    inst_buf_init(&data);
    inst_buf_add_char(&data, '[');
    for (size_t i = 0; i < cells->count; i++) {
        if (i > 0) {
            inst_buf_add_char(&data, ',');
        }
        inst_buf_add_int(&data, cells->items[i].k);
        inst_buf_add_char(&data, ',');
        inst_json_write(&data, &cells->items[i].v);
    }
    inst_buf_add_char(&data, ']');
    size_t cells_len = data.len;
    if (key.tag == INST_STRING) {
        inst_buf_add(&data, key.u.str, key.len);
    }
    char *exact = data.failed ? NULL : malloc(data.len);
    if (exact) {
        memcpy(exact, data.data, data.len); /* without the room that the buffer grew by */
    }
    inst_buf_free(&data);
    if (!exact) {
        return inst_err_nomem(err);
    }
    free(row->data);
    row->data = exact;
    row->cells_len = (uint32_t)cells_len;
    row->created_at = created_at;
    if (key.tag == INST_STRING) {
        key.u.str = exact + cells_len;
        key.flags = 0;
    }
    row->sort.key = key;
    return INST_OK;
}

/* In no list yet. */
static enum inst_status new_row(struct inst_table_rows *rows, const struct inst_value *id,
                                const struct cells *cells, int64_t created_at,
                                struct inst_table_row **out, struct inst_err *err) {
    if (rows->by_id.count >= INST_TABLE_MAX_ROWS) {
        return inst_err_set(err, "limit-exceeded", 400, "A sync table has too many entities.");
    }
    struct inst_table_row *row = calloc(1, sizeof(*row) + id->len + 1);
    if (!row) {
        return inst_err_nomem(err);
    }
    memcpy(row->id, id->u.str, id->len);
    row->sort = (struct inst_row){.id = row->id, .id_len = id->len};
    enum inst_status status = fill_row(rows, row, cells, created_at, err);
    if (status == INST_OK && !inst_map_add(&rows->by_id, row->id, id->len, row)) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        free_row(row);
        return status;
    }
    *out = row;
    return INST_OK;
}

struct inst_table_row *inst_table_rows_find(const struct inst_table_rows *rows, const char *id,
                                            size_t len) {
    return inst_map_get(&rows->by_id, id, len);
}

static bool reserve(struct inst_table_rows *rows, size_t more) {
    size_t cap = rows->cap ? rows->cap : 128;
    while (cap < rows->count + more) {
        cap *= 2;
    }
    if (cap == rows->cap) {
        return true;
    }
    struct inst_table_row **items = realloc(rows->items, cap * sizeof(struct inst_table_row *));
    if (items) {
        rows->items = items;
        rows->cap = cap;
    }
    return items != NULL;
}

/* ---- loading ---- */

static enum inst_status cells_of_triples(struct inst_table_rows *rows,
                                         const struct inst_value *triples, struct cells *cells,
                                         const struct inst_value **id, int64_t *created_at,
                                         struct inst_err *err) {
    enum inst_status status = INST_OK;
    *id = NULL;
    *created_at = INST_NO_TIME;
    for (uint32_t i = 0; triples->tag == INST_ARRAY && status == INST_OK && i < triples->len; i++) {
        const struct inst_value *triple = &triples->u.items[i];
        uint32_t k;
        if (!is_triple(triple)) {
            continue;
        }
        status = number_attr(rows, &triple->u.items[1], &k, err);
        if (status == INST_OK) {
            status = set_cell(cells, k, &triple->u.items[2], err);
        }
        if (is_id_triple(triple)) {
            *id = &triple->u.items[0];
            *created_at = time_of(triple);
        }
    }
    return status;
}

enum inst_status inst_table_rows_load(struct inst_table_rows *rows,
                                      const struct inst_value *triples, struct inst_table_row **out,
                                      struct inst_err *err) {
    struct cells cells = {0};
    const struct inst_value *id;
    int64_t created_at;
    inst_arena_init(&cells.arena);
    *out = NULL;
    enum inst_status status = cells_of_triples(rows, triples, &cells, &id, &created_at, err);
    if (status != INST_OK || !id) {
        goto out;
    }
    struct inst_table_row *row = inst_table_rows_find(rows, id->u.str, id->len);
    if (row) {
        status = fill_row(rows, row, &cells, created_at, err);
    } else if (!reserve(rows, 1)) {
        status = inst_err_nomem(err);
    } else {
        status = new_row(rows, id, &cells, created_at, &row, err);
        if (status == INST_OK) {
            rows->items[rows->count++] = row;
        }
    }
    *out = status == INST_OK ? row : NULL;
out:
    inst_arena_free(&cells.arena);
    return status;
}

/* ---- order ---- */

static int compare_bytes(const struct inst_value *a, const struct inst_value *b) {
    size_t n = a->len < b->len ? a->len : b->len;
    int c = n ? memcmp(a->u.str, b->u.str, n) : 0;
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

/* Different texts may collate as equal; the official client leaves those in the order they came,
 * which is no order that one can search. */
static int compare_rows(const void *a, const void *b, void *ctx) {
    struct inst_row_order *order = ctx;
    struct inst_row *x = &(*(struct inst_table_row *const *)a)->sort;
    struct inst_row *y = &(*(struct inst_table_row *const *)b)->sort;
    int c = inst_row_compare(order, x, y);
    if (c == 0 && x->key.tag == INST_STRING && y->key.tag == INST_STRING) {
        c = compare_bytes(&x->key, &y->key);
    }
    return order->is_desc ? -c : c;
}

void inst_table_rows_sort(struct inst_table_rows *rows) {
    if (rows->count > 1) {
        qsort_r(rows->items, rows->count, sizeof(struct inst_table_row *), compare_rows,
                &rows->order);
    }
}

/* ---- a transaction ----
 *
 * Touched rows are marked and collected; those that were not there before have place UINT32_MAX.
 * finish takes the marked ones out of the list in one pass, sorts what is left of them, and merges.
 * Of a few, each is moved by itself: that costs no look at every row.
 */

#define MOVE_SINGLY 16

static bool touch(struct inst_table_rows *rows, struct inst_table_row *row) {
    if (rows->touched_count == rows->touched_cap) {
        size_t cap = rows->touched_cap ? rows->touched_cap * 2 : 16;
        struct inst_table_row **touched =
            realloc(rows->touched, cap * sizeof(struct inst_table_row *));
        if (!touched) {
            return false;
        }
        rows->touched = touched;
        rows->touched_cap = cap;
    }
    rows->touched[rows->touched_count++] = row;
    row->is_moved = true;
    return true;
}

static uint32_t place_of(struct inst_table_rows *rows, struct inst_table_row *row) {
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = compare_rows(&rows->items[middle], &row, &rows->order);
        if (rows->items[middle] == row) {
            return (uint32_t)middle;
        }
        if (c < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* Equal texts, or keys that do not compare: it is somewhere. */
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i] == row) {
            return (uint32_t)i;
        }
    }
    return 0;
}

bool inst_table_rows_touch(struct inst_table_rows *rows, struct inst_table_row *row) {
    row->place = place_of(rows, row);
    return touch(rows, row);
}

static enum inst_status change_cells(struct inst_table_rows *rows, struct cells *cells,
                                     const struct inst_value *change, bool *is_entity,
                                     int64_t *created_at, struct inst_err *err) {
    const struct inst_value *action = inst_getz(change, "action");
    const struct inst_value *triple = inst_getz(change, "triple");
    uint32_t k;
    if (!action || !is_triple(triple)) {
        return INST_OK;
    }
    enum inst_status status = number_attr(rows, &triple->u.items[1], &k, err);
    if (status != INST_OK) {
        return status;
    }
    bool is_added = inst_is_string(action, "added");
    if (is_added) {
        status = set_cell(cells, k, &triple->u.items[2], err);
    } else {
        remove_cell(cells, k, &triple->u.items[2]);
    }
    if (is_id_triple(triple)) {
        *is_entity = is_added;
        *created_at = is_added ? time_of(triple) : INST_NO_TIME;
    }
    return status;
}

static enum inst_status settle_row(struct inst_table_rows *rows, struct inst_table_row *row,
                                   const struct inst_value *id, const struct cells *cells,
                                   bool is_entity, int64_t created_at, struct inst_table_row **out,
                                   struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (!row && !is_entity) {
        return INST_OK;
    }
    if (!row) {
        status = new_row(rows, id, cells, created_at, out, err);
        if (status == INST_OK) {
            (*out)->place = UINT32_MAX;
            if (!touch(rows, *out)) {
                inst_map_remove(&rows->by_id, (*out)->id, id->len);
                free_row(*out);
                *out = NULL;
                status = inst_err_nomem(err);
            }
        }
        return status;
    }
    if (is_entity) {
        status = fill_row(rows, row, cells, created_at, err);
        *out = row;
    } else {
        row->is_gone = true;
        inst_map_remove(&rows->by_id, row->id, row->sort.id_len);
    }
    return status;
}

enum inst_status inst_table_rows_apply(struct inst_table_rows *rows, struct inst_table_row *row,
                                       const struct inst_value *const *changes, size_t count,
                                       struct inst_table_row **out, struct inst_err *err) {
    struct cells cells = {0};
    bool is_entity = row != NULL;
    int64_t created_at = row ? row->created_at : INST_NO_TIME;
    inst_arena_init(&cells.arena);
    *out = NULL;
    enum inst_status status = row ? read_cells(row, &cells, err) : INST_OK;
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        status = change_cells(rows, &cells, changes[i], &is_entity, &created_at, err);
    }
    if (status == INST_OK) {
        const struct inst_value *id = &inst_getz(changes[0], "triple")->u.items[0];
        status = settle_row(rows, row, id, &cells, is_entity, created_at, out, err);
    }
    inst_arena_free(&cells.arena);
    return status;
}

/* Behind those that are not greater. */
static void insert(struct inst_table_rows *rows, struct inst_table_row *row) {
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_rows(&rows->items[middle], &row, &rows->order) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memmove(&rows->items[low + 1], &rows->items[low],
            (rows->count - low) * sizeof(struct inst_table_row *));
    rows->items[low] = row;
    rows->count++;
}

static int compare_places(const void *a, const void *b) {
    uint32_t x = (*(struct inst_table_row *const *)a)->place;
    uint32_t y = (*(struct inst_table_row *const *)b)->place;
    return x < y ? -1 : x > y;
}

static void finish_singly(struct inst_table_rows *rows) {
    qsort(rows->touched, rows->touched_count, sizeof(struct inst_table_row *), compare_places);
    for (size_t i = rows->touched_count; i-- > 0;) { /* from behind, so that places stay right */
        uint32_t place = rows->touched[i]->place;
        if (place != UINT32_MAX) {
            memmove(&rows->items[place], &rows->items[place + 1],
                    (rows->count - place - 1) * sizeof(struct inst_table_row *));
            rows->count--;
        }
    }
    for (size_t i = 0; i < rows->touched_count; i++) {
        if (!rows->touched[i]->is_gone) {
            insert(rows, rows->touched[i]);
        }
    }
}

static void finish_merging(struct inst_table_rows *rows) {
    size_t kept = 0, alive = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (!rows->items[i]->is_moved) {
            rows->items[kept++] = rows->items[i];
        }
    }
    for (size_t i = 0; i < rows->touched_count; i++) { /* those that are gone to the end */
        struct inst_table_row *row = rows->touched[i];
        if (!row->is_gone) {
            rows->touched[i] = rows->touched[alive];
            rows->touched[alive++] = row;
        }
    }
    qsort_r(rows->touched, alive, sizeof(struct inst_table_row *), compare_rows, &rows->order);
    size_t from = kept, next = alive;
    rows->count = kept + alive;
    for (size_t to = rows->count; next > 0;) {
        bool is_last = from == 0 || compare_rows(&rows->items[from - 1], &rows->touched[next - 1],
                                                 &rows->order) <= 0;
        rows->items[--to] = is_last ? rows->touched[--next] : rows->items[--from];
    }
}

bool inst_table_rows_finish(struct inst_table_rows *rows) {
    if (!reserve(rows, rows->touched_count)) {
        return false;
    }
    if (rows->touched_count <= MOVE_SINGLY) {
        finish_singly(rows);
    } else {
        finish_merging(rows);
    }
    for (size_t i = 0; i < rows->touched_count; i++) {
        struct inst_table_row *row = rows->touched[i];
        row->is_moved = false;
        row->place = 0;
        if (row->is_gone) {
            free_row(row);
        }
    }
    rows->touched_count = 0;
    return true;
}

/* ---- showing ---- */

static struct inst_value shown(const struct inst_attr *attr, const struct inst_value *v,
                               bool use_date_objects) {
    struct inst_value date;
    if (use_date_objects && attr->checked_type == INST_CHECKED_DATE &&
        inst_date_coerce(v, &date, NULL) == INST_OK) {
        return date;
    }
    return *v;
}

enum inst_status inst_table_row_object(const struct inst_table_rows *rows,
                                       const struct inst_table_row *row, struct inst_attrs *attrs,
                                       bool use_date_objects, struct inst_arena *arena,
                                       struct inst_value *out, struct inst_err *err) {
    struct inst_value list;
    const struct inst_attr *const *blobs;
    struct inst_object_builder b;
    enum inst_status status = inst_json_parse(arena, row->data, row->cells_len, &list, err);
    if (status != INST_OK) {
        return status;
    }
    size_t count = inst_attrs_blobs(attrs, rows->etype.u.str, rows->etype.len, &blobs);
    inst_object_begin(&b, arena);
    for (size_t i = 0; i < count; i++) {
        int k = find_attr(rows, &blobs[i]->id);
        for (uint32_t at = 0; k >= 0 && at + 1 < list.len; at += 2) {
            if (list.u.items[at].u.num == k) {
                const struct inst_value *label = &blobs[i]->forward.label;
                inst_object_add(&b, label->u.str, label->len,
                                shown(blobs[i], &list.u.items[at + 1], use_date_objects));
                break;
            }
        }
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* ---- keeping ---- */

void inst_table_rows_write(const struct inst_table_rows *rows, struct inst_buf *out) {
    inst_buf_add_str(out, "\"attrs\":[");
    for (size_t i = 0; i < rows->attr_count; i++) {
        inst_buf_add_str(out, i > 0 ? "," : "");
        inst_json_write_string(out, rows->attrs[i], strlen(rows->attrs[i]));
    }
    inst_buf_add_str(out, "],\"rows\":[");
    for (size_t i = 0; i < rows->count; i++) {
        const struct inst_table_row *row = rows->items[i];
        inst_buf_add_str(out, i > 0 ? ",[" : "[");
        inst_json_write_string(out, row->id, row->sort.id_len);
        inst_buf_add_char(out, ',');
        if (row->created_at == INST_NO_TIME) {
            inst_buf_add_str(out, "null");
        } else {
            inst_buf_add_int(out, row->created_at);
        }
        inst_buf_add_char(out, ',');
        inst_buf_add(out, row->data, row->cells_len);
        inst_buf_add_char(out, ']');
    }
    inst_buf_add_char(out, ']');
}

/* [k, value, ...] with numbers that are attrs of ours. */
static bool read_kept_cells(struct inst_table_rows *rows, const struct inst_value *list,
                            struct cells *cells) {
    if (list->tag != INST_ARRAY || list->len % 2) {
        return false;
    }
    for (uint32_t i = 0; i < list->len; i += 2) {
        const struct inst_value *k = &list->u.items[i];
        bool is_known = k->tag == INST_NUMBER && k->u.num >= 0 &&
                        k->u.num < (double)rows->attr_count && k->u.num == (uint32_t)k->u.num;
        if (!is_known ||
            set_cell(cells, (uint32_t)k->u.num, &list->u.items[i + 1], NULL) != INST_OK) {
            return false;
        }
    }
    return true;
}

static bool read_kept_row(struct inst_table_rows *rows, const struct inst_value *kept,
                          struct cells *cells) {
    if (kept->tag != INST_ARRAY || kept->len != 3 || kept->u.items[0].tag != INST_STRING) {
        return false;
    }
    const struct inst_value *id = &kept->u.items[0], *t = &kept->u.items[1];
    bool is_time = t->tag == INST_NUMBER && t->u.num >= -9e15 && t->u.num <= 9e15;
    int64_t created_at = is_time ? (int64_t)t->u.num : INST_NO_TIME;
    struct inst_table_row *row;
    cells->items = NULL;
    cells->count = cells->cap = 0;
    inst_arena_reset(&cells->arena);
    if (inst_table_rows_find(rows, id->u.str, id->len) ||
        !read_kept_cells(rows, &kept->u.items[2], cells) || !reserve(rows, 1) ||
        new_row(rows, id, cells, created_at, &row, NULL) != INST_OK) {
        return false;
    }
    rows->items[rows->count++] = row;
    return true;
}

bool inst_table_rows_read(struct inst_table_rows *rows, const struct inst_value *kept) {
    const struct inst_value *attrs = inst_getz(kept, "attrs"), *list = inst_getz(kept, "rows");
    struct cells cells = {0};
    uint32_t k;
    bool is_read = attrs && attrs->tag == INST_ARRAY && list && list->tag == INST_ARRAY;
    for (uint32_t i = 0; is_read && i < attrs->len; i++) {
        is_read = attrs->u.items[i].tag == INST_STRING &&
                  number_attr(rows, &attrs->u.items[i], &k, NULL) == INST_OK && k == i;
    }
    inst_arena_init(&cells.arena);
    for (uint32_t i = 0; is_read && i < list->len; i++) {
        is_read = read_kept_row(rows, &list->u.items[i], &cells);
    }
    inst_arena_free(&cells.arena);
    if (!is_read) {
        inst_table_rows_clear(rows);
    }
    return is_read;
}
