#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/refusal.h"

#include <stdio.h>

/* ---- system columns (transactions.md 12.3), for admins too ---- */

static bool is_system_etype(const struct inst_value *etype) {
    return etype != NULL && etype->tag == INST_STRING && etype->len > 0 && etype->u.str[0] == '$';
}

static bool is_open_etype(const struct inst_value *etype) {
    return inst_is_string(etype, "$users") || inst_is_string(etype, "$files") ||
           inst_is_string(etype, "$streams");
}

static enum inst_status check_system_triple(struct inst_tx *tx, const struct inst_tx_step *step,
                                            struct inst_err *err) {
    struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
    if (!is_system_etype(attr.etype))
        return INST_OK;
    bool is_path = inst_is_string(attr.etype, "$files") && inst_is_string(attr.label, "path");
    bool is_open = is_path || (is_open_etype(attr.etype) && inst_is_string(attr.label, "id"));
    bool is_closed = inst_is_string(attr.etype, "$files") || inst_is_string(attr.etype, "$streams");
    if (attr.is_system && !is_open && (is_closed || !tx->is_admin)) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_addf(
            &text, "%.*s.%.*s is a system column. You aren't allowed to change this directly.",
            (int)attr.etype->len, attr.etype->u.str, (int)attr.label->len, attr.label->u.str);
        enum inst_status st =
            text.failed ? inst_err_nomem(err) : inst_tx_refuse_step(step, err, text.data);
        inst_buf_free(&text);
        return st;
    }
    if (is_path && step->v->tag == INST_STRING && step->v->len >= 8 &&
        memcmp(step->v->u.str, "$stream/", 8) == 0)
        return inst_tx_refuse_step(step, err, "The path for stream files can't be edited.");
    return INST_OK;
}

static enum inst_status check_system_delete(struct inst_tx *tx, const struct inst_value *etype,
                                            const struct inst_value *e, struct inst_err *err) {
    if (!is_system_etype(etype) || tx->is_admin || inst_is_string(etype, "$files"))
        return INST_OK;
    struct inst_value step[3] = {inst_cstring("delete-entity"), *e, *etype};
    struct inst_value input = inst_array(step, 3);
    return inst_refuse_validation(
        err, "tx-step", &input, NULL,
        "%.*s is a system entity. You aren't allowed to delete this directly.", (int)etype->len,
        etype->u.str);
}

/* As asked for (a lookup that finds nothing deletes nothing), and what comes along. */
static enum inst_status check_system_deletes(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        if (step->op == INST_TX_DELETE_ENTITY && !inst_tx_is_lookup(step->e))
            st = check_system_delete(tx, step->etype, step->e, err);
    }
    for (size_t i = 0; st == INST_OK && i < tx->deletes.count; i++) {
        struct inst_value e = tx->store->ops->entity_id(tx->store, tx->deletes.items[i].e);
        st = check_system_delete(tx, &tx->deletes.items[i].etype, &e, err);
    }
    return st;
}

/* ---- what a session without admin token may not do ---- */

#define OTHER_NAMESPACE                                                                            \
    "Invalid transaction. The namespace in the lookup attribute is different from the namespace "  \
    "of the attribute that is being set"

static enum inst_status check_lookup_etype(struct inst_tx *tx, const struct inst_tx_step *step,
                                           const struct inst_value *lookup,
                                           const struct inst_value *etype, struct inst_err *err) {
    struct inst_tx_attr attr = inst_tx_attr_of(tx, &lookup->u.items[0]);
    if (attr.etype == NULL)
        return inst_refuse_validation(
            err, "lookup", lookup, NULL,
            "Invalid lookup. Could not determine namespace from lookup attribute.");
    if (etype != NULL && !inst_value_equal(attr.etype, etype))
        return inst_tx_refuse_step(step, err, OTHER_NAMESPACE);
    return INST_OK;
}

