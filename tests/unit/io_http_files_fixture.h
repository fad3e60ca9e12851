/*
 * io_http_files_fixture.h - a backend over a folder with one app, and a raw HTTP client of it on
 * the same thread, for tests of files.
 */
#ifndef INST_TESTS_IO_HTTP_FILES_FIXTURE_H
#define INST_TESTS_IO_HTTP_FILES_FIXTURE_H

#include "io/file_upload.h"
#include "io/ws_server.h"

#include "base/json.h"
#include "server/engine.h"
#include "server/evaluation.h"
#include "server/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <poll.h>
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

#define LIMIT_MS 10000
#define MAX_UPLOAD (1u << 20)

struct world {
    char dir[64];
    struct inst_loop *loop;
    struct inst_backend *backend;
    struct inst_ws_server *server;
    struct inst_app_info app;
    char token[INST_UUID_TEXT + 1];
    struct inst_arena arena;
    int fd; /* of the connection; -1: none */
    struct inst_buf in;
    bool is_eof;
    /* the last answer */
    int status;
    char *head; /* in `in` */
    char *body;
    size_t body_len;
    struct inst_value json;
};

static inline void must(enum inst_status status, struct inst_err *err) {
    if (status != INST_OK)
        fail_msg("%s", err->message);
}

static inline int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    struct inst_err err = {0};
    struct inst_ws_server_config config = {.max_upload = MAX_UPLOAD};
    char origin[64];
    signal(SIGPIPE, SIG_IGN);
    inst_arena_init(&w->arena);
    w->fd = -1;
    /* In memory where that can be: what a disk that is busy takes is not what is tested. */
    strcpy(w->dir, "/dev/shm/instant-http-files-XXXXXX");
    if (!mkdtemp(w->dir)) {
        strcpy(w->dir, "/tmp/instant-http-files-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
    }
    must(inst_loop_new(&w->loop, &err), &err);
    must(inst_backend_open(w->loop, w->dir, false, &w->backend, &err), &err);
    must(inst_ws_server_new(w->loop, w->backend, &config, &w->server, &err), &err);
    snprintf(origin, sizeof origin, "http://127.0.0.1:%d", inst_ws_server_port(w->server));
    must(inst_backend_set_origin(w->backend, origin, false, &err), &err);
    must(inst_server_create_app(inst_backend_server(w->backend), "files", NULL, 0, &w->app,
                                w->token, &err),
         &err);
    *state = w;
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *st, int kind,
                               struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void hang_up(struct world *w) {
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->is_eof = false;
    inst_buf_free(&w->in);
}

static inline int teardown(void **state) {
    struct world *w = *state;
    hang_up(w);
    inst_ws_server_free(w->server);
    inst_backend_close(w->backend);
    inst_loop_free(w->loop);
    inst_arena_free(&w->arena);
    nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    return 0;
}

/* ---- the raw client ---- */

static inline void dial(struct world *w) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)inst_ws_server_port(w->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    hang_up(w);
    w->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(w->fd, (struct sockaddr *)&to, sizeof to), 0);
    int on = 1;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(w->fd, F_SETFL, O_NONBLOCK);
}

