#include "base/json.h"
#include "server/engine.h"
#include "server/functions.h"
#include "server/limits.h"
#include "server/polls.h"
#include "server/purge.h"
#include "server/reactions.h"
#include "server/refusal.h"
#include "server/rooms.h"
#include "server/streams.h"
#include "server/transaction.h"
#include "server/tx_permissions.h"
#include "server/webhooks.h"

#include "schema/schema_attrs.h"
#include "schema/system_catalog.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- opening ---- */

static struct inst_table_key app_key(const char *id) {
    struct inst_uuid uuid = {{0}};
    struct inst_table_key key;
    inst_uuid_parse(id, strlen(id), &uuid);
    memcpy(&key, uuid.bytes, sizeof key);
    return key;
}

/* More than the system catalog will ever have. */
#define SYSTEM_ATTRS_MAX 512

/* A new app's first transaction is its making: clients take a processed-tx-id of 0 for none
 * (session.md 5.9) and would hide their first confirmed write until its refresh. */
static enum inst_status log_making(struct inst_app *app, struct inst_err *err) {
    static const char nothing[] = "{\"triples\":[],\"attrs\":[]}";
    const struct inst_env *env = app->server->env;
    struct inst_log_record record = {.tx_id = 1,
                                     .at_ms = env->now_ms(env->ctx),
                                     .who = "null",
                                     .who_len = 4,
                                     .changes = nothing,
                                     .changes_len = sizeof nothing - 1};
    return app->db->db_ops->append_log(app->db, &record, err);
}

/* The system attrs as this program knows them; those that the file lacks are saved. */
static enum inst_status add_system_attrs(struct inst_app *app, const struct inst_attrs *known,
                                         struct inst_attr_entry *entries, size_t *count,
                                         struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct inst_attrs *system = NULL;
    struct inst_value list;
    struct inst_buf json;
    bool is_begun = false;
    enum inst_status st = inst_system_attrs(&app->server->scratch, &list, err);
    if (st == INST_OK)
        st = inst_attrs_new(&list, &system, err);
    inst_buf_init(&json);
    size_t system_count = st == INST_OK ? inst_attrs_count(system) : 0;
    for (size_t i = 0; st == INST_OK && i < system_count && i < SYSTEM_ATTRS_MAX; i++) {
        const struct inst_attr *attr = inst_attrs_at(system, i);
        const struct inst_attr *kept = inst_attrs_by_id(known, attr->id.u.str, attr->id.len);
        struct inst_attr_entry entry = {attr->id, attr->json, kept != NULL ? kept->row : 0};
        if (entry.row == 0) {
            inst_buf_clear(&json);
            inst_json_write(&json, &attr->json);
            if (json.failed)
                st = inst_err_nomem(err);
            if (st == INST_OK && !is_begun && (st = ops->begin(app->db, err)) == INST_OK)
                is_begun = true;
            if (st == INST_OK)
                st = ops->save_attr(app->db, attr, json.data, json.len, false, &entry.row, err);
        }
        if (!inst_value_dup(&app->server->scratch, &attr->id, &entry.id) ||
            !inst_value_dup(&app->server->scratch, &attr->json, &entry.json))
            st = inst_err_nomem(err);
        entries[(*count)++] = entry;
    }
    if (is_begun && st == INST_OK && ops->last_tx_id(app->db) == 0)
        st = log_making(app, err);
    if (is_begun && st == INST_OK)
        st = ops->commit(app->db, err);
    if (is_begun && st != INST_OK)
        ops->rollback(app->db);
    inst_buf_free(&json);
    inst_attrs_unref(system);
    return st;
}

