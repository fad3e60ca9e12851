/* A client of the C API on a backend inside the process, on its own loop and inside another's. */
#include "instant.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TODOS "{\"todos\":{}}"

struct world {
    struct instant_loop *loop;
    struct instant_builder *b;
    struct instant_db *db;
    char log[4096];
};

static void on_log(void *ctx, enum instant_log_level level, const char *line) {
    struct world *w = ctx;
    size_t used = strlen(w->log);
    snprintf(w->log + used, sizeof w->log - used, "%d %s\n", level, line);
}

static struct instant_db *init(struct world *w, const char *config) {
    struct instant_error *error = NULL;
    struct instant_db *db = instant_init(w->loop, instant_parse(w->b, config), &error);
    if (!db)
        fail_msg("%s", instant_error_message(error));
    return db;
}

static struct world *world_new(void) {
    struct world *w = calloc(1, sizeof *w);
    w->loop = instant_loop_new(NULL);
    assert_non_null(w->loop);
    instant_set_log(w->loop, INSTANT_LOG_INFO, on_log, w);
    w->b = instant_builder_new();
    w->db = init(w, "{\"apiURI\":\"local::memory:\"}");
    return w;
}

static void world_free(struct world *w) {
    instant_loop_free(w->loop);
    instant_builder_free(w->b);
    free(w);
}

/* What callbacks were given. */
struct heard {
    int count;
    char text[512]; /* JSON of the last data, or a status */
    char error[256];
    char type[64];
    struct instant_db *db;
    uint64_t subscription;
};

static void hear_error(struct heard *h, const struct instant_error *error) {
    snprintf(h->error, sizeof h->error, "%s", instant_error_message(error));
    snprintf(h->type, sizeof h->type, "%s", instant_error_type(error));
}

/* The titles, joined. */
static void on_result(void *ctx, const struct instant_result *result,
                      const struct instant_error *error) {
    struct heard *h = ctx;
    h->count++;
    h->text[0] = '\0';
    if (error) {
        hear_error(h, error);
        return;
    }
    const struct instant_value *todos = instant_value_get(instant_result_data(result), "todos");
    for (size_t i = 0; i < instant_value_count(todos); i++) {
        size_t used = strlen(h->text);
        snprintf(h->text + used, sizeof h->text - used, "%s", used ? " " : "");
        used = strlen(h->text);
        instant_value_copy(instant_value_get(instant_value_at(todos, i), "title"), h->text + used,
                           sizeof h->text - used);
    }
}

static void on_done(void *ctx, const char *status, const char *event_id,
                    const struct instant_error *error) {
    struct heard *h = ctx;
    h->count++;
    if (error) {
        hear_error(h, error);
        return;
    }
    assert_int_equal(strlen(event_id), INSTANT_ID_SIZE - 1);
    snprintf(h->text, sizeof h->text, "%s", status);
}

static void on_status(void *ctx, const char *status, const struct instant_error *error) {
    struct heard *h = ctx;
    h->count++;
    snprintf(h->text, sizeof h->text, "%s", status);
    if (error)
        hear_error(h, error);
}

static void on_mutation_error(void *ctx, const char *event_id, const struct instant_error *error) {
    struct heard *h = ctx;
    h->count++;
    assert_int_equal(strlen(event_id), INSTANT_ID_SIZE - 1);
    hear_error(h, error);
}

