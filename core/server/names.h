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

/* Adds them to a set that is being filled. */
void inst_names_add(struct inst_read_index *index, struct inst_read_set *set,
                    const struct inst_value *query, const struct inst_attrs *attrs);

#endif
