/* Sessions over server-sent events, by a raw client. */
#include "io_port_fixture.h"

#include "server/server.h"

#define APP "aaaaaaaa-0000-4000-8000-000000000001"

struct stream {
    struct peer *peer;
    char machine[37], session[37], token[37];
};

/* What came up to and with `end`, which is taken out of peer->in; good until the next call. */
static const char *take_until(struct peer *peer, const char *end) {
    static char text[sizeof peer->in];
    int64_t stop = now(peer) + LIMIT_MS;
    char *found;
    for (;;) {
        peer->in[peer->len] = '\0';
        if ((found = strstr(peer->in, end)) != NULL)
            break;
        if (peer->is_eof || now(peer) >= stop)
            fail_msg("no %s in: %s", end, peer->in);
        turn(peer);
    }
    size_t used = (size_t)(found - peer->in) + strlen(end);
    memcpy(text, peer->in, used);
    text[used] = '\0';
    memmove(peer->in, peer->in + used, peer->len - used);
    peer->len -= used;
    return text;
}

/* The next message, comments left out. */
static const char *take_event(struct stream *stream) {
    const char *event;
    do
        event = take_until(stream->peer, "\n\n");
    while (strcmp(event, ":\n\n") == 0);
    assert_int_equal(strncmp(event, "data: ", 6), 0);
    return event + 6;
}

static void read_member(const char *json, const char *name, char out[37]) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(json, key);
    assert_non_null(at);
    memcpy(out, at + strlen(key), 36);
    out[36] = '\0';
}

static struct stream *open_stream(struct world *world) {
    static const char head[] =
        "GET /runtime/sse?app_id=" APP " HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n";
    struct stream *stream = calloc(1, sizeof *stream);
    stream->peer = dial(world);
    send_all(stream->peer, head, sizeof head - 1);
    const char *answer = take_until(stream->peer, "\r\n\r\n");
    static const char *const wanted[] = {
        "HTTP/1.1 200 OK\r\n", "Content-Type: text/event-stream\r\n", "Cache-Control: no-cache\r\n",
        "Access-Control-Allow-Origin: http://b\r\n"};
    for (size_t i = 0; i < 4; i++)
        assert_non_null(strstr(answer, wanted[i]));
    assert_null(strstr(answer, "Content-Length"));
    const char *event = take_event(stream);
    assert_int_equal(strncmp(event, "{\"op\":\"sse-init\",", 17), 0);
    read_member(event, "machine-id", stream->machine);
    read_member(event, "session-id", stream->session);
    read_member(event, "sse-token", stream->token);
    return stream;
}

static void close_stream(struct stream *stream) {
    hang_up(stream->peer);
    free(stream);
}

/* Posts a body and gives the answer, on a connection of its own. */
static const char *post(struct world *world, const char *target, const char *body) {
    char head[512];
    struct peer *peer = dial(world);
    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
             target, strlen(body));
    send_all(peer, head, strlen(head));
    send_all(peer, body, strlen(body));
    static char text[8192];
    int64_t stop = now(peer) + LIMIT_MS;
    while (!peer->is_eof && now(peer) < stop)
        turn(peer);
    assert_true(peer->is_eof && peer->len < sizeof text);
    memcpy(text, peer->in, peer->len);
    text[peer->len] = '\0';
    hang_up(peer);
    return text;
}

static const char *push(struct world *world, const char *machine, const char *session,
                        const char *token, const char *messages) {
    size_t cap = strlen(messages) + 300;
    char *body = malloc(cap);
    snprintf(body, cap,
             "{\"machine_id\":\"%s\",\"session_id\":\"%s\",\"sse_token\":\"%s\",\"messages\":%s}",
             machine, session, token, messages);
    const char *answer = post(world, "/runtime/sse?app_id=" APP, body);
    free(body);
    return answer;
}

static void say(struct world *world, const struct stream *stream, const char *messages) {
    const char *answer = push(world, stream->machine, stream->session, stream->token, messages);
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\n{}"));
}

static size_t session_count(struct world *world) {
    struct inst_server_stats stats;
    inst_server_stats(inst_backend_server(world->backend), &stats);
    return stats.sessions;
}

static void expect_sessions(struct peer *peer, size_t count) {
    int64_t stop = now(peer) + LIMIT_MS;
    while (session_count(peer->world) != count) {
        turn(peer);
        assert_true(now(peer) < stop);
    }
    assert_int_equal(inst_ws_server_connections(peer->world->server), count);
}

/* ---- tests ---- */

