/*
 * View rules: a query that they bear on against the same query without them.
 *
 *     bench_rules ROWS USERS     rows: ROWS tasks of teams that the viewer is in, seen by
 *                                `auth.id in data.ref('team.members.id')`; USERS notes, one of each
 *                                user, seen by `auth.id == data.owner`
 *
 * The data file is in memory. "asked one by one" has the rule asked about every row, as for rules
 * that are no conditions.
 */
#include "bench.h"
#include "generate.h"

#include "base/json.h"
#include "io/apps.h"
#include "server/engine.h"
#include "server/evaluation.h"

#include <stdlib.h>
#include <string.h>

enum { TEAMS = 50, MEMBERS = 20, STEPS = 2000 };

struct world {
    struct inst_env env;
    uint64_t random;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_app *app;
    struct inst_buf steps;
    uint32_t step_count;
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
    (void)ctx;
    (void)connection;
    (void)message;
}

static void on_close(void *ctx, void *connection) {
    (void)ctx;
    (void)connection;
    bench_die("the engine closed a connection");
}

static const char SCHEMA[] =
    "{\"entities\":{"
    "\"tasks\":{\"attrs\":{\"title\":{\"valueType\":\"string\"},"
    "\"done\":{\"valueType\":\"boolean\"},\"rank\":{\"valueType\":\"number\"}}},"
    "\"teams\":{\"attrs\":{\"name\":{\"valueType\":\"string\"}}},"
    "\"notes\":{\"attrs\":{\"text\":{\"valueType\":\"string\"},"
    "\"owner\":{\"valueType\":\"string\",\"config\":{\"indexed\":true,\"unique\":false}},"
    "\"plain\":{\"valueType\":\"string\"}}}},"
    "\"links\":{"
    "\"a\":{\"forward\":{\"on\":\"tasks\",\"has\":\"one\",\"label\":\"team\"},"
    "\"reverse\":{\"on\":\"teams\",\"has\":\"many\",\"label\":\"tasks\"}},"
    "\"b\":{\"forward\":{\"on\":\"teams\",\"has\":\"many\",\"label\":\"members\"},"
    "\"reverse\":{\"on\":\"$users\",\"has\":\"many\",\"label\":\"teams\"}}}}";

static void flush(struct world *w) {
    static const struct inst_viewer admin = {.is_admin = true};
    struct inst_tx_source source = {.viewer = &admin};
    struct inst_value steps;
    int64_t tx;
    bool is_repeated;
    if (w->step_count == 0)
        return;
    inst_buf_add_char(&w->steps, ']');
    must(w, inst_json_parse(&w->server->scratch, w->steps.data, w->steps.len, &steps, &w->err));
    must(w, inst_app_transact(w->app, &steps, &source, &tx, &is_repeated, &w->err));
    inst_app_commit(w->app);
    inst_arena_reset(&w->server->scratch);
    inst_buf_clear(&w->steps);
    w->step_count = 0;
}

/* value: JSON text. */
static void put(struct world *w, const char *e, const char *etype, const char *label,
                const char *value) {
    const struct inst_attr *attr =
        inst_attrs_forward(w->app->catalog->attrs, etype, strlen(etype), label, strlen(label));
    if (!attr)
        bench_die("there is no %s.%s", etype, label);
    inst_buf_add_str(&w->steps, w->step_count++ > 0 ? "," : "[");
    inst_buf_addf(&w->steps, "[\"add-triple\",\"%s\",\"%.*s\",%s]", e, (int)attr->id.len,
                  attr->id.u.str, value);
    if (w->step_count >= STEPS)
        flush(w);
}

static void put_id(struct world *w, const char *e, const char *etype, const char *label,
                   const char *id) {
    char value[GEN_UUID + 2];
    snprintf(value, sizeof value, "\"%s\"", id);
    put(w, e, etype, label, value);
}

static void user_id(uint32_t n, char out[GEN_UUID]) { gen_uuid(1, n, out); }

static void open_world(struct world *w, uint32_t rows, uint32_t users) {
    char token[INST_UUID_TEXT + 1], e[GEN_UUID], other[GEN_UUID], text[64];
    struct inst_app_info info;
    struct inst_arena arena;
    struct inst_value schema;
    *w = (struct world){.random = 7};
    inst_buf_init(&w->steps);
    inst_arena_init(&arena);
    w->env = (struct inst_env){.ctx = w, .now_ms = now_ms, .random = random_bytes};
    must(w, inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, &w->err));
    struct inst_server_host host = {
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    must(w, inst_server_new(&w->env, &host, &w->server, &w->err));
    must(w, inst_json_parse(&arena, SCHEMA, strlen(SCHEMA), &schema, &w->err));
    must(w, inst_server_create_app(w->server, "bench", &schema, 0, &info, token, &w->err));
    must(w, inst_app_get(w->server, info.id, &w->app, &w->err));
    inst_arena_free(&arena);
    for (uint32_t n = 0; n < users; n++) {
        user_id(n, e);
        put_id(w, e, "$users", "id", e);
        gen_uuid(2, n, other);
        put_id(w, other, "notes", "id", other);
        put(w, other, "notes", "text", "\"a text of some length\"");
        put_id(w, other, "notes", "owner", e);
        put_id(w, other, "notes", "plain", e);
    }
    for (uint32_t n = 0; n < TEAMS; n++) {
        gen_uuid(3, n, e);
        put_id(w, e, "teams", "id", e);
        for (uint32_t k = 0; k < MEMBERS; k++) { /* the viewer is user 0 */
            user_id(k == 0 ? 0 : (n * MEMBERS + k) % users, other);
            put_id(w, e, "teams", "members", other);
        }
    }
    for (uint32_t n = 0; n < rows; n++) {
        gen_uuid(4, n, e);
        gen_uuid(3, n % TEAMS, other);
        put_id(w, e, "tasks", "id", e);
        snprintf(text, sizeof text, "\"task %u\"", n);
        put(w, e, "tasks", "title", text);
        put(w, e, "tasks", "done", "false");
        snprintf(text, sizeof text, "%u", n);
        put(w, e, "tasks", "rank", text);
        put_id(w, e, "tasks", "team", other);
    }
    flush(w);
}

