/*
 * interval.h - ranges over points, asked which of them hold a point.
 *
 *                 [10, 20]             a treap ordered by (low, number of the range);
 *                 max 90               every node knows the highest `high` below it, so a
 *               /         \            question skips whole subtrees
 *          [3, 90]      [15, 15]
 *          max 90       max 15
 *
 * O(log n + answers) a question, O(log n) to add or remove. Strings of bounds are copied.
 */
#ifndef INST_SERVER_INTERVAL_H
#define INST_SERVER_INTERVAL_H

#include "server/point.h"

struct inst_interval {
    struct inst_point low, high; /* both ends included */
    void *owner;
    size_t place; /* the owner's, for it to find the range again */
    /* the tree's own */
    struct inst_point max; /* borrowed from a node's high */
    uint64_t number;
    uint32_t weight;
    struct inst_interval *left, *right;
};

struct inst_intervals {
    struct inst_interval *root;
    size_t count;
    uint64_t next_number;
};

/* NULL when out of memory. */
struct inst_interval *inst_intervals_add(struct inst_intervals *set, const struct inst_point *low,
                                         const struct inst_point *high, void *owner);
void inst_intervals_remove(struct inst_intervals *set, struct inst_interval *interval);
/* Calls back for every range that holds the point; UNKNOWN is held by all. */
void inst_intervals_ask(const struct inst_intervals *set, const struct inst_point *point,
                        void (*fn)(void *ctx, void *owner), void *ctx);

#endif