static enum inst_status load_catalog(struct inst_app *app, struct inst_err *err) {
    struct inst_attrs *known = NULL, *attrs = NULL;
    struct inst_attr_entry *entries = NULL;
    size_t count = 0;
    enum inst_status st = app->db->db_ops->load_attrs(app->db, &known, err);
    if (st != INST_OK)
        return st;
    size_t known_count = inst_attrs_count(known);
    entries = calloc(known_count + SYSTEM_ATTRS_MAX, sizeof *entries);
    if (entries == NULL) {
        st = inst_err_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < known_count; i++) {
        const struct inst_attr *attr = inst_attrs_at(known, i);
        entries[count++] = (struct inst_attr_entry){attr->id, attr->json, attr->row};
    }
    /* Later entries count: the program's own system attrs over those in the file. */
    if ((st = add_system_attrs(app, known, entries, &count, err)) != INST_OK ||
        (st = inst_catalog_attrs(entries, count, &attrs, err)) != INST_OK ||
        (st = inst_catalog_new(attrs, &app->catalog, err)) != INST_OK)
        goto out;
    app->committed = inst_catalog_ref(app->catalog);
    app->db->store.attrs = app->catalog->attrs;
out:
    free(entries);
    inst_attrs_unref(known);
    return st;
}

static enum inst_status open_app(struct inst_server *server, const struct inst_app_info *info,
                                 struct inst_app **out, struct inst_err *err) {
    struct inst_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        return inst_err_nomem(err);
    app->server = server;
    app->info = *info;
    app->used = server->turn;
    inst_changes_init(&app->changes, server->seed);
    enum inst_status st = server->host.apps->open(server->host.apps_ctx, info->id, &app->db, err);
    if (st == INST_OK)
        st = load_catalog(app, err);
    if (st == INST_OK)
        st = inst_app_rules(app, &(struct inst_rules *){NULL}, err);
    if (st == INST_OK)
        st = inst_app_read_status(app, err);
    if (st == INST_OK)
        st = inst_live_new(app, &app->live, err);
    if (st == INST_OK)
        st = inst_jobs_open(app, err);
    if (st == INST_OK)
        st = inst_webhooks_open(app, err);
    if (st == INST_OK) {
        app->last_tx = app->made_tx = app->db->db_ops->last_tx_id(app->db);
        if (!inst_table_put(&server->apps_by_id, app_key(info->id), app))
            st = inst_err_nomem(err);
    }
    if (st != INST_OK) {
        inst_app_free(app);
        return st;
    }
    app->next = server->apps;
    server->apps = app;
    server->app_count++;
    inst_purge_look(app);
    server->has_reaction_work = server->has_reaction_work || server->functions != NULL;
    *out = app;
    return INST_OK;
}

enum inst_status inst_app_get(struct inst_server *server, const char *id, struct inst_app **out,
                              struct inst_err *err) {
    struct inst_app_info info;
    struct inst_app *app = inst_table_get(&server->apps_by_id, app_key(id));
    if (app != NULL && !app->is_removed) {
        app->used = server->turn;
        *out = app;
        return INST_OK;
    }
    enum inst_status st = server->host.apps->find(server->host.apps_ctx, id, &info, err);
    return st != INST_OK ? st : open_app(server, &info, out, err);
}

static void drop_answers(struct inst_app *app) {
    for (size_t i = 0; i < app->answer_count; i++) {
        free(app->answers[i].event_id);
        inst_shared_unref(app->answers[i].refusal);
    }
    app->answer_count = 0;
}

void inst_app_free(struct inst_app *app) {
    drop_answers(app);
    free(app->answers);
    inst_rooms_close(app);
    inst_streams_free(app);
    inst_reactions_free(app);
    inst_feeds_free(app);
    inst_live_free(app->live);
    inst_jobs_free(app->jobs);
    inst_webhooks_free(app);
    inst_rules_free(app->rules);
    inst_rate_limits_free(app->rate_limits);
    if (app->db != NULL) {
        app->db->store.attrs = NULL; /* the catalog's; the file would let go of it once more */
        app->db->db_ops->close(app->db);
    }
    inst_catalog_unref(app->catalog);
    inst_catalog_unref(app->committed);
    inst_changes_free(&app->changes);
    free(app);
}

