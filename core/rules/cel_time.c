/* cel_time.c - timestamps and durations (permissions.md 4.4). */
#include "rules/cel_functions.h"
#include "rules/cel_run.h"

#include "base/date.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucal.h>
#include <unicode/ustring.h>

#define NANOS 1000000000
#define DAY 86400
/* google.protobuf.Timestamp: years 1 to 9999; Duration: about 10,000 years. */
#define MIN_SECONDS (-62135596800)
#define MAX_SECONDS 253402300799
#define MAX_DURATION 315576000000

/* ---- the calendar ---- */

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; month from 1. */
static int64_t days_of(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct date {
    int64_t year;
    int month; /* from 1 */
    int day;   /* from 1 */
};

static struct date date_of(int64_t days) {
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int shifted = (int)((5 * of_year + 2) / 153);
    struct date date;
    date.day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    date.month = shifted < 10 ? shifted + 3 : shifted - 9;
    date.year = year + era * 400 + (date.month <= 2);
    return date;
}

/* ---- texts ---- */

static void add_fraction(int32_t nanos, struct inst_buf *out) {
    if (nanos % 1000000 == 0)
        inst_buf_addf(out, ".%03d", nanos / 1000000);
    else if (nanos % 1000 == 0)
        inst_buf_addf(out, ".%06d", nanos / 1000);
    else
        inst_buf_addf(out, ".%09d", nanos);
}

void inst_cel_time_text(const struct inst_cel_value *v, struct inst_buf *out) {
    int32_t nanos = abs(v->nanos);
    if (v->tag == INST_CEL_V_DURATION) {
        inst_buf_addf(out, "%s%lld", v->u.seconds < 0 || v->nanos < 0 ? "-" : "",
                      llabs((long long)v->u.seconds));
        if (nanos)
            add_fraction(nanos, out);
        inst_buf_add_char(out, 's');
        return;
    }
    int64_t days = floor_div(v->u.seconds, DAY), rest = v->u.seconds - days * DAY;
    struct date date = date_of(days);
    inst_buf_addf(out, "%s%04lld-%02d-%02dT%02d:%02d:%02d", date.year > 9999 ? "+" : "",
                  (long long)date.year, date.month, date.day, (int)(rest / 3600),
                  (int)(rest / 60 % 60), (int)(rest % 60));
    if (nanos)
        add_fraction(nanos, out);
    inst_buf_add_char(out, 'Z');
}

bool inst_cel_time_string(struct inst_cel_run *run, const struct inst_cel_value *args,
                          struct inst_cel_value *out) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_cel_time_text(&args[0], &buf);
    return inst_cel_take_text(run, &buf, INST_CEL_V_STRING, out);
}

