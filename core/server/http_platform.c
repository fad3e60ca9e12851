/*
 * Routes: a third party is let in by an operator (http.md 10), as OAuth 2 has it.
 *
 *     browser   GET start ──> a page that says who asks for what; the operator's token, allow, deny
 *               POST grant | deny, with the cookie of the start ──> 302 to the third party, ?code=
 *     its server, or with PKCE the page itself
 *               POST token: code ──> pat_ (and prt_); prt_ ──> pat_
 *
 * A page of somebody else's may do what ours does: claim, with an operator's token as bearer, gives
 * the grant token that grant takes in its place. What is under way is in memory only.
 */
#include "server/platform.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/http_oauth.h"
#include "server/oauth.h"
#include "server/operators.h"
#include "server/refusal.h"

#include <stdio.h>
#include <stdlib.h>

#define ASK_MS (10ll * 60 * 1000)
/* That wait, in all and of one address: a handful per person that is let in behind it. */
#define MAX_ASKS 1000
#define MAX_ADDRESS_ASKS 20
#define ADDRESS 48
#define MAX_URL 2000u
#define COOKIE "__session=platform_"

enum ask_state { ASK_WAITING, ASK_GRANTED, ASK_USED };

struct inst_platform_ask {
    struct inst_platform_ask *next; /* older */
    char id[INST_UUID_TEXT + 1], cookie[INST_UUID_TEXT + 1], code[INST_UUID_TEXT + 1];
    char grant_token[INST_UUID_TEXT + 1]; /* "": nobody claimed it */
    struct inst_platform_grant grant;
    enum ask_state state;
    int64_t since_ms;
    char address[ADDRESS];                                 /* who began it (address_of) */
    char *redirect_uri, *oauth_state, *challenge, *method; /* in one block; "": none */
};

static void free_ask(struct inst_platform_ask *ask) {
    free(ask->redirect_uri);
    inst_wipe(ask, sizeof *ask);
    free(ask);
}

void inst_platform_asks_free(struct inst_server *server) {
    while (server->platform_asks != NULL) {
        struct inst_platform_ask *ask = server->platform_asks;
        server->platform_asks = ask->next;
        free_ask(ask);
    }
}

static int64_t now_ms(const struct inst_server *server) {
    return server->env->now_ms(server->env->ctx);
}

/* Of IPv6 about the /64: whoever has one address there has all of them. */
static void address_of(const struct inst_http_request *request, char out[ADDRESS]) {
    const char *ip = request->ip != NULL ? request->ip : "", *end = ip;
    bool is_ipv6 = strchr(ip, ':') != NULL && strchr(ip, '.') == NULL;
    for (int groups = 0; *end != '\0' && !(is_ipv6 && *end == ':' && ++groups == 4); end++)
        if (is_ipv6 && strncmp(end, "::", 2) == 0)
            break;
    snprintf(out, ADDRESS, "%.*s", (int)(end - ip), ip);
}

/* Makes room for one more of this address, which displaces its own older ones first. What was
 * granted stays as long as it is good. */
static void forget_old(struct inst_server *server, const char *address) {
    struct inst_platform_ask **link = &server->platform_asks;
    size_t waiting = 0, own = 0;
    while (*link != NULL) {
        struct inst_platform_ask *ask = *link;
        bool is_good = ask->state != ASK_USED && now_ms(server) - ask->since_ms < ASK_MS;
        if (is_good && ask->state == ASK_WAITING) {
            bool is_own = strcmp(ask->address, address) == 0;
            waiting++;
            own += is_own;
            is_good = waiting < MAX_ASKS && !(is_own && own >= MAX_ADDRESS_ASKS);
        }
        if (is_good) {
            link = &ask->next;
            continue;
        }
        *link = ask->next;
        free_ask(ask);
    }
}

/* ---- start ---- */

enum { CLIENT, REDIRECT, TYPE, SCOPE, STATE, CHALLENGE, METHOD, PARAMS };
static const char *const start_names[PARAMS] = {
    "client_id", "redirect_uri",   "response_type",        "scope",
    "state",     "code_challenge", "code_challenge_method"};

