#include "instaql/like.h"

#include "base/text.h"

#include <unicode/ustring.h>

/* Beside code units and code points in a pattern. */
enum { ANY_RUN = UINT32_MAX, ANY_ONE = UINT32_MAX - 1 };

struct inst_like {
    struct inst_like_rules rules;
    bool is_never;
    uint32_t *parts; /* what to match: units or points (folded), ANY_RUN, ANY_ONE */
    size_t count;
    char *prefix; /* UTF-8 of what comes before the first wildcard */
    size_t prefix_len;
};

/* A place in a text: the next unit (or point), and half a pair that is still to be given out. */
struct place {
    size_t pos;
    uint32_t low; /* pending low surrogate, 0: none */
};

/* How JavaScript's `i` flag folds one unit: to upper case, unless that is longer than one unit or
 * leaves the non-ASCII range. */
static uint32_t fold_unit(uint32_t unit) {
    if (unit < 0x80) {
        return unit >= 'a' && unit <= 'z' ? unit - 32 : unit;
    }
    if (unit > 0xFFFF) {
        return unit; /* folded as points only by the server, whose texts keep theirs */
    }
    UChar from = (UChar)unit;
    UChar to[4];
    UErrorCode code = U_ZERO_ERROR;
    int32_t len = u_strToUpper(to, 4, &from, 1, "", &code);
    if (U_FAILURE(code) || len != 1 || to[0] < 0x80) {
        return unit;
    }
    return to[0];
}

static uint32_t next_part(const struct inst_like *like, const char *text, size_t len,
                          struct place *at) {
    uint32_t point;
    if (at->low) {
        point = at->low;
        at->low = 0;
    } else {
        unsigned char byte = (unsigned char)text[at->pos];
        if (byte < 0x80) {
            at->pos++;
            return like->rules.ignore_case && byte >= 'a' && byte <= 'z' ? byte - 32u : byte;
        }
        point = inst_text_next(text, len, &at->pos);
        if (point > 0xFFFF && !like->rules.by_code_point) {
            at->low = 0xDC00 + ((point - 0x10000) & 0x3FF);
            point = 0xD800 + ((point - 0x10000) >> 10);
        }
    }
    return like->rules.ignore_case ? fold_unit(point) : point;
}

static bool is_end(const struct place *at, size_t len) { return at->pos >= len && !at->low; }

struct inst_like *inst_like_new(struct inst_arena *arena, const char *pattern, size_t len,
                                struct inst_like_rules rules) {
    struct inst_like *like = inst_arena_zalloc(arena, sizeof(*like));
    uint32_t *parts = inst_arena_alloc(arena, (len + 1) * sizeof(*parts));
    char *prefix = inst_arena_alloc(arena, len + 1);
    if (!like || !parts || !prefix) {
        return NULL;
    }
    *like = (struct inst_like){.rules = rules, .parts = parts, .prefix = prefix};
    bool in_prefix = !rules.ignore_case;
    struct place at = {0};
    while (!is_end(&at, len)) {
        char c = at.low ? 'x' : pattern[at.pos];
        if (c == '%' || c == '_') {
            at.pos++;
            in_prefix = false;
            parts[like->count++] = c == '%' ? ANY_RUN : ANY_ONE;
            continue;
        }
        if (c == '\\' && rules.has_escape && ++at.pos >= len) {
            like->is_never = true;
            break;
        }
        size_t from = at.pos;
        /* A lone surrogate also matches half of a pair, which has other bytes. */
        in_prefix = in_prefix && (unsigned char)pattern[from] != 0xED;
        parts[like->count++] = next_part(like, pattern, len, &at);
        if (in_prefix && at.pos > from) {
            memcpy(prefix + like->prefix_len, pattern + from, at.pos - from);
            like->prefix_len += at.pos - from;
        }
    }
    return like;
}

bool inst_like_matches(const struct inst_like *like, const char *text, size_t len, uint64_t *work) {
    if (like->is_never || like->prefix_len > len ||
        (like->prefix_len && memcmp(text, like->prefix, like->prefix_len) != 0)) {
        return false;
    }
    struct place at = {0};
    struct place retry = {0}; /* where the last `%` took its text up to */
    size_t i = 0;
    size_t retry_part = SIZE_MAX;
    uint64_t steps = 0;
    bool matches = false;
    for (;;) {
        steps++;
        if (i < like->count && like->parts[i] == ANY_RUN) {
            retry = at;
            retry_part = ++i;
            if (i == like->count) {
                matches = true;
                break;
            }
            continue;
        }
        if (is_end(&at, len)) {
            /* What is left of the pattern begins with no `%`: it needs text that is not there. */
            matches = i == like->count;
            break;
        }
        if (i < like->count) {
            uint32_t part = next_part(like, text, len, &at);
            if (like->parts[i] == ANY_ONE || like->parts[i] == part) {
                i++;
                continue;
            }
        }
        if (retry_part == SIZE_MAX) {
            break;
        }
        next_part(like, text, len, &retry);
        at = retry;
        i = retry_part;
    }
    *work += steps;
    return matches;
}

size_t inst_like_prefix(const struct inst_like *like, const char **prefix) {
    *prefix = like->prefix;
    return like->is_never ? 0 : like->prefix_len;
}
