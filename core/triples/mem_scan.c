#include "triples/mem_core.h"

#include <assert.h>
#include <stdlib.h>

/*
 * A cursor's slots: [MODE] how to go on, [AT] the next triple, [SLOT] the attr's, and one more:
 *
 *     mode    a scan of            goes on with              [MORE]
 *     ONE     (e, a, v)            nothing
 *     CELL    (e, a, ?)            the cell
 *     ATTR    (?, a, ?)            the attr's cells
 *     RING    (?, a, v) blob       the ring                  head
 *     BACK    (?, a, v) link       the back, leaving out stale triples
 *     LIST    either, out of order a sorted list of places   the list; [AT] index, [COUNT]
 */
enum { MODE, AT, SLOT, MORE, COUNT };
enum { MODE_ONE, MODE_CELL, MODE_ATTR, MODE_RING, MODE_BACK, MODE_LIST };

static void cursor_set(struct inst_cursor *cursor, uint32_t mode, uint32_t at, uint32_t more) {
    cursor->slot[MODE].num = mode;
    cursor->slot[AT].num = at;
    cursor->slot[MORE].num = more;
}

/* ---- which triples ---- */

/* The value that a scan fixes, if any. */
static bool fixed_value(const struct mem_core *core, const struct inst_scan *scan,
                        struct inst_value *v) {
    if (scan->ref) {
        if (mem_is_known(core, scan->ref)) {
            *v = mem_entity_value(core, scan->ref);
        } else {
            *v = inst_array(NULL, 0); /* the same as nothing */
        }
        return true;
    }
    *v = scan->v;
    return scan->has_v;
}

/* The entity that a value names; 0: none. */
static uint32_t entity_of(const struct inst_mem_store *store, const struct inst_value *v) {
    uint32_t e = mem_handle(v);
    if (e && mem_is_known(store->core, e) && mem_entity_at(store->core, e)->text == v->u.str) {
        return e;
    }
    return v->tag == INST_STRING ? mem_entity_find(store, v->u.str, v->len) : 0;
}

static uint32_t first_live(const struct mem_core *core, uint32_t n) {
    while (n && (mem_triple_at(core, n)->bits & TRIPLE_DEAD)) {
        n = mem_triple_at(core, n)->next_same;
    }
    return n;
}

struct places {
    uint64_t *at; /* owned */
    size_t count, cap;
};

static bool places_add(struct places *places, uint64_t place) {
    if (places->count == places->cap) {
        size_t cap = places->cap ? places->cap * 2 : 16;
        uint64_t *at = realloc(places->at, cap * sizeof(*at));
        if (!at) {
            return false;
        }
        places->at = at;
        places->cap = cap;
    }
    places->at[places->count++] = place;
    return true;
}

static enum inst_status list_cursor(struct inst_cursor *cursor, struct places *places,
                                    struct inst_err *err, bool is_whole) {
    if (!is_whole) {
        free(places->at);
        return inst_err_nomem(err);
    }
    mem_sort_places(places->at, places->count);
    cursor_set(cursor, MODE_LIST, 0, 0);
    cursor->slot[MORE].ptr = places->at;
    cursor->slot[COUNT].num = places->count;
    return INST_OK;
}

/* A back that is not in the attr's order. */
static enum inst_status scan_unsorted(const struct mem_core *core, const struct mem_back *back,
                                      struct inst_cursor *cursor, struct inst_err *err) {
    struct places places = {0};
    bool is_whole = true;
    for (uint32_t n = first_live(core, back->first); n && is_whole;
         n = first_live(core, mem_triple_at(core, n)->next_same)) {
        is_whole = places_add(&places, mem_place(mem_triple_at(core, n)->cell, n));
    }
    return list_cursor(cursor, &places, err, is_whole);
}

/* Looks at every triple of the attr: only for values that no index holds. */
static enum inst_status scan_all(const struct mem_core *core, const struct mem_slot *slot,
                                 const struct inst_value *v, struct inst_cursor *cursor,
                                 struct inst_err *err) {
    struct places places = {0};
    bool is_whole = true;
    for (uint32_t c = slot->first; c; c = mem_cell_at(core, c)->next_a) {
        uint32_t n = mem_cell_at(core, c)->first;
        for (; n && is_whole; n = mem_triple_at(core, n)->next) {
            if (mem_value_same(&mem_triple_at(core, n)->v, v)) {
                is_whole = places_add(&places, mem_place(c, n));
            }
        }
    }
    return list_cursor(cursor, &places, err, is_whole);
}

