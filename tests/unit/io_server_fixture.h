/*
 * io_server_fixture.h - a backend engine over data files in memory, with sessions whose messages
 * are kept, for tests.
 *
 * JSON is written with ' for ". In steps and queries `@todos.title` stands for the id of that attr
 * and `#7` for the 7th test entity's uuid (both inside quotes).
 */
#ifndef INST_TESTS_IO_SERVER_FIXTURE_H
#define INST_TESTS_IO_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "io/apps.h"
#include "server/engine.h"
#include "server/http.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
    struct message *next;
    struct inst_arena arena;
    struct inst_value value;
    char *text;
};

struct connection {
    struct inst_session *session;
    struct message *first, **end; /* received and not yet taken */
    struct message *taken;        /* the one looked at, kept until the next */
    size_t count;                 /* ever received */
    bool is_closed;
    bool is_deaf;           /* messages are counted, not kept */
    size_t backlog;         /* what it says it has not taken */
    const char *watches[2]; /* texts looked for in messages, also of a deaf one */
    bool saw[2];
};

struct world {
    struct inst_env env;
    int64_t now;
    uint64_t random;
    struct inst_apps *apps;
    struct inst_apps_ops apps_ops; /* passes through; may be made to fail */
    struct inst_server *server;
    struct inst_app_info app;
    char token[INST_UUID_TEXT + 1];
    struct connection *admin; /* a session with the admin token, for attr ids */
    const char *ip;           /* of who asks over HTTP; NULL: not known */
    struct inst_arena arena;
    struct inst_value attrs;
    int fail_commits;
    void (*settle)(struct world *w); /* answers what the engine asks of other servers */
};

static inline int64_t world_now(void *ctx) { return ((struct world *)ctx)->now; }

static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void world_random(void *ctx, uint8_t *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(next_random(&w->random) >> 24);
}

static inline void free_message(struct message *message) {
    if (message == NULL)
        return;
    inst_arena_free(&message->arena);
    free(message->text);
    free(message);
}

static inline void on_send(void *ctx, void *connection, struct inst_shared *shared) {
    (void)ctx;
    struct connection *c = connection;
    c->count++;
    for (int i = 0; i < 2; i++)
        c->saw[i] = c->saw[i] || (c->watches[i] != NULL && strstr(shared->data, c->watches[i]));
    if (c->is_deaf)
        return;
    struct message *message = calloc(1, sizeof *message);
    inst_arena_init(&message->arena);
    message->text = malloc(shared->len + 1);
    memcpy(message->text, shared->data, shared->len + 1);
    struct inst_err err = {0};
    if (inst_json_parse(&message->arena, shared->data, shared->len, &message->value, &err) !=
        INST_OK)
        fail_msg("not JSON: %s: %s", err.message, message->text);
    *c->end = message;
    c->end = &message->next;
}

static inline void on_close(void *ctx, void *connection) {
    (void)ctx;
    ((struct connection *)connection)->is_closed = true;
}

static inline size_t on_backlog(void *ctx, void *connection) {
    (void)ctx;
    return ((struct connection *)connection)->backlog;
}

static inline char *quoted(const char *text) {
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return copy;
}

static inline const char *uuid_text(unsigned n) {
    static char texts[8][INST_UUID_TEXT + 1];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    snprintf(text, INST_UUID_TEXT + 1, "aaaaaaaa-0000-4000-8000-%012x", n);
    return text;
}

/* The id text of an attr by "etype.label" (forward); NULL when there is none. */
static inline const char *attr_id(struct world *w, const char *name, size_t len) {
    static char text[INST_UUID_TEXT + 1];
    for (uint32_t i = 0; i < w->attrs.len; i++) {
        const struct inst_value *attr = &w->attrs.u.items[i];
        const struct inst_value *identity = inst_getz(attr, "forward-identity");
        const struct inst_value *etype = &identity->u.items[1], *label = &identity->u.items[2];
        if (etype->len + 1 + label->len == len && memcmp(name, etype->u.str, etype->len) == 0 &&
            name[etype->len] == '.' &&
            memcmp(name + etype->len + 1, label->u.str, label->len) == 0) {
            memcpy(text, inst_getz(attr, "id")->u.str, INST_UUID_TEXT);
            return text;
        }
    }
    return NULL;
}

