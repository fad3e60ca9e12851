#include "server/openid.h"

#include "base/digest.h"
#include "server/refusal.h"

#include <stdio.h>

static const char *const apple[] = {"https://account.apple.com", "https://appleid.apple.com"};

/* ---- documents ---- */

void inst_openid_read(const struct inst_value *document, struct inst_openid *out) {
    *out = (struct inst_openid){
        .issuer = inst_get_string(document, "issuer"),
        .jwks_uri = inst_get_string(document, "jwks_uri"),
        .algorithms = inst_getz(document, "id_token_signing_alg_values_supported"),
        .authorization_endpoint = inst_get_string(document, "authorization_endpoint"),
        .token_endpoint = inst_get_string(document, "token_endpoint"),
        .userinfo_endpoint = inst_get_string(document, "userinfo_endpoint")};
}

static bool is_apple(const struct inst_value *issuer) {
    return issuer != NULL && (inst_is_string(issuer, apple[0]) || inst_is_string(issuer, apple[1]));
}

bool inst_openid_is_apple(const struct inst_openid *openid) { return is_apple(openid->issuer); }

bool inst_openid_is_web(const struct inst_value *url) {
    for (size_t i = 0; i < url->len; i++)
        if ((unsigned char)url->u.str[i] <= ' ' || (unsigned char)url->u.str[i] >= 0x7f)
            return false;
    return (url->len > 8 && memcmp(url->u.str, "https://", 8) == 0) ||
           (url->len > 7 && memcmp(url->u.str, "http://", 7) == 0);
}

/* ---- signatures ---- */

enum inst_openid_key inst_openid_verify(const struct inst_jws *token,
                                        const struct inst_value *jwks) {
    const struct inst_value *keys = inst_getz(jwks, "keys");
    const struct inst_value *kid = inst_get_string(&token->header, "kid");
    enum inst_jws_alg alg = inst_jws_alg(token);
    bool has_key = false;
    if (keys == NULL || keys->tag != INST_ARRAY)
        return INST_OPENID_NO_KEY;
    for (uint32_t i = 0; i < keys->len && i < INST_OPENID_MAX_KEYS; i++) {
        const struct inst_value *key = &keys->u.items[i];
        const struct inst_value *id = inst_get_string(key, "kid");
        /* A token that does not say which key it was may be anyone's. */
        if (kid != NULL && (id == NULL || !inst_value_equal(id, kid)))
            continue;
        has_key = true;
        if (inst_jws_verify(token, alg, key))
            return INST_OPENID_SIGNED;
    }
    return has_key ? INST_OPENID_NOT_SIGNED : INST_OPENID_NO_KEY;
}

enum inst_status inst_openid_refuse(struct inst_err *err, const char *message) {
    return inst_refuse_validation(err, "id_token", NULL, NULL, "%s", message);
}

enum inst_status inst_openid_check_alg(const struct inst_jws *token, struct inst_err *err) {
    const struct inst_value *alg = inst_get_string(&token->header, "alg");
    if (inst_jws_alg(token) != INST_JWS_OTHER)
        return INST_OK;
    return inst_err_set(err, "oauth-error", 400, "Unsupported signing algorithm %.*s",
                        alg != NULL && alg->len < 20 ? (int)alg->len : 0,
                        alg != NULL ? alg->u.str : "");
}

/* ---- claims ---- */

static bool contains(const struct inst_value *list, const struct inst_value *text) {
    if (list == NULL)
        return false;
    if (list->tag == INST_STRING)
        return inst_value_equal(list, text);
    for (uint32_t i = 0; list->tag == INST_ARRAY && i < list->len; i++)
        if (inst_value_equal(&list->u.items[i], text))
            return true;
    return false;
}

static bool is_of_issuer(const struct inst_value *claims, const struct inst_openid *openid) {
    const struct inst_value *iss = inst_get_string(claims, "iss");
    return iss != NULL && openid->issuer != NULL &&
           (inst_value_equal(iss, openid->issuer) || (is_apple(iss) && is_apple(openid->issuer)) ||
            (inst_is_string(openid->issuer, "https://accounts.google.com") &&
             inst_is_string(iss, "accounts.google.com"))); /* as Google's own rules have it */
}

