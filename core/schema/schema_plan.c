#include "schema/schema_plan.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/uuid.h"
#include "schema/api_schema.h"
#include "schema/system_catalog.h"
#include "schema/validation.h"

struct planner {
    struct inst_arena *arena;
    const struct inst_schema_plan *plan;
    struct inst_array_builder steps;
    struct inst_buf messages; /* `"in": ..., "message": ...` objects, with commas between */
    struct inst_buf texts;    /* the messages, with ", " between */
    bool failed;              /* out of memory */
};

/* ---- writing ---- */

static struct inst_value new_id(struct planner *p) {
    char *text = inst_arena_alloc(p->arena, INST_UUID_TEXT + 1);
    if (!text) {
        p->failed = true;
        return inst_undefined();
    }
    inst_uuid_make_text(p->plan->env, text);
    return inst_string(text, INST_UUID_TEXT);
}

static struct inst_value list(struct planner *p, const struct inst_value *items, size_t count) {
    struct inst_array_builder b;
    struct inst_value out = inst_undefined();
    inst_array_begin(&b, p->arena);
    for (size_t i = 0; i < count; i++) {
        inst_array_add(&b, items[i]);
    }
    p->failed = !inst_array_end(&b, &out) || p->failed;
    return out;
}

static struct inst_value ident_list(struct planner *p, const struct inst_ident *ident) {
    struct inst_value parts[3] = {ident->id, ident->etype, ident->label};
    return list(p, parts, 3);
}

static void add_step(struct planner *p, const char *op, struct inst_object_builder *params) {
    struct inst_value step[2] = {inst_cstring(op), inst_undefined()};
    p->failed = !inst_object_end(params, &step[1]) || p->failed;
    inst_array_add(&p->steps, list(p, step, 2));
}

static void add_job(struct planner *p, const char *op, const struct inst_attr *attr,
                    const char *type) {
    struct inst_object_builder b;
    inst_object_begin(&b, p->arena);
    inst_object_addz(&b, "attr-id", attr->id);
    if (type) {
        inst_object_addz(&b, "checked-data-type", inst_cstring(type));
    }
    inst_object_addz(&b, "forward-identity", ident_list(p, &attr->forward));
    add_step(p, op, &b);
}

/* What a schema says of one attr. */
struct wanted {
    struct inst_ident forward, reverse; /* reverse.label UNDEFINED: a blob */
    enum inst_checked_type type;
    bool is_many, is_unique, is_indexed, is_required;
    bool cascades, cascades_reverse;
};

static bool is_ref(const struct wanted *w) { return w->reverse.label.tag == INST_STRING; }

static struct inst_value cascade(bool is_on) {
    return is_on ? inst_cstring("cascade") : inst_null();
}

static void add_shape(struct planner *p, struct inst_object_builder *b, const struct wanted *w,
                      struct inst_value id) {
    inst_object_addz(b, "value-type", inst_cstring(is_ref(w) ? "ref" : "blob"));
    inst_object_addz(b, "cardinality", inst_cstring(w->is_many ? "many" : "one"));
    inst_object_addz(b, "id", id);
    inst_object_addz(b, "forward-identity", ident_list(p, &w->forward));
    if (is_ref(w)) {
        inst_object_addz(b, "reverse-identity", ident_list(p, &w->reverse));
        inst_object_addz(b, "on-delete", cascade(w->cascades));
        inst_object_addz(b, "on-delete-reverse", cascade(w->cascades_reverse));
    }
    inst_object_addz(b, "unique?", inst_bool(w->is_unique));
    inst_object_addz(b, "index?", inst_bool(w->is_indexed));
    inst_object_addz(b, "required?", inst_bool(w->is_required));
}

/* ---- refusing ---- */

static void refuse(struct planner *p, const struct inst_ident *at, const char *text) {
    struct inst_buf one;
    inst_buf_init(&one);
    inst_buf_addf(&one, "%.*s->%.*s: %s", INST_TEXT(&at->etype), INST_TEXT(&at->label), text);
    p->failed = one.failed || p->failed;
    if (!one.failed) {
        inst_buf_add_str(&p->texts, p->texts.len > 0 ? ", " : "");
        inst_buf_add(&p->texts, one.data, one.len);
        inst_buf_add_str(&p->messages, p->messages.len > 0 ? "," : "");
        inst_buf_add_str(&p->messages, "{\"in\":[\"schema\"],\"message\":");
        inst_json_write_string(&p->messages, one.data, one.len);
        inst_buf_add_char(&p->messages, '}');
    }
    inst_buf_free(&one);
}

