/*
 * transport.h - one connection of a client to a backend: a WebSocket, or the in-process pipe.
 *
 *     connect ──> opened ──> message* ──> closed
 *        └──────────────────────────────────┘ could not be opened
 *
 * Events come from the loop, never from inside a call made here. `closed` comes once and is the
 * last; after inst_transport_close there are none.
 */
#ifndef INST_IO_TRANSPORT_H
#define INST_IO_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

struct inst_transport;

struct inst_transport_events {
    void *ctx;
    void (*opened)(void *ctx);
    void (*message)(void *ctx, const char *bytes, size_t len);
    void (*closed)(void *ctx, const char *why); /* why: a sentence for a log */
    void (*drained)(void *ctx);                 /* all that was sent has left */
};

struct inst_transport_ops {
    /* Copies the bytes. False when out of memory: the connection is as good as lost. */
    bool (*send)(struct inst_transport *transport, const char *bytes, size_t len);
    size_t (*queued)(const struct inst_transport *transport); /* bytes not sent yet */
    void (*close)(struct inst_transport *transport);          /* and frees it */
};

/* First member of every implementation. */
struct inst_transport {
    const struct inst_transport_ops *ops;
    struct inst_transport_events events;
};

#endif
