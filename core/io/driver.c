#include "io/driver.h"

#include "io/local_link.h"
#include "io/netlink.h"
#include "io/sse_client.h"
#include "io/storage.h"
#include "io/storage_sealed.h"
#include "io/ws_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inst_driver {
    struct inst_driver *next; /* on the loop, while it may be joined */
    struct inst_loop *loop;
    struct inst_reactor *reactor;
    struct inst_ws_client *ws;   /* NULL: in-process, or the host carries */
    struct inst_sse_client *sse; /* NULL: no fallback */
    struct inst_transport *transport;
    struct inst_disk *disk; /* NULL: nothing is kept */
    struct inst_timer *timer;
    struct inst_network_listener network; /* listening when config.watches_network */
    struct inst_deferred pump;
    struct inst_deferred refused; /* connecting failed at once */
    int64_t armed_ms;             /* deadline that the timer is set for */
    bool has_complained;          /* about this outage */
    bool is_holding;              /* the loop, for what is not confirmed */
    bool is_joinable;             /* in the loop's list */
    size_t refs;                  /* those who have not released it */
    size_t users;                 /* ..of these, those who have not left */
    uint64_t next_instance;
    struct inst_arena arena;
    struct inst_client_config config; /* what it was made of, copied */
};

static void complain(struct inst_driver *driver, const char *why) {
    const struct inst_env *env = inst_loop_env(driver->loop);
    char line[320];
    snprintf(line, sizeof line, "Not connected, trying again: %s", why);
    env->log(env->ctx, driver->has_complained ? INST_LOG_DEBUG : INST_LOG_WARN, line);
    driver->has_complained = true;
}

static void wake(struct inst_driver *driver) { inst_loop_defer(driver->loop, &driver->pump); }

/* ---- from the transport ---- */

static void on_opened(void *ctx) {
    struct inst_driver *driver = ctx;
    driver->has_complained = false;
    inst_reactor_opened(driver->reactor);
    wake(driver);
}

static void on_message(void *ctx, const char *bytes, size_t len) {
    struct inst_driver *driver = ctx;
    inst_reactor_message(driver->reactor, bytes, len);
    wake(driver);
}

static void drop_transport(struct inst_driver *driver) {
    struct inst_transport *transport = driver->transport;
    driver->transport = NULL;
    if (transport)
        transport->ops->close(transport);
}

static void on_closed(void *ctx, const char *why) {
    struct inst_driver *driver = ctx;
    complain(driver, why);
    drop_transport(driver);
    inst_reactor_closed(driver->reactor);
    wake(driver);
}

static void on_drained(void *ctx) { wake(ctx); }

static void on_refused(void *ctx) {
    struct inst_driver *driver = ctx;
    inst_reactor_closed(driver->reactor);
    wake(driver);
}

static enum inst_status try_connect(struct inst_driver *driver, enum inst_via via,
                                    const struct inst_transport_events *events,
                                    struct inst_err *err) {
    struct inst_carrier *carrier = driver->config.carrier;
    if (carrier)
        return carrier->connect(carrier, events, &driver->transport, err);
    if (!driver->ws)
        return inst_local_connect(driver->loop, driver->config.backend, events, &driver->transport,
                                  err);
    return via == INST_VIA_SSE
               ? inst_sse_client_connect(driver->sse, events, &driver->transport, err)
               : inst_ws_client_connect(driver->ws, events, &driver->transport, err);
}

static void connect_transport(struct inst_driver *driver, enum inst_via via) {
    struct inst_transport_events events = {.ctx = driver,
                                           .opened = on_opened,
                                           .message = on_message,
                                           .closed = on_closed,
                                           .drained = on_drained};
    struct inst_err err = {0};
    drop_transport(driver);
    if (try_connect(driver, via, &events, &err) == INST_OK)
        return;
    complain(driver, err.message);
    inst_err_clear(&err);
    inst_loop_defer(driver->loop, &driver->refused);
}

/* ---- from the disk ---- */

static void on_disk_done(void *ctx, uint64_t id, const struct inst_disk_answer *answer) {
    struct inst_driver *driver = ctx;
    inst_reactor_disk_done(driver->reactor, id, answer);
    wake(driver);
}

