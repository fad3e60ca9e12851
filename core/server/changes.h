/*
 * changes.h - what the transactions of one group changed, for waking live queries.
 *
 *     triples   {row of the attr, e, old side, new side}: what was there, what is there
 *     born      uuids that became entities
 *     names     etypes and labels of attrs that were made, changed or deleted
 *
 * A transaction that is undone takes its changes with it: mark, then rewind.
 */
#ifndef INST_SERVER_CHANGES_H
#define INST_SERVER_CHANGES_H

#include "base/arena.h"
#include "base/uuid.h"
#include "server/point.h"

struct inst_change_side {
    bool is_there;
    bool is_null;            /* there, as JSON null */
    uint32_t ref;            /* links: the target; else 0 */
    uint64_t hash;           /* of the value */
    struct inst_value v;     /* scalars, no long texts; else UNDEFINED */
    struct inst_point point; /* its place; UNKNOWN when the attr has no order */
};

struct inst_change {
    uint32_t attr_row;
    uint32_t e;
    struct inst_change_side before;
    struct inst_change_side after;
};

struct inst_changes {
    struct inst_arena arena; /* strings of points and names */
    struct inst_change *triples;
    size_t triple_count, triple_cap;
    struct inst_uuid *born;
    size_t born_count, born_cap;
    struct inst_value *names;
    size_t name_count, name_cap;
    bool is_catalog_new; /* attrs that clients must learn of were made, changed or deleted */
    uint64_t seed;       /* of the hashes */
};

struct inst_changes_mark {
    size_t triples, born, names;
    bool is_catalog_new;
};

void inst_changes_init(struct inst_changes *changes, uint64_t seed);
void inst_changes_free(struct inst_changes *changes);
void inst_changes_clear(struct inst_changes *changes);
struct inst_changes_mark inst_changes_mark(const struct inst_changes *changes);
void inst_changes_rewind(struct inst_changes *changes, struct inst_changes_mark mark);

/* One triple before and after (NULL: none). Copies. false when out of memory. */
bool inst_changes_triple(struct inst_changes *changes, const struct inst_attr *attr, uint32_t e,
                         const struct inst_triple *before, const struct inst_triple *after);
bool inst_changes_born(struct inst_changes *changes, const struct inst_uuid *id);
/* The names of both sides of an attr. */
bool inst_changes_attr(struct inst_changes *changes, const struct inst_attr *attr);
bool inst_changes_is_empty(const struct inst_changes *changes);

#endif
