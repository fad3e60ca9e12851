#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/jws.h"
#include "base/seal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

static struct inst_value json(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, text, strlen(text), &v, NULL), INST_OK);
    return v;
}

static void base64(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text, *for_urls;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"\xff\xfe\xfb", "//77", "__77"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct inst_buf a, b;
        uint8_t bytes[32];
        size_t len = 99, wanted = strlen(cases[i].bytes);
        inst_buf_init(&a);
        inst_buf_init(&b);
        inst_base64_add(&a, cases[i].bytes, wanted);
        inst_base64url_add(&b, cases[i].bytes, wanted);
        assert_string_equal(a.data ? a.data : "", cases[i].text);
        assert_string_equal(b.data ? b.data : "", cases[i].for_urls);
        assert_true(inst_base64url_read(cases[i].for_urls, b.len, bytes, &len));
        assert_int_equal(len, wanted);
        assert_memory_equal(bytes, cases[i].bytes, wanted);
        inst_buf_free(&a);
        inst_buf_free(&b);
    }
    static const char *const bad[] = {"Z", "Zm9vZ", "Zm 9v", "Zm9+", "Zh", "Zm9v==="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[32];
        size_t len;
        assert_false(inst_base64url_read(bad[i], strlen(bad[i]), bytes, &len));
    }
}

/* RFC 7515, appendices A.2 and A.3: the same payload, by an RSA and by an EC key. */
static const char rsa_jwk[] =
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
    "4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
    "7OMg0LOL-"
    "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
    "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4L"
    "T6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":"
    "\"AQAB\"}";
static const char rsa_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb"
    "S9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4B"
    "h-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBA"
    "rLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1ph"
    "CnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char ec_jwk[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
    "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
static const char ec_token[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb"
    "S9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKT"
    "UJqPP3-Kg6NU1Q";

static void check(const char *text, const char *jwk, enum inst_jws_alg alg) {
    struct inst_arena arena;
    struct inst_jws jws;
    inst_arena_init(&arena);
    struct inst_value key = json(&arena, jwk);
    assert_int_equal(inst_jws_read(&arena, text, strlen(text), &jws), INST_OK);
    assert_int_equal(inst_jws_alg(&jws), alg);
    assert_true(inst_is_string(inst_getz(&jws.payload, "iss"), "joe"));
    assert_true(inst_jws_verify(&jws, alg, &key));
    enum inst_jws_alg other = alg == INST_JWS_RS256 ? INST_JWS_ES256 : INST_JWS_RS256;
    assert_false(inst_jws_verify(&jws, other, &key));
    assert_false(inst_jws_verify(&jws, INST_JWS_OTHER, &key));
    /* One bit of the signature, then one of what is signed. */
    char *changed = strdup(text);
    size_t last = strlen(text) - 10;
    changed[last] = changed[last] == 'A' ? 'B' : 'A';
    assert_int_equal(inst_jws_read(&arena, changed, strlen(changed), &jws), INST_OK);
    assert_false(inst_jws_verify(&jws, alg, &key));
    free(changed);
    changed = strdup(text);
    char *payload = strstr(changed, ".eyJpc3MiOiJqb2Ui") + 14; /* joe becomes another */
    *payload = 'm';
    assert_int_equal(inst_jws_read(&arena, changed, strlen(changed), &jws), INST_OK);
    assert_false(inst_jws_verify(&jws, alg, &key));
    free(changed);
    inst_arena_free(&arena);
}

static void known_tokens(void **state) {
    (void)state;
    check(rsa_token, rsa_jwk, INST_JWS_RS256);
    check(ec_token, ec_jwk, INST_JWS_ES256);
}

static void wrong_keys(void **state) {
    (void)state;
    static const char *const keys[] = {
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\"}",
        /* no point of the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", /* too small */
        "{\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"}",
        "{}",
        "[]",
    };
    struct inst_arena arena;
    struct inst_jws rsa, ec;
    inst_arena_init(&arena);
    assert_int_equal(inst_jws_read(&arena, rsa_token, strlen(rsa_token), &rsa), INST_OK);
    assert_int_equal(inst_jws_read(&arena, ec_token, strlen(ec_token), &ec), INST_OK);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct inst_value key = json(&arena, keys[i]);
        assert_false(inst_jws_verify(&rsa, INST_JWS_RS256, &key));
        assert_false(inst_jws_verify(&ec, INST_JWS_ES256, &key));
    }
    /* What the key says it is for counts. */
    struct inst_value key = json(&arena, ec_jwk);
    assert_true(inst_jwk_fits(&key, INST_JWS_ES256));
    key = json(&arena, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"enc\"}");
    assert_false(inst_jwk_fits(&key, INST_JWS_ES256));
    key = json(&arena, "{\"kty\":\"RSA\",\"alg\":\"PS256\"}");
    assert_false(inst_jwk_fits(&key, INST_JWS_RS256));
    inst_arena_free(&arena);
}