static void on_app_status(void *ctx, const char *status) {
    struct heard *h = ctx;
    h->count++;
    snprintf(h->text, sizeof h->text, "%s", status ? status : "loading");
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until h says so. */
static void until(struct world *w, const struct heard *h, const char *text) {
    int64_t stop = now_ms() + 60000; /* also under valgrind, with a key to be stretched */
    while (strcmp(h->text, text) != 0) {
        if (now_ms() > stop)
            fail_msg("never heard `%s`, but `%s` %s", text, h->text, h->error);
        instant_wait(w->loop, 20);
    }
}

static void connect_db(struct world *w, struct instant_db *db) {
    struct heard status = {0};
    uint64_t id;
    assert_true(instant_subscribe_connection_status(db, on_status, &status, &id, NULL));
    if (strcmp(instant_connection_status(db), "authenticated") != 0)
        until(w, &status, "authenticated");
    instant_unsubscribe(db, id);
}

static void write_steps(struct world *w, struct instant_db *db, const char *steps) {
    struct heard done = {0};
    struct instant_error *error = NULL;
    if (!instant_transact(db, instant_parse(w->b, steps), on_done, &done, &error))
        fail_msg("%s", instant_error_message(error));
    until(w, &done, "synced");
    assert_int_equal(done.count, 1);
}

#define ID(n) "\"0000000" #n "-0000-4000-8000-000000000000\""

static void test_live(void **state) {
    (void)state;
    struct world *w = world_new();
    assert_int_equal(strlen(instant_app_id(w->db)), INSTANT_ID_SIZE - 1);
    assert_string_equal(instant_version(), INSTANT_VERSION);
    connect_db(w, w->db);
    struct heard live = {0};
    assert_true(instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live,
                                        &live.subscription, NULL));
    instant_builder_clear(w->b); /* what a call was given was copied */
    assert_true(live.subscription != 0);
    char id[INSTANT_ID_SIZE];
    instant_id(w->loop, id);
    instant_build_array(w->b);
    instant_build_string(w->b, "update");
    instant_build_string(w->b, "todos");
    instant_build_string(w->b, id);
    instant_build_object(w->b);
    instant_build_key(w->b, "title");
    instant_build_string(w->b, "one");
    instant_build_key(w->b, "n");
    instant_build_number(w->b, 1);
    instant_build_end(w->b);
    instant_build_end(w->b);
    struct heard done = {0};
    assert_true(instant_transact(w->db, instant_built(w->b), on_done, &done, NULL));
    assert_int_equal(instant_pending(w->db), 1);
    until(w, &done, "synced");
    until(w, &live, "one");
    assert_int_equal(instant_pending(w->db), 0);
    write_steps(w, w->db,
                "[[\"create\",\"todos\"," ID(2) ",{\"title\":\"two\",\"n\":2}],"
                                                "[\"update\",\"todos\"," ID(
                                                    3) ",{\"title\":\"three\",\"n\":3}],"
                                                       "[\"link\",\"todos\"," ID(
                                                           3) ",{\"after\":" ID(2) "}]]");
    until(w, &live, "one two three");
    write_steps(w, w->db, "[\"delete\",\"todos\"," ID(2) "]");
    until(w, &live, "one three");

    struct heard once = {0};
    assert_true(
        instant_query_once(w->db, instant_parse(w->b, TODOS), NULL, on_result, &once, NULL));
    until(w, &once, "one three");
    assert_int_equal(once.count, 1);

    int count = live.count;
    instant_unsubscribe(w->db, live.subscription);
    instant_unsubscribe(w->db, live.subscription);
    instant_unsubscribe(w->db, 4711);
    write_steps(w, w->db, "{\"__etype\":\"todos\",\"__ops\":[[\"delete\",\"todos\"," ID(3) "]]}");
    assert_int_equal(live.count, count);
    world_free(w);
}

static void test_lookups(void **state) {
    (void)state;
    struct world *w = world_new();
    w->db =
        init(w, "{\"apiURI\":\"local::memory:\",\"schema\":{\"entities\":{\"todos\":{\"attrs\":{"
                "\"title\":{\"valueType\":\"string\",\"required\":false,\"config\":{\"indexed\":"
                "true,\"unique\":true}}},\"links\":{}}},\"links\":{}}}");
    connect_db(w, w->db);
    struct heard live = {0};
    instant_subscribe_query(w->db, instant_parse(w->b, "{\"todos\":{}}"), NULL, on_result, &live,
                            NULL, NULL);
    write_steps(w, w->db, "[\"update\",\"todos\",[\"title\",\"a\"],{}]");
    until(w, &live, "a");
    write_steps(w, w->db, "[\"update\",\"todos\",\"lookup__title__\\\"a\\\"\",{\"title\":\"b\"}]");
    until(w, &live, "b");
    world_free(w);
}

static void check_no_steps(struct world *w, const char *steps, const char *message) {
    struct instant_error *error = NULL;
    assert_false(instant_transact(w->db, instant_parse(w->b, steps), on_done, NULL, &error));
    assert_string_equal(instant_error_message(error), message);
    assert_string_equal(instant_error_type(error), "validation-failed");
    instant_error_free(error);
    assert_false(instant_transact(w->db, instant_parse(w->b, steps), on_done, NULL, NULL));
}

