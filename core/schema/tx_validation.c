#include "schema/tx_validation.h"

#include "base/js_text.h"
#include "base/uuid.h"
#include "instaml/chunks.h"
#include "schema/validation.h"

static bool is_uuid(const struct inst_value *v) {
    return v->tag == INST_STRING && inst_uuid_is_valid_v(v->u.str, v->len);
}

/* A uuid or an encoded lookup. */
static bool is_entity_id(const struct inst_value *v) {
    return is_uuid(v) || (v->tag == INST_STRING && inst_lookup_is_text(v->u.str, v->len));
}

static enum inst_status not_an(const char *what, const char *expected, const struct inst_value *got,
                               struct inst_err *err) {
    return inst_err_set(err, "validation-failed", 400, "Transaction %s must %s, but received: %s",
                        what, expected, inst_value_typeof(got));
}

/* `<text> in|for entity '<etype>'` messages end with the value as JavaScript prints it. */
static enum inst_status refuse_value(struct inst_buf *message, const struct inst_value *value,
                                     struct inst_err *err) {
    inst_js_text(message, value);
    return inst_validation_refuse(message, err);
}

static enum inst_status not_object_args(const char *kind, const struct inst_value *etype,
                                        const struct inst_value *args, struct inst_err *err) {
    return inst_err_set(
        err, "validation-failed", 400,
        "Arguments for %s operation on entity '%.*s' must be an object, but received: %s", kind,
        INST_TEXT(etype), inst_value_typeof(args));
}

static enum inst_status find_entity(const struct inst_value *etype,
                                    const struct inst_schema *schema,
                                    const struct inst_schema_entity **out, struct inst_err *err) {
    struct inst_buf message;
    *out = inst_schema_entity(schema, etype->u.str, etype->len);
    if (*out) {
        return INST_OK;
    }
    inst_buf_init(&message);
    inst_buf_addf(&message,
                  "Entity '%.*s' does not exist in schema. Available entities: ", INST_TEXT(etype));
    inst_add_etypes(&message, schema);
    return inst_validation_refuse(&message, err);
}

/* ---- create, update, merge ---- */

static enum inst_status check_data(const struct inst_value *etype, const struct inst_value *args,
                                   const struct inst_schema *schema, struct inst_err *err) {
    const struct inst_schema_entity *entity;
    enum inst_status status = find_entity(etype, schema, &entity, err);
    if (status != INST_OK) {
        return status;
    }
    if (!inst_is_object_like(args)) {
        return not_object_args("data", etype, args, err);
    }
    for (uint32_t i = 0; i < inst_entry_count(args); i++) {
        const struct inst_schema_attr *attr;
        struct inst_entry e;
        inst_entry_at(args, i, &e);
        attr = inst_schema_attr(entity, e.key.u.str, e.key.len);
        if (attr && !inst_is_string(&e.key, "id") && !inst_is_of_type(e.value, attr->type)) {
            return inst_err_set(err, "validation-failed", 400,
                                "Invalid value for attribute '%.*s' in entity '%.*s'. Expected %s, "
                                "but received: %s",
                                INST_TEXT(&e.key), INST_TEXT(etype),
                                inst_schema_type_name(attr->type), inst_value_typeof(e.value));
        }
    }
    return INST_OK;
}

/* ---- link, unlink ---- */

static enum inst_status check_target(const struct inst_value *label, const struct inst_value *etype,
                                     const struct inst_value *target, struct inst_err *err) {
    struct inst_buf message;
    inst_buf_init(&message);
    if (target->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < target->len; i++) {
            if (!is_entity_id(&target->u.items[i])) {
                inst_buf_addf(&message,
                              "Invalid entity ID in link '%.*s' for entity '%.*s'. Expected a UUID "
                              "or a lookup, but received: ",
                              INST_TEXT(label), INST_TEXT(etype));
                return refuse_value(&message, &target->u.items[i], err);
            }
        }
        return INST_OK;
    }
    if (inst_is_nullish(target) || is_entity_id(target)) {
        return INST_OK;
    }
    inst_buf_addf(&message,
                  "Invalid UUID in link '%.*s' for entity '%.*s'. Expected a UUID, but received: ",
                  INST_TEXT(label), INST_TEXT(etype));
    return refuse_value(&message, target, err);
}

