/*
 * Drives a running backend through real websockets; makes an app of its own there.
 *
 *     bench_load write PORT WRITERS SECONDS         prints the durable transactions a second
 *     bench_load fanout PORT SUBSCRIBERS ROUNDS     prints rows
 *
 * write: each writer sends its next transaction when the last one's transact-ok is there. A
 * transaction makes one entity of three triples, one of an indexed attr. The first second is not
 * counted.
 *
 * fanout: one query of 20 rows is subscribed by all; then one title changes, and the round ends
 * when the last subscriber has the refresh-ok with that title.
 */
#include "bench.h"
#include "generate.h"
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define WARM_UP_SECONDS 1.0
#define TAIL_ID "0000000-0000-4000-8000-0000000000e1"
#define ATTR_ID "0" TAIL_ID
#define TAIL_TITLE "0000000-0000-4000-8000-0000000000e2"
#define ATTR_TITLE "0" TAIL_TITLE
#define TAIL_DONE "0000000-0000-4000-8000-0000000000e3"
#define ATTR_DONE "0" TAIL_DONE
enum { MAX_CONNECTIONS = 16384, EVENTS = 256, NOTES = 20, MESSAGE = 2048, MAX_ROUNDS = 1000 };

struct load {
    int port;
    int epoll;
    char app[GEN_UUID];
    struct wire *wires;
    int count;
    uint32_t made; /* entities and events so far */
};

static void make_app(struct load *load) {
    char *body = wire_post(load->port, "/dash/apps/ephemeral", "{\"title\":\"bench\"}");
    char *app = strstr(body, "\"app\"");
    char *id = app ? strstr(app, "\"id\":\"") : NULL;
    if (!id || strlen(id + 6) < GEN_UUID) {
        bench_die("no app id in %s", body);
    }
    snprintf(load->app, sizeof load->app, "%.36s", id + 6);
    free(body);
}

static void open_session(struct load *load, struct wire *wire) {
    char text[MESSAGE];
    size_t len;
    wire_open(wire, load->port);
    snprintf(text, sizeof text,
             "{\"op\":\"init\",\"client-event-id\":\"i\",\"app-id\":\"%s\","
             "\"versions\":{\"@instantdb/core\":\"v1.0.67\"}}",
             load->app);
    wire_sendz(wire, text);
    wire_await(wire, "\"init-ok\"", &len);
}

static void add_attrs(struct wire *wire) {
#define ATTR(n, label, unique, index)                                                              \
    "[\"add-attr\",{\"id\":\"" ATTR_##n "\",\"value-type\":\"blob\",\"cardinality\":\"one\","      \
                                        "\"forward-identity\":[\"1" TAIL_##n                       \
        "\",\"notes\",\"" label "\"],\"unique?\":" unique ",\"index?\":" index "}]"
    static const char text[] = "{\"op\":\"transact\",\"client-event-id\":\"a\",\"tx-steps\":[" ATTR(
        ID, "id", "true", "false") "," ATTR(TITLE, "title", "false",
                                            "true") "," ATTR(DONE, "done", "false", "false") "]}";
#undef ATTR
    size_t len;
    wire_sendz(wire, text);
    wire_await(wire, "\"transact-ok\"", &len);
}

/* One entity with its three triples. */
static void send_note(struct load *load, struct wire *wire, uint32_t number, const char *title) {
    char e[GEN_UUID];
    char event[GEN_UUID];
    char text[MESSAGE];
    gen_uuid(100, number, e);
    gen_uuid(101, load->made++, event);
    int len = snprintf(text, sizeof text,
                       "{\"op\":\"transact\",\"client-event-id\":\"%s\",\"tx-steps\":["
                       "[\"add-triple\",\"%s\",\"" ATTR_ID "\",\"%s\"],"
                       "[\"add-triple\",\"%s\",\"" ATTR_TITLE "\",\"%s\"],"
                       "[\"add-triple\",\"%s\",\"" ATTR_DONE "\",false]]}",
                       event, e, e, e, title, e);
    wire_send(wire, text, (size_t)len);
}

static void watch(struct load *load, int number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->wires[number].fd, &event) != 0) {
        bench_die("epoll: %s", strerror(errno));
    }
}

/* Answers pings while others are still being opened. */
static void drain(struct load *load) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(load->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        size_t len;
        struct wire *wire = &load->wires[events[i].data.u32];
        wire_fill(wire);
        while (wire_next(wire, &len)) {
        }
    }
}

static void open_all(struct load *load, int count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)count + 64) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    load->wires = calloc((size_t)count, sizeof *load->wires);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->wires || load->epoll < 0) {
        bench_die("out of memory");
    }
    load->count = count;
    for (int i = 0; i < count; i++) {
        open_session(load, &load->wires[i]);
        watch(load, i);
        drain(load);
    }
}

/* Waits for something to read; gives the sockets that have it, filled. Looks again and again: a
 * sleeping driver would have to be woken by the server's core at each answer, which no client on
 * another machine costs. */
