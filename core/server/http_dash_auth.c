/* Routes: an app's sign-in providers, its clients of them, its redirect origins (http.md 9.1, 9.2).
 */
#include "server/http_auth.h"
#include "server/later.h"

#include "base/json.h"
#include "server/origins.h"
#include "server/providers.h"
#include "server/refusal.h"
#include "server/rows.h"

static const char clients[] = "$oauthClients";

/* ---- what a body says ---- */

/* A text that may be missing or null (UNDEFINED then), trimmed; blank is null, as in the original.
 */
static enum inst_status optional_text(struct inst_server *server, const struct inst_value *body,
                                      const char *name, size_t max, bool is_secret,
                                      struct inst_value *out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *v = inst_getz(body, name);
    const char *text;
    *out = inst_undefined();
    if (v == NULL || inst_is_nullish(v) || inst_is_string(v, ""))
        return INST_OK;
    bool is_read = v->tag == INST_STRING && v->len <= max &&
                   inst_http_body_text(body, name, &server->scratch, &text, NULL) == INST_OK;
    if (!is_read)
        return inst_refuse_malformed(err, path, 2, is_secret ? NULL : v);
    *out = inst_cstring(text);
    return INST_OK;
}

static enum inst_status param_uuid(const struct inst_http_request *request, const char *name,
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

/* ---- GET /dash/apps/:app_id/auth ---- */

static enum inst_status write_list(struct inst_app *app, const char *etype, bool is_clients,
                                   struct inst_buf *out, struct inst_err *err) {
    uint32_t *rows = inst_arena_alloc(&app->server->scratch, INST_PROVIDERS_MAX * sizeof *rows);
    size_t count = 0;
    enum inst_status st = rows != NULL ? INST_OK : inst_err_nomem(err);
    if (st == INST_OK)
        st = inst_row_oldest(app, etype, rows, INST_PROVIDERS_MAX, &count, err);
    if (st == INST_OK && count == 0)
        inst_buf_add_str(out, "null");
    for (size_t i = 0; st == INST_OK && i < count; i++) {
        struct inst_provider_client client;
        inst_buf_add_char(out, i == 0 ? '[' : ',');
        if (!is_clients)
            st = inst_provider_write(app, rows[i], out, err);
        else if ((st = inst_provider_client_read(app, rows[i], &client, err)) == INST_OK)
            st = inst_provider_client_write(app, &client, out, err);
    }
    if (count > 0)
        inst_buf_add_char(out, ']');
    return st;
}

static enum inst_status answer_auth(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value origins;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_origins_list(app, &origins, err)) != INST_OK)
        return st;
    if (origins.len == 0)
        origins = inst_null();
    inst_buf_add_str(&response->body, "{\"authorized_redirect_origins\":");
    inst_json_write(&response->body, &origins);
    inst_buf_add_str(&response->body, ",\"oauth_service_providers\":");
    st = write_list(app, "$oauthProviders", false, &response->body, err);
    inst_buf_add_str(&response->body, ",\"oauth_clients\":");
    if (st == INST_OK)
        st = write_list(app, clients, true, &response->body, err);
    inst_buf_add_str(&response->body, ",\"default_sender_email\":null}");
    return st;
}

/* ---- origins ---- */

static void write_origin(struct inst_http_response *response, const struct inst_value *origin) {
    inst_buf_add_str(&response->body, "{\"origin\":");
    inst_json_write(&response->body, origin);
    inst_buf_add_char(&response->body, '}');
}

static enum inst_status answer_origin_add(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    static const char *const path[] = {"body", "params"};
    struct inst_app *app;
    struct inst_value body, origin;
    const char *service;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "service", &server->scratch, &service, err)) != INST_OK)
        return st;
    const struct inst_value *params = inst_getz(&body, "params");
    if (params == NULL || inst_is_nullish(params))
        return inst_refuse_missing(err, path, 2);
    if (params->tag != INST_ARRAY)
        return inst_refuse_malformed(err, path, 2, params);
    if ((st = inst_origins_add(app, service, params, &origin, err)) == INST_OK)
        write_origin(response, &origin);
    return st;
}

