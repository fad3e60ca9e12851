/*
 * Bytes are what a storage holds, or says: each line of the input is a byte that chooses a key and
 * then its text. Whatever it is, the client comes up, connects, takes a write, keeps it, and what
 * it wrote itself it reads again.
 */
#include "base/json.h"
#include "client/reactor.h"
#include "fuzz.h"

#include <string.h>

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define MAX_ENTRIES 64
#define E "\"11111111-1111-4111-8111-111111111111\""

/* "todos" stands for the hash of {"todos":{}}, the key of its result. */
static const char *const places[][2] = {
    {"kv", "currentUser"},  {"kv", "pendingMutations"}, {"kv", "pendingMutations_2"},
    {"kv", "localToken_x"}, {"querySubs", "__meta"},    {"querySubs", "__attrs"},
    {"querySubs", "todos"}, {"syncSubs", "__meta"},     {"kv", "pendingMutations_x"},
    {"querySubs", "other"},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

struct entry {
    char store[16], key[128];
    char *text;
    size_t len;
};

struct play {
    struct inst_reactor *r;
    struct entry entries[MAX_ENTRIES];
    size_t count;
    int64_t now;
    uint64_t seed;
    char query_key[32];
    int told, enqueued, ids;
};

static int64_t now_ms(void *ctx) { return ((struct play *)ctx)->now; }

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct play *p = ctx;
    for (size_t i = 0; i < len; i++) {
        p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(p->seed >> 56);
    }
}

/* ---- the storage ---- */

static struct entry *find(struct play *p, const char *store, const char *key) {
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->entries[i].store, store) == 0 && strcmp(p->entries[i].key, key) == 0) {
            return &p->entries[i];
        }
    }
    return NULL;
}

static void put(struct play *p, const char *store, const char *key, const char *text, size_t len) {
    struct entry *entry = find(p, store, key);
    if (!entry && text && p->count < MAX_ENTRIES) {
        entry = &p->entries[p->count++];
        memset(entry, 0, sizeof(*entry));
        snprintf(entry->store, sizeof(entry->store), "%s", store);
        snprintf(entry->key, sizeof(entry->key), "%s", key);
    }
    if (!entry) {
        return;
    }
    free(entry->text);
    entry->text = NULL;
    if (!text) {
        *entry = p->entries[--p->count];
        return;
    }
    entry->text = malloc(len + 1);
    FUZZ_REQUIRE(entry->text);
    memcpy(entry->text, text, len);
    entry->text[len] = '\0';
    entry->len = len;
}

static void run_disk(struct play *p) {
    struct inst_disk_request request;
    while (inst_reactor_next_disk(p->r, &request)) {
        struct inst_disk_answer answer = {0};
        const char *keys[MAX_ENTRIES];
        const struct entry *entry;
        char *copy = NULL;
        switch (request.op) {
        case INST_DISK_LOAD:
            entry = find(p, request.store, request.key);
            copy = entry ? malloc(entry->len ? entry->len : 1) : NULL;
            if (copy) {
                memcpy(copy, entry->text, entry->len);
                answer.value = copy;
                answer.len = entry->len;
            }
            break;
        case INST_DISK_WRITE:
            for (size_t i = 0; i < request.pair_count; i++) {
                const struct inst_disk_pair *pair = &request.pairs[i];
                struct inst_arena arena;
                struct inst_value value;
                inst_arena_init(&arena);
                /* what it writes is JSON, or what it sets aside as it was */
                FUZZ_REQUIRE(!pair->value || strncmp(pair->key, "__aside_", 8) == 0 ||
                             inst_json_parse(&arena, pair->value, pair->len, &value, NULL) ==
                                 INST_OK);
                inst_arena_free(&arena);
                put(p, request.store, pair->key, pair->value, pair->len);
            }
            break;
        case INST_DISK_LIST:
            for (size_t i = 0; i < p->count; i++) {
                if (strcmp(p->entries[i].store, request.store) == 0) {
                    keys[answer.key_count++] = p->entries[i].key;
                }
            }
            answer.keys = keys;
            break;
        }
        inst_reactor_disk_done(p->r, request.id, &answer);
        free(copy);
    }
}

