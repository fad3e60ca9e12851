/*
 * shared.h - bytes that several owners send.
 *
 * Built once, counted, never changed. INST_SHARED_HEADROOM bytes in front of `data` belong to
 * whoever writes frames (libwebsockets wants LWS_PRE bytes there).
 */
#ifndef INST_BASE_SHARED_H
#define INST_BASE_SHARED_H

#include "base/buf.h"

#include <stddef.h>

#define INST_SHARED_HEADROOM 32

struct inst_shared {
    int refs;
    size_t len;
    char *data; /* len bytes, NUL behind them, headroom in front; part of the same allocation */
};

/* A copy of the bytes with one reference, the caller's; NULL when out of memory. */
struct inst_shared *inst_shared_new(const char *bytes, size_t len);
struct inst_shared *inst_shared_ref(struct inst_shared *shared);
void inst_shared_unref(struct inst_shared *shared); /* NULL is fine */

#endif
