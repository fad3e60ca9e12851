/*
 * A walk over the query in key order. `struct path` is the way to where the walk stands, linked
 * from the inside out, so that only a refusal costs memory.
 */
#include "schema/query_validation.h"

#include "base/js_text.h"
#include "base/json.h"
#include "base/uuid.h"
#include "schema/validation.h"

#include <string.h>

struct path {
    const struct path *up;
    struct inst_value name;
    const struct inst_value *branch; /* of a list of `or` and `and`; else NULL */
    int depth;                       /* from 1 */
};

static struct path step(const struct path *up, const struct inst_value *name) {
    return (struct path){.up = up, .name = *name, .depth = up ? up->depth + 1 : 1};
}

static struct path step_named(const struct path *up, const char *name) {
    struct inst_value v = inst_cstring(name);
    return step(up, &v);
}

static void add_path(struct inst_buf *buf, const struct path *path) {
    if (path->up) {
        add_path(buf, path->up);
        inst_buf_add_char(buf, '.');
    }
    inst_buf_add(buf, path->name.u.str, path->name.len);
    if (path->branch) {
        inst_buf_add_char(buf, '[');
        inst_js_text(buf, path->branch);
        inst_buf_add_char(buf, ']');
    }
}

/* Starts the message of a refusal; inst_validation_refuse ends it. */
static void at_path(struct inst_buf *message, const struct path *path) {
    inst_buf_init(message);
    inst_buf_add_str(message, "At path '");
    add_path(message, path);
    inst_buf_add_str(message, "': ");
}

static enum inst_status check_depth(const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    if (path->depth <= INST_JSON_MAX_DEPTH) {
        return INST_OK;
    }
    inst_buf_init(&message);
    inst_buf_addf(&message, "Query must not be nested deeper than %d", INST_JSON_MAX_DEPTH);
    return inst_validation_refuse(&message, err);
}

/* ---- values of a where ---- */

/* What a condition is about. */
struct subject {
    const struct inst_value *label; /* as written: the dotted path where there is one */
    const struct inst_value *etype; /* where the where stands */
    enum inst_checked_type type;
    bool is_indexed;
};

static enum inst_status check_operand(const struct subject *of, const struct inst_value *op,
                                      enum inst_checked_type type, const struct inst_value *operand,
                                      const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    if (of->type == INST_CHECKED_NONE || inst_is_of_type(operand, type)) {
        return INST_OK;
    }
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Invalid value for operator '%.*s' on attribute '%.*s' in entity '%.*s'. "
                  "Expected %s, but received: %s",
                  INST_TEXT(op), INST_TEXT(of->label), INST_TEXT(of->etype),
                  inst_schema_type_name(type), inst_value_typeof(operand));
    return inst_validation_refuse(&message, err);
}

static enum inst_status check_in(const struct subject *of, const struct inst_value *op,
                                 const struct inst_value *operand, const struct path *path,
                                 struct inst_err *err) {
    enum inst_status status = INST_OK;
    struct inst_buf message;
    if (operand->tag != INST_ARRAY) {
        at_path(&message, path);
        inst_buf_addf(&message,
                      "Operator '%.*s' for attribute '%.*s' in entity '%.*s' must be an array, but "
                      "received: %s",
                      INST_TEXT(op), INST_TEXT(of->label), INST_TEXT(of->etype),
                      inst_value_typeof(operand));
        return inst_validation_refuse(&message, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < operand->len; i++) {
        status = check_operand(of, op, of->type, &operand->u.items[i], path, err);
    }
    return status;
}

static enum inst_status check_ilike(const struct subject *of, const struct inst_value *op,
                                    const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    if (of->is_indexed) {
        return INST_OK;
    }
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Operator '%.*s' can only be used with indexed attributes, but '%.*s' in entity "
                  "'%.*s' is not indexed",
                  INST_TEXT(op), INST_TEXT(of->label), INST_TEXT(of->etype));
    return inst_validation_refuse(&message, err);
}

static bool is_any_of(const struct inst_value *text, const char *const *names) {
    for (; *names; names++) {
        if (inst_is_string(text, *names)) {
            return true;
        }
    }
    return false;
}

