#include "base/seal.h"

#include "base/base64.h"
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define NONCE 12
#define TAG 16
static const char version[] = "v1.";
#define VERSION_LEN (sizeof version - 1)

/* In place; behind the bytes is the tag, written or compared. */
static bool crypt_bytes(const uint8_t key[INST_SEAL_KEY], const uint8_t nonce[NONCE],
                        const char *for_what, uint8_t *bytes, size_t len, bool seals) {
    uint8_t nothing[16];
    int n;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok =
        ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seals) == 1 &&
        EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)for_what, (int)strlen(for_what)) == 1 &&
        (len == 0 || EVP_CipherUpdate(ctx, bytes, &n, bytes, (int)len) == 1) &&
        (seals || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, bytes + len) == 1) &&
        EVP_CipherFinal_ex(ctx, nothing, &n) == 1 &&
        (!seals || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, bytes + len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool inst_seal(const struct inst_env *env, const uint8_t key[INST_SEAL_KEY], const char *for_what,
               const char *secret, size_t len, struct inst_buf *out) {
    uint8_t *bytes = len <= INST_SEAL_MAX ? malloc(NONCE + len + TAG) : NULL;
    if (bytes == NULL)
        return false;
    env->random(env->ctx, bytes, NONCE);
    memcpy(bytes + NONCE, secret, len);
    bool ok = crypt_bytes(key, bytes, for_what, bytes + NONCE, len, true);
    if (ok) {
        inst_buf_add_str(out, version);
        inst_base64url_add(out, bytes, NONCE + len + TAG);
    }
    inst_wipe(bytes, NONCE + len + TAG);
    free(bytes);
    return ok && !out->failed;
}

bool inst_unseal(const uint8_t key[INST_SEAL_KEY], const char *for_what, const char *text,
                 size_t text_len, char **out, size_t *len) {
    size_t n = 0;
    *out = NULL;
    if (text_len < VERSION_LEN || text_len > 2 * INST_SEAL_MAX ||
        memcmp(text, version, VERSION_LEN) != 0)
        return false;
    text += VERSION_LEN;
    text_len -= VERSION_LEN;
    uint8_t *bytes = malloc(INST_BASE64_BYTES(text_len));
    bool ok = bytes != NULL && inst_base64url_read(text, text_len, bytes, &n) && n >= NONCE + TAG;
    *len = ok ? n - NONCE - TAG : 0;
    ok = ok && crypt_bytes(key, bytes, for_what, bytes + NONCE, *len, false) &&
         (*out = malloc(*len + 1)) != NULL;
    if (ok) {
        memcpy(*out, bytes + NONCE, *len);
        (*out)[*len] = '\0';
    }
    if (bytes != NULL)
        inst_wipe(bytes, n);
    free(bytes);
    return ok;
}
