#include "server/tx.h"

#include "base/date.h"
#include "base/json.h"
#include "base/text.h"
#include "server/limits.h"
#include "server/purge.h"
#include "server/refusal.h"

#include <stdlib.h>

/*
 * Attr steps edit a list of entries made from the catalog; at the end of a group a new catalog is
 * made of it, dirty entries are saved, and what their new flags ask of existing triples is done.
 */
struct edit_entry {
    struct inst_attr_entry attr;
    const struct inst_attr *before; /* NULL: new */
    bool is_dirty;
    bool is_gone;
    bool is_renamed;           /* made, renamed or deleted: clients and queries must learn of it */
    struct inst_value deleted; /* of a gone one: what is kept in the file */
};

struct edit {
    struct inst_tx *tx;
    struct edit_entry *entries;
    size_t count, cap;
    struct inst_table ids;    /* attr id -> place + 1 */
    struct inst_table names;  /* (etype, label) of either side -> place + 1 */
    struct inst_table idents; /* identity id -> place + 1 */
    bool is_of_job;           /* what flags ask of triples is the job's to do */
};

static struct inst_table_key text_key(const struct edit *edit, const struct inst_value *text) {
    return (struct inst_table_key){inst_text_hash(text->u.str, text->len, edit->tx->seed),
                                   inst_text_hash(text->u.str, text->len, ~edit->tx->seed)};
}

static struct inst_table_key name_key(const struct edit *edit, const struct inst_value *etype,
                                      const struct inst_value *label) {
    return (struct inst_table_key){inst_text_hash(etype->u.str, etype->len, edit->tx->seed),
                                   inst_text_hash(label->u.str, label->len, ~edit->tx->seed)};
}

static const struct inst_value *identity_of(const struct inst_value *attr, bool is_reverse) {
    const struct inst_value *identity =
        inst_getz(attr, is_reverse ? "reverse-identity" : "forward-identity");
    return identity != NULL && identity->tag == INST_ARRAY && identity->len >= 3 ? identity : NULL;
}

static void *place_pointer(size_t place) { return inst_table_pack(place + 1); }

static struct edit_entry *entry_at(struct edit *edit, const void *pointer) {
    return pointer == NULL ? NULL : &edit->entries[inst_table_unpack(pointer) - 1];
}

static bool index_names(struct edit *edit, size_t place) {
    for (int side = 0; side < 2; side++) {
        const struct inst_value *identity = identity_of(&edit->entries[place].attr.json, side == 1);
        if (identity == NULL)
            continue;
        const struct inst_value *part = identity->u.items;
        if (part[0].tag == INST_STRING &&
            !inst_table_put(&edit->idents, text_key(edit, &part[0]), place_pointer(place)))
            return false;
        if (part[1].tag == INST_STRING && part[2].tag == INST_STRING &&
            !inst_table_put(&edit->names, name_key(edit, &part[1], &part[2]), place_pointer(place)))
            return false;
    }
    return true;
}

static void forget_names(struct edit *edit, const struct edit_entry *entry) {
    for (int side = 0; side < 2; side++) {
        const struct inst_value *identity = identity_of(&entry->attr.json, side == 1);
        if (identity == NULL)
            continue;
        const struct inst_value *part = identity->u.items;
        if (part[1].tag == INST_STRING && part[2].tag == INST_STRING)
            inst_table_remove(&edit->names, name_key(edit, &part[1], &part[2]));
    }
}

static bool add_entry(struct edit *edit, struct edit_entry entry) {
    if (edit->count == edit->cap) {
        size_t cap = edit->cap == 0 ? 64 : edit->cap * 2;
        struct edit_entry *entries = realloc(edit->entries, cap * sizeof *entries);
        if (entries == NULL)
            return false;
        edit->entries = entries;
        edit->cap = cap;
    }
    edit->entries[edit->count] = entry;
    return inst_table_put(&edit->ids, text_key(edit, &entry.attr.id), place_pointer(edit->count)) &&
           index_names(edit, edit->count++);
}