static enum inst_status answer_origin_remove(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    struct inst_app *app;
    struct inst_value origin;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = param_uuid(request, "id", id, err)) != INST_OK)
        return st;
    if ((st = inst_origins_remove(app, id, &origin, err)) == INST_OK)
        write_origin(response, &origin);
    return st;
}

/* ---- POST /dash/apps/:app_id/oauth_service_providers ---- */

static enum inst_status check_room(struct inst_app *app, const char *etype, struct inst_err *err) {
    uint32_t *rows = inst_arena_alloc(&app->server->scratch, INST_PROVIDERS_MAX * sizeof *rows);
    size_t count = 0;
    enum inst_status st = rows != NULL
                              ? inst_row_oldest(app, etype, rows, INST_PROVIDERS_MAX, &count, err)
                              : inst_err_nomem(err);
    if (st == INST_OK && count == INST_PROVIDERS_MAX)
        st = inst_refuse_validation(err, "app", NULL, NULL, "An app has at most %u of %s.",
                                    INST_PROVIDERS_MAX, etype);
    return st;
}

static enum inst_status answer_provider_add(struct inst_server *server,
                                            const struct inst_http_request *request,
                                            struct inst_http_response *response,
                                            struct inst_err *err) {
    static const char etype[] = "$oauthProviders";
    static const char *const path[] = {"body", "provider_name"};
    struct inst_app *app;
    struct inst_value body;
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1];
    const char *name;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "provider_name", &server->scratch, &name, err)) !=
            INST_OK ||
        (st = check_room(app, etype, err)) != INST_OK)
        return st;
    if (strlen(name) > INST_PROVIDER_MAX_TEXT)
        return inst_refuse_malformed(err, path, 2, NULL);
    inst_uuid_make_text(server->env, id);
    inst_row_begin(&steps, app);
    inst_row_set(&steps, id, etype, "id", inst_cstring(id));
    inst_row_set(&steps, id, etype, "name", inst_cstring(name));
    if ((st = inst_row_write(&steps, err)) != INST_OK ||
        (st = inst_row_commit(app, err)) != INST_OK)
        return st;
    struct inst_store *store = &app->db->store;
    inst_buf_add_str(&response->body, "{\"provider\":");
    st = inst_provider_write(app, store->ops->entity(store, id, INST_UUID_TEXT), &response->body,
                             err);
    inst_buf_add_char(&response->body, '}');
    return st;
}

/* ---- clients ---- */

static enum inst_status write_client(struct inst_app *app, const char *id,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_provider_client client;
    enum inst_status st = inst_provider_client_of(app, id, &client, err);
    inst_buf_add_str(&response->body, "{\"client\":");
    if (st == INST_OK)
        st = inst_provider_client_write(app, &client, &response->body, err);
    inst_buf_add_char(&response->body, '}');
    return st;
}

/* Where providers send people back to, when it is not this server's own address. */
static enum inst_status check_redirect_to(const struct inst_value *v, struct inst_err *err) {
    const char *problem = NULL;
    if (v->tag == INST_UNDEFINED)
        return INST_OK;
    const char *url = v->u.str, *host = strstr(url, "://");
    size_t scheme = host != NULL ? (size_t)(host - url) : 0;
    bool is_http = scheme == 4 && memcmp(url, "http", 4) == 0;
    bool is_https = scheme == 5 && memcmp(url, "https", 5) == 0;
    host = host != NULL ? host + 3 : "";
    size_t len = strcspn(host, "/?#"), name = strcspn(host, ":/?#");
    bool is_local = (name == 9 && memcmp(host, "localhost", 9) == 0) ||
                    (name == 9 && memcmp(host, "127.0.0.1", 9) == 0);
    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            problem = "redirect uri may not contain such characters";
    if (memchr(host, '@', len) != NULL)
        problem = "redirect uri may not contain user or password";
    else if (strstr(host, "/..") != NULL || strchr(url, '\\') != NULL)
        problem = "redirect uri may not contain a path traversal";
    else if (strchr(host, '#') != NULL)
        problem = "redirect uri may not contain the fragment component";
    else if (is_local && !is_http && !is_https)
        problem = "redirect uri must use either the HTTP or HTTPS scheme";
    else if (!is_local && (!is_https || len == 0))
        problem = "redirect uri must use the HTTPS scheme";
    return problem == NULL ? INST_OK
                           : inst_refuse_validation(err, "redirect_to", v, NULL, "%s", problem);
}

