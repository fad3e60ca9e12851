#include "triples/mem_core.h"

#include "base/date.h"

#include <stdlib.h>

/* ---- making and freeing ---- */

enum inst_status inst_mem_store_new(struct inst_attrs *attrs, struct inst_mem_options options,
                                    struct inst_mem_store **out, struct inst_err *err) {
    struct inst_mem_store *store = calloc(1, sizeof(*store));
    if (!store) {
        return inst_err_nomem(err);
    }
    store->base.ops = &mem_store_ops;
    store->options = options;
    /* Ids come from other users of an app, who must not be able to choose ones that collide. The
     * address differs from run to run, and nothing that can be observed depends on it. */
    store->seed = (uint64_t)(uintptr_t)store * 0x9E3779B97F4A7C15u;
    inst_arena_init(&store->arena);
    store->core = mem_core_new();
    mem_use_attrs(store, inst_attrs_ref(attrs),
                  calloc(inst_attrs_count(attrs) + 1, sizeof(*store->slot_of)));
    if (!store->core || !store->slot_of) {
        inst_mem_store_free(store);
        return inst_err_nomem(err);
    }
    *out = store;
    return INST_OK;
}

void inst_mem_store_free(struct inst_mem_store *store) {
    if (!store) {
        return;
    }
    mem_journal_free(store);
    mem_core_free(store->core);
    free(store->slot_of);
    inst_id_table_free(&store->by_text);
    inst_arena_free(&store->arena);
    inst_attrs_unref(store->base.attrs);
    free(store);
}

struct inst_store *inst_mem_store_as_store(struct inst_mem_store *store) {
    return &store->base;
}

/* ---- values ---- */

/* Bytes of a value's own, without the 16 of the value itself. */
static size_t own_bytes(const struct inst_value *v) {
    size_t bytes = v->tag == INST_STRING ? v->len : 0;
    for (uint32_t i = 0; v->tag == INST_ARRAY && i < v->len; i++) {
        bytes += sizeof(*v) + own_bytes(&v->u.items[i]);
    }
    for (uint32_t i = 0; v->tag == INST_OBJECT && i < v->len; i++) {
        const struct inst_member *member = &v->u.members[i];
        bytes += sizeof(*member) + member->key_len + own_bytes(&member->value);
    }
    return bytes;
}

static bool copy_value(struct inst_mem_store *store, const struct inst_value *v,
                       struct inst_value *out) {
    if (v->tag != INST_STRING) {
        store->value_bytes += own_bytes(v);
        return inst_value_dup(&store->arena, v, out);
    }
    char *bytes = inst_arena_alloc(&store->arena, v->len);
    if (!bytes) {
        return false;
    }
    if (v->len) {
        memcpy(bytes, v->u.str, v->len);
    }
    store->value_bytes += v->len;
    *out = inst_string(bytes, v->len);
    return true;
}

enum inst_status mem_value_keep(struct inst_mem_store *store, uint32_t slot_number, uint32_t e,
                                bool is_coerced, const struct inst_value *v, struct inst_value *out,
                                struct inst_err *err) {
    const struct mem_slot *slot = &store->core->slots[slot_number];
    if (is_coerced && store->options.use_date_objects && slot->attr &&
        slot->attr->checked_type == INST_CHECKED_DATE) {
        return inst_date_coerce(v, out, err);
    }
    if (!slot->is_interning || v->tag != INST_STRING) {
        return copy_value(store, v, out) ? INST_OK : inst_err_nomem(err);
    }
    const struct mem_entity *entity = mem_entity_at(store->core, e);
    if (entity->len != v->len || !mem_bytes_same(entity->text, v->u.str, v->len)) {
        e = inst_mem_store_intern(store, v->u.str, v->len);
        if (!e) {
            return inst_err_nomem(err);
        }
    }
    *out = mem_entity_value(store->core, e);
    return INST_OK;
}

/* ---- loading ---- */