static enum inst_status check_link_value(struct inst_tx *tx, const struct inst_tx_step *step,
                                         const struct inst_tx_attr *attr, struct inst_err *err) {
    struct inst_uuid uuid;
    if (attr->reverse_etype == NULL)
        return INST_OK;
    if (inst_tx_is_value_lookup(step->v))
        return check_lookup_etype(tx, step, step->v, attr->reverse_etype, err);
    if (step->v->tag == INST_ARRAY ||
        (step->v->tag == INST_STRING && inst_uuid_parse(step->v->u.str, step->v->len, &uuid)))
        return INST_OK;
    struct inst_buf more;
    inst_buf_init(&more);
    inst_buf_add_str(&more, "\"hint\":{\"tx-step\":");
    inst_write_bounded(&more, step->raw);
    inst_buf_add_char(&more, '}');
    enum inst_status st = more.failed ? inst_err_nomem(err)
                                      : inst_refuse_validation(err, "eid", step->v, more.data,
                                                               "Expected link value to be a uuid.");
    inst_buf_free(&more);
    return st;
}

static enum inst_status check_user_step(struct inst_tx *tx, const struct inst_tx_step *step,
                                        struct inst_err *err) {
    enum inst_status st;
    switch (step->op) {
    case INST_TX_UPDATE_ATTR:
    case INST_TX_DELETE_ATTR:
    case INST_TX_RESTORE_ATTR:
        return inst_refuse_permission(err, "attrs", "attr");
    case INST_TX_ADD_TRIPLE:
    case INST_TX_DEEP_MERGE:
    case INST_TX_RETRACT: {
        struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
        if ((st = check_link_value(tx, step, &attr, err)) != INST_OK)
            return st;
        if (inst_tx_is_lookup(step->e))
            return check_lookup_etype(tx, step, step->e, attr.etype, err);
        return INST_OK;
    }
    default:
        return INST_OK;
    }
}

/* Users are made by signing in. */
static enum inst_status check_user_creation(struct inst_tx *tx, const struct inst_tx_step *step,
                                            struct inst_err *err) {
    struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
    if (step->op != INST_TX_ADD_TRIPLE || attr.etype == NULL ||
        !inst_is_string(attr.etype, "$users") || !inst_is_string(attr.label, "id"))
        return INST_OK;
    const struct inst_attr *id_attr = inst_tx_attr_by_id(tx, step->a);
    uint32_t e;
    enum inst_presence presence = INST_MISSING;
    enum inst_status st = inst_tx_resolve(tx, step->e, false, &e, err);
    if (st == INST_OK && e != 0 && id_attr != NULL)
        st = tx->store->ops->presence(tx->store, e, id_attr, false, &presence, err);
    if (st != INST_OK || presence != INST_MISSING)
        return st;
    return inst_tx_refuse_step(
        step, err, "$users is a system entity. You aren't allowed to create this directly.");
}

enum inst_status inst_tx_check_rules(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st;
    if (tx->transaction->is_engine)
        return INST_OK;
    for (size_t i = 0; i < tx->count; i++)
        if (tx->list[i].op <= INST_TX_RETRACT &&
            (st = check_system_triple(tx, &tx->list[i], err)) != INST_OK)
            return st;
    if ((st = check_system_deletes(tx, err)) != INST_OK || tx->is_admin)
        return st;
    for (size_t i = 0; i < tx->count; i++)
        if ((st = check_user_step(tx, &tx->list[i], err)) != INST_OK ||
            (st = check_user_creation(tx, &tx->list[i], err)) != INST_OK)
            return st;
    return INST_OK;
}

/* ---- modes (transactions.md 7.1), against the state before ---- */

struct etype_seeker {
    struct inst_tx *tx;
    const struct inst_value *etype;
    bool found;
};

