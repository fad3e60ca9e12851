#include "client/sync_tables_internal.h"

#include <stdlib.h>

/* ---- what an event shows ---- */

static enum inst_status show(struct inst_reactor *r, struct inst_live_table *table,
                             const struct inst_table_row *row, struct inst_arena *arena,
                             struct inst_value *out, struct inst_err *err) {
    if (!r->attrs) {
        *out = inst_object(NULL, 0);
        return INST_OK;
    }
    return inst_table_row_object(&table->rows, row, r->attrs, r->use_date_objects, arena, out, err);
}

static enum inst_status show_all(struct inst_reactor *r, struct inst_live_table *table,
                                 struct inst_arena *arena, struct inst_value *out,
                                 struct inst_err *err) {
    const struct inst_table_rows *rows = &table->rows;
    struct inst_value *items = inst_arena_alloc(arena, (rows->count + 1) * sizeof(*items));
    struct inst_member *member = inst_arena_alloc(arena, sizeof(*member));
    enum inst_status status = items && member ? INST_OK : inst_err_nomem(err);
    for (size_t i = 0; status == INST_OK && i < rows->count; i++) {
        status = show(r, table, rows->items[i], arena, &items[i], err);
    }
    if (status == INST_OK) {
        *member = (struct inst_member){table->etype.u.str, table->etype.len,
                                       inst_array(items, rows->count)};
        *out = inst_object(member, 1);
    }
    return status;
}

const struct inst_value *inst_sync_event_data(const struct inst_sync_event *shown) {
    struct inst_table_event *event = shown->inner;
    struct inst_live_table *table = event->table;
    if (event->has_data) {
        return &event->data;
    }
    event->has_data = show_all(event->r, table, &event->arena, &event->data, NULL) == INST_OK;
    return event->has_data ? &event->data : NULL;
}

enum inst_status inst_reactor_table_data(struct inst_reactor *r, uint64_t id,
                                         struct inst_arena *arena, struct inst_value *out,
                                         struct inst_err *err) {
    struct inst_live_table *table = inst_tables_of_sub(r, id);
    *out = inst_undefined();
    return table ? show_all(r, table, arena, out, err) : INST_OK;
}

void inst_table_event_tell(struct inst_table_event *event, struct inst_sync_event *shown) {
    struct inst_reactor *r = event->r;
    uint64_t last = r->next_sub;
    shown->inner = event;
    event->has_data = false;
    for (struct inst_sub *sub = event->table->subs.first; sub && !r->is_shutdown; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && (!event->only_sub || sub->id == event->only_sub)) {
            sub->fn.table(sub->ctx, shown);
        }
    }
}

/* ---- applying ---- */

/* What goes wrong here is memory, or a table past its limits: it cannot be followed any more. */
static void give_up(struct inst_table_event *event, struct inst_err *err) {
    inst_tables_give_up(event->r, event->table);
    event->era = event->table->era;
    inst_problem_clear(&event->problem);
    inst_err_move(&event->problem.err, err);
    struct inst_reactor_error view = inst_problem_view(&event->problem);
    struct inst_sync_event shown = {.type = "Error", .error = &view};
    inst_table_event_tell(event, &shown);
}

/* The order's attr is known only when attrs are. */
enum inst_status inst_table_learn_order(struct inst_reactor *r, struct inst_live_table *table,
                                        struct inst_err *err) {
    const struct inst_attr *attr = NULL;
    if (table->rows.count) {
        return INST_OK;
    }
    if (table->order_field.tag == INST_STRING && r->attrs) {
        attr = inst_attrs_forward(r->attrs, table->etype.u.str, table->etype.len,
                                  table->order_field.u.str, table->order_field.len);
    }
    return inst_table_rows_order(&table->rows, attr, table->is_desc, err);
}

static enum inst_status use_collator(struct inst_reactor *r, struct inst_live_table *table,
                                     struct inst_err *err) {
    if (!table->rows.order.is_text) {
        return INST_OK;
    }
    enum inst_status status = r->collator ? INST_OK : inst_collator_new(&r->collator, err);
    table->rows.order.collator = r->collator;
    return status;
}

