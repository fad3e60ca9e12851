/*
 * Bytes play the server, the network, the clock and the app. Whatever they do: every promise is
 * settled exactly once, what is sent is JSON, and when a sane server answers in the end, refusing
 * all that is pending, every listener shows exactly the server's state.
 */
#include "base/json.h"
#include "client/reactor.h"
#include "fuzz.h"

#include <string.h>

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define MAX_SUBS 12
#define MAX_WAITERS 64
#define MAX_IDS 32

struct listener {
    uint64_t id;
    unsigned query;
    char *data; /* owned; JSON of the last data, NULL: none or an error since */
};

struct play {
    const uint8_t *at;
    const uint8_t *end;
    struct inst_reactor *r;
    struct inst_arena arena;
    int64_t now;
    uint64_t seed;
    bool is_open;
    bool is_connecting;
    struct listener subs[MAX_SUBS];
    int settled[MAX_WAITERS];
    unsigned waiters;
    char ids[MAX_IDS][40]; /* client-event-ids of sent mutations */
    unsigned id_count;
    int meddling; /* what callbacks may still do */
    int depth;    /* callbacks we are in */
};

static unsigned pick(struct play *p, unsigned n) { return p->at < p->end ? *p->at++ % n : 0; }
#define PICK(p, list) (list)[pick(p, sizeof(list) / sizeof((list)[0]))]

static int64_t now_ms(void *ctx) { return ((struct play *)ctx)->now; }

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct play *p = ctx;
    for (size_t i = 0; i < len; i++) {
        p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(p->seed >> 56);
    }
}

/* ---- the pools ---- */

#define E1 "\"11111111-1111-4111-8111-111111111111\""
#define E2 "\"22222222-2222-4222-8222-222222222222\""

static const char *const queries[] = {
    "{\"todos\":{}}",
    "{\"people\":{\"todos\":{}}}",
    "{\"todos\":{\"$\":{\"where\":{\"title\":\"one\"}},\"owner\":{}}}",
    "{\"todos\":{\"$\":{\"order\":{\"title\":\"desc\"},\"limit\":1}}}",
};
#define QUERY_COUNT (sizeof(queries) / sizeof(queries[0]))

static const char *const triples[] = {
    "[" E1 ",\"tid\"," E1 ",1],[" E1 ",\"title\",\"one\",1]",
    "[" E2 ",\"tid\"," E2 ",2],[" E2 ",\"title\",\"two\",2]",
    "[" E2 ",\"pid\"," E2 ",2],[" E1 ",\"owner\"," E2 ",2]",
    "[" E1 ",\"ghost\",1,1]",
    "[" E1 ",\"owner\",{\"x\":1},1]",
    "[1,2,3],[" E1 "],null",
    "[" E1 ",\"title\",null,\"t\"],[" E1 ",\"title\",[1],1e300]",
    "[\"\",\"tid\",\"\",-5]",
};

#define ATTR(id, etype, label)                                                                     \
    "{\"id\":\"" id "\",\"forward-identity\":[\"f" id "\",\"" etype "\",\"" label                  \
    "\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":true,\"index?\":true}"
#define OWNER                                                                                      \
    "{\"id\":\"owner\",\"forward-identity\":[\"fo\",\"todos\",\"owner\"],\"reverse-identity\":["   \
    "\"ro\",\"people\",\"todos\"],\"value-type\":\"ref\",\"cardinality\":\"one\",\"unique?\":"     \
    "false,\"index?\":false}"
#define SANE_ATTRS                                                                                 \
    "[" ATTR("tid", "todos", "id") "," ATTR("title", "todos",                                      \
                                            "title") "," ATTR("pid", "people", "id") "," OWNER "]"
#define SANE_TRIPLES                                                                               \
    "[" E1 ",\"tid\"," E1 ",1],[" E1 ",\"title\",\"one\",1],[" E2 ",\"tid\"," E2 ",2],[" E2        \
    ",\"title\",\"two\",2],[" E2 ",\"pid\"," E2 ",2],[" E1 ",\"owner\"," E2 ",2]"