static enum inst_status refuse_start(struct inst_err *err, const char *name, const char *message) {
    return inst_refuse_validation(err, name, NULL, NULL, "%s", message);
}

static enum inst_status read_start(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   const char *params[PARAMS], struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (int i = 0; st == INST_OK && i < PARAMS; i++) {
        const char *const path[] = {"params", start_names[i]};
        st = inst_http_param(request, start_names[i], &server->scratch, &params[i], err);
        bool is_blank = params[i] == NULL || params[i][0] == '\0';
        if (st == INST_OK && is_blank && i < CHALLENGE)
            st = inst_refuse_missing(err, path, 2);
        else if (st == INST_OK && is_blank)
            params[i] = "";
        if (st == INST_OK && strlen(params[i]) > MAX_URL)
            st = inst_refuse_malformed(err, path, 2, NULL);
    }
    if (st != INST_OK)
        return st;
    if (strcmp(params[TYPE], "code") != 0)
        return refuse_start(err, "response_type",
                            "`response_type` parameter must have value `code`");
    if (inst_scopes_read(params[SCOPE]) == 0)
        return refuse_start(err, "scope", "Invalid scope");
    if ((params[CHALLENGE][0] != '\0') != (params[METHOD][0] != '\0') ||
        (params[METHOD][0] != '\0' && strcmp(params[METHOD], "S256") != 0 &&
         strcmp(params[METHOD], "plain") != 0))
        return refuse_start(err, "code-challenge",
                            "code_challenge and code_challenge_method belong together");
    return INST_OK;
}

static enum inst_status add_ask(struct inst_server *server, const char *params[PARAMS],
                                const char *client_id, const char *address,
                                struct inst_platform_ask **out, struct inst_err *err) {
    const char *const kept[] = {params[REDIRECT], params[STATE], params[CHALLENGE], params[METHOD]};
    size_t size = 0;
    forget_old(server, address);
    for (int i = 0; i < 4; i++)
        size += strlen(kept[i]) + 1;
    struct inst_platform_ask *ask = calloc(1, sizeof *ask);
    char *text = malloc(size);
    if (ask == NULL || text == NULL) {
        free(ask);
        free(text);
        return inst_err_nomem(err);
    }
    char **const fields[] = {&ask->redirect_uri, &ask->oauth_state, &ask->challenge, &ask->method};
    for (int i = 0; i < 4; i++) {
        *fields[i] = text;
        text += strlen(strcpy(text, kept[i])) + 1;
    }
    strcpy(ask->grant.client, client_id);
    strcpy(ask->address, address);
    ask->grant.scopes = inst_scopes_read(params[SCOPE]);
    ask->since_ms = now_ms(server);
    inst_uuid_make_text(server->env, ask->id);
    inst_uuid_make_text(server->env, ask->cookie);
    ask->next = server->platform_asks;
    server->platform_asks = ask;
    *out = ask;
    return INST_OK;
}

static void add_escaped(struct inst_buf *out, const struct inst_value *text) {
    for (uint32_t i = 0; text != NULL && i < text->len; i++) {
        if (strchr("&<>\"'", text->u.str[i]) != NULL)
            inst_buf_addf(out, "&#%d;", text->u.str[i]);
        else
            inst_buf_add_char(out, text->u.str[i]);
    }
}

/* No script: the form is sent as it is. */
static void write_page(struct inst_http_response *response, const struct inst_platform_ask *ask,
                       const struct inst_value *app) {
    struct inst_buf *out = &response->body;
    struct inst_value url = inst_cstring(ask->redirect_uri);
    response->content_type = "text/html; charset=utf-8";
    inst_http_add_header(response, "Cache-Control", "no-store");
    inst_buf_add_str(out, "<!doctype html><html lang=\"en\"><head><meta name=\"viewport\" "
                          "content=\"width=device-width\"><title>Let an application in</title>"
                          "</head><body><h1>Let an application in</h1><p><b>");
    add_escaped(out, inst_get_string(app, "app_name"));
    inst_buf_add_str(out, "</b> asks to act for an operator of this backend, over all of its "
                          "apps: <b>");
    inst_scopes_write(out, ask->grant.scopes);
    inst_buf_add_str(out, "</b>. It is answered at <code>");
    add_escaped(out, &url);
    inst_buf_addf(out,
                  "</code>.</p><form method=\"post\" action=\"/platform/oauth/grant\">"
                  "<input type=\"hidden\" name=\"redirect_id\" value=\"%s\">"
                  "<p><label>Operator token <input type=\"password\" name=\"token\" "
                  "autocomplete=\"off\"></label></p><p><button>Allow</button> "
                  "<button formaction=\"/platform/oauth/deny\">Deny</button></p></form>"
                  "</body></html>",
                  ask->id);
}

