/*
 * storage_folder.c - a storage of files.
 *
 *     FOLDER/<app id>/lock                     flock: one client has the app
 *     FOLDER/<app id>/<store>/<name>.json      the text of one key
 *     FOLDER/<app id>/<store>/<name>.tmp       not there yet; left over by a crash
 *     FOLDER/<app id>/user.vault, .key         the signed-in user, without a keychain
 *
 * A name is the key, its bytes other than A-Z a-z 0-9 _ - as %XX. A text is written beside the one
 * it replaces, synced and renamed, so that after a crash either is whole; then the folder is
 * synced.
 */
#include "io/storage.h"

#include "io/sqlite_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* File names have 255 bytes; some are for what we append. */
#define MAX_NAME 240

struct folder {
    struct inst_storage base;
    char *path; /* FOLDER/<app id> */
    int lock;
};

static enum inst_status fail(struct inst_err *err, const char *path, const char *what, int cause) {
    return inst_err_set(err, "storage-failed", 0, "%s: %s (%s)", path, what, strerror(cause));
}

/* ---- names ---- */

static bool is_plain(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* FOLDER/<app id>/<store>/<name><tail> */
static enum inst_status path_of(const struct folder *folder, const char *store, const char *key,
                                const char *tail, char out[PATH_MAX], struct inst_err *err) {
    char name[MAX_NAME + 4];
    size_t len = 0;
    for (const char *p = key; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (len + 3 > MAX_NAME)
            return inst_err_set(err, "storage-failed", 0, "%s: the key is too long for a file: %s",
                                folder->path, key);
        if (is_plain(c))
            name[len++] = (char)c;
        else
            len += (size_t)snprintf(name + len, 4, "%%%02X", c);
    }
    name[len] = '\0';
    int n = snprintf(out, PATH_MAX, "%s/%s/%s%s", folder->path, store, name, tail);
    return n < PATH_MAX
               ? INST_OK
               : inst_err_set(err, "storage-failed", 0, "%s: the path is too long", folder->path);
}

static int hex(char c) {
    const char *digits = "0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The key of a file name without its tail; false when it is none of ours. */
static bool key_of(const char *name, size_t len, char out[MAX_NAME + 1]) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (n >= MAX_NAME)
            return false;
        if (is_plain(c)) {
            out[n++] = name[i];
        } else if (c == '%' && i + 2 < len && hex(name[i + 1]) >= 0 && hex(name[i + 2]) >= 0) {
            out[n++] = (char)(hex(name[i + 1]) * 16 + hex(name[i + 2]));
            i += 2;
        } else {
            return false;
        }
    }
    out[n] = '\0';
    return n > 0 && !memchr(out, 0, n);
}

/* ---- loading ---- */

static enum inst_status read_all(int fd, const char *path, size_t size, struct inst_buf *out,
                                 struct inst_err *err) {
    size_t left = size;
    if (!inst_buf_reserve(out, size + 1))
        return inst_err_nomem(err);
    while (left > 0) {
        char bytes[64 << 10];
        ssize_t n = read(fd, bytes, sizeof bytes < left ? sizeof bytes : left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, path, "cannot be read", errno);
        if (n == 0)
            break;
        inst_buf_add(out, bytes, (size_t)n);
        left -= (size_t)n;
    }
    return INST_OK;
}

static enum inst_status set_aside(struct inst_storage *base, const char *path,
                                  struct inst_err *err) {
    struct inst_buf name;
    enum inst_status status = inst_storage_aside_name(path, &name, err);
    if (status == INST_OK)
        status =
            inst_storage_set_aside(path, name.data, "it is no file of ours", &base->warning, err);
    inst_buf_free(&name);
    return status;
}

static enum inst_status folder_load(struct inst_storage *base, const char *store, const char *key,
                                    struct inst_buf *out, bool *is_there, struct inst_err *err) {
    struct folder *folder = (struct folder *)base;
    char path[PATH_MAX];
    struct stat st;
    *is_there = false;
    enum inst_status status = path_of(folder, store, key, ".json", path, err);
    if (status != INST_OK)
        return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return INST_OK;
    if (fd < 0 && errno != ELOOP)
        return fail(err, path, "cannot be read", errno);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size > (off_t)INST_STORAGE_MAX_TEXT) {
        status = set_aside(base, path, err);
    } else {
        status = read_all(fd, path, (size_t)st.st_size, out, err);
        *is_there = status == INST_OK;
    }
    if (fd >= 0)
        close(fd);
    return status;
}

/* ---- writing ---- */

static enum inst_status write_file(const char *path, const char *bytes, size_t len,
                                   struct inst_err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(err, path, "cannot be written", errno);
    int cause = 0;
    while (len > 0 && !cause) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0) {
            cause = errno == EINTR ? 0 : errno;
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
    if (!cause && fsync(fd) != 0)
        cause = errno;
    if (close(fd) != 0 && !cause)
        cause = errno;
    return cause ? fail(err, path, "cannot be written", cause) : INST_OK;
}

static void drop_temporary(const struct folder *folder, const char *store,
                           const struct inst_disk_pair *pairs, size_t count) {
    char path[PATH_MAX];
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].value && path_of(folder, store, pairs[i].key, ".tmp", path, NULL) == INST_OK)
            unlink(path);
    }
}

static enum inst_status put_in_place(const struct folder *folder, const char *store,
                                     const struct inst_disk_pair *pair, struct inst_err *err) {
    char path[PATH_MAX], temporary[PATH_MAX];
    enum inst_status status = path_of(folder, store, pair->key, ".json", path, err);
    if (status == INST_OK)
        status = path_of(folder, store, pair->key, ".tmp", temporary, err);
    if (status != INST_OK)
        return status;
    if (!pair->value)
        return unlink(path) == 0 || errno == ENOENT ? INST_OK
                                                    : fail(err, path, "cannot be removed", errno);
    return rename(temporary, path) == 0 ? INST_OK : fail(err, path, "cannot be replaced", errno);
}

