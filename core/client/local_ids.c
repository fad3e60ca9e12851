/*
 * local_ids.c - getLocalId: an id by name that is the same on this device for ever (session.md
 * 5.11).
 *
 * There is one record by name, so that two who ask at once get the same id. With a storage nobody
 * is told an id that is not on the disk yet: after a crash it would be another one.
 */
#include "client/reactor_internal.h"

#include <stdlib.h>

#define KEY "localToken_"

struct id_waiter {
    struct inst_event event;
    struct id_waiter *next;
    inst_local_id_fn *fn;
    void *ctx;
    uint64_t instance; /* that asks */
    char id[INST_UUID_TEXT + 1];
    struct inst_problem problem; /* id is "" */
};

struct inst_local_id {
    struct inst_kept kept;
    struct inst_local_id *next;
    struct id_waiter *first, *last;
    char id[INST_UUID_TEXT + 1]; /* "": not known */
    bool is_safe;                /* it can be told */
    char key[];                  /* KEY, then the name */
};

static void drop(struct inst_reactor *r, struct inst_event *event) {
    struct id_waiter *waiter = (struct id_waiter *)event;
    (void)r;
    inst_problem_clear(&waiter->problem);
    free(waiter);
}

static void deliver(struct inst_reactor *r, struct inst_event *event) {
    struct id_waiter *waiter = (struct id_waiter *)event;
    struct inst_reactor_error view = inst_problem_view(&waiter->problem);
    bool is_known = waiter->id[0] != '\0';
    waiter->fn(waiter->ctx, is_known ? waiter->id : NULL, is_known ? NULL : &view);
    drop(r, event);
}

static const struct inst_event_ops waiter_ops = {deliver, drop};

/* problem NULL: the id. */
static void tell(struct inst_reactor *r, struct inst_local_id *local,
                 const struct inst_problem *problem) {
    while (local->first) {
        struct id_waiter *waiter = local->first;
        local->first = waiter->next;
        if (problem) {
            inst_problem_copy(&waiter->problem, problem);
        } else {
            memcpy(waiter->id, local->id, sizeof(waiter->id));
        }
        inst_events_push(r, &waiter->event);
    }
    local->last = NULL;
}

static void fail(struct inst_reactor *r, struct inst_local_id *local, const struct inst_err *err) {
    struct inst_problem problem = {0};
    inst_err_set(&problem.err, "storage-failed", 0, "The id could not be kept: %s", err->message);
    tell(r, local, &problem);
    inst_problem_clear(&problem);
}

/* ---- on disk ---- */

static bool save(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size) {
    struct inst_local_id *local = (struct inst_local_id *)kept;
    (void)r;
    (void)size;
    inst_buf_addf(out, "\"%s\"", local->id);
    return local->id[0] != '\0';
}

static bool loaded(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err) {
    struct inst_local_id *local = (struct inst_local_id *)kept;
    struct inst_uuid uuid;
    if (err) {
        fail(r, local, err); /* the next who asks has it read again */
        return true;
    }
    if (value && value->tag == INST_STRING && inst_uuid_parse(value->u.str, value->len, &uuid)) {
        memcpy(local->id, value->u.str, INST_UUID_TEXT);
        local->is_safe = true;
        tell(r, local, NULL);
        return true;
    }
    inst_uuid_make_text(&r->env, local->id);
    inst_kept_touch_now(r, kept);
    return !value;
}

static void written(struct inst_reactor *r, struct inst_kept *kept, const struct inst_err *err) {
    struct inst_local_id *local = (struct inst_local_id *)kept;
    if (err) {
        fail(r, local, err);
    } else {
        local->is_safe = true;
        tell(r, local, NULL);
    }
}

static const struct inst_kept_ops local_id_ops = {save, loaded, written};

/* ---- asking ---- */

