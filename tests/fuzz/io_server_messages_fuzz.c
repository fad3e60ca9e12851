/*
 * Bytes play two connections of a backend engine. Whatever they send: every message is answered,
 * what goes out is JSON, an answered transaction is in the log, and when both have left nothing of
 * their queries is kept.
 */
#include "base/json.h"
#include "fuzz.h"
#include "io/apps.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

#define SESSIONS 2

struct connection {
    struct inst_session *session;
    size_t received;
    size_t answers; /* messages that are no refresh */
    size_t silent;  /* messages whose success is not answered */
    size_t syncs;   /* started: each may fail later, once more */
    bool is_closed;
};

#define KEEPS 64

/* A flush that has not ended yet. */
struct keep {
    inst_files_kept_fn *kept;
    void *ctx;
};

struct play {
    const uint8_t *at, *end;
    uint64_t seed;
    int64_t now;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_app_info app;
    char token[INST_UUID_TEXT + 1];
    struct connection connections[SESSIONS];
    double last_tx;
    char sync_id[INST_UUID_TEXT + 1]; /* of the last start-sync-ok */
    char sync_token[INST_UUID_TEXT + 1];
    char stream_id[INST_UUID_TEXT + 1]; /* of the last start-stream-ok */
    struct keep keeps[KEEPS];
    size_t keep_count;
};

static unsigned pick(struct play *p, unsigned n) { return p->at < p->end ? *p->at++ % n : 0; }
#define PICK(p, list) (list)[pick(p, sizeof(list) / sizeof((list)[0]))]

static int64_t now_ms(void *ctx) { return ((struct play *)ctx)->now++; }

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct play *p = ctx;
    for (size_t i = 0; i < len; i++) {
        p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(p->seed >> 56);
    }
}

static void on_send(void *ctx, void *connection, struct inst_shared *message) {
    struct play *p = ctx;
    struct connection *c = connection;
    struct inst_arena arena;
    struct inst_value v;
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, message->data, message->len, &v, NULL) == INST_OK);
    FUZZ_REQUIRE(v.tag == INST_OBJECT && inst_get_string(&v, "op") != NULL);
    c->received++;
    if (inst_is_string(inst_getz(&v, "op"), "transact-ok")) {
        double tx = inst_getz(&v, "tx-id")->u.num;
        p->last_tx = tx > p->last_tx ? tx : p->last_tx;
    }
    if (inst_is_string(inst_getz(&v, "op"), "error"))
        FUZZ_REQUIRE(inst_get_string(&v, "message") != NULL &&
                     inst_getz(&v, "original-event")->tag == INST_OBJECT);
    bool is_sync = inst_is_string(inst_getz(&v, "op"), "sync-load-batch") ||
                   inst_is_string(inst_getz(&v, "op"), "sync-init-finish") ||
                   inst_is_string(inst_getz(&v, "op"), "sync-update-triples") ||
                   inst_is_string(inst_getz(&v, "op"), "stream-append") ||
                   inst_is_string(inst_getz(&v, "op"), "stream-flushed") ||
                   inst_is_string(inst_getz(&v, "op"), "append-failed");
    if (inst_is_string(inst_getz(&v, "op"), "start-stream-ok"))
        memcpy(p->stream_id, inst_getz(&v, "stream-id")->u.str, INST_UUID_TEXT);
    if (inst_is_string(inst_getz(&v, "op"), "start-sync-ok")) {
        memcpy(p->sync_id, inst_getz(&v, "subscription-id")->u.str, INST_UUID_TEXT);
        memcpy(p->sync_token, inst_getz(&v, "token")->u.str, INST_UUID_TEXT);
        c->syncs++;
    }
    /* A refresh that fails is an error nobody asked for. */
    bool is_unasked =
        inst_is_string(inst_getz(&v, "op"), "refresh-ok") ||
        inst_is_string(inst_getz(&v, "op"), "refresh-presence") ||
        inst_is_string(inst_getz(&v, "op"), "patch-presence") ||
        inst_is_string(inst_getz(&v, "op"), "server-broadcast") ||
        (inst_is_string(inst_getz(&v, "op"), "error") && inst_getz(&v, "client-event-id") != NULL &&
         inst_getz(&v, "client-event-id")->tag == INST_NULL);
    if (!is_unasked && !is_sync)
        c->answers++;
    inst_arena_free(&arena);
}

