#include "triples/mem_core.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>

struct mem_core *mem_core_new(void) {
    struct mem_core *core = calloc(1, sizeof(*core));
    if (core) {
        inst_slab_init(&core->entities, sizeof(struct mem_entity));
        inst_slab_init(&core->cells, sizeof(struct mem_cell));
        inst_slab_init(&core->triples, sizeof(struct mem_triple));
        inst_slab_init(&core->backs, sizeof(struct mem_back));
    }
    return core;
}

void mem_core_free(struct mem_core *core) {
    if (!core) {
        return;
    }
    inst_slab_free(&core->entities);
    inst_slab_free(&core->cells);
    inst_slab_free(&core->triples);
    inst_slab_free(&core->backs);
    for (uint32_t i = 1; i < core->slots_len; i++) {
        mem_hash_drop(&core->slots[i]);
    }
    free(core->slots);
    inst_id_table_free(&core->wide_cells);
    inst_id_table_free(&core->wide_values);
    inst_id_table_free(&core->stale);
    free(core);
}

size_t mem_core_bytes(const struct mem_core *core) {
    size_t bytes = sizeof(*core) + core->slots_cap * sizeof(*core->slots);
    bytes += inst_slab_bytes(&core->entities) + inst_slab_bytes(&core->cells);
    bytes += inst_slab_bytes(&core->triples) + inst_slab_bytes(&core->backs);
    bytes += inst_id_table_bytes(&core->wide_cells) + inst_id_table_bytes(&core->wide_values);
    bytes += inst_id_table_bytes(&core->stale);
    for (uint32_t i = 1; i < core->slots_len; i++) {
        bytes += inst_id_table_bytes(&core->slots[i].values);
    }
    return bytes;
}

/* ---- entities ---- */

uint32_t mem_text_hash(const struct inst_mem_store *store, const char *text, size_t len) {
    return (uint32_t)inst_text_hash(text, len, store->seed);
}

static uint32_t find_hashed(const struct inst_mem_store *store, const char *text, size_t len,
                            uint32_t hash) {
    uint32_t at = hash, e;
    while ((e = inst_id_table_next(&store->by_text, hash, &at)) != 0) {
        const struct mem_entity *entity = mem_entity_at(store->core, e);
        if (entity->len == len && mem_bytes_same(entity->text, text, len)) {
            break;
        }
    }
    return e;
}

uint32_t mem_entity_find(const struct inst_mem_store *store, const char *text, size_t len) {
    return find_hashed(store, text, len, mem_text_hash(store, text, len));
}

uint32_t inst_mem_store_intern(struct inst_mem_store *store, const char *id, size_t len) {
    return mem_entity_intern(store, id, len, mem_text_hash(store, id, len));
}

uint32_t mem_entity_intern(struct inst_mem_store *store, const char *id, size_t len,
                           uint32_t hash) {
    uint32_t e = find_hashed(store, id, len, hash);
    if (e) {
        return e;
    }
    if (len > UINT32_MAX - sizeof(e) || !inst_slab_reserve(&store->core->entities, 1) ||
        !inst_id_table_reserve(&store->by_text, 1)) {
        return 0;
    }
    char *bytes = inst_arena_alloc(&store->arena, sizeof(e) + len);
    if (!bytes) {
        return 0;
    }
    e = inst_slab_add(&store->core->entities);
    memcpy(bytes, &e, sizeof(e));
    if (len) {
        memcpy(bytes + sizeof(e), id, len);
    }
    *mem_entity_at(store->core, e) =
        (struct mem_entity){.text = bytes + sizeof(e), .len = (uint32_t)len};
    inst_id_table_add(&store->by_text, hash, e);
    store->value_bytes += len;
    return e;
}

void mem_entity_truncate(struct inst_mem_store *store, uint32_t count) {
    struct inst_slab *entities = &store->core->entities;
    if (entities->count <= count) {
        return; /* a core that was rebuilt without any entity has not even the first place */
    }
    for (uint32_t e = entities->count; e > count && e > 1; e--) {
        const struct mem_entity *entity = mem_entity_at(store->core, e - 1);
        inst_id_table_remove(&store->by_text, mem_text_hash(store, entity->text, entity->len),
                             e - 1);
    }
    inst_slab_truncate(entities, count);
}

/* ---- slots ---- */

uint32_t mem_slot_find_id(const struct inst_mem_store *store, const char *id, size_t len) {
    const struct inst_attr *attr = inst_attrs_by_id(store->base.attrs, id, len);
    if (attr) {
        return store->slot_of[attr->position];
    }
    for (uint32_t i = 1; i < store->core->slots_len; i++) {
        const struct mem_slot *slot = &store->core->slots[i];
        if (!slot->attr && slot->id.len == len && mem_bytes_same(slot->id.u.str, id, len)) {
            return i;
        }
    }
    return 0;
}

