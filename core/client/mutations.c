#include "client/reactor_internal.h"

#include "instaml/transform.h"
#include "schema/tx_validation.h"

#include <stdlib.h>

/* ---- the queue ---- */

bool inst_mutations_apply_to(const struct inst_mutation *m, const struct inst_live_query *query) {
    return !m->tx_id || (query->processed_tx_id && m->tx_id > query->processed_tx_id);
}

bool inst_mutations_lie_between(const struct inst_reactor *r, int64_t from, int64_t to) {
    size_t left = r->confirmed;
    for (const struct inst_mutation *m = r->first; m && left; m = m->next) {
        if (m->tx_id > from && m->tx_id <= to) {
            return true;
        }
        left -= m->tx_id != 0;
    }
    return false;
}

static void append(struct inst_reactor *r, struct inst_mutation *m) {
    uint64_t order = r->last ? r->last->order + 1 : 1;
    m->order = m->order > order ? m->order : order; /* one from the disk has its own */
    m->seq = ++r->next_seq;
    m->prev = r->last;
    if (r->last) {
        r->last->next = m;
    } else {
        r->first = m;
    }
    r->last = m;
    r->pending++;
    r->confirmed += m->tx_id != 0;
    r->attr_mutations += m->has_attr_steps;
    r->delete_mutations += m->has_deletes;
    if (!r->next_unsent) {
        r->next_unsent = m;
    }
    if (m->has_attr_steps) {
        inst_known_attrs_stale(r);
    }
}

static void unref_block(struct inst_steps_block *block) {
    if (block && --block->refs == 0) {
        inst_arena_free(&block->arena);
        free(block);
    }
}

enum inst_status inst_mutations_keep_steps(struct inst_reactor *r, struct inst_mutation *m,
                                           const struct inst_value *steps, struct inst_err *err) {
    if (r->block && r->block->arena.total >= INST_REACTOR_STEPS_BLOCK) {
        unref_block(r->block);
        r->block = NULL;
    }
    if (!r->block) {
        if (!(r->block = malloc(sizeof(*r->block)))) {
            return inst_err_nomem(err);
        }
        r->block->refs = 1;
        inst_arena_init(&r->block->arena);
    }
    struct inst_value copy;
    if (!inst_value_dup(&r->block->arena, steps, &copy)) {
        return inst_err_nomem(err);
    }
    unref_block(m->block);
    m->block = r->block;
    m->block->refs++;
    m->steps = copy;
    return INST_OK;
}

static void free_mutation(struct inst_mutation *m) {
    free(m->waiter);
    unref_block(m->block);
    free(m);
}

void inst_mutations_discard(struct inst_mutation *m) { free_mutation(m); }

bool inst_mutations_restore(struct inst_reactor *r, struct inst_mutation *m) {
    if (inst_map_get(&r->mutations, m->event_id, INST_UUID_TEXT) ||
        r->pending >= INST_REACTOR_MAX_PENDING ||
        !inst_map_add(&r->mutations, m->event_id, INST_UUID_TEXT, m)) {
        inst_reactor_log(r, INST_LOG_ERROR, "a kept mutation (%s) cannot be taken up again",
                         m->event_id);
        return false;
    }
    inst_mutations_classify(m);
    append(r, m);
    r->epoch++;
    if (m->has_attr_steps) {
        inst_reactor_attrs_changed(r);
    }
    return true;
}

/* Out of the queue. The layers that hold it are the caller's concern. */
static void detach(struct inst_reactor *r, struct inst_mutation *m) {
    inst_pages_remove(r, m);
    inst_map_remove(&r->mutations, m->event_id, INST_UUID_TEXT);
    if (r->next_unsent == m) {
        r->next_unsent = m->next;
    }
    if (m->prev) {
        m->prev->next = m->next;
    } else {
        r->first = m->next;
    }
    if (m->next) {
        m->next->prev = m->prev;
    } else {
        r->last = m->prev;
    }
    r->pending--;
    r->confirmed -= m->tx_id != 0;
    r->in_flight -= m->is_in_flight;
    r->attr_mutations -= m->has_attr_steps;
    r->delete_mutations -= m->has_deletes;
    if (m->has_attr_steps) {
        inst_known_attrs_stale(r);
    }
}

static void take_out(struct inst_reactor *r, struct inst_mutation *m) {
    detach(r, m);
    free_mutation(m);
}

