#include "base/json.h"

#include "base/date.h"
#include "base/number.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

/*
 * Reading.
 *
 * The text is copied to the arena once and strings are unescaped in place there, which never makes
 * them longer. Behind the copy stand PADDING zeros: no character of any token, so nothing below
 * checks for the end before it looks, and a word can be read at any position.
 *
 * Values of open arrays and objects wait on one stack; closing copies them to the arena:
 *
 *     [1,{"a":2,"b":     stack:  1 | "a",2 | "b",...
 */

enum { PADDING = 8 };

struct reader {
    struct inst_arena *arena;
    const char *start;
    const char *end;
    char *at;
    char *stack; /* values and members of what is still open */
    size_t stack_len;
    size_t stack_cap;
    const char *problem; /* what was wrong, at `at` */
    bool nomem;
};

static bool read_value(struct reader *r, struct inst_value *out, int depth);

static bool refuse(struct reader *r, const char *problem) {
    r->problem = problem;
    return false;
}

static bool out_of_memory(struct reader *r) {
    r->nomem = true;
    return false;
}

static bool push(struct reader *r, const void *item, size_t size) {
    if (r->stack_cap - r->stack_len < size) {
        size_t cap = r->stack_cap ? r->stack_cap * 2 : 2048;
        char *stack = realloc(r->stack, cap);
        if (!stack) {
            return out_of_memory(r);
        }
        r->stack = stack;
        r->stack_cap = cap;
    }
    memcpy(r->stack + r->stack_len, item, size);
    r->stack_len += size;
    return true;
}

static void skip_space(struct reader *r) {
    while (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t') {
        r->at++;
    }
}

/* Nonzero bits mark bytes that end a plain run: `"`, `\`, controls and everything not ASCII. Bytes
 * above the first marked one may be marked wrongly (a borrow), the first never is. */
