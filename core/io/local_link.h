/*
 * local_link.h - the in-process pipe between a reactor and a session of a backend: `local:PATH`.
 *
 *     reactor ──send──> queue ──deferred──> inst_session_receive
 *     reactor <─message─ queue <─deferred── engine's send (shared bytes, not copied)
 *
 * No socket; every message is handed over by a deferred call, in order, so that neither engine is
 * ever entered from inside the other.
 */
#ifndef INST_IO_LOCAL_LINK_H
#define INST_IO_LOCAL_LINK_H

#include "base/err.h"
#include "io/backend.h"
#include "io/transport.h"

enum inst_status inst_local_connect(struct inst_loop *loop, struct inst_backend *backend,
                                    const struct inst_transport_events *events,
                                    struct inst_transport **out, struct inst_err *err);

#endif
