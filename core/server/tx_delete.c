#include "server/tx.h"

/*
 * delete-entity over the state before anything is written: steps become (entity, etype) members,
 * and the set is closed over the cascades of transactions.md 8.4. A set, so cycles end.
 */

struct found_triple {
    uint32_t attr_row;
    struct inst_triple triple;
};

struct found_list {
    struct inst_tx *tx;
    struct found_triple *items;
    size_t count, cap;
    bool failed;
};

static bool collect(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    struct found_list *list = ctx;
    struct inst_arena *arena = list->tx->arena;
    if (inst_catalog_at_row(list->tx->catalog, attr_row) == NULL)
        return true; /* a deleted attr: its triples stay hidden */
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct found_triple *items = inst_arena_alloc(arena, cap * sizeof *items);
        if (items == NULL) {
            list->failed = true;
            return false;
        }
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    struct found_triple *item = &list->items[list->count];
    *item = (struct found_triple){attr_row, *triple};
    if (triple->v.tag != INST_ENTITY && !inst_value_dup(arena, &triple->v, &item->triple.v)) {
        list->failed = true;
        return false;
    }
    list->count++;
    return true;
}

static enum inst_status triples_of(struct inst_tx *tx, uint32_t e, struct found_list *out,
                                   struct inst_err *err) {
    *out = (struct found_list){.tx = tx};
    enum inst_status st = tx->db->db_ops->each_of(tx->db, e, collect, out, err);
    return st == INST_OK && out->failed ? inst_err_nomem(err) : st;
}

static enum inst_status links_to(struct inst_tx *tx, uint32_t e, struct found_list *out,
                                 struct inst_err *err) {
    *out = (struct found_list){.tx = tx};
    enum inst_status st = tx->db->db_ops->each_link_to(tx->db, e, collect, out, err);
    return st == INST_OK && out->failed ? inst_err_nomem(err) : st;
}

static enum inst_status add(struct inst_tx *tx, uint32_t e, const struct inst_value *etype,
                            struct inst_err *err) {
    return inst_tx_members_add(tx, &tx->deletes, e, etype, NULL) ? INST_OK : inst_err_nomem(err);
}

/* A step without etype means every etype that the entity has triples of. */
static enum inst_status add_every_etype(struct inst_tx *tx, uint32_t e, struct inst_err *err) {
    struct found_list list;
    enum inst_status st = triples_of(tx, e, &list, err);
    for (size_t i = 0; st == INST_OK && i < list.count; i++)
        st = add(tx, e, &inst_catalog_at_row(tx->catalog, list.items[i].attr_row)->forward.etype,
                 err);
    return st;
}

/* What the deletion of one member takes along. */
static enum inst_status add_cascades(struct inst_tx *tx, struct inst_tx_member member,
                                     struct inst_err *err) {
    const struct inst_attr *const *refs;
    size_t count =
        inst_attrs_reverse_of(tx->catalog->attrs, member.etype.u.str, member.etype.len, &refs);
    bool has_holders = false, has_targets = false;
    for (size_t i = 0; i < count; i++)
        has_holders = has_holders || refs[i]->on_delete_cascade;
    count = inst_attrs_of(tx->catalog->attrs, member.etype.u.str, member.etype.len, &refs);
    for (size_t i = 0; i < count; i++)
        has_targets = has_targets || (refs[i]->is_ref && refs[i]->on_delete_reverse_cascade);
    struct found_list list;
    enum inst_status st = INST_OK;
    if (has_holders && (st = links_to(tx, member.e, &list, err)) == INST_OK) {
        for (size_t i = 0; st == INST_OK && i < list.count; i++) {
            const struct inst_attr *attr = inst_catalog_at_row(tx->catalog, list.items[i].attr_row);
            if (attr->is_ref && attr->on_delete_cascade &&
                inst_value_equal(&attr->reverse.etype, &member.etype))
                st = add(tx, list.items[i].triple.e, &attr->forward.etype, err);
        }
    }
    if (st == INST_OK && has_targets && (st = triples_of(tx, member.e, &list, err)) == INST_OK) {
        for (size_t i = 0; st == INST_OK && i < list.count; i++) {
            const struct inst_attr *attr = inst_catalog_at_row(tx->catalog, list.items[i].attr_row);
            if (attr->is_ref && attr->on_delete_reverse_cascade &&
                attr->reverse.etype.tag == INST_STRING &&
                inst_value_equal(&attr->forward.etype, &member.etype))
                st = add(tx, list.items[i].triple.ref, &attr->reverse.etype, err);
        }
    }
    return st;
}

enum inst_status inst_tx_expand_deletes(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st;
    for (size_t i = 0; i < tx->count; i++) {
        if (tx->list[i].op != INST_TX_DELETE_ENTITY)
            continue;
        uint32_t e;
        if ((st = inst_tx_resolve(tx, tx->list[i].e, false, &e, err)) != INST_OK)
            return st;
        if (e == 0)
            continue;
        st = tx->list[i].etype != NULL ? add(tx, e, tx->list[i].etype, err)
                                       : add_every_etype(tx, e, err);
        if (st != INST_OK)
            return st;
    }
    for (size_t i = 0; i < tx->deletes.count; i++) /* grows while it runs */
        if ((st = add_cascades(tx, tx->deletes.items[i], err)) != INST_OK)
            return st;
    return INST_OK;
}

static enum inst_status delete_member(struct inst_tx *tx, const struct inst_tx_member *member,
                                      struct inst_err *err) {
    struct found_list list;
    enum inst_status st = triples_of(tx, member->e, &list, err);
    for (size_t i = 0; st == INST_OK && i < list.count; i++) {
        const struct inst_attr *attr = inst_catalog_at_row(tx->catalog, list.items[i].attr_row);
        if (inst_value_equal(&attr->forward.etype, &member->etype))
            st = inst_tx_retract(tx, attr, &list.items[i].triple, err);
    }
    if (st != INST_OK || (st = links_to(tx, member->e, &list, err)) != INST_OK)
        return st;
    for (size_t i = 0; st == INST_OK && i < list.count; i++) {
        const struct inst_attr *attr = inst_catalog_at_row(tx->catalog, list.items[i].attr_row);
        if (attr->is_ref && inst_value_equal(&attr->reverse.etype, &member->etype))
            st = inst_tx_retract(tx, attr, &list.items[i].triple, err);
    }
    return st;
}

/* Entities that this very transaction made before it deletes them: nothing cascades from them. */
static enum inst_status add_newly_made(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        uint32_t e;
        if (step->op != INST_TX_DELETE_ENTITY || step->etype == NULL || inst_tx_is_lookup(step->e))
            continue;
        if ((st = inst_tx_resolve(tx, step->e, false, &e, err)) == INST_OK && e != 0)
            st = add(tx, e, step->etype, err);
    }
    return st;
}

enum inst_status inst_tx_deletes(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = add_newly_made(tx, err);
    if (st != INST_OK)
        return st;
    for (size_t i = 0; i < tx->deletes.count; i++)
        if ((st = delete_member(tx, &tx->deletes.items[i], err)) != INST_OK)
            return st;
    return INST_OK;
}
