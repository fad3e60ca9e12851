#include "client/sync_tables_internal.h"

#include <stdlib.h>

static const struct inst_event_ops table_ops;

/* ---- life ---- */

static void unref(struct inst_live_table *table) {
    if (--table->refs > 0) {
        return;
    }
    inst_table_rows_free(&table->rows);
    inst_subs_free(&table->subs);
    inst_arena_free(&table->arena);
    free(table);
}

static uint64_t random_seed(const struct inst_reactor *r) {
    uint64_t seed;
    r->env.random(r->env.ctx, (uint8_t *)&seed, sizeof(seed));
    return seed;
}

static enum inst_status get_tables(struct inst_reactor *r, struct inst_err *err) {
    if (r->tables) {
        return INST_OK;
    }
    r->tables = calloc(1, sizeof(*r->tables));
    if (!r->tables) {
        return inst_err_nomem(err);
    }
    inst_map_init(&r->tables->by_key, random_seed(r));
    inst_map_init(&r->tables->by_id, random_seed(r));
    return INST_OK;
}

/* q's namespace and order; what the server will refuse passes here. */
static void read_query(struct inst_live_table *table) {
    const struct inst_member *first = &table->q.u.members[0];
    table->etype = inst_string(first->key, first->key_len);
    const struct inst_value *order = inst_getz(inst_getz(&first->value, "$"), "order");
    if (!order || order->tag != INST_OBJECT || !order->len) {
        return;
    }
    const struct inst_member *by = &order->u.members[0];
    table->is_desc = inst_is_string(&by->value, "desc");
    struct inst_value field = inst_string(by->key, by->key_len);
    if (!inst_is_string(&field, "serverCreatedAt")) {
        table->order_field = field;
    }
}

static enum inst_status new_table(struct inst_reactor *r, const struct inst_value *q,
                                  const char *key, struct inst_live_table **out,
                                  struct inst_err *err) {
    struct inst_tables *tables = r->tables;
    struct inst_live_table *table = calloc(1, sizeof(*table));
    if (!table) {
        return inst_err_nomem(err);
    }
    table->refs = 1;
    memcpy(table->key, key, sizeof(table->key));
    inst_arena_init(&table->arena);
    enum inst_status status =
        inst_value_dup(&table->arena, q, &table->q) ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK) {
        read_query(table);
    }
    inst_table_rows_init(&table->rows, &table->etype, random_seed(r));
    if (status == INST_OK &&
        !inst_map_add(&tables->by_key, table->key, INST_QUERY_HASH_TEXT, table)) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        unref(table);
        return status;
    }
    table->prev = tables->last;
    if (tables->last) {
        tables->last->next = table;
    } else {
        tables->first = table;
    }
    tables->last = table;
    tables->count++;
    *out = table;
    return INST_OK;
}

/* The server's subscription is no longer this table's. */
static void forget_id(struct inst_reactor *r, struct inst_live_table *table) {
    if (table->id[0]) {
        inst_map_remove(&r->tables->by_id, table->id, INST_UUID_TEXT);
    }
    table->id[0] = '\0';
    table->start_event[0] = '\0';
}

bool inst_table_set_id(struct inst_reactor *r, struct inst_live_table *table, const char *id) {
    forget_id(r, table);
    memcpy(table->id, id, sizeof(table->id));
    if (!inst_map_add(&r->tables->by_id, table->id, INST_UUID_TEXT, table)) {
        table->id[0] = '\0';
        return false;
    }
    return true;
}

static void forget(struct inst_reactor *r, struct inst_live_table *table) {
    struct inst_tables *tables = r->tables;
    forget_id(r, table);
    inst_map_remove(&tables->by_key, table->key, INST_QUERY_HASH_TEXT);
    if (table->prev) {
        table->prev->next = table->next;
    } else {
        tables->first = table->next;
    }
    if (table->next) {
        table->next->prev = table->prev;
    } else {
        tables->last = table->prev;
    }
    tables->count--;
    table->is_gone = true;
    inst_kept_end(r, &table->kept);
    unref(table);
}

