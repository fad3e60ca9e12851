/* Slow, many and hostile connections (conformance/http.md 80), with limits that a test can wait
 * for; one that behaves beside them. */
#include "io/http_server.h"

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
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 10000
#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST "\r\n"

struct world {
    struct inst_loop *loop;
    struct inst_http_peers *peers;
    struct inst_http_server *server;
    int asked;
    int content; /* of the file that /file gives; -1: none */
};

static void on_answer(void *ctx, const struct inst_http_request *request,
                      struct inst_http_response *response) {
    struct world *w = ctx;
    w->asked++;
    *response = (struct inst_http_response){.status = 200};
    if (strcmp(request->path, "/file") == 0)
        strcpy(response->file.location, "00000000-0000-4000-8000-000000000000");
    else if (strcmp(request->path, "/ip") == 0)
        inst_buf_add_str(&response->body, request->ip);
}

static int on_open(void *ctx, const struct inst_http_file *file, uint64_t *size) {
    struct world *w = ctx;
    (void)file;
    *size = (uint64_t)lseek(w->content, 0, SEEK_END);
    return dup(w->content);
}

static void on_upgrade(void *ctx, int fd, const struct inst_http_head *head, const char *ip,
                       const char *rest, size_t rest_len) {
    (void)ctx, (void)head, (void)ip, (void)rest, (void)rest_len;
    close(fd);
}

static void open_world(struct world *w, const struct inst_http_peers_config *peers, unsigned hops) {
    struct inst_err err = {0};
    struct inst_http_server_config config = {
        .ctx = w,
        .answer = on_answer,
        .open = on_open,
        .upgrade = on_upgrade,
        .max_queued = 1000,
        .stream_comment_ms = 1000,
        .trusted_hops = hops,
        .times = {.head_ms = 700, .silence_ms = 900, .idle_ms = 1500, .rate_window_ms = 1000}};
    signal(SIGPIPE, SIG_IGN);
    *w = (struct world){.content = -1};
    assert_int_equal(inst_loop_new(&w->loop, &err), INST_OK);
    assert_int_equal(inst_http_peers_new(inst_loop_env(w->loop), peers, &w->peers, &err), INST_OK);
    config.peers = w->peers;
    assert_int_equal(inst_http_server_new(w->loop, &config, &w->server, &err), INST_OK);
}

static void close_world(struct world *w) {
    inst_http_server_free(w->server);
    assert_int_equal(inst_http_peers_count(w->peers), 0);
    inst_http_peers_free(w->peers);
    inst_loop_free(w->loop);
    if (w->content >= 0)
        close(w->content);
}

