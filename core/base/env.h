/*
 * env.h - the clock and the randomness that the engines are given.
 *
 * The engines read neither themselves (design.md 3.1): the host passes this struct, the simulator
 * passes one driven by a seed.
 */
#ifndef INST_BASE_ENV_H
#define INST_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

enum inst_log_level { INST_LOG_ERROR, INST_LOG_WARN, INST_LOG_INFO, INST_LOG_DEBUG };

struct inst_env {
    void *ctx;
    int64_t (*now_ms)(void *ctx);                        /* since the epoch */
    void (*random)(void *ctx, uint8_t *out, size_t len); /* unpredictable in production */
    void (*log)(void *ctx, enum inst_log_level level, const char *line); /* may be NULL */
};

#endif
