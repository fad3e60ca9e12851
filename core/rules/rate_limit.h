/*
 * rate_limit.h - token buckets that rules ask (permissions.md 3.5).
 *
 *     hash of (name, limit, key) ──> set ──> [ bucket | bucket | bucket | bucket ]
 *                                            tokens left, as of a time
 *
 * A fixed number of buckets, found by a seeded hash: of a full set the one that was asked longest
 * ago goes, which is in favour of whoever it was for. A full bucket is the same as none.
 */
#ifndef INST_RULES_RATE_LIMIT_H
#define INST_RULES_RATE_LIMIT_H

#include "rules/cel_run.h"

#define INST_RATE_LIMIT_SETS 4096
#define INST_RATE_LIMIT_WAYS 4
#define INST_RATE_LIMIT_MAX_LIMITS 16

struct inst_rate_limit {
    double capacity;
    double amount;
    int64_t period_ms;
    bool is_interval; /* all at once at the period's end; else bit by bit */
};

struct inst_rate_limit_config {
    struct inst_rate_limit limits[INST_RATE_LIMIT_MAX_LIMITS];
    size_t count;
};

/* Reads one config. Gives what is wrong with it, in upstream's words; NULL: nothing. */
const char *inst_rate_limit_read(const struct inst_value *config,
                                 struct inst_rate_limit_config *out);

struct inst_rate_limits; /* opaque: the buckets of one app */

enum inst_status inst_rate_limits_new(uint64_t seed, struct inst_rate_limits **out,
                                      struct inst_err *err);
void inst_rate_limits_free(struct inst_rate_limits *limits);
/* Takes tokens from every limit of the config, or from none. */
enum inst_status inst_rate_limits_take(struct inst_rate_limits *limits,
                                       const struct inst_rate_limit_config *config,
                                       const char *name, size_t name_len,
                                       const struct inst_value *key, int64_t tokens, int64_t now_ms,
                                       struct inst_cel_limit *out, struct inst_err *err);

#endif
