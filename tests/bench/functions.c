/*
 * Functions of a script: a named query against the same query of the admin API, and what a check
 * adds to a transaction.
 *
 *     bench_functions ROWS     rows in the namespace that is asked for 1 and for 100 of them
 *
 * In this process, data file in memory, through the HTTP routes: what a request costs beside its
 * socket. "nothing" is a function that returns at once: what each call costs by itself.
 */
#include "bench.h"
#include "generate.h"

#include "io/apps.h"
#include "script.h"
#include "server/engine.h"
#include "server/http.h"

#include <stdlib.h>
#include <string.h>

static const char SCHEMA[] =
    "{\"entities\":{"
    "\"tasks\":{\"attrs\":{\"title\":{\"valueType\":\"string\"},\"done\":{\"valueType\":"
    "\"boolean\"},"
    "\"rank\":{\"valueType\":\"number\",\"config\":{\"indexed\":true,\"unique\":false}}}},"
    "\"notes\":{\"attrs\":{\"text\":{\"valueType\":\"string\"},\"length\":{\"valueType\":"
    "\"number\"}}},"
    "\"drafts\":{\"attrs\":{\"text\":{\"valueType\":\"string\"},\"length\":{\"valueType\":"
    "\"number\"}}}},\"links\":{}}";

static const char SCRIPT[] =
    "local server = ...\n"
    "server.query('nothing', function() end)\n"
    "server.query('below', function(ctx, params)\n"
    "  return ctx.db.query { tasks = { ['$'] = { where = { rank = { ['$lt'] = params.rank } } } } "
    "}\n"
    "end)\n"
    "server.live('liveBelow', function(ctx, params)\n"
    "  return { tasks = { ['$'] = { where = { rank = { ['$lt'] = params.rank } } } } }\n"
    "end)\n"
    "server.check('notes', function(ctx, change)\n"
    "  if change.new and #change.new.text > 100 then error { message = 'too long' } end\n"
    "end)\n";

struct world {
    struct inst_env env;
    uint64_t random;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_scripts *scripts;
    struct inst_app_info info;
    char token[INST_UUID_TEXT + 8];
    uint32_t written;
    struct inst_err err;
};

static void must(struct world *w, enum inst_status status) {
    if (status != INST_OK)
        bench_die("%s", w->err.message);
}

static int64_t now_ms(void *ctx) {
    (void)ctx;
    return 1700000000000;
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)bench_mix(w->random++);
}

static void on_send(void *ctx, void *connection, struct inst_shared *message) {
    (void)ctx, (void)connection, (void)message;
}

static void on_close(void *ctx, void *connection) { (void)ctx, (void)connection; }

/* An admin's POST; gives the bytes of the answer. */
static size_t post(struct world *w, const char *path, const char *body) {
    struct inst_http_field fields[] = {{"app-id", w->info.id}, {"authorization", w->token}};
    struct inst_http_request request = {.method = "POST",
                                        .path = path,
                                        .query = "",
                                        .body = body,
                                        .body_len = strlen(body),
                                        .fields = fields,
                                        .field_count = 2};
    struct inst_http_response response;
    inst_server_http(w->server, &request, &response);
    size_t len = response.body.len;
    if (response.status != 200)
        bench_die("%s: %.*s", path, (int)len, response.body.data);
    inst_http_response_clear(&response);
    inst_server_turn(w->server);
    return len;
}

static void add_task(struct world *w, uint32_t n) {
    char id[GEN_UUID], body[300];
    gen_uuid(1, n, id);
    snprintf(body, sizeof body,
             "{\"steps\":[[\"update\",\"tasks\",\"%s\",{\"title\":\"task %u\",\"done\":false,"
             "\"rank\":%u}]]}",
             id, n, n);
    post(w, "/admin/transact", body);
}