static enum inst_status load_batch(struct inst_table_event *event, struct inst_value *batch,
                                   struct inst_err *err) {
    struct inst_live_table *table = event->table;
    const struct inst_value *rows = inst_getz(&event->msg, "join-rows");
    struct inst_array_builder b;
    inst_array_begin(&b, &event->arena);
    enum inst_status status = inst_table_learn_order(event->r, table, err);
    for (uint32_t i = 0; status == INST_OK && rows && rows->tag == INST_ARRAY && i < rows->len;
         i++) {
        struct inst_table_row *row;
        struct inst_value entity;
        status = inst_table_rows_load(&table->rows, &rows->u.items[i], &row, err);
        if (status == INST_OK && row) {
            status = show(event->r, table, row, &event->arena, &entity, err);
            inst_array_add(&b, entity);
        }
    }
    if (status == INST_OK && !inst_array_end(&b, batch)) {
        status = inst_err_nomem(err);
    }
    return status;
}

static void apply_batch(struct inst_table_event *event) {
    struct inst_err err = {0};
    struct inst_value batch;
    struct inst_sync_event shown = {.type = "InitialSyncBatch", .batch = &batch};
    if (event->table->tx_id) {
        return;
    }
    if (load_batch(event, &batch, &err) != INST_OK) {
        give_up(event, &err);
    } else {
        inst_table_event_tell(event, &shown);
    }
    inst_err_clear(&err);
}

/* A transaction id: a positive integer that a double holds exactly; 0 for anything else. */
static int64_t tx_id_of(const struct inst_value *v) {
    bool is_id = v && v->tag == INST_NUMBER && v->u.num >= 1 && v->u.num <= 9007199254740992.0;
    return is_id ? (int64_t)v->u.num : 0;
}

/* The official client leaves the rows as they came until the first transaction; the server's order
 * of texts need not be ours, so they are sorted now. */
static void apply_finish(struct inst_table_event *event) {
    struct inst_err err = {0};
    struct inst_live_table *table = event->table;
    struct inst_sync_event shown = {.type = "InitialSyncComplete"};
    int64_t tx_id = tx_id_of(inst_getz(&event->msg, "tx-id"));
    if (table->tx_id || !tx_id) {
        return;
    }
    if (inst_table_learn_order(event->r, table, &err) != INST_OK ||
        use_collator(event->r, table, &err) != INST_OK) {
        give_up(event, &err);
    } else {
        table->tx_id = tx_id;
        inst_table_rows_sort(&table->rows);
        inst_kept_touch(event->r, &table->kept);
        inst_table_event_tell(event, &shown);
    }
    inst_err_clear(&err);
}

/* The changes of one entity in a transaction. */
struct group {
    const struct inst_value *id;
    struct inst_table_row *row; /* NULL: new */
    const struct inst_value **changes;
    size_t count, cap;
};

struct grouping {
    struct inst_arena *arena;
    struct inst_map by_id;
    struct group **items; /* in order of first appearance */
    size_t count, cap;
};

/* Room for one more in a list on the arena. */
static bool grow(struct inst_arena *arena, void **items, size_t count, size_t *cap, size_t size) {
    if (count < *cap) {
        return true;
    }
    size_t more = *cap ? *cap * 2 : 8;
    void *list = inst_arena_alloc(arena, more * size);
    if (!list) {
        return false;
    }
    if (count) {
        memcpy(list, *items, count * size);
    }
    *items = list;
    *cap = more;
    return true;
}

static bool add_change(struct grouping *g, const struct inst_value *change) {
    const struct inst_value *triple = inst_getz(change, "triple");
    if (!triple || triple->tag != INST_ARRAY || triple->len < 3 ||
        triple->u.items[0].tag != INST_STRING || triple->u.items[1].tag != INST_STRING) {
        return true; /* none */
    }
    const struct inst_value *id = &triple->u.items[0];
    struct group *group = inst_map_get(&g->by_id, id->u.str, id->len);
    if (!group) {
        group = inst_arena_zalloc(g->arena, sizeof(*group));
        if (!group || !grow(g->arena, (void **)&g->items, g->count, &g->cap, sizeof(*g->items)) ||
            !inst_map_add(&g->by_id, id->u.str, id->len, group)) {
            return false;
        }
        group->id = id;
        g->items[g->count++] = group;
    }
    if (!grow(g->arena, (void **)&group->changes, group->count, &group->cap,
              sizeof(*group->changes))) {
        return false;
    }
    group->changes[group->count++] = change;
    return true;
}

/* {label: {oldValue, newValue}}: the first that was removed, the last that was added; what ended as
 * it began is left out. */
