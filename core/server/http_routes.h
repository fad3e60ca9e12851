/*
 * http_routes.h - how the engine's HTTP routes are written.
 *
 *     http.c ── the list of tables ──> inst_http_dash_routes, ... one table per http_<area>.c
 *         request -> first route whose method and path fit -> fn -> response
 *                                                             └ not INST_OK: error envelope
 *
 * A route lives on server->scratch, which is reset behind it, and answers in the same call, unless
 * it must ask another server first (later.h): one that transacts commits its app's group at once
 * (inst_app_commit). Parameters are read in the
 * order and with the errors of the original (http.md 1.2, 1.3).
 */
#ifndef INST_SERVER_HTTP_ROUTES_H
#define INST_SERVER_HTTP_ROUTES_H

#include "base/arena.h"
#include "base/value.h"
#include "server/engine.h"
#include "server/http.h"

#include <stdbool.h>

/* Puts JSON into response->body (nothing there: `{}`), response->status is 200 unless it says
 * otherwise. Not INST_OK: what it wrote is thrown away and err goes out as the error envelope, with
 * the status that its type has over HTTP. */
typedef enum inst_status inst_http_fn(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err);

struct inst_http_route {
    const char *method;
    /* "/dash/apps/:app_id": a segment with ':' takes any one that is not empty; "/a*rest": whatever
     * stands behind "/a", "" or with its slash. */
    const char *path;
    inst_http_fn *fn;
};

/* Ends with a route whose method is NULL. */
extern const struct inst_http_route inst_http_dash_routes[];
extern const struct inst_http_route inst_http_admin_routes[];
extern const struct inst_http_route inst_http_apps_routes[];
extern const struct inst_http_route inst_http_cli_login_routes[];
extern const struct inst_http_route inst_http_schema_routes[];
extern const struct inst_http_route inst_http_debug_routes[];
extern const struct inst_http_route inst_http_admin_sse_routes[];
extern const struct inst_http_route inst_http_admin_rooms_routes[];
extern const struct inst_http_route inst_http_perms_routes[];
extern const struct inst_http_route inst_http_status_routes[];
extern const struct inst_http_route inst_http_sse_routes[];
extern const struct inst_http_route inst_http_storage_routes[];
extern const struct inst_http_route inst_http_upload_routes[];
extern const struct inst_http_route inst_http_auth_routes[];
extern const struct inst_http_route inst_http_admin_users_routes[];
extern const struct inst_http_route inst_http_oauth_routes[];
extern const struct inst_http_route inst_http_oauth_start_routes[];
extern const struct inst_http_route inst_http_oauth_callback_routes[];
extern const struct inst_http_route inst_http_id_token_routes[];
extern const struct inst_http_route inst_http_dash_auth_routes[];
extern const struct inst_http_route inst_http_dash_mail_routes[];
extern const struct inst_http_route inst_http_jobs_routes[];
extern const struct inst_http_route inst_http_functions_routes[];
extern const struct inst_http_route inst_http_framework_routes[];
extern const struct inst_http_route inst_http_data_routes[];
extern const struct inst_http_route inst_http_hosted_routes[];
extern const struct inst_http_route inst_http_changes_routes[];
extern const struct inst_http_route inst_http_backups_routes[];
extern const struct inst_http_route inst_http_webhooks_routes[];
extern const struct inst_http_route inst_http_platform_routes[];
extern const struct inst_http_route inst_http_oauth_apps_routes[];

/* A route whose body goes to the disk (http.h): asked when only the head is there. *out is
 * the caller's. */
typedef enum inst_status inst_http_upload_fn(struct inst_server *server,
                                             const struct inst_http_request *head,
                                             struct inst_upload **out, struct inst_err *err);
struct inst_http_upload_route {
    const char *method;
    const char *path;
    inst_http_upload_fn *fn;
};
extern const struct inst_http_upload_route inst_http_uploads[];
/* The content is there: makes the row and answers. */
enum inst_status inst_http_upload_done(struct inst_server *server, const struct inst_upload *upload,
                                       uint64_t size, struct inst_http_response *response,
                                       struct inst_err *err);

/* ---- what a request says ---- */

/* The first header field of that name (lower case); NULL: none. */
const char *inst_http_header(const struct inst_http_request *request, const char *name);
/* Where this server is reached, as its operator says, else as who asks does. */
void inst_http_origin(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_buf *out);
/* Where it comes from, borrowed. */
struct inst_caller inst_http_caller(const struct inst_http_request *request);
/* What stood in the place of `:name`; NULL: the route has no such segment. A slash that was
 * percent-encoded is still encoded. */
