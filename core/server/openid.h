/*
 * openid.h - what a provider says of itself and of people (http.md 4.5, 4.6).
 *
 *     discovery document: issuer, endpoints, jwks_uri, algorithms
 *     JWK set: the keys that its id_tokens are signed with
 *     id_token: who signed in, for which client, until when
 *
 * No I/O: documents come from later.h, and are another server's word. Of a token nothing is
 * believed before its signature is checked, except where it came from the provider itself.
 */
#ifndef INST_SERVER_OPENID_H
#define INST_SERVER_OPENID_H

#include "base/jws.h"
#include "server/oauth.h"
#include "server/providers.h"

/* Keys of one set that are looked at. */
#define INST_OPENID_MAX_KEYS 100
/* A token's `nbf` may be so much ahead of our clock. */
#define INST_OPENID_SKEW_MS (60ll * 1000)

/* Members of a discovery document; NULL: not there. */
struct inst_openid {
    const struct inst_value *issuer, *jwks_uri, *algorithms;
    const struct inst_value *authorization_endpoint, *token_endpoint, *userinfo_endpoint;
};
void inst_openid_read(const struct inst_value *document, struct inst_openid *out);
bool inst_openid_is_apple(const struct inst_openid *openid);
/* Is it an address that a browser may be sent to? */
bool inst_openid_is_web(const struct inst_value *url);

enum inst_openid_key { INST_OPENID_SIGNED, INST_OPENID_NOT_SIGNED, INST_OPENID_NO_KEY };
/* Is the token signed by a key of the set? NO_KEY: none has its `kid`. */
enum inst_openid_key inst_openid_verify(const struct inst_jws *token,
                                        const struct inst_value *jwks);
/* `validation-failed` id_token, in the original's words. The token is not echoed. */
enum inst_status inst_openid_refuse(struct inst_err *err, const char *message);
/* RS256 or ES256? */
enum inst_status inst_openid_check_alg(const struct inst_jws *token, struct inst_err *err);
/* Is it this issuer's, for this client, good now? */
enum inst_status inst_openid_check_claims(const struct inst_value *claims,
                                          const struct inst_openid *openid,
                                          const struct inst_provider_client *client, int64_t now_ms,
                                          struct inst_err *err);
/* nonce: that of the request; NULL or no text: none. */
enum inst_status inst_openid_check_nonce(const struct inst_value *claims,
                                         const struct inst_openid *openid,
                                         const struct inst_value *nonce, struct inst_err *err);
/* Whose account it is. An address that is not verified is nobody's, unless any is taken. */
void inst_openid_identify(const struct inst_value *claims, uint32_t provider, bool takes_any_email,
                          struct inst_oauth_identity *out);

#endif
