/*
 * client_fixture.h - a reactor, a clock that stands still, and a server played by hand.
 *
 * Messages are written with ' for ". ids are short names: `$t1` stands for a uuid made from the
 * name, the same everywhere, so that a test reads like what it says.
 */
#ifndef INST_TESTS_CLIENT_FIXTURE_H
#define INST_TESTS_CLIENT_FIXTURE_H

#include "base/json.h"
#include "base/uuid.h"
#include "client/reactor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define APP_ID "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"

struct fixture {
    struct inst_reactor *r;
    int64_t now;
    uint64_t seed;
    struct inst_arena arena; /* what was parsed; freed at the end */
    char log[1 << 16];
};

/* ---- the environment ---- */

static int64_t fixture_now(void *ctx) { return ((struct fixture *)ctx)->now; }

static void fixture_random(void *ctx, uint8_t *out, size_t len) {
    struct fixture *f = ctx;
    for (size_t i = 0; i < len; i++) {
        f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(f->seed >> 56);
    }
}

static void fixture_log(void *ctx, enum inst_log_level level, const char *line) {
    struct fixture *f = ctx;
    size_t used = strlen(f->log);
    if (level <= INST_LOG_INFO && used + strlen(line) + 2 < sizeof(f->log)) {
        snprintf(f->log + used, sizeof(f->log) - used, "%s\n", line);
    }
}

static inline struct inst_reactor_config fixture_config(struct fixture *f) {
    return (struct inst_reactor_config){
        .app_id = APP_ID,
        .env = {f, fixture_now, fixture_random, fixture_log},
    };
}

/* ---- text ---- */

/* `'` becomes `"`, `$name` the name's uuid. The caller frees it. */
static inline char *text_of(const char *short_text) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (const char *p = short_text; *p;) {
        if (*p == '\'') {
            inst_buf_add_char(&buf, '"');
            p++;
        } else if (*p == '$' && p[1] >= 'a' && p[1] <= 'z' && p > short_text && p[-1] == '\'') {
            char name[12] = {0};
            size_t n = 0;
            for (p++; n < 11 && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')); p++) {
                name[n++] = *p;
            }
            uint64_t h = 1469598103934665603u;
            for (size_t i = 0; i < n; i++) {
                h = (h ^ (uint8_t)name[i]) * 1099511628211u;
            }
            inst_buf_addf(&buf, "%08x-0000-4000-8000-%012llx", (unsigned)(h >> 32),
                          (unsigned long long)(h & 0xffffffffffffu));
        } else {
            inst_buf_add_char(&buf, *p++);
        }
    }
    char *text = inst_buf_take(&buf, NULL);
    assert_non_null(text);
    return text;
}

static inline struct inst_value value_of(struct fixture *f, const char *short_text) {
    char *text = text_of(short_text);
    struct inst_value v;
    struct inst_err err = {0};
    if (inst_json_parse(&f->arena, text, strlen(text), &v, &err) != INST_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    free(text);
    return v;
}

static inline char *json_of(struct fixture *f, const struct inst_value *v) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    char *text = inst_arena_dup(&f->arena, buf.data ? buf.data : "", buf.len);
    inst_buf_free(&buf);
    return text;
}

/* actual, as JSON, is what the short text says. */
static inline void check_json(struct fixture *f, const struct inst_value *actual,
                              const char *short_text) {
    assert_non_null(actual);
    char *expected = text_of(short_text);
    assert_string_equal(json_of(f, actual), expected);
    free(expected);
}

/* ---- the server's side ---- */

/* The next output is a message; it is given back as a value. */
static inline struct inst_value sent(struct fixture *f) {
    struct inst_output out;
    assert_true(inst_reactor_next_output(f->r, &out));
    assert_int_equal(out.kind, INST_OUTPUT_SEND);
    struct inst_value v;
    assert_int_equal(inst_json_parse(&f->arena, out.bytes, out.len, &v, NULL), INST_OK);
    assert_int_equal(v.tag, INST_OBJECT);
    return v;
}

/* ... with this op. */
static inline struct inst_value sent_op(struct fixture *f, const char *op) {
    struct inst_value v = sent(f);
    const struct inst_value *actual = inst_get_string(&v, "op");
    assert_non_null(actual);
    if (!inst_is_string(actual, op)) {
        fail_msg("expected %s, sent %s", op, json_of(f, &v));
    }
    return v;
}