struct inst_mutation *inst_mutations_find(struct inst_reactor *r, const struct inst_value *id) {
    return id && id->tag == INST_STRING ? inst_map_get(&r->mutations, id->u.str, id->len) : NULL;
}

size_t inst_reactor_pending_count(const struct inst_reactor *r) { return r->pending; }

size_t inst_reactor_unconfirmed_count(const struct inst_reactor *r) {
    return r->pending - r->confirmed + r->waiting;
}

/* ---- who waits ---- */

static void drop_waiter(struct inst_reactor *r, struct inst_event *event) {
    struct inst_tx_waiter *waiter = (struct inst_tx_waiter *)event;
    (void)r;
    inst_problem_clear(&waiter->problem);
    free(waiter);
}

static void deliver_waiter(struct inst_reactor *r, struct inst_event *event) {
    struct inst_tx_waiter *waiter = (struct inst_tx_waiter *)event;
    if (waiter->status) {
        struct inst_transact_result result = {waiter->status, waiter->event_id};
        waiter->fn(waiter->ctx, &result, NULL);
    } else {
        struct inst_reactor_error view = inst_problem_view(&waiter->problem);
        waiter->fn(waiter->ctx, NULL, &view);
    }
    drop_waiter(r, event);
}

static const struct inst_event_ops waiter_ops = {deliver_waiter, drop_waiter};

static struct inst_tx_waiter *new_waiter(inst_transact_fn *fn, void *ctx, const char *event_id) {
    struct inst_tx_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter) {
        waiter->event.ops = &waiter_ops;
        waiter->fn = fn;
        waiter->ctx = ctx;
        memcpy(waiter->event_id, event_id, INST_UUID_TEXT + 1);
    }
    return waiter;
}

static void settle(struct inst_reactor *r, struct inst_mutation *m, const char *status) {
    if (m->waiter) {
        m->waiter->status = status;
        inst_events_push(r, &m->waiter->event);
        m->waiter = NULL;
    }
}

static void drop_error(struct inst_reactor *r, struct inst_event *base) {
    struct inst_mutation_error_event *event = (struct inst_mutation_error_event *)base;
    (void)r;
    inst_problem_clear(&event->problem);
    free(event);
}

static void deliver_error(struct inst_reactor *r, struct inst_event *base) {
    struct inst_mutation_error_event *event = (struct inst_mutation_error_event *)base;
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    view.is_told = event->is_told;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->mutation_error_subs.first; sub; sub = sub->next) {
        bool is_concerned = !event->instance || event->instance == sub->instance;
        if (is_concerned && inst_sub_is_due(sub, last)) {
            sub->fn.mutation_error(sub->ctx, event->event_id, &view);
        }
    }
    drop_error(r, base);
}

static const struct inst_event_ops error_ops = {deliver_error, drop_error};

static bool has_listener(const struct inst_reactor *r, uint64_t instance) {
    for (struct inst_sub *sub = r->mutation_error_subs.first; sub; sub = sub->next) {
        if (!sub->is_dead && (!instance || sub->instance == instance)) {
            return true;
        }
    }
    return false;
}

void inst_mutations_tell_failure(struct inst_reactor *r, struct inst_tx_waiter *waiter,
                                 uint64_t instance, const char *event_id,
                                 struct inst_problem *problem) {
    if (has_listener(r, instance)) {
        struct inst_mutation_error_event *event = calloc(1, sizeof(*event));
        if (event) {
            event->event.ops = &error_ops;
            event->instance = instance;
            event->is_told = waiter != NULL;
            memcpy(event->event_id, event_id, INST_UUID_TEXT + 1);
            inst_problem_copy(&event->problem, problem);
        }
        if (waiter) {
            inst_problem_copy(&waiter->problem, problem);
            inst_events_push(r, &waiter->event);
        }
        if (event) {
            inst_events_push(r, &event->event);
        }
    } else if (waiter) {
        inst_problem_copy(&waiter->problem, problem);
        inst_events_push(r, &waiter->event);
    } else {
        inst_reactor_log(r, INST_LOG_ERROR, "a transaction failed and nobody listens: %s",
                         problem->err.message);
    }
    inst_problem_clear(problem);
}

/* ---- sending (session.md 5.8) ---- */

