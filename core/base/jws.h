/*
 * jws.h - signed tokens (RFC 7515, compact form) and the keys they are checked with (RFC 7517).
 *
 *     base64url(header) . base64url(payload) . base64url(signature)
 *
 * RS256 and ES256, nothing else: what a token says of its own algorithm is only ever compared with
 * the kind of the key, so that neither `none` nor a public key taken for a shared secret passes.
 * By OpenSSL's libcrypto.
 */
#ifndef INST_BASE_JWS_H
#define INST_BASE_JWS_H

#include "base/buf.h"
#include "base/value.h"

/* A token, bytes. */
#define INST_JWS_MAX (16u << 10)
/* An RSA key's modulus, bits. */
#define INST_JWS_MIN_RSA 2048
#define INST_JWS_MAX_RSA 8192

struct inst_jws {
    struct inst_value header, payload; /* objects */
    const char *text;                  /* borrowed; what is signed are its first bytes */
    size_t signed_len;
    const uint8_t *signature;
    size_t signature_len;
};

enum inst_jws_alg { INST_JWS_OTHER, INST_JWS_RS256, INST_JWS_ES256 };

/* INST_FAILED: it is no such token (no err is set). Values live on arena, signature too. */
enum inst_status inst_jws_read(struct inst_arena *arena, const char *text, size_t len,
                               struct inst_jws *out);
/* What the header says. */
enum inst_jws_alg inst_jws_alg(const struct inst_jws *jws);
/* May the key (one of a JWK set) have signed tokens of this algorithm? */
bool inst_jwk_fits(const struct inst_value *jwk, enum inst_jws_alg alg);
/* Is it signed by this key, which fits? Also false when memory is short. */
bool inst_jws_verify(const struct inst_jws *jws, enum inst_jws_alg alg,
                     const struct inst_value *jwk);

/* A token signed by ES256 with the private key of a PEM text; header and payload are JSON. false:
 * that is no P-256 key, or memory is short. */
bool inst_jws_sign_es256(const char *pem, size_t pem_len, const char *header, const char *payload,
                         struct inst_buf *out);

#endif
