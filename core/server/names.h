/*
 * names.h - which etypes and labels a query may depend on.
 *
 *     keys of the query, split at dots, and `fields`    what it names
 *     etypes of attrs with a label that it names        where its links may lead
 *
 * An attr that is made, changed or deleted and has none of these names cannot change the result.
 */
#ifndef INST_SERVER_NAMES_H
#define INST_SERVER_NAMES_H

#include "server/read_set.h"

/* Hashes of the names of one query; owned. */
struct inst_names {
    uint64_t *hashes;
    size_t count;
};

/* false when out of memory. */
bool inst_names_of(const struct inst_value *query, uint64_t seed, struct inst_names *out);
void inst_names_free(struct inst_names *names);
/* Adds them, and where links may lead by these attrs, to a set that is being filled. Says whether
 * the query may come to see a namespace of the system. */
bool inst_names_add(const struct inst_names *names, const struct inst_attrs *attrs,
                    struct inst_read_index *index, struct inst_read_set *set);

/* Which namespaces are looked for. */
struct inst_reach {
    const struct inst_attrs *attrs;
    bool (*meets)(void *ctx, const struct inst_value *etype);
    void *ctx;
};
/* Does the query, by these attrs, read such a namespace? Exact, where inst_names_add only says that
 * it may: rows that depend on who looks are no reason to run a query once a user when it cannot
 * meet them. */
bool inst_query_reaches(const struct inst_value *query, const struct inst_reach *reach);

#endif
