#include "base/date.h"
#include "base/json.h"
#include "server/limits.h"
#include "server/polls.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/webhooks_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENT "webhook-event/"
#define DUE "webhook-due/"
#define DATA "webhook-data/"
#define ISN_MAX 0x7fffffffffffffffull

/* ---- isns and keys ---- */

void inst_webhook_isn_print(struct inst_webhook_isn isn, char out[INST_WEBHOOK_ISN_TEXT]) {
    snprintf(out, INST_WEBHOOK_ISN_TEXT, "%llx-%llx", (unsigned long long)isn.at_ms,
             (unsigned long long)isn.tx);
}

static bool read_hex(const char **at, size_t max, uint64_t *out) {
    size_t n = strspn(*at, "0123456789abcdef");
    if (n == 0 || n > max || (n > 1 && **at == '0'))
        return false;
    *out = strtoull(*at, NULL, 16);
    *at += n;
    return *out <= ISN_MAX;
}

bool inst_webhook_isn_parse(const char *text, struct inst_webhook_isn *out) {
    uint64_t at_ms, tx;
    if (!read_hex(&text, 16, &at_ms) || *text++ != '-' || !read_hex(&text, 16, &tx) ||
        *text != '\0')
        return false;
    *out = (struct inst_webhook_isn){(int64_t)at_ms, (int64_t)tx};
    return true;
}

/* Falls as the isn rises: the newest comes first. */
void inst_webhook_event_key(const char *id, struct inst_webhook_isn isn,
                            char out[INST_WEBHOOK_KEY]) {
    snprintf(out, INST_WEBHOOK_KEY, EVENT "%s/%016llx%016llx", id,
             (unsigned long long)(ISN_MAX - (uint64_t)isn.at_ms),
             (unsigned long long)(ISN_MAX - (uint64_t)isn.tx));
}

static bool event_key_parse(const char *key, struct inst_webhook_isn *out) {
    char half[17];
    const char *at = key + sizeof EVENT - 1 + INST_UUID_TEXT + 1;
    if (strlen(key) != sizeof EVENT - 1 + INST_UUID_TEXT + 1 + 32)
        return false;
    snprintf(half, sizeof half, "%.16s", at);
    out->at_ms = (int64_t)(ISN_MAX - strtoull(half, NULL, 16));
    snprintf(half, sizeof half, "%.16s", at + 16);
    out->tx = (int64_t)(ISN_MAX - strtoull(half, NULL, 16));
    return true;
}

void inst_webhook_due_key(int64_t due_ms, const char *id, struct inst_webhook_isn isn,
                          char out[INST_WEBHOOK_KEY]) {
    snprintf(out, INST_WEBHOOK_KEY, DUE "%016llx/%s/%016llx-%016llx", (unsigned long long)due_ms,
             id, (unsigned long long)isn.at_ms, (unsigned long long)isn.tx);
}

bool inst_webhook_due_parse(const char *key, int64_t *due_ms, char id[INST_UUID_TEXT + 1],
                            struct inst_webhook_isn *isn) {
    unsigned long long due, at_ms, tx;
    if (sscanf(key, DUE "%16llx/%36[0-9a-f-]/%16llx-%16llx", &due, id, &at_ms, &tx) != 4)
        return false;
    *due_ms = (int64_t)due;
    *isn = (struct inst_webhook_isn){(int64_t)at_ms, (int64_t)tx};
    return true;
}

void inst_webhook_data_key(const char *id, struct inst_webhook_isn isn,
                           char out[INST_WEBHOOK_KEY]) {
    char text[INST_WEBHOOK_ISN_TEXT];
    inst_webhook_isn_print(isn, text);
    snprintf(out, INST_WEBHOOK_KEY, DATA "%s/%s", id, text);
}

/* ---- one event ---- */

static const char *const statuses[] = {"pending", "success", "error", "failed"};

