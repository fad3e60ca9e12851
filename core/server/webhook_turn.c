#include "base/date.h"
#include "base/json.h"
#include "base/text.h"
#include "server/limits.h"
#include "server/outgoing.h"
#include "server/webhooks_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define DUE "webhook-due/"
#define GONE "webhook-gone/"

static void log_about(const struct inst_app *app, const char *what, const struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    struct inst_buf line;
    if (env->log == NULL)
        return;
    inst_buf_init(&line);
    inst_buf_addf(&line, "app %s: webhooks: %s: %s", app->info.id, what,
                  err->message != NULL ? err->message : "out of memory");
    if (!line.failed)
        env->log(env->ctx, INST_LOG_ERROR, line.data);
    inst_buf_free(&line);
}

/* Nothing is lost: notes say what is still to be done. */
static void stall(struct inst_app *app, const struct inst_err *err) {
    app->webhooks->stalled_ms = inst_webhook_now(app) + INST_WEBHOOK_STALL_MS;
    log_about(app, "tried again later", err);
}

/* ---- how a delivery went ---- */

static void note_text(struct inst_buf *out, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        char bytes[4];
        uint32_t point = inst_text_next(text, len, &at);
        bool is_text = point != 0 && (point < 0xd800 || point >= 0xe000);
        size_t size = inst_text_put(bytes, is_text ? point : 0xfffd);
        if (out->len + size > INST_WEBHOOK_MAX_TEXT)
            return;
        inst_buf_add(out, bytes, size);
    }
}

static void note_error(struct inst_webhook_delivery *delivery, const struct inst_err *err) {
    static const struct {
        const char *type, *word, *error, *why;
    } known[] = {
        {"timeout", "", "timeout", "Request timed out."},
        {"address-refused", "", "dns", "Could not resolve hostname."},
        {"io-error", "resolve", "dns", "Could not resolve hostname."},
        {"io-error", "onnect", "connect", "Could not connect to server."},
        {"io-error", "SSL", "tls", "TLS handshake failed."},
        {"io-error", "certificate", "tls", "TLS handshake failed."},
        {"io-error", "", "network", "Network error."},
        {"response-too-large", "", "protocol", "Invalid HTTP response."},
    };
    delivery->error = "unknown";
    delivery->why = "Unknown error.";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(err->type, known[i].type) != 0 ||
            (err->message != NULL && strstr(err->message, known[i].word) == NULL))
            continue;
        delivery->error = known[i].error;
        delivery->why = known[i].why;
        return;
    }
}

static void come_back(struct inst_webhook_delivery *delivery) {
    delivery->is_back = true;
    delivery->took_ms = inst_webhook_now(delivery->app) - delivery->begun_ms;
    delivery->app->webhooks->back_count++;
}

static void on_done(void *ctx, const struct inst_outgoing_response *response,
                    const struct inst_err *err) {
    struct inst_webhook_delivery *delivery = ctx;
    if (err != NULL) {
        note_error(delivery, err);
    } else {
        delivery->status = response->status;
        note_text(&delivery->text, response->body, response->body_len);
    }
    come_back(delivery);
}

/* ---- keeping it ---- */

/* The waits of the original (http.md 11.2), by how many attempts there were. */
static int64_t wait_ms(size_t attempts) {
    static const int64_t minutes[] = {1, 5, 30, 120, 300, 600};
    size_t n = sizeof minutes / sizeof *minutes;
    return (attempts < n ? minutes[attempts] : 720) * 60 * 1000;
}

static bool is_success(const struct inst_webhook_delivery *delivery) {
    return delivery->status >= 200 && delivery->status < 300;
}

static void write_text(struct inst_buf *out, const char *text) {
    if (text == NULL)
        inst_buf_add_str(out, "null");
    else
        inst_json_write_string(out, text, strlen(text));
}

