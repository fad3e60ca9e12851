#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "instaml/deep_merge.h"
#include "server/refusal.h"

/* One add-triple step with everything resolved. */
struct entry {
    const struct inst_attr *attr;
    const struct inst_value *v;
    uint32_t e;
    uint32_t ref;
    bool is_last; /* of its (e, attr), for cardinality one: only that one counts */
};

static enum inst_status refuse_link_value(struct inst_tx *tx, const struct inst_attr *attr,
                                          uint32_t e, const struct inst_value *v,
                                          struct inst_err *err) {
    struct inst_value id = tx->store->ops->entity_id(tx->store, e);
    char text[INST_UUID_TEXT + 1] = "";
    if (id.tag == INST_STRING && id.len == INST_UUID_TEXT)
        memcpy(text, id.u.str, INST_UUID_TEXT);
    return inst_refuse_value(err, attr, text, v, false, "Linked value must be a valid uuid.");
}

static enum inst_status refuse_missing_lookup(struct inst_tx *tx, const struct inst_value *lookup,
                                              struct inst_err *err) {
    const struct inst_attr *attr = inst_tx_attr_by_id(tx, &lookup->u.items[0]);
    struct inst_object_builder b;
    struct inst_value input;
    inst_object_begin(&b, tx->arena);
    inst_object_addz(&b, "attribute-id", lookup->u.items[0]);
    inst_object_addz(&b, "namespace", attr != NULL ? attr->forward.etype : inst_null());
    inst_object_addz(&b, "label", attr != NULL ? attr->forward.label : inst_null());
    inst_object_addz(&b, "value", lookup->u.items[1]);
    if (!inst_object_end(&b, &input))
        return inst_err_nomem(err);
    return inst_refuse_validation(err, "lookup", &input, NULL,
                                  "The entity for the lookup does not exist.");
}

/* The value of a step: for links and id attrs a lookup stands for the entity it finds. */
static enum inst_status resolve_value(struct inst_tx *tx, struct entry *entry,
                                      struct inst_err *err) {
    const struct inst_attr *attr = entry->attr;
    enum inst_status st;
    if (!attr->is_ref && !inst_attr_is_id(attr))
        return INST_OK;
    bool is_lookup = inst_tx_is_value_lookup(entry->v);
    if (!attr->is_ref && !is_lookup)
        return INST_OK;
    uint32_t named;
    if ((st = inst_tx_resolve_value(tx, entry->v, attr->is_ref, &named, err)) != INST_OK)
        return st;
    if (named == 0)
        return is_lookup ? refuse_missing_lookup(tx, entry->v, err)
                         : refuse_link_value(tx, attr, entry->e, entry->v, err);
    if (attr->is_ref) {
        entry->ref = named;
        return INST_OK;
    }
    struct inst_value *id = inst_arena_alloc(tx->arena, sizeof *id);
    if (id == NULL)
        return inst_err_nomem(err);
    struct inst_value text = tx->store->ops->entity_id(tx->store, named);
    if (!inst_value_dup(tx->arena, &text, id))
        return inst_err_nomem(err);
    entry->v = id;
    return INST_OK;
}

static enum inst_status resolve_entry(struct inst_tx *tx, const struct inst_tx_step *step,
                                      struct entry *entry, struct inst_err *err) {
    enum inst_status st;
    *entry = (struct entry){.v = step->v, .is_last = true};
    if ((st = inst_tx_resolve(tx, step->e, true, &entry->e, err)) != INST_OK)
        return st;
    entry->attr = inst_tx_attr_by_id(tx, step->a);
    if (entry->attr == NULL)
        return inst_tx_refuse_attr(step->a, err);
    return resolve_value(tx, entry, err);
}

/* An entity that a lookup made takes no other value of the attr it was looked up by. */
static enum inst_status check_made(struct inst_tx *tx, const struct entry *entry,
                                   struct inst_err *err) {
    struct inst_table_key key = {entry->e, entry->attr->row};
    if (inst_table_get(&tx->made, key) == NULL)
        return INST_OK;
    struct inst_triple triple;
    bool found;
    enum inst_status st = inst_tx_read(tx, entry->e, entry->attr, &triple, &found, err);
    if (st != INST_OK || !found)
        return st;
    if (inst_attr_is_id(entry->attr) ||
        (entry->attr->is_ref ? triple.ref == entry->ref : inst_value_equal(&triple.v, entry->v)))
        return INST_OK;
    return inst_refuse_validation(err, "lookup", entry->v, NULL,
                                  "Updates with lookups can only update the lookup attribute if "
                                  "an entity with the unique attribute value already exists.");
}

/* Walks backwards: the first one met of an (e, attr) is the last one written. */
static bool mark_last(struct inst_tx *tx, struct entry *entries, size_t count) {
    struct inst_table seen;
    bool is_done = true;
    inst_table_init(&seen);
    for (size_t i = count; is_done && i-- > 0;) {
        if (entries[i].attr->is_many)
            continue;
        struct inst_table_key key = {entries[i].e, entries[i].attr->row};
        entries[i].is_last = inst_table_get(&seen, key) == NULL;
        if (entries[i].is_last)
            is_done = inst_table_put(&seen, key, tx);
    }
    inst_table_free(&seen);
    return is_done;
}

