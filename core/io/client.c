#include "io/client.h"

#include "io/local_link.h"
#include "io/sse_client.h"
#include "io/ws_client.h"

#include <stdio.h>
#include <stdlib.h>

struct inst_client {
    struct inst_loop *loop;
    struct inst_reactor *reactor;
    struct inst_ws_client *ws;    /* NULL: in-process */
    struct inst_sse_client *sse;  /* NULL: no fallback */
    struct inst_backend *backend; /* NULL: over the network */
    struct inst_transport *transport;
    struct inst_timer *timer;
    struct inst_turn_hook hook;
    struct inst_deferred refused; /* connecting failed at once */
    int64_t armed_ms;             /* deadline that the timer is set for */
    bool has_complained;          /* about this outage */
    bool is_holding;              /* the loop, for writes that are not confirmed */
};

static void complain(struct inst_client *client, const char *why) {
    const struct inst_env *env = inst_loop_env(client->loop);
    char line[320];
    snprintf(line, sizeof line, "Not connected, trying again: %s", why);
    env->log(env->ctx, client->has_complained ? INST_LOG_DEBUG : INST_LOG_WARN, line);
    client->has_complained = true;
}

/* ---- from the transport ---- */

static void on_opened(void *ctx) {
    struct inst_client *client = ctx;
    client->has_complained = false;
    inst_reactor_opened(client->reactor);
}

static void on_message(void *ctx, const char *bytes, size_t len) {
    struct inst_client *client = ctx;
    inst_reactor_message(client->reactor, bytes, len);
}

static void drop_transport(struct inst_client *client) {
    struct inst_transport *transport = client->transport;
    client->transport = NULL;
    if (transport)
        transport->ops->close(transport);
}

static void on_closed(void *ctx, const char *why) {
    struct inst_client *client = ctx;
    complain(client, why);
    drop_transport(client);
    inst_reactor_closed(client->reactor);
}

static void on_drained(void *ctx) { (void)ctx; /* the turn hook goes on */ }

static void on_refused(void *ctx) {
    struct inst_client *client = ctx;
    inst_reactor_closed(client->reactor);
}

static enum inst_status try_connect(struct inst_client *client, enum inst_via via,
                                    const struct inst_transport_events *events,
                                    struct inst_err *err) {
    if (!client->ws)
        return inst_local_connect(client->loop, client->backend, events, &client->transport, err);
    return via == INST_VIA_SSE
               ? inst_sse_client_connect(client->sse, events, &client->transport, err)
               : inst_ws_client_connect(client->ws, events, &client->transport, err);
}

static void connect_transport(struct inst_client *client, enum inst_via via) {
    struct inst_transport_events events = {.ctx = client,
                                           .opened = on_opened,
                                           .message = on_message,
                                           .closed = on_closed,
                                           .drained = on_drained};
    struct inst_err err = {0};
    drop_transport(client);
    if (try_connect(client, via, &events, &err) == INST_OK)
        return;
    complain(client, err.message);
    inst_err_clear(&err);
    inst_loop_defer(client->loop, &client->refused);
}

/* ---- the reactor's output ---- */

static void arm(struct inst_client *client) {
    int64_t deadline = inst_reactor_next_deadline(client->reactor);
    if (deadline == client->armed_ms)
        return;
    client->armed_ms = deadline;
    if (deadline == INST_REACTOR_NEVER) {
        inst_timer_stop(client->timer);
        return;
    }
    const struct inst_env *env = inst_loop_env(client->loop);
    inst_timer_start(client->timer, deadline - env->now_ms(env->ctx), 0);
}

/* A program does not end before what it wrote is safe. */
static void hold(struct inst_client *client, bool wants) {
    if (wants == client->is_holding)
        return;
    client->is_holding = wants;
    if (wants)
        inst_loop_hold(client->loop);
    else
        inst_loop_release(client->loop);
}

