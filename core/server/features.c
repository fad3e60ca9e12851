#include "server/features.h"

/* More digits are no version. */
#define MAX_DIGITS 9

struct version {
    long parts[3];
    bool is_dev;
};

static bool read_version(const struct inst_value *text, struct version *out) {
    const char *c = text->u.str, *end = c + text->len;
    *out = (struct version){0};
    c += c < end && *c == 'v';
    for (int i = 0; i < 3; i++) {
        int digits = 0;
        if (i > 0 && (c == end || *c++ != '.'))
            return false;
        for (; c < end && *c >= '0' && *c <= '9'; c++, digits++)
            if (digits < MAX_DIGITS)
                out->parts[i] = out->parts[i] * 10 + (*c - '0');
        if (digits == 0 || digits > MAX_DIGITS)
            return false;
    }
    out->is_dev = end - c == 4 && memcmp(c, "-dev", 4) == 0;
    return c == end || out->is_dev;
}

static bool is_behind(const struct version *a, long major, long minor, long patch) {
    const long b[3] = {major, minor, patch};
    for (int i = 0; i < 3; i++)
        if (a->parts[i] != b[i])
            return a->parts[i] > b[i];
    return a->is_dev;
}

struct inst_features inst_features_of(const struct inst_value *versions) {
    const struct inst_value *text =
        versions != NULL ? inst_get_string(versions, "@instantdb/core") : NULL;
    struct version version;
    if (text == NULL || !read_version(text, &version))
        return (struct inst_features){0};
    return (struct inst_features){
        .patches_presence = is_behind(&version, 0, 17, 5),
        .skips_attrs = is_behind(&version, 0, 20, 4),
    };
}