static enum inst_status answer_start(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"params", "client_id"};
    const char *params[PARAMS];
    struct inst_value app;
    const struct inst_value *client;
    struct inst_platform_ask *ask = NULL;
    struct inst_uuid uuid;
    struct inst_buf origin;
    char client_id[INST_UUID_TEXT + 1], address[ADDRESS];
    enum inst_status st = read_start(server, request, params, err);
    if (st != INST_OK)
        return st;
    if (!inst_uuid_parse(params[CLIENT], strlen(params[CLIENT]), &uuid))
        return inst_refuse_malformed(err, path, 2, NULL);
    inst_uuid_print(&uuid, client_id);
    if ((st = inst_platform_client(server, client_id, &app, &client, err)) != INST_OK)
        return st;
    if (client == NULL)
        return inst_refuse_not_found(err, "oauth-app-client", "[{}]");
    if (!inst_platform_client_allows(client, params[REDIRECT]))
        return refuse_start(err, "redirect_uri",
                            "The redirect_uri does not appear in the set of authorized redirect "
                            "uri for the OAuth client.");
    address_of(request, address);
    if ((st = add_ask(server, params, client_id, address, &ask, err)) != INST_OK)
        return st;
    inst_buf_init(&origin);
    inst_http_origin(server, request, &origin);
    bool is_https = !origin.failed && strncmp(origin.data, "https://", 8) == 0;
    inst_buf_free(&origin);
    inst_buf_addf(&response->headers,
                  "Set-Cookie: " COOKIE "%s; Path=/platform/oauth; Max-Age=3600; HttpOnly; "
                  "SameSite=Lax%s\r\n",
                  ask->cookie, is_https ? "; Secure" : "");
    write_page(response, ask, &app);
    return INST_OK;
}

/* ---- the operator's say ---- */

static struct inst_platform_ask *find_ask(struct inst_server *server, const char *id,
                                          enum ask_state state) {
    struct inst_platform_ask *found = NULL;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(id, strlen(id), &uuid))
        return NULL;
    inst_uuid_print(&uuid, plain);
    for (struct inst_platform_ask *ask = server->platform_asks; ask != NULL; ask = ask->next)
        if (ask->state == state && now_ms(server) - ask->since_ms < ASK_MS &&
            inst_secret_equal(state == ASK_WAITING ? ask->id : ask->code, plain, INST_UUID_TEXT))
            found = ask;
    return found;
}

static enum inst_status answer_claim(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body, app;
    const struct inst_value *client;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "redirect", id, err)) != INST_OK)
        return st;
    struct inst_platform_ask *ask = find_ask(server, id, ASK_WAITING);
    if (ask == NULL || ask->grant_token[0] != '\0')
        return inst_refuse_not_found(err, "oauth-app-redirect", "[{}]");
    if ((st = inst_platform_client(server, ask->grant.client, &app, &client, err)) != INST_OK)
        return st;
    if (client == NULL)
        return inst_refuse_not_found(err, "oauth-app-client", "[{}]");
    inst_uuid_make_text(server->env, ask->grant_token);
    inst_buf_add_str(&response->body, "{\"appName\":");
    inst_json_write(&response->body, inst_getz(&app, "app_name"));
    inst_buf_add_str(&response->body,
                     ",\"userEmail\":\"" INST_OPERATOR_EMAIL "\",\"redirectOrigin\":");
    inst_json_write_string(&response->body, ask->redirect_uri, strlen(ask->redirect_uri));
    inst_buf_add_str(&response->body, ",\"scopes\":\"");
    inst_scopes_write(&response->body, ask->grant.scopes);
    inst_buf_addf(&response->body, "\",\"grantToken\":\"%s\"}", ask->grant_token);
    return INST_OK;
}

