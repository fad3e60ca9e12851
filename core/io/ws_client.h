/*
 * ws_client.h - WebSocket connections to a backend elsewhere.
 *
 *     resolve (libuv, off the loop's thread) ─> address 1 ─> address 2 ... ─> handshake ─> opened
 *
 * wss:// verifies the certificate and the name, by the system's roots or by one CA file. Opening
 * takes open_ms at most. An open connection is pinged when nothing came for
 * INST_WS_CLIENT_PING_MS, and given up when nothing came for twice that. Redirects are not
 * followed. The HTTP proxy of the environment (proxy.h) is asked for a tunnel:
 * libwebsockets wants the head of its answer in one piece.
 */
#ifndef INST_IO_WS_CLIENT_H
#define INST_IO_WS_CLIENT_H

#include "base/err.h"
#include "io/loop.h"
#include "io/transport.h"

#include <stdint.h>

#define INST_WS_OPEN_MS 15000
#define INST_WS_CLIENT_PING_MS 20000
#define INST_WS_CLIENT_MAX_MESSAGE (32u << 20)

struct inst_ws_client; /* an address, and what its connections share */

/* uri: ws:// or wss:// with a path. ca_file: trusted instead of the system's roots; may be NULL.
 * open_ms 0: INST_WS_OPEN_MS.
 * err: "param-malformed" for an address that is none. */
enum inst_status inst_ws_client_new(struct inst_loop *loop, const char *uri, const char *ca_file,
                                    int64_t open_ms, struct inst_ws_client **out,
                                    struct inst_err *err);
/* Its transports must have been closed; they may still be saying goodbye. NULL is fine. */
void inst_ws_client_free(struct inst_ws_client *client);

enum inst_status inst_ws_client_connect(struct inst_ws_client *client,
                                        const struct inst_transport_events *events,
                                        struct inst_transport **out, struct inst_err *err);

#endif
