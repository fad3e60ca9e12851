/*
 * reference.h - runs the steps of a form breadth first, in the official client's order
 * (instaql.md 3.4), duplicates included. Only for when that order shows.
 */
#ifndef INST_INSTAQL_REFERENCE_H
#define INST_INSTAQL_REFERENCE_H

#include "instaql/match.h"

struct inst_match_row {
    uint32_t e; /* root; 0: it is no entity */
    struct inst_value time;
};

struct inst_match_rows {
    struct inst_match_row *items; /* on the run's scratch */
    size_t count;
    size_t cap;
};

/* false when there are too many or memory ran out; run->err is set. */
bool inst_match_rows_add(struct inst_match_rows *rows, struct inst_run *run, uint32_t e,
                         const struct inst_value *time);

/* m gives the spec and is started over. */
enum inst_status inst_reference_run(struct inst_matcher *m, uint32_t parent,
                                    struct inst_match_rows *out);

#endif
