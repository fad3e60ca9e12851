/*
 * schema_plan.h - what an app lacks of a schema (transactions.md 14.1). Nothing is ever deleted or
 * renamed; names of the system are skipped.
 *
 *     namespace unknown          add-attr of its id
 *     attr unknown               add-attr with all its constraints
 *     constraints differ         update-attr, or in the background one job each
 *     type differs               check-data-type, remove-data-type (jobs)
 *     link unknown / differs     add-attr / update-attr, and a job when required differs
 */
#ifndef INST_SCHEMA_SCHEMA_PLAN_H
#define INST_SCHEMA_SCHEMA_PLAN_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"
#include "triples/attrs.h"

#include <stdbool.h>

struct inst_schema_plan {
    const struct inst_schema *schema;
    const struct inst_attrs *attrs; /* the app's */
    const struct inst_env *env;     /* new ids are made from it */
    bool checks_types;              /* value types count */
    bool is_background;             /* constraints are jobs */
};

/* ARRAY of steps. Lives in arena, borrows from schema and attrs. err: "validation-failed", 400,
 * `Validation failed for schema: ...` with its hint: a name that is taken, a link that exists the
 * other way round, a cascade at a `many` end. */
enum inst_status inst_schema_plan(struct inst_arena *arena, const struct inst_schema_plan *plan,
                                  struct inst_value *out, struct inst_err *err);

/* The schema in the shape of the API (api_schema.h), its attrs with the id null. */
enum inst_status inst_schema_as_api(struct inst_arena *arena, const struct inst_schema *schema,
                                    struct inst_value *out, struct inst_err *err);

#endif
