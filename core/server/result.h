/*
 * result.h - results as bytes (session.md 4.1, 4.4).
 */
#ifndef INST_SERVER_RESULT_H
#define INST_SERVER_RESULT_H

#include "base/buf.h"
#include "instaql/eval.h"

/* Sums of hashes: equal for equal sets of triples, whatever their order. */
struct inst_result_hash {
    uint64_t a, b;
};

/* The join-rows form: one node with one row. */
void inst_result_write_rows(struct inst_buf *buf, struct inst_store *store,
                            const struct inst_collected *collected, uint64_t seed,
                            struct inst_result_hash *hash);
/* {"page-info":{...},"aggregate":{...}} of the tree form. */
void inst_result_write_meta(struct inst_buf *buf, struct inst_store *store,
                            const struct inst_collected *meta);
void inst_result_hash_bytes(const char *bytes, size_t len, uint64_t seed,
                            struct inst_result_hash *hash);

#endif
