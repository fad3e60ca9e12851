/*
 * bench_echo PORT: a bare libwebsockets server, for what sending to many costs at least.
 *
 * Any text message that comes is written to every connection, one after another as the sockets can
 * take it, from one buffer: what a fan-out is without a database. It runs on libuv, as the backend
 * does. POST /dash/apps/ephemeral is not answered: `bench_load bare` needs no app.
 */
#include "bench.h"

#include <libwebsockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_MESSAGE = 65536 };

struct client {
    unsigned sent; /* the last round written to it */
};

static unsigned char buffer[LWS_PRE + MAX_MESSAGE];
static size_t length;
static unsigned number; /* of the message in the buffer */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len) {
    struct client *client = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        client->sent = number;
        break;
    case LWS_CALLBACK_RECEIVE:
        if (lws_is_first_fragment(wsi)) {
            length = 0;
        }
        if (length + len > MAX_MESSAGE) {
            bench_die("a message is too long");
        }
        memcpy(buffer + LWS_PRE + length, in, len);
        length += len;
        if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
            number++;
            lws_callback_on_writable_all_protocol(lws_get_context(wsi), lws_get_protocol(wsi));
        }
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (client->sent != number) {
            client->sent = number;
            if (lws_write(wsi, buffer + LWS_PRE, length, LWS_WRITE_TEXT) < (int)length) {
                return -1;
            }
        }
        break;
    default:
        break;
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct lws_protocols protocols[] = {
        {"echo", on_event, sizeof(struct client), MAX_MESSAGE, 0, NULL, 0},
        {NULL, NULL, 0, 0, 0, NULL, 0}};
    struct lws_context_creation_info info;
    struct rlimit limit;
    if (argc != 2 || atoi(argv[1]) <= 0) {
        bench_die("usage: bench_echo PORT");
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    lws_set_log_level(LLL_ERR, NULL);
    memset(&info, 0, sizeof info);
    info.port = atoi(argv[1]);
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.options = LWS_SERVER_OPTION_LIBUV;
    info.fd_limit_per_thread = 16384;
    struct lws_context *context = lws_create_context(&info);
    if (!context) {
        bench_die("cannot listen on %s", argv[1]);
    }
    signal(SIGTERM, SIG_DFL); /* libwebsockets catches it, and stays */
    printf("listening\n");
    fflush(stdout);
    while (lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return 0;
}
