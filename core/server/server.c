#include "server/server.h"

#include "base/json.h"
#include "rules/rate_limit.h"
#include "server/engine.h"
#include "server/later.h"
#include "server/limits.h"
#include "server/platform.h"
#include "server/polls.h"
#include "server/purge.h"
#include "server/reactions.h"
#include "server/rooms.h"
#include "server/webhooks.h"

#include <stdlib.h>
#include <string.h>

/* ---- the server ---- */

enum inst_status inst_server_new(const struct inst_env *env, const struct inst_server_host *host,
                                 struct inst_server **out, struct inst_err *err) {
    struct inst_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return inst_err_nomem(err);
    server->env = env;
    server->host = *host;
    server->waiting_end = &server->waiting;
    env->random(env->ctx, (uint8_t *)&server->seed, sizeof server->seed);
    inst_tracer_init(&server->tracer, env);
    inst_uuid_make_text(env, server->machine_id);
    inst_arena_init(&server->scratch);
    *out = server;
    return INST_OK;
}

void inst_server_free(struct inst_server *server) {
    if (server == NULL)
        return;
    inst_server_turn(server);
    for (struct inst_session *session = server->sessions, *next; session != NULL; session = next) {
        next = session->next;
        inst_session_close(session);
    }
    inst_polls_free(server);
    while (server->apps != NULL) {
        struct inst_app *app = server->apps;
        server->apps = app->next;
        inst_app_free(app);
    }
    inst_table_free(&server->streams);
    inst_table_free(&server->apps_by_id);
    inst_rate_limits_free(server->code_limits);
    inst_collator_free(server->collator);
    inst_uploads_free(server);
    inst_laters_free(server);
    inst_documents_free(server);
    inst_cli_logins_free(server);
    inst_jobs_forget_resumes(server);
    inst_reactions_forget_apps(server);
    inst_platform_asks_free(server);
    free(server->origin);
    inst_arena_free(&server->scratch);
    free(server);
}

enum inst_status inst_server_set_origin(struct inst_server *server, const char *origin,
                                        bool is_guess, struct inst_err *err) {
    char *copy = strdup(origin);
    if (copy == NULL)
        return inst_err_nomem(err);
    free(server->origin);
    server->origin = copy;
    server->is_origin_guess = is_guess;
    return INST_OK;
}

void inst_server_stats(const struct inst_server *server, struct inst_server_stats *out) {
    *out = server->stats;
}

/* ---- sending ---- */

static void send_bytes(struct inst_session *session, struct inst_shared *message_take) {
    const struct inst_server_host *host = &session->server->host;
    if (message_take == NULL)
        host->close(host->ctx, session->connection);
    else
        host->send(host->ctx, session->connection, message_take);
    inst_shared_unref(message_take);
}

void inst_server_send(struct inst_session *session, struct inst_buf *buf) {
    send_bytes(session, buf->failed ? NULL : inst_shared_new(buf->data, buf->len));
    inst_buf_free(buf);
}

struct inst_shared *inst_server_error_bytes(struct inst_session *session,
                                            const struct inst_err *err,
                                            const struct inst_value *event) {
    struct inst_buf buf;
    const struct inst_env *env = session->server->env;
    if (err->status >= 500 && env->log != NULL && err->message != NULL)
        env->log(env->ctx, INST_LOG_ERROR, err->message);
    inst_buf_init(&buf);
    inst_reply_error(&buf, &session->server->tracer, err, event, session->id);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    inst_buf_free(&buf);
    return message;
}

void inst_server_send_error(struct inst_session *session, const struct inst_err *err,
                            const struct inst_value *event) {
    send_bytes(session, inst_server_error_bytes(session, err, event));
}

/* ---- sessions ---- */

enum inst_status inst_session_open(struct inst_server *server, void *connection,
                                   struct inst_session **out, struct inst_err *err) {
    struct inst_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return inst_err_nomem(err);
    session->server = server;
    session->connection = connection;
    session->waiting_end = &session->waiting;
    inst_uuid_make_text(server->env, session->id);
    session->next = server->sessions;
    if (server->sessions != NULL)
        server->sessions->previous = session;
    server->sessions = session;
    server->stats.sessions++;
    *out = session;
    return INST_OK;
}

static void drop_waiting(struct inst_session *session) {
    while (session->waiting != NULL) {
        struct inst_waiting *message = session->waiting;
        session->waiting = message->next;
        free(message);
    }
    session->waiting_end = &session->waiting;
    session->waiting_bytes = 0;
}

static void leave_waiting_list(struct inst_session *session) {
    struct inst_server *server = session->server;
    struct inst_session **link = &server->waiting;
    if (!session->is_listed_waiting)
        return;
    while (*link != session)
        link = &(*link)->next_waiting;
    *link = session->next_waiting;
    if (*link == NULL)
        server->waiting_end = link;
    session->is_listed_waiting = false;
}

void inst_session_close(struct inst_session *session) {
    struct inst_server *server = session->server;
    inst_session_leave_app(session);
    inst_event_stream_close(session);
    leave_waiting_list(session);
    drop_waiting(session);
    inst_table_free(&session->queries);
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        server->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    server->stats.sessions--;
    free(session->ip);
    free(session->origin);
    free(session);
}

