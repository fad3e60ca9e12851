/*
 * netlink.h - is there a network? As the kernel says, and as soon as it does.
 *
 *     rtnetlink socket: links, addresses changed ─> (end of turn) getifaddrs ─> online? ─>
 * listeners
 *
 * Online: some interface other than loopback is up and running and has an address that others can
 * use. What a message of the kernel says is not read: it is the sign to look, so messages that are
 * lost or come in bursts change nothing. Virtual interfaces (bridges, containers) count like any
 * other: taking a network for there when it is not costs attempts to connect, the other mistake
 * would cost the connection. The same goes for an error of looking: online.
 */
#ifndef INST_IO_NETLINK_H
#define INST_IO_NETLINK_H

#include "base/err.h"
#include "io/loop.h"

#include <stdbool.h>

struct ifaddrs;

/* Part of its owner's struct. Zero it, then set fn and ctx. */
struct inst_network_listener {
    struct inst_network_listener *next;
    struct inst_network_listener *prev;
    struct inst_netlink *netlink;          /* NULL: not listening */
    void (*fn)(void *ctx, bool is_online); /* on every change, from the loop */
    void *ctx;
};

/* All listeners of a loop share one socket; the last one that leaves closes it. *is_online is the
 * present state. err: "io-error" when the kernel does not allow it. */
enum inst_status inst_network_listen(struct inst_loop *loop, struct inst_network_listener *listener,
                                     bool *is_online, struct inst_err *err);
/* Also from a listener's own call, also when not listening. */
void inst_network_unlisten(struct inst_network_listener *listener);

/* The rule above, over what getifaddrs gives. */
bool inst_network_is_usable(const struct ifaddrs *list);

#endif
