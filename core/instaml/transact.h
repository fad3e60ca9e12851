/*
 * transact.h - tx-steps change a store (transactions.md 5, instaql.md 1.3).
 *
 *     steps ──filter by mode, against the store as it was──> steps that count ──one by one──> store
 *                                                            any of them fails: nothing is applied
 *
 * This is what the official client does with its own pending steps before the server has seen them.
 * What cannot be known here is left out in silence: a lookup that finds nothing, a triple of an
 * unknown attr, a merge into nothing. Uniqueness, required attrs and types are not checked.
 */
#ifndef INST_INSTAML_TRANSACT_H
#define INST_INSTAML_TRANSACT_H

#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/mem_store.h"

/* Makes created-at times of new triples: ten times the clock's milliseconds, so larger than any of
 * the server's, and each larger than the one before, whatever the clock does. Zero-initialise; one
 * for all stores of a client. */
struct inst_created_at {
    int64_t count; /* times made so far */
    int64_t last;
};

/* Applies steps, an ARRAY of tx-steps. Fails with type "Error" and the official client's message
 * ("unhandled transaction action: ...", "merge operation is not supported for links", unparsable
 * dates), or "validation-failed" for a step that is no step; the store is then as it was. The
 * store's catalog (store->attrs) may be another one afterwards. Copies what it keeps. */
enum inst_status inst_transact(struct inst_mem_store *store, const struct inst_value *steps,
                               const struct inst_env *env, struct inst_created_at *counter,
                               struct inst_err *err);

#endif
