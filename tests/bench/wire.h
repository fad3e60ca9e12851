/*
 * wire.h - plain sockets to a backend: one HTTP request, and WebSocket sessions, on 127.0.0.1.
 *
 * Small and quick rather than complete: text frames with a zero mask (which leaves the payload as
 * it is), pings answered, no fragments of our own. Whatever goes wrong ends the program.
 */
#ifndef INST_BENCH_WIRE_H
#define INST_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct wire {
    int fd;
    char *in; /* bytes read and not yet given out: in[start .. end) */
    size_t start, end, cap;
    char *frame; /* one frame to send, grown as needed */
    size_t frame_cap;
};

/* Sends the request and gives the body of the answer, to free(). Ends the program unless it is a
 * 200. */
char *wire_post(int port, const char *path, const char *body);

/* Opens /runtime/session; blocking until the handshake is done. */
void wire_open(struct wire *wire, int port);
void wire_close(struct wire *wire);
/* One text message; blocks while the socket is full. */
void wire_send(struct wire *wire, const char *text, size_t len);
void wire_sendz(struct wire *wire, const char *text);
/* Reads what has come, without blocking. */
void wire_fill(struct wire *wire);
/* The next whole message among the bytes read, NUL-terminated, good until wire_fill; NULL: none. */
char *wire_next(struct wire *wire, size_t *len);
/* Blocks until a message comes that has this text in it; others are thrown away. Ends the program
 * on an `error` message, and after 60 s. */
char *wire_await(struct wire *wire, const char *text, size_t *len);
/* Does the message hold this text? An `error` message ends the program. */
bool wire_has(const char *message, size_t len, const char *text);

#endif
