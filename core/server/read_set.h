/*
 * read_set.h - what a computation read, and which computations a committed change falls into.
 *
 *     read                     kept as                       woken by
 *     (e, a, ?)                hash of (a, e)                a triple of e under a
 *     (e, a, v), (e, a, ref)   hash of (a, e and v / ref)    this value of e that came or went
 *     does e have a value?     hash of (a, e)                a triple of e that changes the answer
 *     (?, a, v), (?, a, ref)   hash of (a, hash of v / ref)  a value that came or went
 *     (?, a, lo..hi)           interval tree per attr        a value (id attr: created-at) inside;
 *                                                            a scan that stopped early: to there
 *     (?, a, ?)                hash of a                     any triple under a
 *     an id without entity     hash of the uuid              the entity becoming known
 *     a name of the query      hash of the name              an attr of that etype or label made,
 *                                                            changed or deleted
 *
 * A change asks each row once: the cost is the number of computations it touches, not how many
 * there are. Past INST_READ_SET_MAX_KEYS keys of one attr a set coarsens to (?, a, ?), past
 * INST_READ_SET_MAX_NAMES names to every name: it may wake for nothing, it never misses.
 *
 * Filling one set:  inst_read_set_begin, the recording store's calls, then _end, which puts it into
 * the index in place of what was there. A set that could not be filled (out of memory) is
 * `is_broken`: it is woken by everything.
 */
#ifndef INST_SERVER_READ_SET_H
#define INST_SERVER_READ_SET_H

#include "server/changes.h"
#include "server/interval.h"
#include "server/table.h"

struct inst_read_node;

/* Where one read of a set is kept. */
struct inst_read_place {
    struct inst_read_node *node;    /* hashed reads */
    size_t index;                   /* in the node's list */
    struct inst_interval *interval; /* range reads; node is the attr's */
};

struct inst_read_index;

struct inst_read_set {
    void *owner; /* the computation */
    struct inst_read_place *places;
    size_t count, cap;
    bool is_broken;
    /* while it is filled */
    struct inst_table seen;   /* keys already read */
    struct inst_table counts; /* attr row -> keys */
    size_t name_count;
    bool is_every_name;
    /* the index's list of broken sets */
    struct inst_read_set *next_broken, **link_broken;
};

struct inst_read_index {
    struct inst_table nodes;
    uint64_t seed;
    struct inst_read_set *broken;
    size_t reads; /* of all sets, for tests and metrics */
};

void inst_read_index_init(struct inst_read_index *index, uint64_t seed);
/* All sets must have been cleared. */
void inst_read_index_free(struct inst_read_index *index);

void inst_read_set_init(struct inst_read_set *set, void *owner);
/* Takes the set out of the index and frees it. */
void inst_read_set_clear(struct inst_read_index *index, struct inst_read_set *set);

void inst_read_set_begin(struct inst_read_index *index, struct inst_read_set *set);
/* As begin, on top of what is there. */
void inst_read_set_resume(struct inst_read_index *index, struct inst_read_set *set);
void inst_read_set_add_entity(struct inst_read_index *index, struct inst_read_set *set,
                              uint32_t attr_row, uint32_t e);
void inst_read_set_add_entity_value(struct inst_read_index *index, struct inst_read_set *set,
                                    uint32_t attr_row, uint32_t e, const struct inst_value *v);
void inst_read_set_add_entity_ref(struct inst_read_index *index, struct inst_read_set *set,
                                  uint32_t attr_row, uint32_t e, uint32_t ref);
/* Whether e has a value under the attr, null counting as none. */
void inst_read_set_add_presence(struct inst_read_index *index, struct inst_read_set *set,
                                uint32_t attr_row, uint32_t e);
void inst_read_set_add_value(struct inst_read_index *index, struct inst_read_set *set,
                             uint32_t attr_row, const struct inst_value *v);
void inst_read_set_add_ref(struct inst_read_index *index, struct inst_read_set *set,
                           uint32_t attr_row, uint32_t ref);
void inst_read_set_add_range(struct inst_read_index *index, struct inst_read_set *set,
                             uint32_t attr_row, const struct inst_point *low,
                             const struct inst_point *high);
void inst_read_set_add_attr(struct inst_read_index *index, struct inst_read_set *set,
                            uint32_t attr_row);
void inst_read_set_add_unknown(struct inst_read_index *index, struct inst_read_set *set,
                               const struct inst_uuid *id);
/* hash: inst_text_hash of the name with the index's seed. */
void inst_read_set_add_name(struct inst_read_index *index, struct inst_read_set *set,
                            uint64_t hash);
void inst_read_set_end(struct inst_read_index *index, struct inst_read_set *set);

/* An owner that the changes touch, and the triple that does; NULL: it is something else. */
typedef void inst_read_touched_fn(void *ctx, void *owner, const struct inst_change *change);

/* Calls back for every owner that the changes touch; may call more than once for one. */
void inst_read_index_ask(struct inst_read_index *index, const struct inst_changes *changes,
                         inst_read_touched_fn *fn, void *ctx);

#endif
