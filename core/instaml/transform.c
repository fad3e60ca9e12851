#include "instaml/transform.h"

#include "base/date.h"
#include "instaml/missing_attrs.h"

#include <stdlib.h>

#define TYPE "validation-failed"

struct expansion {
    struct inst_arena *arena;
    const struct inst_tx_context *context;
    const struct inst_attrs *attrs; /* old and new ones */
    struct inst_array_builder *steps;
    const struct inst_value *refused; /* the lookup or action that an error is about */
    struct inst_err *err;
};

static struct inst_value element(const struct inst_value *op, uint32_t i) {
    return op->len > i ? op->u.items[i] : inst_undefined();
}

static const struct inst_attr *forward(const struct inst_attrs *attrs,
                                       const struct inst_value *etype, const char *label,
                                       size_t label_len) {
    return inst_attrs_forward(attrs, etype->u.str, etype->len, label, label_len);
}

/* ---- entities ---- */

/* The attr id text on the arena: catalogs come and go. */
static enum inst_status attr_id(struct expansion *x, const struct inst_attr *attr,
                                struct inst_value *out) {
    return inst_value_dup(x->arena, &attr->id, out) ? INST_OK : inst_err_nomem(x->err);
}

static enum inst_status not_unique(struct expansion *x, const struct inst_value *etype,
                                   const struct inst_value *name) {
    bool is_text = name->tag == INST_STRING;
    if (x->context->is_admin) {
        return inst_err_set(x->err, TYPE, 400, "%.*s is not a unique attribute on %.*s",
                            is_text ? (int)name->len : 0, is_text ? name->u.str : "",
                            etype->tag == INST_STRING ? (int)etype->len : 0,
                            etype->tag == INST_STRING ? etype->u.str : "");
    }
    return inst_err_set(x->err, TYPE, 400, "%.*s is not a unique attribute.",
                        is_text ? (int)name->len : 9, is_text ? name->u.str : "undefined");
}

static enum inst_status lookup_attr(struct expansion *x, const struct inst_value *etype,
                                    const struct inst_value *name, const struct inst_attr **out) {
    *out = NULL;
    if (name->tag != INST_STRING || etype->tag != INST_STRING) {
        return INST_OK;
    }
    bool is_ref_lookup;
    struct inst_value label;
    enum inst_status status =
        inst_tx_ref_lookup(x->attrs, etype, name, &is_ref_lookup, &label, x->err);
    if (status != INST_OK) {
        return status;
    }
    if (!is_ref_lookup) {
        *out = forward(x->attrs, etype, name->u.str, name->len);
        return INST_OK;
    }
    *out = forward(x->attrs, etype, label.u.str, label.len);
    if (!*out && !x->context->is_admin) {
        *out = inst_attrs_reverse(x->attrs, etype->u.str, etype->len, label.u.str, label.len);
    }
    if (*out && !(*out)->is_ref && !x->context->is_admin) {
        return inst_err_set(x->err, TYPE, 400, "%.*s does not reference a valid link attribute.",
                            (int)name->len, name->u.str);
    }
    return INST_OK;
}

/* What stands for an entity in a step: the id itself, or [attr id, value]. */
static enum inst_status entity_of(struct expansion *x, const struct inst_value *etype,
                                  const struct inst_value *eid, struct inst_value *out) {
    struct inst_tx_lookup lookup;
    enum inst_status status = inst_tx_lookup_of(x->arena, eid, &lookup, x->err);
    if (status != INST_OK) {
        return status;
    }
    if (!lookup.is_lookup) {
        *out = *eid;
        return INST_OK;
    }
    const struct inst_attr *attr;
    x->refused = eid;
    status = lookup_attr(x, etype, &lookup.name, &attr);
    if (status != INST_OK) {
        return status;
    }
    if (!attr || !attr->is_unique) {
        return not_unique(x, etype, &lookup.name);
    }
    x->refused = NULL;
    struct inst_value pair[2] = {inst_undefined(), lookup.value};
    status = attr_id(x, attr, &pair[0]);
    if (status != INST_OK) {
        return status;
    }
    struct inst_array_builder b;
    inst_array_begin(&b, x->arena);
    inst_array_add(&b, pair[0]);
    inst_array_add(&b, pair[1]);
    return inst_array_end(&b, out) ? INST_OK : inst_err_nomem(x->err);
}

/* ---- does it exist? ---- */

struct find_etype {
    const struct inst_value *etype;
    bool was_found;
};

static bool is_of_etype(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    (void)triple;
    struct find_etype *find = ctx;
    find->was_found = attr && inst_value_same(&attr->forward.etype, find->etype);
    return !find->was_found;
}

