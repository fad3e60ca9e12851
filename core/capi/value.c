#include "capi/capi.h"

#include "base/json.h"

#include <string.h>

enum instant_type instant_value_type(const struct instant_value *value) {
    switch (value ? inst_capi_in(value)->tag : INST_UNDEFINED) {
    case INST_NULL:
    case INST_ENTITY:
        return INSTANT_NULL;
    case INST_FALSE:
    case INST_TRUE:
        return INSTANT_BOOL;
    case INST_NUMBER:
        return INSTANT_NUMBER;
    case INST_STRING:
        return INSTANT_STRING;
    case INST_ARRAY:
        return INSTANT_ARRAY;
    case INST_OBJECT:
        return INSTANT_OBJECT;
    case INST_DATE:
        return INSTANT_DATE;
    default:
        return INSTANT_ABSENT;
    }
}

const char *inst_capi_type_name(const struct inst_value *value) {
    static const char *const names[] = {"nothing",  "null",     "a boolean", "a number",
                                        "a string", "an array", "an object", "a date"};
    return names[instant_value_type(inst_capi_out(value))];
}

size_t instant_value_count(const struct instant_value *value) {
    enum instant_type type = instant_value_type(value);
    return type == INSTANT_ARRAY || type == INSTANT_OBJECT ? inst_capi_in(value)->len : 0;
}

const struct instant_value *instant_value_at(const struct instant_value *value, size_t index) {
    if (index >= instant_value_count(value))
        return NULL;
    const struct inst_value *v = inst_capi_in(value);
    return inst_capi_out(v->tag == INST_ARRAY ? &v->u.items[index] : &v->u.members[index].value);
}

const char *instant_value_key(const struct instant_value *object, size_t index, size_t *len) {
    bool is_member =
        instant_value_type(object) == INSTANT_OBJECT && index < instant_value_count(object);
    const struct inst_member *member = is_member ? &inst_capi_in(object)->u.members[index] : NULL;
    *len = member ? member->key_len : 0;
    return member ? member->key : NULL;
}

const struct instant_value *instant_value_get(const struct instant_value *object, const char *key) {
    return object ? inst_capi_out(inst_getz(inst_capi_in(object), key)) : NULL;
}

double instant_value_number(const struct instant_value *value, double otherwise) {
    enum instant_type type = instant_value_type(value);
    return type == INSTANT_NUMBER || type == INSTANT_DATE ? inst_capi_in(value)->u.num : otherwise;
}

bool instant_value_bool(const struct instant_value *value, bool otherwise) {
    return instant_value_type(value) == INSTANT_BOOL ? inst_capi_in(value)->tag == INST_TRUE
                                                     : otherwise;
}

const char *instant_value_string(const struct instant_value *value, size_t *len) {
    bool is_string = instant_value_type(value) == INSTANT_STRING;
    *len = is_string ? inst_capi_in(value)->len : 0;
    return is_string ? inst_capi_in(value)->u.str : NULL;
}

bool instant_value_is(const struct instant_value *value, const char *text) {
    return value && inst_is_string(inst_capi_in(value), text);
}

size_t instant_value_copy(const struct instant_value *value, char *buffer, size_t size) {
    size_t len;
    const char *text = instant_value_string(value, &len);
    if (size > 0) {
        size_t fits = len < size ? len : size - 1;
        if (fits)
            memcpy(buffer, text, fits);
        buffer[fits] = '\0';
    }
    return len;
}

char *instant_value_json(const struct instant_value *value, size_t *len) {
    struct inst_value absent = inst_null();
    struct inst_buf buf;
    inst_buf_init(&buf);
    bool is_there = instant_value_type(value) != INSTANT_ABSENT;
    inst_json_write(&buf, is_there ? inst_capi_in(value) : &absent);
    return inst_buf_take(&buf, len);
}