static inline void expect_output(struct fixture *f, enum inst_output_kind kind) {
    struct inst_output out;
    assert_true(inst_reactor_next_output(f->r, &out));
    assert_int_equal(out.kind, kind);
}

static inline void expect_silence(struct fixture *f) {
    struct inst_output out;
    if (inst_reactor_next_output(f->r, &out)) {
        fail_msg("unexpected output %d: %.*s", out.kind, (int)out.len, out.bytes ? out.bytes : "");
    }
}

static inline void receive(struct fixture *f, const char *short_text) {
    char *text = text_of(short_text);
    inst_reactor_message(f->r, text, strlen(text));
    free(text);
}

/* printf over the short text; the result is at most 64 KiB. */
__attribute__((format(printf, 2, 3))) static inline void receivef(struct fixture *f,
                                                                  const char *fmt, ...) {
    static char text[1 << 16];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert_true(n > 0 && n < (int)sizeof(text));
    receive(f, text);
}

/* todos: id, title, done, owner -> people; people: id, name. */
#define ATTRS                                                                                      \
    "["                                                                                            \
    "{'id':'$tid','forward-identity':['$ftid','todos','id'],'value-type':'blob',"                  \
    "'cardinality':'one','unique?':true,'index?':false},"                                          \
    "{'id':'$ttitle','forward-identity':['$fttitle','todos','title'],'value-type':'blob',"         \
    "'cardinality':'one','unique?':false,'index?':false},"                                         \
    "{'id':'$tdone','forward-identity':['$ftdone','todos','done'],'value-type':'blob',"            \
    "'cardinality':'one','unique?':false,'index?':false},"                                         \
    "{'id':'$towner','forward-identity':['$ftowner','todos','owner'],"                             \
    "'reverse-identity':['$rtowner','people','todos'],'value-type':'ref',"                         \
    "'cardinality':'one','unique?':false,'index?':false},"                                         \
    "{'id':'$pid','forward-identity':['$fpid','people','id'],'value-type':'blob',"                 \
    "'cardinality':'one','unique?':true,'index?':false},"                                          \
    "{'id':'$pname','forward-identity':['$fpname','people','name'],'value-type':'blob',"           \
    "'cardinality':'one','unique?':true,'index?':true}"                                            \
    "]"

/* A todo as triples; t is its created-at. */
#define TODO(id, title, t)                                                                         \
    "['$" id "','$tid','$" id "'," t "],['$" id "','$ttitle','" title "'," t "]"

#define RESULT(triples)                                                                            \
    "[{'data':{'datalog-result':{'join-rows':[[" triples "]]}},'child-nodes':[]}]"

#define QUERY_OK(q, triples, tx)                                                                   \
    "{'op':'add-query-ok','q':" q ",'result':" RESULT(triples) ",'processed-tx-id':" tx "}"

#define REFRESH(q, triples, tx)                                                                    \
    "{'op':'refresh-ok','processed-tx-id':" tx ",'computations':[{'instaql-query':" q              \
    ",'instaql-result':" RESULT(triples) "}]}"

#define INIT_OK                                                                                    \
    "{'op':'init-ok','session-id':'$session','attrs':" ATTRS ",'app-status':{'status':'active'}}"

/* CONNECT is drained and the transport opens; the init message is given back. */
static inline struct inst_value open_transport(struct fixture *f) {
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    return sent_op(f, "init");
}

static inline void authenticate(struct fixture *f) {
    open_transport(f);
    receive(f, INIT_OK);
}

/* Lost and connected again: the first attempt comes at once. */
static inline void reconnect(struct fixture *f) {
    inst_reactor_closed(f->r);
    authenticate(f);
}