static enum inst_status check_operator(const struct subject *of, const struct inst_value *op,
                                       const struct inst_value *operand, const struct path *path,
                                       struct inst_err *err) {
    static const char *const lists[] = {"in", "$in", NULL};
    static const char *const typed[] = {"$not", "$ne", "$gt", "$lt", "$gte", "$lte", NULL};
    static const char *const patterns[] = {"$like", "$ilike", NULL};
    struct inst_buf message;
    enum inst_status status;
    if (is_any_of(op, lists)) {
        return check_in(of, op, operand, path, err);
    }
    if (is_any_of(op, typed)) {
        return check_operand(of, op, of->type, operand, path, err);
    }
    if (inst_is_string(op, "$isNull")) {
        return check_operand(of, op, INST_CHECKED_BOOLEAN, operand, path, err);
    }
    if (is_any_of(op, patterns)) {
        status = check_operand(of, op, INST_CHECKED_STRING, operand, path, err);
        if (status == INST_OK && inst_is_string(op, "$ilike")) {
            status = check_ilike(of, op, path, err);
        }
        return status;
    }
    at_path(&message, path);
    inst_buf_addf(&message, "Unknown operator '%.*s' for attribute '%.*s' in entity '%.*s'",
                  INST_TEXT(op), INST_TEXT(of->label), INST_TEXT(of->etype));
    return inst_validation_refuse(&message, err);
}

static enum inst_status check_value(const struct subject *of, const struct inst_value *value,
                                    const struct path *path, struct inst_err *err) {
    enum inst_status status = INST_OK;
    struct inst_buf message;
    if (of->type == INST_CHECKED_NONE) {
        return INST_OK;
    }
    if (value->tag == INST_OBJECT || value->tag == INST_DATE) {
        for (uint32_t i = 0; status == INST_OK && i < inst_entry_count(value); i++) {
            struct inst_entry e;
            struct path at;
            inst_entry_at(value, i, &e);
            at = step(path, &e.key);
            status = check_operator(of, &e.key, e.value, &at, err);
        }
        return status;
    }
    if (inst_is_of_type(value, of->type)) {
        return INST_OK;
    }
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Invalid value for attribute '%.*s' in entity '%.*s'. Expected %s, but received: "
                  "%s",
                  INST_TEXT(of->label), INST_TEXT(of->etype), inst_schema_type_name(of->type),
                  inst_value_typeof(value));
    return inst_validation_refuse(&message, err);
}

/* Ids and links take what an indexed string attr takes. */
static enum inst_status check_id_value(const struct inst_value *label,
                                       const struct inst_value *etype,
                                       const struct inst_value *value, const struct path *path,
                                       struct inst_err *err) {
    struct subject of = {label, etype, INST_CHECKED_STRING, true};
    return check_value(&of, value, path, err);
}

/* A scalar that a link or a dotted id is compared with is a uuid. `what` is "link 'x'" or the like.
 */
static enum inst_status check_uuid(const char *what, const struct inst_value *label,
                                   const struct inst_value *etype, const struct inst_value *value,
                                   const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    if (value->tag != INST_STRING || inst_uuid_is_valid_v(value->u.str, value->len)) {
        return INST_OK;
    }
    at_path(&message, path);
    inst_buf_addf(&message, "Invalid value for %s", what);
    if (label) {
        inst_buf_addf(&message, " '%.*s'", INST_TEXT(label));
    }
    inst_buf_addf(&message, " in entity '%.*s'. Expected a UUID, but received: ", INST_TEXT(etype));
    inst_buf_add(&message, value->u.str, value->len);
    return inst_validation_refuse(&message, err);
}

/* ---- dotted paths ---- */

/* Where a dotted path has led so far. */
struct way {
    const struct inst_value *path; /* the whole key */
    struct inst_value etype;
    struct inst_value last; /* the part behind the last dot */
};

static enum inst_status no_such_entity_on_way(const struct way *way, bool is_target,
                                              const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    at_path(&message, path);
    if (is_target) {
        inst_buf_addf(&message,
                      "Target entity '%.*s' does not exist in schema for dot notation path '%.*s'.",
                      INST_TEXT(&way->etype), INST_TEXT(way->path));
    } else {
        inst_buf_addf(&message,
                      "Entity '%.*s' does not exist in schema while traversing dot notation path "
                      "'%.*s'.",
                      INST_TEXT(&way->etype), INST_TEXT(way->path));
    }
    return inst_validation_refuse(&message, err);
}

static enum inst_status no_such_link_on_way(const struct way *way, const struct inst_value *link,
                                            const struct inst_schema_entity *entity,
                                            const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Link '%.*s' does not exist on entity '%.*s' in dot notation path '%.*s'. "
                  "Available links: ",
                  INST_TEXT(link), INST_TEXT(&way->etype), INST_TEXT(way->path));
    inst_add_link_labels(&message, entity);
    return inst_validation_refuse(&message, err);
}

