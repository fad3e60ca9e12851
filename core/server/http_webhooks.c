/* Routes: an app's webhooks, what was sent to them, the changes that a delivery points at, and the
 * keys (http.md 11). */
#include "base/json.h"
#include "server/http_routes.h"
#include "server/refusal.h"
#include "server/webhooks.h"

/* ---- what a request says ---- */

static enum inst_status path_uuid(const struct inst_http_request *request, const char *name,
                                  char out[INST_UUID_TEXT + 1], struct inst_err *err) {
    const char *const path[] = {"params", name};
    const char *text = inst_http_path_param(request, name);
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, strlen(text), &uuid)) {
        struct inst_value input = inst_cstring(text);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, out);
    return INST_OK;
}

static enum inst_status path_isn(const struct inst_http_request *request,
                                 struct inst_webhook_isn *out, struct inst_err *err) {
    static const char *const path[] = {"params", "*"};
    const char *text = inst_http_path_param(request, "isn");
    struct inst_value input = inst_cstring(text);
    return inst_webhook_isn_parse(text, out) ? INST_OK
                                             : inst_refuse_malformed(err, path, 2, &input);
}

static enum inst_status path_webhook(struct inst_server *server,
                                     const struct inst_http_request *request, struct inst_app **app,
                                     struct inst_webhook **out, struct inst_err *err) {
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, app, err)) != INST_OK ||
        (st = path_uuid(request, "webhook_id", id, err)) != INST_OK)
        return st;
    *out = inst_webhook_find(*app, id, err);
    return *out != NULL ? INST_OK : INST_FAILED;
}

static enum inst_status read_texts(const struct inst_value *body, const char *name,
                                   bool is_optional, const struct inst_value **out,
                                   struct inst_err *err) {
    const char *const path[] = {"body", name};
    *out = inst_getz(body, name);
    if (*out == NULL && is_optional)
        return INST_OK;
    if (*out == NULL || inst_is_nullish(*out))
        return inst_refuse_missing(err, path, 2);
    bool is_good = (*out)->tag == INST_ARRAY;
    for (uint32_t i = 0; is_good && i < (*out)->len; i++)
        is_good = (*out)->u.items[i].tag == INST_STRING;
    return is_good ? INST_OK : inst_refuse_malformed(err, path, 2, *out);
}

static enum inst_status read_wish(struct inst_server *server,
                                  const struct inst_http_request *request, bool is_change,
                                  struct inst_webhook_wish *out, struct inst_err *err) {
    struct inst_value body;
    enum inst_status st = inst_http_body(server, request, &body, err);
    *out = (struct inst_webhook_wish){0};
    if (st == INST_OK && (!is_change || inst_getz(&body, "url") != NULL))
        st = inst_http_body_text(&body, "url", &server->scratch, &out->url, err);
    if (st == INST_OK)
        st = read_texts(&body, "namespaces", is_change, &out->namespaces, err);
    return st == INST_OK ? read_texts(&body, "actions", is_change, &out->actions, err) : st;
}

/* ---- webhooks ---- */

static void write_one(const struct inst_app *app, const struct inst_webhook *webhook,
                      struct inst_http_response *response) {
    inst_buf_add_str(&response->body, "{\"webhook\":");
    inst_webhook_write(app, webhook, &response->body);
    inst_buf_add_char(&response->body, '}');
}

static enum inst_status answer_list(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"webhooks\":[");
    for (const struct inst_webhook *webhook = inst_webhooks_first(app), *first = webhook;
         webhook != NULL; webhook = webhook->next) {
        if (webhook != first)
            inst_buf_add_char(&response->body, ',');
        inst_webhook_write(app, webhook, &response->body);
    }
    inst_buf_add_str(&response->body, "]}");
    return INST_OK;
}

static enum inst_status answer_add(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook_wish wish;
    struct inst_webhook *webhook;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = read_wish(server, request, false, &wish, err)) != INST_OK ||
        (st = inst_webhook_add(app, &wish, &webhook, err)) != INST_OK)
        return st;
    write_one(app, webhook, response);
    return INST_OK;
}

static enum inst_status answer_change(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook_wish wish;
    struct inst_webhook *webhook;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (st = read_wish(server, request, true, &wish, err)) != INST_OK ||
        (st = inst_webhook_change(app, webhook, &wish, err)) != INST_OK)
        return st;
    write_one(app, webhook, response);
    return INST_OK;
}

static enum inst_status answer_delete(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    enum inst_status st = path_webhook(server, request, &app, &webhook, err);
    if (st != INST_OK)
        return st;
    write_one(app, webhook, response);
    return inst_webhook_delete(app, webhook, err);
}

