/* waiting_tx.c - transactions that the app made before the storage was read (persist_start.c). */
#include "client/reactor_internal.h"

#include <stdlib.h>

struct inst_waiting_tx {
    struct inst_event event; /* when it fails */
    struct inst_waiting_tx *next;
    struct inst_arena arena;
    struct inst_value value; /* chunks or steps */
    bool are_steps;
    uint64_t instance; /* that wrote it */
    inst_transact_fn *fn;
    void *ctx;
    struct inst_problem problem;
};

static void free_one(struct inst_waiting_tx *tx) {
    inst_problem_clear(&tx->problem);
    inst_arena_free(&tx->arena);
    free(tx);
}

static void drop(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    free_one((struct inst_waiting_tx *)event);
}

static void deliver(struct inst_reactor *r, struct inst_event *event) {
    struct inst_waiting_tx *tx = (struct inst_waiting_tx *)event;
    struct inst_reactor_error view = inst_problem_view(&tx->problem);
    if (tx->fn) {
        tx->fn(tx->ctx, NULL, &view);
    }
    drop(r, event);
}

static const struct inst_event_ops waiting_ops = {deliver, drop};

static struct inst_waiting_tx *pop(struct inst_reactor *r) {
    struct inst_waiting_tx *tx = r->first_waiting;
    if (tx) {
        r->first_waiting = tx->next;
        r->last_waiting = r->first_waiting ? r->last_waiting : NULL;
        r->waiting--;
    }
    return tx;
}

static void append(struct inst_reactor *r, struct inst_waiting_tx *tx) {
    tx->next = NULL;
    if (r->last_waiting) {
        r->last_waiting->next = tx;
    } else {
        r->first_waiting = tx;
    }
    r->last_waiting = tx;
    r->waiting++;
}

enum inst_status inst_waiting_add(struct inst_reactor *r, const struct inst_value *chunks,
                                  bool are_steps, inst_transact_fn *fn, void *ctx,
                                  struct inst_err *err) {
    if (r->waiting >= INST_REACTOR_MAX_PENDING) {
        return inst_err_set(err, "limit-exceeded", 0, "Too many transactions wait for the server.");
    }
    struct inst_waiting_tx *tx = calloc(1, sizeof(*tx));
    if (!tx) {
        return inst_err_nomem(err);
    }
    tx->event.ops = &waiting_ops;
    tx->are_steps = are_steps;
    tx->instance = r->instance;
    tx->fn = fn;
    tx->ctx = ctx;
    inst_arena_init(&tx->arena);
    if (!inst_value_dup(&tx->arena, chunks, &tx->value)) {
        free_one(tx);
        return inst_err_nomem(err);
    }
    append(r, tx);
    return INST_OK;
}

void inst_waiting_resume(struct inst_reactor *r) {
    uint64_t instance = r->instance;
    struct inst_waiting_tx *tx;
    while ((tx = pop(r)) != NULL) {
        r->instance = tx->instance;
        if (inst_mutations_make(r, &tx->value, tx->are_steps, tx->fn, tx->ctx, &tx->problem.err) ==
            INST_OK) {
            free_one(tx);
        } else {
            inst_events_push(r, &tx->event);
        }
    }
    r->instance = instance;
}

void inst_waiting_abandon(struct inst_reactor *r, uint64_t instance,
                          const struct inst_problem *problem) {
    for (size_t left = r->waiting; left > 0; left--) {
        struct inst_waiting_tx *tx = pop(r);
        if (tx->instance == instance) {
            inst_problem_copy(&tx->problem, problem);
            inst_events_push(r, &tx->event);
        } else {
            append(r, tx);
        }
    }
}

void inst_waiting_hush(struct inst_reactor *r, uint64_t instance) {
    for (struct inst_waiting_tx *tx = r->first_waiting; tx; tx = tx->next) {
        tx->fn = tx->instance == instance ? NULL : tx->fn;
    }
}

void inst_waiting_shutdown(struct inst_reactor *r) {
    struct inst_waiting_tx *tx;
    while ((tx = pop(r)) != NULL) {
        inst_problem_local(&tx->problem, "shutdown", "The client was shut down.");
        inst_events_push(r, &tx->event);
    }
}

void inst_waiting_free(struct inst_reactor *r) {
    struct inst_waiting_tx *tx;
    while ((tx = pop(r)) != NULL) {
        free_one(tx);
    }
}