static enum inst_status edit_open(struct inst_tx *tx, struct edit *edit, struct inst_err *err) {
    *edit = (struct edit){.tx = tx};
    size_t count = inst_attrs_count(tx->catalog->attrs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(tx->catalog->attrs, i);
        struct edit_entry entry = {.attr = {attr->id, attr->json, attr->row}, .before = attr};
        if (!add_entry(edit, entry))
            return inst_err_nomem(err);
    }
    return INST_OK;
}

static void edit_close(struct edit *edit) {
    free(edit->entries);
    inst_table_free(&edit->ids);
    inst_table_free(&edit->names);
    inst_table_free(&edit->idents);
}

static struct edit_entry *find_entry(struct edit *edit, const struct inst_value *id) {
    return entry_at(edit, inst_table_get(&edit->ids, text_key(edit, id)));
}

/* ---- names ---- */

/* A user's attr keeps out of the system's names (transactions.md 10.3 `attributes`). */
static enum inst_status check_system_names(struct edit *edit, const struct inst_value *attr,
                                           struct inst_err *err) {
    for (int side = 0; side < 2; side++) {
        const struct inst_value *identity = identity_of(attr, side == 1);
        if (identity == NULL)
            continue;
        const struct inst_value *etype = &identity->u.items[1], *label = &identity->u.items[2];
        struct edit_entry *taken =
            entry_at(edit, inst_table_get(&edit->names, name_key(edit, etype, label)));
        if (taken != NULL && taken->before != NULL && taken->before->is_system)
            return inst_refuse_validation(err, "attributes", attr, NULL,
                                          "%.*s.%.*s is a system column and it already exists.",
                                          (int)etype->len, etype->u.str, (int)label->len,
                                          label->u.str);
        bool is_open = inst_is_string(etype, "$users") || inst_is_string(etype, "$files") ||
                       inst_is_string(etype, "$streams");
        if (etype->len > 0 && etype->u.str[0] == '$' && !is_open)
            return inst_refuse_validation(err, "attributes", attr, NULL,
                                          "$ is reserved for system tables. You can't create %.*s",
                                          (int)etype->len, etype->u.str);
        if (side == 0 && is_open && inst_get_true(attr, "required?"))
            return inst_err_set(err, "validation-failed", 400,
                                "You can't create a required system attribute. Make sure it's "
                                "optional. Check out the docs to learn more: "
                                "https://www.instantdb.com/docs/modeling-data#required-"
                                "constraints");
    }
    return INST_OK;
}

static struct inst_ident ident_of(const struct inst_value *identity) {
    return (struct inst_ident){identity->u.items[0], identity->u.items[1], identity->u.items[2]};
}

/* Are both names of the attr free, or its own (place)? */
static enum inst_status check_free_names(struct edit *edit, const struct inst_value *attr,
                                         const struct edit_entry *own, struct inst_err *err) {
    const struct inst_value *forward = identity_of(attr, false), *reverse = identity_of(attr, true);
    for (int side = 0; side < 2; side++) {
        const struct inst_value *identity = side == 0 ? forward : reverse;
        if (identity == NULL)
            continue;
        struct edit_entry *taken =
            entry_at(edit, inst_table_get(&edit->names, name_key(edit, &identity->u.items[1],
                                                                 &identity->u.items[2])));
        bool is_twin = side == 1 && forward != NULL &&
                       inst_value_equal(&forward->u.items[1], &identity->u.items[1]) &&
                       inst_value_equal(&forward->u.items[2], &identity->u.items[2]);
        if ((taken != NULL && taken != own) || is_twin) {
            struct inst_ident ident = ident_of(identity);
            return inst_refuse_ident(err, &ident);
        }
    }
    return INST_OK;
}

/* An identity id names one (attr, etype, label) for ever. */
static enum inst_status check_identities(struct edit *edit, const struct inst_value *attr,
                                         struct inst_err *err) {
    for (int side = 0; side < 2; side++) {
        const struct inst_value *identity = identity_of(attr, side == 1);
        if (identity == NULL)
            continue;
        struct edit_entry *taken =
            entry_at(edit, inst_table_get(&edit->idents, text_key(edit, &identity->u.items[0])));
        if (taken == NULL)
            continue;
        bool is_same = inst_value_equal(&taken->attr.id, inst_getz(attr, "id"));
        bool is_known = false;
        for (int other = 0; other < 2; other++) {
            const struct inst_value *known = identity_of(&taken->attr.json, other == 1);
            is_known = is_known || (known != NULL && inst_value_equal(known, identity));
        }
        if (!is_same || !is_known)
            return inst_refuse_raise(
                err, "Another attribute for %.*s.%.*s exists with different properties.",
                (int)identity->u.items[1].len, identity->u.items[1].u.str,
                (int)identity->u.items[2].len, identity->u.items[2].u.str);
    }
    return INST_OK;
}

