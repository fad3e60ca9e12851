/*
 * bench_pending FOLDER ROWS MUTATIONS: the re-evaluation of a live query when the backend refreshes
 * it while mutations of our own are pending.
 *
 * Writes the backend's messages into the folder, for pending.mjs to read the same, and prints the
 * seconds from receiving a refresh until the subscriber has its result, and a hash of the last one.
 */
#include "base/json.h"
#include "bench.h"
#include "client/reactor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define ATTR(id, label, unique)                                                                    \
    "{\"id\":\"" id "\",\"forward-identity\":[\"f-" id "\",\"todos\",\"" label                     \
    "\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":" unique ",\"index?\":false}"
#define ID_ATTR "00000000-0000-4000-8000-000000000001"
#define TITLE_ATTR "00000000-0000-4000-8000-000000000002"
#define DONE_ATTR "00000000-0000-4000-8000-000000000003"
#define N_ATTR "00000000-0000-4000-8000-000000000004"

static const char init_ok[] =
    "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":[" ATTR(ID_ATTR, "id", "true") "," ATTR(
        TITLE_ATTR, "title", "false") "," ATTR(DONE_ATTR, "done", "false") "," ATTR(N_ATTR, "n",
                                                                                    "false") "]}";

enum { TIMES = 40 };

struct rig {
    struct inst_reactor *r;
    struct inst_arena arena;
    uint64_t seed;
    long calls;
    char *last; /* JSON of the last data; NULL: not wanted */
    bool wants_text;
};

static int64_t now_ms(void *ctx) {
    (void)ctx;
    return 1700000000000;
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct rig *rig = ctx;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)bench_mix(rig->seed++);
    }
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    struct rig *rig = ctx;
    if (error) {
        bench_die("%s", error->err->message);
    }
    rig->calls++;
    if (rig->wants_text) {
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_json_write(&buf, result->data);
        free(rig->last);
        rig->last = inst_buf_take(&buf, NULL);
    }
}

static void drain(struct rig *rig) {
    struct inst_output out;
    while (inst_reactor_next_output(rig->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(rig->r);
        }
    }
}

/* The todos as triples; `mark` is in the title of one of them, so that each refresh differs. */
static void add_result(struct inst_buf *buf, int rows, int mark) {
    inst_buf_add_str(buf, "[{\"data\":{\"datalog-result\":{\"join-rows\":[[");
    for (int i = 0; i < rows; i++) {
        char e[40];
        snprintf(e, sizeof e, "%08x-0000-4000-8000-00000000000e", i);
        inst_buf_addf(buf,
                      "%s[\"%s\",\"" ID_ATTR "\",\"%s\",%d],[\"%s\",\"" TITLE_ATTR
                      "\",\"title %d.%d\",%d],[\"%s\",\"" DONE_ATTR "\",%s,%d],[\"%s\",\"" N_ATTR
                      "\",%d,%d]",
                      i ? "," : "", e, e, i, e, i, i == rows - 1 ? mark : 0, i, e,
                      i % 3 ? "false" : "true", i, e, i * 7 % 1000, i);
    }
    inst_buf_add_str(buf, "]]}},\"child-nodes\":[]}]");
}

static char *write_message(const char *folder, const char *name, const char *head, int rows,
                           int mark, const char *tail) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, head);
    if (rows) {
        add_result(&buf, rows, mark);
    }
    inst_buf_add_str(&buf, tail);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file || buf.failed || fwrite(buf.data, 1, buf.len, file) != buf.len || fclose(file)) {
        bench_die("cannot write %s", path);
    }
    return inst_buf_take(&buf, NULL);
}

static void receive(struct rig *rig, const char *text) {
    inst_reactor_message(rig->r, text, strlen(text));
    drain(rig);
}

static struct inst_value parse(struct rig *rig, const char *text) {
    struct inst_value v;
    if (inst_json_parse(&rig->arena, text, strlen(text), &v, NULL) != INST_OK) {
        bench_die("bad JSON: %s", text);
    }
    return v;
}

/* A new title for every fifth row, as pending.mjs has them. */
static void write_pending(struct rig *rig, int rows, int mutations) {
    for (int i = 0; i < mutations; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"__etype\":\"todos\",\"__ops\":[[\"update\",\"todos\","
                 "\"%08x-0000-4000-8000-00000000000e\",{\"title\":\"mine %d\"}]]}",
                 i * 5 % rows, i);
        struct inst_value chunk = parse(rig, text);
        if (inst_reactor_transact(rig->r, &chunk, NULL, NULL, NULL) != INST_OK) {
            bench_die("refused");
        }
        drain(rig);
    }
    if (inst_reactor_pending_count(rig->r) != (size_t)mutations) {
        bench_die("not all are pending");
    }
}

static uint32_t hash_of(const char *text) {
    uint32_t h = 0x811c9dc5;
    for (; *text; text++) {
        h = (h ^ (uint8_t)*text) * 0x01000193;
    }
    return h;
}

int main(int argc, char **argv) {
    int rows = argc == 4 ? atoi(argv[2]) : 0, mutations = argc == 4 ? atoi(argv[3]) : 0;
    if (rows < 1 || mutations < 1) {
        bench_die("usage: bench_pending FOLDER ROWS MUTATIONS");
    }
    struct rig rig = {0};
    inst_arena_init(&rig.arena);
    struct inst_reactor_config config = {.app_id = APP_ID,
                                         .env = {&rig, now_ms, random_bytes, NULL}};
    if (inst_reactor_new(&config, &rig.r, NULL) != INST_OK) {
        bench_die("no reactor");
    }
    char *init = write_message(argv[1], "init.json", init_ok, 0, 0, "");
    char *first = write_message(argv[1], "first.json",
                                "{\"op\":\"add-query-ok\",\"q\":{\"todos\":{}},\"result\":", rows,
                                0, ",\"processed-tx-id\":1}");
    static const char head[] = "{\"op\":\"refresh-ok\",\"processed-tx-id\":1,\"computations\":[{"
                               "\"instaql-query\":{\"todos\":{}},\"instaql-result\":";
    char *refresh[2] = {write_message(argv[1], "refresh-0.json", head, rows, 1, "}]}"),
                        write_message(argv[1], "refresh-1.json", head, rows, 2, "}]}")};
    struct inst_value todos = parse(&rig, "{\"todos\":{}}");
    uint64_t id;
    inst_reactor_subscribe_query(rig.r, &todos, NULL, on_query, &rig, &id, NULL);
    drain(&rig);
    receive(&rig, init);
    receive(&rig, first);
    write_pending(&rig, rows, mutations);
    for (int i = 0; i < TIMES; i++) { /* warms up */
        receive(&rig, refresh[i % 2]);
    }
    double seconds[TIMES];
    for (int i = 0; i < TIMES; i++) {
        long calls = rig.calls;
        double start = bench_now();
        receive(&rig, refresh[i % 2]);
        seconds[i] = bench_now() - start;
        if (rig.calls != calls + 1) {
            bench_die("a refresh was not shown at once");
        }
    }
    rig.wants_text = true;
    receive(&rig, refresh[0]);
    printf("%.9f %08x\n", bench_quantile(seconds, TIMES, 0.5), hash_of(rig.last));
    free(rig.last);
    inst_reactor_free(rig.r);
    inst_arena_free(&rig.arena);
    free(init);
    free(first);
    free(refresh[0]);
    free(refresh[1]);
    return 0;
}
