#include "base/json.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/rooms.h"
#include "server/rows.h"
#include "server/streams.h"
#include "server/users.h"

#include <stdlib.h>

static void refuse(struct inst_session *session, struct inst_err *err,
                   const struct inst_value *event) {
    inst_server_send_error(session, err, event);
    inst_err_clear(err);
}

/* ---- init (session.md 3.1) ---- */

static enum inst_status refuse_token(struct inst_err *err, const char *record_type) {
    return inst_refuse_not_found(err, record_type, "[{}]");
}

/* The app id in lower case. */
static enum inst_status read_app_id(const struct inst_value *event, char out[INST_UUID_TEXT + 1],
                                    struct inst_err *err) {
    static const char *const path[] = {"app-id"};
    const struct inst_value *id = inst_getz(event, "app-id");
    struct inst_uuid uuid;
    if (id == NULL || inst_is_nullish(id))
        return inst_refuse_missing(err, path, 1);
    if (id->tag != INST_STRING || !inst_uuid_parse(id->u.str, id->len, &uuid))
        return inst_refuse_malformed(err, path, 1, id);
    inst_uuid_print(&uuid, out);
    return INST_OK;
}

/* The user of a refresh token; what is no uuid is as unknown as any other. */
static enum inst_status check_user(struct inst_app *app, const struct inst_value *token,
                                   struct inst_viewer *viewer, struct inst_err *err) {
    struct inst_uuid uuid;
    uint32_t user = 0;
    enum inst_status st = INST_OK;
    if (token->tag == INST_STRING && inst_uuid_parse(token->u.str, token->len, &uuid))
        st = inst_user_by_token(app, &uuid, &user, err);
    if (st == INST_OK && !inst_row_id(app, user, viewer->user))
        st = inst_user_refuse(err);
    return st;
}

static enum inst_status check_tokens(struct inst_session *session, const struct inst_value *event,
                                     struct inst_app *app, struct inst_viewer *viewer,
                                     struct inst_err *err) {
    const struct inst_server_host *host = &session->server->host;
    const struct inst_value *admin = inst_getz(event, "__admin-token");
    const struct inst_value *user = inst_getz(event, "refresh-token");
    if (admin != NULL && !inst_is_nullish(admin)) {
        if (admin->tag != INST_STRING ||
            !host->apps->is_admin_token(host->apps_ctx, app->info.id, admin->u.str, admin->len))
            return refuse_token(err, "app-admin-token");
        viewer->is_admin = true;
    }
    if (user != NULL && !inst_is_nullish(user))
        return check_user(app, user, viewer, err);
    return INST_OK;
}

/* Without its token. */
static void write_user(struct inst_buf *buf, struct inst_session *session) {
    uint32_t user = 0;
    if (session->viewer.user[0] == '\0')
        inst_buf_add_str(buf, "null");
    else if (inst_user_by_id(session->app, session->viewer.user, &user, NULL) != INST_OK ||
             inst_user_write(session->app, user, NULL, buf, NULL) != INST_OK)
        buf->failed = true;
}

static void send_init_ok(struct inst_session *session, const struct inst_value *event) {
    struct inst_app *app = session->app;
    struct inst_buf buf;
    const char *attrs;
    size_t len;
    struct inst_value title = inst_cstring(app->info.title);
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "init-ok");
    inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
    inst_buf_addf(&buf,
                  ",\"session-id\":\"%s\",\"auth\":{\"app\":{\"id\":\"%s\",\"title\":", session->id,
                  app->info.id);
    inst_json_write(&buf, &title);
    inst_buf_add_str(&buf, "},\"user\":");
    write_user(&buf, session);
    inst_buf_addf(&buf, ",\"admin?\":%s},\"attrs\":", session->viewer.is_admin ? "true" : "null");
    if (inst_catalog_json(app->catalog, &attrs, &len, NULL) == INST_OK)
        inst_buf_add(&buf, attrs, len);
    else
        buf.failed = true;
    inst_buf_addf(&buf, ",\"app-status\":{\"status\":\"%s\"}", inst_app_status_name(app->state));
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
}

void inst_session_enter(struct inst_session *session, struct inst_app *app,
                        const struct inst_viewer *viewer) {
    session->app = app;
    session->viewer = *viewer;
    session->viewer.from = (struct inst_caller){session->ip, session->origin};
    session->app_previous = NULL;
    session->app_next = app->sessions;
    if (app->sessions != NULL)
        app->sessions->app_previous = session;
    app->sessions = session;
}

