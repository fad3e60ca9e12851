/*
 * providers.h - an app's sign-in providers and its clients of them (http.md 9.1).
 *
 *     $oauthProviders <─ $oauthProvider ─ $oauthClients: name, clientId, encryptedClientSecret,
 *                                         discoveryEndpoint, meta, redirectTo
 *
 * A client's secret is sealed (base/seal.h) with a key that comes from the host's file key and
 * vouches for the app and the client: it opens nowhere else, is never shown and never logged.
 */
#ifndef INST_SERVER_PROVIDERS_H
#define INST_SERVER_PROVIDERS_H

#include "server/engine.h"

#define INST_PROVIDER_MAX_TEXT 2048 /* names, ids, addresses; a secret has 8192 */
#define INST_PROVIDER_MAX_SECRET 8192
#define INST_PROVIDERS_MAX 1000 /* of one app, and clients as many */

/* Texts on server->scratch; UNDEFINED or null: none. */
struct inst_provider_client {
    uint32_t e;        /* $oauthClients */
    uint32_t provider; /* $oauthProviders */
    char id[INST_UUID_TEXT + 1];
    struct inst_value provider_name, name, client_id, sealed_secret, discovery, meta, redirect_to;
};

/* The client of that name, or of that id. err: `record-not-found` app-oauth-client. */
enum inst_status inst_provider_client_named(struct inst_app *app, const char *name,
                                            struct inst_provider_client *out, struct inst_err *err);
enum inst_status inst_provider_client_of(struct inst_app *app, const char *id,
                                         struct inst_provider_client *out, struct inst_err *err);
enum inst_status inst_provider_client_read(struct inst_app *app, uint32_t e,
                                           struct inst_provider_client *out, struct inst_err *err);
bool inst_provider_is_github(const struct inst_provider_client *client);
/* Its secret in clear, NUL behind it, for whoever wipes and frees it; NULL when it has none. err:
 * when it cannot be opened. */
enum inst_status inst_provider_secret(struct inst_app *app,
                                      const struct inst_provider_client *client, char **out,
                                      struct inst_err *err);
/* The sealed text of a secret of the client of this id, on server->scratch. */
enum inst_status inst_provider_seal(struct inst_app *app, const char *id,
                                    const struct inst_value *secret, struct inst_value *out,
                                    struct inst_err *err);

/* `{"id","provider_name","created_at"}` */
enum inst_status inst_provider_write(struct inst_app *app, uint32_t provider, struct inst_buf *out,
                                     struct inst_err *err);
/* The client as the CLI reads it; without the secret. */
enum inst_status inst_provider_client_write(struct inst_app *app,
                                            const struct inst_provider_client *client,
                                            struct inst_buf *out, struct inst_err *err);

#endif