static void signing(void **state) {
    (void)state;
    char *pem;
    struct inst_arena arena;
    struct inst_buf token, jwk;
    struct inst_jws jws;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    size_t len = (size_t)BIO_get_mem_data(bio, &pem);
    inst_arena_init(&arena);
    inst_buf_init(&token);
    inst_buf_init(&jwk);
    assert_true(inst_jws_sign_es256(pem, len, "{\"alg\":\"ES256\"}", "{\"iss\":\"joe\"}", &token));
    assert_int_equal(inst_jws_read(&arena, token.data, token.len, &jws), INST_OK);
    inst_buf_add_str(&jwk, "{\"kty\":\"EC\",\"crv\":\"P-256\"");
    static const char *const names[] = {OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y};
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[32];
        BIGNUM *n = NULL;
        EVP_PKEY_get_bn_param(key, names[i], &n);
        BN_bn2binpad(n, bytes, 32);
        BN_free(n);
        inst_buf_addf(&jwk, ",\"%c\":\"", 'x' + i);
        inst_base64url_add(&jwk, bytes, 32);
        inst_buf_add_char(&jwk, '"');
    }
    inst_buf_add_char(&jwk, '}');
    struct inst_value public_key = json(&arena, jwk.data);
    assert_true(inst_jws_verify(&jws, INST_JWS_ES256, &public_key));
    assert_false(inst_jws_sign_es256("nonsense", 8, "{}", "{}", &token));
    inst_buf_free(&token);
    inst_buf_free(&jwk);
    inst_arena_free(&arena);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void steady(void *ctx, uint8_t *out, size_t len) { memset(out, *(int *)ctx, len); }

static void sealing(void **state) {
    (void)state;
    int byte = 1;
    struct inst_env env = {.ctx = &byte, .random = steady};
    uint8_t key[INST_SEAL_KEY] = {1}, other[INST_SEAL_KEY] = {2};
    struct inst_buf sealed;
    char *out;
    size_t len;
    inst_buf_init(&sealed);
    assert_true(inst_seal(&env, key, "a/b", "secret\0word", 11, &sealed));
    assert_null(strstr(sealed.data, "secret"));
    assert_true(inst_unseal(key, "a/b", sealed.data, sealed.len, &out, &len));
    assert_int_equal(len, 11);
    assert_memory_equal(out, "secret\0word", 12);
    free(out);
    assert_false(inst_unseal(other, "a/b", sealed.data, sealed.len, &out, &len));
    assert_false(inst_unseal(key, "a/c", sealed.data, sealed.len, &out, &len));
    assert_false(inst_unseal(key, "a/b", sealed.data, sealed.len - 1, &out, &len));
    for (size_t i = 0; i < sealed.len; i++) {
        char was = sealed.data[i];
        sealed.data[i] = was == 'A' ? 'B' : 'A';
        assert_false(inst_unseal(key, "a/b", sealed.data, sealed.len, &out, &len));
        assert_null(out);
        sealed.data[i] = was;
    }
    for (size_t i = 0; i < sealed.len; i++)
        assert_false(inst_unseal(key, "a/b", sealed.data, i, &out, &len));
    inst_buf_free(&sealed);
    inst_buf_init(&sealed);
    assert_true(inst_seal(&env, key, "", "", 0, &sealed));
    assert_true(inst_unseal(key, "", sealed.data, sealed.len, &out, &len));
    assert_int_equal(len, 0);
    free(out);
    inst_buf_free(&sealed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64),  cmocka_unit_test(known_tokens), cmocka_unit_test(wrong_keys),
        cmocka_unit_test(signing), cmocka_unit_test(sealing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
