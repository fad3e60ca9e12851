#include "io/vault_format.h"

#include "base/buf.h"
#include "base/digest.h"
#include "io/vault_internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "INSTVLT\n"
#define MAGIC_LEN 8
#define VERSION 1
/* 32 MB and about a quarter of a second: OWASP's recommendation for scrypt. */
#define DEFAULT_LOG_N 15
#define DEFAULT_R 8
#define DEFAULT_P 3
/* What a file may ask for: a header from outside must not take all memory, or minutes. */
#define MAX_LOG_N 18
#define MAX_R 16
#define MAX_P 16
#define MAX_SCRYPT_BYTES (256ull << 20)

enum { AT_VERSION = 8, AT_SOURCE, AT_LOG_N, AT_R, AT_P, AT_ZERO };
enum { AT_SALT = 16, AT_CHECK = 32, AT_NONCE = 48, AT_LENGTH = 60 };

static enum inst_status altered(const char *path, struct inst_err *err) {
    return inst_err_set(
        err, INST_VAULT_ERR, 0,
        "%s: the vault was altered or is damaged; restore it from a copy, or remove "
        "it and sign in again",
        path);
}

static enum inst_status crypto_failed(struct inst_err *err) {
    return inst_err_set(err, INST_VAULT_ERR, 0, "OpenSSL could not do what the vault needs");
}

/* ---- secrets and entries ---- */

void inst_secret_free(struct inst_secret *secret) {
    inst_wipe(secret->bytes, secret->len);
    free(secret->bytes);
    *secret = (struct inst_secret){0};
}

bool inst_secret_copy(struct inst_secret *secret, const char *bytes, size_t len) {
    char *copy = malloc(len + 1);
    if (!copy)
        return false;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    *secret = (struct inst_secret){copy, len};
    return true;
}

static void free_entry(struct inst_vault_entry *entry) {
    free(entry->name);
    inst_secret_free(&entry->secret);
}

void inst_vault_entries_free(struct inst_vault_entries *entries) {
    for (size_t i = 0; i < entries->count; i++)
        free_entry(&entries->items[i]);
    free(entries->items);
    *entries = (struct inst_vault_entries){0};
}

/* Where name is, or where it would be. */
static size_t place_of(const struct inst_vault_entries *entries, const char *name, bool *is_there) {
    size_t low = 0, high = entries->count;
    *is_there = false;
    while (low < high && !*is_there) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(entries->items[middle].name, name);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
        *is_there = order == 0;
        if (*is_there)
            return middle;
    }
    return low;
}

const struct inst_secret *inst_vault_entries_find(const struct inst_vault_entries *entries,
                                                  const char *name) {
    bool is_there;
    size_t at = place_of(entries, name, &is_there);
    return is_there ? &entries->items[at].secret : NULL;
}

static bool reserve(struct inst_vault_entries *entries) {
    if (entries->count < entries->cap)
        return true;
    size_t cap = entries->cap ? entries->cap * 2 : 4;
    /* Pointers only: what they point to is wiped by its owner. */
    struct inst_vault_entry *items = realloc(entries->items, cap * sizeof *items);
    if (!items)
        return false;
    entries->items = items;
    entries->cap = cap;
    return true;
}

static enum inst_status add_entry(struct inst_vault_entries *entries, size_t at, const char *name,
                                  const char *bytes, size_t len, struct inst_err *err) {
    struct inst_vault_entry entry = {.name = strdup(name)};
    if (!entry.name || !reserve(entries) || !inst_secret_copy(&entry.secret, bytes, len)) {
        free(entry.name);
        return inst_err_nomem(err);
    }
    memmove(&entries->items[at + 1], &entries->items[at],
            (entries->count - at) * sizeof *entries->items);
    entries->items[at] = entry;
    entries->count++;
    return INST_OK;
}

static void remove_entry(struct inst_vault_entries *entries, size_t at) {
    free_entry(&entries->items[at]);
    entries->count--;
    memmove(&entries->items[at], &entries->items[at + 1],
            (entries->count - at) * sizeof *entries->items);
}

