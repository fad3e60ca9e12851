/*
 * Bytes are the shards of a backup. Whatever they hold: an import takes what it can, says what it
 * cannot, and ends; what is in the app then comes out again as lines that another import takes
 * without a word.
 *
 * The first byte says how the rest is cut; a line `@etype` begins another shard.
 */
#include "base/json.h"
#include "fuzz.h"
#include "io/apps.h"
#include "server/export.h"
#include "server/import.h"

#include <string.h>

static const char schema_text[] =
    "{\"entities\":{\"todos\":{\"attrs\":{"
    "\"title\":{\"valueType\":\"string\",\"config\":{\"indexed\":true,\"unique\":false}},"
    "\"slug\":{\"valueType\":\"string\",\"config\":{\"indexed\":false,\"unique\":true}},"
    "\"rank\":{\"valueType\":\"number\",\"config\":{\"indexed\":true,\"unique\":false}},"
    "\"due\":{\"valueType\":\"date\",\"config\":{\"indexed\":true,\"unique\":false}},"
    "\"any\":{\"valueType\":\"json\",\"config\":{\"indexed\":false,\"unique\":false}}}},"
    "\"people\":{\"attrs\":{}}},\"links\":{\"owner\":{\"forward\":{\"on\":\"todos\",\"label\":"
    "\"owner\",\"has\":\"one\"},\"reverse\":{\"on\":\"people\",\"label\":\"todos\",\"has\":"
    "\"one\"}},\"friends\":{\"forward\":{\"on\":\"people\",\"label\":\"friends\",\"has\":\"many\"},"
    "\"reverse\":{\"on\":\"people\",\"label\":\"friendOf\",\"has\":\"many\"}}}}";

struct world {
    uint64_t seed;
    int64_t now;
    struct inst_env env;
    struct inst_apps *apps;
    struct inst_server_host host;
    struct inst_server *server;
    size_t problems;
};

static int64_t now_ms(void *ctx) { return ((struct world *)ctx)->now++; }

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++) {
        w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(w->seed >> 56);
    }
}

static void on_send(void *ctx, void *connection, struct inst_shared *message) {
    (void)ctx, (void)connection, (void)message;
}
static void on_close(void *ctx, void *connection) { (void)ctx, (void)connection; }
static void on_problem(void *ctx, const char *message) {
    FUZZ_REQUIRE(message[0] != 0);
    ((struct world *)ctx)->problems++;
}

static void open_world(struct world *w, uint64_t seed) {
    *w = (struct world){.seed = seed, .now = 1700000000000};
    w->env = (struct inst_env){w, now_ms, random_bytes, NULL};
    FUZZ_REQUIRE(inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, NULL) == INST_OK);
    w->host = (struct inst_server_host){
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    FUZZ_REQUIRE(inst_server_new(&w->env, &w->host, &w->server, NULL) == INST_OK);
}

static void close_world(struct world *w) {
    inst_server_free(w->server);
    inst_apps_close(w->apps);
}

static struct inst_import *begin(struct world *w, char id[INST_UUID_TEXT + 1]) {
    struct inst_arena arena;
    struct inst_value schema;
    struct inst_import *import;
    char token[INST_UUID_TEXT + 1];
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, schema_text, sizeof schema_text - 1, &schema, NULL) ==
                 INST_OK);
    struct inst_import_config config = {
        .title = "t", .schema = &schema, .problem = on_problem, .ctx = w};
    FUZZ_REQUIRE(inst_import_begin(w->server, &config, &import, token, NULL) == INST_OK);
    inst_arena_free(&arena);
    memcpy(id, inst_import_app_id(import), INST_UUID_TEXT + 1);
    return import;
}

/* Feeds in pieces of `cut` bytes. */
static void feed(struct inst_import *import, const char *bytes, size_t len, size_t cut) {
    for (size_t at = 0; at < len; at += cut)
        FUZZ_REQUIRE(inst_import_feed(import, bytes + at, len - at < cut ? len - at : cut, NULL) ==
                     INST_OK);
}

static void play(struct inst_import *import, const char *bytes, size_t len, size_t cut) {
    FUZZ_REQUIRE(inst_import_shard(import, "todos", 5, NULL) == INST_OK);
    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t line = end != NULL ? (size_t)(end - bytes) + 1 : len;
        if (bytes[0] == '@' && line > 1) {
            FUZZ_REQUIRE(inst_import_end(import, NULL) == INST_OK);
            FUZZ_REQUIRE(inst_import_commit(import, "here", 4, NULL) == INST_OK);
            FUZZ_REQUIRE(inst_import_shard(import, bytes + 1, line - 1 - (end != NULL), NULL) ==
                         INST_OK);
        } else {
            feed(import, bytes, line, cut);
        }
        bytes += line;
        len -= line;
    }
    FUZZ_REQUIRE(inst_import_end(import, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_import_finish(import, NULL) == INST_OK);
}

/* The app's lines with their shards, as play() takes them. */
static void read_out(struct world *w, const char *id, struct inst_buf *out) {
    struct inst_export *exported;
    bool more = true;
    FUZZ_REQUIRE(inst_export_begin(w->server, id, &exported, NULL) == INST_OK);
    for (size_t i = 0; i < inst_export_etypes(exported); i++, more = true) {
        const struct inst_value *etype = inst_export_etype(exported, i);
        inst_buf_add_char(out, '@');
        inst_buf_add(out, etype->u.str, etype->len);
        inst_buf_add_char(out, '\n');
        FUZZ_REQUIRE(inst_export_shard(exported, i, NULL) == INST_OK);
        while (more)
            FUZZ_REQUIRE(inst_export_lines(exported, 1000, out, &more, NULL) == INST_OK);
    }
    FUZZ_REQUIRE(!out->failed);
    inst_export_free(exported);
}

/* The same for any order: entities of one moment, and links of one entity, have none. */
static uint64_t sum(const struct inst_buf *text) {
    uint64_t all = 0;
    for (size_t i = 0; i < text->len; i++)
        all += (uint8_t)text->data[i];
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w, again;
    struct inst_import_counts counts, counts_again;
    struct inst_buf out, out_again;
    char id[INST_UUID_TEXT + 1];
    if (size == 0)
        return 0;
    open_world(&w, size);
    struct inst_import *import = begin(&w, id);
    play(import, (const char *)data + 1, size - 1, 1u + data[0]);
    inst_import_counts(import, &counts);
    FUZZ_REQUIRE(counts.problems == w.problems);
    inst_import_free(import);
    inst_buf_init(&out);
    read_out(&w, id, &out);
    close_world(&w);

    open_world(&again, size);
    import = begin(&again, id);
    play(import, out.data, out.len, 7);
    inst_import_counts(import, &counts_again);
    FUZZ_REQUIRE(again.problems == 0 && counts_again.entities == counts.entities);
    inst_import_free(import);
    inst_buf_init(&out_again);
    read_out(&again, id, &out_again);
    FUZZ_REQUIRE(out.len == out_again.len && sum(&out) == sum(&out_again));
    close_world(&again);
    inst_buf_free(&out_again);
    inst_buf_free(&out);
    return 0;
}