static void close_app(struct inst_server *server, struct inst_app *app) {
    struct inst_app **link = &server->apps;
    while (*link != app)
        link = &(*link)->next;
    *link = app->next;
    server->app_count--;
    server->removed_count -= app->is_removed;
    inst_table_remove(&server->apps_by_id, app_key(app->info.id));
    inst_app_free(app);
}

static bool is_used(const struct inst_app *app) {
    return app->sessions != NULL || app->is_group_open || app->streams.count > 0 ||
           app->holds > 0 || inst_jobs_are_due(app) || inst_webhooks_need(app) ||
           inst_reactions_are_due(app);
}

static void close_removed(struct inst_server *server) {
    for (struct inst_app *app = server->apps, *next; app != NULL; app = next) {
        next = app->next;
        if (app->is_removed && !is_used(app))
            close_app(server, app);
    }
}

void inst_app_close_idle(struct inst_server *server) {
    if (server->removed_count > 0)
        close_removed(server);
    if (server->app_count <= INST_SERVER_MAX_IDLE_APPS)
        return;
    size_t idle = 0;
    struct inst_app *oldest = NULL;
    for (struct inst_app *app = server->apps; app != NULL; app = app->next) {
        if (is_used(app))
            continue;
        idle++;
        if (oldest == NULL || app->used < oldest->used)
            oldest = app;
    }
    if (idle > INST_SERVER_MAX_IDLE_APPS)
        close_app(server, oldest);
}

enum inst_status inst_server_hold_app(struct inst_server *server, const char *app_id,
                                      struct inst_app_db **db, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    if (st != INST_OK)
        return st;
    app->holds++;
    *db = app->db;
    return INST_OK;
}

void inst_server_release_app(struct inst_server *server, const char *app_id) {
    struct inst_app *app = inst_table_get(&server->apps_by_id, app_key(app_id));
    if (app != NULL && app->holds > 0)
        app->holds--;
}

/* ---- the group ---- */

static enum inst_status begin_group(struct inst_app *app, struct inst_err *err) {
    if (app->is_group_open)
        return INST_OK;
    enum inst_status st = app->db->db_ops->begin(app->db, err);
    if (st != INST_OK)
        return st;
    app->is_group_open = true;
    app->next_open = app->server->open_groups;
    app->server->open_groups = app;
    return INST_OK;
}

static void use_catalog(struct inst_app *app, struct inst_catalog *catalog) {
    if (app->catalog == catalog)
        return;
    inst_catalog_unref(app->catalog);
    app->catalog = inst_catalog_ref(catalog);
    app->db->store.attrs = catalog->attrs;
}

void inst_app_loaded(struct inst_app *app, struct inst_catalog *catalog) {
    use_catalog(app, catalog);
    inst_catalog_unref(app->committed);
    app->committed = inst_catalog_ref(catalog);
}

/* The whole group is as if it had never been. */
static void undo_group(struct inst_app *app) {
    app->db->db_ops->rollback(app->db);
    use_catalog(app, app->committed);
    app->made_tx = app->last_tx;
    app->has_quiet_writes = false;
    inst_changes_clear(&app->changes);
}

bool inst_app_answer_later(struct inst_app *app, struct inst_answer answer) {
    if (app->answer_count == app->answer_cap) {
        size_t cap = app->answer_cap == 0 ? 16 : app->answer_cap * 2;
        struct inst_answer *answers = realloc(app->answers, cap * sizeof *answers);
        if (answers == NULL)
            return false;
        app->answers = answers;
        app->answer_cap = cap;
    }
    app->answers[app->answer_count++] = answer;
    return true;
}

void inst_app_forget_session(struct inst_app *app, struct inst_session *session) {
    for (size_t i = 0; i < app->answer_count; i++)
        if (app->answers[i].session == session)
            app->answers[i].session = NULL;
}

static void send_ok(struct inst_app *app, const struct inst_answer *answer) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "transact-ok");
    inst_buf_addf(&buf, ",\"client-event-id\":%s,\"tx-id\":", answer->event_id);
    inst_buf_add_int(&buf, answer->tx_id);
    inst_reply_end(&buf, &app->server->tracer);
    inst_server_send(answer->session, &buf);
}