static int64_t ack_time(const struct inst_reactor *r) {
    size_t waiting = r->in_flight < r->pending ? r->in_flight + 1 : r->pending + 1;
    return INST_REACTOR_ACK_MS * (int64_t)(waiting ? waiting : 1);
}

static bool can_send(const struct inst_reactor *r) {
    return inst_reactor_is_authenticated(r) && r->is_online;
}

static bool send_one(struct inst_reactor *r, struct inst_mutation *m) {
    int64_t timeout = ack_time(r);
    if (!inst_outbox_send_mutation(r, m)) {
        return false;
    }
    m->is_in_flight = m->was_sent = true;
    r->in_flight++;
    m->ack_deadline = inst_reactor_now(r) + timeout;
    if (m->ack_deadline < r->ack_at) {
        r->ack_at = m->ack_deadline;
    }
    return true;
}

/* In order, as fast as the host drains: a long queue does not become a long output. */
void inst_mutations_send_more(struct inst_reactor *r) {
    while (r->next_unsent && can_send(r) && r->frame_bytes < INST_REACTOR_SEND_AHEAD) {
        struct inst_mutation *m = r->next_unsent;
        if (!m->tx_id && !m->is_in_flight && !send_one(r, m)) {
            return;
        }
        r->next_unsent = m->next;
    }
}

/* Timers of the former connection are gone with it: the official client keeps them, so that one
 * from before a reconnect can time out what was sent again (session.md 10 #7). */
void inst_mutations_connection_lost(struct inst_reactor *r) {
    for (struct inst_mutation *m = r->first; m && r->in_flight; m = m->next) {
        if (m->is_in_flight) {
            m->is_in_flight = false;
            r->in_flight--;
        }
    }
    r->next_unsent = r->first;
    r->ack_at = INST_REACTOR_NEVER;
}

void inst_mutations_restart(struct inst_reactor *r) {
    inst_mutations_connection_lost(r);
    inst_mutations_send_more(r);
}

/* ---- transact ---- */

static bool has_step(const struct inst_value *steps, const char *action) {
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (step->tag == INST_ARRAY && step->len && inst_is_string(&step->u.items[0], action)) {
            return true;
        }
    }
    return false;
}

/* An entity that only a pending delete hides still exists for the server: without this, an update
 * that follows the delete would be sent without a mode and make the entity anew, in part. */
static bool is_hidden_by_delete(void *ctx, const struct inst_value *etype,
                                const struct inst_value *eid) {
    struct inst_reactor *r = ctx;
    if (!r->delete_mutations) {
        return false;
    }
    for (struct inst_mutation *m = r->first; m; m = m->next) {
        for (uint32_t i = 0; m->has_deletes && i < m->steps.len; i++) {
            const struct inst_value *step = &m->steps.u.items[i];
            if (step->tag == INST_ARRAY && step->len > 1 &&
                inst_is_string(&step->u.items[0], "delete-entity") &&
                inst_value_equal(&step->u.items[1], eid) &&
                (step->len < 3 || inst_value_same(&step->u.items[2], etype))) {
                return true;
            }
        }
    }
    return false;
}

/* The stores of all results, brought up to date. */
static enum inst_status gather_stores(struct inst_reactor *r, struct inst_mem_store ***out,
                                      size_t *count, struct inst_err *err) {
    *count = 0;
    *out = malloc((r->query_count + 1) * sizeof(struct inst_mem_store *));
    if (!*out) {
        return inst_err_nomem(err);
    }
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (!query->has_result) {
            continue;
        }
        enum inst_status status = inst_results_layer(r, query, err);
        if (status != INST_OK) {
            return status;
        }
        (*out)[(*count)++] = query->store;
    }
    return INST_OK;
}

/* Chunks to steps, which the mutation keeps. */
static enum inst_status expand(struct inst_reactor *r, struct inst_mutation *m,
                               const struct inst_value *chunks, struct inst_err *err) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_mem_store **stores = NULL;
    size_t count;
    enum inst_status status = gather_stores(r, &stores, &count, err);
    struct inst_attrs *attrs = status == INST_OK ? inst_known_attrs_view(r, err) : NULL;
    if (attrs) {
        struct inst_tx_context context = {
            .attrs = attrs,
            .schema = r->schema ? &r->schema->json : NULL,
            .stores = stores,
            .store_count = count,
            .is_known = is_hidden_by_delete,
            .is_known_ctx = r,
            .use_date_objects = r->use_date_objects,
            .env = &r->env,
        };
        struct inst_value steps;
        status = inst_tx_transform(&arena, &context, chunks, &steps, err);
        if (status == INST_OK) {
            status = inst_mutations_keep_steps(r, m, &steps, err);
        }
    } else if (status == INST_OK) {
        status = INST_NOMEM;
    }
    free(stores);
    inst_arena_free(&arena);
    return status;
}

