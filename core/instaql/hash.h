/*
 * hash.h - the key of a query: the same for equal queries in any key order (instaql.md 3.9).
 *
 * Both hashes are the official client's, bit for bit: the first names subscriptions and results
 * kept on disk, the legacy one only finds entries that versions before 1.0.39 wrote.
 */
#ifndef INST_INSTAQL_HASH_H
#define INST_INSTAQL_HASH_H

#include "base/value.h"

#include <stdbool.h>

#define INST_QUERY_HASH_TEXT 16

/* 16 lower-case hex digits and a NUL. false, and out is "", when out of memory. */
bool inst_query_hash(const struct inst_value *v, char out[INST_QUERY_HASH_TEXT + 1]);

/* Hex without leading zeros; a bare null or undefined gives its name. Same result for failure. */
bool inst_query_hash_legacy(const struct inst_value *v, char out[INST_QUERY_HASH_TEXT + 1]);

#endif
