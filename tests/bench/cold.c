/*
 * bench_cold make FOLDER QUERIES ENTITIES    fills a SQLite storage with the results of that many
 *                                            queries, each of so many entities of five triples;
 *                                            cache.jsonl has the same as the official client keeps
 * it bench_cold run FOLDER QUERIES ENTITIES     a client without a network that subscribes to all
 * of them: seconds from the start of the program to the first result, to the last one
 */
#include "base/json.h"
#include "bench.h"
#include "io/client.h"
#include "io/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"

static const char *const labels[] = {"id", "title", "body", "place", "group"};
enum { LABELS = sizeof(labels) / sizeof(labels[0]) };

static double begun;

/* ---- the data ---- */

static void add_attr(struct inst_buf *buf, int i) {
    inst_buf_addf(buf,
                  "{\"id\":\"0000000a-0000-4000-8000-00000000000%d\",\"forward-identity\":"
                  "[\"0000000b-0000-4000-8000-00000000000%d\",\"notes\",\"%s\"],\"value-type\":"
                  "\"blob\",\"cardinality\":\"one\",\"unique?\":%s,\"index?\":false}",
                  i, i, labels[i], i == 0 ? "true" : "false");
}

static void add_triple(struct inst_buf *buf, int query, int entity, int label) {
    char id[40];
    snprintf(id, sizeof(id), "%08x-0000-4000-8000-%012x", (unsigned)query, (unsigned)entity);
    inst_buf_addf(buf, "%s[\"%s\",\"0000000a-0000-4000-8000-00000000000%d\",",
                  entity || label ? "," : "", id, label);
    switch (label) {
    case 0:
        inst_buf_addf(buf, "\"%s\"", id);
        break;
    case 1:
        inst_buf_addf(buf, "\"Note %d of %d\"", entity, query);
        break;
    case 2:
        inst_buf_addf(buf, "\"What somebody wrote down about %d, \\\"as it was\\\", and kept.\"",
                      (int)(bench_mix((uint64_t)entity) % 100000));
        break;
    case 3:
        inst_buf_addf(buf, "%d", entity);
        break;
    default:
        inst_buf_addf(buf, "%d", query);
        break;
    }
    inst_buf_addf(buf, ",%lld]", 1700000000000LL + entity);
}

static void add_triples(struct inst_buf *buf, int query, int entities) {
    for (int entity = 0; entity < entities; entity++) {
        for (int label = 0; label < LABELS; label++) {
            add_triple(buf, query, entity, label);
        }
    }
}

static void query_text(char out[80], int query) {
    snprintf(out, 80, "{\"notes\":{\"$\":{\"where\":{\"group\":%d}}}}", query);
}

static void parse(struct inst_arena *arena, const char *text, struct inst_value *out) {
    if (inst_json_parse(arena, text, strlen(text), out, NULL) != INST_OK) {
        bench_die("bad JSON: %s", text);
    }
}

/* ---- making ---- */

static int64_t now_ms(void *ctx) { return *(int64_t *)ctx; }

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    static uint64_t seed;
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)bench_mix(seed++);
    }
}

/* Does at once what the reactor asks for. */
static void run_disk(struct inst_reactor *r, struct inst_storage *storage) {
    struct inst_disk_request request;
    while (inst_reactor_next_disk(r, &request)) {
        struct inst_disk_answer answer = {0};
        struct inst_err err = {0};
        if (request.op == INST_DISK_WRITE &&
            storage->ops->write(storage, request.store, request.pairs, request.pair_count, false,
                                &err) != INST_OK) {
            bench_die("%s", err.message);
        }
        inst_reactor_disk_done(r, request.id, &answer); /* it was empty before */
    }
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    int *calls = ctx;
    if (error) {
        bench_die("%s", error->err->message);
    }
    if (!result->data) {
        bench_die("no data");
    }
    ++*calls;
}

static void receive(struct inst_reactor *r, struct inst_buf *message) {
    struct inst_output output;
    inst_reactor_message(r, message->data, message->len);
    inst_buf_clear(message);
    while (inst_reactor_next_output(r, &output)) {
    }
}