/* The server refuses every write then, so nothing is shown optimistically either. */
static bool is_refused_by_app(const struct inst_reactor *r, struct inst_problem *problem) {
    if (!r->is_app_known || strcmp(r->app_status, "active") == 0) {
        return false;
    }
    if (strcmp(r->app_status, "disabled") == 0) {
        inst_problem_local(problem, "app-disabled", "This app is currently disabled.");
        inst_err_hint(&problem->err, "{\"status\":\"disabled\"}");
    } else {
        inst_problem_local(problem, "app-read-only", "This app is in read-only mode.");
        inst_err_hint(&problem->err, "{\"status\":\"read-only\"}");
    }
    return true;
}

static struct inst_mutation *new_mutation(struct inst_reactor *r, inst_transact_fn *fn, void *ctx) {
    struct inst_mutation *m = calloc(1, sizeof(*m));
    if (!m) {
        return NULL;
    }
    inst_uuid_make_text(&r->env, m->event_id);
    m->instance = r->instance;
    m->created = inst_reactor_now(r);
    if (fn && !(m->waiter = new_waiter(fn, ctx, m->event_id))) {
        free_mutation(m);
        return NULL;
    }
    return m;
}

void inst_mutations_classify(struct inst_mutation *m) {
    m->has_attr_steps = has_step(&m->steps, "add-attr") || has_step(&m->steps, "update-attr") ||
                        has_step(&m->steps, "delete-attr");
    m->has_deletes = has_step(&m->steps, "delete-entity");
}

void inst_mutations_enqueued(struct inst_reactor *r, struct inst_mutation *m) {
    settle(r, m, "enqueued");
}

/* steps are there: shown, sent or kept for later. */
static enum inst_status enqueue(struct inst_reactor *r, struct inst_mutation *m,
                                struct inst_err *err) {
    inst_mutations_classify(m);
    if (!inst_map_add(&r->mutations, m->event_id, INST_UUID_TEXT, m)) {
        return inst_err_nomem(err);
    }
    append(r, m);
    enum inst_status status = inst_pages_add(r, m, !can_send(r), err);
    if (status != INST_OK) {
        detach(r, m);
        return status;
    }
    inst_queries_touch_for(r, m);
    if (m->has_attr_steps) {
        inst_reactor_attrs_changed(r);
    }
    if (can_send(r)) {
        inst_mutations_send_more(r);
    } else if (!m->is_held) {
        settle(r, m, "enqueued");
    }
    return INST_OK;
}

/* Of a transaction that never gets into the queue. */
static void refuse(struct inst_reactor *r, struct inst_mutation *m, struct inst_problem *problem) {
    struct inst_tx_waiter *waiter = m->waiter;
    m->waiter = NULL;
    inst_mutations_tell_failure(r, waiter, m->instance, m->event_id, problem);
    free_mutation(m);
}

enum inst_status inst_mutations_make(struct inst_reactor *r, const struct inst_value *value,
                                     bool are_steps, inst_transact_fn *fn, void *ctx,
                                     struct inst_err *err) {
    struct inst_mutation *m = new_mutation(r, fn, ctx);
    if (!m) {
        return inst_err_nomem(err);
    }
    struct inst_problem problem = {0};
    if (is_refused_by_app(r, &problem)) {
        refuse(r, m, &problem);
        return INST_OK;
    }
    enum inst_status status;
    if (r->pending >= INST_REACTOR_MAX_PENDING) {
        status = inst_err_set(&problem.err, "limit-exceeded", 0,
                              "Too many transactions wait for the server.");
    } else if (r->persist.state == INST_PERSIST_BROKEN && !can_send(r)) {
        status = inst_err_set(&problem.err, "storage-failed", 0,
                              "The write could not be kept: the storage could not be read");
    } else if (are_steps) {
        status = inst_mutations_keep_steps(r, m, value, &problem.err);
    } else {
        status = expand(r, m, value, &problem.err);
    }
    if (status == INST_OK) {
        status = enqueue(r, m, &problem.err);
    }
    if (status != INST_OK) {
        refuse(r, m, &problem);
    }
    return INST_OK;
}

