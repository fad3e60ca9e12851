#include "base/signature.h"

#include <openssl/evp.h>

bool inst_ed25519_verify(const void *key, size_t key_len, const void *signature,
                         size_t signature_len, const void *message, size_t len) {
    if (key_len != INST_ED25519_KEY || signature_len != INST_ED25519_SIGNATURE)
        return false;
    EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, key_len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed = public_key != NULL && ctx != NULL &&
                     EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public_key) == 1 &&
                     EVP_DigestVerify(ctx, signature, signature_len, message, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public_key);
    return is_signed;
}

static EVP_PKEY *key_of(const uint8_t *seed) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, INST_ED25519_KEY);
}

bool inst_ed25519_public(const uint8_t *seed, uint8_t out[INST_ED25519_KEY]) {
    size_t len = INST_ED25519_KEY;
    EVP_PKEY *key = key_of(seed);
    bool is_made = key != NULL && EVP_PKEY_get_raw_public_key(key, out, &len) == 1;
    EVP_PKEY_free(key);
    return is_made;
}

bool inst_ed25519_sign(const uint8_t *seed, const void *message, size_t len,
                       uint8_t out[INST_ED25519_SIGNATURE]) {
    size_t out_len = INST_ED25519_SIGNATURE;
    EVP_PKEY *key = key_of(seed);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed = key != NULL && ctx != NULL &&
                     EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                     EVP_DigestSign(ctx, out, &out_len, message, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_signed;
}
