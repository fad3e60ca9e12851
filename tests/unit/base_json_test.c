/*
 * Reading: the conformance suite's verdicts, what RFC 8259 leaves open pinned by name, messages,
 * limits. Writing: what JSON.stringify gives.
 */
#include "base/json.h"
#include "shared_path.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool parses(const char *bytes, size_t len) {
    struct inst_arena arena;
    struct inst_value v;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    enum inst_status status = inst_json_parse(&arena, bytes, len, &v, &err);
    if (status == INST_FAILED) {
        assert_string_equal(err.type, "param-malformed");
        assert_int_equal(err.status, 400);
        assert_int_equal(arena.last ? 1 : 0, 0);
    }
    inst_err_clear(&err);
    inst_arena_free(&arena);
    return status == INST_OK;
}

/* Reads and writes again; the error message when it was refused. To be freed. */
static char *rewritten(const char *bytes, size_t len) {
    struct inst_arena arena;
    struct inst_value v;
    struct inst_err err = {0};
    struct inst_buf buf;
    inst_arena_init(&arena);
    inst_buf_init(&buf);
    /* The exact bytes on the heap, so that reading past them is seen. */
    char *exact = malloc(len ? len : 1);
    memcpy(exact, bytes, len);
    if (inst_json_parse(&arena, exact, len, &v, &err) == INST_OK) {
        memset(exact, 'x', len);
        inst_json_write(&buf, &v);
    } else {
        inst_buf_add_str(&buf, err.message);
    }
    free(exact);
    inst_err_clear(&err);
    inst_arena_free(&arena);
    return inst_buf_take(&buf, NULL);
}

