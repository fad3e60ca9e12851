/* Sessions over server-sent events (session.md 1.6): GET carries what goes to the client, POST what
 * comes from it. */
#include "server/http_routes.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/refusal.h"

#include <stdio.h>
#include <stdlib.h>

struct inst_event_stream {
    uint8_t token_hash[INST_SHA256]; /* of the 16 bytes of sse-token; the token is not kept */
};

static struct inst_table_key key_of(const struct inst_uuid *id) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    return key;
}

static struct inst_table_key session_key(const struct inst_session *session) {
    struct inst_uuid id;
    inst_uuid_parse(session->id, INST_UUID_TEXT, &id);
    return key_of(&id);
}

/* ---- opening ---- */

static void send_init(struct inst_session *session, const struct inst_uuid *token) {
    struct inst_buf buf;
    char text[INST_UUID_TEXT + 1];
    inst_uuid_print(token, text);
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "sse-init");
    inst_buf_addf(&buf, ",\"machine-id\":\"%s\",\"session-id\":\"%s\",\"sse-token\":\"%s\"",
                  session->server->machine_id, session->id, text);
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
}

static enum inst_status make_stream(struct inst_session *session, struct inst_uuid *token,
                                    struct inst_err *err) {
    struct inst_event_stream *stream = malloc(sizeof *stream);
    if (stream == NULL)
        return inst_err_nomem(err);
    inst_uuid_make(session->server->env, token);
    inst_sha256(token->bytes, sizeof token->bytes, stream->token_hash);
    if (!inst_table_put(&session->server->streams, session_key(session), session)) {
        free(stream);
        return inst_err_nomem(err);
    }
    session->stream = stream;
    return INST_OK;
}

enum inst_status inst_http_open_stream(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response,
                                       struct inst_session **out, struct inst_err *err) {
    struct inst_session *session;
    struct inst_uuid token;
    const char *origin = inst_http_header(request, "origin");
    if (request->connection == NULL)
        return inst_err_set(err, "validation-failed", 400,
                            "An event stream needs a connection over the network.");
    enum inst_status st = inst_session_open(server, request->connection, &session, err);
    if (st != INST_OK)
        return st;
    if ((st = inst_session_set_caller(session, request->ip != NULL ? request->ip : "",
                                      origin != NULL ? origin : "", err)) != INST_OK ||
        (st = make_stream(session, &token, err)) != INST_OK) {
        inst_session_close(session);
        return st;
    }
    response->content_type = "text/event-stream";
    /* Not upstream's "nocache", which says nothing to anybody. */
    inst_http_add_header(response, "Cache-Control", "no-cache");
    inst_http_add_header(response, "X-Accel-Buffering", "no");
    response->stream = session;
    send_init(session, &token);
    *out = session;
    return INST_OK;
}

void inst_event_stream_close(struct inst_session *session) {
    if (session->stream == NULL)
        return;
    inst_table_remove(&session->server->streams, session_key(session));
    free(session->stream);
    session->stream = NULL;
}

/* ---- what comes from the client ---- */

static enum inst_status refuse_member(struct inst_err *err, const char *id) {
    char hint[80];
    inst_err_set(err, "member-missing", 400, "Member missing for machine id: %s", id);
    snprintf(hint, sizeof hint, "{\"machine-id\":\"%s\"}", id);
    inst_err_hint(err, hint);
    return INST_FAILED;
}

/* Whether there is no such session or the token is another is not told. */
static enum inst_status refuse_session(struct inst_err *err, const char *id) {
    char hint[100];
    inst_err_set(err, "session-missing", 400, "Session missing for id: %s", id);
    snprintf(hint, sizeof hint, "{\"sess-id\":{\"sess-id\":\"%s\"}}", id);
    inst_err_hint(err, hint);
    return INST_FAILED;
}

static enum inst_status read_app_id(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_err *err) {
    static const char *const path[] = {"params", "app_id"};
    struct inst_uuid uuid;
    const char *text;
    enum inst_status st = inst_http_param(request, "app_id", &server->scratch, &text, err);
    if (st != INST_OK)
        return st;
    if (text == NULL)
        return inst_refuse_missing(err, path, 2);
    struct inst_value input = inst_cstring(text);
    return inst_uuid_parse(text, input.len, &uuid) ? INST_OK
                                                   : inst_refuse_malformed(err, path, 2, &input);
}

