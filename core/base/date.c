/*
 * The forms of date text that the official client knows, tried in a fixed order; the first that
 * gives a valid instant wins. NaN stands for "not this form".
 */
#include "base/date.h"

#include "base/date_engine.h"
#include "base/date_zones.h"
#include "base/js_text.h"
#include "base/json.h"
#include "base/number.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MS_PER_DAY 86400000.0

/* ---- reading text ---- */

struct span {
    const char *text;
    size_t len;
};

static struct span span_of(const char *text) { return (struct span){text, strlen(text)}; }

static struct span skip(struct span s, size_t n) { return (struct span){s.text + n, s.len - n}; }

static struct span first(struct span s, size_t n) { return (struct span){s.text, n}; }

static double engine(struct span a, struct span b, struct span c, struct span d) {
    struct inst_date_piece pieces[] = {
        {a.text, a.len}, {b.text, b.len}, {c.text, c.len}, {d.text, d.len}};
    return inst_date_engine_pieces(pieces, 4);
}

static double engine_with(struct span s, const char *tail) {
    return engine(s, span_of(tail), span_of(""), span_of(""));
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits at the start, no more than max. */
static size_t digits(struct span s, size_t max) {
    size_t n = 0;
    while (n < s.len && n < max && is_digit(s.text[n])) {
        n++;
    }
    return n;
}

static size_t find(struct span s, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.len; i++) {
        if (memcmp(s.text + i, what, n) == 0) {
            return i;
        }
    }
    return s.len;
}

/* Up to `separator` or the end; *rest is what follows it, its text NULL when there is none. */
static struct span split(struct span s, const char *separator, struct span *rest) {
    size_t at = find(s, separator);
    size_t n = strlen(separator);
    *rest = at < s.len ? skip(s, at + n) : (struct span){NULL, 0};
    return first(s, at);
}

/* A line terminator is what `.` of a JavaScript pattern does not match. */
static bool has_line_end(struct span s) {
    return find(s, "\n") < s.len || find(s, "\r") < s.len || find(s, "\xE2\x80\xA8") < s.len ||
           find(s, "\xE2\x80\xA9") < s.len;
}

static struct span trim(struct span s) {
    size_t pos = 0, start = 0, end;
    while (pos < s.len && inst_date_is_space(inst_text_next(s.text, s.len, &pos))) {
        start = pos;
    }
    end = start;
    pos = start;
    while (pos < s.len) {
        if (!inst_date_is_space(inst_text_next(s.text, s.len, &pos))) {
            end = pos;
        }
    }
    return first(skip(s, start), end - start);
}

/* Date.UTC, clipped: a year of 0 to 99 is one of the 1900s. */
static double date_utc(double year, double month, double day, double ms_of_day) {
    if (trunc(year) >= 0 && trunc(year) <= 99) {
        year = 1900 + trunc(year);
    }
    return inst_date_clip(inst_date_make(year, month, day, ms_of_day));
}

/* ---- the forms, numbered as in instaql.md 1.7 ---- */

/* 1: three numbers with . / or - between them. */
static double numbers_form(struct span s) {
    double part[3];
    for (int i = 0; i < 3; i++) {
        size_t n = digits(s, s.len);
        if (n == 0) {
            return NAN;
        }
        part[i] = inst_number_from_text(s.text, n);
        s = skip(s, n);
        if (i < 2) {
            if (s.len == 0 || !strchr("./-", s.text[0]) || s.text[0] == '\0') {
                return NAN;
            }
            s = skip(s, 1);
        }
    }
    if (s.len > 0 || part[0] <= 0 || part[1] <= 0 || part[2] <= 0) {
        return NAN;
    }
    if (part[0] > 999) {
        return date_utc(part[0], part[1] - 1, part[2], 0);
    }
    return date_utc(part[2], part[0] - 1, part[1], 0);
}

/* 2 and 7: the first two words as date and time in UTC, whatever follows them. */
static double two_words_form(struct span s) {
    struct span rest;
    struct span date = split(s, " ", &rest);
    /* A missing second word takes part as JavaScript writes it. */
    struct span time = rest.text ? split(rest, " ", &rest) : span_of("undefined");
    return engine(date, span_of("T"), time, span_of("Z"));
}

static bool is_word_run(struct span s, size_t at, size_t n) {
    for (size_t i = at; i < at + n; i++) {
        char c = s.text[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_') {
            return false;
        }
    }
    return true;
}

/* 3: `Wed Jul 09 2025`. */
static double weekday_form(struct span s) {
    double ms;
    if (s.len != 15 || s.text[3] != ' ' || s.text[7] != ' ' || s.text[10] != ' ' ||
        !is_word_run(s, 0, 3) || !is_word_run(s, 4, 3) || digits(skip(s, 8), 3) != 2 ||
        digits(skip(s, 11), 4) != 4) {
        return NAN;
    }
    ms = engine_with(s, " UTC");
    return floor(ms / MS_PER_DAY) * MS_PER_DAY;
}

