#include "base/buf.h"
#include "base/digest.h"
#include "io/vault_format.h"
#include "io/vault_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A key file is its 32 bytes as lower-case hex and a newline, so that it can be copied by hand. */
#define KEY_FILE_BYTES (2 * INST_VAULT_KEY + 1)

struct file_store {
    struct inst_vault_store base;
    char *path;                      /* whole, without symbolic links */
    char *dir;                       /* where it is */
    enum inst_vault_source source;   /* of the secret given */
    struct inst_secret secret;       /* the passphrase, or the key file's bytes */
    uint8_t log_n;                   /* of a new file */
    bool has_key;                    /* of the file as last read: the following two */
    struct inst_vault_header header; /* its salt and cost */
    struct inst_vault_key key;
};

static enum inst_status failed(const char *path, const char *what, struct inst_err *err) {
    return inst_err_set(err, INST_VAULT_ERR, 0, "%s: %s (%s)", path, what, strerror(errno));
}

/* ---- reading a private file ---- */

static enum inst_status check_private(const char *path, const struct stat *st, size_t max,
                                      struct inst_err *err) {
    if (!S_ISREG(st->st_mode))
        return inst_err_set(err, INST_VAULT_ERR, 0, "%s: this is no file; name another one", path);
    if (st->st_uid != geteuid())
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: belongs to another user (uid %ld), who could read and change it; "
                            "use a file of your own",
                            path, (long)st->st_uid);
    if (st->st_mode & 077)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: others may read or change it (mode %04o); run: chmod 600 %s", path,
                            (unsigned)st->st_mode & 07777, path);
    if ((uint64_t)st->st_size > max)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: %lld bytes are too many for it; name another file", path,
                            (long long)st->st_size);
    return INST_OK;
}

static enum inst_status read_all(const char *path, int fd, size_t max, uint8_t **bytes, size_t *len,
                                 struct inst_err *err) {
    uint8_t *out = malloc(max + 1);
    size_t n = 0;
    if (!out)
        return inst_err_nomem(err);
    while (n <= max) {
        ssize_t got = read(fd, out + n, max + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            enum inst_status status = failed(path, "cannot be read", err);
            inst_wipe(out, n);
            free(out);
            return status;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *bytes = out;
    *len = n;
    return INST_OK;
}

/* The file's bytes, the caller's to wipe and free; NULL when there is no such file. */
static enum inst_status read_private(const char *path, size_t max, uint8_t **bytes, size_t *len,
                                     struct inst_err *err) {
    struct stat st;
    *bytes = NULL;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? INST_OK
                               : failed(path, "cannot be opened; check its permissions", err);
    enum inst_status status =
        fstat(fd, &st) == 0 ? check_private(path, &st, max, err) : failed(path, "failed", err);
    if (status == INST_OK)
        status = read_all(path, fd, (size_t)st.st_size, bytes, len, err);
    if (status == INST_OK && *len != (size_t)st.st_size) {
        inst_wipe(*bytes, *len);
        free(*bytes);
        *bytes = NULL;
        status =
            inst_err_set(err, INST_VAULT_ERR, 0, "%s: changed while it was read; try again", path);
    }
    close(fd);
    return status;
}

/* ---- writing ---- */

static bool write_all(int fd, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* A new file with mode 0600, durable but for its name. */
static enum inst_status write_new(const char *path, const uint8_t *bytes, size_t len,
                                  struct inst_err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(path, "cannot be made; check the permissions of its folder", err);
    bool is_written = write_all(fd, bytes, len) && fsync(fd) == 0;
    int cause = errno;
    if (close(fd) != 0 && is_written) {
        is_written = false;
        cause = errno;
    }
    if (is_written)
        return INST_OK;
    unlink(path);
    errno = cause;
    return failed(path, "cannot be written; check the disk", err);
}

static enum inst_status replace(const char *path, int dir, const uint8_t *bytes, size_t len,
                                struct inst_err *err) {
    char new[PATH_MAX];
    if (snprintf(new, sizeof new, "%s.new", path) >= (int)sizeof new)
        return inst_err_set(err, INST_VAULT_ERR, 0, "%s: the name is too long", path);
    unlink(new); /* what a crash left; nobody else writes it while the folder is locked */
    enum inst_status status = write_new(new, bytes, len, err);
    if (status != INST_OK)
        return status;
    if (rename(new, path) != 0) {
        status = failed(path, "cannot be replaced", err);
        unlink(new);
        return status;
    }
    return fsync(dir) == 0 ? INST_OK : failed(path, "cannot be made durable; check the disk", err);
}

/* ---- one writer at a time ---- */

/* The folder's descriptor, locked; -1 when that failed. Vaults are written so rarely that all of
 * one folder may share a lock, which leaves no lock file behind. */
static int lock_folder(const struct file_store *store, struct inst_err *err) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        failed(store->dir, "cannot be opened; check the folder's permissions", err);
        return -1;
    }
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += 10) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            failed(store->dir, "cannot be locked", err);
            close(fd);
            return -1;
        }
        if (waited >= INST_VAULT_LOCK_MS) {
            inst_err_set(err, INST_VAULT_ERR, 0,
                         "%s: another process keeps it locked; end that one, or try again",
                         store->path);
            close(fd);
            return -1;
        }
        nanosleep(&pause, NULL);
    }
    return fd;
}

