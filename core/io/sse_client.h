/*
 * sse_client.h - connections to a backend elsewhere where no WebSocket gets through: its messages
 * come as server-sent events, ours go by POST (session.md 1.6).
 *
 *     GET ─> head ─> first event `sse-init` ─> opened ─> message* ─> closed
 *     send ─> queue ─> POST {messages: all that waits} ─> the next one when it is answered
 *
 * Certificates, proxies: as http_client.h. Opening takes open_ms at most; a stream on
 * which nothing comes for INST_SSE_SILENCE_MS, and any POST that is not answered with 2xx, end the
 * connection. What waits in the queue when it is closed is lost.
 */
#ifndef INST_IO_SSE_CLIENT_H
#define INST_IO_SSE_CLIENT_H

#include "base/err.h"
#include "io/loop.h"
#include "io/transport.h"

#include <stdint.h>

#define INST_SSE_OPEN_MS 10000
#define INST_SSE_SILENCE_MS 45000 /* three of the server's comments */
#define INST_SSE_MAX_MESSAGE (32u << 20)
#define INST_SSE_MAX_POST (8u << 20) /* bytes of messages in one; a single one may be larger */

struct inst_sse_client; /* an address, and what its connections share */

/* uri: http:// or https://, with path and query. ca_file may be NULL. Both are copied. open_ms 0:
 * INST_SSE_OPEN_MS. */
enum inst_status inst_sse_client_new(struct inst_loop *loop, const char *uri, const char *ca_file,
                                     int64_t open_ms, struct inst_sse_client **out,
                                     struct inst_err *err);
/* Its transports must have been closed. NULL is fine. */
void inst_sse_client_free(struct inst_sse_client *client);

enum inst_status inst_sse_client_connect(struct inst_sse_client *client,
                                         const struct inst_transport_events *events,
                                         struct inst_transport **out, struct inst_err *err);

#endif
