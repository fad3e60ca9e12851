/*
 * schema_check.h - what the official tools refuse before they push a schema (transactions.md 14.3).
 */
#ifndef INST_SCHEMA_SCHEMA_CHECK_H
#define INST_SCHEMA_SCHEMA_CHECK_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

#include <stdbool.h>

/* {etype: [label, ...]} of every system attr among attrs (ARRAY in wire shape), seen from both of
 * its ends. Lives in arena, borrows from attrs. */
enum inst_status inst_schema_system_names(struct inst_arena *arena, const struct inst_value *attrs,
                                          struct inst_value *out, struct inst_err *err);
/* Is it one of them? */
bool inst_schema_is_system_name(const struct inst_value *system_names,
                                const struct inst_value *etype, const struct inst_value *label);

/* The first problem, in the official tools' words. err: "validation-failed", 400. */
enum inst_status inst_schema_check(const struct inst_schema *schema,
                                   const struct inst_value *system_names, struct inst_err *err);

#endif
