#include "client/reactor_internal.h"

#include "schema/query_validation.h"

#include <stdlib.h>

/* Defined behind what they call. */
static const struct inst_event_ops query_ops, problem_ops, once_ops;

/* ---- the table ---- */

void inst_queries_ref(struct inst_live_query *query) { query->refs++; }

void inst_queries_unref(struct inst_live_query *query) {
    if (--query->refs > 0) {
        return;
    }
    inst_results_clear(query);
    inst_shown_unref(query->shown);
    inst_subs_free(&query->subs);
    inst_query_free(query->prepared);
    inst_read_attrs_free(&query->reads);
    free(query->problem_text);
    inst_arena_free(&query->arena);
    free(query);
}

struct inst_live_query *inst_queries_find(struct inst_reactor *r, const struct inst_value *q) {
    char key[INST_QUERY_HASH_TEXT + 1];
    if (!q || !inst_query_hash(q, key)) {
        return NULL;
    }
    return inst_map_get(&r->queries, key, INST_QUERY_HASH_TEXT);
}

static enum inst_status new_query(struct inst_reactor *r, const struct inst_value *q,
                                  const char *key, struct inst_live_query **out,
                                  struct inst_err *err) {
    struct inst_live_query *query = calloc(1, sizeof(*query));
    if (!query) {
        return inst_err_nomem(err);
    }
    query->event.ops = &query_ops;
    query->refs = 1;
    memcpy(query->key, key, sizeof(query->key));
    inst_uuid_make_text(&r->env, query->event_id);
    inst_arena_init(&query->arena);
    inst_arena_init(&query->result_arena);
    inst_read_attrs_init(&query->reads);
    enum inst_status status =
        inst_value_dup(&query->arena, q, &query->q) ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK) {
        status = inst_query_new(&query->q, INST_QUERY_CLIENT, &query->prepared, err);
    }
    if (status == INST_OK && !inst_map_add(&r->queries, query->key, INST_QUERY_HASH_TEXT, query)) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        inst_queries_unref(query);
        return status;
    }
    inst_queries_keep(r, query);
    query->prev = r->last_query;
    if (r->last_query) {
        r->last_query->next = query;
    } else {
        r->first_query = query;
    }
    r->last_query = query;
    r->query_count++;
    inst_parked_take(r, query);
    *out = query;
    return INST_OK;
}

/* Finds or makes it. */
static enum inst_status get_query(struct inst_reactor *r, const struct inst_value *q,
                                  struct inst_live_query **out, bool *is_new,
                                  struct inst_err *err) {
    char key[INST_QUERY_HASH_TEXT + 1];
    if (!inst_query_hash(q, key)) {
        return inst_err_nomem(err);
    }
    *out = inst_map_get(&r->queries, key, INST_QUERY_HASH_TEXT);
    *is_new = !*out;
    if (*out) {
        return INST_OK;
    }
    if (r->query_count >= INST_REACTOR_MAX_QUERIES) {
        return inst_err_set(err, "limit-exceeded", 400, "Too many queries at once.");
    }
    return new_query(r, q, key, out, err);
}

static void forget(struct inst_reactor *r, struct inst_live_query *query) {
    inst_map_remove(&r->queries, query->key, INST_QUERY_HASH_TEXT);
    if (query->prev) {
        query->prev->next = query->next;
    } else {
        r->first_query = query->next;
    }
    if (query->next) {
        query->next->prev = query->prev;
    } else {
        r->last_query = query->prev;
    }
    query->prev = query->next = NULL;
    r->query_count--;
    query->is_gone = true;
    inst_kept_end(r, &query->kept);
    inst_queries_unref(query);
}

void inst_queries_cleanup(struct inst_reactor *r, struct inst_live_query *query) {
    if (query->is_gone || query->subs.live || query->first_once) {
        return;
    }
    if (inst_reactor_is_authenticated(r)) {
        char event_id[INST_UUID_TEXT + 1];
        inst_uuid_make_text(&r->env, event_id);
        inst_outbox_send_query(r, "remove-query", event_id, &query->q);
    }
    inst_queries_ref(query);
    forget(r, query);
    if (query->version > 0) { /* somebody subscribed to it and was shown something */
        inst_parked_put(r, query);
    }
    inst_queries_unref(query);
}

static void ask(struct inst_reactor *r, struct inst_live_query *query, const char *event_id) {
    if (inst_reactor_is_authenticated(r)) {
        query->is_awaited = true;
        inst_outbox_send_query(r, "add-query", event_id, &query->q);
    }
}

