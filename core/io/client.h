/*
 * client.h - one user of an app in this process: what `init` gives.
 *
 *     client ──> driver            its queries and writes; shared with clients that were made alike
 *        └─────> driver of its own what belongs to a session: its rooms, its streams
 *
 * Clients with the same app, address, user and options share a connection and know nothing of each
 * other: each has its own subscriptions and its own end. What the server ties to a connection
 * (being a peer of a room, writing a stream) would be shared too, so it goes over a connection of
 * the client's own: the same one as long as nobody shares it, which nobody does from then on.
 */
#ifndef INST_IO_CLIENT_H
#define INST_IO_CLIENT_H

#include "io/driver.h"

struct inst_client;

enum inst_status inst_client_new(struct inst_loop *loop, const struct inst_client_config *config,
                                 struct inst_client **out, struct inst_err *err);
/* For its next call only: the reactor may be another client's after it. */
struct inst_reactor *inst_client_reactor(struct inst_client *client);
/* The reactor of the client's own connection, likewise; made when need be. NULL: err says why. */
struct inst_reactor *inst_client_own_reactor(struct inst_client *client, struct inst_err *err);
/* What the host knows of the network, for the client and all who share its connection. */
void inst_client_set_online(struct inst_client *client, bool is_online);
/* Another user (inst_reactor_set_user), of this client alone: when it shares its connection it gets
 * one of its own first, and its subscriptions with it. Only clients of one storage have one user
 * all, as the tabs of a browser do. */
enum inst_status inst_client_set_user(struct inst_client *client, const struct inst_value *user,
                                      struct inst_err *err);
/* Another schema (inst_reactor_set_schema), of this client alone unless it has a storage. */
enum inst_status inst_client_set_schema(struct inst_client *client, const struct inst_value *schema,
                                        struct inst_err *err);
/* Settles what is outstanding with type "shutdown", ends all subscriptions. Once. */
void inst_client_shutdown(struct inst_client *client);
/* Was shut down, and freeing it loses nothing that an app's own disk has yet to write. */
bool inst_client_is_finished(const struct inst_client *client);
/* Calls nobody, except, after a shutdown, who waits for a write to be kept: it is now. Not from
 * inside a callback of the reactor. NULL is fine. */
void inst_client_free(struct inst_client *client);

#endif