static void pump_disk(struct inst_driver *driver) {
    struct inst_disk_request request;
    while (driver->disk && inst_reactor_next_disk(driver->reactor, &request))
        driver->disk->ops->submit(driver->disk, &request);
}

/* One round leaves nothing, unless its answers ask for more: what a failed write held is removed.
 */
static void finish_disk(struct inst_driver *driver) {
    struct inst_reactor *reactor = driver->reactor;
    if (driver->disk && reactor) {
        if (!inst_reactor_is_shutdown(reactor))
            inst_reactor_silence(reactor);
        inst_reactor_flush(reactor);
        for (int round = 0; round < INST_DRIVER_LAST_ROUNDS; round++) {
            pump_disk(driver);
            if (!driver->disk->ops->finish(driver->disk) || inst_reactor_is_flushed(reactor))
                break;
        }
    }
    if (driver->disk)
        driver->disk->ops->close(driver->disk);
    driver->disk = NULL;
}

/* ---- the reactor's output ---- */

static void arm(struct inst_driver *driver) {
    int64_t deadline = inst_reactor_next_deadline(driver->reactor);
    if (deadline == driver->armed_ms)
        return;
    driver->armed_ms = deadline;
    if (deadline == INST_REACTOR_NEVER) {
        inst_timer_stop(driver->timer);
        return;
    }
    const struct inst_env *env = inst_loop_env(driver->loop);
    inst_timer_start(driver->timer, deadline - env->now_ms(env->ctx), 0);
}

/* A program does not end before what it wrote is safe. */
static void hold(struct inst_driver *driver, bool wants) {
    if (wants == driver->is_holding)
        return;
    driver->is_holding = wants;
    if (wants)
        inst_loop_hold(driver->loop);
    else
        inst_loop_release(driver->loop);
}

static void pump(void *ctx) {
    struct inst_driver *driver = ctx;
    struct inst_output output;
    if (inst_reactor_go_on(driver->reactor))
        wake(driver);
    pump_disk(driver);
    while (!driver->transport ||
           driver->transport->ops->queued(driver->transport) < INST_CLIENT_HIGH_WATER) {
        if (!inst_reactor_next_output(driver->reactor, &output))
            break;
        if (output.kind == INST_OUTPUT_CONNECT) {
            connect_transport(driver, output.via);
        } else if (output.kind == INST_OUTPUT_CLOSE) {
            inst_loop_undefer(driver->loop, &driver->refused);
            drop_transport(driver);
        } else if (driver->transport &&
                   !driver->transport->ops->send(driver->transport, output.bytes, output.len)) {
            drop_transport(driver);
            inst_loop_defer(driver->loop, &driver->refused);
        }
    }
    arm(driver);
    hold(driver, inst_reactor_unconfirmed_count(driver->reactor) > 0 ||
                     inst_reactor_has_topics_waiting(driver->reactor));
}

static bool is_time_up(void *ctx) { return inst_loop_is_time_up(ctx); }

static void on_deadline(void *ctx) {
    struct inst_driver *driver = ctx;
    driver->armed_ms = INST_REACTOR_NEVER; /* not armed any more */
    inst_reactor_tick(driver->reactor);
    wake(driver);
}

/* ---- configurations ---- */

static bool is_same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_schema(const struct inst_value *a, const struct inst_value *b) {
    return a == b || (a && b && inst_value_equal(a, b));
}

static bool has_same_versions(const struct inst_reactor_config *a,
                              const struct inst_reactor_config *b) {
    bool is_same = a->version_count == b->version_count;
    for (size_t i = 0; is_same && i < a->version_count; i++)
        is_same = strcmp(a->versions[i].package, b->versions[i].package) == 0 &&
                  strcmp(a->versions[i].version, b->versions[i].version) == 0;
    return is_same;
}

/* A new option belongs into is_same_reactor and keep_config, or two that differ in it would share a
 * connection. */
_Static_assert(sizeof(struct inst_reactor_config) == 104 &&
                   sizeof(struct inst_client_config) == 192,
               "an option that driver.c does not know");