static bool is_interning(const struct inst_attr *attr) {
    return attr->is_ref || attr->is_primary || inst_is_string(&attr->forward.label, "id");
}

static bool grow_slots(struct mem_core *core) {
    if (core->slots_len < core->slots_cap) {
        return true;
    }
    uint32_t cap = core->slots_cap ? core->slots_cap * 2 : 8;
    struct mem_slot *slots = realloc(core->slots, cap * sizeof(*slots));
    if (!slots) {
        return false;
    }
    core->slots = slots;
    core->slots_cap = cap;
    if (!core->slots_len) {
        slots[0] = (struct mem_slot){0};
        core->slots_len = 1;
    }
    return true;
}

uint32_t mem_slot_make(struct inst_mem_store *store, const struct inst_attr *attr) {
    struct mem_core *core = store->core;
    uint32_t n = mem_slot_find(store, attr);
    if (n) {
        return n;
    }
    const struct inst_attr *known =
        inst_attrs_by_id(store->base.attrs, attr->id.u.str, attr->id.len);
    char *id = inst_arena_dup(&store->arena, attr->id.u.str, attr->id.len);
    if (!id || !grow_slots(core) || !mem_journal_reserve(store, 1)) {
        return 0;
    }
    n = core->slots_len++;
    core->slots[n] = (struct mem_slot){.id = inst_string(id, attr->id.len), .attr = known};
    core->slots[n].is_link = attr->is_ref;
    core->slots[n].is_interning = is_interning(attr);
    if (known) {
        store->slot_of[known->position] = n;
    }
    mem_journal(store, MEM_SLOT_NEW, n, 0);
    return n;
}

void mem_slot_undo_new(struct inst_mem_store *store, uint32_t n) {
    struct mem_slot *slot = &store->core->slots[n];
    assert(n + 1 == store->core->slots_len);
    if (slot->attr) {
        store->slot_of[slot->attr->position] = 0;
    }
    mem_hash_drop(slot);
    store->core->slots_len--;
}

void mem_use_attrs(struct inst_mem_store *store, struct inst_attrs *attrs, uint32_t *slot_of) {
    store->base.attrs = attrs;
    store->attrs = inst_attrs_at(attrs, 0);
    store->attrs_len = inst_attrs_count(attrs);
    store->slot_of = slot_of;
}

void mem_slots_bind(struct inst_mem_store *store) {
    for (uint32_t i = 1; i < store->core->slots_len; i++) {
        struct mem_slot *slot = &store->core->slots[i];
        slot->attr = inst_attrs_by_id(store->base.attrs, slot->id.u.str, slot->id.len);
        if (slot->attr) {
            store->slot_of[slot->attr->position] = i;
            slot->is_link = slot->attr->is_ref;
            slot->is_interning = is_interning(slot->attr);
        }
    }
}

/* ---- cells ---- */

uint32_t mem_cell_search(const struct mem_core *core, uint32_t e, uint32_t slot) {
    const struct mem_entity *entity = mem_entity_at(core, e);
    if (entity->cells > INST_MEM_WIDE_ENTITY) {
        uint32_t hash = inst_id_hash(e, slot), at = hash, n;
        while ((n = inst_id_table_next(&core->wide_cells, hash, &at)) != 0) {
            const struct mem_cell *cell = mem_cell_at(core, n);
            if (cell->e == e && mem_cell_slot(cell) == slot) {
                break;
            }
        }
        return n;
    }
    uint32_t n = entity->first_cell;
    while (n) {
        const struct mem_cell *cell = mem_cell_at(core, n);
        if (mem_cell_slot(cell) == slot) {
            core->slots[slot].offset = n - entity->first_cell;
            break;
        }
        n = cell->next_e;
    }
    return n;
}

/* An entity's cells are in wide_cells exactly while there are more than INST_MEM_WIDE_ENTITY. */
static void widen(struct mem_core *core, const struct mem_entity *entity, uint32_t n) {
    if (entity->cells <= INST_MEM_WIDE_ENTITY) {
        return;
    }
    if (entity->cells > INST_MEM_WIDE_ENTITY + 1) {
        const struct mem_cell *cell = mem_cell_at(core, n);
        inst_id_table_add(&core->wide_cells, inst_id_hash(cell->e, mem_cell_slot(cell)), n);
        return;
    }
    for (n = entity->first_cell; n; n = mem_cell_at(core, n)->next_e) {
        const struct mem_cell *cell = mem_cell_at(core, n);
        inst_id_table_add(&core->wide_cells, inst_id_hash(cell->e, mem_cell_slot(cell)), n);
    }
}

