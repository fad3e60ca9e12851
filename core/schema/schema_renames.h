/*
 * schema_renames.h - which of what is gone is meant by which of what is new (transactions.md 14.4).
 * Only for schema_diff.c.
 */
#ifndef INST_SCHEMA_SCHEMA_RENAMES_H
#define INST_SCHEMA_SCHEMA_RENAMES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

#include <stddef.h>

struct inst_rename {
    struct inst_value from, to; /* "posts.title", trimmed */
};

struct inst_renames {
    const struct inst_rename *items;
    size_t count;
};

/* commands: ARRAY of "from:to", or NULL. Borrows from them. */
enum inst_status inst_renames_read(struct inst_arena *arena, const struct inst_value *commands,
                                   struct inst_renames *out, struct inst_err *err);

/* What a new attr or link was called: a position in `gone`, or -1. An entry of `gone` that is NULL
 * is taken already. */
int inst_renames_find_attr(const struct inst_renames *renames, const struct inst_value *etype,
                           const struct inst_value *label,
                           const struct inst_schema_attr *const *gone, size_t count);
int inst_renames_find_link(const struct inst_renames *renames, const struct inst_schema_link *link,
                           const struct inst_schema_link *const *gone, size_t count);

#endif
