/*
 * cel_type.h - the types of CEL expressions (permissions.md 4.2), and which fits which.
 *
 *     dyn          fits everything, everything fits it; checked again at run time
 *     list(T)      map(K, V)      type(T)
 *     variable     stands for a type to be found: list elements of `[]`, %A of an overload
 *
 * Types live in the arena of the expression; the simple ones are constants.
 */
#ifndef INST_RULES_CEL_TYPE_H
#define INST_RULES_CEL_TYPE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum inst_cel_kind {
    INST_CEL_DYN,
    INST_CEL_NULL,
    INST_CEL_BOOL,
    INST_CEL_INT,
    INST_CEL_UINT,
    INST_CEL_DOUBLE,
    INST_CEL_STRING,
    INST_CEL_BYTES,
    INST_CEL_TIMESTAMP,
    INST_CEL_DURATION,
    INST_CEL_LIST,
    INST_CEL_MAP,
    INST_CEL_TYPE,
    INST_CEL_REQUEST, /* the `request` message */
    INST_CEL_BUCKET,  /* rateLimit.<name> */
    INST_CEL_VAR,
};

struct inst_cel_type {
    enum inst_cel_kind kind;
    uint32_t var;                  /* VAR: its number */
    const struct inst_cel_type *a; /* LIST: element; MAP: key; TYPE: what it is of, or NULL */
    const struct inst_cel_type *b; /* MAP: value */
};

/* What the variables of one expression stand for; grows in its arena. */
struct inst_cel_vars {
    struct inst_arena *arena;
    const struct inst_cel_type **bound; /* by number; NULL: not known */
    uint32_t count;
    uint32_t cap;
    bool failed; /* out of memory */
};

/* The constant of a kind without parts. */
const struct inst_cel_type *inst_cel_simple(enum inst_cel_kind kind);
/* NULL, and vars->failed, when out of memory. */
const struct inst_cel_type *inst_cel_list_of(struct inst_cel_vars *vars,
                                             const struct inst_cel_type *element);
const struct inst_cel_type *inst_cel_map_of(struct inst_cel_vars *vars,
                                            const struct inst_cel_type *key,
                                            const struct inst_cel_type *value);
const struct inst_cel_type *inst_cel_type_of(struct inst_cel_vars *vars,
                                             const struct inst_cel_type *type);
const struct inst_cel_type *inst_cel_new_var(struct inst_cel_vars *vars);

/* What a bound variable stands for, else the type itself. */
const struct inst_cel_type *inst_cel_resolve(const struct inst_cel_vars *vars,
                                             const struct inst_cel_type *type);
/* Can a value of `from` stand where `to` is wanted? Binds variables on the way; when the answer is
 * no, what was bound meanwhile must be undone by the caller (inst_cel_undo). */
bool inst_cel_fits(struct inst_cel_vars *vars, const struct inst_cel_type *from,
                   const struct inst_cel_type *to);
/* The type of something that is one or the other; dyn when they do not go together. */
const struct inst_cel_type *inst_cel_common(struct inst_cel_vars *vars,
                                            const struct inst_cel_type *one,
                                            const struct inst_cel_type *other);
bool inst_cel_same(const struct inst_cel_vars *vars, const struct inst_cel_type *one,
                   const struct inst_cel_type *other);

/* A copy of the bindings, and back to it. NULL when out of memory. */
const struct inst_cel_type **inst_cel_save(struct inst_cel_vars *vars);
void inst_cel_undo(struct inst_cel_vars *vars, const struct inst_cel_type **saved,
                   uint32_t saved_count);

/* "map(string, dyn)"; free variables as dyn. */
void inst_cel_type_text(const struct inst_cel_vars *vars, const struct inst_cel_type *type,
                        struct inst_buf *out);

#endif
