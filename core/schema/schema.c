#include "schema/schema.h"

#include <string.h>

/* Where the reader stands, for messages: `entities.posts.attrs.title`. */
struct place {
    const char *part;                 /* "entities", "links" */
    const struct inst_member *of;     /* the entity or link */
    const char *sub;                  /* "attrs", "forward", "reverse" or NULL */
    const struct inst_member *sub_of; /* the attr, or NULL */
};

static enum inst_status misshapen(struct inst_err *err, const struct place *at, const char *member,
                                  const char *expected) {
    return inst_err_set(
        err, "validation-failed", 400, "Invalid schema: %s.%.*s%s%s%s%.*s%s%s must be %s", at->part,
        (int)at->of->key_len, at->of->key, at->sub ? "." : "", at->sub ? at->sub : "",
        at->sub_of ? "." : "", at->sub_of ? (int)at->sub_of->key_len : 0,
        at->sub_of ? at->sub_of->key : "", member ? "." : "", member ? member : "", expected);
}

static struct inst_value key_of(const struct inst_member *m) {
    return inst_string(m->key, m->key_len);
}

/* The member when it is an object; NULL with *ok true when it is absent or null. */
static const struct inst_value *optional_object(const struct inst_value *of, const char *key,
                                                bool *ok) {
    const struct inst_value *v = inst_getz(of, key);
    *ok = !v || inst_is_nullish(v) || v->tag == INST_OBJECT;
    return v && v->tag == INST_OBJECT ? v : NULL;
}

static bool truthy_member(const struct inst_value *of, const char *key) {
    const struct inst_value *v = inst_getz(of, key);
    return v && inst_value_truthy(v);
}

/* ---- entities ---- */

static enum inst_checked_type type_of(const struct inst_value *name) {
    for (int t = INST_CHECKED_STRING; t <= INST_CHECKED_DATE; t++) {
        if (name && inst_is_string(name, inst_schema_type_name((enum inst_checked_type)t))) {
            return (enum inst_checked_type)t;
        }
    }
    return INST_CHECKED_NONE;
}

static void read_attr(const struct inst_member *m, struct inst_schema_attr *out) {
    const struct inst_value *config = inst_getz(&m->value, "config");
    bool has_config = config && config->tag == INST_OBJECT;
    out->label = key_of(m);
    out->type = type_of(inst_getz(&m->value, "valueType"));
    out->is_required = truthy_member(&m->value, "required");
    out->is_indexed =
        has_config ? truthy_member(config, "indexed") : truthy_member(&m->value, "isIndexed");
    out->is_unique = has_config && truthy_member(config, "unique");
}

static enum inst_status read_attrs(struct inst_arena *arena, const struct inst_member *m,
                                   struct inst_schema_entity *out, struct inst_err *err) {
    struct place at = {"entities", m, NULL, NULL};
    bool ok;
    const struct inst_value *attrs;
    struct inst_schema_attr *list;
    out->etype = key_of(m);
    if (m->value.tag != INST_OBJECT) {
        return misshapen(err, &at, NULL, "an object");
    }
    attrs = optional_object(&m->value, "attrs", &ok);
    if (!ok) {
        return misshapen(err, &at, "attrs", "an object");
    }
    if (!attrs) {
        return INST_OK;
    }
    if (attrs->len > INST_SCHEMA_MAX_PARTS) {
        return misshapen(err, &at, "attrs", "of a reasonable number");
    }
    list = inst_arena_zalloc(arena, attrs->len * sizeof *list);
    if (!list) {
        return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < attrs->len; i++) {
        at.sub = "attrs";
        at.sub_of = &attrs->u.members[i];
        if (at.sub_of->value.tag != INST_OBJECT) {
            return misshapen(err, &at, NULL, "an object");
        }
        read_attr(at.sub_of, &list[i]);
    }
    out->attrs = list;
    out->attr_count = attrs->len;
    return INST_OK;
}

static enum inst_status read_entities(struct inst_arena *arena, const struct inst_value *entities,
                                      struct inst_schema_entity **out, struct inst_err *err) {
    struct inst_schema_entity *list = inst_arena_zalloc(arena, entities->len * sizeof *list);
    if (!list) {
        return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < entities->len; i++) {
        enum inst_status status = read_attrs(arena, &entities->u.members[i], &list[i], err);
        if (status != INST_OK) {
            return status;
        }
    }
    *out = list;
    return INST_OK;
}

/* ---- links ---- */

