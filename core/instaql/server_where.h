/*
 * server_where.h - the conditions of a form as the server groups them.
 *
 *     {a: 1, or: [{b: 2, c: 3}, {d: {$not: 4}}]}
 *
 *     a = 1
 *     or ─┬─ and ─┬─ b = 2
 *         │       └─ c = 3
 *         ├─ d is not 4
 *         └─ d is null
 *
 * Lists of one element are that element, an `or` in an `or` is part of it, and so for `and`.
 */
#ifndef INST_INSTAQL_SERVER_WHERE_H
#define INST_INSTAQL_SERVER_WHERE_H

#include "base/arena.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_cond_kind { INST_COND_VALUE, INST_COND_OR, INST_COND_AND };

struct inst_cond {
    enum inst_cond_kind kind;
    const char *path; /* VALUE: dotted */
    size_t path_len;
    struct inst_value v; /* VALUE: a scalar, or an object whose first key counts */
    struct inst_cond *items;
    uint32_t count;
};

enum inst_where_problem {
    INST_WHERE_OK,
    INST_WHERE_NOMEM,
    INST_WHERE_TOO_DEEP,
    INST_WHERE_EMPTY_OR,
    INST_WHERE_EMPTY_AND,
    INST_WHERE_NO_MAP, /* an element of a list is no object */
};

/* where: an OBJECT. out gets its conditions, AND-ed. */
enum inst_where_problem inst_server_where(struct inst_arena *arena, const struct inst_attrs *attrs,
                                          const struct inst_value *etype,
                                          const struct inst_value *where, struct inst_cond **out,
                                          uint32_t *count);

#endif