static void send_lost(struct inst_app *app, const struct inst_answer *answer,
                      const struct inst_err *err) {
    struct inst_value id = inst_null();
    inst_json_parse(&app->server->scratch, answer->event_id, strlen(answer->event_id), &id, NULL);
    struct inst_member members[2] = {{"op", 2, inst_cstring("transact")},
                                     {"client-event-id", 15, id}};
    struct inst_value event = inst_object(members, 2);
    inst_server_send_error(answer->session, err, &event);
}

/* lost: why nothing of the group was kept, or NULL. Refusals stand either way. */
static void send_answers(struct inst_app *app, const struct inst_err *lost) {
    struct inst_server *server = app->server;
    for (size_t i = 0; i < app->answer_count; i++) {
        const struct inst_answer *answer = &app->answers[i];
        if (answer->session == NULL)
            continue;
        if (answer->refusal != NULL)
            server->host.send(server->host.ctx, answer->session->connection, answer->refusal);
        else if (lost != NULL && answer->tx_id > app->last_tx)
            send_lost(app, answer, lost);
        else
            send_ok(app, answer);
    }
}

/* Whatever these sessions' queries show now holds all up to here, also what was not sent because it
 * did not change: a client can let go of the writes that it still lays over such results. Only for
 * sessions that asked for it in `init`; the official protocol has no such message. */
static void send_current(struct inst_app *app) {
    for (size_t i = 0; i < app->answer_count; i++) {
        struct inst_session *session = app->answers[i].session;
        if (session == NULL || !session->wants_current || session->current_tx == app->last_tx)
            continue;
        struct inst_buf buf;
        session->current_tx = app->last_tx;
        inst_buf_init(&buf);
        inst_reply_begin(&buf, "refresh-ok");
        inst_buf_add_str(&buf, ",\"current\":true,\"computations\":[],\"processed-tx-id\":");
        inst_buf_add_int(&buf, app->last_tx);
        inst_reply_end(&buf, &app->server->tracer);
        inst_server_send(session, &buf);
    }
}

void inst_app_answer_now(struct inst_app *app) {
    send_answers(app, NULL);
    send_current(app);
    drop_answers(app);
}

static void close_group(struct inst_app *app) {
    struct inst_app **link = &app->server->open_groups;
    while (*link != app)
        link = &(*link)->next_open;
    *link = app->next_open;
    app->is_group_open = false;
}

static void lose_group(struct inst_app *app, const struct inst_err *why) {
    undo_group(app);
    close_group(app);
    send_answers(app, why);
    drop_answers(app);
}

/* Every transaction has a millisecond of its own, so that what a client sent in a row keeps that
 * order when it is ordered by its making: equal ones are told apart by their random ids. Upstream
 * needs no such rule, its commits take longer. */
static int64_t transaction_ms(struct inst_app *app) {
    const struct inst_env *env = app->server->env;
    int64_t now = env->now_ms(env->ctx), ahead = app->made_ms - now;
    if (ahead < 0 || ahead > INST_TX_AHEAD_MS) /* the clock was set back */
        app->made_ms = now;
    else if (ahead < INST_TX_AHEAD_MS)
        app->made_ms++;
    return app->made_ms;
}

/* Runs a transaction in the group; who, event and rights are set. */
static enum inst_status run_in_group(struct inst_app *app, struct inst_transaction *transaction,
                                     const struct inst_value *steps, int64_t *tx_id,
                                     struct inst_err *err) {
    struct inst_server *server = app->server;
    enum inst_status st = begin_group(app, err);
    if (st != INST_OK)
        return st;
    transaction->env = server->env;
    transaction->db = app->db;
    transaction->arena = &server->scratch;
    transaction->tx_id = app->made_tx + 1;
    transaction->at_ms = transaction_ms(app);
    transaction->catalog = app->catalog;
    transaction->changes = &app->changes;
    st = inst_transaction_run(transaction, steps, err);
    app->catalog = transaction->catalog;
    if (st == INST_OK) {
        app->made_tx += transaction->is_logged;
        app->has_quiet_writes =
            app->has_quiet_writes || (transaction->has_written && !transaction->is_logged);
        *tx_id = app->made_tx;
    } else if (transaction->is_group_lost) {
        struct inst_err why = {0};
        inst_err_set(&why, "sql-exception", 500,
                     "The transactions of this moment could not be kept; send it again.");
        lose_group(app, &why);
        inst_err_clear(&why);
    }
    return st;
}

