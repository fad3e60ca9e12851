/* cel_strings.c - text functions. Positions count code points (permissions.md 4.4). */
#include "rules/cel_functions.h"
#include "rules/cel_run.h"

#include "base/text.h"

#include <string.h>
#include <unicode/uregex.h>

/* A regular expression takes at most so many steps of ICU's engine. */
#define MATCH_TIME_LIMIT 100

static bool give_bool(struct inst_cel_value *out, bool b) {
    *out = inst_cel_bool(b);
    return true;
}

static int64_t code_points(const char *text, size_t len) {
    int64_t n = 0;
    for (size_t at = 0; at < len; n++)
        inst_text_next(text, len, &at);
    return n;
}

/* The byte at which code point n starts; len when there are not so many. */
static size_t byte_of(const struct inst_cel_value *text, int64_t n) {
    size_t at = 0;
    while (n-- > 0 && at < text->len)
        inst_text_next(text->u.str, text->len, &at);
    return at;
}

static const char *find(const char *text, size_t len, const char *part, size_t part_len) {
    return part_len == 0 ? text : memmem(text, len, part, part_len);
}

bool inst_cel_add_string(struct inst_cel_run *run, const struct inst_cel_value *args,
                         struct inst_cel_value *out) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add(&buf, args[0].u.str, args[0].len);
    inst_buf_add(&buf, args[1].u.str, args[1].len);
    return inst_cel_take_text(run, &buf, args[0].tag, out);
}

bool inst_cel_starts_with(struct inst_cel_run *run, const struct inst_cel_value *args,
                          struct inst_cel_value *out) {
    (void)run;
    return give_bool(
        out, args[1].len <= args[0].len &&
                 (args[1].len == 0 || memcmp(args[0].u.str, args[1].u.str, args[1].len) == 0));
}

bool inst_cel_ends_with(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    (void)run;
    return give_bool(out, args[1].len <= args[0].len &&
                              (args[1].len == 0 || memcmp(args[0].u.str + args[0].len - args[1].len,
                                                          args[1].u.str, args[1].len) == 0));
}

bool inst_cel_contains(struct inst_cel_run *run, const struct inst_cel_value *args,
                       struct inst_cel_value *out) {
    return inst_cel_spend(run, args[0].len / 64) &&
           give_bool(out, find(args[0].u.str, args[0].len, args[1].u.str, args[1].len) != NULL);
}

/* ---- regular expressions ---- */

/* What RE2 does not have, since it cannot be matched in bounded time. */
static bool is_beyond_re2(const char *pattern, size_t len) {
    for (size_t i = 0; i + 1 < len; i++) {
        if (pattern[i] == '\\') {
            if (pattern[i + 1] >= '1' && pattern[i + 1] <= '9')
                return true;
            i++;
        } else if (pattern[i] == '(' && pattern[i + 1] == '?' && i + 2 < len) {
            char c = pattern[i + 2];
            bool is_look_behind =
                c == '<' && i + 3 < len && (pattern[i + 3] == '=' || pattern[i + 3] == '!');
            if (c == '=' || c == '!' || c == '>' || is_look_behind)
                return true;
        }
    }
    return false;
}

bool inst_cel_matches(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    UErrorCode status = U_ZERO_ERROR;
    if (args[1].len == 0) /* which ICU refuses */
        return give_bool(out, true);
    UText *pattern = utext_openUTF8(NULL, args[1].u.str, args[1].len, &status);
    UText *text = utext_openUTF8(NULL, args[0].u.str, args[0].len, &status);
    URegularExpression *regex = U_SUCCESS(status) && !is_beyond_re2(args[1].u.str, args[1].len)
                                    ? uregex_openUText(pattern, 0, NULL, &status)
                                    : NULL;
    bool is_bad = !regex;
    bool is_match = false;
    if (regex) {
        uregex_setTimeLimit(regex, MATCH_TIME_LIMIT, &status);
        uregex_setUText(regex, text, &status);
        is_match = uregex_find(regex, 0, &status);
        uregex_close(regex);
    }
    utext_close(text);
    utext_close(pattern);
    if (is_bad)
        return inst_cel_fail(run, INST_CEL_INVALID_ARGUMENT, "error parsing regexp: %.*s",
                             (int)(args[1].len < 200 ? args[1].len : 200), args[1].u.str);
    if (U_FAILURE(status))
        return inst_cel_fail(run, INST_CEL_TOO_COSTLY, "the regular expression takes too long");
    return inst_cel_spend(run, 16 + args[0].len / 16) && give_bool(out, is_match);
}

