/*
 * chunks.h - a tx chunk as a value, and lookups as text (transactions.md 1).
 *
 *     chunk   {"__etype": "goals", "__ops": [op, op, ...]}
 *     op      [action, etype, id, args]  or  [action, etype, id, args, opts]
 *     action  "create" "update" "merge" "link" "unlink" "delete" "ruleParams"
 *     id      STRING (an entity id), or the pair [attr name, value]: a lookup
 *
 * A chunk is never changed: adding an op gives a new one that shares everything with the old one.
 * Whatever a chunk is built from must live as long as the arena.
 */
#ifndef INST_INSTAML_CHUNKS_H
#define INST_INSTAML_CHUNKS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>

/* A chunk of etype without ops. */
enum inst_status inst_chunk_new(struct inst_arena *arena, struct inst_value etype,
                                struct inst_value *out, struct inst_err *err);

/* chunk with one op more. args: UNDEFINED for delete. opts: kept only when truthy. */
enum inst_status inst_chunk_add(struct inst_arena *arena, const struct inst_value *chunk,
                                const char *action, struct inst_value id, struct inst_value args,
                                struct inst_value opts, struct inst_value *out,
                                struct inst_err *err);

/* What `tx[etype][key]` takes as id: the key itself, or the pair that an encoded lookup stands for.
 */
enum inst_status inst_chunk_id(struct inst_arena *arena, const char *key, size_t len,
                               struct inst_value *out, struct inst_err *err);

/* Does the text start with `lookup__`? */
bool inst_lookup_is_text(const char *text, size_t len);
/* Appends `lookup__<attr>__<JSON of value>`. */
void inst_lookup_encode(struct inst_buf *buf, const char *attr, size_t attr_len,
                        const struct inst_value *value);
/* The pair [attr, value] of such a text. The value may hold `__`, the attr may not. */
enum inst_status inst_lookup_decode(struct inst_arena *arena, const char *text, size_t len,
                                    struct inst_value *out, struct inst_err *err);

#endif