static enum inst_status refusal(struct planner *p, struct inst_err *err) {
    struct inst_buf hint;
    if (p->texts.len == 0) {
        return INST_OK;
    }
    inst_err_set(err, "validation-failed", 400, "Validation failed for schema: %s", p->texts.data);
    inst_buf_init(&hint);
    inst_buf_addf(&hint, "{\"data-type\":\"schema\",\"input\":\"plan\",\"errors\":[%s]}",
                  p->messages.data);
    if (!hint.failed) {
        inst_err_hint(err, hint.data);
    }
    inst_buf_free(&hint);
    return INST_FAILED;
}

static bool same(const struct inst_value *a, const struct inst_value *b) {
    return inst_value_same(a, b);
}

/* The attr of this name, from whichever end. */
static const struct inst_attr *taken_by(struct planner *p, const struct inst_ident *name) {
    const struct inst_value *etype = &name->etype, *label = &name->label;
    const struct inst_attr *attr =
        inst_attrs_forward(p->plan->attrs, etype->u.str, etype->len, label->u.str, label->len);
    return attr ? attr
                : inst_attrs_reverse(p->plan->attrs, etype->u.str, etype->len, label->u.str,
                                     label->len);
}

static void check_new(struct planner *p, const struct wanted *w) {
    static const char taken[] = "Duplicate entry found for attribute. Is a link of the schema "
                                "defined twice, or is there an attribute of this name already?";
    static const char backwards[] =
        "Conflicting link found for attribute. The app has a link with these labels in the other "
        "direction, which cannot be swapped: swap `forward` and `reverse` of this link, or delete "
        "the existing one.";
    const struct inst_attr *other = taken_by(p, &w->forward);
    if (other && is_ref(w) && other->is_ref && same(&other->forward.etype, &w->reverse.etype) &&
        same(&other->forward.label, &w->reverse.label) &&
        same(&other->reverse.etype, &w->forward.etype) &&
        same(&other->reverse.label, &w->forward.label)) {
        refuse(p, &w->forward, backwards);
    } else if (other) {
        refuse(p, &w->forward, taken);
    } else if (is_ref(w) && taken_by(p, &w->reverse)) {
        refuse(p, &w->reverse, taken);
    }
}

static void check_cascades(struct planner *p, const struct wanted *w) {
    static const char text[] = "Cascade delete is only possible on links with `has: 'one'`.";
    if (w->cascades && w->is_many) {
        refuse(p, &w->forward, text);
    } else if (w->cascades_reverse && !w->is_unique) {
        refuse(p, &w->reverse, text);
    }
}

/* ---- planning ---- */

static void add_attr(struct planner *p, struct wanted w) {
    struct inst_object_builder b;
    w.forward.id = new_id(p);
    w.reverse.id = is_ref(&w) ? new_id(p) : inst_undefined();
    check_new(p, &w);
    inst_object_begin(&b, p->arena);
    add_shape(p, &b, &w, new_id(p));
    if (w.type != INST_CHECKED_NONE && p->plan->checks_types) {
        inst_object_addz(&b, "checked-data-type", inst_cstring(inst_schema_type_name(w.type)));
    }
    add_step(p, "add-attr", &b);
}

static void update_attr(struct planner *p, const struct wanted *w, const struct inst_attr *attr) {
    struct wanted now = *w;
    struct inst_object_builder b;
    now.forward.id = attr->forward.id;
    now.reverse.id = attr->reverse.id;
    inst_object_begin(&b, p->arena);
    add_shape(p, &b, &now, attr->id);
    add_step(p, "update-attr", &b);
}

static void flag(struct planner *p, bool before, bool after, const char *on, const char *off,
                 const struct inst_attr *attr) {
    if (before != after) {
        add_job(p, after ? on : off, attr, NULL);
    }
}

