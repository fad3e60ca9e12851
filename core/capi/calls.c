/* calls.c - queries, transactions, statuses. */
#include "capi/capi.h"

#include <stdlib.h>

/* ---- queries ---- */

const struct instant_value *instant_result_data(const struct instant_result *result) {
    return inst_capi_out(result->result->data);
}

const struct instant_value *instant_result_page_info(const struct instant_result *result) {
    return inst_capi_out(result->result->page_info);
}

const struct instant_value *instant_result_aggregate(const struct instant_result *result) {
    return inst_capi_out(result->result->aggregate);
}

static void tell_query(instant_query_fn *fn, void *ctx, const struct inst_query_result *result,
                       const struct inst_reactor_error *error) {
    if (error) {
        struct instant_error view = inst_capi_view(error);
        fn(ctx, NULL, &view);
    } else {
        struct instant_result view = {result};
        fn(ctx, &view, NULL);
    }
}

static void on_query(void *ctx, const struct inst_query_result *result,
                     const struct inst_reactor_error *error) {
    const struct inst_capi_callback *callback = ctx;
    tell_query(callback->fn.query, callback->ctx, result, error);
}

static void on_query_once(void *ctx, const struct inst_query_result *result,
                          const struct inst_reactor_error *error) {
    struct inst_capi_callback *callback = ctx, it = *callback;
    inst_capi_callback_free(callback);
    tell_query(it.fn.query, it.ctx, result, error);
}

/* What both ways to ask begin with. */
static enum inst_status prepare(struct instant_db *db, const struct instant_value *query,
                                const struct instant_value *rule_params, struct inst_value taken[2],
                                enum inst_capi_kind kind, void *ctx,
                                struct inst_capi_callback **callback, struct inst_err *err) {
    *callback = NULL;
    enum inst_status status = inst_capi_take(query, &taken[0], err);
    if (status == INST_OK)
        status = inst_capi_take(rule_params, &taken[1], err);
    if (status == INST_OK && !(*callback = inst_capi_callback_new(db, kind, ctx)))
        status = inst_err_nomem(err);
    return status;
}

static const struct inst_value *unless_absent(const struct inst_value *value) {
    return value->tag == INST_UNDEFINED ? NULL : value;
}

