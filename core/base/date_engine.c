/*
 * The text is read as tokens. First the ISO forms are tried; whatever they leave (or what they
 * refuse) goes on with the old free-form rules and the numbers read so far, as V8 does it.
 */
#include "base/date_engine.h"

#include "base/date.h"
#include "base/text.h"

#include <math.h>

#define NONE INT32_MAX
#define MS_PER_DAY 86400000.0
#define MAX_TIME_MS 8.64e15
#define MAX_YEAR 1000000.0
#define MAX_MONTH 10000000.0
/* Digits of a number past these do not count. */
#define MAX_DIGITS 9
#define DAY_FIELDS 3
#define TIME_FIELDS 4

/* ---- characters ---- */

struct reader {
    const struct inst_date_piece *pieces;
    size_t count;
    size_t piece;
    size_t pos;  /* in the piece, behind ch */
    uint32_t ch; /* 0 at the end; a NUL ends the text too */
};

static void read_char(struct reader *r) {
    while (r->piece < r->count && r->pos >= r->pieces[r->piece].len) {
        r->piece++;
        r->pos = 0;
    }
    if (r->piece == r->count) {
        r->ch = 0;
    } else {
        r->ch = inst_text_next(r->pieces[r->piece].text, r->pieces[r->piece].len, &r->pos);
    }
}

bool inst_date_is_space(uint32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

static bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }
static bool is_word_char(uint32_t c) { return c >= 'A' && !inst_date_is_space(c); }

/* ---- tokens ---- */

enum kind { T_INVALID, T_OTHER, T_NUMBER, T_SYMBOL, T_SPACE, T_WORD, T_END };
enum word { W_NONE, W_MONTH, W_AMPM, W_ZONE, W_TIME };

struct token {
    enum kind kind;
    enum word word; /* of a T_WORD */
    int value;      /* number, symbol character, or what the word stands for */
    int length;     /* characters of a number or word, counted no further than 1000 */
};

struct scanner {
    struct reader reader;
    struct token peek;
};

struct keyword {
    char prefix[4];
    int8_t word;
    int8_t value; /* month, hours to add, or hours east of UTC */
};

static const struct keyword keywords[] = {
    {"jan", W_MONTH, 1}, {"feb", W_MONTH, 2},  {"mar", W_MONTH, 3},  {"apr", W_MONTH, 4},
    {"may", W_MONTH, 5}, {"jun", W_MONTH, 6},  {"jul", W_MONTH, 7},  {"aug", W_MONTH, 8},
    {"sep", W_MONTH, 9}, {"oct", W_MONTH, 10}, {"nov", W_MONTH, 11}, {"dec", W_MONTH, 12},
    {"am", W_AMPM, 0},   {"pm", W_AMPM, 12},   {"ut", W_ZONE, 0},    {"utc", W_ZONE, 0},
    {"z", W_ZONE, 0},    {"gmt", W_ZONE, 0},   {"cdt", W_ZONE, -5},  {"cst", W_ZONE, -6},
    {"edt", W_ZONE, -4}, {"est", W_ZONE, -5},  {"mdt", W_ZONE, -6},  {"mst", W_ZONE, -7},
    {"pdt", W_ZONE, -7}, {"pst", W_ZONE, -8},  {"t", W_TIME, 0},
};

static struct token scan_number(struct reader *r) {
    struct token t = {.kind = T_NUMBER};
    int digits = 0;
    bool is_leading = true;
    for (; is_digit(r->ch); read_char(r)) {
        is_leading = is_leading && r->ch == '0';
        if (!is_leading && digits < MAX_DIGITS) {
            t.value = t.value * 10 + (int)(r->ch - '0');
            digits++;
        }
        t.length += t.length < 1000;
    }
    return t;
}

