/*
 * mem_core.h - what the memory store is made of; only for the files mem_*.c.
 *
 *     store ── core ──┬─ entities   1.. │ text, cells (eav), backs (vae), place in eav
 *                     ├─ cells      1.. │ (e, attr): place in its entity and in its attr, triples
 *                     ├─ triples    1.. │ value, created-at, place in its cell, and
 *                     │                 │   of a link: place in its back       (next_same, ...)
 *                     │                 │   of a blob: ring of the same value  (next_same, ...)
 *                     ├─ backs      1.. │ (v, attr): who links to v
 *                     └─ slots      1.. │ per attr: cells (aev), the hash of its values
 *
 * All links are numbers. Cells and triples are numbered in order of creation and never reused, so
 * cell << 32 | triple is a triple's place in its attr's order.
 *
 * What is removed keeps its own links. Undoing goes backwards, so when a removal is undone the
 * neighbours stand as they stood then, and the record links itself in again. Rings of the same
 * value are no part of that: their order does not count (a scan sorts), so a hash that was built
 * after a change can still be maintained while the change is undone.
 *
 * A removed link triple may stay in its back (Q12); such a triple is stale: dead, in_back, and in
 * the table `stale`, by which a new triple (e, a, v) finds the place that it takes over.
 *
 * Every function that changes something first reserves all it needs, then cannot fail.
 */
#ifndef INST_TRIPLES_MEM_CORE_H
#define INST_TRIPLES_MEM_CORE_H

#include "base/arena.h"
#include "triples/id_table.h"
#include "triples/mem_store.h"
#include "triples/slab.h"

enum {
    /* An entity with more cells, and a cell with more values, is searched by hash. */
    INST_MEM_WIDE_ENTITY = 32,
    INST_MEM_WIDE_CELL = 8,
};

struct mem_entity {
    const char *text; /* the 4 bytes in front are the handle */
    uint32_t len;
    uint32_t cells; /* how many; an entity without cells is not in eav */
    uint32_t first_cell, last_cell;
    uint32_t next, prev; /* in eav */
    uint32_t first_back, last_back;
};

enum { CELL_DEAD = 1u << 31, CELL_WIDE = 1u << 30 };

struct mem_cell {
    uint32_t e;
    uint32_t slot_bits; /* slot | CELL_* */
    uint32_t next_e, prev_e;
    uint32_t next_a, prev_a;
    uint32_t first, last; /* triples */
};

enum {
    TRIPLE_DEAD = 1,
    TRIPLE_IN_BACK = 2,
    TRIPLE_UNSORTED = 4, /* of the head of a ring: the ring is not in the attr's order */
};

struct mem_triple {
    struct inst_value v;
    int64_t t;
    uint32_t cell;
    uint32_t next, prev;           /* in the cell */
    uint32_t next_same, prev_same; /* in the back, or in the ring (head.prev_same is the tail) */
    uint32_t bits;                 /* TRIPLE_* */
};

struct mem_back {
    uint32_t slot;
    uint32_t next; /* of the same entity */
    uint32_t first, last;
    bool is_unsorted; /* not in the attr's order */
};

struct mem_slot {
    struct inst_value id;         /* the attr's id text, in the arena */
    const struct inst_attr *attr; /* NULL: the catalog no longer has it */
    uint32_t first, last;         /* cells */
    uint32_t triples;
    uint32_t offset;    /* where in its entity a cell was last found: a guess */
    uint32_t follower;  /* the slot that last came behind this one while loading: a guess */
    uint32_t own;       /* triples whose value is their entity, as in an id attr */
    bool is_link;       /* a ref attr, or was one when last known */
    bool is_interning;  /* string values are entities: refs and ids */
    bool is_mixed;      /* was both link and blob: neither backs nor hash are complete */
    bool has_hash;      /* `values` is built */
    uint32_t row_stamp; /* for `row`: the call that wrote row_index */
    uint32_t row_index;
    struct inst_id_table values; /* heads of rings, by value */
};

