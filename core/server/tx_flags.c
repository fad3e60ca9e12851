#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/limits.h"
#include "server/refusal.h"

/*
 * What the new flags of an attr ask of the triples that are there: an index, nulls, values that are
 * not repeated, links where there was text. Over many rows that is a job's work.
 */

bool inst_tx_has_many(struct inst_tx *tx, const struct inst_attr *attr) {
    struct inst_scan scan = {.attr = attr};
    return attr != NULL &&
           tx->store->ops->estimate(tx->store, &scan, INST_SERVER_AT_ONCE_ROWS + 1) >
               INST_SERVER_AT_ONCE_ROWS;
}

enum inst_status inst_tx_refuse_required(const struct inst_value *etype,
                                         const struct inst_value *label, struct inst_err *err) {
    return inst_refuse_validation(
        err, "attributes", NULL, NULL,
        "Can't update attribute `%.*s` to required because `%.*s` already have entities "
        "without it",
        (int)label->len, label->u.str, (int)etype->len, etype->u.str);
}

/* The job looks at every entity. What a count shows at once, that more entities are there than
 * have the attr, is told at once. */
static enum inst_status put_off_required(struct inst_tx *tx, const struct inst_attr *before,
                                         const struct inst_attr *id_attr, struct inst_err *err) {
    struct inst_scan all = {.attr = id_attr}, having = {.attr = before};
    struct inst_store *store = tx->store;
    size_t entities = store->ops->estimate(store, &all, INST_JOB_MAX_ESTIMATE);
    if (before->is_many || store->ops->estimate(store, &having, INST_JOB_MAX_ESTIMATE) >= entities)
        return INST_OK;
    return inst_tx_refuse_required(&before->forward.etype, &before->forward.label, err);
}

static struct inst_member is_true(const char *key) {
    return (struct inst_member){key, strlen(key), inst_bool(true)};
}

/* What is as it was until a job has looked at every row. */
static enum inst_status put_off_checks(struct inst_tx *tx, const struct inst_attr *before,
                                       const struct inst_attr *after,
                                       const struct inst_attr *id_attr, struct inst_member *out,
                                       size_t *count, struct inst_err *err) {
    enum inst_status st = INST_OK;
    if (after->is_required && !before->is_required && inst_tx_has_many(tx, id_attr)) {
        st = put_off_required(tx, before, id_attr, err);
        out[(*count)++] = (struct inst_member){"required?", 9, inst_bool(false)};
        out[(*count)++] = is_true("setting-required?");
    }
    if (!after->is_many && before->is_many && inst_tx_has_many(tx, before)) {
        out[(*count)++] = (struct inst_member){"cardinality", 11, inst_cstring("many")};
        out[(*count)++] = is_true("setting-cardinality?");
    }
    return st;
}

enum inst_status inst_tx_put_off(struct inst_tx *tx, const struct inst_attr *before,
                                 const struct inst_value *json,
                                 struct inst_member out[INST_TX_PUT_OFF_MAX], size_t *count,
                                 struct inst_err *err) {
    struct inst_attr after;
    *count = 0;
    enum inst_status st = inst_attr_read(json, &after, err);
    if (st != INST_OK || (before != NULL && before->is_ref != after.is_ref))
        return st;
    const struct inst_value *etype = &after.forward.etype;
    const struct inst_attr *id_attr =
        inst_attrs_id_attr(tx->catalog->attrs, etype->u.str, etype->len);
    bool is_index_new = after.is_indexed != (before != NULL && before->is_indexed);
    bool is_unique_new = before != NULL && after.is_unique != before->is_unique;
    bool is_busy = before != NULL &&
                   (before->is_indexing || before->is_setting_unique || before->is_checking_type);
    if ((is_index_new || is_unique_new) &&
        (is_busy || inst_tx_has_many(tx, before) ||
         (is_index_new && after.is_indexed && !after.is_ref && inst_tx_has_many(tx, id_attr)))) {
        if (is_index_new)
            out[(*count)++] = is_true("indexing?");
        if (is_unique_new)
            out[(*count)++] = is_true("setting-unique?");
    }
    return before == NULL ? INST_OK : put_off_checks(tx, before, &after, id_attr, out, count, err);
}

