/*
 * signature.h - Ed25519: is a message signed by the holder of a key? By OpenSSL's libcrypto.
 */
#ifndef INST_BASE_SIGNATURE_H
#define INST_BASE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#define INST_ED25519_KEY 32
#define INST_ED25519_SIGNATURE 64

/* key: the raw public key. false for a key or signature of another length, and when memory is
 * short: what cannot be checked is not signed. */
bool inst_ed25519_verify(const void *key, size_t key_len, const void *signature,
                         size_t signature_len, const void *message, size_t len);

#endif
