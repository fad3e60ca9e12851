#include "base/number.h"

#include "base/text.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* No double lies between decimals that agree in this many digits and in whether more follow. */
    SIGNIFICANT_MAX = 780,
    /* Powers of ten up to this are exact doubles. */
    EXACT_POWER_MAX = 22,
    /* Digits of any decimal that survives the way through a double. */
    DIGITS_SAFE = 15,
    DIGITS_MAX = 17,
};

#define EXACT_INT_MAX 9007199254740992.0 /* 2^53 */
#define EXPONENT_LIMIT 1000000000000     /* beyond it, more digits change nothing */

static const double exact_power[EXACT_POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/*
 * Reading.
 */

/* A decimal taken apart: 0.[digits] * 10^exponent, leading zeros dropped. */
struct decimal {
    bool negative;
    int count; /* digits kept */
    int64_t exponent;
    uint64_t leading; /* the first 19 digits as an integer */
    char digits[SIGNIFICANT_MAX + 1];
};

static void add_digit(struct decimal *d, char c, bool fraction) {
    if (d->count == 0 && c == '0') {
        d->exponent -= fraction;
        return;
    }
    d->exponent += !fraction;
    if (d->count < 19) {
        d->leading = d->leading * 10 + (uint64_t)(c - '0');
    }
    if (d->count < SIGNIFICANT_MAX) {
        d->digits[d->count++] = c;
    } else if (c != '0') {
        /* All that the rest can do is to break a tie. */
        d->digits[SIGNIFICANT_MAX - 1] |= 1;
    }
}

static void take_apart(struct decimal *d, const char *text, size_t len) {
    size_t at = 0;
    d->negative = false;
    d->count = 0;
    d->exponent = 0;
    d->leading = 0;
    if (at < len && (text[at] == '-' || text[at] == '+')) {
        d->negative = text[at++] == '-';
    }
    bool fraction = false;
    for (; at < len && (is_digit(text[at]) || text[at] == '.'); at++) {
        if (text[at] == '.') {
            fraction = true;
        } else {
            add_digit(d, text[at], fraction);
        }
    }
    if (at < len && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        bool minus = at < len && text[at] == '-';
        at += at < len && (text[at] == '-' || text[at] == '+');
        int64_t exponent = 0;
        for (; at < len && is_digit(text[at]); at++) {
            if (exponent < EXPONENT_LIMIT) {
                exponent = exponent * 10 + (text[at] - '0');
            }
        }
        d->exponent += minus ? -exponent : exponent;
    }
}

/* One correctly rounded operation on two exact doubles is correctly rounded itself. */
static bool read_exactly(const struct decimal *d, double *out) {
    if (FLT_EVAL_METHOD != 0 || d->count > 19 || d->leading > (uint64_t)EXACT_INT_MAX) {
        return false;
    }
    double num = (double)d->leading;
    int64_t power = d->exponent - d->count;
    if (num == 0) {
        *out = 0;
    } else if (power >= 0 && power <= EXACT_POWER_MAX) {
        /* The product is one rounding too. */
        *out = num * exact_power[power];
    } else if (power < 0 && power >= -EXACT_POWER_MAX) {
        *out = num / exact_power[-power];
    } else {
        return false;
    }
    return true;
}

/* strtod in the "C" locale, whatever the program's is. */
static double read_c_locale(const char *text) {
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        /* The text has no decimal point, so the program's locale reads it the same way. */
        return strtod(text, NULL);
    }
    double num = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    return num;
}

double inst_number_parse(const char *text, size_t len) {
    struct decimal d;
    take_apart(&d, text, len);
    double num;
    if (!read_exactly(&d, &num)) {
        if (d.exponent > 400) {
            num = INFINITY;
        } else if (d.exponent < -400) {
            num = 0;
        } else {
            char plain[SIGNIFICANT_MAX + 16];
            snprintf(plain, sizeof(plain), "%.*se%d", d.count, d.digits, (int)d.exponent - d.count);
            num = read_c_locale(plain);
        }
    }
    return d.negative ? -num : num;
}

