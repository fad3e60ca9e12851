#include "instaml/missing_attrs.h"

#include "base/text.h"
#include "base/uuid.h"
#include "instaml/chunks.h"
#include "triples/id_table.h"

#include <stdlib.h>

#define TYPE "validation-failed"

/* What was made so far: a catalog with it is built once, at the end. */
struct made {
    struct inst_attr *attrs; /* what names need of them; owned */
    size_t count;
    size_t cap;
    struct inst_array_builder list; /* the same as values */
    struct inst_id_table forward;   /* by name -> place + 1 */
    struct inst_id_table reverse;
    uint64_t seed;
};

struct builder {
    struct inst_arena *arena;
    const struct inst_tx_context *context;
    struct made made;
    struct inst_array_builder *steps;
    struct inst_array_builder resent; /* ids of unsynced attrs that have their add-attr step */
    struct inst_err *err;
};

/* What a lookup asks of the attr it makes; it wins over the schema. */
enum wish { WISH_NONE, WISH_UNIQUE, WISH_LOOKUP, WISH_REF_LOOKUP };

/* ---- reading ---- */

enum inst_status inst_tx_lookup_of(struct inst_arena *arena, const struct inst_value *eid,
                                   struct inst_tx_lookup *out, struct inst_err *err) {
    *out = (struct inst_tx_lookup){0};
    struct inst_value pair;
    switch (eid->tag) {
    case INST_STRING:
        if (!inst_lookup_is_text(eid->u.str, eid->len)) {
            return INST_OK;
        }
        enum inst_status status = inst_lookup_decode(arena, eid->u.str, eid->len, &pair, err);
        if (status != INST_OK) {
            return status;
        }
        *out = (struct inst_tx_lookup){true, pair.u.items[0], pair.u.items[1]};
        return INST_OK;
    case INST_ARRAY:
        out->is_lookup = true;
        out->name = eid->len > 0 ? eid->u.items[0] : inst_undefined();
        out->value = eid->len > 1 ? eid->u.items[1] : inst_undefined();
        return INST_OK;
    case INST_NULL:
    case INST_UNDEFINED:
        return inst_err_set(err, TYPE, 400, "Cannot convert undefined or null to object");
    case INST_OBJECT:
        if (eid->len == 1) {
            const struct inst_member *m = &eid->u.members[0];
            *out = (struct inst_tx_lookup){true, inst_string(m->key, m->key_len), m->value};
            return INST_OK;
        }
        break;
    default:
        break;
    }
    return inst_err_set(err, TYPE, 400,
                        "lookup must be an object with a single unique attr and value.");
}

static const struct inst_attr *forward(const struct inst_attrs *attrs,
                                       const struct inst_value *etype,
                                       const struct inst_value *label) {
    return inst_attrs_forward(attrs, etype->u.str, etype->len, label->u.str, label->len);
}

enum inst_status inst_tx_ref_lookup(const struct inst_attrs *attrs, const struct inst_value *etype,
                                    const struct inst_value *name, bool *is_ref_lookup,
                                    struct inst_value *label, struct inst_err *err) {
    const char *dot = memchr(name->u.str, '.', name->len);
    *is_ref_lookup = dot && !forward(attrs, etype, name);
    if (!*is_ref_lookup) {
        return INST_OK;
    }
    size_t label_len = (size_t)(dot - name->u.str);
    if (name->len - label_len != 3 || memcmp(dot, ".id", 3) != 0) {
        return inst_err_set(err, TYPE, 400, "%.*s is not a valid lookup attribute.", (int)name->len,
                            name->u.str);
    }
    *label = inst_string(name->u.str, label_len);
    return INST_OK;
}

enum inst_status inst_tx_args(const struct inst_value *etype, const struct inst_value *args,
                              struct inst_err *err) {
    if (args->tag == INST_OBJECT) {
        return INST_OK;
    }
    if (inst_is_nullish(args)) {
        return inst_err_set(err, TYPE, 400, "Cannot convert undefined or null to object");
    }
    return inst_err_set(err, TYPE, 400,
                        "Arguments for data operation on entity '%.*s' must be an object, but "
                        "received: %s",
                        (int)etype->len, etype->u.str,
                        args->tag == INST_ARRAY ? "array" : inst_value_typeof(args));
}