static enum inst_status replace_text(char **at, const char *text, size_t max,
                                     struct inst_err *err) {
    size_t len = strlen(text);
    free(*at);
    *at = len > 0 && len <= max ? strdup(text) : NULL;
    return *at == NULL && len > 0 && len <= max ? inst_err_nomem(err) : INST_OK;
}

enum inst_status inst_session_set_caller(struct inst_session *session, const char *ip,
                                         const char *origin, struct inst_err *err) {
    enum inst_status st = replace_text(&session->ip, ip, INST_SESSION_MAX_IP, err);
    if (st == INST_OK)
        st = replace_text(&session->origin, origin, INST_SESSION_MAX_ORIGIN, err);
    session->viewer.from = (struct inst_caller){session->ip, session->origin};
    return st;
}

static void list_waiting(struct inst_session *session) {
    struct inst_server *server = session->server;
    if (session->is_listed_waiting)
        return;
    session->is_listed_waiting = true;
    session->next_waiting = NULL;
    *server->waiting_end = session;
    server->waiting_end = &session->next_waiting;
}

/* Keeps a message for after the commit. A connection that sends faster than the disk commits, or
 * whose message cannot be kept, is closed: dropping one silently would be worse. */
static void keep_waiting(struct inst_session *session, const char *bytes, size_t len) {
    const struct inst_server_host *host = &session->server->host;
    struct inst_waiting *message = NULL;
    if (session->waiting_bytes + len <= INST_SERVER_MAX_WAITING)
        message = malloc(sizeof *message + len);
    if (message == NULL) {
        host->close(host->ctx, session->connection);
        return;
    }
    message->next = NULL;
    message->len = len;
    memcpy(message->bytes, bytes, len);
    *session->waiting_end = message;
    session->waiting_end = &message->next;
    session->waiting_bytes += len;
    list_waiting(session);
}

void inst_session_receive(struct inst_session *session, const char *bytes, size_t len) {
    session->server->stats.received++;
    if (session->waiting != NULL || !inst_session_handle(session, bytes, len))
        keep_waiting(session, bytes, len);
}

/* ---- backpressure ---- */

bool inst_session_takes(struct inst_session *session) {
    const struct inst_server_host *host = &session->server->host;
    if (host->backlog == NULL ||
        host->backlog(host->ctx, session->connection) <= INST_SERVER_SEND_AHEAD)
        return true;
    session->wants_drained = true;
    return false;
}

void inst_session_drained(struct inst_session *session) {
    if (!session->wants_drained)
        return;
    session->wants_drained = false;
    session->server->has_sync_work = true;
}

/* ---- the turn ---- */

/* Handles what waits until something has to wait again. */
static void drain(struct inst_session *session) {
    while (session->waiting != NULL) {
        struct inst_waiting *message = session->waiting;
        if (!inst_session_handle(session, message->bytes, message->len)) {
            list_waiting(session);
            return;
        }
        session->waiting = message->next;
        if (session->waiting == NULL)
            session->waiting_end = &session->waiting;
        session->waiting_bytes -= message->len;
        free(message);
    }
}

static void drain_all(struct inst_server *server) {
    struct inst_session *list = server->waiting;
    server->waiting = NULL;
    server->waiting_end = &server->waiting;
    for (struct inst_session *s = list; s != NULL; s = s->next_waiting)
        s->is_listed_waiting = false;
    while (list != NULL) {
        struct inst_session *session = list;
        list = session->next_waiting;
        drain(session);
    }
}

void inst_server_turn(struct inst_server *server) {
    server->turn++;
    while (server->open_groups != NULL || server->waiting != NULL) {
        while (server->open_groups != NULL)
            inst_app_commit(server->open_groups);
        drain_all(server);
    }
    if (server->has_sync_work)
        inst_sync_turn(server);
    inst_jobs_resume(server);
    inst_jobs_turn(server);
    inst_purge_turn(server);
    inst_polls_turn(server);
    inst_webhooks_turn(server);
    inst_reactions_turn(server);
    inst_rooms_flush(server);
    inst_arena_reset(&server->scratch);
    inst_app_close_idle(server);
}

enum inst_status inst_server_resume_app(struct inst_server *server, const char *app_id,
                                        struct inst_err *err) {
    struct inst_app *app;
    return inst_app_get(server, app_id, &app, err);
}

void inst_server_renew_urls(struct inst_server *server) {
    for (struct inst_app *app = server->apps; app != NULL; app = app->next) {
        inst_app_commit(app);
        inst_live_renew_urls(app->live);
    }
}

bool inst_server_is_pending(const struct inst_server *server) {
    return server->open_groups != NULL || server->waiting != NULL || server->has_sync_work ||
           server->listed_rooms != NULL || inst_jobs_are_pending(server) ||
           inst_purge_is_pending(server) || inst_polls_are_pending(server) ||
           inst_webhooks_are_pending(server) || inst_reactions_are_pending(server);
}

int64_t inst_server_due_ms(const struct inst_server *server) {
    int64_t due = inst_polls_due_ms(server);
    int64_t webhooks = inst_webhooks_due_ms(server), reactions = inst_reactions_due_ms(server);
    due = webhooks < due ? webhooks : due;
    return reactions < due ? reactions : due;
}