/* Whitespace and line ends as JavaScript trims them. */
static bool is_js_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

static void trim(const char **text, size_t *len) {
    size_t pos = 0;
    size_t start = 0;
    size_t end = 0;
    bool seen = false;
    while (pos < *len) {
        size_t before = pos;
        if (!is_js_space(inst_text_next(*text, *len, &pos))) {
            if (!seen) {
                start = before;
                seen = true;
            }
            end = pos;
        }
    }
    *text += start;
    *len = end - start;
}

static int digit_value(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/* The digits behind 0x, 0o or 0b. 64 bits of them and one that says whether more follow are enough
 * for the one rounding at the end. */
static double read_radix(const char *text, size_t len, int bits) {
    uint64_t mantissa = 0;
    int dropped = 0;
    if (len == 0) {
        return NAN;
    }
    for (size_t i = 0; i < len; i++) {
        int digit = digit_value(text[i]);
        if (digit >= 1 << bits) {
            return NAN;
        }
        for (int b = bits - 1; b >= 0; b--) {
            uint64_t bit = (uint64_t)digit >> b & 1;
            if (mantissa >> 63) {
                mantissa |= bit;
                dropped += dropped < 4096;
            } else {
                mantissa = mantissa << 1 | bit;
            }
        }
    }
    return ldexp((double)mantissa, dropped);
}

/* StrDecimalLiteral without Infinity: [+-] (d+ [. d*] | . d+) [e [+-] d+]. */
static bool is_decimal(const char *text, size_t len) {
    size_t at = len > 0 && (text[0] == '+' || text[0] == '-');
    size_t digits = 0;
    for (; at < len && is_digit(text[at]); at++) {
        digits++;
    }
    if (at < len && text[at] == '.') {
        for (at++; at < len && is_digit(text[at]); at++) {
            digits++;
        }
    }
    if (digits == 0) {
        return false;
    }
    if (at < len && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        at += at < len && (text[at] == '+' || text[at] == '-');
        if (at == len) {
            return false;
        }
        while (at < len && is_digit(text[at])) {
            at++;
        }
        /* "1e" and "1e+" end before a digit. */
        if (!is_digit(text[at - 1])) {
            return false;
        }
    }
    return at == len;
}

double inst_number_from_text(const char *text, size_t len) {
    trim(&text, &len);
    if (len == 0) {
        return 0;
    }
    if (text[0] == '0' && len > 1) {
        int bits = 0;
        switch (text[1] | 0x20) {
        case 'x':
            bits = 4;
            break;
        case 'o':
            bits = 3;
            break;
        case 'b':
            bits = 1;
            break;
        }
        if (bits) {
            return read_radix(text + 2, len - 2, bits);
        }
    }
    size_t sign = text[0] == '+' || text[0] == '-';
    if (len - sign == 8 && memcmp(text + sign, "Infinity", 8) == 0) {
        return text[0] == '-' ? -INFINITY : INFINITY;
    }
    return is_decimal(text, len) ? inst_number_parse(text, len) : NAN;
}

/*
 * Writing.
 */

static size_t put_int(char *out, uint64_t num) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + num % 10);
        num /= 10;
    } while (num);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

/* digits without trailing zeros; the value is 0.digits * 10^point. */
struct shortest {
    char digits[DIGITS_MAX + 3];
    int count;
    int point;
};

static void strip_zeros(struct shortest *s) {
    while (s->count > 1 && s->digits[s->count - 1] == '0') {
        s->count--;
    }
}

/* Short decimals (prices, coordinates) without printf: the quotient is what reading them back
 * computes, so if it is num, those digits are num's. */
