#include "instaml/rewrite.h"

void inst_attr_mapping_init(struct inst_attr_mapping *mapping, struct inst_arena *arena) {
    *mapping = (struct inst_attr_mapping){.arena = arena};
}

enum inst_status inst_attr_mapping_add(struct inst_attr_mapping *mapping, struct inst_value from,
                                       struct inst_value to, bool is_swapped,
                                       struct inst_err *err) {
    for (size_t i = 0; i < mapping->count; i++) {
        if (inst_value_same(&mapping->at[i].from, &from)) {
            mapping->at[i].to = to;
            mapping->at[i].is_swapped = mapping->at[i].is_swapped || is_swapped;
            return INST_OK;
        }
    }
    if (mapping->count == mapping->cap) {
        size_t cap = mapping->cap ? mapping->cap * 2 : 8;
        struct inst_attr_replaced *at = inst_arena_alloc(mapping->arena, cap * sizeof(*at));
        if (!at) {
            return inst_err_nomem(err);
        }
        if (mapping->count) {
            memcpy(at, mapping->at, mapping->count * sizeof(*at));
        }
        mapping->at = at;
        mapping->cap = cap;
    }
    mapping->at[mapping->count++] = (struct inst_attr_replaced){from, to, is_swapped};
    return INST_OK;
}

static const struct inst_attr_replaced *find(const struct inst_attr_mapping *mapping,
                                             const struct inst_value *id) {
    if (id->tag != INST_STRING) {
        return NULL;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        if (inst_value_same(&mapping->at[i].from, id)) {
            return &mapping->at[i];
        }
    }
    return NULL;
}

/*
 * One element of a step. A string *value* that equals a mapped id is replaced as well: the vectors
 * pin it, and telling it apart would take the attr's type, which is not known for an unsynced attr.
 * A partial attr (update-attr) has its id replaced.
 */
static bool rewrite_part(const struct inst_attr_mapping *mapping, const struct inst_value *part,
                         bool is_attr, struct inst_value *out) {
    const struct inst_attr_replaced *to = find(mapping, part);
    *out = to ? to->to : *part;
    if (to) {
        return true;
    }
    if (part->tag == INST_ARRAY && part->len == 2 && (to = find(mapping, &part->u.items[0]))) {
        struct inst_array_builder b;
        inst_array_begin(&b, mapping->arena);
        inst_array_add(&b, to->to);
        inst_array_add(&b, part->u.items[1]);
        return inst_array_end(&b, out);
    }
    const struct inst_value *id = is_attr ? inst_getz(part, "id") : NULL;
    if (id && (to = find(mapping, id))) {
        struct inst_object_builder b;
        inst_object_begin(&b, mapping->arena);
        for (uint32_t i = 0; i < part->len; i++) {
            const struct inst_member *m = &part->u.members[i];
            inst_object_add(&b, m->key, m->key_len, &m->value == id ? to->to : m->value);
        }
        return inst_object_end(&b, out);
    }
    return true;
}

/* Would rewrite_part change it? */
static bool is_touched(const struct inst_attr_mapping *mapping, const struct inst_value *part,
                       bool is_attr) {
    if (part->tag == INST_ARRAY) {
        return part->len == 2 && find(mapping, &part->u.items[0]);
    }
    if (part->tag == INST_OBJECT) {
        const struct inst_value *id = is_attr ? inst_getz(part, "id") : NULL;
        return id && find(mapping, id);
    }
    return find(mapping, part) != NULL;
}

static bool is_triple_step(const struct inst_value *step) {
    return step->len > 3 && (inst_is_string(&step->u.items[0], "add-triple") ||
                             inst_is_string(&step->u.items[0], "retract-triple"));
}

enum inst_status inst_rewrite_step(const struct inst_attr_mapping *mapping,
                                   const struct inst_value *step, struct inst_value *out,
                                   struct inst_err *err) {
    *out = *step;
    if (!mapping->count || step->tag != INST_ARRAY || step->len == 0) {
        return INST_OK;
    }
    bool is_attr = inst_is_string(&step->u.items[0], "update-attr");
    bool any = false;
    for (uint32_t i = 0; i < step->len && !any; i++) {
        any = is_touched(mapping, &step->u.items[i], is_attr);
    }
    if (!any) {
        return INST_OK;
    }
    struct inst_value *parts = inst_arena_alloc(mapping->arena, step->len * sizeof(*parts));
    if (!parts) {
        return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < step->len; i++) {
        if (!rewrite_part(mapping, &step->u.items[i], is_attr, &parts[i])) {
            return inst_err_nomem(err);
        }
    }
    const struct inst_attr_replaced *attr =
        is_triple_step(step) ? find(mapping, &step->u.items[2]) : NULL;
    if (attr && attr->is_swapped) {
        struct inst_value e = parts[1];
        parts[1] = parts[3];
        parts[3] = e;
    }
    *out = inst_array(parts, step->len);
    return INST_OK;
}