/* only_sub 0: for all listeners. */
static void push_problem(struct inst_reactor *r, struct inst_live_query *query, uint64_t only_sub,
                         const struct inst_problem *problem) {
    struct inst_query_problem_event *event = calloc(1, sizeof(*event));
    if (!event) {
        inst_reactor_log(r, INST_LOG_ERROR, "out of memory, a query's error is lost: %s",
                         problem->err.message);
        return;
    }
    event->event.ops = &problem_ops;
    event->query = query;
    event->only_sub = only_sub;
    inst_queries_ref(query);
    inst_problem_copy(&event->problem, problem);
    inst_events_push(r, &event->event);
}

/* ---- subscribing ---- */

static void ended(struct inst_reactor *r, void *owner) { inst_queries_cleanup(r, owner); }

struct inst_live_query *inst_queries_of_sub(const struct inst_sub *sub) {
    return sub->ended == ended ? sub->owner : NULL;
}

/* `{"$$ruleParams": ..., ...q}`: the params come first, and q's own win. */
static enum inst_status with_params(struct inst_arena *arena, const struct inst_value *q,
                                    const struct inst_value *rule_params, struct inst_value *out,
                                    struct inst_err *err) {
    if (!rule_params || rule_params->tag == INST_UNDEFINED || q->tag != INST_OBJECT) {
        *out = *q;
        return INST_OK;
    }
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "$$ruleParams", *rule_params);
    for (uint32_t i = 0; i < q->len; i++) {
        inst_object_add(&b, q->u.members[i].key, q->u.members[i].key_len, q->u.members[i].value);
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status check_query(struct inst_reactor *r, const struct inst_value *q,
                                    struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (q->tag != INST_OBJECT && r->disable_validation) {
        return inst_err_set(err, "validation-failed", 400,
                            "Query must be an object, but received: %s", inst_value_typeof(q));
    }
    return r->disable_validation ? INST_OK : inst_query_validate(q, r->schema, err);
}

enum inst_status inst_reactor_subscribe_query(struct inst_reactor *r, const struct inst_value *q,
                                              const struct inst_value *rule_params,
                                              inst_query_fn *fn, void *ctx, uint64_t *id,
                                              struct inst_err *err) {
    *id = 0;
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value full;
    struct inst_live_query *query = NULL;
    bool is_new = false;
    enum inst_status status = check_query(r, q, err);
    if (status == INST_OK) {
        status = with_params(&arena, q, rule_params, &full, err);
    }
    if (status == INST_OK) {
        status = get_query(r, &full, &query, &is_new, err);
    }
    if (status != INST_OK) {
        goto out;
    }
    struct inst_sub like = {.fn.query = fn, .ctx = ctx, .owner = query, .ended = ended};
    struct inst_sub *sub;
    status = inst_subs_add(r, &query->subs, &like, &sub, err);
    if (status != INST_OK) {
        if (is_new) {
            forget(r, query);
        }
        goto out;
    }
    *id = sub->id;
    char event_id[INST_UUID_TEXT + 1];
    inst_uuid_make_text(&r->env, event_id);
    ask(r, query, is_new ? query->event_id : event_id);
    if (r->status == INST_CONNECTION_ERRORED) {
        push_problem(r, query, sub->id, &r->init_problem);
    } else {
        inst_queries_load(r, query);
        inst_queries_touch(r, query);
    }
    inst_events_deliver(r);
out:
    inst_arena_free(&arena);
    return status;
}

/* ---- asking once ---- */

/* Out of the lists, its answer is on its way; the query goes when nobody else listens. */
static void settle_once(struct inst_reactor *r, struct inst_once *once) {
    struct inst_live_query *query = once->query;
    if (once->prev) {
        once->prev->next = once->next;
    } else {
        r->first_once = once->next;
    }
    if (once->next) {
        once->next->prev = once->prev;
    } else {
        r->last_once = once->prev;
    }
    if (once->query_prev) {
        once->query_prev->query_next = once->query_next;
    } else {
        query->first_once = once->query_next;
    }
    if (once->query_next) {
        once->query_next->query_prev = once->query_prev;
    } else {
        query->last_once = once->query_prev;
    }
    once->query = NULL;
    inst_events_push(r, &once->event);
    inst_queries_cleanup(r, query);
    inst_queries_unref(query);
}

static void fail_once(struct inst_reactor *r, struct inst_once *once,
                      const struct inst_problem *problem) {
    inst_problem_copy(&once->problem, problem);
    settle_once(r, once);
}

static void link_once(struct inst_reactor *r, struct inst_once *once,
                      struct inst_live_query *query) {
    once->query = query;
    inst_queries_ref(query);
    once->prev = r->last_once;
    if (r->last_once) {
        r->last_once->next = once;
    } else {
        r->first_once = once;
    }
    r->last_once = once;
    once->query_prev = query->last_once;
    if (query->last_once) {
        query->last_once->query_next = once;
    } else {
        query->first_once = once;
    }
    query->last_once = once;
}

enum inst_status inst_reactor_query_once(struct inst_reactor *r, const struct inst_value *q,
                                         const struct inst_value *rule_params, inst_query_fn *fn,
                                         void *ctx, struct inst_err *err) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_once *once = NULL;
    struct inst_value full;
    enum inst_status status = check_query(r, q, err);
    if (status == INST_OK) {
        status = with_params(&arena, q, rule_params, &full, err);
    }
    if (status == INST_OK && !(once = calloc(1, sizeof(*once)))) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        goto out;
    }
    once->event.ops = &once_ops;
    once->fn = fn;
    once->ctx = ctx;
    once->instance = r->instance;
    once->deadline = inst_reactor_now(r) + INST_REACTOR_QUERY_ONCE_MS;
    inst_uuid_make_text(&r->env, once->event_id);
    if (!r->is_online) {
        inst_problem_local(&once->problem, "offline",
                           "We can't run `queryOnce`, because the device is offline.");
        inst_events_push(r, &once->event);
    } else if (r->status == INST_CONNECTION_ERRORED) {
        inst_problem_copy(&once->problem, &r->init_problem);
        inst_events_push(r, &once->event);
    } else {
        struct inst_live_query *query;
        bool is_new;
        status = get_query(r, &full, &query, &is_new, err);
        if (status != INST_OK) {
            goto out;
        }
        link_once(r, once, query);
        ask(r, query, once->event_id);
    }
    once = NULL;
    inst_events_deliver(r);
