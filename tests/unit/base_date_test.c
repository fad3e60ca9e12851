/*
 * Date text beyond the vectors: the engine's forms and refusals, each form of the client at its
 * edges, coercion of other values, ISO output at the ends of the range.
 */
#include "base/date.h"
#include "base/date_zones.h"
#include "base/js_text.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define DAY 86400000.0

struct reading {
    const char *text;
    double ms;
};

static double engine(const char *text) { return inst_date_engine_parse(text, strlen(text)); }

static double client(const char *text) {
    struct inst_value v = inst_cstring(text), out;
    struct inst_err err = {0};
    if (inst_date_coerce(&v, &out, &err) != INST_OK) {
        assert_string_equal(err.type, "validation-failed");
        assert_int_equal(err.status, 400);
        inst_err_clear(&err);
        return NAN;
    }
    assert_int_equal(out.tag, INST_DATE);
    assert_false(isnan(out.u.num));
    return out.u.num;
}

static void check(const char *text, double actual, double expected) {
    if (!(actual == expected || (isnan(actual) && isnan(expected)))) {
        fail_msg("`%s` is %.0f, expected %.0f", text, actual, expected);
    }
}

static void test_engine(void **state) {
    (void)state;
    static const struct reading readings[] = {
        {"1970", 0},
        {"1970-02", 31 * DAY},
        {"1970-01-02", DAY},
        {"+001970-01-02", DAY},
        {"-000000", NAN},
        {"-000000-01-01", 978307200000.0}, /* no ISO year: read as 01-01 */
        {"1970-01-01T00:00", 0},
        {"1970-01-01t00:00z", 0},
        {"1970-01-01T00:00:00.0009Z", 0},
        {"1970-01-01T24:00Z", DAY},
        {"1970-01-01T24:00:01Z", NAN},
        {"1970-01-01T24:00:00.001Z", NAN},
        {"1970-01-01T01:00+0130", -1800000},
        {"1970-01-01T00:00+24:00", NAN},
        {"1970-01-01T00:00+1", NAN},
        {"1970-01-01T00:00Zx", NAN},
        {"1970-1-1", 0},
        {"1 Jan 1970 UTC", 0},
        {"Jan 1 70 00:00 GMT", 0},
        {"Januaryish 1 1970", 0},
        {"Foo 1 Jan 1970", 0},
        {"1 Foo Jan 1970", NAN},
        {"Foo1 Jan 1970", NAN},
        {"1/1/1970 1:02:03.4 PM", ((13 * 60 + 2) * 60 + 3) * 1000.0 + 400},
        {"1/1/1970 13:00 PM", NAN},
        {"1/1/1970 12:00 AM", 0},
        {"1/1/1970 1:", 3600000},
        {"1/1/1970 1::30", 3600000 + 30000},
        {"1/1/1970 0:0 EST", 5 * 3600000.0},
        {"1/1/1970 0:0 GMT-8", 8 * 3600000.0},
        {"1/1/1970 0:0 GMT+12345", NAN},
        {"1/1/1970 0:0 +1:30", -5400000},
        {"1/1/1970 (a (nested) remark) 1:00", 3600000},
        {"1/1/1970 (never closed 1:00", 0},
        {"1/1/1970)", NAN},
        {"1/2/3/4", NAN},
        {"2/30/1970", 60 * DAY},
        {"13/1/1970", NAN},
        {"1/1/49", 2493072000000.0},
        {"1/1/50", -631152000000.0},
        {"\xC2\xA0"
         "1970",
         0},
        {"\xC3\xA9 1970", 0},
        {"275760-09-13", 8.64e15},
        {"275760-09-14", NAN},
        {"", NAN},
        {"Jan", NAN},
    };
    for (size_t i = 0; i < COUNT(readings); i++) {
        check(readings[i].text, engine(readings[i].text), readings[i].ms);
    }
    /* A NUL ends the text. */
    check("NUL", inst_date_engine_parse("1970\0garbage1", 13), 0);
}

static void test_client_forms(void **state) {
    (void)state;
    static const struct reading readings[] = {
        {"1.2-1970", DAY},              /* separators may differ */
        {"1-1-70", 0},                  /* a year below 100 is one of the 1900s */
        {"0070-1-1", -1996099200000.0}, /* month 70 of 1901 */
        {"999999999999-1-1", NAN},      /* too large a year */
        {"1970-01-01 00:00:01", 1000},
        {"1970-01-01 00:00:01 whatever", 1000},
        {"1970-01-01 00:00:01+05", 1000}, /* an offset glued to the time gives way to UTC */
        {"Zzz Jan 02 1970", DAY},
        {"1/2/1970, 1:00:00 AM", DAY + 3600000},
        {"1/2/1970, at 1:00:00 AM sharp", DAY + 3600000},
        {"1/2/1970, 1:00:00 am", DAY + 3600000}, /* as the engine reads it */
        {"1/2/1970, 99:99:99 AM", DAY + 99 * 3661000.0},
        {"0x1/2/1970, 1:00:00 AM", DAY + 3600000}, /* the fields are JavaScript numbers */
        {"1970-01-01T00:00:00-08", 8 * 3600000.0},
        {"1970-01-01T00:00:00METDST", -7200000},
        {"1970-01-01T00:00:00ACDT", -37800000},
        {"epoch", 0},
        {"epoch!", NAN},
        {"1970-1-2T3:4:5Z", DAY + 11045000},
        {"1970-1-2T3", NAN},
        {"\"epoch\"", 0},
        {"\"\\u0065poch\"", 0},
        {"\"\\\"epoch\\\"\"", NAN}, /* JSON is unwrapped once */
        {" \xE3\x80\x80"
         "epoch\xEF\xBB\xBF",
         0},
        {"now", NAN},
        {"1970-01-01T00:00:00\n-08", NAN},
    };
    for (size_t i = 0; i < COUNT(readings); i++) {
        check(readings[i].text, client(readings[i].text), readings[i].ms);
    }
}

