/*
 * bench_soak MESSAGES RECONNECT FOLDER: a client that lives long. A child process plays a backend
 * that closes the connection after every RECONNECT messages; the client keeps its state in FOLDER,
 * subscribes and unsubscribes, writes all the time, and must stay as large as it was.
 *
 *     backend ── refresh-ok of one of QUERIES queries, another title each time ──> client
 *             <─ transact, always IN_FLIGHT of them ── transact-ok, refresh-ok ──>
 *
 * At most AHEAD messages wait for the client: with the kernel's buffers full of results an answer
 * to a write would come half a second later, and next to nothing would be written.
 *
 * Prints how much larger it is in the last tenth than in the second.
 */
#include "bench.h"
#include "instant.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { QUERIES = 8, ROWS = 6, IN_FLIGHT = 4, TENTHS = 10, AHEAD = 32 };

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define ATTR(id, label, unique)                                                                    \
    "{\"id\":\"" id "\",\"forward-identity\":[\"f-" id "\",\"todos\",\"" label                     \
    "\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":" unique ",\"index?\":false}"
#define ID_ATTR "00000000-0000-4000-8000-000000000001"
#define TITLE_ATTR "00000000-0000-4000-8000-000000000002"
#define LIST_ATTR "00000000-0000-4000-8000-000000000003"

static const char init_ok[] =
    "\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":[" ATTR(ID_ATTR, "id", "true") "," ATTR(
        TITLE_ATTR, "title", "false") "," ATTR(LIST_ATTR, "list", "false") "]";

/* ---- the backend ---- */

struct backend {
    int fd;
    const volatile long *seen; /* results that the client had; shared with it */
    long ahead;                /* results sent when it had `mark` */
    long mark;
    char in[1 << 16];
    size_t end;
    char out[1 << 14];
    long sent; /* messages on this connection */
    long total;
    long tx_id;
    unsigned subscribed; /* a bit a query */
};

static void write_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            _exit(0); /* the client is gone: all is done */
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* One object; text is what is between its braces. */
static void say(struct backend *b, const char *text) {
    size_t len = strlen(text) + 2, head = len < 126 ? 2 : 4;
    b->out[0] = (char)0x81;
    b->out[1] = (char)(head == 2 ? len : 126);
    b->out[2] = (char)(len >> 8);
    b->out[3] = (char)len;
    snprintf(b->out + head, sizeof b->out - head, "{%s}", text);
    write_all(b->fd, b->out, head + len);
    b->sent++;
    b->total++;
}

static size_t add_result(char *text, size_t size, int query, long mark) {
    size_t used = (size_t)snprintf(text, size, "[{\"data\":{\"datalog-result\":{\"join-rows\":[[");
    for (int i = 0; i < ROWS; i++) {
        int e = query * ROWS + i;
        used += (size_t)snprintf(
            text + used, size - used,
            "%s[\"%08x-0000-4000-8000-00000000000e\",\"" ID_ATTR
            "\",\"%08x-0000-4000-8000-00000000000e\",1],[\"%08x-0000-4000-8000-00000000000e\","
            "\"" TITLE_ATTR "\",\"title %ld\",1],[\"%08x-0000-4000-8000-00000000000e\",\"" LIST_ATTR
            "\",%d,1]",
            i ? "," : "", e, e, e, i ? 0 : mark, e, query);
    }
    used += (size_t)snprintf(text + used, size - used, "]]}},\"child-nodes\":[]}]");
    return used;
}

static void say_result(struct backend *b, int query, bool is_refresh) {
    char text[1 << 13];
    size_t used = (size_t)snprintf(
        text, sizeof text,
        is_refresh ? "\"op\":\"refresh-ok\",\"processed-tx-id\":%ld,\"computations\":[{"
                     "\"instaql-query\":{\"todos\":{\"$\":{\"where\":{\"list\":%d}}}},"
                     "\"instaql-result\":"
                   : "\"op\":\"add-query-ok\",\"processed-tx-id\":%ld,"
                     "\"q\":{\"todos\":{\"$\":{\"where\":{\"list\":%d}}}},\"result\":",
        b->tx_id, query);
    used += add_result(text + used, sizeof text - used, query, b->total);
    snprintf(text + used, sizeof text - used, "%s", is_refresh ? "}]" : "");
    say(b, text);
}

static int query_in(const char *message) {
    const char *list = strstr(message, "\"list\":");
    int query = list ? atoi(list + 7) : -1;
    return query >= 0 && query < QUERIES ? query : -1;
}

