#include "client/reactor_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CORE_PACKAGE "@instantdb/core"
#define CORE_VERSION "v1.0.67"

int64_t inst_reactor_now(const struct inst_reactor *r) { return r->env.now_ms(r->env.ctx); }

void inst_reactor_log(struct inst_reactor *r, enum inst_log_level level, const char *fmt, ...) {
    if (!r->env.log) {
        return;
    }
    char line[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    r->env.log(r->env.ctx, level, line);
}

/* Defined behind what they call. */
static const struct inst_event_ops status_ops, app_status_ops, attrs_ops;

/* ---- birth ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static enum inst_status read_app_id(struct inst_reactor *r, const char *app_id,
                                    struct inst_err *err) {
    const char *text = app_id ? app_id : "";
    while (is_space(*text)) {
        text++;
    }
    size_t len = strlen(text);
    while (len && is_space(text[len - 1])) {
        len--;
    }
    if (!len) {
        return inst_err_set(err, "param-malformed", 400,
                            "Instant must be initialized with an appId.");
    }
    if (!inst_uuid_is_valid_v(text, len)) {
        return inst_err_set(err, "param-malformed", 400,
                            "Instant must be initialized with a valid appId. `%.*s` is not a "
                            "valid uuid.",
                            (int)len, text);
    }
    r->app_id = inst_arena_dup(&r->arena, text, len);
    return r->app_id ? INST_OK : inst_err_nomem(err);
}

/* Nothing has changed when this fails. */
static enum inst_status read_schema(struct inst_reactor *r, const struct inst_value *json,
                                    struct inst_err *err) {
    struct inst_arena arena;
    const struct inst_schema *schema = NULL;
    struct inst_value singular = inst_undefined();
    enum inst_status status = INST_OK;
    inst_arena_init(&arena);
    if (json && !inst_is_nullish(json)) {
        status = inst_schema_read(&arena, json, &schema, err);
    }
    if (schema && status == INST_OK && !r->disable_inference) {
        status = inst_schema_singular_links(&arena, schema, &singular, err);
    }
    if (status != INST_OK) {
        inst_arena_free(&arena);
        return status;
    }
    inst_arena_free(&r->schema_arena);
    r->schema_arena = arena;
    r->schema = schema;
    r->singular_links = singular;
    return INST_OK;
}

enum inst_status inst_reactor_set_schema(struct inst_reactor *r, const struct inst_value *schema,
                                         struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    enum inst_status status = read_schema(r, schema, err);
    if (status == INST_OK) {
        r->epoch++;
        inst_queries_touch_all(r);
        inst_events_deliver(r);
    }
    return status;
}

static enum inst_status read_versions(struct inst_reactor *r,
                                      const struct inst_reactor_config *config,
                                      struct inst_err *err) {
    struct inst_object_builder b;
    inst_object_begin(&b, &r->arena);
    inst_object_addz(&b, CORE_PACKAGE, inst_cstring(CORE_VERSION));
    for (size_t i = 0; i < config->version_count; i++) {
        const struct inst_package_version *v = &config->versions[i];
        char *package = inst_arena_dup(&r->arena, v->package, strlen(v->package));
        char *version = inst_arena_dup(&r->arena, v->version, strlen(v->version));
        if (!package || !version) {
            return inst_err_nomem(err);
        }
        inst_object_addz(&b, package, inst_cstring(version));
    }
    return inst_object_end(&b, &r->versions) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status read_tokens(struct inst_reactor *r,
                                    const struct inst_reactor_config *config,
                                    struct inst_err *err) {
    if (config->admin_token) {
        r->admin_token =
            inst_arena_dup(&r->arena, config->admin_token, strlen(config->admin_token));
        if (!r->admin_token) {
            return inst_err_nomem(err);
        }
    }
    return inst_user_init(r, config, err);
}

uint64_t inst_reactor_seed(const struct inst_reactor *r) {
    uint64_t seed;
    r->env.random(r->env.ctx, (uint8_t *)&seed, sizeof(seed));
    return seed;
}

enum inst_status inst_reactor_new(const struct inst_reactor_config *config,
                                  struct inst_reactor **out, struct inst_err *err) {
    *out = NULL;
    struct inst_reactor *r = calloc(1, sizeof(*r));
    if (!r) {
        return inst_err_nomem(err);
    }
    r->env = config->env;
    inst_arena_init(&r->arena);
    r->use_date_objects = config->use_date_objects;
    r->disable_validation = config->disable_validation;
    r->verbose = config->verbose;
    r->reconnect = config->reconnect;
    r->has_sse = config->has_sse;
    r->is_online = true;
    r->status = INST_CONNECTION_CONNECTING;
    r->transport = INST_TRANSPORT_WANTED;
    r->reconnect_at = INST_REACTOR_NEVER;
    r->ack_at = INST_REACTOR_NEVER;
    r->epoch = 1;
    r->instance = 1;
    r->app_status_event.ops = &app_status_ops;
    r->attrs_event.ops = &attrs_ops;
    inst_map_init(&r->mutations, inst_reactor_seed(r));
    inst_map_init(&r->queries, inst_reactor_seed(r));
    inst_map_init(&r->rooms, inst_reactor_seed(r));
    inst_map_init(&r->subs, inst_reactor_seed(r));
    inst_arena_init(&r->schema_arena);
    r->disable_inference = config->disable_cardinality_inference;
    inst_persist_init(r, config->has_storage);
    enum inst_status status = read_app_id(r, config->app_id, err);
    if (status == INST_OK) {
        status = read_schema(r, config->schema, err);
    }
    if (status == INST_OK) {
        status = read_versions(r, config, err);
    }
    if (status == INST_OK) {
        status = read_tokens(r, config, err);
    }
    if (status != INST_OK) {
        inst_reactor_free(r);
        return status;
    }
    inst_persist_start(r);
    *out = r;
    return INST_OK;
}

/* ---- death ---- */

static void end_subs(struct inst_reactor *r) {
    inst_subs_drop_all(r, &r->mutation_error_subs);
    inst_subs_drop_all(r, &r->status_subs);
    inst_subs_drop_all(r, &r->app_status_subs);
    inst_subs_drop_all(r, &r->attrs_subs);
    inst_subs_drop_all(r, &r->user_subs);
}

void inst_reactor_shutdown(struct inst_reactor *r) {
    if (r->is_shutdown) {
        return;
    }
    r->is_shutdown = true;
    r->reconnect_at = INST_REACTOR_NEVER;
    bool has_transport =
        r->transport == INST_TRANSPORT_CONNECTING || r->transport == INST_TRANSPORT_OPEN;
    r->wants_close = r->wants_close || has_transport;
    r->transport = INST_TRANSPORT_NONE;
    inst_reactor_connection_lost(r);
    inst_mutations_shutdown(r);
    inst_local_ids_shutdown(r);
    inst_streams_shutdown(r);
    r->persist.is_flushing = true;
    struct inst_problem problem;
    inst_problem_local(&problem, "shutdown", "The client was shut down.");
    for (struct inst_live_query *q = r->first_query, *next; q; q = next) {
        next = q->next;
        inst_queries_fail_onces(r, q, NULL, 0, &problem);
    }
    inst_problem_clear(&problem);
    if (r->status != INST_CONNECTION_CLOSED) {
        inst_reactor_set_status(r, INST_CONNECTION_CLOSED, NULL);
    }
    inst_events_deliver(r);
    inst_reactor_flush(r);
}

bool inst_reactor_is_shutdown(const struct inst_reactor *r) { return r->is_shutdown; }

void inst_reactor_silence(struct inst_reactor *r) { r->is_silent = true; }

void inst_reactor_forget_all(struct inst_reactor *r) {
    end_subs(r);
    inst_queries_free(r);
    inst_tables_free(r);
    inst_streams_dispose(r);
    inst_rooms_free(r);
}

void inst_reactor_free(struct inst_reactor *r) {
    if (!r) {
        return;
    }
    inst_events_drop(r);
    inst_persist_free(r); /* what its owners end from now on is not written */
    inst_reactor_forget_all(r);
    inst_waiting_free(r);
    inst_mutations_free(r);
    inst_pages_free(r);
    inst_local_ids_free(r);
    inst_outbox_clear(r);
    free(r->drained);
    inst_map_free(&r->mutations);
    inst_map_free(&r->queries);
    inst_map_free(&r->rooms);
    inst_map_free(&r->subs);
    inst_attrs_unref(r->attrs);
    inst_attrs_unref(r->optimistic);
    inst_collator_free(r->collator);
    inst_problem_clear(&r->init_problem);
    inst_user_free(r);
    free(r->session_id);
    inst_arena_free(&r->schema_arena);
    inst_arena_free(&r->arena);
    free(r);
}

/* ---- status ---- */

const char *inst_connection_status_name(enum inst_connection_status status) {
    static const char *const names[] = {"connecting", "opened", "authenticated", "closed",
                                        "errored"};
    return names[status];
}

enum inst_connection_status inst_reactor_status(const struct inst_reactor *r) { return r->status; }

bool inst_reactor_is_authenticated(const struct inst_reactor *r) {
    return r->status == INST_CONNECTION_AUTHENTICATED && r->transport == INST_TRANSPORT_OPEN;
}

/* On its way already; NULL when nobody listens, or out of memory. */
static struct inst_status_event *new_status_event(struct inst_reactor *r,
                                                  enum inst_connection_status status) {
    struct inst_status_event *event = r->status_subs.live ? calloc(1, sizeof(*event)) : NULL;
    if (event) {
        event->event.ops = &status_ops;
        event->status = status;
        inst_events_push(r, &event->event);
    }
    return event;
}

void inst_reactor_set_status(struct inst_reactor *r, enum inst_connection_status status,
                             struct inst_problem *problem) {
    if (r->status == status && !problem) {
        return;
    }
    r->status = status;
    inst_problem_clear(&r->init_problem);
    if (problem) {
        r->init_problem = *problem;
        *problem = (struct inst_problem){0};
    }
    struct inst_status_event *event = new_status_event(r, status);
    if (event && r->init_problem.err.type) {
        inst_problem_copy(&event->problem, &r->init_problem);
        event->has_problem = true;
    }
}

void inst_reactor_tell_closed(struct inst_reactor *r, uint64_t instance) {
    if (r->status == INST_CONNECTION_CLOSED) {
        return; /* it knows */
    }
    struct inst_status_event *event = new_status_event(r, INST_CONNECTION_CLOSED);
    if (event) {
        event->only_instance = instance;
    }
}

enum inst_status inst_reactor_add_sub(struct inst_reactor *r, struct inst_sub_list *list,
                                      const struct inst_sub *like, uint64_t *id,
                                      struct inst_err *err) {
    *id = 0;
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    struct inst_sub *sub;
    enum inst_status status = inst_subs_add(r, list, like, &sub, err);
    if (status == INST_OK) {
        *id = sub->id;
    }
    return status;
}

enum inst_status inst_reactor_subscribe_connection_status(struct inst_reactor *r,
                                                          inst_connection_fn *fn, void *ctx,
                                                          uint64_t *id, struct inst_err *err) {
    struct inst_sub like = {.fn.status = fn, .ctx = ctx};
    return inst_reactor_add_sub(r, &r->status_subs, &like, id, err);
}

struct inst_app_status inst_reactor_app_status(const struct inst_reactor *r) {
    if (!r->is_app_known) {
        return (struct inst_app_status){.is_loading = true};
    }
    return (struct inst_app_status){.is_read_only = strcmp(r->app_status, "active") != 0,
                                    .status = r->app_status};
}

void inst_reactor_set_app_status(struct inst_reactor *r, const char *status) {
    if (r->is_app_known && strcmp(r->app_status, status) == 0) {
        return;
    }
    r->is_app_known = true;
    r->app_status = status;
    r->app_status_changed = true;
    inst_events_push(r, &r->app_status_event);
}

enum inst_status inst_reactor_subscribe_app_status(struct inst_reactor *r, inst_app_status_fn *fn,
                                                   void *ctx, uint64_t *id, struct inst_err *err) {
    struct inst_sub like = {.fn.app_status = fn, .ctx = ctx, .is_fresh = true};
    enum inst_status status = inst_reactor_add_sub(r, &r->app_status_subs, &like, id, err);
    if (status == INST_OK) {
        inst_events_push(r, &r->app_status_event);
        inst_events_deliver(r);
    }
    return status;
}

enum inst_status inst_reactor_subscribe_attrs(struct inst_reactor *r, inst_attrs_fn *fn, void *ctx,
                                              uint64_t *id, struct inst_err *err) {
    struct inst_sub like = {.fn.attrs = fn, .ctx = ctx, .is_fresh = true};
    enum inst_status status = inst_reactor_add_sub(r, &r->attrs_subs, &like, id, err);
    if (status == INST_OK) {
        inst_events_push(r, &r->attrs_event);
        inst_events_deliver(r);
    }
    return status;
}

void inst_reactor_attrs_changed(struct inst_reactor *r) {
    r->attrs_changed = true;
    inst_events_push(r, &r->attrs_event);
}

/* ---- telling listeners ---- */

static void drop_status(struct inst_reactor *r, struct inst_event *base) {
    struct inst_status_event *event = (struct inst_status_event *)base;
    (void)r;
    inst_problem_clear(&event->problem);
    free(event);
}

static void deliver_status(struct inst_reactor *r, struct inst_event *base) {
    struct inst_status_event *event = (struct inst_status_event *)base;
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->status_subs.first; sub; sub = sub->next) {
        bool is_concerned = !event->only_instance || event->only_instance == sub->instance;
        if (is_concerned && inst_sub_is_due(sub, last)) {
            sub->fn.status(sub->ctx, event->status, event->has_problem ? &view : NULL);
        }
    }
    drop_status(r, base);
}

static void deliver_app_status(struct inst_reactor *r, struct inst_event *event) {
    struct inst_app_status status = inst_reactor_app_status(r);
    bool is_for_all = r->app_status_changed;
    (void)event;
    r->app_status_changed = false;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->app_status_subs.first; sub; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && (is_for_all || sub->is_fresh)) {
            sub->is_fresh = false;
            sub->fn.app_status(sub->ctx, &status);
        }
    }
}