static void test_failures(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_error *error = NULL;
    connect_db(w, w->db);
    assert_false(instant_subscribe_query(w->db,
                                         instant_parse(w->b, "{\"todos\":{\"$\":{\"bogus\":1}}}"),
                                         NULL, on_result, NULL, NULL, &error));
    assert_string_equal(instant_error_type(error), "validation-failed");
    assert_non_null(strstr(instant_error_message(error), "bogus"));
    instant_error_free(error);
    assert_false(instant_query_once(w->db, NULL, NULL, on_result, NULL, &error));
    instant_error_free(error);
    assert_false(instant_query_once(w->db, instant_parse(w->b, TODOS), instant_parse(w->b, "{"),
                                    on_result, NULL, &error));
    assert_string_equal(instant_error_type(error), "param-malformed");
    instant_error_free(error);

#define LIKE(n, got)                                                                               \
    "transact: step " n " must be like [\"update\", namespace, id, {...}], got " got
    check_no_steps(w, "7", LIKE("1", "a number"));
    check_no_steps(w, "[7]", LIKE("1", "a number"));
    check_no_steps(w, "{}", LIKE("1", "an object"));
    check_no_steps(w, "[\"update\"]", LIKE("1", "an array"));
    check_no_steps(w, "[[\"delete\",\"a\"," ID(1) "],[\"delete\",1,2]]", LIKE("2", "an array"));

    struct heard failed = {0}, done = {0};
    assert_true(instant_subscribe_mutation_errors(w->db, on_mutation_error, &failed, NULL, NULL));
    write_steps(w, w->db, "[\"create\",\"todos\"," ID(1) ",{\"n\":1}]");
    assert_true(instant_transact(w->db,
                                 instant_parse(w->b, "[\"create\",\"todos\"," ID(1) ",{\"n\":1}]"),
                                 on_done, &done, NULL));
    int64_t stop = now_ms() + 60000; /* also under valgrind, with a key to be stretched */
    while (!failed.count && now_ms() < stop)
        instant_wait(w->loop, 20);
    assert_int_equal(failed.count, 1);
    assert_int_equal(done.count, 1);
    assert_string_equal(done.text, "");
    assert_string_equal(done.error, failed.error);
    world_free(w);
}

static void check_no_init(struct world *w, const char *config, const char *message) {
    struct instant_error *error = NULL;
    assert_null(instant_init(w->loop, instant_parse(w->b, config), &error));
    assert_string_equal(instant_error_message(error), message);
    instant_error_free(error);
}

static void test_options(void **state) {
    (void)state;
    struct world *w = world_new();
    check_no_init(w, "7", "init: expected an object, got a number");
    check_no_init(w, "{}", "init: `appId` is missing");
    check_no_init(w, "{\"appID\":\"x\"}", "init: unknown option `appID`");
    check_no_init(w, "{\"appId\":1}", "init: `appId` must be a string, got a number");
    check_no_init(w, "{\"appId\":\"x\",\"apiURI\":\"ftp://a\"}",
                  "init: `apiURI` must be http://..., https://... or local:PATH, got `ftp://a`");
    check_no_init(w, "{\"appId\":\"x\"}",
                  "Instant must be initialized with a valid appId. `x` is not a valid uuid.");
    struct instant_error *error = NULL;
    assert_null(instant_init(
        w->loop, instant_parse(w->b, "{\"apiURI\":\"local:/proc/no/such/app.db\"}"), &error));
    assert_string_equal(instant_error_type(error), "data-file");
    instant_error_free(error);
    assert_null(instant_init(w->loop, NULL, NULL));
    struct instant_db *db =
        init(w, "{\"appId\":" ID(1) ",\"apiURI\":\"http://127.0.0.1:1//\","
                                    "\"reconnect\":\"linear\",\"adminToken\":null}");
    assert_string_equal(instant_connection_status(db), "connecting");
    instant_shutdown(db);
    world_free(w);
}

/* ---- ends ---- */