static bool has_cookie(const struct inst_http_request *request, const char *wanted) {
    for (size_t i = 0; i < request->field_count; i++) {
        const char *at = request->fields[i].value;
        if (strcmp(request->fields[i].name, "cookie") != 0)
            continue;
        while (*at != '\0') {
            at += strspn(at, "; ");
            size_t len = strcspn(at, ";"), skip = sizeof COOKIE - 1;
            if (len == skip + INST_UUID_TEXT && memcmp(at, COOKIE, skip) == 0 &&
                inst_secret_equal(at + skip, wanted, INST_UUID_TEXT))
                return true;
            at += len;
        }
    }
    return false;
}

static const char *text_of(struct inst_server *server, const struct inst_value *params,
                           const char *name) {
    const struct inst_value *v = inst_get_string(params, name);
    return v != NULL && memchr(v->u.str, 0, v->len) == NULL
               ? inst_arena_dup(&server->scratch, v->u.str, v->len)
               : NULL;
}

/* The request that is decided on, by the browser that began it. */
static enum inst_status read_decision(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_value *params, struct inst_platform_ask **out,
                                      struct inst_err *err) {
    static const char *const names[] = {"redirect_id", "grant_token", "token"};
    static const char *const path[] = {"params", "redirect_id"};
    enum inst_status st = inst_oauth_params(server, request, names, 3, params, err);
    if (st != INST_OK)
        return st;
    const char *id = text_of(server, params, "redirect_id");
    if (id == NULL)
        return inst_refuse_missing(err, path, 2);
    *out = find_ask(server, id, ASK_WAITING);
    if (*out == NULL)
        return inst_refuse_not_found(err, "oauth-app-redirect", "[{}]");
    return has_cookie(request, (*out)->cookie)
               ? INST_OK
               : inst_refuse_validation(err, "cookie", NULL, NULL, "Invalid cookie.");
}

static void add_param(struct inst_buf *url, const char *name, const char *value) {
    inst_buf_add_char(url, strchr(url->data != NULL ? url->data : "", '?') != NULL ? '&' : '?');
    inst_buf_addf(url, "%s=", name);
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        bool is_plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                        (*c >= 'a' && *c <= 'z') || strchr("-._~", *c) != NULL;
        if (is_plain)
            inst_buf_add_char(url, (char)*c);
        else
            inst_buf_addf(url, "%%%02X", *c);
    }
}

static enum inst_status answer_grant(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value params;
    struct inst_platform_ask *ask;
    struct inst_buf url, scopes;
    enum inst_status st = read_decision(server, request, &params, &ask, err);
    if (st != INST_OK)
        return st;
    const char *grant_token = text_of(server, &params, "grant_token");
    bool is_claimed = grant_token != NULL && ask->grant_token[0] != '\0' &&
                      strlen(grant_token) == INST_UUID_TEXT &&
                      inst_secret_equal(grant_token, ask->grant_token, INST_UUID_TEXT);
    if (!is_claimed &&
        (st = inst_operator_check(server, text_of(server, &params, "token"), err)) != INST_OK)
        return st;
    inst_uuid_make_text(server->env, ask->code);
    ask->state = ASK_GRANTED;
    ask->since_ms = now_ms(server);
    inst_buf_init(&url);
    inst_buf_init(&scopes);
    inst_buf_add_str(&url, ask->redirect_uri);
    inst_scopes_write(&scopes, ask->grant.scopes);
    add_param(&url, "code", ask->code);
    add_param(&url, "state", ask->oauth_state);
    add_param(&url, "scope", scopes.failed ? "" : scopes.data);
    inst_oauth_send_to(response, &url);
    inst_buf_free(&url);
    inst_buf_free(&scopes);
    return INST_OK;
}

