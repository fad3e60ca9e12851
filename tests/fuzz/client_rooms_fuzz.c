/*
 * Bytes play the app in its rooms, the network and the server. Whatever they do: what is sent is
 * JSON and asks nothing of a room while an answer is awaited, and when a sane server answers in the
 * end, every room that has listeners shows exactly what the server says, others are left.
 */
#include "base/json.h"
#include "client/reactor.h"
#include "fuzz.h"

#include <string.h>

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define ROOMS 3
#define MAX_SUBS 8

struct listener {
    uint64_t id;
    unsigned room;
    bool is_topic;
    char *peers; /* owned; as last told */
};

struct play {
    const uint8_t *at;
    const uint8_t *end;
    struct inst_reactor *r;
    struct inst_arena arena;
    int64_t now;
    uint64_t seed;
    bool is_open, is_connecting;
    struct listener subs[MAX_SUBS];
    bool is_awaited[ROOMS]; /* a join or leave has no answer yet */
    bool is_in[ROOMS];      /* as a server would see it */
    bool is_sane;
    int meddling;
};

static const char *const names[ROOMS] = {"r0", "r1", "r2"};

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

static struct inst_value parse(struct play *p, const char *text) {
    struct inst_value v;
    FUZZ_REQUIRE(inst_json_parse(&p->arena, text, strlen(text), &v, NULL) == INST_OK);
    return v;
}

/* ---- the app ---- */

static const char *const presences[] = {"{\"a\":1}", "{}", "{\"a\":{\"b\":[1,2]}}",
                                        "{\"b\":null,\"peerId\":7}"};

static void act_in_room(struct play *p, bool is_inside);

static void on_presence(void *ctx, const struct inst_presence_slice *slice);
static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer);

static struct play *playing; /* one run at a time; callbacks have the listener */

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    struct listener *listener = ctx;
    struct inst_buf buf;
    inst_buf_init(&buf);
    FUZZ_REQUIRE(listener->id && slice->peers && slice->peers->tag == INST_OBJECT);
    inst_json_write(&buf, slice->peers);
    free(listener->peers);
    listener->peers = inst_buf_take(&buf, &(size_t){0});
    act_in_room(playing, true);
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    FUZZ_REQUIRE(((struct listener *)ctx)->id && data);
    (void)peer;
    act_in_room(playing, true);
}

static void subscribe(struct play *p, unsigned room) {
    static const char *const lists[] = {"[\"a\"]", "[\"p1\",7]", "[]"};
    struct listener *listener = &p->subs[pick(p, MAX_SUBS)];
    if (listener->id) {
        uint64_t id = listener->id;
        listener->id = 0;
        inst_reactor_unsubscribe(p->r, id);
        return;
    }
    struct inst_value list = parse(p, PICK(p, lists)), shown = parse(p, PICK(p, presences));
    struct inst_presence_options options = {.initial_presence = pick(p, 2) ? &shown : NULL};
    listener->room = room;
    listener->is_topic = pick(p, 3) == 0;
    struct inst_presence_slice slice;
    struct inst_presence_options part = {.keys = &list, .peers = &list};
    FUZZ_REQUIRE(inst_reactor_get_presence(p->r, names[room], &part, &p->arena, &slice, NULL) ==
                 INST_OK);
    if (listener->is_topic) {
        FUZZ_REQUIRE(inst_reactor_subscribe_topic(p->r, "t", names[room], "topic", on_topic,
                                                  listener, &listener->id, NULL) == INST_OK);
    } else {
        FUZZ_REQUIRE(inst_reactor_subscribe_presence(p->r, "t", names[room], &options, on_presence,
                                                     listener, &listener->id, NULL) == INST_OK);
    }
}

static void act_in_room(struct play *p, bool is_inside) {
    if (is_inside && p->meddling-- <= 0) {
        return;
    }
    unsigned room = pick(p, ROOMS);
    struct inst_value v = parse(p, PICK(p, presences));
    switch (pick(p, 6)) {
    case 0:
        inst_reactor_join_room(p->r, "t", names[room], pick(p, 2) ? &v : NULL, NULL);
        break;
    case 1:
        inst_reactor_leave_room(p->r, names[room]);
        break;
    case 2:
        inst_reactor_publish_presence(p->r, names[room], &v, NULL);
        break;
    case 3:
        inst_reactor_publish_topic(p->r, names[room], "topic", &v, NULL);
        break;
    default:
        subscribe(p, room);
    }
}