static int wait_some(struct load *load, struct epoll_event *events) {
    double start = bench_now();
    int n = 0;
    while (n == 0) {
        n = epoll_wait(load->epoll, events, EVENTS, 0);
        if (n < 0 || bench_now() - start > 60) {
            bench_die("nothing from the backend after 60 s");
        }
    }
    for (int i = 0; i < n; i++) {
        wire_fill(&load->wires[events[i].data.u32]);
    }
    return n;
}

/* ---- write ---- */

static void send_next(struct load *load, struct wire *wire) {
    char title[64];
    uint32_t number = load->made;
    snprintf(title, sizeof title, "a note with a title, number %" PRIu32, number);
    send_note(load, wire, number, title);
}

static void write_load(struct load *load, int writers, double seconds) {
    struct epoll_event events[EVENTS];
    open_all(load, writers);
    add_attrs(&load->wires[0]);
    for (int i = 0; i < writers; i++) {
        send_next(load, &load->wires[i]);
    }
    double start = bench_now() + WARM_UP_SECONDS;
    double now = bench_now();
    size_t done = 0;
    while (now < start + seconds) {
        int n = wait_some(load, events);
        now = bench_now();
        for (int i = 0; i < n; i++) {
            struct wire *wire = &load->wires[events[i].data.u32];
            size_t len;
            for (char *message; (message = wire_next(wire, &len));) {
                if (wire_has(message, len, "\"transact-ok\"")) {
                    done += now >= start;
                    send_next(load, wire);
                }
            }
        }
    }
    printf("%.1f\n", (double)done / (now - start));
}

/* ---- fan-out ---- */

/* Changes a title; seconds until the last subscriber has it. The writer is the last wire. */
static double one_round(struct load *load, int round, size_t *bytes) {
    struct epoll_event events[EVENTS];
    char marker[32];
    int waiting = load->count - 1;
    snprintf(marker, sizeof marker, "\"round %d\"", round);
    char title[32];
    snprintf(title, sizeof title, "round %d", round);
    double start = bench_now();
    send_note(load, &load->wires[load->count - 1], (uint32_t)round % NOTES, title);
    while (waiting > 0) {
        int n = wait_some(load, events);
        for (int i = 0; i < n; i++) {
            struct wire *wire = &load->wires[events[i].data.u32];
            size_t len;
            for (char *message; (message = wire_next(wire, &len));) {
                if (wire_has(message, len, marker)) {
                    waiting--;
                    *bytes = len;
                }
            }
        }
    }
    return bench_now() - start;
}

static void fan_out(struct load *load, int subscribers, int rounds) {
    static const char query[] =
        "{\"op\":\"add-query\",\"client-event-id\":\"q\",\"q\":{\"notes\":{}}}";
    static double seconds[MAX_ROUNDS];
    size_t len;
    size_t bytes = 0;
    char name[64];
    open_all(load, subscribers + 1);
    struct wire *writer = &load->wires[subscribers];
    add_attrs(writer);
    for (uint32_t i = 0; i < NOTES; i++) {
        send_note(load, writer, i, "before the first round");
        wire_await(writer, "\"transact-ok\"", &len);
    }
    for (int i = 0; i < subscribers; i++) {
        wire_sendz(&load->wires[i], query);
        wire_await(&load->wires[i], "\"add-query-ok\"", &len);
        drain(load);
    }
    one_round(load, 0, &bytes);
    for (int i = 0; i < rounds; i++) {
        seconds[i] = one_round(load, i + 1, &bytes);
    }
    double median = bench_quantile(seconds, (size_t)rounds, 0.5);
    snprintf(name, sizeof name, "fan-out to %d, until the last has it", subscribers);
    bench_row(name, median, -1, "s", "info", -1);
    snprintf(name, sizeof name, "fan-out to %d, the slowest round", subscribers);
    bench_row(name, bench_quantile(seconds, (size_t)rounds, 1), -1, "s", "info", -1);
    snprintf(name, sizeof name, "fan-out to %d, deliveries of %zu bytes", subscribers, bytes);
    bench_row(name, subscribers / median, -1, "/s", "info", -1);
}

int main(int argc, char **argv) {
    struct load load = {0};
    int port = argc > 2 ? atoi(argv[2]) : 0;
    int count = argc > 3 ? atoi(argv[3]) : 0;
    int amount = argc > 4 ? atoi(argv[4]) : 0;
    bool is_write = argc == 5 && strcmp(argv[1], "write") == 0;
    bool is_fan_out = argc == 5 && strcmp(argv[1], "fanout") == 0;
    if (port <= 0 || port > 65535 || count <= 0 || count >= MAX_CONNECTIONS || amount <= 0 ||
        amount > MAX_ROUNDS || !(is_write || is_fan_out)) {
        bench_die("usage: bench_load write PORT WRITERS SECONDS\n"
                  "       bench_load fanout PORT SUBSCRIBERS ROUNDS");
    }
    load.port = port;
    make_app(&load);
    if (is_write) {
        write_load(&load, count, amount);
    } else {
        fan_out(&load, count, amount);
    }
    for (int i = 0; i < load.count; i++) {
        wire_close(&load.wires[i]);
    }
    free(load.wires);
    return 0;
}