struct mem_core {
    struct inst_slab entities, cells, triples, backs;
    struct mem_slot *slots; /* owned; [0] is unused */
    uint32_t slots_len, slots_cap;
    uint32_t first_entity, last_entity; /* eav */
    struct inst_id_table wide_cells;    /* (e, slot) -> cell */
    struct inst_id_table wide_values;   /* (cell, v) -> triple */
    struct inst_id_table stale;         /* (e, slot, v) -> triple */
    size_t count;                       /* live triples */
};

enum mem_op {
    MEM_SLOT_NEW,
    MEM_CELL_NEW, /* num: prev << 32 | next that its entity had kept, when it was out of eav */
    MEM_CELL_GONE,
    MEM_CELL_WIDENED,
    MEM_TRIPLE_NEW,
    MEM_TRIPLE_GONE,
    MEM_TRIPLE_TIME,  /* num: the former t */
    MEM_TRIPLE_VALUE, /* ptr: the former value, in the arena */
    MEM_BACK_NEW,     /* num: the entity */
    MEM_BACK_ADD,     /* num: the back was unsorted before */
    MEM_BACK_SWAP,    /* num: the stale triple that stood there, and << 32 the flag as above */
    MEM_BACK_GONE,
    MEM_SLOT_MIXED,
    MEM_CATALOG, /* ptr: struct mem_former */
};

struct mem_entry {
    uint32_t op;
    uint32_t id;
    union {
        uint64_t num;
        void *ptr;
    } was;
};

/* What a swap of the catalog replaced. */
struct mem_former {
    struct inst_attrs *attrs;
    uint32_t *slot_of;
    struct mem_core *core; /* NULL: kept */
};

struct mem_mark {
    size_t entries;
    struct inst_arena_mark arena;
    size_t value_bytes;
    uint32_t entities, cells, triples, backs;
    uint32_t holders; /* how often it was given out */
};

struct inst_mem_store {
    struct inst_store base;
    struct inst_mem_options options;
    uint64_t seed;
    struct mem_core *core;
    const struct inst_attr *attrs; /* the catalog's, by position */
    size_t attrs_len;
    uint32_t *slot_of;            /* by position in the catalog; 0: no triple yet */
    struct inst_id_table by_text; /* entities */
    struct inst_arena arena;      /* texts and values */
    size_t value_bytes;           /* of the arena: the values' own */
    uint32_t row_stamp;
    bool is_journalling;
    struct mem_entry *entries; /* owned: the journal */
    size_t entries_len, entries_cap;
    struct mem_mark *marks; /* owned; a mark's number is its index + 1 */
    size_t marks_len, marks_cap;
};

/* ---- records ---- */

static inline struct mem_entity *mem_entity_at(const struct mem_core *core, uint32_t n) {
    return (struct mem_entity *)core->entities.chunks[n >> INST_SLAB_SHIFT] +
           (n & (INST_SLAB_CHUNK - 1));
}
static inline struct mem_cell *mem_cell_at(const struct mem_core *core, uint32_t n) {
    return (struct mem_cell *)core->cells.chunks[n >> INST_SLAB_SHIFT] +
           (n & (INST_SLAB_CHUNK - 1));
}
static inline struct mem_triple *mem_triple_at(const struct mem_core *core, uint32_t n) {
    return (struct mem_triple *)core->triples.chunks[n >> INST_SLAB_SHIFT] +
           (n & (INST_SLAB_CHUNK - 1));
}
static inline struct mem_back *mem_back_at(const struct mem_core *core, uint32_t n) {
    return (struct mem_back *)core->backs.chunks[n >> INST_SLAB_SHIFT] +
           (n & (INST_SLAB_CHUNK - 1));
}
static inline bool mem_bytes_same(const char *a, const char *b, size_t n) {
    return n == 0 || memcmp(a, b, n) == 0;
}
static inline uint32_t mem_cell_slot(const struct mem_cell *cell) {
    return cell->slot_bits & ~(CELL_DEAD | CELL_WIDE);
}
static inline struct mem_slot *mem_slot_of_triple(const struct mem_core *core,
                                                  const struct mem_triple *triple) {
    return &core->slots[mem_cell_slot(mem_cell_at(core, triple->cell))];
}
/* The entity that an interned string is; 0 when v is none. */
static inline uint32_t mem_handle(const struct inst_value *v) {
    uint32_t handle = 0;
    if (v->tag == INST_STRING && (v->flags & INST_VALUE_INTERNED)) {
        memcpy(&handle, v->u.str - sizeof(handle), sizeof(handle));
    }
    return handle;
}
static inline struct inst_value mem_entity_value(const struct mem_core *core, uint32_t e) {
    const struct mem_entity *entity = mem_entity_at(core, e);
    struct inst_value v = inst_string(entity->text, entity->len);
    v.flags = INST_VALUE_INTERNED;
    return v;
}
static inline bool mem_is_known(const struct mem_core *core, uint32_t e) {
    return e != 0 && e < core->entities.count;
}
static inline uint64_t mem_place(uint32_t cell, uint32_t triple) {
    return (uint64_t)cell << 32 | triple;
}

