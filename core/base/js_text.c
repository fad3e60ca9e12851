#include "base/js_text.h"

#include "base/date.h"
#include "base/number.h"

#include <math.h>

/* "Wed Jan 01 2025 00:00:00 GMT+0000 (Coordinated Universal Time)" */
static void date_text(struct inst_buf *buf, double ms) {
    static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char iso[INST_DATE_TEXT_MAX];
    size_t len = inst_date_iso(ms, iso);
    /* [-+YY]YYYY-MM-DDTHH:mm:ss.sssZ: the fields have fixed places from the end. */
    const char *end = iso + len;
    int weekday;
    if (len == 0) {
        inst_buf_add_str(buf, "Invalid Date");
        return;
    }
    weekday = (int)fmod(fmod(floor(ms / 86400000.0), 7) + 7, 7);
    inst_buf_addf(buf, "%s %s %.2s ", days[weekday], months[(end[-19] - '0') * 10 + end[-18] - '1'],
                  end - 16);
    inst_buf_add(buf, iso[0] == '+' ? iso + 1 : iso, (size_t)(end - 20 - iso) - (iso[0] == '+'));
    inst_buf_addf(buf, " %.8s GMT+0000 (Coordinated Universal Time)", end - 13);
}

static void array_text(struct inst_buf *buf, const struct inst_value *v) {
    for (uint32_t i = 0; i < v->len; i++) {
        if (i > 0) {
            inst_buf_add_char(buf, ',');
        }
        if (!inst_is_nullish(&v->u.items[i])) {
            inst_js_text(buf, &v->u.items[i]);
        }
    }
}

void inst_js_text(struct inst_buf *buf, const struct inst_value *v) {
    char number[INST_NUMBER_TEXT_MAX];
    switch ((enum inst_tag)v->tag) {
    case INST_UNDEFINED:
        inst_buf_add_str(buf, "undefined");
        break;
    case INST_NULL:
        inst_buf_add_str(buf, "null");
        break;
    case INST_FALSE:
        inst_buf_add_str(buf, "false");
        break;
    case INST_TRUE:
        inst_buf_add_str(buf, "true");
        break;
    case INST_NUMBER:
        inst_buf_add(buf, number, inst_number_text(v->u.num, number));
        break;
    case INST_STRING:
        inst_buf_add(buf, v->u.str, v->len);
        break;
    case INST_ARRAY:
        array_text(buf, v);
        break;
    case INST_DATE:
        date_text(buf, v->u.num);
        break;
    case INST_OBJECT:
    case INST_ENTITY:
        inst_buf_add_str(buf, "[object Object]");
        break;
    case INST_FUNCTION:
        inst_buf_add_str(buf, "function");
        break;
    }
}
