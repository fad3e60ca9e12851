#include "wire.h"

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
#define AWAIT_MS 60000
/* An error names itself among its first members. */
#define ERROR_WITHIN 256

static int connect_to(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        bench_die("cannot connect to port %d: %s", port, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void wait_for(int fd, short events, const char *what) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    if (poll(&poll_fd, 1, AWAIT_MS) <= 0) {
        bench_die("nothing after %d s: %s", AWAIT_MS / 1000, what);
    }
}

static void send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            bench_die("cannot send: %s", strerror(errno));
        }
        if (n < 0) {
            wait_for(fd, POLLOUT, "room to send");
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

static void make_room(struct wire *wire) {
    if (wire->start > 0) {
        memmove(wire->in, wire->in + wire->start, wire->end - wire->start);
        wire->end -= wire->start;
        wire->start = 0;
    }
    if (wire->cap - wire->end <= READ_BYTES) {
        wire->cap = wire->end + 2 * READ_BYTES;
        wire->in = realloc(wire->in, wire->cap);
        if (!wire->in) {
            bench_die("out of memory");
        }
    }
}

/* false: the peer has closed. */
static bool read_some(struct wire *wire, int flags) {
    make_room(wire);
    ssize_t n = recv(wire->fd, wire->in + wire->end, READ_BYTES, flags);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        bench_die("cannot receive: %s", strerror(errno));
    }
    wire->end += n > 0 ? (size_t)n : 0;
    return n != 0;
}

char *wire_post(int port, const char *path, const char *body) {
    struct wire wire = {.fd = connect_to(port)};
    char head[512];
    int len = snprintf(head, sizeof head,
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                       path, strlen(body));
    send_all(wire.fd, head, (size_t)len);
    send_all(wire.fd, body, strlen(body));
    do {
        wait_for(wire.fd, POLLIN, path);
    } while (read_some(&wire, MSG_DONTWAIT));
    wire.in[wire.end] = 0;
    char *found = strstr(wire.in, "\r\n\r\n");
    if (!found || strncmp(wire.in, "HTTP/1.1 200", 12) != 0) {
        bench_die("POST %s: %.300s", path, wire.in);
    }
    char *answer = strdup(found + 4);
    close(wire.fd);
    free(wire.in);
    return answer;
}

void wire_open(struct wire *wire, int port) {
    static const char head[] = "GET /runtime/session HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                               "Sec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    *wire = (struct wire){.fd = connect_to(port)};
    send_all(wire->fd, head, sizeof head - 1);
    char *found = NULL;
    while (!found) {
        wait_for(wire->fd, POLLIN, "the handshake");
        if (!read_some(wire, MSG_DONTWAIT)) {
            bench_die("the backend closed during the handshake");
        }
        wire->in[wire->end] = 0;
        found = strstr(wire->in, "\r\n\r\n");
    }
    if (strncmp(wire->in, "HTTP/1.1 101", 12) != 0) {
        bench_die("no websocket: %.200s", wire->in);
    }
    wire->start = (size_t)(found + 4 - wire->in);
}

void wire_close(struct wire *wire) {
    close(wire->fd);
    free(wire->in);
    free(wire->frame);
    *wire = (struct wire){.fd = -1};
}

static void send_frame(struct wire *wire, unsigned opcode, const char *bytes, size_t len) {
    if (wire->frame_cap < len + 14) {
        wire->frame_cap = len + 1024;
        wire->frame = realloc(wire->frame, wire->frame_cap);
        if (!wire->frame) {
            bench_die("out of memory");
        }
    }
    unsigned char *at = (unsigned char *)wire->frame;
    *at++ = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        *at++ = (unsigned char)(0x80 | len);
    } else {
        int size = len < 65536 ? 2 : 8;
        *at++ = (unsigned char)(0x80 | (size == 2 ? 126 : 127));
        for (int i = size - 1; i >= 0; i--) {
            *at++ = (unsigned char)((uint64_t)len >> (8 * i));
        }
    }
    memset(at, 0, 4);
    memcpy(at + 4, bytes, len);
    send_all(wire->fd, wire->frame, (size_t)((char *)at + 4 - wire->frame) + len);
}

void wire_send(struct wire *wire, const char *text, size_t len) { send_frame(wire, 1, text, len); }

void wire_sendz(struct wire *wire, const char *text) { wire_send(wire, text, strlen(text)); }

void wire_fill(struct wire *wire) {
    if (!read_some(wire, MSG_DONTWAIT)) {
        bench_die("the backend closed a connection");
    }
}

char *wire_next(struct wire *wire, size_t *len) {
    for (;;) {
        unsigned char *at = (unsigned char *)wire->in + wire->start;
        size_t have = wire->end - wire->start;
        if (have < 2) {
            return NULL;
        }
        size_t head = at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
        uint64_t size = at[1];
        if (have < head) {
            return NULL;
        }
        if (head > 2) {
            size = 0;
            for (size_t i = 2; i < head; i++) {
                size = size << 8 | at[i];
            }
        }
        if (have < head + size) {
            return NULL;
        }
        char *payload = (char *)at + head;
        wire->start += head + (size_t)size;
        switch (at[0]) {
        case 0x81:
            /* The byte behind is the next frame's first: it is shifted to the payload's front. */
            memmove(payload - 1, payload, (size_t)size);
            payload[size - 1] = 0;
            *len = (size_t)size;
            return payload - 1;
        case 0x89:
            send_frame(wire, 10, payload, (size_t)size);
            break;
        case 0x88:
            bench_die("the backend closed a session");
        default:
            bench_die("frame of kind %02x", at[0]);
        }
    }
}

bool wire_has(const char *message, size_t len, const char *text) {
    size_t first = len < ERROR_WITHIN ? len : ERROR_WITHIN;
    if (memmem(message, first, "\"op\":\"error\"", 12)) {
        bench_die("the backend answered %.500s", message);
    }
    return memmem(message, len, text, strlen(text)) != NULL;
}

char *wire_await(struct wire *wire, const char *text, size_t *len) {
    for (;;) {
        for (char *message; (message = wire_next(wire, len));) {
            if (wire_has(message, *len, text)) {
                return message;
            }
        }
        wait_for(wire->fd, POLLIN, text);
        wire_fill(wire);
    }
}
