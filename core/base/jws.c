#include "base/jws.h"

#include "base/base64.h"
#include "base/json.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#define P256_BYTES 32
#define ES256_BYTES (2 * P256_BYTES)

/* ---- reading ---- */

static uint8_t *read_part(struct inst_arena *arena, const char *text, size_t len, size_t *out_len,
                          bool *is_nomem) {
    uint8_t *bytes = inst_arena_alloc(arena, INST_BASE64_BYTES(len));
    *is_nomem = bytes == NULL;
    return bytes != NULL && inst_base64url_read(text, len, bytes, out_len) ? bytes : NULL;
}

static enum inst_status read_object(struct inst_arena *arena, const char *text, size_t len,
                                    struct inst_value *out) {
    bool is_nomem;
    size_t n;
    uint8_t *bytes = read_part(arena, text, len, &n, &is_nomem);
    if (bytes == NULL)
        return is_nomem ? INST_NOMEM : INST_FAILED;
    enum inst_status st = inst_json_parse(arena, (const char *)bytes, n, out, NULL);
    return st != INST_OK ? st : out->tag == INST_OBJECT ? INST_OK : INST_FAILED;
}

enum inst_status inst_jws_read(struct inst_arena *arena, const char *text, size_t len,
                               struct inst_jws *out) {
    bool is_nomem;
    const char *first = len <= INST_JWS_MAX ? memchr(text, '.', len) : NULL;
    if (first == NULL)
        return INST_FAILED;
    const char *payload = first + 1;
    const char *second = memchr(payload, '.', len - (size_t)(payload - text));
    if (second == NULL)
        return INST_FAILED;
    const char *signature = second + 1;
    *out = (struct inst_jws){.text = text, .signed_len = (size_t)(second - text)};
    enum inst_status st = read_object(arena, text, (size_t)(first - text), &out->header);
    if (st == INST_OK)
        st = read_object(arena, payload, (size_t)(second - payload), &out->payload);
    if (st != INST_OK)
        return st;
    /* A second signature or an encrypted token has more dots, which are not of the alphabet. */
    out->signature = read_part(arena, signature, len - (size_t)(signature - text),
                               &out->signature_len, &is_nomem);
    if (out->signature == NULL)
        return is_nomem ? INST_NOMEM : INST_FAILED;
    /* Extensions that must be understood: none is. */
    return inst_getz(&out->header, "crit") == NULL ? INST_OK : INST_FAILED;
}

enum inst_jws_alg inst_jws_alg(const struct inst_jws *jws) {
    const struct inst_value *alg = inst_get_string(&jws->header, "alg");
    if (alg == NULL)
        return INST_JWS_OTHER;
    return inst_is_string(alg, "RS256")   ? INST_JWS_RS256
           : inst_is_string(alg, "ES256") ? INST_JWS_ES256
                                          : INST_JWS_OTHER;
}

/* ---- keys ---- */

static bool says(const struct inst_value *jwk, const char *name, const char *wanted,
                 bool is_optional) {
    const struct inst_value *v = inst_getz(jwk, name);
    return v == NULL ? is_optional : inst_is_string(v, wanted);
}

bool inst_jwk_fits(const struct inst_value *jwk, enum inst_jws_alg alg) {
    if (jwk->tag != INST_OBJECT || !says(jwk, "use", "sig", true))
        return false;
    if (alg == INST_JWS_RS256)
        return says(jwk, "kty", "RSA", false) && says(jwk, "alg", "RS256", true);
    if (alg == INST_JWS_ES256)
        return says(jwk, "kty", "EC", false) && says(jwk, "crv", "P-256", false) &&
               says(jwk, "alg", "ES256", true);
    return false;
}

/* A number of the key, in out; its length, 0 when there is none. */
static size_t number_of(const struct inst_value *jwk, const char *name, uint8_t *out, size_t cap) {
    const struct inst_value *text = inst_get_string(jwk, name);
    size_t len = 0;
    if (text == NULL || INST_BASE64_BYTES(text->len) > cap ||
        !inst_base64url_read(text->u.str, text->len, out, &len))
        return 0;
    return len;
}

