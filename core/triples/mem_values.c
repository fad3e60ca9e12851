#include "triples/mem_core.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>

bool mem_value_same(const struct inst_value *a, const struct inst_value *b) {
    if (a->tag != b->tag || !mem_is_hashable(a)) {
        return false;
    }
    if (a->tag == INST_STRING) {
        return a->len == b->len &&
               (a->u.str == b->u.str || mem_bytes_same(a->u.str, b->u.str, a->len));
    }
    return a->tag != INST_NUMBER || a->u.num == b->u.num || (isnan(a->u.num) && isnan(b->u.num));
}

uint32_t mem_value_hash(const struct inst_mem_store *store, const struct inst_value *v) {
    if (v->tag == INST_STRING) {
        return mem_text_hash(store, v->u.str, v->len);
    }
    if (v->tag != INST_NUMBER) {
        return v->tag;
    }
    /* One NaN, one zero. */
    double num = isnan(v->u.num) ? (double)NAN : v->u.num + 0.0;
    return (uint32_t)inst_text_hash(&num, sizeof(num), store->seed);
}

/* ---- values of a cell ---- */

static uint32_t wide_hash(const struct inst_mem_store *store, uint32_t cell,
                          const struct inst_value *v) {
    return inst_id_hash(cell, mem_value_hash(store, v));
}

uint32_t mem_cell_value(const struct inst_mem_store *store, uint32_t n,
                        const struct inst_value *v) {
    const struct mem_core *core = store->core;
    const struct mem_cell *cell = mem_cell_at(core, n);
    if (!mem_is_hashable(v)) {
        return 0;
    }
    uint32_t found;
    if (cell->slot_bits & CELL_WIDE) {
        uint32_t hash = wide_hash(store, n, v), at = hash;
        while ((found = inst_id_table_next(&core->wide_values, hash, &at)) != 0) {
            const struct mem_triple *triple = mem_triple_at(core, found);
            if (triple->cell == n && mem_value_same(&triple->v, v)) {
                break;
            }
        }
        return found;
    }
    for (found = cell->first; found; found = mem_triple_at(core, found)->next) {
        if (mem_value_same(&mem_triple_at(core, found)->v, v)) {
            break;
        }
    }
    return found;
}

static void wide_add(struct inst_mem_store *store, uint32_t n) {
    const struct mem_triple *triple = mem_triple_at(store->core, n);
    if (mem_is_hashable(&triple->v)) {
        inst_id_table_add(&store->core->wide_values, wide_hash(store, triple->cell, &triple->v), n);
    }
}

static void wide_remove(struct inst_mem_store *store, uint32_t n) {
    const struct mem_triple *triple = mem_triple_at(store->core, n);
    if (mem_is_hashable(&triple->v)) {
        inst_id_table_remove(&store->core->wide_values, wide_hash(store, triple->cell, &triple->v),
                             n);
    }
}

static bool has_many(const struct mem_core *core, const struct mem_cell *cell) {
    uint32_t count = 0;
    for (uint32_t n = cell->first; n && count <= INST_MEM_WIDE_CELL; count++) {
        n = mem_triple_at(core, n)->next;
    }
    return count > INST_MEM_WIDE_CELL;
}

static void widen(struct inst_mem_store *store, uint32_t n) {
    struct mem_cell *cell = mem_cell_at(store->core, n);
    cell->slot_bits |= CELL_WIDE;
    for (uint32_t t = cell->first; t; t = mem_triple_at(store->core, t)->next) {
        wide_add(store, t);
    }
    mem_journal(store, MEM_CELL_WIDENED, n, 0);
}

void mem_cell_undo_widen(struct inst_mem_store *store, uint32_t n) {
    struct mem_cell *cell = mem_cell_at(store->core, n);
    cell->slot_bits &= ~(uint32_t)CELL_WIDE;
    for (uint32_t t = cell->first; t; t = mem_triple_at(store->core, t)->next) {
        wide_remove(store, t);
    }
}

/* ---- rings: the triples of an attr with the same value ---- */

static uint32_t find_ring(const struct inst_mem_store *store, const struct mem_slot *slot,
                          const struct inst_value *v, uint32_t hash) {
    uint32_t at = hash, n;
    while ((n = inst_id_table_next(&slot->values, hash, &at)) != 0) {
        if (mem_value_same(&mem_triple_at(store->core, n)->v, v)) {
            break;
        }
    }
    return n;
}

/* Room for one more value must have been reserved. */
static void ring_add(struct inst_mem_store *store, struct mem_slot *slot, uint32_t n) {
    const struct mem_core *core = store->core;
    struct mem_triple *triple = mem_triple_at(core, n);
    uint32_t hash = mem_value_hash(store, &triple->v);
    uint32_t first = find_ring(store, slot, &triple->v, hash);
    triple->bits &= ~(uint32_t)TRIPLE_UNSORTED;
    if (!first) {
        triple->next_same = triple->prev_same = n;
        inst_id_table_add(&slot->values, hash, n);
        return;
    }
    struct mem_triple *head = mem_triple_at(core, first);
    struct mem_triple *tail = mem_triple_at(core, head->prev_same);
    if (mem_place(triple->cell, n) < mem_place(tail->cell, head->prev_same)) {
        head->bits |= TRIPLE_UNSORTED;
    }
    triple->prev_same = head->prev_same;
    triple->next_same = first;
    tail->next_same = n;
    head->prev_same = n;
}