enum inst_status mem_add_loaded(struct inst_mem_store *store, uint32_t e, uint32_t slot,
                                uint32_t cell, const struct inst_value *v, int64_t t,
                                struct inst_err *err) {
    struct mem_core *core = store->core;
    uint32_t triple = cell ? mem_cell_value(store, cell, v) : 0;
    if (triple) {
        mem_triple_set_time(store, triple, t);
        return INST_OK;
    }
    if (!mem_reserve(store, e, slot, cell, 0)) {
        return inst_err_nomem(err);
    }
    cell = cell ? cell : mem_cell_new(store, e, slot);
    triple = mem_triple_new(store, cell, v, t);
    if (core->slots[slot].is_link && mem_handle(v)) {
        mem_back_put(store, triple);
    }
    return INST_OK;
}

/* ---- changing ---- */

/* Drops the cell's triples except one. Room must have been reserved. */
static void clear_cell(struct inst_mem_store *store, uint32_t cell, uint32_t except) {
    uint32_t next;
    for (uint32_t n = mem_cell_at(store->core, cell)->first; n; n = next) {
        next = mem_triple_at(store->core, n)->next;
        if (n != except) {
            mem_triple_drop(store, n);
        }
    }
}

static uint32_t count_values(const struct mem_core *core, uint32_t cell) {
    uint32_t count = 0;
    uint32_t n = cell ? mem_cell_at(core, cell)->first : 0;
    for (; n; n = mem_triple_at(core, n)->next) {
        count++;
    }
    return count;
}

enum inst_status inst_mem_store_put(struct inst_mem_store *store, uint32_t e,
                                    const struct inst_attr *attr, const struct inst_value *v,
                                    int64_t new_t, struct inst_err *err) {
    struct mem_core *core = store->core;
    struct inst_value kept;
    uint32_t slot = mem_slot_make(store, attr);
    if (!slot) {
        return inst_err_nomem(err);
    }
    enum inst_status status = mem_value_keep(store, slot, e, true, v, &kept, err);
    if (status != INST_OK) {
        return status;
    }
    uint32_t cell = mem_cell_find(core, e, slot);
    uint32_t triple = cell ? mem_cell_value(store, cell, &kept) : 0;
    if (!mem_reserve(store, e, slot, cell, attr->is_many ? 0 : count_values(core, cell))) {
        return inst_err_nomem(err);
    }
    cell = cell ? cell : mem_cell_new(store, e, slot);
    if (!attr->is_many) {
        clear_cell(store, cell, triple);
    }
    if (!triple) {
        triple = mem_triple_new(store, cell, &kept, new_t);
    } else if (mem_triple_at(core, triple)->t == INST_NO_TIME) {
        mem_triple_set_time(store, triple, new_t);
    }
    if (attr->is_ref && mem_handle(&mem_triple_at(core, triple)->v) &&
        !(mem_triple_at(core, triple)->bits & TRIPLE_IN_BACK)) {
        mem_back_put(store, triple);
    }
    return INST_OK;
}

enum inst_status inst_mem_store_replace(struct inst_mem_store *store, uint32_t e,
                                        const struct inst_attr *attr, const struct inst_value *v,
                                        int64_t t, struct inst_err *err) {
    struct mem_core *core = store->core;
    struct inst_value kept;
    if (attr->is_ref) {
        return inst_err_set(err, "validation-failed", 400, "A link has no value to replace");
    }
    uint32_t slot = mem_slot_make(store, attr);
    if (!slot) {
        return inst_err_nomem(err);
    }
    enum inst_status status = mem_value_keep(store, slot, e, false, v, &kept, err);
    if (status != INST_OK) {
        return status;
    }
    uint32_t cell = mem_cell_find(core, e, slot);
    if (!mem_reserve(store, e, slot, cell, count_values(core, cell))) {
        return inst_err_nomem(err);
    }
    cell = cell ? cell : mem_cell_new(store, e, slot);
    clear_cell(store, cell, 0);
    mem_triple_new(store, cell, &kept, t);
    return INST_OK;
}