static void change_blob(struct planner *p, const struct wanted *w, const struct inst_attr *attr) {
    bool differs = attr->is_unique != w->is_unique || attr->is_indexed != w->is_indexed ||
                   attr->is_required != w->is_required;
    if (p->plan->is_background) {
        flag(p, attr->is_indexed, w->is_indexed, "index", "remove-index", attr);
        flag(p, attr->is_unique, w->is_unique, "unique", "remove-unique", attr);
        flag(p, attr->is_required, w->is_required, "required", "remove-required", attr);
    } else if (differs) {
        update_attr(p, w, attr);
    }
    if (!p->plan->checks_types || attr->checked_type == w->type) {
        return;
    }
    if (w->type == INST_CHECKED_NONE) {
        add_job(p, "remove-data-type", attr, NULL);
    } else {
        add_job(p, "check-data-type", attr, inst_schema_type_name(w->type));
    }
}

static void change_link(struct planner *p, const struct wanted *w, const struct inst_attr *attr) {
    bool differs = attr->is_many != w->is_many || attr->is_unique != w->is_unique ||
                   attr->on_delete_cascade != w->cascades ||
                   attr->on_delete_reverse_cascade != w->cascades_reverse;
    bool required_differs = attr->is_required != w->is_required;
    if (!differs && !required_differs) {
        return;
    }
    check_cascades(p, w);
    if (p->plan->is_background) {
        flag(p, attr->is_required, w->is_required, "required", "remove-required", attr);
    }
    if (differs || !p->plan->is_background) {
        update_attr(p, w, attr);
    }
}

static struct wanted wanted_blob(const struct inst_schema_entity *entity,
                                 const struct inst_schema_attr *attr) {
    return (struct wanted){
        .forward = {inst_null(), entity->etype, attr->label},
        .type = attr->type,
        .is_unique = attr->is_unique,
        .is_indexed = attr->is_indexed,
        .is_required = attr->is_required,
    };
}

static struct wanted wanted_link(const struct inst_schema_link *link) {
    return (struct wanted){
        .forward = {inst_null(), link->forward.etype, link->forward.label},
        .reverse = {inst_null(), link->reverse.etype, link->reverse.label},
        .is_many = !link->forward.is_singular,
        .is_unique = link->reverse.is_singular,
        .is_required = link->is_required,
        .cascades = link->forward.cascades,
        .cascades_reverse = link->reverse.cascades,
    };
}

static bool is_system_attr(const struct inst_schema_entity *entity,
                           const struct inst_schema_attr *attr) {
    return inst_system_has_name(entity->etype.u.str, entity->etype.len, attr->label.u.str,
                                attr->label.len);
}

static bool is_system_link(const struct inst_schema_link *link) {
    return inst_system_has_link(&link->forward.etype, &link->forward.label, &link->reverse.etype,
                                &link->reverse.label);
}

static void plan_id(struct planner *p, const struct inst_schema_entity *entity) {
    const struct inst_attr *const *blobs;
    struct wanted id = {
        .forward = {inst_null(), entity->etype, inst_cstring("id")},
        .is_unique = true,
    };
    if (inst_attrs_blobs(p->plan->attrs, entity->etype.u.str, entity->etype.len, &blobs) == 0) {
        add_attr(p, id);
    }
}

static void plan_blobs(struct planner *p, const struct inst_schema_entity *entity) {
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        const struct inst_schema_attr *attr = &entity->attrs[i];
        const struct wanted w = wanted_blob(entity, attr);
        const struct inst_attr *now =
            inst_attrs_forward(p->plan->attrs, entity->etype.u.str, entity->etype.len,
                               attr->label.u.str, attr->label.len);
        if (inst_is_string(&attr->label, "id") || is_system_attr(entity, attr)) {
            continue;
        }
        if (now && !now->is_ref) {
            change_blob(p, &w, now);
        } else {
            add_attr(p, w);
        }
    }
}