static bool is_in_store(struct inst_mem_store *mem, const struct inst_value *etype,
                        const struct inst_value *entity) {
    if (entity->tag == INST_ARRAY) {
        const struct inst_value *id = &entity->u.items[0];
        return inst_mem_store_lookup(mem, id->u.str, id->len, &entity->u.items[1]) != 0;
    }
    struct inst_store *store = inst_mem_store_as_store(mem);
    uint32_t e = store->ops->entity(store, entity->u.str, entity->len);
    struct find_etype find = {etype, false};
    if (e) {
        inst_mem_store_each_of(mem, e, is_of_etype, &find);
    }
    return find.was_found;
}

static bool is_known(const struct expansion *x, const struct inst_value *etype,
                     const struct inst_value *entity) {
    const struct inst_tx_context *c = x->context;
    for (size_t i = 0; i < c->store_count; i++) {
        if (c->stores[i] && is_in_store(c->stores[i], etype, entity)) {
            return true;
        }
    }
    return c->is_known && c->is_known(c->is_known_ctx, etype, entity);
}

/* ---- steps ---- */

/* The fifth element: {"mode": ...}, or UNDEFINED for none. */
static enum inst_status make_mode(struct expansion *x, const char *mode, struct inst_value *out) {
    *out = inst_undefined();
    if (!mode) {
        return INST_OK;
    }
    struct inst_object_builder b;
    inst_object_begin(&b, x->arena);
    inst_object_addz(&b, "mode", inst_cstring(mode));
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(x->err);
}

/* Without upsert the mode is a guess: "update" for what is known to exist, else none, so that the
 * server decides. */
static enum inst_status mode_of_opts(struct expansion *x, const struct inst_value *op,
                                     const struct inst_value *entity, struct inst_value *out) {
    struct inst_value opts = element(op, 4);
    const struct inst_value *upsert = inst_getz(&opts, "upsert");
    if (x->context->is_admin) {
        bool is_given = upsert && !inst_is_nullish(upsert);
        return make_mode(x,
                         !is_given                   ? NULL
                         : inst_value_truthy(upsert) ? "upsert"
                                                     : "update",
                         out);
    }
    bool is_update = upsert && upsert->tag == INST_FALSE;
    if (!is_update && !(upsert && upsert->tag == INST_TRUE)) {
        is_update = is_known(x, &op->u.items[1], entity);
    }
    return make_mode(x, is_update ? "update" : NULL, out);
}

static enum inst_status add_step(struct expansion *x, const char *action, struct inst_value e,
                                 struct inst_value a, struct inst_value v, struct inst_value mode) {
    struct inst_value *parts = inst_arena_alloc(x->arena, 5 * sizeof(*parts));
    if (!parts) {
        return inst_err_nomem(x->err);
    }
    parts[0] = inst_cstring(action);
    parts[1] = e;
    parts[2] = a;
    parts[3] = v;
    parts[4] = mode;
    size_t count = mode.tag != INST_UNDEFINED ? 5 : 4;
    inst_array_add(x->steps, inst_array(parts, count));
    return x->steps->failed ? inst_err_nomem(x->err) : INST_OK;
}

/* The entity's own id comes first, so that a changed lookup attr does not break later steps. */
static enum inst_status add_id_step(struct expansion *x, const struct inst_value *etype,
                                    struct inst_value entity, struct inst_value mode) {
    const struct inst_attr *attr = forward(x->attrs, etype, "id", 2);
    struct inst_value id;
    enum inst_status status = attr_id(x, attr, &id);
    return status == INST_OK ? add_step(x, "add-triple", entity, id, entity, mode) : status;
}

static bool is_id_key(const struct inst_member *m) {
    return m->key_len == 2 && memcmp(m->key, "id", 2) == 0;
}

/* create, update and merge. */
static enum inst_status expand_object(struct expansion *x, const struct inst_value *op) {
    bool is_merge = inst_is_string(&op->u.items[0], "merge");
    const struct inst_value *etype = &op->u.items[1];
    struct inst_value entity, mode;
    enum inst_status status = entity_of(x, etype, &op->u.items[2], &entity);
    if (status == INST_OK) {
        status = inst_is_string(&op->u.items[0], "create") ? make_mode(x, "create", &mode)
                                                           : mode_of_opts(x, op, &entity, &mode);
    }
    if (status == INST_OK) {
        status = add_id_step(x, etype, entity, mode);
    }
    struct inst_value args = element(op, 3);
    for (uint32_t i = 0; status == INST_OK && i < args.len; i++) {
        const struct inst_member *m = &args.u.members[i];
        if (is_id_key(m) || m->value.tag == INST_UNDEFINED) {
            continue;
        }
        const struct inst_attr *attr = forward(x->attrs, etype, m->key, m->key_len);
        struct inst_value id, value = m->value;
        status = attr_id(x, attr, &id);
        if (status == INST_OK && !is_merge && x->context->use_date_objects &&
            attr->checked_type == INST_CHECKED_DATE) {
            status = inst_date_coerce(&m->value, &value, x->err);
        }
        if (status == INST_OK) {
            status =
                add_step(x, is_merge ? "deep-merge-triple" : "add-triple", entity, id, value, mode);
        }
    }
    return status;
}

