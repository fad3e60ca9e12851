/*
 * vault_internal.h - what vault.c asks of each kind of vault. Only for vault*.c.
 */
#ifndef INST_IO_VAULT_INTERNAL_H
#define INST_IO_VAULT_INTERNAL_H

#include "io/vault.h"

/* The error type of everything that is wrong with a vault. */
#define INST_VAULT_ERR "vault"

struct inst_vault_store;

struct inst_vault_ops {
    enum inst_status (*get)(struct inst_vault_store *store, const char *name,
                            struct inst_secret *out, struct inst_err *err);
    /* bytes NULL: removes. */
    enum inst_status (*put)(struct inst_vault_store *store, const char *name, const char *bytes,
                            size_t len, struct inst_err *err);
    void (*close)(struct inst_vault_store *store);
};

/* First member of each. Used by one thread at a time. */
struct inst_vault_store {
    const struct inst_vault_ops *ops;
};

enum inst_status inst_vault_file_open(const struct inst_vault_config *config,
                                      struct inst_vault_store **out, struct inst_err *err);
enum inst_status inst_vault_keychain_open(struct inst_vault_store **out, struct inst_err *err);

#endif
