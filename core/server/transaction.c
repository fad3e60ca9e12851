#include "server/transaction.h"

#include "base/text.h"
#include "server/refusal.h"
#include "server/tx.h"
#include "server/tx_permissions.h"

bool inst_tx_members_add(struct inst_tx *tx, struct inst_tx_members *members, uint32_t e,
                         const struct inst_value *etype, bool *is_new) {
    struct inst_table_key key = {e, inst_text_hash(etype->u.str, etype->len, tx->seed)};
    if (is_new != NULL)
        *is_new = false;
    if (inst_table_get(&members->set, key) != NULL)
        return true;
    if (members->count == members->cap) {
        size_t cap = members->cap == 0 ? 16 : members->cap * 2;
        struct inst_tx_member *items = inst_arena_alloc(tx->arena, cap * sizeof *items);
        if (items == NULL)
            return false;
        if (members->count > 0)
            memcpy(items, members->items, members->count * sizeof *items);
        members->items = items;
        members->cap = cap;
    }
    /* Catalogs come and go while a transaction runs: the name is copied. */
    struct inst_value name;
    if (!inst_value_dup(tx->arena, etype, &name) || !inst_table_put(&members->set, key, tx))
        return false;
    members->items[members->count++] = (struct inst_tx_member){e, name};
    if (is_new != NULL)
        *is_new = true;
    return true;
}

enum inst_status inst_tx_refuse_step(const struct inst_tx_step *step, struct inst_err *err,
                                     const char *message) {
    return inst_refuse_validation(err, "tx-step", step->raw, NULL, "%s", message);
}

static enum inst_status run_group(struct inst_tx *tx, enum inst_tx_op op, struct inst_err *err) {
    switch (op) {
    case INST_TX_ADD_TRIPLE:
        return inst_tx_add_triples(tx, err);
    case INST_TX_DEEP_MERGE:
        return inst_tx_deep_merges(tx, err);
    case INST_TX_RETRACT:
        return inst_tx_retracts(tx, err);
    case INST_TX_DELETE_ENTITY:
        return inst_tx_deletes(tx, err);
    case INST_TX_RULE_PARAMS:
    case INST_TX_OPS:
        return INST_OK;
    default:
        return inst_tx_attr_group(tx, op, err);
    }
}

/* Groups in order of first appearance (transactions.md 7). */
static enum inst_status run_groups(struct inst_tx *tx, struct inst_err *err) {
    bool is_done[INST_TX_OPS] = {false};
    for (size_t i = 0; i < tx->count; i++) {
        enum inst_tx_op op = tx->list[i].op;
        if (is_done[op])
            continue;
        is_done[op] = true;
        enum inst_status st = run_group(tx, op, err);
        if (st != INST_OK)
            return st;
    }
    return INST_OK;
}

static enum inst_status append_log(struct inst_tx *tx, struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_addf(&text, "{\"triples\":[");
    inst_buf_add(&text, tx->log_triples.data, tx->log_triples.len);
    inst_buf_add_str(&text, "],\"attrs\":[");
    inst_buf_add(&text, tx->log_attrs.data, tx->log_attrs.len);
    inst_buf_add_str(&text, "]}");
    const struct inst_transaction *transaction = tx->transaction;
    struct inst_log_record record = {
        .tx_id = transaction->tx_id,
        .at_ms = tx->now,
        .event = transaction->event,
        .who = transaction->who,
        .who_len = strlen(transaction->who),
        .changes = text.data,
        .changes_len = text.len,
    };
    enum inst_status st = text.failed || tx->log_triples.failed || tx->log_attrs.failed
                              ? inst_err_nomem(err)
                              : tx->db->db_ops->append_log(tx->db, &record, err);
    inst_buf_free(&text);
    return st;
}

static enum inst_status apply(struct inst_tx *tx, const struct inst_value *steps,
                              struct inst_err *err) {
    enum inst_status st;
    if ((st = inst_tx_shape(tx, steps, err)) != INST_OK ||
        (st = inst_tx_expand_deletes(tx, err)) != INST_OK ||
        (st = inst_tx_check_rules(tx, err)) != INST_OK ||
        (st = inst_tx_check_modes(tx, err)) != INST_OK ||
        (st = inst_tx_permit_before(tx, err)) != INST_OK || (st = run_groups(tx, err)) != INST_OK ||
        (st = inst_tx_run_checks(tx, err)) != INST_OK ||
        (st = inst_tx_check_required(tx, err)) != INST_OK ||
        (st = inst_tx_check_updated_required(tx, err)) != INST_OK ||
        (st = inst_tx_permit_after(tx, err)) != INST_OK ||
        (st = inst_tx_save_kinds(tx, err)) != INST_OK)
        return st;
    return append_log(tx, err);
}

static enum inst_status apply_fn(struct inst_tx *tx, struct inst_err *err) {
    struct inst_transaction *transaction = tx->transaction;
    enum inst_status st = transaction->apply(transaction->apply_ctx, tx, err);
    bool has_changes = tx->log_triples.len > 0 || tx->log_attrs.len > 0 || tx->log_triples.failed ||
                       tx->log_attrs.failed;
    if (st == INST_OK && has_changes)
        st = append_log(tx, err);
    transaction->is_logged = has_changes;
    transaction->has_written = has_changes || tx->has_written;
    return st;
}

void inst_tx_release(struct inst_tx *tx) {
    inst_table_free(&tx->attr_steps);
    inst_table_free(&tx->handles);
    inst_table_free(&tx->newborn);
    inst_table_free(&tx->lookups);
    inst_table_free(&tx->made);
    inst_table_free(&tx->kinds);
    inst_table_free(&tx->fresh.set);
    inst_table_free(&tx->touched.set);
    inst_table_free(&tx->deletes.set);
    inst_buf_free(&tx->log_triples);
    inst_buf_free(&tx->log_attrs);
}

enum inst_status inst_transaction_run(struct inst_transaction *transaction,
                                      const struct inst_value *steps, struct inst_err *err) {
    struct inst_app_db *db = transaction->db;
    struct inst_changes_mark mark = inst_changes_mark(transaction->changes);
    struct inst_tx tx = {
        .transaction = transaction,
        .env = transaction->env,
        .db = db,
        .store = &db->store,
        .arena = transaction->arena,
        .catalog = inst_catalog_ref(transaction->catalog),
        .changes = transaction->changes,
        .is_admin = transaction->is_admin,
        .permit = transaction->permit,
        .now = transaction->at_ms,
        .seed = transaction->changes->seed,
    };
    transaction->is_group_lost = false;
    enum inst_status st = db->db_ops->savepoint(db, err);
    if (st == INST_OK) {
        transaction->is_logged = transaction->has_written = true;
        st = transaction->apply != NULL ? apply_fn(&tx, err) : apply(&tx, steps, err);
        if (st == INST_OK)
            st = db->db_ops->release(db, err);
        if (st != INST_OK)
            transaction->is_group_lost = db->db_ops->undo(db, NULL) != INST_OK;
    }
    if (st == INST_OK) {
        inst_catalog_unref(transaction->catalog);
        transaction->catalog = tx.catalog;
    } else {
        inst_changes_rewind(transaction->changes, mark);
        inst_catalog_unref(tx.catalog);
        db->store.attrs = transaction->catalog->attrs;
    }
    inst_tx_release(&tx);
    return st;
}
