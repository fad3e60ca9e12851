#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdlib.h>

int64_t inst_messages_tx_id(const struct inst_value *v) {
    if (!v || v->tag != INST_NUMBER || !(v->u.num >= 1 && v->u.num <= 9007199254740992.0)) {
        return 0;
    }
    return (int64_t)v->u.num;
}

static void log_bad(struct inst_reactor *r, const char *op, const char *why) {
    inst_reactor_log(r, INST_LOG_ERROR, "%s from the server is not understood: %s", op, why);
}

/* ---- init-ok (session.md 5.3) ---- */

static const char *status_name(const struct inst_value *v) {
    if (!v || v->tag != INST_STRING || inst_is_string(v, "active")) {
        return "active";
    }
    return inst_is_string(v, "disabled") ? "disabled" : "read-only";
}

static void set_attrs(struct inst_reactor *r, const char *op, const struct inst_value *attrs,
                      int64_t processed_tx_id) {
    struct inst_err err = {0};
    if (inst_known_attrs_set(r, attrs, processed_tx_id, &err) != INST_OK) {
        log_bad(r, op, err.message);
    }
    inst_err_clear(&err);
}

void inst_messages_init_ok(struct inst_reactor *r, const struct inst_value *msg) {
    inst_reactor_set_status(r, INST_CONNECTION_AUTHENTICATED, NULL);
    r->attempts = 0;
    inst_reactor_set_app_status(r, status_name(inst_getz(inst_getz(msg, "app-status"), "status")));
    const struct inst_value *attrs = inst_getz(msg, "attrs");
    struct inst_value none = inst_array(NULL, 0);
    if (attrs && attrs->tag == INST_ARRAY) {
        set_attrs(r, "init-ok", attrs, 0);
    } else {
        log_bad(r, "init-ok", "attrs are missing");
    }
    if (!r->attrs) {
        set_attrs(r, "init-ok", &none, 0);
    }
    inst_queries_resend(r);
    inst_mutations_restart(r);
    inst_tables_resend(r);
    inst_streams_resend(r);
    const struct inst_value *session = inst_get_string(msg, "session-id");
    if (session) {
        char *copy = strndup(session->u.str, session->len);
        if (copy) {
            free(r->session_id);
            r->session_id = copy;
        }
    }
    inst_rooms_resend(r);
}

/* ---- results ---- */

static void take_result(struct inst_reactor *r, struct inst_live_query *query,
                        const struct inst_value *nodes, int64_t processed_tx_id) {
    struct inst_value none = inst_array(NULL, 0);
    struct inst_problem problem = {0};
    if (!nodes || nodes->tag != INST_ARRAY) {
        log_bad(r, "a result", "it is no list of nodes");
        nodes = &none;
    }
    query->heard_tx_id = processed_tx_id;
    if (inst_results_set(r, query, nodes, processed_tx_id, &problem.err) != INST_OK) {
        inst_queries_fail(r, query, &problem);
        inst_queries_fail_onces(r, query, NULL, 0, &problem);
    }
    inst_problem_clear(&problem);
}

/* A server answers on several lanes (session.md 2.5): a refresh may overtake the first answer,
 * which is older then. */
static void take_answer(struct inst_reactor *r, struct inst_live_query *query,
                        const struct inst_value *msg) {
    int64_t processed = inst_messages_tx_id(inst_getz(msg, "processed-tx-id"));
    if (processed && processed < query->heard_tx_id) {
        return;
    }
    /* What was promised of all results given before it holds for this one too (all_current). */
    take_result(r, query, inst_getz(msg, "result"),
                processed && processed < r->current_tx_id ? r->current_tx_id : processed);
}

static void add_query_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_live_query *query = inst_queries_find(r, inst_getz(msg, "q"));
    if (!query) {
        return; /* unsubscribed meanwhile */
    }
    inst_queries_ref(query);
    query->is_awaited = false;
    take_answer(r, query, msg);
    inst_mutations_clean_by_queries(r);
    inst_queries_touch(r, query);
    inst_queries_settle_onces(r, query);
    inst_mutations_clean_by_time(r);
    inst_queries_unref(query);
}

static void add_query_exists(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_live_query *query = inst_queries_find(r, inst_getz(msg, "q"));
    if (query && query->has_result) {
        query->is_awaited = false;
        inst_queries_settle_onces(r, query);
    }
}

/* Our own backend says when every result it gave is right up to a transaction. Without that a
 * write to an entity outside a window stays laid over it: it looks new there, and no refresh
 * comes, since the window did not change. */
