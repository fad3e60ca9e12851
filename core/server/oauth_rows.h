/*
 * oauth_rows.h - what is kept of a sign-in that is on its way (http.md 4.5, 16).
 *
 *     start ── $oauthRedirects: who began (cookie), where it goes back to ── 10 minutes, once
 *     callback ── $oauthCodes: whose account it is ── 5 minutes, once (oauth.h)
 *
 * State, cookie and code are random uuids, kept as hashes. Those that are too old are cleared away
 * at every new one: anybody may begin a sign-in.
 */
#ifndef INST_SERVER_OAUTH_ROWS_H
#define INST_SERVER_OAUTH_ROWS_H

#include "server/oauth.h"

#define INST_OAUTH_REDIRECT_MS (10ll * 60 * 1000)

/* Values on server->scratch. */
struct inst_oauth_redirect {
    const char *client;             /* id of $oauthClients */
    struct inst_value redirect_url; /* the app's own, with its state */
    struct inst_value redirect_to;  /* what the provider was told */
    struct inst_value challenge, method;
};

/* Writes the row in the app's group; the caller commits. */
enum inst_status inst_oauth_redirect_add(struct inst_app *app, const struct inst_uuid *state,
                                         const struct inst_uuid *cookie,
                                         const struct inst_oauth_redirect *redirect,
                                         struct inst_err *err);
/* Uses up the row of this state, also when this fails. client gets the id's room. err:
 * "oauth-error" as the original says it. */
enum inst_status inst_oauth_redirect_consume(struct inst_app *app, const struct inst_uuid *state,
                                             const struct inst_uuid *cookie,
                                             struct inst_oauth_redirect *out,
                                             char client[INST_UUID_TEXT + 1], struct inst_err *err);
/* A code for this account; the caller commits. */
enum inst_status inst_oauth_code_add(struct inst_app *app, const char *client,
                                     const struct inst_oauth_identity *identity,
                                     const struct inst_value *challenge,
                                     const struct inst_value *method, struct inst_uuid *code,
                                     struct inst_err *err);

#endif
