/*
 * io_port_fixture.h - the port of a backend and raw clients of it on the same thread, for tests:
 * the loop is stepped, nothing sleeps.
 */
#ifndef INST_TESTS_IO_PORT_FIXTURE_H
#define INST_TESTS_IO_PORT_FIXTURE_H

#include "io/ws_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_MESSAGE 100000
#define MAX_QUEUED 300000
#define LIMIT_MS 5000

struct world {
    struct inst_loop *loop;
    struct inst_backend *backend;
    struct inst_ws_server *server;
    bool is_closed;
};

struct peer {
    struct world *world;
    int fd;
    char in[1 << 20];
    size_t len;
    bool is_eof;
};

static inline int setup_pinging(void **state, int64_t ping_ms, int64_t silence_ms) {
    struct world *world = calloc(1, sizeof *world);
    struct inst_err err = {0};
    struct inst_ws_server_config config = {.max_message = MAX_MESSAGE,
                                           .max_queued = MAX_QUEUED,
                                           .ping_ms = ping_ms,
                                           .silence_ms = silence_ms};
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(inst_loop_new(&world->loop, &err), INST_OK);
    assert_int_equal(inst_backend_open(world->loop, ":memory:", true, &world->backend, &err),
                     INST_OK);
    assert_int_equal(inst_ws_server_new(world->loop, world->backend, &config, &world->server, &err),
                     INST_OK);
    *state = world;
    return 0;
}

static inline int setup(void **state) { return setup_pinging(state, 20, 100); }

/* For peers that may be slow to answer, as a loaded machine makes them. */
static inline int setup_patient(void **state) { return setup_pinging(state, 60000, 300000); }

static inline int teardown(void **state) {
    struct world *world = *state;
    inst_ws_server_free(world->server);
    inst_backend_close(world->backend);
    inst_loop_free(world->loop);
    free(world);
    return 0;
}

/* ---- the raw client ---- */

static inline struct peer *dial(struct world *world) {
    struct peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)inst_ws_server_port(world->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_non_null(peer);
    peer->world = world;
    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    return peer;
}

static inline void hang_up(struct peer *peer) {
    close(peer->fd);
    free(peer);
}

/* One turn of the server, then what it sent. */
static inline void turn(struct peer *peer) {
    inst_loop_step(peer->world->loop);
    ssize_t n = recv(peer->fd, peer->in + peer->len, sizeof peer->in - peer->len, 0);
    if (n > 0)
        peer->len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        peer->is_eof = true;
}

static inline int64_t now(const struct peer *peer) {
    return inst_loop_monotonic_ms(peer->world->loop);
}

static inline void send_all(struct peer *peer, const void *bytes, size_t len) {
    const char *at = bytes;
    while (len > 0 && !peer->is_eof) {
        ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return;
        }
        turn(peer);
    }
}

static inline void need(struct peer *peer, size_t len) {
    int64_t stop = now(peer) + LIMIT_MS;
    while (peer->len < len && !peer->is_eof) {
        turn(peer);
        assert_true(now(peer) < stop);
    }
}

#endif
