/*
 * sort.h - rows in order (instaql.md 1.8, 3.5).
 *
 * TimSort, as JavaScript engines have it, down to which pairs are compared: where the comparison is
 * inconsistent (NaN, mixed types) the outcome depends on that. Sorted and reversed input costs n -
 * 1 comparisons and no memory.
 */
#ifndef INST_INSTAQL_SORT_H
#define INST_INSTAQL_SORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/collate.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_row {
    uint32_t e;
    uint32_t id_len;
    const char *id;        /* the entity's id text */
    struct inst_value key; /* what rows are ordered by; UNDEFINED: none */
    enum { INST_ID_UNKNOWN = 0, INST_ID_PLAIN, INST_ID_ODD } id_kind; /* found out on a tie */
};

struct inst_row_order {
    bool is_text;                   /* keys compare by collation, as text */
    bool is_desc;                   /* arguments swapped, ties too */
    struct inst_collator *collator; /* when is_text */
    struct inst_buf scratch[2];
    bool has_tie; /* out: different entities compared equal, so the input's order shows */
};

/* compareOrder(a, b, type) without regard to is_desc. <0, 0, >0; never 0 for different keys unless
 * is_text. */
int inst_row_compare(struct inst_row_order *order, struct inst_row *a, struct inst_row *b);

/* Do the keys make a consistent order: all of one kind, no NaN? */
bool inst_rows_are_consistent(const struct inst_row *rows, size_t count, bool is_text);

/* Puts the first k (fewer than count) of the sorted order at the beginning, not sorted. Only for
 * consistent keys; the outcome counts only when has_tie stays false. */
void inst_rows_select(struct inst_row_order *order, struct inst_row *rows, size_t count, size_t k);

/* false when out of memory. */
bool inst_rows_sort(struct inst_row_order *order, struct inst_row *rows, size_t count,
                    struct inst_arena *scratch);

#endif
