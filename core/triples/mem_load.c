/*
 * Loading triples, as createStore does.
 *
 * Most of the time would go to two kinds of lookups. An entity's triples follow each other, and
 * entities of a kind have their attrs in the same order: those lookups are a comparison with what
 * is expected. The ids of links may lie anywhere: their hashes are made some triples ahead, and the
 * memory that they lead to is asked for in the same three steps in which it is reached,
 *
 *     now + 16    hash of the id ──> slot of the table
 *     now + 8     slot ──> entity
 *     now + 4     entity ──> text, back
 */
#include "triples/mem_core.h"

#include <math.h>

enum { AHEAD = 16, AHEAD_ENTITY = 8, AHEAD_TEXT = 4 };

/* The hashes of one triple's ids. */
struct ahead {
    uint32_t e_hash, v_hash;
    bool has_e; /* it begins another entity than the triple before */
    bool has_v; /* its value may be a link */
};

struct loader {
    struct inst_mem_store *store;
    const struct inst_value *triples; /* ARRAY */
    struct ahead ahead[AHEAD];        /* of triple i: [i % AHEAD] */
    uint32_t e;                       /* of the triple before; 0: none */
    uint32_t slot;
    bool is_fresh; /* e had no triples before those that came last */
};

static bool same_text(const struct inst_value *v, const char *text, size_t len) {
    return v->len == len && mem_bytes_same(v->u.str, text, len);
}

static bool is_triple(const struct inst_value *triple) {
    const struct inst_value *items = triple->u.items;
    return triple->tag == INST_ARRAY && triple->len >= 3 && items[0].tag == INST_STRING &&
           items[1].tag == INST_STRING;
}

/* ---- ahead ---- */

static void fetch_slot(const struct inst_mem_store *store, uint32_t hash) {
    if (store->by_text.slots) {
        __builtin_prefetch(&store->by_text.slots[hash & store->by_text.mask]);
    }
}

/* The entity that stands where the hash leads first; mostly the right one. */
static uint32_t guess_entity(const struct inst_mem_store *store, uint32_t hash) {
    uint32_t at = hash;
    return inst_id_table_next(&store->by_text, hash, &at);
}

static void look_ahead(struct loader *loader, uint32_t i) {
    const struct inst_value *triple = &loader->triples->u.items[i];
    const struct inst_value *before = i ? triple - 1 : NULL;
    struct ahead *ahead = &loader->ahead[i % AHEAD];
    *ahead = (struct ahead){0};
    if (!is_triple(triple)) {
        return;
    }
    const struct inst_value *e = &triple->u.items[0], *v = &triple->u.items[2];
    if (!before || !is_triple(before) ||
        !same_text(e, before->u.items[0].u.str, before->u.items[0].len)) {
        ahead->has_e = true;
        ahead->e_hash = mem_text_hash(loader->store, e->u.str, e->len);
        fetch_slot(loader->store, ahead->e_hash);
    }
    if (v->tag == INST_STRING && v->len == e->len && !same_text(v, e->u.str, e->len)) {
        ahead->has_v = true;
        ahead->v_hash = mem_text_hash(loader->store, v->u.str, v->len);
        fetch_slot(loader->store, ahead->v_hash);
    }
}

static void fetch_entity(const struct loader *loader, uint32_t i) {
    const struct ahead *ahead = &loader->ahead[i % AHEAD];
    uint32_t e = ahead->has_v ? guess_entity(loader->store, ahead->v_hash) : 0;
    if (e) {
        __builtin_prefetch(mem_entity_at(loader->store->core, e));
    }
}

static void fetch_text(const struct loader *loader, uint32_t i) {
    const struct ahead *ahead = &loader->ahead[i % AHEAD];
    uint32_t e = ahead->has_v ? guess_entity(loader->store, ahead->v_hash) : 0;
    if (e) {
        const struct mem_entity *entity = mem_entity_at(loader->store->core, e);
        __builtin_prefetch(entity->text);
        if (entity->first_back) {
            __builtin_prefetch(mem_back_at(loader->store->core, entity->first_back));
        }
    }
}

static void prepare(struct loader *loader, uint32_t i) {
    uint32_t left = loader->triples->len - i;
    if (left > AHEAD - 1) {
        look_ahead(loader, i + AHEAD - 1);
    }
    if (left > AHEAD_ENTITY) {
        fetch_entity(loader, i + AHEAD_ENTITY);
    }
    if (left > AHEAD_TEXT) {
        fetch_text(loader, i + AHEAD_TEXT);
    }
}

