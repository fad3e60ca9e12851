/* app_status.c - whether an app takes writes and gives answers: kept as a note of its data file
 * (session.md 3.7, 6.6). */
#include "base/json.h"
#include "schema/system_catalog.h"
#include "server/engine.h"
#include "server/reactions.h"
#include "server/refusal.h"

#define NOTE "status"

static const char *const names[] = {"active", "read-only", "disabled"};

const char *inst_app_status_name(enum inst_app_state state) { return names[state]; }

bool inst_app_find_state(const struct inst_value *name, enum inst_app_state *out) {
    for (int i = 0; i < 3; i++) {
        *out = (enum inst_app_state)i;
        if (inst_is_string(name, names[i]))
            return true;
    }
    return false;
}

enum inst_status inst_app_read_status(struct inst_app *app, struct inst_err *err) {
    struct inst_buf text;
    bool found = false;
    inst_buf_init(&text);
    enum inst_status st = app->db->db_ops->get_note(app->db, NOTE, &text, &found, err);
    if (st == INST_OK && text.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK && found) {
        struct inst_value name = inst_string(text.data, text.len);
        /* One of a program that knows more of them: the safest that we know. */
        if (!inst_app_find_state(&name, &app->state))
            app->state = INST_APP_DISABLED;
    }
    inst_buf_free(&text);
    return st;
}

static enum inst_status refuse(struct inst_err *err, const char *type, const char *message,
                               const char *hint) {
    enum inst_status st = inst_err_set(err, type, 400, "%s", message);
    inst_err_hint(err, hint);
    return st;
}

enum inst_status inst_app_check_read(const struct inst_app *app, struct inst_err *err) {
    return app->state != INST_APP_DISABLED
               ? INST_OK
               : refuse(err, "app-disabled", "This app is currently disabled.",
                        "{\"status\":\"disabled\"}");
}

enum inst_status inst_app_check_write(const struct inst_app *app, struct inst_err *err) {
    if (strcmp(app->info.id, INST_SYSTEM_APP_ID) == 0)
        return inst_refuse_catalog_app(err, app->info.id);
    return app->state != INST_APP_READ_ONLY
               ? inst_app_check_read(app, err)
               : refuse(err, "app-read-only", "This app is in read-only mode.",
                        "{\"status\":\"read-only\"}");
}

static void tell_sessions(struct inst_app *app) {
    const struct inst_server_host *host = &app->server->host;
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "app-status-changed");
    inst_buf_addf(&buf, ",\"status\":\"%s\"", names[app->state]);
    inst_reply_end(&buf, &app->server->tracer);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    for (struct inst_session *s = app->sessions; s != NULL; s = s->app_next) {
        if (message != NULL)
            host->send(host->ctx, s->connection, message);
        else
            host->close(host->ctx, s->connection); /* it learns it when it comes back */
    }
    inst_shared_unref(message);
    inst_buf_free(&buf);
}

enum inst_status inst_app_set_status(struct inst_app *app, enum inst_app_state state,
                                     struct inst_err *err) {
    if (state == app->state)
        return INST_OK;
    inst_app_commit(app); /* what came before it was still taken */
    enum inst_status st =
        inst_app_set_note(app, NOTE, state == INST_APP_ACTIVE ? NULL : names[state],
                          state == INST_APP_ACTIVE ? 0 : strlen(names[state]), err);
    if (st != INST_OK)
        return st;
    app->state = state;
    inst_reactions_wake(app);
    tell_sessions(app);
    return INST_OK;
}

enum inst_status inst_server_set_app_status(struct inst_server *server, const char *app_id,
                                            const char *status, struct inst_err *err) {
    struct inst_value name = inst_cstring(status);
    enum inst_app_state state;
    struct inst_app *app;
    if (!inst_app_find_state(&name, &state))
        return inst_refuse_validation(err, "app-status", &name, NULL,
                                      "Status must be one of: active, read-only, disabled.");
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    return st != INST_OK ? st : inst_app_set_status(app, state, err);
}

enum inst_status inst_server_app_status(struct inst_server *server, const char *app_id,
                                        const char **status, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    *status = st == INST_OK ? names[app->state] : NULL;
    return st;
}