static bool seek_etype(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    (void)triple;
    struct etype_seeker *seeker = ctx;
    const struct inst_attr *attr = inst_catalog_at_row(seeker->tx->catalog, attr_row);
    seeker->found = attr != NULL && inst_value_equal(&attr->forward.etype, seeker->etype);
    return !seeker->found;
}

enum inst_status inst_tx_is_of_etype(struct inst_tx *tx, struct inst_table *memo, uint32_t e,
                                     const struct inst_value *etype, bool *out,
                                     struct inst_err *err) {
    static char yes, no;
    struct inst_table_key key = {e, inst_text_hash(etype->u.str, etype->len, tx->seed)};
    const void *known = inst_table_get(memo, key);
    if (known != NULL) {
        *out = known == &yes;
        return INST_OK;
    }
    struct etype_seeker seeker = {tx, etype, false};
    const struct inst_attr *id_attr =
        inst_attrs_id_attr(tx->catalog->attrs, etype->u.str, etype->len);
    enum inst_presence presence = INST_MISSING;
    enum inst_status st = INST_OK;
    if (id_attr != NULL)
        st = tx->store->ops->presence(tx->store, e, id_attr, false, &presence, err);
    seeker.found = presence != INST_MISSING;
    if (st == INST_OK && !seeker.found)
        st = tx->db->db_ops->each_of(tx->db, e, seek_etype, &seeker, err);
    if (st != INST_OK)
        return st;
    *out = seeker.found;
    return inst_table_put(memo, key, *out ? &yes : &no) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status exists(struct inst_tx *tx, struct inst_table *memo,
                               const struct inst_tx_step *step, bool *out, struct inst_err *err) {
    uint32_t e;
    enum inst_status st = inst_tx_resolve(tx, step->e, false, &e, err);
    *out = e != 0;
    if (st != INST_OK || e == 0 || inst_tx_is_lookup(step->e))
        return st;
    struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
    *out = false;
    return attr.etype == NULL ? INST_OK : inst_tx_is_of_etype(tx, memo, e, attr.etype, out, err);
}

/* Ids named in a refusal; more would only be noise. */
#define NAMED_MAX 1000

static enum inst_status refuse_mode(struct inst_err *err, const char *what,
                                    const struct inst_tx_step *const *steps, size_t count) {
    struct inst_buf text;
    inst_buf_init(&text);
    for (size_t i = 0; i < count && i < NAMED_MAX; i++) {
        if (i > 0)
            inst_buf_add_str(&text, ", ");
        inst_write_readable(&text, steps[i]->e);
    }
    enum inst_status st = text.failed ? inst_err_nomem(err)
                                      : inst_refuse_validation(err, "tx-step", steps[0]->raw, NULL,
                                                               "%s: %s", what, text.data);
    inst_buf_free(&text);
    return st;
}

static enum inst_status check_mode(struct inst_tx *tx, struct inst_table *memo,
                                   enum inst_tx_mode mode, bool must_exist, const char *what,
                                   struct inst_err *err) {
    const struct inst_tx_step **wrong =
        inst_arena_alloc(tx->arena, (tx->count + 1) * sizeof(void *));
    size_t count = 0;
    if (wrong == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        if (step->op > INST_TX_DEEP_MERGE || step->mode != mode)
            continue;
        bool is_there;
        enum inst_status st = exists(tx, memo, step, &is_there, err);
        if (st != INST_OK)
            return st;
        if (is_there != must_exist)
            wrong[count++] = step;
    }
    return count == 0 ? INST_OK : refuse_mode(err, what, wrong, count);
}

enum inst_status inst_tx_check_modes(struct inst_tx *tx, struct inst_err *err) {
    struct inst_table memo;
    inst_table_init(&memo);
    enum inst_status st =
        check_mode(tx, &memo, INST_TX_CREATE, false, "Creating entities that exist", err);
    if (st == INST_OK)
        st = check_mode(tx, &memo, INST_TX_UPDATE, true, "Updating entities that don't exist", err);
    inst_table_free(&memo);
    return st;
}
