/*
 * admin_steps.h - what `POST /admin/transact` takes becomes tx-steps (transactions.md 11).
 *
 *     [action, etype, eid, args?, opts?]  ─shape─ lookups ─ missing attrs ─ expand ─> tx-steps
 *     eid: uuid, [label, value], {label: value}, "lookup__<label>__<json>"
 *
 * The rules are those of the client's transform (instaml/transform.h) in its admin form; what is
 * wrong is said in the original's words.
 */
#ifndef INST_SERVER_ADMIN_STEPS_H
#define INST_SERVER_ADMIN_STEPS_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>

struct inst_admin_steps {
    const struct inst_env *env;
    struct inst_attrs *attrs; /* of the app; borrowed */
    bool throw_on_missing;    /* a label that the app does not have is an error, not a new attr */
};

/* *out is an ARRAY on the arena: add-attr steps, then the others. Borrows from steps. */
enum inst_status inst_admin_steps_to_tx(struct inst_arena *arena,
                                        const struct inst_admin_steps *context,
                                        const struct inst_value *steps, struct inst_value *out,
                                        struct inst_err *err);

#endif