/* ---- names, of the catalog and of what was made ---- */

static uint32_t hash_name(const struct made *made, const struct inst_value *etype,
                          const struct inst_value *label) {
    return (uint32_t)inst_text_hash(label->u.str, label->len,
                                    inst_text_hash(etype->u.str, etype->len, made->seed));
}

static const struct inst_attr *find_made(const struct made *made, bool is_reverse,
                                         const struct inst_value *etype,
                                         const struct inst_value *label) {
    const struct inst_attr *found = NULL;
    if (made->count == 0) {
        return NULL;
    }
    uint32_t hash = hash_name(made, etype, label), at = hash, place;
    const struct inst_id_table *table = is_reverse ? &made->reverse : &made->forward;
    while ((place = inst_id_table_next(table, hash, &at)) != 0) {
        const struct inst_attr *attr = &made->attrs[place - 1];
        const struct inst_ident *ident = is_reverse ? &attr->reverse : &attr->forward;
        /* of several the last counts, as in a catalog */
        if (inst_value_same(&ident->etype, etype) && inst_value_same(&ident->label, label) &&
            (!found || attr > found)) {
            found = attr;
        }
    }
    return found;
}

/* Good until the next attr is made. */
static const struct inst_attr *known_forward(const struct builder *b,
                                             const struct inst_value *etype,
                                             const struct inst_value *label) {
    const struct inst_attr *attr = find_made(&b->made, false, etype, label);
    return attr ? attr : forward(b->context->attrs, etype, label);
}

static const struct inst_attr *known_reverse(const struct builder *b,
                                             const struct inst_value *etype,
                                             const struct inst_value *label) {
    const struct inst_attr *attr = find_made(&b->made, true, etype, label);
    return attr ? attr
                : inst_attrs_reverse(b->context->attrs, etype->u.str, etype->len, label->u.str,
                                     label->len);
}

static struct inst_ident ident_of(const struct inst_value *attr, const char *key) {
    const struct inst_value *v = inst_getz(attr, key);
    if (!v || v->tag != INST_ARRAY || v->len < 3) {
        return (struct inst_ident){0};
    }
    return (struct inst_ident){v->u.items[0], v->u.items[1], v->u.items[2]};
}

static bool remember(struct made *made, const struct inst_env *env, struct inst_value json) {
    if (made->count == 0) { /* names come from outside */
        env->random(env->ctx, (uint8_t *)&made->seed, sizeof(made->seed));
    }
    if (made->count == made->cap) {
        size_t cap = made->cap ? made->cap * 2 : 16;
        struct inst_attr *attrs = realloc(made->attrs, cap * sizeof(*attrs));
        if (!attrs) {
            return false;
        }
        made->attrs = attrs;
        made->cap = cap;
    }
    struct inst_attr attr = {.id = *inst_getz(&json, "id"),
                             .forward = ident_of(&json, "forward-identity"),
                             .reverse = ident_of(&json, "reverse-identity")};
    inst_array_add(&made->list, json);
    if (made->list.failed || !inst_id_table_reserve(&made->forward, 1) ||
        !inst_id_table_reserve(&made->reverse, 1)) {
        return false;
    }
    made->attrs[made->count++] = attr;
    inst_id_table_add(&made->forward, hash_name(made, &attr.forward.etype, &attr.forward.label),
                      (uint32_t)made->count);
    if (attr.reverse.label.tag == INST_STRING) {
        inst_id_table_add(&made->reverse, hash_name(made, &attr.reverse.etype, &attr.reverse.label),
                          (uint32_t)made->count);
    }
    return true;
}

/* ---- making ---- */