static void open_world(struct world *w, uint32_t rows) {
    static const struct inst_sandbox_limits limits = {0};
    struct inst_arena arena;
    struct inst_value schema;
    char token[INST_UUID_TEXT + 1];
    *w = (struct world){.random = 7};
    inst_arena_init(&arena);
    w->env = (struct inst_env){.ctx = w, .now_ms = now_ms, .random = random_bytes};
    must(w, inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, &w->err));
    struct inst_server_host host = {
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    must(w, inst_server_new(&w->env, &host, &w->server, &w->err));
    must(w, inst_json_parse(&arena, SCHEMA, strlen(SCHEMA), &schema, &w->err));
    must(w, inst_server_create_app(w->server, "bench", &schema, 0, &w->info, token, &w->err));
    snprintf(w->token, sizeof w->token, "Bearer %s", token);
    must(w, inst_scripts_new(w->server, &w->env, &limits, &w->scripts, &w->err));
    must(w,
         inst_scripts_load(w->scripts, NULL, "@bench.lua", SCRIPT, strlen(SCRIPT), NULL, &w->err));
    inst_arena_free(&arena);
    for (uint32_t n = 0; n < rows; n++)
        add_task(w, n);
}

struct job {
    struct world *w;
    char path[512];
    char body[200];
    const char *etype; /* a new row of it instead of body; NULL: none */
    size_t bytes;
};

static void run(void *ctx) {
    struct job *job = ctx;
    if (job->etype != NULL) {
        char id[GEN_UUID];
        gen_uuid(2, job->w->written++, id);
        snprintf(job->body, sizeof job->body,
                 "{\"steps\":[[\"update\",\"%s\",\"%s\",{\"text\":\"a text of some length\","
                 "\"length\":21}]]}",
                 job->etype, id);
    }
    job->bytes = post(job->w, job->path, job->body);
}

static void function_of(struct job *job, const char *name) {
    snprintf(job->path, sizeof job->path, "/apps/%s/functions/%s", job->w->info.id, name);
}

static void compare_query(struct world *w, const char *title, const char *name, unsigned rank) {
    struct job own = {.w = w}, peer = {.w = w, .path = "/admin/query"};
    double own_seconds, peer_seconds;
    function_of(&own, name);
    snprintf(own.body, sizeof own.body, "{\"rank\":%u}", rank);
    snprintf(peer.body, sizeof peer.body,
             "{\"query\":{\"tasks\":{\"$\":{\"where\":{\"rank\":{\"$lt\":%u}}}}}}", rank);
    bench_measure_pair(run, &own, run, &peer, &own_seconds, &peer_seconds);
    bench_row(title, 1 / own_seconds, 1 / peer_seconds, "/s", "info", -1);
}

int main(int argc, char **argv) {
    static struct world w;
    unsigned long rows = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (rows < 100 || rows > 1000000)
        bench_die("usage: bench_functions ROWS      (at least 100)");
    open_world(&w, (uint32_t)rows);
    struct job nothing = {.w = &w};
    function_of(&nothing, "nothing");
    bench_row("a function that does nothing", bench_measure(run, &nothing) * 1e6, -1, "us",
              "atmost", 100);
    compare_query(&w, "a named query of 1 row, calls", "below", 1);
    compare_query(&w, "a named query of 100 rows, calls", "below", 100);
    compare_query(&w, "the same as a live function", "liveBelow", 100);
    struct job checked = {.w = &w, .path = "/admin/transact", .etype = "notes"};
    struct job plain = {.w = &w, .path = "/admin/transact", .etype = "drafts"};
    double checked_seconds, plain_seconds;
    bench_measure_pair(run, &checked, run, &plain, &checked_seconds, &plain_seconds);
    bench_row("a transact that a check looks at", checked_seconds * 1e6, plain_seconds * 1e6, "us",
              "info", -1);
    bench_row("    what the check adds", (checked_seconds - plain_seconds) * 1e6, -1, "us",
              "atmost", 100);
    return 0; /* the operating system frees the world */
}