static void check_bytes(const char *in, size_t len, const char *want) {
    char *got = rewritten(in, len);
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static void check(const char *in, const char *want) { check_bytes(in, strlen(in), want); }

/*
 * The conformance suite.
 */

struct pinned {
    const char *name;
    const char *want; /* as written again, or the refusal */
};

/* Left open by RFC 8259; decided in json.h. Everything JSON.parse accepts behind a strict UTF-8
 * decoder is accepted, except numbers that a double cannot hold. */
static const struct pinned undecided[] = {
    {"i_number_double_huge_neg_exp.json", "[0]"},
    {"i_number_huge_exp.json", "Invalid JSON at byte 1: number out of range"},
    {"i_number_neg_int_huge_exp.json", "Invalid JSON at byte 1: number out of range"},
    {"i_number_pos_double_huge_exp.json", "Invalid JSON at byte 1: number out of range"},
    {"i_number_real_neg_overflow.json", "Invalid JSON at byte 1: number out of range"},
    {"i_number_real_pos_overflow.json", "Invalid JSON at byte 1: number out of range"},
    {"i_number_real_underflow.json", "[0]"},
    {"i_number_too_big_neg_int.json", "[-1.2312312312312312e+29]"},
    {"i_number_too_big_pos_int.json", "[100000000000000000000]"},
    {"i_number_very_big_negative_int.json", "[-2.374623746732769e+47]"},
    {"i_object_key_lone_2nd_surrogate.json", "{\"\\udfaa\":0}"},
    {"i_string_1st_surrogate_but_2nd_missing.json", "[\"\\udada\"]"},
    {"i_string_1st_valid_surrogate_2nd_invalid.json", "[\"\\ud888\xE1\x88\xB4\"]"},
    {"i_string_UTF-16LE_with_BOM.json", "Invalid JSON at byte 0: expected a value"},
    {"i_string_UTF-8_invalid_sequence.json", "Invalid JSON at byte 7: broken UTF-8"},
    {"i_string_UTF8_surrogate_U+D800.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_incomplete_surrogate_and_escape_valid.json", "[\"\\ud800\\n\"]"},
    {"i_string_incomplete_surrogate_pair.json", "[\"\\udd1ea\"]"},
    {"i_string_incomplete_surrogates_escape_valid.json", "[\"\\ud800\\ud800\\n\"]"},
    {"i_string_invalid_lonely_surrogate.json", "[\"\\ud800\"]"},
    {"i_string_invalid_surrogate.json", "[\"\\ud800abc\"]"},
    {"i_string_invalid_utf-8.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_inverted_surrogates_U+1D11E.json", "[\"\\udd1e\\ud834\"]"},
    {"i_string_iso_latin_1.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_lone_second_surrogate.json", "[\"\\udfaa\"]"},
    {"i_string_lone_utf8_continuation_byte.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_not_in_unicode_range.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_overlong_sequence_2_bytes.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_overlong_sequence_6_bytes.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_overlong_sequence_6_bytes_null.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_truncated-utf-8.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"i_string_utf16BE_no_BOM.json", "Invalid JSON at byte 0: expected a value"},
    {"i_string_utf16LE_no_BOM.json", "Invalid JSON at byte 1: expected a value"},
    {"i_structure_500_nested_arrays.json", NULL}, /* accepted; the text is checked below */
    {"i_structure_UTF-8_BOM_empty_object.json", "Invalid JSON at byte 0: expected a value"},
};

/* What JSON.parse makes of them; the three raw surrogates only after its decoder put U+FFFD. */
static const struct pinned transformed[] = {
    {"number_-9223372036854775808.json", "[-9223372036854776000]"},
    {"number_-9223372036854775809.json", "[-9223372036854776000]"},
    {"number_1.0.json", "[1]"},
    {"number_1.000000000000000005.json", "[1]"},
    {"number_1000000000000000.json", "[1000000000000000]"},
    {"number_10000000000000000999.json", "[10000000000000000000]"},
    {"number_1e-999.json", "[0]"},
    {"number_1e6.json", "[1000000]"},
    {"number_9223372036854775807.json", "[9223372036854776000]"},
    {"number_9223372036854775808.json", "[9223372036854776000]"},
    {"object_key_nfc_nfd.json", "{\"\xC3\xA9\":\"NFC\",\"e\xCC\x81\":\"NFD\"}"},
    {"object_key_nfd_nfc.json", "{\"e\xCC\x81\":\"NFD\",\"\xC3\xA9\":\"NFC\"}"},
    {"object_same_key_different_values.json", "{\"a\":2}"},
    {"object_same_key_same_value.json", "{\"a\":1}"},
    {"object_same_key_unclear_values.json", "{\"a\":0}"},
    {"string_1_escaped_invalid_codepoint.json", "[\"\\ud800\"]"},
    {"string_1_invalid_codepoint.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"string_2_escaped_invalid_codepoints.json", "[\"\\ud800\\ud800\"]"},
    {"string_2_invalid_codepoints.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"string_3_escaped_invalid_codepoints.json", "[\"\\ud800\\ud800\\ud800\"]"},
    {"string_3_invalid_codepoints.json", "Invalid JSON at byte 2: broken UTF-8"},
    {"string_with_escaped_NULL.json", "[\"A\\u0000B\"]"},
};

static char *read_file(const char *folder, const char *name, size_t *len) {
    char path[SHARED_PATH_MAX + 300];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct inst_buf buf;
    inst_buf_init(&buf);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof(block), file)) > 0;) {
        inst_buf_add(&buf, block, n);
    }
    fclose(file);
    return inst_buf_take(&buf, len);
}

static const struct pinned *find_pinned(const struct pinned *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

static bool file_as_pinned(const char *bytes, size_t len, const struct pinned *pin) {
    if (!pin || !pin->want) {
        return pin && parses(bytes, len);
    }
    char *got = rewritten(bytes, len);
    bool same = strcmp(got, pin->want) == 0;
    if (!same) {
        print_error("%s: %s\n", pin->name, got);
    }
    free(got);
    return same;
}

static bool file_is_right(const char *bytes, size_t len, const char *name) {
    if (name[0] == 'y' || name[0] == 'n') {
        return parses(bytes, len) == (name[0] == 'y');
    }
    return file_as_pinned(bytes, len, find_pinned(undecided, COUNT(undecided), name));
}

static void test_conformance_parsing(void **state) {
    (void)state;
    char folder[SHARED_PATH_MAX];
    if (!shared_path("conformance/json/parsing", folder)) {
        skip();
    }
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t seen = 0;
    size_t wrong = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (name[0] == '.') {
            continue;
        }
        size_t len;
        char *bytes = read_file(folder, name, &len);
        if (!file_is_right(bytes, len, name)) {
            print_error("wrong: %s\n", name);
            wrong++;
        }
        free(bytes);
        seen++;
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_true(seen >= 318);
}

static void test_conformance_transform(void **state) {
    (void)state;
    char folder[SHARED_PATH_MAX];
    if (!shared_path("conformance/json/transform", folder)) {
        skip();
    }
    for (size_t i = 0; i < COUNT(transformed); i++) {
        size_t len;
        char *bytes = read_file(folder, transformed[i].name, &len);
        assert_true(file_as_pinned(bytes, len, &transformed[i]));
        free(bytes);
    }
}

/*
 * Own cases.
 */

static void test_values(void **state) {
    (void)state;
    check(" null ", "null");
    check("\t\r\n true", "true");
    check("false", "false");
    check("\"\"", "\"\"");
    check("[ ]", "[]");
    check("{ }", "{}");
    check("[[],{},[{}]]", "[[],{},[{}]]");
    check("{ \"a\" : [ 1 , 2 ] , \"b\" : null }", "{\"a\":[1,2],\"b\":null}");
}

static void test_refusals(void **state) {
    (void)state;
    check("", "Invalid JSON at byte 0: expected a value");
    check("  ", "Invalid JSON at byte 2: expected a value");
    check("nul", "Invalid JSON at byte 0: expected a value");
    check("1 2", "Invalid JSON at byte 2: something behind the value");
    check_bytes("1\0", 2, "Invalid JSON at byte 1: something behind the value");
    check_bytes("\0", 1, "Invalid JSON at byte 0: expected a value");
    check("[1", "Invalid JSON at byte 2: expected , or ]");
    check("[1,]", "Invalid JSON at byte 3: expected a value");
    check("[,1]", "Invalid JSON at byte 1: expected a value");
    check("{1:2}", "Invalid JSON at byte 1: expected a key");
    check("{\"a\" 2}", "Invalid JSON at byte 5: expected :");
    check("{\"a\":2", "Invalid JSON at byte 6: expected , or }");
    check("{\"a\":2,}", "Invalid JSON at byte 7: expected a key");
    check("'a'", "Invalid JSON at byte 0: expected a value");
    check("\"abc", "Invalid JSON at byte 4: unterminated string");
    check("\"", "Invalid JSON at byte 1: unterminated string");
    check("\"a\nb\"", "Invalid JSON at byte 2: control character in a string");
    check_bytes("\"a\0b\"", 5, "Invalid JSON at byte 2: control character in a string");
    check("\"\\", "Invalid JSON at byte 1: bad escape");
    check("\"\\q\"", "Invalid JSON at byte 1: bad escape");
    check("\"\\u12G4\"", "Invalid JSON at byte 1: bad escape");
    check("\"\\u12", "Invalid JSON at byte 1: bad escape");
    check("\"\\ud83d\\u", "Invalid JSON at byte 7: bad escape");
    check("[NaN]", "Invalid JSON at byte 1: expected a value");
    check("[-Infinity]", "Invalid JSON at byte 2: expected a digit");
}

static void test_number_grammar(void **state) {
    (void)state;
    check("0", "0");
    check("-0", "0");
    check("-0.0", "0");
    check("123456789012345", "123456789012345");
    check("9007199254740993", "9007199254740992");
    check("9007199254740993.0000000000000000000001", "9007199254740994");
    check("1.5e3", "1500");
    check("1E+2", "100");
    check("0e5", "0");
    check("1e-7", "1e-7");
    check("1.7976931348623157e308", "1.7976931348623157e+308");
    check("1.7976931348623159e308", "Invalid JSON at byte 0: number out of range");
    check("[1e400]", "Invalid JSON at byte 1: number out of range");
    check("1e-400", "0");
    check("01", "Invalid JSON at byte 1: a number with a leading zero");
    check("-01", "Invalid JSON at byte 2: a number with a leading zero");
    check("00", "Invalid JSON at byte 1: a number with a leading zero");
    check("1.", "Invalid JSON at byte 2: expected a digit");
    check(".5", "Invalid JSON at byte 0: expected a value");
    check("1e", "Invalid JSON at byte 2: expected a digit");
    check("1e+", "Invalid JSON at byte 3: expected a digit");
    check("+1", "Invalid JSON at byte 0: expected a value");
    check("-", "Invalid JSON at byte 1: expected a digit");
    check("0x10", "Invalid JSON at byte 1: something behind the value");
}

static void test_number_values(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value v;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, "-0", 2, &v, NULL), INST_OK);
    assert_true(v.u.num == 0 && signbit(v.u.num));
    assert_int_equal(inst_json_parse(&arena, "0.1", 3, &v, NULL), INST_OK);
    assert_true(v.u.num == 0.1);
    inst_arena_free(&arena);
}

