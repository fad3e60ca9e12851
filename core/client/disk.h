/*
 * disk.h - what a reactor wants kept beyond the process, and what it is answered.
 *
 *     reactor ── next_disk ──> LOAD key | WRITE [[key, value or none]] | LIST keys ──> the host's
 *             <── disk_done ── value    | done                         | keys      <──  storage
 *
 * Three stores of texts by key, "kv", "querySubs" and "syncSubs" (session.md 5.5). A text is JSON
 * that means something to the reactor only. The host may work on several requests at once and
 * answer in any order: of one store there is never a second WRITE before the first was answered.
 */
#ifndef INST_CLIENT_DISK_H
#define INST_CLIENT_DISK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_disk_op { INST_DISK_LOAD, INST_DISK_WRITE, INST_DISK_LIST };

struct inst_disk_pair {
    const char *key;
    const char *value; /* NULL: the key is removed */
    size_t len;
};

/* Borrowed until it was answered, or the reactor is freed. */
struct inst_disk_request {
    uint64_t id; /* names it in the answer; never 0 */
    enum inst_disk_op op;
    const char *store;
    const char *key;                    /* LOAD */
    const struct inst_disk_pair *pairs; /* WRITE: each key once. All or nothing where the storage */
    size_t pair_count;                  /* can do that, else in this order */
    bool is_durable; /* WRITE: must have survived a power cut before it is answered */
};

/* Borrowed during the call that hands it over. */
struct inst_disk_answer {
    const struct inst_err *err; /* NULL: done. A WRITE that failed is as if it had not been asked */
    const char *value;          /* LOAD: NULL when there is none */
    size_t len;
    const char *const *keys; /* LIST, in any order */
    size_t key_count;
    bool is_anew; /* what was there before is gone, set aside: all that is known is written again */
};

struct inst_reactor;

/* The next request; false when there is none. Ask after every call on the reactor, also after its
 * shutdown, until inst_reactor_is_flushed. */
bool inst_reactor_next_disk(struct inst_reactor *reactor, struct inst_disk_request *out);
/* The answer to a request, once; an unknown id is ignored. */
void inst_reactor_disk_done(struct inst_reactor *reactor, uint64_t id,
                            const struct inst_disk_answer *answer);
/* Wants everything written that waits for its time, as before the end. */
void inst_reactor_flush(struct inst_reactor *reactor);
/* Nothing is left to write and no request without an answer. */
bool inst_reactor_is_flushed(const struct inst_reactor *reactor);

#endif
