/*
 * operators.h - who runs this backend: the holders of an operator's token (http.md 2).
 *
 *     per_ + 64 hex digits    shown once, kept as a hash beside the apps
 *
 * An operator may do what an admin of any app may, and make, rename and remove apps: the original's
 * dashboard users and their personal access tokens in one. Roles, teams and billing are left out.
 */
#ifndef INST_SERVER_OPERATORS_H
#define INST_SERVER_OPERATORS_H

#include "server/engine.h"
#include "server/http_routes.h"

#define INST_OPERATOR_PREFIX "per_"
/* What stands where the original has a user's address. */
#define INST_OPERATOR_EMAIL "operator@localhost"
/* The one user that all operators are to the clients of the original. */
#define INST_OPERATOR_ID "00000000-0000-4000-8000-000000000001"

/* Makes a token that is called name. *who says what is kept of it. */
enum inst_status inst_operator_add(struct inst_server *server, const char *name,
                                   struct inst_operator_token *who,
                                   char token[INST_OPERATOR_TOKEN + 1], struct inst_err *err);
/* Does this text look like an operator's token, so that no app's admin token is looked for? */
bool inst_operator_is_token(const char *text);

/* Is it an operator's token? NULL is none. err: `record-not-found` instant-user, 401. */
enum inst_status inst_operator_check(struct inst_server *server, const char *token,
                                     struct inst_err *err);
/* The bearer is an operator. err: `param-missing` of ["headers" "authorization"];
 * `record-not-found` instant-user, 401. */
enum inst_status inst_http_operator(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_err *err);

/* ---- http_cli_login.c ---- */
/* The page on which an operator lets a command line in. */
enum inst_status inst_http_login_page(struct inst_server *server, const char *ticket,
                                      struct inst_http_response *response, struct inst_err *err);

#endif