/* What is to become of a client, read from a body on server->scratch. */
struct wanted {
    struct inst_value client_id, secret, discovery, redirect_to;
    const struct inst_value *meta; /* NULL: none, or null */
};

static enum inst_status read_wanted(struct inst_server *server, const struct inst_value *body,
                                    struct wanted *out, struct inst_err *err) {
    static const char *const path[] = {"body", "meta"};
    const size_t max = INST_PROVIDER_MAX_TEXT;
    enum inst_status st;
    if ((st = optional_text(server, body, "client_id", max, false, &out->client_id, err)) !=
            INST_OK ||
        (st = optional_text(server, body, "client_secret", INST_PROVIDER_MAX_SECRET, true,
                            &out->secret, err)) != INST_OK ||
        (st = optional_text(server, body, "discovery_endpoint", max, false, &out->discovery,
                            err)) != INST_OK ||
        (st = optional_text(server, body, "redirect_to", max, false, &out->redirect_to, err)) !=
            INST_OK ||
        (st = check_redirect_to(&out->redirect_to, err)) != INST_OK)
        return st;
    out->meta = inst_getz(body, "meta");
    if (out->meta != NULL && inst_is_nullish(out->meta))
        out->meta = NULL;
    if (out->meta != NULL && out->meta->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, out->meta);
    if (inst_get_true(body, "use_shared_credentials"))
        return inst_refuse_validation(err, "use_shared_credentials", NULL, NULL,
                                      "This backend has no shared credentials.");
    return INST_OK;
}

/* Carried through the wait for the discovery document. */
struct change {
    char app[INST_UUID_TEXT + 1];
    char client[INST_UUID_TEXT + 1];
    bool is_new;
    struct inst_value body; /* on later->arena */
};

static struct inst_value or_null(struct inst_value v) {
    return v.tag == INST_UNDEFINED ? inst_null() : v;
}

/* A member that the body has; null clears. */
static void set(struct inst_row_steps *steps, const struct change *change, const char *name,
                const char *label, struct inst_value v) {
    if (inst_getz(&change->body, name) != NULL)
        inst_row_set(steps, change->client, clients, label, or_null(v));
}

static enum inst_status set_secret(struct inst_app *app, struct inst_row_steps *steps,
                                   const struct change *change, const struct wanted *wanted,
                                   struct inst_err *err) {
    struct inst_value sealed = inst_undefined();
    enum inst_status st =
        wanted->secret.tag == INST_STRING
            ? inst_provider_seal(app, change->client, &wanted->secret, &sealed, err)
            : INST_OK;
    set(steps, change, "client_secret", "encryptedClientSecret", sealed);
    return st;
}

static enum inst_status set_new(struct inst_app *app, struct inst_row_steps *steps,
                                const struct change *change, struct inst_err *err) {
    static const char *const path[] = {"body", "client_name"};
    const char *name;
    char *provider = inst_arena_alloc(&app->server->scratch, INST_UUID_TEXT + 1);
    enum inst_status st = provider != NULL ? INST_OK : inst_err_nomem(err);
    if (st == INST_OK)
        st = inst_http_body_uuid(&change->body, "provider_id", provider, err);
    if (st == INST_OK)
        st = inst_http_body_text(&change->body, "client_name", &app->server->scratch, &name, err);
    if (st != INST_OK)
        return st;
    if (strlen(name) > INST_PROVIDER_MAX_TEXT)
        return inst_refuse_malformed(err, path, 2, NULL);
    inst_row_set(steps, change->client, clients, "id", inst_cstring(change->client));
    inst_row_set(steps, change->client, clients, "$oauthProvider", inst_cstring(provider));
    inst_row_set(steps, change->client, clients, "name", inst_cstring(name));
    inst_row_set(steps, change->client, clients, "useSharedCredentials", inst_bool(false));
    return INST_OK;
}

