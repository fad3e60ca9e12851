/*
 * Route: the provider sends the browser back (http.md 4.5).
 *
 *     state, cookie, code ─ the row of the start, used up ─ (discovery document) ─ token endpoint
 *         ├─ id_token                                     ─┐
 *         ├─ userinfo endpoint                            ─┼─> a code for the app ─> its own
 * address └─ GitHub: /user, then /user/emails             ─┘
 *
 * Up to the row errors are answered here; behind it the browser goes back to the app with what went
 * wrong, so that nobody is left on a page of ours.
 */
#include "server/http_oauth.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/url.h"
#include "server/later.h"
#include "server/oauth_rows.h"
#include "server/openid.h"
#include "server/refusal.h"
#include "server/rows.h"

#include <stdio.h>
#include <stdlib.h>

#define GITHUB_TOKEN "https://github.com/login/oauth/access_token"
#define GITHUB_USER "https://api.github.com/user"
#define GITHUB_EMAILS "https://api.github.com/user/emails"
/* Apple wants a client secret that is good for a moment only. */
#define APPLE_SECONDS 120
#define MAX_CODE 4096
#define MAX_PROBLEM 200 /* of what the provider says went wrong, bytes */

enum { STATE, CODE, ERROR, TEST, PARAMS };
static const char *const names[PARAMS] = {"state", "code", "error", "test-redirect"};

/* Carried from step to step; texts on later->arena. */
struct callback {
    char app[INST_UUID_TEXT + 1];
    char client[INST_UUID_TEXT + 1];
    const char *code, *redirect_url, *redirect_to;
    const char *access_token;
    struct inst_value challenge, method;
    struct inst_openid openid; /* issuer and userinfo endpoint */
    struct inst_value user;    /* of GitHub */
};

/* ---- the end ---- */

static void write_escaped(struct inst_buf *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (strchr("&<>\"'", *c) != NULL)
            inst_buf_addf(out, "&#%d;", *c);
        else
            inst_buf_add_char(out, *c);
    }
}

/* A browser follows no redirect to a program without a word: this page opens it, and stays. */
static void write_landing(struct inst_http_response *response, const char *url) {
    struct inst_buf *out = &response->body;
    response->content_type = "text/html; charset=utf-8";
    inst_buf_add_str(out, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width\">"
                          "<meta http-equiv=\"refresh\" content=\"0; url=");
    write_escaped(out, url);
    inst_buf_add_str(out, "\"><title>Finish Sign In</title></head><body><p>You are signed in.</p>"
                          "<p><a href=\"");
    write_escaped(out, url);
    inst_buf_add_str(out, "\">Open app</a></p></body></html>");
}