/* Maps the attr of an add-attr step to the server's attr of that name. *is_mapped: there is one
 * under another id. */
static enum inst_status map_attr(struct inst_attr_mapping *mapping, const struct inst_attrs *attrs,
                                 const struct inst_value *attr, bool *is_mapped,
                                 struct inst_err *err) {
    *is_mapped = false;
    const struct inst_value *id = inst_get_string(attr, "id");
    const struct inst_value *name = inst_getz(attr, "forward-identity");
    if (!id || !name || name->tag != INST_ARRAY || name->len < 3 ||
        name->u.items[1].tag != INST_STRING || name->u.items[2].tag != INST_STRING) {
        return INST_OK;
    }
    const struct inst_value *etype = &name->u.items[1];
    const struct inst_value *label = &name->u.items[2];
    const struct inst_attr *found =
        inst_attrs_forward(attrs, etype->u.str, etype->len, label->u.str, label->len);
    bool is_swapped = false;
    if (found && inst_value_same(&found->id, id)) {
        return INST_OK;
    }
    const struct inst_value *type = inst_getz(attr, "value-type");
    if (!found && type && inst_is_string(type, "ref")) {
        found = inst_attrs_reverse(attrs, etype->u.str, etype->len, label->u.str, label->len);
        is_swapped = found != NULL;
    }
    if (!found || inst_value_same(&found->id, id)) {
        return INST_OK;
    }
    /* Both outlive the steps and the catalog: later mutations meet them too. */
    struct inst_value from, to;
    if (!inst_value_dup(mapping->arena, id, &from) ||
        !inst_value_dup(mapping->arena, &found->id, &to)) {
        return inst_err_nomem(err);
    }
    *is_mapped = true;
    return inst_attr_mapping_add(mapping, from, to, is_swapped, err);
}

static bool is_attr_step(const struct inst_value *action) {
    return inst_is_string(action, "add-attr") || inst_is_string(action, "update-attr") ||
           inst_is_string(action, "delete-attr");
}

/*
 * The official client drops update-attr and delete-attr as soon as any attrs are known, so that a
 * schema edit made offline is lost (session.md 10 #6). Here they stay until the server's attrs are
 * known to include them, like add-attr. The exception is an update of a link that turned out to run
 * the other way on the server: its names and cardinality mean the opposite there.
 */
static bool is_dropped(const struct inst_attr_mapping *mapping, const struct inst_value *step,
                       bool is_processed) {
    const struct inst_value *action = &step->u.items[0];
    if (is_processed && is_attr_step(action)) {
        return true;
    }
    if (step->len < 2 || !inst_is_string(action, "update-attr")) {
        return false;
    }
    const struct inst_value *id = inst_getz(&step->u.items[1], "id");
    const struct inst_attr_replaced *to = id ? find(mapping, id) : NULL;
    return to && to->is_swapped;
}

enum inst_status inst_rewrite_steps(struct inst_attr_mapping *mapping,
                                    const struct inst_attrs *attrs, const struct inst_value *steps,
                                    bool is_processed, struct inst_value *out, bool *is_changed,
                                    struct inst_err *err) {
    *out = *steps;
    *is_changed = false;
    if (steps->tag != INST_ARRAY) {
        return INST_OK;
    }
    struct inst_array_builder kept;
    inst_array_begin(&kept, mapping->arena);
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (step->tag != INST_ARRAY || step->len == 0) {
            inst_array_add(&kept, *step);
            continue;
        }
        bool is_mapped = false;
        if (step->len > 1 && inst_is_string(&step->u.items[0], "add-attr")) {
            enum inst_status status = map_attr(mapping, attrs, &step->u.items[1], &is_mapped, err);
            if (status != INST_OK) {
                return status;
            }
        }
        if (is_mapped || is_dropped(mapping, step, is_processed)) {
            *is_changed = true;
            continue;
        }
        struct inst_value rewritten;
        enum inst_status status = inst_rewrite_step(mapping, step, &rewritten, err);
        if (status != INST_OK) {
            return status;
        }
        *is_changed = *is_changed || rewritten.u.items != step->u.items;
        inst_array_add(&kept, rewritten);
    }
    struct inst_value all;
    if (!inst_array_end(&kept, &all)) {
        return inst_err_nomem(err);
    }
    if (*is_changed) {
        *out = all;
    }
    return INST_OK;
}