static struct inst_value new_id(struct builder *b) {
    char text[INST_UUID_TEXT + 1];
    inst_uuid_make_text(b->context->env, text);
    char *copy = inst_arena_dup(b->arena, text, INST_UUID_TEXT);
    return copy ? inst_string(copy, INST_UUID_TEXT) : inst_undefined();
}

/* [new id, etype, label]; UNDEFINED when out of memory. */
static struct inst_value new_ident(struct builder *b, struct inst_value etype,
                                   struct inst_value label) {
    struct inst_array_builder ident;
    inst_array_begin(&ident, b->arena);
    struct inst_value id = new_id(b);
    inst_array_add(&ident, id);
    inst_array_add(&ident, etype);
    inst_array_add(&ident, label);
    struct inst_value out;
    return inst_array_end(&ident, &out) && id.tag == INST_STRING ? out : inst_undefined();
}

static enum inst_status add_step(struct builder *b, struct inst_value attr) {
    struct inst_array_builder step;
    inst_array_begin(&step, b->arena);
    inst_array_add(&step, inst_cstring("add-attr"));
    inst_array_add(&step, attr);
    struct inst_value value;
    if (!inst_array_end(&step, &value)) {
        return inst_err_nomem(b->err);
    }
    inst_array_add(b->steps, value);
    return b->steps->failed ? inst_err_nomem(b->err) : INST_OK;
}

/* An existing attr that the server was not told of yet goes along again. */
static enum inst_status add_unsynced(struct builder *b, const struct inst_attr *attr) {
    if (!attr || !attr->is_unsynced) {
        return INST_OK;
    }
    for (uint32_t i = 0; i < b->resent.count; i++) {
        if (inst_value_same(&b->resent.items[i], &attr->id)) {
            return INST_OK;
        }
    }
    struct inst_value json;
    if (!inst_value_dup(b->arena, &attr->json, &json)) {
        return inst_err_nomem(b->err);
    }
    inst_array_add(&b->resent, *inst_getz(&json, "id"));
    return b->resent.failed ? inst_err_nomem(b->err) : add_step(b, json);
}

static enum inst_status add_new(struct builder *b, struct inst_object_builder *object) {
    struct inst_value attr;
    if (!inst_object_end(object, &attr) || !inst_get_string(&attr, "id") ||
        inst_getz(&attr, "forward-identity")->tag != INST_ARRAY ||
        !remember(&b->made, b->context->env, attr)) {
        return inst_err_nomem(b->err);
    }
    return add_step(b, attr);
}

static void apply_wish(struct inst_object_builder *object, enum wish wish) {
    if (wish != WISH_NONE) {
        inst_object_addz(object, "unique?", inst_bool(true));
    }
    if (wish == WISH_LOOKUP || wish == WISH_REF_LOOKUP) {
        inst_object_addz(object, "index?", inst_bool(true));
    }
    if (wish == WISH_REF_LOOKUP) {
        inst_object_addz(object, "cardinality", inst_cstring("one"));
    }
}

static bool is_checked_type(const struct inst_value *type) {
    return type && (inst_is_string(type, "string") || inst_is_string(type, "number") ||
                    inst_is_string(type, "boolean") || inst_is_string(type, "date"));
}

static const struct inst_value *get(const struct inst_value *obj, const struct inst_value *key) {
    return inst_get(obj, key->u.str, key->len);
}

/* A blob attr takes its properties from `entities.<etype>.attrs.<label>`. */
static enum inst_status apply_schema_attr(struct builder *b, struct inst_object_builder *object,
                                          const struct inst_value *etype,
                                          const struct inst_value *label) {
    if (!b->context->schema || inst_is_string(label, "id")) {
        return INST_OK;
    }
    const struct inst_value *entity = get(inst_getz(b->context->schema, "entities"), etype);
    const struct inst_value *attr = get(inst_getz(entity, "attrs"), label);
    if (!attr || attr->tag != INST_OBJECT) {
        return inst_err_set(b->err, TYPE, 400, "%.*s.%.*s does not exist in your schema",
                            (int)etype->len, etype->u.str, (int)label->len, label->u.str);
    }
    const struct inst_value *config = inst_getz(attr, "config");
    inst_object_addz(object, "index?", inst_bool(inst_get_true(config, "indexed")));
    inst_object_addz(object, "unique?", inst_bool(inst_get_true(config, "unique")));
    const struct inst_value *type = inst_getz(attr, "valueType");
    if (is_checked_type(type)) {
        inst_object_addz(object, "checked-data-type", *type);
    }
    return INST_OK;
}

