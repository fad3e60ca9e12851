#include "triples/mem_core.h"

#include <assert.h>

uint32_t mem_back_find(const struct mem_core *core, uint32_t e, uint32_t slot) {
    uint32_t n = mem_entity_at(core, e)->first_back;
    while (n && mem_back_at(core, n)->slot != slot) {
        n = mem_back_at(core, n)->next;
    }
    return n;
}

/* ---- stale triples ---- */

static bool is_stale(uint32_t bits) {
    return (bits & (TRIPLE_DEAD | TRIPLE_IN_BACK)) == (TRIPLE_DEAD | TRIPLE_IN_BACK);
}

static uint32_t stale_hash(uint32_t e, uint32_t slot, uint32_t v) {
    return inst_id_hash((uint64_t)e << 32 | slot, v);
}

void mem_back_sync(struct mem_core *core, uint32_t n, uint32_t former_bits) {
    const struct mem_triple *triple = mem_triple_at(core, n);
    if (is_stale(former_bits) == is_stale(triple->bits)) {
        return;
    }
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    uint32_t hash = stale_hash(cell->e, mem_cell_slot(cell), mem_handle(&triple->v));
    if (is_stale(triple->bits)) {
        inst_id_table_add(&core->stale, hash, n);
    } else {
        inst_id_table_remove(&core->stale, hash, n);
    }
}

uint32_t mem_back_stale(const struct mem_core *core, uint32_t e, uint32_t slot, uint32_t v) {
    if (!core->stale.count) {
        return 0;
    }
    uint32_t hash = stale_hash(e, slot, v), at = hash, n;
    while ((n = inst_id_table_next(&core->stale, hash, &at)) != 0) {
        const struct mem_triple *triple = mem_triple_at(core, n);
        const struct mem_cell *cell = mem_cell_at(core, triple->cell);
        if (cell->e == e && mem_cell_slot(cell) == slot && mem_handle(&triple->v) == v) {
            break;
        }
    }
    return n;
}

static void set_bits(struct mem_core *core, uint32_t n, uint32_t set, uint32_t clear) {
    struct mem_triple *triple = mem_triple_at(core, n);
    uint32_t former_bits = triple->bits;
    triple->bits = (triple->bits | set) & ~clear;
    mem_back_sync(core, n, former_bits);
}

/* ---- backs ---- */

static struct mem_back *back_of(const struct mem_core *core, const struct mem_triple *triple) {
    uint32_t slot = mem_cell_slot(mem_cell_at(core, triple->cell));
    return mem_back_at(core, mem_back_find(core, mem_handle(&triple->v), slot));
}

/* The triple's own links say where. */
static void link_back(struct mem_core *core, struct mem_back *back, uint32_t n) {
    const struct mem_triple *triple = mem_triple_at(core, n);
    *(triple->prev_same ? &mem_triple_at(core, triple->prev_same)->next_same : &back->first) = n;
    *(triple->next_same ? &mem_triple_at(core, triple->next_same)->prev_same : &back->last) = n;
}

static void unlink_back(struct mem_core *core, struct mem_back *back, uint32_t n) {
    const struct mem_triple *triple = mem_triple_at(core, n);
    *(triple->prev_same ? &mem_triple_at(core, triple->prev_same)->next_same : &back->first) =
        triple->next_same;
    *(triple->next_same ? &mem_triple_at(core, triple->next_same)->prev_same : &back->last) =
        triple->prev_same;
}

static uint32_t make_back(struct inst_mem_store *store, uint32_t e, uint32_t slot) {
    struct mem_core *core = store->core;
    struct mem_entity *entity = mem_entity_at(core, e);
    uint32_t n = inst_slab_add(&core->backs);
    *mem_back_at(core, n) = (struct mem_back){.slot = slot};
    if (entity->last_back) {
        mem_back_at(core, entity->last_back)->next = n;
    } else {
        entity->first_back = n;
    }
    /* A new back is always its entity's last, so the former last one is enough to undo it. */
    mem_journal(store, MEM_BACK_NEW, n, mem_place(e, entity->last_back));
    entity->last_back = n;
    return n;
}

static void undo_make(struct mem_core *core, uint64_t was) {
    struct mem_entity *entity = mem_entity_at(core, (uint32_t)(was >> 32));
    entity->last_back = (uint32_t)was;
    if (entity->last_back) {
        mem_back_at(core, entity->last_back)->next = 0;
    } else {
        entity->first_back = 0;
    }
}

void mem_back_put(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    struct mem_triple *triple = mem_triple_at(core, n);
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    uint32_t v = mem_handle(&triple->v), slot = mem_cell_slot(cell);
    assert(v && !(triple->bits & (TRIPLE_DEAD | TRIPLE_IN_BACK)));
    uint32_t found = mem_back_find(core, v, slot);
    struct mem_back *back = mem_back_at(core, found ? found : make_back(store, v, slot));
    uint64_t was_unsorted = back->is_unsorted;
    uint32_t stale = mem_back_stale(core, cell->e, slot, v);
    if (stale) {
        struct mem_triple *former = mem_triple_at(core, stale);
        triple->prev_same = former->prev_same;
        triple->next_same = former->next_same;
        link_back(core, back, n);
        set_bits(core, stale, 0, TRIPLE_IN_BACK);
        back->is_unsorted = true;
        mem_journal(store, MEM_BACK_SWAP, n, was_unsorted << 32 | stale);
    } else {
        const struct mem_triple *last = back->last ? mem_triple_at(core, back->last) : NULL;
        back->is_unsorted = back->is_unsorted || (last && triple->cell < last->cell);
        triple->prev_same = back->last;
        triple->next_same = 0;
        link_back(core, back, n);
        mem_journal(store, MEM_BACK_ADD, n, was_unsorted);
    }
    set_bits(core, n, TRIPLE_IN_BACK, 0);
}

void mem_back_drop(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    unlink_back(core, back_of(core, mem_triple_at(core, n)), n);
    set_bits(core, n, 0, TRIPLE_IN_BACK);
    mem_journal(store, MEM_BACK_GONE, n, 0);
}

void mem_back_undo(struct inst_mem_store *store, const struct mem_entry *entry) {
    struct mem_core *core = store->core;
    uint32_t n = entry->id;
    if (entry->op == MEM_BACK_NEW) {
        undo_make(core, entry->was.num);
        return;
    }
    struct mem_triple *triple = mem_triple_at(core, n);
    struct mem_back *back = back_of(core, triple);
    if (entry->op == MEM_BACK_GONE) {
        link_back(core, back, n);
        set_bits(core, n, TRIPLE_IN_BACK, 0);
        return;
    }
    uint32_t stale = entry->op == MEM_BACK_SWAP ? (uint32_t)entry->was.num : 0;
    set_bits(core, n, 0, TRIPLE_IN_BACK);
    if (stale) {
        struct mem_triple *former = mem_triple_at(core, stale);
        former->prev_same = triple->prev_same;
        former->next_same = triple->next_same;
        link_back(core, back, stale);
        set_bits(core, stale, TRIPLE_IN_BACK, 0);
        back->is_unsorted = (entry->was.num >> 32) != 0;
    } else {
        unlink_back(core, back, n);
        back->is_unsorted = entry->was.num != 0;
    }
}
