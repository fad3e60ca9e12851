#include "base/digest.h"
#include "base/js_text.h"
#include "base/json.h"
#include "server/limits.h"
#include "server/permissions.h"
#include "server/refusal.h"
#include "server/streams_internal.h"

#include <stdlib.h>

/* ---- parameters (as get-param! and get-optional-param! take them) ---- */

/* NULL: absent, null or false. */
static const struct inst_value *param(const struct inst_value *event, const char *name) {
    const struct inst_value *v = inst_getz(event, name);
    return v == NULL || inst_is_nullish(v) || v->tag == INST_FALSE ? NULL : v;
}

static enum inst_status refuse_malformed(const char *name, const struct inst_value *v,
                                         struct inst_err *err) {
    const char *const path[] = {name};
    return inst_refuse_malformed(err, path, 1, v);
}

static enum inst_status refuse_missing(const char *name, struct inst_err *err) {
    const char *const path[] = {name};
    return inst_refuse_missing(err, path, 1);
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* A text that is not blank, without blanks around it; a number as text. UNDEFINED when absent. */
static enum inst_status text_param(struct inst_arena *arena, const struct inst_value *event,
                                   const char *name, bool is_required, struct inst_value *out,
                                   struct inst_err *err) {
    const struct inst_value *v = param(event, name);
    *out = inst_undefined();
    if (v == NULL)
        return is_required ? refuse_missing(name, err) : INST_OK;
    if (v->tag == INST_NUMBER) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_js_text(&text, v);
        char *copy = text.failed ? NULL : inst_arena_dup(arena, text.data, text.len);
        size_t len = text.len;
        inst_buf_free(&text);
        *out = inst_string(copy, len);
        return copy != NULL ? INST_OK : inst_err_nomem(err);
    }
    if (v->tag != INST_STRING)
        return refuse_malformed(name, v, err);
    const char *at = v->u.str;
    size_t len = v->len;
    for (; len > 0 && is_blank(at[0]); at++)
        len--;
    while (len > 0 && is_blank(at[len - 1]))
        len--;
    *out = inst_string(at, len);
    return len > 0 ? INST_OK : refuse_malformed(name, v, err);
}

static enum inst_status uuid_param(const struct inst_value *event, const char *name,
                                   bool is_required, struct inst_uuid *out, bool *is_there,
                                   struct inst_err *err) {
    const struct inst_value *v = param(event, name);
    *is_there = v != NULL;
    if (v == NULL)
        return is_required ? refuse_missing(name, err) : INST_OK;
    if (v->tag != INST_STRING || !inst_uuid_parse(v->u.str, v->len, out))
        return refuse_malformed(name, v, err);
    return INST_OK;
}

static enum inst_status offset_param(const struct inst_value *event, bool is_required,
                                     uint64_t *out, struct inst_err *err) {
    const struct inst_value *v = param(event, "offset");
    *out = 0;
    if (v == NULL)
        return is_required ? refuse_missing("offset", err) : INST_OK;
    if (v->tag != INST_NUMBER || !(v->u.num >= 0 && v->u.num <= 9007199254740992.0) ||
        v->u.num != (double)(uint64_t)v->u.num)
        return refuse_malformed("offset", v, err);
    *out = (uint64_t)v->u.num;
    return INST_OK;
}

/* ---- refusals ---- */

/* What the error's hint tells of the message. */
struct subject {
    const char *session;
    const char *stream; /* NULL: none */
    const struct inst_value *client;
};

static enum inst_status refuse(const char *data_type, const struct subject *subject,
                               const char *message, struct inst_err *err) {
    struct inst_member members[3];
    size_t count = 0;
    members[count++] = (struct inst_member){"sess-id", 7, inst_cstring(subject->session)};
    if (subject->stream != NULL)
        members[count++] = (struct inst_member){"stream-id", 9, inst_cstring(subject->stream)};
    if (subject->client != NULL && subject->client->tag == INST_STRING)
        members[count++] = (struct inst_member){"client-id", 9, *subject->client};
    struct inst_value input = inst_object(members, count);
    return inst_refuse_validation(err, data_type, &input, NULL, "%s", message);
}

