/*
 * plan.h - join order, chosen by probing the store (design.md 3.2).
 *
 * Greedy: the step that looks at fewest triples comes first; one whose entity or value is bound by
 * then costs next to nothing. Steps of one list only: an `or` is one step, its branches are ordered
 * by themselves. The order cannot change which entities match, see README.md.
 */
#ifndef INST_INSTAQL_PLAN_H
#define INST_INSTAQL_PLAN_H

#include "instaql/match.h"

/* Sets m->plan for what is bound after inst_matcher_start. */
enum inst_status inst_plan_make(struct inst_matcher *m);

/* About how many triples the planned order looks at first, counted up to limit. */
size_t inst_plan_cost(struct inst_matcher *m, size_t limit);

#endif