static enum inst_status transact(struct inst_reactor *r, const struct inst_value *value,
                                 bool are_steps, inst_transact_fn *fn, void *ctx,
                                 struct inst_err *err) {
    enum inst_status status = r->persist.state == INST_PERSIST_STARTING
                                  ? inst_waiting_add(r, value, are_steps, fn, ctx, err)
                                  : inst_mutations_make(r, value, are_steps, fn, ctx, err);
    inst_events_deliver(r);
    return status;
}

enum inst_status inst_reactor_transact(struct inst_reactor *r, const struct inst_value *chunks,
                                       inst_transact_fn *fn, void *ctx, struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    enum inst_status status = INST_OK;
    bool is_open = !r->is_app_known || strcmp(r->app_status, "active") == 0;
    if (is_open && !r->disable_validation) {
        status = inst_tx_validate(chunks, r->schema, err);
    }
    return status == INST_OK ? transact(r, chunks, false, fn, ctx, err) : status;
}

bool inst_mutations_are_steps(const struct inst_value *steps) {
    if (steps->tag != INST_ARRAY) {
        return false;
    }
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (step->tag != INST_ARRAY || !step->len || step->u.items[0].tag != INST_STRING) {
            return false;
        }
    }
    return true;
}

enum inst_status inst_reactor_transact_steps(struct inst_reactor *r, const struct inst_value *steps,
                                             inst_transact_fn *fn, void *ctx,
                                             struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (!inst_mutations_are_steps(steps)) {
        return inst_err_set(err, "validation-failed", 400,
                            "Transaction steps must be an array of arrays.");
    }
    return transact(r, steps, true, fn, ctx, err);
}

enum inst_status inst_reactor_subscribe_mutation_errors(struct inst_reactor *r,
                                                        inst_mutation_error_fn *fn, void *ctx,
                                                        uint64_t *id, struct inst_err *err) {
    *id = 0;
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    struct inst_sub like = {.fn.mutation_error = fn, .ctx = ctx};
    struct inst_sub *sub;
    enum inst_status status = inst_subs_add(r, &r->mutation_error_subs, &like, &sub, err);
    if (status == INST_OK) {
        *id = sub->id;
    }
    return status;
}

/* ---- answers ---- */

/* Queries on which it lay and lies no longer are layered again; one that the server has not yet
 * refreshed keeps it, so nothing flickers. */
static void confirmed_in(struct inst_reactor *r, const struct inst_mutation *m) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (query->has_result && !inst_mutations_apply_to(m, query)) {
            query->layer_epoch = 0;
            inst_queries_touch(r, query);
        }
    }
}

void inst_mutations_confirm(struct inst_reactor *r, struct inst_mutation *m, int64_t tx_id) {
    if (m->is_in_flight) {
        m->is_in_flight = false;
        r->in_flight--;
    }
    if (m->tx_id) {
        return; /* said twice */
    }
    r->confirmed++;
    m->tx_id = tx_id;
    m->confirmed_at = inst_reactor_now(r);
    confirmed_in(r, m);
    inst_pages_touch(r, m, false);
    if (m->has_attr_steps) {
        struct inst_err err = {0};
        if (inst_known_attrs_join(r, m, &err) != INST_OK) {
            inst_reactor_log(r, INST_LOG_ERROR, "cannot keep new attrs: %s", err.message);
        }
        inst_err_clear(&err);
    }
    settle(r, m, "synced");
}

void inst_mutations_fail(struct inst_reactor *r, struct inst_mutation *m,
                         struct inst_problem *problem) {
    bool is_told_later = inst_pages_fail_later(r, m, problem);
    struct inst_tx_waiter *waiter = m->waiter;
    m->waiter = NULL;
    uint64_t instance = m->instance;
    char event_id[INST_UUID_TEXT + 1];
    memcpy(event_id, m->event_id, sizeof(event_id));
    if (m->has_attr_steps) {
        inst_reactor_attrs_changed(r);
    }
    take_out(r, m);
    r->epoch++;
    inst_queries_touch_all(r);
    if (!is_told_later) {
        inst_mutations_tell_failure(r, waiter, instance, event_id, problem);
    }
}