static const char *const catalogs[] = {
    SANE_ATTRS,
    "[]",
    "[" ATTR("tid2", "todos", "id") "," ATTR("more", "todos", "more") "]",
    "[" ATTR("tid", "todos", "id") "," ATTR("tid", "people", "id") "," OWNER "]",
    "[{}]",
    "7",
};

static const char *const ops[] = {
    "[[\"update\",\"todos\"," E1 ",{\"title\":\"mine\"}]]",
    "[[\"create\",\"todos\"," E2 ",{\"title\":\"new\",\"more\":1}]]",
    "[[\"delete\",\"todos\"," E1 "]]",
    "[[\"link\",\"people\"," E2 ",{\"todos\":[" E1 "]}]]",
    "[[\"unlink\",\"todos\"," E1 ",{\"owner\":" E2 "}]]",
    "[[\"merge\",\"todos\"," E1 ",{\"title\":{\"a\":1},\"owner\":1}]]",
    "[[\"update\",\"todos\",[\"title\",\"one\"],{\"more\":2}]]",
    "[[\"fly\",\"todos\"," E1 "]]",
    "[[\"link\",\"todos\"," E1 ",{\"todos\":" E1 "}]]",
};
static const char *const raw_steps[] = {
    "[[\"delete-attr\",\"title\"]]",
    "[[\"update-attr\",{\"id\":\"title\",\"forward-identity\":[\"ft\",\"todos\",\"name\"]}]]",
    "[[\"add-attr\",{}],[\"add-triple\"],[\"rule-params\"]]",
    "[[\"add-triple\"," E1 ",\"title\",[1,{}]],[\"retract-triple\"," E1 ",\"tid\"," E1 "]]",
};

static struct inst_value parse(struct play *p, const char *text) {
    struct inst_value v;
    FUZZ_REQUIRE(inst_json_parse(&p->arena, text, strlen(text), &v, NULL) == INST_OK);
    return v;
}

/* ---- the app ---- */

static void act(struct play *p);

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    struct listener *l = ctx;
    FUZZ_REQUIRE((result == NULL) != (error == NULL));
    free(l->data);
    l->data = NULL;
    if (error) {
        FUZZ_REQUIRE(error->err->type && error->err->message);
        return;
    }
    FUZZ_REQUIRE(result->data->tag == INST_OBJECT);
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, result->data);
    l->data = inst_buf_take(&buf, NULL);
}

struct waiter {
    struct play *p;
    unsigned index;
};

static void meddle(struct play *p) {
    if (p->meddling > 0) {
        p->meddling--;
        p->depth++;
        act(p);
        p->depth--;
    }
}

static void on_once(void *ctx, const struct inst_query_result *result,
                    const struct inst_reactor_error *error) {
    struct waiter *w = ctx;
    FUZZ_REQUIRE((result == NULL) != (error == NULL));
    FUZZ_REQUIRE(++w->p->settled[w->index] == 1);
    meddle(w->p);
}

static void on_tx(void *ctx, const struct inst_transact_result *result,
                  const struct inst_reactor_error *error) {
    struct waiter *w = ctx;
    FUZZ_REQUIRE((result == NULL) != (error == NULL));
    FUZZ_REQUIRE(++w->p->settled[w->index] == 1);
    meddle(w->p);
}

static struct waiter *new_waiter(struct play *p) {
    struct waiter *w = inst_arena_alloc(&p->arena, sizeof(*w));
    *w = (struct waiter){p, p->waiters};
    return w;
}

/* A new listener makes its query be evaluated; that must be no news to those it has. */
static void check_fresh(struct play *p, const struct listener *l, char *const *before) {
    for (unsigned i = 0; i < MAX_SUBS; i++) {
        const struct listener *other = &p->subs[i];
        if (other != l && other->id && other->query == l->query && before[i] && other->data) {
            FUZZ_REQUIRE(strcmp(before[i], other->data) == 0);
        }
    }
}

