/*
 * date.h - what JavaScript and the official client make of date text (instaql.md 1.7).
 * All times are milliseconds since the epoch as doubles; NaN is an invalid date. The local zone is
 * UTC: nothing here reads the machine's zone.
 */
#ifndef INST_BASE_DATE_H
#define INST_BASE_DATE_H

#include "base/err.h"
#include "base/value.h"

#include <stddef.h>

/* "engine(s)": `new Date(text).getTime()` as V8 parses it. */
double inst_date_engine_parse(const char *text, size_t len);

/* The client's coerceToDate: null stays NULL, a date, number or string becomes INST_DATE. Fails
 * with the client's own messages (type "validation-failed", 400). */
enum inst_status inst_date_coerce(const struct inst_value *v, struct inst_value *out,
                                  struct inst_err *err);

#define INST_DATE_TEXT_MAX 32
/* toISOString; returns 0 for an invalid date. NUL-terminated. */
size_t inst_date_iso(double ms, char out[INST_DATE_TEXT_MAX]);

#endif