enum inst_status inst_webhook_event_put(struct inst_app *app, const char *id,
                                        struct inst_webhook_isn isn,
                                        const struct inst_webhook_event *event,
                                        struct inst_err *err) {
    struct inst_buf note;
    char key[INST_WEBHOOK_KEY];
    inst_buf_init(&note);
    inst_buf_addf(&note,
                  "{\"status\":\"%s\",\"next\":%lld,\"updated\":%lld,\"attempts\":", event->status,
                  (long long)event->next_ms, (long long)event->updated_ms);
    inst_json_write(&note, &event->attempts);
    inst_buf_add_char(&note, '}');
    inst_webhook_event_key(id, isn, key);
    enum inst_status st = note.failed
                              ? inst_err_nomem(err)
                              : app->db->db_ops->set_note(app->db, key, note.data, note.len, err);
    inst_buf_free(&note);
    return st;
}

static int64_t number_of(const struct inst_value *note, const char *name) {
    const struct inst_value *v = inst_getz(note, name);
    return v != NULL && v->tag == INST_NUMBER ? (int64_t)v->u.num : 0;
}

static void read_event(const struct inst_value *note, struct inst_webhook_event *out) {
    const struct inst_value *status = inst_getz(note, "status"),
                            *attempts = inst_getz(note, "attempts");
    *out = (struct inst_webhook_event){.status = statuses[0],
                                       .attempts = inst_array(NULL, 0),
                                       .next_ms = number_of(note, "next"),
                                       .updated_ms = number_of(note, "updated")};
    for (size_t i = 0; status != NULL && i < sizeof statuses / sizeof *statuses; i++)
        if (inst_is_string(status, statuses[i]))
            out->status = statuses[i];
    if (attempts != NULL && attempts->tag == INST_ARRAY)
        out->attempts = *attempts;
}

enum inst_status inst_webhook_event_get(struct inst_app *app, const char *id,
                                        struct inst_webhook_isn isn, struct inst_webhook_event *out,
                                        bool *found, struct inst_err *err) {
    char key[INST_WEBHOOK_KEY];
    struct inst_value note;
    inst_webhook_event_key(id, isn, key);
    enum inst_status st = inst_row_note(app, key, &note, err);
    *found = st == INST_OK && note.tag == INST_OBJECT;
    if (*found)
        read_event(&note, out);
    return st;
}

struct inst_webhook_delivery *inst_webhook_delivery_of(const struct inst_webhooks *webhooks,
                                                       const char *id,
                                                       struct inst_webhook_isn isn) {
    struct inst_webhook_delivery *delivery = webhooks->deliveries;
    while (delivery != NULL && (delivery->isn.tx != isn.tx || strcmp(delivery->id, id) != 0))
        delivery = delivery->next;
    return delivery;
}

