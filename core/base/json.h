/*
 * json.h - bytes to values, strictly; values to bytes, as JavaScript writes them.
 *
 * Reading accepts RFC 8259 and nothing else, in one pass over a copy on the arena, in which strings
 * are unescaped in place; it goes no deeper than INST_JSON_MAX_DEPTH. Left open by the RFC and
 * decided here: a number too large for a double is refused (it would not survive being written
 * again), one too small becomes 0; a lone \u surrogate is accepted, as JSON.parse accepts it;
 * broken UTF-8, UTF-16 and a byte-order mark are refused; of a repeated key the last value counts,
 * at the place of the first. Keys are in JavaScript's order.
 */
#ifndef INST_BASE_JSON_H
#define INST_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

/* Limits on what comes from outside. */
#define INST_JSON_MAX_DEPTH 500
#define INST_JSON_MAX_BYTES (32u << 20)

/* Parses one JSON text. Strings of the result live in arena (they never borrow from bytes).
 * err: type "param-malformed", status 400, message `Invalid JSON at byte 17: expected a value`
 * (offset from 0). A failed parse leaves out and arena as they were. */
enum inst_status inst_json_parse(struct inst_arena *arena, const char *bytes, size_t len,
                                 struct inst_value *out, struct inst_err *err);

/* JSON.stringify: no spaces, JavaScript numbers, UNDEFINED members left out (in arrays: null),
 * NaN and infinities null, dates as ISO strings (invalid: null). Escapes only `"`, `\`, control
 * characters and lone surrogates. ENTITY is written as null: resolve it first. What is no UTF-8 in
 * a string comes out as U+FFFD, so the output is always JSON. Recurses as deep as v is. */
void inst_json_write(struct inst_buf *buf, const struct inst_value *v);
/* JSON.stringify(v, null, 2), for files that people read. level: how far in the text around it is;
 * the first line is not indented. */
void inst_json_write_indented(struct inst_buf *buf, const struct inst_value *v, unsigned level);
/* One string with its quotes. */
void inst_json_write_string(struct inst_buf *buf, const char *str, size_t len);

#endif
