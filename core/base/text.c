#include "base/text.h"

#include <string.h>

static bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

/* Length of the well-formed sequence at s (n >= 1 bytes left), surrogates in their three-byte form
 * included; 0 when it is broken: cut, overlong, above U+10FFFF or a stray byte. */
static size_t sequence_len(const unsigned char *s, size_t n) {
    unsigned char c = s[0];
    if (c < 0x80) {
        return 1;
    }
    if (c < 0xC2) {
        return 0;
    }
    if (c < 0xE0) {
        return n >= 2 && is_tail(s[1]) ? 2 : 0;
    }
    if (c < 0xF0) {
        bool whole = n >= 3 && is_tail(s[1]) && is_tail(s[2]);
        return whole && !(c == 0xE0 && s[1] < 0xA0) ? 3 : 0;
    }
    if (c > 0xF4 || n < 4 || !is_tail(s[1]) || !is_tail(s[2]) || !is_tail(s[3])) {
        return 0;
    }
    return (c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F) ? 0 : 4;
}

uint32_t inst_text_next(const char *str, size_t len, size_t *pos) {
    const unsigned char *s = (const unsigned char *)str + *pos;
    size_t n = sequence_len(s, len - *pos);
    *pos += n ? n : 1;
    switch (n) {
    case 1:
        return s[0];
    case 2:
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3:
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    case 4:
        return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    default:
        return 0xFFFD;
    }
}

size_t inst_text_put(char *out, uint32_t code_point) {
    unsigned char *o = (unsigned char *)out;
    if (code_point < 0x80) {
        o[0] = (unsigned char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        o[0] = (unsigned char)(0xC0 | code_point >> 6);
        o[1] = (unsigned char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        o[0] = (unsigned char)(0xE0 | code_point >> 12);
        o[1] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
        o[2] = (unsigned char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    o[0] = (unsigned char)(0xF0 | code_point >> 18);
    o[1] = (unsigned char)(0x80 | (code_point >> 12 & 0x3F));
    o[2] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
    o[3] = (unsigned char)(0x80 | (code_point & 0x3F));
    return 4;
}

bool inst_text_is_utf8(const char *str, size_t len) {
    const unsigned char *s = (const unsigned char *)str;
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= sizeof(word)) {
            memcpy(&word, s + at, sizeof(word));
            if (!(word & 0x8080808080808080u)) {
                at += sizeof(word);
                continue;
            }
        }
        size_t n = sequence_len(s + at, len - at);
        bool surrogate = n == 3 && s[at] == 0xED && s[at + 1] >= 0xA0;
        if (n == 0 || surrogate) {
            return false;
        }
        at += n;
    }
    return true;
}

/* Walks a string by UTF-16 code unit. */
struct units {
    const char *str;
    size_t len;
    size_t pos;
    uint16_t low; /* second half of a pair, still to come; 0 when none */
};

static bool next_unit(struct units *units, uint16_t *unit) {
    if (units->low) {
        *unit = units->low;
        units->low = 0;
        return true;
    }
    if (units->pos >= units->len) {
        return false;
    }
    uint32_t c = inst_text_next(units->str, units->len, &units->pos);
    if (c < 0x10000) {
        *unit = (uint16_t)c;
    } else {
        *unit = (uint16_t)(0xD800 + ((c - 0x10000) >> 10));
        units->low = (uint16_t)(0xDC00 + ((c - 0x10000) & 0x3FF));
    }
    return true;
}

size_t inst_text_utf16_len(const char *str, size_t len) {
    size_t count = 0;
    size_t pos = 0;
    while (pos < len) {
        count += inst_text_next(str, len, &pos) < 0x10000 ? 1 : 2;
    }
    return count;
}

int inst_text_cmp_utf16(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t least = a_len < b_len ? a_len : b_len;
    size_t at = 0;
    while (at < least && a[at] == b[at]) {
        at++;
    }
    if (at == least) {
        return (a_len > b_len) - (a_len < b_len);
    }
    unsigned char x = (unsigned char)a[at];
    unsigned char y = (unsigned char)b[at];
    /* Byte order is code point order, which differs from code unit order only where a pair (lead
     * byte F0..F4) meets something from U+D800 up (lead byte ED..EF). */
    if (x < 0xED && y < 0xED && !(is_tail(x) && is_tail(y))) {
        return x < y ? -1 : 1;
    }
    while (at > 0 && is_tail((unsigned char)a[at])) {
        at--;
    }
    struct units left = {a, a_len, at, 0};
    struct units right = {b, b_len, at, 0};
    for (;;) {
        uint16_t p = 0;
        uint16_t q = 0;
        bool has_p = next_unit(&left, &p);
        bool has_q = next_unit(&right, &q);
        if (!has_p || !has_q) {
            return (int)has_p - (int)has_q;
        }
        if (p != q) {
            return p < q ? -1 : 1;
        }
    }
}

void inst_text_each_unit(const char *str, size_t len, inst_text_unit_fn *fn, void *ctx) {
    struct units units = {str, len, 0, 0};
    uint16_t unit;
    while (next_unit(&units, &unit)) {
        fn(ctx, unit);
    }
}

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t load_le(const unsigned char *s, size_t n) {
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) {
        word |= (uint64_t)s[i] << (8 * i);
    }
    return word;
}

/* SipHash-1-3: a keyed function for which nobody knows how to choose colliding keys without the
 * seed, at about a nanosecond a byte on short keys. The faster multiply-and-fold hashes do not
 * promise that. */
uint64_t inst_text_hash(const void *bytes, size_t len, uint64_t seed) {
    const unsigned char *s = bytes;
    uint64_t k0 = seed;
    uint64_t k1 = rotate(seed, 32) ^ 0x9E3779B97F4A7C15u;
    uint64_t v[4] = {k0 ^ 0x736F6D6570736575u, k1 ^ 0x646F72616E646F6Du, k0 ^ 0x6C7967656E657261u,
                     k1 ^ 0x7465646279746573u};
    size_t at = 0;
    for (; len - at >= 8; at += 8) {
        uint64_t word = load_le(s + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56 | load_le(s + at, len - at);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xFF;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