static enum inst_status make_attempt(const struct inst_webhook_delivery *delivery,
                                     struct inst_arena *arena, struct inst_value *out,
                                     struct inst_err *err) {
    struct inst_buf text;
    char at[INST_DATE_TEXT_MAX];
    inst_date_iso((double)delivery->begun_ms, at);
    inst_buf_init(&text);
    inst_buf_addf(&text, "{\"attempt-at\":\"%s\",\"duration-ms\":%lld,\"success?\":%s", at,
                  (long long)delivery->took_ms, is_success(delivery) ? "true" : "false");
    if (delivery->status != 0) {
        inst_buf_addf(&text, ",\"status-code\":%d,\"response-text\":", delivery->status);
        write_text(&text, delivery->text.data != NULL ? delivery->text.data : "");
    } else {
        inst_buf_add_str(&text, ",\"status-code\":null,\"response-text\":null");
    }
    inst_buf_add_str(&text, ",\"error-type\":");
    write_text(&text, delivery->error);
    inst_buf_add_str(&text, ",\"error-message\":");
    write_text(&text, delivery->why);
    inst_buf_add_char(&text, '}');
    enum inst_status st =
        text.failed ? inst_err_nomem(err) : inst_json_parse(arena, text.data, text.len, out, err);
    inst_buf_free(&text);
    return st;
}

static enum inst_status add_attempt(struct inst_arena *arena, struct inst_value *attempts,
                                    struct inst_value attempt, struct inst_err *err) {
    size_t kept =
        attempts->len < INST_WEBHOOK_MAX_ATTEMPTS ? attempts->len : INST_WEBHOOK_MAX_ATTEMPTS - 1;
    struct inst_value *items = inst_arena_alloc(arena, (kept + 1) * sizeof *items);
    if (items == NULL)
        return inst_err_nomem(err);
    if (kept > 0)
        memcpy(items, attempts->u.items + (attempts->len - kept), kept * sizeof *items);
    items[kept] = attempt;
    *attempts = inst_array(items, kept + 1);
    return INST_OK;
}

static enum inst_status drop_note(struct inst_app *app, const char *key, struct inst_err *err) {
    return app->db->db_ops->set_note(app->db, key, NULL, 0, err);
}

/* In an open group: the event as it is behind the delivery. */
static enum inst_status settle(const struct inst_webhook_delivery *delivery, struct inst_err *err) {
    struct inst_app *app = delivery->app;
    struct inst_arena *scratch = &app->server->scratch;
    struct inst_webhook_event event;
    struct inst_value attempt;
    char key[INST_WEBHOOK_KEY];
    bool found;
    inst_webhook_due_key(delivery->due_ms, delivery->id, delivery->isn, key);
    enum inst_status st = drop_note(app, key, err);
    if (st == INST_OK)
        st = inst_webhook_event_get(app, delivery->id, delivery->isn, &event, &found, err);
    if (st != INST_OK || !found)
        return st;
    size_t before = event.attempts.len;
    bool is_over = delivery->status == 410 || before + 1 >= INST_WEBHOOK_ATTEMPTS ||
                   (delivery->error != NULL && strcmp(delivery->error, "disabled") == 0);
    event.status = is_success(delivery) ? "success" : is_over ? "failed" : "error";
    event.updated_ms = inst_webhook_now(app);
    event.next_ms = strcmp(event.status, "error") == 0 ? event.updated_ms + wait_ms(before) : 0;
    if ((st = make_attempt(delivery, scratch, &attempt, err)) != INST_OK ||
        (st = add_attempt(scratch, &event.attempts, attempt, err)) != INST_OK ||
        (st = inst_webhook_event_put(app, delivery->id, delivery->isn, &event, err)) != INST_OK)
        return st;
    if (event.next_ms != 0) {
        inst_webhook_due_key(event.next_ms, delivery->id, delivery->isn, key);
        return app->db->db_ops->set_note(app->db, key, "", 0, err);
    }
    inst_webhook_data_key(delivery->id, delivery->isn, key);
    return drop_note(app, key, err);
}