/* What the app's rule says; without one nobody may (permissions.md 7.4). row NULL: the stream is to
 * be made under this client id, which is all that the rule sees. */
static enum inst_status ask_rule(const struct inst_value *event, const struct inst_stream_row *row,
                                 const struct inst_value *client_id,
                                 struct inst_permissions *permissions, bool *is_allowed,
                                 struct inst_err *err) {
    struct inst_value etype = inst_cstring("$streams");
    struct inst_member member = {"clientId", 8, client_id != NULL ? *client_id : inst_null()};
    struct inst_value made = inst_object(&member, 1);
    const struct inst_value *params = param(event, "rule-params");
    struct inst_rule_input input = {
        .etype = etype,
        .e = row != NULL ? row->e : 0,
        .data = &made,
        .rule_params = params != NULL && params->tag == INST_OBJECT ? params : NULL};
    const struct inst_rule *rule;
    struct inst_cel_value value;
    enum inst_status st = inst_permissions_rule(
        permissions, &etype, row != NULL ? INST_RULE_VIEW : INST_RULE_CREATE, NULL, &rule, err);
    *is_allowed = false;
    if (st != INST_OK || rule == NULL)
        return st;
    if (row != NULL)
        st = inst_rule_data_record(&permissions->data, &etype, row->e, &input.data, err);
    if (st == INST_OK)
        st = inst_permissions_evaluate(permissions, rule, &input, &value, err);
    *is_allowed = st == INST_OK && inst_cel_allows(&value);
    return st;
}

static enum inst_status check_permission(const struct inst_session *session,
                                         const struct inst_value *event,
                                         const struct inst_stream_row *row,
                                         const struct inst_value *client_id, struct inst_err *err) {
    struct inst_app *app = session->app;
    struct inst_permissions permissions;
    struct inst_rules *rules;
    bool is_allowed;
    if (session->viewer.is_admin)
        return INST_OK;
    enum inst_status st = inst_app_rules(app, &rules, err);
    if (st != INST_OK)
        return st;
    inst_permissions_init(&permissions, app, rules, &session->viewer, &app->db->store,
                          &session->server->scratch);
    st = ask_rule(event, row, client_id, &permissions, &is_allowed, err);
    inst_permissions_release(&permissions);
    if (st == INST_OK && !is_allowed)
        st = inst_refuse_expected(err, "has-streams-permission?", "$streams",
                                  row != NULL ? "view" : "create");
    return st;
}

static enum inst_status check_files(const struct inst_session *session, struct inst_err *err) {
    const struct inst_files_ops *files = session->server->host.files;
    if (files != NULL && files->keep != NULL)
        return INST_OK;
    return inst_err_set(err, "validation-failed", 400, "This backend keeps no files.");
}

static bool answer(struct inst_session *session, const struct inst_value *event,
                   enum inst_status st, struct inst_err *err) {
    if (st != INST_OK)
        inst_server_send_error(session, err, event);
    inst_err_clear(err);
    return true;
}

/* ---- start-stream ---- */

static enum inst_status check_row(const struct inst_session *session,
                                  const struct inst_stream_row *row, const char *token_hash,
                                  const struct inst_value *client_id, struct inst_err *err) {
    struct subject subject = {session->id, NULL, client_id};
    bool is_ours = row->token_hash.tag == INST_STRING && row->token_hash.len == INST_SHA256_HEX &&
                   inst_secret_equal(row->token_hash.u.str, token_hash, INST_SHA256_HEX);
    if (!is_ours)
        return refuse("start-stream", &subject,
                      "A stream with that clientId already exists. Reconnect token is invalid.",
                      err);
    if (row->is_done)
        return refuse("start-stream", &subject, "Stream is closed.", err);
    return INST_OK;
}

