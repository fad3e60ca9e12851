#include "schema/schema_attrs.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "schema/attr_shape.h"
#include "schema/system_catalog.h"
#include "schema/validation.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

struct maker {
    struct inst_arena *arena;
    const struct inst_env *env;
    struct inst_array_builder attrs;
    struct inst_value *names; /* etype, label, etype, label ... that the attrs claim */
    size_t name_count;        /* pairs */
    bool failed;              /* out of memory */
};

static struct inst_value new_id(struct maker *m) {
    char *text = inst_arena_alloc(m->arena, INST_UUID_TEXT + 1);
    if (!text) {
        m->failed = true;
        return inst_undefined();
    }
    inst_uuid_make_text(m->env, text);
    return inst_string(text, INST_UUID_TEXT);
}

static struct inst_ident claim(struct maker *m, const struct inst_value *etype,
                               const struct inst_value *label) {
    m->names[2 * m->name_count] = *etype;
    m->names[2 * m->name_count + 1] = *label;
    m->name_count++;
    return (struct inst_ident){new_id(m), *etype, *label};
}

static void add(struct maker *m, const struct inst_attr_shape *shape) {
    struct inst_value attr;
    if (!inst_attr_shape_write(m->arena, shape, &attr)) {
        m->failed = true;
        return;
    }
    inst_array_add(&m->attrs, attr);
}

static bool has_name(const struct inst_value *etype, const struct inst_value *label) {
    return inst_system_has_name(etype->u.str, etype->len, label->u.str, label->len);
}

static void add_id(struct maker *m, const struct inst_schema_entity *entity) {
    static const struct inst_value id = {.tag = INST_STRING, .len = 2, .u.str = "id"};
    struct inst_attr_shape shape = {.is_unique = true};
    if (has_name(&entity->etype, &id)) {
        return;
    }
    shape.id = new_id(m);
    shape.forward = claim(m, &entity->etype, &id);
    add(m, &shape);
}

/* `id` is never listed by the official tools; one that is counts as the id attr made above. */
static bool is_given(const struct inst_schema_entity *entity, const struct inst_schema_attr *attr) {
    return inst_is_string(&attr->label, "id") || has_name(&entity->etype, &attr->label);
}

static void add_blobs(struct maker *m, const struct inst_schema_entity *entity) {
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        const struct inst_schema_attr *attr = &entity->attrs[i];
        struct inst_attr_shape shape = {
            .checked_type = attr->type,
            .is_unique = attr->is_unique,
            .is_indexed = attr->is_indexed,
            .is_required = attr->is_required,
        };
        if (is_given(entity, attr)) {
            continue;
        }
        shape.id = new_id(m);
        shape.forward = claim(m, &entity->etype, &attr->label);
        add(m, &shape);
    }
}

static bool is_system_link(const struct inst_schema_link *link) {
    return inst_system_has_link(&link->forward.etype, &link->forward.label, &link->reverse.etype,
                                &link->reverse.label);
}

static void add_ref(struct maker *m, const struct inst_schema_link *link) {
    struct inst_attr_shape shape = {
        .is_ref = true,
        .is_many = !link->forward.is_singular,
        .is_unique = link->reverse.is_singular,
        .is_required = link->is_required,
        .on_delete_cascade = link->forward.cascades,
        .on_delete_reverse_cascade = link->reverse.cascades,
    };
    if (is_system_link(link)) {
        return;
    }
    shape.id = new_id(m);
    shape.forward = claim(m, &link->forward.etype, &link->forward.label);
    shape.reverse = claim(m, &link->reverse.etype, &link->reverse.label);
    add(m, &shape);
}

/* ---- refusing ---- */

/* Sets `Validation failed for <data-type>: <etype><text>` with its hint. */
static enum inst_status refuse(const char *data_type, const struct inst_buf *text,
                               struct inst_err *err) {
    struct inst_buf hint;
    if (text->failed) {
        return inst_err_nomem(err);
    }
    inst_err_set(err, "validation-failed", 400, "Validation failed for %s: %s", data_type,
                 text->data);
    inst_buf_init(&hint);
    inst_buf_addf(&hint,
                  "{\"data-type\":\"%s\",\"input\":\"schema\",\"errors\":[{\"in\":"
                  "[\"schema\"],\"message\":",
                  data_type);
    inst_json_write_string(&hint, text->data, text->len);
    inst_buf_add_str(&hint, "}]}");
    if (!hint.failed) {
        inst_err_hint(err, hint.data);
    }
    inst_buf_free(&hint);
    return INST_FAILED;
}

static enum inst_status refuse_name(const char *data_type, const struct inst_value *etype,
                                    const struct inst_value *label, const char *text,
                                    struct inst_err *err) {
    struct inst_buf message;
    enum inst_status status;
    inst_buf_init(&message);
    inst_buf_addf(&message, "%.*s->%.*s: %s", INST_TEXT(etype), INST_TEXT(label), text);
    status = refuse(data_type, &message, err);
    inst_buf_free(&message);
    return status;
}

static bool is_blank(const struct inst_value *text) {
    for (uint32_t i = 0; i < text->len; i++) {
        if (!strchr(" \t\r\n\f\v", text->u.str[i]) || text->u.str[i] == '\0') {
            return false;
        }
    }
    return true;
}

