#include "instaml/chunks.h"

#include "base/json.h"

#define LOOKUP_PREFIX "lookup__"
#define LOOKUP_PREFIX_LEN (sizeof(LOOKUP_PREFIX) - 1)

static enum inst_status make_chunk(struct inst_arena *arena, struct inst_value etype,
                                   struct inst_value ops, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "__etype", etype);
    inst_object_addz(&b, "__ops", ops);
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_chunk_new(struct inst_arena *arena, struct inst_value etype,
                                struct inst_value *out, struct inst_err *err) {
    return make_chunk(arena, etype, inst_array(NULL, 0), out, err);
}

enum inst_status inst_chunk_add(struct inst_arena *arena, const struct inst_value *chunk,
                                const char *action, struct inst_value id, struct inst_value args,
                                struct inst_value opts, struct inst_value *out,
                                struct inst_err *err) {
    const struct inst_value *etype = inst_getz(chunk, "__etype");
    const struct inst_value *ops = inst_getz(chunk, "__ops");
    if (!etype || !ops || ops->tag != INST_ARRAY) {
        return inst_err_set(err, "validation-failed", 400, "Not a transaction chunk.");
    }
    struct inst_array_builder op;
    inst_array_begin(&op, arena);
    inst_array_add(&op, inst_cstring(action));
    inst_array_add(&op, *etype);
    inst_array_add(&op, id);
    inst_array_add(&op, args);
    if (inst_value_truthy(&opts)) {
        inst_array_add(&op, opts);
    }
    struct inst_value op_value;
    if (!inst_array_end(&op, &op_value)) {
        return inst_err_nomem(err);
    }
    struct inst_array_builder all;
    inst_array_begin(&all, arena);
    for (uint32_t i = 0; i < ops->len; i++) {
        inst_array_add(&all, ops->u.items[i]);
    }
    inst_array_add(&all, op_value);
    struct inst_value ops_value;
    if (!inst_array_end(&all, &ops_value)) {
        return inst_err_nomem(err);
    }
    return make_chunk(arena, *etype, ops_value, out, err);
}

enum inst_status inst_chunk_id(struct inst_arena *arena, const char *key, size_t len,
                               struct inst_value *out, struct inst_err *err) {
    if (inst_lookup_is_text(key, len)) {
        return inst_lookup_decode(arena, key, len, out, err);
    }
    *out = inst_string(key, len);
    return INST_OK;
}

bool inst_lookup_is_text(const char *text, size_t len) {
    return len >= LOOKUP_PREFIX_LEN && memcmp(text, LOOKUP_PREFIX, LOOKUP_PREFIX_LEN) == 0;
}

void inst_lookup_encode(struct inst_buf *buf, const char *attr, size_t attr_len,
                        const struct inst_value *value) {
    inst_buf_add_str(buf, LOOKUP_PREFIX);
    inst_buf_add(buf, attr, attr_len);
    inst_buf_add_str(buf, "__");
    if (value->tag == INST_UNDEFINED) {
        inst_buf_add_str(buf, "undefined"); /* fails to decode, as it does upstream */
    } else {
        inst_json_write(buf, value);
    }
}

enum inst_status inst_lookup_decode(struct inst_arena *arena, const char *text, size_t len,
                                    struct inst_value *out, struct inst_err *err) {
    const char *attr = text + LOOKUP_PREFIX_LEN;
    size_t rest = len - LOOKUP_PREFIX_LEN;
    size_t attr_len = 0;
    while (attr_len + 1 < rest && !(attr[attr_len] == '_' && attr[attr_len + 1] == '_')) {
        attr_len++;
    }
    const char *json = "";
    size_t json_len = 0;
    if (attr_len + 1 < rest) {
        json = attr + attr_len + 2;
        json_len = rest - attr_len - 2;
    }
    struct inst_value pair[2];
    enum inst_status status = inst_json_parse(arena, json, json_len, &pair[1], err);
    if (status != INST_OK) {
        return status;
    }
    pair[0] = inst_string(attr, attr_len);
    struct inst_array_builder b;
    inst_array_begin(&b, arena);
    inst_array_add(&b, pair[0]);
    inst_array_add(&b, pair[1]);
    return inst_array_end(&b, out) ? INST_OK : inst_err_nomem(err);
}