static struct inst_local_id *get(struct inst_reactor *r, const char *name, size_t len) {
    for (struct inst_local_id *local = r->local_ids; local; local = local->next) {
        const char *its = local->key + sizeof(KEY) - 1;
        if (strlen(its) == len && memcmp(its, name, len) == 0) {
            return local;
        }
    }
    struct inst_local_id *local = calloc(1, sizeof(*local) + sizeof(KEY) + len);
    if (!local) {
        return NULL;
    }
    memcpy(local->key, KEY, sizeof(KEY) - 1);
    memcpy(local->key + sizeof(KEY) - 1, name, len);
    local->kept.ops = &local_id_ops;
    local->kept.key = local->key;
    inst_kept_begin(r, &local->kept, INST_PERSIST_KV);
    local->next = r->local_ids;
    r->local_ids = local;
    r->local_id_count++;
    if (!local->kept.ops) { /* no storage: it lives as long as the client */
        inst_uuid_make_text(&r->env, local->id);
        local->is_safe = true;
    }
    return local;
}

static void append(struct inst_local_id *local, struct id_waiter *waiter) {
    waiter->next = NULL;
    if (local->last) {
        local->last->next = waiter;
    } else {
        local->first = waiter;
    }
    local->last = waiter;
}

enum inst_status inst_reactor_local_id(struct inst_reactor *r, const char *name, size_t len,
                                       inst_local_id_fn *fn, void *ctx, struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (len > INST_LOCAL_ID_MAX_NAME || memchr(name, 0, len)) {
        return inst_err_set(err, "validation-failed", 400,
                            "The name of a local id must be at most %d bytes without NUL.",
                            INST_LOCAL_ID_MAX_NAME);
    }
    if (r->local_id_count >= INST_LOCAL_ID_MAX) {
        return inst_err_set(err, "limit-exceeded", 400, "Too many local ids.");
    }
    struct inst_local_id *local = get(r, name, len);
    struct id_waiter *waiter = local ? calloc(1, sizeof(*waiter)) : NULL;
    if (!waiter) {
        return inst_err_nomem(err);
    }
    *waiter =
        (struct id_waiter){.event.ops = &waiter_ops, .fn = fn, .ctx = ctx, .instance = r->instance};
    append(local, waiter);
    if (local->is_safe) {
        tell(r, local, NULL);
    } else if (local->id[0]) {
        inst_kept_touch_now(r, &local->kept); /* on its way, or it failed before */
    } else {
        inst_kept_load(r, &local->kept);
    }
    inst_events_deliver(r);
    return INST_OK;
}

/* ---- the end ---- */

void inst_local_ids_shutdown(struct inst_reactor *r) {
    struct inst_problem problem;
    inst_problem_local(&problem, "shutdown", "The client was shut down.");
    for (struct inst_local_id *local = r->local_ids; local; local = local->next) {
        tell(r, local, &problem);
    }
    inst_problem_clear(&problem);
}

void inst_local_ids_abandon(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem) {
    for (struct inst_local_id *local = r->local_ids; local; local = local->next) {
        struct id_waiter *rest = local->first;
        local->first = local->last = NULL;
        while (rest) {
            struct id_waiter *waiter = rest;
            rest = waiter->next;
            if (waiter->instance == instance) {
                inst_problem_copy(&waiter->problem, problem);
                inst_events_push(r, &waiter->event);
            } else {
                append(local, waiter);
            }
        }
    }
}

static void hear_nothing(void *ctx, const char *id, const struct inst_reactor_error *error) {
    (void)ctx, (void)id, (void)error;
}

void inst_local_ids_hush(struct inst_reactor *r, uint64_t instance) {
    for (struct inst_local_id *local = r->local_ids; local; local = local->next) {
        for (struct id_waiter *waiter = local->first; waiter; waiter = waiter->next) {
            waiter->fn = waiter->instance == instance ? hear_nothing : waiter->fn;
        }
    }
}

void inst_local_ids_free(struct inst_reactor *r) {
    while (r->local_ids) {
        struct inst_local_id *local = r->local_ids;
        r->local_ids = local->next;
        inst_kept_end(r, &local->kept);
        while (local->first) {
            struct id_waiter *waiter = local->first;
            local->first = waiter->next;
            free(waiter);
        }
        free(local);
    }
}