static int dial(struct world *w) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)inst_http_server_port(w->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static int64_t now(struct world *w) { return inst_loop_monotonic_ms(w->loop); }

/* The status of the next answer on fd, 0 when the connection ended without one. */
static int status_of(struct world *w, int fd, char *out, size_t cap) {
    int64_t stop = now(w) + LIMIT_MS;
    size_t len = 0;
    while (now(w) < stop) {
        inst_loop_step(w->loop);
        ssize_t n = recv(fd, out + len, cap - len - 1, 0);
        if (n > 0)
            len += (size_t)n;
        out[len] = '\0';
        if (strstr(out, "\r\n\r\n"))
            return atoi(out + 9);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return 0;
    }
    fail_msg("no answer");
    return -1;
}

static void is_served(struct world *w, int fd) {
    char answer[4096];
    int64_t from = now(w);
    say(fd, GET);
    assert_int_equal(status_of(w, fd, answer, sizeof answer), 200);
    assert_true(now(w) - from < 500);
}

static bool has_ended(int fd) {
    char sink[65536];
    ssize_t n;
    while ((n = recv(fd, sink, sizeof sink, 0)) > 0)
        ;
    return n == 0 || errno != EAGAIN;
}

/* Waits until they have all ended; one that behaves goes on meanwhile. feed: called every 50 ms. */
static int64_t wait_for_ends(struct world *w, const int *fds, int count, const char *feed) {
    int64_t begin = now(w), next = begin, stop = begin + LIMIT_MS;
    int good = dial(w), ended;
    do {
        inst_loop_step(w->loop);
        if (now(w) >= next) {
            next += 50;
            is_served(w, good);
            for (int i = 0; feed && i < count; i++)
                send(fds[i], feed, strlen(feed), MSG_NOSIGNAL);
        }
        ended = 0;
        for (int i = 0; i < count; i++)
            ended += has_ended(fds[i]);
        assert_true(now(w) < stop);
    } while (ended < count);
    close(good);
    return now(w) - begin;
}

#define MANY 100

/* (a) nothing, (b) half a head, (c) a byte now and then, (d) half a body. */
static void test_slow_senders(void **state) {
    (void)state;
    static const struct {
        const char *first, *then;
        int64_t at_least, at_most;
    } rows[] = {
        {"", NULL, 600, 3000},
        {"GET / HTTP/1.1\r\nHo", NULL, 600, 3000},
        {"GET / HTTP/1.1\r\n" HOST "X: ", "a", 600, 3000},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nhalf", NULL, 800, 3500},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n100\r\nhalf", NULL, 800,
         3500},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", "a", 800, 4000},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 800, 4000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        int fds[MANY];
        open_world(&w, &(struct inst_http_peers_config){0}, 0);
        for (int n = 0; n < MANY; n++) {
            fds[n] = dial(&w);
            say(fds[n], rows[i].first);
        }
        int64_t took = wait_for_ends(&w, fds, MANY, rows[i].then);
        if (took < rows[i].at_least || took > rows[i].at_most)
            fail_msg("row %zu: %d ms", i, (int)took);
        struct inst_http_stats stats;
        inst_http_server_stats(w.server, &stats);
        assert_int_equal(stats.too_slow, MANY);
        for (int n = 0; n < MANY; n++)
            close(fds[n]);
        close_world(&w);
    }
}

/* (f) a reader that takes nothing of a large file; (g) an idle connection. */
static void test_slow_reader_and_idle(void **state) {
    (void)state;
    struct world w;
    char answer[4096];
    open_world(&w, &(struct inst_http_peers_config){0}, 0);
    char path[] = "/tmp/instant-limits-XXXXXX";
    w.content = mkstemp(path);
    unlink(path);
    assert_int_equal(ftruncate(w.content, 64 << 20), 0);
    int reader = dial(&w), small = 4096, idle = dial(&w);
    setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(reader, "GET /file HTTP/1.1\r\n" HOST "\r\n");
    is_served(&w, idle);
    int64_t begin = now(&w);
    struct inst_http_stats stats;
    do {
        inst_loop_step(w.loop);
        inst_http_server_stats(w.server, &stats);
        assert_true(now(&w) - begin < LIMIT_MS);
    } while (stats.connections > 0);
    assert_true(now(&w) - begin >= 1400); /* the idle one had its time, which is longer */
    assert_true(stats.sent < 16u << 20);
    (void)answer;
    close(reader);
    close(idle);
    close_world(&w);
}