static void test_shutdown(void **state) {
    (void)state;
    struct world *w = world_new();
    connect_db(w, w->db);
    struct heard live = {0}, once = {0}, done = {0}, status = {0}, app = {0};
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live, NULL, NULL);
    instant_subscribe_connection_status(w->db, on_status, &status, NULL, NULL);
    instant_subscribe_app_status(w->db, on_app_status, &app, NULL, NULL);
    assert_string_equal(app.text, "active");
    instant_query_once(w->db, instant_parse(w->b, TODOS), NULL, on_result, &once, NULL);
    instant_transact(w->db, instant_parse(w->b, "[\"update\",\"todos\"," ID(1) ",{}]"), on_done,
                     &done, NULL);
    instant_transact(w->db, instant_parse(w->b, "[\"update\",\"todos\"," ID(1) ",{}]"), NULL, NULL,
                     NULL);
    instant_shutdown(w->db);
    assert_string_equal(once.type, "shutdown");
    assert_string_equal(done.type, "shutdown");
    assert_string_equal(status.text, "closed");
    int count = live.count;
    instant_run(w->loop); /* nothing is left */
    assert_false(instant_wait(w->loop, -1));
    assert_int_equal(live.count, count);
    instant_shutdown(NULL);
    world_free(w);
}

static void end_from_inside(void *ctx, const struct instant_result *result,
                            const struct instant_error *error) {
    struct heard *h = ctx;
    (void)result;
    (void)error;
    if (h->count++ == 0 && h->subscription)
        instant_unsubscribe(h->db, h->subscription);
    else
        instant_shutdown(h->db);
}

static void test_ends_from_callbacks(void **state) {
    (void)state;
    struct world *w = world_new();
    connect_db(w, w->db);
    struct heard first = {.db = w->db}, again = {.db = w->db}, last = {.db = w->db, .count = 1};
    struct heard once = {0};
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, end_from_inside, &first,
                            &first.subscription, NULL);
    while (!first.count)
        instant_wait(w->loop, 20);
    /* Known already: called inside the call that subscribes. */
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &once, NULL, NULL);
    while (!once.count)
        instant_wait(w->loop, 20);
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, end_from_inside, &again,
                            &again.subscription, NULL);
    assert_int_equal(again.count, 1);
    write_steps(w, w->db, "[\"update\",\"todos\"," ID(1) ",{\"n\":1}]");
    assert_int_equal(first.count, 1);
    assert_int_equal(again.count, 1);
    instant_query_once(w->db, instant_parse(w->b, TODOS), NULL, on_result, &once, NULL);
    instant_query_once(w->db, instant_parse(w->b, TODOS), NULL, end_from_inside, &last, NULL);
    instant_query_once(w->db, instant_parse(w->b, TODOS), NULL, on_result, &once, NULL);
    instant_run(w->loop);
    assert_int_equal(last.count, 2);
    world_free(w);
}

static void test_loop_goes_with_all(void **state) {
    (void)state;
    struct world *w = world_new();
    struct heard heard = {0};
    struct instant_db *other = init(w, "{\"apiURI\":\"local::memory:\"}");
    connect_db(w, other);
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &heard, NULL, NULL);
    instant_query_once(other, instant_parse(w->b, TODOS), NULL, on_result, &heard, NULL);
    instant_transact(w->db, instant_parse(w->b, "[\"update\",\"a\"," ID(1) ",{}]"), on_done, &heard,
                     NULL);
    int count = heard.count;
    world_free(w);
    assert_int_equal(heard.count, count);
    instant_loop_free(NULL);
}

