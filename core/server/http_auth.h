/*
 * http_auth.h - what the sign-in routes of users and of admins share. Only for http_*auth*.c and
 * http_admin_users.c.
 */
#ifndef INST_SERVER_HTTP_AUTH_H
#define INST_SERVER_HTTP_AUTH_H

#include "server/http_routes.h"
#include "server/users.h"

/* The body; `from` in its keys is `to` then: bodies have hyphens in some routes and underscores in
 * others, and both are taken everywhere (http.md 17). */
enum inst_status inst_auth_body(struct inst_server *server, const struct inst_http_request *request,
                                char from, char to, struct inst_value *out, struct inst_err *err);
/* The app that a member of the body names, with everything before it committed. */
enum inst_status inst_auth_app(struct inst_server *server, const struct inst_value *body,
                               const char *name, struct inst_app **out, struct inst_err *err);
/* A page that asks must be one of the app's (origins.h). Programs send no Origin. */
enum inst_status inst_auth_check_origin(struct inst_app *app,
                                        const struct inst_http_request *request,
                                        struct inst_err *err);
/* Its e-mail address. Absent: `param-missing`; or, when it may be, out is "". */
enum inst_status inst_auth_email(const struct inst_value *body, bool is_optional,
                                 char out[INST_USERS_MAX_EMAIL + 1], struct inst_err *err);
/* Its magic code, trimmed. Errors do not echo it. */
enum inst_status inst_auth_code(const struct inst_value *body, struct inst_value *out,
                                struct inst_err *err);
/* A secret uuid of that name, not echoed; *has says whether it is there. */
enum inst_status inst_auth_token(const struct inst_value *body, const char *name, bool *has,
                                 struct inst_uuid *out, struct inst_err *err);
/* An object of extra fields, or NULL. */
enum inst_status inst_auth_extra(const struct inst_value *body, const char *name,
                                 const struct inst_value **out, struct inst_err *err);
/* Who is upgraded: the guest of the token of that name; *guest is 0 for none, and for a user of any
 * other type (http.md 4.3). An unknown token is `record-not-found`. */
enum inst_status inst_auth_guest(struct inst_app *app, const struct inst_value *body,
                                 const char *name, uint32_t *guest, struct inst_err *err);

/* The rest of a sign-in of the user of this id: a new token (given to whom asks, who wipes it), the
 * commit, and `{"user":{..., "refresh_token"}`, behind which the answer goes on. */
enum inst_status inst_auth_answer(struct inst_app *app, const char *id, struct inst_uuid *token,
                                  struct inst_buf *body, struct inst_err *err);
/* The same with the token that the user has already. */
enum inst_status inst_auth_answer_kept(struct inst_app *app, const char *id,
                                       const struct inst_uuid *token, struct inst_buf *body,
                                       struct inst_err *err);
/* `,"created":...}` */
void inst_auth_created(struct inst_buf *body, bool is_created);

#endif
