/*
 * tls_front.h - TLS in front of a plain port: every connection is decrypted here and served, over a
 * pair of sockets, as one that came without it.
 *
 *     client ══ TLS ══> [ SSL | bytes that wait ] ──pair──> adopt(fd, ip): HTTP, WebSockets
 *
 * So nothing behind it knows of TLS: its limits, time limits and back pressure are those of the
 * connection inside, since bytes are taken on either side only when the other one takes them.
 * TLS 1.2 and 1.3, HTTP/1.1 by ALPN. A handshake has ten seconds. A renewed certificate is used
 * soon after its files are there: they are looked at now and then, for what renews them puts links
 * or whole folders in their place, of which watching a file says nothing.
 */
#ifndef INST_IO_TLS_FRONT_H
#define INST_IO_TLS_FRONT_H

#include "base/err.h"
#include "io/loop.h"

#include <stddef.h>
#include <stdint.h>

#define INST_TLS_HANDSHAKE_MS 10000
/* Handshakes under way; more connections are closed. */
#define INST_TLS_MAX_HANDSHAKES 1000

#define INST_TLS_LOOK_MS 2000

struct inst_tls_front;

struct inst_tls_front_config {
    const char *host; /* as for inst_listener_new */
    int port;
    const char *cert_file; /* PEM: the certificate, then what leads to its root */
    const char *key_file;  /* PEM */
    void *ctx;
    /* Takes fd, which does not block. */
    void (*adopt)(void *ctx, int fd, const char *ip);
};

/* Listens when it returns. err names the file that is missing or wrong. */
enum inst_status inst_tls_front_new(struct inst_loop *loop,
                                    const struct inst_tls_front_config *config,
                                    struct inst_tls_front **out, struct inst_err *err);
/* Reads both files again, for connections from now on; when that fails everything stays. */
enum inst_status inst_tls_front_reload(struct inst_tls_front *front, struct inst_err *err);
int inst_tls_front_port(const struct inst_tls_front *front);
void inst_tls_front_stop_listening(struct inst_tls_front *front);
/* Is there something on its way to a client? */
bool inst_tls_front_is_busy(const struct inst_tls_front *front);
/* Drops every connection. NULL is fine. */
void inst_tls_front_free(struct inst_tls_front *front);

#endif
