/*
 * schema_attrs.h - a schema becomes the attrs of a new app (transactions.md 13.2, 14.1).
 *
 *     entity          id attr: blob, unique
 *     its attrs       blobs with index?, unique?, required?, checked-data-type
 *     link            ref: cardinality from the forward `has`, unique? from the reverse one,
 *                     cascades, required?
 *
 * What the system catalog has already ($users.email, $files.path ...) is left out.
 */
#ifndef INST_SCHEMA_SCHEMA_ATTRS_H
#define INST_SCHEMA_SCHEMA_ATTRS_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

/* ARRAY of attr objects in wire shape: the id attrs, then the blobs, then the refs, each in the
 * schema's order; ids are made from env. Lives in arena, borrows from the schema.
 *
 * err: "validation-failed", 400, `Validation failed for schema: ...` with the hint of
 * transactions.md 10.2: a name that two attrs claim, a cascade on a `many` end; for attributes: a
 * namespace with a $ that the system does not have; a required attr of a system namespace. */
enum inst_status inst_schema_attrs(struct inst_arena *arena, const struct inst_schema *schema,
                                   const struct inst_env *env, struct inst_value *out,
                                   struct inst_err *err);

#endif