void inst_tables_free(struct inst_reactor *r) {
    struct inst_tables *tables = r->tables;
    if (!tables) {
        return;
    }
    while (tables->first) {
        inst_subs_drop_all(r, &tables->first->subs);
        forget(r, tables->first);
    }
    inst_map_free(&tables->by_key);
    inst_map_free(&tables->by_id);
    free(tables);
    r->tables = NULL;
}

/* ---- to the server ---- */

static void send_start(struct inst_reactor *r, struct inst_live_table *table) {
    if (inst_reactor_is_authenticated(r)) {
        inst_uuid_make_text(&r->env, table->start_event);
        inst_outbox_send_query(r, "start-sync", table->start_event, &table->q);
    }
}

static void send_remove(struct inst_reactor *r, const char *id, bool keep) {
    char event_id[INST_UUID_TEXT + 1];
    if (!inst_reactor_is_authenticated(r)) {
        return;
    }
    inst_uuid_make_text(&r->env, event_id);
    struct inst_member members[] = {
        {"subscription-id", 15, inst_cstring(id)},
        {"keep-subscription", 17, inst_bool(keep)},
    };
    struct inst_value message = inst_object(members, 2);
    inst_outbox_send_message(r, "remove-sync", event_id, &message);
}

static void send_resync(struct inst_reactor *r, struct inst_live_table *table) {
    if (!inst_reactor_is_authenticated(r)) {
        return;
    }
    struct inst_member members[] = {
        {"subscription-id", 15, inst_cstring(table->id)},
        {"tx-id", 5, inst_number((double)table->tx_id)},
        {"token", 5, inst_cstring(table->token)},
    };
    struct inst_value message = inst_object(members, 3);
    inst_outbox_send_message(r, "resync-table", table->id, &message);
}

static void empty(struct inst_reactor *r, struct inst_live_table *table) {
    forget_id(r, table);
    if (table->tx_id) {
        inst_kept_touch(r, &table->kept);
    }
    table->era++;
    table->tx_id = 0;
    inst_table_rows_clear(&table->rows);
}

/* From nothing. */
static void start_over(struct inst_reactor *r, struct inst_live_table *table) {
    empty(r, table);
    send_start(r, table);
}

void inst_tables_give_up(struct inst_reactor *r, struct inst_live_table *table) {
    send_remove(r, table->id, false);
    empty(r, table);
}

void inst_table_go_on(struct inst_reactor *r, struct inst_live_table *table) {
    if (table->is_waiting) {
        return;
    }
    if (table->tx_id) {
        send_resync(r, table);
    } else {
        start_over(r, table);
    }
}

void inst_tables_resend(struct inst_reactor *r) {
    for (struct inst_live_table *table = r->tables ? r->tables->first : NULL; table;
         table = table->next) {
        inst_table_go_on(r, table);
    }
}

/* ---- subscribing ---- */

static void ended(struct inst_reactor *r, void *owner) {
    struct inst_live_table *table = owner;
    if (table->is_gone || table->subs.live) {
        return;
    }
    if (table->id[0]) {
        send_remove(r, table->id, table->keeps);
    }
    if (!table->keeps) {
        inst_kept_forget(r, &table->kept);
    }
    forget(r, table);
}

static void push_event(struct inst_reactor *r, struct inst_live_table *table,
                       struct inst_table_event *event) {
    event->event.ops = &table_ops;
    event->r = r;
    event->table = table;
    event->era = table->era;
    table->refs++;
    inst_events_push(r, &event->event);
}

static struct inst_table_event *new_event(struct inst_reactor *r, enum inst_table_event_kind kind) {
    struct inst_table_event *event = calloc(1, sizeof(*event));
    if (!event) {
        inst_reactor_log(r, INST_LOG_ERROR, "out of memory, an event of a sync table is lost");
        return NULL;
    }
    event->kind = kind;
    inst_arena_init(&event->arena);
    return event;
}