/* What was written offline is there in the next process. */
static void test_storage(void **state) {
    (void)state;
    char folder[] = "/tmp/capi_db_test_XXXXXX", config[512], command[64];
    assert_non_null(mkdtemp(folder));
    snprintf(config, sizeof config,
             "{\"appId\":" ID(1) ",\"apiURI\":\"http://127.0.0.1:1\",\"storage\":\"file:%s\"}",
             folder);
    struct world *w = world_new();
    struct heard done = {0};
    struct instant_db *db = init(w, config);
    assert_true(instant_transact(db, instant_parse(w->b, "[\"update\",\"a\"," ID(2) ",{\"n\":1}]"),
                                 on_done, &done, NULL));
    until(w, &done, "enqueued");
    world_free(w);

    w = world_new();
    db = init(w, config);
    int64_t stop = now_ms() + 60000; /* also under valgrind, with a key to be stretched */
    while (instant_pending(db) != 1 && now_ms() < stop)
        instant_wait(w->loop, 10);
    assert_int_equal(instant_pending(db), 1);
    world_free(w);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* ---- rooms ---- */

/* "name name", of the peers. */
static void on_presence(void *ctx, const struct instant_presence *presence) {
    struct heard *h = ctx;
    h->count++;
    h->text[0] = '\0';
    assert_null(instant_presence_error(presence));
    const struct instant_value *peers = instant_presence_peers(presence);
    for (size_t i = 0; i < instant_value_count(peers); i++)
        instant_value_copy(instant_value_get(instant_value_at(peers, i), "name"), h->text,
                           sizeof h->text);
    const struct instant_value *me = instant_presence_user(presence);
    instant_value_copy(instant_value_get(me, "name"), h->type, sizeof h->type);
    if (instant_presence_is_loading(presence))
        h->text[0] = '\0';
}

static void on_topic(void *ctx, const struct instant_value *data,
                     const struct instant_value *peer) {
    struct heard *h = ctx;
    char name[32];
    h->count++;
    instant_value_copy(instant_value_get(peer, "name"), name, sizeof name);
    snprintf(h->text, sizeof h->text, "%s %.0f", name,
             instant_value_number(instant_value_get(data, "n"), 0));
}

/* Two clients that share a connection are two peers all the same. */
static void test_rooms(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_db *other = init(w, "{\"apiURI\":\"local::memory:\"}");
    struct heard ann = {0}, bob = {0}, shouts = {0};
    connect_db(w, w->db);
    assert_string_equal(instant_connection_status(other), "authenticated"); /* the same one */
    assert_true(
        instant_join_room(w->db, "chat", "r", instant_parse(w->b, "{\"name\":\"ann\"}"), NULL));
    assert_true(instant_subscribe_presence(w->db, "chat", "r", NULL, on_presence, &ann,
                                           &ann.subscription, NULL));
    assert_true(instant_subscribe_presence(
        other, "chat", "r",
        instant_parse(w->b, "{\"initialPresence\":{\"name\":\"bob\"},\"keys\":[\"name\"]}"),
        on_presence, &bob, NULL, NULL));
    until(w, &ann, "bob");
    until(w, &bob, "ann");
    assert_string_equal(ann.type, "ann");
    assert_true(
        instant_publish_presence(other, "r", instant_parse(w->b, "{\"name\":\"bea\"}"), NULL));
    until(w, &ann, "bea");
    assert_true(
        instant_subscribe_topic(w->db, "chat", "r", "shout", on_topic, &shouts, NULL, NULL));
    assert_true(instant_publish_topic(other, "r", "shout", instant_parse(w->b, "{\"n\":7}"), NULL));
    until(w, &shouts, "bea 7");
    assert_true(instant_publish_topic(other, "r", "shout", NULL, NULL));
    until(w, &shouts, "bea 0");

    /* What is subscribed in a room has nothing to do with ids of queries. */
    struct heard live = {0};
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live, NULL, NULL);
    instant_unsubscribe(w->db, ann.subscription);
    int count = ann.count;
    instant_publish_presence(other, "r", instant_parse(w->b, "{\"name\":\"bob\"}"), NULL);
    instant_publish_topic(other, "r", "shout", instant_parse(w->b, "{\"n\":8}"), NULL);
    until(w, &shouts, "bob 8");
    assert_int_equal(ann.count, count);
    write_steps(w, w->db, "[\"update\",\"todos\"," ID(1) ",{\"title\":\"x\"}]");
    until(w, &live, "x");

    instant_shutdown(w->db); /* and out of the room */
    until(w, &bob, "");
    instant_leave_room(other, "no such room");
    world_free(w);
}

static void check_no_room(bool ok, struct instant_error **error) {
    assert_false(ok);
    assert_string_equal(instant_error_type(*error), "validation-failed");
    instant_error_free(*error);
    *error = NULL;
}

