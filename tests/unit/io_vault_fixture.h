/*
 * io_vault_fixture.h - a scratch folder, and vaults in it whose scrypt costs nothing.
 */
#ifndef INST_TESTS_IO_VAULT_FIXTURE_H
#define INST_TESTS_IO_VAULT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "io/vault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    char path[96];
    char key_path[96];
    struct inst_err err;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/instant-vault-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/vault", f->dir);
    snprintf(f->key_path, sizeof f->key_path, "%s/key", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    inst_err_clear(&f->err);
    int failed = system(command);
    free(f);
    return failed;
}

static inline void must(enum inst_status status, struct inst_err *err) {
    if (status != INST_OK)
        fail_msg("%s", err->message);
}

static inline struct inst_vault_config by_passphrase(struct fixture *f, const char *passphrase) {
    return (struct inst_vault_config){.kind = INST_VAULT_FILE,
                                      .file = f->path,
                                      .passphrase = passphrase,
                                      .passphrase_len = strlen(passphrase),
                                      .scrypt_log_n = 1};
}

static inline struct inst_vault_config by_key_file(struct fixture *f) {
    return (struct inst_vault_config){
        .kind = INST_VAULT_FILE, .file = f->path, .key_file = f->key_path};
}

static inline struct inst_vault *open_vault(struct fixture *f, struct inst_vault_config config) {
    struct inst_vault *vault = NULL;
    must(inst_vault_open(NULL, &config, &vault, &f->err), &f->err);
    return vault;
}

static inline void put(struct fixture *f, struct inst_vault *vault, const char *name,
                       const char *secret) {
    must(inst_vault_put(vault, name, secret, secret ? strlen(secret) : 0, &f->err), &f->err);
}

/* expected NULL: none. */
static inline void expect(struct fixture *f, struct inst_vault *vault, const char *name,
                          const char *expected) {
    struct inst_secret secret;
    must(inst_vault_get(vault, name, &secret, &f->err), &f->err);
    if (!expected) {
        assert_null(secret.bytes);
        return;
    }
    assert_non_null(secret.bytes);
    assert_string_equal(secret.bytes, expected);
    assert_int_equal(secret.len, strlen(expected));
    inst_secret_free(&secret);
}

/* Opening fails with a vault error that says `part`. */
static inline void expect_refusal(struct fixture *f, struct inst_vault_config config,
                                  const char *part) {
    struct inst_vault *vault = NULL;
    enum inst_status status = inst_vault_open(NULL, &config, &vault, &f->err);
    if (status == INST_OK)
        inst_vault_close(vault);
    assert_int_equal(status, INST_FAILED);
    assert_string_equal(f->err.type, "vault");
    if (!strstr(f->err.message, part))
        fail_msg("\"%s\" says nothing of \"%s\"", f->err.message, part);
    inst_err_clear(&f->err);
}

static inline size_t read_file(const char *path, unsigned char *out, size_t size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(out, 1, size, file);
    fclose(file);
    return len;
}

static inline void write_file(const char *path, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

#endif
