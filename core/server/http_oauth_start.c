/*
 * Route: the beginning of a sign-in by redirects (http.md 4.5): the browser is sent to the
 * provider, and a cookie remembers that it was this one.
 */
#include "server/http_oauth.h"

#include "base/digest.h"
#include "base/url.h"
#include "server/later.h"
#include "server/oauth_rows.h"
#include "server/openid.h"
#include "server/origins.h"
#include "server/refusal.h"
#include "server/rows.h"

#define MAX_ADDRESS 2048 /* of where it goes back to, bytes */
#define COOKIE_SECONDS 3600

enum { APP, NAME, ID, REDIRECT, STATE, CHALLENGE, METHOD, DOMAIN, PARAMS };
static const char *const names[PARAMS] = {
    "app_id",         "client_name",           "client_id", "redirect_uri", "state",
    "code_challenge", "code_challenge_method", "hd"};

struct start {
    char app[INST_UUID_TEXT + 1];
    struct inst_value params; /* on later->arena, like the following */
    const char *callback;     /* this server's own */
    bool is_https;
};

/* ---- parameters ---- */

static const char *text_of(struct inst_server *server, const struct inst_value *params,
                           const char *name) {
    const struct inst_value *v = inst_get_string(params, name);
    return v != NULL && v->len > 0 ? inst_arena_dup(&server->scratch, v->u.str, v->len) : NULL;
}

static enum inst_status required(const struct inst_value *params, const char *name,
                                 const char *other, struct inst_err *err) {
    const char *const path[] = {"params", name};
    const struct inst_value *v = inst_get_string(params, name);
    if (v == NULL && other != NULL)
        v = inst_get_string(params, other);
    if (v == NULL)
        return inst_refuse_missing(err, path, 2);
    return v->len > 0 && v->len <= MAX_ADDRESS ? INST_OK
                                               : inst_refuse_malformed(err, path, 2, NULL);
}

static enum inst_status check_redirect(struct inst_app *app, const char *url,
                                       struct inst_err *err) {
    struct inst_value list, input = inst_cstring(url);
    enum inst_status st = inst_origins_list(app, &list, err);
    if (st != INST_OK || inst_origins_allow(&list, url))
        return st;
    return inst_refuse_validation(err, "redirect-uri", &input, NULL,
                                  "Invalid redirect_uri. If you're the developer, make sure to add "
                                  "your website to the list of approved domains.");
}

static const char *client_name(struct inst_server *server, const struct inst_value *params) {
    const char *name = text_of(server, params, names[NAME]);
    return name != NULL ? name : text_of(server, params, names[ID]);
}

/* ---- the answer ---- */

static void add_cookie(struct inst_http_response *response, const struct inst_uuid *cookie,
                       bool is_https) {
    char text[INST_UUID_TEXT + 1];
    inst_uuid_print(cookie, text);
    /* The provider may answer by a form from its own page: a cookie of this site alone would not
     * come with that. */
    inst_buf_addf(&response->headers,
                  "Set-Cookie: __session=instantdb_%s; Path=/runtime/oauth; Max-Age=%d; "
                  "HttpOnly%s\r\n",
                  text, COOKIE_SECONDS, is_https ? "; Secure; SameSite=None" : "");
    inst_wipe(text, sizeof text);
}

static enum inst_status keep(struct inst_app *app, const struct start *start,
                             const struct inst_provider_client *client, const char *redirect_to,
                             const struct inst_uuid *state, const struct inst_uuid *cookie,
                             struct inst_err *err) {
    struct inst_server *server = app->server;
    struct inst_url_param said = {"state", text_of(server, &start->params, names[STATE])};
    const char *url = text_of(server, &start->params, names[REDIRECT]);
    const struct inst_value *challenge = inst_get_string(&start->params, names[CHALLENGE]);
    const struct inst_value *method = inst_get_string(&start->params, names[METHOD]);
    struct inst_buf back;
    if (url == NULL)
        return inst_err_nomem(err);
    inst_buf_init(&back);
    inst_url_with(&back, url, &said, 1);
    struct inst_oauth_redirect redirect = {.client = client->id,
                                           .redirect_url = inst_string(back.data, back.len),
                                           .redirect_to = inst_cstring(redirect_to),
                                           .challenge = challenge ? *challenge : inst_undefined(),
                                           .method = method ? *method : inst_undefined()};
    enum inst_status st = back.failed ? inst_err_nomem(err)
                                      : inst_oauth_redirect_add(app, state, cookie, &redirect, err);
    if (st == INST_OK)
        st = inst_row_commit(app, err);
    inst_buf_free(&back);
    return st;
}