enum inst_status inst_vault_entries_set(struct inst_vault_entries *entries, const char *name,
                                        const char *bytes, size_t len, struct inst_err *err) {
    bool is_there;
    size_t at = place_of(entries, name, &is_there);
    struct inst_secret copy;
    if (!bytes) {
        if (is_there)
            remove_entry(entries, at);
        return INST_OK;
    }
    if (!is_there) {
        if (entries->count >= INST_VAULT_MAX_ENTRIES)
            return inst_err_set(err, INST_VAULT_ERR, 0, "A vault holds at most %u secrets",
                                INST_VAULT_MAX_ENTRIES);
        return add_entry(entries, at, name, bytes, len, err);
    }
    if (!inst_secret_copy(&copy, bytes, len))
        return inst_err_nomem(err);
    inst_secret_free(&entries->items[at].secret);
    entries->items[at].secret = copy;
    return INST_OK;
}

/* ---- numbers ---- */

static uint32_t read_be(const uint8_t *at, size_t size) {
    uint32_t n = 0;
    for (size_t i = 0; i < size; i++)
        n = n << 8 | at[i];
    return n;
}

static void write_be(uint8_t *at, size_t size, size_t n) {
    for (size_t i = size; i > 0; i--, n >>= 8)
        at[i - 1] = (uint8_t)n;
}

/* ---- the header ---- */

static bool is_cost_allowed(const struct inst_vault_header *header) {
    if (header->source == INST_VAULT_BY_KEY_FILE)
        return header->log_n == 0 && header->r == 0 && header->p == 0;
    return header->log_n >= 1 && header->log_n <= MAX_LOG_N && header->r >= 1 &&
           header->r <= MAX_R && header->p >= 1 && header->p <= MAX_P &&
           128ull * header->r << header->log_n <= MAX_SCRYPT_BYTES;
}

enum inst_status inst_vault_read_header(const char *path, const uint8_t *bytes, size_t len,
                                        struct inst_vault_header *out, struct inst_err *err) {
    struct inst_vault_header header = {0};
    if (len < MAGIC_LEN + 1 || memcmp(bytes, MAGIC, MAGIC_LEN) != 0)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: this is no vault; name another file (nothing was written)", path);
    if (bytes[AT_VERSION] != VERSION)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: a vault of format %d, and this program knows format %d; use the "
                            "program that wrote it",
                            path, bytes[AT_VERSION], VERSION);
    if (len < INST_VAULT_HEADER + INST_VAULT_TAG)
        return altered(path, err);
    if (bytes[AT_SOURCE] != INST_VAULT_BY_PASSPHRASE && bytes[AT_SOURCE] != INST_VAULT_BY_KEY_FILE)
        return altered(path, err);
    header.source = (enum inst_vault_source)bytes[AT_SOURCE];
    header.log_n = bytes[AT_LOG_N];
    header.r = bytes[AT_R];
    header.p = bytes[AT_P];
    header.sealed = read_be(bytes + AT_LENGTH, 4);
    if (!is_cost_allowed(&header) || read_be(bytes + AT_ZERO, 3) != 0 ||
        header.sealed != len - INST_VAULT_HEADER - INST_VAULT_TAG)
        return altered(path, err);
    memcpy(header.salt, bytes + AT_SALT, sizeof header.salt);
    memcpy(header.check, bytes + AT_CHECK, sizeof header.check);
    memcpy(header.nonce, bytes + AT_NONCE, sizeof header.nonce);
    *out = header;
    return INST_OK;
}

static void write_header(const struct inst_vault_header *header, const struct inst_vault_key *key,
                         uint8_t out[INST_VAULT_HEADER]) {
    memset(out, 0, INST_VAULT_HEADER);
    memcpy(out, MAGIC, MAGIC_LEN);
    out[AT_VERSION] = VERSION;
    out[AT_SOURCE] = (uint8_t)header->source;
    out[AT_LOG_N] = header->log_n;
    out[AT_R] = header->r;
    out[AT_P] = header->p;
    memcpy(out + AT_SALT, header->salt, sizeof header->salt);
    memcpy(out + AT_CHECK, key->check, sizeof key->check);
    memcpy(out + AT_NONCE, header->nonce, sizeof header->nonce);
    write_be(out + AT_LENGTH, 4, header->sealed);
}

