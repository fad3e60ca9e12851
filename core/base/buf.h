/*
 * buf.h - a growable byte string, for output.
 *
 * Failure is sticky: after an allocation fails nothing more is added and `failed` stays true, so a
 * writer checks once at the end. `data` is NUL-terminated whenever it is not NULL.
 */
#ifndef INST_BASE_BUF_H
#define INST_BASE_BUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_buf {
    char *data; /* owned; NULL until something was added */
    size_t len;
    size_t cap;
    bool failed;
};

void inst_buf_init(struct inst_buf *buf);
void inst_buf_free(struct inst_buf *buf);
/* Empties it and keeps the memory; clears `failed`. */
void inst_buf_clear(struct inst_buf *buf);
/* Makes room for n more bytes; false (and sticky failure) when out of memory. */
bool inst_buf_reserve(struct inst_buf *buf, size_t n);
void inst_buf_add(struct inst_buf *buf, const void *bytes, size_t n);
void inst_buf_add_str(struct inst_buf *buf, const char *str);
void inst_buf_add_char(struct inst_buf *buf, char c);
void inst_buf_add_int(struct inst_buf *buf, int64_t n);
void inst_buf_addf(struct inst_buf *buf, const char *fmt, ...) INST_PRINTF(2, 3);
/* The bytes, now the caller's to free(); the buffer is empty again. NULL when it failed. */
char *inst_buf_take(struct inst_buf *buf, size_t *len);

#endif
