/*
 * Bytes arrive at the port, cut as they say themselves. Whatever they are: what comes back are
 * whole answers, no answer follows one that closes, and how the bytes were cut changes nothing.
 */
#include "fuzz.h"
#include "io/http_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_ASKED (64u << 10)
#define TURNS 64

/* What the application saw: method, path, query, fields and bodies, one after the other. */
struct seen {
    struct inst_buf asked;
    struct inst_buf out; /* what came back */
};

static void add(struct seen *seen, const char *text) {
    inst_buf_add_str(&seen->asked, text);
    inst_buf_add_char(&seen->asked, '\0');
}

static void on_answer(void *ctx, const struct inst_http_request *request,
                      struct inst_http_response *response) {
    struct seen *seen = ctx;
    add(seen, request->method);
    add(seen, request->path);
    add(seen, request->query);
    for (size_t i = 0; i < request->field_count; i++) {
        FUZZ_REQUIRE(strpbrk(request->fields[i].value, "\r\n") == NULL);
        add(seen, request->fields[i].name);
        add(seen, request->fields[i].value);
    }
    inst_buf_add(&seen->asked, request->body, request->body_len);
    inst_buf_add_char(&seen->asked, '\0');
    *response = (struct inst_http_response){.status = 200};
    inst_buf_add_str(&response->body, "{\"answer\":1}");
}

static void on_upgrade(void *ctx, int fd, const struct inst_http_head *head, const char *ip,
                       const char *rest, size_t rest_len) {
    struct seen *seen = ctx;
    FUZZ_REQUIRE(inst_head_field(head, "sec-websocket-key", NULL) != NULL && ip[0] == '\0');
    add(seen, "upgrade");
    /* How much of it has arrived depends on how the bytes were cut. */
    (void)rest;
    (void)rest_len;
    close(fd);
}

static void take(int fd, struct seen *seen) {
    char piece[4096];
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) > 0)
        inst_buf_add(&seen->out, piece, (size_t)n);
}

/* Sends the bytes in pieces of the given lengths, over and over, and takes what comes back. */
static void play(const uint8_t *bytes, size_t len, const uint8_t *cuts, size_t cut_count,
                 struct seen *seen) {
    struct inst_loop *loop;
    struct inst_http_server *server;
    int fds[2];
    struct inst_http_server_config config = {.host = NULL,
                                             .ctx = seen,
                                             .answer = on_answer,
                                             .max_queued = 1000,
                                             .stream_comment_ms = 1000,
                                             .max_body = MAX_ASKED,
                                             .trusted_hops = 0,
                                             .upgrade = on_upgrade};
    *seen = (struct seen){0};
    FUZZ_REQUIRE(inst_loop_new(&loop, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_http_server_new(loop, &config, &server, NULL) == INST_OK);
    FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    inst_http_server_adopt(server, fds[0], "");
    size_t at = 0;
    for (size_t i = 0; at < len; i++) {
        size_t n = cut_count ? (size_t)1 + cuts[i % cut_count] : len;
        n = n < len - at ? n : len - at;
        ssize_t sent = send(fds[1], bytes + at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            break;
        at += sent > 0 ? (size_t)sent : 0;
        inst_loop_step(loop);
        take(fds[1], seen);
    }
    shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < TURNS; i++)
        inst_loop_step(loop);
    take(fds[1], seen);
    close(fds[1]);
    inst_http_server_free(server);
    inst_loop_free(loop);
}

static void free_seen(struct seen *seen) {
    inst_buf_free(&seen->asked);
    inst_buf_free(&seen->out);
}

/* One answer: its head is complete, its body as long as it says (those of HEAD have none). */
static const char *next_answer(const char *at, const char *end, bool *closes) {
    const char *stop = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
    FUZZ_REQUIRE(stop != NULL && memcmp(at, "HTTP/1.1 ", 9) == 0);
    size_t head = (size_t)(stop - at);
    *closes = memmem(at, head, "\r\nConnection: close\r\n", 21) != NULL;
    const char *length = memmem(at, head + 2, "\r\nContent-Length: ", 18);
    if (memcmp(at, "HTTP/1.1 100 ", 13) == 0)
        return stop + 4;
    FUZZ_REQUIRE(length != NULL);
    size_t body = strtoul(length + 18, NULL, 10);
    const char *next = stop + 4;
    bool is_bare = next == end || memcmp(next, "HTTP/1.1 ",
                                         (size_t)(end - next) < 9 ? (size_t)(end - next) : 9) == 0;
    if (is_bare)
        return next;
    FUZZ_REQUIRE((size_t)(end - next) >= body);
    return next + body;
}

static void check_answers(const struct seen *seen) {
    const char *at = seen->out.data, *end = at + seen->out.len;
    bool closes = false;
    while (at < end) {
        FUZZ_REQUIRE(!closes);
        at = next_answer(at, end, &closes);
    }
}

/* `100 Continue` is left out when the body is there already: that depends on the cuts. */
static void drop_continues(struct inst_buf *out) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *at;
    while (out->len && (at = memmem(out->data, out->len, go_on, sizeof go_on - 1)) != NULL) {
        size_t rest = out->len - (size_t)(at - out->data) - (sizeof go_on - 1);
        memmove(at, at + sizeof go_on - 1, rest);
        out->len -= sizeof go_on - 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    /* The last bytes are the cuts. */
    size_t cuts = len > 0 ? bytes[len - 1] % 8u : 0;
    if (cuts + 1 > len)
        return 0;
    struct seen whole, cut;
    size_t text = len - 1 - cuts;
    play(bytes, text, NULL, 0, &whole);
    play(bytes, text, bytes + text, cuts, &cut);
    check_answers(&whole);
    check_answers(&cut);
    drop_continues(&whole.out);
    drop_continues(&cut.out);
    FUZZ_REQUIRE(whole.asked.len == cut.asked.len && whole.out.len == cut.out.len);
    if (whole.asked.len)
        FUZZ_REQUIRE(memcmp(whole.asked.data, cut.asked.data, whole.asked.len) == 0);
    if (whole.out.len)
        FUZZ_REQUIRE(memcmp(whole.out.data, cut.out.data, whole.out.len) == 0);
    free_seen(&whole);
    free_seen(&cut);
    return 0;
}
