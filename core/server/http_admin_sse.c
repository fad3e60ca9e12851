/* Event streams of the admin API (session.md 7.2, 7.3): one live query, or a whole session whose
 * messages are pushed. Both are entered already when they open: `init` is an error in them. */
#include "base/json.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* How long clients wait before they come again, ms. */
#define RETRY "retry: 500\n\n"

static bool is_false(const struct inst_value *v) {
    return v == NULL || inst_is_nullish(v) || v->tag == INST_FALSE;
}

static enum inst_status open_stream(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    const struct inst_value *body,
                                    struct inst_http_response *response,
                                    struct inst_session **session, struct inst_err *err) {
    struct inst_viewer viewer;
    struct inst_app *app;
    enum inst_status st = inst_http_viewer(server, request, &app, &viewer, err);
    if (st == INST_OK)
        st = inst_http_open_stream(server, request, response, session, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, RETRY);
    (*session)->infers = !is_false(inst_getz(body, "inference?"));
    inst_session_enter(*session, app, &viewer);
    return INST_OK;
}

static enum inst_status answer_sse(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_session *session;
    struct inst_value body;
    enum inst_status st = inst_http_body(server, request, &body, err);
    return st != INST_OK ? st : open_stream(server, request, &body, response, &session, err);
}

/* As if it came from the client; what is wrong with it goes out as an event. */
static enum inst_status add_query(struct inst_session *session, const struct inst_value *query,
                                  struct inst_err *err) {
    struct inst_buf message;
    char id[INST_UUID_TEXT + 1];
    inst_uuid_make_text(session->server->env, id);
    inst_buf_init(&message);
    inst_buf_addf(&message, "{\"op\":\"add-query\",\"client-event-id\":\"%s\",\"q\":", id);
    inst_json_write(&message, query);
    inst_buf_add_str(&message, ",\"return-type\":\"tree\"}");
    bool is_lost = message.failed;
    if (!is_lost)
        inst_session_receive(session, message.data, message.len);
    inst_buf_free(&message);
    return is_lost ? inst_err_nomem(err) : INST_OK;
}

static enum inst_status answer_subscribe(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    static const char *const path[] = {"body", "query"};
    struct inst_session *session;
    struct inst_value body;
    enum inst_status st = inst_http_body(server, request, &body, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *query = inst_getz(&body, "query");
    if (is_false(query))
        return inst_refuse_missing(err, path, 2);
    if (query->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, query);
    st = open_stream(server, request, &body, response, &session, err);
    return st == INST_OK ? add_query(session, query, err) : st;
}

static enum inst_status answer_push(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    (void)response;
    return inst_http_push(server, request, err);
}

const struct inst_http_route inst_http_admin_sse_routes[] = {
    {"POST", "/admin/subscribe-query", answer_subscribe},
    {"POST", "/admin/sse", answer_sse},
    {"POST", "/admin/sse/push", answer_push},
    {NULL, NULL, NULL},
};
