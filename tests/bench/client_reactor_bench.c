/*
 * What a change costs a client: shown at once, received, with much or little else around.
 */
#include "base/json.h"
#include "bench.h"
#include "client/reactor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTR(id, etype, label, unique)                                                             \
    "{\"id\":\"" id "\",\"forward-identity\":[\"f" id "\",\"" etype "\",\"" label                  \
    "\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":" unique ",\"index?\":false}"
#define E "00000001-0000-4000-8000-000000000000"

struct rig {
    struct inst_reactor *r;
    struct inst_arena arena;
    struct inst_value todo, person; /* chunks */
    char *refresh;
    uint64_t seed;
    long calls;
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
    (void)result;
    (void)error;
    ((struct rig *)ctx)->calls++;
}

static void drain(struct rig *rig) {
    struct inst_output out;
    while (inst_reactor_next_output(rig->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(rig->r);
        }
    }
}

static struct inst_value parse(struct rig *rig, const char *text) {
    struct inst_value v;
    if (inst_json_parse(&rig->arena, text, strlen(text), &v, NULL) != INST_OK) {
        bench_die("bad JSON: %s", text);
    }
    return v;
}

/* A result of `rows` todos whose titles end in `mark`. */
static char *refresh_text(int rows, int mark) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "{\"op\":\"refresh-ok\",\"processed-tx-id\":1,\"computations\":[{"
                           "\"instaql-query\":{\"todos\":{}},\"instaql-result\":[{\"data\":{"
                           "\"datalog-result\":{\"join-rows\":[[");
    for (int i = 0; i < rows; i++) {
        inst_buf_addf(&buf,
                      "%s[\"%08x-0000-4000-8000-000000000000\",\"tid\","
                      "\"%08x-0000-4000-8000-000000000000\",%d],"
                      "[\"%08x-0000-4000-8000-000000000000\",\"title\",\"title %d.%d\",%d]",
                      i ? "," : "", i, i, i, i, i, mark, i);
    }
    inst_buf_add_str(&buf, "]]}},\"child-nodes\":[]}]}]}");
    return inst_buf_take(&buf, NULL);
}

static void begin(struct rig *rig, int rows) {
    memset(rig, 0, sizeof(*rig));
    inst_arena_init(&rig->arena);
    struct inst_reactor_config config = {.app_id = "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e",
                                         .env = {rig, now_ms, random_bytes, NULL}};
    if (inst_reactor_new(&config, &rig->r, NULL) != INST_OK) {
        bench_die("no reactor");
    }
    struct inst_value todos = parse(rig, "{\"todos\":{}}");
    uint64_t id;
    inst_reactor_subscribe_query(rig->r, &todos, NULL, on_query, rig, &id, NULL);
    drain(rig);
    static const char init[] = "{\"op\":\"init-ok\",\"session-id\":\"s\",\"attrs\":[" ATTR(
        "tid", "todos", "id",
        "true") "," ATTR("title", "todos", "title",
                         "false") "," ATTR("pid", "people", "id",
                                           "true") "," ATTR("name", "people", "name", "false") "]}";
    inst_reactor_message(rig->r, init, strlen(init));
    drain(rig);
    rig->refresh = refresh_text(rows, 0);
    inst_reactor_message(rig->r, rig->refresh, strlen(rig->refresh));
    rig->todo = parse(rig, "{\"__ops\":[[\"update\",\"todos\",\"" E "\",{\"title\":\"x\"}]]}");
    rig->person = parse(rig, "{\"__ops\":[[\"update\",\"people\",\"" E "\",{\"name\":\"x\"}]]}");
}

static void end(struct rig *rig) {
    inst_reactor_free(rig->r);
    inst_arena_free(&rig->arena);
    free(rig->refresh);
}

/* Microseconds of one transaction, `count` of them made in a row without an answer. */
static double transact_us(int rows, bool concerns, int count) {
    struct rig rig;
    begin(&rig, rows);
    double start = bench_now();
    for (int i = 0; i < count; i++) {
        struct inst_value *chunk = concerns ? &rig.todo : &rig.person;
        if (inst_reactor_transact(rig.r, chunk, NULL, NULL, NULL) != INST_OK) {
            bench_die("refused");
        }
    }
    double us = (bench_now() - start) / count * 1e6;
    end(&rig);
    return us;
}

static double refresh_us(int rows) {
    struct rig rig;
    begin(&rig, rows);
    char *other = refresh_text(rows, 1);
    enum { TIMES = 20 };
    double start = bench_now();
    for (int i = 0; i < TIMES; i++) {
        const char *text = i % 2 ? rig.refresh : other;
        inst_reactor_message(rig.r, text, strlen(text));
    }
    double us = (bench_now() - start) / TIMES * 1e6;
    if (rig.calls < TIMES) {
        bench_die("not every refresh was shown");
    }
    free(other);
    end(&rig);
    return us;
}

int main(void) {
    bench_row("transact, 10 rows shown", transact_us(10, true, 200), -1, "us", "info", -1);
    bench_row("transact, 1000 rows shown", transact_us(1000, true, 200), -1, "us", "info", -1);
    double few = transact_us(10, false, 200);
    bench_row("transact beside 10 rows", few, -1, "us", "info", -1);
    bench_row("transact beside 10000 rows", transact_us(10000, false, 200), few, "us", "growth", 2);
    bench_row("transact after 10000 pending", transact_us(10, false, 10000), few, "us", "growth",
              2);
    double thousand = refresh_us(1000);
    bench_row("refresh, 1000 rows", thousand, -1, "us", "info", -1);
    bench_row("refresh, 10000 rows", refresh_us(10000), thousand, "us", "growth", 15);
    return 0;
}