enum inst_status inst_vault_new_header(enum inst_vault_source source, uint8_t log_n,
                                       struct inst_vault_header *out, struct inst_err *err) {
    struct inst_vault_header header = {.source = source};
    if (source == INST_VAULT_BY_PASSPHRASE) {
        header.log_n = log_n ? log_n : DEFAULT_LOG_N;
        header.r = DEFAULT_R;
        header.p = DEFAULT_P;
    }
    if (RAND_bytes(header.salt, sizeof header.salt) != 1)
        return crypto_failed(err);
    *out = header;
    return INST_OK;
}

/* ---- the key ---- */

static int scrypt(const struct inst_vault_header *header, const void *secret, size_t len,
                  uint8_t *out, size_t out_len) {
    return EVP_PBE_scrypt(secret, len, header->salt, sizeof header->salt, 1ull << header->log_n,
                          header->r, header->p, 2 * MAX_SCRYPT_BYTES, out, out_len);
}

static int hkdf(const struct inst_vault_header *header, const void *secret, size_t len,
                uint8_t *out, size_t out_len) {
    static char info[] = "instant vault 1", digest[] = "SHA256";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)header->salt,
                                          sizeof header->salt),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
        OSSL_PARAM_construct_end(),
    };
    int ok = ctx ? EVP_KDF_derive(ctx, out, out_len, params) : 0;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

enum inst_status inst_vault_derive(const struct inst_vault_header *header, const void *secret,
                                   size_t len, struct inst_vault_key *out, struct inst_err *err) {
    uint8_t derived[INST_VAULT_KEY + INST_VAULT_CHECK];
    int ok = header->source == INST_VAULT_BY_PASSPHRASE
                 ? scrypt(header, secret, len, derived, sizeof derived)
                 : hkdf(header, secret, len, derived, sizeof derived);
    if (ok != 1)
        return crypto_failed(err);
    memcpy(out->key, derived, INST_VAULT_KEY);
    memcpy(out->check, derived + INST_VAULT_KEY, INST_VAULT_CHECK);
    inst_wipe(derived, sizeof derived);
    return INST_OK;
}

/* ---- entries as bytes ---- */

static enum inst_status read_entry(const uint8_t *bytes, size_t len, size_t *at,
                                   struct inst_vault_entries *out, bool *is_good,
                                   struct inst_err *err) {
    char name[INST_VAULT_MAX_NAME + 1];
    *is_good = false;
    if (len - *at < 2)
        return INST_OK;
    size_t name_len = read_be(bytes + *at, 2);
    *at += 2;
    if (name_len == 0 || name_len > INST_VAULT_MAX_NAME || len - *at < name_len + 4)
        return INST_OK;
    memcpy(name, bytes + *at, name_len);
    name[name_len] = '\0';
    *at += name_len;
    size_t secret_len = read_be(bytes + *at, 4);
    *at += 4;
    if (strlen(name) != name_len || secret_len > INST_VAULT_MAX_SECRET || len - *at < secret_len ||
        out->count >= INST_VAULT_MAX_ENTRIES ||
        (out->count > 0 && strcmp(out->items[out->count - 1].name, name) >= 0))
        return INST_OK;
    *is_good = true;
    enum inst_status status =
        add_entry(out, out->count, name, (const char *)bytes + *at, secret_len, err);
    *at += secret_len;
    return status;
}

enum inst_status inst_vault_read_entries(const char *path, const uint8_t *bytes, size_t len,
                                         struct inst_vault_entries *out, struct inst_err *err) {
    enum inst_status status = INST_OK;
    size_t at = 0;
    while (status == INST_OK && at < len) {
        bool is_good;
        status = read_entry(bytes, len, &at, out, &is_good, err);
        if (!is_good)
            status = altered(path, err);
    }
    if (status != INST_OK)
        inst_vault_entries_free(out);
    return status;
}

static size_t entries_size(const struct inst_vault_entries *entries) {
    size_t size = 0;
    for (size_t i = 0; i < entries->count; i++)
        size += 2 + strlen(entries->items[i].name) + 4 + entries->items[i].secret.len;
    return size;
}

