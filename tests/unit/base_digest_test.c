#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/uuid.h"

#include <string.h>

static void test_digests(void **state) {
    (void)state;
    char hex[INST_SHA256_HEX + 1];
    inst_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    inst_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* A token is kept as the digest of its 16 bytes, not of its text (http.md 16). */
static void test_digest_of_a_token(void **state) {
    (void)state;
    struct inst_uuid token;
    char hex[INST_SHA256_HEX + 1];
    assert_true(inst_uuid_parse("00000000-0000-0000-0000-000000000000", INST_UUID_TEXT, &token));
    inst_sha256_hex(token.bytes, sizeof token.bytes, hex);
    assert_string_equal(hex, "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb");
}

/* RFC 4231, cases 2 and 6: a short key, and one that is hashed first. */
static void test_hmac(void **state) {
    (void)state;
    static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    char long_key[131], hex[INST_SHA256_HEX + 1];
    uint8_t mac[INST_SHA256];
    assert_true(inst_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac));
    inst_hex(mac, sizeof mac, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof long_key);
    assert_true(inst_hmac_sha256(long_key, sizeof long_key, text, sizeof text - 1, mac));
    inst_hex(mac, sizeof mac, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_comparing(void **state) {
    (void)state;
    assert_true(inst_secret_equal("abc", "abc", 3));
    assert_true(inst_secret_equal("abc", "xyz", 0));
    assert_false(inst_secret_equal("abc", "abd", 3));
    assert_false(inst_secret_equal("abc", "bbc", 3));
}

static void test_wiping(void **state) {
    (void)state;
    char secret[] = "secret";
    inst_wipe(secret, 3);
    assert_memory_equal(secret, "\0\0\0ret", 7);
    inst_wipe(NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests), cmocka_unit_test(test_digest_of_a_token),
        cmocka_unit_test(test_hmac),    cmocka_unit_test(test_comparing),
        cmocka_unit_test(test_wiping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
