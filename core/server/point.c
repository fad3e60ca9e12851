#include "server/point.h"

#include "base/date.h"
#include "base/json.h"
#include "base/text.h"
#include "server/catalog.h"

#include <math.h>

int inst_point_compare(const struct inst_point *a, const struct inst_point *b) {
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    if (a->class == INST_POINT_STRING) {
        size_t n = a->len < b->len ? a->len : b->len;
        int c = n > 0 ? memcmp(a->str, b->str, n) : 0;
        if (c != 0)
            return c;
        return a->len == b->len ? 0 : a->len < b->len ? -1 : 1;
    }
    if (a->class == INST_POINT_NUMBER || a->class == INST_POINT_BOOLEAN)
        return a->num == b->num ? 0 : a->num < b->num ? -1 : 1;
    return 0;
}

static struct inst_point number_point(double num) {
    if (isnan(num))
        return (struct inst_point){.class = INST_POINT_UNKNOWN};
    return (struct inst_point){.class = INST_POINT_NUMBER, .num = num};
}

struct inst_point inst_point_of_bound(const struct inst_value *value) {
    switch (value->tag) {
    case INST_UNDEFINED:
    case INST_NULL:
        return (struct inst_point){.class = INST_POINT_NULL};
    case INST_FALSE:
    case INST_TRUE:
        return (struct inst_point){.class = INST_POINT_BOOLEAN, .num = value->tag == INST_TRUE};
    case INST_NUMBER:
    case INST_DATE:
        return number_point(value->u.num);
    case INST_STRING:
        return (struct inst_point){
            .class = INST_POINT_STRING, .str = value->u.str, .len = value->len};
    default:
        return (struct inst_point){.class = INST_POINT_UNKNOWN};
    }
}

struct inst_point inst_point_of(const struct inst_attr *attr, const struct inst_value *value,
                                int64_t t) {
    if (inst_attr_is_id(attr))
        return number_point((double)t);
    if (attr->checked_type == INST_CHECKED_DATE && !inst_is_nullish(value)) {
        struct inst_value date;
        if (inst_date_coerce(value, &date, NULL) != INST_OK || date.tag != INST_DATE)
            return (struct inst_point){.class = INST_POINT_UNKNOWN};
        return number_point(date.u.num);
    }
    return inst_point_of_bound(value);
}

uint64_t inst_point_hash(const struct inst_value *value, uint64_t seed) {
    switch (value->tag) {
    case INST_STRING:
        return inst_text_hash(value->u.str, value->len, seed);
    case INST_NUMBER:
    case INST_DATE: {
        double num = value->u.num == 0 ? 0 : isnan(value->u.num) ? NAN : value->u.num;
        return inst_text_hash(&num, sizeof num, seed + value->tag);
    }
    case INST_ARRAY:
    case INST_OBJECT: /* never asked for by value */
        return seed;
    default:
        return inst_text_hash(&value->tag, 1, seed + 1);
    }
}