/* ---- now ---- */

static uint32_t load_entity(struct loader *loader, const struct inst_value *id,
                            const struct ahead *ahead) {
    struct inst_mem_store *store = loader->store;
    /* Not has_e: the id is that of the triple before, which may have been skipped. */
    if (!ahead->has_e && loader->e) {
        const struct mem_entity *entity = mem_entity_at(store->core, loader->e);
        if (same_text(id, entity->text, entity->len)) {
            return loader->e;
        }
    }
    uint32_t hash = ahead->has_e ? ahead->e_hash : mem_text_hash(store, id->u.str, id->len);
    loader->e = mem_entity_intern(store, id->u.str, id->len, hash);
    loader->is_fresh = loader->e && mem_entity_at(store->core, loader->e)->cells == 0;
    return loader->e;
}

/* 0 for an unknown attr, which *is_known tells from out of memory. */
static uint32_t load_slot(struct loader *loader, const struct inst_value *id, bool *is_known) {
    const struct mem_core *core = loader->store->core;
    uint32_t guess = loader->slot ? core->slots[loader->slot].follower : 0;
    *is_known = true;
    if (guess && guess < core->slots_len && core->slots[guess].attr &&
        same_text(id, core->slots[guess].id.u.str, core->slots[guess].id.len)) {
        return loader->slot = guess;
    }
    const struct inst_attr *attr = inst_attrs_by_id(loader->store->base.attrs, id->u.str, id->len);
    uint32_t slot = attr ? mem_slot_make(loader->store, attr) : 0;
    *is_known = attr != NULL;
    if (loader->slot && slot) {
        core->slots[loader->slot].follower = slot;
    }
    loader->slot = slot ? slot : loader->slot;
    return slot;
}

/* While an entity that was new gets its triples, its cell of an attr can only be the attr's last.
 */
static uint32_t load_cell(const struct loader *loader, uint32_t slot) {
    const struct mem_core *core = loader->store->core;
    uint32_t last = core->slots[slot].last;
    if (!loader->is_fresh) {
        return mem_cell_find(core, loader->e, slot);
    }
    return last && mem_cell_at(core, last)->e == loader->e ? last : 0;
}

static enum inst_status load_value(struct loader *loader, uint32_t slot, const struct inst_value *v,
                                   const struct ahead *ahead, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_mem_store *store = loader->store;
    if (!ahead->has_v || !store->core->slots[slot].is_interning) {
        return mem_value_keep(store, slot, loader->e, true, v, out, err);
    }
    uint32_t target = mem_entity_intern(store, v->u.str, v->len, ahead->v_hash);
    if (!target) {
        return inst_err_nomem(err);
    }
    *out = mem_entity_value(store->core, target);
    return INST_OK;
}

static int64_t read_time(const struct inst_value *triple) {
    const struct inst_value *t = triple->len > 3 ? &triple->u.items[3] : NULL;
    return t && t->tag == INST_NUMBER && fabs(t->u.num) < 0x1p63 ? (int64_t)t->u.num : INST_NO_TIME;
}

static enum inst_status load_one(struct loader *loader, uint32_t i, struct inst_err *err) {
    const struct inst_value *triple = &loader->triples->u.items[i];
    const struct inst_value *items = triple->u.items;
    const struct ahead ahead = loader->ahead[i % AHEAD];
    if (!is_triple(triple)) {
        return inst_err_set(err, "validation-failed", 400, "Malformed triple");
    }
    prepare(loader, i);
    bool is_known;
    uint32_t slot = load_slot(loader, &items[1], &is_known);
    if (!is_known) {
        return INST_OK;
    }
    uint32_t e = load_entity(loader, &items[0], &ahead);
    if (!slot || !e) {
        return inst_err_nomem(err);
    }
    struct inst_value v;
    enum inst_status status = load_value(loader, slot, &items[2], &ahead, &v, err);
    if (status != INST_OK) {
        return status;
    }
    return mem_add_loaded(loader->store, e, slot, load_cell(loader, slot), &v, read_time(triple),
                          err);
}

enum inst_status inst_mem_store_load(struct inst_mem_store *store, const struct inst_value *triples,
                                     struct inst_err *err) {
    struct loader loader = {.store = store, .triples = triples};
    uint32_t count = triples->tag == INST_ARRAY ? triples->len : 0;
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < count && i < AHEAD - 1; i++) {
        look_ahead(&loader, i);
    }
    for (uint32_t i = 0; status == INST_OK && i < count; i++) {
        status = load_one(&loader, i, err);
    }
    return status;
}