static void deliver_attrs(struct inst_reactor *r, struct inst_event *event) {
    struct inst_attrs *attrs = inst_reactor_attrs(r);
    bool is_for_all = r->attrs_changed;
    (void)event;
    r->attrs_changed = false;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->attrs_subs.first; attrs && sub; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && (is_for_all || sub->is_fresh)) {
            sub->is_fresh = false;
            sub->fn.attrs(sub->ctx, attrs);
        }
    }
    inst_attrs_unref(attrs);
}

/* For events that are part of the reactor. */
static void drop_nothing(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    (void)event;
}

static const struct inst_event_ops status_ops = {deliver_status, drop_status};
static const struct inst_event_ops app_status_ops = {deliver_app_status, drop_nothing};
static const struct inst_event_ops attrs_ops = {deliver_attrs, drop_nothing};

const char *inst_reactor_app_id(const struct inst_reactor *r) { return r->app_id; }

const char *inst_reactor_session_id(const struct inst_reactor *r) { return r->session_id; }

/* ---- the transport (session.md 1.8) ---- */

void inst_reactor_connection_lost(struct inst_reactor *r) {
    inst_outbox_clear(r);
    inst_queries_connection_lost(r);
    inst_mutations_connection_lost(r);
    inst_rooms_connection_lost(r);
    inst_streams_connection_lost(r);
}