static void push_loaded(struct inst_reactor *r, struct inst_live_table *table, uint64_t only_sub) {
    struct inst_table_event *event = new_event(r, INST_TABLE_LOADED);
    if (event) {
        event->only_sub = only_sub;
        push_event(r, table, event);
    }
}

void inst_table_tell_loaded(struct inst_reactor *r, struct inst_live_table *table) {
    push_loaded(r, table, 0);
}

static enum inst_status get_table(struct inst_reactor *r, const struct inst_value *q,
                                  struct inst_live_table **out, bool *is_new,
                                  struct inst_err *err) {
    char key[INST_QUERY_HASH_TEXT + 1];
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (q->tag != INST_OBJECT || !q->len) {
        return inst_err_set(err, "validation-failed", 400,
                            "A sync table's query must be an object with one namespace.");
    }
    enum inst_status status = get_tables(r, err);
    if (status == INST_OK && !inst_query_hash(q, key)) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        return status;
    }
    *out = inst_map_get(&r->tables->by_key, key, INST_QUERY_HASH_TEXT);
    *is_new = !*out;
    if (*out) {
        return INST_OK;
    }
    if (r->tables->count >= INST_REACTOR_MAX_TABLES) {
        return inst_err_set(err, "limit-exceeded", 400, "Too many sync tables at once.");
    }
    return new_table(r, q, key, out, err);
}

enum inst_status inst_reactor_subscribe_table(struct inst_reactor *r, const struct inst_value *q,
                                              inst_sync_fn *fn, void *ctx, uint64_t *id,
                                              struct inst_err *err) {
    struct inst_live_table *table;
    struct inst_sub *sub;
    bool is_new;
    *id = 0;
    enum inst_status status = get_table(r, q, &table, &is_new, err);
    if (status != INST_OK) {
        return status;
    }
    struct inst_sub like = {.fn.table = fn, .ctx = ctx, .owner = table, .ended = ended};
    status = inst_subs_add(r, &table->subs, &like, &sub, err);
    if (status != INST_OK) {
        if (is_new) {
            forget(r, table);
        }
        return status;
    }
    *id = sub->id;
    if (is_new) {
        inst_table_keep(r, table);
    } else if (table->tx_id) {
        push_loaded(r, table, sub->id);
    }
    inst_events_deliver(r);
    return INST_OK;
}

struct inst_live_table *inst_tables_of_sub(struct inst_reactor *r, uint64_t id) {
    struct inst_sub *sub = inst_map_get(&r->subs, &id, sizeof(id));
    return sub && sub->ended == ended ? sub->owner : NULL;
}

void inst_reactor_unsubscribe_table(struct inst_reactor *r, uint64_t id, bool keep) {
    struct inst_live_table *table = inst_tables_of_sub(r, id);
    if (table) {
        table->keeps = keep;
        inst_reactor_unsubscribe(r, id);
    }
}

/* ---- from the server ---- */

static bool copy_uuid(const struct inst_value *msg, const char *name,
                      char out[INST_UUID_TEXT + 1]) {
    const struct inst_value *v = inst_get_string(msg, name);
    if (!v || v->len != INST_UUID_TEXT) {
        return false;
    }
    memcpy(out, v->u.str, INST_UUID_TEXT);
    out[INST_UUID_TEXT] = '\0';
    return true;
}

static struct inst_live_table *find_table(struct inst_reactor *r, const struct inst_value *msg) {
    const struct inst_value *id = inst_get_string(msg, "subscription-id");
    return r->tables && id ? inst_map_get(&r->tables->by_id, id->u.str, id->len) : NULL;
}