/* ---- the wire shape ---- */

/* Only links have several values: the data file keeps one value of a blob for each entity, and the
 * clients make no other. */
static enum inst_status check_cardinality(const struct inst_value *attr, struct inst_err *err) {
    const struct inst_value *type = inst_getz(attr, "value-type");
    const struct inst_value *cardinality = inst_getz(attr, "cardinality");
    if (type == NULL || cardinality == NULL || !inst_is_string(type, "blob") ||
        !inst_is_string(cardinality, "many"))
        return INST_OK;
    return inst_refuse_validation(err, "attributes", attr, NULL,
                                  "Only links can have cardinality `many`.");
}

static void carry(struct inst_object_builder *b, const struct inst_value *from, const char *key) {
    const struct inst_value *v = inst_getz(from, key);
    if (v != NULL && !inst_is_nullish(v))
        inst_object_addz(b, key, *v);
}

static struct inst_value flag(const struct inst_value *from, const char *key) {
    return inst_bool(inst_get_true(from, key));
}

/* What an add-attr makes, every member that clients expect (transactions.md 12.1), unknown ones
 * left out. */
static bool wire_shape(struct inst_tx *tx, const struct inst_value *given, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, tx->arena);
    carry(&b, given, "id");
    carry(&b, given, "value-type");
    carry(&b, given, "cardinality");
    carry(&b, given, "forward-identity");
    carry(&b, given, "reverse-identity");
    inst_object_addz(&b, "unique?", flag(given, "unique?"));
    inst_object_addz(&b, "index?", flag(given, "index?"));
    inst_object_addz(&b, "required?", flag(given, "required?"));
    inst_object_addz(&b, "inferred-types", inst_null());
    inst_object_addz(&b, "catalog", inst_cstring("user"));
    carry(&b, given, "checked-data-type");
    carry(&b, given, "on-delete");
    carry(&b, given, "on-delete-reverse");
    return inst_object_end(&b, out);
}

/* Equal but for the types seen so far? */
static bool is_identical(struct inst_tx *tx, const struct inst_value *a, const struct inst_value *b,
                         bool *out) {
    struct inst_value x, y;
    if (!wire_shape(tx, a, &x) || !wire_shape(tx, b, &y))
        return false;
    *out = inst_value_equal(&x, &y);
    return true;
}

/* attr with the members of changes laid over (NULL members: removed). */
static bool lay_over(struct inst_tx *tx, const struct inst_value *attr,
                     const struct inst_member *changes, size_t count, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, tx->arena);
    for (uint32_t i = 0; i < attr->len; i++) {
        const struct inst_member *member = &attr->u.members[i];
        bool is_changed = false;
        for (size_t j = 0; j < count; j++)
            is_changed = is_changed || (changes[j].key_len == member->key_len &&
                                        memcmp(changes[j].key, member->key, member->key_len) == 0);
        if (!is_changed)
            inst_object_add(&b, member->key, member->key_len, member->value);
    }
    for (size_t j = 0; j < count; j++)
        if (changes[j].value.tag != INST_UNDEFINED)
            inst_object_add(&b, changes[j].key, changes[j].key_len, changes[j].value);
    return inst_object_end(&b, out);
}

/* ---- the steps ---- */

static struct inst_member named(const char *key, struct inst_value value) {
    return (struct inst_member){key, strlen(key), value};
}