/* ---- the network ---- */

static int room_of(const struct inst_value *msg) {
    const struct inst_value *id = inst_get_string(msg, "room-id");
    for (int i = 0; id && i < ROOMS; i++) {
        if (inst_is_string(id, names[i])) {
            return i;
        }
    }
    return -1;
}

static void message(struct play *p, const char *text) {
    if (p->is_open) {
        inst_reactor_message(p->r, text, strlen(text));
    }
}

static void messagef(struct play *p, const char *fmt, const char *room) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, fmt, room);
    message(p, buf.data);
    inst_buf_free(&buf);
}

#define FINAL "\"p1\":{\"data\":{\"final\":1}},\"p2\":{\"data\":{}}"
#define FINAL_SHOWN "{\"p1\":{\"final\":1,\"peerId\":\"p1\"},\"p2\":{\"peerId\":\"p2\"}}"

static void answer(struct play *p, const struct inst_value *msg) {
    const struct inst_value *op = inst_get_string(msg, "op");
    int room = room_of(msg);
    if (inst_is_string(op, "init")) {
        memset(p->is_awaited, 0, sizeof(p->is_awaited));
        memset(p->is_in, 0, sizeof(p->is_in));
        message(p, "{\"op\":\"init-ok\",\"session-id\":\"me\",\"attrs\":[]}");
    } else if (inst_is_string(op, "join-room")) {
        p->is_awaited[room] = false;
        p->is_in[room] = true;
        messagef(p, "{\"op\":\"join-room-ok\",\"room-id\":\"%s\"}", names[room]);
        messagef(p, "{\"op\":\"refresh-presence\",\"room-id\":\"%s\",\"data\":{" FINAL "}}",
                 names[room]);
    } else if (inst_is_string(op, "leave-room")) {
        p->is_awaited[room] = false;
        p->is_in[room] = false;
        messagef(p, "{\"op\":\"leave-room-ok\",\"room-id\":\"%s\"}", names[room]);
    }
}

