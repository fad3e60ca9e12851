/*
 * The backend engine in this process, without sockets and without waiting for a disk.
 *
 *     bench_engine untouched SUBSCRIPTIONS    rows: a transact beside 10 and beside SUBSCRIPTIONS
 *                                             live queries that it does not touch
 *     bench_engine fanout SUBSCRIBERS         rows: a transact that changes the result of one query
 *                                             with 1 and with SUBSCRIBERS subscribers
 *     bench_engine users USERS                rows: a transact that changes one user's own query
 *                                             beside 10 and beside USERS users with one each
 *
 * Untouched queries are all different; a third each fixes an id, a value of an indexed attr and a
 * range of one. The data file is in memory, so that the engine's own time shows.
 */
#include "bench.h"
#include "generate.h"

#include "base/json.h"
#include "io/apps.h"
#include "server/engine.h"
#include "server/permissions.h"
#include "server/server.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ATTR_ID "00000000-0000-4000-8000-0000000000e1"
#define ATTR_TITLE "00000000-0000-4000-8000-0000000000e2"
#define ATTR_RANK "00000000-0000-4000-8000-0000000000e3"
enum { NOTES = 1000, QUERIES_A_SESSION = 4000, MESSAGE = 4096 };

struct world {
    struct inst_env env;
    uint64_t random;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_app_info app;
    struct inst_session *writer;
    uint32_t made;    /* transactions so far */
    size_t delivered; /* messages */
    size_t bytes;     /* of the last one */
    struct inst_err err;
};

static void must(struct world *w, enum inst_status status) {
    if (status != INST_OK) {
        bench_die("%s", w->err.message);
    }
}

static int64_t now_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)bench_mix(w->random++);
    }
}

static void on_send(void *ctx, void *connection, struct inst_shared *message) {
    struct world *w = ctx;
    (void)connection;
    size_t first = message->len < 64 ? message->len : 64;
    if (memmem(message->data, first, "\"op\":\"error\"", 12)) {
        bench_die("the engine answered %.500s", message->data);
    }
    w->delivered++;
    w->bytes = message->len;
}

static void on_close(void *ctx, void *connection) {
    (void)ctx;
    (void)connection;
    bench_die("the engine closed a connection");
}

__attribute__((format(printf, 2, 3))) static void say(struct inst_session *session, const char *fmt,
                                                      ...) {
    char text[MESSAGE];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text) {
        bench_die("a message is too long");
    }
    inst_session_receive(session, text, (size_t)len);
}

static struct inst_session *enter(struct world *w) {
    struct inst_session *session;
    must(w, inst_session_open(w->server, w, &session, &w->err));
    say(session,
        "{\"op\":\"init\",\"app-id\":\"%s\",\"versions\":{\"@instantdb/core\":\"v1.0.67\"}}",
        w->app.id);
    inst_server_turn(w->server);
    return session;
}

/* The next transaction: the title and the rank of one note. Ranks are below 0. */
static void change_note(struct world *w, uint32_t note) {
    char e[GEN_UUID];
    char event[GEN_UUID];
    uint32_t n = ++w->made;
    gen_uuid(100, note, e);
    gen_uuid(101, n, event);
    say(w->writer,
        "{\"op\":\"transact\",\"client-event-id\":\"%s\",\"tx-steps\":["
        "[\"add-triple\",\"%s\",\"" ATTR_ID "\",\"%s\"],"
        "[\"add-triple\",\"%s\",\"" ATTR_TITLE "\",\"change %" PRIu32 "\"],"
        "[\"add-triple\",\"%s\",\"" ATTR_RANK "\",-%" PRIu32 "]]}",
        event, e, e, e, n, e, n);
    inst_server_turn(w->server);
}

static void add_attr(struct world *w, const char *id, const char *label, const char *more) {
    say(w->writer,
        "{\"op\":\"transact\",\"tx-steps\":[[\"add-attr\",{\"id\":\"%s\",\"value-type\":\"blob\","
        "\"cardinality\":\"one\",\"forward-identity\":[\"1%s\",\"notes\",\"%s\"],%s}]]}",
        id, id + 1, label, more);
    inst_server_turn(w->server);
}