static bool is_same_reactor(const struct inst_reactor_config *a,
                            const struct inst_reactor_config *b) {
    return is_same_text(a->app_id, b->app_id) && is_same_text(a->admin_token, b->admin_token) &&
           is_same_text(a->refresh_token, b->refresh_token) && a->awaits_user == b->awaits_user &&
           is_same_schema(a->schema, b->schema) && a->use_date_objects == b->use_date_objects &&
           a->disable_validation == b->disable_validation &&
           a->disable_cardinality_inference == b->disable_cardinality_inference &&
           a->verbose == b->verbose && a->reconnect == b->reconnect && has_same_versions(a, b);
}

static bool has_storage(const struct inst_client_config *config) {
    return config->disk || (config->storage && strcmp(config->storage, "memory") != 0);
}

static bool is_same_storage(const struct inst_client_config *a,
                            const struct inst_client_config *b) {
    return has_storage(a) ? has_storage(b) && is_same_text(a->storage, b->storage)
                          : !has_storage(b);
}

static bool is_same(const struct inst_client_config *a, const struct inst_client_config *b) {
    return !a->disk && !b->disk && !a->carrier && !b->carrier && is_same_storage(a, b) &&
           a->backend == b->backend && is_same_text(a->websocket_uri, b->websocket_uri) &&
           is_same_text(a->api_uri, b->api_uri) && is_same_text(a->ca_file, b->ca_file) &&
           a->open_ms == b->open_ms && a->watches_network == b->watches_network &&
           is_same_reactor(&a->reactor, &b->reactor);
}

static bool keep_text(struct inst_arena *arena, const char **text) {
    return !*text || (*text = inst_arena_dup(arena, *text, strlen(*text))) != NULL;
}

static bool keep_versions(struct inst_arena *arena, struct inst_reactor_config *config) {
    struct inst_package_version *versions =
        inst_arena_alloc(arena, (config->version_count + 1) * sizeof *versions);
    for (size_t i = 0; versions && i < config->version_count; i++) {
        versions[i] = config->versions[i];
        if (!keep_text(arena, &versions[i].package) || !keep_text(arena, &versions[i].version))
            return false;
    }
    config->versions = versions;
    return versions != NULL;
}

static bool keep_schema(struct inst_arena *arena, struct inst_reactor_config *config) {
    if (!config->schema)
        return true;
    struct inst_value *schema = inst_arena_alloc(arena, sizeof *schema);
    bool is_kept = schema && inst_value_dup(arena, config->schema, schema);
    config->schema = schema;
    return is_kept;
}

static enum inst_status keep_config(struct inst_driver *driver,
                                    const struct inst_client_config *config, struct inst_err *err) {
    struct inst_arena *arena = &driver->arena;
    struct inst_client_config *kept = &driver->config;
    *kept = *config;
    kept->reactor.env = *inst_loop_env(driver->loop);
    kept->reactor.has_sse = config->api_uri && !config->backend && !config->carrier;
    kept->reactor.has_storage = has_storage(config);
    bool is_kept = keep_text(arena, &kept->websocket_uri) && keep_text(arena, &kept->api_uri) &&
                   keep_text(arena, &kept->ca_file) && keep_text(arena, &kept->storage) &&
                   keep_text(arena, &kept->reactor.app_id) &&
                   keep_text(arena, &kept->reactor.admin_token) &&
                   keep_text(arena, &kept->reactor.refresh_token) &&
                   keep_schema(arena, &kept->reactor) && keep_versions(arena, &kept->reactor);
    return is_kept ? INST_OK : inst_err_nomem(err);
}

/* ---- life ---- */

static enum inst_status make_sse(struct inst_driver *driver, struct inst_err *err) {
    const struct inst_client_config *config = &driver->config;
    struct inst_buf uri;
    inst_buf_init(&uri);
    inst_buf_addf(&uri, "%s/runtime/sse?app_id=%s", config->api_uri,
                  config->reactor.app_id ? config->reactor.app_id : "");
    enum inst_status status = uri.failed
                                  ? inst_err_nomem(err)
                                  : inst_sse_client_new(driver->loop, uri.data, config->ca_file,
                                                        config->open_ms, &driver->sse, err);
    inst_buf_free(&uri);
    return status;
}