static void test_rooms_refuse(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_error *error = NULL;
    bool ok = instant_publish_presence(w->db, "r", instant_parse(w->b, "{}"), &error);
    check_no_room(ok, &error);
    ok = instant_publish_topic(w->db, "r", "t", instant_parse(w->b, "{}"), &error);
    check_no_room(ok, &error);
    ok = instant_join_room(w->db, "chat", "r", instant_parse(w->b, "7"), &error);
    check_no_room(ok, &error);
    ok = instant_subscribe_presence(w->db, "chat", "r", instant_parse(w->b, "7"), on_presence, NULL,
                                    NULL, &error);
    check_no_room(ok, &error);
    ok = instant_subscribe_presence(w->db, "chat", "r", instant_parse(w->b, "{\"keys\":7}"),
                                    on_presence, NULL, NULL, &error);
    check_no_room(ok, &error);
    assert_false(instant_join_room(w->db, "chat", "r", instant_parse(w->b, "{"), NULL));
    world_free(w);
}

/* ---- users ---- */

static void on_auth(void *ctx, const struct instant_value *user) {
    struct heard *h = ctx;
    h->count++;
    snprintf(h->text, sizeof h->text, "%s", user ? "somebody" : "nobody");
}

static void on_signed_in(void *ctx, const struct instant_value *user,
                         const struct instant_error *error) {
    struct heard *h = ctx;
    h->count++;
    snprintf(h->text, sizeof h->text, "done");
    instant_value_copy(instant_value_get(user, "refresh_token"), h->error, sizeof h->error);
    if (error)
        hear_error(h, error);
}

/* Two clients that were made alike: one signs in, the other stays who it was. */
static void test_users(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_db *other = init(w, "{\"apiURI\":\"local::memory:\"}");
    struct heard auth = {0}, others = {0}, live = {0};
    connect_db(w, w->db);
    assert_null(instant_user(w->db));
    assert_true(instant_subscribe_auth(w->db, on_auth, &auth, &auth.subscription, NULL));
    assert_true(instant_subscribe_auth(other, on_auth, &others, NULL, NULL));
    assert_string_equal(auth.text, "nobody");
    assert_true(instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live,
                                        NULL, NULL));
    struct heard guest = {0}, again = {0}, bad = {0};
    assert_true(instant_sign_in_as_guest(w->db, on_signed_in, &guest, NULL));
    until(w, &guest, "done");
    assert_string_equal(guest.type, "");
    until(w, &auth, "somebody");
    assert_true(instant_value_is(instant_value_get(instant_user(w->db), "type"), "guest"));
    assert_true(
        instant_value_is(instant_value_get(instant_user(w->db), "refresh_token"), guest.error));
    assert_null(instant_user(other));
    assert_string_equal(others.text, "nobody");
    connect_db(w, w->db);
    write_steps(w, w->db, "[\"update\",\"todos\"," ID(1) ",{\"title\":\"mine\"}]");
    until(w, &live, "mine");

    assert_true(instant_sign_in_with_token(other, guest.error, on_signed_in, &again, NULL));
    until(w, &again, "done");
    assert_string_equal(again.error, guest.error);
    assert_true(instant_sign_in_with_token(other, "nobody's", on_signed_in, &bad, NULL));
    until(w, &bad, "done");
    assert_string_not_equal(bad.type, "");
    assert_string_equal(others.text, "somebody"); /* a failure changes nothing */

    struct heard code = {0}, sent = {0};
    assert_true(instant_send_magic_code(other, "ann@example.com", on_signed_in, &sent, NULL));
    until(w, &sent, "done");
    assert_string_equal(sent.type, "");
    assert_true(instant_sign_in_with_magic_code(other, "ann@example.com", "000000", on_signed_in,
                                                &code, NULL));
    until(w, &code, "done");
    assert_string_not_equal(code.type, "");

    assert_true(instant_sign_out(w->db, NULL));
    until(w, &auth, "nobody");
    assert_null(instant_user(w->db));
    assert_true(instant_sign_out(w->db, NULL)); /* again: nothing */

    struct heard late = {0};
    instant_sign_in_as_guest(w->db, on_signed_in, &late, NULL);
    instant_shutdown(w->db);
    assert_string_equal(late.type, "shutdown");
    instant_sign_in_as_guest(other, on_signed_in, &late, NULL);
    world_free(w);
    assert_int_equal(late.count, 1);
}