out:
    free(once);
    inst_arena_free(&arena);
    return status;
}

void inst_queries_settle_onces(struct inst_reactor *r, struct inst_live_query *query) {
    if (!query->first_once || !query->has_result) {
        return;
    }
    struct inst_shown *shown = NULL;
    struct inst_err err = {0};
    enum inst_status status = inst_results_show(r, query, &shown, &err);
    struct inst_problem problem = {0};
    if (status != INST_OK) {
        inst_err_move(&problem.err, &err);
    }
    inst_queries_ref(query);
    while (query->first_once) {
        struct inst_once *once = query->first_once;
        if (shown) {
            shown->refs++;
            once->shown = shown;
            settle_once(r, once);
        } else {
            fail_once(r, once, &problem);
        }
    }
    inst_queries_unref(query);
    inst_shown_unref(shown);
    inst_problem_clear(&problem);
}

void inst_queries_fail_onces(struct inst_reactor *r, struct inst_live_query *query,
                             const char *event_id, size_t event_id_len,
                             const struct inst_problem *problem) {
    inst_queries_ref(query);
    for (struct inst_once *once = query->first_once, *next; once; once = next) {
        next = once->query_next;
        if (!event_id || (event_id_len == strlen(once->event_id) &&
                          memcmp(event_id, once->event_id, event_id_len) == 0)) {
            fail_once(r, once, problem);
        }
    }
    inst_queries_unref(query);
}

void inst_queries_fail_onces_of(struct inst_reactor *r, uint64_t instance,
                                const struct inst_problem *problem) {
    for (struct inst_once *once = r->first_once, *next; once; once = next) {
        next = once->next;
        if (once->instance == instance) {
            fail_once(r, once, problem);
        }
    }
}

void inst_queries_expire(struct inst_reactor *r, int64_t now) {
    struct inst_problem problem;
    inst_problem_local(&problem, "timeout", "Query timed out");
    while (r->first_once && r->first_once->deadline <= now) {
        fail_once(r, r->first_once, &problem);
    }
    inst_problem_clear(&problem);
}

/* ---- telling listeners ---- */

void inst_queries_touch(struct inst_reactor *r, struct inst_live_query *query) {
    if (query->is_gone || query->event.is_queued || !query->has_result || !query->subs.live) {
        return;
    }
    inst_queries_ref(query);
    inst_events_push(r, &query->event);
}

void inst_queries_touch_all(struct inst_reactor *r) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        inst_queries_touch(r, query);
    }
}

void inst_queries_touch_for(struct inst_reactor *r, const struct inst_mutation *m) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (!query->shown || inst_read_attrs_meet(&query->reads, &m->steps)) {
            inst_queries_touch(r, query);
        }
    }
}

void inst_queries_fail(struct inst_reactor *r, struct inst_live_query *query,
                       const struct inst_problem *problem) {
    if (query->subs.live) {
        push_problem(r, query, 0, problem);
    }
}

void inst_queries_fail_all(struct inst_reactor *r, const struct inst_problem *problem) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        inst_queries_fail(r, query, problem);
    }
}

static void drop_query(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    inst_queries_unref((struct inst_live_query *)event);
}

static void drop_problem(struct inst_reactor *r, struct inst_event *base) {
    struct inst_query_problem_event *event = (struct inst_query_problem_event *)base;
    (void)r;
    inst_queries_unref(event->query);
    inst_problem_clear(&event->problem);
    free(event);
}