static enum inst_status read_end(const struct inst_member *m, const char *name,
                                 struct inst_schema_end *out, struct inst_err *err) {
    struct place at = {"links", m, name, NULL};
    const struct inst_value *end = inst_getz(&m->value, name);
    const struct inst_value *on, *label, *has, *on_delete;
    if (!end || end->tag != INST_OBJECT) {
        return misshapen(err, &at, NULL, "an object");
    }
    on = inst_get_string(end, "on");
    label = inst_get_string(end, "label");
    has = inst_get_string(end, "has");
    on_delete = inst_getz(end, "onDelete");
    if (!on) {
        return misshapen(err, &at, "on", "a string");
    }
    if (!label) {
        return misshapen(err, &at, "label", "a string");
    }
    if (!has || !(inst_is_string(has, "one") || inst_is_string(has, "many"))) {
        return misshapen(err, &at, "has", "\"one\" or \"many\"");
    }
    out->etype = *on;
    out->label = *label;
    out->is_singular = inst_is_string(has, "one");
    out->cascades = on_delete && inst_is_string(on_delete, "cascade");
    return INST_OK;
}

static enum inst_status read_link(const struct inst_member *m, struct inst_schema_link *out,
                                  struct inst_err *err) {
    struct place at = {"links", m, NULL, NULL};
    const struct inst_value *forward;
    enum inst_status status;
    if (m->value.tag != INST_OBJECT) {
        return misshapen(err, &at, NULL, "an object");
    }
    out->name = key_of(m);
    status = read_end(m, "forward", &out->forward, err);
    if (status == INST_OK) {
        status = read_end(m, "reverse", &out->reverse, err);
    }
    if (status == INST_OK) {
        forward = inst_getz(&m->value, "forward");
        out->is_required = truthy_member(forward, "required");
    }
    return status;
}

static enum inst_status read_links(struct inst_arena *arena, const struct inst_value *links,
                                   struct inst_schema *schema, struct inst_err *err) {
    struct inst_schema_link *list = inst_arena_zalloc(arena, links->len * sizeof *list);
    if (!list) {
        return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < links->len; i++) {
        enum inst_status status = read_link(&links->u.members[i], &list[i], err);
        if (status != INST_OK) {
            return status;
        }
    }
    schema->links = list;
    schema->link_count = links->len;
    return INST_OK;
}

/* ---- the sides of links, per entity ---- */

static bool same_text(const struct inst_value *a, const struct inst_value *b) {
    return a->len == b->len && memcmp(a->u.str, b->u.str, a->len) == 0;
}

/* A side on its way through a map, which gives the sides JavaScript's key order: the number of its
 * link, doubled, plus one for the reverse end. */
static void add_sides(const struct inst_schema *schema, const struct inst_value *etype,
                      bool is_reverse, struct inst_object_builder *labels) {
    for (uint32_t i = 0; i < schema->link_count; i++) {
        const struct inst_schema_link *link = &schema->links[i];
        const struct inst_schema_end *end = is_reverse ? &link->reverse : &link->forward;
        if (same_text(&end->etype, etype)) {
            inst_object_add(labels, end->label.u.str, end->label.len,
                            inst_number(i * 2.0 + is_reverse));
        }
    }
}

static struct inst_schema_side side_of(const struct inst_schema *schema,
                                       const struct inst_member *m) {
    uint32_t code = (uint32_t)m->value.u.num;
    const struct inst_schema_link *link = &schema->links[code / 2];
    bool is_forward = code % 2 == 0;
    return (struct inst_schema_side){
        .label = key_of(m),
        .target = is_forward ? link->reverse.etype : link->forward.etype,
        .link = link,
        .is_forward = is_forward,
        .is_singular = is_forward ? link->forward.is_singular : link->reverse.is_singular,
    };
}

static enum inst_status read_sides(struct inst_arena *arena, const struct inst_schema *schema,
                                   struct inst_schema_entity *entity, struct inst_err *err) {
    struct inst_object_builder labels;
    struct inst_schema_side *list;
    struct inst_value map;
    inst_object_begin(&labels, arena);
    add_sides(schema, &entity->etype, false, &labels);
    add_sides(schema, &entity->etype, true, &labels);
    if (!inst_object_end(&labels, &map)) {
        return inst_err_nomem(err);
    }
    list = inst_arena_zalloc(arena, map.len * sizeof *list);
    if (!list) {
        return inst_err_nomem(err);
    }
    for (uint32_t i = 0; i < map.len; i++) {
        list[i] = side_of(schema, &map.u.members[i]);
    }
    entity->links = list;
    entity->link_count = map.len;
    return INST_OK;
}

/* ---- the header's functions ---- */