/* Before the cell is unlinked. */
static void narrow(struct mem_core *core, const struct mem_entity *entity, uint32_t n) {
    if (entity->cells <= INST_MEM_WIDE_ENTITY) {
        return;
    }
    bool is_all = entity->cells == INST_MEM_WIDE_ENTITY + 1;
    for (n = is_all ? entity->first_cell : n; n; n = mem_cell_at(core, n)->next_e) {
        const struct mem_cell *cell = mem_cell_at(core, n);
        inst_id_table_remove(&core->wide_cells, inst_id_hash(cell->e, mem_cell_slot(cell)), n);
        if (!is_all) {
            break;
        }
    }
}

static void link_entity(struct mem_core *core, struct mem_entity *entity, uint32_t e) {
    *(entity->prev ? &mem_entity_at(core, entity->prev)->next : &core->first_entity) = e;
    *(entity->next ? &mem_entity_at(core, entity->next)->prev : &core->last_entity) = e;
}

static void unlink_entity(struct mem_core *core, const struct mem_entity *entity) {
    *(entity->prev ? &mem_entity_at(core, entity->prev)->next : &core->first_entity) = entity->next;
    *(entity->next ? &mem_entity_at(core, entity->next)->prev : &core->last_entity) = entity->prev;
}

/* The cell's own links say where. */
static void link_cell(struct mem_core *core, uint32_t n) {
    struct mem_cell *cell = mem_cell_at(core, n);
    struct mem_entity *entity = mem_entity_at(core, cell->e);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    *(cell->prev_e ? &mem_cell_at(core, cell->prev_e)->next_e : &entity->first_cell) = n;
    *(cell->next_e ? &mem_cell_at(core, cell->next_e)->prev_e : &entity->last_cell) = n;
    *(cell->prev_a ? &mem_cell_at(core, cell->prev_a)->next_a : &slot->first) = n;
    *(cell->next_a ? &mem_cell_at(core, cell->next_a)->prev_a : &slot->last) = n;
    if (entity->cells++ == 0) {
        link_entity(core, entity, cell->e);
    }
    widen(core, entity, n);
}

static void unlink_cell(struct mem_core *core, uint32_t n) {
    struct mem_cell *cell = mem_cell_at(core, n);
    struct mem_entity *entity = mem_entity_at(core, cell->e);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    narrow(core, entity, n);
    *(cell->prev_e ? &mem_cell_at(core, cell->prev_e)->next_e : &entity->first_cell) = cell->next_e;
    *(cell->next_e ? &mem_cell_at(core, cell->next_e)->prev_e : &entity->last_cell) = cell->prev_e;
    *(cell->prev_a ? &mem_cell_at(core, cell->prev_a)->next_a : &slot->first) = cell->next_a;
    *(cell->next_a ? &mem_cell_at(core, cell->next_a)->prev_a : &slot->last) = cell->prev_a;
    if (--entity->cells == 0) {
        unlink_entity(core, entity);
    }
}

uint32_t mem_cell_new(struct inst_mem_store *store, uint32_t e, uint32_t slot) {
    struct mem_core *core = store->core;
    struct mem_entity *entity = mem_entity_at(core, e);
    uint32_t n = inst_slab_add(&core->cells);
    *mem_cell_at(core, n) = (struct mem_cell){
        .e = e,
        .slot_bits = slot,
        .prev_e = entity->last_cell,
        .prev_a = core->slots[slot].last,
    };
    if (entity->cells == 0) {
        /* What the removal of its last cell left in the entity's links is journalled with the
         * cell; undoing puts it back. */
        mem_journal(store, MEM_CELL_NEW, n, mem_place(entity->prev, entity->next));
        entity->prev = core->last_entity;
        entity->next = 0;
    } else {
        mem_journal(store, MEM_CELL_NEW, n, 0);
    }
    link_cell(core, n);
    return n;
}

void mem_cell_undo_new(struct inst_mem_store *store, const struct mem_entry *entry) {
    struct mem_entity *entity = mem_entity_at(store->core, mem_cell_at(store->core, entry->id)->e);
    unlink_cell(store->core, entry->id);
    if (entity->cells == 0) {
        entity->prev = (uint32_t)(entry->was.num >> 32);
        entity->next = (uint32_t)entry->was.num;
    }
}

void mem_cell_drop(struct inst_mem_store *store, uint32_t n) {
    struct mem_cell *cell = mem_cell_at(store->core, n);
    assert(!cell->first);
    unlink_cell(store->core, n);
    cell->slot_bits |= CELL_DEAD;
    mem_journal(store, MEM_CELL_GONE, n, 0);
}

