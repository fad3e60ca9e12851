#include "client/reactor_internal.h"

void inst_reactor_set_instance(struct inst_reactor *r, uint64_t instance) {
    r->instance = instance;
}

static void settle_outstanding(struct inst_reactor *r, uint64_t instance) {
    struct inst_problem problem;
    inst_problem_local(&problem, "shutdown", "The client was shut down.");
    inst_queries_fail_onces_of(r, instance, &problem);
    inst_mutations_abandon(r, instance, &problem);
    inst_local_ids_abandon(r, instance, &problem);
    inst_problem_clear(&problem);
}

static struct inst_sub *find_sub(const struct inst_reactor *r, uint64_t instance) {
    for (struct inst_sub_list *list = r->sub_lists; list; list = list->next_list) {
        for (struct inst_sub *sub = list->first; sub; sub = sub->next) {
            if (sub->instance == instance && !sub->is_dead) {
                return sub;
            }
        }
    }
    return NULL;
}

/* Ending one may take its list and others away, so each search starts over. */
static void end_subs(struct inst_reactor *r, uint64_t instance) {
    struct inst_sub *sub;
    while ((sub = find_sub(r, instance)) != NULL) {
        inst_reactor_unsubscribe(r, sub->id);
    }
}

void inst_reactor_end_instance(struct inst_reactor *r, uint64_t instance) {
    if (r->is_shutdown) {
        return;
    }
    settle_outstanding(r, instance);
    inst_reactor_tell_closed(r, instance);
    inst_events_deliver(r);
    end_subs(r, instance);
}

static void hear_no_query(void *ctx, const struct inst_query_result *result,
                          const struct inst_reactor_error *error) {
    (void)ctx, (void)result, (void)error;
}

static void hear_no_write(void *ctx, const struct inst_transact_result *result,
                          const struct inst_reactor_error *error) {
    (void)ctx, (void)result, (void)error;
}

void inst_reactor_forget_instance(struct inst_reactor *r, uint64_t instance) {
    for (struct inst_once *once = r->first_once; once; once = once->next) {
        once->fn = once->instance == instance ? hear_no_query : once->fn;
    }
    for (struct inst_mutation *m = r->first; m; m = m->next) {
        if (m->waiter && m->instance == instance) {
            m->waiter->fn = hear_no_write;
        }
    }
    inst_waiting_hush(r, instance);
    inst_pages_hush(r, instance, hear_no_write);
    inst_local_ids_hush(r, instance);
    end_subs(r, instance);
    inst_reactor_end_instance(r, instance);
}