/* ' to ", '@etype.label' and '#n' to ids. The caller frees it. */
static inline char *expanded(struct world *w, const char *text) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (const char *c = text; *c;) {
        bool is_start = c > text && (c[-1] == '\'' || c[-1] == '"');
        if (is_start && *c == '@') {
            size_t len = strcspn(c + 1, "'\"");
            const char *id = attr_id(w, c + 1, len);
            if (id == NULL)
                fail_msg("no attr %.*s", (int)len, c + 1);
            inst_buf_add_str(&buf, id);
            c += len + 1;
        } else if (is_start && *c == '#') {
            char *end;
            unsigned long n = strtoul(c + 1, &end, 10);
            inst_buf_add_str(&buf, uuid_text((unsigned)n));
            c = end;
        } else {
            inst_buf_add_char(&buf, *c == '\'' ? '"' : *c);
            c++;
        }
    }
    size_t len;
    return inst_buf_take(&buf, &len);
}

static inline void receive(struct connection *c, const char *text) {
    inst_session_receive(c->session, text, strlen(text));
}

/* For error texts: #n and @etype.label (up to a quote, blank or end) anywhere, ' as it is. */
static inline char *expanded_message(struct world *w, const char *text) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (const char *c = text; *c;) {
        char *end;
        if (*c == '#' && c[1] >= '0' && c[1] <= '9') {
            inst_buf_add_str(&buf, uuid_text((unsigned)strtoul(c + 1, &end, 10)));
            c = end;
        } else if (*c == '@') {
            size_t len = strcspn(c + 1, "'\" ");
            inst_buf_add_str(&buf, attr_id(w, c + 1, len));
            c += len + 1;
        } else {
            inst_buf_add_char(&buf, *c++);
        }
    }
    size_t len;
    return inst_buf_take(&buf, &len);
}

/* A message, expanded. */
static inline void say(struct world *w, struct connection *c, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char *text;
    if (vasprintf(&text, fmt, args) < 0)
        fail();
    va_end(args);
    char *sent = expanded(w, text);
    receive(c, sent);
    free(sent);
    free(text);
}

static inline void turn(struct world *w) {
    w->now += 10;
    inst_server_turn(w->server);
}

/* The next message of the connection, or UNDEFINED. Good until the next call. */
static inline struct inst_value *take(struct connection *c) {
    static struct inst_value none;
    free_message(c->taken);
    c->taken = c->first;
    if (c->taken == NULL)
        return &none;
    c->first = c->taken->next;
    if (c->first == NULL)
        c->end = &c->first;
    return &c->taken->value;
}

static inline void forget_messages(struct connection *c) {
    while (c->first != NULL)
        take(c);
}

/* The next message, which must have this op. */
static inline struct inst_value *expect(struct connection *c, const char *op) {
    struct inst_value *message = take(c);
    if (message->tag == INST_UNDEFINED)
        fail_msg("no message, wanted %s", op);
    if (!inst_is_string(inst_getz(message, "op"), op))
        fail_msg("wanted %s, got %s", op, c->taken->text);
    return message;
}

static inline void expect_nothing(struct connection *c) {
    struct inst_value *message = take(c);
    if (message->tag != INST_UNDEFINED)
        fail_msg("not expected: %s", c->taken->text);
}

static inline void expect_text(const struct inst_value *v, const char *text) {
    if (v == NULL || v->tag != INST_STRING)
        fail_msg("no string, wanted %s", text);
    if (!inst_is_string(v, text))
        fail_msg("wanted: %s\n   got: %.*s", text, (int)v->len, v->u.str);
}

static inline struct inst_value *expect_error(struct connection *c, const char *type,
                                              const char *message) {
    struct inst_value *error = expect(c, "error");
    expect_text(inst_getz(error, "message"), message);
    expect_text(inst_getz(error, "type"), type);
    assert_true(inst_getz(error, "status")->tag == INST_NUMBER);
    assert_true(inst_getz(error, "original-event")->tag == INST_OBJECT);
    assert_true(inst_getz(error, "trace-id")->tag == INST_STRING);
    return error;
}