static uint64_t find_special(uint64_t word) {
    uint64_t quote = word ^ ONES * '"';
    uint64_t slash = word ^ ONES * '\\';
    return (word | (word - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & HIGHS;
}

static char *skip_plain(char *at) {
    for (;;) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        uint64_t special = find_special(word);
        if (special) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + (__builtin_ctzll(special) >> 3);
#else
            while ((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
                   *at != '\\') {
                at++;
            }
            return at;
#endif
        }
        at += sizeof(word);
    }
}

static bool read_hex4(const char *s, uint32_t *out) {
    uint32_t num = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        char lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9') {
            num = num << 4 | (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            num = num << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = num;
    return true;
}

/* At a backslash; writes what it stands for to *to. */
static bool read_escape(struct reader *r, char **to) {
    static const char plain[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    unsigned char kind = (unsigned char)r->at[1];
    if (plain[kind]) {
        *(*to)++ = plain[kind];
        r->at += 2;
        return true;
    }
    uint32_t c;
    if (kind != 'u' || !read_hex4(r->at + 2, &c)) {
        return refuse(r, "bad escape");
    }
    r->at += 6;
    uint32_t low;
    if (c >= 0xD800 && c <= 0xDBFF && r->at[0] == '\\' && r->at[1] == 'u' &&
        read_hex4(r->at + 2, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        r->at += 6;
    }
    *to += inst_text_put(*to, c);
    return true;
}

/* At the first byte of a sequence that is not ASCII. */
static bool skip_sequence(struct reader *r) {
    size_t pos = 0;
    uint32_t c = inst_text_next(r->at, (size_t)(r->end - r->at), &pos);
    if (pos == 1 || (c >= 0xD800 && c <= 0xDFFF)) {
        return refuse(r, "broken UTF-8");
    }
    r->at += pos;
    return true;
}

/* Behind the opening quote; leaves behind the closing one. */
static bool read_string(struct reader *r, const char **str, size_t *len) {
    char *start = r->at;
    char *to = start;  /* end of what is unescaped */
    char *run = start; /* what follows it and still has to move there */
    for (;;) {
        r->at = skip_plain(r->at);
        unsigned char c = (unsigned char)*r->at;
        if (c >= 0x80) {
            if (!skip_sequence(r)) {
                return false;
            }
            continue;
        }
        if (c < 0x20) {
            return refuse(r, r->at >= r->end ? "unterminated string"
                                             : "control character in a string");
        }
        size_t n = (size_t)(r->at - run);
        if (to != run) {
            memmove(to, run, n);
        }
        to += n;
        if (c == '"') {
            r->at++;
            break;
        }
        if (!read_escape(r, &to)) {
            return false;
        }
        run = r->at;
    }
    *str = start;
    *len = (size_t)(to - start);
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool read_digits(struct reader *r) {
    if (!is_digit(*r->at)) {
        return refuse(r, "expected a digit");
    }
    while (is_digit(*r->at)) {
        r->at++;
    }
    return true;
}

static bool read_number(struct reader *r, struct inst_value *out) {
    const char *start = r->at;
    bool negative = *r->at == '-';
    r->at += negative;
    const char *digits = r->at;
    int64_t whole = 0;
    while (is_digit(*r->at) && r->at - digits < 15) {
        whole = whole * 10 + (*r->at++ - '0');
    }
    if (r->at == digits) {
        return refuse(r, "expected a digit");
    }
    if (*digits == '0' && r->at - digits > 1) {
        r->at = (char *)digits + 1;
        return refuse(r, "a number with a leading zero");
    }
    if (!is_digit(*r->at) && *r->at != '.' && *r->at != 'e' && *r->at != 'E') {
        *out = inst_number(negative ? -(double)whole : (double)whole);
        return true;
    }
    while (is_digit(*r->at)) {
        r->at++;
    }
    if (*r->at == '.') {
        r->at++;
        if (!read_digits(r)) {
            return false;
        }
    }
    if (*r->at == 'e' || *r->at == 'E') {
        r->at++;
        r->at += *r->at == '+' || *r->at == '-';
        if (!read_digits(r)) {
            return false;
        }
    }
    double num = inst_number_parse(start, (size_t)(r->at - start));
    if (isinf(num)) {
        r->at = (char *)start;
        return refuse(r, "number out of range");
    }
    *out = inst_number(num);
    return true;
}

static bool close_array(struct reader *r, size_t base, struct inst_value *out) {
    size_t size = r->stack_len - base;
    struct inst_value *items = inst_arena_alloc(r->arena, size);
    if (!items) {
        return out_of_memory(r);
    }
    if (size) {
        memcpy(items, r->stack + base, size);
    }
    r->stack_len = base;
    *out = inst_array(items, size / sizeof(*items));
    return true;
}

static bool read_array(struct reader *r, struct inst_value *out, int depth) {
    size_t base = r->stack_len;
    r->at++;
    skip_space(r);
    if (*r->at == ']') {
        r->at++;
        return close_array(r, base, out);
    }
    for (;;) {
        struct inst_value item;
        if (!read_value(r, &item, depth) || !push(r, &item, sizeof(item))) {
            return false;
        }
        skip_space(r);
        char c = *r->at;
        if (c != ',' && c != ']') {
            return refuse(r, "expected , or ]");
        }
        r->at++;
        if (c == ']') {
            return close_array(r, base, out);
        }
        skip_space(r);
    }
}

static bool close_object(struct reader *r, size_t base, struct inst_value *out) {
    size_t count = (r->stack_len - base) / sizeof(struct inst_member);
    const char *at = r->stack_len > base ? r->stack + base : NULL;
    struct inst_object_builder b;
    inst_object_begin(&b, r->arena);
    inst_object_reserve(&b, count);
    for (size_t i = 0; i < count && !b.failed; i++) {
        struct inst_member member;
        memcpy(&member, at + i * sizeof(member), sizeof(member));
        inst_object_add(&b, member.key, member.key_len, member.value);
    }
    r->stack_len = base;
    return inst_object_end(&b, out) || out_of_memory(r);
}

static bool read_member(struct reader *r, int depth) {
    struct inst_member member;
    if (*r->at != '"') {
        return refuse(r, "expected a key");
    }
    r->at++;
    if (!read_string(r, &member.key, &member.key_len)) {
        return false;
    }
    skip_space(r);
    if (*r->at != ':') {
        return refuse(r, "expected :");
    }
    r->at++;
    skip_space(r);
    return read_value(r, &member.value, depth) && push(r, &member, sizeof(member));
}

static bool read_object(struct reader *r, struct inst_value *out, int depth) {
    size_t base = r->stack_len;
    r->at++;
    skip_space(r);
    if (*r->at == '}') {
        r->at++;
        return close_object(r, base, out);
    }
    for (;;) {
        if (!read_member(r, depth)) {
            return false;
        }
        skip_space(r);
        char c = *r->at;
        if (c != ',' && c != '}') {
            return refuse(r, "expected , or }");
        }
        r->at++;
        if (c == '}') {
            return close_object(r, base, out);
        }
        skip_space(r);
    }
}

static bool read_word(struct reader *r, const char *word, struct inst_value value,
                      struct inst_value *out) {
    size_t n = strlen(word);
    if (memcmp(r->at, word, n) != 0) {
        return refuse(r, "expected a value");
    }
    r->at += n;
    *out = value;
    return true;
}

static bool read_value(struct reader *r, struct inst_value *out, int depth) {
    switch (*r->at) {
    case '"': {
        const char *str;
        size_t len;
        r->at++;
        if (!read_string(r, &str, &len)) {
            return false;
        }
        *out = inst_string(str, len);
        return true;
    }
    case '[':
    case '{':
        if (depth == INST_JSON_MAX_DEPTH) {
            return refuse(r, "nested too deeply");
        }
        return *r->at == '[' ? read_array(r, out, depth + 1) : read_object(r, out, depth + 1);
    case 't':
        return read_word(r, "true", inst_bool(true), out);
    case 'f':
        return read_word(r, "false", inst_bool(false), out);
    case 'n':
        return read_word(r, "null", inst_null(), out);
    default:
        if (*r->at == '-' || is_digit(*r->at)) {
            return read_number(r, out);
        }
        return refuse(r, "expected a value");
    }
}

static bool read_text(struct reader *r, struct inst_value *out) {
    skip_space(r);
    if (!read_value(r, out, 0)) {
        return false;
    }
    skip_space(r);
    return r->at == r->end || refuse(r, "something behind the value");
}

enum inst_status inst_json_parse(struct inst_arena *arena, const char *bytes, size_t len,
                                 struct inst_value *out, struct inst_err *err) {
    if (len > INST_JSON_MAX_BYTES) {
        return inst_err_set(err, "param-malformed", 400, "Invalid JSON: longer than %u bytes",
                            INST_JSON_MAX_BYTES);
    }
    struct inst_arena_mark mark = inst_arena_mark(arena);
    char *copy = inst_arena_alloc(arena, len + PADDING);
    if (!copy) {
        return inst_err_nomem(err);
    }
    if (len) {
        memcpy(copy, bytes, len);
    }
    memset(copy + len, 0, PADDING);
    struct reader r = {.arena = arena, .start = copy, .end = copy + len, .at = copy};
    struct inst_value value;
    bool read = read_text(&r, &value);
    free(r.stack);
    if (read) {
        *out = value;
        return INST_OK;
    }
    size_t offset = (size_t)(r.at - r.start);
    inst_arena_rewind(arena, mark);
    if (r.nomem) {
        return inst_err_nomem(err);
    }
    return inst_err_set(err, "param-malformed", 400, "Invalid JSON at byte %zu: %s", offset,
                        r.problem);
}

/*
 * Writing.
 */

/* Bytes that stop the copying of a plain run: `"`, `\`, controls, everything not ASCII. */
static size_t plain_len(const char *str, size_t len) {
    size_t at = 0;
    uint64_t word;
    for (; len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, str + at, sizeof(word));
        if (find_special(word)) {
            break;
        }
    }
    while (at < len && (unsigned char)str[at] >= 0x20 && (unsigned char)str[at] < 0x80 &&
           str[at] != '"' && str[at] != '\\') {
        at++;
    }
    return at;
}

static void write_escape(struct inst_buf *buf, uint32_t unit) {
    static const char short_form[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };
    if (unit < 128 && short_form[unit]) {
        char escape[2] = {'\\', short_form[unit]};
        inst_buf_add(buf, escape, sizeof(escape));
        return;
    }
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\',
                      'u',
                      digits[unit >> 12],
                      digits[unit >> 8 & 15],
                      digits[unit >> 4 & 15],
                      digits[unit & 15]};
    inst_buf_add(buf, escape, sizeof(escape));
}

/* Moves *pos behind one character that is no plain one. */
static void write_special(struct inst_buf *buf, const char *str, size_t len, size_t *pos) {
    uint32_t c = inst_text_next(str, len, pos);
    if (c >= 0xD800 && c <= 0xDBFF && *pos < len) {
        /* Two halves that were put side by side are a pair to JavaScript. */
        size_t behind = *pos;
        uint32_t low = inst_text_next(str, len, &behind);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            *pos = behind;
        }
    }
    if (c < 0x80 || (c >= 0xD800 && c <= 0xDFFF)) {
        write_escape(buf, c);
        return;
    }
    char utf8[4];
    inst_buf_add(buf, utf8, inst_text_put(utf8, c));
}

void inst_json_write_string(struct inst_buf *buf, const char *str, size_t len) {
    if (!inst_buf_reserve(buf, len + 2)) {
        return;
    }
    inst_buf_add_char(buf, '"');
    size_t at = 0;
    while (at < len) {
        size_t n = plain_len(str + at, len - at);
        inst_buf_add(buf, str + at, n);
        at += n;
        if (at < len) {
            write_special(buf, str, len, &at);
        }
    }
    inst_buf_add_char(buf, '"');
}

static void write_array(struct inst_buf *buf, const struct inst_value *v) {
    inst_buf_add_char(buf, '[');
    for (uint32_t i = 0; i < v->len && !buf->failed; i++) {
        if (i) {
            inst_buf_add_char(buf, ',');
        }
        inst_json_write(buf, &v->u.items[i]);
    }
    inst_buf_add_char(buf, ']');
}

static void write_object(struct inst_buf *buf, const struct inst_value *v) {
    bool first = true;
    inst_buf_add_char(buf, '{');
    for (uint32_t i = 0; i < v->len && !buf->failed; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (m->value.tag == INST_UNDEFINED) {
            continue;
        }
        if (!first) {
            inst_buf_add_char(buf, ',');
        }
        first = false;
        inst_json_write_string(buf, m->key, m->key_len);
        inst_buf_add_char(buf, ':');
        inst_json_write(buf, &m->value);
    }
    inst_buf_add_char(buf, '}');
}

static void write_number(struct inst_buf *buf, double num) {
    char text[INST_NUMBER_TEXT_MAX];
    if (isfinite(num)) {
        inst_buf_add(buf, text, inst_number_text(num, text));
    } else {
        inst_buf_add_str(buf, "null");
    }
}

static void write_date(struct inst_buf *buf, double ms) {
    char text[INST_DATE_TEXT_MAX];
    size_t n = inst_date_iso(ms, text);
    if (n) {
        inst_json_write_string(buf, text, n);
    } else {
        inst_buf_add_str(buf, "null");
    }
}

void inst_json_write(struct inst_buf *buf, const struct inst_value *v) {
    switch (v->tag) {
    case INST_FALSE:
        inst_buf_add_str(buf, "false");
        break;
    case INST_TRUE:
        inst_buf_add_str(buf, "true");
        break;
    case INST_NUMBER:
        write_number(buf, v->u.num);
        break;
    case INST_STRING:
        inst_json_write_string(buf, v->u.str, v->len);
        break;
    case INST_ARRAY:
        write_array(buf, v);
        break;
    case INST_OBJECT:
        write_object(buf, v);
        break;
    case INST_DATE:
        write_date(buf, v->u.num);
        break;
    default:
        inst_buf_add_str(buf, "null");
        break;
    }
}

static void new_line(struct inst_buf *buf, unsigned level) {
    inst_buf_add_char(buf, '\n');
    for (unsigned i = 0; i < level; i++) {
        inst_buf_add_str(buf, "  ");
    }
}

/* Members that are written: those that are not UNDEFINED. */
static bool is_empty(const struct inst_value *v) {
    if (v->tag == INST_ARRAY) {
        return v->len == 0;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->u.members[i].value.tag != INST_UNDEFINED) {
            return false;
        }
    }
    return true;
}

void inst_json_write_indented(struct inst_buf *buf, const struct inst_value *v, unsigned level) {
    bool is_object = v->tag == INST_OBJECT;
    bool first = true;
    if ((!is_object && v->tag != INST_ARRAY) || is_empty(v)) {
        inst_json_write(buf, v);
        return;
    }
    inst_buf_add_char(buf, is_object ? '{' : '[');
    for (uint32_t i = 0; i < v->len && !buf->failed; i++) {
        const struct inst_value *item = is_object ? &v->u.members[i].value : &v->u.items[i];
        if (is_object && item->tag == INST_UNDEFINED) {
            continue;
        }
        if (!first) {
            inst_buf_add_char(buf, ',');
        }
        first = false;
        new_line(buf, level + 1);
        if (is_object) {
            inst_json_write_string(buf, v->u.members[i].key, v->u.members[i].key_len);
            inst_buf_add_str(buf, ": ");
        }
        inst_json_write_indented(buf, item, level + 1);
    }
    new_line(buf, level);
    inst_buf_add_char(buf, is_object ? '}' : ']');
}
