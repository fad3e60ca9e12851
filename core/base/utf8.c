#include "base/utf8.h"

#include <string.h>

static bool begin(struct inst_utf8 *state, unsigned char c) {
    state->low = 0x80;
    state->high = 0xbf;
    if (c < 0x80) {
        return true;
    }
    if (c < 0xc2 || c > 0xf4) {
        return false;
    }
    state->left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0xe0) {
        state->low = 0xa0; /* else it would be shorter */
    } else if (c == 0xed) {
        state->high = 0x9f; /* surrogates */
    } else if (c == 0xf0) {
        state->low = 0x90;
    } else if (c == 0xf4) {
        state->high = 0x8f; /* past U+10FFFF */
    }
    return true;
}

static bool feed_byte(struct inst_utf8 *state, unsigned char c) {
    if (state->left == 0) {
        return begin(state, c);
    }
    if (c < state->low || c > state->high) {
        return false;
    }
    state->left--;
    state->low = 0x80;
    state->high = 0xbf;
    return true;
}

/* How many bytes at the beginning are ASCII, looked at eight at a time. */
static size_t ascii_len(const char *bytes, size_t len) {
    size_t n = 0;
    for (uint64_t eight; n + sizeof eight <= len; n += sizeof eight) {
        memcpy(&eight, bytes + n, sizeof eight);
        if (eight & 0x8080808080808080u) {
            break;
        }
    }
    return n;
}

bool inst_utf8_feed(struct inst_utf8 *state, const char *bytes, size_t len) {
    for (size_t i = 0; i < len;) {
        if (state->left == 0) {
            i += ascii_len(bytes + i, len - i);
            if (i == len) {
                break;
            }
        }
        if (!feed_byte(state, (unsigned char)bytes[i++])) {
            return false;
        }
    }
    return true;
}
