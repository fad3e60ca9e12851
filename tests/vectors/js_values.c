#include "vectors.h"

#include <math.h>

static struct inst_value js_value(struct vec_case *c, const struct inst_value *v) {
    const struct inst_value *kind = inst_get_string(v, "$js");
    if (inst_is_string(kind, "undefined")) {
        return inst_undefined();
    }
    if (inst_is_string(kind, "NaN")) {
        return inst_number(NAN);
    }
    if (inst_is_string(kind, "Infinity")) {
        return inst_number(INFINITY);
    }
    if (inst_is_string(kind, "-Infinity")) {
        return inst_number(-INFINITY);
    }
    if (inst_is_string(kind, "Date")) {
        return inst_date(1735689600000.0);
    }
    if (inst_is_string(kind, "function")) {
        return (struct inst_value){.tag = INST_FUNCTION};
    }
    vec_fail(c, "unknown $js value \"%.*s\"", (int)kind->len, kind->u.str);
    return inst_undefined();
}

struct inst_value vec_js(struct vec_case *c, const struct inst_value *v) {
    struct inst_value out = *v;
    if (inst_get_string(v, "$js")) {
        out = js_value(c, v);
    } else if (v->tag == INST_ARRAY) {
        struct inst_array_builder b;
        inst_array_begin(&b, c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            inst_array_add(&b, vec_js(c, &v->u.items[i]));
        }
        inst_array_end(&b, &out);
    } else if (v->tag == INST_OBJECT) {
        struct inst_object_builder b;
        inst_object_begin(&b, c->arena);
        for (uint32_t i = 0; i < v->len; i++) {
            const struct inst_member *m = &v->u.members[i];
            inst_object_add(&b, m->key, m->key_len, vec_js(c, &m->value));
        }
        inst_object_end(&b, &out);
    }
    return out;
}