/* Of the webhook that said 410: it is not to be told any more. */
static enum inst_status give_up_on(const struct inst_webhook_delivery *delivery,
                                   struct inst_err *err) {
    struct inst_webhook *webhook = inst_webhook_of(delivery->app->webhooks, delivery->id);
    if (delivery->status != 410 || webhook == NULL || !webhook->is_active)
        return INST_OK;
    return inst_webhook_disable(delivery->app, webhook, "Endpoint returned 410 status code.", err);
}

static void free_delivery(struct inst_webhook_delivery *delivery) {
    struct inst_webhooks *webhooks = delivery->app->webhooks;
    struct inst_webhook_delivery **at = &webhooks->deliveries;
    while (*at != delivery)
        at = &(*at)->next;
    *at = delivery->next;
    webhooks->delivery_count--;
    webhooks->back_count -= delivery->is_back;
    delivery->app->server->delivery_count--;
    delivery->app->holds--;
    inst_buf_free(&delivery->text);
    free(delivery);
}

static enum inst_status keep_back(struct inst_app *app, struct inst_err *err) {
    struct inst_webhooks *webhooks = app->webhooks;
    struct inst_webhook_delivery *delivery = webhooks->deliveries, *next;
    if (webhooks->back_count == 0)
        return INST_OK;
    enum inst_status st = inst_webhooks_begin(app, err);
    if (st != INST_OK)
        return st;
    for (; st == INST_OK && delivery != NULL; delivery = delivery->next)
        if (delivery->is_back)
            st = delivery->text.failed ? inst_err_nomem(err) : settle(delivery, err);
    if ((st = inst_webhooks_end(app, st, err)) != INST_OK)
        return st;
    for (delivery = webhooks->deliveries; delivery != NULL; delivery = next) {
        next = delivery->next;
        if (!delivery->is_back)
            continue;
        st = st == INST_OK ? give_up_on(delivery, err) : st;
        free_delivery(delivery);
    }
    return st == INST_OK ? inst_webhooks_find_due(app, err) : st;
}

/* ---- sending ---- */

static struct inst_webhook_delivery *new_delivery(struct inst_app *app, int64_t due_ms,
                                                  const char *id, struct inst_webhook_isn isn) {
    struct inst_webhook_delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL)
        return NULL;
    delivery->app = app;
    memcpy(delivery->id, id, sizeof delivery->id);
    delivery->isn = isn;
    delivery->due_ms = due_ms;
    delivery->begun_ms = inst_webhook_now(app);
    inst_buf_init(&delivery->text);
    delivery->next = app->webhooks->deliveries;
    app->webhooks->deliveries = delivery;
    app->webhooks->delivery_count++;
    app->server->delivery_count++;
    app->holds++;
    return delivery;
}

static enum inst_status make_body(const struct inst_webhook_delivery *delivery,
                                  const struct inst_webhook *webhook, struct inst_buf *out,
                                  struct inst_err *err) {
    struct inst_app *app = delivery->app;
    const char *origin = app->server->origin != NULL ? app->server->origin : "";
    char isn[INST_WEBHOOK_ISN_TEXT];
    struct inst_buf url;
    inst_webhook_isn_print(delivery->isn, isn);
    inst_buf_init(&url);
    inst_buf_addf(&url, "%s/webhooks/payload/%s/%s/%s", origin, app->info.id, webhook->id, isn);
    inst_buf_add_str(out, "{\"payloadUrl\":");
    if (!url.failed)
        inst_json_write_string(out, url.data, url.len);
    inst_buf_add_str(out, ",\"token\":\"");
    enum inst_status st =
        inst_webhook_token(app, webhook, delivery->isn, delivery->begun_ms, out, err);
    inst_buf_add_str(out, "\"}");
    if (st == INST_OK && (url.failed || out->failed))
        st = inst_err_nomem(err);
    inst_buf_free(&url);
    return st;
}