/* What is too much to be done at once is left to a job. */
static enum inst_status put_off(struct inst_tx *tx, const struct inst_attr *before,
                                struct inst_value *json, struct inst_err *err) {
    struct inst_member members[INST_TX_PUT_OFF_MAX];
    size_t n;
    enum inst_status st = inst_tx_put_off(tx, before, json, members, &n, err);
    if (st != INST_OK || n == 0)
        return st;
    return lay_over(tx, json, members, n, json) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status has_entities(struct inst_tx *tx, const struct inst_value *etype, bool *out,
                                     struct inst_err *err) {
    const struct inst_attr *const *attrs;
    size_t count = inst_attrs_of(tx->catalog->attrs, etype->u.str, etype->len, &attrs);
    *out = false;
    for (size_t i = 0; !*out && i < count; i++) {
        struct inst_scan scan = {.attr = attrs[i]};
        *out = tx->store->ops->estimate(tx->store, &scan, 1) > 0;
    }
    (void)err;
    return INST_OK;
}

static enum inst_status check_hidden(struct inst_tx *tx, const struct inst_value *id,
                                     struct inst_err *err) {
    char *json = NULL;
    size_t len = 0;
    bool is_deleted = false;
    uint32_t row = 0;
    enum inst_status st =
        tx->db->db_ops->find_attr(tx->db, id->u.str, id->len, &json, &len, &is_deleted, &row, err);
    bool is_there = st == INST_OK && json != NULL;
    free(json);
    if (!is_there)
        return st;
    return inst_refuse_raise(
        err, "The attribute with id %.*s conflicts with an existing attribute with id %.*s.",
        (int)id->len, id->u.str, (int)id->len, id->u.str);
}

static enum inst_status add_attr(struct edit *edit, const struct inst_value *given,
                                 struct inst_err *err) {
    struct inst_tx *tx = edit->tx;
    const struct inst_value *id = inst_getz(given, "id");
    const struct inst_value *forward = identity_of(given, false);
    struct edit_entry *known = find_entry(edit, id);
    enum inst_status st;
    bool is_same = false, is_used = false;
    if (known != NULL && !is_identical(tx, &known->attr.json, given, &is_same))
        return inst_err_nomem(err);
    if (known != NULL && is_same && (known->before == NULL || !known->before->is_system))
        return INST_OK;
    if ((st = check_system_names(edit, given, err)) != INST_OK ||
        (st = check_cardinality(given, err)) != INST_OK)
        return st;
    if (inst_get_true(given, "required?")) {
        if ((st = has_entities(tx, &forward->u.items[1], &is_used, err)) != INST_OK)
            return st;
        if (is_used)
            return inst_refuse_validation(
                err, "attributes", given, NULL,
                "Can't create attribute `%.*s` as required because `%.*s` already have entities",
                (int)forward->u.items[2].len, forward->u.items[2].u.str,
                (int)forward->u.items[1].len, forward->u.items[1].u.str);
    }
    if ((st = check_identities(edit, given, err)) != INST_OK ||
        (st = check_free_names(edit, given, known, err)) != INST_OK)
        return st;
    if (known != NULL)
        return inst_refuse_raise(
            err, "The attribute with id %.*s conflicts with an existing attribute with id %.*s.",
            (int)id->len, id->u.str, (int)id->len, id->u.str);
    if ((st = check_hidden(tx, id, err)) != INST_OK)
        return st;
    struct edit_entry entry = {.attr = {.id = *id}, .is_dirty = true, .is_renamed = true};
    if (!wire_shape(tx, given, &entry.attr.json))
        return inst_err_nomem(err);
    if ((st = put_off(tx, NULL, &entry.attr.json, err)) != INST_OK)
        return st;
    return add_entry(edit, entry) ? INST_OK : inst_err_nomem(err);
}

/* The identity as the attr has it, with the etype and label of the update. */
static bool renamed(struct inst_tx *tx, const struct inst_value *attr,
                    const struct inst_value *update, bool is_reverse, struct inst_member *out) {
    const struct inst_value *given = identity_of(update, is_reverse);
    const struct inst_value *own = identity_of(attr, is_reverse);
    const char *key = is_reverse ? "reverse-identity" : "forward-identity";
    *out = (struct inst_member){key, strlen(key), inst_undefined()};
    const struct inst_value *current = inst_getz(attr, key);
    if (given == NULL) {
        if (current != NULL)
            out->value = *current;
        return true;
    }
    struct inst_value *parts = inst_arena_alloc(tx->arena, 3 * sizeof *parts);
    if (parts == NULL)
        return false;
    parts[0] = own != NULL ? own->u.items[0] : given->u.items[0];
    parts[1] = given->u.items[1];
    parts[2] = given->u.items[2];
    out->value = inst_array(parts, 3);
    return true;
}

static enum inst_status update_attr(struct edit *edit, const struct inst_value *update,
                                    struct inst_err *err) {
    static const char *const replaced[] = {"value-type", "cardinality", "unique?", "index?",
                                           "required?"};
    static const char *const cleared[] = {"on-delete", "on-delete-reverse"};
    struct inst_tx *tx = edit->tx;
    struct edit_entry *entry = find_entry(edit, inst_getz(update, "id"));
    enum inst_status st;
    if (entry == NULL || entry->is_gone || (entry->before != NULL && entry->before->is_system))
        return INST_OK;
    const struct inst_value *old = &entry->attr.json;
    struct inst_member changes[11];
    size_t n = 0;
    if (!renamed(tx, old, update, false, &changes[0]) ||
        !renamed(tx, old, update, true, &changes[1]))
        return inst_err_nomem(err);
    n = 2;
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++) {
        const struct inst_value *v = inst_getz(update, replaced[i]);
        if (v != NULL && !inst_is_nullish(v))
            changes[n++] = (struct inst_member){replaced[i], strlen(replaced[i]), *v};
    }
    /* Whatever it says of these counts, not what was asked for before. */
    if (inst_getz(update, "required?") != NULL)
        changes[n++] = named("setting-required?", inst_undefined());
    if (inst_getz(update, "cardinality") != NULL)
        changes[n++] = named("setting-cardinality?", inst_undefined());
    for (size_t i = 0; i < 2; i++) {
        const struct inst_value *v = inst_getz(update, cleared[i]);
        changes[n++] =
            (struct inst_member){cleared[i], strlen(cleared[i]),
                                 v != NULL && !inst_is_nullish(v) ? *v : inst_undefined()};
    }
    struct inst_value json;
    if (!lay_over(tx, old, changes, n, &json))
        return inst_err_nomem(err);
    if (inst_value_equal(&json, old))
        return INST_OK;
    forget_names(edit, entry);
    if ((st = put_off(tx, entry->before, &json, err)) != INST_OK ||
        (st = check_system_names(edit, &json, err)) != INST_OK ||
        (st = check_cardinality(&json, err)) != INST_OK ||
        (st = check_free_names(edit, &json, entry, err)) != INST_OK)
        return st;
    entry->attr.json = json;
    entry->is_dirty = entry->is_renamed = true;
    return index_names(edit, (size_t)(entry - edit->entries)) ? INST_OK : inst_err_nomem(err);
}

