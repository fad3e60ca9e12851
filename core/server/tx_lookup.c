#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/refusal.h"

static void *as_pointer(uint32_t handle) { return inst_table_pack(handle); }
static uint32_t as_handle(const void *pointer) { return (uint32_t)inst_table_unpack(pointer); }

const struct inst_attr *inst_tx_attr_by_id(const struct inst_tx *tx, const struct inst_value *id) {
    if (id == NULL || id->tag != INST_STRING)
        return NULL;
    return inst_attrs_by_id(tx->catalog->attrs, id->u.str, id->len);
}

enum inst_status inst_tx_refuse_attr(const struct inst_value *id, struct inst_err *err) {
    return inst_refuse_raise(err, "We could not find an attribute with id = '%.*s'",
                             id->tag == INST_STRING ? (int)id->len : 0,
                             id->tag == INST_STRING ? id->u.str : "");
}

enum inst_status inst_tx_entity(struct inst_tx *tx, const struct inst_uuid *id, bool make,
                                uint32_t *e, struct inst_err *err) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    *e = as_handle(inst_table_get(&tx->handles, key));
    if (*e != 0)
        return INST_OK;
    if (make) {
        bool is_new = false;
        enum inst_status st = tx->db->db_ops->make_entity(tx->db, id, e, &is_new, err);
        if (st != INST_OK)
            return st;
        struct inst_table_key born = {*e, 0};
        if (is_new && (!inst_changes_born(tx->changes, id) ||
                       !inst_table_put(&tx->newborn, born, as_pointer(*e))))
            return inst_err_nomem(err);
    } else {
        char text[INST_UUID_TEXT + 1];
        inst_uuid_print(id, text);
        *e = tx->store->ops->entity(tx->store, text, INST_UUID_TEXT);
        if (*e == 0)
            return INST_OK;
    }
    return inst_table_put(&tx->handles, key, as_pointer(*e)) ? INST_OK : inst_err_nomem(err);
}

static bool parse_uuid(const struct inst_value *v, struct inst_uuid *out) {
    return v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, out);
}

/* Arrays and objects have no index: the whole attr is looked through. */
static enum inst_status find_by_structure(struct inst_tx *tx, const struct inst_attr *attr,
                                          const struct inst_value *v, uint32_t *e,
                                          struct inst_err *err) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    enum inst_status st = tx->store->ops->scan(tx->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    struct inst_triple triple;
    int more;
    while ((more = tx->store->ops->next(&cursor, &triple, err)) == 1) {
        if (inst_value_equal(&triple.v, v)) {
            *e = triple.e;
            break;
        }
    }
    tx->store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : INST_OK;
}

enum inst_status inst_tx_find(struct inst_tx *tx, const struct inst_attr *attr,
                              const struct inst_value *v, uint32_t *e, struct inst_err *err) {
    *e = 0;
    struct inst_scan scan = {.attr = attr};
    struct inst_uuid uuid;
    enum inst_status st;
    if (inst_is_nullish(v))
        return INST_OK;
    if (attr->is_ref || inst_attr_is_id(attr)) {
        if (!parse_uuid(v, &uuid))
            return INST_OK;
        uint32_t named;
        if ((st = inst_tx_entity(tx, &uuid, false, &named, err)) != INST_OK || named == 0)
            return st;
        if (attr->is_ref)
            scan.ref = named;
        else
            scan.e = named;
    } else if (v->tag == INST_ARRAY || v->tag == INST_OBJECT) {
        return find_by_structure(tx, attr, v, e, err);
    } else {
        scan.has_v = true;
        scan.v = *v;
    }
    struct inst_cursor cursor;
    if ((st = tx->store->ops->scan(tx->store, &scan, &cursor, err)) != INST_OK)
        return st;
    struct inst_triple triple;
    int more = tx->store->ops->next(&cursor, &triple, err);
    if (more == 1)
        *e = triple.e;
    tx->store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : INST_OK;
}

/* The entity that a lookup makes, with the triple that the lookup names. */
static enum inst_status make_by_lookup(struct inst_tx *tx, const struct inst_attr *attr,
                                       const struct inst_value *v, uint32_t *e,
                                       struct inst_err *err) {
    struct inst_uuid id;
    enum inst_status st;
    if (!inst_attr_is_id(attr) || !parse_uuid(v, &id))
        inst_uuid_make(tx->env, &id);
    if ((st = inst_tx_entity(tx, &id, true, e, err)) != INST_OK)
        return st;
    uint32_t ref = 0;
    if (attr->is_ref) {
        struct inst_uuid target;
        if (!parse_uuid(v, &target)) {
            char text[INST_UUID_TEXT + 1];
            inst_uuid_print(&id, text);
            return inst_refuse_value(err, attr, text, v, false,
                                     "Linked value must be a valid uuid.");
        }
        if ((st = inst_tx_entity(tx, &target, true, &ref, err)) != INST_OK)
            return st;
    }
    if ((st = inst_tx_put(tx, *e, attr, v, ref, NULL, err)) != INST_OK)
        return st;
    if (inst_attr_is_id(attr) &&
        !inst_tx_members_add(tx, &tx->fresh, *e, &attr->forward.etype, NULL))
        return inst_err_nomem(err);
    struct inst_table_key key = {*e, attr->row};
    return inst_table_put(&tx->made, key, tx) ? INST_OK : inst_err_nomem(err);
}

static bool lookup_key(struct inst_tx *tx, const struct inst_value *lookup,
                       struct inst_table_key *key) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, lookup);
    bool is_written = !text.failed;
    if (is_written) {
        key->a = inst_text_hash(text.data, text.len, tx->seed);
        key->b = inst_text_hash(text.data, text.len, ~tx->seed);
    }
    inst_buf_free(&text);
    return is_written;
}

static enum inst_status resolve_lookup(struct inst_tx *tx, const struct inst_value *lookup,
                                       bool make, uint32_t *e, struct inst_err *err) {
    struct inst_table_key key;
    if (!lookup_key(tx, lookup, &key))
        return inst_err_nomem(err);
    *e = as_handle(inst_table_get(&tx->lookups, key));
    if (*e != 0)
        return INST_OK;
    const struct inst_attr *attr = inst_tx_attr_by_id(tx, &lookup->u.items[0]);
    if (attr == NULL || !attr->is_unique)
        return make ? inst_tx_refuse_attr(&lookup->u.items[0], err) : INST_OK;
    enum inst_status st = inst_tx_find(tx, attr, &lookup->u.items[1], e, err);
    if (st == INST_OK && *e == 0 && make)
        st = make_by_lookup(tx, attr, &lookup->u.items[1], e, err);
    if (st != INST_OK || *e == 0)
        return st;
    return inst_table_put(&tx->lookups, key, as_pointer(*e)) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_tx_resolve(struct inst_tx *tx, const struct inst_value *e_value, bool make,
                                 uint32_t *e, struct inst_err *err) {
    struct inst_uuid id;
    if (inst_tx_is_lookup(e_value))
        return resolve_lookup(tx, e_value, make, e, err);
    *e = 0;
    if (!parse_uuid(e_value, &id))
        return INST_OK;
    return inst_tx_entity(tx, &id, make, e, err);
}

enum inst_status inst_tx_resolve_value(struct inst_tx *tx, const struct inst_value *v, bool make,
                                       uint32_t *e, struct inst_err *err) {
    struct inst_uuid id;
    *e = 0;
    if (inst_tx_is_value_lookup(v))
        return resolve_lookup(tx, v, false, e, err);
    if (!parse_uuid(v, &id))
        return INST_OK;
    return inst_tx_entity(tx, &id, make, e, err);
}