/* ---- positions ---- */

bool inst_cel_char_at(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    int64_t count = code_points(args[0].u.str, args[0].len), at = args[1].u.i;
    if (at < 0 || at > count)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR,
                             "charAt failure: Index out of range: %lld", (long long)at);
    size_t from = byte_of(&args[0], at), to = from;
    if (at < count)
        inst_text_next(args[0].u.str, args[0].len, &to);
    *out = inst_cel_text(args[0].u.str + from, to - from);
    return inst_cel_spend(run, args[0].len / 64);
}

bool inst_cel_index_of(struct inst_cel_run *run, const struct inst_cel_value *args,
                       struct inst_cel_value *out) {
    int64_t from = args[2].tag == INST_CEL_V_INT ? args[2].u.i : 0;
    if (from < 0 || from > code_points(args[0].u.str, args[0].len))
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR,
                             "indexOf failure: Offset out of range: %lld", (long long)from);
    size_t start = byte_of(&args[0], from);
    const char *found =
        find(args[0].u.str + start, args[0].len - start, args[1].u.str, args[1].len);
    *out = inst_cel_int(found ? code_points(args[0].u.str, (size_t)(found - args[0].u.str)) : -1);
    return inst_cel_spend(run, args[0].len / 64);
}

bool inst_cel_last_index_of(struct inst_cel_run *run, const struct inst_cel_value *args,
                            struct inst_cel_value *out) {
    int64_t count = code_points(args[0].u.str, args[0].len);
    int64_t from = args[2].tag == INST_CEL_V_INT ? args[2].u.i : count;
    if (from < 0 || from > count)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR,
                             "lastIndexOf failure: Offset out of range: %lld", (long long)from);
    *out = inst_cel_int(-1);
    size_t last = byte_of(&args[0], from);
    for (size_t at = last + 1; at-- > 0;) {
        bool is_start = at == args[0].len || ((unsigned char)args[0].u.str[at] & 0xc0) != 0x80;
        if (is_start && at + args[1].len <= args[0].len &&
            (args[1].len == 0 || memcmp(args[0].u.str + at, args[1].u.str, args[1].len) == 0)) {
            *out = inst_cel_int(code_points(args[0].u.str, at));
            break;
        }
    }
    return inst_cel_spend(run, args[0].len / 16);
}

bool inst_cel_substring(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    int64_t count = code_points(args[0].u.str, args[0].len), from = args[1].u.i;
    int64_t to = args[2].tag == INST_CEL_V_INT ? args[2].u.i : count;
    if (from < 0 || to > count || from > to)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR,
                             "substring failure: Range [%lld, %lld) out of bounds", (long long)from,
                             (long long)to);
    size_t start = byte_of(&args[0], from), end = byte_of(&args[0], to);
    *out = inst_cel_text(args[0].u.str + start, end - start);
    return inst_cel_spend(run, args[0].len / 64);
}

/* ---- taking apart and putting together ---- */

/* Where the next piece of text ends, and where the one behind it starts: before `part`, or behind
 * one code point when that is empty. false: there is no part any more. */
static bool next_piece(const struct inst_cel_value *text, const struct inst_cel_value *part,
                       size_t from, size_t *end, size_t *next) {
    if (part->len == 0) {
        *end = from;
        if (from < text->len)
            inst_text_next(text->u.str, text->len, end);
        *next = *end;
        return *end < text->len;
    }
    const char *found = memmem(text->u.str + from, text->len - from, part->u.str, part->len);
    if (!found)
        return false;
    *end = (size_t)(found - text->u.str);
    *next = *end + part->len;
    return true;
}

