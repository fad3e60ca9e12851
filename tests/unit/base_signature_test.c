/*
 * Ed25519 by the test vectors of RFC 8032 7.1, and everything that is no signature.
 */
#include "base/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t unhex(const char *text, uint8_t *out) {
    size_t n = 0;
    unsigned byte;
    for (; sscanf(text, "%2x", &byte) == 1; text += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

static const struct {
    const char *key, *signature, *message;
} vectors[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b",
     ""},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00",
     "72"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a",
     "af82"},
};

static void signed_by_the_key(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t key[40], signature[80], message[8] = {0};
        size_t key_len = unhex(vectors[i].key, key);
        size_t signature_len = unhex(vectors[i].signature, signature);
        size_t len = unhex(vectors[i].message, message);
        assert_true(inst_ed25519_verify(key, key_len, signature, signature_len, message, len));
        assert_false(inst_ed25519_verify(key, key_len, signature, signature_len, message, len + 1));
        signature[i * 20] ^= 1;
        assert_false(inst_ed25519_verify(key, key_len, signature, signature_len, message, len));
        signature[i * 20] ^= 1;
        key[i] ^= 1;
        assert_false(inst_ed25519_verify(key, key_len, signature, signature_len, message, len));
    }
}

static void of_another_length(void **state) {
    (void)state;
    uint8_t key[33] = {0}, signature[65] = {0};
    assert_false(inst_ed25519_verify(key, 31, signature, 64, "", 0));
    assert_false(inst_ed25519_verify(key, 33, signature, 64, "", 0));
    assert_false(inst_ed25519_verify(key, 32, signature, 63, "", 0));
    assert_false(inst_ed25519_verify(key, 32, signature, 65, "", 0));
    assert_false(inst_ed25519_verify(key, 0, signature, 0, "", 0));
    memset(key, 0xff, sizeof key); /* no point of the curve */
    assert_false(inst_ed25519_verify(key, 32, signature, 64, "", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_by_the_key),
        cmocka_unit_test(of_another_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