static void subscribe(struct play *p) {
    struct listener *l = &p->subs[pick(p, MAX_SUBS)];
    if (l->id) {
        inst_reactor_unsubscribe(p->r, l->id);
        l->id = 0;
        free(l->data);
        l->data = NULL;
        return;
    }
    l->query = pick(p, QUERY_COUNT);
    struct inst_value q = parse(p, queries[l->query]);
    char *before[MAX_SUBS];
    for (unsigned i = 0; i < MAX_SUBS; i++) {
        before[i] = p->subs[i].data ? strdup(p->subs[i].data) : NULL;
    }
    bool is_quiet = p->depth == 0;
    if (inst_reactor_subscribe_query(p->r, &q, NULL, on_query, l, &l->id, NULL) != INST_OK) {
        l->id = 0;
    } else if (is_quiet) {
        check_fresh(p, l, before);
    }
    for (unsigned i = 0; i < MAX_SUBS; i++) {
        free(before[i]);
    }
}

static void ask(struct play *p) {
    if (p->waiters == MAX_WAITERS) {
        return;
    }
    struct inst_value q = parse(p, PICK(p, queries));
    struct waiter *w = new_waiter(p);
    p->waiters++;
    if (inst_reactor_query_once(p->r, &q, NULL, on_once, w, NULL) != INST_OK) {
        FUZZ_REQUIRE(++p->settled[w->index] == 1);
    }
}

static void transact(struct play *p) {
    if (p->waiters == MAX_WAITERS) {
        return;
    }
    struct waiter *w = new_waiter(p);
    p->waiters++;
    enum inst_status status;
    if (pick(p, 4)) {
        struct inst_object_builder b;
        struct inst_value chunk;
        inst_object_begin(&b, &p->arena);
        inst_object_addz(&b, "__ops", parse(p, PICK(p, ops)));
        inst_object_end(&b, &chunk);
        status = inst_reactor_transact(p->r, &chunk, on_tx, w, NULL);
    } else {
        struct inst_value steps = parse(p, PICK(p, raw_steps));
        status = inst_reactor_transact_steps(p->r, &steps, on_tx, w, NULL);
    }
    if (status != INST_OK) {
        FUZZ_REQUIRE(++p->settled[w->index] == 1);
    }
}

/* ---- the host ---- */

static void note_sent(struct play *p, const struct inst_value *msg) {
    const struct inst_value *op = inst_get_string(msg, "op");
    const struct inst_value *id = inst_get_string(msg, "client-event-id");
    FUZZ_REQUIRE(op && id && id->len == 36);
    if (inst_is_string(op, "transact")) {
        snprintf(p->ids[p->id_count++ % MAX_IDS], 40, "%.*s", (int)id->len, id->u.str);
    }
}

static bool drain_one(struct play *p, struct inst_value *msg) {
    struct inst_output out;
    *msg = inst_undefined();
    if (!inst_reactor_next_output(p->r, &out)) {
        return false;
    }
    switch (out.kind) {
    case INST_OUTPUT_CONNECT:
        FUZZ_REQUIRE(!p->is_open && !p->is_connecting);
        p->is_connecting = true;
        break;
    case INST_OUTPUT_CLOSE:
        FUZZ_REQUIRE(p->is_open || p->is_connecting);
        p->is_open = p->is_connecting = false;
        break;
    case INST_OUTPUT_SEND:
        FUZZ_REQUIRE(p->is_open);
        FUZZ_REQUIRE(inst_json_parse(&p->arena, out.bytes, out.len, msg, NULL) == INST_OK);
        note_sent(p, msg);
        break;
    }
    return true;
}

static void report_closed(struct play *p) {
    if (p->is_open || p->is_connecting) {
        p->is_open = p->is_connecting = false;
        inst_reactor_closed(p->r);
    }
}

static void report_opened(struct play *p) {
    if (p->is_connecting) {
        p->is_connecting = false;
        p->is_open = true;
        inst_reactor_opened(p->r);
    }
}

/* ---- the server ---- */