bool inst_cel_replace(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    int64_t left = args[3].tag == INST_CEL_V_INT ? args[3].u.i : -1;
    const struct inst_cel_value *text = &args[0], *part = &args[1], *with = &args[2];
    struct inst_buf buf;
    size_t from = 0, end, next;
    inst_buf_init(&buf);
    if (part->len == 0 && left != 0) { /* also in front of the first */
        inst_buf_add(&buf, with->u.str, with->len);
        left -= left > 0;
    }
    while (left != 0 && buf.len <= INST_CEL_MAX_TEXT) {
        bool found = next_piece(text, part, from, &end, &next);
        if (!found && (part->len > 0 || from == text->len))
            break;
        inst_buf_add(&buf, text->u.str + from, end - from);
        inst_buf_add(&buf, with->u.str, with->len);
        from = next;
        left -= left > 0;
    }
    inst_buf_add(&buf, text->u.str + from, text->len - from);
    return inst_cel_take_text(run, &buf, INST_CEL_V_STRING, out);
}

bool inst_cel_split(struct inst_cel_run *run, const struct inst_cel_value *args,
                    struct inst_cel_value *out) {
    int64_t limit = args[2].tag == INST_CEL_V_INT ? args[2].u.i : -1;
    const struct inst_cel_value *text = &args[0], *part = &args[1];
    size_t from = 0, end = 0, next = 0, most = 1;
    for (size_t at = 0; next_piece(text, part, at, &end, &next); at = next)
        most++;
    if (limit >= 0 && (uint64_t)limit < most)
        most = (size_t)limit;
    if (part->len == 0 && text->len == 0)
        most = 0;
    struct inst_cel_value *items = inst_cel_new_items(run, most);
    if (!items)
        return false;
    for (size_t i = 0; i < most; i++) {
        bool is_last = i + 1 == most || !next_piece(text, part, from, &end, &next);
        items[i] = inst_cel_text(text->u.str + from, (is_last ? text->len : end) - from);
        from = next;
    }
    *out = (struct inst_cel_value){.tag = INST_CEL_V_LIST, .len = (uint32_t)most, .u.items = items};
    return true;
}

bool inst_cel_join(struct inst_cel_run *run, const struct inst_cel_value *args,
                   struct inst_cel_value *out) {
    struct inst_buf buf;
    uint32_t count = inst_cel_count(&args[0]);
    inst_buf_init(&buf);
    for (uint32_t i = 0; i < count && buf.len <= INST_CEL_MAX_TEXT; i++) {
        struct inst_cel_value item = inst_cel_element(&args[0], i);
        if (item.tag != INST_CEL_V_STRING) {
            inst_buf_free(&buf);
            return inst_cel_fail(run, INST_CEL_OVERLOAD_NOT_FOUND,
                                 "No matching overload for function 'join'. Overload candidates: "
                                 "list_join");
        }
        if (i && args[1].tag == INST_CEL_V_STRING)
            inst_buf_add(&buf, args[1].u.str, args[1].len);
        inst_buf_add(&buf, item.u.str, item.len);
    }
    return inst_cel_take_text(run, &buf, INST_CEL_V_STRING, out);
}

static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

bool inst_cel_trim(struct inst_cel_run *run, const struct inst_cel_value *args,
                   struct inst_cel_value *out) {
    size_t from = args[0].len, to = 0;
    for (size_t at = 0; at < args[0].len;) {
        size_t start = at;
        if (is_space(inst_text_next(args[0].u.str, args[0].len, &at)))
            continue;
        if (from > start)
            from = start;
        to = at;
    }
    *out = inst_cel_text(args[0].u.str + (to ? from : 0), to ? to - from : 0);
    return inst_cel_spend(run, args[0].len / 64);
}

static bool change_case(struct inst_cel_run *run, const struct inst_cel_value *text, char first,
                        struct inst_cel_value *out) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (uint32_t i = 0; i < text->len; i++) {
        char c = text->u.str[i];
        inst_buf_add_char(&buf, c >= first && c < first + 26 ? (char)(c ^ 0x20) : c);
    }
    return inst_cel_take_text(run, &buf, INST_CEL_V_STRING, out);
}

bool inst_cel_lower(struct inst_cel_run *run, const struct inst_cel_value *args,
                    struct inst_cel_value *out) {
    return change_case(run, &args[0], 'A', out);
}

bool inst_cel_upper(struct inst_cel_run *run, const struct inst_cel_value *args,
                    struct inst_cel_value *out) {
    return change_case(run, &args[0], 'a', out);
}