/* It changes nothing, so who began it may say so. */
static enum inst_status answer_deny(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_value params;
    struct inst_platform_ask *ask;
    struct inst_buf url;
    enum inst_status st = read_decision(server, request, &params, &ask, err);
    if (st != INST_OK)
        return st;
    ask->state = ASK_USED;
    inst_buf_init(&url);
    inst_buf_add_str(&url, ask->redirect_uri);
    add_param(&url, "error", "access_denied");
    add_param(&url, "state", ask->oauth_state);
    inst_oauth_send_to(response, &url);
    inst_buf_free(&url);
    return INST_OK;
}

/* ---- tokens ---- */

static void write_tokens(struct inst_buf *out, unsigned scopes, const char *access,
                         const char *refresh) {
    inst_buf_addf(out, "{\"access_token\":\"%s\",\"expires_in\":%d,\"token_type\":\"Bearer\"",
                  access, INST_PLATFORM_ACCESS_S);
    if (refresh != NULL)
        inst_buf_addf(out, ",\"refresh_token\":\"%s\"", refresh);
    inst_buf_add_str(out, ",\"scope\":\"");
    inst_scopes_write(out, scopes);
    inst_buf_add_str(out, "\",\"scopes\":\"");
    inst_scopes_write(out, scopes);
    inst_buf_add_str(out, "\"}");
}

static enum inst_status need(struct inst_server *server, const struct inst_value *params,
                             const char *name, const char **out, struct inst_err *err) {
    const char *const path[] = {name};
    *out = text_of(server, params, name);
    return *out == NULL || **out == '\0' ? inst_refuse_missing(err, path, 1) : INST_OK;
}

/* The code is used up whatever comes behind it. Without the client's secret it takes PKCE, and
 * there is no refresh token. */
static enum inst_status exchange_code(struct inst_server *server, const struct inst_value *params,
                                      const char *client_id, bool has_secret, struct inst_buf *out,
                                      struct inst_err *err) {
    char access[INST_PLATFORM_TOKEN + 1], refresh[INST_PLATFORM_TOKEN + 1];
    const char *code, *redirect_uri;
    enum inst_status st;
    if ((st = need(server, params, "code", &code, err)) != INST_OK ||
        (st = need(server, params, "redirect_uri", &redirect_uri, err)) != INST_OK)
        return st;
    struct inst_platform_ask *ask = find_ask(server, code, ASK_GRANTED);
    if (ask == NULL)
        return inst_refuse_not_found(err, "oauth-app-code", "[{}]");
    ask->state = ASK_USED;
    if (strcmp(ask->grant.client, client_id) != 0)
        return refuse_start(err, "client_id", "Invalid client_id parameter");
    if (strcmp(ask->redirect_uri, redirect_uri) != 0)
        return refuse_start(err, "redirect_uri", "Invalid redirect_uri parameter");
    struct inst_value challenge = inst_cstring(ask->challenge), method = inst_cstring(ask->method);
    bool has_challenge = ask->challenge[0] != '\0';
    if (!has_challenge && !has_secret)
        return refuse_start(err, "client_secret",
                            "You must provide the client_secret from a secure server or use the "
                            "client-side PKCE flow to exchange the OAuth code for a token.");
    st = inst_oauth_check_pkce(has_challenge ? &challenge : NULL, has_challenge ? &method : NULL,
                               inst_getz(params, "code_verifier"), err);
    if (st == INST_OK && has_secret)
        st = inst_platform_add_refresh(server, &ask->grant, refresh, err);
    if (st == INST_OK)
        st =
            inst_platform_add_access(server, &ask->grant, has_secret ? refresh : NULL, access, err);
    if (st == INST_OK)
        write_tokens(out, ask->grant.scopes, access, has_secret ? refresh : NULL);
    inst_wipe(access, sizeof access);
    inst_wipe(refresh, sizeof refresh);
    return st;
}

