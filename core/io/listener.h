/*
 * listener.h - a listening TCP socket: hands out what it accepts, a bounded number a turn, so that
 * a flood of connections does not keep the others waiting. Out of descriptors it pauses for a
 * moment instead of spinning.
 */
#ifndef INST_IO_LISTENER_H
#define INST_IO_LISTENER_H

#include "io/loop.h"

struct inst_listener;

/* accepted takes fd, which does not block. host: an address or a name, NULL: 127.0.0.1; port 0: any
 * free one. err names the address: in use, not allowed, not ours. */
enum inst_status inst_listener_new(struct inst_loop *loop, const char *host, int port,
                                   void (*accepted)(void *ctx, int fd), void *ctx,
                                   struct inst_listener **out, struct inst_err *err);
int inst_listener_port(const struct inst_listener *listener);
/* Closes it at once. NULL is fine. */
void inst_listener_free(struct inst_listener *listener);

#endif
