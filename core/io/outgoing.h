/*
 * outgoing.h - the engine's requests to other servers (server/outgoing.h), by libcurl.
 *
 * Apps' owners write the addresses, so that a backend on the inside of a network could be made to
 * ask what only the inside may: every address is looked at after its name was resolved, just before
 * the connection is made, and refused unless it is a public one. Hosts that the operator names are
 * not looked at, and may be asked without TLS; all others may not. Where the environment asks for a
 * proxy, that is what is connected to, and decides what it reaches.
 *
 * A client of its own: connections that were opened without being looked at are not used here.
 */
#ifndef INST_IO_OUTGOING_H
#define INST_IO_OUTGOING_H

#include "io/loop.h"
#include "server/outgoing.h"

struct sockaddr;
struct inst_outgoing;

/* ctx of these is a struct inst_outgoing *. */
extern const struct inst_outgoing_ops inst_outgoing_ops;

/* is_open: every address may be asked, for a backend that serves its own process only. */
enum inst_status inst_outgoing_new(struct inst_loop *loop, bool is_open, struct inst_outgoing **out,
                                   struct inst_err *err);
/* Nobody is called any more. NULL is fine. */
void inst_outgoing_free(struct inst_outgoing *outgoing);
/* Names a host that may be asked wherever it is: "localhost", "10.1.2.3:8080", "[::1]". Without a
 * port: on any. */
enum inst_status inst_outgoing_allow(struct inst_outgoing *outgoing, const char *host,
                                     struct inst_err *err);
/* How mail is sent (mail.h), from now on. */
enum inst_status inst_outgoing_set_mail(struct inst_outgoing *outgoing, const char *how,
                                        struct inst_err *err);
/* Is it an address of the public internet (RFC 6890)? */
bool inst_outgoing_is_public(const struct sockaddr *address);

#endif