/* Slow, but above the lowest rate. */
static void test_steady_upload_lives(void **state) {
    (void)state;
    struct world w;
    char piece[601] = {0}, answer[4096];
    open_world(&w, &(struct inst_http_peers_config){0}, 0);
    memset(piece, 'a', 600);
    int fd = dial(&w);
    say(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 24000\r\n\r\n");
    int64_t next = now(&w);
    for (int n = 0; n < 40;) { /* 2 s, twice the window */
        inst_loop_step(w.loop);
        if (now(&w) < next)
            continue;
        say(fd, piece);
        next += 50;
        n++;
    }
    assert_int_equal(status_of(&w, fd, answer, sizeof answer), 200);
    close(fd);
    close_world(&w);
}

static void test_connections_of_one_address(void **state) {
    (void)state;
    struct world w;
    char answer[4096];
    open_world(&w, &(struct inst_http_peers_config){.max_per_ip = 3}, 0);
    int fds[3];
    for (int i = 0; i < 3; i++)
        is_served(&w, fds[i] = dial(&w));
    int more = dial(&w);
    assert_int_equal(status_of(&w, more, answer, sizeof answer), 429);
    assert_non_null(strstr(answer, "Connection: close"));
    close(more);
    close(fds[0]);
    while (inst_http_peers_count(w.peers) > 2)
        inst_loop_step(w.loop);
    is_served(&w, fds[0] = dial(&w));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close_world(&w);
}

static void test_connections_in_all(void **state) {
    (void)state;
    struct world w;
    char answer[4096];
    open_world(&w, &(struct inst_http_peers_config){.max_connections = 2}, 1);
    int first = dial(&w), second = dial(&w);
    is_served(&w, first);
    is_served(&w, second);
    int more = dial(&w);
    assert_int_equal(status_of(&w, more, answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "Retry-After: "));
    close(more);
    close(first);
    close(second);
    close_world(&w);
}

static void test_rate(void **state) {
    (void)state;
    struct world w;
    char answer[4096];
    open_world(&w, &(struct inst_http_peers_config){.rate = 0.5}, 1);
    static const char *const clients[] = {"1.1.1.1", "2.2.2.2"};
    for (int client = 0; client < 2; client++) {
        char text[256];
        snprintf(text, sizeof text,
                 "GET /ip HTTP/1.1\r\n" HOST "X-Forwarded-For: 9.9.9.9, %s\r\n\r\n",
                 clients[client]);
        int fd = dial(&w);
        for (int i = 0; i < 5; i++) { /* ten seconds' worth */
            say(fd, text);
            assert_int_equal(status_of(&w, fd, answer, sizeof answer), 200);
            assert_non_null(strstr(answer, clients[client]));
        }
        say(fd, text);
        assert_int_equal(status_of(&w, fd, answer, sizeof answer), 429);
        assert_non_null(strstr(answer, "Retry-After: "));
        assert_non_null(strstr(answer, "\"rate-limited\""));
        close(fd);
    }
    close_world(&w);
}

/* At the descriptor limit nothing spins, and accepting goes on when there are some again. */
static void test_descriptor_limit(void **state) {
    (void)state;
    struct world w;
    struct rlimit before, few;
    open_world(&w, &(struct inst_http_peers_config){0}, 0);
    int good = dial(&w), late;
    is_served(&w, good);
    late = dial(&w); /* connected by the kernel, not yet accepted */
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(0);
    close(next);
    few = before;
    few.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &few);
    uint64_t polls = inst_loop_polls(w.loop);
    for (int64_t stop = now(&w) + 300; now(&w) < stop;) {
        inst_loop_hold(w.loop);
        inst_loop_wait(w.loop, 100);
        inst_loop_release(w.loop);
    }
    assert_true(inst_loop_polls(w.loop) - polls < 20);
    say(good, GET);
    char answer[4096];
    assert_int_equal(status_of(&w, good, answer, sizeof answer), 200);
    setrlimit(RLIMIT_NOFILE, &before);
    say(late, GET);
    assert_int_equal(status_of(&w, late, answer, sizeof answer), 200);
    close(good);
    close(late);
    close_world(&w);
}

/* Told to end: what has begun is answered, what is idle ends, nobody new gets in. */
static void test_drain(void **state) {
    (void)state;
    struct world w;
    char answer[4096];
    open_world(&w, &(struct inst_http_peers_config){0}, 0);
    int idle = dial(&w), begun = dial(&w);
    is_served(&w, idle);
    static const char half[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n01234";
    say(begun, half);
    struct inst_http_stats stats;
    do {
        inst_loop_step(w.loop);
        inst_http_server_stats(w.server, &stats);
    } while (stats.received < sizeof half - 1 + sizeof GET - 1);
    int port = inst_http_server_port(w.server);
    inst_http_server_drain(w.server);
    assert_true(inst_http_server_is_busy(w.server));
    assert_int_equal(status_of(&w, idle, answer, sizeof answer), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&to, sizeof to), -1);
    close(late);
    say(begun, "56789" GET);
    assert_int_equal(status_of(&w, begun, answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "Connection: close"));
    assert_int_equal(w.asked, 2);
    assert_false(inst_http_server_is_busy(w.server));
    close(idle);
    close(begun);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_senders),
        cmocka_unit_test(test_slow_reader_and_idle),
        cmocka_unit_test(test_steady_upload_lives),
        cmocka_unit_test(test_connections_of_one_address),
        cmocka_unit_test(test_connections_in_all),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_descriptor_limit),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
