/*
 * platform.h - third parties that act for an operator (http.md 10): their clients, and the tokens
 * that these were granted.
 *
 *     record "oauth-app/<id>"    {"id","app_id","app_name","clients":[{"client_id","client_name",
 *                                 "authorized_redirect_urls":[],"secret":"<hash>"}]}
 *     record "oauth-token/<h>"   {"client","scopes","refresh":"<hash>"?,"created","expires"}
 *
 *     pat_ + 64 hex    acts, within its scopes, for two weeks
 *     prt_ + 64 hex    makes such ones, with the client's secret, until it is revoked
 *
 * h is the token's SHA-256: what is kept opens nothing. A token ends with its client.
 */
#ifndef INST_SERVER_PLATFORM_H
#define INST_SERVER_PLATFORM_H

#include "server/engine.h"
#include "server/http_routes.h"

#define INST_PLATFORM_ACCESS "pat_"
#define INST_PLATFORM_REFRESH "prt_"
#define INST_PLATFORM_TOKEN 68 /* without the NUL */
#define INST_PLATFORM_ACCESS_S (14 * 24 * 60 * 60)

enum inst_scope {
    INST_SCOPE_APPS_READ = 1,
    INST_SCOPE_APPS_WRITE = 2,
    INST_SCOPE_DATA_READ = 4,
    INST_SCOPE_DATA_WRITE = 8,
    INST_SCOPE_STORAGE_READ = 16,
    INST_SCOPE_STORAGE_WRITE = 32,
};
/* Names with spaces in between; 0: one is unknown, or there is none. */
unsigned inst_scopes_read(const char *text);
void inst_scopes_write(struct inst_buf *out, unsigned scopes);

/* ---- clients ---- */

/* The client's record on server->scratch; *app gets the one that it is part of. *out is NULL when
 * there is none. */
enum inst_status inst_platform_client(struct inst_server *server, const char *client_id,
                                      struct inst_value *app, const struct inst_value **out,
                                      struct inst_err *err);
/* Is this exactly one of its addresses? */
bool inst_platform_client_allows(const struct inst_value *client, const char *redirect_uri);
/* err: `record-not-found` oauth-app-client-secret. */
enum inst_status inst_platform_check_secret(const struct inst_value *client, const char *secret,
                                            struct inst_err *err);

/* ---- tokens ---- */

struct inst_platform_grant {
    char client[INST_UUID_TEXT + 1];
    unsigned scopes;
    int64_t expires_ms; /* 0: never */
};

/* Does this text look like such a token? */
bool inst_platform_is_token(const char *text);
/* A new access token, of the refresh token if that is not NULL. */
enum inst_status inst_platform_add_access(struct inst_server *server,
                                          const struct inst_platform_grant *grant,
                                          const char *refresh, char token[INST_PLATFORM_TOKEN + 1],
                                          struct inst_err *err);
enum inst_status inst_platform_add_refresh(struct inst_server *server,
                                           const struct inst_platform_grant *grant,
                                           char token[INST_PLATFORM_TOKEN + 1],
                                           struct inst_err *err);
/* What the token grants. err: `record-not-found` oauth-app-access-token or -refresh-token, 401;
 * `record-expired`. */
enum inst_status inst_platform_find(struct inst_server *server, const char *token,
                                    struct inst_platform_grant *out, struct inst_err *err);
/* Also what was made of it. One that is not there is revoked already. */
enum inst_status inst_platform_revoke(struct inst_server *server, const char *token,
                                      struct inst_err *err);
/* May the bearer of this access token ask this? err: also `permission-denied`. */
enum inst_status inst_platform_check(struct inst_server *server,
                                     const struct inst_http_request *request, const char *token,
                                     struct inst_err *err);

/* ---- http_platform.c ---- */
void inst_platform_asks_free(struct inst_server *server);

#endif
