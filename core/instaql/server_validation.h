/*
 * server_validation.h - what the server refuses, in its own words (instaql.md 2.5).
 *
 * A refusal is a message and a hint: {"data-type", "input", "errors": [{"expected", "in",
 * "message"}]}. What can be judged from the query's form is judged before any condition is compiled
 * against attrs, in the order of upstream, so that of several mistakes the same one is reported.
 */
#ifndef INST_INSTAQL_SERVER_VALIDATION_H
#define INST_INSTAQL_SERVER_VALIDATION_H

#include "instaql/query.h"
#include "instaql/server_where.h"

struct inst_refusal {
    struct inst_buf message;
    struct inst_buf hint;
    unsigned errors;
    bool has_message;
};

/* input: the query, or what of it was judged. */
void inst_refusal_begin(struct inst_refusal *r, const char *data_type,
                        const struct inst_value *input);
/* key: "expected" or "expected?"; NULL: neither. message NULL: none. */
void inst_refusal_add(struct inst_refusal *r, const char *key, const char *expected,
                      const struct inst_value *in, uint32_t in_count, const char *message);
/* Sets err and frees r. Never INST_OK. */
enum inst_status inst_refusal_end(struct inst_refusal *r, struct inst_err *err);

/* A refusal with one error, about the query. */
enum inst_status inst_refuse(const struct inst_query *query, const char *key, const char *expected,
                             const struct inst_value *in, uint32_t in_count, const char *message,
                             struct inst_err *err);

/* Everything that does not need attrs, but for where an `or` list leads. */
enum inst_status inst_server_validate(const struct inst_query *query,
                                      const struct inst_attrs *attrs, struct inst_err *err);

/* A link of the query that is none. */
enum inst_status inst_refuse_link(const struct inst_attr *attr, const struct inst_value *etype,
                                  const char *label, size_t len, struct inst_err *err);

#endif