/* `h:mm:ss AM|PM` anywhere in s, as milliseconds of the day. */
static double clock_ms(struct span s) {
    for (; s.len > 0; s = skip(s, 1)) {
        for (size_t n = digits(s, 2); n > 0; n--) {
            struct span t = skip(s, n);
            double hours, minutes, seconds;
            bool is_pm;
            if (t.len < 9 || t.text[0] != ':' || digits(skip(t, 1), 2) != 2 || t.text[3] != ':' ||
                digits(skip(t, 4), 2) != 2 ||
                (memcmp(t.text + 6, " AM", 3) != 0 && memcmp(t.text + 6, " PM", 3) != 0)) {
                continue;
            }
            is_pm = t.text[7] == 'P';
            hours = inst_number_from_text(s.text, n);
            minutes = inst_number_from_text(t.text + 1, 2);
            seconds = inst_number_from_text(t.text + 4, 2);
            if (is_pm && hours != 12) {
                hours += 12;
            } else if (!is_pm && hours == 12) {
                hours = 0;
            }
            return ((hours * 60 + minutes) * 60 + seconds) * 1000;
        }
    }
    return NAN;
}

/* 4: `M/D/YYYY, h:mm:ss AM`. */
static double us_form(struct span s) {
    struct span rest, field;
    struct span date = split(s, ", ", &rest);
    double part[3], time;
    if (!rest.text) {
        return NAN;
    }
    time = clock_ms(split(rest, ", ", &rest));
    for (int i = 0; i < 3; i++) {
        if (!date.text) {
            return NAN;
        }
        field = split(date, "/", &date);
        part[i] = inst_number_from_text(field.text, field.len);
    }
    return isnan(time) ? NAN : date_utc(part[2], part[0] - 1, part[1], time);
}

/* 5: any text as UTC. */
static double utc_form(struct span s) { return engine_with(s, "Z"); }

/* 6: an offset of hours without minutes behind a T. */
static double short_offset_form(struct span s) {
    struct span head;
    size_t at;
    if (s.len < 6 || digits(skip(s, s.len - 2), 2) != 2 ||
        (s.text[s.len - 3] != '+' && s.text[s.len - 3] != '-')) {
        return NAN;
    }
    head = first(s, s.len - 3);
    at = find(skip(head, 1), "T");
    /* Something must stand before and behind the T. */
    if (at + 2 >= head.len || has_line_end(head)) {
        return NAN;
    }
    return engine_with(s, ":00");
}

/* 8 and 12: any text, as the engine reads it. */
static double engine_form(struct span s) { return inst_date_engine_parse(s.text, s.len); }

/* 9: of PostgreSQL's special words only the one that needs no clock. */
static double special_form(struct span s) {
    return s.len == 5 && memcmp(s.text, "epoch", 5) == 0 ? 0 : NAN;
}

/* The zone whose name stands at the start of s. */
static const struct inst_date_zone *zone_at(struct span s) {
    for (size_t i = INST_DATE_ZONES; i-- > 0;) {
        const struct inst_date_zone *zone = &inst_date_zones[i];
        size_t n = strlen(zone->name);
        if (s.len >= n && memcmp(s.text, zone->name, n) == 0) {
            /* The first name of the table counts only at the end of the text: the official
             * client's pattern is anchored in its last alternative alone. */
            if (i > 0 || s.len == n) {
                return zone;
            }
        }
    }
    return NULL;
}

/* 10: the first zone abbreviation found is taken for Z. */
static double zone_form(struct span s) {
    for (size_t i = 0; i < s.len; i++) {
        const struct inst_date_zone *zone;
        if (s.text[i] < 'A' || s.text[i] > 'Z') {
            continue;
        }
        zone = zone_at(skip(s, i));
        if (zone) {
            double ms =
                engine(first(s, i), span_of("Z"), skip(s, i + strlen(zone->name)), span_of(""));
            return inst_date_clip(ms - zone->minutes * 60000.0);
        }
    }
    return NAN;
}

/* One or two digits at the start of *s, padded into out; false when there are none. */
static bool padded(struct span *s, char out[2]) {
    size_t n = digits(*s, 2);
    if (n == 0) {
        return false;
    }
    out[0] = n == 2 ? s->text[0] : '0';
    out[1] = s->text[n - 1];
    *s = skip(*s, n);
    return true;
}

