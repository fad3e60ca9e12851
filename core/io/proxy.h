/*
 * proxy.h - which HTTP proxy the environment asks for, by the rules that libcurl keeps for HTTP
 * requests, so that both ways to a backend go through the same one.
 *
 *     https_proxy / HTTPS_PROXY   for TLS        http_proxy   without (HTTP_PROXY is not looked at:
 *     all_proxy / ALL_PROXY       for both                    a web server sets it from a header)
 *     no_proxy / NO_PROXY         hosts that are reached directly: "*", or a list of names (also
 *                                 of the domain above), addresses and CIDR blocks
 */
#ifndef INST_IO_PROXY_H
#define INST_IO_PROXY_H

#include "base/err.h"

#include <stdbool.h>

#define INST_PROXY_PORT 1080 /* libcurl's, when none is named */

struct inst_proxy {
    char *host; /* owned; without brackets; NULL: no proxy */
    int port;
    char *auth; /* owned; "user:password", decoded; NULL: none */
};

/* get is getenv, or a test's. host without brackets. err: "param-malformed" for a proxy of another
 * kind (socks, https) or one that cannot be read; the message holds no password. */
enum inst_status inst_proxy_find(const char *(*get)(const char *name), bool is_tls,
                                 const char *host, struct inst_proxy *out, struct inst_err *err);
void inst_proxy_clear(struct inst_proxy *proxy);

#endif
