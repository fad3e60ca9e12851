#include "instaql/compare.h"

#include "base/date.h"
#include "base/date_engine.h"
#include "base/js_text.h"
#include "base/number.h"
#include "base/text.h"

#include <math.h>
#include <stdint.h>

/* Arrays and objects become text before anything is compared. */
static struct inst_value to_primitive(const struct inst_value *v, struct inst_buf *scratch) {
    if (v->tag != INST_ARRAY && v->tag != INST_OBJECT) {
        return *v;
    }
    inst_buf_clear(scratch);
    inst_js_text(scratch, v);
    return inst_string(scratch->data ? scratch->data : "", scratch->len);
}

static double primitive_number(const struct inst_value *v) {
    switch (v->tag) {
    case INST_NUMBER:
    case INST_DATE:
        return v->u.num;
    case INST_NULL:
    case INST_FALSE:
        return 0;
    case INST_TRUE:
        return 1;
    case INST_STRING:
        return inst_number_from_text(v->u.str, v->len);
    default:
        return NAN;
    }
}

double inst_js_number(const struct inst_value *v, struct inst_buf *scratch) {
    struct inst_value primitive = to_primitive(v, scratch);
    return primitive_number(&primitive);
}

double inst_js_date(const struct inst_value *v, struct inst_buf *scratch) {
    struct inst_value primitive = to_primitive(v, scratch);
    if (primitive.tag == INST_STRING) {
        return inst_date_engine_parse(primitive.u.str, primitive.len);
    }
    return inst_date_clip(primitive_number(&primitive));
}

enum inst_js_order inst_js_compare(const struct inst_value *a, const struct inst_value *b,
                                   struct inst_buf scratch[2]) {
    struct inst_value left = to_primitive(a, &scratch[0]);
    struct inst_value right = to_primitive(b, &scratch[1]);
    if (left.tag == INST_STRING && right.tag == INST_STRING) {
        int order = inst_text_cmp_utf16(left.u.str, left.len, right.u.str, right.len);
        return order < 0 ? INST_JS_LESS : order > 0 ? INST_JS_GREATER : INST_JS_EQUAL;
    }
    double x = primitive_number(&left);
    double y = primitive_number(&right);
    if (isnan(x) || isnan(y)) {
        return INST_JS_UNORDERED;
    }
    return x < y ? INST_JS_LESS : x > y ? INST_JS_GREATER : INST_JS_EQUAL;
}

/*
 * Entity ids.
 */

enum { UUID_TEXT = 36 };

static const int8_t hex_digit[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* Eight characters at once: is each a digit or one of a-f, with hyphens just where `hyphens` has
 * 0xFF? Lower case only: then comparing texts is comparing bytes. */
static bool is_hex_word(const char *text, uint64_t hyphens) {
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t dash = ones * '-';
    if ((word & hyphens) != (dash & hyphens) || (word & high)) {
        return false;
    }
    word = (word & ~hyphens) | (ones * '0' & hyphens);
    /* Per byte, no carries since all are below 0x80: bit 7 of x + (0x80 - n) says x >= n. */
    uint64_t from_0 = word + (0x80 - '0') * ones;
    uint64_t past_9 = word + (0x80 - ('9' + 1)) * ones;
    uint64_t from_a = word + (0x80 - 'a') * ones;
    uint64_t past_f = word + (0x80 - ('f' + 1)) * ones;
    uint64_t good = (from_0 & ~past_9) | (from_a & ~past_f);
    return (good & high) == high;
}

/* Byte i of the text, as a mask for is_hex_word whatever the machine's byte order. */
static uint64_t mask_at(int first, int second) {
    unsigned char bytes[8] = {0};
    if (first >= 0) {
        bytes[first] = 0xFF;
    }
    if (second >= 0) {
        bytes[second] = 0xFF;
    }
    uint64_t mask;
    memcpy(&mask, bytes, sizeof(mask));
    return mask;
}

bool inst_id_is_plain(const char *text, size_t len) {
    return len == UUID_TEXT && is_hex_word(text, 0) && is_hex_word(text + 8, mask_at(0, 5)) &&
           is_hex_word(text + 16, mask_at(2, 7)) && is_hex_word(text + 24, 0) &&
           is_hex_word(text + 28, 0);
}

/* The next character that is no hyphen; -1 at the end. */
static int next_char(const char *text, size_t len, size_t *pos) {
    while (*pos < len && text[*pos] == '-') {
        (*pos)++;
    }
    return *pos < len ? (unsigned char)text[(*pos)++] : -1;
}

/* parseInt(two characters, 16): -1 when that is NaN. A character that is no digit ends the number.
 */
static int parse_pair(int first, int second) {
    if (first == ' ' || first == '+' || (first >= '\t' && first <= '\r')) {
        return second >= 0 ? hex_digit[second] - 1 : -1;
    }
    int high = first >= 0 ? hex_digit[first] - 1 : -1;
    if (high < 0 || second < 0 || hex_digit[second] == 0) {
        return high;
    }
    return high * 16 + hex_digit[second] - 1;
}

int inst_id_compare(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (inst_id_is_plain(a, a_len) && inst_id_is_plain(b, b_len)) {
        return memcmp(a, b, UUID_TEXT);
    }
    size_t i = 0;
    size_t k = 0;
    for (;;) {
        int a_first = next_char(a, a_len, &i);
        int a_second = next_char(a, a_len, &i);
        int b_first = next_char(b, b_len, &k);
        int b_second = next_char(b, b_len, &k);
        if (a_first < 0 || b_first < 0) {
            return 0;
        }
        int x = parse_pair(a_first, a_second);
        int y = parse_pair(b_first, b_second);
        if (x >= 0 && y >= 0 && x != y) {
            return x < y ? -1 : 1;
        }
    }
}