/* ---- the key file ---- */

static bool read_hex(const uint8_t *text, uint8_t out[INST_VAULT_KEY]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * INST_VAULT_KEY; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static enum inst_status read_key_file(struct file_store *store, const char *path, bool *is_there,
                                      struct inst_err *err) {
    uint8_t *text, key[INST_VAULT_KEY] = {0};
    size_t len;
    enum inst_status status = read_private(path, KEY_FILE_BYTES + 1, &text, &len, err);
    *is_there = text != NULL;
    if (status != INST_OK || !text)
        return status;
    bool is_key = (len == KEY_FILE_BYTES - 1 || (len == KEY_FILE_BYTES && text[len - 1] == '\n')) &&
                  read_hex(text, key);
    if (!is_key)
        status = inst_err_set(err, INST_VAULT_ERR, 0,
                              "%s: this is no key file (64 hex digits); name another one", path);
    else if (!inst_secret_copy(&store->secret, (const char *)key, sizeof key))
        status = inst_err_nomem(err);
    inst_wipe(key, sizeof key);
    inst_wipe(text, len);
    free(text);
    return status;
}

/* Under a name of its own first: whoever finds the file finds all of it. */
static enum inst_status make_key_file(const char *path, struct inst_err *err) {
    uint8_t key[INST_VAULT_KEY];
    char new[PATH_MAX], text[KEY_FILE_BYTES + 1];
    unsigned random;
    if (RAND_bytes(key, sizeof key) != 1 || RAND_bytes((uint8_t *)&random, sizeof random) != 1)
        return inst_err_set(err, INST_VAULT_ERR, 0, "%s: no random bytes for a key", path);
    if (snprintf(new, sizeof new, "%s.%08x.new", path, random) >= (int)sizeof new)
        return inst_err_set(err, INST_VAULT_ERR, 0, "%s: the name is too long", path);
    inst_hex(key, sizeof key, text);
    text[KEY_FILE_BYTES - 1] = '\n';
    enum inst_status status = write_new(new, (const uint8_t *)text, KEY_FILE_BYTES, err);
    if (status == INST_OK && link(new, path) != 0 && errno != EEXIST)
        status = failed(path, "cannot be made; check the permissions of its folder", err);
    unlink(new);
    inst_wipe(key, sizeof key);
    inst_wipe(text, sizeof text);
    return status;
}

static enum inst_status load_key_file(struct file_store *store, const char *path,
                                      struct inst_err *err) {
    bool is_there;
    enum inst_status status = read_key_file(store, path, &is_there, err);
    if (status != INST_OK || is_there)
        return status;
    if (access(store->path, F_OK) == 0)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: the key file is missing, and without it %s cannot be opened; put "
                            "it back (nothing was written)",
                            path, store->path);
    status = make_key_file(path, err);
    if (status == INST_OK)
        status = read_key_file(store, path, &is_there, err);
    if (status == INST_OK && !is_there)
        status = inst_err_set(err, INST_VAULT_ERR, 0, "%s: vanished while it was made", path);
    return status;
}

/* ---- the vault's file ---- */

static bool is_same_salt(const struct inst_vault_header *a, const struct inst_vault_header *b) {
    return a->source == b->source && a->log_n == b->log_n && a->r == b->r && a->p == b->p &&
           memcmp(a->salt, b->salt, sizeof a->salt) == 0;
}

static enum inst_status use_header(struct file_store *store, const struct inst_vault_header *header,
                                   struct inst_err *err) {
    if (header->source != store->source)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "%s: this vault was made with a %s; give that (nothing was written)",
                            store->path,
                            header->source == INST_VAULT_BY_PASSPHRASE ? "passphrase" : "key file");
    bool is_known = store->has_key && is_same_salt(header, &store->header);
    store->has_key = false;
    store->header = *header;
    if (!is_known) {
        enum inst_status status =
            inst_vault_derive(header, store->secret.bytes, store->secret.len, &store->key, err);
        if (status != INST_OK)
            return status;
    }
    store->has_key = true;
    return INST_OK;
}

/* out must be empty, and is when there is no file. */
static enum inst_status load(struct file_store *store, struct inst_vault_entries *out,
                             struct inst_err *err) {
    struct inst_vault_header header;
    uint8_t *bytes;
    size_t len;
    enum inst_status status = read_private(store->path, INST_VAULT_MAX_FILE, &bytes, &len, err);
    if (status != INST_OK || !bytes)
        return status;
    status = inst_vault_read_header(store->path, bytes, len, &header, err);
    if (status == INST_OK)
        status = use_header(store, &header, err);
    if (status == INST_OK)
        status = inst_vault_unseal(store->path, bytes, len, &header, &store->key, out, err);
    free(bytes);
    return status;
}