/* The original never compares, by a slip (http.md 4.6): anybody's token of that provider would do.
 */
static bool is_for_client(const struct inst_value *claims,
                          const struct inst_provider_client *client) {
    const struct inst_value *azp = inst_get_string(claims, "azp");
    if (client->client_id.tag != INST_STRING)
        return true;
    return contains(inst_getz(claims, "aud"), &client->client_id) ||
           (azp != NULL && inst_value_equal(azp, &client->client_id));
}

enum inst_status inst_openid_check_claims(const struct inst_value *claims,
                                          const struct inst_openid *openid,
                                          const struct inst_provider_client *client, int64_t now_ms,
                                          struct inst_err *err) {
    const struct inst_value *exp = inst_getz(claims, "exp"), *nbf = inst_getz(claims, "nbf");
    const struct inst_value *sub = inst_get_string(claims, "sub");
    char text[512];
    if (exp == NULL || exp->tag != INST_NUMBER || !(exp->u.num * 1000 > (double)now_ms))
        return inst_err_set(err, "oauth-error", 400, "Error validating JWT. Token is expired.");
    if (nbf != NULL &&
        (nbf->tag != INST_NUMBER || !(nbf->u.num * 1000 <= (double)(now_ms + INST_OPENID_SKEW_MS))))
        return inst_err_set(err, "oauth-error", 400,
                            "Error validating JWT. Token can't be used yet.");
    if (!is_of_issuer(claims, openid)) {
        const struct inst_value *issuer = openid->issuer;
        snprintf(text, sizeof text, "The id_token wasn't issued by %.*s.",
                 issuer != NULL && issuer->len < 256 ? (int)issuer->len : 0,
                 issuer != NULL ? issuer->u.str : "");
        return inst_openid_refuse(err, text);
    }
    if (!is_for_client(claims, client))
        return inst_openid_refuse(err, "The id_token was generated for the wrong OAuth client.");
    if (sub == NULL || sub->len == 0)
        return inst_openid_refuse(err, "The id_token had no subject.");
    return INST_OK;
}

static bool is_there(const struct inst_value *v) {
    return v != NULL && v->tag == INST_STRING && v->len > 0;
}

/* Google's own libraries do not let everybody set one. */
enum inst_status inst_openid_check_nonce(const struct inst_value *claims,
                                         const struct inst_openid *openid,
                                         const struct inst_value *nonce, struct inst_err *err) {
    const struct inst_value *said = inst_get_string(claims, "nonce");
    char hash[INST_SHA256_HEX + 1];
    if (openid->issuer != NULL && inst_is_string(openid->issuer, "https://accounts.google.com"))
        return INST_OK;
    if (!is_there(said) && !is_there(nonce))
        return INST_OK;
    if (!is_there(said))
        return inst_openid_refuse(err, "The id_token is missing a nonce.");
    if (!is_there(nonce))
        return inst_openid_refuse(err, "The nonce parameter was not provided in the request.");
    inst_sha256_hex(nonce->u.str, nonce->len, hash);
    return inst_value_equal(said, nonce) || inst_is_string(said, hash)
               ? INST_OK
               : inst_openid_refuse(err, "The nonces do not match.");
}

void inst_openid_identify(const struct inst_value *claims, uint32_t provider, bool takes_any_email,
                          struct inst_oauth_identity *out) {
    const struct inst_value *verified = inst_getz(claims, "email_verified");
    const struct inst_value *email = inst_get_string(claims, "email");
    const struct inst_value *sub = inst_get_string(claims, "sub");
    const struct inst_value *image = inst_get_string(claims, "picture");
    bool is_verified = verified != NULL && (verified->tag == INST_TRUE ||
                                            inst_is_string(verified, "true")); /* Apple's */
    *out = (struct inst_oauth_identity){.provider = provider};
    if (is_there(sub))
        out->sub = *sub;
    if (is_there(email) && (is_verified || takes_any_email))
        out->email = *email;
    if (is_there(image))
        out->image_url = *image;
}
