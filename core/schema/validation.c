#include "schema/validation.h"

#include <math.h>
#include <stdio.h>

bool inst_is_object_like(const struct inst_value *v) {
    return v->tag == INST_OBJECT || v->tag == INST_ARRAY || v->tag == INST_DATE;
}

uint32_t inst_entry_count(const struct inst_value *v) {
    return v->tag == INST_OBJECT || v->tag == INST_ARRAY ? v->len : 0;
}

void inst_entry_at(const struct inst_value *v, uint32_t i, struct inst_entry *out) {
    if (v->tag == INST_OBJECT) {
        out->key = inst_string(v->u.members[i].key, v->u.members[i].key_len);
        out->value = &v->u.members[i].value;
        return;
    }
    snprintf(out->digits, sizeof out->digits, "%u", (unsigned)i);
    out->key = inst_cstring(out->digits);
    out->value = &v->u.items[i];
}

bool inst_is_of_type(const struct inst_value *v, enum inst_checked_type type) {
    if (inst_is_nullish(v)) {
        return true;
    }
    switch (type) {
    case INST_CHECKED_NONE:
        return true;
    case INST_CHECKED_STRING:
        return v->tag == INST_STRING;
    case INST_CHECKED_NUMBER:
        return v->tag == INST_NUMBER && !isnan(v->u.num);
    case INST_CHECKED_BOOLEAN:
        return v->tag == INST_FALSE || v->tag == INST_TRUE;
    case INST_CHECKED_DATE:
        return v->tag == INST_DATE || v->tag == INST_STRING || v->tag == INST_NUMBER;
    }
    return false;
}

static void add_name(struct inst_buf *buf, uint32_t i, const struct inst_value *name) {
    inst_buf_addf(buf, "%s", i == 0 ? "" : ", ");
    inst_buf_add(buf, name->u.str, name->len);
}

void inst_add_etypes(struct inst_buf *buf, const struct inst_schema *schema) {
    for (uint32_t i = 0; i < schema->entity_count; i++) {
        add_name(buf, i, &schema->entities[i].etype);
    }
    inst_buf_add_str(buf, schema->entity_count == 0 ? "none" : "");
}

void inst_add_attr_labels(struct inst_buf *buf, const struct inst_schema_entity *entity) {
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        add_name(buf, i, &entity->attrs[i].label);
    }
    inst_buf_add_str(buf, entity->attr_count == 0 ? "none" : "");
}

void inst_add_link_labels(struct inst_buf *buf, const struct inst_schema_entity *entity) {
    for (uint32_t i = 0; i < entity->link_count; i++) {
        add_name(buf, i, &entity->links[i].label);
    }
    inst_buf_add_str(buf, entity->link_count == 0 ? "none" : "");
}

enum inst_status inst_validation_refuse(struct inst_buf *message, struct inst_err *err) {
    enum inst_status status;
    if (message->failed) {
        status = inst_err_nomem(err);
    } else {
        status =
            inst_err_set(err, "validation-failed", 400, "%s", message->data ? message->data : "");
    }
    inst_buf_free(message);
    return status;
}
