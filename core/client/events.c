#include "client/reactor_internal.h"

#include <stdlib.h>

/* ---- subscriptions ---- */

enum inst_status inst_subs_add(struct inst_reactor *r, struct inst_sub_list *list,
                               const struct inst_sub *like, struct inst_sub **out,
                               struct inst_err *err) {
    struct inst_sub *sub = malloc(sizeof(*sub));
    if (!sub) {
        return inst_err_nomem(err);
    }
    *sub = *like;
    sub->id = ++r->next_sub;
    sub->list = list;
    if (!inst_map_add(&r->subs, &sub->id, sizeof(sub->id), sub)) {
        free(sub);
        return inst_err_nomem(err);
    }
    sub->next = NULL;
    sub->prev = list->last;
    if (list->last) {
        list->last->next = sub;
    } else {
        list->first = sub;
    }
    list->last = sub;
    list->live++;
    *out = sub;
    return INST_OK;
}

static void unlink_sub(struct inst_sub *sub) {
    struct inst_sub_list *list = sub->list;
    if (sub->prev) {
        sub->prev->next = sub->next;
    } else {
        list->first = sub->next;
    }
    if (sub->next) {
        sub->next->prev = sub->prev;
    } else {
        list->last = sub->prev;
    }
    free(sub);
}

void inst_subs_end(struct inst_reactor *r, struct inst_sub *sub) {
    inst_map_remove(&r->subs, &sub->id, sizeof(sub->id));
    sub->is_dead = true;
    sub->list->live--;
    if (r->is_delivering) {
        r->has_dead_subs = true;
    } else {
        unlink_sub(sub);
    }
}

static void sweep(struct inst_sub_list *list) {
    for (struct inst_sub *sub = list->first, *next; sub; sub = next) {
        next = sub->next;
        if (sub->is_dead) {
            unlink_sub(sub);
        }
    }
}

static void sweep_all(struct inst_reactor *r) {
    sweep(&r->mutation_error_subs);
    sweep(&r->status_subs);
    sweep(&r->app_status_subs);
    sweep(&r->attrs_subs);
    for (struct inst_live_query *q = r->first_query; q; q = q->next) {
        sweep(&q->subs);
    }
    r->has_dead_subs = false;
}

void inst_subs_drop_all(struct inst_reactor *r, struct inst_sub_list *list) {
    for (struct inst_sub *sub = list->first, *next; sub; sub = next) {
        next = sub->next;
        if (!sub->is_dead) {
            inst_subs_end(r, sub);
        }
    }
}

/* ---- the queue ---- */

void inst_events_push(struct inst_reactor *r, struct inst_event *event) {
    if (event->is_queued) {
        return;
    }
    event->is_queued = true;
    event->next = NULL;
    if (r->last_event) {
        r->last_event->next = event;
    } else {
        r->first_event = event;
    }
    r->last_event = event;
}

static struct inst_event *pop(struct inst_reactor *r) {
    struct inst_event *event = r->first_event;
    if (event) {
        r->first_event = event->next;
        if (!r->first_event) {
            r->last_event = NULL;
        }
        event->is_queued = false;
    }
    return event;
}

/* Only those that were there when the event came get it; a list grows at its end only. */
static bool is_due(const struct inst_sub *sub, uint64_t last_id) {
    return !sub->is_dead && sub->id <= last_id;
}

static void deliver_status(struct inst_reactor *r, struct inst_status_event *event) {
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->status_subs.first; sub; sub = sub->next) {
        if (is_due(sub, last)) {
            sub->fn.status(sub->ctx, event->status, event->has_problem ? &view : NULL);
        }
    }
    inst_problem_clear(&event->problem);
    free(event);
}

static void deliver_mutation_error(struct inst_reactor *r,
                                   struct inst_mutation_error_event *event) {
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->mutation_error_subs.first; sub; sub = sub->next) {
        if (is_due(sub, last)) {
            sub->fn.mutation_error(sub->ctx, event->event_id, &view);
        }
    }
    inst_problem_clear(&event->problem);
    free(event);
}

