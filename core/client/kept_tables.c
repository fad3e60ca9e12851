/*
 * kept_tables.c - sync tables on disk: {"q", "id", "token", "txId", "attrs", "rows"}. Only whole
 * ones: what was loaded in part is loaded again.
 */
#include "client/sync_tables_internal.h"

#include "base/json.h"

#include <stddef.h>

static struct inst_live_table *table_of(struct inst_kept *kept) {
    return (struct inst_live_table *)((char *)kept - offsetof(struct inst_live_table, kept));
}

static bool save(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size) {
    struct inst_live_table *table = table_of(kept);
    (void)r;
    if (!table->tx_id) {
        return false;
    }
    inst_buf_add_str(out, "{\"q\":");
    inst_json_write(out, &table->q);
    inst_buf_addf(out, ",\"id\":\"%s\",\"token\":\"%s\",\"txId\":", table->id, table->token);
    inst_buf_add_int(out, table->tx_id);
    inst_buf_add_char(out, ',');
    inst_table_rows_write(&table->rows, out);
    inst_buf_add_char(out, '}');
    *size = table->rows.count;
    return true;
}

static bool is_uuid(const struct inst_value *v) {
    struct inst_uuid uuid;
    return v && v->tag == INST_STRING && v->len == INST_UUID_TEXT &&
           inst_uuid_parse(v->u.str, v->len, &uuid);
}

/* false: not understood. What there is no memory for is as good as absent. */
static bool restore(struct inst_reactor *r, struct inst_live_table *table,
                    const struct inst_value *value) {
    const struct inst_value *id = inst_getz(value, "id"), *token = inst_getz(value, "token");
    const struct inst_value *tx_id = inst_getz(value, "txId");
    char text[INST_UUID_TEXT + 1] = {0};
    struct inst_err err = {0};
    bool is_tx = tx_id && tx_id->tag == INST_NUMBER && tx_id->u.num >= 1 &&
                 tx_id->u.num <= 9007199254740992.0;
    if (!is_uuid(id) || !is_uuid(token) || !is_tx) {
        return false;
    }
    if (inst_table_learn_order(r, table, &err) != INST_OK) {
        inst_err_clear(&err);
        return true;
    }
    if (!inst_table_rows_read(&table->rows, value)) {
        return false;
    }
    memcpy(text, id->u.str, INST_UUID_TEXT);
    if (!inst_table_set_id(r, table, text)) {
        inst_table_rows_clear(&table->rows);
        return true;
    }
    memcpy(table->token, token->u.str, INST_UUID_TEXT);
    table->token[INST_UUID_TEXT] = '\0';
    table->tx_id = (int64_t)tx_id->u.num;
    inst_table_tell_loaded(r, table);
    return true;
}

static bool loaded(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err) {
    struct inst_live_table *table = table_of(kept);
    bool is_understood = true;
    if (err) {
        inst_reactor_log(r, INST_LOG_WARN, "a kept sync table cannot be read: %s", err->message);
    }
    if (!table->is_waiting) {
        return true;
    }
    table->is_waiting = false;
    const struct inst_value *q = inst_getz(value, "q");
    if (value && !q) {
        is_understood = false;
    } else if (value && r->attrs && inst_value_equal(q, &table->q)) {
        is_understood = restore(r, table, value);
    }
    inst_table_go_on(r, table);
    return is_understood;
}

static const struct inst_kept_ops table_ops = {save, loaded, NULL};

static void load(struct inst_reactor *r, struct inst_live_table *table) {
    bool may_load =
        r->persist.state == INST_PERSIST_READY || r->persist.state == INST_PERSIST_BROKEN;
    if (may_load && table->is_waiting) {
        inst_kept_load(r, &table->kept);
    }
}

void inst_table_keep(struct inst_reactor *r, struct inst_live_table *table) {
    table->kept.ops = &table_ops;
    table->kept.key = table->key;
    table->kept.is_of_user = true;
    inst_kept_begin(r, &table->kept, INST_PERSIST_SYNC);
    if (r->persist.state == INST_PERSIST_OFF) {
        inst_table_go_on(r, table);
        return;
    }
    table->is_waiting = true;
    load(r, table);
}

void inst_tables_load_all(struct inst_reactor *r) {
    for (struct inst_live_table *table = r->tables ? r->tables->first : NULL; table;
         table = table->next) {
        load(r, table);
    }
}