/* After the flush at hand, the message is handled as if it came then. */
static enum inst_status wait_for_flush(struct inst_session *session, struct inst_stream *stream,
                                       const struct inst_value *event, struct inst_err *err) {
    struct inst_stream_waiter *waiter = calloc(1, sizeof *waiter);
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, event);
    if (waiter != NULL)
        waiter->event = inst_buf_take(&text, &waiter->len);
    if (waiter == NULL || waiter->event == NULL) {
        free(waiter);
        inst_buf_free(&text);
        return inst_err_nomem(err);
    }
    waiter->session = session;
    session->has_waited = true;
    *stream->waiters_end = waiter;
    stream->waiters_end = &waiter->next;
    return INST_OK;
}

static void send_started(struct inst_session *session, const struct inst_value *event,
                         const struct inst_stream *stream) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "start-stream-ok");
    inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
    inst_buf_addf(&buf, ",\"stream-id\":\"%s\",\"client-id\":", stream->id);
    inst_buf_add_str(&buf, stream->client_id);
    inst_buf_add_str(&buf, ",\"offset\":");
    inst_buf_add_int(&buf, (int64_t)stream->flushed);
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
}

/* A writer takes the stream over: what is not in files is its to send again. */
static void take_over(struct inst_stream *stream, struct inst_session *session) {
    inst_buf_free(&stream->buffer);
    stream->is_done = false;
    free(stream->abort_reason);
    stream->abort_reason = NULL;
    inst_stream_set_writer(stream, session);
    inst_stream_kick_readers(stream, "writer-disconnected");
}

static enum inst_status find_or_create(struct inst_session *session,
                                       const struct inst_value *client_id, const char *token_hash,
                                       struct inst_stream **out, struct inst_err *err) {
    struct inst_app *app = session->app;
    struct inst_stream_row row;
    struct inst_uuid id;
    char made[INST_UUID_TEXT + 1];
    enum inst_status st = inst_stream_row_find(app, NULL, client_id, &row, err);
    if (st == INST_OK && row.e == 0) {
        st = inst_stream_row_create(app, client_id, token_hash, made, err);
        if (st == INST_OK)
            st = inst_stream_row_find(app, made, NULL, &row, err);
    } else if (st == INST_OK) {
        st = check_row(session, &row, token_hash, client_id, err);
    }
    if (st != INST_OK)
        return st;
    inst_uuid_parse(row.id, INST_UUID_TEXT, &id);
    *out = inst_stream_get(app, &id);
    if (*out != NULL)
        return INST_OK;
    return inst_stream_load(app, &row, out, err);
}

static enum inst_status start(struct inst_session *session, const struct inst_value *event,
                              struct inst_err *err) {
    struct inst_arena *scratch = &session->server->scratch;
    struct inst_value client_id;
    struct inst_uuid token;
    struct inst_stream *stream;
    char token_hash[INST_SHA256_HEX + 1];
    bool is_there;
    enum inst_status st;
    if ((st = text_param(scratch, event, "client-id", true, &client_id, err)) != INST_OK ||
        (st = check_permission(session, event, NULL, &client_id, err)) != INST_OK ||
        (st = uuid_param(event, "reconnect-token", true, &token, &is_there, err)) != INST_OK ||
        (st = check_files(session, err)) != INST_OK)
        return st;
    if (session->written_count >= INST_SERVER_MAX_STREAMS)
        return inst_refuse_validation(err, "start-stream", NULL, NULL,
                                      "A session writes at most %u streams.",
                                      INST_SERVER_MAX_STREAMS);
    inst_sha256_hex(token.bytes, sizeof token.bytes, token_hash);
    st = find_or_create(session, &client_id, token_hash, &stream, err);
    if (st != INST_OK)
        return st;
    if (stream->flush != NULL)
        return wait_for_flush(session, stream, event, err);
    take_over(stream, session);
    send_started(session, event, stream);
    return INST_OK;
}

bool inst_stream_start(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    if (session->app->is_group_open)
        return false;
    return answer(session, event, start(session, event, &err), &err);
}

