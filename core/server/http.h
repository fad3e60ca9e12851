/*
 * http.h - the HTTP requests that the engine answers (http.md). The host parses HTTP; the engine
 * sees method, path, query and body, and gives a status and a JSON body.
 */
#ifndef INST_SERVER_HTTP_H
#define INST_SERVER_HTTP_H

#include "base/buf.h"
#include "server/server.h"

#include <stddef.h>

struct inst_http_request {
    const char *method; /* "GET", "POST" ... */
    const char *path;   /* without the query, percent-decoded */
    const char *query;  /* behind the '?', "" when none */
    const char *body;
    size_t body_len;
};

struct inst_http_response {
    int status;
    struct inst_buf body; /* JSON; the caller frees it */
};

/* Answers every request: unknown routes with 404 and the original's message. */
void inst_server_http(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_http_response *response);

#endif
