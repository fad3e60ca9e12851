/*
 * mem_store.h - the client's store: everything in memory, in the order the official client keeps.
 *
 *     entity e ──> cell(e,a1) ──> cell(e,a2) ...      eav: cells of an entity, in insertion order
 *                     │                               aev: cells of an attr, in insertion order
 *                     └──> triple ──> triple          values of the cell, in insertion order
 *     entity v ──> back(v,a) ──> e, e, ...            vae: who links here; may be stale (Q12)
 *
 * A cell that loses its last value stays (Q11); a cell is shared by eav and aev, whose inner maps
 * always change together. Lookups by value go through a hash that is built for an attr on first
 * use. Results of the scans come in the official client's order: a fixed value gives its triples in
 * the attr's insertion order.
 *
 * Changes can be journalled: mark, change, roll back. Rolling back restores the exact former state,
 * order included, and frees what the changes allocated; its cost is that of the changes.
 */
#ifndef INST_TRIPLES_MEM_STORE_H
#define INST_TRIPLES_MEM_STORE_H

#include "triples/store.h"

struct inst_mem_store; /* its first member is struct inst_store */

struct inst_mem_options {
    bool use_date_objects; /* values of attrs checked as date become DATE on load and on write */
};

/* Holds its own reference to attrs. */
enum inst_status inst_mem_store_new(struct inst_attrs *attrs, struct inst_mem_options options,
                                    struct inst_mem_store **out, struct inst_err *err);
void inst_mem_store_free(struct inst_mem_store *store);
struct inst_store *inst_mem_store_as_store(struct inst_mem_store *store);

/* Adds triples `[e, a, v, t?]` as createStore does: in order, unknown attrs skipped, no
 * cardinality-one replacement. Copies. Fails on a date that cannot be parsed. Not journalled: only
 * before the first mark. */
enum inst_status inst_mem_store_load(struct inst_mem_store *store, const struct inst_value *triples,
                                     struct inst_err *err);

/* ---- changing ----
 * e is a handle; each call is done wholly or, failing, not at all, except delete_entity and
 * set_attrs, which may stop half-way when out of memory: mark first. Without marks, the memory of
 * what is replaced is given back only with the store. */

/* Handle for an id text, made when new; 0 only when out of memory. */
uint32_t inst_mem_store_intern(struct inst_mem_store *store, const char *id, size_t len);
/* addTriple after lookups were resolved: cardinality one replaces the cell's values (the replaced
 * value's vae entry stays, Q12). t: kept from an identical triple that has one, else new_t. */
enum inst_status inst_mem_store_put(struct inst_mem_store *store, uint32_t e,
                                    const struct inst_attr *attr, const struct inst_value *v,
                                    int64_t new_t, struct inst_err *err);
/* Replaces the whole cell of a blob attr by one value with this t (deep merge). A link fails. */
enum inst_status inst_mem_store_replace(struct inst_mem_store *store, uint32_t e,
                                        const struct inst_attr *attr, const struct inst_value *v,
                                        int64_t t, struct inst_err *err);
/* Removes the exact triple from eav, aev and vae; nothing when absent. */
enum inst_status inst_mem_store_retract(struct inst_mem_store *store, uint32_t e,
                                        const struct inst_attr *attr, const struct inst_value *v,
                                        struct inst_err *err);
/* delete-entity with its cascades (instaql.md 1.6); etype UNDEFINED: every namespace. Cycles end.
 */
enum inst_status inst_mem_store_delete_entity(struct inst_mem_store *store, uint32_t e,
                                              const struct inst_value *etype, struct inst_err *err);
/* Swaps the catalog. rebuild: re-index all triples in eav order as upstream does after
 * update-attr and delete-attr, dropping those of unknown attrs. */
enum inst_status inst_mem_store_set_attrs(struct inst_mem_store *store, struct inst_attrs *attrs,
                                          bool rebuild, struct inst_err *err);

/* ---- reading beyond the Store interface ---- */

/* First value of (e, attr): false when there is none. */
bool inst_mem_store_first(struct inst_mem_store *store, uint32_t e, const struct inst_attr *attr,
                          struct inst_triple *out);
/* The first entity, in the attr's order, with a triple of this attr whose value is the same. attr
 * is known by its id text, since lookups name attrs that may be unknown. 0: none. */
uint32_t inst_mem_store_lookup(struct inst_mem_store *store, const char *attr_id, size_t attr_len,
                               const struct inst_value *v);
/* Did the store ever hold a triple of this attr ("aev[x] exists")? */
bool inst_mem_store_has_attr(const struct inst_mem_store *store, const char *attr_id,
                             size_t attr_len);
/* Calls back for every triple of e, in eav order; false from the callback stops. attr is NULL when
 * the catalog no longer has it. The callback must not change the store. */
typedef bool inst_mem_triple_fn(void *ctx, const struct inst_attr *attr,
                                const struct inst_triple *triple);
void inst_mem_store_each_of(struct inst_mem_store *store, uint32_t e, inst_mem_triple_fn *fn,
                            void *ctx);
/* Every triple, in eav order. */
void inst_mem_store_each(struct inst_mem_store *store, inst_mem_triple_fn *fn, void *ctx);
size_t inst_mem_store_count(const struct inst_mem_store *store);
/* Bytes of all its memory without those of the values' own text. */
size_t inst_mem_store_overhead(const struct inst_mem_store *store);

/* ---- undo ---- */

/* Starts journalling on first use. Marks nest; a rollback goes back to a mark and forgets later
 * ones. A mark stays good after going back to it; marking twice without a change between gives the
 * same mark. 0 when out of memory. */
uint64_t inst_mem_store_mark(struct inst_mem_store *store);
enum inst_status inst_mem_store_rollback(struct inst_mem_store *store, uint64_t mark,
                                         struct inst_err *err);
/* Forgets the mark and later ones and keeps the changes: as often as the mark was given out. With
 * the last mark journalling ends. */
void inst_mem_store_release(struct inst_mem_store *store, uint64_t mark);

#endif
