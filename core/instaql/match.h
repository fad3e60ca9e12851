/*
 * match.h - runs the steps of a form over a store, depth first.
 *
 *     frame 0: [?b title "x"]   cursor at a triple
 *     frame 1: [?s books ?b]    cursor, ?s bound by it
 *     frame 2: [?u shelves ?s]  cursor ...            a match: every step of one way through has
 *                                                     its triple
 *
 * Frames are on the heap: how long a chain of conditions is does not touch the C stack. A matcher
 * is kept between openings (children run once a parent's row) and allocates nothing then.
 */
#ifndef INST_INSTAQL_MATCH_H
#define INST_INSTAQL_MATCH_H

#include "instaql/limits.h"
#include "instaql/operator.h"
#include "instaql/pattern.h"
#include "triples/store.h"

/* One evaluation of a query. */
struct inst_run {
    struct inst_store *store;
    struct inst_arena *scratch; /* freed after the run */
    struct inst_err *err;
    struct inst_operator_run operators;
    uint64_t work;     /* triples looked at */
    bool is_reference; /* in the official client's order: no scan may reorder */
    bool is_server;
};

enum inst_binding_kind { INST_UNBOUND = 0, INST_BOUND_ENTITY, INST_BOUND_VALUE };

struct inst_binding {
    enum inst_binding_kind kind;
    uint32_t e;
    struct inst_value v; /* BOUND_VALUE */
};

/* What comes after a step: more of its list, then what comes after the list. */
struct inst_cont {
    const struct inst_steps *steps;
    const uint16_t *order; /* NULL: as they stand */
    uint32_t at;
    const struct inst_cont *outer;
};

struct inst_frame {
    const struct inst_step *step;
    struct inst_cont after;
    struct inst_cursor cursor;
    struct inst_triple triple; /* current; links also bind ref */
    bool is_open;
    bool is_in_list;      /* `$in` as one scan an item */
    bool checks_operator; /* the scan did not do it already */
    uint32_t at;          /* next branch, next item */
    uint32_t undo[3];     /* slots this frame bound */
    uint8_t undo_count;
};

/* A set of entities, for roots that have matched. */
struct inst_entity_set {
    uint32_t *slots; /* 0: empty */
    uint32_t mask;
    uint32_t count;
};

/* Orders of the lists of a spec, by list number; NULL: as they stand. */
struct inst_plan {
    const uint16_t **orders;
    bool is_identity; /* nothing was moved */
    /* By list number, then by place in the order; NULL: none. After such a step all that follows
     * depends on one entity (and the root): what was tried for it before needs no second try. */
    struct inst_visited **visited;
};

enum { INST_VISITED_END = UINT32_MAX }; /* as slot: behind the last of a list */

struct inst_visited {
    uint32_t slot; /* of that entity; 0: the step has none */
    uint32_t root; /* the set is about; 0: not bound yet */
    struct inst_entity_set set;
};

struct inst_matcher {
    struct inst_run *run;
    const struct inst_spec *spec;
    struct inst_plan plan;
    struct inst_binding *slots;
    struct inst_frame *frames;
    bool is_started;
    uint32_t depth;               /* frames in use */
    uint32_t root_depth;          /* depth at which the root was bound; 0: before the first frame */
    struct inst_entity_set *seen; /* roots to pass over; NULL: none */
    bool is_existential;          /* only roots matter, not every way to them */
    bool did_reorder;             /* a scan gave triples in another order than the client's */
};

/* Allocates for one spec. */
enum inst_status inst_matcher_init(struct inst_matcher *m, struct inst_run *run,
                                   const struct inst_spec *spec);
/* Starts over; parent and root are bound unless 0. */
void inst_matcher_start(struct inst_matcher *m, uint32_t parent, uint32_t root);
/* 1: a match (bindings and frames hold it), 0: no more, -1: failed. */
int inst_matcher_next(struct inst_matcher *m);
/* Skips all further matches with the current root. */
void inst_matcher_leave_root(struct inst_matcher *m);
/* Closes what is open. After next gave 0 there is nothing to close. */
void inst_matcher_stop(struct inst_matcher *m);

/* Opens a step under the current bindings in frame f; inst_frame_next moves it. Shared with the
 * reference order. 1: a triple fits and is bound, 0: no more (closed), -1: failed. */
int inst_frame_open(struct inst_matcher *m, struct inst_frame *f, const struct inst_step *step);
int inst_frame_next(struct inst_matcher *m, struct inst_frame *f);
void inst_frame_close(struct inst_matcher *m, struct inst_frame *f);

/* The entity that a slot is bound to; 0 when it is bound to none. */
uint32_t inst_binding_entity(struct inst_run *run, const struct inst_binding *b);

/* true: e was added; false: it was there. Out of memory fails softly: *failed is set. */
bool inst_entity_set_add(struct inst_entity_set *set, struct inst_arena *arena, uint32_t e,
                         bool *failed);
bool inst_entity_set_has(const struct inst_entity_set *set, uint32_t e);
void inst_entity_set_clear(struct inst_entity_set *set);

/* The scan of a step under the bindings; false: it can match nothing. Operators are put into the
 * scan where the store has an order for them (*is_exact: nothing is left to test). */
bool inst_step_scan(struct inst_matcher *m, const struct inst_step *step, struct inst_scan *scan,
                    bool *is_exact);

#endif