enum inst_status inst_app_transact(struct inst_app *app, const struct inst_value *steps,
                                   const struct inst_tx_source *source, int64_t *tx_id,
                                   bool *is_repeated, struct inst_err *err) {
    const struct inst_viewer *viewer = source->viewer;
    char who[INST_VIEWER_WHO_MAX];
    struct inst_tx_permit permit;
    *is_repeated = false;
    if (source->event != NULL) {
        enum inst_status st = app->db->db_ops->find_event(app->db, source->event, tx_id, err);
        if (st != INST_OK)
            return st;
        *is_repeated = *tx_id != 0;
        if (*is_repeated)
            return INST_OK;
    }
    enum inst_status st = source->at_any_status ? INST_OK : inst_app_check_write(app, err);
    if (st != INST_OK)
        return st;
    inst_viewer_who(viewer, who);
    inst_tx_permit_init(&permit, app, source->rules != NULL ? source->rules : app->rules, viewer,
                        &app->db->store, &app->server->scratch);
    permit.report = source->report;
    permit.permissions.explains = source->report != NULL;
    permit.report_ctx = source->report_ctx;
    struct inst_check_source asked = {app, viewer};
    struct inst_tx_checks checks;
    struct inst_transaction transaction = {
        .is_admin = viewer->is_admin,
        .permit = viewer->is_admin ? NULL : &permit,
        .checks = inst_app_checks(&asked, &checks) ? &checks : NULL,
        .event = source->event,
        .who = who,
    };
    st = run_in_group(app, &transaction, steps, tx_id, err);
    inst_tx_permit_release(&permit);
    return st;
}

enum inst_status inst_app_transact_now(struct inst_app *app, const struct inst_value *steps,
                                       const char *who, struct inst_err *err) {
    static const struct inst_viewer engine = {.is_admin = true};
    struct inst_check_source asked = {app, &engine};
    struct inst_tx_checks checks;
    struct inst_transaction transaction = {
        .is_admin = true,
        .is_engine = true,
        .who = who,
        .checks = inst_app_checks(&asked, &checks) ? &checks : NULL,
    };
    int64_t tx_id;
    enum inst_status st = inst_app_check_write(app, err);
    if (st != INST_OK)
        return st;
    st = run_in_group(app, &transaction, steps, &tx_id, err);
    inst_app_commit(app);
    if (st == INST_OK && app->last_tx < tx_id)
        st = inst_err_set(err, "sql-exception", 500, "The transaction could not be kept.");
    return st;
}

enum inst_status inst_app_run(struct inst_app *app, inst_tx_fn *fn, void *ctx, const char *who,
                              struct inst_err *err) {
    struct inst_transaction transaction = {
        .is_admin = true, .who = who, .apply = fn, .apply_ctx = ctx};
    int64_t tx_id;
    return run_in_group(app, &transaction, NULL, &tx_id, err);
}

void inst_app_give_up(struct inst_app *app, const struct inst_err *why) { lose_group(app, why); }