static enum inst_status send(struct inst_webhook_delivery *delivery,
                             const struct inst_webhook *webhook, struct inst_err *err) {
    struct inst_server *server = delivery->app->server;
    struct inst_buf body, signature;
    char key[INST_UUID_TEXT + 1];
    inst_buf_init(&body);
    inst_buf_init(&signature);
    inst_webhook_key(webhook->id, delivery->isn, key);
    enum inst_status st = make_body(delivery, webhook, &body, err);
    if (st == INST_OK)
        st = inst_webhook_sign(server, delivery->begun_ms, body.data, body.len, &signature, err);
    if (st == INST_OK && signature.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK) {
        const struct inst_http_field fields[] = {{"content-type", "application/json"},
                                                 {"user-agent", "InstantDB Webhook Sender"},
                                                 {"idempotency-key", key},
                                                 {"instant-signature", signature.data}};
        const struct inst_outgoing_request request = {.method = "POST",
                                                      .url = webhook->url,
                                                      .fields = fields,
                                                      .field_count = 4,
                                                      .body = body.data,
                                                      .body_len = body.len,
                                                      .timeout_ms = INST_WEBHOOK_TIMEOUT_MS,
                                                      .first_bytes = INST_WEBHOOK_MAX_TEXT};
        st = server->host.outgoing->http(server->host.outgoing_ctx, &request, on_done, delivery,
                                         err);
    }
    inst_buf_free(&body);
    inst_buf_free(&signature);
    return st;
}

/* What comes due, and what becomes of it. */
struct due {
    int64_t due_ms;
    char id[INST_UUID_TEXT + 1];
    struct inst_webhook_isn isn;
};
struct dues {
    struct inst_app *app;
    int64_t now;
    struct due items[INST_WEBHOOK_TURN_EVENTS];
    size_t count, sent; /* of them sent: the others need no request */
    size_t room;        /* for requests */
    int64_t next_ms;    /* the first that is not due yet */
};

static const struct inst_webhook *active(const struct inst_app *app, const char *id) {
    const struct inst_webhook *webhook = inst_webhook_of(app->webhooks, id);
    return webhook != NULL && webhook->is_active ? webhook : NULL;
}

static bool collect_due(void *ctx, const char *key, const char *bytes, size_t len) {
    struct dues *dues = ctx;
    struct due due;
    (void)bytes, (void)len;
    if (!inst_webhook_due_parse(key, &due.due_ms, due.id, &due.isn) ||
        inst_webhook_delivery_of(dues->app->webhooks, due.id, due.isn) != NULL)
        return true;
    if (due.due_ms > dues->now) {
        dues->next_ms = due.due_ms;
        return false;
    }
    bool is_sent = active(dues->app, due.id) != NULL;
    if (dues->count == INST_WEBHOOK_TURN_EVENTS || (is_sent && dues->sent == dues->room)) {
        dues->next_ms = due.due_ms;
        return false;
    }
    dues->sent += is_sent;
    dues->items[dues->count++] = due;
    return true;
}

static enum inst_status send_one(struct inst_app *app, const struct due *due,
                                 struct inst_err *err) {
    struct inst_webhook_delivery *delivery = new_delivery(app, due->due_ms, due->id, due->isn);
    const struct inst_webhook *webhook = active(app, due->id);
    struct inst_err why = {0};
    if (delivery == NULL)
        return inst_err_nomem(err);
    if (webhook == NULL) {
        delivery->error = "disabled";
        delivery->why = "Webhook is disabled.";
        come_back(delivery);
    } else if (send(delivery, webhook, &why) != INST_OK) {
        note_error(delivery, &why);
        come_back(delivery);
    }
    inst_err_clear(&why);
    return INST_OK;
}

static size_t room_of(const struct inst_app *app) {
    size_t own = app->webhooks->delivery_count, all = app->server->delivery_count;
    size_t own_room = own < INST_WEBHOOK_APP_DELIVERIES ? INST_WEBHOOK_APP_DELIVERIES - own : 0;
    size_t all_room = all < INST_WEBHOOK_DELIVERIES ? INST_WEBHOOK_DELIVERIES - all : 0;
    return own_room < all_room ? own_room : all_room;
}

static bool may_send(const struct inst_app *app) {
    return app->server->host.outgoing != NULL && room_of(app) > 0;
}