enum inst_status inst_mem_store_retract(struct inst_mem_store *store, uint32_t e,
                                        const struct inst_attr *attr, const struct inst_value *v,
                                        struct inst_err *err) {
    struct mem_core *core = store->core;
    uint32_t slot = mem_slot_find(store, attr);
    uint32_t cell = slot && mem_is_known(core, e) ? mem_cell_find(core, e, slot) : 0;
    if (!slot || !mem_is_known(core, e)) {
        return INST_OK;
    }
    uint32_t triple = cell ? mem_cell_value(store, cell, v) : 0;
    bool is_in_back = triple && (mem_triple_at(core, triple)->bits & TRIPLE_IN_BACK);
    uint32_t back = is_in_back ? triple : 0;
    if (!is_in_back && attr->is_ref && v->tag == INST_STRING) {
        uint32_t target = mem_entity_find(store, v->u.str, v->len);
        back = target ? mem_back_stale(core, e, slot, target) : 0;
    }
    if (!mem_reserve_drops(store, 1)) {
        return inst_err_nomem(err);
    }
    if (triple) {
        mem_triple_drop(store, triple);
    }
    if (back && attr->is_ref) {
        mem_back_drop(store, back);
    }
    return INST_OK;
}

/* ---- reading ---- */

bool inst_mem_store_first(struct inst_mem_store *store, uint32_t e, const struct inst_attr *attr,
                          struct inst_triple *out) {
    struct inst_cursor cursor;
    struct inst_scan scan = {.attr = attr, .e = e};
    if (e == 0 || mem_store_ops.scan(&store->base, &scan, &cursor, NULL) != INST_OK) {
        return false;
    }
    bool is_found = mem_store_ops.next(&cursor, out, NULL) == 1;
    mem_store_ops.close(&cursor);
    return is_found;
}

bool inst_mem_store_has_attr(const struct inst_mem_store *store, const char *attr_id,
                             size_t attr_len) {
    return mem_slot_find_id(store, attr_id, attr_len) != 0;
}

void inst_mem_store_each_of(struct inst_mem_store *store, uint32_t e, inst_mem_triple_fn *fn,
                            void *ctx) {
    const struct mem_core *core = store->core;
    if (!mem_is_known(core, e)) {
        return;
    }
    for (uint32_t c = mem_entity_at(core, e)->first_cell; c; c = mem_cell_at(core, c)->next_e) {
        const struct mem_cell *cell = mem_cell_at(core, c);
        const struct mem_slot *slot = &core->slots[mem_cell_slot(cell)];
        for (uint32_t n = cell->first; n; n = mem_triple_at(core, n)->next) {
            const struct mem_triple *triple = mem_triple_at(core, n);
            struct inst_triple out = {
                .e = e,
                .ref = slot->is_interning ? mem_handle(&triple->v) : 0,
                .v = triple->v,
                .t = triple->t,
                .seq = mem_place(c, n),
            };
            if (!fn(ctx, slot->attr, &out)) {
                return;
            }
        }
    }
}

struct each {
    inst_mem_triple_fn *fn;
    void *ctx;
    bool is_stopped;
};

static bool each_one(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    struct each *each = ctx;
    each->is_stopped = !each->fn(each->ctx, attr, triple);
    return !each->is_stopped;
}

void inst_mem_store_each(struct inst_mem_store *store, inst_mem_triple_fn *fn, void *ctx) {
    struct each each = {.fn = fn, .ctx = ctx};
    uint32_t e = store->core->first_entity;
    for (; e && !each.is_stopped; e = mem_entity_at(store->core, e)->next) {
        inst_mem_store_each_of(store, e, each_one, &each);
    }
}

size_t inst_mem_store_count(const struct inst_mem_store *store) { return store->core->count; }

size_t inst_mem_store_overhead(const struct inst_mem_store *store) {
    size_t bytes = sizeof(*store) + mem_core_bytes(store->core);
    bytes += inst_attrs_count(store->base.attrs) * sizeof(*store->slot_of);
    bytes += inst_id_table_bytes(&store->by_text);
    bytes += store->arena.total - store->value_bytes;
    bytes += store->entries_cap * sizeof(*store->entries);
    return bytes + store->marks_cap * sizeof(*store->marks);
}