/* ---- the app ---- */

static void on_told(void *ctx, const struct inst_transact_result *result,
                    const struct inst_reactor_error *error) {
    struct play *p = ctx;
    FUZZ_REQUIRE((result == NULL) != (error == NULL));
    p->told++;
    p->enqueued += result && strcmp(result->status, "enqueued") == 0;
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    (void)ctx;
    FUZZ_REQUIRE((result == NULL) != (error == NULL));
    FUZZ_REQUIRE(!result || result->data->tag == INST_OBJECT);
}

static void on_id(void *ctx, const char *id, const struct inst_reactor_error *error) {
    struct play *p = ctx;
    FUZZ_REQUIRE(id && !error && strlen(id) == 36);
    p->ids++;
}

static void parse(struct inst_arena *arena, const char *text, struct inst_value *out) {
    FUZZ_REQUIRE(inst_json_parse(arena, text, strlen(text), out, NULL) == INST_OK);
}

static void start(struct play *p) {
    struct inst_reactor_config config = {
        .app_id = APP_ID, .has_storage = true, .env = {p, now_ms, random_bytes, NULL}};
    FUZZ_REQUIRE(inst_reactor_new(&config, &p->r, NULL) == INST_OK);
}

static void connect_to_server(struct play *p) {
    static const char init_ok[] =
        "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":[{\"id\":\"tid\",\"forward-identity\":"
        "[\"f\",\"todos\",\"id\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":true,"
        "\"index?\":false}]}";
    struct inst_output out;
    while (inst_reactor_next_output(p->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(p->r);
        }
    }
    inst_reactor_message(p->r, init_ok, strlen(init_ok));
    while (inst_reactor_next_output(p->r, &out)) {
    }
    FUZZ_REQUIRE(inst_reactor_status(p->r) == INST_CONNECTION_AUTHENTICATED);
}

static void play(struct play *p) {
    struct inst_arena arena;
    struct inst_value chunk, query;
    uint64_t id;
    inst_arena_init(&arena);
    parse(&arena, "{\"__ops\":[[\"update\",\"todos\"," E ",{\"title\":\"x\"}]]}", &chunk);
    parse(&arena, "{\"todos\":{}}", &query);
    start(p);
    inst_reactor_subscribe_query(p->r, &query, NULL, on_query, p, &id, NULL);
    inst_reactor_local_id(p->r, "x", 1, on_id, p, NULL);
    run_disk(p);
    inst_reactor_transact(p->r, &chunk, on_told, p, NULL);
    run_disk(p);
    FUZZ_REQUIRE(p->enqueued == 1 && p->ids == 1);
    size_t pending = inst_reactor_unconfirmed_count(p->r);
    FUZZ_REQUIRE(pending >= 1);
    for (int i = 0; i < 3; i++) {
        p->now += 65000;
        inst_reactor_tick(p->r);
        run_disk(p);
    }
    inst_reactor_free(p->r);
    /* it understands all that is left, which is its own */
    start(p);
    run_disk(p);
    FUZZ_REQUIRE(inst_reactor_unconfirmed_count(p->r) == pending);
    connect_to_server(p);
    inst_reactor_shutdown(p->r);
    run_disk(p);
    FUZZ_REQUIRE(inst_reactor_is_flushed(p->r));
    inst_reactor_free(p->r);
    inst_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play *p = calloc(1, sizeof(*p));
    FUZZ_REQUIRE(p);
    p->now = 1700000000000;
    p->seed = size;
    const uint8_t *end = data + size;
    for (int lines = 0; data < end && lines < 20; lines++) {
        const char *const *place = places[*data++ % PLACES];
        const uint8_t *stop = memchr(data, '\n', (size_t)(end - data));
        stop = stop ? stop : end;
        const char *key = strcmp(place[1], "todos") == 0 ? "e7b32630b0c6a665" : place[1];
        put(p, place[0], key, (const char *)data, (size_t)(stop - data));
        data = stop < end ? stop + 1 : end;
    }
    play(p);
    for (size_t i = 0; i < p->count; i++) {
        free(p->entries[i].text);
    }
    free(p);
    return 0;
}
