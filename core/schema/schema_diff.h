/*
 * schema_diff.h - what turns one schema into another (transactions.md 14.4).
 *
 *     old, new, renames ─diff─> txs ─steps, with the app's attrs─> [[op, params], ...]
 *                                                                        └─describe─> a sentence
 *
 * A tx names attrs by namespace and label, a step by id. Only attr steps are transactions; the
 * others are jobs (transactions.md 14.5). Names of the system are skipped everywhere.
 */
#ifndef INST_SCHEMA_SCHEMA_DIFF_H
#define INST_SCHEMA_SCHEMA_DIFF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

struct inst_schema_diff {
    const struct inst_schema *before;
    const struct inst_schema *after;
    const struct inst_value *renames;      /* ARRAY of "posts.title:posts.name", or NULL */
    const struct inst_value *system_names; /* schema_check.h */
};

/* ARRAY of migration txs, in the order of the official tools. What is gone and what is new are one
 * attr only where renames say so. Lives in arena, borrows from both schemas and renames.
 * err: "validation-failed", 400, for a rename that cannot be read. */
enum inst_status inst_schema_diff(struct inst_arena *arena, const struct inst_schema_diff *diff,
                                  struct inst_value *out, struct inst_err *err);

/* ARRAY of steps as `POST schema/steps/apply` takes them. attrs: ARRAY of the app's attrs in wire
 * shape; new ids are made from env. err: "validation-failed", 400, `Attribute posts.x not found`.
 */
enum inst_status inst_schema_steps(struct inst_arena *arena, const struct inst_value *txs,
                                   const struct inst_value *attrs, const struct inst_env *env,
                                   struct inst_value *out, struct inst_err *err);

/* One step in a sentence for people. Where the original says `undefined.undefined` (a changed link
 * that keeps its name) this has the name that the attr's id has among attrs. */
void inst_schema_describe(struct inst_buf *buf, const struct inst_value *step,
                          const struct inst_value *attrs);

#endif