/* ---- mem_core.c: entities, slots, cells, triples ---- */

struct mem_core *mem_core_new(void);
void mem_core_free(struct mem_core *core);
size_t mem_core_bytes(const struct mem_core *core);

uint32_t mem_text_hash(const struct inst_mem_store *store, const char *text, size_t len);
uint32_t mem_entity_find(const struct inst_mem_store *store, const char *text, size_t len);
/* Made when new; 0 when out of memory. */
uint32_t mem_entity_intern(struct inst_mem_store *store, const char *text, size_t len,
                           uint32_t hash);
/* Forgets the entities from number `count` on; they have no cells and no backs. */
void mem_entity_truncate(struct inst_mem_store *store, uint32_t count);

/* The attr's slot: 0 when no triple of it was ever there. */
uint32_t mem_slot_find_id(const struct inst_mem_store *store, const char *id, size_t len);
static inline uint32_t mem_slot_find(const struct inst_mem_store *store,
                                     const struct inst_attr *attr) {
    uint32_t at = attr->position;
    return at < store->attrs_len && store->attrs + at == attr
               ? store->slot_of[at]
               : mem_slot_find_id(store, attr->id.u.str, attr->id.len);
}
/* Made when new; 0 when out of memory. */
uint32_t mem_slot_make(struct inst_mem_store *store, const struct inst_attr *attr);
void mem_slot_undo_new(struct inst_mem_store *store, uint32_t slot);
/* Makes attrs the catalog; both are the store's now. */
void mem_use_attrs(struct inst_mem_store *store, struct inst_attrs *attrs, uint32_t *slot_of);
/* The slots' attrs and their flags, by the present catalog. */
void mem_slots_bind(struct inst_mem_store *store);

uint32_t mem_cell_search(const struct mem_core *core, uint32_t e, uint32_t slot);
/* The cell (e, slot); 0: none. Entities of a kind mostly have their cells in the same order and one
 * behind the other, so the place where the last one was found is tried first. */
static inline uint32_t mem_cell_find(const struct mem_core *core, uint32_t e, uint32_t slot) {
    uint32_t n = mem_entity_at(core, e)->first_cell + core->slots[slot].offset;
    if (n < core->cells.count) {
        const struct mem_cell *cell = mem_cell_at(core, n);
        if (cell->e == e && (cell->slot_bits & ~(uint32_t)CELL_WIDE) == slot) {
            return n;
        }
    }
    return mem_cell_search(core, e, slot);
}
/* Each of these two pairs: the change (journalled), and what undoes it. */
uint32_t mem_cell_new(struct inst_mem_store *store, uint32_t e, uint32_t slot);
void mem_cell_undo_new(struct inst_mem_store *store, const struct mem_entry *entry);
void mem_cell_drop(struct inst_mem_store *store, uint32_t cell); /* has no triples */
void mem_cell_undo_drop(struct inst_mem_store *store, uint32_t cell);

uint32_t mem_triple_new(struct inst_mem_store *store, uint32_t cell, const struct inst_value *v,
                        int64_t t);
void mem_triple_undo_new(struct inst_mem_store *store, uint32_t triple);
/* From its cell; a link stays in its back. */
void mem_triple_drop(struct inst_mem_store *store, uint32_t triple);
void mem_triple_undo_drop(struct inst_mem_store *store, uint32_t triple);
void mem_triple_set_time(struct inst_mem_store *store, uint32_t triple, int64_t t);

