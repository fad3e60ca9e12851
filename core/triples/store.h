/*
 * store.h - what a store answers: scans.
 *
 * A scan fixes an attr and any of entity and value, and gives the triples that fit, in the store's
 * own order. Which of e and v is fixed decides the index:
 *
 *     e  v     index
 *     x  x     eav, one triple
 *     x        eav, the values of one (e, a)
 *        x     ave (vae for links)
 *              aev, the whole attr
 *
 * Entities are handles: small integers that name an entity inside one store. Zero is no entity. A
 * link's value is an entity; a blob's value may happen to be the text of one, which only counts for
 * the attr labelled "id".
 *
 * The evaluator sees nothing else of a store, so a wrapper that records every call (the server's
 * read-set) sees everything that a query depended on.
 */
#ifndef INST_TRIPLES_STORE_H
#define INST_TRIPLES_STORE_H

#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_NO_TIME INT64_MIN

struct inst_triple {
    uint32_t e;          /* entity handle */
    uint32_t ref;        /* entity that v names: always for links, for the id attr; else 0 */
    struct inst_value v; /* borrowed until the cursor's next step or the store's next write. For
                          * links the tag is STRING in a memory store, ENTITY in SQLite's. */
    int64_t t;           /* created-at, ms; INST_NO_TIME when unknown */
    uint64_t seq;        /* the triple's place in its attr's order, for stores that have one */
};

enum inst_scan_order { INST_ORDER_STORE = 0, INST_ORDER_ASC, INST_ORDER_DESC };

/* One end of a range over an indexed attr's values. */
struct inst_bound {
    bool is_set;
    bool is_inclusive;
    struct inst_value v; /* number, string, boolean, date (as DATE), null */
};

struct inst_scan {
    const struct inst_attr *attr;
    uint32_t e;   /* 0: any */
    uint32_t ref; /* link value, as entity; 0: any (or see has_v) */
    bool has_v; /* blob value fixed to v (by inst_value_same); NUMBER, STRING, TRUE, FALSE, NULL */
    struct inst_value v;
    /* Only for stores with `can_range` on this attr; others are never asked. Ordered by value
     * (nulls, then numbers and dates as instants, strings by bytes, booleans, arrays and objects
     * by their JSON text), then entity; the id attr by created-at, then entity. A bound is a place
     * in that order: a range with only `high` begins with the nulls. */
    struct inst_bound low, high;
    enum inst_scan_order order;
    /* Start strictly behind this place in the order (paging); after_e 0: from the start. For the id
     * attr after_v is the created-at as NUMBER. */
    struct inst_value after_v;
    uint32_t after_e;
};

enum inst_presence {
    INST_MISSING, /* no triple (and never had one) */
    INST_IS_NULL, /* a null value */
    INST_PRESENT, /* a value; in a memory store also a cell that lost its last value (Q11) */
};

struct inst_store;

/* Kept by the caller on its stack; opened by scan, always closed. */
struct inst_cursor {
    struct inst_store *store;
    union {
        void *ptr;
        uint64_t num;
    } slot[8]; /* the store's own */
};

struct inst_store_ops {
    /* Opens a cursor. The scan is not kept. */
    enum inst_status (*scan)(struct inst_store *store, const struct inst_scan *scan,
                             struct inst_cursor *cursor, struct inst_err *err);
    /* 1: *out is the next triple; 0: no more; -1: failed, err says why. */
    int (*next)(struct inst_cursor *cursor, struct inst_triple *out, struct inst_err *err);
    void (*close)(struct inst_cursor *cursor);
    /* How many triples a scan would give, counted no further than limit. Cheap. */
    size_t (*estimate)(struct inst_store *store, const struct inst_scan *scan, size_t limit);
    /* Is there a value of attr at e (or, reverse, a link of attr to e)? */
    enum inst_status (*presence)(struct inst_store *store, uint32_t e, const struct inst_attr *attr,
                                 bool reverse, enum inst_presence *out, struct inst_err *err);
    /* The entity of this id text; 0 when the store knows none. */
    uint32_t (*entity)(struct inst_store *store, const char *id, size_t len);
    /* Its id text; UNDEFINED for an unknown handle. Borrowed until the store's next write (memory)
     * or until the group of writes ends or the engine trims the store (SQLite: app_db.h). */
    struct inst_value (*entity_id)(struct inst_store *store, uint32_t e);
    /* May this attr be scanned by range and order? */
    bool (*can_range)(struct inst_store *store, const struct inst_attr *attr);
    /* Optional (NULL: scan instead). The fields of one object in bulk: out[i] is the last value at
     * e of attrs[i], UNDEFINED when there is none. The attrs are distinct; any order. Values are
     * borrowed until the store's next write or (SQLite) its next `row`. */
    enum inst_status (*row)(struct inst_store *store, uint32_t e,
                            const struct inst_attr *const *attrs, size_t n, struct inst_value *out,
                            struct inst_err *err);
    /* Optional, as `row`, with whole triples: out[i].e is 0 when there is none of attrs[i]. */
    enum inst_status (*fields)(struct inst_store *store, uint32_t e,
                               const struct inst_attr *const *attrs, size_t n,
                               struct inst_triple *out, struct inst_err *err);
};

/* First member of every implementation. */
struct inst_store {
    const struct inst_store_ops *ops;
    struct inst_attrs *attrs; /* the current catalog; the store holds the reference */
};

#endif
