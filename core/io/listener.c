#include "io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define ACCEPT_TURN 64
#define PAUSE_MS 500

struct inst_listener {
    uv_poll_t poll; /* first: the handle is the listener */
    void (*accepted)(void *ctx, int fd);
    void *ctx;
    struct inst_timer *pause;
    int fd;
    int port;
};

static void on_accept(uv_poll_t *poll, int status, int events) {
    struct inst_listener *listener = (struct inst_listener *)poll;
    int on = 1;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            listener->accepted(listener->ctx, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Would come back at once, for ever. */
            uv_poll_stop(&listener->poll);
            inst_timer_start(listener->pause, PAUSE_MS, 0);
        }
        return;
    }
}

static void go_on(void *ctx) {
    struct inst_listener *listener = ctx;
    uv_poll_start(&listener->poll, UV_READABLE, on_accept);
}

static enum inst_status listen_on(struct inst_listener *listener, const char *host, int port,
                                  struct inst_err *err) {
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed)
        return inst_err_set(err, "io-error", 500, "Cannot listen on %s: %s.", host,
                            gai_strerror(failed));
    enum inst_status status = INST_OK;
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        if (errno == EADDRINUSE)
            status =
                inst_err_set(err, "address-in-use", 500,
                             "Port %d on %s is already in use by another program.", port, host);
        else
            status = inst_err_set(err, "io-error", 500, "Cannot listen on %s port %d: %s.", host,
                                  port, strerror(errno));
        if (fd >= 0)
            close(fd);
        goto out;
    }
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &len);
    listener->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                       : ((struct sockaddr_in *)&bound)->sin_port);
    listener->fd = fd;
out:
    freeaddrinfo(found);
    return status;
}

enum inst_status inst_listener_new(struct inst_loop *loop, const char *host, int port,
                                   void (*accepted)(void *ctx, int fd), void *ctx,
                                   struct inst_listener **out, struct inst_err *err) {
    struct inst_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return inst_err_nomem(err);
    listener->accepted = accepted;
    listener->ctx = ctx;
    enum inst_status status = inst_timer_new(loop, go_on, listener, &listener->pause, err);
    if (status == INST_OK)
        status = listen_on(listener, host ? host : "127.0.0.1", port, err);
    if (status != INST_OK) {
        inst_timer_free(listener->pause);
        free(listener);
        return status;
    }
    uv_poll_init(inst_loop_uv(loop), &listener->poll, listener->fd);
    go_on(listener);
    *out = listener;
    return INST_OK;
}

int inst_listener_port(const struct inst_listener *listener) { return listener->port; }

static void free_listener(uv_handle_t *handle) { free(handle); }

void inst_listener_free(struct inst_listener *listener) {
    if (!listener)
        return;
    inst_timer_free(listener->pause);
    uv_poll_stop(&listener->poll);
    close(listener->fd);
    uv_close((uv_handle_t *)&listener->poll, free_listener);
}
