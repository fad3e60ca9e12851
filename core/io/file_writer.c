#include "io/file_store_internal.h"

#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct inst_file_writer {
    struct inst_file_store *store;
    char app[INST_UUID_TEXT + 1];
    char *path; /* in incoming/; NULL: finished */
    int fd;
    EVP_MD_CTX *hash;
    uint64_t size;
};

/* Bytes between two looks at how much room the disk has left: what a body of unknown length, or
 * several at a time, take is not known before. */
#define ROOM_EVERY (16u << 20)

/* ---- receiving ---- */

static enum inst_status check_room(struct inst_file_store *store, const char *path,
                                   uint64_t expected, struct inst_err *err) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    int64_t room = store->disk->room(folder);
    if (room < 0)
        return INST_OK;
    if ((uint64_t)room < INST_FILE_RESERVE || (uint64_t)room - INST_FILE_RESERVE < expected)
        return inst_file_no_room(err);
    return INST_OK;
}

static enum inst_status open_incoming(struct inst_file_writer *writer, uint64_t expected,
                                      struct inst_err *err) {
    struct inst_file_store *store = writer->store;
    char path[PATH_MAX], id[INST_UUID_TEXT + 1];
    inst_uuid_make_text(store->env, id);
    enum inst_status status;
    if ((status = inst_file_make_root(store, err)) != INST_OK ||
        (status = inst_file_path(store, path, err, "incoming/%s", id)) != INST_OK ||
        (status = inst_file_make_parents(path, err)) != INST_OK ||
        (status = check_room(store, path, expected, err)) != INST_OK)
        return status;
    if (!(writer->path = strdup(path)) || !(writer->hash = EVP_MD_CTX_new()) ||
        EVP_DigestInit_ex(writer->hash, EVP_sha256(), NULL) != 1)
        return inst_err_nomem(err);
    writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return writer->fd >= 0 ? INST_OK : inst_file_error(err, path, "cannot be made");
}

enum inst_status inst_file_writer_new(struct inst_file_store *store, const char *app,
                                      uint64_t expected, struct inst_file_writer **out,
                                      struct inst_err *err) {
    struct inst_file_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return inst_err_nomem(err);
    writer->store = inst_file_store_ref(store);
    writer->fd = -1;
    enum inst_status status =
        inst_file_name(app, writer->app)
            ? open_incoming(writer, expected, err)
            : inst_err_set(err, "param-malformed", 400, "An app id must be a uuid");
    if (status != INST_OK) {
        inst_file_writer_free(writer);
        return status;
    }
    *out = writer;
    return INST_OK;
}

