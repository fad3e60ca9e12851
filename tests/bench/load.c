/*
 * Drives a running backend through real websockets; makes an app of its own there.
 *
 *     bench_load write PORT WRITERS SECONDS         prints the durable transactions a second
 *     bench_load fanout PORT SUBSCRIBERS ROUNDS     prints seconds, bytes of a message
 *     bench_load bare PORT SUBSCRIBERS ROUNDS BYTES prints seconds
 *     bench_load idle PORT CONNECTIONS PID          prints bytes of a connection
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
    bool is_bare;  /* against bench_echo: no init */
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
    if (load->is_bare) {
        return;
    }
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

/* Changes a title, or sends the text; seconds until the last subscriber has it. The writer is the
 * last wire. */
static double one_round(struct load *load, int round, size_t *bytes, const char *text) {
    struct epoll_event events[EVENTS];
    char marker[32];
    int waiting = text ? load->count : load->count - 1; /* the writer hears its own echo */
    snprintf(marker, sizeof marker, "\"round %d\"", round);
    char title[32];
    snprintf(title, sizeof title, "round %d", round);
    double start = bench_now();
    if (text) {
        wire_sendz(&load->wires[load->count - 1], text);
    } else {
        send_note(load, &load->wires[load->count - 1], (uint32_t)round % NOTES, title);
    }
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

/* Each in a turn of its own: a burst would measure the accept queue. */
static void subscribe(struct load *load, int wire, const char *query) {
    size_t len;
    wire_sendz(&load->wires[wire], query);
    wire_await(&load->wires[wire], "\"add-query-ok\"", &len);
    drain(load);
}

static void fan_out(struct load *load, int subscribers, int rounds) {
    static const char query[] =
        "{\"op\":\"add-query\",\"client-event-id\":\"q\",\"q\":{\"notes\":{}}}";
    static double seconds[MAX_ROUNDS];
    size_t len;
    size_t bytes = 0;
    open_all(load, subscribers + 1);
    struct wire *writer = &load->wires[subscribers];
    add_attrs(writer);
    for (uint32_t i = 0; i < NOTES; i++) {
        send_note(load, writer, i, "before the first round");
        wire_await(writer, "\"transact-ok\"", &len);
    }
    for (int i = 0; i < subscribers; i++) {
        subscribe(load, i, query);
    }
    one_round(load, 0, &bytes, NULL);
    for (int i = 0; i < rounds; i++) {
        seconds[i] = one_round(load, i + 1, &bytes, NULL);
    }
    printf("%.6f %zu\n", bench_quantile(seconds, (size_t)rounds, 0.5), bytes);
}

/* Rounds of a text that is as long as what the backend sends. */
static void bare(struct load *load, int subscribers, int rounds, size_t bytes) {
    static double seconds[MAX_ROUNDS];
    char *text = malloc(bytes + 1);
    size_t got = 0;
    if (!text) {
        bench_die("out of memory");
    }
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    open_all(load, subscribers + 1);
    for (int i = 0; i <= rounds; i++) {
        char marker[32];
        int len = snprintf(marker, sizeof marker, "\"round %d\"", i);
        memcpy(text + bytes - 64, marker, (size_t)len);
        memset(text + bytes - 64 + len, 'x', 64 - (size_t)len);
        double took = one_round(load, i, &got, text);
        if (i > 0) {
            seconds[i - 1] = took;
        }
    }
    free(text);
    printf("%.6f\n", bench_quantile(seconds, (size_t)rounds, 0.5));
}

static void idle(struct load *load, int connections, int pid) {
    enum { WARM_UP = 200 }; /* what the first ones make the process allocate is not theirs */
    double before = 0;
    open_all(load, 1);
    add_attrs(&load->wires[0]);
    wire_close(&load->wires[0]);
    free(load->wires);
    load->count = 0;
    load->wires = calloc((size_t)connections, sizeof *load->wires);
    if (!load->wires) {
        bench_die("out of memory");
    }
    for (int i = 0; i < connections; i++) {
        char query[256];
        if (i == WARM_UP) {
            before = bench_rss_of(pid);
        }
        open_session(load, &load->wires[i]);
        load->count++;
        watch(load, i);
        snprintf(query, sizeof query,
                 "{\"op\":\"add-query\",\"client-event-id\":\"q\",\"q\":{\"notes\":{\"$\":{"
                 "\"where\":{\"title\":\"note %d\"}}}}}",
                 i);
        subscribe(load, i, query);
    }
    printf("%.1f\n", (bench_rss_of(pid) - before) / (connections - WARM_UP));
}

int main(int argc, char **argv) {
    struct load load = {0};
    const char *what = argc > 4 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0;
    int count = argc > 3 ? atoi(argv[3]) : 0;
    int amount = argc > 4 ? atoi(argv[4]) : 0;
    int bytes = argc > 5 ? atoi(argv[5]) : 0;
    bool is_bare = strcmp(what, "bare") == 0;
    bool is_idle = strcmp(what, "idle") == 0;
    if (port <= 0 || port > 65535 || count <= 0 || count >= MAX_CONNECTIONS || amount <= 0 ||
        (amount > MAX_ROUNDS && !is_idle) || argc != (is_bare ? 6 : 5) ||
        (is_bare && bytes < 100)) {
        bench_die("usage: bench_load write PORT WRITERS SECONDS\n"
                  "       bench_load fanout PORT SUBSCRIBERS ROUNDS\n"
                  "       bench_load bare PORT SUBSCRIBERS ROUNDS BYTES\n"
                  "       bench_load idle PORT CONNECTIONS PID");
    }
    load.port = port;
    load.is_bare = is_bare;
    if (!is_bare) {
        make_app(&load);
    }
    if (strcmp(what, "write") == 0) {
        write_load(&load, count, amount);
    } else if (strcmp(what, "fanout") == 0) {
        fan_out(&load, count, amount);
    } else if (is_bare) {
        bare(&load, count, amount, (size_t)bytes);
    } else if (is_idle) {
        idle(&load, count, amount);
    } else {
        bench_die("bench_load: no %s", what);
    }
    for (int i = 0; i < load.count; i++) {
        wire_close(&load.wires[i]);
    }
    free(load.wires);
    return 0;
}