/* count digits at *at. */
static bool read_digits(const char **at, const char *end, int count, int64_t *out) {
    *out = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (*at >= end || !isdigit((unsigned char)**at))
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool read_char(const char **at, const char *end, char c) {
    if (*at >= end || **at != c)
        return false;
    ++*at;
    return true;
}

/* Up to nine decimals, which a double of milliseconds would lose. */
static bool read_fraction(const char **at, const char *end, int32_t *nanos) {
    int32_t scale = NANOS / 10;
    *nanos = 0;
    if (!read_char(at, end, '.'))
        return true;
    if (*at >= end || !isdigit((unsigned char)**at))
        return false;
    for (; *at < end && isdigit((unsigned char)**at); ++*at, scale /= 10)
        *nanos += (**at - '0') * scale;
    return true;
}

/* "+01:00", "-02:30", "02:00", "Z"; seconds east of UTC. */
static bool read_offset(const char **at, const char *end, int64_t *seconds) {
    int64_t hours, minutes;
    *seconds = 0;
    if (read_char(at, end, 'Z') || read_char(at, end, 'z'))
        return true;
    bool is_west = *at < end && **at == '-';
    if (*at < end && (**at == '-' || **at == '+'))
        ++*at;
    if (!read_digits(at, end, 2, &hours) || !read_char(at, end, ':') ||
        !read_digits(at, end, 2, &minutes) || hours > 18 || minutes > 59)
        return false;
    *seconds = (hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
    return true;
}

/* RFC 3339, with years of four or five digits. */
static bool read_rfc3339(const char *text, size_t len, struct inst_cel_value *out) {
    const char *at = text, *end = text + len;
    int64_t year, month, day, hour, minute, second, offset;
    int32_t nanos;
    const char *dash = memchr(text, '-', len);
    int digits = dash && dash - text == 5 ? 5 : 4;
    if (!read_digits(&at, end, digits, &year) || !read_char(&at, end, '-') ||
        !read_digits(&at, end, 2, &month) || !read_char(&at, end, '-') ||
        !read_digits(&at, end, 2, &day) || !(read_char(&at, end, 'T') || read_char(&at, end, 't')))
        return false;
    if (!read_digits(&at, end, 2, &hour) || !read_char(&at, end, ':') ||
        !read_digits(&at, end, 2, &minute) || !read_char(&at, end, ':') ||
        !read_digits(&at, end, 2, &second) || !read_fraction(&at, end, &nanos) ||
        !read_offset(&at, end, &offset) || at != end)
        return false;
    if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t days = days_of(year, (int)month, (int)day);
    struct date back = date_of(days);
    if (back.month != month || back.day != day)
        return false;
    *out = inst_cel_time(INST_CEL_V_TIMESTAMP,
                         days * DAY + hour * 3600 + minute * 60 + second - offset, nanos);
    return true;
}

static struct inst_cel_value of_millis(double ms) {
    double seconds = floor(ms / 1000);
    return inst_cel_time(INST_CEL_V_TIMESTAMP, (int64_t)seconds,
                         (int32_t)((ms - seconds * 1000) * 1e6));
}

bool inst_cel_to_timestamp(struct inst_cel_run *run, const struct inst_cel_value *args,
                           struct inst_cel_value *out) {
    struct inst_value date, text = inst_string(args[0].u.str, args[0].len);
    if (args[0].tag == INST_CEL_V_INT) {
        int64_t seconds = floor_div(args[0].u.i, 1000);
        *out = inst_cel_time(INST_CEL_V_TIMESTAMP, seconds,
                             (int32_t)((args[0].u.i - seconds * 1000) * 1000000));
        return true;
    }
    if (read_rfc3339(args[0].u.str, args[0].len, out))
        return true;
    if (inst_date_coerce(&text, &date, NULL) != INST_OK || date.tag != INST_DATE ||
        isnan(date.u.num))
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "Unable to parse `%.*s` as a date.",
                             (int)(args[0].len < 200 ? args[0].len : 200), args[0].u.str);
    *out = of_millis(date.u.num);
    return true;
}

/* ---- durations ---- */

static const struct {
    const char *name;
    double nanos;
} units[] = {{"ns", 1},     {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
             {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}};

/* One number with its unit, added to *total. */
static bool read_part(const char **at, const char *end, long double *total) {
    long double number = 0, scale = 1;
    bool seen = false, is_fraction = false;
    for (; *at < end && (isdigit((unsigned char)**at) || (**at == '.' && !is_fraction)); ++*at) {
        if (**at == '.') {
            is_fraction = true;
            continue;
        }
        seen = true;
        number = number * 10 + (**at - '0');
        scale *= is_fraction ? 10 : 1;
    }
    for (size_t i = 0; seen && i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i].name);
        if ((size_t)(end - *at) >= n && memcmp(*at, units[i].name, n) == 0) {
            *at += n;
            *total += number * (long double)units[i].nanos / scale;
            return true;
        }
    }
    return false;
}

bool inst_cel_to_duration(struct inst_cel_run *run, const struct inst_cel_value *args,
                          struct inst_cel_value *out) {
    const char *at = args[0].u.str, *end = at + args[0].len;
    bool is_negative = at < end && *at == '-';
    long double total = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    bool is_fine = at < end;
    if (end - at == 1 && *at == '0')
        at++;
    while (is_fine && at < end)
        is_fine = read_part(&at, end, &total);
    if (!is_fine)
        return inst_cel_fail(run, INST_CEL_BAD_FORMAT, "invalid duration format");
    long double seconds = floorl(total / NANOS);
    if (seconds > MAX_DURATION)
        return inst_cel_fail(run, INST_CEL_BAD_FORMAT, "invalid duration range");
    int sign = is_negative ? -1 : 1;
    *out = inst_cel_time(INST_CEL_V_DURATION, (int64_t)seconds * sign,
                         (int32_t)(total - seconds * NANOS) * sign);
    return true;
}

/* ---- arithmetic ---- */

static bool combine(struct inst_cel_run *run, const struct inst_cel_value *args, int sign,
                    enum inst_cel_tag tag, struct inst_cel_value *out) {
    int64_t seconds = args[0].u.seconds + sign * args[1].u.seconds;
    int32_t nanos = args[0].nanos + sign * args[1].nanos;
    seconds += nanos / NANOS;
    nanos %= NANOS;
    if (nanos < 0 && (tag == INST_CEL_V_TIMESTAMP || seconds > 0)) {
        nanos += NANOS;
        seconds--;
    } else if (nanos > 0 && seconds < 0 && tag == INST_CEL_V_DURATION) {
        nanos -= NANOS;
        seconds++;
    }
    *out = inst_cel_time(tag, seconds, nanos);
    if (tag == INST_CEL_V_TIMESTAMP ? seconds < MIN_SECONDS || seconds > MAX_SECONDS
                                    : llabs((long long)seconds) > MAX_DURATION)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "%s is out of range",
                             tag == INST_CEL_V_TIMESTAMP ? "timestamp" : "duration");
    return true;
}

bool inst_cel_add_times(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    bool is_duration = args[0].tag == args[1].tag;
    return combine(run, args, 1, is_duration ? INST_CEL_V_DURATION : INST_CEL_V_TIMESTAMP, out);
}

