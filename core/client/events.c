#include "client/reactor_internal.h"

#include <stdlib.h>

/* ---- subscriptions ---- */

static void enlist(struct inst_reactor *r, struct inst_sub_list *list) {
    list->r = r;
    list->prev_list = NULL;
    list->next_list = r->sub_lists;
    if (r->sub_lists) {
        r->sub_lists->prev_list = list;
    }
    r->sub_lists = list;
}

static void delist(struct inst_sub_list *list) {
    if (list->prev_list) {
        list->prev_list->next_list = list->next_list;
    } else {
        list->r->sub_lists = list->next_list;
    }
    if (list->next_list) {
        list->next_list->prev_list = list->prev_list;
    }
    list->r = NULL;
}

enum inst_status inst_subs_add(struct inst_reactor *r, struct inst_sub_list *list,
                               const struct inst_sub *like, struct inst_sub **out,
                               struct inst_err *err) {
    struct inst_sub *sub = malloc(sizeof(*sub));
    if (!sub) {
        return inst_err_nomem(err);
    }
    *sub = *like;
    sub->id = ++r->next_sub;
    sub->instance = r->instance;
    sub->list = list;
    if (!inst_map_add(&r->subs, &sub->id, sizeof(sub->id), sub)) {
        free(sub);
        return inst_err_nomem(err);
    }
    if (!list->first) {
        enlist(r, list);
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
    if (!list->first) {
        delist(list);
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
    for (struct inst_sub_list *list = r->sub_lists, *next; list; list = next) {
        next = list->next_list;
        sweep(list);
    }
    r->has_dead_subs = false;
}

void inst_reactor_unsubscribe(struct inst_reactor *r, uint64_t id) {
    struct inst_sub *sub = inst_map_get(&r->subs, &id, sizeof(id));
    if (!sub) {
        return;
    }
    void (*ended)(struct inst_reactor *, void *) = sub->ended;
    void *owner = sub->owner;
    inst_subs_end(r, sub);
    if (ended) {
        ended(r, owner);
    }
    inst_events_deliver(r);
}

void inst_subs_free(struct inst_sub_list *list) {
    for (struct inst_sub *sub = list->first, *next; sub; sub = next) {
        next = sub->next;
        unlink_sub(sub);
    }
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

bool inst_sub_is_due(const struct inst_sub *sub, uint64_t last_id) {
    return !sub->is_dead && sub->id <= last_id;
}

static bool must_pause(struct inst_reactor *r) {
    return !r->is_shutdown && r->is_time_up && r->is_time_up(r->time_ctx);
}

/* Until none is left or the time is up; at_once: the first one whatever the time. */
static void deliver(struct inst_reactor *r, bool at_once) {
    r->is_delivering = true;
    r->is_paused = false;
    while (r->first_event) {
        r->is_paused = !at_once && must_pause(r);
        if (r->is_paused) {
            break;
        }
        at_once = false;
        struct inst_event *event = pop(r);
        event->ops->deliver(r, event);
    }
    r->is_delivering = false;
    if (r->is_shutdown) {
        inst_reactor_forget_all(r);
    }
    if (r->has_dead_subs) {
        sweep_all(r);
    }
}

void inst_events_deliver(struct inst_reactor *r) {
    /* What a callback causes waits for the loop that it was called from, and what comes behind
     * events that wait has to wait with them. */
    if (r->is_silent || r->is_delivering || (r->is_paused && !r->is_shutdown)) {
        return;
    }
    deliver(r, false);
}

void inst_reactor_pace(struct inst_reactor *r, bool (*is_time_up)(void *ctx), void *ctx) {
    r->is_time_up = is_time_up;
    r->time_ctx = ctx;
}

bool inst_reactor_go_on(struct inst_reactor *r) {
    if (r->is_silent || r->is_delivering || !r->is_paused) {
        return false;
    }
    deliver(r, true);
    return r->is_paused;
}

void inst_events_drop(struct inst_reactor *r) {
    struct inst_event *event;
    while ((event = pop(r)) != NULL) {
        event->ops->drop(r, event);
    }
}