/* One label and value of link or unlink. A forward label wins over a reverse one. */
static enum inst_status expand_link_value(struct expansion *x, const struct inst_value *op,
                                          const struct inst_member *m,
                                          const struct inst_value *eid) {
    const char *action = inst_is_string(&op->u.items[0], "link") ? "add-triple" : "retract-triple";
    const struct inst_value *etype = &op->u.items[1];
    struct inst_value here, there, id;
    enum inst_status status = entity_of(x, etype, &op->u.items[2], &here);
    if (status != INST_OK) {
        return status;
    }
    const struct inst_attr *fwd = forward(x->attrs, etype, m->key, m->key_len);
    const struct inst_attr *attr =
        fwd ? fwd : inst_attrs_reverse(x->attrs, etype->u.str, etype->len, m->key, m->key_len);
    /* The admin API lets link set a plain attr to an id. */
    if (!attr || (fwd && fwd->reverse.etype.tag != INST_STRING && !x->context->is_admin)) {
        return inst_err_set(x->err, TYPE, 400, "%.*s.%.*s is not a link.", (int)etype->len,
                            etype->u.str, (int)m->key_len, m->key);
    }
    status = entity_of(x, fwd ? &fwd->reverse.etype : &attr->forward.etype, eid, &there);
    if (status == INST_OK) {
        status = attr_id(x, attr, &id);
    }
    if (status != INST_OK) {
        return status;
    }
    return add_step(x, action, fwd ? here : there, id, fwd ? there : here, inst_undefined());
}

static enum inst_status expand_link(struct expansion *x, const struct inst_value *op) {
    const struct inst_value *etype = &op->u.items[1];
    struct inst_value entity;
    enum inst_status status = entity_of(x, etype, &op->u.items[2], &entity);
    if (status == INST_OK && entity.tag == INST_ARRAY) {
        status = add_id_step(x, etype, entity, inst_undefined());
    }
    struct inst_value args = element(op, 3);
    for (uint32_t i = 0; status == INST_OK && i < args.len; i++) {
        const struct inst_member *m = &args.u.members[i];
        if (is_id_key(m)) {
            continue;
        }
        bool is_list = m->value.tag == INST_ARRAY;
        uint32_t count = is_list ? m->value.len : 1;
        for (uint32_t k = 0; status == INST_OK && k < count; k++) {
            status = expand_link_value(x, op, m, is_list ? &m->value.u.items[k] : &m->value);
        }
    }
    return status;
}

static enum inst_status add_step_of(struct expansion *x, const char *action,
                                    const struct inst_value *parts, size_t count) {
    struct inst_array_builder b;
    inst_array_begin(&b, x->arena);
    inst_array_add(&b, inst_cstring(action));
    for (size_t i = 0; i < count; i++) {
        inst_array_add(&b, parts[i]);
    }
    struct inst_value step;
    if (!inst_array_end(&b, &step)) {
        return inst_err_nomem(x->err);
    }
    inst_array_add(x->steps, step);
    return x->steps->failed ? inst_err_nomem(x->err) : INST_OK;
}

static enum inst_status expand_delete(struct expansion *x, const struct inst_value *op) {
    struct inst_value parts[2] = {inst_undefined(), op->u.items[1]};
    enum inst_status status = entity_of(x, &op->u.items[1], &op->u.items[2], &parts[0]);
    return status == INST_OK ? add_step_of(x, "delete-entity", parts, 2) : status;
}

static enum inst_status expand_rule_params(struct expansion *x, const struct inst_value *op) {
    struct inst_value parts[3] = {inst_undefined(), op->u.items[1], element(op, 3)};
    enum inst_status status = entity_of(x, &op->u.items[1], &op->u.items[2], &parts[0]);
    if (status != INST_OK) {
        return status;
    }
    if (parts[2].tag == INST_OBJECT && inst_getz(&parts[2], "id")) {
        struct inst_object_builder b;
        inst_object_begin(&b, x->arena);
        for (uint32_t i = 0; i < parts[2].len; i++) {
            const struct inst_member *m = &parts[2].u.members[i];
            if (!is_id_key(m)) {
                inst_object_add(&b, m->key, m->key_len, m->value);
            }
        }
        if (!inst_object_end(&b, &parts[2])) {
            return inst_err_nomem(x->err);
        }
    }
    return add_step_of(x, "rule-params", parts, 3);
}