/* Every triple of attr, copied. */
static enum inst_status read_all(struct inst_tx *tx, const struct inst_attr *attr,
                                 struct inst_tx_kept **out, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_tx_kept **end = out;
    *out = NULL;
    enum inst_status st = tx->store->ops->scan(tx->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    struct inst_triple triple;
    int more;
    while ((more = tx->store->ops->next(&cursor, &triple, err)) == 1) {
        struct inst_tx_kept *kept = inst_arena_alloc(tx->arena, sizeof *kept);
        if (kept == NULL ||
            (triple.v.tag != INST_ENTITY && !inst_value_dup(tx->arena, &triple.v, &triple.v))) {
            st = inst_err_nomem(err);
            break;
        }
        *kept = (struct inst_tx_kept){triple, NULL};
        *end = kept;
        end = &kept->next;
    }
    tx->store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

/* Values of an attr that turns from blob to link or back are written anew. */
static enum inst_status convert(struct inst_tx *tx, const struct inst_tx_kept *kept,
                                const struct inst_attr *after, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (; st == INST_OK && kept != NULL; kept = kept->next) {
        uint32_t ref = 0;
        struct inst_value v = kept->triple.v;
        if (after->is_ref) {
            if ((st = inst_tx_resolve_value(tx, &v, true, &ref, err)) == INST_OK && ref == 0)
                st = inst_refuse_value(err, after, "", &v, false,
                                       "Linked value must be a valid uuid.");
        } else {
            v = tx->store->ops->entity_id(tx->store, kept->triple.ref);
        }
        if (st == INST_OK)
            st = inst_tx_put(tx, kept->triple.e, after, &v, ref, NULL, err);
    }
    return st;
}

/* unique? or cardinality one over what is there: no value twice, no entity twice. */
static enum inst_status check_no_repeats(struct inst_tx *tx, const struct inst_attr *after,
                                         bool by_entity, struct inst_err *err) {
    struct inst_tx_kept *kept;
    struct inst_table seen;
    bool names_entity = inst_attr_names_entity(after);
    enum inst_status st = read_all(tx, after, &kept, err);
    inst_table_init(&seen);
    for (; st == INST_OK && kept != NULL; kept = kept->next) {
        struct inst_table_key key = {kept->triple.e, 0};
        if (!by_entity) {
            struct inst_buf text;
            if (!names_entity && inst_is_nullish(&kept->triple.v))
                continue;
            inst_buf_init(&text);
            if (!names_entity)
                inst_json_write(&text, &kept->triple.v);
            key.a = names_entity ? kept->triple.ref : inst_text_hash(text.data, text.len, 1);
            key.b = names_entity ? 0 : inst_text_hash(text.data, text.len, tx->seed);
            inst_buf_free(&text);
        }
        if (inst_table_get(&seen, key) != NULL) {
            struct inst_value shown = names_entity
                                          ? tx->store->ops->entity_id(tx->store, kept->triple.ref)
                                          : kept->triple.v;
            if (by_entity) {
                st = inst_err_set(err, "record-not-unique", 400, "Record not unique: triple");
                inst_err_hint(err, "{\"record-type\":\"triple\"}");
            } else {
                st = inst_refuse_unique(err, after, &shown);
            }
        } else if (!inst_table_put(&seen, key, tx)) {
            st = inst_err_nomem(err);
        }
    }
    inst_table_free(&seen);
    return st;
}

/* Nulls for entities of the etype without this indexed blob. */
static enum inst_status fill_attr(struct inst_tx *tx, const struct inst_attr *after,
                                  struct inst_err *err) {
    const struct inst_value *etype = &after->forward.etype;
    const struct inst_attr *id_attr =
        inst_attrs_id_attr(tx->catalog->attrs, etype->u.str, etype->len);
    if (id_attr == NULL || id_attr == after)
        return INST_OK;
    struct inst_tx_kept *kept;
    enum inst_status st = read_all(tx, id_attr, &kept, err);
    for (; st == INST_OK && kept != NULL; kept = kept->next) {
        enum inst_presence presence;
        struct inst_value null = inst_null();
        st = tx->store->ops->presence(tx->store, kept->triple.e, after, false, &presence, err);
        if (st == INST_OK && presence == INST_MISSING)
            st = inst_tx_put(tx, kept->triple.e, after, &null, 0, NULL, err);
    }
    return st;
}

enum inst_status inst_tx_apply_flags(struct inst_tx *tx, const struct inst_attr *before,
                                     const struct inst_attr *after, struct inst_tx_kept *converted,
                                     struct inst_err *err) {
    enum inst_status st = INST_OK;
    bool is_index_new =
        after->is_indexed && !after->is_indexing && (before == NULL || !before->is_indexed);
    bool is_put_off = (after->is_indexing || after->is_setting_unique) &&
                      (before == NULL || before->is_ref == after->is_ref);
    if (!is_put_off && (before == NULL || before->is_indexed != after->is_indexed ||
                        before->is_unique != after->is_unique || before->is_ref != after->is_ref ||
                        inst_attr_is_id(before) != inst_attr_is_id(after)))
        st = tx->db->db_ops->reindex_attr(tx->db, after, err);
    if (st == INST_OK && converted != NULL)
        st = convert(tx, converted, after, err);
    if (st == INST_OK && before != NULL && after->is_unique && !before->is_unique &&
        !after->is_setting_unique)
        st = check_no_repeats(tx, after, false, err);
    if (st == INST_OK && before != NULL && before->is_many && !after->is_many)
        st = check_no_repeats(tx, after, true, err);
    if (st == INST_OK && is_index_new && !after->is_ref)
        st = fill_attr(tx, after, err);
    return st;
}

/* What a changed value type needs of the old attr: its triples, taken out. */
enum inst_status inst_tx_take_out(struct inst_tx *tx, const struct inst_attr *before,
                                  const struct inst_attr *after, struct inst_tx_kept **out,
                                  struct inst_err *err) {
    *out = NULL;
    if (before == NULL || before->is_ref == after->is_ref)
        return INST_OK;
    enum inst_status st = read_all(tx, before, out, err);
    for (struct inst_tx_kept *kept = *out; st == INST_OK && kept != NULL; kept = kept->next)
        st = inst_tx_retract(tx, before, &kept->triple, err);
    return st;
}