static inline struct connection *connect_session(struct world *w) {
    struct connection *c = calloc(1, sizeof *c);
    c->end = &c->first;
    struct inst_err err = {0};
    assert_int_equal(inst_session_open(w->server, c, &c->session, &err), INST_OK);
    return c;
}

static inline void disconnect(struct connection *c) {
    inst_session_close(c->session);
    forget_messages(c);
    free_message(c->taken);
    free(c);
}

/* What the present official client says of itself. */
static const char fixture_versions[] = "{'\\u0040instantdb/core':'v1.0.67'}";

/* A session after init. */
static inline struct connection *enter(struct world *w, bool is_admin) {
    struct connection *c = connect_session(w);
    if (is_admin)
        say(w, c, "{'op':'init','app-id':'%s','__admin-token':'%s','versions':%s}", w->app.id,
            w->token, fixture_versions);
    else
        say(w, c, "{'op':'init','app-id':'%s','versions':%s}", w->app.id, fixture_versions);
    turn(w);
    expect(c, "init-ok");
    return c;
}

/* Learns the attrs as they are now. */
static inline void learn_attrs(struct world *w) {
    struct connection *c = connect_session(w);
    say(w, c, "{'op':'init','app-id':'%s'}", w->app.id);
    turn(w);
    inst_arena_reset(&w->arena);
    assert_true(inst_value_dup(&w->arena, inst_getz(expect(c, "init-ok"), "attrs"), &w->attrs));
    disconnect(c);
}

static inline void on_close_apps(struct world *w) {
    inst_server_free(w->server);
    inst_apps_close(w->apps);
}

static inline void world_start(struct world *w) {
    struct inst_err err = {0};
    struct inst_server_host host = {.ctx = w,
                                    .send = on_send,
                                    .close = on_close,
                                    .apps = &inst_apps_ops,
                                    .apps_ctx = w->apps,
                                    .backlog = on_backlog};
    if (inst_server_new(&w->env, &host, &w->server, &err) != INST_OK)
        fail_msg("%s", err.message);
}

/* schema: JSON with ', or NULL. */
static inline void world_open(struct world *w, const char *path, const char *schema) {
    struct inst_err err = {0};
    *w = (struct world){.now = 1700000000000, .random = 88172645463325252u};
    w->env = (struct inst_env){w, world_now, world_random, NULL};
    inst_arena_init(&w->arena);
    if (inst_apps_open_file(path, NULL, &w->env, &w->apps, &err) != INST_OK)
        fail_msg("%s", err.message);
    world_start(w);
    struct inst_value json = {0};
    struct inst_arena arena;
    inst_arena_init(&arena);
    if (schema != NULL) {
        char *text = quoted(schema);
        assert_int_equal(inst_json_parse(&arena, text, strlen(text), &json, &err), INST_OK);
        free(text);
    }
    if (inst_server_create_app(w->server, "Test", schema != NULL ? &json : NULL, 0, &w->app,
                               w->token, &err) != INST_OK)
        fail_msg("%s", err.message);
    inst_arena_free(&arena);
    learn_attrs(w);
}

static inline void world_close(struct world *w) {
    on_close_apps(w);
    inst_arena_free(&w->arena);
}

/* ---- transactions ---- */

/* Sends, ends the turn, wants transact-ok; gives its tx-id. Skips what comes in front. */
static inline double transact(struct world *w, struct connection *c, const char *steps) {
    say(w, c, "{'op':'transact','client-event-id':'t','tx-steps':%s}", steps);
    turn(w);
    struct inst_value *message = take(c);
    while (message->tag != INST_UNDEFINED && inst_is_string(inst_getz(message, "op"), "refresh-ok"))
        message = take(c);
    if (message->tag == INST_UNDEFINED)
        fail_msg("no answer to %s", steps);
    if (!inst_is_string(inst_getz(message, "op"), "transact-ok"))
        fail_msg("%s\nwas answered %s", steps, c->taken->text);
    expect_text(inst_getz(message, "client-event-id"), "t");
    return inst_getz(message, "tx-id")->u.num;
}