static void all_current(struct inst_reactor *r, int64_t processed) {
    r->current_tx_id = processed;
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (!query->has_result || query->is_awaited || query->processed_tx_id >= processed) {
            continue;
        }
        bool is_changed = !query->processed_tx_id ||
                          inst_mutations_lie_between(r, query->processed_tx_id, processed);
        query->processed_tx_id = processed;
        if (is_changed) {
            query->layer_epoch = 0;
            inst_queries_touch(r, query);
        }
    }
}

static void refresh_ok(struct inst_reactor *r, const struct inst_value *msg) {
    int64_t processed = inst_messages_tx_id(inst_getz(msg, "processed-tx-id"));
    const struct inst_value *attrs = inst_getz(msg, "attrs");
    if (attrs && attrs->tag == INST_ARRAY) {
        set_attrs(r, "refresh-ok", attrs, processed);
    }
    inst_mutations_clean_by_time(r);
    const struct inst_value *all = inst_getz(msg, "computations");
    if (!all || all->tag != INST_ARRAY) {
        log_bad(r, "refresh-ok", "computations are missing");
        return;
    }
    for (uint32_t i = 0; i < all->len; i++) {
        const struct inst_value *q = inst_getz(&all->u.items[i], "instaql-query");
        struct inst_live_query *query = inst_queries_find(r, q);
        if (query) {
            take_result(r, query, inst_getz(&all->u.items[i], "instaql-result"), processed);
        }
    }
    if (inst_get_true(msg, "current")) {
        all_current(r, processed);
    }
    inst_mutations_clean_by_queries(r);
    for (uint32_t i = 0; i < all->len; i++) {
        const struct inst_value *q = inst_getz(&all->u.items[i], "instaql-query");
        struct inst_live_query *query = inst_queries_find(r, q);
        if (query) {
            inst_queries_touch(r, query);
        }
    }
}

/* ---- transactions, app status ---- */

static void transact_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_mutation *m = inst_mutations_find(r, inst_getz(msg, "client-event-id"));
    int64_t tx_id = inst_messages_tx_id(inst_getz(msg, "tx-id"));
    if (!m) {
        return; /* timed out meanwhile */
    }
    if (!tx_id) {
        log_bad(r, "transact-ok", "tx-id is missing");
        return;
    }
    inst_mutations_confirm(r, m, tx_id);
    inst_mutations_clean_by_time(r);
}

static void app_status_changed(struct inst_reactor *r, const struct inst_value *msg) {
    bool was_disabled = r->is_app_known && strcmp(r->app_status, "disabled") == 0;
    const char *status = status_name(inst_get_string(msg, "status"));
    bool is_disabled = strcmp(status, "disabled") == 0;
    inst_reactor_set_app_status(r, status);
    if (is_disabled && !was_disabled) {
        struct inst_problem problem;
        inst_problem_local(&problem, "app-disabled", "This app is currently disabled.");
        inst_err_hint(&problem.err, "{\"status\":\"disabled\"}");
        inst_queries_fail_all(r, &problem);
        inst_problem_clear(&problem);
    }
    if (was_disabled && !is_disabled) {
        inst_reactor_connect(r); /* the server paused refreshes: every query is asked again */
    }
}

/* ---- errors (session.md 2.3, 5.6, 5.8, 5.11) ---- */

static void init_error(struct inst_reactor *r, const struct inst_value *msg,
                       struct inst_problem *problem) {
    const struct inst_value *type = inst_getz(msg, "type");
    const struct inst_value *record = inst_get_string(inst_getz(msg, "hint"), "record-type");
    if (type && inst_is_string(type, "record-not-found") && record &&
        inst_is_string(record, "app-user") && inst_reactor_refresh_token(r)) {
        inst_user_reject(r);
        return;
    }
    /* The official client tells only the connection's listeners (session.md 10 #9). */
    inst_queries_fail_all(r, problem);
    for (struct inst_live_query *q = r->first_query, *next; q; q = next) {
        next = q->next;
        inst_queries_fail_onces(r, q, NULL, 0, problem);
    }
    inst_reactor_set_status(r, INST_CONNECTION_ERRORED, problem);
}

static void query_error(struct inst_reactor *r, const struct inst_value *q,
                        const struct inst_value *event_id, const struct inst_problem *problem) {
    struct inst_live_query *query = inst_queries_find(r, q);
    if (!query) {
        return;
    }
    query->is_awaited = false;
    inst_queries_fail(r, query, problem);
    if (event_id && event_id->tag == INST_STRING) {
        inst_queries_fail_onces(r, query, event_id->u.str, event_id->len, problem);
    }
}

static void add_query_error(struct inst_reactor *r, const struct inst_value *msg,
                            struct inst_problem *problem) {
    const struct inst_value *q = inst_getz(inst_getz(msg, "original-event"), "q");
    if (q) {
        query_error(r, q, inst_getz(msg, "client-event-id"), problem);
    }
}

