/*
 * Route: signing in with an id_token that a provider gave to a program (http.md 4.6).
 *
 *     request ─ client ─ discovery document ─ keys ─ (keys again, when they changed) ─ user
 */
#include "server/http_auth.h"
#include "server/later.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/openid.h"
#include "server/refusal.h"
#include "server/rows.h"

/* Carried from step to step. */
struct sign_in {
    char app[INST_UUID_TEXT + 1];
    struct inst_value body; /* on later->arena */
    bool has_new_keys, has_new_document;
    struct inst_caller from; /* in the arena */
};

static const char no_key[] = "Error validating JWT. Could not find signing key.";

/* ---- the end: who it is ---- */

/* A token that is already this user's goes on being it. */
static enum inst_status answer_user(struct inst_app *app, const struct inst_value *body,
                                    const char *user, struct inst_buf *out, struct inst_err *err) {
    struct inst_uuid token;
    char owner_id[INST_UUID_TEXT + 1] = "";
    uint32_t owner = 0;
    bool has;
    enum inst_status st = inst_auth_token(body, "refresh_token", &has, &token, err);
    if (st == INST_OK && has)
        st = inst_user_by_token(app, &token, &owner, err);
    inst_row_id(app, owner, owner_id);
    if (st == INST_OK)
        st = strcmp(owner_id, user) == 0 ? inst_auth_answer_kept(app, user, &token, out, err)
                                         : inst_auth_answer(app, user, NULL, out, err);
    inst_wipe(&token, sizeof token);
    return st;
}

static enum inst_status enter(struct inst_app *app, const struct inst_value *body,
                              const struct inst_oauth_identity *identity, struct inst_caller from,
                              struct inst_http_response *response, struct inst_err *err) {
    struct inst_sign_in sign_in = {.from = from};
    enum inst_status st;
    if ((st = inst_auth_extra(body, "extra_fields", &sign_in.extra_fields, err)) != INST_OK ||
        (st = inst_auth_guest(app, body, "refresh_token", &sign_in.guest, err)) != INST_OK ||
        (st = inst_oauth_enter(app, identity, &sign_in, err)) != INST_OK ||
        (st = answer_user(app, body, sign_in.user, &response->body, err)) != INST_OK)
        return st;
    inst_auth_created(&response->body, sign_in.is_created);
    return INST_OK;
}

/* ---- steps ---- */

static enum inst_status read_token(struct inst_app *app, const struct inst_value *body,
                                   struct inst_jws *out, struct inst_err *err) {
    const struct inst_value *text = inst_get_string(body, "id_token");
    enum inst_status st = inst_jws_read(&app->server->scratch, text->u.str, text->len, out);
    if (st == INST_NOMEM)
        return inst_err_nomem(err);
    if (st != INST_OK)
        return inst_err_set(err, "oauth-error", 400, "Invalid JWT.");
    return inst_openid_check_alg(out, err);
}

/* *keys NULL: on their way. */
static enum inst_status find_keys(struct inst_later *later,
                                  const struct inst_provider_client *client,
                                  struct inst_openid *openid, const struct inst_value **keys,
                                  struct inst_err *err) {
    const struct inst_value *document;
    *keys = NULL;
    if (inst_provider_is_github(client))
        return inst_openid_refuse(err, "GitHub OAuth does not support ID tokens.");
    if (client->discovery.tag != INST_STRING)
        return inst_openid_refuse(err, "OAuth client does not support id_token.");
    const char *url =
        inst_arena_dup(&later->server->scratch, client->discovery.u.str, client->discovery.len);
    if (url == NULL)
        return inst_err_nomem(err);
    enum inst_status st =
        inst_document_get(later, url, "Unable to fetch OAuth configuration.", &document, err);
    if (st != INST_OK || document == NULL)
        return st;
    inst_openid_read(document, openid);
    if (openid->jwks_uri == NULL || openid->issuer == NULL || openid->issuer->len == 0)
        return inst_openid_refuse(err, "OAuth client does not support id_token.");
    url = inst_arena_dup(&later->server->scratch, openid->jwks_uri->u.str, openid->jwks_uri->len);
    if (url == NULL)
        return inst_err_nomem(err);
    return inst_document_get(later, url, no_key, keys, err);
}

/* Keys change: a set that lacks the token's is asked for once more. */
static enum inst_status check_signature(struct inst_later *later, const struct inst_jws *token,
                                        const struct inst_openid *openid,
                                        const struct inst_value *keys, bool *is_waiting,
                                        struct inst_err *err) {
    struct sign_in *state = later->state;
    *is_waiting = false;
    enum inst_openid_key found = inst_openid_verify(token, keys);
    if (found == INST_OPENID_SIGNED)
        return INST_OK;
    if (found == INST_OPENID_NOT_SIGNED)
        return inst_err_set(err, "oauth-error", 400, "Error validating JWT. Signature is invalid.");
    const char *url =
        inst_arena_dup(&later->server->scratch, openid->jwks_uri->u.str, openid->jwks_uri->len);
    if (url == NULL)
        return inst_err_nomem(err);
    if (state->has_new_keys || !inst_document_refresh(later, url))
        return inst_err_set(err, "oauth-error", 400, "%s", no_key);
    state->has_new_keys = *is_waiting = true;
    return inst_document_get(later, url, no_key, &keys, err);
}