static enum inst_status file_key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY],
                                 struct inst_err *err) {
    (void)ctx;
    (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}

static enum inst_status keep(void *ctx, const char *app, const char *location, char *bytes_take,
                             size_t len, inst_files_kept_fn *kept, void *kept_ctx,
                             struct inst_err *err) {
    struct play *p = ctx;
    (void)app;
    (void)location;
    (void)len;
    free(bytes_take);
    if (p->keep_count == KEEPS)
        return inst_err_set(err, "storage-full", 507, "full");
    p->keeps[p->keep_count++] = (struct keep){kept, kept_ctx};
    return INST_OK;
}

static const struct inst_files_ops files_ops = {file_key, keep};

/* The oldest flush ends. */
static void end_keep(struct play *p, bool is_failed) {
    struct inst_err err = {0};
    if (p->keep_count == 0)
        return;
    struct keep first = p->keeps[0];
    memmove(p->keeps, p->keeps + 1, --p->keep_count * sizeof *p->keeps);
    if (is_failed)
        inst_err_set(&err, "data-file", 500, "broken");
    first.kept(first.ctx, is_failed ? &err : NULL);
    inst_err_clear(&err);
}

static void on_close(void *ctx, void *connection) {
    (void)ctx;
    ((struct connection *)connection)->is_closed = true;
}

/* ---- messages ---- */

#define ATTR1 "\"cccccccc-0000-4000-8000-000000000001\""
#define ATTR2 "\"cccccccc-0000-4000-8000-000000000002\""
#define ATTR3 "\"cccccccc-0000-4000-8000-000000000003\""
#define E1 "\"11111111-1111-4111-8111-111111111111\""
#define E2 "\"22222222-2222-4222-8222-222222222222\""

#define BLOB(id, ident, etype, label, more)                                                        \
    "{\"id\":" id ",\"forward-identity\":[\"cccccccc-0000-4000-8001-00000000000" ident             \
    "\",\"" etype "\",\"" label                                                                    \
    "\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":false,\"index?\":true" more   \
    "}"

static const char *const steps[] = {
    "[\"add-attr\"," BLOB(ATTR1, "1", "todos", "id", "") "]",
    "[\"add-attr\"," BLOB(ATTR2, "2", "todos", "title", ",\"checked-data-type\":\"string\"") "]",
    "[\"add-attr\",{\"id\":" ATTR3
    ",\"forward-identity\":[\"cccccccc-0000-4000-8001-000000000003\",\"todos\",\"next\"],"
    "\"reverse-identity\":[\"cccccccc-0000-4000-8001-000000000004\",\"todos\",\"previous\"],"
    "\"value-type\":\"ref\",\"cardinality\":\"many\",\"unique?\":false,\"index?\":false,"
    "\"on-delete\":\"cascade\",\"on-delete-reverse\":\"cascade\"}]",
    "[\"update-attr\",{\"id\":" ATTR2 ",\"unique?\":true}]",
    "[\"update-attr\",{\"id\":" ATTR2 ",\"index?\":false,\"required?\":true}]",
    "[\"update-attr\",{\"id\":" ATTR3 ",\"cardinality\":\"one\"}]",
    "[\"update-attr\",{\"id\":" ATTR3 ",\"value-type\":\"blob\"}]",
    "[\"delete-attr\"," ATTR2 "]",
    "[\"restore-attr\"," ATTR2 "]",
    "[\"delete-attr\"," ATTR3 "]",
    "[\"add-triple\"," E1 "," ATTR1 "," E1 "]",
    "[\"add-triple\"," E2 "," ATTR1 "," E2 ",{\"mode\":\"create\"}]",
    "[\"add-triple\"," E1 "," ATTR2 ",\"one\"]",
    "[\"add-triple\"," E2 "," ATTR2 ",\"one\",{\"mode\":\"update\"}]",
    "[\"add-triple\"," E2 "," ATTR2 ",null]",
    "[\"add-triple\"," E1 "," ATTR3 "," E2 "]",
    "[\"add-triple\"," E2 "," ATTR3 "," E1 "]",
    "[\"add-triple\",[" ATTR1 "," E1 "]," ATTR2 ",\"two\"]",
    "[\"add-triple\",[" ATTR2 ",\"one\"]," ATTR3 ",[" ATTR2 ",\"two\"]]",
    "[\"deep-merge-triple\"," E1 "," ATTR2 ",{\"a\":{\"b\":null}}]",
    "[\"retract-triple\"," E1 "," ATTR3 "," E2 "]",
    "[\"retract-triple\"," E1 "," ATTR1 "," E1 "]",
    "[\"delete-entity\"," E1 ",\"todos\"]",
    "[\"delete-entity\"," E2 "]",
    "[\"delete-entity\",[" ATTR2 ",\"one\"],\"todos\"]",
    "[\"rule-params\"," E1 ",\"todos\",{}]",
    "[\"add-triple\"," E1 "]",
    "[]",
    "null",
};

static const char *const queries[] = {
    "{\"todos\":{}}",
    "{\"todos\":{\"next\":{\"previous\":{}}}}",
    "{\"todos\":{\"$\":{\"where\":{\"title\":\"one\"}}}}",
    "{\"todos\":{\"$\":{\"where\":{\"next.title\":{\"$isNull\":true}}}}}",
    "{\"todos\":{\"$\":{\"order\":{\"title\":\"desc\"},\"limit\":1}}}",
    "{\"todos\":{\"$\":{\"where\":{\"id\":" E2 "}}},\"$users\":{}}",
    "{\"todos\":{\"$\":{\"where\":{\"or\":[{\"title\":{\"$like\":\"o%\"}},{\"next\":" E1 "}]}}}}",
    "{\"todos\":{\"$\":{\"aggregate\":\"count\"}}}",
    "7",
};

static const char *const tables[] = {
    "{\"todos\":{}}",
    "{\"todos\":{\"$\":{\"order\":{\"title\":\"asc\"}}}}",
    "{\"todos\":{\"$\":{\"order\":{\"serverCreatedAt\":\"desc\"}}}}",
    "{\"todos\":{\"next\":{}}}",
    "{\"$users\":{}}",
    "{}",
};

static void add_steps(struct play *p, struct inst_buf *b) {
    inst_buf_add_char(b, '[');
    for (unsigned i = pick(p, 5); i-- > 0;) {
        inst_buf_add_str(b, PICK(p, steps));
        if (i > 0)
            inst_buf_add_char(b, ',');
    }
    inst_buf_add_char(b, ']');
}

static const char *const room_ops[] = {"join-room", "set-presence", "leave-room",
                                       "client-broadcast"};

static const char *const presences[] = {
    "{}",
    "{\"a\":1}",
    "{\"a\":{\"b\":[1,2,3]},\"c\":\"x\"}",
    "{\"a\":{\"b\":[2,3]},\"c\":\"x\"}",
    "{\"a\":{}}",
    "{\"__proto__\":{\"a\":1}}",
    "[[1],[2]]",
    "null",
};

/* One message; some have a byte or a tail of their own. */
static void make_message(struct play *p, struct connection *c, struct inst_buf *b) {
    switch (pick(p, 15)) {
    case 0:
        inst_buf_addf(b, "{\"op\":\"init\",\"app-id\":\"%s\"}", p->app.id);
        break;
    case 1:
    case 2:
        inst_buf_addf(b, "{\"op\":\"add-query\",\"client-event-id\":1,\"q\":%s%s}",
                      PICK(p, queries), pick(p, 4) == 1 ? ",\"return-type\":\"tree\"" : "");
        break;
    case 3:
        inst_buf_addf(b, "{\"op\":\"remove-query\",\"client-event-id\":1,\"q\":%s}",
                      PICK(p, queries));
        break;
    case 8:
        inst_buf_addf(b, "{\"op\":\"start-sync\",\"client-event-id\":1,\"q\":%s}", PICK(p, tables));
        break;
    case 9:
        c->silent++;
        inst_buf_addf(b,
                      "{\"op\":\"%s\",\"client-event-id\":1,\"subscription-id\":\"%s\","
                      "\"tx-id\":%u,\"token\":\"%s\",\"keep-subscription\":%s}",
                      pick(p, 2) ? "resync-table" : "remove-sync", p->sync_id, pick(p, 20),
                      p->sync_token, pick(p, 2) ? "true" : "null");
        break;
    case 12:
        c->silent += 2; /* perhaps until a flush that never ends */
        inst_buf_addf(b,
                      "{\"op\":\"start-stream\",\"client-event-id\":1,\"client-id\":\"%c\","
                      "\"reconnect-token\":" E1 "}",
                      "ab"[pick(p, 2)]);
        break;
    case 13:
        c->silent++;
        inst_buf_addf(b,
                      "{\"op\":\"append-stream\",\"client-event-id\":1,\"stream-id\":\"%s\","
                      "\"offset\":%u,\"chunks\":[\"x\\u00e9\"],\"done\":%s%s}",
                      p->stream_id, pick(p, 8) * 3, pick(p, 4) ? "false" : "true",
                      pick(p, 8) ? "" : ",\"abort-reason\":\"r\"");
        break;
    case 14:
        c->silent++;
        inst_buf_addf(b,
                      "{\"op\":\"%s\",\"client-event-id\":%u,\"client-id\":\"%c\","
                      "\"offset\":%u,\"subscribe-event-id\":%u}",
                      pick(p, 3) ? "subscribe-stream" : "unsubscribe-stream", pick(p, 3),
                      "ab"[pick(p, 2)], pick(p, 9), pick(p, 3));
        break;
    case 7: {
        size_t len = pick(p, 200), left = (size_t)(p->end - p->at);
        len = len < left ? len : left;
        inst_buf_add(b, p->at, len);
        p->at += len;
        break;
    }
    case 10:
    case 11:
        inst_buf_addf(b, "{\"op\":\"%s\",\"client-event-id\":1,\"room-id\":\"r%u\",\"data\":%s}",
                      PICK(p, room_ops), pick(p, 2), PICK(p, presences));
        break;
    default:
        inst_buf_addf(b,
                      "{\"op\":\"transact\",\"client-event-id\":"
                      "\"dddddddd-0000-4000-8000-0000000000%02x\",\"tx-steps\":",
                      pick(p, 40));
        add_steps(p, b);
        inst_buf_add_char(b, '}');
        break;
    }
    if (pick(p, 16) == 1 && b->len > 0)
        b->data[pick(p, 255) % b->len] = (char)pick(p, 256);
}

static void enter(struct play *p, struct connection *c, bool is_admin) {
    char text[300];
    FUZZ_REQUIRE(inst_session_open(p->server, c, &c->session, NULL) == INST_OK);
    int len = is_admin
                  ? snprintf(text, sizeof text,
                             "{\"op\":\"init\",\"app-id\":\"%s\",\"__admin-token\":\"%s\","
                             "\"versions\":{\"@instantdb/core\":\"v1.0.67\"}}",
                             p->app.id, p->token)
                  : snprintf(text, sizeof text, "{\"op\":\"init\",\"app-id\":\"%s\"}", p->app.id);
    inst_session_receive(c->session, text, (size_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.at = data, .end = data + size, .seed = 1, .now = 1700000000000};
    struct inst_env env = {&p, now_ms, random_bytes, NULL};
    size_t sent[SESSIONS] = {1, 1};
    FUZZ_REQUIRE(inst_apps_open_file(":memory:", NULL, &env, &p.apps, NULL) == INST_OK);
    struct inst_server_host host = {.ctx = &p,
                                    .send = on_send,
                                    .close = on_close,
                                    .apps = &inst_apps_ops,
                                    .apps_ctx = p.apps,
                                    .files = &files_ops,
                                    .files_ctx = &p};
    FUZZ_REQUIRE(inst_server_new(&env, &host, &p.server, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_server_create_app(p.server, "Fuzz", NULL, 0, &p.app, p.token, NULL) ==
                 INST_OK);
    for (int i = 0; i < SESSIONS; i++)
        enter(&p, &p.connections[i], i == 0);
    for (int i = 0; p.at < p.end && i < 200; i++) {
        unsigned which = pick(&p, SESSIONS);
        struct inst_buf b;
        inst_buf_init(&b);
        make_message(&p, &p.connections[which], &b);
        inst_session_receive(p.connections[which].session, b.data != NULL ? b.data : "", b.len);
        inst_buf_free(&b);
        sent[which]++;
        if (pick(&p, 5) == 0)
            end_keep(&p, pick(&p, 4) == 0);
        if (pick(&p, 3) == 0)
            inst_server_turn(p.server);
    }
    for (int i = 0; i == 0 || (i < 1000 && inst_server_is_pending(p.server)); i++)
        inst_server_turn(p.server);
    FUZZ_REQUIRE(!inst_server_is_pending(p.server));
    struct inst_server_stats stats;
    for (int i = 0; i < SESSIONS; i++) {
        /* An event id that is null counts as unasked: never more answers than questions. */
        FUZZ_REQUIRE(p.connections[i].answers <= sent[i] + p.connections[i].syncs);
        FUZZ_REQUIRE(p.connections[i].received + p.connections[i].silent >= sent[i]);
        inst_session_close(p.connections[i].session);
    }
    inst_server_stats(p.server, &stats);
    FUZZ_REQUIRE(stats.computations == 0 && stats.subscriptions == 0 && stats.sessions == 0);
    FUZZ_REQUIRE(stats.transactions + 1 >= (uint64_t)p.last_tx); /* the first: the app's making */
    inst_server_free(p.server);
    while (p.keep_count > 0) /* nobody is there any more */
        end_keep(&p, false);
    inst_apps_close(p.apps);
    return 0;
}
