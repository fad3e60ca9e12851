/*
 * Changing the catalog under a memory store.
 */
#include "triples/mem_core.h"

#include <stdlib.h>

/* ---- keeping the triples ---- */

/* String values of an attr that now is a link or an id become entities. */
static bool intern_values(struct inst_mem_store *store, uint32_t slot_number) {
    struct mem_core *core = store->core;
    struct mem_slot *slot = &core->slots[slot_number];
    for (uint32_t c = slot->first; c; c = mem_cell_at(core, c)->next_a) {
        for (uint32_t n = mem_cell_at(core, c)->first; n; n = mem_triple_at(core, n)->next) {
            struct inst_value v = mem_triple_at(core, n)->v;
            if (v.tag != INST_STRING || mem_handle(&v)) {
                continue;
            }
            struct inst_value *was = inst_arena_alloc(&store->arena, sizeof(*was));
            uint32_t e = inst_mem_store_intern(store, v.u.str, v.len);
            if (!was || !e || !mem_journal_reserve(store, 1)) {
                return false;
            }
            *was = v;
            mem_triple_at(core, n)->v = mem_entity_value(core, e);
            slot->own += e == mem_cell_at(core, c)->e;
            if (store->is_journalling) {
                store->entries[store->entries_len++] =
                    (struct mem_entry){MEM_TRIPLE_VALUE, n, {.ptr = was}};
            }
        }
    }
    return true;
}

/* An attr that was a link and is none any more, or the other way round, without a rebuild: its
 * backs and its hash can no longer be trusted to be complete. */
static bool mix(struct inst_mem_store *store, uint32_t slot_number) {
    struct mem_slot *slot = &store->core->slots[slot_number];
    if (slot->is_mixed) {
        return true;
    }
    if (!mem_journal_reserve(store, 1)) {
        return false;
    }
    mem_hash_drop(slot);
    slot->is_mixed = true;
    mem_journal(store, MEM_SLOT_MIXED, slot_number, 0);
    return true;
}

/* After binding: was[] says what each slot was before. */
static bool adapt(struct inst_mem_store *store, const uint8_t *was) {
    for (uint32_t i = 1; i < store->core->slots_len; i++) {
        const struct mem_slot *slot = &store->core->slots[i];
        if (((was[i] & 1) != 0) != slot->is_link && !mix(store, i)) {
            return false;
        }
        if (!(was[i] & 2) && slot->is_interning && !intern_values(store, i)) {
            return false;
        }
    }
    return true;
}

static uint8_t *slot_flags(const struct mem_core *core) {
    uint8_t *flags = malloc(core->slots_len + 1);
    for (uint32_t i = 0; flags && i < core->slots_len; i++) {
        flags[i] = (uint8_t)(core->slots[i].is_link | core->slots[i].is_interning << 1);
    }
    return flags;
}

/* ---- building the indexes again ---- */

/* The same entities under the same handles, without triples. */
static bool copy_entities(struct mem_core *to, const struct mem_core *from) {
    if (from->entities.count < 2) {
        return true;
    }
    if (!inst_slab_reserve(&to->entities, from->entities.count - 1)) {
        return false;
    }
    for (uint32_t e = 1; e < from->entities.count; e++) {
        const struct mem_entity *entity = mem_entity_at(from, e);
        inst_slab_add(&to->entities);
        *mem_entity_at(to, e) = (struct mem_entity){.text = entity->text, .len = entity->len};
    }
    return true;
}

/* Values stay where they are, unless the attr now wants them otherwise. */
static enum inst_status keep_again(struct inst_mem_store *store, uint32_t slot_number, uint32_t e,
                                   const struct inst_value *v, struct inst_value *out,
                                   struct inst_err *err) {
    const struct mem_slot *slot = &store->core->slots[slot_number];
    bool is_date = store->options.use_date_objects && slot->attr &&
                   slot->attr->checked_type == INST_CHECKED_DATE;
    if (is_date || (slot->is_interning && v->tag == INST_STRING && !mem_handle(v))) {
        return mem_value_keep(store, slot_number, e, true, v, out, err);
    }
    *out = *v;
    return INST_OK;
}

/* Adds the triples of `from` to the store's new, empty core. */
static enum inst_status add_all(struct inst_mem_store *store, const struct mem_core *from,
                                struct inst_err *err) {
    for (uint32_t e = from->first_entity; e; e = mem_entity_at(from, e)->next) {
        uint32_t c = mem_entity_at(from, e)->first_cell;
        for (; c; c = mem_cell_at(from, c)->next_e) {
            const struct mem_slot *slot = &from->slots[mem_cell_slot(mem_cell_at(from, c))];
            const struct inst_attr *attr =
                inst_attrs_by_id(store->base.attrs, slot->id.u.str, slot->id.len);
            uint32_t n = attr ? mem_cell_at(from, c)->first : 0;
            for (; n; n = mem_triple_at(from, n)->next) {
                const struct mem_triple *triple = mem_triple_at(from, n);
                struct inst_value v;
                uint32_t to = mem_slot_make(store, attr);
                enum inst_status status =
                    to ? keep_again(store, to, e, &triple->v, &v, err) : inst_err_nomem(err);
                if (status == INST_OK) {
                    status = mem_add_loaded(store, e, to, mem_cell_find(store->core, e, to), &v,
                                            triple->t, err);
                }
                if (status != INST_OK) {
                    return status;
                }
            }
        }
    }
    return INST_OK;
}

static enum inst_status rebuild(struct inst_mem_store *store, struct mem_former *former,
                                struct inst_err *err) {
    struct mem_core *old = store->core;
    struct mem_core *core = mem_core_new();
    if (!core || !copy_entities(core, old)) {
        mem_core_free(core);
        return inst_err_nomem(err);
    }
    former->core = old;
    store->core = core;
    bool was_journalling = store->is_journalling;
    store->is_journalling = false;
    enum inst_status status = add_all(store, old, err);
    store->is_journalling = was_journalling;
    if (status != INST_OK) {
        mem_entity_truncate(store, old->entities.count);
        mem_core_free(core);
        store->core = old;
        former->core = NULL;
    }
    return status;
}

enum inst_status inst_mem_store_set_attrs(struct inst_mem_store *store, struct inst_attrs *attrs,
                                          bool is_rebuilding, struct inst_err *err) {
    enum inst_status status = INST_OK;
    struct mem_former *former = calloc(1, sizeof(*former));
    uint32_t *slot_of = calloc(inst_attrs_count(attrs) + 1, sizeof(*slot_of));
    uint8_t *was = slot_flags(store->core);
    if (!former || !slot_of || !was || !mem_journal_reserve(store, 1)) {
        free(former);
        free(slot_of);
        free(was);
        return inst_err_nomem(err);
    }
    former->attrs = store->base.attrs;
    former->slot_of = store->slot_of;
    mem_use_attrs(store, inst_attrs_ref(attrs), slot_of);
    if (is_rebuilding) {
        status = rebuild(store, former, err);
    }
    if (status != INST_OK) {
        inst_attrs_unref(store->base.attrs);
        free(store->slot_of);
        mem_use_attrs(store, former->attrs, former->slot_of);
        free(former);
        free(was);
        return status;
    }
    if (store->is_journalling) {
        store->entries[store->entries_len++] = (struct mem_entry){MEM_CATALOG, 0, {.ptr = former}};
    } else {
        mem_former_free(former);
    }
    if (!is_rebuilding) {
        mem_slots_bind(store);
        status = adapt(store, was) ? INST_OK : inst_err_nomem(err);
    }
    free(was);
    return status;
}
