/*
 * Any bytes as the tx-steps of some transactions of a backend on SQLite in memory: as JSON, one
 * document a line; what is no JSON chooses parts of steps, four bytes each. Every transaction is
 * answered; a refused one leaves no trace, in the rows as little as in the attrs; after one that
 * was applied each row is found by its value, and there is one of what there may be one of.
 */
#include "base/json.h"
#include "fuzz.h"
#include "io/apps.h"
#include "server/engine.h"

#include <string.h>

enum { TRANSACTIONS = 20, ROWS = 500 };

static const char schema_json[] =
    "{'entities':{"
    "'p':{'attrs':{'s':{'valueType':'string','required':false,'config':{'indexed':true,'unique':"
    "false}},"
    "'u':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}},"
    "'d':{'valueType':'date','required':false,'config':{'indexed':true,'unique':false}},"
    "'n':{'valueType':'number','required':false,'config':{'indexed':false,'unique':false}},"
    "'j':{'valueType':'json','required':false}}},"
    "'q':{'attrs':{'w':{'valueType':'string','required':false,"
    "'config':{'indexed':false,'unique':true}}}}},"
    "'links':{"
    "'a':{'forward':{'on':'p','label':'boss','has':'one','onDelete':'cascade'},"
    "'reverse':{'on':'p','label':'staff','has':'many'}},"
    "'b':{'forward':{'on':'p','label':'tags','has':'many'},"
    "'reverse':{'on':'q','label':'ps','has':'many'}},"
    "'c':{'forward':{'on':'p','label':'own','has':'one'},"
    "'reverse':{'on':'q','label':'owner','has':'one','onDelete':'cascade'}}}}";

static const char rules_json[] =
    "{'q':{'allow':{'$default':'data.w != null'}},'attrs':{'allow':{'$default':'false'}}}";

struct world {
    struct inst_env env;
    uint64_t seed;
    int64_t now;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_app *app;
    struct inst_session *sessions[2];
    unsigned answers, refusals;
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
    struct world *w = ctx;
    struct inst_arena arena;
    struct inst_value v;
    (void)connection;
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, message->data, message->len, &v, NULL) == INST_OK);
    const struct inst_value *op = inst_getz(&v, "op");
    bool is_error = inst_is_string(op, "error");
    w->answers += is_error || inst_is_string(op, "transact-ok");
    w->refusals += is_error;
    inst_arena_free(&arena);
}

static void on_close(void *ctx, void *connection) {
    (void)ctx;
    (void)connection;
    FUZZ_REQUIRE(!"a connection was closed");
}

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    char *copy = inst_arena_dup(arena, text, strlen(text));
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    FUZZ_REQUIRE(inst_json_parse(arena, copy, strlen(copy), &v, NULL) == INST_OK);
    return v;
}

static void say(struct world *w, int who, const char *text, size_t len) {
    inst_session_receive(w->sessions[who], text, len);
    inst_server_turn(w->server);
}