enum inst_status inst_file_writer_add(struct inst_file_writer *writer, const void *bytes,
                                      size_t len, struct inst_err *err) {
    const char *at = bytes;
    size_t left = len;
    while (left > 0) {
        ssize_t n = writer->store->disk->write(writer->fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return inst_file_error(err, writer->path, "cannot be written");
        at += n;
        left -= (size_t)n;
    }
    uint64_t before = writer->size;
    writer->size += len;
    if (before / ROOM_EVERY != writer->size / ROOM_EVERY) {
        enum inst_status status = check_room(writer->store, writer->path, 0, err);
        if (status != INST_OK)
            return status;
    }
    return EVP_DigestUpdate(writer->hash, bytes, len) == 1 ? INST_OK : inst_err_nomem(err);
}

/* ---- finishing ---- */

static enum inst_status hash_of(struct inst_file_writer *writer, char out[INST_SHA256_HEX + 1],
                                struct inst_err *err) {
    uint8_t digest[INST_SHA256];
    if (EVP_DigestFinal_ex(writer->hash, digest, NULL) != 1)
        return inst_err_nomem(err);
    inst_hex(digest, sizeof digest, out);
    return INST_OK;
}

static bool has_size(const char *path, uint64_t size) {
    struct stat st;
    return stat(path, &st) == 0 && (uint64_t)st.st_size == size;
}

/* May the file system lack hard links, or have given this file all that it has? */
static bool cannot_link(int cause) {
    return cause == EPERM || cause == EOPNOTSUPP || cause == ENOSYS || cause == EMLINK;
}

/* Gives the upload its place among the contents; *is_known: the same bytes are there already.
 * Without hard links a content has one name only, its location: nothing is shared then. */
static enum inst_status keep_content(struct inst_file_writer *writer, const char *content,
                                     bool *is_known, struct inst_err *err) {
    const struct inst_file_disk *disk = writer->store->disk;
    enum inst_status status = inst_file_make_parents(content, err);
    if (status != INST_OK)
        return status;
    int failed = disk->link(writer->path, content) == 0 ? 0 : errno;
    *is_known = failed == EEXIST && has_size(content, writer->size);
    if (*is_known)
        return INST_OK;
    if (failed == EEXIST) { /* it was cut short behind our back: what comes now is whole */
        unlink(content);
        failed = disk->link(writer->path, content) == 0 ? 0 : errno;
    }
    if (failed == 0)
        return inst_file_sync_parent(content, err);
    errno = failed;
    return cannot_link(failed) ? INST_OK : inst_file_error(err, content, "cannot be made");
}

/* The location: a link to the known content, or the upload itself. */
static enum inst_status keep_location(struct inst_file_writer *writer, const char *content,
                                      bool is_known, const char *at, struct inst_err *err) {
    enum inst_status status = inst_file_make_parents(at, err);
    if (status != INST_OK)
        return status;
    if (is_known && writer->store->disk->link(content, at) == 0)
        unlink(writer->path);
    else if (rename(writer->path, at) != 0)
        return inst_file_error(err, at, "cannot be made");
    free(writer->path);
    writer->path = NULL;
    return inst_file_sync_parent(at, err);
}

/* The mark first, durably: what is elsewhere without one nobody would ever delete. */
static enum inst_status mark_remote(struct inst_file_writer *writer, const char *name,
                                    struct inst_err *err) {
    char path[PATH_MAX];
    enum inst_status status;
    if ((status = inst_file_path(writer->store, path, err, "%s/remote/%.2s/%s", writer->app, name,
                                 name)) != INST_OK ||
        (status = inst_file_make_parents(path, err)) != INST_OK)
        return status;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return inst_file_error(err, path, "cannot be made");
    close(fd);
    return inst_file_sync_parent(path, err);
}

static enum inst_status finish_remote(struct inst_file_writer *writer, const char *name,
                                      struct inst_err *err) {
    const struct inst_file_remote *remote = &writer->store->remote;
    char key[INST_FILE_KEY_TEXT + 1];
    enum inst_status status = mark_remote(writer, name, err);
    if (status != INST_OK)
        return status;
    snprintf(key, sizeof key, "%s/%s", writer->app, name);
    return remote->put(remote->ctx, key, writer->path, writer->size, err);
}

enum inst_status inst_file_writer_finish(struct inst_file_writer *writer, const char *location,
                                         struct inst_file_stored *out, struct inst_err *err) {
    struct inst_file_store *store = writer->store;
    char name[INST_UUID_TEXT + 1], content[PATH_MAX], at[PATH_MAX];
    enum inst_status status;
    bool is_known;
    if (!inst_file_name(location, name))
        return inst_err_set(err, "param-malformed", 400, "A location must be a uuid");
    if ((status = hash_of(writer, out->sha256, err)) != INST_OK)
        return status;
    out->size = writer->size;
    if (store->remote.put)
        return finish_remote(writer, name, err);
    if (store->disk->sync(writer->fd) != 0)
        return inst_file_error(err, writer->path, "cannot be synced");
    if ((status = inst_file_path(store, content, err, "%s/content/%.2s/%s", writer->app,
                                 out->sha256, out->sha256)) != INST_OK ||
        (status = inst_file_path(store, at, err, "%s/at/%.2s/%s", writer->app, name, name)) !=
            INST_OK ||
        (status = keep_content(writer, content, &is_known, err)) != INST_OK)
        return status;
    return keep_location(writer, content, is_known, at, err);
}

void inst_file_writer_free(struct inst_file_writer *writer) {
    if (!writer)
        return;
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->path)
        unlink(writer->path);
    EVP_MD_CTX_free(writer->hash);
    inst_file_store_close(writer->store);
    free(writer->path);
    free(writer);
}
