/*
 * recording_store.h - a Store that writes down what is read through it.
 *
 *     evaluator ──> recording store ──> the app's store
 *                         └──> read set (read_set.h)
 *
 * A scan in order that is left before its end is recorded only as far as it came: what lies behind
 * was not read, so it cannot change the result.
 */
#ifndef INST_SERVER_RECORDING_STORE_H
#define INST_SERVER_RECORDING_STORE_H

#include "server/read_set.h"
#include "triples/store.h"

struct inst_recording_cursor;

struct inst_recording_store {
    struct inst_store store;
    struct inst_store *inner;
    struct inst_read_index *index;
    struct inst_read_set *set;
    struct inst_recording_cursor *spare; /* cursors kept for the next scan */
};

/* Between inst_read_set_begin and _end of set. */
void inst_recording_store_init(struct inst_recording_store *store, struct inst_store *inner,
                               struct inst_read_index *index, struct inst_read_set *set);
void inst_recording_store_release(struct inst_recording_store *store);

#endif
