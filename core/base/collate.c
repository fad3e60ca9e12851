#include "base/collate.h"

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucol.h>

/* UTF-16 copies up to this length live on the stack. */
enum { UNITS_INLINE = 256 };

struct inst_collator {
    UCollator *ucol;
};

/* Where each printable ASCII character stands among the base letters of the root order. Nothing in
 * ASCII contracts or expands there, so comparing these numbers is the whole first level; 0 marks
 * what needs ICU. */
static const uint8_t primary[256] = {
    [' '] = 1,  ['_'] = 2,  ['-'] = 3,   [','] = 4,  [';'] = 5,  [':'] = 6,  ['!'] = 7,
    ['?'] = 8,  ['.'] = 9,  ['\''] = 10, ['"'] = 11, ['('] = 12, [')'] = 13, ['['] = 14,
    [']'] = 15, ['{'] = 16, ['}'] = 17,  ['@'] = 18, ['*'] = 19, ['/'] = 20, ['\\'] = 21,
    ['&'] = 22, ['#'] = 23, ['%'] = 24,  ['`'] = 25, ['^'] = 26, ['+'] = 27, ['<'] = 28,
    ['='] = 29, ['>'] = 30, ['|'] = 31,  ['~'] = 32, ['$'] = 33, ['0'] = 34, ['1'] = 35,
    ['2'] = 36, ['3'] = 37, ['4'] = 38,  ['5'] = 39, ['6'] = 40, ['7'] = 41, ['8'] = 42,
    ['9'] = 43, ['a'] = 44, ['A'] = 44,  ['b'] = 45, ['B'] = 45, ['c'] = 46, ['C'] = 46,
    ['d'] = 47, ['D'] = 47, ['e'] = 48,  ['E'] = 48, ['f'] = 49, ['F'] = 49, ['g'] = 50,
    ['G'] = 50, ['h'] = 51, ['H'] = 51,  ['i'] = 52, ['I'] = 52, ['j'] = 53, ['J'] = 53,
    ['k'] = 54, ['K'] = 54, ['l'] = 55,  ['L'] = 55, ['m'] = 56, ['M'] = 56, ['n'] = 57,
    ['N'] = 57, ['o'] = 58, ['O'] = 58,  ['p'] = 59, ['P'] = 59, ['q'] = 60, ['Q'] = 60,
    ['r'] = 61, ['R'] = 61, ['s'] = 62,  ['S'] = 62, ['t'] = 63, ['T'] = 63, ['u'] = 64,
    ['U'] = 64, ['v'] = 65, ['V'] = 65,  ['w'] = 66, ['W'] = 66, ['x'] = 67, ['X'] = 67,
    ['y'] = 68, ['Y'] = 68, ['z'] = 69,  ['Z'] = 69,
};

enum inst_status inst_collator_new(struct inst_collator **out, struct inst_err *err) {
    struct inst_collator *collator = malloc(sizeof(*collator));
    if (!collator) {
        return inst_err_nomem(err);
    }
    UErrorCode code = U_ZERO_ERROR;
    collator->ucol = ucol_open("en_US", &code);
    if (U_FAILURE(code)) {
        free(collator);
        if (code == U_MEMORY_ALLOCATION_ERROR) {
            return inst_err_nomem(err);
        }
        return inst_err_set(err, "internal", 500, "Could not open the en-US collation: %s",
                            u_errorName(code));
    }
    *out = collator;
    return INST_OK;
}

void inst_collator_free(struct inst_collator *collator) {
    if (collator) {
        ucol_close(collator->ucol);
        free(collator);
    }
}

static bool is_plain(const char *str, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!primary[(unsigned char)str[i]]) {
            return false;
        }
    }
    return true;
}

/* Base letters over the whole strings first; among equal ones lower case comes before upper. */
static int compare_plain(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t least = a_len < b_len ? a_len : b_len;
    int tie = 0;
    for (size_t i = 0; i < least; i++) {
        unsigned char x = (unsigned char)a[i];
        unsigned char y = (unsigned char)b[i];
        if (primary[x] != primary[y]) {
            return primary[x] < primary[y] ? -1 : 1;
        }
        if (!tie && x != y) {
            tie = x > y ? -1 : 1; /* 'a' > 'A' as bytes */
        }
    }
    return a_len != b_len ? (a_len < b_len ? -1 : 1) : tie;
}

static bool has_surrogate(const char *str, size_t len) {
    const unsigned char *s = (const unsigned char *)str;
    for (size_t i = 0; i + 2 < len; i++) {
        if (s[i] == 0xED && s[i + 1] >= 0xA0) {
            return true;
        }
    }
    return false;
}

static void put_unit(void *ctx, uint16_t unit) { *(*(UChar **)ctx)++ = unit; }

/* Ill-formed UTF-8 is U+FFFD to ICU, which would make all lone surrogates equal. As UTF-16, the
 * form JavaScript hands it, they keep their own places. NULL when out of memory. */
static UChar *to_utf16(const char *str, size_t len, UChar inline_units[UNITS_INLINE],
                       int32_t *count) {
    size_t n = inst_text_utf16_len(str, len);
    UChar *units = inline_units;
    if (n > UNITS_INLINE) {
        units = n <= INT32_MAX ? malloc(n * sizeof(*units)) : NULL;
        if (!units) {
            return NULL;
        }
    }
    UChar *end = units;
    inst_text_each_unit(str, len, put_unit, &end);
    *count = (int32_t)n;
    return units;
}

int inst_collator_compare(struct inst_collator *collator, const char *a, size_t a_len,
                          const char *b, size_t b_len) {
    if (is_plain(a, a_len) && is_plain(b, b_len)) {
        return compare_plain(a, a_len, b, b_len);
    }
    UErrorCode code = U_ZERO_ERROR;
    if (has_surrogate(a, a_len) || has_surrogate(b, b_len)) {
        UChar a_inline[UNITS_INLINE];
        UChar b_inline[UNITS_INLINE];
        int32_t a_count = 0;
        int32_t b_count = 0;
        UChar *a_units = to_utf16(a, a_len, a_inline, &a_count);
        UChar *b_units = to_utf16(b, b_len, b_inline, &b_count);
        int order = 0;
        if (a_units && b_units) {
            order = ucol_strcoll(collator->ucol, a_units, a_count, b_units, b_count);
        }
        bool done = a_units && b_units;
        if (a_units != a_inline) {
            free(a_units);
        }
        if (b_units != b_inline) {
            free(b_units);
        }
        if (done) {
            return order;
        }
    }
    int order = ucol_strcollUTF8(collator->ucol, a, (int32_t)a_len, b, (int32_t)b_len, &code);
    /* Only a lack of memory gets here; code units are at least an order. */
    return U_SUCCESS(code) ? order : inst_text_cmp_utf16(a, a_len, b, b_len);
}
