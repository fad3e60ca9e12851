#include "base/uuid.h"

#include "base/env.h"

#include <string.h>

/* By character: its value as a hex digit plus one; 0: none. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool inst_uuid_parse(const char *text, size_t len, struct inst_uuid *out) {
    if (len != INST_UUID_TEXT) {
        return false;
    }
    struct inst_uuid uuid;
    size_t at = 0;
    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (text[at] != '-') {
                return false;
            }
            at++;
        }
        unsigned high = hex_digits[(uint8_t)text[at]];
        unsigned low = hex_digits[(uint8_t)text[at + 1]];
        if (high == 0 || low == 0) {
            return false;
        }
        uuid.bytes[i] = (uint8_t)((high - 1) << 4 | (low - 1));
        at += 2;
    }
    *out = uuid;
    return true;
}

void inst_uuid_print(const struct inst_uuid *uuid, char out[INST_UUID_TEXT + 1]) {
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        out[at++] = digits[uuid->bytes[i] >> 4];
        out[at++] = digits[uuid->bytes[i] & 15];
    }
    out[at] = '\0';
}

void inst_uuid_make(const struct inst_env *env, struct inst_uuid *out) {
    env->random(env->ctx, out->bytes, sizeof(out->bytes));
    out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0F) | 0x40);
    out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3F) | 0x80);
}

void inst_uuid_make_text(const struct inst_env *env, char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    inst_uuid_make(env, &uuid);
    inst_uuid_print(&uuid, out);
}

bool inst_uuid_is_valid_v(const char *text, size_t len) {
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, len, &uuid)) {
        return false;
    }
    int version = uuid.bytes[6] >> 4;
    int variant = uuid.bytes[8] >> 6;
    if (version >= 1 && version <= 8 && variant == 2) {
        return true;
    }
    /* The nil and the max uuid. */
    uint8_t first = uuid.bytes[0];
    if (first != 0x00 && first != 0xFF) {
        return false;
    }
    return memcmp(uuid.bytes, uuid.bytes + 1, sizeof(uuid.bytes) - 1) == 0;
}