static void drop_once(struct inst_reactor *r, struct inst_event *event) {
    struct inst_once *once = (struct inst_once *)event;
    (void)r;
    inst_shown_unref(once->shown);
    inst_problem_clear(&once->problem);
    free(once);
}

static void deliver_problem(struct inst_reactor *r, struct inst_event *base) {
    struct inst_query_problem_event *event = (struct inst_query_problem_event *)base;
    struct inst_live_query *query = event->query;
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    /* The next result is delivered whatever was shown before (instaql.md 2.5). */
    inst_shown_unref(query->shown);
    query->shown = NULL;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = query->subs.first; sub && !r->is_shutdown; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && (!event->only_sub || event->only_sub == sub->id)) {
            sub->fn.query(sub->ctx, NULL, &view);
        }
    }
    drop_problem(r, base);
}

static struct inst_query_result view_result(const struct inst_shown *shown) {
    return (struct inst_query_result){
        .data = inst_getz(&shown->result, "data"),
        .page_info = inst_getz(&shown->result, "pageInfo"),
        .aggregate = inst_getz(&shown->result, "aggregate"),
    };
}

/* The query cannot be evaluated here. Said once, not with every change. */
static void deliver_eval_problem(struct inst_reactor *r, struct inst_live_query *query,
                                 struct inst_err *err) {
    if (query->problem_text && strcmp(query->problem_text, err->message) == 0) {
        return;
    }
    free(query->problem_text);
    query->problem_text = strdup(err->message);
    struct inst_problem problem = {0};
    inst_err_move(&problem.err, err);
    inst_queries_fail(r, query, &problem);
    inst_problem_clear(&problem);
}

static void deliver_query(struct inst_reactor *r, struct inst_event *event) {
    struct inst_live_query *query = (struct inst_live_query *)event;
    struct inst_shown *shown = NULL;
    struct inst_err err = {0};
    if (query->is_gone || !query->has_result || r->is_shutdown ||
        r->status == INST_CONNECTION_ERRORED) {
        goto out;
    }
    if (inst_queries_are_held(r)) {
        query->is_held_back = true;
        goto out;
    }
    if (inst_results_show(r, query, &shown, &err) != INST_OK) {
        deliver_eval_problem(r, query, &err);
        goto out;
    }
    free(query->problem_text);
    query->problem_text = NULL;
    if (shown != query->shown) {
        inst_shown_unref(query->shown);
        query->shown = shown;
        shown->refs++;
        query->version++;
    }
    struct inst_query_result result = view_result(shown);
    uint64_t last = r->next_sub;
    uint64_t version = query->version;
    for (struct inst_sub *sub = query->subs.first; sub && !r->is_shutdown; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && sub->seen != version) {
            sub->seen = version;
            sub->fn.query(sub->ctx, &result, NULL);
        }
    }
out:
    inst_shown_unref(shown);
    inst_err_clear(&err);
    inst_queries_unref(query);
}

static void deliver_once(struct inst_reactor *r, struct inst_event *event) {
    struct inst_once *once = (struct inst_once *)event;
    if (once->shown) {
        struct inst_query_result result = view_result(once->shown);
        once->fn(once->ctx, &result, NULL);
    } else {
        struct inst_reactor_error view = inst_problem_view(&once->problem);
        once->fn(once->ctx, NULL, &view);
    }
    drop_once(r, event);
}

static const struct inst_event_ops query_ops = {deliver_query, drop_query};
static const struct inst_event_ops problem_ops = {deliver_problem, drop_problem};
static const struct inst_event_ops once_ops = {deliver_once, drop_once};

/* ---- the connection ---- */

void inst_queries_resend(struct inst_reactor *r) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (query->subs.live) {
            ask(r, query, query->event_id);
        }
    }
    for (struct inst_once *once = r->first_once; once; once = once->next) {
        ask(r, once->query, once->event_id);
    }
}

void inst_queries_connection_lost(struct inst_reactor *r) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        query->is_awaited = false;
        query->heard_tx_id = 0;
    }
    r->current_tx_id = 0;
}

void inst_queries_forget_results(struct inst_reactor *r) {
    inst_parked_clear(r);
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        inst_results_clear(query);
        inst_kept_touch(r, &query->kept); /* it goes */
        inst_shown_unref(query->shown);
        query->shown = NULL;
    }
}

void inst_queries_free(struct inst_reactor *r) {
    inst_parked_clear(r);
    while (r->first_once) {
        struct inst_once *once = r->first_once;
        r->first_once = once->next;
        inst_queries_unref(once->query);
        free(once);
    }
    r->last_once = NULL;
    while (r->first_query) {
        struct inst_live_query *query = r->first_query;
        query->first_once = query->last_once = NULL;
        inst_subs_drop_all(r, &query->subs);
        forget(r, query);
    }
}
