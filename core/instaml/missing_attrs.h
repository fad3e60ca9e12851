/*
 * missing_attrs.h - attrs that a transaction needs and nobody has made yet (transactions.md 2.2).
 *
 *     catalog ──put──> catalog' ──put──> catalog''     each new attr joins what later ops see
 *        └ add-attr ──────┴ add-attr ──────┘            and becomes one step
 */
#ifndef INST_INSTAML_MISSING_ATTRS_H
#define INST_INSTAML_MISSING_ATTRS_H

#include "instaml/transform.h"

/* A lookup in entity position; is_lookup false: a plain id. */
struct inst_tx_lookup {
    bool is_lookup;
    struct inst_value name; /* attr name, mostly a STRING */
    struct inst_value value;
};

/* Reads what stands for an entity: an id, an encoded lookup, a pair, an object with one entry. */
enum inst_status inst_tx_lookup_of(struct inst_arena *arena, const struct inst_value *eid,
                                   struct inst_tx_lookup *out, struct inst_err *err);

/* The link that a dotted lookup name goes through: `author` of "author.id". *is_ref_lookup false:
 * not such a name (no dot, or an attr of the full name exists). */
enum inst_status inst_tx_ref_lookup(const struct inst_attrs *attrs, const struct inst_value *etype,
                                    const struct inst_value *name, bool *is_ref_lookup,
                                    struct inst_value *label, struct inst_err *err);

/* Members of an op's argument map, or an error for what is no map. */
enum inst_status inst_tx_args(const struct inst_value *etype, const struct inst_value *args,
                              struct inst_err *err);

/* ops: `count` ops, each checked to be [STRING action, STRING etype, id, ...]. Adds the add-attr
 * steps to steps; *out is the catalog with the new attrs, one reference. */
enum inst_status inst_tx_missing_attrs(struct inst_arena *arena,
                                       const struct inst_tx_context *context,
                                       const struct inst_value *const *ops, size_t count,
                                       struct inst_array_builder *steps, struct inst_attrs **out,
                                       struct inst_err *err);

#endif