/* Session 0 is an admin's, 1 nobody's. */
static void open_world(struct world *w) {
    char token[INST_UUID_TEXT + 1], text[200];
    struct inst_app_info info;
    struct inst_arena arena;
    *w = (struct world){.seed = 1, .now = 1700000000000};
    w->env = (struct inst_env){w, now_ms, random_bytes, NULL};
    inst_arena_init(&arena);
    struct inst_value schema = parse(&arena, schema_json), rules = parse(&arena, rules_json);
    FUZZ_REQUIRE(inst_apps_open_file(":memory:", NULL, &w->env, &w->apps, NULL) == INST_OK);
    struct inst_server_host host = {
        .ctx = w, .send = on_send, .close = on_close, .apps = &inst_apps_ops, .apps_ctx = w->apps};
    FUZZ_REQUIRE(inst_server_new(&w->env, &host, &w->server, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_server_create_app(w->server, "Fuzz", &schema, 0, &info, token, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_app_get(w->server, info.id, &w->app, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_app_set_rules(w->app, &rules, NULL) == INST_OK);
    for (int i = 0; i < 2; i++) {
        FUZZ_REQUIRE(inst_session_open(w->server, NULL, &w->sessions[i], NULL) == INST_OK);
        int len = snprintf(text, sizeof text, "{\"op\":\"init\",\"app-id\":\"%s\"%s%s%s}", info.id,
                           i == 0 ? ",\"__admin-token\":\"" : "", i == 0 ? token : "",
                           i == 0 ? "\"" : "");
        say(w, i, text, (size_t)len);
    }
    inst_arena_free(&arena);
}

static void close_world(struct world *w) {
    for (int i = 0; i < 2; i++)
        inst_session_close(w->sessions[i]);
    inst_server_free(w->server);
    inst_apps_close(w->apps);
}

/* ---- what there is ---- */

static bool is_scalar(const struct inst_value *v) {
    return v->tag >= INST_NULL && v->tag <= INST_STRING;
}

/* The number of an attr's triples of this value, and of those the entity's own. */
static void count_value(struct inst_store *store, const struct inst_attr *attr,
                        const struct inst_triple *of, unsigned *all, unsigned *own) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_triple t;
    if (attr->is_ref)
        scan.ref = of->ref;
    else
        scan.has_v = true, scan.v = of->v;
    *all = *own = 0;
    FUZZ_REQUIRE(store->ops->scan(store, &scan, &cursor, NULL) == INST_OK);
    int got;
    while ((got = store->ops->next(&cursor, &t, NULL)) == 1) {
        ++*all;
        *own += t.e == of->e;
    }
    FUZZ_REQUIRE(got == 0);
    store->ops->close(&cursor);
}

static void check_triple(struct inst_store *store, const struct inst_attr *attr,
                         struct inst_triple *t) {
    unsigned all, own;
    if (!attr->is_ref && (!is_scalar(&t->v) || inst_is_string(&attr->forward.label, "id")))
        return;
    count_value(store, attr, t, &all, &own);
    FUZZ_REQUIRE(own == 1);
    FUZZ_REQUIRE(all == 1 || !attr->is_unique || attr->is_setting_unique || t->v.tag == INST_NULL);
}

/* All triples, in the store's order; checks: see above. */
static void dump(struct world *w, bool checks, struct inst_buf *out) {
    struct inst_store *store = &w->app->db->store;
    const struct inst_attrs *attrs = w->app->catalog->attrs;
    const char *json;
    size_t len;
    inst_buf_init(out);
    FUZZ_REQUIRE(inst_catalog_json(w->app->catalog, &json, &len, NULL) == INST_OK);
    inst_buf_add(out, json, len);
    for (size_t i = 0; i < inst_attrs_count(attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        struct inst_scan scan = {.attr = attr};
        struct inst_cursor cursor;
        struct inst_triple t;
        uint32_t last = 0;
        int got;
        FUZZ_REQUIRE(store->ops->scan(store, &scan, &cursor, NULL) == INST_OK);
        for (int n = 0; (got = store->ops->next(&cursor, &t, NULL)) == 1 && n < ROWS; n++) {
            inst_buf_addf(out, "\n%zu %u %u ", i, t.e, t.ref);
            inst_json_write(out, &t.v);
            inst_buf_addf(out, " %lld", (long long)t.t);
            FUZZ_REQUIRE(attr->is_many || t.e != last);
            last = t.e;
            if (checks)
                check_triple(store, attr, &t);
        }
        FUZZ_REQUIRE(got >= 0);
        store->ops->close(&cursor);
    }
    w->app->db->db_ops->trim(w->app->db);
}

/* ---- transactions ---- */

static void transact(struct world *w, int who, const char *steps, size_t len) {
    struct inst_buf before, after, message;
    dump(w, false, &before);
    unsigned answers = w->answers, refusals = w->refusals;
    inst_buf_init(&message);
    inst_buf_add_str(&message, "{\"op\":\"transact\",\"client-event-id\":1,\"tx-steps\":");
    inst_buf_add(&message, steps, len);
    inst_buf_add_char(&message, '}');
    say(w, who, message.data, message.len);
    FUZZ_REQUIRE(w->answers == answers + 1);
    dump(w, w->refusals == refusals, &after);
    if (w->refusals > refusals)
        FUZZ_REQUIRE(before.len == after.len && memcmp(before.data, after.data, after.len) == 0);
    for (int i = 0; i < 1000 && inst_server_is_pending(w->server); i++)
        inst_server_turn(w->server);
    inst_buf_free(&message);
    inst_buf_free(&before);
    inst_buf_free(&after);
}

/* Seldom one of the system's. */
static const struct inst_attr *pick_attr(const struct inst_attrs *attrs, uint8_t code) {
    size_t count = inst_attrs_count(attrs);
    for (size_t i = code; code < 240; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i % count);
        if (attr->forward.etype.u.str[0] != '$')
            return attr;
    }
    return inst_attrs_at(attrs, code % count);
}

/* One byte each: an action, an entity, an attr, a value. */
static void add_step(struct world *w, const uint8_t *code, struct inst_buf *out) {
    static const char *const actions[] = {"add-triple",        "add-triple",     "add-triple",
                                          "deep-merge-triple", "retract-triple", "delete-entity",
                                          "update-attr",       "delete-attr",    "restore-attr"};
    static const char *const values[] = {"\"a\"",          "\"x\"", "1",   "null",
                                         "\"2025-01-02\"", "true",  "[1]", "{\"k\":{\"m\":null}}"};
    static const char *const changes[] = {
        "\"index?\":true",           "\"index?\":false",
        "\"unique?\":true",          "\"unique?\":false",
        "\"required?\":true",        "\"required?\":false",
        "\"cardinality\":\"one\"",   "\"cardinality\":\"many\"",
        "\"on-delete\":\"cascade\"", "\"checked-data-type\":\"number\""};
    static const char *const modes[] = {"", ",{\"mode\":\"create\"}", ",{\"mode\":\"update\"}", ""};
#define OF(list, byte) list[(byte) % (sizeof(list) / sizeof *(list))]
    const struct inst_attrs *attrs = w->app->catalog->attrs;
    const char *action = OF(actions, code[0]);
    const struct inst_attr *attr = pick_attr(attrs, code[2]);
    char e[60], other[60];
    snprintf(e, sizeof e, "\"aaaaaaaa-0000-4000-8000-00000000000%d\"", code[1] % 6);
    snprintf(other, sizeof other, "\"aaaaaaaa-0000-4000-8000-00000000000%d\"", code[3] % 6);
    bool is_entity = attr->is_ref || inst_is_string(&attr->forward.label, "id");
    if (strcmp(action, "delete-entity") == 0)
        inst_buf_addf(out, "[\"%s\",%s%s]", action, e, code[2] % 3 ? ",\"p\"" : "");
    else if (strcmp(action, "update-attr") == 0)
        inst_buf_addf(out, "[\"%s\",{\"id\":\"%.*s\",%s}]", action, (int)attr->id.len,
                      attr->id.u.str, OF(changes, code[3]));
    else if (strstr(action, "-attr"))
        inst_buf_addf(out, "[\"%s\",\"%.*s\"]", action, (int)attr->id.len, attr->id.u.str);
    else
        inst_buf_addf(out, "[\"%s\",%s,\"%.*s\",%s%s]", action, e, (int)attr->id.len,
                      attr->id.u.str,
                      !is_entity                     ? OF(values, code[3])
                      : !attr->is_ref && code[3] % 4 ? e
                                                     : other,
                      OF(modes, code[3] >> 6));
}

static void transact_codes(struct world *w, const uint8_t *data, size_t size) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (size_t i = 0; i + 4 <= size && i < 400; i += 4) {
        if (i > 0)
            inst_buf_add_char(&steps, ',');
        add_step(w, data + i, &steps);
    }
    inst_buf_add_char(&steps, ']');
    transact(w, 0, steps.data, steps.len);
    inst_buf_free(&steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w;
    open_world(&w);
    for (int n = 0; n < TRANSACTIONS && size > 0; n++) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end != NULL ? (size_t)(end - data) : size;
        struct inst_arena arena;
        struct inst_value v;
        inst_arena_init(&arena);
        if (inst_json_parse(&arena, (const char *)data, len, &v, NULL) == INST_OK)
            transact(&w, n % 2, (const char *)data, len);
        else
            transact_codes(&w, data, len);
        inst_arena_free(&arena);
        size -= end != NULL ? len + 1 : len;
        data += end != NULL ? len + 1 : len;
    }
    close_world(&w);
    return 0;
}