/* `endpoint` with what the provider is asked. */
static enum inst_status send_on(struct inst_app *app, const struct start *start,
                                const struct inst_provider_client *client, const char *endpoint,
                                struct inst_http_response *response, struct inst_err *err) {
    struct inst_server *server = app->server;
    bool is_github = inst_provider_is_github(client);
    struct inst_uuid state, cookie;
    char said[2 * INST_UUID_TEXT + 1];
    const char *id =
        client->client_id.tag == INST_STRING
            ? inst_arena_dup(&server->scratch, client->client_id.u.str, client->client_id.len)
            : NULL;
    const char *own =
        client->redirect_to.tag == INST_STRING && client->redirect_to.len > 0
            ? inst_arena_dup(&server->scratch, client->redirect_to.u.str, client->redirect_to.len)
            : start->callback;
    if (own == NULL)
        return inst_err_nomem(err);
    inst_uuid_make(server->env, &state);
    inst_uuid_make(server->env, &cookie);
    memcpy(said, app->info.id, INST_UUID_TEXT);
    inst_uuid_print(&state, said + INST_UUID_TEXT);
    enum inst_status st = keep(app, start, client, own, &state, &cookie, err);
    if (st == INST_OK) {
        const struct inst_url_param params[] = {
            {"scope", is_github ? "read:user user:email" : "email openid"},
            {"response_type", "code"},
            {"response_mode", is_github ? NULL : "form_post"},
            {"state", said},
            {"redirect_uri", own},
            {"client_id", id},
            {"hd", is_github ? NULL : text_of(server, &start->params, names[DOMAIN])},
        };
        struct inst_buf url;
        inst_buf_init(&url);
        inst_url_with(&url, endpoint, params, sizeof params / sizeof *params);
        inst_oauth_send_to(response, &url);
        inst_buf_free(&url);
        add_cookie(response, &cookie, start->is_https);
    }
    inst_wipe(&cookie, sizeof cookie);
    return st;
}

/* ---- steps ---- */

/* *endpoint NULL: on its way. */
static enum inst_status find_endpoint(struct inst_later *later,
                                      const struct inst_provider_client *client,
                                      const char **endpoint, struct inst_err *err) {
    static const char failure[] = "Unable to fetch OAuth configuration.";
    struct inst_arena *arena = &later->server->scratch;
    const struct inst_value *document;
    struct inst_openid openid;
    *endpoint = NULL;
    if (inst_provider_is_github(client)) {
        *endpoint = "https://github.com/login/oauth/authorize";
        return INST_OK;
    }
    if (client->discovery.tag != INST_STRING)
        return inst_err_set(err, "oauth-error", 400, "Unsupported OAuth client.");
    const char *url = inst_arena_dup(arena, client->discovery.u.str, client->discovery.len);
    if (url == NULL)
        return inst_err_nomem(err);
    enum inst_status st = inst_document_get(later, url, failure, &document, err);
    if (st != INST_OK || document == NULL)
        return st;
    inst_openid_read(document, &openid);
    const struct inst_value *found = openid.authorization_endpoint;
    if (found == NULL || !inst_openid_is_web(found))
        return inst_err_set(err, "oauth-error", 400, "%s", failure);
    *endpoint = inst_arena_dup(arena, found->u.str, found->len);
    return *endpoint != NULL ? INST_OK : inst_err_nomem(err);
}

static enum inst_status start_step(struct inst_later *later, struct inst_http_response *response,
                                   struct inst_err *err) {
    struct start *start = later->state;
    struct inst_app *app;
    struct inst_provider_client client;
    const char *endpoint, *name;
    enum inst_status st = inst_app_get(later->server, start->app, &app, err);
    if (st != INST_OK)
        return st;
    inst_app_commit(app);
    if ((name = client_name(later->server, &start->params)) == NULL)
        return inst_err_nomem(err);
    if ((st = inst_provider_client_named(app, name, &client, err)) != INST_OK ||
        (st = find_endpoint(later, &client, &endpoint, err)) != INST_OK || endpoint == NULL)
        return st;
    return send_on(app, start, &client, endpoint, response, err);
}

static enum inst_status begin(struct inst_later *later, const struct inst_app *app,
                              const struct inst_http_request *request,
                              const struct inst_value *params, struct inst_err *err) {
    struct start *start = later->state;
    struct inst_buf origin;
    inst_buf_init(&origin);
    inst_http_origin(later->server, request, &origin);
    start->is_https = !origin.failed && strncmp(origin.data, "https://", 8) == 0;
    inst_buf_add_str(&origin, "/runtime/oauth/callback");
    memcpy(start->app, app->info.id, sizeof start->app);
    if (!origin.failed)
        start->callback = inst_arena_dup(&later->arena, origin.data, origin.len);
    inst_buf_free(&origin);
    return start->callback != NULL && inst_value_dup(&later->arena, params, &start->params)
               ? INST_OK
               : inst_err_nomem(err);
}

static enum inst_status answer_start(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value params;
    struct inst_app *app;
    struct inst_provider_client client;
    struct inst_later *later;
    enum inst_status st;
    if ((st = inst_oauth_params(server, request, names, PARAMS, &params, err)) != INST_OK ||
        (st = inst_oauth_app(server, request, &params, &app, err)) != INST_OK ||
        (st = required(&params, names[NAME], names[ID], err)) != INST_OK ||
        (st = required(&params, names[REDIRECT], NULL, err)) != INST_OK)
        return st;
    const char *name = client_name(server, &params);
    const char *url = text_of(server, &params, names[REDIRECT]);
    if (name == NULL || url == NULL)
        return inst_err_nomem(err);
    if ((st = inst_provider_client_named(app, name, &client, err)) != INST_OK ||
        (st = check_redirect(app, url, err)) != INST_OK ||
        (st = inst_later_new(server, start_step, sizeof(struct start), &later, err)) != INST_OK)
        return st;
    if ((st = begin(later, app, request, &params, err)) != INST_OK) {
        inst_later_cancel(later);
        return st;
    }
    return inst_later_run(later, response, err);
}

const struct inst_http_route inst_http_oauth_start_routes[] = {
    {"GET", "/runtime/oauth/start", answer_start},
    {"GET", "/runtime/:app_id/oauth/start", answer_start},
    {NULL, NULL, NULL},
};
