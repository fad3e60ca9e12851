/*
 * content_copy.h - the contents of files (file_store.h), copied from one store's folder to another,
 * in pieces.
 *
 *     FROM/<app>/content/ab/<hash>     bytes, copied once and hashed on the way
 *     FROM/<app>/at/.., gone/..        links to them, made again; one whose bytes are new meanwhile
 *                                      is copied
 *     FROM/key                         so that addresses given out stay good
 *
 * Works while a server uses FROM: contents never change, and what disappears in between was needed
 * by no row for a week. Bytes that are not what their name says are copied as they are, counted,
 * and the first is named.
 */
#ifndef INST_IO_CONTENT_COPY_H
#define INST_IO_CONTENT_COPY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_content_copy;

struct inst_content_progress {
    uint64_t files, bytes; /* copied */
    size_t damaged;
    const char *first_damaged; /* path, or NULL; borrowed */
};

/* FROM may be missing: there are no contents then. TO must not be there; NULL: nothing is copied,
 * only what is damaged is found. */
enum inst_status inst_content_copy_begin(const char *from, const char *to,
                                         struct inst_content_copy **out, struct inst_err *err);
enum inst_status inst_content_copy_step(struct inst_content_copy *copy, bool *is_done,
                                        struct inst_err *err);
void inst_content_copy_show(const struct inst_content_copy *copy,
                            struct inst_content_progress *out);
/* NULL is fine. */
void inst_content_copy_free(struct inst_content_copy *copy);

#endif