static void write_time(struct inst_buf *out, const char *name, int64_t ms) {
    char text[INST_DATE_TEXT_MAX];
    inst_date_iso((double)ms, text);
    if (ms == 0)
        inst_buf_addf(out, ",\"%s\":null", name);
    else
        inst_buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

static void write_event(const struct inst_app *app, const char *id, struct inst_webhook_isn isn,
                        const struct inst_webhook_event *event, struct inst_buf *out) {
    char text[INST_WEBHOOK_ISN_TEXT];
    bool is_away = inst_webhook_delivery_of(app->webhooks, id, isn) != NULL;
    inst_webhook_isn_print(isn, text);
    inst_buf_addf(out, "{\"isn\":\"%s\",\"status\":\"%s\",\"attempts\":", text,
                  is_away ? "processing" : event->status);
    if (event->attempts.len == 0)
        inst_buf_add_str(out, "null");
    else
        inst_json_write(out, &event->attempts);
    write_time(out, "next_attempt_after",
               strcmp(event->status, "error") == 0 && !is_away ? event->next_ms : 0);
    write_time(out, "created_at", isn.at_ms);
    write_time(out, "updated_at", event->updated_ms);
    inst_buf_add_char(out, '}');
}

static enum inst_status refuse_event(const struct inst_app *app, const char *id,
                                     struct inst_webhook_isn isn, struct inst_err *err) {
    char args[256], text[INST_WEBHOOK_ISN_TEXT];
    inst_webhook_isn_print(isn, text);
    snprintf(args, sizeof args, "[{\"app-id\":\"%s\",\"webhook-id\":\"%s\",\"isn\":\"%s\"}]",
             app->info.id, id, text);
    return inst_refuse_not_found(err, "webhook-event", args);
}

enum inst_status inst_webhook_event_write(struct inst_app *app, const struct inst_webhook *webhook,
                                          struct inst_webhook_isn isn, struct inst_buf *out,
                                          struct inst_err *err) {
    struct inst_webhook_event event;
    bool found;
    enum inst_status st = inst_webhook_event_get(app, webhook->id, isn, &event, &found, err);
    if (st == INST_OK && !found)
        st = refuse_event(app, webhook->id, isn, err);
    if (st == INST_OK)
        write_event(app, webhook->id, isn, &event, out);
    return st;
}

/* ---- a page ---- */

struct page {
    struct inst_app *app;
    const char *id;
    struct inst_buf *out;
    struct inst_arena arena;
    int64_t floor_ms;
    size_t count;
    struct inst_webhook_isn first, last;
    bool has_more, failed;
};

static bool page_event(void *ctx, const char *key, const char *bytes, size_t len) {
    struct page *page = ctx;
    struct inst_webhook_isn isn;
    struct inst_webhook_event event;
    struct inst_value note;
    if (!event_key_parse(key, &isn))
        return true;
    if (isn.at_ms < page->floor_ms)
        return false;
    page->has_more = page->count == INST_WEBHOOK_PAGE;
    if (page->has_more)
        return false;
    inst_arena_reset(&page->arena);
    page->failed = inst_json_parse(&page->arena, bytes, len, &note, NULL) != INST_OK;
    if (page->failed)
        return false;
    read_event(&note, &event);
    if (page->count++ == 0)
        page->first = isn;
    else
        inst_buf_add_char(page->out, ',');
    page->last = isn;
    write_event(page->app, page->id, isn, &event, page->out);
    return true;
}

static void write_cursor(struct inst_buf *out, const struct page *page,
                         struct inst_webhook_isn isn) {
    char text[INST_WEBHOOK_ISN_TEXT];
    inst_webhook_isn_print(isn, text);
    if (page->count == 0)
        inst_buf_add_str(out, "null");
    else
        inst_buf_addf(out, "\"%s\"", text);
}

enum inst_status inst_webhook_events_write(struct inst_app *app, const struct inst_webhook *webhook,
                                           const char *after, struct inst_buf *out,
                                           struct inst_err *err) {
    struct page page = {.app = app, .id = webhook->id, .out = out};
    struct inst_webhook_isn isn;
    char prefix[INST_WEBHOOK_KEY], from[INST_WEBHOOK_KEY];
    bool has_from = after != NULL && inst_webhook_isn_parse(after, &isn);
    page.floor_ms = inst_webhook_now(app) - INST_WEBHOOK_KEEP_MS;
    inst_arena_init(&page.arena);
    snprintf(prefix, sizeof prefix, EVENT "%s/", webhook->id);
    if (has_from)
        inst_webhook_event_key(webhook->id, isn, from);
    inst_buf_add_str(out, "{\"events\":[");
    enum inst_status st =
        app->db->db_ops->each_note(app->db, prefix, has_from ? from : NULL, page_event, &page, err);
    if (st == INST_OK && page.failed)
        st = inst_err_set(err, "data-file", 500, "app %s: a webhook's event cannot be read",
                          app->info.id);
    inst_arena_free(&page.arena);
    inst_buf_add_str(out, "],\"pageInfo\":{\"startCursor\":");
    write_cursor(out, &page, page.first);
    inst_buf_add_str(out, ",\"endCursor\":");
    write_cursor(out, &page, page.last);
    inst_buf_addf(out, ",\"hasNextPage\":%s}}", page.has_more ? "true" : "false");
    return st;
}

/* ---- again ---- */

static enum inst_status refuse_resend(const struct inst_app *app, const char *id,
                                      struct inst_webhook_isn isn, struct inst_err *err) {
    char text[INST_WEBHOOK_ISN_TEXT];
    inst_webhook_isn_print(isn, text);
    struct inst_member members[3] = {{"app-id", 6, inst_cstring(app->info.id)},
                                     {"webhook-id", 10, inst_cstring(id)},
                                     {"isn", 3, inst_cstring(text)}};
    struct inst_value input = inst_object(members, 3);
    return inst_refuse_validation(err, "webhook-events", &input, NULL,
                                  "Could not resend event. Try again in one minute.");
}

static enum inst_status make_due(struct inst_app *app, const char *id, struct inst_webhook_isn isn,
                                 const struct inst_webhook_event *event, int64_t old_due,
                                 struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    char key[INST_WEBHOOK_KEY];
    enum inst_status st = inst_webhooks_begin(app, err);
    if (st != INST_OK)
        return st;
    st = inst_webhook_event_put(app, id, isn, event, err);
    if (st == INST_OK && old_due != 0) {
        inst_webhook_due_key(old_due, id, isn, key);
        st = ops->set_note(app->db, key, NULL, 0, err);
    }
    inst_webhook_due_key(event->next_ms, id, isn, key);
    if (st == INST_OK)
        st = ops->set_note(app->db, key, "", 0, err);
    st = inst_webhooks_end(app, st, err);
    if (st == INST_OK && event->next_ms < app->webhooks->due_ms)
        app->webhooks->due_ms = event->next_ms;
    return st;
}

enum inst_status inst_webhook_event_resend(struct inst_app *app, const struct inst_webhook *webhook,
                                           struct inst_webhook_isn isn, struct inst_err *err) {
    struct inst_webhook_event event;
    bool found;
    enum inst_status st = inst_webhook_event_get(app, webhook->id, isn, &event, &found, err);
    if (st != INST_OK)
        return st;
    if (!found || inst_webhook_delivery_of(app->webhooks, webhook->id, isn) != NULL)
        return refuse_resend(app, webhook->id, isn, err);
    int64_t old_due = event.next_ms;
    event.status = statuses[0];
    event.next_ms = event.updated_ms = inst_webhook_now(app);
    return make_due(app, webhook->id, isn, &event, old_due, err);
}

/* ---- clearing away ---- */

struct drop {
    struct inst_arena *arena;
    struct inst_webhook_isn *isns;
    int64_t *dues;
    size_t count, max;
};

static bool note_drop(void *ctx, const char *key, const char *bytes, size_t len) {
    struct drop *drop = ctx;
    struct inst_value note;
    if (!event_key_parse(key, &drop->isns[drop->count]))
        return true;
    drop->dues[drop->count++] = inst_json_parse(drop->arena, bytes, len, &note, NULL) == INST_OK
                                    ? number_of(&note, "next")
                                    : 0;
    return drop->count < drop->max;
}

enum inst_status inst_webhook_events_drop(struct inst_app *app, const char *id, int64_t before_ms,
                                          size_t max, size_t *count, struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct inst_arena *scratch = &app->server->scratch;
    struct drop drop = {.arena = scratch, .max = max};
    char prefix[INST_WEBHOOK_KEY], from[INST_WEBHOOK_KEY], key[INST_WEBHOOK_KEY];
    snprintf(prefix, sizeof prefix, EVENT "%s/", id);
    inst_webhook_event_key(id, (struct inst_webhook_isn){before_ms, 0}, from);
    drop.isns = inst_arena_alloc(scratch, max * sizeof *drop.isns);
    drop.dues = inst_arena_alloc(scratch, max * sizeof *drop.dues);
    if (drop.isns == NULL || drop.dues == NULL)
        return inst_err_nomem(err);
    enum inst_status st = ops->each_note(app->db, prefix, before_ms == INT64_MAX ? NULL : from,
                                         note_drop, &drop, err);
    for (size_t i = 0; st == INST_OK && i < drop.count; i++) {
        inst_webhook_event_key(id, drop.isns[i], key);
        st = ops->set_note(app->db, key, NULL, 0, err);
        inst_webhook_data_key(id, drop.isns[i], key);
        if (st == INST_OK)
            st = ops->set_note(app->db, key, NULL, 0, err);
        if (st == INST_OK && drop.dues[i] != 0) {
            inst_webhook_due_key(drop.dues[i], id, drop.isns[i], key);
            st = ops->set_note(app->db, key, NULL, 0, err);
        }
    }
    *count = drop.count;
    return st;
}

static bool first_due(void *ctx, const char *key, const char *bytes, size_t len) {
    char id[INST_UUID_TEXT + 1];
    struct inst_webhook_isn isn;
    (void)bytes, (void)len;
    return !inst_webhook_due_parse(key, ctx, id, &isn);
}

enum inst_status inst_webhooks_find_due(struct inst_app *app, struct inst_err *err) {
    app->webhooks->due_ms = INT64_MAX;
    return app->db->db_ops->each_note(app->db, DUE, NULL, first_due, &app->webhooks->due_ms, err);
}

/* ---- payloads ---- */

void inst_webhook_change_write(struct inst_buf *out, const struct inst_feed_change *change) {
    inst_buf_add_str(out, "{\"namespace\":");
    inst_json_write(out, &change->etype);
    inst_buf_addf(out, ",\"action\":\"%s\",\"id\":\"%s\",\"before\":",
                  inst_feed_action_name(change->action), change->id);
    inst_json_write(out, &change->before);
    inst_buf_add_str(out, ",\"after\":");
    inst_json_write(out, &change->after);
    inst_buf_addf(out, ",\"idempotencyKey\":\"%s\"}", change->key);
}

static void add_headers(struct inst_http_response *response) {
    inst_http_add_header(response, "Cache-Control", "no-store, private");
    inst_http_add_header(response, "Pragma", "no-cache");
    inst_http_add_header(response, "Expires", "0");
    inst_http_add_header(response, "Vary", "Authorization");
}

/* The namespaces that it names, as today's schema calls them. */
static enum inst_status make_filter(struct inst_app *app, const struct inst_webhook *webhook,
                                    struct inst_feed_filter *out, struct inst_err *err) {
    struct inst_value *etypes =
        inst_arena_alloc(&app->server->scratch, (webhook->id_attr_count + 1) * sizeof *etypes);
    if (etypes == NULL)
        return inst_err_nomem(err);
    *out = (struct inst_feed_filter){.etypes = etypes};
    for (size_t i = 0; i < webhook->id_attr_count; i++) {
        const struct inst_attr *attr =
            inst_attrs_by_id(app->catalog->attrs, webhook->id_attrs[i], INST_UUID_TEXT);
        if (attr != NULL)
            etypes[out->etype_count++] = attr->forward.etype;
    }
    for (size_t i = 0; i < webhook->action_count; i++)
        out->actions |= webhook->actions[i];
    return INST_OK;
}

enum inst_status inst_webhook_payload(struct inst_app *app, const struct inst_webhook *webhook,
                                      struct inst_webhook_isn isn,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_poll_wish wish = {.from = {isn.tx - 1, 0}, .until_tx = isn.tx, .limit = SIZE_MAX};
    struct inst_buf data;
    char key[INST_WEBHOOK_KEY], behind[96];
    bool found;
    struct inst_webhook_event event;
    enum inst_status st = inst_webhook_event_get(app, webhook->id, isn, &event, &found, err);
    if (st == INST_OK && !found)
        st = refuse_event(app, webhook->id, isn, err);
    if (st != INST_OK)
        return st;
    inst_webhook_key(webhook->id, isn, wish.key);
    inst_buf_init(&data);
    inst_webhook_data_key(webhook->id, isn, key);
    st = app->db->db_ops->get_note(app->db, key, &data, &found, err);
    if (st == INST_OK && found) {
        add_headers(response);
        snprintf(behind, sizeof behind, "],\"idempotencyKey\":\"%s\"}", wish.key);
        inst_buf_add_str(&response->body, "{\"data\":[");
        inst_buf_add(&response->body, data.data != NULL ? data.data : "", data.len);
        inst_buf_add_str(&response->body, behind);
    } else if (st == INST_OK && (st = make_filter(app, webhook, &wish.filter, err)) == INST_OK) {
        wish.write = inst_webhook_change_write;
        wish.add_headers = add_headers;
        st = inst_poll_start(app, &wish, response, err);
    }
    inst_buf_free(&data);
    return st;
}