void inst_app_commit(struct inst_app *app) {
    struct inst_server *server = app->server;
    struct inst_err err = {0};
    if (!app->is_group_open)
        return;
    if (app->made_tx == app->last_tx &&
        !app->has_quiet_writes) { /* nothing but refusals: no need to touch the disk */
        undo_group(app);
        close_group(app);
        send_answers(app, NULL);
        drop_answers(app);
        return;
    }
    inst_jobs_committing(app);
    if (app->db->db_ops->commit(app->db, &err) != INST_OK) {
        if (server->env->log != NULL)
            server->env->log(server->env->ctx, INST_LOG_ERROR, err.message);
        lose_group(app, &err);
        inst_err_clear(&err);
        return;
    }
    server->stats.commits++;
    server->stats.transactions += (uint64_t)(app->made_tx - app->last_tx);
    app->last_tx = app->made_tx;
    app->has_quiet_writes = false;
    inst_catalog_unref(app->committed);
    app->committed = inst_catalog_ref(app->catalog);
    close_group(app);
    send_answers(app, NULL);
    inst_live_refresh(app->live, &app->changes);
    inst_jobs_committed(app, app->changes.is_catalog_new);
    inst_changes_clear(&app->changes);
    inst_sync_committed(app);
    inst_reactions_wake(app);
    inst_polls_wake(server);
    send_current(app);
    drop_answers(app);
}

enum inst_status inst_app_set_note(struct inst_app *app, const char *key, const char *bytes,
                                   size_t len, struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    enum inst_status st = ops->begin(app->db, err);
    if (st != INST_OK)
        return st;
    st = ops->set_note(app->db, key, bytes, len, err);
    if (st == INST_OK)
        return ops->commit(app->db, err);
    ops->rollback(app->db);
    return st;
}

enum inst_status inst_app_try(struct inst_app *app, const struct inst_value *steps,
                              const struct inst_tx_source *source, inst_keep_fn *keep, void *ctx,
                              int64_t *tx_id, bool *is_kept, struct inst_err *err) {
    bool is_repeated, is_wanted = false;
    enum inst_status st = inst_app_transact(app, steps, source, tx_id, &is_repeated, err);
    *is_kept = false;
    if (st == INST_OK)
        st = keep(ctx, &is_wanted, err);
    if (st == INST_OK && is_wanted) {
        inst_app_commit(app);
        *is_kept = app->last_tx == *tx_id;
        return *is_kept ? INST_OK
                        : inst_err_set(err, "sql-exception", 500,
                                       "The transaction could not be kept; send it again.");
    }
    if (app->is_group_open) {
        undo_group(app);
        close_group(app);
    }
    return st;
}

/* ---- making ---- */

/* A schema that cannot be is refused before there is an app. */
static enum inst_status judge_schema(struct inst_server *server, const struct inst_value *json,
                                     struct inst_err *err) {
    static const char *const path[] = {"body", "schema"};
    const struct inst_schema *schema;
    struct inst_value attrs;
    if (json->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, json);
    enum inst_status st = inst_schema_read(&server->scratch, json, &schema, err);
    return st != INST_OK ? st
                         : inst_schema_attrs(&server->scratch, schema, server->env, &attrs, err);
}

/* Schema attrs are one transaction of an admin. */
static enum inst_status apply_schema(struct inst_app *app, const struct inst_value *schema_json,
                                     struct inst_err *err) {
    struct inst_arena *scratch = &app->server->scratch;
    const struct inst_schema *schema;
    struct inst_value attrs;
    enum inst_status st;
    if ((st = inst_schema_read(scratch, schema_json, &schema, err)) != INST_OK ||
        (st = inst_schema_attrs(scratch, schema, app->server->env, &attrs, err)) != INST_OK)
        return st;
    if (attrs.len == 0)
        return INST_OK;
    struct inst_value *steps = inst_arena_alloc(scratch, (size_t)attrs.len * sizeof *steps);
    struct inst_value *parts = inst_arena_alloc(scratch, (size_t)attrs.len * 2 * sizeof *parts);
    if (steps == NULL || parts == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < attrs.len; i++) {
        struct inst_value *pair = parts + (size_t)i * 2;
        pair[0] = inst_cstring("add-attr");
        pair[1] = attrs.u.items[i];
        steps[i] = inst_array(pair, 2);
    }
    struct inst_value list = inst_array(steps, attrs.len);
    int64_t tx_id;
    bool is_repeated;
    const struct inst_viewer admin = {.is_admin = true};
    const struct inst_tx_source source = {.viewer = &admin};
    st = inst_app_transact(app, &list, &source, &tx_id, &is_repeated, err);
    inst_app_commit(app);
    if (st == INST_OK && app->last_tx < tx_id)
        st = inst_err_set(err, "sql-exception", 500, "The schema could not be kept.");
    return st;
}

