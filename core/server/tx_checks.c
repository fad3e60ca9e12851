#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/refusal.h"

/*
 * What the owner's checks are shown is made of the store, which has the new side, and of this
 * transaction's part of the log, which leads back to the old one.
 *
 *     new    the triples of the entity
 *     old    the same, the log's records of it taken back from the last to the first
 */

/* One triple of an entity, by the label of its attr. */
struct field {
    const struct inst_attr *attr;
    struct inst_value value; /* a link: the id of its target */
    struct field *next;
};

/* One record of the log; the list of an entity has the last one first. */
struct record {
    const struct inst_value *json; /* ["+" | "-", e, attr id, value, created-at] */
    struct record *next;
};

struct checking {
    struct inst_tx *tx;
    struct inst_table records;    /* uuid -> struct record */
    struct inst_tx_member *asked; /* the entities that somebody wants to see */
    size_t count;
    struct field *fields; /* of the entity at hand, in order, and */
    struct field **end;
    const struct inst_value *etype;
    bool failed;
};

static struct inst_table_key key_of(const struct inst_value *id) {
    struct inst_uuid uuid = {{0}};
    struct inst_table_key key;
    inst_uuid_parse(id->u.str, id->len, &uuid);
    memcpy(&key, uuid.bytes, sizeof key);
    return key;
}

static enum inst_status read_log(struct checking *c, struct inst_err *err) {
    struct inst_tx *tx = c->tx;
    struct inst_buf text;
    struct inst_value list;
    inst_buf_init(&text);
    inst_buf_add_char(&text, '[');
    inst_buf_add(&text, tx->log_triples.data, tx->log_triples.len);
    inst_buf_add_char(&text, ']');
    enum inst_status st = text.failed || tx->log_triples.failed
                              ? inst_err_nomem(err)
                              : inst_json_parse(tx->arena, text.data, text.len, &list, err);
    inst_buf_free(&text);
    for (uint32_t i = 0; st == INST_OK && i < list.len; i++) {
        const struct inst_value *json = &list.u.items[i];
        struct record *record = inst_arena_alloc(tx->arena, sizeof *record);
        struct inst_table_key key = key_of(&json->u.items[1]);
        if (record == NULL)
            return inst_err_nomem(err);
        *record = (struct record){json, inst_table_get(&c->records, key)};
        if (!inst_table_put(&c->records, key, record))
            return inst_err_nomem(err);
    }
    return st;
}

/* ---- the fields of one entity ---- */

static void add_field(struct checking *c, const struct inst_attr *attr,
                      const struct inst_value *value) {
    struct field *field = inst_arena_alloc(c->tx->arena, sizeof *field);
    if (field == NULL || !inst_value_dup(c->tx->arena, value, &field->value)) {
        c->failed = true;
        return;
    }
    field->attr = attr;
    field->next = NULL;
    *c->end = field;
    c->end = &field->next;
}

static bool is_of(const struct checking *c, const struct inst_attr *attr) {
    return attr != NULL && inst_value_equal(&attr->forward.etype, c->etype);
}

static bool note_triple(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    struct checking *c = ctx;
    struct inst_tx *tx = c->tx;
    const struct inst_attr *attr = inst_catalog_at_row(tx->catalog, attr_row);
    if (!is_of(c, attr))
        return true;
    struct inst_value value = triple->v;
    if (inst_attr_names_entity(attr))
        value = tx->store->ops->entity_id(tx->store, triple->ref);
    add_field(c, attr, &value);
    return !c->failed;
}

static void remove_field(struct checking *c, const struct inst_attr *attr,
                         const struct inst_value *value) {
    for (struct field **at = &c->fields; *at != NULL; at = &(*at)->next) {
        if ((*at)->attr == attr && inst_value_equal(&(*at)->value, value)) {
            *at = (*at)->next;
            if (*at == NULL)
                c->end = at;
            return;
        }
    }
}

static void take_back(struct checking *c, const struct record *records) {
    for (; records != NULL; records = records->next) {
        const struct inst_value *item = records->json->u.items;
        const struct inst_attr *attr =
            inst_attrs_by_id(c->tx->catalog->attrs, item[2].u.str, item[2].len);
        if (!is_of(c, attr))
            continue;
        if (inst_is_string(&item[0], "+"))
            remove_field(c, attr, &item[3]);
        else
            add_field(c, attr, &item[3]);
    }
}

/* {label: value | link's id | [links' ids]}; what is null is left out. false: it has no id, so it
 * is not there. */
static bool write_fields(struct checking *c, struct inst_value *out) {
    struct inst_arena *arena = c->tx->arena;
    struct inst_object_builder object;
    bool has_id = false;
    inst_object_begin(&object, arena);
    for (const struct field *field = c->fields; field != NULL; field = field->next) {
        const struct inst_attr *attr = field->attr;
        has_id = has_id || inst_attr_is_id(attr);
        struct inst_value value = field->value;
        if (inst_is_nullish(&value))
            continue;
        if (attr->is_many) {
            struct inst_array_builder list;
            inst_array_begin(&list, arena);
            for (const struct field *other = field; other != NULL; other = other->next)
                if (other->attr == attr)
                    inst_array_add(&list, other->value);
            bool is_later = false; /* its first field has written them all */
            for (const struct field *other = c->fields; other != field; other = other->next)
                is_later = is_later || other->attr == attr;
            if (is_later)
                continue;
            c->failed = c->failed || !inst_array_end(&list, &value);
        }
        inst_object_add(&object, attr->forward.label.u.str, attr->forward.label.len, value);
    }
    c->failed = c->failed || !inst_object_end(&object, out);
    return has_id;
}