static void test_strings(void **state) {
    (void)state;
    check("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    check("\"\\u0041\\u00e9\\u20AC\"", "\"A\xC3\xA9\xE2\x82\xAC\"");
    check("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
    check("\"\\ud83d\\ud83d\\ude00\"", "\"\\ud83d\xF0\x9F\x98\x80\"");
    check("\"\\ude00\\ud83d\"", "\"\\ude00\\ud83d\"");
    check("\"\xF0\x9F\x98\x80 \xC3\xA9\x7F\"", "\"\xF0\x9F\x98\x80 \xC3\xA9\x7F\"");
    check("\"\\u0000\\u001f\\u2028\"", "\"\\u0000\\u001f\xE2\x80\xA8\"");
    check("\"\xED\xA0\x80\"", "Invalid JSON at byte 1: broken UTF-8");
    check("\"\xC3", "Invalid JSON at byte 1: broken UTF-8");
    check("\"\xC0\x80\"", "Invalid JSON at byte 1: broken UTF-8");
    check("\"\xF4\x90\x80\x80\"", "Invalid JSON at byte 1: broken UTF-8");
    check("\xEF\xBB\xBF{}", "Invalid JSON at byte 0: expected a value");
}

/* Each special character at each distance from the start: the word-wise scan has eight phases. */
static void test_string_phases(void **state) {
    (void)state;
    static const char *const specials[] = {"\\n", "\xC3\xA9", "\\\"", "\\u0001"};
    for (size_t s = 0; s < COUNT(specials); s++) {
        for (int before = 0; before < 20; before++) {
            for (int behind = 0; behind < 10; behind++) {
                char text[64];
                snprintf(text, sizeof(text), "\"%.*s%s%.*s\"", before, "abcdefghijklmnopqrst",
                         specials[s], behind, "0123456789");
                check(text, text);
            }
        }
    }
}

static void test_keys(void **state) {
    (void)state;
    check("{\"b\":1,\"a\":2,\"b\":3}", "{\"b\":3,\"a\":2}");
    check("{\"b\":1,\"10\":2,\"9\":3,\"a\":4,\"9\":5}", "{\"9\":5,\"10\":2,\"b\":1,\"a\":4}");
    check("{\"01\":1,\"4294967295\":2,\"4294967294\":3,\"-1\":4,\"0\":5}",
          "{\"0\":5,\"4294967294\":3,\"01\":1,\"4294967295\":2,\"-1\":4}");
    check("{\"__proto__\":{\"a\":1},\"\":2,\"\":3}", "{\"__proto__\":{\"a\":1},\"\":3}");
    check("{\"a\\u0000b\":1,\"a\":2}", "{\"a\\u0000b\":1,\"a\":2}");
    check("{\"\\u0061\":1,\"a\":2}", "{\"a\":2}");
}

/* Enough keys for the sorted path, each three times, some of them indexes. */
static void test_many_keys(void **state) {
    (void)state;
    struct inst_buf in;
    struct inst_buf want;
    inst_buf_init(&in);
    inst_buf_init(&want);
    enum { KEYS = 3000 };
    inst_buf_add_char(&in, '{');
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < KEYS; i++) {
            int k = round == 0 ? KEYS - 1 - i : i;
            const char *prefix = k % 5 == 0 ? "" : "key";
            inst_buf_addf(&in, "%s\"%s%d\":%d", in.len > 1 ? "," : "", prefix, k, k + round);
        }
    }
    inst_buf_add_char(&in, '}');
    inst_buf_add_char(&want, '{');
    for (int k = 0; k < KEYS; k += 5) {
        inst_buf_addf(&want, "%s\"%d\":%d", want.len > 1 ? "," : "", k, k + 2);
    }
    for (int k = KEYS - 1; k >= 0; k--) {
        if (k % 5 != 0) {
            inst_buf_addf(&want, ",\"key%d\":%d", k, k + 2);
        }
    }
    inst_buf_add_char(&want, '}');
    check_bytes(in.data, in.len, want.data);
    inst_buf_free(&in);
    inst_buf_free(&want);
}