static enum inst_status make_ws(struct inst_driver *driver, struct inst_err *err) {
    /* The query only tells proxies which app this is (session.md 1.1). */
    const struct inst_client_config *config = &driver->config;
    struct inst_buf uri;
    inst_buf_init(&uri);
    inst_buf_addf(&uri, "%s?app_id=%s", config->websocket_uri,
                  config->reactor.app_id ? config->reactor.app_id : "");
    enum inst_status status = uri.failed
                                  ? inst_err_nomem(err)
                                  : inst_ws_client_new(driver->loop, uri.data, config->ca_file,
                                                       config->open_ms, &driver->ws, err);
    inst_buf_free(&uri);
    return status;
}

void inst_client_vault_name(const char *app_id, const char *scope, char *out, size_t size) {
    snprintf(out, size, "currentUser %s %s", app_id, scope);
}

/* The user is kept apart from all else. */
static enum inst_status guard_user(struct inst_driver *driver, struct inst_storage **storage,
                                   struct inst_err *err) {
    const struct inst_client_config *config = &driver->config;
    const char *app_id = inst_reactor_app_id(driver->reactor);
    char name[INST_VAULT_MAX_NAME + 1];
    if (!config->reactor.awaits_user)
        return inst_storage_seal(*storage, app_id, storage, err);
    if (!config->vault)
        return INST_OK;
    inst_client_vault_name(app_id, config->vault_scope, name, sizeof name);
    enum inst_status status = inst_storage_move_user(*storage, config->vault, name, err);
    if (status != INST_OK)
        (*storage)->ops->close(*storage);
    return status;
}

static enum inst_status make_disk(struct inst_driver *driver, struct inst_err *err) {
    struct inst_storage *storage = NULL;
    if (!driver->disk && has_storage(&driver->config)) {
        enum inst_status status =
            inst_storage_open(driver->loop, driver->config.storage,
                              inst_reactor_app_id(driver->reactor), &storage, err);
        if (status == INST_OK)
            status = guard_user(driver, &storage, err);
        if (status == INST_OK)
            status = inst_disk_on_thread(driver->loop, storage, &driver->disk, err);
        if (status != INST_OK)
            return status;
    }
    if (driver->disk)
        driver->disk->events = (struct inst_disk_events){.ctx = driver, .done = on_disk_done};
    return INST_OK;
}

static void list(struct inst_driver *driver) {
    struct inst_driver **drivers = inst_loop_drivers(driver->loop);
    driver->next = *drivers;
    *drivers = driver;
    driver->is_joinable = true;
}

static void unlist(struct inst_driver *driver) {
    for (struct inst_driver **at = inst_loop_drivers(driver->loop); *at; at = &(*at)->next) {
        if (*at == driver) {
            *at = driver->next;
            break;
        }
    }
    driver->is_joinable = false;
}

static void on_network(void *ctx, bool is_online) {
    struct inst_driver *driver = ctx;
    const struct inst_env *env = inst_loop_env(driver->loop);
    env->log(env->ctx, INST_LOG_INFO, is_online ? "the network is back" : "there is no network");
    inst_reactor_set_online(driver->reactor, is_online);
    wake(driver);
}

static enum inst_status watch_network(struct inst_driver *driver, struct inst_err *err) {
    bool is_online;
    driver->network.fn = on_network;
    driver->network.ctx = driver;
    enum inst_status status = inst_network_listen(driver->loop, &driver->network, &is_online, err);
    if (status == INST_OK)
        inst_reactor_set_online(driver->reactor, is_online);
    return status;
}

static void destroy(struct inst_driver *driver) {
    inst_network_unlisten(&driver->network);
    finish_disk(driver);
    hold(driver, false);
    inst_loop_undefer(driver->loop, &driver->refused);
    inst_loop_undefer(driver->loop, &driver->pump);
    drop_transport(driver);
    inst_ws_client_free(driver->ws);
    inst_sse_client_free(driver->sse);
    inst_timer_free(driver->timer);
    inst_reactor_free(driver->reactor);
    inst_arena_free(&driver->arena);
    free(driver);
}