static enum inst_status scan_by_value(struct inst_mem_store *store, uint32_t slot_number,
                                      const struct inst_value *v, struct inst_cursor *cursor,
                                      struct inst_err *err) {
    const struct mem_core *core = store->core;
    const struct mem_slot *slot = &core->slots[slot_number];
    if (slot->is_mixed || (slot->is_link && v->tag != INST_STRING)) {
        return scan_all(core, slot, v, cursor, err);
    }
    if (slot->is_link) {
        uint32_t e = entity_of(store, v);
        uint32_t n = e ? mem_back_find(core, e, slot_number) : 0;
        const struct mem_back *back = n ? mem_back_at(core, n) : NULL;
        if (back && back->is_unsorted && back->first != back->last) {
            return scan_unsorted(core, back, cursor, err);
        }
        cursor_set(cursor, MODE_BACK, back ? first_live(core, back->first) : 0, 0);
        return INST_OK;
    }
    if (slot->is_interning && slot->own == slot->triples) {
        /* An id attr: every value is its own entity. */
        uint32_t e = entity_of(store, v);
        uint32_t cell = e ? mem_cell_find(core, e, slot_number) : 0;
        cursor_set(cursor, MODE_ONE, cell ? mem_cell_value(store, cell, v) : 0, 0);
        return INST_OK;
    }
    uint32_t head;
    if (!mem_hash_find(store, slot_number, v, &head)) {
        return inst_err_nomem(err);
    }
    cursor_set(cursor, MODE_RING, head, head);
    return INST_OK;
}

static uint32_t skip_empty(const struct mem_core *core, uint32_t cell) {
    while (cell && !mem_cell_at(core, cell)->first) {
        cell = mem_cell_at(core, cell)->next_a;
    }
    return cell ? mem_cell_at(core, cell)->first : 0;
}

static enum inst_status mem_scan(struct inst_store *base, const struct inst_scan *scan,
                                 struct inst_cursor *cursor, struct inst_err *err) {
    struct inst_mem_store *store = (struct inst_mem_store *)base;
    const struct mem_core *core = store->core;
    uint32_t slot = mem_slot_find(store, scan->attr);
    struct inst_value v;
    bool is_fixed = fixed_value(core, scan, &v);
    cursor->store = base;
    cursor->slot[SLOT].num = slot;
    cursor_set(cursor, MODE_ONE, 0, 0);
    if (!slot) {
        return INST_OK;
    }
    if (scan->e) {
        uint32_t cell = mem_is_known(core, scan->e) ? mem_cell_find(core, scan->e, slot) : 0;
        if (cell && is_fixed) {
            cursor_set(cursor, MODE_ONE, mem_cell_value(store, cell, &v), 0);
        } else if (cell) {
            cursor_set(cursor, MODE_CELL, mem_cell_at(core, cell)->first, 0);
        }
        return INST_OK;
    }
    if (is_fixed) {
        return scan_by_value(store, slot, &v, cursor, err);
    }
    cursor_set(cursor, MODE_ATTR, skip_empty(core, core->slots[slot].first), 0);
    return INST_OK;
}

/* ---- going through them ---- */

static void fill(const struct mem_core *core, const struct mem_slot *slot, uint32_t n,
                 struct inst_triple *out) {
    const struct mem_triple *triple = mem_triple_at(core, n);
    out->e = mem_cell_at(core, triple->cell)->e;
    out->ref = slot->is_interning ? mem_handle(&triple->v) : 0;
    out->v = triple->v;
    out->t = triple->t;
    out->seq = mem_place(triple->cell, n);
}

/* What comes behind triple n; 0: nothing. */
static uint32_t step(const struct mem_core *core, const struct inst_cursor *cursor, uint32_t n) {
    const struct mem_triple *triple = mem_triple_at(core, n);
    switch (cursor->slot[MODE].num) {
    case MODE_CELL:
        return triple->next;
    case MODE_ATTR:
        return triple->next ? triple->next
                            : skip_empty(core, mem_cell_at(core, triple->cell)->next_a);
    case MODE_RING:
        return triple->next_same == cursor->slot[MORE].num ? 0 : triple->next_same;
    case MODE_BACK:
        return first_live(core, triple->next_same);
    default:
        return 0;
    }
}

static int mem_next(struct inst_cursor *cursor, struct inst_triple *out, struct inst_err *err) {
    (void)err;
    const struct mem_core *core = ((struct inst_mem_store *)cursor->store)->core;
    uint32_t n = (uint32_t)cursor->slot[AT].num;
    if (cursor->slot[MODE].num == MODE_LIST) {
        if (n >= cursor->slot[COUNT].num) {
            return 0;
        }
        cursor->slot[AT].num++;
        n = (uint32_t)((const uint64_t *)cursor->slot[MORE].ptr)[n];
    } else {
        if (!n) {
            return 0;
        }
        cursor->slot[AT].num = step(core, cursor, n);
    }
    fill(core, &core->slots[cursor->slot[SLOT].num], n, out);
    return 1;
}

static void mem_close(struct inst_cursor *cursor) {
    if (cursor->slot[MODE].num == MODE_LIST) {
        free(cursor->slot[MORE].ptr);
        cursor->slot[MORE].ptr = NULL;
        cursor->slot[COUNT].num = 0;
    }
}