static void connect_by(struct inst_reactor *r, enum inst_via via) {
    if (r->is_shutdown || r->transport == INST_TRANSPORT_WANTED ||
        r->transport == INST_TRANSPORT_CONNECTING) {
        return;
    }
    if (r->transport == INST_TRANSPORT_OPEN) {
        r->wants_close = true;
        inst_reactor_connection_lost(r);
    }
    r->transport = INST_TRANSPORT_WANTED;
    r->via = via;
    r->was_heard = false;
    r->reconnect_at = INST_REACTOR_NEVER;
}

void inst_reactor_connect(struct inst_reactor *r) { connect_by(r, INST_VIA_WEBSOCKET); }

/* How long to wait before the next attempt; the first comes at once. */
static int64_t backoff(const struct inst_reactor *r) {
    if (r->attempts == 0) {
        return 0;
    }
    if (r->reconnect == INST_RECONNECT_LINEAR) {
        int64_t ms = (int64_t)r->attempts * INST_REACTOR_BACKOFF_LINEAR_MS;
        return ms < INST_REACTOR_BACKOFF_MAX_MS ? ms : INST_REACTOR_BACKOFF_MAX_MS;
    }
    int64_t ms = INST_REACTOR_BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < r->attempts && ms < INST_REACTOR_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    ms = ms < INST_REACTOR_BACKOFF_MAX_MS ? ms : INST_REACTOR_BACKOFF_MAX_MS;
    /* Many clients lose one server at the same moment; they should not come back at the same. */
    uint64_t dice = inst_reactor_seed(r);
    return ms / 2 + (int64_t)(dice % (uint64_t)(ms / 2 + 1));
}