static bool prefixed(struct inst_tx *tx, const struct inst_value *id, const struct inst_value *name,
                     struct inst_value *out) {
    static const char mark[] = "_deleted$";
    size_t len = id->len + sizeof mark - 1 + name->len;
    char *text = inst_arena_alloc(tx->arena, len + 1);
    if (text == NULL)
        return false;
    memcpy(text, id->u.str, id->len);
    memcpy(text + id->len, mark, sizeof mark - 1);
    memcpy(text + id->len + sizeof mark - 1, name->u.str, name->len);
    *out = inst_string(text, len);
    return true;
}

/* The identity with both names prefixed, or (strip) without their prefix. */
static bool rebrand(struct inst_tx *tx, const struct inst_value *attr, bool is_reverse, bool strip,
                    struct inst_member *out) {
    const struct inst_value *own = identity_of(attr, is_reverse);
    const char *key = is_reverse ? "reverse-identity" : "forward-identity";
    *out = (struct inst_member){key, strlen(key), inst_undefined()};
    if (own == NULL)
        return true;
    struct inst_value *parts = inst_arena_alloc(tx->arena, 3 * sizeof *parts);
    if (parts == NULL)
        return false;
    parts[0] = own->u.items[0];
    for (int i = 1; i < 3; i++) {
        const struct inst_value *name = &own->u.items[i];
        const char *end = memchr(name->u.str, '$', name->len);
        if (!strip) {
            if (!prefixed(tx, inst_getz(attr, "id"), name, &parts[i]))
                return false;
        } else if (end != NULL) {
            parts[i] = inst_string(end + 1, (size_t)(name->u.str + name->len - end - 1));
        } else {
            parts[i] = *name;
        }
    }
    out->value = inst_array(parts, 3);
    return true;
}