static enum inst_status send_due(struct inst_app *app, struct inst_err *err) {
    struct dues *dues = inst_arena_zalloc(&app->server->scratch, sizeof *dues);
    if (app->webhooks->due_ms > inst_webhook_now(app) || !may_send(app))
        return INST_OK;
    if (dues == NULL)
        return inst_err_nomem(err);
    *dues = (struct dues){
        .app = app, .now = inst_webhook_now(app), .room = room_of(app), .next_ms = INT64_MAX};
    enum inst_status st = app->db->db_ops->each_note(app->db, DUE, NULL, collect_due, dues, err);
    for (size_t i = 0; st == INST_OK && i < dues->count; i++)
        st = send_one(app, &dues->items[i], err);
    if (st == INST_OK)
        app->webhooks->due_ms = dues->next_ms;
    return st;
}

/* ---- the log becomes events ---- */

static struct inst_webhook_gathered *gathered_of(struct inst_webhooks *webhooks, const char *id) {
    struct inst_webhook_gathered *gathered = webhooks->gathered;
    while (gathered != NULL && strcmp(gathered->id, id) != 0)
        gathered = gathered->next;
    if (gathered != NULL || (gathered = calloc(1, sizeof *gathered)) == NULL)
        return gathered;
    memcpy(gathered->id, id, sizeof gathered->id);
    inst_buf_init(&gathered->data);
    gathered->next = webhooks->gathered;
    webhooks->gathered = gathered;
    return gathered;
}

static void clear_gathered(struct inst_webhooks *webhooks) {
    while (webhooks->gathered != NULL) {
        struct inst_webhook_gathered *gathered = webhooks->gathered;
        webhooks->gathered = gathered->next;
        inst_buf_free(&gathered->data);
        free(gathered);
    }
    webhooks->gathering = (struct inst_webhook_isn){0};
}

struct reading {
    struct inst_app *app;
    bool failed; /* out of memory */
    size_t events;
    enum inst_status status;
    struct inst_err *err;
};

/* In an open group. */
static enum inst_status put_event(struct inst_app *app,
                                  const struct inst_webhook_gathered *gathered,
                                  struct inst_webhook_isn isn, struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    int64_t now = inst_webhook_now(app);
    struct inst_webhook_event event = {
        .status = "pending", .attempts = inst_array(NULL, 0), .next_ms = now, .updated_ms = now};
    char key[INST_WEBHOOK_KEY];
    size_t dropped;
    enum inst_status st = inst_webhook_event_put(app, gathered->id, isn, &event, err);
    inst_webhook_due_key(now, gathered->id, isn, key);
    if (st == INST_OK)
        st = ops->set_note(app->db, key, "", 0, err);
    inst_webhook_data_key(gathered->id, isn, key);
    if (st == INST_OK && !gathered->is_large)
        st = ops->set_note(app->db, key, gathered->data.data, gathered->data.len, err);
    /* Each new one takes two with it that are too old. */
    return st != INST_OK ? st
                         : inst_webhook_events_drop(app, gathered->id, now - INST_WEBHOOK_KEEP_MS,
                                                    2, &dropped, err);
}

/* The transaction is read: its events join the group. */
static void finish_gathering(struct reading *reading) {
    struct inst_webhooks *webhooks = reading->app->webhooks;
    for (struct inst_webhook_gathered *gathered = webhooks->gathered;
         reading->status == INST_OK && gathered != NULL; gathered = gathered->next) {
        if (gathered->data.failed)
            reading->status = inst_err_nomem(reading->err);
        else
            reading->status = put_event(reading->app, gathered, webhooks->gathering, reading->err);
        reading->events++;
    }
    if (reading->status == INST_OK)
        clear_gathered(webhooks);
}

static void gather(struct reading *reading, const struct inst_webhook *webhook,
                   const struct inst_feed_change *change) {
    struct inst_webhook_gathered *gathered = gathered_of(reading->app->webhooks, webhook->id);
    if (gathered == NULL) {
        reading->status = inst_err_nomem(reading->err);
        return;
    }
    if (gathered->is_large)
        return;
    if (gathered->data.len > 0)
        inst_buf_add_char(&gathered->data, ',');
    inst_webhook_change_write(&gathered->data, change);
    gathered->is_large = gathered->data.len > INST_WEBHOOK_MAX_DATA;
    if (gathered->is_large)
        inst_buf_free(&gathered->data);
}

