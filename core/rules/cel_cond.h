/*
 * cel_cond.h - conditions on rows, as cel_where.c puts them together.
 *
 * ALWAYS and NEVER are folded away where they meet others, lists in lists of their kind are taken
 * apart. Immutable; everything lives in the arena.
 */
#ifndef INST_RULES_CEL_COND_H
#define INST_RULES_CEL_COND_H

#include "base/arena.h"
#include "base/value.h"

enum inst_cel_cond_kind {
    INST_CEL_C_ALWAYS,
    INST_CEL_C_NEVER,
    INST_CEL_C_IS, /* path op v */
    INST_CEL_C_AND,
    INST_CEL_C_OR,
};

struct inst_cel_cond {
    enum inst_cel_cond_kind kind;
    const char *path; /* IS: dotted */
    size_t path_len;
    const char *op; /* "$not", "$isNull" ...; NULL: equal */
    struct inst_value v;
    const struct inst_cel_cond **items; /* AND, OR: at least two */
    uint32_t count;
};

extern const struct inst_cel_cond inst_cel_always, inst_cel_never;

/* All give NULL when out of memory. */
const struct inst_cel_cond *inst_cel_cond_is(struct inst_arena *arena, const char *path,
                                             size_t path_len, const char *op, struct inst_value v);
/* kind: AND or OR. */
const struct inst_cel_cond *inst_cel_cond_join(struct inst_arena *arena,
                                               enum inst_cel_cond_kind kind,
                                               const struct inst_cel_cond *const *items,
                                               size_t count);
/* As an InstaQL `where`; not of ALWAYS and NEVER. false: out of memory. */
bool inst_cel_cond_where(struct inst_arena *arena, const struct inst_cel_cond *cond,
                         struct inst_value *out);

#endif
