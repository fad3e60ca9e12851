#include "triples/mem_core.h"

#include <stdlib.h>

#define KEPT_ENTRIES 4096u

/* Room for `more` elements behind len; false when out of memory. */
static bool grow(void **list, size_t size, size_t len, size_t *cap, size_t more) {
    if (*cap - len >= more) {
        return true;
    }
    size_t need = *cap ? *cap * 2 : 32;
    while (need - len < more) {
        need *= 2;
    }
    void *longer = need <= SIZE_MAX / 2 / size ? realloc(*list, need * size) : NULL;
    if (!longer) {
        return false;
    }
    *list = longer;
    *cap = need;
    return true;
}

bool mem_journal_grow(struct inst_mem_store *store, size_t more) {
    void *list = store->entries;
    bool has_room =
        grow(&list, sizeof(*store->entries), store->entries_len, &store->entries_cap, more);
    store->entries = list;
    return has_room;
}

void mem_former_free(struct mem_former *former) {
    if (former) {
        inst_attrs_unref(former->attrs);
        free(former->slot_of);
        mem_core_free(former->core);
        free(former);
    }
}

/* What was changed can no longer be undone. */
static void forget_entries(struct inst_mem_store *store) {
    for (size_t i = 0; i < store->entries_len; i++) {
        if (store->entries[i].op == MEM_CATALOG) {
            mem_former_free(store->entries[i].was.ptr);
        }
    }
    store->entries_len = 0;
}

void mem_journal_free(struct inst_mem_store *store) {
    forget_entries(store);
    free(store->entries);
    free(store->marks);
}

/* Is everything as it was at this mark? */
static bool is_at(const struct inst_mem_store *store, const struct mem_mark *mark) {
    struct inst_arena_mark now = inst_arena_mark(&store->arena);
    return store->entries_len == mark->entries && now.block == mark->arena.block &&
           now.used == mark->arena.used;
}

uint64_t inst_mem_store_mark(struct inst_mem_store *store) {
    const struct mem_core *core = store->core;
    if (store->marks_len && is_at(store, &store->marks[store->marks_len - 1])) {
        store->marks[store->marks_len - 1].holders++;
        return store->marks_len;
    }
    void *list = store->marks;
    bool has_room = grow(&list, sizeof(*store->marks), store->marks_len, &store->marks_cap, 1);
    store->marks = list;
    if (!has_room) {
        return 0;
    }
    store->marks[store->marks_len++] = (struct mem_mark){
        .entries = store->entries_len,
        .arena = inst_arena_mark(&store->arena),
        .value_bytes = store->value_bytes,
        .entities = core->entities.count,
        .cells = core->cells.count,
        .triples = core->triples.count,
        .backs = core->backs.count,
        .holders = 1,
    };
    store->is_journalling = true;
    return store->marks_len;
}

static void undo_catalog(struct inst_mem_store *store, struct mem_former *former) {
    if (former->core) {
        mem_entity_truncate(store, former->core->entities.count);
        mem_core_free(store->core);
        store->core = former->core;
    }
    inst_attrs_unref(store->base.attrs);
    free(store->slot_of);
    mem_use_attrs(store, former->attrs, former->slot_of);
    free(former);
    mem_slots_bind(store);
}

static void undo_value(struct inst_mem_store *store, uint32_t n, const struct inst_value *was) {
    struct mem_triple *triple = mem_triple_at(store->core, n);
    struct mem_slot *slot = mem_slot_of_triple(store->core, triple);
    uint32_t e = mem_cell_at(store->core, triple->cell)->e;
    slot->own -= mem_handle(&triple->v) == e;
    triple->v = *was;
    slot->own += mem_handle(&triple->v) == e;
}

static void undo(struct inst_mem_store *store, const struct mem_entry *entry) {
    switch ((enum mem_op)entry->op) {
    case MEM_SLOT_NEW:
        mem_slot_undo_new(store, entry->id);
        break;
    case MEM_CELL_NEW:
        mem_cell_undo_new(store, entry);
        break;
    case MEM_CELL_GONE:
        mem_cell_undo_drop(store, entry->id);
        break;
    case MEM_CELL_WIDENED:
        mem_cell_undo_widen(store, entry->id);
        break;
    case MEM_TRIPLE_NEW:
        mem_triple_undo_new(store, entry->id);
        break;
    case MEM_TRIPLE_GONE:
        mem_triple_undo_drop(store, entry->id);
        break;
    case MEM_TRIPLE_TIME:
        mem_triple_at(store->core, entry->id)->t = (int64_t)entry->was.num;
        break;
    case MEM_TRIPLE_VALUE:
        undo_value(store, entry->id, entry->was.ptr);
        break;
    case MEM_BACK_NEW:
    case MEM_BACK_ADD:
    case MEM_BACK_SWAP:
    case MEM_BACK_GONE:
        mem_back_undo(store, entry);
        break;
    case MEM_SLOT_MIXED:
        store->core->slots[entry->id].is_mixed = false;
        break;
    case MEM_CATALOG:
        undo_catalog(store, entry->was.ptr);
        break;
    }
}

/* One huge change must not leave its journal's memory behind for good. */
static void shrink(struct inst_mem_store *store) {
    if (store->entries_cap <= KEPT_ENTRIES || store->entries_len > store->entries_cap / 4) {
        return;
    }
    size_t cap = store->entries_cap / 2;
    struct mem_entry *entries = realloc(store->entries, cap * sizeof(*entries));
    if (entries) {
        store->entries = entries;
        store->entries_cap = cap;
    }
}

enum inst_status inst_mem_store_rollback(struct inst_mem_store *store, uint64_t mark,
                                         struct inst_err *err) {
    if (mark == 0 || mark > store->marks_len) {
        return inst_err_set(err, "validation-failed", 400, "No such mark");
    }
    const struct mem_mark *to = &store->marks[mark - 1];
    while (store->entries_len > to->entries) {
        undo(store, &store->entries[--store->entries_len]);
    }
    mem_entity_truncate(store, to->entities);
    inst_slab_truncate(&store->core->cells, to->cells);
    inst_slab_truncate(&store->core->triples, to->triples);
    inst_slab_truncate(&store->core->backs, to->backs);
    inst_arena_rewind(&store->arena, to->arena);
    store->value_bytes = to->value_bytes;
    store->marks_len = mark;
    shrink(store);
    return INST_OK;
}

void inst_mem_store_release(struct inst_mem_store *store, uint64_t mark) {
    if (mark == 0 || mark > store->marks_len) {
        return;
    }
    store->marks_len = mark;
    if (--store->marks[mark - 1].holders == 0) {
        store->marks_len--;
    }
    if (store->marks_len == 0) {
        forget_entries(store);
        shrink(store);
        store->is_journalling = false;
    }
}