static void open_world(struct world *w) {
    char token[INST_UUID_TEXT + 1];
    *w = (struct world){.random = 7};
    w->env = (struct inst_env){.ctx = w, .now_ms = now_ms, .random = random_bytes};
    must(w, inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, &w->err));
    struct inst_server_host host = {
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    must(w, inst_server_new(&w->env, &host, &w->server, &w->err));
    must(w, inst_server_create_app(w->server, "bench", NULL, 0, &w->app, token, &w->err));
    w->writer = enter(w);
    add_attr(w, ATTR_ID, "id", "\"unique?\":true,\"index?\":false");
    add_attr(w, ATTR_TITLE, "title", "\"unique?\":false,\"index?\":true");
    add_attr(w, ATTR_RANK, "rank",
             "\"unique?\":false,\"index?\":true,\"checked-data-type\":\"number\"");
    for (uint32_t n = 0; n < NOTES; n++) {
        change_note(w, n);
    }
}

/* ---- untouched ---- */

static void subscribe(struct inst_session *session, uint32_t n) {
    char id[GEN_UUID];
    switch (n % 3) {
    case 0: /* note 0 is what changes; the first ones are there, the others are not yet */
        gen_uuid(100, 1 + n, id);
        say(session, "{\"op\":\"add-query\",\"q\":{\"notes\":{\"$\":{\"where\":{\"id\":\"%s\"}}}}}",
            id);
        break;
    case 1:
        say(session,
            "{\"op\":\"add-query\",\"q\":{\"notes\":{\"$\":{\"where\":{\"title\":\"Other "
            "%" PRIu32 "\"}}}}}",
            n);
        break;
    default:
        say(session,
            "{\"op\":\"add-query\",\"q\":{\"notes\":{\"$\":{\"where\":{\"rank\":{\"$gte\":%" PRIu32
            "}}}}}}",
            n);
    }
}

static void open_untouched(struct world *w, uint32_t subscriptions) {
    struct inst_session *session = NULL;
    open_world(w);
    for (uint32_t n = 0; n < subscriptions; n++) {
        if (n % QUERIES_A_SESSION == 0) {
            session = enter(w);
        }
        subscribe(session, n);
    }
    inst_server_turn(w->server);
}

static void change_first(void *ctx) { change_note(ctx, 0); }

static void untouched(uint32_t subscriptions) {
    static struct world few, many;
    struct inst_server_stats before, after;
    double few_seconds, many_seconds;
    char name[64];
    open_untouched(&few, 10);
    double begin = bench_now();
    open_untouched(&many, subscriptions);
    double opened = bench_now() - begin;
    inst_server_stats(many.server, &before);
    bench_measure_pair(change_first, &few, change_first, &many, &few_seconds, &many_seconds);
    inst_server_stats(many.server, &after);
    if (after.refreshes_sent != before.refreshes_sent) {
        bench_die("a query was touched that should not be");
    }
    snprintf(name, sizeof name, "a transact, %" PRIu32 " untouched queries against 10",
             subscriptions);
    bench_row(name, many_seconds, few_seconds, "s", "growth", 1.3);
    snprintf(name, sizeof name, "    computations it ran");
    bench_row(name, (double)(after.computations_run - before.computations_run), -1, "", "info", -1);
    snprintf(name, sizeof name, "    subscribing to one of them");
    bench_row(name, opened / subscriptions, -1, "s", "info", -1);
}

/* ---- fan-out ---- */

static void open_subscribed(struct world *w, uint32_t subscribers) {
    open_world(w);
    for (uint32_t n = 0; n < subscribers; n++) {
        say(enter(w), "{\"op\":\"add-query\",\"q\":{\"notes\":{\"$\":{\"order\":{\"rank\":\"asc\"},"
                      "\"limit\":20}}}}"); /* ranks fall: what is written is always shown */
    }
    inst_server_turn(w->server);
}

static void fan_out(uint32_t subscribers) {
    static struct world one, all;
    double one_seconds, all_seconds;
    char name[64];
    open_subscribed(&one, 1);
    open_subscribed(&all, subscribers);
    size_t before = all.delivered;
    change_first(&all);
    if (all.delivered - before != (size_t)subscribers + 1) { /* and a transact-ok */
        bench_die("%zu messages for %" PRIu32 " subscribers", all.delivered - before, subscribers);
    }
    bench_measure_pair(change_first, &one, change_first, &all, &one_seconds, &all_seconds);
    snprintf(name, sizeof name, "engine: one change for %" PRIu32 " sessions against 1",
             subscribers);
    bench_row(name, all_seconds, one_seconds, "s", "info", -1);
    snprintf(name, sizeof name, "    one more session costs");
    bench_row(name, (all_seconds - one_seconds) / (subscribers - 1), -1, "s", "info", -1);
}