static enum inst_status answer_enable(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (st = inst_webhook_enable(app, webhook, err)) != INST_OK)
        return st;
    write_one(app, webhook, response);
    return INST_OK;
}

static enum inst_status answer_disable(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    struct inst_value body = inst_undefined();
    const struct inst_value *reason;
    const char *text = NULL;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (request->body_len > 0 && (st = inst_http_body(server, request, &body, err)) != INST_OK))
        return st;
    reason = inst_getz(&body, "reason");
    if (reason != NULL && !inst_is_nullish(reason) &&
        (st = inst_http_body_text(&body, "reason", &server->scratch, &text, err)) != INST_OK)
        return st;
    if ((st = inst_webhook_disable(app, webhook, text, err)) == INST_OK)
        write_one(app, webhook, response);
    return st;
}

/* ---- events ---- */

static enum inst_status answer_events(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    const char *after;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (st = inst_http_param(request, "after", &server->scratch, &after, err)) != INST_OK)
        return st;
    return inst_webhook_events_write(app, webhook, after, &response->body, err);
}

static enum inst_status write_event(struct inst_app *app, const struct inst_webhook *webhook,
                                    struct inst_webhook_isn isn,
                                    struct inst_http_response *response, struct inst_err *err) {
    inst_buf_add_str(&response->body, "{\"event\":");
    enum inst_status st = inst_webhook_event_write(app, webhook, isn, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    return st;
}

static enum inst_status answer_event(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    struct inst_webhook_isn isn;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (st = path_isn(request, &isn, err)) != INST_OK)
        return st;
    return write_event(app, webhook, isn, response, err);
}

static enum inst_status answer_resend(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_webhook *webhook;
    struct inst_webhook_isn isn;
    enum inst_status st;
    if ((st = path_webhook(server, request, &app, &webhook, err)) != INST_OK ||
        (st = path_isn(request, &isn, err)) != INST_OK ||
        (st = inst_webhook_event_resend(app, webhook, isn, err)) != INST_OK)
        return st;
    return write_event(app, webhook, isn, response, err);
}

/* ---- for receivers ---- */

static enum inst_status answer_keys(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    (void)request;
    return inst_webhook_keys_write(server, &response->body, err);
}

/* A delivery's token opens this event only; an admin's opens any of the app. */
static enum inst_status answer_payload(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    char app_id[INST_UUID_TEXT + 1], id[INST_UUID_TEXT + 1];
    struct inst_app *app;
    struct inst_webhook *webhook;
    struct inst_webhook_isn isn;
    enum inst_status st;
    const char *token = inst_http_bearer(server, request);
    if ((st = path_uuid(request, "app_id", app_id, err)) != INST_OK ||
        (st = path_uuid(request, "webhook_id", id, err)) != INST_OK ||
        (st = path_isn(request, &isn, err)) != INST_OK)
        return st;
    if (token != NULL && strncmp(token, "eyJ", 3) == 0) {
        if ((st = inst_webhook_check_token(server, token, app_id, id, isn, err)) != INST_OK ||
            (st = inst_app_get(server, app_id, &app, err)) != INST_OK)
            return st;
        inst_app_commit(app);
    } else if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK) {
        return st;
    }
    if ((webhook = inst_webhook_find(app, id, err)) == NULL)
        return INST_FAILED;
    return inst_webhook_payload(app, webhook, isn, response, err);
}

const struct inst_http_route inst_http_webhooks_routes[] = {
    {"GET", "/dash/apps/:app_id/webhooks", answer_list},
    {"POST", "/dash/apps/:app_id/webhooks", answer_add},
    {"POST", "/dash/apps/:app_id/webhooks/:webhook_id", answer_change},
    {"DELETE", "/dash/apps/:app_id/webhooks/:webhook_id", answer_delete},
    {"POST", "/dash/apps/:app_id/webhooks/:webhook_id/enable", answer_enable},
    {"POST", "/dash/apps/:app_id/webhooks/:webhook_id/disable", answer_disable},
    {"GET", "/dash/apps/:app_id/webhooks/:webhook_id/events", answer_events},
    {"GET", "/dash/apps/:app_id/webhooks/:webhook_id/events/:isn", answer_event},
    {"POST", "/dash/apps/:app_id/webhooks/:webhook_id/events/:isn", answer_resend},
    {"GET", "/webhooks/payload/:app_id/:webhook_id/:isn", answer_payload},
    {"GET", "/.well-known/webhooks/jwks.json", answer_keys},
    {NULL, NULL, NULL},
};
