#include "server/later.h"

#include "base/digest.h"
#include "server/refusal.h"

#include <stdlib.h>

/* ---- life ---- */

enum inst_status inst_later_new(struct inst_server *server, inst_later_step *first,
                                size_t state_size, struct inst_later **out, struct inst_err *err) {
    if (server->later_count >= INST_LATER_MAX)
        return inst_err_set(err, "rate-limited", 429,
                            "Too many requests wait for other servers. Please try again later.");
    struct inst_later *later = calloc(1, sizeof *later + state_size);
    if (later == NULL)
        return inst_err_nomem(err);
    later->server = server;
    later->step = first;
    later->state = later + 1;
    later->state_size = state_size;
    inst_arena_init(&later->arena);
    later->next = server->laters;
    if (later->next != NULL)
        later->next->previous = later;
    server->laters = later;
    server->later_count++;
    *out = later;
    return INST_OK;
}

static void free_later(struct inst_later *later) {
    struct inst_server *server = later->server;
    if (later->previous != NULL)
        later->previous->next = later->next;
    else
        server->laters = later->next;
    if (later->next != NULL)
        later->next->previous = later->previous;
    server->later_count--;
    inst_wipe(later->state, later->state_size);
    inst_arena_free(&later->arena);
    free(later);
}

void inst_later_cancel(struct inst_later *later) { free_later(later); }

void inst_laters_free(struct inst_server *server) {
    while (server->laters != NULL)
        free_later(server->laters);
}

/* ---- steps ---- */

enum inst_status inst_later_run(struct inst_later *later, struct inst_http_response *response,
                                struct inst_err *err) {
    enum inst_status st = later->step(later, response, err);
    if (st == INST_OK && later->is_waiting)
        response->later = later;
    else
        free_later(later);
    return st;
}

void inst_later_resume(struct inst_later *later) {
    struct inst_server *server = later->server;
    struct inst_http_response response = {.status = 200};
    struct inst_err err = {0};
    later->is_waiting = false;
    enum inst_status st = later->step(later, &response, &err);
    bool goes_on = st == INST_OK && later->is_waiting;
    if (st != INST_OK)
        inst_http_answer_error(server, &response, &err);
    if (!goes_on && later->answered != NULL)
        later->answered(later->answered_ctx, &response);
    if (!goes_on)
        free_later(later);
    inst_http_response_clear(&response);
    inst_err_clear(&err);
    inst_arena_reset(&server->scratch);
}

enum inst_status inst_later_wait(struct inst_later *later, struct inst_err *err) {
    if (++later->waits > INST_LATER_MAX_WAITS)
        return inst_err_set(err, "oauth-error", 400, "The provider's servers lead nowhere.");
    later->is_waiting = true;
    return INST_OK;
}

/* ---- requests ---- */

static void on_came(void *ctx, const struct inst_outgoing_response *response,
                    const struct inst_err *err) {
    struct inst_later *later = ctx;
    later->came = response;
    later->failed = err;
    inst_later_resume(later);
}

enum inst_status inst_later_fetch(struct inst_later *later,
                                  const struct inst_outgoing_request *request,
                                  inst_later_step *then, struct inst_err *err) {
    const struct inst_server_host *host = &later->server->host;
    if (host->outgoing == NULL)
        return inst_err_set(err, "oauth-error", 400, "This backend asks no other servers.");
    enum inst_status st = inst_later_wait(later, err);
    if (st == INST_OK)
        st = host->outgoing->http(host->outgoing_ctx, request, on_came, later, err);
    if (st == INST_OK)
        later->step = then;
    else
        later->is_waiting = false;
    return st;
}

/* ---- what the host does with one (http.h) ---- */

void inst_http_later_wait(struct inst_later *later, inst_http_answered_fn *answered, void *ctx) {
    later->answered = answered;
    later->answered_ctx = ctx;
}

void inst_http_later_forget(struct inst_later *later) { later->answered = NULL; }