static struct token scan_word(struct reader *r) {
    struct token t = {.kind = T_WORD, .word = W_NONE};
    uint32_t prefix[3] = {0};
    for (; is_word_char(r->ch); read_char(r)) {
        if (t.length < 3) {
            prefix[t.length] = r->ch | 0x20;
        }
        t.length += t.length < 1000;
    }
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        const struct keyword *k = &keywords[i];
        /* Only the name of a month may be longer than its keyword. */
        if (prefix[0] == (uint32_t)k->prefix[0] && prefix[1] == (uint32_t)k->prefix[1] &&
            prefix[2] == (uint32_t)k->prefix[2] && (t.length <= 3 || k->word == W_MONTH)) {
            t.word = (enum word)k->word;
            t.value = k->value;
            return t;
        }
    }
    return t;
}

static void skip_parentheses(struct reader *r) {
    int open = 0;
    do {
        open += r->ch == '(';
        open -= r->ch == ')';
        read_char(r);
    } while (open > 0 && r->ch != 0);
}

static struct token scan(struct reader *r) {
    struct token t = {.kind = T_OTHER};
    uint32_t c = r->ch;
    if (c == 0) {
        t.kind = T_END;
        return t;
    }
    if (is_digit(c)) {
        return scan_number(r);
    }
    if (is_word_char(c)) {
        return scan_word(r);
    }
    if (c == '(') {
        skip_parentheses(r);
        return t;
    }
    if (c == ':' || c == '-' || c == '+' || c == '.' || c == ')') {
        t.kind = T_SYMBOL;
        t.value = (int)c;
    } else if (inst_date_is_space(c)) {
        t.kind = T_SPACE;
    }
    read_char(r);
    return t;
}

static struct token take(struct scanner *s) {
    struct token t = s->peek;
    s->peek = scan(&s->reader);
    return t;
}

static bool is_symbol(const struct token *t, char c) {
    return t->kind == T_SYMBOL && t->value == c;
}
static bool is_sign(const struct token *t) { return is_symbol(t, '+') || is_symbol(t, '-'); }
static bool is_fixed(const struct token *t, int length) {
    return t->kind == T_NUMBER && t->length == length;
}
static bool is_zulu(const struct token *t) {
    return t->kind == T_WORD && t->word == W_ZONE && t->length == 1;
}

static bool skip_symbol(struct scanner *s, char c) {
    if (!is_symbol(&s->peek, c)) {
        return false;
    }
    take(s);
    return true;
}

/* ---- what was read ---- */

struct parts {
    int day[DAY_FIELDS];
    int day_count;
    int named_month; /* 1..12 or NONE */
    bool is_iso;
    int time[TIME_FIELDS]; /* hour, minute, second, millisecond */
    int time_count;
    int hour_offset; /* 0 am, 12 pm, or NONE */
    int zone_sign;   /* 1, -1 or NONE */
    int zone_hour;   /* or NONE */
    int zone_minute; /* or NONE: still expected */
    bool has_number;
};

static bool between(int n, int low, int high) { return n >= low && n <= high; }

static bool add_day(struct parts *p, int n) {
    if (p->day_count == DAY_FIELDS) {
        return false;
    }
    p->day[p->day_count++] = n;
    return true;
}

static bool add_time(struct parts *p, int n) {
    if (p->time_count == TIME_FIELDS) {
        return false;
    }
    p->time[p->time_count++] = n;
    return true;
}

static void end_time(struct parts *p, int n) {
    add_time(p, n);
    while (add_time(p, 0)) {
    }
}

static bool time_expects(const struct parts *p, int n) {
    return (p->time_count == 1 && between(n, 0, 59)) || (p->time_count == 2 && between(n, 0, 59)) ||
           (p->time_count == 3 && between(n, 0, 999));
}

static void set_zone(struct parts *p, int hours) {
    p->zone_sign = hours < 0 ? -1 : 1;
    p->zone_hour = hours < 0 ? -hours : hours;
    p->zone_minute = 0;
}