static enum inst_status make(struct inst_loop *loop, const struct inst_client_config *config,
                             struct inst_driver **out, struct inst_err *err) {
    struct inst_driver *driver = calloc(1, sizeof *driver);
    if (!driver) {
        if (config->disk)
            config->disk->ops->close(config->disk);
        return inst_err_nomem(err);
    }
    driver->loop = loop;
    driver->disk = config->disk;
    driver->armed_ms = INST_REACTOR_NEVER;
    driver->refs = driver->users = 1;
    driver->next_instance = 1;
    driver->refused = (struct inst_deferred){.fn = on_refused, .ctx = driver};
    driver->pump = (struct inst_deferred){.fn = pump, .ctx = driver};
    inst_arena_init(&driver->arena);
    enum inst_status status = keep_config(driver, config, err);
    if (status == INST_OK)
        status = inst_timer_new(loop, on_deadline, driver, &driver->timer, err);
    if (status == INST_OK)
        status = inst_reactor_new(&driver->config.reactor, &driver->reactor, err);
    if (status == INST_OK)
        inst_reactor_pace(driver->reactor, is_time_up, loop);
    if (status == INST_OK)
        status = make_disk(driver, err);
    driver->config.vault = NULL; /* was borrowed */
    driver->config.vault_scope = NULL;
    if (status == INST_OK && !config->backend && !config->carrier)
        status = make_ws(driver, err);
    if (status == INST_OK && driver->config.reactor.has_sse)
        status = make_sse(driver, err);
    if (status == INST_OK && config->watches_network)
        status = watch_network(driver, err);
    if (status != INST_OK) {
        destroy(driver);
        return status;
    }
    wake(driver);
    *out = driver;
    return INST_OK;
}

static struct inst_driver *find(struct inst_loop *loop, const struct inst_client_config *config) {
    struct inst_driver *driver = *inst_loop_drivers(loop);
    while (driver && !is_same(&driver->config, config))
        driver = driver->next;
    return driver;
}

enum inst_status inst_driver_join(struct inst_loop *loop, const struct inst_client_config *config,
                                  struct inst_driver **out, uint64_t *instance,
                                  struct inst_err *err) {
    struct inst_driver *driver = config->has_own_connection ? NULL : find(loop, config);
    if (driver) {
        driver->refs++;
        driver->users++;
    } else {
        enum inst_status status = make(loop, config, &driver, err);
        if (status != INST_OK)
            return status;
        if (!config->has_own_connection)
            list(driver);
    }
    *instance = driver->next_instance++;
    *out = driver;
    return INST_OK;
}

enum inst_status inst_driver_sibling(struct inst_driver *driver, struct inst_driver **out,
                                     struct inst_err *err) {
    struct inst_client_config config = driver->config;
    config.reactor.awaits_user = false;
    config.storage = NULL;
    config.disk = NULL;
    config.reactor.refresh_token = inst_reactor_refresh_token(driver->reactor);
    return make(driver->loop, &config, out, err);
}

struct inst_reactor *inst_driver_reactor(struct inst_driver *driver) {
    wake(driver);
    return driver->reactor;
}

bool inst_driver_seclude(struct inst_driver *driver) {
    if (driver->users > 1)
        return false;
    if (driver->is_joinable)
        unlist(driver);
    return true;
}

bool inst_driver_has_storage(const struct inst_driver *driver) {
    return has_storage(&driver->config);
}

void inst_driver_leave(struct inst_driver *driver, uint64_t instance) {
    driver->users--;
    wake(driver);
    if (driver->users > 0) {
        inst_reactor_end_instance(driver->reactor, instance);
        return;
    }
    if (driver->is_joinable)
        unlist(driver);
    inst_reactor_shutdown(driver->reactor);
}

void inst_driver_forget(struct inst_driver *driver, uint64_t instance) {
    inst_reactor_forget_instance(driver->reactor, instance);
    if (--driver->users == 0 && driver->is_joinable)
        unlist(driver);
}

bool inst_driver_is_finished(const struct inst_driver *driver) {
    return driver->users == 0 && (!driver->disk || inst_reactor_is_flushed(driver->reactor));
}

void inst_driver_release(struct inst_driver *driver) {
    if (driver && --driver->refs == 0)
        destroy(driver);
}
