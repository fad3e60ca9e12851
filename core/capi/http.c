/*
 * http.c - requests of a db to its backend's HTTP routes, over the network or in this process.
 */
#include "capi/capi.h"

#include "base/json.h"
#include "io/http_client.h"
#include "server/http.h"

#include <stdlib.h>

struct inst_capi_request {
    struct inst_capi_request *prev, *next; /* of the db */
    struct instant_db *db;
    struct inst_http_call *call;   /* NULL: in-process, or done */
    struct inst_later *later;      /* in-process: an answer that is waited for */
    struct inst_deferred answered; /* in-process: the answer is here, and told behind the call */
    int status;
    struct inst_buf body;
    inst_capi_answer_fn *fn;
    void *ctx;
};

static void free_request(struct inst_capi_request *request) {
    struct instant_db *db = request->db;
    if (request->prev)
        request->prev->next = request->next;
    else
        db->requests = request->next;
    if (request->next)
        request->next->prev = request->prev;
    inst_loop_undefer(db->loop->loop, &request->answered);
    if (request->call)
        inst_http_cancel(request->call);
    if (request->later)
        inst_http_later_forget(request->later);
    inst_loop_release(db->loop->loop);
    inst_buf_free(&request->body);
    free(request);
}

/* Gone before its function is called: that may end the db. */
static void tell(struct inst_capi_request *request, const struct inst_value *answer,
                 const struct inst_err *err) {
    inst_capi_answer_fn *fn = request->fn;
    void *ctx = request->ctx;
    struct inst_reactor_error error = {.err = err};
    free_request(request);
    if (fn)
        fn(ctx, answer, err ? &error : NULL);
}

void inst_capi_end_requests(struct instant_db *db, bool is_quiet) {
    struct inst_err err = {0};
    inst_err_set(&err, "shutdown", 0, "The client was shut down.");
    while (db->requests) {
        if (is_quiet)
            free_request(db->requests);
        else
            tell(db->requests, NULL, &err);
    }
    inst_err_clear(&err);
}

/* ---- answers ---- */

/* The backend's error (http.md 1.3) from the JSON of an answer that is no 200. Its type's text is
 * the caller's arena's. */
static void refuse(struct inst_arena *arena, int status, const struct inst_value *body,
                   struct inst_err *err) {
    const struct inst_value *message = inst_get_string(body, "message");
    const struct inst_value *type = inst_get_string(body, "type");
    const struct inst_value *hint = inst_getz(body, "hint");
    message = message ? message : inst_get_string(body, "error");
    if (message)
        inst_err_set(err, "unknown", status, "%.*s", (int)message->len, message->u.str);
    else
        inst_err_set(err, "unknown", status, "The backend answered with status %d.", status);
    const char *name = type ? inst_arena_dup(arena, type->u.str, type->len) : NULL;
    err->type = name ? name : err->type;
    if (hint && hint->tag == INST_OBJECT) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_json_write(&text, hint);
        if (!text.failed)
            inst_err_hint(err, text.data);
        inst_buf_free(&text);
    }
}