/* The first three digits of a fraction. Leading zeros are not among the digits that the number
 * kept, so a fraction of more than nine digits that starts with zeros comes out too large, as in
 * the engine. */
static int milliseconds(const struct token *t) {
    int n = t->value;
    int length = t->length > MAX_DIGITS ? MAX_DIGITS : t->length;
    for (; length < 3; length++) {
        n *= 10;
    }
    for (; length > 3; length--) {
        n /= 10;
    }
    return n;
}

/* ---- ISO ---- */

static struct token invalid_token(void) { return (struct token){.kind = T_INVALID}; }
static struct token end_token(void) { return (struct token){.kind = T_END}; }

static bool iso_two_digits(struct scanner *s, int low, int high, int *out) {
    if (!is_fixed(&s->peek, 2) || !between(s->peek.value, low, high)) {
        return false;
    }
    *out = take(s).value;
    return true;
}

/* HH:mm[:ss[.f+]] behind the T. */
static bool iso_time(struct scanner *s, struct parts *p) {
    int n, rest_max;
    if (!iso_two_digits(s, 0, 24, &n)) {
        return false;
    }
    rest_max = n == 24 ? 0 : 59;
    add_time(p, n);
    if (!skip_symbol(s, ':') || !iso_two_digits(s, 0, rest_max, &n)) {
        return false;
    }
    add_time(p, n);
    if (!skip_symbol(s, ':')) {
        return true;
    }
    if (!iso_two_digits(s, 0, rest_max, &n)) {
        return false;
    }
    add_time(p, n);
    if (!skip_symbol(s, '.')) {
        return true;
    }
    if (s->peek.kind != T_NUMBER || (rest_max == 0 && s->peek.value > 0)) {
        return false;
    }
    add_time(p, milliseconds(&s->peek));
    take(s);
    return true;
}

/* Nothing, Z, ±HH:mm or ±HHmm. */
static bool iso_zone(struct scanner *s, struct parts *p) {
    if (is_zulu(&s->peek)) {
        take(s);
        set_zone(p, 0);
        return true;
    }
    if (!is_sign(&s->peek)) {
        return true;
    }
    p->zone_sign = take(s).value == '+' ? 1 : -1;
    if (is_fixed(&s->peek, 4)) {
        int n = take(s).value;
        p->zone_hour = n / 100;
        p->zone_minute = n % 100;
        return between(p->zone_hour, 0, 23) && between(p->zone_minute, 0, 59);
    }
    return iso_two_digits(s, 0, 23, &p->zone_hour) && skip_symbol(s, ':') &&
           iso_two_digits(s, 0, 59, &p->zone_minute);
}

/* The year; false: *out is the token that the old rules go on with. */
static bool iso_year(struct scanner *s, struct parts *p, struct token *out) {
    if (is_sign(&s->peek)) {
        struct token sign = take(s);
        *out = sign;
        if (!is_fixed(&s->peek, 6)) {
            return false;
        }
        int year = take(s).value;
        if (sign.value == '-' && year == 0) {
            return false;
        }
        return add_day(p, sign.value == '-' ? -year : year);
    }
    if (!is_fixed(&s->peek, 4)) {
        *out = take(s);
        return false;
    }
    return add_day(p, take(s).value);
}

/* T_END: all was ISO. T_INVALID: no date. Else the token that the old rules go on with. */
static struct token parse_iso(struct scanner *s, struct parts *p) {
    struct token rest;
    int n;
    if (!iso_year(s, p, &rest)) {
        return rest;
    }
    if (skip_symbol(s, '-')) {
        if (!iso_two_digits(s, 1, 12, &n)) {
            return take(s);
        }
        add_day(p, n);
        if (skip_symbol(s, '-')) {
            if (!iso_two_digits(s, 1, 31, &n)) {
                return take(s);
            }
            add_day(p, n);
        }
    }
    if (s->peek.kind == T_WORD && s->peek.word == W_TIME) {
        take(s);
        if (!iso_time(s, p) || !iso_zone(s, p) || s->peek.kind != T_END) {
            return invalid_token();
        }
    } else if (s->peek.kind != T_END) {
        return take(s);
    }
    if (p->zone_hour == NONE && p->time_count == 0) {
        set_zone(p, 0);
    }
    p->is_iso = true;
    return end_token();
}