static void sign_in_guest(struct world *w, struct instant_db *db, struct heard *guest) {
    *guest = (struct heard){0};
    assert_true(instant_sign_in_as_guest(db, on_signed_in, guest, NULL));
    until(w, guest, "done");
    assert_string_equal(guest->type, "");
}

static bool holds(const char *folder, const char *text) {
    char command[512];
    snprintf(command, sizeof command, "grep -raqF -e '%s' %s/keep*", text, folder);
    return system(command) == 0;
}

static void expect_user(struct instant_db *db, const char *token) {
    assert_true(instant_value_is(instant_value_get(instant_user(db), "refresh_token"), token));
}

/* A vault of the program's own: who was signed in still is, whatever the storage. */
static void test_vault(void **state) {
    (void)state;
    char folder[] = "/tmp/capi_db_test_XXXXXX", config[512], wrong[512], command[64];
    struct heard guest = {0};
    struct instant_error *error = NULL;
    assert_non_null(mkdtemp(folder));
    static const char format[] = "{\"apiURI\":\"local:%s/app.db\",\"storage\":\"file:%s/keep\","
                                 "\"vault\":{\"file\":\"%s/vault\",\"passphrase\":\"%s\"}}";
    snprintf(config, sizeof config, format, folder, folder, folder, "right");
    snprintf(wrong, sizeof wrong, format, folder, folder, folder, "wrong");
    struct world *w = world_new();
    struct instant_db *db = init(w, config);
    assert_null(instant_user(db));
    sign_in_guest(w, db, &guest);
    expect_user(db, guest.error);
    world_free(w);
    assert_false(holds(folder, guest.error));

    w = world_new();
    assert_null(instant_init(w->loop, instant_parse(w->b, wrong), &error));
    assert_string_equal(instant_error_type(error), "vault");
    instant_error_free(error);
    db = init(w, config);
    expect_user(db, guest.error); /* at once */
    connect_db(w, db);
    expect_user(db, guest.error);
    assert_true(instant_sign_out(db, NULL));
    world_free(w);

    w = world_new();
    db = init(w, config);
    assert_null(instant_user(db));
    struct heard late = {0};
    assert_true(instant_sign_in_as_guest(db, on_signed_in, &late, NULL));
    while (late.count == 0 && instant_wait(w->loop, 0)) {
        if (instant_user(db))
            break;
    }
    instant_shutdown(db); /* while the vault may be at work */
    assert_int_equal(late.count, 1);
    world_free(w);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* Without one the storage keeps the user, encrypted. */
static void test_user_in_storage(void **state) {
    (void)state;
    char folder[] = "/tmp/capi_db_test_XXXXXX", config[512], command[64];
    struct heard guest = {0}, auth = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(config, sizeof config,
             "{\"apiURI\":\"local:%s/app.db\",\"storage\":\"sqlite:%s/keep\"}", folder, folder);
    struct world *w = world_new();
    sign_in_guest(w, init(w, config), &guest);
    world_free(w);
    assert_false(holds(folder, guest.error));
    w = world_new();
    struct instant_db *db = init(w, config);
    assert_true(instant_subscribe_auth(db, on_auth, &auth, NULL, NULL));
    until(w, &auth, "somebody");
    expect_user(db, guest.error);
    world_free(w);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void test_vault_options(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"7", "`vault` must be a string or an object, got a number"},
        {"\"cellar\"", "got \"cellar\""},
        {"{\"path\":\"x\"}", "unknown option `vault.path`"},
        {"{\"file\":1}", "`vault.file` must be a string"},
        {"{\"passphrase\":\"p\"}", "`vault.file` is missing"},
        {"{\"file\":\"x\"}", "needs `passphrase` or `keyFile`"},
        {"{\"file\":\"x\",\"passphrase\":\"p\",\"keyFile\":\"k\"}", "one of them"},
        {"\"memory\",\"refreshToken\":\"t\"", "both say who is signed in"},
    };
    struct world *w = world_new();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char config[256];
        struct instant_error *error = NULL;
        snprintf(config, sizeof config, "{\"apiURI\":\"local::memory:\",\"vault\":%s}", bad[i][0]);
        assert_null(instant_init(w->loop, instant_parse(w->b, config), &error));
        assert_non_null(strstr(instant_error_message(error), bad[i][1]));
        instant_error_free(error);
    }
    struct heard guest;
    struct instant_db *db = init(w, "{\"apiURI\":\"local::memory:\",\"vault\":\"memory\"}");
    sign_in_guest(w, db, &guest);
    expect_user(db, guest.error);
    world_free(w);
}