void inst_session_leave_app(struct inst_session *session) {
    struct inst_app *app = session->app;
    if (app == NULL)
        return;
    inst_rooms_leave_all(session);
    inst_live_remove_all(session);
    inst_sync_leave(session);
    inst_streams_leave(session);
    inst_app_forget_session(app, session);
    if (session->app_previous != NULL)
        session->app_previous->app_next = session->app_next;
    else
        app->sessions = session->app_next;
    if (session->app_next != NULL)
        session->app_next->app_previous = session->app_previous;
    app->used = session->server->turn;
    session->app = NULL;
}

static bool handle_init(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_app *app = NULL;
    char app_id[INST_UUID_TEXT + 1];
    struct inst_viewer viewer = {0};
    if (session->app != NULL) {
        inst_refuse_validation(&err, "init", NULL, NULL,
                               "`init` has already run for this session.");
    } else if (read_app_id(event, app_id, &err) == INST_OK &&
               inst_app_get(session->server, app_id, &app, &err) == INST_OK) {
        if (app->is_group_open)
            return false; /* attrs that are not durable yet must not be seen */
        if (check_tokens(session, event, app, &viewer, &err) == INST_OK) {
            inst_session_enter(session, app, &viewer);
            session->wants_current = inst_get_true(event, "wants-current");
            session->features = inst_features_of(inst_getz(event, "versions"));
            send_init_ok(session, event);
            return true;
        }
    }
    refuse(session, &err, event);
    return true;
}

/* ---- add-query, remove-query (session.md 3.2, 3.3) ---- */

static const struct inst_value *query_of(const struct inst_value *event) {
    const struct inst_value *q = inst_getz(event, "q");
    return q == NULL || inst_is_nullish(q) ? NULL : q;
}

static enum inst_status refuse_null_query(struct inst_err *err, const char *data_type) {
    struct inst_member member = {"q", 1, inst_null()};
    struct inst_value input = inst_object(&member, 1);
    return inst_refuse_validation(err, data_type, &input, NULL, "Query can not be null.");
}

static void send_with_q(struct inst_session *session, const struct inst_value *event,
                        const char *op, const struct inst_subscription *subscription) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, op);
    inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
    inst_reply_add(&buf, "q", inst_getz(event, "q"));
    if (subscription != NULL)
        inst_live_write_result(subscription, &buf);
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
}

static enum inst_status read_form(const struct inst_session *session,
                                  const struct inst_value *event, struct inst_live_form *form,
                                  struct inst_err *err) {
    static const char *const path[] = {"return-type"};
    const struct inst_value *type = inst_getz(event, "return-type");
    *form = (struct inst_live_form){0};
    if (type == NULL || inst_is_nullish(type) || inst_is_string(type, "join-rows"))
        return INST_OK;
    form->is_tree = inst_is_string(type, "tree");
    form->infers = form->is_tree && session->infers;
    return form->is_tree ? INST_OK : inst_refuse_malformed(err, path, 1, type);
}

static bool handle_add_query(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_subscription *subscription;
    const struct inst_value *q = query_of(event);
    struct inst_live_form form;
    if (session->app->is_group_open)
        return false;
    if (q == NULL) {
        refuse_null_query(&err, "add-query");
    } else if (inst_live_has(session, q)) {
        send_with_q(session, event, "add-query-exists", NULL);
        return true;
    } else if (session->queries.count >= INST_SERVER_MAX_QUERIES) {
        inst_refuse_validation(&err, "add-query", NULL, NULL,
                               "A session takes at most %u live queries.", INST_SERVER_MAX_QUERIES);
    } else if (inst_app_check_read(session->app, &err) == INST_OK &&
               read_form(session, event, &form, &err) == INST_OK &&
               inst_live_add(session, q, form, &subscription, &err) == INST_OK) {
        send_with_q(session, event, "add-query-ok", subscription);
        return true;
    }
    refuse(session, &err, event);
    return true;
}

static bool handle_remove_query(struct inst_session *session, const struct inst_value *event) {
    const struct inst_value *q = query_of(event);
    if (q != NULL)
        inst_live_remove(session, q);
    send_with_q(session, event, "remove-query-ok", NULL);
    return true;
}

/* ---- transact (session.md 3.5) ---- */