static enum inst_status no_such_attr_on_way(const struct way *way,
                                            const struct inst_schema_entity *entity,
                                            const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Attribute '%.*s' does not exist on entity '%.*s' in dot notation path '%.*s'. "
                  "Available attributes: ",
                  INST_TEXT(&way->last), INST_TEXT(&way->etype), INST_TEXT(way->path));
    if (entity->attr_count > 0) {
        inst_add_attr_labels(&message, entity);
        inst_buf_add_str(&message, ", ");
    }
    inst_buf_add_str(&message, "id");
    return inst_validation_refuse(&message, err);
}

/* Follows the links of way->path; sets way->etype and way->last. */
static enum inst_status follow_links(struct way *way, const struct inst_schema *schema,
                                     const struct path *path, struct inst_err *err) {
    const char *at = way->path->u.str;
    const char *end = at + way->path->len;
    const char *dot;
    while ((dot = memchr(at, '.', (size_t)(end - at))) != NULL) {
        struct inst_value label = inst_string(at, (size_t)(dot - at));
        const struct inst_schema_entity *entity =
            inst_schema_entity(schema, way->etype.u.str, way->etype.len);
        const struct inst_schema_side *side;
        if (!entity) {
            return no_such_entity_on_way(way, false, path, err);
        }
        side = inst_schema_side(entity, label.u.str, label.len);
        if (!side) {
            return no_such_link_on_way(way, &label, entity, path, err);
        }
        way->etype = side->target;
        at = dot + 1;
    }
    way->last = inst_string(at, (size_t)(end - at));
    return INST_OK;
}

static enum inst_status check_dotted(const struct inst_value *key, const struct inst_value *value,
                                     const struct inst_value *etype,
                                     const struct inst_schema *schema, const struct path *path,
                                     struct inst_err *err) {
    struct way way = {.path = key, .etype = *etype};
    const struct inst_schema_entity *entity;
    const struct inst_schema_attr *attr;
    struct subject of = {.label = key, .etype = etype};
    enum inst_status status = follow_links(&way, schema, path, err);
    bool is_id;
    if (status != INST_OK) {
        return status;
    }
    entity = inst_schema_entity(schema, way.etype.u.str, way.etype.len);
    if (!entity) {
        return no_such_entity_on_way(&way, true, path, err);
    }
    is_id = inst_is_string(&way.last, "id");
    if (is_id || inst_schema_side(entity, way.last.u.str, way.last.len)) {
        status = check_uuid(is_id ? "id field" : "link", is_id ? NULL : &way.last, &way.etype,
                            value, path, err);
        return status == INST_OK ? check_id_value(key, etype, value, path, err) : status;
    }
    attr = inst_schema_attr(entity, way.last.u.str, way.last.len);
    if (!attr) {
        return no_such_attr_on_way(&way, entity, path, err);
    }
    of.type = attr->type;
    of.is_indexed = attr->is_indexed;
    return check_value(&of, value, path, err);
}

/* ---- where ---- */

static enum inst_status check_where(const struct inst_value *where, const struct inst_value *etype,
                                    const struct inst_schema *schema, const struct path *path,
                                    struct inst_err *err);

static enum inst_status check_branches(const struct inst_value *key,
                                       const struct inst_value *branches,
                                       const struct inst_value *etype,
                                       const struct inst_schema *schema, const struct path *path,
                                       struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (branches->tag != INST_ARRAY) {
        return INST_OK;
    }
    for (uint32_t i = 0; status == INST_OK && i < branches->len; i++) {
        struct path at = step(path, key);
        at.branch = &branches->u.items[i];
        if (inst_is_object_like(at.branch)) {
            status = check_where(at.branch, etype, schema, &at, err);
        }
    }
    return status;
}

static enum inst_status no_such_label(const struct inst_value *key,
                                      const struct inst_schema_entity *entity,
                                      const struct path *path, struct inst_err *err) {
    struct inst_buf message;
    at_path(&message, path);
    inst_buf_addf(
        &message,
        "Attribute or link '%.*s' does not exist on entity '%.*s'. Available attributes: ",
        INST_TEXT(key), INST_TEXT(&entity->etype));
    inst_add_attr_labels(&message, entity);
    inst_buf_add_str(&message, ". Available links: ");
    inst_add_link_labels(&message, entity);
    return inst_validation_refuse(&message, err);
}