static enum inst_status make_blob(struct builder *b, const struct inst_value *etype,
                                  const struct inst_value *label, enum wish wish) {
    struct inst_object_builder object;
    inst_object_begin(&object, b->arena);
    inst_object_addz(&object, "id", new_id(b));
    inst_object_addz(&object, "forward-identity", new_ident(b, *etype, *label));
    inst_object_addz(&object, "value-type", inst_cstring("blob"));
    inst_object_addz(&object, "cardinality", inst_cstring("one"));
    inst_object_addz(&object, "unique?", inst_bool(false));
    inst_object_addz(&object, "index?", inst_bool(false));
    inst_object_addz(&object, "isUnsynced", inst_bool(true));
    enum inst_status status = apply_schema_attr(b, &object, etype, label);
    if (status != INST_OK) {
        return status;
    }
    apply_wish(&object, wish);
    return add_new(b, &object);
}

static bool is_side(const struct inst_value *side, const struct inst_value *etype,
                    const struct inst_value *label) {
    const struct inst_value *on = inst_get_string(side, "on");
    const struct inst_value *name = inst_get_string(side, "label");
    return on && name && inst_value_same(on, etype) && inst_value_same(name, label);
}

/* The link with this namespace and label on either side; NULL when there is none. */
static const struct inst_value *find_link(const struct inst_value *schema,
                                          const struct inst_value *etype,
                                          const struct inst_value *label) {
    const struct inst_value *links = inst_getz(schema, "links");
    for (uint32_t i = 0; links && links->tag == INST_OBJECT && i < links->len; i++) {
        const struct inst_value *link = &links->u.members[i].value;
        const struct inst_value *from = inst_getz(link, "forward");
        const struct inst_value *to = inst_getz(link, "reverse");
        if (inst_get_string(from, "on") && inst_get_string(from, "label") &&
            inst_get_string(to, "on") && inst_get_string(to, "label") &&
            (is_side(from, etype, label) || is_side(to, etype, label))) {
            return link;
        }
    }
    return NULL;
}

static enum inst_status apply_schema_link(struct builder *b, struct inst_object_builder *object,
                                          const struct inst_value *etype,
                                          const struct inst_value *label) {
    if (!b->context->schema) {
        return INST_OK;
    }
    const struct inst_value *link = find_link(b->context->schema, etype, label);
    if (!link) {
        return inst_err_set(b->err, TYPE, 400, "Couldn't find the link %.*s.%.*s in your schema",
                            (int)etype->len, etype->u.str, (int)label->len, label->u.str);
    }
    const struct inst_value *from = inst_getz(link, "forward");
    const struct inst_value *to = inst_getz(link, "reverse");
    inst_object_addz(object, "forward-identity",
                     new_ident(b, *inst_get_string(from, "on"), *inst_get_string(from, "label")));
    inst_object_addz(object, "reverse-identity",
                     new_ident(b, *inst_get_string(to, "on"), *inst_get_string(to, "label")));
    const struct inst_value *has = inst_getz(from, "has");
    inst_object_addz(object, "cardinality",
                     inst_cstring(has && inst_is_string(has, "one") ? "one" : "many"));
    has = inst_getz(to, "has");
    inst_object_addz(object, "unique?", inst_bool(has && inst_is_string(has, "one")));
    const struct inst_value *cascade = inst_get_string(from, "onDelete");
    if (cascade) {
        inst_object_addz(object, "on-delete", *cascade);
    }
    cascade = inst_get_string(to, "onDelete");
    if (cascade) {
        inst_object_addz(object, "on-delete-reverse", *cascade);
    }
    return INST_OK;
}