static bool handle_transact(struct inst_session *session, const struct inst_value *event) {
    struct inst_app *app = session->app;
    struct inst_err err = {0};
    struct inst_uuid event_id;
    const struct inst_value *id = inst_getz(event, "client-event-id");
    bool has_uuid =
        id != NULL && id->tag == INST_STRING && inst_uuid_parse(id->u.str, id->len, &event_id);
    bool is_repeated;
    struct inst_answer answer = {.session = session};
    struct inst_tx_source source = {.viewer = &session->viewer,
                                    .event = has_uuid ? &event_id : NULL};
    struct inst_buf text;
    inst_buf_init(&text);
    if (id != NULL)
        inst_json_write(&text, id);
    else
        inst_buf_add_str(&text, "null");
    answer.event_id = inst_buf_take(&text, &(size_t){0});
    enum inst_status st = answer.event_id == NULL ? inst_err_nomem(&err) : INST_OK;
    if (st == INST_OK)
        st = inst_app_transact(app, inst_getz(event, "tx-steps"), &source, &answer.tx_id,
                               &is_repeated, &err);
    if (st != INST_OK)
        answer.refusal = inst_server_error_bytes(session, &err, event);
    bool is_lost = st != INST_OK && answer.refusal == NULL;
    inst_err_clear(&err);
    if (is_lost || !inst_app_answer_later(app, answer)) {
        free(answer.event_id);
        inst_shared_unref(answer.refusal);
        session->server->host.close(session->server->host.ctx, session->connection);
    } else if (!app->is_group_open) {
        inst_app_answer_now(app);
    }
    return true;
}

/* ---- every message ---- */

static const struct {
    const char *name;
    inst_op_fn *fn;
} ops[] = {
    {"init", handle_init},
    {"add-query", handle_add_query},
    {"remove-query", handle_remove_query},
    {"transact", handle_transact},
    {"start-sync", inst_sync_start},
    {"resync-table", inst_sync_resync},
    {"remove-sync", inst_sync_remove},
    {"start-stream", inst_stream_start},
    {"append-stream", inst_stream_append},
    {"subscribe-stream", inst_stream_subscribe},
    {"unsubscribe-stream", inst_stream_unsubscribe},
    {"join-room", inst_session_join_room},
    {"leave-room", inst_session_leave_room},
    {"set-presence", inst_session_set_presence},
    {"client-broadcast", inst_session_client_broadcast},
};

static inst_op_fn *find_op(const struct inst_value *op) {
    for (size_t i = 0; op != NULL && i < sizeof ops / sizeof *ops; i++)
        if (inst_is_string(op, ops[i].name))
            return ops[i].fn;
    return NULL;
}

static void refuse_op(struct inst_session *session, const struct inst_value *event,
                      const char *why) {
    struct inst_err err = {0};
    struct inst_buf hint;
    inst_buf_init(&hint);
    inst_buf_add_str(&hint, "{\"op\":");
    inst_write_bounded(&hint, event != NULL ? inst_getz(event, "op") : NULL);
    if (why != NULL) {
        inst_buf_add_str(&hint, ",\"message\":");
        inst_json_write_string(&hint, why, strlen(why));
    }
    inst_buf_add_char(&hint, '}');
    inst_err_set(&err, "param-malformed", 400, "Invalid op");
    if (!hint.failed)
        inst_err_hint(&err, hint.data);
    inst_buf_free(&hint);
    refuse(session, &err, event);
}

bool inst_session_handle(struct inst_session *session, const char *bytes, size_t len) {
    struct inst_arena *scratch = &session->server->scratch;
    struct inst_value event;
    struct inst_err err = {0};
    bool is_done = true;
    inst_op_fn *fn = NULL;
    if (len > INST_SERVER_MAX_MESSAGE) {
        inst_err_set(&err, "param-malformed", 400, "A message takes at most %u bytes.",
                     INST_SERVER_MAX_MESSAGE);
        refuse_op(session, NULL, err.message);
    } else if (inst_json_parse(scratch, bytes, len, &event, &err) != INST_OK) {
        refuse_op(session, NULL, err.message);
    } else if (event.tag != INST_OBJECT) {
        refuse_op(session, NULL, "A message is one JSON object.");
    } else if ((fn = find_op(inst_getz(&event, "op"))) == NULL) {
        refuse_op(session, &event, NULL);
    } else if (session->app == NULL && fn != handle_init) {
        inst_refuse_validation(&err, "init", NULL, NULL, "`init` has not run for this session.");
        refuse(session, &err, &event);
    } else {
        is_done = fn(session, &event);
    }
    inst_err_clear(&err);
    inst_arena_reset(scratch);
    return is_done;
}