/* true: there was something to do. */
static bool drain_one(struct play *p) {
    struct inst_output out;
    if (!inst_reactor_next_output(p->r, &out)) {
        return false;
    }
    if (out.kind != INST_OUTPUT_SEND) {
        p->is_open = false;
        p->is_connecting = out.kind == INST_OUTPUT_CONNECT;
        memset(p->is_awaited, 0, sizeof(p->is_awaited));
        return true;
    }
    struct inst_value msg;
    FUZZ_REQUIRE(inst_json_parse(&p->arena, out.bytes, out.len, &msg, NULL) == INST_OK);
    const struct inst_value *op = inst_get_string(&msg, "op");
    int room = room_of(&msg);
    if (inst_is_string(op, "join-room") || inst_is_string(op, "leave-room")) {
        FUZZ_REQUIRE(room >= 0 && !p->is_awaited[room]);
        p->is_awaited[room] = true;
    } else if (!inst_is_string(op, "init")) {
        FUZZ_REQUIRE(room >= 0);
    }
    if (p->is_sane || pick(p, 4) > 0) {
        answer(p, &msg);
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

static void receive(struct play *p) {
    static const char *const formats[] = {
        "{\"op\":\"refresh-presence\",\"room-id\":\"%s\",\"data\":{\"p1\":{\"data\":{\"a\":[1]}},"
        "\"me\":{\"data\":1}}}",
        "{\"op\":\"refresh-presence\",\"room-id\":\"%s\",\"data\":{\"p3\":null,\"p4\":[]}}",
        "{\"op\":\"patch-presence\",\"room-id\":\"%s\",\"edits\":[[[\"p1\",\"data\",\"a\",0],\"-\"]"
        ",[[\"p5\"],\"+\",{\"data\":{}}],[[\"p5\",\"data\",\"x\",3,\"y\"],\"+\",2]]}",
        "{\"op\":\"patch-presence\",\"room-id\":\"%s\",\"edits\":[[[\"p1\"],\"-\"],[[],\"r\",{}],7]"
        "}",
        "{\"op\":\"server-broadcast\",\"room-id\":\"%s\",\"topic\":\"topic\",\"data\":{\"peer-id\":"
        "\"p1\",\"data\":{\"x\":1}}}",
        "{\"op\":\"server-broadcast\",\"room-id\":\"%s\",\"topic\":\"topic\"}",
        "{\"op\":\"error\",\"message\":\"no\",\"type\":\"app-disabled\",\"original-event\":{\"op\":"
        "\"set-presence\",\"room-id\":\"%s\"}}",
        "{\"op\":\"set-presence-ok\",\"room-id\":\"%s\"}",
    };
    char text[400];
    snprintf(text, sizeof(text), PICK(p, formats), names[pick(p, ROOMS)]);
    if (pick(p, 8) == 0) { /* a byte of it broken */
        text[pick(p, (unsigned)strlen(text))] = (char)(1 + pick(p, 255));
    }
    message(p, text);
}

static void act(struct play *p) {
    switch (pick(p, 8)) {
    case 0:
        report_opened(p);
        break;
    case 1:
        if (pick(p, 4) == 0) {
            report_closed(p);
        }
        break;
    case 2:
        p->now += (int64_t)pick(p, 256) * 100;
        inst_reactor_tick(p->r);
        break;
    case 3:
        for (int i = 0; i < 8 && drain_one(p); i++) {
        }
        break;
    case 4:
    case 5:
        receive(p);
        break;
    default:
        act_in_room(p, false);
    }
}

/* ---- the end ---- */

static void converge(struct play *p) {
    int rounds = 0;
    p->is_sane = true;
    report_closed(p);
    inst_reactor_set_online(p->r, false);
    inst_reactor_set_online(p->r, true);
    for (bool more = true; more;) {
        FUZZ_REQUIRE(++rounds < 10000);
        more = drain_one(p);
        report_opened(p);
    }
    FUZZ_REQUIRE(inst_reactor_status(p->r) == INST_CONNECTION_AUTHENTICATED);
}

static void check(struct play *p) {
    bool has_listener[ROOMS] = {false};
    for (int i = 0; i < MAX_SUBS; i++) {
        if (!p->subs[i].id) {
            continue;
        }
        has_listener[p->subs[i].room] = true;
        if (!p->subs[i].is_topic) {
            FUZZ_REQUIRE(p->subs[i].peers && strcmp(p->subs[i].peers, FINAL_SHOWN) == 0);
        }
    }
    for (int i = 0; i < ROOMS; i++) {
        struct inst_presence_slice slice;
        FUZZ_REQUIRE(inst_reactor_get_presence(p->r, names[i], NULL, &p->arena, &slice, NULL) ==
                     INST_OK);
        FUZZ_REQUIRE(p->is_in[i] == (slice.peers != NULL));
        FUZZ_REQUIRE(p->is_in[i] || !has_listener[i]);
        FUZZ_REQUIRE(!slice.peers || !slice.is_loading);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.at = data, .end = data + size, .seed = 7, .now = 1700000000000};
    struct inst_reactor_config config = {.app_id = APP_ID, .env = {&p, now_ms, random_bytes, NULL}};
    playing = &p;
    inst_arena_init(&p.arena);
    FUZZ_REQUIRE(inst_reactor_new(&config, &p.r, NULL) == INST_OK);
    p.meddling = 8;
    for (int i = 0; i < 400 && p.at < p.end; i++) {
        act(&p);
    }
    p.at = p.end;
    p.meddling = 0;
    converge(&p);
    check(&p);
    inst_reactor_shutdown(p.r);
    inst_reactor_free(p.r);
    for (int i = 0; i < MAX_SUBS; i++) {
        free(p.subs[i].peers);
    }
    inst_arena_free(&p.arena);
    return 0;
}