static enum inst_status make_ref(struct builder *b, const struct inst_value *etype,
                                 const struct inst_value *label, enum wish wish) {
    struct inst_object_builder object;
    inst_object_begin(&object, b->arena);
    inst_object_addz(&object, "id", new_id(b));
    inst_object_addz(&object, "forward-identity", new_ident(b, *etype, *label));
    inst_object_addz(&object, "reverse-identity", new_ident(b, *label, *etype));
    inst_object_addz(&object, "value-type", inst_cstring("ref"));
    inst_object_addz(&object, "cardinality", inst_cstring("many"));
    inst_object_addz(&object, "unique?", inst_bool(false));
    inst_object_addz(&object, "index?", inst_bool(false));
    inst_object_addz(&object, "isUnsynced", inst_bool(true));
    enum inst_status status = apply_schema_link(b, &object, etype, label);
    if (status != INST_OK) {
        return status;
    }
    apply_wish(&object, wish);
    return add_new(b, &object);
}

/* ---- pass 1: lookups ---- */

static enum inst_status need_ref(struct builder *b, const struct inst_value *etype,
                                 const struct inst_value *label) {
    const struct inst_attr *fwd = known_forward(b, etype, label);
    const struct inst_attr *rev = known_reverse(b, etype, label);
    if (!fwd && !rev) {
        return make_ref(b, etype, label, WISH_REF_LOOKUP);
    }
    enum inst_status status = add_unsynced(b, fwd);
    return status == INST_OK ? add_unsynced(b, rev) : status;
}

static enum inst_status need_lookup(struct builder *b, const struct inst_value *etype,
                                    const struct inst_value *name) {
    if (name->tag != INST_STRING) {
        return inst_err_set(b->err, TYPE, 400,
                            "lookup must be an object with a single unique attr and value.");
    }
    bool is_ref_lookup;
    struct inst_value label;
    enum inst_status status =
        inst_tx_ref_lookup(b->context->attrs, etype, name, &is_ref_lookup, &label, b->err);
    if (status != INST_OK) {
        return status;
    }
    if (is_ref_lookup) {
        return need_ref(b, etype, &label);
    }
    const struct inst_attr *attr = known_forward(b, etype, name);
    return attr ? add_unsynced(b, attr) : make_blob(b, etype, name, WISH_LOOKUP);
}

/* A lookup among the values of link({label: ...}): the link first, then the attr on its far side.
 */
static enum inst_status need_linked_lookup(struct builder *b, const struct inst_value *etype,
                                           const struct inst_value *label,
                                           const struct inst_value *eid) {
    struct inst_tx_lookup lookup;
    enum inst_status status = inst_tx_lookup_of(b->arena, eid, &lookup, b->err);
    if (status != INST_OK || !lookup.is_lookup) {
        return status;
    }
    status = need_ref(b, etype, label);
    if (status != INST_OK) {
        return status;
    }
    const struct inst_attr *fwd = known_forward(b, etype, label);
    const struct inst_attr *rev = known_reverse(b, etype, label);
    struct inst_value far = *label;
    if (fwd && fwd->reverse.etype.tag == INST_STRING) {
        far = fwd->reverse.etype;
    } else if (rev) {
        far = rev->forward.etype;
    }
    return need_lookup(b, &far, &lookup.name);
}

static bool is_action(const struct inst_value *op, const char *name) {
    return inst_is_string(&op->u.items[0], name);
}

static bool is_object_action(const struct inst_value *op) {
    return is_action(op, "create") || is_action(op, "update") || is_action(op, "merge");
}

static bool is_link_action(const struct inst_value *op) {
    return is_action(op, "link") || is_action(op, "unlink");
}

static struct inst_value args_of(const struct inst_value *op) {
    return op->len > 3 ? op->u.items[3] : inst_undefined();
}

