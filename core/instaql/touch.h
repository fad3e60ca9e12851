/*
 * touch.h - can a change of one triple have changed what a query gives (server)?
 *
 *     [?post author ?p] [?p age {$gt: 9}]      p1.age was 5 and is 12: only if [?post author p1]
 *             rest              the step         has an answer
 *
 * A result is its forms' matches and the fields of what matched. A triple can only have come into a
 * match, or left one, if it fits one of the steps, and the other steps have answers with what that
 * step binds; a field can only show if its entity matches. Both are asked of the store as it is
 * now, which tells of what was as long as nothing else that the query read is gone: see is_only.
 *
 * The answer may be yes for nothing, and is never no for something. Rules are not looked at.
 */
#ifndef INST_INSTAQL_TOUCH_H
#define INST_INSTAQL_TOUCH_H

#include "instaql/eval.h"

struct inst_touch_side {
    bool is_there;
    uint32_t ref;        /* links, and the id attr: the entity; else 0 */
    struct inst_value v; /* others: the value; UNDEFINED: not known */
};

struct inst_touch {
    const struct inst_attr *attr; /* of the store's catalog */
    uint32_t e;
    struct inst_touch_side before, after;
    /* Nothing else that the query read has changed. Otherwise all that did must be new: of each
     * change `before` is not there. */
    bool is_only;
};

/* 1: perhaps, 0: no, -1: failed, which says nothing. What a no depends on is read through the
 * store, as all reading is. Fails past INST_INSTAQL_MAX_TOUCH triples that are looked at. */
int inst_query_is_touched(struct inst_query *query, struct inst_store *store,
                          const struct inst_touch *touch, struct inst_err *err);

#endif