static enum inst_status changed_fields(struct inst_reactor *r, const struct group *group,
                                       struct inst_arena *arena, struct inst_value *out,
                                       struct inst_err *err) {
    struct inst_object_builder b;
    struct inst_value *seen = inst_arena_alloc(arena, group->count * 2 * sizeof(*seen));
    const struct inst_attr **attrs = inst_arena_alloc(arena, group->count * sizeof(*attrs));
    size_t count = 0;
    if (!seen || !attrs) {
        return inst_err_nomem(err);
    }
    for (size_t i = 0; i < group->count; i++) {
        const struct inst_value *triple = inst_getz(group->changes[i], "triple");
        const struct inst_value *id = &triple->u.items[1], *action;
        const struct inst_attr *attr = inst_attrs_by_id(r->attrs, id->u.str, id->len);
        size_t at = 0;
        if (!attr) {
            continue;
        }
        while (at < count && attrs[at] != attr) {
            at++;
        }
        if (at == count) {
            attrs[count++] = attr;
            seen[at * 2] = seen[at * 2 + 1] = inst_undefined();
        }
        action = inst_getz(group->changes[i], "action");
        if (action && inst_is_string(action, "added")) {
            seen[at * 2 + 1] = triple->u.items[2];
        } else if (seen[at * 2].tag == INST_UNDEFINED) {
            seen[at * 2] = triple->u.items[2];
        }
    }
    inst_object_begin(&b, arena);
    for (size_t i = 0; i < count; i++) {
        if (inst_value_same(&seen[i * 2], &seen[i * 2 + 1])) {
            continue;
        }
        struct inst_member *pair = inst_arena_alloc(arena, 2 * sizeof(*pair));
        if (!pair) {
            return inst_err_nomem(err);
        }
        pair[0] = (struct inst_member){"oldValue", 8, seen[i * 2]};
        pair[1] = (struct inst_member){"newValue", 8, seen[i * 2 + 1]};
        inst_object_add(&b, attrs[i]->forward.label.u.str, attrs[i]->forward.label.len,
                        inst_object(pair, 2));
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* What a transaction did to the entities. */
struct removed {
    uint32_t place;
    struct inst_value entity;
};

struct outcome {
    struct inst_array_builder added, updated;
    struct removed *removed;
    struct inst_value *removed_entities; /* in the order of telling */
    size_t removed_count;
};

static enum inst_status apply_group(struct inst_table_event *event, const struct group *group,
                                    struct outcome *out, struct inst_err *err) {
    struct inst_live_table *table = event->table;
    struct inst_arena *arena = &event->arena;
    struct inst_table_row *row = group->row, *now;
    struct inst_value entities[2], fields;
    enum inst_status status = INST_OK;
    if (row) {
        status = show(event->r, table, row, arena, &entities[0], err);
    }
    if (status == INST_OK) {
        status = inst_table_rows_apply(&table->rows, row, group->changes, group->count, &now, err);
    }
    if (status == INST_OK && now) {
        status = show(event->r, table, now, arena, &entities[1], err);
    }
    if (status != INST_OK) {
        return status;
    }
    if (row && now) {
        status = changed_fields(event->r, group, arena, &fields, err);
        struct inst_member *members =
            status == INST_OK ? inst_arena_alloc(arena, 3 * sizeof(*members)) : NULL;
        if (!members) {
            return status == INST_OK ? inst_err_nomem(err) : status;
        }
        members[0] = (struct inst_member){"oldEntity", 9, entities[0]};
        members[1] = (struct inst_member){"newEntity", 9, entities[1]};
        members[2] = (struct inst_member){"changedFields", 13, fields};
        inst_array_add(&out->updated, inst_object(members, 3));
    } else if (row) {
        out->removed[out->removed_count++] = (struct removed){row->place, entities[0]};
    } else if (now) {
        inst_array_add(&out->added, entities[1]);
    }
    return INST_OK;
}

static int compare_removed(const void *a, const void *b) {
    uint32_t x = ((const struct removed *)a)->place, y = ((const struct removed *)b)->place;
    return x > y ? -1 : x < y;
}

/* The last of the table first, by number: the official client sorts the places as texts. */
static void order_removed(struct outcome *out) {
    qsort(out->removed, out->removed_count, sizeof(*out->removed), compare_removed);
    for (size_t i = 0; i < out->removed_count; i++) {
        out->removed_entities[i] = out->removed[i].entity;
    }
}

/* Every row that is there is found and touched before one changes. */
static bool find_rows(struct inst_table_rows *rows, struct grouping *g) {
    for (size_t i = 0; i < g->count; i++) {
        struct group *group = g->items[i];
        group->row = inst_table_rows_find(rows, group->id->u.str, group->id->len);
        if (group->row && !inst_table_rows_touch(rows, group->row)) {
            return false;
        }
    }
    return true;
}

static enum inst_status apply_changes(struct inst_table_event *event,
                                      const struct inst_value *changes, struct outcome *out,
                                      struct inst_err *err) {
    struct inst_table_rows *rows = &event->table->rows;
    struct inst_arena *arena = &event->arena;
    struct grouping g = {.arena = arena};
    enum inst_status status = INST_OK;
    inst_map_init(&g.by_id, event->table->rows.by_id.seed);
    for (uint32_t i = 0; status == INST_OK && i < changes->len; i++) {
        status = add_change(&g, &changes->u.items[i]) ? INST_OK : inst_err_nomem(err);
    }
    inst_map_free(&g.by_id);
    inst_array_begin(&out->added, arena);
    inst_array_begin(&out->updated, arena);
    out->removed = inst_arena_alloc(arena, (g.count + 1) * sizeof(*out->removed));
    out->removed_entities = inst_arena_alloc(arena, (g.count + 1) * sizeof(struct inst_value));
    if (status == INST_OK && (!out->removed || !out->removed_entities || !find_rows(rows, &g))) {
        status = inst_err_nomem(err);
    }
    for (size_t i = 0; status == INST_OK && i < g.count; i++) {
        status = apply_group(event, g.items[i], out, err);
    }
    if (status == INST_OK) {
        order_removed(out);
        status = inst_table_rows_finish(rows) ? INST_OK : inst_err_nomem(err);
    }
    return status;
}

static enum inst_status apply_tx(struct inst_table_event *event, const struct inst_value *tx,
                                 struct inst_err *err) {
    static const struct inst_value none = {.tag = INST_ARRAY};
    struct inst_live_table *table = event->table;
    const struct inst_value *changes = inst_getz(tx, "changes");
    struct outcome out = {.removed_count = 0};
    struct inst_value added, updated, removed;
    enum inst_status status = inst_table_learn_order(event->r, table, err);
    if (status == INST_OK) {
        status = use_collator(event->r, table, err);
    }
    if (status == INST_OK) {
        status = apply_changes(event, changes && changes->tag == INST_ARRAY ? changes : &none, &out,
                               err);
    }
    if (status == INST_OK &&
        (!inst_array_end(&out.added, &added) || !inst_array_end(&out.updated, &updated))) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        return status;
    }
    removed = inst_array(out.removed_entities, out.removed_count);
    struct inst_sync_event shown = {
        .type = "SyncTransaction", .added = &added, .removed = &removed, .updated = &updated};
    inst_table_event_tell(event, &shown);
    return INST_OK;
}

static void apply_updates(struct inst_table_event *event) {
    struct inst_live_table *table = event->table;
    const struct inst_value *txes = inst_getz(&event->msg, "txes");
    struct inst_err err = {0};
    if (!table->tx_id) {
        return; /* in front of the snapshot's end: none that we know sends it */
    }
    for (uint32_t i = 0;
         txes && txes->tag == INST_ARRAY && i < txes->len && inst_table_event_is_current(event);
         i++) {
        int64_t tx_id = tx_id_of(inst_getz(&txes->u.items[i], "tx-id"));
        if (tx_id <= table->tx_id) {
            continue; /* known */
        }
        table->tx_id = tx_id;
        struct inst_arena_mark mark = inst_arena_mark(&event->arena);
        if (apply_tx(event, &txes->u.items[i], &err) != INST_OK) {
            give_up(event, &err);
        }
        inst_arena_rewind(&event->arena, mark);
        if (!table->is_gone) {
            inst_kept_touch(event->r, &table->kept);
        }
    }
    inst_err_clear(&err);
}

void inst_table_event_apply(struct inst_table_event *event) {
    const struct inst_value *op = inst_get_string(&event->msg, "op");
    if (inst_is_string(op, "sync-load-batch")) {
        apply_batch(event);
    } else if (inst_is_string(op, "sync-init-finish")) {
        apply_finish(event);
    } else {
        apply_updates(event);
    }
}