static bool skip_char(struct span *s, const char *allowed) {
    if (s->len == 0 || s->text[0] == '\0' || !strchr(allowed, s->text[0])) {
        return false;
    }
    *s = skip(*s, 1);
    return true;
}

/* 11: `Y-M-D[T ]h[:m[:s]]rest` with fields of one digit padded. */
static double padding_form(struct span s) {
    struct span year = first(s, digits(s, s.len));
    char text[] = "-00-00T00:00:00";
    size_t len = 9;
    s = skip(s, year.len);
    if (year.len == 0 || !skip_char(&s, "-") || !padded(&s, text + 1) || !skip_char(&s, "-") ||
        !padded(&s, text + 4) || !skip_char(&s, " T") || !padded(&s, text + 7)) {
        return NAN;
    }
    for (int i = 0; i < 2; i++) {
        struct span t = s;
        if (!skip_char(&t, ":") || !padded(&t, text + len + 1)) {
            break;
        }
        s = t;
        len += 3;
    }
    if (has_line_end(s)) {
        return NAN;
    }
    return engine(year, first(span_of(text), len), s, span_of(""));
}

static double parse_forms(struct span s) {
    static double (*const forms[])(struct span) = {
        numbers_form,      two_words_form, weekday_form, us_form,   utc_form,
        short_offset_form, engine_form,    special_form, zone_form, padding_form,
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        double ms = forms[i](s);
        if (!isnan(ms)) {
            return ms;
        }
    }
    return NAN;
}

/* ---- the header's functions ---- */

/* Text that is itself JSON text of a string. */
static double parse_json(struct span s) {
    struct inst_arena arena;
    struct inst_value v;
    double ms = NAN;
    struct span inner = trim(s);
    if (inner.len < 2 || inner.text[0] != '"') {
        return NAN;
    }
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, s.text, s.len, &v, NULL) == INST_OK && v.tag == INST_STRING) {
        ms = parse_forms((struct span){v.u.str, v.len});
    }
    inst_arena_free(&arena);
    return ms;
}

static enum inst_status coerce_text(const struct inst_value *v, struct inst_value *out,
                                    struct inst_err *err) {
    struct span s = {v->u.str, v->len};
    double ms = parse_forms(s);
    if (isnan(ms)) {
        ms = parse_json(s);
    }
    if (isnan(ms)) {
        ms = parse_forms(trim(s));
    }
    if (isnan(ms)) {
        return inst_err_set(err, "validation-failed", 400, "Unable to parse `%.*s` as a date.",
                            (int)s.len, s.text);
    }
    *out = inst_date(ms);
    return INST_OK;
}

enum inst_status inst_date_coerce(const struct inst_value *v, struct inst_value *out,
                                  struct inst_err *err) {
    struct inst_buf text;
    enum inst_status status;
    switch (v->tag) {
    case INST_UNDEFINED:
    case INST_NULL:
    case INST_DATE:
        *out = *v;
        return INST_OK;
    case INST_NUMBER:
        *out = inst_date(inst_date_clip(v->u.num));
        return INST_OK;
    case INST_STRING:
        return coerce_text(v, out, err);
    default:
        break;
    }
    inst_buf_init(&text);
    inst_js_text(&text, v);
    if (text.failed) {
        status = inst_err_nomem(err);
    } else {
        status = inst_err_set(err, "validation-failed", 400,
                              "Invalid date value `%s`. Expected a date, number, or string, got "
                              "type %s.",
                              text.data ? text.data : "", inst_value_typeof(v));
    }
    inst_buf_free(&text);
    return status;
}

/* Days since the epoch as year, month 1..12, day 1..31 (Gregorian in both directions). */
static void civil(int64_t days, int64_t *year, int *month, int *day) {
    /* Counted from 0000-03-01, so that a leap day ends its year: 400 years are 146097 days. */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t shifted = (5 * of_year + 2) / 153; /* 0 is March */
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = y + era * 400 + (*month <= 2);
}

size_t inst_date_iso(double ms, char out[INST_DATE_TEXT_MAX]) {
    int64_t t, days, year, rest;
    int month, day;
    double clipped = inst_date_clip(ms);
    out[0] = '\0';
    if (isnan(clipped)) {
        return 0;
    }
    t = (int64_t)clipped;
    days = t / 86400000 - (t % 86400000 < 0);
    rest = t - days * 86400000;
    civil(days, &year, &month, &day);
    return (size_t)snprintf(out, INST_DATE_TEXT_MAX,
                            year >= 0 && year <= 9999 ? "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ"
                                                      : "%+07lld-%02d-%02dT%02d:%02d:%02d.%03dZ",
                            (long long)year, month, day, (int)(rest / 3600000),
                            (int)(rest / 60000 % 60), (int)(rest / 1000 % 60), (int)(rest % 1000));
}
