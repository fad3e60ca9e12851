#include "server/tx.h"

#include "base/date.h"
#include "base/json.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <math.h>

static const struct inst_value *const no_value = NULL;

/* ---- what a value must be (transactions.md 9) ---- */

static bool has_nul(const struct inst_value *v) {
    if (v->tag == INST_STRING)
        return memchr(v->u.str, 0, v->len) != NULL;
    if (v->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < v->len; i++)
            if (has_nul(&v->u.items[i]))
                return true;
    } else if (v->tag == INST_OBJECT) {
        for (uint32_t i = 0; i < v->len; i++)
            if (memchr(v->u.members[i].key, 0, v->u.members[i].key_len) != NULL ||
                has_nul(&v->u.members[i].value))
                return true;
    }
    return false;
}

/* Bytes as PostgreSQL's binary JSON, header included: strings and keys padded as there. */
static size_t binary_size(const struct inst_value *v) {
    size_t size = 8;
    switch (v->tag) {
    case INST_STRING:
        return 12 + (size_t)v->len;
    case INST_NUMBER:
        return 20;
    case INST_ARRAY:
        for (uint32_t i = 0; i < v->len; i++)
            size += 4 + binary_size(&v->u.items[i]) - 8;
        return size;
    case INST_OBJECT:
        for (uint32_t i = 0; i < v->len; i++)
            size += 8 + v->u.members[i].key_len + binary_size(&v->u.members[i].value) - 8;
        return size;
    default:
        return 12;
    }
}

bool inst_tx_has_checked_type(const struct inst_attr *attr, const struct inst_value *v) {
    struct inst_value date;
    switch (attr->checked_type) {
    case INST_CHECKED_STRING:
        return v->tag == INST_STRING;
    case INST_CHECKED_NUMBER:
        return v->tag == INST_NUMBER;
    case INST_CHECKED_BOOLEAN:
        return v->tag == INST_TRUE || v->tag == INST_FALSE;
    case INST_CHECKED_DATE:
        if (v->tag == INST_NUMBER)
            return true;
        return v->tag == INST_STRING && inst_date_coerce(v, &date, NULL) == INST_OK &&
               date.tag == INST_DATE && !isnan(date.u.num);
    default:
        return true;
    }
}

bool inst_tx_fits_index(const struct inst_value *v) {
    return binary_size(v) <= INST_SERVER_MAX_INDEXED;
}

static const char *type_word(enum inst_checked_type type) {
    static const char *const words[] = {"", "string", "number", "boolean", "date"};
    return words[type];
}

static void entity_text(struct inst_tx *tx, uint32_t e, char out[INST_UUID_TEXT + 1]) {
    struct inst_value id = tx->store->ops->entity_id(tx->store, e);
    size_t len = id.tag == INST_STRING && id.len <= INST_UUID_TEXT ? id.len : 0;
    if (len > 0)
        memcpy(out, id.u.str, len);
    out[len] = 0;
}

static enum inst_status check_value(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                                    const struct inst_value *v, struct inst_err *err) {
    char id[INST_UUID_TEXT + 1]; /* costs a read of the data file, so only for what is refused */
    if (has_nul(v))
        return inst_err_set(
            err, "validation-failed", 400,
            "A value in the transaction contains null bytes, which cannot be stored.");
    if (inst_value_is_deeper_than(v, INST_SERVER_MAX_VALUE_DEPTH)) {
        entity_text(tx, e, id);
        return inst_refuse_value(err, attr, id, no_value, false, "Value is nested too deep.");
    }
    if (!inst_is_nullish(v) && !inst_tx_has_checked_type(attr, v)) {
        entity_text(tx, e, id);
        return inst_refuse_value(
            err, attr, id, v, false,
            "Invalid value type for %.*s.%.*s. Value must be a %s but the provided value type is "
            "%s.",
            (int)attr->forward.etype.len, attr->forward.etype.u.str, (int)attr->forward.label.len,
            attr->forward.label.u.str, type_word(attr->checked_type), inst_json_type(v));
    }
    if ((attr->is_indexed || attr->is_unique) && !inst_tx_fits_index(v)) {
        entity_text(tx, e, id);
        return inst_refuse_value(err, attr, id, no_value, true,
                                 attr->is_unique ? "Value is too large for a unique attribute."
                                                 : "Value is too large for an indexed attribute.");
    }
    if (!inst_attr_is_id(attr))
        return INST_OK;
    entity_text(tx, e, id);
    return inst_is_string(v, id)
               ? INST_OK
               : inst_refuse_validation(
                     err, "tx-step", v, NULL,
                     "The value of %.*s.id must be the id of the entity that it is set on.",
                     (int)attr->forward.etype.len, attr->forward.etype.u.str);
}