static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *build) {
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = params != NULL ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    EVP_PKEY *key = NULL;
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const struct inst_value *jwk) {
    uint8_t n[INST_BASE64_BYTES(INST_JWS_MAX_RSA / 6 + 4)], e[16];
    size_t n_len = number_of(jwk, "n", n, sizeof n), e_len = number_of(jwk, "e", e, sizeof e);
    if (n_len == 0 || e_len == 0)
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (modulus != NULL && exponent != NULL && build != NULL &&
        BN_num_bits(modulus) >= INST_JWS_MIN_RSA && BN_num_bits(modulus) <= INST_JWS_MAX_RSA &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = make_key("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *p256_key(const struct inst_value *jwk) {
    uint8_t point[1 + 2 * P256_BYTES] = {4}, x[64], y[64];
    if (number_of(jwk, "x", x, sizeof x) != P256_BYTES ||
        number_of(jwk, "y", y, sizeof y) != P256_BYTES)
        return NULL;
    memcpy(point + 1, x, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        key = make_key("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

/* ---- signatures ---- */

static bool verify(EVP_PKEY *key, const uint8_t *signature, size_t signature_len, const char *text,
                   size_t len) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed =
        ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(ctx, signature, signature_len, (const uint8_t *)text, len) == 1;
    EVP_MD_CTX_free(ctx);
    return is_signed;
}

/* Tokens carry the two numbers as they are, OpenSSL wants them as DER. */
static bool verify_es256(EVP_PKEY *key, const struct inst_jws *jws) {
    uint8_t *der = NULL;
    if (jws->signature_len != ES256_BYTES)
        return false;
    BIGNUM *r = BN_bin2bn(jws->signature, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(jws->signature + P256_BYTES, P256_BYTES, NULL);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    int len = -1;
    if (r != NULL && s != NULL && pair != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's now */
        len = i2d_ECDSA_SIG(pair, &der);
    }
    bool is_signed = len > 0 && verify(key, der, (size_t)len, jws->text, jws->signed_len);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    BN_free(r);
    BN_free(s);
    return is_signed;
}

bool inst_jws_verify(const struct inst_jws *jws, enum inst_jws_alg alg,
                     const struct inst_value *jwk) {
    if (!inst_jwk_fits(jwk, alg))
        return false;
    EVP_PKEY *key = alg == INST_JWS_RS256 ? rsa_key(jwk) : p256_key(jwk);
    bool is_signed =
        key != NULL && (alg == INST_JWS_RS256 ? verify(key, jws->signature, jws->signature_len,
                                                       jws->text, jws->signed_len)
                                              : verify_es256(key, jws));
    EVP_PKEY_free(key);
    return is_signed;
}

/* ---- signing ---- */

static bool sign(EVP_PKEY *key, const struct inst_buf *text, uint8_t out[ES256_BYTES]) {
    uint8_t der[128];
    const uint8_t *at = der;
    size_t len = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ECDSA_SIG *pair = NULL;
    if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, der, &len, (const uint8_t *)text->data, text->len) == 1)
        pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    bool is_signed =
        pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, P256_BYTES) == P256_BYTES &&
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + P256_BYTES, P256_BYTES) == P256_BYTES;
    ECDSA_SIG_free(pair);
    EVP_MD_CTX_free(ctx);
    return is_signed;
}

/* Without it a key that is locked would be asked for on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *ctx) {
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

static EVP_PKEY *read_pem(const char *pem, size_t len) {
    char group[32] = "";
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    bool is_ours = key != NULL &&
                   EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
                                                  sizeof group, NULL) == 1 &&
                   strcmp(group, "prime256v1") == 0;
    if (is_ours)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

bool inst_jws_sign_es256(const char *pem, size_t pem_len, const char *header, const char *payload,
                         struct inst_buf *out) {
    uint8_t signature[ES256_BYTES];
    struct inst_buf text;
    EVP_PKEY *key = pem_len <= INST_JWS_MAX ? read_pem(pem, pem_len) : NULL;
    inst_buf_init(&text);
    inst_base64url_add(&text, header, strlen(header));
    inst_buf_add_char(&text, '.');
    inst_base64url_add(&text, payload, strlen(payload));
    bool is_signed = key != NULL && !text.failed && sign(key, &text, signature);
    if (is_signed) {
        inst_buf_add_char(&text, '.');
        inst_base64url_add(&text, signature, sizeof signature);
        inst_buf_add(out, text.data != NULL ? text.data : "", text.len);
        is_signed = !text.failed && !out->failed;
    }
    inst_buf_free(&text);
    EVP_PKEY_free(key);
    return is_signed;
}
