#include "server/webhooks.h"

#include "base/json.h"
#include "server/limits.h"
#include "server/outgoing.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/webhooks_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE "webhook/"
#define GONE "webhook-gone/"

/* ---- life of one ---- */

static void free_webhook(struct inst_webhook *webhook) {
    if (webhook == NULL)
        return;
    free(webhook->url);
    free(webhook->id_attrs);
    free(webhook->reason);
    free(webhook);
}

static bool set_text(char **at, const char *text, size_t len) {
    char *copy = text != NULL ? strndup(text, len) : NULL;
    if (text != NULL && copy == NULL)
        return false;
    free(*at);
    *at = copy;
    return true;
}

static struct inst_webhook *dup_webhook(const struct inst_webhook *from) {
    struct inst_webhook *to = malloc(sizeof *to);
    size_t size = (from->id_attr_count + 1) * sizeof *from->id_attrs;
    if (to == NULL)
        return NULL;
    *to = *from;
    to->next = NULL;
    to->url = strdup(from->url);
    to->reason = from->reason != NULL ? strdup(from->reason) : NULL;
    to->id_attrs = malloc(size);
    if (to->url == NULL || to->id_attrs == NULL || (from->reason != NULL && to->reason == NULL)) {
        free_webhook(to);
        return NULL;
    }
    if (from->id_attr_count > 0)
        memcpy(to->id_attrs, from->id_attrs, from->id_attr_count * sizeof *from->id_attrs);
    return to;
}

/* ---- notes ---- */

void inst_webhook_note_key(const char *id, char out[INST_WEBHOOK_KEY]) {
    snprintf(out, INST_WEBHOOK_KEY, NOTE "%s", id);
}

static void gone_key(const char *id, char out[INST_WEBHOOK_KEY]) {
    snprintf(out, INST_WEBHOOK_KEY, GONE "%s", id);
}

static void write_actions(const struct inst_webhook *webhook, struct inst_buf *out) {
    for (size_t i = 0; i < webhook->action_count; i++)
        inst_buf_addf(out, "%s\"%s\"", i > 0 ? "," : "",
                      inst_feed_action_name(webhook->actions[i]));
}

static void write_text(struct inst_buf *out, const char *text) {
    if (text == NULL)
        inst_buf_add_str(out, "null");
    else
        inst_json_write_string(out, text, strlen(text));
}