static inline void turn(struct world *w) {
    static char piece[1 << 18];
    inst_loop_step(w->loop);
    ssize_t n = recv(w->fd, piece, sizeof piece, 0);
    if (n < 0 && errno == EAGAIN) { /* a worker has it: it needs the processor, too */
        struct pollfd wait = {.fd = w->fd, .events = POLLIN};
        poll(&wait, 1, 1);
    }
    if (n > 0)
        inst_buf_add(&w->in, piece, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        w->is_eof = true;
}

static inline void send_bytes(struct world *w, const void *bytes, size_t len) {
    const char *at = bytes;
    int64_t stop = inst_loop_monotonic_ms(w->loop) + LIMIT_MS;
    while (len > 0 && !w->is_eof) {
        ssize_t n = send(w->fd, at, len, MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return;
        }
        turn(w);
        assert_true(inst_loop_monotonic_ms(w->loop) < stop);
    }
}

static inline void send_head(struct world *w, const char *fmt, ...) INST_PRINTF(2, 3);
static inline void send_head(struct world *w, const char *fmt, ...) {
    char text[20000];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_true(n < (int)sizeof text);
    send_bytes(w, text, (size_t)n);
}

/* The value of a header field of the last answer, up to its line end; NULL: none. */
static inline const char *field(struct world *w, const char *name) {
    static char value[2048];
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    char *at = strcasestr(w->head, wanted);
    if (!at || at > w->body)
        return NULL;
    at += strlen(wanted);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static inline void check_time(struct world *w, int64_t stop) {
    if (inst_loop_monotonic_ms(w->loop) > stop)
        fail_msg("no answer in time; so far: %s", w->in.data ? w->in.data : "");
}

/* Takes one answer from the connection. has_body: it is none to HEAD. */
static inline int answer(struct world *w, bool has_body) {
    int64_t stop = inst_loop_monotonic_ms(w->loop) + LIMIT_MS;
    static struct inst_buf taken;
    char *end;
    while (!w->in.data || !(end = strstr(w->in.data, "\r\n\r\n"))) {
        check_time(w, stop);
        if (w->is_eof)
            return w->status = 0;
        turn(w);
    }
    size_t head_len = (size_t)(end - w->in.data) + 4;
    const char *length = strcasestr(w->in.data, "\r\ncontent-length: ");
    w->body_len = has_body && length && length < end ? strtoul(length + 18, NULL, 10) : 0;
    while (w->in.len < head_len + w->body_len && !w->is_eof) {
        check_time(w, stop);
        turn(w);
    }
    if (w->in.len < head_len + w->body_len)
        w->body_len = w->in.len - head_len;
    inst_buf_clear(&taken);
    inst_buf_add(&taken, w->in.data, head_len + w->body_len);
    memmove(w->in.data, w->in.data + taken.len, w->in.len - taken.len + 1);
    w->in.len -= taken.len;
    w->head = taken.data;
    w->body = taken.data + head_len;
    w->status = atoi(w->head + 9);
    const char *connection = field(w, "Connection");
    if (connection && strcmp(connection, "close") == 0)
        w->is_eof = true; /* for the next request */
    w->json = inst_undefined();
    const char *type = field(w, "Content-Type");
    if (type && strcmp(type, "application/json") == 0)
        inst_json_parse(&w->arena, w->body, w->body_len, &w->json, NULL);
    return w->status;
}

static inline int request(struct world *w, const char *method, const char *target,
                          const char *fields, const char *body) {
    if (w->fd < 0 || w->is_eof)
        dial(w);
    send_head(w, "%s %s HTTP/1.1\r\nHost: a\r\n%s", method, target, fields);
    if (body)
        send_head(w, "Content-Length: %zu\r\n", strlen(body));
    send_head(w, "\r\n%s", body ? body : "");
    return answer(w, strcmp(method, "HEAD") != 0);
}

/* Header fields of the app's admin. */
static inline const char *admin(struct world *w, const char *more) {
    static char text[16000];
    snprintf(text, sizeof text, "app-id: %s\r\nAuthorization: Bearer %s\r\n%s", w->app.id, w->token,
             more);
    return text;
}

static inline const char *text_of(const struct inst_value *value) {
    static char texts[4][1024];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, 1024, "%.*s", value && value->tag == INST_STRING ? (int)value->len : 0,
             value && value->tag == INST_STRING ? value->u.str : "");
    return text;
}

/* The text at data.<name>, or `data` itself. */
static inline const char *data(struct world *w, const char *name) {
    const struct inst_value *data = inst_getz(&w->json, "data");
    assert_non_null(data);
    return text_of(name ? inst_getz(data, name) : data);
}

static inline const char *type(struct world *w) { return text_of(inst_getz(&w->json, "type")); }
static inline const char *message(struct world *w) {
    return text_of(inst_getz(&w->json, "message"));
}

static inline void put(struct world *w, const char *path, const char *more, const char *body) {
    char fields[4000];
    snprintf(fields, sizeof fields, "path: %s\r\n%s", path, more);
    if (request(w, "PUT", "/admin/storage/upload", admin(w, fields), body) != 200)
        fail_msg("%d %.*s", w->status, (int)w->body_len, w->body);
}

/* The path and query of a file's address; `path` is percent-encoded. */
static inline const char *address(struct world *w, const char *path) {
    static char target[1024];
    char asked[1024];
    snprintf(asked, sizeof asked, "/admin/storage/signed-download-url?filename=%s", path);
    assert_int_equal(request(w, "GET", asked, admin(w, ""), NULL), 200);
    const char *url = data(w, NULL);
    assert_int_equal(strncmp(url, "http://127.0.0.1:", 17), 0);
    snprintf(target, sizeof target, "%s", strchr(url + 7, '/'));
    return target;
}

static inline void expect_body(struct world *w, const char *text) {
    if (w->body_len != strlen(text) || memcmp(w->body, text, w->body_len) != 0)
        fail_msg("%.*s in place of %s", (int)w->body_len, w->body, text);
}

static inline void expect_refusal(struct world *w, int status, const char *wanted,
                                  const char *words) {
    if (w->status != status || strcmp(type(w), wanted) != 0 || !strstr(message(w), words))
        fail_msg("%d %.*s", w->status, (int)w->body_len, w->body);
}

static int counted; /* files found */
static inline int count_entry(const char *path, const struct stat *st, int kind,
                              struct FTW *where) {
    (void)path;
    (void)where;
    counted += kind == FTW_F && S_ISREG(st->st_mode);
    return 0;
}

/* Files on their way. */
static inline int incoming(struct world *w) {
    char path[128];
    snprintf(path, sizeof path, "%s/files/incoming", w->dir);
    counted = 0;
    nftw(path, count_entry, 4, FTW_PHYS);
    return counted;
}

#endif
