/*
 * event_out.h - what goes out on one event stream: messages as `data:` events, and comments that
 * keep it alive. Messages are JSON on one line; their bytes are shared, not copied.
 */
#ifndef INST_IO_EVENT_OUT_H
#define INST_IO_EVENT_OUT_H

#include "io/shared_queue.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_event_out {
    struct inst_shared_queue queue;
    size_t done;        /* bytes of the present event that were sent */
    bool is_comment;    /* the present one */
    bool wants_comment; /* before the next message */
};

/* Is there anything to send? */
bool inst_event_out_is_pending(const struct inst_event_out *out);
/* Sends what the socket takes. 1: all of it; 0: it takes no more now; -1: it is broken. *sent grows
 * by the bytes. */
int inst_event_out_write(struct inst_event_out *out, int fd, size_t *sent);

#endif
