/*
 * oauth.h - codes that a provider's sign-in ends with, and whose account it is (http.md 4.5).
 *
 *     $oauthCodes ─ $oauthClient ─> $oauthClients ─ $oauthProvider ─> $oauthProviders
 *         │ userInfo {email, sub, imageURL}                               │
 *         └───────> $users <─ $user ─ $oauthUserLinks  (sub, provider) ───┘
 *
 * What writes, writes in the app's group, and is to be committed also when it fails: a code that is
 * too old, or whose verifier is wrong, is used up.
 */
#ifndef INST_SERVER_OAUTH_H
#define INST_SERVER_OAUTH_H

#include "server/users.h"

/* How long a code is good. */
#define INST_OAUTH_CODE_MS (5ll * 60 * 1000)
/* A code verifier, bytes: RFC 7636 allows 43 to 128, the original anything. */
#define INST_OAUTH_MAX_VERIFIER 1024u
/* One that is a hash, as text; padding counted. */
#define INST_OAUTH_MAX_CHALLENGE 128u

/* What a provider says of who signed in; values on server->scratch, UNDEFINED when it says nothing.
 */
struct inst_oauth_identity {
    uint32_t provider; /* $oauthProviders */
    struct inst_value email, sub, image_url;
};

/* Uses up the code of this uuid. verifier NULL: none was sent. err: `record-not-found`,
 * `record-expired` app-oauth-code, `validation-failed` of the verifier. */
enum inst_status inst_oauth_consume(struct inst_app *app, const struct inst_uuid *code,
                                    const struct inst_value *verifier,
                                    struct inst_oauth_identity *out, struct inst_err *err);
/* RFC 7636. challenge, method and verifier may be NULL or no strings: not given. */
enum inst_status inst_oauth_check_pkce(const struct inst_value *challenge,
                                       const struct inst_value *method,
                                       const struct inst_value *verifier, struct inst_err *err);
/* The user of the identity: found by e-mail or by the provider's account, else made; what the
 * provider says of it is kept. sign_in: guest, extra_fields in; user, is_created out. */
enum inst_status inst_oauth_enter(struct inst_app *app, const struct inst_oauth_identity *identity,
                                  struct inst_sign_in *sign_in, struct inst_err *err);

#endif