/* What is said of a client now is merged into what was (http.md 9.1). */
static enum inst_status merged_meta(struct inst_app *app, const struct change *change,
                                    const struct wanted *wanted, struct inst_value *out,
                                    struct inst_err *err) {
    struct inst_provider_client now;
    struct inst_object_builder b;
    *out = wanted->meta != NULL ? *wanted->meta : inst_null();
    if (change->is_new || wanted->meta == NULL)
        return INST_OK;
    enum inst_status st = inst_provider_client_of(app, change->client, &now, err);
    if (st != INST_OK || now.meta.tag != INST_OBJECT)
        return st;
    inst_object_begin(&b, &app->server->scratch);
    for (uint32_t i = 0; i < now.meta.len; i++) {
        const struct inst_member *member = &now.meta.u.members[i];
        const struct inst_value *later = inst_get(wanted->meta, member->key, member->key_len);
        if (later == NULL || later->tag != INST_NULL)
            inst_object_add(&b, member->key, member->key_len, member->value);
    }
    for (uint32_t i = 0; i < wanted->meta->len; i++) {
        const struct inst_member *member = &wanted->meta->u.members[i];
        if (member->value.tag != INST_NULL)
            inst_object_add(&b, member->key, member->key_len, member->value);
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status write_change(struct inst_app *app, const struct change *change,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_row_steps steps;
    struct inst_value meta;
    struct wanted wanted;
    enum inst_status st = read_wanted(app->server, &change->body, &wanted, err);
    inst_row_begin(&steps, app);
    if (st == INST_OK && change->is_new)
        st = set_new(app, &steps, change, err);
    if (st == INST_OK)
        st = set_secret(app, &steps, change, &wanted, err);
    if (st == INST_OK)
        st = merged_meta(app, change, &wanted, &meta, err);
    if (st != INST_OK)
        return st;
    set(&steps, change, "client_id", "clientId", wanted.client_id);
    set(&steps, change, "discovery_endpoint", "discoveryEndpoint", wanted.discovery);
    set(&steps, change, "redirect_to", "redirectTo", wanted.redirect_to);
    set(&steps, change, "meta", "meta", meta);
    if ((st = inst_row_write(&steps, err)) != INST_OK ||
        (st = inst_row_commit(app, err)) != INST_OK)
        return st;
    return write_client(app, change->client, response, err);
}

/* Is the address that of a provider? */
static enum inst_status check_discovery(struct inst_later *later, const struct inst_value *url,
                                        bool *is_coming, struct inst_err *err) {
    static const char text[] = "Could not validate discovery endpoint.";
    const struct inst_value *document = NULL;
    *is_coming = false;
    enum inst_status st = inst_document_get(later, url->u.str, text, &document, err);
    if (st == INST_NOMEM)
        return st;
    if (st == INST_OK && document == NULL) {
        *is_coming = true;
        return INST_OK;
    }
    if (st == INST_OK && inst_get_string(document, "issuer") != NULL)
        return INST_OK;
    return inst_refuse_validation(err, "discovery-endpoint", url, NULL, "%s", text);
}

static enum inst_status change_step(struct inst_later *later, struct inst_http_response *response,
                                    struct inst_err *err) {
    struct change *change = later->state;
    struct inst_app *app;
    struct inst_value url;
    bool is_coming = false;
    enum inst_status st = optional_text(later->server, &change->body, "discovery_endpoint",
                                        INST_PROVIDER_MAX_TEXT, false, &url, err);
    if (st == INST_OK && url.tag == INST_STRING)
        st = check_discovery(later, &url, &is_coming, err);
    if (st != INST_OK || is_coming)
        return st;
    if ((st = inst_app_get(later->server, change->app, &app, err)) != INST_OK)
        return st;
    inst_app_commit(app);
    return write_change(app, change, response, err);
}

/* Everything but the address is looked at before anybody is asked. */
static enum inst_status check_new(struct inst_app *app, const struct inst_value *body,
                                  struct inst_err *err) {
    static const char *const path[] = {"body", "discovery_endpoint"};
    struct inst_store *store = &app->db->store;
    char provider[INST_UUID_TEXT + 1];
    struct inst_value name = inst_undefined();
    struct wanted wanted;
    enum inst_status st;
    if ((st = inst_http_body_uuid(body, "provider_id", provider, err)) != INST_OK ||
        (st = read_wanted(app->server, body, &wanted, err)) != INST_OK)
        return st;
    uint32_t e = store->ops->entity(store, provider, INST_UUID_TEXT);
    st = e != 0 ? inst_row_value(app, e, "$oauthProviders", "name", &name, err) : INST_OK;
    if (st == INST_OK && name.tag == INST_UNDEFINED)
        return inst_refuse_not_found(err, "oauth-service-provider", "[{}]");
    if (st == INST_OK && wanted.discovery.tag == INST_UNDEFINED && !inst_is_string(&name, "github"))
        return inst_refuse_missing(err, path, 2);
    return st == INST_OK ? check_room(app, clients, err) : st;
}

static enum inst_status begin_change(struct inst_app *app, const char *client,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_server *server = app->server;
    struct inst_later *later;
    enum inst_status st = inst_later_new(server, change_step, sizeof(struct change), &later, err);
    if (st != INST_OK)
        return st;
    struct change *change = later->state;
    change->is_new = client == NULL;
    memcpy(change->app, app->info.id, sizeof change->app);
    if (client != NULL)
        memcpy(change->client, client, sizeof change->client);
    else
        inst_uuid_make_text(server->env, change->client);
    if ((st = inst_http_body_on(&later->arena, request, &change->body, err)) != INST_OK) {
        inst_later_cancel(later);
        return st;
    }
    return inst_later_run(later, response, err);
}

static enum inst_status answer_client_add(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = check_new(app, &body, err)) != INST_OK)
        return st;
    return begin_change(app, NULL, request, response, err);
}

