/*
 * Bytes play requests to the admin API. Whatever they ask: there is an answer, it is JSON, it is no
 * failure of the backend; a tried transaction leaves nothing; streams that are closed leave
 * nothing.
 */
#include "base/json.h"
#include "fuzz.h"
#include "io/apps.h"
#include "server/http.h"

#include <string.h>

#define REQUESTS 12

struct play {
    const uint8_t *at, *end;
    uint64_t seed;
    int64_t now;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_app_info app;
    char token[INST_UUID_TEXT + 1];
    size_t events;
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

static void require_json(const char *bytes, size_t len) {
    struct inst_arena arena;
    struct inst_value v;
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, bytes, len, &v, NULL) == INST_OK);
    FUZZ_REQUIRE(v.tag == INST_OBJECT);
    inst_arena_free(&arena);
}

static void on_send(void *ctx, void *connection, struct inst_shared *message) {
    (void)connection;
    ((struct play *)ctx)->events++;
    require_json(message->data, message->len);
}

static void on_close(void *ctx, void *connection) { (void)ctx, (void)connection; }

/* ---- bodies ---- */

#define E1 "\"11111111-1111-4111-8111-111111111111\""
#define E2 "\"22222222-2222-4222-8222-222222222222\""

static const char *const entities[] = {
    E1,
    E2,
    "[\"slug\",\"a\"]",
    "{\"slug\":\"b\"}",
    "\"lookup__slug__\\\"a__b\\\"\"",
    "[\"owner.id\"," E1 "]",
    "\"lookup__slug__\"",
    "{}",
    "[]",
    "null",
    "7",
    "\"x\"",
    "[\"title\",null]",
    "{\"a\":1,\"b\":2}",
    "[\"a.b\",1]",
    "[1,2]",
};
static const char *const etypes[] = {"\"todos\"",  "\"users\"", "\"$users\"",
                                     "\"$files\"", "\"\"",      "7"};
static const char *const actions[] = {"update", "create", "merge",    "link",        "unlink",
                                      "delete", "x",      "add-attr", "delete-attr", "ruleParams"};
static const char *const args[] = {
    "{\"title\":\"a\"}",
    "{\"slug\":\"a\"}",
    "{\"slug\":\"b\",\"id\":1}",
    "{\"title\":{\"a\":1}}",
    "{\"title\":null,\"more\":[]}",
    "{}",
    "{\"email\":\"a@b.c\"}",
    "{\"path\":\"x\"}",
    "[]",
    "null",
};
static const char *const options[] = {
    "", "", ",{\"upsert\":true}", ",{\"upsert\":false}", ",{}", ",7", ",null"};
static const char *const attrs[] = {
    "{\"id\":" E1 ",\"forward-identity\":[" E2
    ",\"todos\",\"made\"],\"value-type\":\"blob\",\"cardinality\":\"one\",\"unique?\":false,"
    "\"index?\":false}",
    E1, "{}", "[]"};
static const char *const queries[] = {
    "{\"todos\":{}}",
    "{\"todos\":{\"owner\":{},\"users\":{}}}",
    "{\"$users\":{\"todos\":{}}}",
    "{\"todos\":{\"$\":{\"where\":{\"owner.id\":" E1 "},\"limit\":1}}}",
    "{\"todos\":{\"$\":{\"aggregate\":\"count\"}}}",
    "{\"$$ruleParams\":{},\"x\":{}}",
    "{\"todos\":[]}",
    "[]",
    "null",
    "{\"$files\":{},\"$userRefreshTokens\":{\"$user\":{}}}",
};
static const char *const more[] = {
    "",
    "",
    ",\"inference?\":true",
    ",\"throw-on-missing-attrs?\":true",
    ",\"dangerously-commit-tx\":true",
    ",\"rules-override\":{\"a\":1}",
    ",\"ip-override\":\" \"",
    ",\"versions\":{}",
};

static void add_step(struct play *p, struct inst_buf *buf) {
    const char *action = PICK(p, actions);
    if (strstr(action, "attr") != NULL) {
        inst_buf_addf(buf, "[\"%s\",%s]", action, PICK(p, attrs));
        return;
    }
    inst_buf_addf(buf, "[\"%s\",%s,", action, PICK(p, etypes));
    inst_buf_addf(buf, "%s,", PICK(p, entities));
    if (strstr(action, "link") != NULL)
        inst_buf_addf(buf, "{\"%s\":%s}", pick(p, 2) ? "owner" : "todos", PICK(p, entities));
    else
        inst_buf_add_str(buf, PICK(p, args));
    inst_buf_addf(buf, "%s]", PICK(p, options));
}

