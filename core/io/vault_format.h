/*
 * vault_format.h - a vault file's bytes: entries sealed by AES-256-GCM. No I/O.
 *
 *     0   8  "INSTVLT\n"
 *     8   1  version, 1
 *     9   1  key source: 1 passphrase, 2 key file
 *     10  3  scrypt's log2 N, r, p (0 0 0 with a key file)
 *     13  3  zero
 *     16  16 salt: made with the file, kept for its life
 *     32  16 check: tells a wrong key from an altered file
 *     48  12 nonce: random, another one for every write
 *     60  4  length of what follows without the tag, big-endian
 *     64  n  sealed entries, sorted by name: name length (2), name, secret length (4), secret
 *     64+n 16 tag, over the header too
 *
 * key (32 bytes) and check (16) are one output of scrypt over the passphrase, or of HKDF-SHA256
 * over the key file's 32 bytes: neither says anything about the other. A random nonce serves far
 * more writes of one key than a program makes (2^32).
 */
#ifndef INST_IO_VAULT_FORMAT_H
#define INST_IO_VAULT_FORMAT_H

#include "io/vault.h"

#define INST_VAULT_SALT 16
#define INST_VAULT_CHECK 16
#define INST_VAULT_NONCE 12
#define INST_VAULT_TAG 16
#define INST_VAULT_HEADER 64
#define INST_VAULT_KEY 32

enum inst_vault_source { INST_VAULT_BY_PASSPHRASE = 1, INST_VAULT_BY_KEY_FILE = 2 };

struct inst_vault_header {
    enum inst_vault_source source;
    uint8_t log_n, r, p;
    uint8_t salt[INST_VAULT_SALT];
    uint8_t check[INST_VAULT_CHECK];
    uint8_t nonce[INST_VAULT_NONCE];
    size_t sealed; /* bytes */
};

/* What opens a file: derived once, for one header's salt and cost. */
struct inst_vault_key {
    uint8_t key[INST_VAULT_KEY];
    uint8_t check[INST_VAULT_CHECK];
};

struct inst_vault_entry {
    char *name;
    struct inst_secret secret;
};
/* Sorted by name. Zero is empty. */
struct inst_vault_entries {
    struct inst_vault_entry *items;
    size_t count, cap;
};
void inst_vault_entries_free(struct inst_vault_entries *entries);
/* NULL when there is none. */
const struct inst_secret *inst_vault_entries_find(const struct inst_vault_entries *entries,
                                                  const char *name);
/* Sets it, or removes it with bytes NULL. The entries are as before when this fails. */
enum inst_status inst_vault_entries_set(struct inst_vault_entries *entries, const char *name,
                                        const char *bytes, size_t len, struct inst_err *err);

/* path is for messages only, everywhere below. */

/* Reads the header of a whole file and checks its shape. */
enum inst_status inst_vault_read_header(const char *path, const uint8_t *bytes, size_t len,
                                        struct inst_vault_header *out, struct inst_err *err);
/* A header for a new file: source, cost, random salt. log_n 0: the default. */
enum inst_status inst_vault_new_header(enum inst_vault_source source, uint8_t log_n,
                                       struct inst_vault_header *out, struct inst_err *err);
/* secret: the passphrase, or the key file's 32 bytes. */
enum inst_status inst_vault_derive(const struct inst_vault_header *header, const void *secret,
                                   size_t len, struct inst_vault_key *out, struct inst_err *err);
/* out must be empty; it is when this fails. */
enum inst_status inst_vault_unseal(const char *path, const uint8_t *bytes, size_t len,
                                   const struct inst_vault_header *header,
                                   const struct inst_vault_key *key, struct inst_vault_entries *out,
                                   struct inst_err *err);
/* A whole file with a fresh nonce; header's salt and cost stay. *bytes is the caller's to free. */
enum inst_status inst_vault_seal(const struct inst_vault_header *header,
                                 const struct inst_vault_key *key,
                                 const struct inst_vault_entries *entries, uint8_t **bytes,
                                 size_t *len, struct inst_err *err);
/* The opened entries' bytes; used by unseal, and by tests. Strict. */
enum inst_status inst_vault_read_entries(const char *path, const uint8_t *bytes, size_t len,
                                         struct inst_vault_entries *out, struct inst_err *err);

#endif