static void test_depth(void **state) {
    (void)state;
    enum { MOST = INST_JSON_MAX_DEPTH };
    char text[2 * (MOST + 1) + 1];
    memset(text, '[', MOST);
    memset(text + MOST, ']', MOST);
    text[2 * MOST] = '\0';
    check(text, text);
    memset(text, '[', MOST + 1);
    memset(text + MOST + 1, ']', MOST + 1);
    assert_false(parses(text, 2 * (MOST + 1)));
    check_bytes(text, 2 * (MOST + 1), "Invalid JSON at byte 500: nested too deeply");
}

static void test_longest(void **state) {
    (void)state;
    size_t len = INST_JSON_MAX_BYTES;
    char *text = malloc(len + 1);
    memset(text, ' ', len + 1);
    text[0] = '1';
    assert_true(parses(text, len));
    check_bytes(text, len + 1, "Invalid JSON: longer than 33554432 bytes");
    free(text);
}

/* The arena keeps what was on it, and nothing of the failure. */
static void test_failure_leaves_arena(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value good;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, "[1,\"abc\"]", 9, &good, NULL), INST_OK);
    size_t total = arena.total;
    struct inst_value bad = inst_number(7);
    char *text = malloc(100000);
    memset(text, '[', 100000);
    assert_int_equal(inst_json_parse(&arena, text, 100000, &bad, NULL), INST_FAILED);
    free(text);
    assert_true(bad.tag == INST_NUMBER && bad.u.num == 7);
    assert_int_equal(arena.total, total);
    assert_true(inst_is_string(&good.u.items[1], "abc"));
    inst_arena_free(&arena);
}