static enum inst_status check_label(const struct inst_value *key, const struct inst_value *value,
                                    const struct inst_value *etype,
                                    const struct inst_schema *schema, const struct path *path,
                                    struct inst_err *err) {
    const struct inst_schema_entity *entity = inst_schema_entity(schema, etype->u.str, etype->len);
    const struct inst_schema_attr *attr;
    enum inst_status status;
    if (!entity) {
        return INST_OK;
    }
    attr = inst_schema_attr(entity, key->u.str, key->len);
    if (attr) {
        struct subject of = {key, etype, attr->type, attr->is_indexed};
        return check_value(&of, value, path, err);
    }
    if (!inst_schema_side(entity, key->u.str, key->len)) {
        return no_such_label(key, entity, path, err);
    }
    status = check_uuid("link", key, etype, value, path, err);
    return status == INST_OK ? check_id_value(key, etype, value, path, err) : status;
}

static enum inst_status check_where(const struct inst_value *where, const struct inst_value *etype,
                                    const struct inst_schema *schema, const struct path *path,
                                    struct inst_err *err) {
    enum inst_status status = check_depth(path, err);
    for (uint32_t i = 0; status == INST_OK && i < inst_entry_count(where); i++) {
        struct inst_entry e;
        struct path at;
        inst_entry_at(where, i, &e);
        at = step(path, &e.key);
        if (inst_is_string(&e.key, "or") || inst_is_string(&e.key, "and")) {
            status = check_branches(&e.key, e.value, etype, schema, path, err);
        } else if (inst_is_string(&e.key, "id")) {
            status = check_id_value(&e.key, etype, e.value, &at, err);
        } else if (memchr(e.key.u.str, '.', e.key.len)) {
            status = check_dotted(&e.key, e.value, etype, schema, &at, err);
        } else {
            status = check_label(&e.key, e.value, etype, schema, &at, err);
        }
    }
    return status;
}

/* ---- options ---- */

#define OPTIONS                                                                                    \
    "where, order, limit, last, first, offset, after, afterInclusive, before, beforeInclusive, "   \
    "fields, aggregate"

static enum inst_status check_option_names(const struct inst_value *options,
                                           const struct path *path, struct inst_err *err) {
    static const char *const names[] = {
        "where",          "order",  "limit",           "last",   "first",     "offset", "after",
        "afterInclusive", "before", "beforeInclusive", "fields", "aggregate", NULL};
    for (uint32_t i = 0; i < inst_entry_count(options); i++) {
        struct inst_buf message;
        struct inst_entry e;
        inst_entry_at(options, i, &e);
        if (is_any_of(&e.key, names)) {
            continue;
        }
        at_path(&message, path);
        inst_buf_addf(&message,
                      "Invalid query parameter '%.*s' in $ object. Valid parameters are: " OPTIONS
                      ". Found: %.*s",
                      INST_TEXT(&e.key), INST_TEXT(&e.key));
        return inst_validation_refuse(&message, err);
    }
    return INST_OK;
}

static enum inst_status check_options(const struct inst_value *options,
                                      const struct inst_value *etype,
                                      const struct inst_schema *schema, const struct path *path,
                                      bool is_top, struct inst_err *err) {
    /* `limit` is not among them: the client itself can apply it to children. */
    static const char *const top_only[] = {
        "offset", "before", "beforeInclusive", "after", "afterInclusive", "first", "last"};
    const struct inst_value *where;
    struct inst_buf message;
    struct path at = step_named(path, "where");
    enum inst_status status = check_option_names(options, path, err);
    if (status != INST_OK) {
        return status;
    }
    for (size_t i = 0; !is_top && i < sizeof top_only / sizeof top_only[0]; i++) {
        const struct inst_value *v = inst_getz(options, top_only[i]);
        if (v && v->tag != INST_UNDEFINED) {
            at_path(&message, path);
            inst_buf_addf(&message,
                          "'%s' can only be used on top-level namespaces. It cannot be used in "
                          "nested queries.",
                          top_only[i]);
            return inst_validation_refuse(&message, err);
        }
    }
    where = inst_getz(options, "where");
    if (!where || !inst_value_truthy(where) || !schema) {
        return INST_OK;
    }
    if (inst_is_object_like(where)) {
        return check_where(where, etype, schema, &at, err);
    }
    at_path(&message, &at);
    inst_buf_addf(&message, "'where' clause must be an object in entity '%.*s', but received: %s",
                  INST_TEXT(etype), inst_value_typeof(where));
    return inst_validation_refuse(&message, err);
}

/* ---- forms ---- */

