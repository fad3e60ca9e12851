#include "base/base64.h"

static const char ordinary[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void add(struct inst_buf *out, const uint8_t *bytes, size_t len, const char *alphabet,
                bool is_padded) {
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (n > 2 ? bytes[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            if (k <= n)
                inst_buf_add_char(out, alphabet[bits >> (18 - 6 * k) & 63]);
            else if (is_padded)
                inst_buf_add_char(out, '=');
        }
    }
}

void inst_base64_add(struct inst_buf *out, const void *bytes, size_t len) {
    add(out, bytes, len, ordinary, true);
}

void inst_base64url_add(struct inst_buf *out, const void *bytes, size_t len) {
    add(out, bytes, len, for_urls, false);
}

static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool inst_base64url_read(const char *text, size_t len, uint8_t *out, size_t *out_len) {
    uint32_t bits = 0, held = 0;
    size_t n = 0, padding = 0;
    while (len > 0 && text[len - 1] == '=' && ++padding <= 2)
        len--;
    for (size_t i = 0; i < len; i++) {
        int value = sextet(text[i]);
        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xffffff;
        if ((held += 6) < 8)
            continue;
        held -= 8;
        out[n++] = (uint8_t)(bits >> held);
    }
    *out_len = n;
    return held < 6 && (bits & ((1u << held) - 1)) == 0;
}