static void deliver_app_status(struct inst_reactor *r) {
    struct inst_app_status status = inst_reactor_app_status(r);
    bool is_for_all = r->app_status_changed;
    r->app_status_changed = false;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->app_status_subs.first; sub; sub = sub->next) {
        if (is_due(sub, last) && (is_for_all || sub->is_fresh)) {
            sub->is_fresh = false;
            sub->fn.app_status(sub->ctx, &status);
        }
    }
}

static void deliver_attrs(struct inst_reactor *r) {
    struct inst_attrs *attrs = inst_reactor_attrs(r);
    bool is_for_all = r->attrs_changed;
    r->attrs_changed = false;
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->attrs_subs.first; attrs && sub; sub = sub->next) {
        if (is_due(sub, last) && (is_for_all || sub->is_fresh)) {
            sub->is_fresh = false;
            sub->fn.attrs(sub->ctx, attrs);
        }
    }
    inst_attrs_unref(attrs);
}

static void deliver(struct inst_reactor *r, struct inst_event *event) {
    switch (event->kind) {
    case INST_EVENT_QUERY:
        inst_queries_deliver(r, (struct inst_live_query *)event);
        break;
    case INST_EVENT_QUERY_PROBLEM:
        inst_queries_deliver_problem(r, (struct inst_query_problem_event *)event);
        break;
    case INST_EVENT_SETTLE_ONCE:
        inst_queries_deliver_once(r, (struct inst_once *)event);
        break;
    case INST_EVENT_SETTLE_TX:
        inst_mutations_deliver(r, (struct inst_tx_waiter *)event);
        break;
    case INST_EVENT_MUTATION_ERROR:
        deliver_mutation_error(r, (struct inst_mutation_error_event *)event);
        break;
    case INST_EVENT_STATUS:
        deliver_status(r, (struct inst_status_event *)event);
        break;
    case INST_EVENT_APP_STATUS:
        deliver_app_status(r);
        break;
    case INST_EVENT_ATTRS:
        deliver_attrs(r);
        break;
    }
}

void inst_events_deliver(struct inst_reactor *r) {
    if (r->is_delivering) {
        return; /* what a callback causes waits for the loop below, which it was called from */
    }
    r->is_delivering = true;
    struct inst_event *event;
    while ((event = pop(r)) != NULL) {
        deliver(r, event);
    }
    r->is_delivering = false;
    if (r->is_shutdown) {
        inst_reactor_forget_all(r);
    }
    if (r->has_dead_subs) {
        sweep_all(r);
    }
}

static void drop(struct inst_event *event) {
    switch (event->kind) {
    case INST_EVENT_QUERY:
        inst_queries_unref((struct inst_live_query *)event);
        break;
    case INST_EVENT_QUERY_PROBLEM: {
        struct inst_query_problem_event *e = (struct inst_query_problem_event *)event;
        inst_queries_unref(e->query);
        inst_problem_clear(&e->problem);
        free(e);
        break;
    }
    case INST_EVENT_SETTLE_ONCE: {
        struct inst_once *once = (struct inst_once *)event;
        inst_shown_unref(once->shown);
        inst_problem_clear(&once->problem);
        free(once);
        break;
    }
    case INST_EVENT_SETTLE_TX: {
        struct inst_tx_waiter *waiter = (struct inst_tx_waiter *)event;
        inst_problem_clear(&waiter->problem);
        free(waiter);
        break;
    }
    case INST_EVENT_MUTATION_ERROR: {
        struct inst_mutation_error_event *e = (struct inst_mutation_error_event *)event;
        inst_problem_clear(&e->problem);
        free(e);
        break;
    }
    case INST_EVENT_STATUS: {
        struct inst_status_event *e = (struct inst_status_event *)event;
        inst_problem_clear(&e->problem);
        free(e);
        break;
    }
    case INST_EVENT_APP_STATUS:
    case INST_EVENT_ATTRS:
        break;
    }
}

void inst_events_drop(struct inst_reactor *r) {
    struct inst_event *event;
    while ((event = pop(r)) != NULL) {
        drop(event);
    }
}