void inst_mutations_fail_all(struct inst_reactor *r, const char *type, const char *message) {
    while (r->first) {
        struct inst_mutation *m = r->first;
        /* Of one that was told "enqueued" the listeners hear; not so at the end, when nobody is
         * left to do anything about it. */
        if (m->tx_id || (!m->waiter && r->is_shutdown)) {
            take_out(r, m);
            continue;
        }
        struct inst_problem problem;
        inst_problem_local(&problem, type, message);
        inst_mutations_fail(r, m, &problem);
    }
    r->epoch++;
}

void inst_mutations_fail_of(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem) {
    for (struct inst_mutation *m = r->first, *next; m; m = next) {
        next = m->next;
        if (m->instance == instance && !m->tx_id) {
            struct inst_problem copy = {0};
            inst_problem_copy(&copy, problem);
            inst_mutations_fail(r, m, &copy);
        }
    }
}

/* What is kept will be sent by the next run. */
void inst_mutations_shutdown(struct inst_reactor *r) {
    inst_waiting_shutdown(r);
    if (r->persist.state != INST_PERSIST_READY) {
        inst_mutations_fail_all(r, "shutdown", "The client was shut down.");
        return;
    }
    inst_pages_shutdown(r);
    for (struct inst_mutation *m = r->first; m; m = m->next) {
        if (m->waiter) {
            inst_pages_touch(r, m, true);
        }
    }
}

void inst_mutations_abandon(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem) {
    inst_waiting_abandon(r, instance, problem);
    inst_pages_abandon(r, instance);
    for (struct inst_mutation *m = r->first; m; m = m->next) {
        if (m->instance == instance && m->waiter) {
            inst_problem_copy(&m->waiter->problem, problem);
            inst_events_push(r, &m->waiter->event);
            m->waiter = NULL;
        }
    }
}

void inst_mutations_expire(struct inst_reactor *r, int64_t now) {
    if (now < r->ack_at || !r->is_online) {
        return;
    }
    r->ack_at = INST_REACTOR_NEVER;
    size_t left = r->in_flight;
    for (struct inst_mutation *m = r->first, *next; m && left; m = next) {
        next = m->next;
        if (!m->is_in_flight) {
            continue;
        }
        left--;
        if (m->ack_deadline <= now) {
            struct inst_problem problem;
            inst_problem_local(&problem, "timeout", "transaction timed out");
            inst_mutations_fail(r, m, &problem);
        } else if (m->ack_deadline < r->ack_at) {
            r->ack_at = m->ack_deadline;
        }
    }
}

/* ---- cleaning up (session.md 5.9) ---- */

/* Takes out confirmed ones up to tx id `max`, or confirmed before `time`. */
static void clean(struct inst_reactor *r, int64_t max_tx_id, int64_t time, bool *any) {
    size_t left = r->confirmed;
    for (struct inst_mutation *m = r->first, *next; m && left; m = next) {
        next = m->next;
        if (!m->tx_id) {
            continue;
        }
        left--;
        if (m->tx_id <= max_tx_id || m->confirmed_at < time) {
            *any = true;
            take_out(r, m);
        }
    }
}

/*
 * What every query has seen goes; it lies on none of them, so no layer changes. While a query still
 * waits for its first answer nothing goes: that answer may be older than what the others have seen,
 * and would show the state before the mutation.
 */
void inst_mutations_clean_by_queries(struct inst_reactor *r) {
    int64_t seen = INT64_MAX;
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (query->is_awaited) {
            return;
        }
        if (query->has_result && query->processed_tx_id && query->processed_tx_id < seen) {
            seen = query->processed_tx_id;
        }
    }
    bool any = false;
    clean(r, seen, INT64_MIN, &any);
}

/* A query that a mutation does not concern is never refreshed and would hold it for ever. */
void inst_mutations_clean_by_time(struct inst_reactor *r) {
    if (r->pending < INST_REACTOR_CLEANUP_THRESHOLD || !r->confirmed) {
        return;
    }
    bool any = false;
    clean(r, 0, inst_reactor_now(r) - INST_REACTOR_CONFIRMED_MS, &any);
    if (any) {
        r->epoch++;
        inst_queries_touch_all(r);
    }
}

void inst_mutations_free(struct inst_reactor *r) {
    while (r->first) {
        take_out(r, r->first);
    }
    unref_block(r->block);
    r->block = NULL;
}