static enum inst_status read_parts(struct inst_arena *arena, struct inst_schema *schema,
                                   struct inst_err *err) {
    static const char *const names[] = {"entities", "links", "rooms"};
    const struct inst_value *parts[3];
    enum inst_status status = INST_OK;
    struct inst_schema_entity *entities = NULL;
    for (int i = 0; i < 3; i++) {
        bool ok;
        parts[i] = optional_object(&schema->json, names[i], &ok);
        if (!ok) {
            return inst_err_set(err, "validation-failed", 400,
                                "Invalid schema: %s must be an object", names[i]);
        }
        if (parts[i] && parts[i]->len > INST_SCHEMA_MAX_PARTS) {
            return inst_err_set(err, "validation-failed", 400, "Invalid schema: more than %d %s",
                                INST_SCHEMA_MAX_PARTS, names[i]);
        }
    }
    if (parts[0]) {
        status = read_entities(arena, parts[0], &entities, err);
        schema->entities = entities;
        schema->entity_count = parts[0]->len;
    }
    if (status == INST_OK && parts[1]) {
        status = read_links(arena, parts[1], schema, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < schema->entity_count; i++) {
        status = read_sides(arena, schema, &entities[i], err);
    }
    schema->rooms = parts[2] ? *parts[2] : inst_undefined();
    return status;
}

enum inst_status inst_schema_read(struct inst_arena *arena, const struct inst_value *json,
                                  const struct inst_schema **out, struct inst_err *err) {
    struct inst_schema *schema;
    enum inst_status status;
    if (json->tag != INST_OBJECT) {
        return inst_err_set(err, "validation-failed", 400,
                            "Invalid schema: it must be an object, but received: %s",
                            inst_value_typeof(json));
    }
    schema = inst_arena_zalloc(arena, sizeof *schema);
    if (!schema || !inst_value_dup(arena, json, &schema->json)) {
        return inst_err_nomem(err);
    }
    status = read_parts(arena, schema, err);
    if (status == INST_OK) {
        *out = schema;
    }
    return status;
}

static bool is_text(const struct inst_value *v, const char *text, size_t len) {
    return v->len == len && memcmp(v->u.str, text, len) == 0;
}

const struct inst_schema_entity *inst_schema_entity(const struct inst_schema *schema,
                                                    const char *etype, size_t etype_len) {
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        if (is_text(&schema->entities[i].etype, etype, etype_len)) {
            return &schema->entities[i];
        }
    }
    return NULL;
}

const struct inst_schema_attr *inst_schema_attr(const struct inst_schema_entity *entity,
                                                const char *label, size_t label_len) {
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        if (is_text(&entity->attrs[i].label, label, label_len)) {
            return &entity->attrs[i];
        }
    }
    return NULL;
}

const struct inst_schema_side *inst_schema_side(const struct inst_schema_entity *entity,
                                                const char *label, size_t label_len) {
    for (uint32_t i = 0; i < entity->link_count; i++) {
        if (is_text(&entity->links[i].label, label, label_len)) {
            return &entity->links[i];
        }
    }
    return NULL;
}

const char *inst_schema_type_name(enum inst_checked_type type) {
    static const char *const names[] = {
        [INST_CHECKED_NONE] = "json",     [INST_CHECKED_STRING] = "string",
        [INST_CHECKED_NUMBER] = "number", [INST_CHECKED_BOOLEAN] = "boolean",
        [INST_CHECKED_DATE] = "date",
    };
    return names[type];
}

/* ---- singular links ---- */

static const struct inst_schema_end *end_at(const struct inst_schema *schema, uint32_t i) {
    const struct inst_schema_link *link = &schema->links[i / 2];
    return i % 2 == 0 ? &link->forward : &link->reverse;
}

/* {label: true} of etype's singular ends. Among the ends of one label the last one counts. */
static bool singular_of(struct inst_arena *arena, const struct inst_schema *schema,
                        const struct inst_value *etype, struct inst_value *out) {
    struct inst_object_builder all, singular;
    struct inst_value map;
    inst_object_begin(&all, arena);
    for (uint32_t i = 0; i < 2 * schema->link_count; i++) {
        const struct inst_schema_end *end = end_at(schema, i);
        if (same_text(&end->etype, etype)) {
            inst_object_add(&all, end->label.u.str, end->label.len, inst_bool(end->is_singular));
        }
    }
    if (!inst_object_end(&all, &map)) {
        return false;
    }
    inst_object_begin(&singular, arena);
    for (uint32_t i = 0; i < map.len; i++) {
        const struct inst_member *m = &map.u.members[i];
        if (m->value.tag == INST_TRUE) {
            inst_object_add(&singular, m->key, m->key_len, m->value);
        }
    }
    return inst_object_end(&singular, out);
}

static bool is_first_of_etype(const struct inst_schema *schema, uint32_t at) {
    for (uint32_t i = 0; i < at; i++) {
        if (same_text(&end_at(schema, i)->etype, &end_at(schema, at)->etype)) {
            return false;
        }
    }
    return true;
}

enum inst_status inst_schema_singular_links(struct inst_arena *arena,
                                            const struct inst_schema *schema,
                                            struct inst_value *out, struct inst_err *err) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; i < 2 * schema->link_count; i++) {
        const struct inst_value *etype = &end_at(schema, i)->etype;
        struct inst_value labels;
        if (!is_first_of_etype(schema, i)) {
            continue;
        }
        if (!singular_of(arena, schema, etype, &labels)) {
            return inst_err_nomem(err);
        }
        inst_object_add(&b, etype->u.str, etype->len, labels);
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}