static enum inst_status answer_client_update(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body;
    struct inst_provider_client client;
    struct wanted wanted;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = param_uuid(request, "id", id, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_provider_client_of(app, id, &client, err)) != INST_OK ||
        (st = read_wanted(server, &body, &wanted, err)) != INST_OK)
        return st;
    return begin_change(app, id, request, response, err);
}

static enum inst_status answer_client_delete(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    struct inst_app *app;
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = param_uuid(request, "id", id, err)) != INST_OK ||
        (st = write_client(app, id, response, err)) != INST_OK)
        return st;
    inst_row_begin(&steps, app);
    inst_row_delete(&steps, id, clients);
    if ((st = inst_row_write(&steps, err)) != INST_OK)
        return st;
    return inst_row_commit(app, err);
}

/* ---- routes ---- */

const struct inst_http_route inst_http_dash_auth_routes[] = {
    {"GET", "/dash/apps/:app_id/auth", answer_auth},
    {"POST", "/dash/apps/:app_id/authorized_redirect_origins", answer_origin_add},
    {"DELETE", "/dash/apps/:app_id/authorized_redirect_origins/:id", answer_origin_remove},
    {"POST", "/dash/apps/:app_id/oauth_service_providers", answer_provider_add},
    {"POST", "/dash/apps/:app_id/oauth_clients", answer_client_add},
    {"POST", "/dash/apps/:app_id/oauth_clients/:id", answer_client_update},
    {"DELETE", "/dash/apps/:app_id/oauth_clients/:id", answer_client_delete},
    {NULL, NULL, NULL},
};