static bool on_change(void *ctx, const struct inst_feed_change *change) {
    struct reading *reading = ctx;
    struct inst_webhooks *webhooks = reading->app->webhooks;
    if (webhooks->gathering.tx != 0 && webhooks->gathering.tx != change->tx_id)
        finish_gathering(reading);
    webhooks->gathering = (struct inst_webhook_isn){change->at_ms, change->tx_id};
    for (struct inst_webhook *webhook = webhooks->first;
         reading->status == INST_OK && webhook != NULL; webhook = webhook->next)
        if (webhook->is_active && webhook->since_tx < change->tx_id &&
            inst_webhook_wants(reading->app, webhook, &change->etype, change->action))
            gather(reading, webhook, change);
    return reading->status == INST_OK && reading->events < INST_WEBHOOK_TURN_EVENTS;
}

/* Everything read so far, and how far, in one commit; when that fails it is read again. */
static enum inst_status read_slice(struct inst_app *app, struct inst_err *err) {
    static const struct inst_feed_filter all = {.actions = INST_FEED_ALL};
    struct inst_webhooks *webhooks = app->webhooks;
    struct reading reading = {.app = app, .status = INST_OK, .err = err};
    bool is_at_head;
    enum inst_status st =
        inst_feed_read(webhooks->feed, &all, on_change, &reading, &is_at_head, err);
    st = reading.status != INST_OK ? reading.status : st;
    struct inst_feed_position at = inst_feed_at(webhooks->feed);
    if (st == INST_OK && at.index == 0 && webhooks->gathering.tx != 0) {
        finish_gathering(&reading);
        st = reading.status;
    }
    /* The transaction that is being gathered is read again after a restart. */
    webhooks->at_tx = webhooks->gathering.tx != 0 ? webhooks->gathering.tx - 1 : at.tx;
    if (st == INST_OK && (reading.events > 0 || webhooks->at_tx > webhooks->kept_at_tx + 10000))
        st = inst_webhooks_put_at(app, webhooks->at_tx, err);
    return st;
}

/* The log does not hold what is wanted: what is there is told of from now on. */
static enum inst_status jump(struct inst_app *app, struct inst_err *err) {
    log_about(app, "changes were missed", err);
    inst_err_clear(err);
    enum inst_status st = inst_webhooks_begin(app, err);
    if (st != INST_OK)
        return st;
    st = inst_webhooks_put_at(app, app->last_tx, err);
    if ((st = inst_webhooks_end(app, st, err)) == INST_OK)
        app->webhooks->at_tx = app->webhooks->kept_at_tx = app->last_tx;
    return st;
}

static enum inst_status read_log(struct inst_app *app, struct inst_err *err) {
    struct inst_webhooks *webhooks = app->webhooks;
    int64_t before = webhooks->at_tx;
    enum inst_status st = INST_OK;
    if (webhooks->active_count == 0 || webhooks->at_tx >= app->last_tx)
        return INST_OK;
    if (webhooks->feed == NULL) {
        clear_gathered(webhooks);
        st = inst_feed_new(app, (struct inst_feed_position){webhooks->at_tx, 0}, &webhooks->feed,
                           err);
    }
    if (st == INST_OK && (st = inst_webhooks_begin(app, err)) == INST_OK) {
        st = read_slice(app, err);
        st = inst_webhooks_end(app, st, err);
    }
    if (st == INST_OK) {
        webhooks->kept_at_tx = webhooks->at_tx;
        return inst_webhooks_find_due(app, err);
    }
    inst_feed_free(webhooks->feed);
    webhooks->feed = NULL;
    clear_gathered(webhooks);
    webhooks->at_tx = before;
    bool is_gone = err->type != NULL && strcmp(err->type, "position-gone") == 0;
    return is_gone ? jump(app, err) : st;
}

/* ---- what is left of deleted ones ---- */