static void check_written(struct inst_value v, const char *want) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, &v);
    assert_false(buf.failed);
    assert_string_equal(buf.data, want);
    inst_buf_free(&buf);
}

static void test_write_javascript_only_values(void **state) {
    (void)state;
    check_written(inst_undefined(), "null");
    check_written(inst_number(NAN), "null");
    check_written(inst_number(-INFINITY), "null");
    check_written(inst_number(-0.0), "0");
    check_written((struct inst_value){.tag = INST_ENTITY}, "null");
    struct inst_value items[] = {inst_undefined(), inst_null(), inst_bool(true)};
    check_written(inst_array(items, 3), "[null,null,true]");
    struct inst_member members[] = {
        {"a", 1, inst_undefined()}, {"b", 1, inst_number(1)}, {"c", 1, inst_undefined()}};
    check_written(inst_object(members, 3), "{\"b\":1}");
    check_written(inst_object(members, 1), "{}");
}

static void test_write_dates(void **state) {
    (void)state;
    check_written(inst_date(0), "\"1970-01-01T00:00:00.000Z\"");
    check_written(inst_date(1700000000123), "\"2023-11-14T22:13:20.123Z\"");
    check_written(inst_date(NAN), "null");
}

static void test_write_odd_strings(void **state) {
    (void)state;
    /* Halves of a pair that stand apart in the bytes are one character to JavaScript. */
    check_written(inst_cstring("\xED\xA0\xBD\xED\xB8\x80"), "\"\xF0\x9F\x98\x80\"");
    check_written(inst_cstring("\xED\xA0\xBD"), "\"\\ud83d\"");
    check_written(inst_cstring("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
    check_written(inst_cstring("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_written(inst_string("a\0b", 3), "\"a\\u0000b\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance_parsing),
        cmocka_unit_test(test_conformance_transform),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_number_grammar),
        cmocka_unit_test(test_number_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_string_phases),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_failure_leaves_arena),
        cmocka_unit_test(test_write_javascript_only_values),
        cmocka_unit_test(test_write_dates),
        cmocka_unit_test(test_write_odd_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
