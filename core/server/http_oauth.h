/*
 * http_oauth.h - what the routes of the redirect flow share. Only for http_oauth*.c.
 */
#ifndef INST_SERVER_HTTP_OAUTH_H
#define INST_SERVER_HTTP_OAUTH_H

#include "server/http_auth.h"

/* Parameters by these names, of a JSON body, of a form, else of the query, as an object; texts on
 * server->scratch. */
enum inst_status inst_oauth_params(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   const char *const *names, size_t count, struct inst_value *out,
                                   struct inst_err *err);
/* The app of the path, else of `app_id` in params; everything before is committed. */
enum inst_status inst_oauth_app(struct inst_server *server, const struct inst_http_request *request,
                                const struct inst_value *params, struct inst_app **out,
                                struct inst_err *err);
/* Sends the browser on. The address's bytes are checked. */
void inst_oauth_send_to(struct inst_http_response *response, const struct inst_buf *url);

#endif