static enum inst_status need_lookups_of(struct builder *b, const struct inst_value *op) {
    if (!is_object_action(op) && !is_link_action(op) && !is_action(op, "delete") &&
        (!is_action(op, "ruleParams") || b->context->is_admin)) {
        return INST_OK;
    }
    const struct inst_value *etype = &op->u.items[1];
    struct inst_tx_lookup lookup;
    enum inst_status status = inst_tx_lookup_of(b->arena, &op->u.items[2], &lookup, b->err);
    if (status == INST_OK && lookup.is_lookup) {
        status = need_lookup(b, etype, &lookup.name);
    }
    if (status != INST_OK || !is_action(op, "link")) {
        return status;
    }
    struct inst_value args = args_of(op);
    status = inst_tx_args(etype, &args, b->err);
    for (uint32_t i = 0; status == INST_OK && i < args.len; i++) {
        const struct inst_member *m = &args.u.members[i];
        struct inst_value label = inst_string(m->key, m->key_len);
        bool is_list = m->value.tag == INST_ARRAY;
        uint32_t count = is_list ? m->value.len : 1;
        for (uint32_t k = 0; status == INST_OK && k < count; k++) {
            status =
                need_linked_lookup(b, etype, &label, is_list ? &m->value.u.items[k] : &m->value);
        }
    }
    return status;
}

/* ---- pass 2: objects and links ---- */

static enum inst_status need_label(struct builder *b, const struct inst_value *op,
                                   const struct inst_value *label) {
    const struct inst_value *etype = &op->u.items[1];
    const struct inst_attr *fwd = known_forward(b, etype, label);
    if (is_object_action(op)) {
        return fwd ? add_unsynced(b, fwd) : make_blob(b, etype, label, WISH_NONE);
    }
    const struct inst_attr *rev = known_reverse(b, etype, label);
    if (!fwd && !rev) {
        return make_ref(b, etype, label, WISH_NONE);
    }
    enum inst_status status = add_unsynced(b, fwd);
    return status == INST_OK ? add_unsynced(b, rev) : status;
}

static enum inst_status need_attrs_of(struct builder *b, const struct inst_value *op) {
    if (!is_object_action(op) && !is_link_action(op)) {
        return INST_OK;
    }
    const struct inst_value *etype = &op->u.items[1];
    struct inst_value args = args_of(op);
    enum inst_status status = inst_tx_args(etype, &args, b->err);
    if (status != INST_OK) {
        return status;
    }
    struct inst_value id = inst_cstring("id");
    const struct inst_attr *id_attr = known_forward(b, etype, &id);
    status = id_attr ? add_unsynced(b, id_attr) : make_blob(b, etype, &id, WISH_UNIQUE);
    for (uint32_t i = 0; status == INST_OK && i < args.len; i++) {
        struct inst_value label = inst_string(args.u.members[i].key, args.u.members[i].key_len);
        status = need_label(b, op, &label);
    }
    return status;
}

enum inst_status inst_tx_missing_attrs(struct inst_arena *arena,
                                       const struct inst_tx_context *context,
                                       const struct inst_value *const *ops, size_t count,
                                       struct inst_array_builder *steps, struct inst_attrs **out,
                                       struct inst_err *err) {
    struct builder b = {.arena = arena, .context = context, .steps = steps, .err = err};
    inst_array_begin(&b.resent, arena);
    inst_array_begin(&b.made.list, arena);
    enum inst_status status = INST_OK;
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        status = need_lookups_of(&b, ops[i]);
    }
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        status = need_attrs_of(&b, ops[i]);
    }
    if (status == INST_OK && b.made.count == 0) {
        *out = inst_attrs_ref(context->attrs);
    } else if (status == INST_OK) {
        status = inst_attrs_put_all(context->attrs, b.made.list.items, b.made.count, out, err);
    }
    inst_id_table_free(&b.made.forward);
    inst_id_table_free(&b.made.reverse);
    free(b.made.attrs);
    return status;
}