static void hear(struct backend *b, char *message) {
    char event[64] = "", text[256];
    const char *id = strstr(message, "\"client-event-id\":\"");
    if (id) {
        snprintf(event, sizeof event, "%.36s", id + 19);
    }
    int query = query_in(message);
    if (strstr(message, "\"op\":\"init\"")) {
        say(b, init_ok);
    } else if (strstr(message, "\"op\":\"add-query\"") && query >= 0) {
        b->subscribed |= 1u << query;
        say_result(b, query, false);
    } else if (strstr(message, "\"op\":\"remove-query\"") && query >= 0) {
        b->subscribed &= ~(1u << query);
    } else if (strstr(message, "\"op\":\"transact\"")) {
        snprintf(text, sizeof text,
                 "\"op\":\"transact-ok\",\"client-event-id\":\"%s\",\"tx-id\":%ld", event,
                 ++b->tx_id);
        say(b, text);
        for (int i = 0; i < QUERIES; i++) {
            if (b->subscribed & 1u << i) {
                say_result(b, i, true);
                break;
            }
        }
    }
}

/* Whole frames of the client, masked. */
static void hear_frames(struct backend *b) {
    for (;;) {
        unsigned char *at = (unsigned char *)b->in;
        size_t len = b->end >= 2 ? at[1] & 0x7f : 0, head = len == 126 ? 8 : 6;
        if (b->end < head || len == 127) {
            return;
        }
        len = len == 126 ? (size_t)at[2] << 8 | at[3] : len;
        if (b->end < head + len) {
            return;
        }
        char message[1 << 15];
        for (size_t i = 0; i < len; i++) {
            message[i] = (char)(at[head + i] ^ at[head - 4 + i % 4]);
        }
        message[len] = '\0';
        if ((at[0] & 0x0f) == 8) {
            _exit(0);
        }
        hear(b, message);
        memmove(b->in, b->in + head + len, b->end - head - len);
        b->end -= head + len;
    }
}

