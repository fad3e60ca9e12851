/*
 * signature.h - Ed25519: signing, and is a message signed by the holder of a key? By OpenSSL's
 * libcrypto.
 */
#ifndef INST_BASE_SIGNATURE_H
#define INST_BASE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_ED25519_KEY 32
#define INST_ED25519_SIGNATURE 64

/* key: the raw public key. false for a key or signature of another length, and when memory is
 * short: what cannot be checked is not signed. */
bool inst_ed25519_verify(const void *key, size_t key_len, const void *signature,
                         size_t signature_len, const void *message, size_t len);

/* seed: the private key, INST_ED25519_KEY bytes. false when memory is short. */
bool inst_ed25519_public(const uint8_t *seed, uint8_t out[INST_ED25519_KEY]);
bool inst_ed25519_sign(const uint8_t *seed, const void *message, size_t len,
                       uint8_t out[INST_ED25519_SIGNATURE]);

#endif
