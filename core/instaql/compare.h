/*
 * compare.h - JavaScript's comparisons of values and of entity ids (instaql.md 1.8).
 */
#ifndef INST_INSTAQL_COMPARE_H
#define INST_INSTAQL_COMPARE_H

#include "base/buf.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>

/* A value in a comparison with numbers: what Number(v) is after ToPrimitive. scratch holds the text
 * of arrays and objects on the way. */
double inst_js_number(const struct inst_value *v, struct inst_buf *scratch);

/* `new Date(v).getTime()`. */
double inst_js_date(const struct inst_value *v, struct inst_buf *scratch);

enum inst_js_order {
    INST_JS_LESS = -1,
    INST_JS_EQUAL = 0,
    INST_JS_GREATER = 1,
    INST_JS_UNORDERED = 2, /* NaN took part: <, <=, >, >= are all false */
};

/* JS relational. scratch: two buffers for the text of arrays and objects. */
enum inst_js_order inst_js_compare(const struct inst_value *a, const struct inst_value *b,
                                   struct inst_buf scratch[2]);

/* 36 characters, lower case: such ids compare as their texts do. */
bool inst_id_is_plain(const char *id, size_t len);
/* Ids by the bytes of their hex digits, hyphens left out; what is no hex compares equal. <0, 0, >0.
 */
int inst_id_compare(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