static inline struct inst_value *refused(struct world *w, struct connection *c, const char *steps,
                                         const char *type, const char *message) {
    say(w, c, "{'op':'transact','client-event-id':'t','tx-steps':%s}", steps);
    turn(w);
    char *wanted = expanded_message(w, message);
    struct inst_value *error = take(c);
    while (inst_is_string(inst_getz(error, "op"), "refresh-ok"))
        error = take(c);
    const struct inst_value *got = inst_getz(error, "message");
    if (!inst_is_string(inst_getz(error, "op"), "error"))
        fail_msg("%s\nwanted: %s\n   got: %s", steps, wanted, c->taken->text);
    if (!inst_is_string(got, wanted))
        fail_msg("%s\nwanted: %s\n   got: %.*s", steps, wanted, (int)got->len, got->u.str);
    free(wanted);
    expect_text(inst_getz(error, "type"), type);
    expect_text(inst_getz(error, "client-event-id"), "t");
    expect_text(inst_getz(inst_getz(error, "original-event"), "op"), "transact");
    return error;
}

/* ---- what is stored ---- */

struct dump {
    struct inst_app *app;
    char lines[64][2048];
    size_t count;
    bool with_times;
    int64_t start;
};

static inline void dump_entity(struct inst_buf *buf, struct inst_app *app, uint32_t e) {
    struct inst_value id = app->db->store.ops->entity_id(&app->db->store, e);
    unsigned n;
    char text[INST_UUID_TEXT + 1] = "";
    memcpy(text, id.u.str, id.len < INST_UUID_TEXT ? id.len : INST_UUID_TEXT);
    if (sscanf(text, "aaaaaaaa-0000-4000-8000-%12x", &n) == 1)
        inst_buf_addf(buf, "#%u", n);
    else
        inst_buf_add_str(buf, "?");
}

static inline bool dump_triple(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    struct dump *dump = ctx;
    const struct inst_attr *attr = inst_catalog_at_row(dump->app->catalog, attr_row);
    if (attr == NULL)
        return true;
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "%.*s.%.*s=", (int)attr->forward.etype.len, attr->forward.etype.u.str,
                  (int)attr->forward.label.len, attr->forward.label.u.str);
    if (attr->is_ref || inst_is_string(&attr->forward.label, "id"))
        dump_entity(&buf, dump->app, triple->ref);
    else
        inst_json_write(&buf, &triple->v);
    if (dump->with_times)
        inst_buf_addf(&buf, "@%d", (int)(triple->t - dump->start));
    for (char *c = buf.data; *c; c++)
        *c = *c == '"' ? '\'' : *c;
    snprintf(dump->lines[dump->count++], sizeof dump->lines[0], "%s", buf.data);
    inst_buf_free(&buf);
    return true;
}

static inline int compare_lines(const void *a, const void *b) { return strcmp(a, b); }

/* Every visible triple of entity n: `etype.label=value` sorted, joined by blanks; strings in '. */
static inline void expect_state(struct world *w, unsigned n, const char *wanted) {
    static struct dump dump;
    struct inst_err err = {0};
    dump = (struct dump){0};
    assert_int_equal(inst_app_get(w->server, w->app.id, &dump.app, &err), INST_OK);
    struct inst_store *store = &dump.app->db->store;
    uint32_t e = store->ops->entity(store, uuid_text(n), INST_UUID_TEXT);
    if (e != 0)
        assert_int_equal(dump.app->db->db_ops->each_of(dump.app->db, e, dump_triple, &dump, &err),
                         INST_OK);
    qsort(dump.lines, dump.count, sizeof dump.lines[0], compare_lines);
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "");
    for (size_t i = 0; i < dump.count; i++)
        inst_buf_addf(&buf, "%s%s", i > 0 ? " " : "", dump.lines[i]);
    const char *got = buf.data != NULL ? buf.data : "";
    if (strcmp(got, wanted) != 0)
        fail_msg("entity %u\nwanted: %s\n   got: %s", n, wanted, got);
    inst_buf_free(&buf);
}

#endif