static void write_body(struct play *p, struct inst_buf *buf) {
    if (pick(p, 16) == 15) { /* as it comes */
        size_t len = pick(p, 64);
        while (len-- > 0 && p->at < p->end)
            inst_buf_add_char(buf, (char)*p->at++);
        return;
    }
    inst_buf_addf(buf, "{\"query\":%s,\"steps\":[", PICK(p, queries));
    unsigned count = pick(p, 5);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        add_step(p, buf);
    }
    inst_buf_addf(buf, "]%s%s}", PICK(p, more), PICK(p, more));
}

/* ---- requests ---- */

static size_t count_rows(struct play *p) {
    static const char body[] = "{\"query\":{\"todos\":{},\"users\":{},\"$users\":{}}}";
    struct inst_http_field fields[] = {{"app-id", p->app.id}, {"authorization", p->token}};
    struct inst_http_request request = {.method = "POST",
                                        .path = "/admin/query",
                                        .query = "",
                                        .body = body,
                                        .body_len = sizeof body - 1,
                                        .fields = fields,
                                        .field_count = 2};
    struct inst_http_response response;
    inst_server_http(p->server, &request, &response);
    FUZZ_REQUIRE(response.status == 200);
    size_t len = response.body.len;
    inst_http_response_clear(&response);
    return len;
}

static void ask(struct play *p) {
    static const char *const paths[] = {"/admin/transact",        "/admin/transact_perms_check",
                                        "/admin/query",           "/admin/query_perms_check",
                                        "/admin/subscribe-query", "/admin/sse",
                                        "/admin/sse/push",        "/admin/schema",
                                        "/admin/changes"};
    struct inst_http_field fields[4] = {{"app-id", p->app.id}};
    size_t count = 1;
    if (pick(p, 4) < 3)
        fields[count++] = (struct inst_http_field){"authorization", p->token};
    switch (pick(p, 5)) {
    case 1:
        fields[count++] = (struct inst_http_field){"as-guest", "true"};
        break;
    case 2:
        fields[count++] = (struct inst_http_field){"as-email", "a@b.c"};
        break;
    case 3:
        fields[count++] = (struct inst_http_field){"as-token", E1};
        break;
    default:
        break;
    }
    struct inst_buf body;
    inst_buf_init(&body);
    const char *path = PICK(p, paths);
    write_body(p, &body);
    bool is_dry = strstr(path, "perms_check") != NULL && body.data != NULL &&
                  strstr(body.data, "dangerously") == NULL;
    size_t before = is_dry ? count_rows(p) : 0;
    struct inst_http_request request = {.method = strstr(path, "schema") ? "GET" : "POST",
                                        .path = path,
                                        .query = "",
                                        .body = body.data != NULL ? body.data : "",
                                        .body_len = body.len,
                                        .fields = fields,
                                        .field_count = count,
                                        .connection = p};
    struct inst_http_response response;
    inst_server_http(p->server, &request, &response);
    FUZZ_REQUIRE(response.status == 200 || response.status == 400);
    if (response.stream != NULL)
        inst_session_close(response.stream);
    else
        require_json(response.body.data, response.body.len);
    inst_http_response_clear(&response);
    if (is_dry)
        FUZZ_REQUIRE(count_rows(p) == before);
    inst_buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.at = data, .end = data + size, .seed = size + 1, .now = 1700000000000};
    struct inst_env env = {&p, now_ms, random_bytes, NULL};
    struct inst_err err = {0};
    struct inst_server_stats stats;
    if (inst_apps_open_file(":memory:", NULL, &env, &p.apps, &err) != INST_OK)
        abort();
    struct inst_server_host host = {
        .ctx = &p, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = p.apps};
    if (inst_server_new(&env, &host, &p.server, &err) != INST_OK ||
        inst_server_create_app(p.server, "t", NULL, 0, &p.app, p.token, &err) != INST_OK)
        abort();
    for (int i = 0; i < REQUESTS && p.at < p.end; i++) {
        ask(&p);
        if (pick(&p, 2))
            inst_server_turn(p.server);
    }
    inst_server_stats(p.server, &stats);
    FUZZ_REQUIRE(stats.sessions == 0 && stats.computations == 0 && stats.subscriptions == 0);
    inst_server_free(p.server);
    inst_apps_close(p.apps);
    return 0;
}
