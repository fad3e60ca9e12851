/*
 * filter.h - conditions on the entities of one namespace, apart from any query: what a rule says of
 * rows, read as a `where` (permissions.md 10).
 *
 *     fits     does this one meet them?
 *     start, next   all that do, by the index that finds them soonest
 *
 * None of its triples are part of a result. One store for all of its life, one thread.
 */
#ifndef INST_INSTAQL_FILTER_H
#define INST_INSTAQL_FILTER_H

#include "base/err.h"
#include "base/value.h"
#include "triples/store.h"

struct inst_filter; /* opaque */

/* where: an OBJECT as a query's, copied; NULL: met by none. err: as for a query that says so. */
enum inst_status inst_filter_new(const struct inst_value *etype, const struct inst_value *where,
                                 struct inst_store *store, struct inst_filter **out,
                                 struct inst_err *err);
void inst_filter_free(struct inst_filter *filter); /* NULL is fine */

/* 1, 0, -1 with err set. */
int inst_filter_fits(struct inst_filter *filter, uint32_t e, struct inst_err *err);
/* About how many triples finding them all looks at first, counted up to limit. */
size_t inst_filter_cost(struct inst_filter *filter, size_t limit);
/* Each entity that fits, once. next: 1, 0: no more, -1. fits may be asked meanwhile. */
void inst_filter_start(struct inst_filter *filter);
int inst_filter_next(struct inst_filter *filter, uint32_t *e, struct inst_err *err);
/* Needed only before next said 0. */
void inst_filter_stop(struct inst_filter *filter);

#endif