static bool shortest_quick(double num, struct shortest *s) {
    if (FLT_EVAL_METHOD != 0 || num < 1e-5 || num >= 1e9) {
        return false;
    }
    for (int places = 1; places <= 6; places++) {
        double scaled = floor(num * exact_power[places] + 0.5);
        if (scaled / exact_power[places] == num) {
            s->count = (int)put_int(s->digits, (uint64_t)scaled);
            s->point = s->count - places;
            strip_zeros(s);
            return true;
        }
    }
    return false;
}

static void round_to(double num, int count, struct shortest *s) {
    char text[64];
    snprintf(text, sizeof(text), "%.*e", count - 1, num);
    /* Whatever the locale's decimal point is, it is no digit. */
    const char *at = text;
    s->count = 0;
    for (; *at && *at != 'e'; at++) {
        if (is_digit(*at)) {
            s->digits[s->count++] = *at;
        }
    }
    s->point = *at ? (int)strtol(at + 1, NULL, 10) + 1 : 1;
}

static double read_back(const struct shortest *s) {
    char text[DIGITS_MAX + 16];
    int n = snprintf(text, sizeof(text), "%.*se%d", s->count, s->digits, s->point - s->count);
    return inst_number_parse(text, (size_t)n);
}

/* The next decimal of as many digits, away from zero. */
static void step_up(struct shortest *s) {
    int i = s->count - 1;
    while (i >= 0 && s->digits[i] == '9') {
        s->digits[i--] = '0';
    }
    if (i >= 0) {
        s->digits[i]++;
    } else {
        s->digits[0] = '1';
        s->point++;
    }
}

static void shortest_digits(double num, struct shortest *s) {
    if (shortest_quick(num, s)) {
        return;
    }
    int unused;
    /* Below a power of two doubles lie twice as close, so the nearest decimal may be another
     * double's while the next one up is still ours. */
    bool uneven = frexp(num, &unused) == 0.5;
    /* Subnormals hold fewer digits than any count could promise. */
    int count = num < DBL_MIN ? 1 : DIGITS_SAFE;
    for (;; count++) {
        round_to(num, count, s);
        if (count == DIGITS_MAX || read_back(s) == num) {
            break;
        }
        if (uneven) {
            step_up(s);
            if (read_back(s) == num) {
                break;
            }
        }
    }
    strip_zeros(s);
}

/* Number::toString, ECMA-262. */
static size_t lay_out(const struct shortest *s, char *out) {
    size_t n = 0;
    int k = s->count;
    if (s->point > 21 || s->point < -5) {
        out[n++] = s->digits[0];
        if (k > 1) {
            out[n++] = '.';
            memcpy(out + n, s->digits + 1, (size_t)k - 1);
            n += (size_t)k - 1;
        }
        int exponent = s->point - 1;
        out[n++] = 'e';
        out[n++] = exponent < 0 ? '-' : '+';
        return n + put_int(out + n, (uint64_t)abs(exponent));
    }
    for (int i = 0; i < s->point || i < k; i++) {
        if (i == 0 && s->point <= 0) {
            out[n++] = '0';
            out[n++] = '.';
            for (int zeros = s->point; zeros < 0; zeros++) {
                out[n++] = '0';
            }
        } else if (i > 0 && i == s->point) {
            out[n++] = '.';
        }
        out[n++] = i < k ? s->digits[i] : '0';
    }
    return n;
}

size_t inst_number_text(double num, char out[INST_NUMBER_TEXT_MAX]) {
    size_t n = 0;
    if (isnan(num)) {
        memcpy(out, "NaN", 4);
        return 3;
    }
    if (num < 0) {
        out[n++] = '-';
        num = -num;
    }
    if (isinf(num)) {
        memcpy(out + n, "Infinity", 9);
        return n + 8;
    }
    if (num <= EXACT_INT_MAX && num == (double)(uint64_t)num) {
        n += put_int(out + n, (uint64_t)num);
    } else {
        struct shortest s;
        shortest_digits(num, &s);
        n += lay_out(&s, out + n);
    }
    out[n] = '\0';
    return n;
}