enum inst_status inst_server_create_app_as(struct inst_server *server, const char *title,
                                           const struct inst_value *schema,
                                           struct inst_app_info *info,
                                           char token[INST_UUID_TEXT + 1], struct inst_err *err) {
    snprintf(info->title, sizeof info->title, "%s", title);
    if (info->id[0] == 0)
        inst_uuid_make_text(server->env, info->id);
    inst_uuid_make_text(server->env, token);
    return inst_server_make_app(server, info, token, schema, err);
}

enum inst_status inst_server_make_app(struct inst_server *server, struct inst_app_info *info,
                                      const char *token, const struct inst_value *schema,
                                      struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st;
    if (strcmp(info->id, INST_SYSTEM_APP_ID) == 0)
        return inst_refuse_catalog_app(err, info->id);
    info->created_ms = server->env->now_ms(server->env->ctx);
    if (schema != NULL && (st = judge_schema(server, schema, err)) != INST_OK)
        return st;
    st = server->host.apps->create(server->host.apps_ctx, info, token, err);
    if (st != INST_OK || schema == NULL)
        return st;
    if ((st = inst_app_get(server, info->id, &app, err)) != INST_OK)
        return st;
    return apply_schema(app, schema, err);
}

enum inst_status inst_server_create_app(struct inst_server *server, const char *title,
                                        const struct inst_value *schema, int64_t expires_ms,
                                        struct inst_app_info *info, char token[INST_UUID_TEXT + 1],
                                        struct inst_err *err) {
    *info = (struct inst_app_info){.expires_ms = expires_ms};
    return inst_server_create_app_as(server, title, schema, info, token, err);
}

/* ---- removing ---- */

enum inst_status inst_server_remove_app(struct inst_server *server, const char *app_id,
                                        struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    if (st != INST_OK)
        return st;
    inst_app_commit(app);
    if ((st = server->host.apps->manage->remove(server->host.apps_ctx, app->info.id, err)) !=
        INST_OK)
        return st;
    app->is_removed = true;
    server->removed_count++;
    inst_polls_wake(server);
    app->state = INST_APP_DISABLED;
    for (struct inst_session *session = app->sessions; session != NULL; session = session->app_next)
        server->host.close(server->host.ctx, session->connection);
    return INST_OK;
}

/* ---- apps that expire ---- */

struct expired {
    int64_t now;
    char id[INST_UUID_TEXT + 1];
};

static bool is_live(void *ctx, const struct inst_app_info *info) {
    struct expired *expired = ctx;
    if (info->expires_ms == 0 || info->expires_ms > expired->now)
        return true;
    memcpy(expired->id, info->id, sizeof expired->id);
    return false;
}

/* One after the other: the list must not change while it is read. */
static void expire_apps(struct inst_server *server) {
    const struct inst_server_host *host = &server->host;
    enum inst_status st = INST_OK;
    while (st == INST_OK) {
        struct expired expired = {.now = server->env->now_ms(server->env->ctx)};
        st = host->apps->manage->each(host->apps_ctx, is_live, &expired, NULL);
        if (expired.id[0] == 0)
            return;
        if (st == INST_OK)
            st = inst_server_remove_app(server, expired.id, NULL);
    }
}

void inst_server_expire(struct inst_server *server) {
    expire_apps(server);
    for (struct inst_app *app = server->apps; app != NULL; app = app->next)
        inst_purge_look(app);
}

void inst_server_allow_ephemeral(struct inst_server *server, bool is_allowed) {
    server->has_no_ephemeral = !is_allowed;
}