/* What the attr was, for whoever restores it. */
static bool snapshot_of(struct inst_tx *tx, const struct inst_value *attr, struct inst_value *out) {
    const struct inst_value *identity = identity_of(attr, false);
    struct inst_object_builder snapshot, metadata;
    struct inst_value was;
    const struct inst_attr *id_attr = NULL;
    if (identity != NULL)
        id_attr = inst_attrs_id_attr(tx->catalog->attrs, identity->u.items[1].u.str,
                                     identity->u.items[1].len);
    inst_object_begin(&snapshot, tx->arena);
    inst_object_addz(&snapshot, "is_indexed", flag(attr, "index?"));
    inst_object_addz(&snapshot, "is_required", flag(attr, "required?"));
    inst_object_addz(&snapshot, "id_attr_id", id_attr != NULL ? id_attr->id : inst_null());
    if (!inst_object_end(&snapshot, &was))
        return false;
    inst_object_begin(&metadata, tx->arena);
    inst_object_addz(&metadata, "soft_delete_snapshot", was);
    return inst_object_end(&metadata, out);
}

static enum inst_status delete_attr(struct edit *edit, const struct inst_value *id,
                                    struct inst_err *err) {
    struct inst_tx *tx = edit->tx;
    struct edit_entry *entry = find_entry(edit, id);
    if (entry == NULL || entry->is_gone || (entry->before != NULL && entry->before->is_system))
        return INST_OK;
    char *when = inst_arena_alloc(tx->arena, INST_DATE_TEXT_MAX);
    struct inst_member changes[7];
    struct inst_value metadata;
    if (when == NULL || !snapshot_of(tx, &entry->attr.json, &metadata) ||
        !rebrand(tx, &entry->attr.json, false, false, &changes[0]) ||
        !rebrand(tx, &entry->attr.json, true, false, &changes[1]))
        return inst_err_nomem(err);
    size_t len = inst_date_iso((double)tx->now, when);
    changes[2] = named("index?", inst_bool(false));
    changes[3] = named("required?", inst_bool(false));
    changes[4] = named("deletion-marked-at", inst_string(when, len));
    changes[5] = named("setting-required?", inst_undefined());
    changes[6] = named("metadata", metadata);
    if (!lay_over(tx, &entry->attr.json, changes, 7, &entry->deleted))
        return inst_err_nomem(err);
    forget_names(edit, entry);
    entry->is_gone = entry->is_renamed = true;
    return INST_OK;
}

static enum inst_status restore_attr(struct edit *edit, const struct inst_value *id,
                                     struct inst_err *err) {
    struct inst_tx *tx = edit->tx;
    char *text = NULL;
    size_t len = 0;
    bool is_deleted = false;
    struct edit_entry entry = {.attr = {.id = *id}, .is_dirty = true, .is_renamed = true};
    struct edit_entry *known = find_entry(edit, id);
    if (known != NULL && !known->is_gone)
        return INST_OK;
    enum inst_status st = tx->db->db_ops->find_attr(tx->db, id->u.str, id->len, &text, &len,
                                                    &is_deleted, &entry.attr.row, err);
    if (st != INST_OK || text == NULL || !is_deleted) {
        free(text);
        return st;
    }
    struct inst_value hidden;
    st = inst_json_parse(tx->arena, text, len, &hidden, err);
    free(text);
    if (st != INST_OK || inst_purge_is_over(&hidden, tx->now))
        return st;
    struct inst_member changes[5];
    size_t n = 4;
    if (!rebrand(tx, &hidden, false, true, &changes[0]) ||
        !rebrand(tx, &hidden, true, true, &changes[1]))
        return inst_err_nomem(err);
    changes[2] = named("deletion-marked-at", inst_undefined());
    changes[3] = named("metadata", inst_undefined());
    /* The index that it still has goes now. */
    struct inst_attr probe = {.row = entry.attr.row};
    if (inst_tx_has_many(tx, &probe))
        changes[n++] = named("indexing?", inst_bool(true));
    if (!lay_over(tx, &hidden, changes, n, &entry.attr.json))
        return inst_err_nomem(err);
    if ((st = check_free_names(edit, &entry.attr.json, NULL, err)) != INST_OK)
        return st;
    return add_entry(edit, entry) ? INST_OK : inst_err_nomem(err);
}