bool inst_cel_sub_times(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    bool is_duration = args[0].tag == args[1].tag;
    return combine(run, args, -1, is_duration ? INST_CEL_V_DURATION : INST_CEL_V_TIMESTAMP, out);
}

/* ---- parts of a timestamp ---- */

/* Seconds that the zone is east of UTC at that time, by its name. */
static bool zone_offset(struct inst_cel_run *run, const struct inst_cel_value *zone,
                        const struct inst_cel_value *time, int64_t *seconds) {
    const char *at = zone->u.str, *end = at + zone->len;
    UChar id[64], canonical[64];
    UErrorCode status = U_ZERO_ERROR;
    UBool is_system = false;
    if (zone->len && read_offset(&at, end, seconds) && at == end)
        return true;
    if (zone->len > 60)
        return inst_cel_fail(run, INST_CEL_BAD_FORMAT, "unknown time zone");
    u_uastrncpy(id, zone->u.str, (int32_t)zone->len);
    id[zone->len] = 0;
    ucal_getCanonicalTimeZoneID(id, (int32_t)zone->len, canonical, 64, &is_system, &status);
    UCalendar *calendar = U_SUCCESS(status)
                              ? ucal_open(id, (int32_t)zone->len, "en_US", UCAL_GREGORIAN, &status)
                              : NULL;
    if (calendar) {
        ucal_setMillis(calendar, (double)time->u.seconds * 1000, &status);
        *seconds = (ucal_get(calendar, UCAL_ZONE_OFFSET, &status) +
                    ucal_get(calendar, UCAL_DST_OFFSET, &status)) /
                   1000;
        ucal_close(calendar);
    }
    return U_SUCCESS(status) || inst_cel_fail(run, INST_CEL_BAD_FORMAT, "unknown time zone: %.*s",
                                              (int)zone->len, zone->u.str);
}

/* The time as the clock on the wall of args[1] shows it: days since the epoch, seconds of the day.
 */
static bool local_time(struct inst_cel_run *run, const struct inst_cel_value *args, int64_t *days,
                       int64_t *rest) {
    int64_t offset = 0;
    if (args[1].tag == INST_CEL_V_STRING && !zone_offset(run, &args[1], &args[0], &offset))
        return false;
    int64_t seconds = args[0].u.seconds + offset;
    *days = floor_div(seconds, DAY);
    *rest = seconds - *days * DAY;
    return true;
}

bool inst_cel_get_time(struct inst_cel_run *run, const struct inst_cel_value *args,
                       struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].u.seconds * 1000 + args[0].nanos / 1000000);
    return true;
}

enum part { YEAR, MONTH, DATE, DAY_OF_MONTH, DAY_OF_WEEK, DAY_OF_YEAR, HOURS, MINUTES, SECONDS };

static bool part(struct inst_cel_run *run, const struct inst_cel_value *args, enum part which,
                 struct inst_cel_value *out) {
    int64_t days, rest;
    if (!local_time(run, args, &days, &rest))
        return false;
    struct date date = date_of(days);
    const int64_t parts[] = {
        date.year,    date.month - 1,           date.day,
        date.day - 1, ((days + 4) % 7 + 7) % 7, days - days_of(date.year, 1, 1),
        rest / 3600,  rest / 60 % 60,           rest % 60,
    };
    *out = inst_cel_int(parts[which]);
    return true;
}

#define PART(name, which)                                                                          \
    bool name(struct inst_cel_run *run, const struct inst_cel_value *args,                         \
              struct inst_cel_value *out) {                                                        \
        return part(run, args, which, out);                                                        \
    }
PART(inst_cel_get_year, YEAR)
PART(inst_cel_get_month, MONTH)
PART(inst_cel_get_date, DATE)
PART(inst_cel_get_day_of_month, DAY_OF_MONTH)
PART(inst_cel_get_day_of_week, DAY_OF_WEEK)
PART(inst_cel_get_day_of_year, DAY_OF_YEAR)
PART(inst_cel_get_hours, HOURS)
PART(inst_cel_get_minutes, MINUTES)
PART(inst_cel_get_seconds, SECONDS)
#undef PART

bool inst_cel_get_millis(struct inst_cel_run *run, const struct inst_cel_value *args,
                         struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].nanos / 1000000);
    return true;
}

/* ---- parts of a duration: totals, but for the milliseconds ---- */

bool inst_cel_duration_hours(struct inst_cel_run *run, const struct inst_cel_value *args,
                             struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].u.seconds / 3600);
    return true;
}

bool inst_cel_duration_minutes(struct inst_cel_run *run, const struct inst_cel_value *args,
                               struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].u.seconds / 60);
    return true;
}

bool inst_cel_duration_seconds(struct inst_cel_run *run, const struct inst_cel_value *args,
                               struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].u.seconds);
    return true;
}

bool inst_cel_duration_millis(struct inst_cel_run *run, const struct inst_cel_value *args,
                              struct inst_cel_value *out) {
    (void)run;
    *out = inst_cel_int(args[0].nanos / 1000000);
    return true;
}