void inst_stream_serve_waiters(struct inst_stream *stream) {
    struct inst_app *app = stream->app;
    struct inst_uuid id = stream->uuid;
    while (stream != NULL && stream->flush == NULL && stream->waiters != NULL) {
        struct inst_stream_waiter *waiter = stream->waiters;
        struct inst_value event;
        struct inst_err err = {0};
        stream->waiters = waiter->next;
        if (stream->waiters == NULL)
            stream->waiters_end = &stream->waiters;
        struct inst_session *session = waiter->session;
        if (session != NULL && inst_json_parse(&app->server->scratch, waiter->event, waiter->len,
                                               &event, &err) == INST_OK)
            answer(session, &event, start(session, &event, &err), &err);
        else if (session != NULL)
            app->server->host.close(app->server->host.ctx, session->connection);
        inst_err_clear(&err);
        free(waiter->event);
        free(waiter);
        inst_arena_reset(&app->server->scratch);
        stream = inst_stream_get(app, &id);
    }
    if (stream != NULL)
        inst_stream_flush(stream);
}

/* ---- append-stream ---- */

struct append {
    struct inst_uuid id;
    char id_text[INST_UUID_TEXT + 1];
    uint64_t offset;
    bool is_done;
    const struct inst_value *abort_reason; /* NULL: none */
    const struct inst_value *chunks;
    uint64_t len; /* of all chunks */
};

static enum inst_status read_chunks(const struct inst_value *event, struct append *out,
                                    struct inst_err *err) {
    const struct inst_value *chunks = param(event, "chunks");
    if (chunks == NULL)
        return refuse_missing("chunks", err);
    if (chunks->tag != INST_ARRAY)
        return refuse_malformed("chunks", chunks, err);
    for (uint32_t i = 0; i < chunks->len; i++) {
        if (chunks->u.items[i].tag != INST_STRING)
            return refuse_malformed("chunks", chunks, err);
        out->len += chunks->u.items[i].len;
    }
    out->chunks = chunks;
    return INST_OK;
}

static enum inst_status read_append(struct inst_session *session, const struct inst_value *event,
                                    struct append *out, struct inst_err *err) {
    struct inst_value reason;
    bool is_there;
    enum inst_status st = uuid_param(event, "stream-id", true, &out->id, &is_there, err);
    if (st != INST_OK)
        return st;
    inst_uuid_print(&out->id, out->id_text);
    const struct inst_value *done = param(event, "done");
    if (done != NULL && done->tag != INST_TRUE)
        return refuse_malformed("done", done, err);
    out->is_done = done != NULL;
    /* The original fails at a reason that is no text; here it is malformed like any other. */
    const struct inst_value *v = param(event, "abort-reason");
    if (v != NULL && (v->tag != INST_STRING || memchr(v->u.str, 0, v->len) != NULL))
        return refuse_malformed("abort-reason", v, err);
    st = text_param(&session->server->scratch, event, "abort-reason", false, &reason, err);
    if (st != INST_OK || (st = offset_param(event, true, &out->offset, err)) != INST_OK)
        return st;
    out->abort_reason = v;
    return read_chunks(event, out, err);
}

static enum inst_status check_append(const struct inst_session *session,
                                     const struct inst_stream *stream, const struct append *append,
                                     struct inst_err *err) {
    struct subject subject = {session->id, append->id_text, NULL};
    if (stream == NULL || stream->writer != session)
        return refuse("append-stream", &subject, "Stream is missing.", err);
    if (stream->is_done)
        return refuse("append-stream", &subject, "Stream is completed.", err);
    if (inst_stream_end(stream) != append->offset) {
        struct inst_member members[3] = {
            {"stream-id", 9, inst_cstring(append->id_text)},
            {"expected-offset", 15, inst_number((double)append->offset)},
            {"offset", 6, inst_number((double)inst_stream_end(stream))},
        };
        struct inst_value input = inst_object(members, 3);
        return inst_refuse_validation(err, "append-stream", &input, NULL,
                                      "Invalid offset for stream.");
    }
    /* The refusal makes the writer begin again, and wait for the flush. */
    if (stream->buffer.len + append->len > INST_STREAM_MAX_BUFFER)
        return refuse("append-stream", &subject,
                      "The stream is written faster than it can be stored.", err);
    return INST_OK;
}