/* ---- the new catalog ---- */

static enum inst_status save_entry(struct inst_tx *tx, struct edit_entry *entry,
                                   const struct inst_attr *attr, struct inst_err *err) {
    struct inst_buf json;
    inst_buf_init(&json);
    inst_json_write(&json, entry->is_gone ? &entry->deleted : &entry->attr.json);
    enum inst_status st = json.failed
                              ? inst_err_nomem(err)
                              : tx->db->db_ops->save_attr(tx->db, attr, json.data, json.len,
                                                          entry->is_gone, &entry->attr.row, err);
    struct inst_buf *log = &tx->log_attrs;
    if (st == INST_OK) {
        inst_buf_addf(log, "%s[\"%s\",", log->len > 0 ? "," : "",
                      entry->is_gone          ? "-"
                      : entry->before == NULL ? "+"
                                              : "~");
        if (entry->is_gone)
            inst_json_write(log, &entry->attr.id);
        else
            inst_buf_add(log, json.data, json.len);
        inst_buf_add_char(log, ']');
    }
    inst_buf_free(&json);
    return st;
}

static enum inst_status note_names(struct inst_tx *tx, const struct edit_entry *entry,
                                   const struct inst_attr *after, struct inst_err *err) {
    if (!entry->is_renamed)
        return INST_OK;
    if ((entry->before != NULL && !inst_changes_attr(tx->changes, entry->before)) ||
        (after != NULL && !inst_changes_attr(tx->changes, after)))
        return inst_err_nomem(err);
    return INST_OK;
}

static enum inst_status make_attrs(struct edit *edit, struct inst_attrs **out,
                                   struct inst_err *err) {
    struct inst_attr_entry *entries =
        inst_arena_alloc(edit->tx->arena, (edit->count + 1) * sizeof *entries);
    size_t count = 0;
    if (entries == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < edit->count; i++)
        if (!edit->entries[i].is_gone)
            entries[count++] = edit->entries[i].attr;
    return inst_catalog_attrs(entries, count, out, err);
}

static void use_catalog(struct inst_tx *tx, struct inst_catalog *catalog_take) {
    inst_catalog_unref(tx->catalog);
    tx->catalog = catalog_take;
    tx->store->attrs = catalog_take->attrs;
}

static enum inst_status edit_commit(struct edit *edit, struct inst_err *err) {
    struct inst_tx *tx = edit->tx;
    struct inst_attrs *attrs = NULL;
    struct inst_catalog *old = inst_catalog_ref(tx->catalog), *made = NULL;
    struct inst_tx_kept **taken = inst_arena_zalloc(tx->arena, (edit->count + 1) * sizeof(void *));
    enum inst_status st = taken != NULL ? make_attrs(edit, &attrs, err) : inst_err_nomem(err);
    for (size_t i = 0; st == INST_OK && i < edit->count; i++) {
        struct edit_entry *entry = &edit->entries[i];
        if (!entry->is_dirty && !entry->is_gone)
            continue;
        if (entry->is_gone && entry->before == NULL)
            continue; /* made and deleted by one transaction */
        const struct inst_attr *after =
            inst_attrs_by_id(attrs, entry->attr.id.u.str, entry->attr.id.len);
        if (!entry->is_gone)
            st = inst_tx_take_out(tx, entry->before, after, &taken[i], err);
        if (st == INST_OK)
            st = save_entry(tx, entry, entry->is_gone ? entry->before : after, err);
        if (st == INST_OK && !entry->is_gone)
            inst_attrs_set_row(attrs, entry->attr.id.u.str, entry->attr.id.len, entry->attr.row);
        if (st == INST_OK)
            st = note_names(tx, entry, entry->is_gone ? NULL : after, err);
    }
    if (st != INST_OK) {
        inst_attrs_unref(attrs);
        goto out;
    }
    if ((st = inst_catalog_new(attrs, &made, err)) != INST_OK)
        goto out;
    use_catalog(tx, made);
    for (size_t i = 0; st == INST_OK && i < edit->count; i++) {
        struct edit_entry *entry = &edit->entries[i];
        if (!entry->is_dirty || entry->is_gone || !entry->is_renamed || edit->is_of_job)
            continue;
        st = inst_tx_apply_flags(tx, entry->before,
                                 inst_attrs_by_id(attrs, entry->attr.id.u.str, entry->attr.id.len),
                                 taken[i], err);
    }
out:
    inst_catalog_unref(old);
    return st;
}