static void test_zones(void **state) {
    (void)state;
    for (size_t i = 1; i < INST_DATE_ZONES; i++) {
        const struct inst_date_zone *zone = &inst_date_zones[i];
        char text[40] = "1970-01-01T00:00:00";
        assert_true(strcmp(zone[-1].name, zone->name) < 0);
        assert_true(abs(zone->minutes) <= 14 * 60);
        check(text, client(strcat(text, zone->name)), -zone->minutes * 60000.0);
    }
}

static void test_other_values(void **state) {
    (void)state;
    struct inst_value out, v;
    struct inst_value items[] = {inst_number(1), inst_null(), inst_bool(true)};
    struct inst_err err = {0};

    v = inst_undefined();
    assert_int_equal(inst_date_coerce(&v, &out, NULL), INST_OK);
    assert_int_equal(out.tag, INST_UNDEFINED);
    v = inst_date(NAN);
    assert_int_equal(inst_date_coerce(&v, &out, NULL), INST_OK);
    assert_true(out.tag == INST_DATE && isnan(out.u.num));
    v = inst_number(-0.5);
    assert_int_equal(inst_date_coerce(&v, &out, NULL), INST_OK);
    assert_true(out.u.num == 0 && !signbit(out.u.num));
    v = inst_number(INFINITY);
    assert_int_equal(inst_date_coerce(&v, &out, NULL), INST_OK);
    assert_true(isnan(out.u.num));

    out = inst_number(7);
    v = inst_array(items, 3);
    assert_int_equal(inst_date_coerce(&v, &out, &err), INST_FAILED);
    assert_string_equal(err.message, "Invalid date value `1,,true`. Expected a date, number, or "
                                     "string, got type object.");
    assert_true(out.tag == INST_NUMBER && out.u.num == 7);
    inst_err_clear(&err);
}

static void check_iso(double ms, const char *expected) {
    char text[INST_DATE_TEXT_MAX];
    assert_int_equal(inst_date_iso(ms, text), strlen(expected));
    assert_string_equal(text, expected);
}

static void test_iso(void **state) {
    (void)state;
    check_iso(0, "1970-01-01T00:00:00.000Z");
    check_iso(-1, "1969-12-31T23:59:59.999Z");
    check_iso(951782400000.0, "2000-02-29T00:00:00.000Z");
    check_iso(-62167219200000.0, "0000-01-01T00:00:00.000Z");
    check_iso(-62167219200001.0, "-000001-12-31T23:59:59.999Z");
    check_iso(253402300800000.0, "+010000-01-01T00:00:00.000Z");
    check_iso(8.64e15, "+275760-09-13T00:00:00.000Z");
    check_iso(-8.64e15, "-271821-04-20T00:00:00.000Z");
    check_iso(8.64e15 + 1, "");
    check_iso(NAN, "");
    check_iso(DBL_MAX, "");
}

/* What is written is read again as the same instant, over the whole range. */
static void test_round_trip(void **state) {
    (void)state;
    for (double ms = -8.64e15; ms <= 8.64e15; ms += 864000000000.0 * 7 + 12345.0) {
        char text[INST_DATE_TEXT_MAX];
        double whole = trunc(ms);
        size_t len = inst_date_iso(whole, text);
        assert_true(inst_date_engine_parse(text, len) == whole);
    }
}

static void check_text(struct inst_value v, const char *expected) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_js_text(&buf, &v);
    assert_string_equal(buf.data ? buf.data : "", expected);
    inst_buf_free(&buf);
}

static void test_js_text(void **state) {
    (void)state;
    struct inst_value inner[] = {inst_number(1e21), inst_undefined()};
    struct inst_value items[] = {inst_array(inner, 2), inst_object(NULL, 0), inst_null()};
    check_text(inst_undefined(), "undefined");
    check_text(inst_null(), "null");
    check_text(inst_bool(false), "false");
    check_text(inst_number(-0.0), "0");
    check_text(inst_array(NULL, 0), "");
    check_text(inst_array(items, 3), "1e+21,,[object Object],");
    check_text(inst_date(NAN), "Invalid Date");
    check_text(inst_date(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
    check_text(inst_date(-1), "Wed Dec 31 1969 23:59:59 GMT+0000 (Coordinated Universal Time)");
    check_text(inst_date(8.64e15),
               "Sat Sep 13 275760 00:00:00 GMT+0000 (Coordinated Universal Time)");
    check_text(inst_date(-62167219200001.0),
               "Fri Dec 31 -000001 23:59:59 GMT+0000 (Coordinated Universal Time)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine),  cmocka_unit_test(test_client_forms),
        cmocka_unit_test(test_zones),   cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_iso),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_js_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