static enum inst_status append_chunks(struct inst_stream *stream, const struct append *append,
                                      struct inst_err *err) {
    size_t before = stream->buffer.len;
    if (append->len > 0 && !inst_buf_reserve(&stream->buffer, (size_t)append->len)) {
        stream->buffer.failed = false;
        return inst_err_nomem(err);
    }
    if (append->abort_reason != NULL) {
        const struct inst_value *reason = append->abort_reason;
        stream->abort_reason = strndup(reason->u.str, reason->len);
        if (stream->abort_reason == NULL)
            return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < append->chunks->len; i++)
        inst_buf_add(&stream->buffer, append->chunks->u.items[i].u.str,
                     append->chunks->u.items[i].len);
    stream->is_done = append->is_done;
    if (append->len > 0)
        inst_stream_fan_out(stream, append->offset, stream->buffer.data + before,
                            (size_t)append->len);
    if (stream->is_done)
        inst_stream_end_readers(stream);
    inst_stream_flush(stream);
    return INST_OK;
}

bool inst_stream_append(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct append append = {.len = 0};
    enum inst_status st = read_append(session, event, &append, &err);
    if (st == INST_OK) {
        struct inst_stream *stream = inst_stream_get(session->app, &append.id);
        st = check_append(session, stream, &append, &err);
        if (st == INST_OK)
            st = append_chunks(stream, &append, &err);
    }
    return answer(session, event, st, &err);
}

/* ---- subscribe-stream ---- */

/* The text under which the session's subscription is found again. */
static char *event_id_of(const struct inst_value *event, const char *name) {
    const struct inst_value *id = inst_getz(event, name);
    struct inst_value none = inst_null();
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, id != NULL ? id : &none);
    return inst_buf_take(&buf, &(size_t){0});
}

/* All that a finished stream is goes in one message. */
static enum inst_status send_whole(struct inst_session *session, const struct inst_value *event,
                                   const struct inst_stream_row *row, uint64_t offset,
                                   struct inst_err *err) {
    struct inst_app *app = session->app;
    struct inst_stream_part *parts;
    struct inst_buf buf, files;
    size_t count;
    uint64_t size, begin = offset;
    enum inst_status st = inst_stream_row_parts(app, row, &parts, &count, &size, err);
    if (st != INST_OK)
        return st;
    inst_buf_init(&files);
    st = inst_stream_write_files(app, parts, count, &begin, &files, err);
    if (st == INST_OK) {
        inst_buf_init(&buf);
        inst_reply_begin(&buf, "stream-append");
        inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
        inst_buf_add_str(&buf, ",\"offset\":");
        inst_buf_add_int(&buf, (int64_t)begin);
        inst_buf_add(&buf, files.data, files.len);
        buf.failed = buf.failed || files.failed;
        inst_buf_addf(&buf, ",\"stream-id\":\"%s\"", row->id);
        inst_reply_add(&buf, "client-id", &row->client_id);
        inst_buf_add_str(&buf, ",\"done\":true");
        inst_reply_add(&buf, "abort-reason", &row->abort_reason);
        inst_reply_end(&buf, &app->server->tracer);
        inst_server_send(session, &buf);
    }
    inst_buf_free(&files);
    return st;
}