/* A namespace that attrs are made in. */
static enum inst_status check_name(const struct inst_value *etype, const struct inst_value *label,
                                   struct inst_err *err) {
    struct inst_buf message;
    enum inst_status status;
    if (is_blank(etype) || is_blank(label)) {
        return refuse_name("schema", etype, label, "A name must not be blank.", err);
    }
    if (!inst_system_is_etype(etype->u.str, etype->len) ||
        inst_system_is_open_etype(etype->u.str, etype->len)) {
        return INST_OK;
    }
    inst_buf_init(&message);
    inst_buf_addf(&message, "$ is reserved for system tables. You can't create %.*s",
                  INST_TEXT(etype));
    status = refuse("attributes", &message, err);
    inst_buf_free(&message);
    return status;
}

static enum inst_status check_required(const struct inst_value *etype, bool is_required,
                                       struct inst_err *err) {
    if (!is_required || !inst_system_is_etype(etype->u.str, etype->len)) {
        return INST_OK;
    }
    return inst_err_set(err, "validation-failed", 400,
                        "You can't create a required system attribute. Make sure it's optional. "
                        "Check out the docs to learn more: "
                        "https://www.instantdb.com/docs/modeling-data#required-constraints");
}

static enum inst_status check_entity(const struct inst_schema_entity *entity,
                                     struct inst_err *err) {
    static const struct inst_value id = {.tag = INST_STRING, .len = 2, .u.str = "id"};
    enum inst_status status = check_name(&entity->etype, &id, err);
    for (uint32_t i = 0; status == INST_OK && i < entity->attr_count; i++) {
        const struct inst_schema_attr *attr = &entity->attrs[i];
        if (!is_given(entity, attr)) {
            status = check_name(&entity->etype, &attr->label, err);
        }
        if (status == INST_OK && !is_given(entity, attr)) {
            status = check_required(&entity->etype, attr->is_required, err);
        }
    }
    return status;
}

static enum inst_status check_link(const struct inst_schema_link *link, struct inst_err *err) {
    static const char cascade[] = "Cascade delete is only possible on links with `has: 'one'`.";
    const struct inst_schema_end *forward = &link->forward, *reverse = &link->reverse;
    enum inst_status status;
    if (is_system_link(link)) {
        return INST_OK;
    }
    if (forward->cascades && !forward->is_singular) {
        return refuse_name("schema", &forward->etype, &forward->label, cascade, err);
    }
    if (reverse->cascades && !reverse->is_singular) {
        return refuse_name("schema", &reverse->etype, &reverse->label, cascade, err);
    }
    status = check_name(&forward->etype, &forward->label, err);
    if (status == INST_OK) {
        status = check_name(&reverse->etype, &reverse->label, err);
    }
    return status == INST_OK ? check_required(&forward->etype, link->is_required, err) : status;
}

static enum inst_status check_parts(const struct inst_schema *schema, struct inst_err *err) {
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; status == INST_OK && i < schema->entity_count; i++) {
        status = check_entity(&schema->entities[i], err);
    }
    for (uint32_t i = 0; status == INST_OK && i < schema->link_count; i++) {
        status = check_link(&schema->links[i], err);
    }
    return status;
}

static int by_name(const void *a, const void *b) {
    const struct inst_value *x = a, *y = b;
    int order = inst_text_cmp_utf16(x[0].u.str, x[0].len, y[0].u.str, y[0].len);
    return order ? order : inst_text_cmp_utf16(x[1].u.str, x[1].len, y[1].u.str, y[1].len);
}

/* Forward and reverse names share one space, in which every name is claimed once. */
static enum inst_status check_claims(struct maker *m, struct inst_err *err) {
    const struct inst_value *n = m->names;
    qsort(m->names, m->name_count, 2 * sizeof *m->names, by_name);
    for (size_t i = 0; i < m->name_count; i++, n += 2) {
        if ((i > 0 && by_name(n - 2, n) == 0) || has_name(&n[0], &n[1])) {
            return refuse_name("schema", &n[0], &n[1], "Duplicate entry found for attribute.", err);
        }
    }
    return INST_OK;
}

enum inst_status inst_schema_attrs(struct inst_arena *arena, const struct inst_schema *schema,
                                   const struct inst_env *env, struct inst_value *out,
                                   struct inst_err *err) {
    struct maker m = {.arena = arena, .env = env};
    size_t most = schema->entity_count + 2 * (size_t)schema->link_count;
    enum inst_status status = check_parts(schema, err);
    if (status != INST_OK) {
        return status;
    }
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        most += schema->entities[i].attr_count;
    }
    m.names = inst_arena_alloc(arena, 2 * most * sizeof *m.names);
    if (!m.names) {
        return inst_err_nomem(err);
    }
    inst_array_begin(&m.attrs, arena);
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        add_id(&m, &schema->entities[i]);
    }
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        add_blobs(&m, &schema->entities[i]);
    }
    for (uint32_t i = 0; i < schema->link_count; i++) {
        add_ref(&m, &schema->links[i]);
    }
    if (m.failed || !inst_array_end(&m.attrs, out)) {
        return inst_err_nomem(err);
    }
    return check_claims(&m, err);
}
