#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/refusal.h"

/*
 * What the new flags of an attr ask of the triples that are there: an index, nulls, values that are
 * not repeated, links where there was text.
 */

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