static void plan_link(struct planner *p, const struct inst_schema_link *link) {
    const struct wanted w = wanted_link(link);
    const struct inst_value *etype = &link->forward.etype, *label = &link->forward.label;
    const struct inst_attr *now =
        inst_attrs_forward(p->plan->attrs, etype->u.str, etype->len, label->u.str, label->len);
    if (now && now->is_ref && same(&now->reverse.etype, &link->reverse.etype) &&
        same(&now->reverse.label, &link->reverse.label)) {
        change_link(p, &w, now);
    } else {
        check_cascades(p, &w);
        add_attr(p, w);
    }
}

enum inst_status inst_schema_plan(struct inst_arena *arena, const struct inst_schema_plan *plan,
                                  struct inst_value *out, struct inst_err *err) {
    struct planner p = {.arena = arena, .plan = plan};
    const struct inst_schema *schema = plan->schema;
    enum inst_status status;
    inst_buf_init(&p.messages);
    inst_buf_init(&p.texts);
    inst_array_begin(&p.steps, arena);
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        plan_id(&p, &schema->entities[i]);
    }
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        plan_blobs(&p, &schema->entities[i]);
    }
    for (uint32_t i = 0; i < schema->link_count; i++) {
        if (!is_system_link(&schema->links[i])) {
            plan_link(&p, &schema->links[i]);
        }
    }
    if (!inst_array_end(&p.steps, out) || p.failed || p.messages.failed || p.texts.failed) {
        status = inst_err_nomem(err);
    } else {
        status = refusal(&p, err);
    }
    inst_buf_free(&p.messages);
    inst_buf_free(&p.texts);
    return status;
}

/* ---- the schema in the API's shape ---- */

static bool write_wanted(struct planner *p, const struct wanted *w, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, p->arena);
    add_shape(p, &b, w, inst_null());
    if (!is_ref(w) && w->type != INST_CHECKED_NONE) {
        inst_object_addz(&b, "checked-data-type", inst_cstring(inst_schema_type_name(w->type)));
    }
    return inst_object_end(&b, out) && !p->failed;
}

static bool write_blobs(struct planner *p, const struct inst_schema *schema,
                        struct inst_value *out) {
    struct inst_object_builder entities;
    inst_object_begin(&entities, p->arena);
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        const struct inst_schema_entity *entity = &schema->entities[i];
        struct inst_object_builder attrs;
        struct inst_value value;
        inst_object_begin(&attrs, p->arena);
        for (uint32_t k = 0; k < entity->attr_count; k++) {
            const struct wanted w = wanted_blob(entity, &entity->attrs[k]);
            if (is_system_attr(entity, &entity->attrs[k])) {
                continue;
            }
            if (!write_wanted(p, &w, &value)) {
                return false;
            }
            inst_object_add(&attrs, w.forward.label.u.str, w.forward.label.len, value);
        }
        if (!inst_object_end(&attrs, &value)) {
            return false;
        }
        inst_object_add(&entities, entity->etype.u.str, entity->etype.len, value);
    }
    return inst_object_end(&entities, out);
}

static bool write_refs(struct planner *p, const struct inst_schema *schema,
                       struct inst_value *out) {
    struct inst_object_builder refs;
    inst_object_begin(&refs, p->arena);
    for (uint32_t i = 0; i < schema->link_count; i++) {
        const struct wanted w = wanted_link(&schema->links[i]);
        struct inst_value key, value;
        if (is_system_link(&schema->links[i])) {
            continue;
        }
        if (!inst_api_schema_key(p->arena, INST_REF_KEY_LIST, &w.forward, &w.reverse, &key) ||
            !write_wanted(p, &w, &value)) {
            return false;
        }
        inst_object_add(&refs, key.u.str, key.len, value);
    }
    return inst_object_end(&refs, out);
}

enum inst_status inst_schema_as_api(struct inst_arena *arena, const struct inst_schema *schema,
                                    struct inst_value *out, struct inst_err *err) {
    struct planner p = {.arena = arena};
    struct inst_object_builder b;
    struct inst_value refs, blobs;
    inst_object_begin(&b, arena);
    if (!write_refs(&p, schema, &refs) || !write_blobs(&p, schema, &blobs)) {
        return inst_err_nomem(err);
    }
    inst_object_addz(&b, "refs", refs);
    inst_object_addz(&b, "blobs", blobs);
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}