static bool is_listed(const struct inst_jws *token, const struct inst_openid *openid) {
    const struct inst_value *list = openid->algorithms;
    const struct inst_value *alg = inst_get_string(&token->header, "alg");
    if (list == NULL || list->tag != INST_ARRAY || list->len == 0)
        return inst_is_string(alg, "RS256");
    for (uint32_t i = 0; i < list->len; i++)
        if (inst_value_equal(&list->u.items[i], alg))
            return true;
    return false;
}

/* A provider that begins with another algorithm says so in its document, which may be an old one.
 */
static enum inst_status check_algorithm(struct inst_later *later,
                                        const struct inst_provider_client *client,
                                        const struct inst_jws *token,
                                        const struct inst_openid *openid, bool *is_waiting,
                                        struct inst_err *err) {
    static const char unsupported[] = "The id_token used an unsupported algorithm.";
    struct sign_in *state = later->state;
    const struct inst_value *document;
    *is_waiting = false;
    if (is_listed(token, openid))
        return INST_OK;
    const char *url =
        inst_arena_dup(&later->server->scratch, client->discovery.u.str, client->discovery.len);
    if (url == NULL)
        return inst_err_nomem(err);
    if (state->has_new_document || !inst_document_refresh(later, url))
        return inst_openid_refuse(err, unsupported);
    state->has_new_document = *is_waiting = true;
    return inst_document_get(later, url, unsupported, &document, err);
}

static enum inst_status sign_in_step(struct inst_later *later, struct inst_http_response *response,
                                     struct inst_err *err) {
    struct sign_in *state = later->state;
    const struct inst_env *env = later->server->env;
    const char *name;
    const struct inst_value *keys, *nonce = inst_get_string(&state->body, "nonce");
    struct inst_app *app;
    struct inst_provider_client client;
    struct inst_openid openid;
    struct inst_oauth_identity identity;
    struct inst_jws token;
    bool is_waiting;
    enum inst_status st;
    if ((st = inst_app_get(later->server, state->app, &app, err)) != INST_OK)
        return st;
    inst_app_commit(app);
    if ((st = inst_http_body_text(&state->body, "client_name", &later->server->scratch, &name,
                                  err)) != INST_OK ||
        (st = inst_provider_client_named(app, name, &client, err)) != INST_OK ||
        (st = read_token(app, &state->body, &token, err)) != INST_OK ||
        (st = find_keys(later, &client, &openid, &keys, err)) != INST_OK || keys == NULL ||
        (st = check_signature(later, &token, &openid, keys, &is_waiting, err)) != INST_OK ||
        is_waiting ||
        (st = check_algorithm(later, &client, &token, &openid, &is_waiting, err)) != INST_OK ||
        is_waiting)
        return st;
    if ((st = inst_openid_check_claims(&token.payload, &openid, &client, env->now_ms(env->ctx),
                                       err)) != INST_OK ||
        (st = inst_openid_check_nonce(&token.payload, &openid, nonce, err)) != INST_OK)
        return st;
    bool takes_any = client.sealed_secret.tag != INST_STRING &&
                     inst_get_true(&client.meta, "allowUnverifiedEmail");
    inst_openid_identify(&token.payload, client.provider, takes_any, &identity);
    return enter(app, &state->body, &identity, state->from, response, err);
}

/* ---- POST /runtime/oauth/id_token ---- */

static enum inst_status check_token_param(const struct inst_value *body, struct inst_err *err) {
    static const char *const path[] = {"body", "id_token"};
    const struct inst_value *v = inst_getz(body, "id_token");
    if (v == NULL || inst_is_nullish(v))
        return inst_refuse_missing(err, path, 2);
    return v->tag == INST_STRING && v->len > 0 ? INST_OK
                                               : inst_refuse_malformed(err, path, 2, NULL);
}

/* false: out of memory. */
static bool keep_caller(struct inst_arena *arena, struct inst_caller from,
                        struct inst_caller *out) {
    out->ip = from.ip != NULL ? inst_arena_dup(arena, from.ip, strlen(from.ip)) : NULL;
    out->origin =
        from.origin != NULL ? inst_arena_dup(arena, from.origin, strlen(from.origin)) : NULL;
    return (from.ip == NULL || out->ip != NULL) && (from.origin == NULL || out->origin != NULL);
}

static enum inst_status answer_id_token(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    struct inst_later *later;
    struct inst_provider_client client;
    const char *name;
    enum inst_status st;
    if ((st = inst_auth_body(server, request, '-', '_', &body, err)) != INST_OK ||
        (st = check_token_param(&body, err)) != INST_OK ||
        (st = inst_auth_app(server, &body, "app_id", &app, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "client_name", &server->scratch, &name, err)) != INST_OK ||
        (st = inst_provider_client_named(app, name, &client, err)) != INST_OK ||
        (st = inst_auth_check_origin(app, request, err)) != INST_OK ||
        (st = inst_later_new(server, sign_in_step, sizeof(struct sign_in), &later, err)) != INST_OK)
        return st;
    struct sign_in *state = later->state;
    memcpy(state->app, app->info.id, sizeof state->app);
    if (!inst_value_dup(&later->arena, &body, &state->body) ||
        !keep_caller(&later->arena, inst_http_caller(request), &state->from)) {
        inst_later_cancel(later);
        return inst_err_nomem(err);
    }
    return inst_later_run(later, response, err);
}

const struct inst_http_route inst_http_id_token_routes[] = {
    {"POST", "/runtime/oauth/id_token", answer_id_token},
    {NULL, NULL, NULL},
};