static enum inst_status save(struct file_store *store, int dir,
                             const struct inst_vault_entries *entries, struct inst_err *err) {
    struct inst_vault_header header;
    uint8_t *bytes;
    size_t len;
    enum inst_status status = INST_OK;
    if (!store->has_key) {
        status = inst_vault_new_header(store->source, store->log_n, &header, err);
        if (status == INST_OK)
            status = use_header(store, &header, err);
    }
    if (status == INST_OK)
        status = inst_vault_seal(&store->header, &store->key, entries, &bytes, &len, err);
    if (status != INST_OK)
        return status;
    status = replace(store->path, dir, bytes, len, err);
    free(bytes);
    return status;
}

/* ---- the ops ---- */

static enum inst_status file_get(struct inst_vault_store *base, const char *name,
                                 struct inst_secret *out, struct inst_err *err) {
    struct inst_vault_entries entries = {0};
    enum inst_status status = load((struct file_store *)base, &entries, err);
    if (status != INST_OK)
        return status;
    const struct inst_secret *found = inst_vault_entries_find(&entries, name);
    if (found && !inst_secret_copy(out, found->bytes, found->len))
        status = inst_err_nomem(err);
    inst_vault_entries_free(&entries);
    return status;
}

static enum inst_status file_put(struct inst_vault_store *base, const char *name, const char *bytes,
                                 size_t len, struct inst_err *err) {
    struct file_store *store = (struct file_store *)base;
    struct inst_vault_entries entries = {0};
    int dir = lock_folder(store, err);
    if (dir < 0)
        return INST_FAILED;
    enum inst_status status = load(store, &entries, err);
    bool is_needed = bytes || inst_vault_entries_find(&entries, name);
    if (status == INST_OK && is_needed)
        status = inst_vault_entries_set(&entries, name, bytes, len, err);
    if (status == INST_OK && is_needed)
        status = save(store, dir, &entries, err);
    inst_vault_entries_free(&entries);
    close(dir);
    return status;
}

static void file_close(struct inst_vault_store *base) {
    struct file_store *store = (struct file_store *)base;
    inst_secret_free(&store->secret);
    inst_wipe(&store->key, sizeof store->key);
    free(store->path);
    free(store->dir);
    free(store);
}

static const struct inst_vault_ops file_ops = {file_get, file_put, file_close};

/* ---- opening ---- */

/* The file that all names of it share; it need not exist, its folder must. */
static enum inst_status resolve(struct file_store *store, const char *file, struct inst_err *err) {
    char whole[PATH_MAX], copy[PATH_MAX], dir[PATH_MAX];
    const char *target = realpath(file, whole) ? whole : file;
    if (target == file && errno != ENOENT)
        return failed(file, "cannot be reached; check the path and its folders' permissions", err);
    if (snprintf(copy, sizeof copy, "%s", target) >= (int)sizeof copy)
        return inst_err_set(err, INST_VAULT_ERR, 0, "%s: the name is too long", file);
    if (!realpath(dirname(copy), dir))
        return failed(file, "its folder cannot be reached; make it first", err);
    snprintf(copy, sizeof copy, "%s", target); /* dirname and basename both write into it */
    struct inst_buf path;
    inst_buf_init(&path);
    inst_buf_addf(&path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, basename(copy));
    store->path = inst_buf_take(&path, NULL);
    store->dir = strdup(dir);
    return store->path && store->dir ? INST_OK : inst_err_nomem(err);
}

static enum inst_status check_config(const struct inst_vault_config *config, struct inst_err *err) {
    if (!config->file || !*config->file)
        return inst_err_set(err, INST_VAULT_ERR, 0, "The vault's file has no name");
    if (!config->passphrase == !config->key_file)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "A vault's file needs a passphrase or a key file, one of them");
    if (config->passphrase &&
        (config->passphrase_len == 0 || config->passphrase_len > INST_VAULT_MAX_PASSPHRASE))
        return inst_err_set(err, INST_VAULT_ERR, 0, "A passphrase has 1 to %u bytes",
                            INST_VAULT_MAX_PASSPHRASE);
    return INST_OK;
}

enum inst_status inst_vault_file_open(const struct inst_vault_config *config,
                                      struct inst_vault_store **out, struct inst_err *err) {
    struct inst_vault_entries entries = {0};
    enum inst_status status = check_config(config, err);
    if (status != INST_OK)
        return status;
    struct file_store *store = calloc(1, sizeof *store);
    if (!store)
        return inst_err_nomem(err);
    store->base.ops = &file_ops;
    store->source = config->passphrase ? INST_VAULT_BY_PASSPHRASE : INST_VAULT_BY_KEY_FILE;
    store->log_n = config->scrypt_log_n;
    status = resolve(store, config->file, err);
    if (status == INST_OK && config->key_file)
        status = load_key_file(store, config->key_file, err);
    else if (status == INST_OK &&
             !inst_secret_copy(&store->secret, config->passphrase, config->passphrase_len))
        status = inst_err_nomem(err);
    if (status == INST_OK)
        status = load(store, &entries, err);
    inst_vault_entries_free(&entries);
    if (status != INST_OK) {
        file_close(&store->base);
        return status;
    }
    *out = &store->base;
    return INST_OK;
}
