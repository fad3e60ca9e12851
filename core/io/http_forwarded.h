/*
 * http_forwarded.h - the address of the client that a request comes from.
 *
 *     X-Forwarded-For: made up, client, proxy 2      from proxy 1's socket
 *                               ▲ hops = 2
 *
 * Each proxy appends the address that it was asked from. Only the entries that one's own proxies
 * appended can be trusted: of `hops` proxies the first one named the client, in the hops-th entry
 * from the right. Without proxies, or when a request did not come through all of them, it is the
 * socket's address.
 */
#ifndef INST_IO_HTTP_FORWARDED_H
#define INST_IO_HTTP_FORWARDED_H

#include "io/http_head.h"

#define INST_IP_TEXT 46 /* an IPv6 address and a NUL */

/* How the client spoke to the first of `hops` proxies: "http" or "https" as X-Forwarded-Proto says,
 * or NULL when none of ours is there or says so. */
const char *inst_http_client_scheme(const struct inst_http_head *head, unsigned hops);
/* The address at the other end of a socket; "": it has none. */
void inst_http_peer_ip(int fd, char out[INST_IP_TEXT]);
void inst_http_client_ip(const struct inst_http_head *head, unsigned hops,
                         const char peer_ip[INST_IP_TEXT], char out[INST_IP_TEXT]);

#endif