const char *inst_http_path_param(const struct inst_http_request *request, const char *name);
/* The first query parameter of that name, decoded (%xx, + is a space) on arena; *out is NULL when
 * there is none. err: `param-malformed` for a broken escape, a NUL or broken UTF-8. */
enum inst_status inst_http_param(const struct inst_http_request *request, const char *name,
                                 struct inst_arena *arena, const char **out, struct inst_err *err);
/* The body, which must be one JSON object. Lives on server->scratch. */
enum inst_status inst_http_body(struct inst_server *server, const struct inst_http_request *request,
                                struct inst_value *out, struct inst_err *err);
/* The same on an arena of the caller's, for routes that let sessions handle messages: that resets
 * server->scratch. */
enum inst_status inst_http_body_on(struct inst_arena *arena,
                                   const struct inst_http_request *request, struct inst_value *out,
                                   struct inst_err *err);
/* Members of the body by the rules of http.md 1.2. Absent or null: `param-missing`. */
enum inst_status inst_http_body_uuid(const struct inst_value *body, const char *name,
                                     char out[INST_UUID_TEXT + 1], struct inst_err *err);
/* A trimmed text that is not blank; numbers are taken as their text. */
enum inst_status inst_http_body_text(const struct inst_value *body, const char *name,
                                     struct inst_arena *arena, const char **out,
                                     struct inst_err *err);

/* ---- who asks ---- */

/* The app id, in lower case, of the header `app-id`, else of the query parameter `app_id`. */
enum inst_status inst_http_app_id(struct inst_server *server,
                                  const struct inst_http_request *request,
                                  char out[INST_UUID_TEXT + 1], struct inst_err *err);
/* What follows `Bearer ` (or the whole field without it), trimmed; NULL: no such field, or the
 * words `undefined` and `null` that clients without a token send (http.md 2). */
const char *inst_http_bearer(struct inst_server *server, const struct inst_http_request *request);
/* The open app that the request names, with everything before it committed, so that a route sees
 * and shows durable data only. */
enum inst_status inst_http_app(struct inst_server *server, const struct inst_http_request *request,
                               struct inst_app **out, struct inst_err *err);
/* The same for somebody who has shown the app's admin token, or an operator's (operators.h). err:
 * `param-missing`, `param-malformed` of ["headers" "authorization"], `record-not-found`
 * app-admin-token. */
enum inst_status inst_http_admin_app(struct inst_server *server,
                                     const struct inst_http_request *request, struct inst_app **out,
                                     struct inst_err *err);
/* The same for an app that the path names. */
enum inst_status inst_http_admin_app_of(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        const char id[INST_UUID_TEXT + 1], struct inst_app **out,
                                        struct inst_err *err);

/* The same for the app of the path's `:app_id`, as a dashboard names it. */
enum inst_status inst_http_path_app(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_app **out,
                                    struct inst_err *err);

/* Whom the request acts for (session.md 7.1): the first of `as-token`, `as-email` (with the admin
 * token) and `as-guest`, else the admin. Rules apply to all but the admin. */
enum inst_status inst_http_viewer(struct inst_server *server,
                                  const struct inst_http_request *request, struct inst_app **app,
                                  struct inst_viewer *viewer, struct inst_err *err);

/* The user of the bearer token; nobody when there is none, or none that is known (http.md 2, 5.1).
 */
enum inst_status inst_http_bearer_user(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_app *app, struct inst_viewer *viewer,
                                       struct inst_err *err);

/* ---- what a route answers ---- */

/* Turns the answer into the event stream of a new session, whose first event is `sse-init`; what
 * stands in response->body goes out in front of it. The session belongs to the connection from then
 * on: it may be entered into an app (inst_session_enter) and given messages (inst_session_receive)
 * before the route returns. When the route fails behind this it is closed. err: when there is no
 * connection that could carry it (a backend asked in its own process). */
enum inst_status inst_http_open_stream(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response,
                                       struct inst_session **out, struct inst_err *err);
/* The client's half of a stream: hands the `messages` of the body to the session that it names with
 * its token (session.md 1.6). */
enum inst_status inst_http_push(struct inst_server *server, const struct inst_http_request *request,
                                struct inst_err *err);
/* Turns the response into the error envelope. */
void inst_http_answer_error(struct inst_server *server, struct inst_http_response *response,
                            const struct inst_err *err);
/* One header line. A name or value that would break the head makes the response fail. */
void inst_http_add_header(struct inst_http_response *response, const char *name, const char *value);

#endif