static void read_answer(struct inst_capi_request *request, int status, const char *body,
                        size_t len) {
    struct inst_arena arena;
    struct inst_value json = inst_undefined();
    struct inst_err err = {0};
    inst_arena_init(&arena);
    enum inst_status parsed = inst_json_parse(&arena, body, len, &json, &err);
    if (status != 200) {
        inst_err_clear(&err);
        refuse(&arena, status, &json, &err);
        parsed = INST_FAILED;
    }
    tell(request, parsed == INST_OK ? &json : NULL, parsed == INST_OK ? NULL : &err);
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

/* ---- over the network ---- */

static void on_done(void *ctx, const struct inst_http_result *result, const struct inst_err *err) {
    struct inst_capi_request *request = ctx;
    request->call = NULL;
    if (err)
        tell(request, NULL, err);
    else
        read_answer(request, result->status, result->body, result->body_len);
}

static enum inst_status send_out(struct inst_capi_request *request, const char *route,
                                 const struct inst_buf *body, struct inst_err *err) {
    static const struct inst_http_field fields[] = {{"content-type", "application/json"}};
    struct instant_db *db = request->db;
    struct inst_http_client *http = inst_loop_http(db->loop->loop, err);
    struct inst_buf url;
    if (!http)
        return INST_FAILED;
    inst_buf_init(&url);
    inst_buf_addf(&url, "%s%s", db->api_uri, route);
    struct inst_http_options options = {.method = "POST",
                                        .url = url.data,
                                        .fields = fields,
                                        .field_count = 1,
                                        .body = body->data,
                                        .body_len = body->len,
                                        .ca_file = db->ca_file,
                                        .ctx = request,
                                        .done = on_done};
    enum inst_status status =
        url.failed ? inst_err_nomem(err) : inst_http_start(http, &options, &request->call, err);
    inst_buf_free(&url);
    return status;
}

/* ---- in this process ---- */

static void on_answered(void *ctx) {
    struct inst_capi_request *request = ctx;
    struct inst_buf body = request->body; /* outlives the request */
    inst_buf_init(&request->body);
    read_answer(request, request->status, body.data ? body.data : "", body.len);
    inst_buf_free(&body);
}

static enum inst_status take(struct inst_capi_request *request, struct inst_http_response *response,
                             struct inst_err *err) {
    bool failed = response->body.failed || response->headers.failed;
    request->status = response->status;
    request->body = response->body;
    inst_buf_init(&response->body);
    inst_http_response_clear(response);
    if (failed)
        return inst_err_nomem(err);
    inst_loop_defer(request->db->loop->loop, &request->answered);
    return INST_OK;
}

static void on_later(void *ctx, struct inst_http_response *response) {
    struct inst_capi_request *request = ctx;
    request->later = NULL;
    if (take(request, response, NULL) == INST_OK)
        return;
    request->status = 500; /* without a body, which says enough */
    inst_buf_free(&request->body);
    inst_loop_defer(request->db->loop->loop, &request->answered);
}

static enum inst_status ask_inside(struct inst_capi_request *request, const char *route,
                                   const struct inst_buf *body, struct inst_err *err) {
    static const struct inst_http_field fields[] = {{"content-type", "application/json"}};
    struct instant_db *db = request->db;
    struct inst_http_request ask = {.method = "POST",
                                    .path = route,
                                    .query = "",
                                    .body = body->data,
                                    .body_len = body->len,
                                    .fields = fields,
                                    .field_count = 1};
    struct inst_http_response response = {0};
    inst_server_http(inst_backend_server(db->backend->backend), &ask, &response);
    if (!response.later)
        return take(request, &response, err);
    request->later = response.later;
    inst_http_later_wait(request->later, on_later, request);
    return INST_OK;
}

/* ---- asking ---- */

enum inst_status inst_capi_post(struct instant_db *db, const char *route,
                                const struct inst_value *body, inst_capi_answer_fn *fn, void *ctx,
                                struct inst_err *err) {
    struct inst_capi_request *request = calloc(1, sizeof *request);
    struct inst_buf text;
    if (!request)
        return inst_err_nomem(err);
    inst_buf_init(&text);
    inst_buf_init(&request->body);
    request->db = db;
    request->answered = (struct inst_deferred){.fn = on_answered, .ctx = request};
    request->next = db->requests;
    if (request->next)
        request->next->prev = request;
    db->requests = request;
    inst_loop_hold(db->loop->loop);
    inst_json_write(&text, body);
    enum inst_status status = text.failed   ? inst_err_nomem(err)
                              : db->backend ? ask_inside(request, route, &text, err)
                                            : send_out(request, route, &text, err);
    inst_buf_free(&text);
    if (status != INST_OK) {
        free_request(request);
        return status;
    }
    request->fn = fn;
    request->ctx = ctx;
    return INST_OK;
}