static void server_error(struct inst_reactor *r, const struct inst_value *msg) {
    /* By the op that failed. problem is the caller's. */
    static const struct {
        const char *op;
        void (*handle)(struct inst_reactor *, const struct inst_value *, struct inst_problem *);
    } table[] = {
        {"init", init_error},
        {"add-query", add_query_error},
        {"start-sync", inst_tables_start_error},
        {"start-stream", inst_writers_start_error},
        {"append-stream", inst_writers_append_error},
        {"subscribe-stream", inst_readers_error},
        {"unsubscribe-stream", inst_readers_ignore},
        {"resync-table", inst_tables_resync_error},
        {"join-room", inst_rooms_error},
        {"leave-room", inst_rooms_error},
        {"set-presence", inst_rooms_error},
        {"client-broadcast", inst_rooms_error},
    };
    const struct inst_value *event_id = inst_getz(msg, "client-event-id");
    const struct inst_value *op = inst_get_string(inst_getz(msg, "original-event"), "op");
    struct inst_problem problem;
    inst_problem_of_message(r, msg, &problem);
    struct inst_mutation *m = inst_mutations_find(r, event_id);
    size_t row = 0, rows = sizeof(table) / sizeof(table[0]);
    while (op && row < rows && !inst_is_string(op, table[row].op)) {
        row++;
    }
    if (m) {
        inst_mutations_fail(r, m, &problem);
    } else if (op && row < rows) {
        table[row].handle(r, msg, &problem);
    } else if (event_id && inst_is_string(event_id, r->init_id)) {
        init_error(r, msg, &problem);
    } else {
        inst_reactor_log(r, INST_LOG_ERROR, "the server reports (%.*s): %s", op ? (int)op->len : 1,
                         op ? op->u.str : "?", problem.err.message);
    }
    inst_problem_clear(&problem);
}

/* ---- receiving ---- */

static void handle(struct inst_reactor *r, const struct inst_value *msg) {
    static const struct {
        const char *op;
        void (*handle)(struct inst_reactor *, const struct inst_value *);
    } table[] = {
        {"init-ok", inst_messages_init_ok},
        {"add-query-ok", add_query_ok},
        {"add-query-exists", add_query_exists},
        {"refresh-ok", refresh_ok},
        {"transact-ok", transact_ok},
        {"app-status-changed", app_status_changed},
        {"start-sync-ok", inst_tables_start_ok},
        {"start-stream-ok", inst_writers_start_ok},
        {"stream-flushed", inst_writers_flushed},
        {"append-failed", inst_writers_append_failed},
        {"stream-append", inst_readers_append},
        {"sync-load-batch", inst_tables_message},
        {"sync-init-finish", inst_tables_message},
        {"sync-update-triples", inst_tables_message},
        {"error", server_error},
        {"remove-query-ok", NULL},
        {"join-room-ok", inst_rooms_join_ok},
        {"leave-room-ok", inst_rooms_leave_ok},
        {"set-presence-ok", inst_rooms_presence_ok},
        {"refresh-presence", inst_rooms_refresh_presence},
        {"patch-presence", inst_rooms_patch_presence},
        {"server-broadcast", inst_rooms_server_broadcast},
        {"client-broadcast-ok", inst_rooms_broadcast_ok},
        {"join-room-error", inst_rooms_join_error},
    };
    const struct inst_value *op = inst_get_string(msg, "op");
    if (!op) {
        log_bad(r, "a message", "it has no op");
        return;
    }
    if (r->verbose) {
        inst_reactor_log(r, INST_LOG_DEBUG, "[receive] %.*s", (int)op->len, op->u.str);
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (inst_is_string(op, table[i].op)) {
            if (table[i].handle) {
                table[i].handle(r, msg);
            }
            return;
        }
    }
    inst_reactor_log(r, INST_LOG_INFO, "unknown op %.*s", (int)(op->len < 80 ? op->len : 80),
                     op->u.str);
}

void inst_messages_receive(struct inst_reactor *r, const char *bytes, size_t len) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value msg;
    struct inst_err err = {0};
    enum inst_status status = inst_json_parse(&arena, bytes, len, &msg, &err);
    if (status == INST_NOMEM) {
        /* Updates of sync tables and streams are sent once. */
        inst_reactor_drop_transport(r, "out of memory");
    } else if (status != INST_OK) {
        log_bad(r, "a message", err.message);
    } else if (msg.tag == INST_ARRAY) {
        /* A message may end the session; those behind it are of a former one. */
        for (uint32_t i = 0; i < msg.len && r->transport == INST_TRANSPORT_OPEN; i++) {
            handle(r, &msg.u.items[i]);
        }
    } else {
        handle(r, &msg);
    }
    inst_err_clear(&err);
    inst_arena_free(&arena);
}