static enum inst_status folder_write(struct inst_storage *base, const char *store,
                                     const struct inst_disk_pair *pairs, size_t count,
                                     bool is_durable, struct inst_err *err) {
    struct folder *folder = (struct folder *)base;
    char path[PATH_MAX];
    enum inst_status status = INST_OK;
    (void)is_durable; /* a file without its bytes would have to be set aside */
    for (size_t i = 0; i < count && status == INST_OK; i++) {
        if (!pairs[i].value)
            continue;
        status = path_of(folder, store, pairs[i].key, ".tmp", path, err);
        if (status == INST_OK)
            status = write_file(path, pairs[i].value, pairs[i].len, err);
    }
    if (status != INST_OK) {
        drop_temporary(folder, store, pairs, count);
        return status;
    }
    for (size_t i = 0; i < count && status == INST_OK; i++)
        status = put_in_place(folder, store, &pairs[i], err);
    snprintf(path, sizeof path, "%s/%s", folder->path, store);
    struct inst_err cause = {0};
    if (status == INST_OK && inst_sync_dir(path, &cause) != INST_OK)
        status = inst_storage_fail(&cause, err);
    return status;
}

/* ---- listing ---- */

static bool has_tail(const char *name, const char *tail) {
    size_t len = strlen(name), n = strlen(tail);
    return len > n && strcmp(name + len - n, tail) == 0;
}

static enum inst_status folder_list(struct inst_storage *base, const char *store,
                                    struct inst_buf *out, struct inst_err *err) {
    struct folder *folder = (struct folder *)base;
    char path[PATH_MAX], key[MAX_NAME + 1];
    snprintf(path, sizeof path, "%s/%s", folder->path, store);
    DIR *dir = opendir(path);
    if (!dir)
        return fail(err, path, "cannot be read", errno);
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (has_tail(entry->d_name, ".json") &&
            key_of(entry->d_name, strlen(entry->d_name) - 5, key))
            inst_buf_add(out, key, strlen(key) + 1);
        else if (has_tail(entry->d_name, ".tmp"))
            unlinkat(dirfd(dir), entry->d_name, 0);
        errno = 0;
    }
    int cause = errno;
    closedir(dir);
    if (cause)
        return fail(err, path, "cannot be read", cause);
    return out->failed ? inst_err_nomem(err) : INST_OK;
}

/* ---- life ---- */

static void folder_close(struct inst_storage *base) {
    struct folder *folder = (struct folder *)base;
    if (folder->lock >= 0)
        close(folder->lock);
    free(folder->path);
    free(base->warning);
    free(base->beside);
    free(folder);
}

static const struct inst_storage_ops folder_ops = {folder_load, folder_write, folder_list,
                                                   folder_close};

/* The kernel lets go of it however the process ends. */
static enum inst_status take_lock(struct folder *folder, struct inst_err *err) {
    char path[PATH_MAX], text[32];
    snprintf(path, sizeof path, "%s/lock", folder->path);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (folder->lock < 0)
        return fail(err, path, "cannot be opened", errno);
    if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0) {
        int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (ftruncate(folder->lock, 0) != 0 || pwrite(folder->lock, text, (size_t)n, 0) != n)
            return fail(err, path, "cannot be written", errno);
        return INST_OK;
    }
    if (errno != EWOULDBLOCK)
        return fail(err, path, "cannot be locked", errno);
    ssize_t n = pread(folder->lock, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return inst_err_set(err, "storage-failed", 0,
                        "%s: in use by another client (process %ld); give each one of its own, or "
                        "end that one first",
                        folder->path, strtol(text, NULL, 10));
}

static enum inst_status make_folders(const struct folder *folder, struct inst_err *err) {
    static const char *const stores[] = {"kv", "querySubs", "syncSubs"};
    char path[PATH_MAX];
    struct inst_err cause = {0};
    enum inst_status status = inst_make_private_dir(folder->path, &cause);
    for (size_t i = 0; i < sizeof stores / sizeof stores[0] && status == INST_OK; i++) {
        snprintf(path, sizeof path, "%s/%s", folder->path, stores[i]);
        status = inst_make_private_dir(path, &cause);
    }
    return status == INST_OK ? INST_OK : inst_storage_fail(&cause, err);
}

enum inst_status inst_storage_open_folder(const char *path, const char *app_id,
                                          struct inst_storage **out, struct inst_err *err) {
    struct folder *folder = calloc(1, sizeof *folder);
    struct inst_buf whole;
    inst_buf_init(&whole);
    inst_buf_addf(&whole, "%s/%s", path, app_id);
    if (!folder || whole.failed) {
        inst_buf_free(&whole);
        free(folder);
        return inst_err_nomem(err);
    }
    folder->base.ops = &folder_ops;
    folder->path = inst_buf_take(&whole, NULL);
    folder->lock = -1;
    inst_buf_init(&whole);
    inst_buf_addf(&whole, "%s/user", folder->path);
    if (!(folder->base.beside = inst_buf_take(&whole, NULL))) {
        folder_close(&folder->base);
        return inst_err_nomem(err);
    }
    enum inst_status status =
        strlen(folder->path) + MAX_NAME + 32 < PATH_MAX
            ? make_folders(folder, err)
            : inst_err_set(err, "storage-failed", 0, "%s: the path is too long", path);
    if (status == INST_OK)
        status = take_lock(folder, err);
    if (status != INST_OK) {
        folder_close(&folder->base);
        return status;
    }
    *out = &folder->base;
    return INST_OK;
}