static enum inst_status follow(struct inst_session *session, const struct inst_value *event,
                               const struct inst_stream_row *row, uint64_t offset,
                               struct inst_err *err) {
    struct inst_stream_reader *reader;
    struct inst_stream *stream;
    struct inst_uuid id;
    char *event_id = event_id_of(event, "client-event-id");
    if (event_id == NULL)
        return inst_err_nomem(err);
    inst_uuid_parse(row->id, INST_UUID_TEXT, &id);
    stream = inst_stream_get(session->app, &id);
    enum inst_status st = INST_OK;
    if (stream == NULL)
        st = inst_stream_load(session->app, row, &stream, err);
    if (st != INST_OK) {
        free(event_id);
        return st;
    }
    struct inst_stream_reader *former = inst_stream_find_reader(session, event_id);
    if (former != NULL) {
        struct inst_stream *other = former->stream;
        inst_stream_remove_reader(former);
        if (other != stream)
            inst_stream_settle(other);
    }
    st = inst_stream_add_reader(stream, session, event_id, &reader, err);
    bool is_empty = stream->writer == NULL && inst_stream_end(stream) <= offset;
    if (st == INST_OK && !is_empty) {
        st = inst_stream_reader_init(reader, offset, err);
        if (st != INST_OK)
            inst_stream_remove_reader(reader);
    }
    if (st == INST_OK && stream->is_done)
        inst_stream_end_readers(stream);
    if (st != INST_OK)
        inst_stream_settle(stream);
    return st;
}

static enum inst_status subscribe(struct inst_session *session, const struct inst_value *event,
                                  struct inst_err *err) {
    struct inst_arena *scratch = &session->server->scratch;
    struct inst_value client_id;
    struct inst_uuid id;
    struct inst_stream_row row;
    char text[INST_UUID_TEXT + 1];
    uint64_t offset;
    bool has_id;
    enum inst_status st;
    if ((st = uuid_param(event, "stream-id", false, &id, &has_id, err)) != INST_OK ||
        (st = text_param(scratch, event, "client-id", false, &client_id, err)) != INST_OK ||
        (st = offset_param(event, false, &offset, err)) != INST_OK)
        return st;
    if (has_id)
        inst_uuid_print(&id, text);
    struct subject subject = {session->id, has_id ? text : NULL, &client_id};
    if (!has_id && client_id.tag == INST_UNDEFINED)
        return refuse("subscribe-stream", &subject,
                      "Must provide either a stream-id or a client-id", err);
    st = inst_stream_row_find(session->app, has_id ? text : NULL, &client_id, &row, err);
    if (st == INST_OK && row.e == 0)
        st = refuse("subscribe-stream", &subject, "Stream is missing.", err);
    if (st == INST_OK)
        st = check_permission(session, event, &row, NULL, err);
    if (st != INST_OK)
        return st;
    if (row.is_done)
        return send_whole(session, event, &row, offset, err);
    if (!row.has_machine)
        return refuse("subscribe-stream", &subject, "Stream is invalid.", err);
    if (session->reader_count >= INST_SERVER_MAX_STREAMS)
        return inst_refuse_validation(err, "subscribe-stream", NULL, NULL,
                                      "A session reads at most %u streams.",
                                      INST_SERVER_MAX_STREAMS);
    return follow(session, event, &row, offset, err);
}

bool inst_stream_subscribe(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    if (session->app->is_group_open)
        return false;
    return answer(session, event, subscribe(session, event, &err), &err);
}

/* ---- unsubscribe-stream ---- */

bool inst_stream_unsubscribe(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_value id;
    enum inst_status st =
        text_param(&session->server->scratch, event, "subscribe-event-id", false, &id, &err);
    if (st != INST_OK)
        return answer(session, event, st, &err);
    char *event_id = event_id_of(event, "subscribe-event-id");
    struct inst_stream_reader *reader =
        event_id != NULL ? inst_stream_find_reader(session, event_id) : NULL;
    if (reader != NULL) {
        struct inst_stream *stream = reader->stream;
        inst_stream_remove_reader(reader);
        inst_stream_settle(stream);
    } else {
        struct inst_member members[2] = {
            {"sess-id", 7, inst_cstring(session->id)},
            {"subscribe-event-id", 18, id.tag == INST_STRING ? id : inst_null()},
        };
        struct inst_value input = inst_object(members, 2);
        st = inst_refuse_validation(&err, "unsubscribe-stream", &input, NULL,
                                    "Stream subscription is missing.");
    }
    free(event_id);
    return answer(session, event, st, &err);
}
