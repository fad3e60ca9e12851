/*
 * event_in.h - reads an event stream (text/event-stream): bytes in any pieces to whole events.
 *
 *     line:  [data: {"op":  ]         until its end comes: LF, CR, or CR LF
 *     data:  [..., ...       ]        of this event; an empty line gives it to the caller
 *
 * Comments and all fields but `data` are skipped: there are no ids to resume from here, and who
 * reconnects when is decided elsewhere.
 */
#ifndef INST_IO_EVENT_IN_H
#define INST_IO_EVENT_IN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_event_in {
    size_t max; /* bytes of one event's data, and of a line */
    struct inst_buf line;
    struct inst_buf data;
    bool has_data; /* a data line came, if only an empty one */
    bool was_cr;   /* the byte before: an LF now belongs to it */
};

/* Zero it, set max. Calls back once per event, with its data lines joined by LF; false from there
 * ends the reading. False: that, an event above max, or out of memory. */
typedef bool inst_event_in_fn(void *ctx, const char *data, size_t len);
bool inst_event_in_read(struct inst_event_in *in, const char *bytes, size_t len,
                        inst_event_in_fn *fn, void *ctx);
void inst_event_in_free(struct inst_event_in *in);

#endif
