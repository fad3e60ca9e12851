/*
 * later.h - routes whose answer waits for another server.
 *
 *     route ─ inst_later_new ─ fills state ─ inst_later_run ─> step ─┬─ answers: done at once
 *                                                                    └─ inst_later_fetch, or
 *                                                                       a document to come
 *     response->later is set: the host keeps the connection and waits (http.h)
 *     ... the other server's answer ──> step again ──> ... ──> the host's function gets the answer
 *
 * A step is a route's function in pieces: it has server->scratch to itself, which is reset behind
 * it, and must find again whatever may have changed while it waited: apps are closed, rows deleted,
 * users signed out. What it carries on is in `state` and on `arena`. The client may have gone; the
 * steps run to their end all the same.
 */
#ifndef INST_SERVER_LATER_H
#define INST_SERVER_LATER_H

#include "server/http_routes.h"
#include "server/outgoing.h"

/* Of one server, at a time; more are refused. */
#define INST_LATER_MAX 1000
/* Answers that one route waits for: a step that asks again and again has an error. */
#define INST_LATER_MAX_WAITS 8

struct inst_document;
struct inst_later;

/* As a route: fills the response, or fails; or has asked for something, and is called again. */
typedef enum inst_status inst_later_step(struct inst_later *later,
                                         struct inst_http_response *response, struct inst_err *err);

struct inst_later {
    struct inst_server *server;
    void *state;             /* of the size that was asked for, zeroed; wiped at the end */
    struct inst_arena arena; /* lives as long as this */
    /* What came, borrowed for the one step behind inst_later_fetch. One of them is NULL. */
    const struct inst_outgoing_response *came;
    const struct inst_err *failed;

    /* ---- later.c's and documents.c's own ---- */
    size_t state_size;
    inst_later_step *step;
    bool is_waiting;
    unsigned waits;
    const struct inst_document *missing; /* it waited for this one, which did not come */
    inst_http_answered_fn *answered;     /* NULL: nobody waits (any more) */
    void *answered_ctx;
    struct inst_later *next, *previous; /* of the server */
    struct inst_later *next_waiter;     /* of a document */
};

/* err: `rate-limited` when too many wait. */
enum inst_status inst_later_new(struct inst_server *server, inst_later_step *first,
                                size_t state_size, struct inst_later **out, struct inst_err *err);
/* The first step; what a route returns. later is gone behind it, unless response->later says so. */
enum inst_status inst_later_run(struct inst_later *later, struct inst_http_response *response,
                                struct inst_err *err);
/* Instead, when the route fails before its first step. */
void inst_later_cancel(struct inst_later *later);
/* From a step, which then returns INST_OK: `then` is called when the answer is here. */
enum inst_status inst_later_fetch(struct inst_later *later,
                                  const struct inst_outgoing_request *request,
                                  inst_later_step *then, struct inst_err *err);

/* Counts a wait. For documents.c. */
enum inst_status inst_later_wait(struct inst_later *later, struct inst_err *err);
void inst_later_resume(struct inst_later *later);
/* All of a server, which is being freed: nobody is answered. */
void inst_laters_free(struct inst_server *server);

/* ---- documents.c ---- */

/*
 * JSON documents of other servers: what they say of themselves, their keys. Kept in memory as long
 * as their servers allow, within bounds; asked for once, however many wait for one; and when a
 * server cannot be reached, what it said last counts for a day longer.
 */
#define INST_DOCUMENTS_MAX 64
#define INST_DOCUMENT_FRESH_MS (60ll * 60 * 1000) /* when the server says nothing of it */
#define INST_DOCUMENT_MIN_FRESH_MS (60ll * 1000)
#define INST_DOCUMENT_MAX_FRESH_MS (24ll * 60 * 60 * 1000)
#define INST_DOCUMENT_STALE_MS (24ll * 60 * 60 * 1000)
/* How often one that lacks something is asked for again before its time. */
#define INST_DOCUMENT_REFRESHES 5
#define INST_DOCUMENT_REFRESH_WINDOW_MS (60ll * 1000)

/* The object at url, good until the step returns; *out NULL: it is on its way, the step (the same)
 * runs again. err: type "oauth-error" with `failure`, when it cannot be had. */
enum inst_status inst_document_get(struct inst_later *later, const char *url, const char *failure,
                                   const struct inst_value **out, struct inst_err *err);
/* It lacks what was looked for, and may have changed: the next inst_document_get asks the server
 * again. false: that was done too often just now. */
bool inst_document_refresh(struct inst_later *later, const char *url);
void inst_documents_free(struct inst_server *server);

#endif