/* Nobody answers. */
static void test_users_offline(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_db *db = init(w, "{\"appId\":" ID(1) ",\"apiURI\":\"http://127.0.0.1:1/\"}");
    struct heard guest = {0};
    assert_true(instant_sign_in_as_guest(db, on_signed_in, &guest, NULL));
    assert_int_equal(guest.count, 0); /* never inside the call */
    until(w, &guest, "done");
    assert_string_equal(guest.type, "io-error");
    instant_sign_in_as_guest(db, on_signed_in, &guest, NULL);
    world_free(w);
    assert_int_equal(guest.count, 1);
}

/* ---- loops ---- */

/* A foreign loop: it polls the descriptor for as long as it is told, never steps without a reason.
 */
static void test_foreign_loop(void **state) {
    (void)state;
    struct world *w = world_new();
    struct heard live = {0}, done = {0};
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live, NULL, NULL);
    instant_transact(w->db,
                     instant_parse(w->b, "[\"update\",\"todos\"," ID(1) ",{\"title\":\"x\"}]"),
                     on_done, &done, NULL);
    assert_int_equal(instant_loop_timeout(w->loop), 0); /* calls of one's own are work */
    int64_t stop = now_ms() + 60000; /* also under valgrind, with a key to be stretched */
    while (instant_pending(w->db) || strcmp(live.text, "x") != 0) {
        assert_true(now_ms() < stop);
        struct pollfd fd = {.fd = instant_loop_fd(w->loop), .events = POLLIN};
        int timeout = instant_loop_timeout(w->loop);
        assert_true(poll(&fd, 1, timeout < 0 ? 5000 : timeout) >= 0);
        while (instant_step(w->loop, 0))
            ;
    }
    /* Idle: nothing to do now, and the next timer is not at once. */
    for (int i = 0; i < 100 && instant_loop_timeout(w->loop) == 0; i++)
        instant_step(w->loop, 1000);
    assert_int_not_equal(instant_loop_timeout(w->loop), 0);
    assert_false(instant_step(w->loop, 0));
    world_free(w);
}

static void test_waiting_has_a_limit(void **state) {
    (void)state;
    struct world *w = world_new();
    struct heard live = {0};
    connect_db(w, w->db);
    instant_subscribe_query(w->db, instant_parse(w->b, TODOS), NULL, on_result, &live, NULL, NULL);
    while (!live.count)
        instant_wait(w->loop, 20);
    int64_t start = now_ms();
    while (now_ms() - start < 30)
        assert_true(instant_wait(w->loop, 10)); /* returns, though nothing happens */
    instant_stop(w->loop);
    world_free(w);
}

static void test_log(void **state) {
    (void)state;
    struct world *w = world_new();
    struct instant_db *db = init(w, "{\"appId\":" ID(1) ",\"apiURI\":\"http://127.0.0.1:1\"}");
    int64_t stop = now_ms() + 60000; /* also under valgrind, with a key to be stretched */
    struct heard status = {0};
    instant_subscribe_connection_status(db, on_status, &status, NULL, NULL);
    while (!strstr(w->log, "Not connected") && now_ms() < stop)
        instant_wait(w->loop, 20);
    assert_non_null(strstr(w->log, "1 Not connected, trying again"));
    instant_set_log(w->loop, INSTANT_LOG_ERROR, NULL, NULL);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_ends_from_callbacks),
        cmocka_unit_test(test_loop_goes_with_all),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_vault),
        cmocka_unit_test(test_user_in_storage),
        cmocka_unit_test(test_vault_options),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_rooms_refuse),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_users_offline),
        cmocka_unit_test(test_foreign_loop),
        cmocka_unit_test(test_waiting_has_a_limit),
        cmocka_unit_test(test_log),
    };
    setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:", 1); /* no keychain answers */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A libsecret that was loaded in vain leaves what GLib never frees. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libgio-2.0\nleak:libglib-2.0\n"; }