static size_t mem_estimate(struct inst_store *base, const struct inst_scan *scan, size_t limit) {
    const struct inst_mem_store *store = (struct inst_mem_store *)base;
    uint32_t slot = mem_slot_find(store, scan->attr);
    if (!slot) {
        return 0;
    }
    if (!scan->e && !scan->ref && !scan->has_v) {
        size_t count = store->core->slots[slot].triples;
        return count < limit ? count : limit;
    }
    struct inst_cursor cursor;
    if (mem_scan(base, scan, &cursor, NULL) != INST_OK) {
        return limit;
    }
    size_t count = 0;
    if (cursor.slot[MODE].num == MODE_LIST) {
        count = cursor.slot[COUNT].num;
    } else {
        for (uint32_t n = (uint32_t)cursor.slot[AT].num; n && count < limit; count++) {
            n = step(store->core, &cursor, n);
        }
    }
    mem_close(&cursor);
    return count < limit ? count : limit;
}

uint32_t inst_mem_store_lookup(struct inst_mem_store *store, const char *attr_id, size_t attr_len,
                               const struct inst_value *v) {
    struct inst_cursor cursor = {.store = &store->base};
    struct inst_triple triple = {0};
    uint32_t slot = mem_slot_find_id(store, attr_id, attr_len);
    cursor.slot[SLOT].num = slot;
    if (slot && scan_by_value(store, slot, v, &cursor, NULL) == INST_OK) {
        mem_next(&cursor, &triple, NULL);
        mem_close(&cursor);
    }
    return triple.e;
}

/* ---- the rest of the interface ---- */

static enum inst_status mem_presence(struct inst_store *base, uint32_t e,
                                     const struct inst_attr *attr, bool reverse,
                                     enum inst_presence *out, struct inst_err *err) {
    (void)err;
    const struct inst_mem_store *store = (struct inst_mem_store *)base;
    const struct mem_core *core = store->core;
    uint32_t slot = mem_slot_find(store, attr);
    *out = INST_MISSING;
    if (!slot || !mem_is_known(core, e)) {
        return INST_OK;
    }
    if (reverse) {
        *out = mem_back_find(core, e, slot) ? INST_PRESENT : INST_MISSING;
        return INST_OK;
    }
    uint32_t cell = mem_cell_find(core, e, slot);
    if (cell) {
        struct inst_value null = inst_null();
        *out = mem_cell_value(store, cell, &null) ? INST_IS_NULL : INST_PRESENT;
    }
    return INST_OK;
}

static uint32_t mem_entity(struct inst_store *base, const char *id, size_t len) {
    return mem_entity_find((struct inst_mem_store *)base, id, len);
}

static struct inst_value mem_entity_id(struct inst_store *base, uint32_t e) {
    const struct mem_core *core = ((struct inst_mem_store *)base)->core;
    return mem_is_known(core, e) ? mem_entity_value(core, e) : inst_undefined();
}

static bool mem_can_range(struct inst_store *base, const struct inst_attr *attr) {
    (void)base;
    (void)attr;
    return false;
}

/* Writes down which attr goes where, then walks the entity's cells once. */
static enum inst_status mem_row(struct inst_store *base, uint32_t e,
                                const struct inst_attr *const *attrs, size_t n,
                                struct inst_value *out, struct inst_err *err) {
    (void)err;
    struct inst_mem_store *store = (struct inst_mem_store *)base;
    struct mem_core *core = store->core;
    /* A slot that still bears this number from 2^32 calls ago would be taken for one of attrs. */
    if (++store->row_stamp == 0) {
        for (uint32_t i = 1; i < core->slots_len; i++) {
            core->slots[i].row_stamp = 0;
        }
        store->row_stamp = 1;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t slot = mem_slot_find(store, attrs[i]);
        out[i] = inst_undefined();
        if (slot) {
            core->slots[slot].row_stamp = store->row_stamp;
            core->slots[slot].row_index = (uint32_t)i;
        }
    }
    uint32_t c = mem_is_known(core, e) ? mem_entity_at(core, e)->first_cell : 0;
    for (; c; c = mem_cell_at(core, c)->next_e) {
        const struct mem_cell *cell = mem_cell_at(core, c);
        const struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
        if (slot->row_stamp == store->row_stamp && cell->last) {
            out[slot->row_index] = mem_triple_at(core, cell->last)->v;
        }
    }
    return INST_OK;
}

const struct inst_store_ops mem_store_ops = {
    .scan = mem_scan,
    .next = mem_next,
    .close = mem_close,
    .estimate = mem_estimate,
    .presence = mem_presence,
    .entity = mem_entity,
    .entity_id = mem_entity_id,
    .can_range = mem_can_range,
    .row = mem_row,
};