static enum inst_status read_token(const struct inst_value *body, uint8_t hash[INST_SHA256],
                                   struct inst_err *err) {
    static const char *const path[] = {"body", "sse_token"};
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid token;
    enum inst_status st = inst_http_body_uuid(body, "sse_token", text, err);
    if (st != INST_OK) /* a secret is not echoed */
        return strcmp(err->type, "param-malformed") == 0 ? inst_refuse_malformed(err, path, 2, NULL)
                                                         : st;
    inst_uuid_parse(text, INST_UUID_TEXT, &token);
    inst_sha256(token.bytes, sizeof token.bytes, hash);
    return INST_OK;
}

static enum inst_status find_session(struct inst_server *server, const struct inst_value *body,
                                     struct inst_session **out, struct inst_err *err) {
    char machine[INST_UUID_TEXT + 1], id[INST_UUID_TEXT + 1];
    uint8_t hash[INST_SHA256];
    struct inst_uuid uuid;
    enum inst_status st;
    if ((st = inst_http_body_uuid(body, "machine_id", machine, err)) != INST_OK ||
        (st = inst_http_body_uuid(body, "session_id", id, err)) != INST_OK ||
        (st = read_token(body, hash, err)) != INST_OK)
        return st;
    if (strcmp(machine, server->machine_id) != 0)
        return refuse_member(err, machine);
    inst_uuid_parse(id, INST_UUID_TEXT, &uuid);
    struct inst_session *session = inst_table_get(&server->streams, key_of(&uuid));
    if (session == NULL || !inst_secret_equal(session->stream->token_hash, hash, sizeof hash))
        return refuse_session(err, id);
    *out = session;
    return INST_OK;
}

/* Each message as it would have come over a WebSocket. */
static enum inst_status receive_all(struct inst_session *session, const struct inst_value *messages,
                                    struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    for (uint32_t i = 0; i < messages->len && !text.failed; i++) {
        inst_buf_clear(&text);
        inst_json_write(&text, &messages->u.items[i]);
        if (!text.failed)
            inst_session_receive(session, text.data, text.len);
    }
    bool is_lost = text.failed;
    inst_buf_free(&text);
    /* What was not handed over must not be missed silently. */
    if (is_lost)
        session->server->host.close(session->server->host.ctx, session->connection);
    return is_lost ? inst_err_nomem(err) : INST_OK;
}

enum inst_status inst_http_push(struct inst_server *server, const struct inst_http_request *request,
                                struct inst_err *err) {
    static const char *const path[] = {"body", "messages"};
    struct inst_session *session;
    struct inst_value body;
    /* Not on scratch: every message that is handled resets that. */
    struct inst_arena arena;
    inst_arena_init(&arena);
    enum inst_status st = inst_http_body_on(&arena, request, &body, err);
    if (st == INST_OK)
        st = read_app_id(server, request, err);
    if (st == INST_OK)
        st = find_session(server, &body, &session, err);
    if (st == INST_OK) {
        const struct inst_value *messages = inst_getz(&body, "messages");
        if (messages == NULL || inst_is_nullish(messages))
            st = inst_refuse_missing(err, path, 2);
        else if (messages->tag != INST_ARRAY)
            st = inst_refuse_malformed(err, path, 2, messages);
        else
            st = receive_all(session, messages, err);
    }
    inst_arena_free(&arena);
    return st;
}

/* ---- routes ---- */

static enum inst_status answer_get(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_session *session;
    enum inst_status st = read_app_id(server, request, err);
    return st != INST_OK ? st : inst_http_open_stream(server, request, response, &session, err);
}

static enum inst_status answer_post(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    (void)response;
    return inst_http_push(server, request, err);
}

const struct inst_http_route inst_http_sse_routes[] = {
    {"GET", "/runtime/sse", answer_get},
    {"POST", "/runtime/sse", answer_post},
    {NULL, NULL, NULL},
};
