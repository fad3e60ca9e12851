/*
 * cel_run.h - evaluating a checked expression.
 *
 * Bounded: every node visited is a step, every value that `ref` brings is one, and a run that takes
 * too many fails with an error that neither && nor || swallows. Everything computed lives in the
 * run's arena.
 */
#ifndef INST_RULES_CEL_RUN_H
#define INST_RULES_CEL_RUN_H

#include "rules/cel_ast.h"

#define INST_CEL_MAX_STEPS 1000000
#define INST_CEL_MAX_REFS 10000      /* that one run asks for */
#define INST_CEL_MAX_TEXT (1u << 20) /* bytes of a text that an expression makes */

/* permissions.md 5.2 */
enum inst_cel_code {
    INST_CEL_NO_ERROR,
    INST_CEL_INTERNAL_ERROR,
    INST_CEL_ATTRIBUTE_NOT_FOUND,
    INST_CEL_INDEX_OUT_OF_BOUNDS,
    INST_CEL_DIVIDE_BY_ZERO,
    INST_CEL_DUPLICATE_ATTRIBUTE,
    INST_CEL_INVALID_ARGUMENT,
    INST_CEL_OVERLOAD_NOT_FOUND,
    INST_CEL_NUMERIC_OVERFLOW,
    INST_CEL_BAD_FORMAT,
    INST_CEL_RATE_LIMITED,
    INST_CEL_TOO_COSTLY,
    INST_CEL_NO_MEMORY,
    INST_CEL_HOST_FAILED, /* reading a ref failed */
};
/* "OVERLOAD_NOT_FOUND"; what is none of upstream's codes is INTERNAL_ERROR. */
const char *inst_cel_code_name(enum inst_cel_code code);

struct inst_cel_error {
    enum inst_cel_code code;
    uint32_t offset;  /* code points */
    const char *text; /* in the run's arena, or static */
    /* RATE_LIMITED */
    int64_t retry_at_ms;
    double remaining;
};

/* What a host's `limit` answers. */
struct inst_cel_limit {
    bool is_allowed;
    int64_t retry_at_ms; /* when it would be */
    double remaining;    /* tokens left */
};

/* What an expression may ask for. Members may be NULL: then the function fails. */
struct inst_cel_host {
    void *ctx;
    /* The values at the end of path from that object: an ARRAY in arena. */
    enum inst_status (*ref)(void *ctx, enum inst_cel_object object, const struct inst_value *entity,
                            const char *path, size_t path_len, struct inst_arena *arena,
                            struct inst_value *out, struct inst_err *err);
    enum inst_status (*limit)(void *ctx, const char *bucket, size_t bucket_len,
                              const struct inst_value *key, int64_t tokens,
                              struct inst_cel_limit *out, struct inst_err *err);
};

/* The `request` message. Texts are borrowed; modified_fields is an ARRAY of strings or NULL. */
struct inst_cel_request {
    int64_t time_seconds;
    int32_t time_nanos;
    const char *origin;
    size_t origin_len;
    const char *ip;
    size_t ip_len;
    const struct inst_value *modified_fields;
};

/* A local variable. That of cel.bind is evaluated when it is first needed, and once. */
struct inst_cel_frame {
    struct inst_cel_frame *outer;
    struct inst_cel_value value;
    const struct inst_cel_node *pending; /* not evaluated yet */
    struct inst_cel_error error;         /* it was, and failed */
};

struct inst_cel_run {
    struct inst_arena *arena;
    const struct inst_cel_value *values; /* by slot; UNBOUND: no value */
    const struct inst_cel_request *request;
    const struct inst_cel_host *host;
    uint32_t max_steps; /* 0: INST_CEL_MAX_STEPS */
    /* ---- the run's own ---- */
    uint32_t steps;
    uint32_t refs;
    uint32_t offset; /* of the call at hand */
    struct inst_cel_error error;
    struct inst_cel_frame *frame;
};

/* false: run->error says why. */
bool inst_cel_evaluate(struct inst_cel_run *run, const struct inst_cel_node *root,
                       struct inst_cel_value *out);

/* Of a part of it, among the local variables of its place; steps go on counting. */
bool inst_cel_evaluate_in(struct inst_cel_run *run, struct inst_cel_frame *frame,
                          const struct inst_cel_node *node, struct inst_cel_value *out);

/* For functions: sets the error; returns false. */
bool inst_cel_fail(struct inst_cel_run *run, enum inst_cel_code code, const char *fmt, ...)
    INST_PRINTF(3, 4);
bool inst_cel_out_of_memory(struct inst_cel_run *run);
/* Counts n steps; false when that was too many. */
bool inst_cel_spend(struct inst_cel_run *run, size_t n);
/* CEL's ==, its steps counted. */
bool inst_cel_compare(struct inst_cel_run *run, const struct inst_cel_value *a,
                      const struct inst_cel_value *b, bool *is_equal);
/* The buffer's bytes as a value of tag STRING or BYTES; frees the buffer. */
bool inst_cel_take_text(struct inst_cel_run *run, struct inst_buf *buf, enum inst_cel_tag tag,
                        struct inst_cel_value *out);
/* Room for a list's items. */
struct inst_cel_value *inst_cel_new_items(struct inst_cel_run *run, size_t count);

#endif