static bool is_web(const char *url) {
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

/* Back to the app, with a code or with what went wrong. */
static enum inst_status go_back(const struct callback *callback, const char *code,
                                const char *problem, struct inst_http_response *response) {
    const struct inst_url_param params[] = {
        {"code", code}, {"error", problem}, {"_instant_oauth_redirect", "true"}};
    struct inst_buf url;
    inst_buf_init(&url);
    inst_url_with(&url, callback->redirect_url, params, 3);
    if (url.failed)
        response->body.failed = true;
    else if (code != NULL && !is_web(url.data))
        write_landing(response, url.data);
    else
        inst_oauth_send_to(response, &url);
    inst_http_add_header(response, "Cache-Control", "no-store");
    inst_buf_free(&url);
    return INST_OK;
}

static enum inst_status fail(const struct callback *callback, const char *problem,
                             struct inst_http_response *response) {
    return go_back(callback, NULL, problem, response);
}

static enum inst_status give_code(struct inst_app *app, const struct callback *callback,
                                  const struct inst_oauth_identity *identity,
                                  struct inst_http_response *response, struct inst_err *err) {
    struct inst_uuid code;
    char text[INST_UUID_TEXT + 1];
    enum inst_status st = inst_oauth_code_add(app, callback->client, identity, &callback->challenge,
                                              &callback->method, &code, err);
    if (st == INST_OK)
        st = inst_row_commit(app, err);
    if (st != INST_OK)
        return st;
    inst_uuid_print(&code, text);
    st = go_back(callback, text, NULL, response);
    inst_wipe(text, sizeof text);
    inst_wipe(&code, sizeof code);
    return st;
}

/* The app and the client as they are now. */
static enum inst_status find_client(struct inst_later *later, struct inst_app **app,
                                    struct inst_provider_client *client, struct inst_err *err) {
    const struct callback *callback = later->state;
    enum inst_status st = inst_app_get(later->server, callback->app, app, err);
    if (st != INST_OK)
        return st;
    inst_app_commit(*app);
    if (inst_provider_client_of(*app, callback->client, client, err) == INST_OK)
        return INST_OK;
    return inst_err_set(err, "oauth-error", 400, "Missing OAuth client.");
}

/* ---- what the provider's servers say ---- */

/* The object that came; UNDEFINED: none, or another status than 200. */
static struct inst_value read_came(struct inst_later *later, bool any_status) {
    const struct inst_outgoing_response *came = later->came;
    struct inst_value value;
    if (came == NULL || (came->status != 200 && !any_status) ||
        inst_json_parse(&later->server->scratch, came->body, came->body_len, &value, NULL) !=
            INST_OK)
        return inst_undefined();
    return value;
}

/* What it says went wrong, else our own words. */
static const char *problem_of(struct inst_later *later, const char *member, const char *otherwise) {
    struct inst_value value = read_came(later, true);
    const struct inst_value *said =
        value.tag == INST_OBJECT ? inst_get_string(&value, member) : NULL;
    if (said == NULL || said->len == 0 || said->len > MAX_PROBLEM ||
        memchr(said->u.str, 0, said->len) != NULL)
        return otherwise;
    const char *text = inst_arena_dup(&later->server->scratch, said->u.str, said->len);
    return text != NULL ? text : otherwise;
}

static enum inst_status get_with_token(struct inst_later *later, const char *url,
                                       inst_later_step *then, struct inst_err *err) {
    const struct callback *callback = later->state;
    struct inst_buf bearer;
    inst_buf_init(&bearer);
    inst_buf_addf(&bearer, "Bearer %s", callback->access_token);
    if (bearer.failed)
        return inst_err_nomem(err);
    const struct inst_http_field fields[] = {{"accept", "application/json"},
                                             {"user-agent", "InstantDB OAuth"},
                                             {"authorization", bearer.data}};
    struct inst_outgoing_request request = {.url = url, .fields = fields, .field_count = 3};
    enum inst_status st = inst_later_fetch(later, &request, then, err);
    inst_wipe(bearer.data, bearer.len);
    inst_buf_free(&bearer);
    return st;
}

/* Keeps the access token for the next question; false: there is none that could be sent. */
static bool keep_access_token(struct inst_later *later, const struct inst_value *answer) {
    struct callback *callback = later->state;
    const struct inst_value *token =
        answer->tag == INST_OBJECT ? inst_get_string(answer, "access_token") : NULL;
    if (token == NULL || token->len == 0 || token->len > MAX_CODE)
        return false;
    for (size_t i = 0; i < token->len; i++)
        if ((unsigned char)token->u.str[i] <= ' ' || (unsigned char)token->u.str[i] >= 0x7f)
            return false;
    callback->access_token = inst_arena_dup(&later->arena, token->u.str, token->len);
    return callback->access_token != NULL;
}

/* A request that cannot be made is the provider's failure too. */
static enum inst_status or_fail(struct inst_later *later, enum inst_status st, const char *problem,
                                struct inst_http_response *response, struct inst_err *err) {
    if (st != INST_FAILED)
        return st;
    inst_err_clear(err);
    return fail(later->state, problem, response);
}

/* ---- GitHub ---- */

static const char *github_email(const struct inst_value *list, size_t *len) {
    for (uint32_t i = 0; list->tag == INST_ARRAY && i < list->len; i++) {
        const struct inst_value *entry = &list->u.items[i];
        const struct inst_value *email =
            entry->tag == INST_OBJECT ? inst_get_string(entry, "email") : NULL;
        if (email != NULL && inst_get_true(entry, "verified") && inst_get_true(entry, "primary")) {
            *len = email->len;
            return email->u.str;
        }
    }
    return NULL;
}

static enum inst_status github_emails_step(struct inst_later *later,
                                           struct inst_http_response *response,
                                           struct inst_err *err) {
    struct callback *callback = later->state;
    struct inst_app *app;
    struct inst_provider_client client;
    struct inst_oauth_identity identity = {0};
    struct inst_value list = read_came(later, false);
    const struct inst_value *id = inst_getz(&callback->user, "id");
    const struct inst_value *image = inst_get_string(&callback->user, "avatar_url");
    char sub[32];
    size_t len;
    enum inst_status st = find_client(later, &app, &client, err);
    if (st != INST_OK)
        return st;
    if (id == NULL || id->tag != INST_NUMBER)
        return fail(callback, "Missing user ID from GitHub", response);
    snprintf(sub, sizeof sub, "%.0f", id->u.num);
    const char *email = github_email(&list, &len);
    identity = (struct inst_oauth_identity){.provider = client.provider, .sub = inst_cstring(sub)};
    if (email != NULL)
        identity.email = inst_string(email, len);
    if (image != NULL)
        identity.image_url = *image;
    return give_code(app, callback, &identity, response, err);
}

static enum inst_status github_user_step(struct inst_later *later,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    static const char problem[] = "Failed to fetch user info from GitHub.";
    struct callback *callback = later->state;
    struct inst_value user = read_came(later, false);
    if (user.tag != INST_OBJECT)
        return fail(callback, problem_of(later, "message", problem), response);
    if (!inst_value_dup(&later->arena, &user, &callback->user))
        return inst_err_nomem(err);
    return or_fail(later, get_with_token(later, GITHUB_EMAILS, github_emails_step, err), problem,
                   response, err);
}

static enum inst_status github_token_step(struct inst_later *later,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    struct inst_value answer = read_came(later, false);
    if (answer.tag == INST_UNDEFINED)
        return fail(later->state,
                    problem_of(later, "error_description", "Error exchanging code for token."),
                    response);
    if (!keep_access_token(later, &answer))
        return fail(later->state, "No access token received from GitHub.", response);
    return or_fail(later, get_with_token(later, GITHUB_USER, github_user_step, err),
                   "Failed to fetch user info from GitHub.", response, err);
}

/* ---- OpenID ---- */

static enum inst_status take_claims(struct inst_app *app, const struct callback *callback,
                                    const struct inst_provider_client *client,
                                    const struct inst_value *claims,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_oauth_identity identity;
    inst_openid_identify(claims, client->provider, false, &identity);
    if (identity.email.tag == INST_UNDEFINED || identity.sub.tag == INST_UNDEFINED)
        return fail(callback, "Missing user info", response);
    return give_code(app, callback, &identity, response, err);
}

static enum inst_status userinfo_step(struct inst_later *later, struct inst_http_response *response,
                                      struct inst_err *err) {
    struct inst_app *app;
    struct inst_provider_client client;
    struct inst_value claims = read_came(later, false);
    enum inst_status st = find_client(later, &app, &client, err);
    if (st != INST_OK)
        return st;
    if (claims.tag != INST_OBJECT)
        return fail(later->state, "Invalid token exchanging code for token.", response);
    return take_claims(app, later->state, &client, &claims, response, err);
}

/* What the id_token says; it came from the provider itself, so its signature says nothing more, but
 * it must be of this provider, for this client, and good now. false: there is none. */
static bool read_id_token(struct inst_later *later, const struct inst_value *answer,
                          struct inst_jws *out) {
    const struct inst_value *text = inst_get_string(answer, "id_token");
    return text != NULL &&
           inst_jws_read(&later->server->scratch, text->u.str, text->len, out) == INST_OK;
}

/* false: the discovery document is on its way. */
static enum inst_status find_openid(struct inst_later *later,
                                    const struct inst_provider_client *client,
                                    struct inst_openid *openid, bool *is_there,
                                    struct inst_err *err) {
    const struct inst_value *document = NULL;
    *is_there = false;
    if (client->discovery.tag != INST_STRING)
        return inst_err_set(err, "oauth-error", 400, "Unsupported OAuth client.");
    const char *url =
        inst_arena_dup(&later->server->scratch, client->discovery.u.str, client->discovery.len);
    if (url == NULL)
        return inst_err_nomem(err);
    enum inst_status st =
        inst_document_get(later, url, "Unable to fetch OAuth configuration.", &document, err);
    if (st == INST_OK && document != NULL) {
        inst_openid_read(document, openid);
        *is_there = true;
    }
    return st;
}

static enum inst_status token_step(struct inst_later *later, struct inst_http_response *response,
                                   struct inst_err *err) {
    static const char invalid[] = "Invalid token exchanging code for token.";
    struct callback *callback = later->state;
    const struct inst_env *env = later->server->env;
    struct inst_app *app;
    struct inst_provider_client client;
    const struct inst_openid *openid = &callback->openid;
    struct inst_jws token;
    struct inst_value answer = read_came(later, false);
    enum inst_status st = find_client(later, &app, &client, err);
    if (st != INST_OK)
        return st;
    if (answer.tag != INST_OBJECT)
        return fail(callback,
                    problem_of(later, "error_description", "Error exchanging code for token."),
                    response);
    if (read_id_token(later, &answer, &token)) {
        if (inst_openid_check_claims(&token.payload, openid, &client, env->now_ms(env->ctx),
                                     NULL) != INST_OK)
            return fail(callback, invalid, response);
        return take_claims(app, callback, &client, &token.payload, response, err);
    }
    const char *url =
        openid->userinfo_endpoint != NULL
            ? inst_arena_dup(&later->server->scratch, openid->userinfo_endpoint->u.str,
                             openid->userinfo_endpoint->len)
            : NULL;
    if (url == NULL || !keep_access_token(later, &answer))
        return fail(callback, invalid, response);
    return or_fail(later, get_with_token(later, url, userinfo_step, err), invalid, response, err);
}

/* ---- the code goes to the token endpoint ---- */

static enum inst_status apple_secret(struct inst_app *app,
                                     const struct inst_provider_client *client, const char *pem,
                                     struct inst_buf *out, struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    const struct inst_value *key = inst_get_string(&client->meta, "keyId");
    const struct inst_value *team = inst_get_string(&client->meta, "teamId");
    struct inst_value none = inst_cstring("");
    struct inst_buf header, claims;
    long long now = (long long)(env->now_ms(env->ctx) / 1000);
    inst_buf_init(&header);
    inst_buf_init(&claims);
    inst_buf_add_str(&header, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":");
    inst_json_write(&header, key != NULL ? key : &none);
    inst_buf_add_char(&header, '}');
    inst_buf_add_str(&claims, "{\"iss\":");
    inst_json_write(&claims, team != NULL ? team : &none);
    inst_buf_addf(&claims,
                  ",\"iat\":%lld,\"exp\":%lld,\"aud\":\"https://appleid.apple.com\",\"sub\":", now,
                  now + APPLE_SECONDS);
    inst_json_write(&claims, &client->client_id);
    inst_buf_add_char(&claims, '}');
    bool is_signed = !header.failed && !claims.failed &&
                     inst_jws_sign_es256(pem, strlen(pem), header.data, claims.data, out);
    inst_buf_free(&header);
    inst_buf_free(&claims);
    return is_signed ? INST_OK
                     : inst_err_set(err, "oauth-error", 400,
                                    "The client's secret is no private key of Apple's.");
}

static enum inst_status post_code(struct inst_later *later, struct inst_app *app,
                                  const struct inst_provider_client *client, const char *url,
                                  bool is_apple, inst_later_step *then, struct inst_err *err) {
    static const struct inst_http_field fields[] = {
        {"accept", "application/json"},
        {"user-agent", "InstantDB OAuth"},
        {"content-type", "application/x-www-form-urlencoded"}};
    const struct callback *callback = later->state;
    struct inst_buf body, made;
    char *secret;
    const char *id =
        client->client_id.tag == INST_STRING
            ? inst_arena_dup(&app->server->scratch, client->client_id.u.str, client->client_id.len)
            : NULL;
    inst_buf_init(&body);
    inst_buf_init(&made);
    enum inst_status st = inst_provider_secret(app, client, &secret, err);
    if (st == INST_OK && is_apple && secret != NULL)
        st = apple_secret(app, client, secret, &made, err);
    const struct inst_url_param params[] = {{"client_id", id},
                                            {"client_secret", made.data ? made.data : secret},
                                            {"code", callback->code},
                                            {"grant_type", "authorization_code"},
                                            {"redirect_uri", callback->redirect_to}};
    inst_url_form(&body, params, sizeof params / sizeof *params);
    struct inst_outgoing_request request = {.method = "POST",
                                            .url = url,
                                            .fields = fields,
                                            .field_count = 3,
                                            .body = body.data,
                                            .body_len = body.len};
    if (st == INST_OK && body.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK)
        st = inst_later_fetch(later, &request, then, err);
    if (secret != NULL)
        inst_wipe(secret, strlen(secret));
    if (body.data != NULL)
        inst_wipe(body.data, body.len);
    free(secret);
    inst_buf_free(&body);
    inst_buf_free(&made);
    return st;
}

/* What is needed of the document later on, for documents may go. */
static bool keep_openid(struct inst_later *later, const struct inst_openid *now) {
    struct callback *callback = later->state;
    const struct inst_value *const from[] = {now->issuer, now->userinfo_endpoint};
    const struct inst_value **const to[] = {&callback->openid.issuer,
                                            &callback->openid.userinfo_endpoint};
    for (size_t i = 0; i < 2; i++) {
        struct inst_value *copy = inst_arena_alloc(&later->arena, sizeof *copy);
        if (copy == NULL || (from[i] != NULL && !inst_value_dup(&later->arena, from[i], copy)))
            return false;
        *to[i] = from[i] != NULL ? copy : NULL;
    }
    return true;
}

static enum inst_status code_step(struct inst_later *later, struct inst_http_response *response,
                                  struct inst_err *err) {
    static const char failure[] = "Error exchanging code for token.";
    struct callback *callback = later->state;
    struct inst_app *app;
    struct inst_provider_client client;
    struct inst_openid openid;
    bool is_there;
    enum inst_status st = find_client(later, &app, &client, err);
    if (st != INST_OK)
        return st;
    if (inst_provider_is_github(&client))
        return or_fail(later,
                       post_code(later, app, &client, GITHUB_TOKEN, false, github_token_step, err),
                       failure, response, err);
    st = find_openid(later, &client, &openid, &is_there, err);
    if (st == INST_FAILED)
        return or_fail(later, st, "Unable to fetch OAuth configuration.", response, err);
    if (st != INST_OK || !is_there)
        return st;
    if (!keep_openid(later, &openid))
        return inst_err_nomem(err);
    const char *url = openid.token_endpoint != NULL
                          ? inst_arena_dup(&later->server->scratch, openid.token_endpoint->u.str,
                                           openid.token_endpoint->len)
                          : NULL;
    if (url == NULL)
        return fail(callback, failure, response);
    st = post_code(later, app, &client, url, inst_openid_is_apple(&openid), token_step, err);
    return or_fail(later, st, failure, response, err);
}

/* ---- GET and POST /runtime/oauth/callback ---- */

static enum inst_status refuse(struct inst_err *err, const char *message) {
    return inst_err_set(err, "oauth-error", 400, "%s", message);
}

/* Both halves of the state. */
static bool read_state(const struct inst_value *text, char app[INST_UUID_TEXT + 1],
                       struct inst_uuid *state) {
    struct inst_uuid uuid;
    if (text->len != 2 * INST_UUID_TEXT || !inst_uuid_parse(text->u.str, INST_UUID_TEXT, &uuid) ||
        !inst_uuid_parse(text->u.str + INST_UUID_TEXT, INST_UUID_TEXT, state))
        return false;
    inst_uuid_print(&uuid, app);
    return true;
}

/* Others on the same host may set a cookie of that name: ours has a word in front. */
static bool read_cookie(const struct inst_http_request *request, struct inst_uuid *out) {
    static const char name[] = "__session=instantdb_";
    for (size_t i = 0; i < request->field_count; i++) {
        const char *at = request->fields[i].value;
        if (strcmp(request->fields[i].name, "cookie") != 0)
            continue;
        while (*at != '\0') {
            at += strspn(at, "; ");
            size_t len = strcspn(at, ";"), skip = sizeof name - 1;
            if (len == skip + INST_UUID_TEXT && memcmp(at, name, skip) == 0 &&
                inst_uuid_parse(at + skip, INST_UUID_TEXT, out))
                return true;
            at += len;
        }
    }
    return false;
}

static enum inst_status begin(struct inst_later *later, const struct inst_app *app,
                              const struct inst_value *code,
                              const struct inst_oauth_redirect *redirect, struct inst_err *err) {
    struct callback *callback = later->state;
    const struct inst_value *to = &redirect->redirect_to;
    memcpy(callback->app, app->info.id, sizeof callback->app);
    memcpy(callback->client, redirect->client, sizeof callback->client);
    callback->code = inst_arena_dup(&later->arena, code->u.str, code->len);
    callback->redirect_url =
        inst_arena_dup(&later->arena, redirect->redirect_url.u.str, redirect->redirect_url.len);
    callback->redirect_to = inst_arena_dup(&later->arena, to->tag == INST_STRING ? to->u.str : "",
                                           to->tag == INST_STRING ? to->len : 0);
    return callback->code != NULL && callback->redirect_url != NULL &&
                   callback->redirect_to != NULL &&
                   inst_value_dup(&later->arena, &redirect->challenge, &callback->challenge) &&
                   inst_value_dup(&later->arena, &redirect->method, &callback->method)
               ? INST_OK
               : inst_err_nomem(err);
}

static enum inst_status consume(struct inst_server *server, const struct inst_http_request *request,
                                const struct inst_value *params, struct inst_app **app,
                                struct inst_oauth_redirect *redirect,
                                char client[INST_UUID_TEXT + 1], struct inst_err *err) {
    const struct inst_value *said = inst_get_string(params, names[STATE]);
    const struct inst_value *problem = inst_get_string(params, names[ERROR]);
    struct inst_uuid state, cookie;
    char id[INST_UUID_TEXT + 1];
    if (problem != NULL && problem->len > 0)
        return inst_err_set(err, "oauth-error", 400, "%.*s",
                            problem->len <= MAX_PROBLEM ? (int)problem->len : MAX_PROBLEM,
                            problem->u.str);
    if (said == NULL || said->len == 0)
        return refuse(err, "Missing state param in OAuth redirect.");
    if (!read_state(said, id, &state))
        return refuse(err, "Invalid state param in OAuth redirect.");
    if (!read_cookie(request, &cookie))
        return refuse(err, "Missing cookie.");
    if (inst_app_get(server, id, app, err) != INST_OK)
        return refuse(err, "Could not find OAuth request.");
    inst_app_commit(*app);
    enum inst_status st = inst_oauth_redirect_consume(*app, &state, &cookie, redirect, client, err);
    struct inst_err ignored = {0};
    enum inst_status kept = inst_row_commit(*app, st == INST_OK ? err : &ignored);
    inst_err_clear(&ignored);
    return st == INST_OK ? kept : st;
}

static enum inst_status answer_callback(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value params;
    struct inst_app *app;
    struct inst_oauth_redirect redirect;
    struct inst_later *later;
    char client[INST_UUID_TEXT + 1];
    enum inst_status st = inst_oauth_params(server, request, names, PARAMS, &params, err);
    if (st == INST_OK && inst_get_string(&params, names[TEST]) != NULL) {
        response->content_type = "text/html; charset=utf-8";
        inst_buf_add_str(&response->body,
                         "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
                         "OAuth redirect</title></head><body><p>Your OAuth redirect looks good!</p>"
                         "</body></html>");
        return INST_OK;
    }
    if (st != INST_OK ||
        (st = consume(server, request, &params, &app, &redirect, client, err)) != INST_OK)
        return st;
    const struct inst_value *code = inst_get_string(&params, names[CODE]);
    if (code == NULL || code->len == 0 || code->len > MAX_CODE)
        return refuse(err, "Missing code param in OAuth redirect.");
    if ((st = inst_later_new(server, code_step, sizeof(struct callback), &later, err)) != INST_OK)
        return st;
    if ((st = begin(later, app, code, &redirect, err)) != INST_OK) {
        inst_later_cancel(later);
        return st;
    }
    return inst_later_run(later, response, err);
}

const struct inst_http_route inst_http_oauth_callback_routes[] = {
    {"GET", "/runtime/oauth/callback", answer_callback},
    {"POST", "/runtime/oauth/callback", answer_callback},
    {NULL, NULL, NULL},
};
