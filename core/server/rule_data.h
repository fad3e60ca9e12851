/*
 * rule_data.h - the data as permission rules see it (permissions.md 3.1, 3.2).
 *
 *     (etype, e) ── record ──> {label: value}: blobs and links of cardinality one, each once a run
 *     (etype, e, "a.b.c") ── ref ──> values at the end of all links of the path
 *
 * Reads through the store that it is given: over one that records, what a rule looked at belongs to
 * what a query read, and a change of it runs the query again.
 */
#ifndef INST_SERVER_RULE_DATA_H
#define INST_SERVER_RULE_DATA_H

#include "base/arena.h"
#include "server/table.h"
#include "triples/store.h"

struct inst_rule_data {
    struct inst_store *store;
    struct inst_arena *arena; /* of the run: everything given lives there */
    uint64_t seed;
    struct inst_table records; /* (e, hash of etype) -> record */
    struct inst_table hops;    /* (e, attr and direction) -> where a link leads */
    struct inst_table tails;   /* (e, etype and rest of a path) -> what is at its end */
    size_t values;             /* that refs have brought */
};

void inst_rule_data_init(struct inst_rule_data *data, struct inst_store *store,
                         struct inst_arena *arena, uint64_t seed);
void inst_rule_data_release(struct inst_rule_data *data);
/* What was read may no longer be so: the transaction has written. */
void inst_rule_data_forget(struct inst_rule_data *data);

/* An OBJECT, without members when there is no such entity. */
enum inst_status inst_rule_data_record(struct inst_rule_data *data, const struct inst_value *etype,
                                       uint32_t e, const struct inst_value **out,
                                       struct inst_err *err);
/* An ARRAY; values that are missing or null are left out. err: "limit-exceeded" past
 * INST_SERVER_MAX_REF_LABELS in the path, or INST_SERVER_MAX_REF_VALUES in one run. */
enum inst_status inst_rule_data_ref(struct inst_rule_data *data, const struct inst_value *etype,
                                    uint32_t e, const char *path, size_t len,
                                    struct inst_value *out, struct inst_err *err);

#endif