static inline struct fixture *fixture_new(const struct inst_reactor_config *config) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->now = 1700000000000;
    f->seed = 42;
    inst_arena_init(&f->arena);
    struct inst_reactor_config own = config ? *config : fixture_config(f);
    own.env = (struct inst_env){f, fixture_now, fixture_random, fixture_log};
    struct inst_err err = {0};
    if (inst_reactor_new(&own, &f->r, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    return f;
}

static inline void fixture_free(struct fixture *f) {
    inst_reactor_free(f->r);
    inst_arena_free(&f->arena);
    free(f);
}

/* The clock moves on and the reactor looks at it. */
static inline void pass(struct fixture *f, int64_t ms) {
    f->now += ms;
    inst_reactor_tick(f->r);
}

/* ---- the app's side ---- */

/* What a callback was given, last and in all. */
struct seen {
    struct fixture *f;
    int data_count;
    int error_count;
    char *data;      /* JSON of the last data */
    char *page_info; /* NULL when none */
    char *aggregate;
    char error[512]; /* message of the last error */
    char type[64];
    int status;
    char hint[512];
    char trace[128];
    char tx_status[16];
    char event_id[64];
    uint64_t sub;
};

static inline void see_error(struct seen *s, const struct inst_reactor_error *error) {
    s->error_count++;
    snprintf(s->error, sizeof(s->error), "%s", error->err->message);
    snprintf(s->type, sizeof(s->type), "%s", error->err->type);
    snprintf(s->hint, sizeof(s->hint), "%s", error->err->hint ? error->err->hint : "");
    snprintf(s->trace, sizeof(s->trace), "%s", error->trace_id ? error->trace_id : "");
    s->status = error->err->status;
}

static inline void on_query(void *ctx, const struct inst_query_result *result,
                            const struct inst_reactor_error *error) {
    struct seen *s = ctx;
    assert_true((result == NULL) != (error == NULL));
    if (error) {
        see_error(s, error);
        return;
    }
    s->data_count++;
    s->data = json_of(s->f, result->data);
    s->page_info = result->page_info ? json_of(s->f, result->page_info) : NULL;
    s->aggregate = result->aggregate ? json_of(s->f, result->aggregate) : NULL;
}

static inline void on_tx(void *ctx, const struct inst_transact_result *result,
                         const struct inst_reactor_error *error) {
    struct seen *s = ctx;
    assert_true((result == NULL) != (error == NULL));
    assert_int_equal(s->data_count + s->error_count, 0); /* exactly once */
    if (error) {
        see_error(s, error);
        return;
    }
    s->data_count++;
    snprintf(s->tx_status, sizeof(s->tx_status), "%s", result->status);
    snprintf(s->event_id, sizeof(s->event_id), "%s", result->event_id);
}

static inline void on_mutation_error(void *ctx, const char *event_id,
                                     const struct inst_reactor_error *error) {
    struct seen *s = ctx;
    see_error(s, error);
    snprintf(s->event_id, sizeof(s->event_id), "%s", event_id);
}

static inline struct seen *subscribe(struct fixture *f, const char *q) {
    struct seen *s = inst_arena_zalloc(&f->arena, sizeof(*s));
    s->f = f;
    struct inst_value v = value_of(f, q);
    struct inst_err err = {0};
    if (inst_reactor_subscribe_query(f->r, &v, NULL, on_query, s, &s->sub, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(s->sub != 0);
    return s;
}

static inline struct seen *ask_once(struct fixture *f, const char *q) {
    struct seen *s = inst_arena_zalloc(&f->arena, sizeof(*s));
    s->f = f;
    struct inst_value v = value_of(f, q);
    assert_int_equal(inst_reactor_query_once(f->r, &v, NULL, on_query, s, NULL), INST_OK);
    return s;
}

/* ops: the __ops of one chunk. */
static inline struct seen *transact(struct fixture *f, const char *ops) {
    struct seen *s = inst_arena_zalloc(&f->arena, sizeof(*s));
    s->f = f;
    struct inst_object_builder b;
    inst_object_begin(&b, &f->arena);
    inst_object_addz(&b, "__ops", value_of(f, ops));
    struct inst_value chunk;
    assert_true(inst_object_end(&b, &chunk));
    struct inst_err err = {0};
    if (inst_reactor_transact(f->r, &chunk, on_tx, s, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    return s;
}

static inline void check_data(const struct seen *s, int count, const char *short_text) {
    char *expected = text_of(short_text);
    assert_non_null(s->data);
    assert_string_equal(s->data, expected);
    assert_int_equal(s->data_count, count);
    free(expected);
}

/* client-event-id of a sent message. */
static inline const char *event_id_of(struct fixture *f, const struct inst_value *msg) {
    const struct inst_value *id = inst_get_string(msg, "client-event-id");
    assert_non_null(id);
    return inst_arena_dup(&f->arena, id->u.str, id->len);
}

#endif