static void write_entries(const struct inst_vault_entries *entries, uint8_t *at) {
    for (size_t i = 0; i < entries->count; i++) {
        const struct inst_vault_entry *entry = &entries->items[i];
        size_t name_len = strlen(entry->name);
        write_be(at, 2, name_len);
        memcpy(at + 2, entry->name, name_len);
        at += 2 + name_len;
        write_be(at, 4, entry->secret.len);
        memcpy(at + 4, entry->secret.bytes, entry->secret.len);
        at += 4 + entry->secret.len;
    }
}

/* ---- sealing ---- */

/* In place; the tag is written, or checked. */
static bool cipher(const uint8_t key[INST_VAULT_KEY], const uint8_t header[INST_VAULT_HEADER],
                   uint8_t *bytes, size_t len, uint8_t tag[INST_VAULT_TAG], bool seals) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t nothing[16];
    int n;
    bool ok = ctx &&
              EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, header + AT_NONCE, seals) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &n, header, INST_VAULT_HEADER) == 1 &&
              (len == 0 || EVP_CipherUpdate(ctx, bytes, &n, bytes, (int)len) == 1) &&
              (seals || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, INST_VAULT_TAG, tag) == 1) &&
              EVP_CipherFinal_ex(ctx, nothing, &n) == 1 &&
              (!seals || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, INST_VAULT_TAG, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static enum inst_status wrong_key(const char *path, enum inst_vault_source source,
                                  struct inst_err *err) {
    return inst_err_set(err, INST_VAULT_ERR, 0,
                        "%s: the %s is not the one that this vault was made with, or the vault was "
                        "altered (nothing was written)",
                        path, source == INST_VAULT_BY_PASSPHRASE ? "passphrase" : "key file");
}

enum inst_status inst_vault_unseal(const char *path, const uint8_t *bytes, size_t len,
                                   const struct inst_vault_header *header,
                                   const struct inst_vault_key *key, struct inst_vault_entries *out,
                                   struct inst_err *err) {
    uint8_t tag[INST_VAULT_TAG];
    if (!inst_secret_equal(header->check, key->check, INST_VAULT_CHECK))
        return wrong_key(path, header->source, err);
    if (header->sealed != len - INST_VAULT_HEADER - INST_VAULT_TAG)
        return altered(path, err);
    uint8_t *opened = malloc(header->sealed + 1);
    if (!opened)
        return inst_err_nomem(err);
    memcpy(opened, bytes + INST_VAULT_HEADER, header->sealed);
    memcpy(tag, bytes + INST_VAULT_HEADER + header->sealed, sizeof tag);
    enum inst_status status = cipher(key->key, bytes, opened, header->sealed, tag, false)
                                  ? inst_vault_read_entries(path, opened, header->sealed, out, err)
                                  : altered(path, err);
    inst_wipe(opened, header->sealed);
    free(opened);
    return status;
}

enum inst_status inst_vault_seal(const struct inst_vault_header *header,
                                 const struct inst_vault_key *key,
                                 const struct inst_vault_entries *entries, uint8_t **bytes,
                                 size_t *len, struct inst_err *err) {
    struct inst_vault_header fresh = *header;
    fresh.sealed = entries_size(entries);
    size_t size = INST_VAULT_HEADER + fresh.sealed + INST_VAULT_TAG;
    if (size > INST_VAULT_MAX_FILE)
        return inst_err_set(err, INST_VAULT_ERR, 0, "A vault's file takes at most %u bytes",
                            INST_VAULT_MAX_FILE);
    if (RAND_bytes(fresh.nonce, sizeof fresh.nonce) != 1)
        return crypto_failed(err);
    uint8_t *out = malloc(size);
    if (!out)
        return inst_err_nomem(err);
    write_header(&fresh, key, out);
    uint8_t *body = out + INST_VAULT_HEADER;
    write_entries(entries, body);
    if (!cipher(key->key, out, body, fresh.sealed, body + fresh.sealed, true)) {
        inst_wipe(out, size);
        free(out);
        return crypto_failed(err);
    }
    *bytes = out;
    *len = size;
    return INST_OK;
}
