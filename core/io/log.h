/*
 * log.h - lines of a log, for people or for programs.
 *
 *     instant: info: request method=GET path=/ status=200
 *     {"time":"2026-01-02T03:04:05.678Z","level":"info","message":"request","method":"GET",...}
 */
#ifndef INST_IO_LOG_H
#define INST_IO_LOG_H

#include "base/buf.h"
#include "base/env.h"

#include <stdbool.h>

struct inst_log_field {
    const char *name;  /* letters only */
    const char *value; /* any bytes; "" or NULL: the field is left out */
};

/* Appends one line with its end. What would end it or is not text is escaped. */
void inst_log_write(struct inst_buf *out, bool is_json, int64_t now_ms, enum inst_log_level level,
                    const char *message, const struct inst_log_field *fields, size_t count);

#endif
