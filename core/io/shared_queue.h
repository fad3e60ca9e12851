/*
 * shared_queue.h - messages that wait for one connection to take them, with a limit.
 *
 *     ring:  [ . . m1 m2 m3 . . ]     each one reference; nothing is kept while empty
 */
#ifndef INST_IO_SHARED_QUEUE_H
#define INST_IO_SHARED_QUEUE_H

#include "base/shared.h"

#include <stdbool.h>
#include <stddef.h>

#define INST_SHARED_QUEUE_MAX 65536 /* messages */

struct inst_shared_queue {
    struct inst_shared **ring; /* owned */
    size_t first;
    size_t count;
    size_t cap;   /* a power of two */
    size_t bytes; /* of all that wait */
};

/* Takes a reference. False: more than max_bytes would wait (one message alone never is too much),
 * too many, or out of memory; then nothing changed. */
bool inst_shared_queue_push(struct inst_shared_queue *queue, struct inst_shared *message,
                            size_t max_bytes);
/* The oldest, borrowed; NULL when empty. */
struct inst_shared *inst_shared_queue_first(const struct inst_shared_queue *queue);
void inst_shared_queue_drop_first(struct inst_shared_queue *queue);
/* Empties it and frees the memory. */
void inst_shared_queue_clear(struct inst_shared_queue *queue);

#endif