static bool first_gone(void *ctx, const char *key, const char *bytes, size_t len) {
    (void)bytes, (void)len;
    snprintf(ctx, INST_WEBHOOK_KEY, "%s", key);
    return false;
}

static enum inst_status clear_gone(struct inst_app *app, struct inst_err *err) {
    char key[INST_WEBHOOK_KEY] = "";
    size_t count = 0;
    if (app->webhooks->gone_count == 0)
        return INST_OK;
    enum inst_status st = app->db->db_ops->each_note(app->db, GONE, NULL, first_gone, key, err);
    if (st != INST_OK || (st = inst_webhooks_begin(app, err)) != INST_OK)
        return st;
    if (key[0] != '\0')
        st = inst_webhook_events_drop(app, key + sizeof GONE - 1, INT64_MAX,
                                      INST_WEBHOOK_TURN_EVENTS, &count, err);
    bool is_done = count < INST_WEBHOOK_TURN_EVENTS;
    if (st == INST_OK && is_done && key[0] != '\0')
        st = drop_note(app, key, err);
    if ((st = inst_webhooks_end(app, st, err)) == INST_OK && is_done)
        app->webhooks->gone_count--;
    return st == INST_OK ? inst_webhooks_find_due(app, err) : st;
}

/* ---- the turn ---- */

static bool has_work(const struct inst_app *app, int64_t now) {
    const struct inst_webhooks *webhooks = app->webhooks;
    if (app->is_removed)
        return webhooks->back_count > 0 && now >= webhooks->stalled_ms;
    return now >= webhooks->stalled_ms &&
           (webhooks->back_count > 0 || webhooks->gone_count > 0 ||
            (webhooks->active_count > 0 && webhooks->at_tx < app->last_tx) ||
            (webhooks->due_ms <= now && may_send(app)));
}

bool inst_webhooks_need(const struct inst_app *app) {
    const struct inst_webhooks *webhooks = app->webhooks;
    if (webhooks == NULL || app->is_removed)
        return webhooks != NULL && webhooks->delivery_count > 0;
    return (webhooks->delivery_count > 0 || webhooks->gone_count > 0 ||
            webhooks->due_ms != INT64_MAX ||
            (webhooks->active_count > 0 && webhooks->at_tx < app->last_tx));
}

static void run_app(struct inst_app *app) {
    struct inst_err err = {0};
    enum inst_status st = keep_back(app, &err);
    if (st == INST_OK && !app->is_removed)
        st = clear_gone(app, &err);
    if (st == INST_OK && !app->is_removed)
        st = read_log(app, &err);
    if (st == INST_OK && !app->is_removed)
        st = send_due(app, &err);
    if (st != INST_OK)
        stall(app, &err);
    inst_err_clear(&err);
}

void inst_webhooks_turn(struct inst_server *server) {
    int64_t now = server->env->now_ms(server->env->ctx);
    for (struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (app->webhooks != NULL && !app->is_group_open && has_work(app, now))
            run_app(app);
}

bool inst_webhooks_are_pending(const struct inst_server *server) {
    int64_t now = server->env->now_ms(server->env->ctx);
    for (const struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (app->webhooks != NULL && has_work(app, now))
            return true;
    return false;
}

int64_t inst_webhooks_due_ms(const struct inst_server *server) {
    int64_t due = INT64_MAX;
    for (const struct inst_app *app = server->apps; app != NULL; app = app->next) {
        const struct inst_webhooks *webhooks = app->webhooks;
        if (webhooks == NULL || !inst_webhooks_need(app))
            continue;
        int64_t at = may_send(app) ? webhooks->due_ms : INT64_MAX;
        bool waits = webhooks->back_count > 0 || webhooks->gone_count > 0 ||
                     (webhooks->active_count > 0 && webhooks->at_tx < app->last_tx);
        at = waits && webhooks->stalled_ms > 0 ? webhooks->stalled_ms
             : at < webhooks->stalled_ms       ? webhooks->stalled_ms
                                               : at;
        due = at < due ? at : due;
    }
    return due;
}
