/*
 * query_validation.h - what the client refuses in a query (instaql.md 2.4).
 *
 * The first problem in key order is reported, in the official client's words, with the path to it.
 */
#ifndef INST_SCHEMA_QUERY_VALIDATION_H
#define INST_SCHEMA_QUERY_VALIDATION_H

#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

/* schema NULL: only what needs none. err: "validation-failed", 400 (a QueryValidationError). */
enum inst_status inst_query_validate(const struct inst_value *query,
                                     const struct inst_schema *schema, struct inst_err *err);

#endif