static void add_result(struct play *p, struct inst_buf *buf) {
    inst_buf_add_str(buf, "[{\"data\":{\"datalog-result\":{\"join-rows\":[[");
    for (unsigned n = pick(p, 4), i = 0; i < n; i++) {
        inst_buf_addf(buf, "%s%s", i ? "," : "", PICK(p, triples));
    }
    inst_buf_add_str(buf, "]]}},\"child-nodes\":[]}]");
}

static void add_message(struct play *p, struct inst_buf *buf) {
    const char *id = p->ids[pick(p, MAX_IDS)];
    switch (pick(p, 10)) {
    case 0:
        inst_buf_addf(buf, "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":%s}",
                      PICK(p, catalogs));
        break;
    case 1:
    case 2:
        inst_buf_addf(buf, "{\"op\":\"add-query-ok\",\"q\":%s,\"processed-tx-id\":%u,\"result\":",
                      PICK(p, queries), pick(p, 20));
        add_result(p, buf);
        inst_buf_add_char(buf, '}');
        break;
    case 3:
        inst_buf_addf(buf, "{\"op\":\"refresh-ok\",\"processed-tx-id\":%u,", pick(p, 20));
        if (pick(p, 3) == 0) {
            inst_buf_addf(buf, "\"attrs\":%s,", PICK(p, catalogs));
        }
        inst_buf_add_str(buf, "\"computations\":[");
        for (unsigned n = pick(p, 3), i = 0; i < n; i++) {
            inst_buf_addf(buf, "%s{\"instaql-query\":%s,\"instaql-result\":", i ? "," : "",
                          PICK(p, queries));
            add_result(p, buf);
            inst_buf_add_char(buf, '}');
        }
        inst_buf_add_str(buf, "]}");
        break;
    case 4:
    case 5:
        inst_buf_addf(buf, "{\"op\":\"transact-ok\",\"client-event-id\":\"%s\",\"tx-id\":%u}", id,
                      pick(p, 20));
        break;
    case 6:
        inst_buf_addf(buf,
                      "{\"op\":\"error\",\"client-event-id\":\"%s\",\"message\":\"m\",\"hint\":{"
                      "\"record-type\":\"app-user\"},\"type\":\"record-not-found\","
                      "\"original-event\":{\"op\":\"%s\",\"q\":%s}}",
                      id, pick(p, 4) ? "add-query" : "init", PICK(p, queries));
        break;
    case 7:
        inst_buf_addf(buf, "{\"op\":\"app-status-changed\",\"status\":\"%s\"}",
                      pick(p, 3) ? "active" : "disabled");
        break;
    case 8:
        inst_buf_addf(buf, "{\"op\":\"add-query-exists\",\"q\":%s}", PICK(p, queries));
        break;
    default:
        for (unsigned n = pick(p, 40); n && p->at < p->end; n--) {
            inst_buf_add_char(buf, (char)*p->at++);
        }
    }
}

static void receive(struct play *p) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    add_message(p, &buf);
    if (buf.len && pick(p, 8) == 0) { /* a byte of it broken */
        buf.data[pick(p, (unsigned)buf.len)] = (char)pick(p, 256);
    }
    if (p->is_open) {
        inst_reactor_message(p->r, buf.data ? buf.data : "", buf.len);
    }
    inst_buf_free(&buf);
}

/* ---- playing ---- */

static void act(struct play *p) {
    struct inst_value msg;
    switch (pick(p, 16)) {
    case 0:
    case 1:
        subscribe(p);
        break;
    case 2:
        ask(p);
        break;
    case 3:
    case 4:
        transact(p);
        break;
    case 5:
        report_opened(p);
        break;
    case 6:
        if (pick(p, 3) == 0) {
            report_closed(p);
        }
        break;
    case 7:
        p->now += (int64_t)pick(p, 256) * 200;
        inst_reactor_tick(p->r);
        break;
    case 8:
        inst_reactor_set_online(p->r, pick(p, 3) != 0);
        break;
    case 9:
        inst_reactor_set_refresh_token(p->r, pick(p, 8) ? NULL : "token", NULL);
        break;
    case 10:
    case 11:
        for (int i = 0; i < 8 && drain_one(p, &msg); i++) {
        }
        break;
    default:
        receive(p);
    }
}