static size_t count_of(const struct inst_tx *tx, enum inst_tx_op op) {
    size_t count = 0;
    for (size_t i = 0; i < tx->count; i++)
        count += tx->list[i].op == op;
    return count;
}

/* The same for entities that a lookup of their id made. */
static enum inst_status fill_fresh(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->fresh.count; i++)
        st = inst_tx_fill_nulls(tx, tx->fresh.items[i].e, &tx->fresh.items[i].etype, err);
    return st;
}

/* Entities whose id triple is written get nulls for the indexed blobs that they lack. */
static enum inst_status fill_all_nulls(struct inst_tx *tx, const struct entry *entries,
                                       size_t count, struct inst_err *err) {
    enum inst_status st;
    for (size_t i = 0; i < count; i++) {
        if (!inst_attr_is_id(entries[i].attr) || !entries[i].is_last)
            continue;
        st = inst_tx_fill_nulls(tx, entries[i].e, &entries[i].attr->forward.etype, err);
        if (st != INST_OK)
            return st;
    }
    return fill_fresh(tx, err);
}

enum inst_status inst_tx_add_triples(struct inst_tx *tx, struct inst_err *err) {
    size_t count = count_of(tx, INST_TX_ADD_TRIPLE), n = 0;
    struct entry *entries = inst_arena_alloc(tx->arena, count * sizeof *entries);
    enum inst_status st;
    if (entries == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < tx->count; i++)
        if (tx->list[i].op == INST_TX_ADD_TRIPLE &&
            (st = resolve_entry(tx, &tx->list[i], &entries[n++], err)) != INST_OK)
            return st;
    if (!mark_last(tx, entries, count))
        return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_last)
            continue;
        if ((st = check_made(tx, &entries[i], err)) != INST_OK ||
            (st = inst_tx_put(tx, entries[i].e, entries[i].attr, entries[i].v, entries[i].ref, NULL,
                              err)) != INST_OK)
            return st;
    }
    return fill_all_nulls(tx, entries, count, err);
}

/* ---- deep merge (transactions.md 8.2) ---- */

static enum inst_status deep_merge(struct inst_tx *tx, const struct inst_tx_step *step,
                                   struct inst_err *err) {
    uint32_t e;
    enum inst_status st;
    if ((st = inst_tx_resolve(tx, step->e, true, &e, err)) != INST_OK)
        return st;
    const struct inst_attr *attr = inst_tx_attr_by_id(tx, step->a);
    if (attr == NULL)
        return inst_tx_refuse_attr(step->a, err);
    if (attr->is_ref)
        return inst_refuse_raise(err, "merge operation is not supported for links");
    struct inst_triple triple;
    struct inst_value merged = *step->v;
    bool found;
    if ((st = inst_tx_read(tx, e, attr, &triple, &found, err)) != INST_OK)
        return st;
    if (found && !inst_deep_merge(tx->arena, &triple.v, step->v, &merged))
        return inst_err_nomem(err);
    return inst_tx_put(tx, e, attr, &merged, 0, NULL, err);
}

enum inst_status inst_tx_deep_merges(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st;
    for (size_t i = 0; i < tx->count; i++)
        if (tx->list[i].op == INST_TX_DEEP_MERGE &&
            (st = deep_merge(tx, &tx->list[i], err)) != INST_OK)
            return st;
    return fill_fresh(tx, err);
}

/* ---- retract ---- */

static enum inst_status retract(struct inst_tx *tx, const struct inst_tx_step *step,
                                struct inst_err *err) {
    struct entry entry = {.attr = inst_tx_attr_by_id(tx, step->a), .v = step->v};
    enum inst_status st;
    if (entry.attr == NULL)
        return INST_OK;
    if ((st = inst_tx_resolve(tx, step->e, false, &entry.e, err)) != INST_OK || entry.e == 0)
        return st;
    bool names_entity = inst_attr_names_entity(entry.attr);
    if (names_entity &&
        ((st = inst_tx_resolve_value(tx, entry.v, false, &entry.ref, err)) != INST_OK ||
         entry.ref == 0))
        return st;
    struct inst_scan scan = {.attr = entry.attr, .e = entry.e};
    struct inst_cursor cursor;
    struct inst_triple triple, kept = {0};
    int more;
    bool found = false;
    if ((st = tx->store->ops->scan(tx->store, &scan, &cursor, err)) != INST_OK)
        return st;
    while (!found && (more = tx->store->ops->next(&cursor, &triple, err)) == 1) {
        found = names_entity ? triple.ref == entry.ref : inst_value_equal(&triple.v, entry.v);
        kept = triple;
    }
    if (found && kept.v.tag != INST_ENTITY && !inst_value_dup(tx->arena, &triple.v, &kept.v))
        st = inst_err_nomem(err);
    tx->store->ops->close(&cursor);
    if (!found)
        return more < 0 ? INST_FAILED : INST_OK;
    return st != INST_OK ? st : inst_tx_retract(tx, entry.attr, &kept, err);
}

enum inst_status inst_tx_retracts(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st;
    for (size_t i = 0; i < tx->count; i++)
        if (tx->list[i].op == INST_TX_RETRACT && (st = retract(tx, &tx->list[i], err)) != INST_OK)
            return st;
    return INST_OK;
}
