/*
 * Bytes from the network reach the functions, checks and routes of a script: as params, as a path,
 * a query, headers, a body, as patterns and values inside. Whatever comes: there is an answer in
 * the envelope, a failing call leaves nothing, and the next one is answered as the first.
 */
#include "base/json.h"
#include "fuzz.h"
#include "io/apps.h"
#include "script.h"
#include "server/http.h"

#include <string.h>

static const char SCRIPT[] =
    "local server = ...\n"
    "local instant = require 'instant'\n"
    "server.query('echo', function(ctx, p) return p end)\n"
    "server.query('find', function(ctx, p) return { p.s:find(p.p, p.i) } end)\n"
    "server.query('gsub', function(ctx, p) return (p.s:gsub(p.p, p.r)) end)\n"
    "server.query('format', function(ctx, p) return p.s:format(p.p, p.i, p.r) end)\n"
    "server.query('rep', function(ctx, p) return #p.s:rep(p.i, p.r) end)\n"
    "server.query('decode', function(ctx, p) return instant.json.decode(p.s) end)\n"
    "server.query('query', function(ctx, p) return ctx.db.query(p) end)\n"
    "server.query('throw', function(ctx, p) error(p) end)\n"
    "server.live('live', function(ctx, p) return p end)\n"
    "server.mutation('write', function(ctx, p)\n"
    "  ctx.db.transact(ctx.db.tx.todos[p.id or instant.id()]:update(p.values or {}))\n"
    "  if p.fails then error { message = p.fails, hint = p } end\n"
    "end)\n"
    "server.query('list', function(ctx, p)\n"
    "  local list = setmetatable(p.l, { __index = p.x or getmetatable, __newindex = p.y })\n"
    "  return { table[p.f](list, p.a, p.b, p.c) }\n"
    "end)\n"
    "server.query('count', function(ctx) return #ctx.admin.query { todos = {} }.todos end)\n"
    "server.check('todos', function(ctx, change)\n"
    "  if change.new and change.new.title == 'refused' then error { message = 'refused' } end\n"
    "  return change.new and change.new.set\n"
    "end)\n"
    "server.route('POST', '/:a/:b', function(ctx, r)\n"
    "  return { status = tonumber(r.query.status), headers = r.json, body = r.params }\n"
    "end)\n";

static const char *const names[] = {"echo",  "find", "gsub",  "format", "rep",  "decode", "query",
                                    "throw", "live", "write", "count",  "none", "list"};

struct world {
    struct inst_env env;
    uint64_t seed;
    int64_t now;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_scripts *scripts;
    struct inst_app_info app;
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

static void open_world(struct world *w) {
    static const struct inst_sandbox_limits limits = {(size_t)8 << 20, 200000, 3600000};
    char token[INST_UUID_TEXT + 1];
    *w = (struct world){.now = 1700000000000, .seed = 1};
    w->env = (struct inst_env){w, now_ms, random_bytes, NULL};
    FUZZ_REQUIRE(inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, NULL) == INST_OK);
    struct inst_server_host host = {
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    FUZZ_REQUIRE(inst_server_new(&w->env, &host, &w->server, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_server_create_app(w->server, "fuzz", NULL, 0, &w->app, token, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_scripts_new(w->server, &w->env, &limits, &w->scripts, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_scripts_load(w->scripts, NULL, "@fuzz.lua", SCRIPT, sizeof SCRIPT - 1, NULL,
                                   NULL) == INST_OK);
}

static void close_world(struct world *w) {
    inst_scripts_free(w->scripts);
    inst_server_free(w->server);
    inst_apps_close(w->apps);
}

/* Asks; gives what `result` says as a number, or -1. */
static double ask(struct world *w, const struct inst_http_request *request) {
    struct inst_http_response response;
    struct inst_arena arena;
    struct inst_value body;
    double number = -1;
    inst_server_http(w->server, request, &response);
    FUZZ_REQUIRE(response.status >= 200 && response.status <= 599);
    FUZZ_REQUIRE(!response.body.failed && !response.headers.failed);
    inst_arena_init(&arena);
    if (response.content_type == NULL && response.body.len > 0) {
        FUZZ_REQUIRE(inst_json_parse(&arena, response.body.data, response.body.len, &body, NULL) ==
                     INST_OK);
        const struct inst_value *result = inst_getz(&body, "result");
        if (result != NULL && result->tag == INST_NUMBER)
            number = result->u.num;
        const char *type = inst_get_string(&body, "type") != NULL ? "typed" : NULL;
        FUZZ_REQUIRE(response.status < 500 || type != NULL || strstr(request->path, "/routes/"));
    }
    inst_arena_free(&arena);
    inst_http_response_clear(&response);
    inst_server_turn(w->server);
    return number;
}

static double call(struct world *w, const char *name, const char *body, size_t len) {
    char path[512];
    snprintf(path, sizeof path, "/apps/%s/functions/%s", w->app.id, name);
    struct inst_http_request request = {
        .method = "POST", .path = path, .query = "", .body = body, .body_len = len};
    return ask(w, &request);
}

/* Three texts with line ends in between: path, query, body. */
static void ask_route(struct world *w, char *text, size_t len) {
    char path[4096];
    struct inst_http_field field = {"x-fuzz", "1"};
    char *query = memchr(text, '\n', len), *body = NULL;
    if (query != NULL && (body = memchr(query + 1, '\n', len - (size_t)(query + 1 - text))) != NULL)
        *body++ = '\0';
    if (query != NULL)
        *query++ = '\0';
    snprintf(path, sizeof path, "/apps/%s/routes/%s", w->app.id, text);
    struct inst_http_request request = {.method = "POST",
                                        .path = path,
                                        .query = query != NULL ? query : "",
                                        .body = body != NULL ? body : "",
                                        .body_len = body != NULL ? len - (size_t)(body - text) : 0,
                                        .fields = &field,
                                        .field_count = 1};
    ask(w, &request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w;
    if (size < 2)
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    open_world(&w);
    size_t which = data[0] % (sizeof names / sizeof *names + 1);
    if (which < sizeof names / sizeof *names) {
        double before = call(&w, "count", NULL, 0);
        double result = call(&w, names[which], text, size - 1);
        FUZZ_REQUIRE(before == 0);
        FUZZ_REQUIRE(strcmp(names[which], "count") != 0 || result == 0 || result == -1);
        FUZZ_REQUIRE(strcmp(names[which], "write") == 0 || call(&w, "count", NULL, 0) == before);
    } else {
        ask_route(&w, text, size - 1);
    }
    FUZZ_REQUIRE(call(&w, "count", NULL, 0) >= 0);
    close_world(&w);
    free(text);
    return 0;
}