static void pump(void *ctx) {
    struct inst_client *client = ctx;
    struct inst_output output;
    while (!client->transport ||
           client->transport->ops->queued(client->transport) < INST_CLIENT_HIGH_WATER) {
        if (!inst_reactor_next_output(client->reactor, &output))
            break;
        if (output.kind == INST_OUTPUT_CONNECT) {
            connect_transport(client, output.via);
        } else if (output.kind == INST_OUTPUT_CLOSE) {
            inst_loop_undefer(client->loop, &client->refused);
            drop_transport(client);
        } else if (client->transport &&
                   !client->transport->ops->send(client->transport, output.bytes, output.len)) {
            drop_transport(client);
            inst_loop_defer(client->loop, &client->refused);
        }
    }
    arm(client);
    hold(client, inst_reactor_unconfirmed_count(client->reactor) > 0);
}

static void on_deadline(void *ctx) {
    struct inst_client *client = ctx;
    client->armed_ms = INST_REACTOR_NEVER; /* not armed any more */
    inst_reactor_tick(client->reactor);
}

/* ---- life ---- */

struct inst_reactor *inst_client_reactor(struct inst_client *client) {
    return client->reactor;
}

static enum inst_status make_sse(struct inst_client *client,
                                 const struct inst_client_config *config, struct inst_err *err) {
    struct inst_buf uri;
    inst_buf_init(&uri);
    inst_buf_addf(&uri, "%s/runtime/sse?app_id=%s", config->api_uri,
                  config->reactor.app_id ? config->reactor.app_id : "");
    enum inst_status status = uri.failed
                                  ? inst_err_nomem(err)
                                  : inst_sse_client_new(client->loop, uri.data, config->ca_file,
                                                        config->open_ms, &client->sse, err);
    inst_buf_free(&uri);
    return status;
}

static enum inst_status make_ws(struct inst_client *client, const struct inst_client_config *config,
                                struct inst_err *err) {
    /* The query only tells proxies which app this is (session.md 1.1). */
    struct inst_buf uri;
    inst_buf_init(&uri);
    inst_buf_addf(&uri, "%s?app_id=%s", config->websocket_uri,
                  config->reactor.app_id ? config->reactor.app_id : "");
    enum inst_status status = uri.failed
                                  ? inst_err_nomem(err)
                                  : inst_ws_client_new(client->loop, uri.data, config->ca_file,
                                                       config->open_ms, &client->ws, err);
    inst_buf_free(&uri);
    return status;
}

enum inst_status inst_client_new(struct inst_loop *loop, const struct inst_client_config *config,
                                 struct inst_client **out, struct inst_err *err) {
    struct inst_client *client = calloc(1, sizeof *client);
    if (!client)
        return inst_err_nomem(err);
    client->loop = loop;
    client->backend = config->backend;
    client->armed_ms = INST_REACTOR_NEVER;
    client->refused = (struct inst_deferred){.fn = on_refused, .ctx = client};
    struct inst_reactor_config reactor = config->reactor;
    reactor.env = *inst_loop_env(loop);
    reactor.has_sse = config->api_uri && !config->backend;
    enum inst_status status = inst_timer_new(loop, on_deadline, client, &client->timer, err);
    if (status == INST_OK)
        status = inst_reactor_new(&reactor, &client->reactor, err);
    if (status == INST_OK && !config->backend)
        status = make_ws(client, config, err);
    if (status == INST_OK && reactor.has_sse)
        status = make_sse(client, config, err);
    if (status != INST_OK) {
        inst_ws_client_free(client->ws);
        inst_timer_free(client->timer);
        inst_reactor_free(client->reactor);
        free(client);
        return status;
    }
    client->hook = (struct inst_turn_hook){.fn = pump, .ctx = client};
    inst_loop_add_hook(loop, &client->hook);
    *out = client;
    return INST_OK;
}

void inst_client_free(struct inst_client *client) {
    if (!client)
        return;
    inst_loop_remove_hook(client->loop, &client->hook);
    hold(client, false);
    inst_loop_undefer(client->loop, &client->refused);
    drop_transport(client);
    inst_ws_client_free(client->ws);
    inst_sse_client_free(client->sse);
    inst_timer_free(client->timer);
    inst_reactor_free(client->reactor);
    free(client);
}