static void schedule_reconnect(struct inst_reactor *r) {
    if (r->is_shutdown || !r->is_online) {
        return; /* coming online connects */
    }
    if (r->has_sse && r->via == INST_VIA_WEBSOCKET && !r->was_heard) {
        connect_by(r, INST_VIA_SSE);
        return;
    }
    int64_t wait = backoff(r);
    if (r->attempts < 1000) {
        r->attempts++;
    }
    if (wait == 0) {
        inst_reactor_connect(r);
    } else {
        r->reconnect_at = inst_reactor_now(r) + wait;
    }
}

static void lost(struct inst_reactor *r) {
    r->transport = INST_TRANSPORT_NONE;
    inst_reactor_connection_lost(r);
    inst_reactor_set_status(r, INST_CONNECTION_CLOSED, NULL);
}

void inst_reactor_drop_transport(struct inst_reactor *r, const char *why) {
    if (r->transport != INST_TRANSPORT_OPEN) {
        return;
    }
    inst_reactor_log(r, INST_LOG_ERROR, "dropping the connection: %s", why);
    r->wants_close = true;
    lost(r);
    schedule_reconnect(r);
}

void inst_reactor_begin_session(struct inst_reactor *r) {
    bool may_init = r->transport == INST_TRANSPORT_OPEN && r->status == INST_CONNECTION_OPENED;
    if (may_init && !r->has_sent_init && r->is_user_known &&
        r->persist.state != INST_PERSIST_STARTING) {
        r->has_sent_init = true;
        inst_outbox_send_init(r);
    }
}

