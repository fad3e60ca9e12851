/*
 * ops.h - what whoever runs a backend asks it: is it well, how much does it do, who asked it.
 *
 *     GET /health     200 {"status":"ok"}, 503 {"status":"stopping"} once it was told to end
 *     GET /metrics    for Prometheus, with `Authorization: Bearer <the configured token>` only; as
 *                     unknown as any other path when no token is configured
 */
#ifndef INST_IO_OPS_H
#define INST_IO_OPS_H

#include "io/http_server.h"
#include "io/loop.h"
#include "server/http.h"

/* Of WebSockets, since the start except where it says now. */
struct inst_ws_stats {
    uint64_t opened;
    uint64_t received_bytes, sent_bytes;
    uint64_t slow;     /* dropped: left too much unread */
    uint64_t silent;   /* dropped: answered no ping */
    uint64_t limited;  /* dropped: too many messages */
    size_t open;       /* now */
    size_t queued;     /* bytes that wait for sockets, now */
    int64_t uptime_ms; /* of the port */
};

struct inst_ops {
    const char *metrics_token; /* NULL: none */
    bool is_stopping;
    const struct inst_http_stats *http;
    const struct inst_ws_stats *ws;
    const struct inst_server_stats *engine;
};

/* false: the request is not for the operator. */
bool inst_ops_answer(const struct inst_ops *host, const struct inst_http_request *request,
                     struct inst_http_response *response);
/* One answer as a line of the log, when its level is on. Never a query, a header or a body: those
 * carry tokens. */
void inst_ops_log(struct inst_loop *loop, const struct inst_http_log *entry);

#endif