static enum inst_status expand(struct expansion *x, const struct inst_value *op) {
    const struct inst_value *action = &op->u.items[0];
    if (inst_is_string(action, "create") || inst_is_string(action, "update") ||
        inst_is_string(action, "merge")) {
        return expand_object(x, op);
    }
    if (inst_is_string(action, "link") || inst_is_string(action, "unlink")) {
        return expand_link(x, op);
    }
    if (inst_is_string(action, "delete")) {
        return expand_delete(x, op);
    }
    if (inst_is_string(action, "ruleParams")) {
        return expand_rule_params(x, op);
    }
    bool is_add = inst_is_string(action, "add-attr");
    if (x->context->is_admin && (is_add || inst_is_string(action, "delete-attr"))) {
        return add_step_of(x, is_add ? "add-attr" : "delete-attr", &op->u.items[1], 1);
    }
    x->refused = action;
    return inst_err_set(x->err, TYPE, 400, "%s action %.*s",
                        x->context->is_admin ? "Unsupported" : "unsupported", (int)action->len,
                        action->u.str);
}

enum inst_status inst_tx_expand(struct inst_arena *arena, const struct inst_tx_context *context,
                                const struct inst_attrs *attrs, const struct inst_value *const *ops,
                                size_t count, struct inst_array_builder *steps,
                                const struct inst_value **refused, struct inst_err *err) {
    struct expansion x = {arena, context, attrs, steps, NULL, err};
    enum inst_status status = INST_OK;
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        status = expand(&x, ops[i]);
    }
    if (refused) {
        *refused = x.refused;
    }
    return status;
}

/* ---- flattening ---- */

struct op_list {
    const struct inst_value **at;
    size_t count;
    size_t cap;
};

static enum inst_status check_op(const struct inst_value *op, struct inst_err *err) {
    if (op->tag != INST_ARRAY) {
        return inst_err_set(err, TYPE, 400,
                            "Transaction operation must be an array, but received: %s",
                            inst_value_typeof(op));
    }
    if (op->len < 3 || op->u.items[0].tag != INST_STRING) {
        return inst_err_set(err, TYPE, 400, "Transaction operation is incomplete.");
    }
    if (op->u.items[1].tag != INST_STRING) {
        return inst_err_set(err, TYPE, 400, "Entity name must be a string, but received: %s",
                            inst_value_typeof(&op->u.items[1]));
    }
    return INST_OK;
}

static enum inst_status add_ops(struct op_list *list, const struct inst_value *chunk,
                                struct inst_err *err) {
    if (chunk->tag != INST_OBJECT) {
        return inst_err_set(err, TYPE, 400, "Transaction chunk must be an object, but received: %s",
                            inst_value_typeof(chunk));
    }
    const struct inst_value *ops = inst_getz(chunk, "__ops");
    if (!ops || ops->tag != INST_ARRAY) {
        return inst_err_set(err, TYPE, 400,
                            "Transaction chunk must have __ops array, but received: %s",
                            ops ? inst_value_typeof(ops) : "undefined");
    }
    if (list->count + ops->len > list->cap) {
        size_t cap = (list->count + ops->len) * 2;
        const struct inst_value **at = realloc(list->at, cap * sizeof(const struct inst_value *));
        if (!at) {
            return inst_err_nomem(err);
        }
        list->at = at;
        list->cap = cap;
    }
    for (uint32_t i = 0; i < ops->len; i++) {
        enum inst_status status = check_op(&ops->u.items[i], err);
        if (status != INST_OK) {
            return status;
        }
        list->at[list->count++] = &ops->u.items[i];
    }
    return INST_OK;
}

enum inst_status inst_tx_transform(struct inst_arena *arena, const struct inst_tx_context *context,
                                   const struct inst_value *chunks, struct inst_value *out,
                                   struct inst_err *err) {
    struct op_list ops = {0};
    struct inst_attrs *attrs = NULL;
    struct inst_array_builder steps;
    inst_array_begin(&steps, arena);
    enum inst_status status = INST_OK;
    if (chunks->tag == INST_ARRAY) {
        for (uint32_t i = 0; status == INST_OK && i < chunks->len; i++) {
            status = add_ops(&ops, &chunks->u.items[i], err);
        }
    } else {
        status = add_ops(&ops, chunks, err);
    }
    if (status == INST_OK) {
        status = inst_tx_missing_attrs(arena, context, ops.at, ops.count, &steps, &attrs, err);
    }
    if (status == INST_OK) {
        status = inst_tx_expand(arena, context, attrs, ops.at, ops.count, &steps, NULL, err);
    }
    if (status == INST_OK && !inst_array_end(&steps, out)) {
        status = inst_err_nomem(err);
    }
    inst_attrs_unref(attrs);
    free(ops.at);
    return status;
}
