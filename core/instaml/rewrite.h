/*
 * rewrite.h - pending steps meet the server's attrs (transactions.md 4, session.md 5.8).
 *
 * Steps are made before the server's attrs are known, or while another client makes the same attr.
 * When the attrs arrive, an attr of ours that the server has under another id is dropped and its
 * id replaced everywhere:
 *
 *     ours                         the server's                    mapping
 *     A: goals.title               B: goals.title                  A -> B
 *     A: todos.goal (a link)       B: goals.todos, reverse todos.goal   A -> B, swapped
 *
 * The mapping is shared by all pending mutations, which are rewritten in their order.
 */
#ifndef INST_INSTAML_REWRITE_H
#define INST_INSTAML_REWRITE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_attr_mapping {
    struct inst_arena *arena;      /* where the pairs and rewritten steps go; not owned */
    struct inst_attr_replaced *at; /* on the arena */
    size_t count;
    size_t cap;
};

/* One attr id of ours and the server's. */
struct inst_attr_replaced {
    struct inst_value from;
    struct inst_value to;
    bool is_swapped; /* the server's link runs the other way */
};

void inst_attr_mapping_init(struct inst_attr_mapping *mapping, struct inst_arena *arena);
/* Ids are borrowed: they must live as long as the arena. */
enum inst_status inst_attr_mapping_add(struct inst_attr_mapping *mapping, struct inst_value from,
                                       struct inst_value to, bool is_swapped, struct inst_err *err);

/* One step with every mapped id replaced; *out is the same step when nothing applied. */
enum inst_status inst_rewrite_step(const struct inst_attr_mapping *mapping,
                                   const struct inst_value *step, struct inst_value *out,
                                   struct inst_err *err);

/* The steps of one mutation against the server's attrs; adds what it finds to the mapping.
 * is_processed: the server's attrs are known to include this mutation, so that its attr steps are
 * dropped. *out borrows from steps and the mapping's arena; *is_changed is false when it is steps
 * itself. */
enum inst_status inst_rewrite_steps(struct inst_attr_mapping *mapping,
                                    const struct inst_attrs *attrs, const struct inst_value *steps,
                                    bool is_processed, struct inst_value *out, bool *is_changed,
                                    struct inst_err *err);

#endif