static void carries_a_session(void **state) {
    struct world *world = *state;
    struct stream *stream = open_stream(world), *other = open_stream(world);
    assert_string_not_equal(stream->session, other->session);
    assert_string_not_equal(stream->token, other->token);
    assert_string_equal(stream->machine, other->machine);
    say(world, stream,
        "[{\"op\":\"init\",\"app-id\":\"" APP "\",\"client-event-id\":\"i\"},"
        "{\"op\":\"add-query\",\"q\":{\"a\":{}},\"client-event-id\":\"q\"}]");
    const char *event = take_event(stream);
    assert_non_null(strstr(event, "\"op\":\"init-ok\""));
    assert_non_null(strstr(event, stream->session)); /* also the peer id in rooms */
    assert_non_null(strstr(take_event(stream), "\"op\":\"add-query-ok\""));
    /* what is no message is answered on the stream, as over a WebSocket */
    say(world, stream, "[7,null,{\"op\":\"explode\"}]");
    for (int i = 0; i < 3; i++)
        assert_non_null(strstr(take_event(stream), "Invalid op"));
    say(world, stream, "[]");
    say(world, other, "[{\"op\":\"add-query\",\"q\":{\"a\":{}}}]");
    assert_non_null(strstr(take_event(other), "`init` has not run"));
    close_stream(other);
    close_stream(stream);
}

static void ends_with_its_connection(void **state) {
    struct world *world = *state;
    struct stream *stream = open_stream(world), *other = open_stream(world);
    expect_sessions(other->peer, 2);
    char machine[37], session[37], token[37];
    strcpy(machine, stream->machine);
    strcpy(session, stream->session);
    strcpy(token, stream->token);
    close_stream(stream);
    expect_sessions(other->peer, 1);
    const char *answer = push(world, machine, session, token, "[]");
    assert_non_null(strstr(answer, "HTTP/1.1 400"));
    assert_non_null(strstr(answer, "\"type\":\"session-missing\""));
    shutdown(other->peer->fd, SHUT_WR); /* half closed is closed: nothing can be posted on it */
    expect_sessions(other->peer, 0);
    close_stream(other);
}

static void refuses(void **state) {
    struct world *world = *state;
    struct stream *stream = open_stream(world);
    const char *nobody = "bbbbbbbb-0000-4000-8000-000000000001";
    const char *answer = push(world, nobody, stream->session, stream->token, "[]");
    assert_non_null(strstr(answer, "HTTP/1.1 400"));
    assert_non_null(
        strstr(answer, "{\"type\":\"member-missing\",\"message\":\"Member missing for "
                       "machine id: bbbbbbbb-0000-4000-8000-000000000001\",\"hint\":"
                       "{\"machine-id\":\"bbbbbbbb-0000-4000-8000-000000000001\"},\"trace-id\":"));
    char wanted[300];
    snprintf(wanted, sizeof wanted,
             "{\"type\":\"session-missing\",\"message\":\"Session missing for id: %s\",\"hint\":"
             "{\"sess-id\":{\"sess-id\":\"%s\"}},\"trace-id\":",
             stream->session, stream->session);
    assert_non_null(strstr(push(world, stream->machine, stream->session, nobody, "[]"), wanted));
    assert_non_null(strstr(push(world, stream->machine, nobody, stream->token, "[]"),
                           "\"type\":\"session-missing\""));
    answer = push(world, stream->machine, stream->session, "secret", "[]");
    assert_non_null(strstr(answer, "Malformed parameter: [\\\"body\\\" \\\"sse_token\\\"]"));
    assert_null(strstr(answer, "secret"));
    assert_non_null(strstr(push(world, "x", stream->session, stream->token, "[]"),
                           "[\\\"body\\\" \\\"machine_id\\\"]"));
    assert_non_null(strstr(push(world, stream->machine, stream->session, stream->token, "{}"),
                           "Malformed parameter: [\\\"body\\\" \\\"messages\\\"]"));
    assert_non_null(strstr(push(world, stream->machine, stream->session, stream->token, "null"),
                           "Missing parameter: [\\\"body\\\" \\\"messages\\\"]"));
    assert_non_null(strstr(post(world, "/runtime/sse?app_id=" APP, "[]"),
                           "Malformed parameter: [\\\"body\\\"]"));
    assert_non_null(strstr(post(world, "/runtime/sse", "{}"),
                           "Missing parameter: [\\\"params\\\" \\\"app_id\\\"]"));
    assert_non_null(strstr(post(world, "/runtime/sse?app_id=7", "{}"),
                           "Malformed parameter: [\\\"params\\\" \\\"app_id\\\"]"));
    /* none of this reached the session */
    say(world, stream, "[{\"op\":\"init\",\"app-id\":\"" APP "\"}]");
    assert_non_null(strstr(take_event(stream), "\"op\":\"init-ok\""));
    close_stream(stream);
}