static enum inst_status no_such_entity(const struct inst_value *etype,
                                       const struct inst_schema *schema, const struct path *path,
                                       struct inst_err *err) {
    struct inst_buf message;
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Entity '%.*s' does not exist in schema. Available entities: ", INST_TEXT(etype));
    inst_add_etypes(&message, schema);
    return inst_validation_refuse(&message, err);
}

static enum inst_status check_form(const struct inst_value *form, const struct inst_value *etype,
                                   const struct inst_schema *schema, const struct path *path,
                                   bool is_top, struct inst_err *err);

static enum inst_status check_child(const struct inst_value *label, const struct inst_value *form,
                                    const struct inst_schema_entity *entity,
                                    const struct inst_schema *schema, const struct path *path,
                                    struct inst_err *err) {
    const struct inst_schema_side *side = inst_schema_side(entity, label->u.str, label->len);
    struct inst_buf message;
    if (!side) {
        at_path(&message, path);
        inst_buf_addf(&message, "Link '%.*s' does not exist on entity '%.*s'. Available links: ",
                      INST_TEXT(label), INST_TEXT(&entity->etype));
        inst_add_link_labels(&message, entity);
        return inst_validation_refuse(&message, err);
    }
    if (!inst_is_object_like(form)) {
        return INST_OK;
    }
    return check_form(form, &side->target, schema, path, false, err);
}

static enum inst_status check_dollar(const struct inst_value *options,
                                     const struct inst_value *etype,
                                     const struct inst_schema *schema, const struct path *path,
                                     bool is_top, struct inst_err *err) {
    struct inst_buf message;
    if (inst_is_object_like(options)) {
        return check_options(options, etype, schema, path, is_top, err);
    }
    at_path(&message, path);
    inst_buf_addf(&message,
                  "Query parameter '$' must be an object in entity '%.*s', but received: %s",
                  INST_TEXT(etype), inst_value_typeof(options));
    return inst_validation_refuse(&message, err);
}

static enum inst_status check_form(const struct inst_value *form, const struct inst_value *etype,
                                   const struct inst_schema *schema, const struct path *path,
                                   bool is_top, struct inst_err *err) {
    const struct inst_schema_entity *entity =
        schema ? inst_schema_entity(schema, etype->u.str, etype->len) : NULL;
    enum inst_status status = check_depth(path, err);
    struct inst_buf message;
    if (status != INST_OK) {
        return status;
    }
    if (!inst_is_object_like(form)) {
        at_path(&message, path);
        inst_buf_addf(&message, "Query part for entity '%.*s' must be an object, but received: %s",
                      INST_TEXT(etype), inst_value_typeof(form));
        return inst_validation_refuse(&message, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < inst_entry_count(form); i++) {
        struct inst_entry e;
        struct path at;
        inst_entry_at(form, i, &e);
        at = step(path, &e.key);
        if (inst_is_string(&e.key, "$")) {
            status = check_dollar(e.value, etype, schema, &at, is_top, err);
        } else if (entity) {
            status = check_child(&e.key, e.value, entity, schema, &at, err);
        } else if (schema) {
            /* A link of the schema leads to an etype that is not in it. */
            status = no_such_entity(etype, schema, &at, err);
        }
    }
    return status;
}

static enum inst_status check_top(const struct inst_value *etype, const struct inst_value *form,
                                  const struct inst_schema *schema, struct inst_err *err) {
    struct path path = step(NULL, etype);
    struct inst_buf message;
    if (form->tag == INST_ARRAY) {
        at_path(&message, &path);
        inst_buf_add_str(&message, "Query keys must be strings, but found key of type: string");
        return inst_validation_refuse(&message, err);
    }
    if (inst_is_string(etype, "$$ruleParams")) {
        return INST_OK;
    }
    if (schema && !inst_schema_entity(schema, etype->u.str, etype->len)) {
        return no_such_entity(etype, schema, &path, err);
    }
    return check_form(form, etype, schema, &path, true, err);
}

enum inst_status inst_query_validate(const struct inst_value *query,
                                     const struct inst_schema *schema, struct inst_err *err) {
    enum inst_status status = INST_OK;
    struct inst_buf message;
    if (query->tag != INST_OBJECT && query->tag != INST_DATE) {
        inst_buf_init(&message);
        inst_buf_addf(&message, "Query must be an object, but received: %s%s",
                      inst_value_typeof(query), query->tag == INST_NULL ? " (null)" : "");
        return inst_validation_refuse(&message, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < inst_entry_count(query); i++) {
        struct inst_entry e;
        inst_entry_at(query, i, &e);
        status = check_top(&e.key, e.value, schema, err);
    }
    return status;
}
