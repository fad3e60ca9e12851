/*
 * read_attrs.h - which attrs an evaluation looked at.
 *
 *     evaluator ──> [ noting store ] ──> memory store
 *                     bit of every attr that was scanned, probed or read
 *
 * A mutation that writes none of them cannot change the result, so the query need not be evaluated
 * again. It may say "all" where it cannot tell, it never misses one: what a scan that found nothing
 * kept the evaluator from reading cannot matter before that scan finds something, and its attr is
 * noted.
 */
#ifndef INST_CLIENT_READ_ATTRS_H
#define INST_CLIENT_READ_ATTRS_H

#include "triples/store.h"

#include <stdbool.h>

struct inst_read_attrs {
    struct inst_store base;   /* what the evaluator is given; base.attrs is borrowed */
    struct inst_store *inner; /* during an evaluation */
    struct inst_attrs *attrs; /* the catalog whose positions the bits are; a reference */
    uint64_t *bits;           /* owned; one an attr */
    bool is_all;              /* nothing is known: everything may matter */
};

/* Zeroed by the caller before; then is_all. */
void inst_read_attrs_init(struct inst_read_attrs *reads);
void inst_read_attrs_free(struct inst_read_attrs *reads);
/* The store to evaluate on; forgets what was noted. When out of memory it is inner itself, and
 * everything counts as read. */
struct inst_store *inst_read_attrs_over(struct inst_read_attrs *reads, struct inst_store *inner);
/* May these tx-steps change what was read? */
bool inst_read_attrs_meet(const struct inst_read_attrs *reads, const struct inst_value *steps);

#endif