bool instant_subscribe_query(struct instant_db *db, const struct instant_value *query,
                             const struct instant_value *rule_params, instant_query_fn *fn,
                             void *ctx, uint64_t *subscription, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken[2];
    struct inst_capi_callback *callback;
    enum inst_status status =
        prepare(db, query, rule_params, taken, INST_CAPI_WATCH, ctx, &callback, &err);
    if (status == INST_OK) {
        callback->fn.query = fn;
        if (subscription)
            *subscription = callback->id;
        status = inst_reactor_subscribe_query(inst_client_reactor(db->client), &taken[0],
                                              unless_absent(&taken[1]), on_query, callback,
                                              &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

bool instant_query_once(struct instant_db *db, const struct instant_value *query,
                        const struct instant_value *rule_params, instant_query_fn *fn, void *ctx,
                        struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken[2];
    struct inst_capi_callback *callback;
    enum inst_status status =
        prepare(db, query, rule_params, taken, INST_CAPI_ONCE, ctx, &callback, &err);
    if (status == INST_OK) {
        callback->fn.query = fn;
        status = inst_reactor_query_once(inst_client_reactor(db->client), &taken[0],
                                         unless_absent(&taken[1]), on_query_once, callback, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

/* ---- transactions ---- */

static void on_transact(void *ctx, const struct inst_transact_result *result,
                        const struct inst_reactor_error *error) {
    struct inst_capi_callback *callback = ctx, it = *callback;
    inst_capi_callback_free(callback);
    if (!it.fn.transact)
        return;
    if (error) {
        struct instant_error view = inst_capi_view(error);
        it.fn.transact(it.ctx, NULL, NULL, &view);
    } else {
        it.fn.transact(it.ctx, result->status, result->event_id, NULL);
    }
}

bool instant_transact(struct instant_db *db, const struct instant_value *steps,
                      instant_transact_fn *fn, void *ctx, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken, chunks;
    struct inst_arena arena;
    struct inst_capi_callback *callback = NULL;
    inst_arena_init(&arena);
    enum inst_status status = inst_capi_take(steps, &taken, &err);
    if (status == INST_OK)
        status = inst_capi_chunks(&arena, &taken, &chunks, &err);
    if (status == INST_OK && !(callback = inst_capi_callback_new(db, INST_CAPI_ONCE, ctx)))
        status = inst_err_nomem(&err);
    if (status == INST_OK) {
        callback->fn.transact = fn;
        status = inst_reactor_transact(inst_client_reactor(db->client), &chunks, on_transact,
                                       callback, &err);
    }
    inst_arena_free(&arena);
    return inst_capi_finish(callback, status, &err, error);
}

static void on_mutation_error(void *ctx, const char *event_id,
                              const struct inst_reactor_error *error) {
    const struct inst_capi_callback *callback = ctx;
    struct instant_error view = inst_capi_view(error);
    callback->fn.mutation_error(callback->ctx, event_id, &view);
}

/* A callback of a call that takes nothing else; NULL, with err, when there is no memory. */
static struct inst_capi_callback *listen(struct instant_db *db, enum inst_capi_kind kind, void *ctx,
                                         uint64_t *subscription, struct inst_err *err) {
    struct inst_capi_callback *callback = inst_capi_callback_new(db, kind, ctx);
    if (!callback)
        inst_err_nomem(err);
    else if (subscription)
        *subscription = callback->id;
    return callback;
}

bool instant_subscribe_mutation_errors(struct instant_db *db, instant_mutation_error_fn *fn,
                                       void *ctx, uint64_t *subscription,
                                       struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_capi_callback *callback = listen(db, INST_CAPI_LISTEN, ctx, subscription, &err);
    enum inst_status status = INST_NOMEM;
    if (callback) {
        callback->fn.mutation_error = fn;
        status = inst_reactor_subscribe_mutation_errors(
            inst_client_reactor(db->client), on_mutation_error, callback, &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

size_t instant_pending(struct instant_db *db) {
    return inst_reactor_unconfirmed_count(inst_client_reactor(db->client));
}

/* ---- the connection and the app ---- */

const char *instant_connection_status(struct instant_db *db) {
    return inst_connection_status_name(inst_reactor_status(inst_client_reactor(db->client)));
}

static void on_connection(void *ctx, enum inst_connection_status status,
                          const struct inst_reactor_error *error) {
    const struct inst_capi_callback *callback = ctx;
    struct instant_error view = error ? inst_capi_view(error) : (struct instant_error){0};
    callback->fn.connection(callback->ctx, inst_connection_status_name(status),
                            error ? &view : NULL);
}

bool instant_subscribe_connection_status(struct instant_db *db, instant_connection_fn *fn,
                                         void *ctx, uint64_t *subscription,
                                         struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_capi_callback *callback = listen(db, INST_CAPI_WATCH, ctx, subscription, &err);
    enum inst_status status = INST_NOMEM;
    if (callback) {
        callback->fn.connection = fn;
        status = inst_reactor_subscribe_connection_status(
            inst_client_reactor(db->client), on_connection, callback, &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

static void on_app_status(void *ctx, const struct inst_app_status *status) {
    const struct inst_capi_callback *callback = ctx;
    callback->fn.app_status(callback->ctx, status->is_loading ? NULL : status->status);
}

bool instant_subscribe_app_status(struct instant_db *db, instant_app_status_fn *fn, void *ctx,
                                  uint64_t *subscription, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_capi_callback *callback = listen(db, INST_CAPI_WATCH, ctx, subscription, &err);
    enum inst_status status = INST_NOMEM;
    if (callback) {
        callback->fn.app_status = fn;
        status = inst_reactor_subscribe_app_status(inst_client_reactor(db->client), on_app_status,
                                                   callback, &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}