static enum inst_status check_links(const struct inst_value *etype, const struct inst_value *args,
                                    const struct inst_schema *schema, struct inst_err *err) {
    const struct inst_schema_entity *entity;
    enum inst_status status = find_entity(etype, schema, &entity, err);
    struct inst_buf message;
    if (status != INST_OK) {
        return status;
    }
    if (!inst_is_object_like(args)) {
        return not_object_args("link", etype, args, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < inst_entry_count(args); i++) {
        struct inst_entry e;
        inst_entry_at(args, i, &e);
        if (!inst_schema_side(entity, e.key.u.str, e.key.len)) {
            inst_buf_init(&message);
            inst_buf_addf(&message,
                          "Link '%.*s' does not exist on entity '%.*s'. Available links: ",
                          INST_TEXT(&e.key), INST_TEXT(etype));
            inst_add_link_labels(&message, entity);
            return inst_validation_refuse(&message, err);
        }
        status = check_target(&e.key, etype, e.value, err);
    }
    return status;
}

/* ---- ops and chunks ---- */

static bool is_action(const struct inst_value *action, const char *const *names) {
    for (; *names; names++) {
        if (inst_is_string(action, *names)) {
            return true;
        }
    }
    return false;
}

static const struct inst_value *op_part(const struct inst_value *op, uint32_t i) {
    static const struct inst_value absent;
    return i < op->len ? &op->u.items[i] : &absent;
}

static enum inst_status check_op(const struct inst_value *op, const struct inst_schema *schema,
                                 struct inst_err *err) {
    static const char *const data_actions[] = {"create", "update", "merge", NULL};
    static const char *const link_actions[] = {"link", "unlink", NULL};
    const struct inst_value *action = op_part(op, 0), *etype = op_part(op, 1);
    const struct inst_value *id = op_part(op, 2), *args = op_part(op, 3);
    struct inst_buf message;
    if (id->tag != INST_ARRAY && !is_uuid(id)) {
        inst_buf_init(&message);
        inst_buf_add_str(&message, "Invalid id for entity '");
        inst_js_text(&message, etype);
        inst_buf_add_str(&message, "'. Expected a UUID, but received: ");
        return refuse_value(&message, id, err);
    }
    if (etype->tag != INST_STRING) {
        return inst_err_set(err, "validation-failed", 400,
                            "Entity name must be a string, but received: %s",
                            inst_value_typeof(etype));
    }
    if (args->tag == INST_UNDEFINED) {
        return INST_OK;
    }
    if (is_action(action, data_actions)) {
        return check_data(etype, args, schema, err);
    }
    if (is_action(action, link_actions)) {
        return check_links(etype, args, schema, err);
    }
    return INST_OK;
}

static enum inst_status check_chunk(const struct inst_value *chunk,
                                    const struct inst_schema *schema, struct inst_err *err) {
    static const struct inst_value absent;
    const struct inst_value *ops;
    enum inst_status status = INST_OK;
    if (!inst_is_object_like(chunk)) {
        return not_an("chunk", "be an object", chunk, err);
    }
    ops = inst_getz(chunk, "__ops");
    ops = ops ? ops : &absent;
    if (ops->tag != INST_ARRAY) {
        return not_an("chunk", "have __ops array", ops, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < ops->len; i++) {
        const struct inst_value *op = &ops->u.items[i];
        if (op->tag != INST_ARRAY) {
            return not_an("operation", "be an array", op, err);
        }
        status = schema ? check_op(op, schema, err) : INST_OK;
    }
    return status;
}

enum inst_status inst_tx_validate(const struct inst_value *chunks, const struct inst_schema *schema,
                                  struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (chunks->tag != INST_ARRAY) {
        return check_chunk(chunks, schema, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < chunks->len; i++) {
        status = check_chunk(&chunks->u.items[i], schema, err);
    }
    return status;
}
