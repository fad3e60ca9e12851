/*
 * like.h - `$like` and `$ilike` (instaql.md 2.1).
 *
 * Client: `%` any run, `_` one UTF-16 code unit, all else itself. Server: `\` takes the meaning
 * from what follows it, `_` is one character. `%` needs no backtracking but to the last one met, so
 * the cost is at most pattern times text; it is counted.
 */
#ifndef INST_INSTAQL_LIKE_H
#define INST_INSTAQL_LIKE_H

#include "base/arena.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_like;

struct inst_like_rules {
    bool ignore_case;
    bool has_escape;    /* server: `\` escapes */
    bool by_code_point; /* server: `_` is a whole character */
};

/* In arena; NULL when out of memory. A pattern that ends in an escape matches nothing. */
struct inst_like *inst_like_new(struct inst_arena *arena, const char *pattern, size_t len,
                                struct inst_like_rules rules);

/* Does the whole text match? *work grows by the comparisons made. */
bool inst_like_matches(const struct inst_like *like, const char *text, size_t len, uint64_t *work);

/* The literal bytes every match begins with (0: none, or case is ignored); points into like. */
size_t inst_like_prefix(const struct inst_like *like, const char **prefix);

#endif
