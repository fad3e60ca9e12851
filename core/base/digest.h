/*
 * digest.h - SHA-256, HMAC, and what secrets need: comparing without telling how much was equal,
 * and wiping. By OpenSSL's libcrypto.
 */
#ifndef INST_BASE_DIGEST_H
#define INST_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_SHA256 32
#define INST_SHA256_HEX 64

void inst_sha256(const void *bytes, size_t len, uint8_t out[INST_SHA256]);
/* As lower-case hex with a NUL: how secrets are kept at rest (http.md 16). */
void inst_sha256_hex(const void *bytes, size_t len, char out[INST_SHA256_HEX + 1]);
/* HMAC with that hash: who knows the key vouches for the bytes. false when out of memory. */
bool inst_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                      uint8_t out[INST_SHA256]);
/* Lower case; writes 2 * len characters and a NUL. */
void inst_hex(const uint8_t *bytes, size_t len, char *out);
/* Are both the same? Takes as long whatever they hold. */
bool inst_secret_equal(const void *a, const void *b, size_t len);
/* Zeroes memory that is about to be freed; the compiler does not leave it out. */
void inst_wipe(void *bytes, size_t len);

#endif