void mem_cell_undo_drop(struct inst_mem_store *store, uint32_t n) {
    mem_cell_at(store->core, n)->slot_bits &= ~CELL_DEAD;
    link_cell(store->core, n);
}

/* ---- triples ---- */

static void link_triple(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    struct mem_triple *triple = mem_triple_at(core, n);
    struct mem_cell *cell = mem_cell_at(core, triple->cell);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    *(triple->prev ? &mem_triple_at(core, triple->prev)->next : &cell->first) = n;
    *(triple->next ? &mem_triple_at(core, triple->next)->prev : &cell->last) = n;
    slot->triples++;
    slot->own += mem_handle(&triple->v) == cell->e;
    core->count++;
    if (slot->has_hash || (cell->slot_bits & CELL_WIDE)) {
        mem_values_enter(store, n);
    }
}

static void unlink_triple(struct inst_mem_store *store, uint32_t n) {
    struct mem_core *core = store->core;
    struct mem_triple *triple = mem_triple_at(core, n);
    struct mem_cell *cell = mem_cell_at(core, triple->cell);
    struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
    if (slot->has_hash || (cell->slot_bits & CELL_WIDE)) {
        mem_values_leave(store, n);
    }
    *(triple->prev ? &mem_triple_at(core, triple->prev)->next : &cell->first) = triple->next;
    *(triple->next ? &mem_triple_at(core, triple->next)->prev : &cell->last) = triple->prev;
    slot->triples--;
    slot->own -= mem_handle(&triple->v) == cell->e;
    core->count--;
}

uint32_t mem_triple_new(struct inst_mem_store *store, uint32_t cell, const struct inst_value *v,
                        int64_t t) {
    uint32_t n = inst_slab_add(&store->core->triples);
    *mem_triple_at(store->core, n) = (struct mem_triple){
        .v = *v,
        .t = t,
        .cell = cell,
        .prev = mem_cell_at(store->core, cell)->last,
    };
    link_triple(store, n);
    mem_journal(store, MEM_TRIPLE_NEW, n, 0);
    if (mem_triple_at(store->core, n)->prev) {
        mem_values_widen(store, cell);
    }
    return n;
}

void mem_triple_undo_new(struct inst_mem_store *store, uint32_t n) { unlink_triple(store, n); }

void mem_triple_drop(struct inst_mem_store *store, uint32_t n) {
    struct mem_triple *triple = mem_triple_at(store->core, n);
    uint32_t former_bits = triple->bits;
    unlink_triple(store, n);
    triple->bits |= TRIPLE_DEAD;
    mem_back_sync(store->core, n, former_bits);
    mem_journal(store, MEM_TRIPLE_GONE, n, 0);
}

void mem_triple_undo_drop(struct inst_mem_store *store, uint32_t n) {
    struct mem_triple *triple = mem_triple_at(store->core, n);
    uint32_t former_bits = triple->bits;
    triple->bits &= ~(uint32_t)TRIPLE_DEAD;
    mem_back_sync(store->core, n, former_bits);
    link_triple(store, n);
}

void mem_triple_set_time(struct inst_mem_store *store, uint32_t n, int64_t t) {
    struct mem_triple *triple = mem_triple_at(store->core, n);
    if (triple->t != t) {
        mem_journal(store, MEM_TRIPLE_TIME, n, (uint64_t)triple->t);
        triple->t = t;
    }
}

bool mem_reserve_drops(struct inst_mem_store *store, uint32_t drops) {
    return mem_journal_reserve(store, 8 + 2 * (size_t)drops) &&
           (!drops || inst_id_table_reserve(&store->core->stale, drops));
}

bool mem_reserve(struct inst_mem_store *store, uint32_t e, uint32_t slot, uint32_t cell,
                 uint32_t drops) {
    struct mem_core *core = store->core;
    struct mem_slot *of = &core->slots[slot];
    if (!inst_slab_reserve(&core->cells, 1) || !inst_slab_reserve(&core->triples, 1) ||
        !inst_slab_reserve(&core->backs, 1) || !mem_reserve_drops(store, drops)) {
        return false;
    }
    if (of->has_hash && !inst_id_table_reserve(&of->values, 1)) {
        return false;
    }
    if (mem_entity_at(core, e)->cells >= INST_MEM_WIDE_ENTITY &&
        !inst_id_table_reserve(&core->wide_cells, INST_MEM_WIDE_ENTITY + 1)) {
        return false;
    }
    const struct mem_cell *at = cell ? mem_cell_at(core, cell) : NULL;
    if (at && (at->first != at->last || (at->slot_bits & CELL_WIDE))) {
        return inst_id_table_reserve(&core->wide_values, INST_MEM_WIDE_CELL + 1);
    }
    return true;
}