/* Room for dropping `drops` triples from their cells and backs. Moves no record. */
bool mem_reserve_drops(struct inst_mem_store *store, uint32_t drops);
/* Room for one new cell with one triple and its back too. Pointers to records are void after it. */
bool mem_reserve(struct inst_mem_store *store, uint32_t e, uint32_t slot, uint32_t cell,
                 uint32_t drops);

/* ---- mem_values.c: values of a cell, values of an attr ---- */

/* Has v an identity that others can share? Not arrays, objects, dates (Q17). */
static inline bool mem_is_hashable(const struct inst_value *v) { return v->tag <= INST_STRING; }
bool mem_value_same(const struct inst_value *a, const struct inst_value *b);
uint32_t mem_value_hash(const struct inst_mem_store *store, const struct inst_value *v);
/* The triple of this value in the cell; 0: none. */
uint32_t mem_cell_value(const struct inst_mem_store *store, uint32_t cell,
                        const struct inst_value *v);
/* Keep the tables in step with a triple that entered or left its cell. */
void mem_values_enter(struct inst_mem_store *store, uint32_t triple);
void mem_values_leave(struct inst_mem_store *store, uint32_t triple);
/* After a triple was added to a cell that had others. */
void mem_values_widen(struct inst_mem_store *store, uint32_t cell);
void mem_cell_undo_widen(struct inst_mem_store *store, uint32_t cell);
/* Builds the slot's hash if there is none; false when out of memory. */
bool mem_hash_build(struct inst_mem_store *store, uint32_t slot);
void mem_hash_drop(struct mem_slot *slot);
/* The first triple of the ring of this value, the ring in the attr's order; 0: none. false when
 * out of memory. */
bool mem_hash_find(struct inst_mem_store *store, uint32_t slot, const struct inst_value *v,
                   uint32_t *head);
/* Ascending. */
void mem_sort_places(uint64_t *places, size_t n);

/* ---- mem_back.c: who links where ---- */

uint32_t mem_back_find(const struct mem_core *core, uint32_t e, uint32_t slot);
/* Enters a live triple whose value is an entity; takes the place of a stale one. */
void mem_back_put(struct inst_mem_store *store, uint32_t triple);
void mem_back_drop(struct inst_mem_store *store, uint32_t triple);
/* The stale triple (e, slot, v); 0: none. */
uint32_t mem_back_stale(const struct mem_core *core, uint32_t e, uint32_t slot, uint32_t v);
/* Puts the triple into the table of stale ones or takes it out, as its bits now say. */
void mem_back_sync(struct mem_core *core, uint32_t triple, uint32_t former_bits);
void mem_back_undo(struct inst_mem_store *store, const struct mem_entry *entry);

/* ---- mem_journal.c ---- */

bool mem_journal_grow(struct inst_mem_store *store, size_t more);
static inline bool mem_journal_reserve(struct inst_mem_store *store, size_t more) {
    return !store->is_journalling || store->entries_cap - store->entries_len >= more ||
           mem_journal_grow(store, more);
}
/* Room must have been reserved. Nothing while not journalling. */
static inline void mem_journal(struct inst_mem_store *store, enum mem_op op, uint32_t id,
                               uint64_t was) {
    if (store->is_journalling) {
        store->entries[store->entries_len++] = (struct mem_entry){op, id, {.num = was}};
    }
}
void mem_former_free(struct mem_former *former);
void mem_journal_free(struct inst_mem_store *store);

/* ---- mem_store.c ---- */

/* The value as the store keeps it: dates coerced, strings copied or interned. */
enum inst_status mem_value_keep(struct inst_mem_store *store, uint32_t slot, uint32_t e,
                                bool is_coerced, const struct inst_value *v, struct inst_value *out,
                                struct inst_err *err);
/* Adds to the cell (0: to be made) without replacing, as loading does. v is kept already. */
enum inst_status mem_add_loaded(struct inst_mem_store *store, uint32_t e, uint32_t slot,
                                uint32_t cell, const struct inst_value *v, int64_t t,
                                struct inst_err *err);

/* ---- mem_scan.c ---- */

extern const struct inst_store_ops mem_store_ops;

#endif
