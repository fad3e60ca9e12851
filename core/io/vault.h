/*
 * vault.h - where secrets outlive the process: the signed-in user's record with its refresh token.
 *
 *     memory     gone with the process
 *     file       AES-256-GCM; its key from a passphrase by scrypt, or from a key file (mode 0600)
 *     keychain   the desktop's secret service, through libsecret, which is loaded at run time
 *
 * A vault holds secrets by name. Whatever keeps one from being read - a wrong passphrase, an
 * altered file, no keychain, permissions - is an error of type "vault" that says what to do; it is
 * never taken for "nothing there", and nothing is overwritten because of it.
 *
 * Every function here may wait for the disk or for D-Bus (a locked keychain asks its user, for at
 * most INST_VAULT_PROMPT_MS); inst_vault_put_later does not. Secrets are wiped from memory that
 * this code frees, and never logged.
 */
#ifndef INST_IO_VAULT_H
#define INST_IO_VAULT_H

#include "base/err.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- limits ---- */
#define INST_VAULT_MAX_NAME 1024u
#define INST_VAULT_MAX_SECRET (256u << 10)
#define INST_VAULT_MAX_ENTRIES 1000u
#define INST_VAULT_MAX_FILE (4u << 20)
#define INST_VAULT_MAX_PASSPHRASE 4096u
#define INST_VAULT_LOCK_MS 5000     /* for another process that is writing the file */
#define INST_VAULT_PROMPT_MS 120000 /* for the keychain, with its user */

enum inst_vault_kind { INST_VAULT_MEMORY, INST_VAULT_FILE, INST_VAULT_KEYCHAIN };

/* Copied by inst_vault_open. */
struct inst_vault_config {
    enum inst_vault_kind kind;
    /* FILE: its path, and exactly one of the others. */
    const char *file;
    const char *passphrase;
    size_t passphrase_len;
    const char *key_file; /* made, with a random key, when neither it nor the file is there */
    uint8_t scrypt_log_n; /* of a new file; 0: the default. For tests, which cannot wait */
};

/* Bytes that are wiped when freed; NULL: there is none. */
struct inst_secret {
    char *bytes; /* NUL behind them */
    size_t len;
};
/* Wipes and frees it; fine when there is none. */
void inst_secret_free(struct inst_secret *secret);
/* A copy; false when out of memory. */
bool inst_secret_copy(struct inst_secret *secret, const char *bytes, size_t len);

struct inst_vault;

/* Opens it, and finds out whether it can be read: the file when there is one, the library and the
 * bus of a keychain. loop may be NULL when nothing is put later. */
enum inst_status inst_vault_open(struct inst_loop *loop, const struct inst_vault_config *config,
                                 struct inst_vault **out, struct inst_err *err);

/* The secret of this name; out->bytes is NULL when there is none. Not while something put later is
 * under way. */
enum inst_status inst_vault_get(struct inst_vault *vault, const char *name, struct inst_secret *out,
                                struct inst_err *err);

/* Keeps it in place of what was there; bytes NULL: removes it. Durable when it returns. */
enum inst_status inst_vault_put(struct inst_vault *vault, const char *name, const char *bytes,
                                size_t len, struct inst_err *err);

/* The same on another thread, in the order of the calls; done is called on the loop, with NULL when
 * it went well. Holds the loop until then. When this fails done is not called. */
typedef void inst_vault_done_fn(void *ctx, const struct inst_err *err);
enum inst_status inst_vault_put_later(struct inst_vault *vault, const char *name, const char *bytes,
                                      size_t len, inst_vault_done_fn *done, void *ctx,
                                      struct inst_err *err);
/* Is anything put later still under way? */
bool inst_vault_is_busy(const struct inst_vault *vault);

/* Waits for what was put later, without calling anybody, and frees it. NULL is fine. */
void inst_vault_close(struct inst_vault *vault);

#endif