struct job {
    struct world *w;
    struct inst_query *query;
    struct inst_viewer viewer;
    struct inst_rules *rules;
    bool is_guarded, asks_each;
    size_t bytes;
};

static void evaluate(void *ctx) {
    struct job *job = ctx;
    struct world *w = job->w;
    struct inst_outcome out;
    struct inst_evaluation how = {.viewer = &job->viewer,
                                  .is_guarded = job->is_guarded,
                                  .rules = job->rules,
                                  .asks_each = job->asks_each};
    inst_outcome_init(&out);
    must(w, inst_evaluate(w->app, job->query, &w->app->db->store, &how, &w->server->scratch, &out,
                          &w->err));
    job->bytes = out.result.len;
    inst_outcome_free(&out);
    w->app->db->db_ops->trim(w->app->db);
    inst_arena_reset(&w->server->scratch);
}

static void parse(struct world *w, struct inst_arena *arena, const char *text,
                  struct inst_value *out) {
    must(w, inst_json_parse(arena, text, strlen(text), out, &w->err));
}

static const char own_rows[] = "{\"notes\":{\"allow\":{\"view\":\"auth.id == data.owner\"}}}";

/* with: the query that rules bear on; without: what is measured beside it, by an admin. */
static void compare(struct world *w, const char *name, const char *rules, const char *with,
                    const char *without, double bar) {
    struct inst_arena arena;
    struct inst_value code, q;
    struct job peer = {.w = w, .viewer.is_admin = true}, own = {.w = w, .is_guarded = true}, each;
    char id[GEN_UUID], title[100];
    double own_seconds, peer_seconds, each_seconds;
    inst_arena_init(&arena);
    user_id(0, id);
    memcpy(own.viewer.user, id, sizeof own.viewer.user);
    parse(w, &arena, rules, &code);
    must(w, inst_rules_new(&code, &own.rules, &w->err));
    parse(w, &arena, without, &q);
    must(w, inst_query_new(&q, INST_QUERY_SERVER, &peer.query, &w->err));
    parse(w, &arena, with, &q);
    must(w, inst_query_new(&q, INST_QUERY_SERVER, &own.query, &w->err));
    each = own;
    each.asks_each = true;
    bench_measure_pair(evaluate, &own, evaluate, &peer, &own_seconds, &peer_seconds);
    bench_measure_pair(evaluate, &each, evaluate, &peer, &each_seconds, &peer_seconds);
    bool has_limit = strstr(with, "limit") != NULL;
    bool sees_all = strcmp(with, without) != 0 || strcmp(rules, own_rows) != 0;
    if ((sees_all && own.bytes != peer.bytes) || (!has_limit && own.bytes != each.bytes))
        bench_die("%s: %zu bytes with the rule, %zu one by one, %zu without", name, own.bytes,
                  each.bytes, peer.bytes);
    bench_row(name, own_seconds, peer_seconds, "s", bar > 0 ? "growth" : "info", bar);
    snprintf(title, sizeof title, "    asked one by one");
    bench_row(title, each_seconds, peer_seconds, "s", "info", -1);
    inst_query_free(peer.query);
    inst_query_free(own.query);
    inst_rules_free(own.rules);
    inst_arena_free(&arena);
}

int main(int argc, char **argv) {
    static struct world w;
    static const char members[] =
        "{\"tasks\":{\"allow\":{\"view\":\"auth.id in data.ref('team.members.id')\"}}}";
    static const char half[] = "{\"tasks\":{\"allow\":{\"view\":\"auth.id in "
                               "data.ref('team.members.id') && size(data.title) > 2\"}}}";
    static const char plain[] = "{\"notes\":{\"allow\":{\"view\":\"auth.id == data.plain\"}}}";
    char own[200], own_page[200], id[GEN_UUID];
    unsigned long rows = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long users = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (rows < 10 || users < 30 || rows > 1000000 || users > 1000000)
        bench_die("usage: bench_rules ROWS USERS      (at least 10 and 30)");
    open_world(&w, (uint32_t)rows, (uint32_t)users);
    user_id(0, id);
    snprintf(own, sizeof own, "{\"notes\":{\"$\":{\"where\":{\"owner\":\"%s\"}}}}", id);
    snprintf(own_page, sizeof own_page,
             "{\"notes\":{\"$\":{\"where\":{\"owner\":\"%s\"},\"limit\":10}}}", id);
    compare(&w, "members of a row's team, all rows", members, "{\"tasks\":{}}", "{\"tasks\":{}}",
            3);
    compare(&w, "the same, first 20", members, "{\"tasks\":{\"$\":{\"limit\":20}}}",
            "{\"tasks\":{\"$\":{\"limit\":20}}}", 3);
    compare(&w, "the same and more of the row, all rows", half, "{\"tasks\":{}}", "{\"tasks\":{}}",
            -1);
    compare(&w, "rows of their owner", own_rows, "{\"notes\":{}}", "{\"notes\":{}}", 3);
    compare(&w, "the same, against asking for them", own_rows, "{\"notes\":{}}", own, -1);
    compare(&w, "the same, first 10", own_rows, "{\"notes\":{\"$\":{\"limit\":10}}}", own_page, -1);
    compare(&w, "rows of their owner, without an index", plain, "{\"notes\":{}}", own, -1);
    return 0; /* the operating system frees the world */
}
