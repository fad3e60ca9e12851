/*
 * transform.h - tx chunks become tx-steps (transactions.md 2).
 *
 *     chunks ──flatten──> ops ──pass 1: lookups──┐
 *                          │  ──pass 2: objects──┴──> add-attr steps, in order of discovery
 *                          └──expand against old and new attrs──> data steps, in op order
 *
 * The result is [...add-attr steps, ...data steps]. It is a pure function of its input but for the
 * ids of new attrs.
 */
#ifndef INST_INSTAML_TRANSFORM_H
#define INST_INSTAML_TRANSFORM_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"
#include "triples/mem_store.h"

#include <stdbool.h>
#include <stddef.h>

/* Is the entity known although no store shows it? eid: STRING, or the pair [attr id, value]. */
typedef bool inst_tx_known_fn(void *ctx, const struct inst_value *etype,
                              const struct inst_value *eid);

/* What is known when chunks are transformed; nothing is changed. */
struct inst_tx_context {
    struct inst_attrs *attrs;             /* with pending attr steps applied */
    const struct inst_value *schema;      /* schema JSON (transactions.md 13.1) or NULL */
    struct inst_mem_store *const *stores; /* of all active results: does an entity exist? */
    size_t store_count;                   /* */
    inst_tx_known_fn *is_known;           /* asked when no store has the entity; may be NULL */
    void *is_known_ctx;                   /* */
    bool use_date_objects;                /* create and update parse values of date attrs */
    /* The admin API's rules (transactions.md 11): modes come from options alone, lookups go through
     * forward labels only, ruleParams makes no attrs; ops may be add-attr and delete-attr. */
    bool is_admin;
    const struct inst_env *env; /* randomness for attr ids */
};

/* chunks: one chunk or an ARRAY of them. *out is an ARRAY of steps on the arena; it borrows from
 * chunks, and from nothing else. err: type "validation-failed", the official client's texts. */
enum inst_status inst_tx_transform(struct inst_arena *arena, const struct inst_tx_context *context,
                                   const struct inst_value *chunks, struct inst_value *out,
                                   struct inst_err *err);

/* Data steps of ops whose attrs are all in `attrs`; they are added to steps. Each op is an ARRAY as
 * missing_attrs.h wants it, with is_admin also ["add-attr", attr] and ["delete-attr", id]. When it
 * fails *refused is the lookup or the action that the error is about, or NULL; may be NULL. */
enum inst_status inst_tx_expand(struct inst_arena *arena, const struct inst_tx_context *context,
                                const struct inst_attrs *attrs, const struct inst_value *const *ops,
                                size_t count, struct inst_array_builder *steps,
                                const struct inst_value **refused, struct inst_err *err);

#endif
