/*
 * attr_shape.h - an attr on its way to its wire shape (transactions.md 12.1).
 */
#ifndef INST_SCHEMA_ATTR_SHAPE_H
#define INST_SCHEMA_ATTR_SHAPE_H

#include "base/arena.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>

struct inst_attr_shape {
    struct inst_value id;      /* STRING */
    struct inst_ident forward; /* id, etype, label */
    struct inst_ident reverse; /* id UNDEFINED: none */
    enum inst_checked_type checked_type;
    bool is_ref;
    bool is_many;
    bool is_unique;
    bool is_indexed;
    bool is_required;
    bool on_delete_cascade;
    bool on_delete_reverse_cascade;
    bool is_system; /* catalog "system", else "user" */
};

/* The attr object with every member that the server always sends, and of the others those that are
 * set. Borrows the shape's strings. false when out of memory. */
bool inst_attr_shape_write(struct inst_arena *arena, const struct inst_attr_shape *shape,
                           struct inst_value *out);

#endif
