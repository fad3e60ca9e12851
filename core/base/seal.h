/*
 * seal.h - a small secret as a text that can be kept anywhere: AES-256-GCM, by OpenSSL's libcrypto.
 *
 *     "v1." base64url( nonce 12 | sealed | tag 16 )
 *
 * What the secret belongs to (`for_what`) is vouched for with it: a sealed text that is moved to
 * another place does not open there. Nonces are random: one key serves 2^32 secrets.
 */
#ifndef INST_BASE_SEAL_H
#define INST_BASE_SEAL_H

#include "base/buf.h"
#include "base/env.h"

#define INST_SEAL_KEY 32
#define INST_SEAL_MAX (64u << 10) /* bytes of a secret */

/* false: too long, or out of memory. */
bool inst_seal(const struct inst_env *env, const uint8_t key[INST_SEAL_KEY], const char *for_what,
               const char *secret, size_t len, struct inst_buf *out);
/* The caller frees *out, wiped, as len + 1 bytes with a NUL at the end. false: another key, another
 * place, no such text, or out of memory. */
bool inst_unseal(const uint8_t key[INST_SEAL_KEY], const char *for_what, const char *text,
                 size_t text_len, char **out, size_t *len);

#endif