static void needs_an_app_id(void **state) {
    static const char *const targets[] = {"GET /runtime/sse HTTP/1.1\r\nHost: a\r\n\r\n",
                                          "GET /runtime/sse?app_id=x HTTP/1.1\r\nHost: a\r\n\r\n",
                                          "HEAD /runtime/sse?app_id=" APP
                                          " HTTP/1.1\r\nHost: a\r\n\r\n"};
    static const char *const wanted[] = {"HTTP/1.1 400", "HTTP/1.1 400", "HTTP/1.1 200"};
    struct peer *peer = dial(*state);
    for (size_t i = 0; i < 3; i++) {
        send_all(peer, targets[i], strlen(targets[i]));
        const char *head = take_until(peer, "\r\n\r\n");
        assert_non_null(strstr(head, wanted[i]));
        if (i < 2)
            take_until(peer, "\"}");
    }
    assert_int_equal(session_count(*state), 0);
    hang_up(peer);
}

static void is_kept_alive(void **state) {
    struct stream *stream = open_stream(*state);
    assert_string_equal(take_until(stream->peer, "\n\n"), ":\n\n");
    assert_string_equal(take_until(stream->peer, "\n\n"), ":\n\n");
    /* whatever a client says here means nothing */
    send_all(stream->peer, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_string_equal(take_until(stream->peer, "\n\n"), ":\n\n");
    close_stream(stream);
}

static void large_messages_come_whole(void **state) {
    struct world *world = *state;
    struct stream *stream = open_stream(world);
    int small = 4096;
    setsockopt(stream->peer->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(world, stream, "[{\"op\":\"init\",\"app-id\":\"" APP "\"}]");
    assert_non_null(strstr(take_event(stream), "\"op\":\"init-ok\""));
    char *message = malloc(200100);
    int len = sprintf(message, "[{\"op\":\"add-query\",\"q\":{\"a\":{\"$\":{\"where\":{\"b\":\"");
    memset(message + len, 'x', 200000);
    strcpy(message + len + 200000, "\"}}}}}]");
    say(world, stream, message);
    free(message);
    const char *event = take_event(stream);
    assert_true(strlen(event) > 200000);
    assert_non_null(strstr(event, "\"trace-id\":"));
    close_stream(stream);
}

/* One that stops reading is dropped at the limit; another goes on meanwhile. */
static void slow_readers_are_dropped(void **state) {
    struct world *world = *state;
    struct stream *slow = open_stream(world), *other = open_stream(world);
    int small = 4096;
    setsockopt(slow->peer->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    char *message = malloc(60100);
    int len = sprintf(message, "[{\"op\":\"");
    memset(message + len, 'x', 60000);
    strcpy(message + len + 60000, "\"}]");
    const char *answer = "";
    for (int i = 0; i < 1000 && !strstr(answer, "session-missing"); i++)
        answer = push(world, slow->machine, slow->session, slow->token, message);
    free(message);
    assert_non_null(strstr(answer, "session-missing"));
    expect_sessions(other->peer, 1);
    say(world, other, "[{\"op\":\"init\",\"app-id\":\"" APP "\"}]");
    assert_non_null(strstr(take_event(other), "\"op\":\"init-ok\""));
    close_stream(other);
    close_stream(slow);
}

/* The same for one that leaves less than the limit unread, but takes nothing. */
static void blocked_readers_are_dropped(void **state) {
    struct world *world = *state;
    struct stream *slow = open_stream(world);
    int small = 4096;
    setsockopt(slow->peer->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    struct peer *watcher = dial(world);
    char *message = malloc(60100);
    int len = sprintf(message, "[{\"op\":\"");
    memset(message + len, 'x', 60000);
    strcpy(message + len + 60000, "\"}]");
    /* as much as the kernel takes, and less than the limit behind it */
    for (int i = 0; i < 3; i++)
        push(world, slow->machine, slow->session, slow->token, message);
    free(message);
    int64_t stop = now(watcher) + 2 * LIMIT_MS;
    while (session_count(world) > 0 && now(watcher) < stop)
        turn(watcher);
    assert_int_equal(session_count(world), 0);
    hang_up(watcher);
    close_stream(slow);
}

static void ends_with_the_server(void **state) {
    struct world *world = *state;
    struct stream *stream = open_stream(world);
    say(world, stream, "[{\"op\":\"init\",\"app-id\":\"" APP "\"}]");
    inst_ws_server_free(world->server);
    world->server = NULL;
    assert_int_equal(session_count(world), 0);
    close_stream(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_patient, teardown)
        T(carries_a_session),
        T(ends_with_its_connection),
        T(refuses),
        T(needs_an_app_id),
        cmocka_unit_test_setup_teardown(is_kept_alive, setup, teardown),
        T(large_messages_come_whole),
        T(slow_readers_are_dropped),
        cmocka_unit_test_setup_teardown(blocked_readers_are_dropped, setup, teardown),
        T(ends_with_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