enum inst_status inst_tx_attr_group(struct inst_tx *tx, enum inst_tx_op op, struct inst_err *err) {
    struct edit edit;
    enum inst_status st = edit_open(tx, &edit, err);
    for (size_t i = 0; st == INST_OK && i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        if (step->op != op)
            continue;
        if (op == INST_TX_ADD_ATTR)
            st = add_attr(&edit, step->v, err);
        else if (op == INST_TX_UPDATE_ATTR)
            st = update_attr(&edit, step->v, err);
        else if (op == INST_TX_DELETE_ATTR)
            st = delete_attr(&edit, step->a, err);
        else
            st = restore_attr(&edit, step->a, err);
    }
    bool is_dirty = false;
    for (size_t i = 0; i < edit.count; i++)
        is_dirty = is_dirty || edit.entries[i].is_dirty || edit.entries[i].is_gone;
    if (st == INST_OK && is_dirty)
        st = edit_commit(&edit, err);
    edit_close(&edit);
    return st;
}

enum inst_status inst_tx_set_attr(struct inst_tx *tx, const struct inst_value *id,
                                  const struct inst_member *members, size_t count,
                                  struct inst_err *err) {
    struct edit edit;
    enum inst_status st = edit_open(tx, &edit, err);
    edit.is_of_job = true;
    struct edit_entry *entry = st == INST_OK ? find_entry(&edit, id) : NULL;
    if (entry != NULL) {
        entry->is_dirty = entry->is_renamed = true;
        st = lay_over(tx, &entry->attr.json, members, count, &entry->attr.json)
                 ? edit_commit(&edit, err)
                 : inst_err_nomem(err);
    }
    edit_close(&edit);
    return st;
}

/* ---- inferred types ---- */

static bool kinds_value(struct inst_tx *tx, uint8_t kinds, struct inst_value *out) {
    static const struct {
        uint8_t kind;
        const char *name;
    } all[] = {{INST_KIND_NUMBER, "number"},
               {INST_KIND_STRING, "string"},
               {INST_KIND_BOOLEAN, "boolean"},
               {INST_KIND_JSON, "json"}};
    struct inst_array_builder b;
    inst_array_begin(&b, tx->arena);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (kinds & all[i].kind)
            inst_array_add(&b, inst_cstring(all[i].name));
    return inst_array_end(&b, out);
}

enum inst_status inst_tx_save_kinds(struct inst_tx *tx, struct inst_err *err) {
    if (tx->kinds.count == 0)
        return INST_OK;
    struct edit edit;
    enum inst_status st = edit_open(tx, &edit, err);
    for (size_t i = 0; st == INST_OK && i < edit.count; i++) {
        struct edit_entry *entry = &edit.entries[i];
        struct inst_table_key key = {entry->attr.row, 0};
        uint8_t seen = (uint8_t)inst_table_unpack(inst_table_get(&tx->kinds, key));
        if (seen == 0)
            continue;
        struct inst_member change = named("inferred-types", inst_null());
        if (!kinds_value(tx, seen | inst_catalog_kinds(tx->catalog, entry->attr.row),
                         &change.value) ||
            !lay_over(tx, &entry->attr.json, &change, 1, &entry->attr.json))
            st = inst_err_nomem(err);
        entry->is_dirty = true;
    }
    if (st == INST_OK)
        st = edit_commit(&edit, err);
    edit_close(&edit);
    return st;
}
