#include "schema/schema_check.h"

#include "schema/validation.h"

/* ---- system names ---- */

static bool add_name(struct inst_arena *arena, struct inst_object_builder *names,
                     const struct inst_value *ident) {
    struct inst_array_builder labels;
    struct inst_value list;
    if (!ident || ident->tag != INST_ARRAY || ident->len != 3 ||
        ident->u.items[1].tag != INST_STRING || ident->u.items[2].tag != INST_STRING) {
        return true;
    }
    const struct inst_value *etype = &ident->u.items[1];
    struct inst_value so_far = inst_object(names->members, names->count);
    const struct inst_value *known = inst_get(&so_far, etype->u.str, etype->len);
    inst_array_begin(&labels, arena);
    for (uint32_t i = 0; known && i < known->len; i++) {
        inst_array_add(&labels, known->u.items[i]);
    }
    inst_array_add(&labels, ident->u.items[2]);
    if (!inst_array_end(&labels, &list)) {
        return false;
    }
    inst_object_add(names, etype->u.str, etype->len, list);
    return true;
}

enum inst_status inst_schema_system_names(struct inst_arena *arena, const struct inst_value *attrs,
                                          struct inst_value *out, struct inst_err *err) {
    struct inst_object_builder names;
    bool ok = true;
    inst_object_begin(&names, arena);
    for (uint32_t i = 0; ok && attrs->tag == INST_ARRAY && i < attrs->len; i++) {
        const struct inst_value *attr = &attrs->u.items[i];
        const struct inst_value *catalog = inst_get_string(attr, "catalog");
        if (catalog && inst_is_string(catalog, "system")) {
            ok = add_name(arena, &names, inst_getz(attr, "forward-identity")) &&
                 add_name(arena, &names, inst_getz(attr, "reverse-identity"));
        }
    }
    return inst_object_end(&names, out) && ok ? INST_OK : inst_err_nomem(err);
}

bool inst_schema_is_system_name(const struct inst_value *system_names,
                                const struct inst_value *etype, const struct inst_value *label) {
    const struct inst_value *labels = inst_get(system_names, etype->u.str, etype->len);
    for (uint32_t i = 0; labels && labels->tag == INST_ARRAY && i < labels->len; i++) {
        if (inst_value_same(&labels->u.items[i], label)) {
            return true;
        }
    }
    return false;
}

/* ---- the check ---- */

static const char *type_name(enum inst_checked_type type) {
    return type == INST_CHECKED_NONE ? "json" : inst_schema_type_name(type);
}

static enum inst_status check_entity(const struct inst_schema_entity *entity,
                                     const struct inst_value *names, struct inst_err *err) {
    const struct inst_value *etype = &entity->etype;
    if (etype->len == 0 || etype->u.str[0] != '$') {
        return INST_OK;
    }
    if (!inst_get(names, etype->u.str, etype->len)) {
        return inst_err_set(err, "validation-failed", 400,
                            "The $ keyword is reserved for system namespaces.\nYou can't create "
                            "'%.*s'. Perhaps call it '%.*s' instead?",
                            INST_TEXT(etype), (int)etype->len - 1, etype->u.str + 1);
    }
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        const struct inst_schema_attr *attr = &entity->attrs[i];
        if (attr->is_required && !inst_schema_is_system_name(names, etype, &attr->label)) {
            return inst_err_set(
                err, "validation-failed", 400,
                "The '%.*s' namespace is managed by the system and can't modify required "
                "constraints yet.\nMake sure to set %.*s.%.*s as optional.\n i.e { %.*s: "
                "i.%s().optional() }",
                INST_TEXT(etype), INST_TEXT(etype), INST_TEXT(&attr->label),
                INST_TEXT(&attr->label), type_name(attr->type));
        }
    }
    return INST_OK;
}

static enum inst_status refuse_link(const struct inst_schema_link *link, const char *what,
                                    const struct inst_value *name, struct inst_err *err) {
    const struct inst_schema_end *f = &link->forward, *r = &link->reverse;
    return inst_err_set(err, "validation-failed", 400, "%.*s%.*s -> %.*s%.*s %s%.*s%s",
                        INST_TEXT(&f->etype), INST_TEXT(&f->label), INST_TEXT(&r->etype),
                        INST_TEXT(&r->label), what, name ? (int)name->len : 0,
                        name ? name->u.str : "", name ? "\"." : "");
}

static enum inst_status check_link(const struct inst_schema *schema,
                                   const struct inst_schema_link *link,
                                   const struct inst_value *names, struct inst_err *err) {
    const struct inst_schema_end *f = &link->forward, *r = &link->reverse;
    if (link->is_required && inst_get(names, f->etype.u.str, f->etype.len) &&
        !inst_schema_is_system_name(names, &f->etype, &f->label)) {
        return inst_err_set(
            err, "validation-failed", 400,
            "The %.*s namespace is managed by the system and can't modify required constraints "
            "yet.\nMake sure to set %.*s%.*s as 'optional'.\n i.e { 'on': '%.*s', 'label': %.*s, "
            "'required': false }",
            INST_TEXT(&f->etype), INST_TEXT(&f->etype), INST_TEXT(&f->label), INST_TEXT(&f->etype),
            INST_TEXT(&f->label));
    }
    if ((f->cascades && !f->is_singular) || (r->cascades && !r->is_singular)) {
        return refuse_link(link, "has onDelete: \"cascade\" with has: \"many\"", NULL, err);
    }
    if (!inst_schema_entity(schema, f->etype.u.str, f->etype.len) ||
        !inst_schema_entity(schema, r->etype.u.str, r->etype.len)) {
        /* The original names the forward end whichever is missing. */
        return refuse_link(link, "connects to non existing entity \"", &f->etype, err);
    }
    return INST_OK;
}

enum inst_status inst_schema_check(const struct inst_schema *schema,
                                   const struct inst_value *system_names, struct inst_err *err) {
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; status == INST_OK && i < schema->entity_count; i++) {
        status = check_entity(&schema->entities[i], system_names, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < schema->link_count; i++) {
        status = check_link(schema, &schema->links[i], system_names, err);
    }
    return status;
}
