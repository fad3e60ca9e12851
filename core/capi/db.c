/* db.c - how a client is made and how it ends; its callbacks. */
#include "capi/capi.h"

#include <stdlib.h>
#include <string.h>

/* ---- callbacks ---- */

struct inst_capi_callback *inst_capi_callback_new(struct instant_db *db, enum inst_capi_kind kind,
                                                  void *ctx) {
    struct inst_capi_callback *callback = calloc(1, sizeof *callback);
    if (!callback)
        return NULL;
    callback->id = kind == INST_CAPI_ONCE ? 0 : ++db->last_id;
    if (callback->id &&
        !inst_map_add(&db->subscriptions, &callback->id, sizeof callback->id, callback)) {
        free(callback);
        return NULL;
    }
    callback->db = db;
    callback->ctx = ctx;
    callback->holds = kind != INST_CAPI_LISTEN;
    callback->next = db->callbacks;
    if (callback->next)
        callback->next->prev = callback;
    db->callbacks = callback;
    if (callback->holds)
        inst_loop_hold(db->loop->loop);
    return callback;
}

bool inst_capi_finish(struct inst_capi_callback *callback, enum inst_status status,
                      struct inst_err *err, struct instant_error **error) {
    if (status == INST_OK)
        return true;
    if (callback)
        inst_capi_callback_free(callback);
    return inst_capi_fail(error, err);
}

void inst_capi_callback_free(struct inst_capi_callback *callback) {
    struct instant_db *db = callback->db;
    if (callback->id)
        inst_map_remove(&db->subscriptions, &callback->id, sizeof callback->id);
    if (callback->prev)
        callback->prev->next = callback->next;
    else
        db->callbacks = callback->next;
    if (callback->next)
        callback->next->prev = callback->prev;
    if (callback->holds)
        inst_loop_release(db->loop->loop);
    free(callback);
}

void instant_unsubscribe(struct instant_db *db, uint64_t subscription) {
    struct inst_capi_callback *callback =
        inst_map_get(&db->subscriptions, &subscription, sizeof subscription);
    if (!callback)
        return;
    uint64_t id = callback->reactor;
    struct inst_reactor *reactor = callback->is_in_room ? inst_client_own_reactor(db->client, NULL)
                                                        : inst_client_reactor(db->client);
    inst_capi_callback_free(callback);
    if (reactor)
        inst_reactor_unsubscribe(reactor, id);
}

/* ---- the end ---- */

static void unlink_db(struct instant_db *db) {
    if (db->prev)
        db->prev->next = db->next;
    else
        db->loop->dbs = db->next;
    if (db->next)
        db->next->prev = db->prev;
}

void inst_capi_db_free(struct instant_db *db) {
    inst_loop_undefer(db->loop->loop, &db->bury);
    inst_capi_end_requests(db, true);
    inst_client_free(db->client);
    inst_capi_vault_free(db);
    while (db->callbacks)
        inst_capi_callback_free(db->callbacks);
    inst_local_backend_release(&db->loop->backends, db->backend);
    inst_map_free(&db->subscriptions);
    unlink_db(db);
    free(db->app_id);
    free(db->api_uri);
    free(db->ca_file);
    free(db);
}

static void bury(void *ctx) {
    struct instant_db *db = ctx;
    inst_loop_release(db->loop->loop);
    inst_capi_db_free(db);
}

void instant_shutdown(struct instant_db *db) {
    if (!db)
        return;
    inst_client_shutdown(db->client);
    inst_capi_end_requests(db, false);
    inst_capi_end_keeps(db);
    /* Those that are called once have heard of it, or will, when a callback ends its own db. */
    for (struct inst_capi_callback *callback = db->callbacks, *next; callback; callback = next) {
        next = callback->next;
        if (callback->id)
            inst_capi_callback_free(callback);
    }
    inst_loop_hold(db->loop->loop);
    inst_loop_defer(db->loop->loop, &db->bury);
}

/* ---- init ---- */

static bool keep(char **out, const char *text) { return !text || (*out = strdup(text)) != NULL; }

static enum inst_status start(struct instant_db *db, const struct inst_value *config,
                              struct inst_err *err) {
    struct inst_arena arena;
    struct inst_capi_options options;
    inst_arena_init(&arena);
    enum inst_status status = inst_capi_options_read(&arena, config, &options, err);
    if (status == INST_OK && options.local_path)
        status = inst_local_backend_open(&db->loop->backends, db->loop->loop, options.local_path,
                                         &db->backend, err);
    struct inst_reactor_config *reactor = &options.client.reactor;
    if (status == INST_OK && db->backend) {
        options.client.backend = db->backend->backend;
        reactor->app_id =
            reactor->app_id ? reactor->app_id : inst_backend_app_id(options.client.backend);
    }
    if (status == INST_OK &&
        !(keep(&db->app_id, reactor->app_id) && keep(&db->api_uri, options.http_uri) &&
          keep(&db->ca_file, options.client.ca_file)))
        status = inst_err_nomem(err);
    const char *scope = db->api_uri ? db->api_uri : "local";
    if (status == INST_OK && options.has_vault) {
        status = inst_vault_open(db->loop->loop, &options.vault, &db->vault, err);
        options.client.vault = db->vault;
        options.client.vault_scope = scope;
        options.client.has_own_connection = reactor->awaits_user = true;
    }
    if (status == INST_OK)
        status = inst_client_new(db->loop->loop, &options.client, &db->client, err);
    if (status == INST_OK && db->vault)
        status = inst_capi_vault_attach(db, scope, err);
    inst_arena_free(&arena);
    return status;
}

struct instant_db *instant_init(struct instant_loop *loop, const struct instant_value *config,
                                struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value value;
    struct instant_db *db = NULL;
    enum inst_status status = inst_capi_take(config, &value, &err);
    if (status == INST_OK && !(db = calloc(1, sizeof *db)))
        status = inst_err_nomem(&err);
    if (status != INST_OK) {
        inst_capi_fail(error, &err);
        return NULL;
    }
    db->loop = loop;
    db->bury = (struct inst_deferred){.fn = bury, .ctx = db};
    inst_map_init(&db->subscriptions, (uintptr_t)db);
    db->next = loop->dbs;
    if (db->next)
        db->next->prev = db;
    loop->dbs = db;
    if (start(db, &value, &err) == INST_OK)
        return db;
    inst_capi_db_free(db);
    inst_capi_fail(error, &err);
    return NULL;
}

const char *instant_app_id(const struct instant_db *db) { return db->app_id; }