static void ring_remove(struct inst_mem_store *store, struct mem_slot *slot, uint32_t n) {
    const struct mem_core *core = store->core;
    struct mem_triple *triple = mem_triple_at(core, n);
    uint32_t hash = mem_value_hash(store, &triple->v);
    uint32_t first = find_ring(store, slot, &triple->v, hash);
    uint32_t next = triple->next_same;
    if (next == n) {
        inst_id_table_remove(&slot->values, hash, n);
        return;
    }
    if (first == n) {
        struct mem_triple *head = mem_triple_at(core, next);
        head->bits = (head->bits & ~(uint32_t)TRIPLE_UNSORTED) | (triple->bits & TRIPLE_UNSORTED);
        inst_id_table_replace(&slot->values, hash, n, next);
    }
    mem_triple_at(core, triple->prev_same)->next_same = next;
    mem_triple_at(core, next)->prev_same = triple->prev_same;
}

void mem_hash_drop(struct mem_slot *slot) {
    inst_id_table_free(&slot->values);
    slot->has_hash = false;
}

bool mem_hash_build(struct inst_mem_store *store, uint32_t slot_number) {
    const struct mem_core *core = store->core;
    struct mem_slot *slot = &core->slots[slot_number];
    if (slot->has_hash) {
        return true;
    }
    for (uint32_t c = slot->first; c; c = mem_cell_at(core, c)->next_a) {
        for (uint32_t n = mem_cell_at(core, c)->first; n; n = mem_triple_at(core, n)->next) {
            if (!mem_is_hashable(&mem_triple_at(core, n)->v)) {
                continue;
            }
            if (!inst_id_table_reserve(&slot->values, 1)) {
                mem_hash_drop(slot);
                return false;
            }
            ring_add(store, slot, n);
        }
    }
    slot->has_hash = true;
    return true;
}

static int compare_places(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void mem_sort_places(uint64_t *places, size_t n) {
    size_t i = 1;
    while (i < n && places[i - 1] < places[i]) {
        i++;
    }
    if (i < n) {
        qsort(places, n, sizeof(*places), compare_places);
    }
}

/* Puts the ring into the attr's order; its new head, or 0 when out of memory. */
static uint32_t sort_ring(struct inst_mem_store *store, struct mem_slot *slot, uint32_t first) {
    const struct mem_core *core = store->core;
    size_t count = 0;
    uint32_t n = first;
    do {
        count++;
        n = mem_triple_at(core, n)->next_same;
    } while (n != first);
    uint64_t *places = malloc(count * sizeof(*places));
    if (!places) {
        return 0;
    }
    for (size_t i = 0; i < count; i++, n = mem_triple_at(core, n)->next_same) {
        places[i] = mem_place(mem_triple_at(core, n)->cell, n);
    }
    mem_sort_places(places, count);
    for (size_t i = 0; i < count; i++) {
        struct mem_triple *triple = mem_triple_at(core, (uint32_t)places[i]);
        triple->prev_same = (uint32_t)places[i ? i - 1 : count - 1];
        triple->next_same = (uint32_t)places[i + 1 < count ? i + 1 : 0];
        triple->bits &= ~(uint32_t)TRIPLE_UNSORTED;
    }
    n = (uint32_t)places[0];
    inst_id_table_replace(&slot->values, mem_value_hash(store, &mem_triple_at(core, n)->v), first,
                          n);
    free(places);
    return n;
}

bool mem_hash_find(struct inst_mem_store *store, uint32_t slot_number, const struct inst_value *v,
                   uint32_t *head) {
    struct mem_slot *slot = &store->core->slots[slot_number];
    *head = 0;
    if (!mem_is_hashable(v)) {
        return true;
    }
    if (!mem_hash_build(store, slot_number)) {
        return false;
    }
    *head = find_ring(store, slot, v, mem_value_hash(store, v));
    if (*head && (mem_triple_at(store->core, *head)->bits & TRIPLE_UNSORTED)) {
        *head = sort_ring(store, slot, *head);
        return *head != 0;
    }
    return true;
}

/* ---- keeping both in step ---- */

void mem_values_enter(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    const struct mem_triple *triple = mem_triple_at(core, n);
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    if (cell->slot_bits & CELL_WIDE) {
        wide_add(store, n);
    }
    if (slot->has_hash && mem_is_hashable(&triple->v)) {
        /* Only undoing can come here without room: the hash may be younger than the change. */
        if (inst_id_table_reserve(&slot->values, 1)) {
            ring_add(store, slot, n);
        } else {
            mem_hash_drop(slot);
        }
    }
}

void mem_values_leave(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    const struct mem_triple *triple = mem_triple_at(core, n);
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    if (cell->slot_bits & CELL_WIDE) {
        wide_remove(store, n);
    }
    if (slot->has_hash && mem_is_hashable(&triple->v)) {
        ring_remove(store, slot, n);
    }
}

void mem_values_widen(struct inst_mem_store *store, uint32_t n) {
    const struct mem_cell *cell = mem_cell_at(store->core, n);
    if (!(cell->slot_bits & CELL_WIDE) && has_many(store->core, cell)) {
        widen(store, n);
    }
}
