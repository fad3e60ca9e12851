#include "rules/cel_functions.h"
#include "rules/cel_run.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

bool inst_cel_add_list(struct inst_cel_run *run, const struct inst_cel_value *args,
                       struct inst_cel_value *out) {
    uint32_t a = inst_cel_count(&args[0]), b = inst_cel_count(&args[1]);
    struct inst_cel_value *items = inst_cel_new_items(run, (size_t)a + b);
    if (!items)
        return false;
    for (uint32_t i = 0; i < a; i++)
        items[i] = inst_cel_element(&args[0], i);
    for (uint32_t i = 0; i < b; i++)
        items[a + i] = inst_cel_element(&args[1], i);
    *out = (struct inst_cel_value){.tag = INST_CEL_V_LIST, .len = a + b, .u.items = items};
    return true;
}

bool inst_cel_in_list(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    uint32_t count = inst_cel_count(&args[1]);
    *out = inst_cel_bool(false);
    for (uint32_t i = 0; i < count && !out->u.b; i++) {
        struct inst_cel_value item = inst_cel_element(&args[1], i);
        if (!inst_cel_compare(run, &args[0], &item, &out->u.b))
            return false;
    }
    return true;
}

bool inst_cel_in_map(struct inst_cel_run *run, const struct inst_cel_value *args,
                     struct inst_cel_value *out) {
    struct inst_cel_value ignored;
    *out = inst_cel_bool(inst_cel_lookup(&args[1], &args[0], &ignored));
    return inst_cel_spend(run, inst_cel_count(&args[1]));
}

static bool out_of_bounds(struct inst_cel_run *run, const struct inst_cel_value *index) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_show(index, &text);
    inst_cel_fail(run, INST_CEL_INDEX_OUT_OF_BOUNDS, "Index out of bounds: %s",
                  text.data ? text.data : "");
    inst_buf_free(&text);
    return false;
}

bool inst_cel_index_list(struct inst_cel_run *run, const struct inst_cel_value *args,
                         struct inst_cel_value *out) {
    const struct inst_cel_value *index = &args[1];
    uint32_t count = inst_cel_count(&args[0]);
    double at;
    switch (index->tag) {
    case INST_CEL_V_INT:
        at = (double)index->u.i;
        break;
    case INST_CEL_V_UINT:
        at = (double)index->u.u;
        break;
    default:
        at = index->u.d;
    }
    if (!(at >= 0 && at < count) || at != floor(at))
        return out_of_bounds(run, index);
    *out = inst_cel_element(&args[0], (uint32_t)at);
    return true;
}

bool inst_cel_index_map(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    if (inst_cel_lookup(&args[0], &args[1], out))
        return inst_cel_spend(run, inst_cel_count(&args[0]) / 8);
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_show(&args[1], &text);
    inst_cel_fail(run, INST_CEL_ATTRIBUTE_NOT_FOUND, "%s", text.data ? text.data : "");
    inst_buf_free(&text);
    return false;
}

bool inst_cel_size(struct inst_cel_run *run, const struct inst_cel_value *args,
                   struct inst_cel_value *out) {
    int64_t size = inst_cel_count(&args[0]);
    if (args[0].tag == INST_CEL_V_BYTES)
        size = args[0].len;
    if (args[0].tag == INST_CEL_V_STRING)
        for (size_t at = 0; at < args[0].len; size++)
            inst_text_next(args[0].u.str, args[0].len, &at);
    *out = inst_cel_int(size);
    return inst_cel_spend(run, args[0].tag == INST_CEL_V_STRING ? args[0].len / 64 : 0);
}

bool inst_cel_type(struct inst_cel_run *run, const struct inst_cel_value *args,
                   struct inst_cel_value *out) {
    (void)run;
    *out = (struct inst_cel_value){.tag = INST_CEL_V_TYPE, .u.type = inst_cel_kind_of(&args[0])};
    return true;
}
