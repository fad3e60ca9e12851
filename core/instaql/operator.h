/*
 * operator.h - one condition on the value of a triple (instaql.md 2.1).
 */
#ifndef INST_INSTAQL_OPERATOR_H
#define INST_INSTAQL_OPERATOR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "instaql/like.h"
#include "triples/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_operator_kind {
    INST_OP_IN,
    INST_OP_NOT,
    INST_OP_IS_NULL, /* on an id triple: does its entity have a value of another attr? */
    INST_OP_GT,
    INST_OP_GTE,
    INST_OP_LT,
    INST_OP_LTE,
    INST_OP_LIKE,
    INST_OP_ID_PREFIX, /* server: the entity's id begins with these hex digits */
    INST_OP_THROWS,    /* client: what JavaScript would throw on the first candidate */
};

struct inst_operator {
    enum inst_operator_kind kind;
    bool is_date;   /* stored values are read as dates; operand and items are DATEs */
    bool is_server; /* typed comparison (instaql.md 1.8 Server), not JavaScript's */
    struct inst_value operand;
    const struct inst_value *items; /* IN: scalars, each once */
    uint32_t item_count;
    const uint32_t *index; /* IN, longer lists: open addressing over items, 0 empty */
    uint32_t index_mask;
    const struct inst_attr *null_attr; /* IS_NULL */
    bool is_reverse;                   /* IS_NULL: null_attr is read backwards */
    bool wants_null;                   /* IS_NULL: the flag */
    const struct inst_like *like;
    struct inst_value prefix; /* LIKE of the server: matches lie in [prefix, prefix_end) by bytes */
    struct inst_value prefix_end;
    const char *message; /* THROWS */
};

/* What testing needs of a run. */
struct inst_operator_run {
    struct inst_store *store;
    struct inst_buf scratch[2];
    uint64_t like_work;
};

/* Fills items from values: scalars only, each once, with an index when they are many. false: out of
 * memory. */
bool inst_operator_set_items(struct inst_operator *op, struct inst_arena *arena,
                             const struct inst_value *values, uint32_t count);

/* 1: the triple fits, 0: it does not, -1: err says why. */
int inst_operator_test(const struct inst_operator *op, struct inst_operator_run *run,
                       const struct inst_triple *triple, struct inst_err *err);

enum inst_range_kind {
    INST_RANGE_NONE,
    INST_RANGE_WIDER, /* holds all that fits, and more */
    INST_RANGE_EXACT,
};

/* The operator as one range of the attr's order (server). */
enum inst_range_kind inst_operator_range(const struct inst_operator *op, struct inst_bound *low,
                                         struct inst_bound *high);

#endif
