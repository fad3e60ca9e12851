#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

void inst_sha256(const void *bytes, size_t len, uint8_t out[INST_SHA256]) {
    SHA256(bytes, len, out);
}

bool inst_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                      uint8_t out[INST_SHA256]) {
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, bytes, len, out, &n) != NULL && n == INST_SHA256;
}

void inst_hex(const uint8_t *bytes, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

void inst_sha256_hex(const void *bytes, size_t len, char out[INST_SHA256_HEX + 1]) {
    uint8_t digest[INST_SHA256];
    inst_sha256(bytes, len, digest);
    inst_hex(digest, sizeof digest, out);
}

bool inst_secret_equal(const void *a, const void *b, size_t len) {
    return CRYPTO_memcmp(a, b, len) == 0;
}

void inst_wipe(void *bytes, size_t len) {
    if (bytes && len > 0)
        OPENSSL_cleanse(bytes, len);
}
