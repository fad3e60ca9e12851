/*
 * streams_internal.h - what writers and readers share. Only for stream_*.c.
 */
#ifndef INST_CLIENT_STREAMS_INTERNAL_H
#define INST_CLIENT_STREAMS_INTERNAL_H

#include "client/reactor_internal.h"
#include "client/streams.h"

/* When to try again. Zero: at once. */
struct inst_retry {
    unsigned attempts;
    int64_t last; /* when it was tried */
    int64_t at;   /* INST_REACTOR_NEVER: nothing is due */
};

/* Something failed: the next attempt is put down. */
static inline void inst_retry_later(const struct inst_reactor *r, struct inst_retry *retry) {
    int64_t now = inst_reactor_now(r), wait = 0;
    if (retry->last && now - retry->last > INST_STREAM_RETRY_RESET_MS) {
        retry->attempts = 0;
    }
    retry->attempts++;
    if (retry->attempts > 2) {
        wait = (int64_t)(retry->attempts - 2) * INST_STREAM_RETRY_MS;
        wait = wait < INST_STREAM_RETRY_MAX_MS ? wait : INST_STREAM_RETRY_MAX_MS;
    }
    retry->at = now + wait;
}

/* An integer that a double holds exactly, not negative. */
static inline bool inst_stream_offset_of(const struct inst_value *v, uint64_t *out) {
    bool is_offset = v && v->tag == INST_NUMBER && v->u.num >= 0 &&
                     v->u.num <= 9007199254740992.0 && v->u.num == (double)(uint64_t)v->u.num;
    *out = is_offset ? (uint64_t)v->u.num : 0;
    return is_offset;
}

void inst_writers_resend(struct inst_reactor *r);
void inst_writers_connection_lost(struct inst_reactor *r);
void inst_writers_tick(struct inst_reactor *r, int64_t now);
int64_t inst_writers_deadline(const struct inst_reactor *r);
void inst_writers_free(struct inst_reactor *r);
void inst_writers_shutdown(struct inst_reactor *r);
void inst_readers_resend(struct inst_reactor *r);
void inst_readers_connection_lost(struct inst_reactor *r);
void inst_readers_tick(struct inst_reactor *r, int64_t now);
int64_t inst_readers_deadline(const struct inst_reactor *r);
void inst_readers_free(struct inst_reactor *r);
void inst_readers_shutdown(struct inst_reactor *r);

#endif
