#include "base/env.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool parses(const char *text) {
    struct inst_uuid uuid;
    return inst_uuid_parse(text, strlen(text), &uuid);
}

static bool is_valid(const char *text) { return inst_uuid_is_valid_v(text, strlen(text)); }

static void test_parse_and_print(void **state) {
    (void)state;
    struct inst_uuid uuid;
    char text[INST_UUID_TEXT + 1];
    const char *mixed = "0A1b2C3d-4e5F-6789-abCD-ef0123456789";
    assert_true(inst_uuid_parse(mixed, 36, &uuid));
    assert_memory_equal(uuid.bytes,
                        "\x0a\x1b\x2c\x3d\x4e\x5f\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89", 16);
    inst_uuid_print(&uuid, text);
    assert_string_equal(text, "0a1b2c3d-4e5f-6789-abcd-ef0123456789");
}

static void test_parse_refuses(void **state) {
    (void)state;
    assert_true(parses("00000000-0000-0000-0000-000000000000"));
    assert_false(parses(""));
    assert_false(parses("00000000-0000-0000-0000-00000000000"));
    assert_false(parses("00000000-0000-0000-0000-0000000000000"));
    assert_false(parses("000000000000-0000-0000-0000-00000000"));
    assert_false(parses("00000000-0000-0000-0000-00000000000g"));
    assert_false(parses("00000000-0000-0000-0000-00000000000 "));
    assert_false(parses("00000000+0000-0000-0000-000000000000"));
    assert_false(parses("{0000000-0000-0000-0000-000000000000"));
    /* A failed parse leaves the result alone. */
    struct inst_uuid uuid;
    memset(&uuid, 7, sizeof(uuid));
    assert_false(inst_uuid_parse("11111111-1111-1111-1111-11111111111x", 36, &uuid));
    assert_int_equal(uuid.bytes[0], 7);
}

/* transactions.md 6 */
static void test_valid_versions(void **state) {
    (void)state;
    char text[] = "12345678-1234-0234-8234-123456789abc";
    for (char version = '0'; version <= '9'; version++) {
        text[14] = version;
        assert_int_equal(is_valid(text), version >= '1' && version <= '8');
    }
    text[14] = '4';
    const char *variants = "0123456789abcdefABCDEF";
    for (const char *c = variants; *c; c++) {
        text[19] = *c;
        assert_int_equal(is_valid(text), strchr("89abAB", *c) != NULL);
    }
    assert_true(is_valid("00000000-0000-0000-0000-000000000000"));
    assert_true(is_valid("ffffffff-ffff-ffff-ffff-ffffffffffff"));
    assert_true(is_valid("FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF"));
    assert_false(is_valid("ffffffff-ffff-ffff-ffff-fffffffffffe"));
    assert_false(is_valid("11111111-1111-1111-1111-111111111111"));
    assert_false(is_valid("no uuid"));
}

static void fill(void *ctx, uint8_t *out, size_t len) { memset(out, *(int *)ctx, len); }

static void test_make(void **state) {
    (void)state;
    int byte = 0xFF;
    struct inst_env env = {.ctx = &byte, .random = fill};
    char text[INST_UUID_TEXT + 1];
    inst_uuid_make_text(&env, text);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_true(is_valid(text));
    byte = 0;
    inst_uuid_make_text(&env, text);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
    assert_true(is_valid(text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_print),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_valid_versions),
        cmocka_unit_test(test_make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