void inst_reactor_start_over(struct inst_reactor *r) {
    r->attempts = 0;
    if (r->transport == INST_TRANSPORT_OPEN) {
        inst_reactor_set_status(r, INST_CONNECTION_CLOSED, NULL);
    }
    if (r->is_online) {
        connect_by(r, r->was_heard ? r->via : INST_VIA_WEBSOCKET);
    } else if (r->transport == INST_TRANSPORT_OPEN) {
        r->wants_close = true;
        r->transport = INST_TRANSPORT_NONE;
        inst_reactor_connection_lost(r);
    }
}

void inst_reactor_opened(struct inst_reactor *r) {
    if (r->transport != INST_TRANSPORT_CONNECTING || r->wants_close) {
        return;
    }
    r->transport = INST_TRANSPORT_OPEN;
    r->has_sent_init = false;
    inst_reactor_set_status(r, INST_CONNECTION_OPENED, NULL);
    inst_reactor_begin_session(r);
    inst_events_deliver(r);
}

void inst_reactor_message(struct inst_reactor *r, const char *bytes, size_t len) {
    if (r->transport != INST_TRANSPORT_OPEN) {
        return;
    }
    r->was_heard = true;
    inst_messages_receive(r, bytes, len);
    inst_events_deliver(r);
}

void inst_reactor_closed(struct inst_reactor *r) {
    if (r->wants_close) {
        r->wants_close = false; /* it went by itself before it was closed */
        return;
    }
    if (r->transport != INST_TRANSPORT_CONNECTING && r->transport != INST_TRANSPORT_OPEN) {
        return;
    }
    lost(r);
    schedule_reconnect(r);
    inst_events_deliver(r);
}

void inst_reactor_set_online(struct inst_reactor *r, bool is_online) {
    if (r->is_online == is_online || r->is_shutdown) {
        return;
    }
    r->is_online = is_online;
    if (is_online) {
        /* Neither an old socket nor one that is being opened need have noticed that the network was
         * away. */
        if (r->transport == INST_TRANSPORT_CONNECTING) {
            r->wants_close = true;
            r->transport = INST_TRANSPORT_NONE;
        }
        inst_reactor_connect(r);
    } else {
        r->reconnect_at = INST_REACTOR_NEVER;
        if (r->status != INST_CONNECTION_CLOSED) {
            inst_reactor_set_status(r, INST_CONNECTION_CLOSED, NULL);
        }
    }
    inst_events_deliver(r);
}

/* ---- the clock ---- */

void inst_reactor_tick(struct inst_reactor *r) {
    if (r->is_shutdown) {
        return;
    }
    int64_t now = inst_reactor_now(r);
    if (now >= r->reconnect_at) {
        r->reconnect_at = INST_REACTOR_NEVER;
        inst_reactor_connect(r);
    }
    inst_queries_expire(r, now);
    inst_mutations_expire(r, now);
    inst_mutations_clean_by_time(r);
    inst_persist_tick(r, now);
    inst_streams_tick(r, now);
    inst_events_deliver(r);
}

int64_t inst_reactor_next_deadline(const struct inst_reactor *r) {
    int64_t at = r->reconnect_at;
    if (r->first_once && r->first_once->deadline < at) {
        at = r->first_once->deadline;
    }
    if (r->in_flight && r->is_online && r->ack_at < at) {
        at = r->ack_at;
    }
    int64_t persist_at = inst_persist_deadline(r), streams_at = inst_streams_deadline(r);
    at = streams_at < at ? streams_at : at;
    return persist_at < at ? persist_at : at;
}