static struct inst_live_table *find_started(struct inst_reactor *r, const struct inst_value *msg) {
    const struct inst_value *event_id = inst_get_string(msg, "client-event-id");
    struct inst_live_table *table = r->tables ? r->tables->first : NULL;
    while (table &&
           !(event_id && table->start_event[0] && inst_is_string(event_id, table->start_event))) {
        table = table->next;
    }
    return table;
}

/* The official client forgets about a start-sync whose listeners left before its ok, and the server
 * goes on sending for ever. */
void inst_tables_start_ok(struct inst_reactor *r, const struct inst_value *msg) {
    char id[INST_UUID_TEXT + 1];
    struct inst_live_table *table = find_started(r, msg);
    if (!copy_uuid(msg, "subscription-id", id)) {
        inst_reactor_log(r, INST_LOG_ERROR, "start-sync-ok from the server has no subscription-id");
        return;
    }
    if (!table || !copy_uuid(msg, "token", table->token)) {
        send_remove(r, id, false);
        return;
    }
    if (!inst_table_set_id(r, table, id)) {
        inst_reactor_drop_transport(r, "out of memory");
    }
}

void inst_tables_message(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_live_table *table = find_table(r, msg);
    if (!table) {
        return; /* unsubscribed meanwhile */
    }
    struct inst_table_event *event = new_event(r, INST_TABLE_MESSAGE);
    if (!event) {
        start_over(r, table); /* a gap would never be noticed */
        return;
    }
    if (!inst_value_dup(&event->arena, msg, &event->msg)) {
        inst_arena_free(&event->arena);
        free(event);
        start_over(r, table);
        return;
    }
    push_event(r, table, event);
}

void inst_tables_start_error(struct inst_reactor *r, const struct inst_value *msg,
                             struct inst_problem *problem) {
    struct inst_live_table *table = find_started(r, msg);
    char key[INST_QUERY_HASH_TEXT + 1];
    const struct inst_value *q = inst_getz(inst_getz(msg, "original-event"), "q");
    /* One that fails after its ok has no event id that waits. */
    if (!table && r->tables && q && inst_query_hash(q, key)) {
        table = inst_map_get(&r->tables->by_key, key, INST_QUERY_HASH_TEXT);
    }
    if (!table || table->tx_id) {
        return;
    }
    empty(r, table);
    struct inst_table_event *event = new_event(r, INST_TABLE_ERROR);
    if (event) {
        inst_problem_copy(&event->problem, problem);
        push_event(r, table, event);
    }
}

void inst_tables_resync_error(struct inst_reactor *r, const struct inst_value *msg,
                              struct inst_problem *problem) {
    struct inst_live_table *table = find_table(r, inst_getz(msg, "original-event"));
    if (!table) {
        return;
    }
    inst_reactor_log(r, INST_LOG_INFO, "a sync table starts over: %s", problem->err.message);
    send_remove(r, table->id, false);
    start_over(r, table);
}

/* ---- events ---- */

static void drop_event(struct inst_reactor *r, struct inst_event *base) {
    struct inst_table_event *event = (struct inst_table_event *)base;
    (void)r;
    unref(event->table);
    inst_problem_clear(&event->problem);
    inst_arena_free(&event->arena);
    free(event);
}

static void deliver_event(struct inst_reactor *r, struct inst_event *base) {
    struct inst_table_event *event = (struct inst_table_event *)base;
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    struct inst_sync_event shown = {.type = "LoadFromStorage"};
    if (r->is_shutdown || !inst_table_event_is_current(event)) {
        drop_event(r, base);
        return;
    }
    if (event->kind == INST_TABLE_MESSAGE) {
        inst_table_event_apply(event);
    } else if (event->kind == INST_TABLE_LOADED) {
        inst_table_event_tell(event, &shown);
    } else {
        shown = (struct inst_sync_event){.type = "Error", .error = &view};
        inst_table_event_tell(event, &shown);
    }
    drop_event(r, base);
}

static const struct inst_event_ops table_ops = {deliver_event, drop_event};
