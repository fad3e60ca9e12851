/*
 * http_peers.h - how many connections there are, in all and from each address, and how fast each
 * address asks. Shared by whatever holds connections of one port: HTTP, event streams, WebSockets.
 *
 * Memory: one entry an address that is connected; the rates are a fixed number of buckets.
 */
#ifndef INST_IO_HTTP_PEERS_H
#define INST_IO_HTTP_PEERS_H

#include "base/env.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_http_peers;
struct inst_http_peer;

struct inst_http_peers_config {
    size_t max_connections; /* in all; 0: any number */
    size_t max_per_ip;      /* 0: any number */
    double rate;            /* requests a second of one address; 0: any */
};

/* So many seconds of its rate an address may use at once. */
#define INST_HTTP_RATE_BURST_S 10

enum inst_status inst_http_peers_new(const struct inst_env *env,
                                     const struct inst_http_peers_config *config,
                                     struct inst_http_peers **out, struct inst_err *err);
/* Every connection must have left. NULL is fine. */
void inst_http_peers_free(struct inst_http_peers *peers);

enum inst_peer_refusal {
    INST_PEER_WELCOME,
    INST_PEER_FULL,     /* too many in all, or no memory */
    INST_PEER_TOO_MANY, /* from this address */
};
/* One connection more. ip "": only the number in all counts. */
enum inst_peer_refusal inst_http_peers_join(struct inst_http_peers *peers, const char *ip,
                                            struct inst_http_peer **out);
/* The same connection turns out to come from that address. */
enum inst_peer_refusal inst_http_peers_move(struct inst_http_peers *peers,
                                            struct inst_http_peer **peer, const char *ip);
/* NULL is fine. */
void inst_http_peers_leave(struct inst_http_peers *peers, struct inst_http_peer *peer);
size_t inst_http_peers_count(const struct inst_http_peers *peers);

/* May this address ask once more? *retry_after_s: when, if not. */
bool inst_http_peers_may_ask(struct inst_http_peers *peers, const char *ip, int *retry_after_s);

#endif
