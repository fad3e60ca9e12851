/*
 * carrier.h - a host that carries a client's connections itself, where the sockets are not ours to
 * open: inside nginx, or an engine with a network of its own.
 *
 * It makes transports (transport.h) for the driver, which asks for the next one when the reactor
 * wants to connect; the host knows the address.
 */
#ifndef INST_IO_CARRIER_H
#define INST_IO_CARRIER_H

#include "base/err.h"
#include "io/transport.h"

struct inst_carrier {
    enum inst_status (*connect)(struct inst_carrier *carrier,
                                const struct inst_transport_events *events,
                                struct inst_transport **out, struct inst_err *err);
};

#endif
