/*
 * client.h - a reactor with its transport and its clock.
 *
 *     app ──calls──> inst_reactor ──outputs──> transport (WebSocket, server-sent events, or
 *                         │                    in-process pipe)
 *                         ▲  └── deadline ──> timer ── tick
 *                         └──── opened, message, closed
 *
 * Its turn hook drains the reactor's output at the end of every round: an app calls the reactor and
 * need not think of the network. While writes are not confirmed it holds the loop.
 */
#ifndef INST_IO_CLIENT_H
#define INST_IO_CLIENT_H

#include "client/reactor.h"
#include "io/backend.h"
#include "io/loop.h"

/* Bytes handed to a transport that it has not sent; beyond, output stays in the reactor. */
#define INST_CLIENT_HIGH_WATER (1u << 20)

struct inst_client;

struct inst_client_config {
    struct inst_reactor_config reactor; /* env is filled in from the loop */
    const char *websocket_uri;          /* without the app_id query; NULL: backend */
    /* For the fallback on server-sent events; NULL: there is none. http:// or https://. */
    const char *api_uri;
    const char *ca_file;          /* for TLS; NULL: the system's roots */
    int64_t open_ms;              /* longest time to open a connection; 0: the transport's own */
    struct inst_backend *backend; /* in-process; borrowed, must outlive the client */
};

enum inst_status inst_client_new(struct inst_loop *loop, const struct inst_client_config *config,
                                 struct inst_client **out, struct inst_err *err);
struct inst_reactor *inst_client_reactor(struct inst_client *client);
/* Calls nobody; not from inside a callback of the reactor. NULL is fine. */
void inst_client_free(struct inst_client *client);

#endif