static bool fill(struct backend *b, int flags) {
    ssize_t n = recv(b->fd, b->in + b->end, sizeof b->in - 1 - b->end, flags);
    b->end += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void shake_hands(struct backend *b) {
    char *key = NULL;
    while (!(key = strstr(b->in, "Sec-WebSocket-Key: ")) || !strstr(key, "\r\n\r\n")) {
        if (!fill(b, 0)) {
            _exit(0);
        }
        b->in[b->end] = '\0';
    }
    char joined[128], answer[256];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[64];
    snprintf(joined, sizeof joined, "%.24s" GUID, key + 19);
    SHA1((const unsigned char *)joined, strlen(joined), digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                       accept);
    write_all(b->fd, answer, (size_t)len);
    b->end = 0;
}

/* Not every message gives one result, so silence for a while counts as having read everything. */
static void wait_for_client(struct backend *b) {
    const struct timespec pause = {.tv_nsec = 50000};
    for (int i = 0; i < 40 && b->ahead - (*b->seen - b->mark) >= AHEAD; i++) {
        if (!fill(b, MSG_DONTWAIT)) {
            return;
        }
        hear_frames(b);
        nanosleep(&pause, NULL);
    }
    if (b->ahead - (*b->seen - b->mark) >= AHEAD || *b->seen - b->mark > b->ahead) {
        b->ahead = 0;
        b->mark = *b->seen;
    }
    b->ahead++;
}

static void serve_one(struct backend *b, long limit) {
    b->end = 0;
    b->sent = 0;
    b->subscribed = 0;
    memset(b->in, 0, sizeof b->in);
    shake_hands(b);
    for (int next = 0; b->sent < limit; next = (next + 1) % QUERIES) {
        /* As long as the client reads: what waits in the socket is bounded by it. */
        if (!fill(b, b->subscribed ? MSG_DONTWAIT : 0)) {
            break;
        }
        hear_frames(b);
        if (b->subscribed & 1u << next) {
            wait_for_client(b);
            say_result(b, next, true);
        }
    }
    close(b->fd);
}

static void serve(int listener, long limit, const volatile long *seen) {
    static struct backend b;
    b.seen = seen;
    for (;;) {
        int one = 1;
        b.fd = accept(listener, NULL, NULL);
        if (b.fd >= 0) {
            setsockopt(b.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            serve_one(&b, limit);
        }
    }
}

/* ---- the client ---- */

struct soak {
    struct instant_loop *loop;
    struct instant_builder *b;
    struct instant_db *db;
    uint64_t subscriptions[QUERIES];
    volatile long *seen; /* results, for the backend */
    long results, written;
    int in_flight;
};

static void on_result(void *ctx, const struct instant_result *result,
                      const struct instant_error *error) {
    (void)result;
    if (error) {
        bench_die("%s", instant_error_message(error));
    }
    struct soak *soak = ctx;
    *soak->seen = ++soak->results;
}

static void on_written(void *ctx, const char *status, const char *event_id,
                       const struct instant_error *error) {
    struct soak *soak = ctx;
    (void)status;
    (void)event_id;
    if (error && strcmp(instant_error_type(error), "timeout") != 0) {
        bench_die("%s", instant_error_message(error));
    }
    soak->in_flight--;
    soak->written++;
}

static void subscribe(struct soak *soak, int query) {
    char text[80];
    snprintf(text, sizeof text, "{\"todos\":{\"$\":{\"where\":{\"list\":%d}}}}", query);
    if (!instant_subscribe_query(soak->db, instant_parse(soak->b, text), NULL, on_result, soak,
                                 &soak->subscriptions[query], NULL)) {
        bench_die("no subscription");
    }
    instant_builder_clear(soak->b);
}

static void write_more(struct soak *soak) {
    while (soak->in_flight < IN_FLIGHT) {
        char text[160];
        snprintf(text, sizeof text,
                 "[\"update\",\"todos\",\"%08lx-0000-4000-8000-00000000000e\","
                 "{\"title\":\"mine %ld\"}]",
                 soak->written % (QUERIES * ROWS), soak->written);
        soak->in_flight++;
        if (!instant_transact(soak->db, instant_parse(soak->b, text), on_written, soak, NULL)) {
            bench_die("no transaction");
        }
        instant_builder_clear(soak->b);
    }
}

static int listen_on(int *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        bench_die("cannot listen: %s", strerror(errno));
    }
    *port = ntohs(at.sin_port);
    return fd;
}

static void start(struct soak *soak, int port, const char *folder) {
    char config[1024];
    struct instant_error *error = NULL;
    snprintf(config, sizeof config,
             "{\"appId\":\"" APP_ID "\",\"apiURI\":\"http://127.0.0.1:%d\",\"storage\":"
             "\"file:%s\"}",
             port, folder);
    soak->loop = instant_loop_new(NULL);
    soak->b = instant_builder_new();
    instant_set_log(soak->loop, INSTANT_LOG_ERROR, NULL, NULL);
    soak->db = instant_init(soak->loop, instant_parse(soak->b, config), &error);
    if (!soak->db) {
        bench_die("%s", instant_error_message(error));
    }
    for (int i = 0; i < QUERIES; i++) {
        subscribe(soak, i);
    }
}

/* Results, which the client saw, stand for messages: each is one, or two with a write's. Gives the
 * bytes of the tenth's end. */
static double play_tenth(struct soak *soak, long until) {
    double highest = 0;
    long next_change = soak->results + 1000, next_look = until - (until - soak->results) / 2;
    while (soak->results < until) {
        write_more(soak);
        instant_wait(soak->loop, 1000);
        if (soak->results >= next_change) {
            int query = (int)(next_change / 1000 % QUERIES);
            instant_unsubscribe(soak->db, soak->subscriptions[query]);
            subscribe(soak, query);
            next_change += 1000;
        }
        if (soak->results >= next_look) {
            double rss = bench_rss();
            highest = rss > highest ? rss : highest;
            next_look += (until - soak->results) / 4 + 1;
        }
    }
    return highest;
}

int main(int argc, char **argv) {
    long messages = argc == 4 ? atol(argv[1]) : 0, limit = argc == 4 ? atol(argv[2]) : 0;
    int port;
    if (messages < TENTHS || limit < 1) {
        bench_die("usage: bench_soak MESSAGES RECONNECT FOLDER");
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(&port);
    volatile long *seen =
        mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED) {
        bench_die("no memory to share");
    }
    pid_t child = fork();
    if (child == 0) {
        serve(listener, limit, seen);
    }
    close(listener);
    struct soak soak = {.seen = seen};
    start(&soak, port, argv[3]);
    double tenths[TENTHS], begin = bench_now();
    for (int i = 0; i < TENTHS; i++) {
        tenths[i] = play_tenth(&soak, messages / TENTHS * (i + 1));
    }
    double seconds = bench_now() - begin;
    instant_loop_free(soak.loop);
    instant_builder_free(soak.b);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    char name[80];
    snprintf(name, sizeof name, "resident after %ld messages, against a fifth of them", messages);
    bench_row(name, tenths[TENTHS - 1], tenths[1], "B", "growth", 1.03);
    bench_row("messages", (double)messages / seconds, -1, "/s", "info", -1);
    bench_row("writes among them", (double)soak.written / seconds, -1, "/s", "info", -1);
    return 0;
}