static enum inst_status show_change(struct checking *c, const struct inst_tx_member *member,
                                    struct inst_value *out, struct inst_err *err) {
    struct inst_tx *tx = c->tx;
    struct inst_value id, given = tx->store->ops->entity_id(tx->store, member->e);
    struct inst_value before, after;
    struct inst_object_builder object;
    c->etype = &member->etype;
    c->fields = NULL;
    c->end = &c->fields;
    if (!inst_value_dup(tx->arena, &given, &id))
        return inst_err_nomem(err);
    enum inst_status st = tx->db->db_ops->each_of(tx->db, member->e, note_triple, c, err);
    if (st != INST_OK)
        return st;
    bool is_there = write_fields(c, &after);
    take_back(c, inst_table_get(&c->records, key_of(&id)));
    bool was_there = write_fields(c, &before);
    inst_object_begin(&object, tx->arena);
    inst_object_addz(&object, "etype", member->etype);
    inst_object_addz(&object, "id", id);
    inst_object_addz(&object, "action",
                     inst_cstring(!was_there ? "create"
                                  : is_there ? "update"
                                             : "delete"));
    if (was_there)
        inst_object_addz(&object, "old", before);
    if (is_there)
        inst_object_addz(&object, "new", after);
    return inst_object_end(&object, out) && !c->failed ? INST_OK : inst_err_nomem(err);
}

/* ---- what they want written ---- */

static enum inst_status write_value(struct checking *c, const struct inst_tx_member *member,
                                    const struct inst_member *wanted, struct inst_err *err) {
    struct inst_tx *tx = c->tx;
    const struct inst_attr *attr = inst_attrs_forward(
        tx->catalog->attrs, member->etype.u.str, member->etype.len, wanted->key, wanted->key_len);
    if (attr == NULL || attr->is_ref || attr->is_system || inst_attr_is_id(attr))
        return inst_refuse_validation(
            err, "check", NULL, NULL, "The check of %.*s cannot set `%.*s`: it is %s.",
            (int)member->etype.len, member->etype.u.str, (int)wanted->key_len, wanted->key,
            attr == NULL   ? "no attribute of it"
            : attr->is_ref ? "a link"
                           : "the backend's own");
    return inst_tx_put(tx, member->e, attr, &wanted->value, 0, NULL, err);
}

static enum inst_status write_values(struct checking *c, const struct inst_value *changes,
                                     const struct inst_value *values, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; i < c->count && i < values->len; i++) {
        const struct inst_value *wanted = &values->u.items[i];
        if (wanted->tag != INST_OBJECT)
            continue;
        if (inst_getz(&changes->u.items[i], "new") == NULL)
            return inst_refuse_validation(err, "check", NULL, NULL,
                                          "A check cannot set values of what is deleted.");
        for (uint32_t k = 0; st == INST_OK && k < wanted->len; k++)
            st = write_value(c, &c->asked[i], &wanted->u.members[k], err);
        if (st != INST_OK)
            return st;
    }
    return st;
}

/* ---- the whole ---- */

static enum inst_status ask(struct checking *c, struct inst_err *err) {
    struct inst_tx *tx = c->tx;
    const struct inst_tx_checks *checks = tx->transaction->checks;
    struct inst_value *items = inst_arena_alloc(tx->arena, c->count * sizeof *items);
    struct inst_value values = {0};
    if (items == NULL)
        return inst_err_nomem(err);
    enum inst_status st = read_log(c, err);
    for (size_t i = 0; st == INST_OK && i < c->count; i++)
        st = show_change(c, &c->asked[i], &items[i], err);
    struct inst_value changes = inst_array(items, c->count);
    if (st == INST_OK)
        st = checks->run(checks->ctx, &changes, tx->arena, &values, err);
    return st != INST_OK ? st : write_values(c, &changes, &values, err);
}

enum inst_status inst_tx_run_checks(struct inst_tx *tx, struct inst_err *err) {
    const struct inst_tx_checks *checks = tx->transaction->checks;
    struct checking c = {.tx = tx};
    if (checks == NULL || tx->touched.count == 0)
        return INST_OK;
    c.asked = inst_arena_alloc(tx->arena, tx->touched.count * sizeof *c.asked);
    if (c.asked == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < tx->touched.count; i++)
        if (checks->wants(checks->ctx, &tx->touched.items[i].etype))
            c.asked[c.count++] = tx->touched.items[i];
    if (c.count == 0)
        return INST_OK;
    inst_table_init(&c.records);
    enum inst_status st = ask(&c, err);
    inst_table_free(&c.records);
    return st;
}