static void make(const char *folder, int queries, int entities) {
    struct inst_loop *loop;
    struct inst_storage *storage;
    struct inst_reactor *r;
    struct inst_err err = {0};
    struct inst_arena arena;
    struct inst_buf message, attrs;
    int64_t now = 1700000000000;
    int calls = 0;
    char path[512], q[80];
    snprintf(path, sizeof(path), "sqlite:%s/cache.db", folder);
    struct inst_reactor_config config = {
        .app_id = APP, .has_storage = true, .env = {&now, now_ms, random_bytes, NULL}};
    if (inst_loop_new(&loop, &err) != INST_OK ||
        inst_storage_open(loop, path, APP, &storage, &err) != INST_OK ||
        inst_reactor_new(&config, &r, &err) != INST_OK) {
        bench_die("%s", err.message);
    }
    snprintf(path, sizeof(path), "%s/cache.jsonl", folder);
    FILE *peer = fopen(path, "w");
    if (!peer) {
        bench_die("cannot write %s", path);
    }
    inst_arena_init(&arena);
    inst_buf_init(&message);
    inst_buf_init(&attrs);
    run_disk(r, storage);
    struct inst_output output;
    inst_reactor_next_output(r, &output); /* CONNECT */
    inst_reactor_opened(r);
    inst_buf_add_str(&message, "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":[");
    for (int i = 0; i < LABELS; i++) {
        inst_buf_add_str(&message, i ? "," : "");
        add_attr(&message, i);
        inst_buf_addf(&attrs, "%s\"0000000a-0000-4000-8000-00000000000%d\":", i ? "," : "", i);
        add_attr(&attrs, i);
    }
    inst_buf_add_str(&message, "]}");
    receive(r, &message);
    for (int i = 0; i < queries; i++) {
        struct inst_value query;
        uint64_t id;
        query_text(q, i);
        parse(&arena, q, &query);
        inst_reactor_subscribe_query(r, &query, NULL, on_query, &calls, &id, NULL);
        inst_buf_addf(&message,
                      "{\"op\":\"add-query-ok\",\"q\":%s,\"processed-tx-id\":7,\"result\":"
                      "[{\"data\":{\"datalog-result\":{\"join-rows\":[[",
                      q);
        add_triples(&message, i, entities);
        inst_buf_add_str(&message, "]]}},\"child-nodes\":[]}]}");
        receive(r, &message);
        now += 2000;
        inst_reactor_tick(r);
        run_disk(r, storage);
        inst_buf_addf(&message,
                      "{\"q\":%s,\"eventId\":\"%08x-0000-4000-8000-000000000000\",\"lastAccessed\":"
                      "%lld,\"result\":{\"store\":{\"triples\":[",
                      q, (unsigned)i, (long long)now);
        add_triples(&message, i, entities);
        inst_buf_addf(&message,
                      "],\"cardinalityInference\":false,\"useDateObjects\":null,\"version\":1},"
                      "\"attrsStore\":{\"attrs\":{%s},\"linkIndex\":null},\"pageInfo\":null,"
                      "\"aggregate\":null,\"processedTxId\":7}}\n",
                      attrs.data);
        fwrite(message.data, 1, message.len, peer);
        inst_buf_clear(&message);
    }
    inst_reactor_shutdown(r);
    run_disk(r, storage);
    if (calls != queries || !inst_reactor_is_flushed(r) || fclose(peer) != 0) {
        bench_die("the cache was not made");
    }
    inst_reactor_free(r);
    storage->ops->close(storage);
    inst_loop_free(loop);
    inst_buf_free(&message);
    inst_buf_free(&attrs);
    inst_arena_free(&arena);
}

/* ---- running ---- */

struct seen {
    int calls;
    size_t entities;
    double first, last;
};

static void on_result(void *ctx, const struct inst_query_result *result,
                      const struct inst_reactor_error *error) {
    struct seen *seen = ctx;
    if (error) {
        bench_die("%s", error->err->message);
    }
    const struct inst_value *notes = inst_getz(result->data, "notes");
    seen->entities += notes ? notes->len : 0;
    seen->last = bench_now();
    if (seen->calls++ == 0) {
        seen->first = seen->last;
    }
}

static void run(const char *folder, int queries, int entities) {
    struct inst_loop *loop;
    struct inst_client *client;
    struct inst_err err = {0};
    struct inst_arena arena;
    struct seen seen = {0};
    char path[512], q[80];
    snprintf(path, sizeof(path), "sqlite:%s/cache.db", folder);
    struct inst_client_config config = {
        .reactor = {.app_id = APP},
        .websocket_uri = "ws://127.0.0.1:1/runtime/session",
        .storage = path,
    };
    if (inst_loop_new(&loop, &err) != INST_OK) {
        bench_die("%s", err.message);
    }
    inst_loop_log_level(loop, INST_LOG_ERROR);
    if (inst_client_new(loop, &config, &client, &err) != INST_OK) {
        bench_die("%s", err.message);
    }
    inst_arena_init(&arena);
    for (int i = 0; i < queries; i++) {
        struct inst_value query;
        uint64_t id;
        query_text(q, i);
        parse(&arena, q, &query);
        inst_reactor_subscribe_query(inst_client_reactor(client), &query, NULL, on_result, &seen,
                                     &id, NULL);
    }
    inst_loop_hold(loop);
    while (seen.calls < queries) {
        inst_loop_turn(loop);
    }
    if (seen.entities != (size_t)queries * (size_t)entities) {
        bench_die("%zu entities were shown", seen.entities);
    }
    printf("%.9f %.9f\n", seen.first - begun, seen.last - begun);
    inst_loop_release(loop);
    inst_client_free(client);
    inst_loop_free(loop);
    inst_arena_free(&arena);
}

int main(int argc, char **argv) {
    begun = bench_now();
    if (argc != 5) {
        bench_die("usage: bench_cold make|run FOLDER QUERIES ENTITIES");
    }
    if (strcmp(argv[1], "make") == 0) {
        make(argv[2], atoi(argv[3]), atoi(argv[4]));
    } else {
        run(argv[2], atoi(argv[3]), atoi(argv[4]));
    }
    return 0;
}