enum inst_status inst_webhook_put(struct inst_app *app, const struct inst_webhook *webhook,
                                  struct inst_err *err) {
    struct inst_buf note;
    char key[INST_WEBHOOK_KEY];
    inst_buf_init(&note);
    inst_buf_add_str(&note, "{\"url\":");
    write_text(&note, webhook->url);
    inst_buf_add_str(&note, ",\"attrs\":[");
    for (size_t i = 0; i < webhook->id_attr_count; i++)
        inst_buf_addf(&note, "%s\"%s\"", i > 0 ? "," : "", webhook->id_attrs[i]);
    inst_buf_add_str(&note, "],\"actions\":[");
    write_actions(webhook, &note);
    inst_buf_addf(&note, "],\"active\":%s,\"reason\":", webhook->is_active ? "true" : "false");
    write_text(&note, webhook->reason);
    inst_buf_addf(&note, ",\"created\":%lld,\"updated\":%lld,\"since\":%lld}",
                  (long long)webhook->created_ms, (long long)webhook->updated_ms,
                  (long long)webhook->since_tx);
    inst_webhook_note_key(webhook->id, key);
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

static bool read_attrs(struct inst_webhook *webhook, const struct inst_value *list) {
    size_t count = list != NULL && list->tag == INST_ARRAY ? list->len : 0;
    webhook->id_attrs = malloc((count + 1) * sizeof *webhook->id_attrs);
    for (size_t i = 0; webhook->id_attrs != NULL && i < count; i++) {
        const struct inst_value *id = &list->u.items[i];
        struct inst_uuid uuid;
        if (id->tag == INST_STRING && inst_uuid_parse(id->u.str, id->len, &uuid))
            inst_uuid_print(&uuid, webhook->id_attrs[webhook->id_attr_count++]);
    }
    return webhook->id_attrs != NULL;
}

static void read_actions(struct inst_webhook *webhook, const struct inst_value *list) {
    unsigned seen = 0;
    webhook->action_count = 0;
    for (uint32_t i = 0; list != NULL && list->tag == INST_ARRAY && i < list->len; i++) {
        unsigned action = inst_feed_action_of(&list->u.items[i]);
        if (action == 0 || (seen & action) != 0)
            continue;
        seen |= action;
        webhook->actions[webhook->action_count++] = (enum inst_feed_action)action;
    }
}

static bool read_webhook(struct inst_webhook *webhook, const struct inst_value *note) {
    const struct inst_value *url = inst_get_string(note, "url"),
                            *reason = inst_get_string(note, "reason");
    webhook->is_active = inst_get_true(note, "active");
    webhook->created_ms = number_of(note, "created");
    webhook->updated_ms = number_of(note, "updated");
    webhook->since_tx = number_of(note, "since");
    read_actions(webhook, inst_getz(note, "actions"));
    return set_text(&webhook->url, url != NULL ? url->u.str : "", url != NULL ? url->len : 0) &&
           (reason == NULL || set_text(&webhook->reason, reason->u.str, reason->len)) &&
           read_attrs(webhook, inst_getz(note, "attrs"));
}

/* ---- the app's list, newest first ---- */

static void link_webhook(struct inst_webhooks *webhooks, struct inst_webhook *webhook) {
    struct inst_webhook **at = &webhooks->first;
    while (*at != NULL && (*at)->created_ms > webhook->created_ms)
        at = &(*at)->next;
    webhook->next = *at;
    *at = webhook;
    webhooks->count++;
    webhooks->active_count += webhook->is_active;
}

static void unlink_webhook(struct inst_webhooks *webhooks, struct inst_webhook *webhook) {
    struct inst_webhook **at = &webhooks->first;
    while (*at != webhook)
        at = &(*at)->next;
    *at = webhook->next;
    webhooks->count--;
    webhooks->active_count -= webhook->is_active;
}

struct inst_webhook *inst_webhook_of(const struct inst_webhooks *webhooks, const char *id) {
    struct inst_webhook *webhook = webhooks->first;
    while (webhook != NULL && strcmp(webhook->id, id) != 0)
        webhook = webhook->next;
    return webhook;
}

struct inst_webhook *inst_webhooks_first(const struct inst_app *app) {
    return app->webhooks->first;
}

struct inst_webhook *inst_webhook_find(struct inst_app *app, const char *id, struct inst_err *err) {
    struct inst_webhook *webhook = inst_webhook_of(app->webhooks, id);
    char args[160];
    if (webhook != NULL)
        return webhook;
    snprintf(args, sizeof args, "[{\"app-id\":\"%s\",\"webhook-id\":\"%s\"}]", app->info.id, id);
    inst_refuse_not_found(err, "webhook", args);
    return NULL;
}

/* ---- opening ---- */

struct opening {
    struct inst_webhooks *webhooks;
    struct inst_arena arena;
    bool failed;
};

static bool open_one(void *ctx, const char *key, const char *bytes, size_t len) {
    struct opening *opening = ctx;
    struct inst_value note;
    struct inst_webhook *webhook = calloc(1, sizeof *webhook);
    inst_arena_reset(&opening->arena);
    bool is_read = webhook != NULL && strlen(key) == sizeof NOTE - 1 + INST_UUID_TEXT &&
                   inst_json_parse(&opening->arena, bytes, len, &note, NULL) == INST_OK;
    if (is_read) {
        strcpy(webhook->id, key + sizeof NOTE - 1);
        is_read = read_webhook(webhook, &note);
    }
    if (is_read)
        link_webhook(opening->webhooks, webhook);
    else
        free_webhook(webhook);
    opening->failed = opening->failed || !is_read;
    return is_read;
}

static bool count_one(void *ctx, const char *key, const char *bytes, size_t len) {
    (void)key, (void)bytes, (void)len;
    (*(size_t *)ctx)++;
    return true;
}

static enum inst_status read_at(struct inst_app *app, struct inst_err *err) {
    struct inst_buf text;
    bool found;
    struct inst_webhooks *webhooks = app->webhooks;
    inst_buf_init(&text);
    enum inst_status st = app->db->db_ops->get_note(app->db, "webhook-at", &text, &found, err);
    webhooks->at_tx =
        found && text.len > 0 ? strtoll(text.data, NULL, 10) : app->db->db_ops->last_tx_id(app->db);
    webhooks->kept_at_tx = webhooks->at_tx;
    inst_buf_free(&text);
    return st;
}

enum inst_status inst_webhooks_open(struct inst_app *app, struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct opening opening = {.webhooks = calloc(1, sizeof *app->webhooks)};
    if ((app->webhooks = opening.webhooks) == NULL)
        return inst_err_nomem(err);
    app->webhooks->due_ms = INT64_MAX;
    inst_arena_init(&opening.arena);
    enum inst_status st = ops->each_note(app->db, NOTE, NULL, open_one, &opening, err);
    inst_arena_free(&opening.arena);
    if (st == INST_OK && opening.failed)
        st = inst_err_set(err, "data-file", 500, "app %s: a webhook's note cannot be read",
                          app->info.id);
    if (st == INST_OK)
        st = ops->each_note(app->db, GONE, NULL, count_one, &app->webhooks->gone_count, err);
    if (st == INST_OK)
        st = read_at(app, err);
    return st == INST_OK ? inst_webhooks_find_due(app, err) : st;
}

/* ---- what a wish says ---- */

static enum inst_status refuse(struct inst_err *err, const char *name,
                               const struct inst_value *value, const char *message) {
    struct inst_member member = {name, strlen(name), *value};
    struct inst_value input = inst_object(&member, 1);
    return inst_refuse_validation(err, "webhook", &input, NULL, "%s", message);
}

static enum inst_status set_url(struct inst_app *app, struct inst_webhook *webhook, const char *url,
                                struct inst_err *err) {
    const struct inst_server_host *host = &app->server->host;
    struct inst_value text = inst_cstring(url);
    enum inst_outgoing_fault fault = INST_OUTGOING_FINE;
    if (host->outgoing != NULL && host->outgoing->fault != NULL)
        fault = host->outgoing->fault(host->outgoing_ctx, url);
    else if (strncmp(url, "https://", 8) != 0)
        fault = INST_OUTGOING_NOT_HTTPS;
    if (strlen(url) > INST_WEBHOOK_MAX_URL || fault == INST_OUTGOING_BAD_URL)
        return refuse(err, "url", &text, "Invalid URL.");
    if (fault == INST_OUTGOING_NOT_HTTPS)
        return refuse(err, "url", &text, "The Webhook url must be https");
    if (fault == INST_OUTGOING_NOT_PUBLIC)
        return refuse(err, "url", &text,
                      "The Webhook url must be a public url, localhost is not allowed.");
    return set_text(&webhook->url, url, strlen(url)) ? INST_OK : inst_err_nomem(err);
}

static bool has_attr(const struct inst_webhook *webhook, const struct inst_value *id) {
    for (size_t i = 0; i < webhook->id_attr_count; i++)
        if (inst_is_string(id, webhook->id_attrs[i]))
            return true;
    return false;
}

static enum inst_status set_namespaces(struct inst_app *app, struct inst_webhook *webhook,
                                       const struct inst_value *list, struct inst_err *err) {
    struct inst_attrs *attrs = app->catalog->attrs;
    char message[INST_SERVER_MAX_INDEXED + 64];
    webhook->id_attr_count = 0;
    if (list->len == 0 || list->len > INST_FEED_MAX_ETYPES)
        return refuse(err, "namespaces", list, "Webhook must have at least one table.");
    free(webhook->id_attrs);
    webhook->id_attrs = malloc(list->len * sizeof *webhook->id_attrs);
    if (webhook->id_attrs == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < list->len; i++) {
        const struct inst_value *etype = &list->u.items[i];
        const struct inst_attr *attr =
            inst_feed_shows(etype) ? inst_attrs_id_attr(attrs, etype->u.str, etype->len) : NULL;
        struct inst_uuid id;
        snprintf(message, sizeof message, "Could not find matching table for %.*s", (int)etype->len,
                 etype->u.str);
        if (attr == NULL || !inst_uuid_parse(attr->id.u.str, attr->id.len, &id))
            return refuse(err, "namespace", etype, message);
        if (!has_attr(webhook, &attr->id))
            inst_uuid_print(&id, webhook->id_attrs[webhook->id_attr_count++]);
    }
    return INST_OK;
}

static enum inst_status set_actions(struct inst_webhook *webhook, const struct inst_value *list,
                                    struct inst_err *err) {
    if (list->len == 0)
        return refuse(err, "actions", list, "Webhook must have at least one action.");
    for (uint32_t i = 0; i < list->len; i++)
        if (inst_feed_action_of(&list->u.items[i]) == 0)
            return refuse(err, "actions", list, "An action is one of create, update and delete.");
    read_actions(webhook, list);
    return INST_OK;
}

static unsigned actions_of(const struct inst_webhook *webhook) {
    unsigned actions = 0;
    for (size_t i = 0; i < webhook->action_count; i++)
        actions |= webhook->actions[i];
    return actions;
}

static bool is_same(const struct inst_webhook *a, const struct inst_webhook *b) {
    if (strcmp(a->url, b->url) != 0 || a->id_attr_count != b->id_attr_count ||
        actions_of(a) != actions_of(b))
        return false;
    for (size_t i = 0; i < a->id_attr_count; i++) {
        struct inst_value id = inst_cstring(a->id_attrs[i]);
        if (!has_attr(b, &id))
            return false;
    }
    return true;
}

static enum inst_status check_duplicate(struct inst_app *app, const struct inst_webhook *webhook,
                                        struct inst_err *err) {
    struct inst_member member = {"app-id", 6, inst_cstring(app->info.id)};
    struct inst_value input = inst_object(&member, 1);
    char more[80];
    for (struct inst_webhook *at = app->webhooks->first; at != NULL; at = at->next) {
        if (!at->is_active || strcmp(at->id, webhook->id) == 0 || !is_same(at, webhook))
            continue;
        snprintf(more, sizeof more, "\"hint\":{\"webhook-id\":\"%s\"}", at->id);
        return inst_refuse_validation(err, "webhooks", &input, more,
                                      "A webhook already exists with all of the same properties");
    }
    return INST_OK;
}

static enum inst_status check_limit(struct inst_app *app, struct inst_err *err) {
    struct inst_member member = {"app-id", 6, inst_cstring(app->info.id)};
    struct inst_value input = inst_object(&member, 1);
    if (app->webhooks->active_count < INST_WEBHOOK_MAX_ACTIVE &&
        app->webhooks->count < INST_WEBHOOK_MAX)
        return INST_OK;
    return inst_refuse_validation(err, "webhooks", &input, NULL,
                                  "An app may not have more than %u active webhooks.",
                                  INST_WEBHOOK_MAX_ACTIVE);
}

static enum inst_status apply_wish(struct inst_app *app, struct inst_webhook *webhook,
                                   const struct inst_webhook_wish *wish, struct inst_err *err) {
    enum inst_status st = INST_OK;
    if (wish->url != NULL)
        st = set_url(app, webhook, wish->url, err);
    if (st == INST_OK && wish->namespaces != NULL)
        st = set_namespaces(app, webhook, wish->namespaces, err);
    if (st == INST_OK && wish->actions != NULL)
        st = set_actions(webhook, wish->actions, err);
    return st;
}

/* ---- changes: a copy is checked and kept, then takes the place ---- */

enum inst_status inst_webhooks_begin(struct inst_app *app, struct inst_err *err) {
    return app->db->db_ops->begin(app->db, err);
}

enum inst_status inst_webhooks_end(struct inst_app *app, enum inst_status status,
                                   struct inst_err *err) {
    if (status == INST_OK)
        return app->db->db_ops->commit(app->db, err);
    app->db->db_ops->rollback(app->db);
    return status;
}

enum inst_status inst_webhooks_put_at(struct inst_app *app, int64_t tx, struct inst_err *err) {
    char text[32];
    int len = snprintf(text, sizeof text, "%lld", (long long)tx);
    return app->db->db_ops->set_note(app->db, "webhook-at", text, (size_t)len, err);
}

/* How far the log was read goes with it: what it asks for now is not asked of what was read. An app
 * without anybody to tell has read everything. */
static enum inst_status keep(struct inst_app *app, const struct inst_webhook *webhook,
                             struct inst_err *err) {
    struct inst_webhooks *webhooks = app->webhooks;
    bool skips = webhooks->active_count == 0;
    int64_t at_tx = skips ? app->last_tx : webhooks->at_tx;
    enum inst_status st = inst_webhooks_begin(app, err);
    if (st != INST_OK)
        return st;
    st = inst_webhook_put(app, webhook, err);
    if (st == INST_OK)
        st = inst_webhooks_put_at(app, at_tx, err);
    if ((st = inst_webhooks_end(app, st, err)) != INST_OK)
        return st;
    webhooks->at_tx = webhooks->kept_at_tx = at_tx;
    if (skips) {
        inst_feed_free(webhooks->feed);
        webhooks->feed = NULL;
    }
    return INST_OK;
}

enum inst_status inst_webhook_add(struct inst_app *app, const struct inst_webhook_wish *wish,
                                  struct inst_webhook **out, struct inst_err *err) {
    struct inst_webhook *webhook = calloc(1, sizeof *webhook);
    if (webhook == NULL)
        return inst_err_nomem(err);
    inst_uuid_make_text(app->server->env, webhook->id);
    webhook->is_active = true;
    webhook->created_ms = webhook->updated_ms = inst_webhook_now(app);
    webhook->since_tx = app->last_tx;
    enum inst_status st;
    if ((st = apply_wish(app, webhook, wish, err)) != INST_OK ||
        (st = check_limit(app, err)) != INST_OK ||
        (st = check_duplicate(app, webhook, err)) != INST_OK ||
        (st = keep(app, webhook, err)) != INST_OK) {
        free_webhook(webhook);
        return st;
    }
    link_webhook(app->webhooks, webhook);
    *out = webhook;
    return INST_OK;
}

/* copy_take in the place of webhook, which stays where it is. */
static enum inst_status replace(struct inst_app *app, struct inst_webhook *webhook,
                                struct inst_webhook *copy_take, enum inst_status st,
                                struct inst_err *err) {
    copy_take->updated_ms = inst_webhook_now(app);
    if (st == INST_OK)
        st = keep(app, copy_take, err);
    if (st == INST_OK) {
        struct inst_webhook old = *webhook;
        app->webhooks->active_count -= webhook->is_active;
        app->webhooks->active_count += copy_take->is_active;
        *webhook = *copy_take;
        webhook->next = old.next;
        *copy_take = old;
    }
    free_webhook(copy_take);
    return st;
}

enum inst_status inst_webhook_change(struct inst_app *app, struct inst_webhook *webhook,
                                     const struct inst_webhook_wish *wish, struct inst_err *err) {
    struct inst_webhook *copy = dup_webhook(webhook);
    if (copy == NULL)
        return inst_err_nomem(err);
    enum inst_status st = apply_wish(app, copy, wish, err);
    if (st == INST_OK)
        st = check_duplicate(app, copy, err);
    return replace(app, webhook, copy, st, err);
}

enum inst_status inst_webhook_enable(struct inst_app *app, struct inst_webhook *webhook,
                                     struct inst_err *err) {
    struct inst_webhook *copy = dup_webhook(webhook);
    if (copy == NULL)
        return inst_err_nomem(err);
    enum inst_status st = webhook->is_active ? INST_OK : check_limit(app, err);
    if (st == INST_OK)
        st = check_duplicate(app, copy, err);
    if (!copy->is_active)
        copy->since_tx = app->last_tx;
    copy->is_active = true;
    set_text(&copy->reason, NULL, 0);
    return replace(app, webhook, copy, st, err);
}

enum inst_status inst_webhook_disable(struct inst_app *app, struct inst_webhook *webhook,
                                      const char *reason, struct inst_err *err) {
    struct inst_webhook *copy = dup_webhook(webhook);
    if (copy == NULL || !set_text(&copy->reason, reason, reason != NULL ? strlen(reason) : 0)) {
        free_webhook(copy);
        return inst_err_nomem(err);
    }
    copy->is_active = false;
    return replace(app, webhook, copy, INST_OK, err);
}

enum inst_status inst_webhook_delete(struct inst_app *app, struct inst_webhook *webhook,
                                     struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    char key[INST_WEBHOOK_KEY], gone[INST_WEBHOOK_KEY];
    inst_webhook_note_key(webhook->id, key);
    gone_key(webhook->id, gone);
    enum inst_status st = inst_webhooks_begin(app, err);
    if (st != INST_OK)
        return st;
    if ((st = ops->set_note(app->db, key, NULL, 0, err)) == INST_OK)
        st = ops->set_note(app->db, gone, "1", 1, err);
    if ((st = inst_webhooks_end(app, st, err)) != INST_OK)
        return st;
    unlink_webhook(app->webhooks, webhook);
    free_webhook(webhook);
    app->webhooks->gone_count++;
    return INST_OK;
}

/* ---- showing ---- */

static const struct inst_attr *attr_of(const struct inst_app *app, const char *id) {
    const struct inst_attr *attr = inst_attrs_by_id(app->catalog->attrs, id, INST_UUID_TEXT);
    return attr != NULL && inst_feed_shows(&attr->forward.etype) ? attr : NULL;
}

bool inst_webhook_wants(const struct inst_app *app, const struct inst_webhook *webhook,
                        const struct inst_value *etype, enum inst_feed_action action) {
    bool is_named = false;
    for (size_t i = 0; !is_named && i < webhook->id_attr_count; i++) {
        const struct inst_attr *attr = attr_of(app, webhook->id_attrs[i]);
        is_named = attr != NULL && inst_value_same(&attr->forward.etype, etype);
    }
    return is_named && (actions_of(webhook) & action) != 0;
}

void inst_webhook_write_config(const struct inst_app *app, const struct inst_webhook *webhook,
                               struct inst_buf *out) {
    bool is_first = true;
    inst_buf_add_str(out, "{\"sink\":{\"url\":");
    write_text(out, webhook->url);
    inst_buf_add_str(out, "},\"namespaces\":[");
    for (size_t i = 0; i < webhook->id_attr_count; i++) {
        const struct inst_attr *attr = attr_of(app, webhook->id_attrs[i]);
        if (attr == NULL)
            continue;
        if (!is_first)
            inst_buf_add_char(out, ',');
        inst_json_write(out, &attr->forward.etype);
        is_first = false;
    }
    inst_buf_add_str(out, "],\"actions\":[");
    write_actions(webhook, out);
    inst_buf_addf(out, "],\"status\":\"%s\"}", webhook->is_active ? "active" : "disabled");
}

void inst_webhook_write(const struct inst_app *app, const struct inst_webhook *webhook,
                        struct inst_buf *out) {
    char created[INST_DATE_TEXT_MAX], updated[INST_DATE_TEXT_MAX];
    inst_webhook_write_config(app, webhook, out);
    if (out->failed)
        return;
    out->len--; /* its brace: more follows */
    inst_buf_addf(out, ",\"id\":\"%s\",\"disabled_reason\":", webhook->id);
    write_text(out, webhook->reason);
    inst_date_iso((double)webhook->created_ms, created);
    inst_date_iso((double)webhook->updated_ms, updated);
    inst_buf_addf(out, ",\"created_at\":\"%s\",\"updated_at\":\"%s\"}", created, updated);
}

/* ---- from a backup ---- */

static bool is_known(const struct inst_app *app, const struct inst_webhook *webhook) {
    const struct inst_webhook *at = app->webhooks->first;
    while (at != NULL && !is_same(at, webhook))
        at = at->next;
    return at != NULL;
}

/* INST_FAILED, without an err, for what cannot be. */
static enum inst_status read_config(struct inst_app *app, const struct inst_value *config,
                                    struct inst_webhook *webhook) {
    const struct inst_value *sink = inst_getz(config, "sink"),
                            *url = sink != NULL ? inst_get_string(sink, "url") : NULL;
    struct inst_webhook_wish wish = {.namespaces = inst_getz(config, "namespaces"),
                                     .actions = inst_getz(config, "actions")};
    static const char reason[] = "Imported from a backup.";
    if (url == NULL || wish.namespaces == NULL || wish.namespaces->tag != INST_ARRAY ||
        wish.actions == NULL || wish.actions->tag != INST_ARRAY)
        return INST_FAILED;
    for (uint32_t i = 0; i < wish.namespaces->len; i++)
        if (wish.namespaces->u.items[i].tag != INST_STRING)
            return INST_FAILED;
    wish.url = inst_arena_dup(&app->server->scratch, url->u.str, url->len);
    if (wish.url == NULL || !set_text(&webhook->reason, reason, sizeof reason - 1))
        return INST_NOMEM;
    return apply_wish(app, webhook, &wish, NULL);
}

enum inst_status inst_webhook_import(struct inst_app *app, const struct inst_value *config,
                                     bool *is_there, bool *is_new, struct inst_err *err) {
    struct inst_webhook *webhook = calloc(1, sizeof *webhook);
    if (webhook == NULL)
        return inst_err_nomem(err);
    enum inst_status st = read_config(app, config, webhook);
    *is_there = st == INST_OK && is_known(app, webhook);
    *is_new = st == INST_OK && !*is_there && app->webhooks->count < INST_WEBHOOK_MAX;
    st = st == INST_NOMEM ? inst_err_nomem(err) : INST_OK;
    if (*is_new) {
        inst_uuid_make_text(app->server->env, webhook->id);
        webhook->created_ms = webhook->updated_ms = inst_webhook_now(app);
        st = keep(app, webhook, err);
        *is_there = *is_new = st == INST_OK;
    }
    if (*is_new)
        link_webhook(app->webhooks, webhook);
    else
        free_webhook(webhook);
    return st;
}

/* ---- end ---- */

void inst_webhooks_free(struct inst_app *app) {
    struct inst_webhooks *webhooks = app->webhooks;
    if (webhooks == NULL)
        return;
    while (webhooks->first != NULL) {
        struct inst_webhook *webhook = webhooks->first;
        webhooks->first = webhook->next;
        free_webhook(webhook);
    }
    while (webhooks->gathered != NULL) {
        struct inst_webhook_gathered *gathered = webhooks->gathered;
        webhooks->gathered = gathered->next;
        inst_buf_free(&gathered->data);
        free(gathered);
    }
    while (webhooks->deliveries != NULL) { /* nobody calls back any more */
        struct inst_webhook_delivery *delivery = webhooks->deliveries;
        webhooks->deliveries = delivery->next;
        inst_buf_free(&delivery->text);
        free(delivery);
    }
    inst_feed_free(webhooks->feed);
    free(webhooks);
    app->webhooks = NULL;
}