/* ---- the old rules ---- */

static bool old_number(struct scanner *s, struct parts *p, int n) {
    p->has_number = true;
    if (skip_symbol(s, ':')) {
        if (skip_symbol(s, ':')) {
            return p->time_count == 0 && add_time(p, n) && add_time(p, 0);
        }
        if (!add_time(p, n)) {
            return false;
        }
        skip_symbol(s, '.');
        return true;
    }
    if (skip_symbol(s, '.') && time_expects(p, n)) {
        add_time(p, n);
        if (s->peek.kind != T_NUMBER) {
            return false;
        }
        end_time(p, milliseconds(&s->peek));
        take(s);
        return true;
    }
    if (p->zone_hour != NONE && p->zone_minute == NONE && between(n, 0, 59)) {
        p->zone_minute = n;
        return true;
    }
    if (time_expects(p, n)) {
        end_time(p, n);
        return s->peek.kind == T_END || s->peek.kind == T_SPACE || is_zulu(&s->peek) ||
               is_sign(&s->peek);
    }
    if (!add_day(p, n)) {
        return false;
    }
    skip_symbol(s, '-');
    return true;
}

static bool old_word(struct scanner *s, struct parts *p, const struct token *t) {
    if (t->word == W_AMPM && p->time_count > 0) {
        p->hour_offset = t->value;
        return true;
    }
    if (t->word == W_MONTH) {
        p->named_month = t->value;
        skip_symbol(s, '-');
        return true;
    }
    if (t->word == W_ZONE && p->has_number) {
        set_zone(p, t->value);
        return true;
    }
    return !p->has_number && s->peek.kind != T_NUMBER;
}

static bool old_offset(struct scanner *s, struct parts *p, int sign) {
    int n = 0, length = 0;
    p->zone_sign = sign == '-' ? -1 : 1;
    if (s->peek.kind == T_NUMBER) {
        struct token t = take(s);
        n = t.value;
        length = t.length;
    }
    p->has_number = true;
    if (is_symbol(&s->peek, ':')) {
        p->zone_hour = n;
        p->zone_minute = NONE;
        return true;
    }
    if (length == 1 || length == 2) {
        p->zone_hour = n;
        p->zone_minute = 0;
        return true;
    }
    p->zone_hour = n / 100;
    p->zone_minute = n % 100;
    return length == 3 || length == 4;
}

static bool old_token(struct scanner *s, struct parts *p, const struct token *t) {
    bool is_utc = p->zone_hour == 0 && p->zone_minute == 0;
    if (t->kind == T_NUMBER) {
        return old_number(s, p, t->value);
    }
    if (t->kind == T_WORD) {
        return old_word(s, p, t);
    }
    if (is_sign(t) && (is_utc || p->time_count > 0)) {
        return old_offset(s, p, t->value);
    }
    return !((is_sign(t) || is_symbol(t, ')')) && p->has_number);
}

/* ---- the parts as an instant ---- */

static bool day_of(struct parts *p, int *year, int *month, int *day) {
    if (p->day_count == 0) {
        return false;
    }
    while (add_day(p, 1)) {
    }
    if (p->named_month != NONE) {
        bool year_first = !between(p->day[0], 1, 31);
        *month = p->named_month;
        *year = p->day[year_first ? 0 : 1];
        *day = p->day[year_first ? 1 : 0];
    } else if (p->is_iso || !between(p->day[0], 1, 31)) {
        *year = p->day[0];
        *month = p->day[1];
        *day = p->day[2];
    } else {
        *month = p->day[0];
        *day = p->day[1];
        *year = p->day[2];
    }
    if (!p->is_iso && between(*year, 0, 99)) {
        *year += *year < 50 ? 2000 : 1900;
    }
    return between(*month, 1, 12) && between(*day, 1, 31);
}