/* ---- users ---- */

#define ATTR_OWNER "00000000-0000-4000-8000-0000000000e4"
#define ATTR_USERS "96653230-13ff-ffff-a4b4-81ffffffffff" /* $users.id */
enum { USER = 102 };

/* Note n is user n's; who is not its owner does not see it. */
static void own_note(struct world *w, uint32_t n) {
    char e[GEN_UUID];
    char user[GEN_UUID];
    gen_uuid(100, n, e);
    gen_uuid(USER, n, user);
    say(w->writer,
        "{\"op\":\"transact\",\"tx-steps\":[[\"add-triple\",\"%s\",\"" ATTR_USERS
        "\",\"%s\"],[\"add-triple\",\"%s\",\"" ATTR_ID "\",\"%s\"],"
        "[\"add-triple\",\"%s\",\"" ATTR_OWNER "\",\"%s\"]]}",
        user, user, e, e, e, user);
}

static void set_rules(struct world *w) {
    static const char rules[] = "{\"notes\":{\"allow\":{\"view\":\"auth.id == data.owner\"}}}";
    struct inst_arena arena;
    struct inst_value code;
    struct inst_app *app;
    inst_arena_init(&arena);
    must(w, inst_json_parse(&arena, rules, sizeof rules - 1, &code, &w->err));
    must(w, inst_app_get(w->server, w->app.id, &app, &w->err));
    must(w, inst_app_set_rules(app, &code, &w->err));
    inst_arena_free(&arena);
}

static void open_users(struct world *w, uint32_t users) {
    open_world(w);
    w->writer->viewer.is_admin = true; /* who may make users */
    add_attr(w, ATTR_OWNER, "owner", "\"unique?\":false,\"index?\":true");
    for (uint32_t n = 0; n < users; n++) {
        own_note(w, n);
        if (n % 1000 == 999) {
            inst_server_turn(w->server);
        }
    }
    inst_server_turn(w->server);
    set_rules(w);
    for (uint32_t n = 0; n < users; n++) {
        char user[GEN_UUID];
        struct inst_session *session = enter(w);
        gen_uuid(USER, n, user);
        memcpy(session->viewer.user, user, sizeof user);
        say(session,
            "{\"op\":\"add-query\",\"q\":{\"notes\":{\"$\":{\"where\":{\"owner\":\"%s\"}}}}}",
            user);
    }
    inst_server_turn(w->server);
}

static void users(uint32_t count) {
    static struct world few, many;
    struct inst_server_stats before, after;
    double few_seconds, many_seconds;
    char name[64];
    open_users(&few, 10);
    open_users(&many, count);
    size_t delivered = many.delivered;
    inst_server_stats(many.server, &before);
    change_first(&many);
    inst_server_stats(many.server, &after);
    if (many.delivered - delivered != 2 || /* transact-ok, and one refresh */
        after.computations_run - before.computations_run != 1) {
        bench_die("one user's note reached %zu messages", many.delivered - delivered);
    }
    bench_measure_pair(change_first, &few, change_first, &many, &few_seconds, &many_seconds);
    snprintf(name, sizeof name, "a transact, %" PRIu32 " users with a query each against 10",
             count);
    bench_row(name, many_seconds, few_seconds, "s", "growth", 1.3);
}

int main(int argc, char **argv) {
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (count >= 10 && count <= 1000000 && strcmp(argv[1], "untouched") == 0) {
        untouched((uint32_t)count);
    } else if (count >= 10 && count <= 1000000 && strcmp(argv[1], "fanout") == 0) {
        fan_out((uint32_t)count);
    } else if (count >= 10 && count <= 100000 && strcmp(argv[1], "users") == 0) {
        users((uint32_t)count);
    } else {
        bench_die("usage: bench_engine untouched SUBSCRIPTIONS\n"
                  "       bench_engine fanout SUBSCRIBERS        (10 or more)\n"
                  "       bench_engine users USERS");
    }
    return 0; /* the operating system frees the worlds */
}
