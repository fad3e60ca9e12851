/*
 * http.h - the HTTP requests that the engine answers (http.md), as the host sees them. The host
 * parses HTTP; the engine sees method, path, query, header fields and body, and gives a status,
 * header lines and a body. What routes see is in http_routes.h.
 */
#ifndef INST_SERVER_HTTP_H
#define INST_SERVER_HTTP_H

#include "base/buf.h"
#include "base/http_field.h"
#include "server/server.h"
#include "server/viewer.h"

#include <stddef.h>

/* `:name` segments of one route. */
#define INST_HTTP_MAX_PATH_PARAMS 4

/* Everything is borrowed for the call. */
struct inst_http_request {
    const char *method; /* "GET", "POST" ... */
    const char *path;   /* without the query, percent-decoded */
    const char *query;  /* behind the '?', "" when none */
    const char *body;
    size_t body_len;
    const struct inst_http_field *fields; /* header fields, in order; a name may come twice */
    size_t field_count;
    const char *ip; /* of the client; "" or NULL: not known */
    /* "http" or "https": how the client asked, as a trusted proxy says; NULL: none says so */
    const char *scheme;
    void *connection; /* as for inst_session_open, should the answer be an event stream; or NULL */
    /* Filled in by the engine from the route that matched. */
    struct inst_http_field path_params[INST_HTTP_MAX_PATH_PARAMS];
    size_t path_param_count;
};

#define INST_HTTP_TRACE 32

/* A content that the host sends as the body (files.h); with "" there is none. */
struct inst_http_file {
    char app[INST_UUID_TEXT + 1];
    char location[INST_UUID_TEXT + 1];
    char backup[INST_UUID_TEXT + 1]; /* "": of a file; else an object of that backup (backups.h) */
};

struct inst_later;

struct inst_http_response {
    int status;
    const char *content_type; /* static string; NULL: JSON */
    struct inst_buf headers;  /* further header lines, each "Name: value\r\n"; the caller frees */
    struct inst_buf body;     /* the caller frees it */
    /* Not NULL: behind the body the answer goes on for ever with what the engine sends to the
     * request's connection, each message as one event. The host ends it with inst_session_close. */
    struct inst_session *stream;
    struct inst_http_file file; /* instead of body; headers say its Content-Type */
    /* Not NULL: there is no answer yet, for the engine asks another server first (later.h). The
     * host waits for it with inst_http_later_wait. */
    struct inst_later *later;
    char trace[INST_HTTP_TRACE + 1]; /* of an error: its trace-id; else "" */
};

/*
 * Answers that come later.
 *
 *     inst_server_http ── response.later ── inst_http_later_wait ──> answered(ctx, response)
 *                                                └ inst_http_later_forget: nobody is there any more
 *
 * answered is called once, never from inside a call made here, and `later` is gone with it. The
 * engine is still on the stack then: the host takes what it needs (the buffers may be moved out of
 * the response, which has no stream and no file) and goes on from its loop. A server that is freed
 * answers nobody: hosts forget what they wait for before that.
 */
typedef void inst_http_answered_fn(void *ctx, struct inst_http_response *response);
void inst_http_later_wait(struct inst_later *later, inst_http_answered_fn *answered, void *ctx);
void inst_http_later_forget(struct inst_later *later);

/* Answers every request: unknown routes with 404 and the original's message. Out of memory: one of
 * the response's buffers has failed. */
void inst_server_http(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_http_response *response);
/*
 * Bodies that are not kept in memory: uploads of files.
 *
 *     head complete ── inst_upload_begin ──┬─ false: an ordinary request
 *                                          ├─ refused: response says why, nobody needs the body
 *                                          └─ *out: the host puts the body where it says, then
 *     body stored  ──── inst_upload_done ───> response
 */
struct inst_upload {
    char app[INST_UUID_TEXT + 1];
    char location[INST_UUID_TEXT + 1]; /* where the content belongs; new */
    struct inst_viewer who;
    char *path; /* with the following two in one block of memory */
    char *content_type;
    char *content_disposition; /* NULL: none */
};

/* The host frees *out with inst_upload_free. */
bool inst_upload_begin(struct inst_server *server, const struct inst_http_request *head,
                       struct inst_upload **out, struct inst_http_response *response);
/* The content is durable, or failed (not NULL) says why it could not be kept. */
void inst_upload_done(struct inst_server *server, const struct inst_upload *upload, uint64_t size,
                      const struct inst_err *failed, struct inst_http_response *response);
void inst_upload_free(struct inst_upload *upload); /* NULL is fine */

/* Does a `$files` row of the app name this location? -1: that cannot be told now. */
int inst_server_names_file(struct inst_server *server, const char *app_id, const char *location);

/* Frees the buffers. */
void inst_http_response_clear(struct inst_http_response *response);

#endif