static bool time_of(struct parts *p, double *ms) {
    int *t = p->time;
    while (add_time(p, 0)) {
    }
    if (p->hour_offset != NONE) {
        if (!between(t[0], 0, 12)) {
            return false;
        }
        t[0] = t[0] % 12 + p->hour_offset;
    }
    *ms = ((t[0] * 60.0 + t[1]) * 60.0 + t[2]) * 1000.0 + t[3];
    if (t[0] == 24 && t[1] == 0 && t[2] == 0 && t[3] == 0) {
        return true;
    }
    return between(t[0], 0, 23) && between(t[1], 0, 59) && between(t[2], 0, 59) &&
           between(t[3], 0, 999);
}

static bool zone_of(const struct parts *p, double *ms) {
    uint32_t hour = p->zone_hour == NONE ? 0 : (uint32_t)p->zone_hour;
    uint32_t minute = p->zone_minute == NONE ? 0 : (uint32_t)p->zone_minute;
    /* Wraps around as in the engine, where an hour of any length is read before a colon. */
    uint32_t seconds = hour * 3600u + minute * 60u;
    *ms = 0;
    if (p->zone_sign == NONE) {
        return true;
    }
    *ms = p->zone_sign * 1000.0 * seconds;
    return seconds <= INT32_MAX;
}

static double days_before_month(double year, int month) {
    static const int days[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    double before = 365 * (year - 1970) + floor((year - 1969) / 4) - floor((year - 1901) / 100) +
                    floor((year - 1601) / 400);
    bool is_leap = fmod(year, 4) == 0 && (fmod(year, 100) != 0 || fmod(year, 400) == 0);
    return before + days[month] + (is_leap && month > 1);
}

double inst_date_make(double year, double month, double day, double ms_of_day) {
    double whole;
    if (!(fabs(year) <= MAX_YEAR && fabs(month) <= MAX_MONTH && isfinite(day))) {
        return NAN;
    }
    year = trunc(year);
    month = trunc(month);
    whole = floor(month / 12);
    return (days_before_month(year + whole, (int)(month - whole * 12)) + trunc(day) - 1) *
               MS_PER_DAY +
           ms_of_day;
}

double inst_date_clip(double ms) { return fabs(ms) <= MAX_TIME_MS ? trunc(ms) + 0.0 : NAN; }

double inst_date_engine_pieces(const struct inst_date_piece *pieces, size_t count) {
    struct scanner s = {.reader = {.pieces = pieces, .count = count}};
    struct parts p = {.named_month = NONE,
                      .hour_offset = NONE,
                      .zone_sign = NONE,
                      .zone_hour = NONE,
                      .zone_minute = NONE};
    struct token t;
    int year, month, day;
    double time_ms, zone_ms;

    read_char(&s.reader);
    s.peek = scan(&s.reader);
    t = parse_iso(&s, &p);
    if (t.kind == T_INVALID) {
        return NAN;
    }
    p.has_number = p.day_count > 0;
    for (; t.kind != T_END; t = take(&s)) {
        if (!old_token(&s, &p, &t)) {
            return NAN;
        }
    }
    if (!day_of(&p, &year, &month, &day) || !time_of(&p, &time_ms) || !zone_of(&p, &zone_ms)) {
        return NAN;
    }
    return inst_date_clip(inst_date_make(year, month - 1, day, time_ms) - zone_ms);
}

double inst_date_engine_parse(const char *text, size_t len) {
    struct inst_date_piece piece = {text, len};
    return inst_date_engine_pieces(&piece, 1);
}
