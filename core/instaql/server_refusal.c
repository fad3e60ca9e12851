/*
 * What the server's compiler says no to: sentences about an attr and a value.
 */
#include "base/json.h"
#include "instaql/server_compile.h"
#include "instaql/server_validation.h"

const char *inst_server_type_name(const struct inst_value *v) {
    switch (v->tag) {
    case INST_STRING:
        return "string";
    case INST_NUMBER:
        return "number";
    case INST_TRUE:
    case INST_FALSE:
        return "boolean";
    case INST_ARRAY:
        return "array";
    case INST_OBJECT:
        return "object";
    default:
        return "null";
    }
}

static const char *checked_name(enum inst_checked_type type) {
    static const char *const names[] = {"any", "string", "number", "boolean", "date"};
    return names[type];
}

bool inst_server_refuse(struct inst_server_compiler *s, const char *key, const char *expected,
                        const struct inst_value *more, uint32_t more_count, struct inst_buf *text) {
    memcpy(s->path + s->path_len, more, more_count * sizeof(*more));
    s->c.status = text->failed ? inst_err_nomem(s->c.err)
                               : inst_refuse(s->query, key, expected, s->path,
                                             s->path_len + more_count, text->data, s->c.err);
    inst_buf_free(text);
    return false;
}

struct inst_server_place inst_server_condition(const char *label, size_t len,
                                               const struct inst_value *op) {
    struct inst_server_place place = {.items = {inst_cstring("$"), inst_cstring("where"),
                                                inst_string(label, len), inst_undefined()},
                                      .count = 3};
    if (op) {
        place.items[place.count++] = *op;
    }
    return place;
}

void inst_server_add_name(struct inst_buf *text, const struct inst_attr *attr) {
    inst_buf_addf(text, "`%.*s.%.*s`", (int)attr->forward.etype.len, attr->forward.etype.u.str,
                  (int)attr->forward.label.len, attr->forward.label.u.str);
}

bool inst_server_refuse_attr(struct inst_server_compiler *s, const struct inst_attr *attr,
                             const char *expected, const struct inst_server_place *place,
                             const char *rest) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "The ");
    inst_server_add_name(&text, attr);
    inst_buf_add_str(&text, rest);
    return inst_server_refuse(s, "expected?", expected, place->items, place->count, &text);
}

bool inst_server_refuse_type(struct inst_server_compiler *s, const struct inst_attr *attr,
                             const char *expected, const struct inst_server_place *place,
                             const char *before_value, const struct inst_value *v) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "The data type of ");
    inst_server_add_name(&text, attr);
    inst_buf_addf(&text, " is `%s`, but the query got %s `", checked_name(attr->checked_type),
                  before_value);
    inst_json_write(&text, v);
    inst_buf_addf(&text, "` of type `%s`.", inst_server_type_name(v));
    return inst_server_refuse(s, "expected?", expected, place->items, place->count, &text);
}

bool inst_server_is_name(const struct inst_member *m, const char *name) {
    return m->key_len == strlen(name) && memcmp(m->key, name, m->key_len) == 0;
}