static enum inst_status exchange_refresh(struct inst_server *server,
                                         const struct inst_value *params, const char *client_id,
                                         struct inst_buf *out, struct inst_err *err) {
    struct inst_platform_grant grant;
    char access[INST_PLATFORM_TOKEN + 1];
    const char *refresh;
    enum inst_status st = need(server, params, "refresh_token", &refresh, err);
    if (st != INST_OK)
        return st;
    bool is_one = strncmp(refresh, INST_PLATFORM_REFRESH, sizeof INST_PLATFORM_REFRESH - 1) == 0;
    st = inst_platform_find(server, is_one ? refresh : INST_PLATFORM_REFRESH, &grant, err);
    if (st != INST_OK)
        return st;
    if (strcmp(grant.client, client_id) != 0)
        return inst_refuse_not_found(err, "oauth-app-refresh-token", "[{}]");
    if ((st = inst_platform_add_access(server, &grant, refresh, access, err)) == INST_OK)
        write_tokens(out, grant.scopes, access, refresh);
    inst_wipe(access, sizeof access);
    return st;
}

static enum inst_status answer_token(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const names[] = {"grant_type",    "client_id",    "client_secret", "code",
                                        "code_verifier", "redirect_uri", "refresh_token"};
    struct inst_value params, app;
    const struct inst_value *client;
    const char *type, *client_id;
    enum inst_status st;
    if ((st = inst_oauth_params(server, request, names, sizeof names / sizeof *names, &params,
                                err)) != INST_OK ||
        (st = need(server, &params, "grant_type", &type, err)) != INST_OK ||
        (st = need(server, &params, "client_id", &client_id, err)) != INST_OK ||
        (st = inst_platform_client(server, client_id, &app, &client, err)) != INST_OK)
        return st;
    if (client == NULL)
        return inst_refuse_not_found(err, "oauth-app-client", "[{}]");
    const char *secret = text_of(server, &params, "client_secret");
    if (secret != NULL && (st = inst_platform_check_secret(client, secret, err)) != INST_OK)
        return st;
    inst_http_add_header(response, "Cache-Control", "no-store");
    if (strcmp(type, "authorization_code") == 0)
        return exchange_code(server, &params, client_id, secret != NULL, &response->body, err);
    if (strcmp(type, "refresh_token") == 0 && secret != NULL)
        return exchange_refresh(server, &params, client_id, &response->body, err);
    return refuse_start(err, "grant_type", "Unrecognized `grant_type` parameter");
}

static enum inst_status answer_info(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"params", "access_token"};
    struct inst_platform_grant grant;
    const char *token;
    enum inst_status st = inst_http_param(request, "access_token", &server->scratch, &token, err);
    if (st != INST_OK)
        return st;
    if (token == NULL)
        return inst_refuse_missing(err, path, 2);
    if (!inst_platform_is_token(token))
        return refuse_start(err, "access_token",
                            "The access_token is not a valid platform OAuth access token.");
    if ((st = inst_platform_find(server, token, &grant, err)) != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"expires_in\":%lld,\"token_type\":\"Bearer\",\"scopes\":\"",
                  (long long)((grant.expires_ms - now_ms(server)) / 1000));
    inst_scopes_write(&response->body, grant.scopes);
    inst_buf_add_str(&response->body, "\"}");
    return INST_OK;
}

static enum inst_status answer_revoke(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    static const char *const names[] = {"token"};
    struct inst_value params;
    const char *token;
    enum inst_status st;
    (void)response;
    if ((st = inst_oauth_params(server, request, names, 1, &params, err)) != INST_OK ||
        (st = need(server, &params, "token", &token, err)) != INST_OK)
        return st;
    if (!inst_platform_is_token(token) &&
        strncmp(token, INST_PLATFORM_REFRESH, sizeof INST_PLATFORM_REFRESH - 1) != 0)
        return refuse_start(err, "token", "Token is not a access token or a refresh token.");
    return inst_platform_revoke(server, token, err);
}

const struct inst_http_route inst_http_platform_routes[] = {
    {"GET", "/platform/oauth/start", answer_start},
    {"POST", "/platform/oauth/claim", answer_claim},
    {"POST", "/platform/oauth/grant", answer_grant},
    {"POST", "/platform/oauth/deny", answer_deny},
    {"POST", "/platform/oauth/token", answer_token},
    {"GET", "/platform/oauth/token-info", answer_info},
    {"POST", "/platform/oauth/revoke", answer_revoke},
    {NULL, NULL, NULL},
};
