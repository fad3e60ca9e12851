#include "server/computation.h"

#include "base/json.h"

/* A query's own fault shows again only when what it read changes; any other may pass. */
static bool is_own_fault(const struct inst_err *err) {
    return err->type != NULL &&
           (strcmp(err->type, "validation-failed") == 0 ||
            strcmp(err->type, "limit-exceeded") == 0 || strcmp(err->type, "timeout") == 0);
}

void inst_refresh_write(struct inst_computation *computation, bool with_attrs,
                        struct inst_buf *buf) {
    struct inst_app *app = computation->live->app;
    const char *attrs;
    size_t len;
    inst_buf_init(buf);
    inst_buf_reserve(buf, computation->result_len + computation->meta_len + 512);
    inst_reply_begin(buf, "refresh-ok");
    inst_buf_add_str(buf, ",\"processed-tx-id\":");
    inst_buf_add_int(buf, app->last_tx);
    if (with_attrs) {
        inst_buf_add_str(buf, ",\"attrs\":");
        if (inst_catalog_json(app->catalog, &attrs, &len, NULL) == INST_OK)
            inst_buf_add(buf, attrs, len);
        else
            buf->failed = true;
    }
    inst_buf_add_str(buf, ",\"computations\":[{\"instaql-query\":");
    inst_buf_add(buf, computation->q, computation->q_len);
    inst_buf_add_str(buf, ",\"instaql-result\":");
    inst_buf_add(buf, computation->result, computation->result_len);
    inst_buf_add_str(buf, ",\"result-meta\":");
    inst_buf_add(buf, computation->meta, computation->meta_len);
    inst_buf_add_str(buf, ",\"result-changed?\":true}]");
    inst_reply_end(buf, &app->server->tracer);
}

static struct inst_shared *make_refresh(struct inst_computation *computation, bool with_attrs) {
    struct inst_buf buf;
    inst_refresh_write(computation, with_attrs, &buf);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    inst_buf_free(&buf);
    return message;
}

/* Clients below the version gate get the attrs in every refresh (session.md 8); they are told of
 * changed results only, like all others. */
void inst_refresh_send(struct inst_computation *computation) {
    struct inst_server *server = computation->live->app->server;
    struct inst_shared *messages[2] = {NULL, NULL}; /* without attrs, with them */
    bool is_made[2] = {false, false};
    for (size_t i = 0; i < computation->count; i++) {
        const struct inst_session *session = computation->subscriptions[i]->session;
        int kind = session->features.skips_attrs ? 0 : 1;
        if (!is_made[kind])
            messages[kind] = make_refresh(computation, kind == 1);
        is_made[kind] = true;
        if (messages[kind] == NULL) {
            server->host.close(server->host.ctx, session->connection);
            continue;
        }
        server->host.send(server->host.ctx, session->connection, messages[kind]);
        server->stats.refreshes_sent++;
    }
    inst_shared_unref(messages[0]);
    inst_shared_unref(messages[1]);
}

/* Each subscriber is told as if its add-query had failed (session.md 6.2). */
static void send_failure(struct inst_computation *computation, const struct inst_err *err) {
    struct inst_arena *scratch = &computation->live->scratch;
    struct inst_value q = inst_null();
    inst_json_parse(scratch, computation->q, computation->q_len, &q, NULL);
    struct inst_member members[2] = {{"op", 2, inst_cstring("add-query")}, {"q", 1, q}};
    struct inst_value event = inst_object(members, 2);
    for (size_t i = 0; i < computation->count; i++)
        inst_server_send_error(computation->subscriptions[i]->session, err, &event);
    inst_arena_reset(scratch);
}

void inst_refresh_run(struct inst_computation *computation) {
    struct inst_err err = {0};
    bool changed = false;
    bool was_failed = computation->is_outdated && computation->has_result == false;
    if (inst_computation_run(computation, &changed, &err) == INST_OK) {
        inst_computation_set_retrying(computation->live, computation, false);
        if (changed)
            inst_refresh_send(computation);
    } else {
        inst_computation_set_retrying(computation->live, computation, !is_own_fault(&err));
        /* What was last sent no longer counts: the next result is sent whatever it is. */
        computation->has_result = false;
        if (!was_failed)
            send_failure(computation, &err);
    }
    inst_err_clear(&err);
}

/* Consecutive calls for one change are one. */
static void add_touch(struct inst_computation *computation, const struct inst_change *change) {
    uint32_t count = computation->touched_count;
    if (count > 0 && computation->touched[count - 1] == change)
        return;
    if (change == NULL || count == INST_LIVE_MAX_TOUCHES)
        computation->must_run = true;
    else
        computation->touched[computation->touched_count++] = change;
}

static void queue(void *ctx, void *owner, const struct inst_change *change) {
    struct inst_live *live = ctx;
    struct inst_computation *computation = owner;
    if (!computation->is_queued) {
        computation->touched_count = 0;
        computation->must_run = false;
    }
    add_touch(computation, change);
    if (computation->is_queued)
        return;
    computation->is_queued = true;
    computation->next_queued = NULL;
    *live->queue_end = computation;
    live->queue_end = &computation->next_queued;
}

static void send_attrs(struct inst_live *live) {
    struct inst_app *app = live->app;
    struct inst_server *server = app->server;
    const char *json;
    size_t len;
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "refresh-ok");
    inst_buf_add_str(&buf, ",\"processed-tx-id\":");
    inst_buf_add_int(&buf, app->last_tx);
    inst_buf_add_str(&buf, ",\"attrs\":");
    if (inst_catalog_json(app->catalog, &json, &len, NULL) == INST_OK)
        inst_buf_add(&buf, json, len);
    else
        buf.failed = true;
    inst_buf_add_str(&buf, ",\"computations\":[]");
    inst_reply_end(&buf, &server->tracer);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    for (struct inst_session *s = app->sessions; s != NULL; s = s->app_next) {
        if (message == NULL)
            server->host.close(server->host.ctx, s->connection);
        else
            server->host.send(server->host.ctx, s->connection, message);
        server->stats.refreshes_sent += message != NULL;
    }
    inst_shared_unref(message);
    inst_buf_free(&buf);
}

/* ---- after a commit ---- */

static void run_queued(struct inst_live *live) {
    while (live->queue != NULL) {
        struct inst_computation *computation = live->queue;
        live->queue = computation->next_queued;
        if (live->queue == NULL)
            live->queue_end = &live->queue;
        computation->is_queued = false;
        if ((!live->is_catalog_new || !inst_live_part_viewers(computation)) &&
            inst_computation_needs_run(computation))
            inst_refresh_run(computation);
    }
}

void inst_live_refresh(struct inst_live *live, const struct inst_changes *changes) {
    live->is_catalog_new = changes->is_catalog_new;
    if (changes->is_catalog_new)
        send_attrs(live);
    inst_read_index_ask(&live->index, changes, queue, live);
    for (size_t i = 0; i < live->retry_count; i++)
        queue(live, live->retries[i], NULL);
    run_queued(live);
    live->is_catalog_new = false;
}

void inst_live_renew_urls(struct inst_live *live) {
    for (size_t i = 0; i < live->by_key.cap; i++) {
        struct inst_computation *computation = live->by_key.slots[i].value;
        for (; computation != NULL; computation = computation->next_same)
            if (inst_computation_has_old_urls(computation))
                queue(live, computation, NULL);
    }
    run_queued(live);
}