static void message(struct play *p, const char *fmt, const char *arg) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, fmt, arg);
    inst_reactor_message(p->r, buf.data, buf.len);
    inst_buf_free(&buf);
}

static void answer(struct play *p, const struct inst_value *msg) {
    if (msg->tag != INST_OBJECT) {
        return;
    }
    const struct inst_value *op = inst_get_string(msg, "op");
    struct inst_buf text;
    inst_buf_init(&text);
    if (inst_is_string(op, "init")) {
        message(p, "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":%s}", SANE_ATTRS);
    } else if (inst_is_string(op, "add-query")) {
        inst_json_write(&text, inst_getz(msg, "q"));
        message(p,
                "{\"op\":\"add-query-ok\",\"processed-tx-id\":1000,\"result\":[{\"data\":{"
                "\"datalog-result\":{\"join-rows\":[[" SANE_TRIPLES "]]}},\"child-nodes\":[]}],"
                "\"q\":%s}",
                text.data);
    } else if (inst_is_string(op, "transact")) {
        inst_json_write(&text, inst_getz(msg, "client-event-id"));
        message(p,
                "{\"op\":\"error\",\"type\":\"permission-denied\",\"message\":\"no\","
                "\"client-event-id\":%s}",
                text.data);
    }
    inst_buf_free(&text);
}

/* A sane server from now on; ends when nothing is left to say. */
static void converge(struct play *p) {
    struct inst_value msg;
    report_closed(p);
    inst_reactor_set_online(p->r, false);
    inst_reactor_set_online(p->r, true);
    int rounds = 0;
    for (bool more = true; more;) {
        FUZZ_REQUIRE(++rounds < 10000);
        more = drain_one(p, &msg);
        if (p->is_connecting) {
            report_opened(p);
        }
        answer(p, &msg);
    }
    FUZZ_REQUIRE(inst_reactor_status(p->r) == INST_CONNECTION_AUTHENTICATED);
}

static void begin(struct play *p) {
    struct inst_reactor_config config = {.app_id = APP_ID, .env = {p, now_ms, random_bytes, NULL}};
    inst_arena_init(&p->arena);
    p->now = 1700000000000;
    FUZZ_REQUIRE(inst_reactor_new(&config, &p->r, NULL) == INST_OK);
}

/* What a listener that saw nothing but the sane server shows; kept from run to run. */
static const char *expected(unsigned query) {
    static char *known[QUERY_COUNT];
    if (known[query]) {
        return known[query];
    }
    struct play p = {0};
    begin(&p);
    struct inst_value q = parse(&p, queries[query]);
    FUZZ_REQUIRE(inst_reactor_subscribe_query(p.r, &q, NULL, on_query, &p.subs[0], &p.subs[0].id,
                                              NULL) == INST_OK);
    converge(&p);
    inst_reactor_free(p.r);
    inst_arena_free(&p.arena);
    FUZZ_REQUIRE(p.subs[0].data);
    return known[query] = p.subs[0].data;
}

static void check_listeners(struct play *p) {
    for (unsigned i = 0; i < MAX_SUBS; i++) {
        if (p->subs[i].id) {
            const char *should = expected(p->subs[i].query);
            FUZZ_REQUIRE(p->subs[i].data && strcmp(p->subs[i].data, should) == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.at = data, .end = data + size, .seed = 7};
    begin(&p);
    p.meddling = 8;
    for (int i = 0; i < 400 && p.at < p.end; i++) {
        act(&p);
    }
    p.at = p.end;
    p.meddling = 0;
    converge(&p);
    FUZZ_REQUIRE(inst_reactor_pending_count(p.r) == 0);
    check_listeners(&p);
    inst_reactor_shutdown(p.r);
    for (unsigned i = 0; i < p.waiters; i++) {
        FUZZ_REQUIRE(p.settled[i] == 1);
    }
    inst_reactor_free(p.r);
    for (unsigned i = 0; i < MAX_SUBS; i++) {
        free(p.subs[i].data);
    }
    inst_arena_free(&p.arena);
    return 0;
}