/* Does another entity have this value, or link to this one? */
static enum inst_status check_unique(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                                     const struct inst_value *v, uint32_t ref,
                                     struct inst_err *err) {
    if (!attr->is_unique || inst_attr_is_id(attr) || (!attr->is_ref && inst_is_nullish(v)))
        return INST_OK;
    struct inst_value shown = attr->is_ref ? tx->store->ops->entity_id(tx->store, ref) : *v;
    uint32_t owner;
    /* While a job makes it unique, those count that have their place: the job meets the others. */
    enum inst_status st = attr->is_setting_unique
                              ? tx->db->db_ops->find_other(tx->db, attr, v, ref, e, &owner, err)
                              : inst_tx_find(tx, attr, &shown, &owner, err);
    if (st != INST_OK || owner == 0 || owner == e)
        return st;
    return inst_refuse_unique(err, attr, &shown);
}

/* ---- reading ---- */

static bool copy_triple(struct inst_tx *tx, const struct inst_triple *triple,
                        struct inst_triple *out) {
    *out = *triple;
    if (triple->v.tag == INST_ENTITY)
        return true;
    return inst_value_dup(tx->arena, &triple->v, &out->v);
}

enum inst_status inst_tx_read(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                              struct inst_triple *out, bool *found, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr, .e = e};
    struct inst_cursor cursor;
    enum inst_status st = tx->store->ops->scan(tx->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    struct inst_triple triple;
    int more = tx->store->ops->next(&cursor, &triple, err);
    *found = more == 1;
    if (more == 1 && !copy_triple(tx, &triple, out))
        st = inst_err_nomem(err);
    tx->store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

static bool is_same_value(const struct inst_attr *attr, const struct inst_triple *triple,
                          const struct inst_value *v, uint32_t ref) {
    if (attr->is_ref)
        return triple->ref == ref;
    if (inst_attr_is_id(attr))
        return true; /* always the entity's own id */
    return inst_value_equal(&triple->v, v);
}

/* Of a cardinality-many attr: is this very value there? */
static enum inst_status has_exact(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                                  const struct inst_value *v, uint32_t ref, bool *found,
                                  struct inst_err *err) {
    struct inst_scan scan = {.attr = attr, .e = e, .ref = attr->is_ref ? ref : 0};
    struct inst_cursor cursor;
    enum inst_status st = tx->store->ops->scan(tx->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    struct inst_triple triple;
    int more;
    *found = false;
    while (!*found && (more = tx->store->ops->next(&cursor, &triple, err)) == 1)
        *found = is_same_value(attr, &triple, v, ref);
    tx->store->ops->close(&cursor);
    return !*found && more < 0 ? INST_FAILED : INST_OK;
}

/* ---- the log ---- */

static void log_triple(struct inst_tx *tx, char sign, const struct inst_attr *attr,
                       const struct inst_triple *triple) {
    struct inst_buf *log = &tx->log_triples;
    char id[INST_UUID_TEXT + 1];
    if (log->len > 0)
        inst_buf_add_char(log, ',');
    entity_text(tx, triple->e, id);
    inst_buf_add_str(log, sign == '+' ? "[\"+\",\"" : "[\"-\",\"");
    inst_buf_add_str(log, id);
    inst_buf_add_str(log, "\",");
    inst_json_write(log, &attr->id);
    inst_buf_add_char(log, ',');
    if (inst_attr_names_entity(attr)) {
        entity_text(tx, triple->ref, id);
        inst_buf_add_char(log, '"');
        inst_buf_add_str(log, id);
        inst_buf_add_char(log, '"');
    } else {
        inst_json_write(log, &triple->v);
    }
    inst_buf_add_char(log, ',');
    inst_buf_add_int(log, triple->t);
    inst_buf_add_char(log, ']');
}

static enum inst_status note(struct inst_tx *tx, const struct inst_attr *attr, uint32_t e,
                             const struct inst_triple *before, const struct inst_triple *after,
                             struct inst_err *err) {
    if (before != NULL)
        log_triple(tx, '-', attr, before);
    if (after != NULL)
        log_triple(tx, '+', attr, after);
    if (!inst_changes_triple(tx->changes, attr, e, before, after) ||
        !inst_tx_members_add(tx, &tx->touched, e, &attr->forward.etype, NULL))
        return inst_err_nomem(err);
    return INST_OK;
}

static bool note_kind(struct inst_tx *tx, const struct inst_attr *attr,
                      const struct inst_value *v) {
    uint8_t kind = attr->is_ref ? INST_KIND_STRING : inst_kind_of(v);
    if (kind == 0 || attr->is_system || (inst_catalog_kinds(tx->catalog, attr->row) & kind) != 0)
        return true;
    struct inst_table_key key = {attr->row, 0};
    uintptr_t seen = inst_table_unpack(inst_table_get(&tx->kinds, key));
    return (seen & kind) != 0 || inst_table_put(&tx->kinds, key, inst_table_pack(seen | kind));
}

/* ---- writing ---- */

/* Made by this transaction and never written under this attr: there is nothing to be read. */
static bool is_bare(const struct inst_tx *tx, uint32_t e, const struct inst_attr *attr) {
    struct inst_table_key born = {e, 0}, written = {e, attr->row};
    return inst_table_get(&tx->newborn, born) != NULL &&
           inst_table_get(&tx->newborn, written) == NULL;
}

static bool note_written(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr) {
    struct inst_table_key written = {e, attr->row};
    return inst_table_put(&tx->newborn, written, tx);
}

enum inst_status inst_tx_put(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                             const struct inst_value *v, uint32_t ref, bool *changed,
                             struct inst_err *err) {
    struct inst_triple before, after;
    bool found = false, is_first = is_bare(tx, e, attr);
    enum inst_status st;
    if (changed != NULL)
        *changed = false;
    if (!attr->is_ref && (st = check_value(tx, e, attr, v, err)) != INST_OK)
        return st;
    if (is_first)
        st = note_written(tx, e, attr) ? INST_OK : inst_err_nomem(err);
    else if (attr->is_many)
        st = has_exact(tx, e, attr, v, ref, &found, err);
    else
        st = inst_tx_read(tx, e, attr, &before, &found, err);
    if (st != INST_OK)
        return st;
    if (found && (attr->is_many || is_same_value(attr, &before, v, ref)))
        return INST_OK;
    if ((st = check_unique(tx, e, attr, v, ref, err)) != INST_OK)
        return st;
    after = (struct inst_triple){.e = e,
                                 .ref = attr->is_ref            ? ref
                                        : inst_attr_is_id(attr) ? e
                                                                : 0,
                                 .v = attr->is_ref ? inst_undefined() : *v,
                                 .t = found ? before.t : tx->now};
    st = tx->db->db_ops->put(tx->db, e, attr, &after.v, after.ref, after.t, found ? &before : NULL,
                             err);
    if (st != INST_OK)
        return st;
    if (!note_kind(tx, attr, &after.v))
        return inst_err_nomem(err);
    if (changed != NULL)
        *changed = true;
    return note(tx, attr, e, found ? &before : NULL, &after, err);
}

enum inst_status inst_tx_load(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                              const struct inst_value *v, uint32_t ref, int64_t t,
                              struct inst_err *err) {
    struct inst_value stored = attr->is_ref ? inst_undefined() : *v;
    enum inst_status st = INST_OK;
    /* An id is the entity's own: that is how e was found. */
    if (!attr->is_ref && !inst_attr_is_id(attr))
        st = check_value(tx, e, attr, v, err);
    if (st == INST_OK)
        st = check_unique(tx, e, attr, v, ref, err);
    if (st == INST_OK)
        st = tx->db->db_ops->put(tx->db, e, attr, &stored, inst_attr_is_id(attr) ? e : ref, t, NULL,
                                 err);
    if (st != INST_OK)
        return st;
    return note_kind(tx, attr, &stored) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_tx_retract(struct inst_tx *tx, const struct inst_attr *attr,
                                 const struct inst_triple *triple, struct inst_err *err) {
    enum inst_status st = tx->db->db_ops->retract(tx->db, attr, triple, err);
    return st != INST_OK ? st : note(tx, attr, triple->e, triple, NULL, err);
}

enum inst_status inst_tx_fill_nulls(struct inst_tx *tx, uint32_t e, const struct inst_value *etype,
                                    struct inst_err *err) {
    const struct inst_attr *const *blobs;
    size_t count = inst_attrs_blobs(tx->catalog->attrs, etype->u.str, etype->len, &blobs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = blobs[i];
        if (!attr->is_indexed || attr->is_system || inst_attr_is_id(attr))
            continue;
        enum inst_presence presence = INST_MISSING;
        enum inst_status st = INST_OK;
        if (!is_bare(tx, e, attr))
            st = tx->store->ops->presence(tx->store, e, attr, false, &presence, err);
        if (st != INST_OK)
            return st;
        if (presence != INST_MISSING)
            continue;
        struct inst_value null = inst_null();
        if ((st = inst_tx_put(tx, e, attr, &null, 0, NULL, err)) != INST_OK)
            return st;
    }
    return INST_OK;
}
