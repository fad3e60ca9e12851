#include "client/reactor_internal.h"
#include "client/sync_tables_internal.h"

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

/* ---- moving ---- */

/* The list of `to` that is what sub's is of r; NULL for a query's or a table's. */
static struct inst_sub_list *same_list(struct inst_reactor *r, const struct inst_sub *sub,
                                       struct inst_reactor *to) {
    struct inst_sub_list *const lists[][2] = {
        {&r->mutation_error_subs, &to->mutation_error_subs},
        {&r->status_subs, &to->status_subs},
        {&r->app_status_subs, &to->app_status_subs},
        {&r->attrs_subs, &to->attrs_subs},
        {&r->user_subs, &to->user_subs},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        if (sub->list == lists[i][0]) {
            return lists[i][1];
        }
    }
    return NULL;
}

/* Subscribes in `to` as sub is in r, under the same id. */
static enum inst_status copy_sub(struct inst_reactor *r, struct inst_sub *sub,
                                 struct inst_reactor *to, struct inst_err *err) {
    struct inst_sub_list *list = same_list(r, sub, to);
    struct inst_live_query *query = inst_queries_of_sub(sub);
    struct inst_live_table *table = inst_tables_of_sub(r, sub->id);
    uint64_t id;
    to->next_sub = sub->id - 1;
    if (list) {
        struct inst_sub like = {.fn = sub->fn, .ctx = sub->ctx, .is_fresh = sub->is_fresh}, *copy;
        return inst_subs_add(to, list, &like, &copy, err);
    }
    if (query) {
        return inst_reactor_subscribe_query(to, &query->q, NULL, sub->fn.query, sub->ctx, &id, err);
    }
    if (table) {
        return inst_reactor_subscribe_table(to, &table->q, sub->fn.table, sub->ctx, &id, err);
    }
    return inst_err_set(err, "connection-shared", 0,
                        "This client has a stream open on a connection that it shares. Close it "
                        "before the user changes, or give the client a connection of its own "
                        "(shareConnection = false).");
}

/* Within a list ids ascend, as they do in r. */
static enum inst_status copy_subs(struct inst_reactor *r, uint64_t instance,
                                  struct inst_reactor *to, struct inst_err *err) {
    enum inst_status status = INST_OK;
    for (struct inst_sub_list *list = r->sub_lists; list; list = list->next_list) {
        for (struct inst_sub *sub = list->first; sub && status == INST_OK; sub = sub->next) {
            if (sub->instance == instance && !sub->is_dead) {
                status = copy_sub(r, sub, to, err);
            }
        }
    }
    to->next_sub = r->next_sub;
    return status;
}

enum inst_status inst_reactor_move_instance(struct inst_reactor *r, uint64_t instance,
                                            struct inst_reactor *to, struct inst_err *err) {
    to->is_silent = true; /* until all are there */
    inst_user_share(r, to);
    enum inst_status status = copy_subs(r, instance, to, err);
    if (status != INST_OK) {
        return status;
    }
    to->is_app_known = r->is_app_known;
    to->app_status = r->app_status;
    to->attrs = r->attrs ? inst_attrs_ref(r->attrs) : NULL;
    to->status = r->status;
    struct inst_problem problem;
    inst_problem_local(&problem, "user-changed", "User changed while transaction was in progress.");
    inst_queries_fail_onces_of(r, instance, &problem);
    inst_mutations_fail_of(r, instance, &problem);
    inst_local_ids_abandon(r, instance, &problem);
    inst_problem_clear(&problem);
    inst_events_deliver(r);
    end_subs(r, instance);
    if (to->status != INST_CONNECTION_CONNECTING && to->status != INST_CONNECTION_CLOSED) {
        inst_reactor_set_status(to, INST_CONNECTION_CLOSED, NULL);
    }
    to->is_silent = false;
    inst_events_deliver(to);
    return INST_OK;
}
