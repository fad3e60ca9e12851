#include "io/data_folder.h"

#include "io/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20)

static enum inst_status failed(struct inst_err *err, const char *path, const char *what) {
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return inst_err_set(err, "data-file", 500,
                            "%s: the disk is full; free some space and try again", path);
    if (errno == EEXIST || errno == ENOTEMPTY)
        return inst_err_set(err, "data-file", 500, "%s: is there already", path);
    return inst_err_set(err, "data-file", 500, "%s: %s (%s)", path, what, strerror(errno));
}

static enum inst_status parent_of(const char *path, char out[PATH_MAX], struct inst_err *err) {
    const char *slash = strrchr(path, '/');
    if (strlen(path) >= PATH_MAX)
        return inst_err_set(err, "data-file", 500, "%s: the path is too long", path);
    snprintf(out, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (slash == path)
        strcpy(out, "/");
    return INST_OK;
}

enum inst_status inst_data_make_folder(const char *path, struct inst_err *err) {
    char parent[PATH_MAX];
    enum inst_status status = parent_of(path, parent, err);
    if (status == INST_OK)
        status = inst_make_private_dir(parent, err);
    if (status == INST_OK && mkdir(path, 0700) != 0)
        status = failed(err, path, "the folder cannot be made");
    return status;
}

static enum inst_status write_all(int fd, const char *path, const char *bytes, size_t len,
                                  struct inst_err *err) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return failed(err, path, "cannot be written");
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return INST_OK;
}

enum inst_status inst_data_write(const char *path, const void *bytes, size_t len,
                                 struct inst_err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(err, path, "cannot be made");
    enum inst_status status = write_all(fd, path, bytes, len, err);
    if (status == INST_OK && fsync(fd) != 0)
        status = failed(err, path, "cannot be synced");
    close(fd);
    if (status != INST_OK)
        unlink(path);
    return status;
}

/* All that was written, in one go: a store may have very many small files. */
static enum inst_status sync_disk(const char *path, struct inst_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum inst_status status =
        fd < 0 || syncfs(fd) != 0 ? failed(err, path, "cannot be synced") : INST_OK;
    if (fd >= 0)
        close(fd);
    return status;
}

static int rename_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    /* Of a file system that cannot: a folder that is not empty is not replaced either. */
    if (access(to, F_OK) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

enum inst_status inst_data_seal(const char *part, const char *to, const char *aside,
                                struct inst_err *err) {
    char parent[PATH_MAX];
    enum inst_status status = parent_of(to, parent, err);
    if (status == INST_OK)
        status = sync_disk(part, err);
    if (status != INST_OK)
        return status;
    if (aside && rename_new(to, aside) != 0 && errno != ENOENT)
        return failed(err, aside, "cannot be made");
    if (rename_new(part, to) != 0)
        return failed(err, to, "cannot be made");
    return inst_sync_dir(parent, err);
}

static int delete_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

enum inst_status inst_data_remove(const char *path, struct inst_err *err) {
    if (nftw(path, delete_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return failed(err, path, "cannot be deleted");
    return INST_OK;
}

/* ---- one file ---- */

struct inst_file_copy {
    int in, out;
    char *from, *to;
    char *buffer;
    uint64_t done, total;
    bool is_whole;
};

enum inst_status inst_file_copy_begin(const char *from, const char *to, struct inst_file_copy **out,
                                      struct inst_err *err) {
    struct inst_file_copy *copy = calloc(1, sizeof *copy);
    struct stat st;
    enum inst_status status = INST_OK;
    if (!copy)
        return inst_err_nomem(err);
    copy->out = -1;
    copy->from = strdup(from);
    copy->to = strdup(to);
    copy->buffer = malloc(PIECE_BYTES);
    copy->in = open(from, O_RDONLY | O_CLOEXEC);
    if (copy->in < 0 || fstat(copy->in, &st) != 0)
        status = failed(err, from, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        status = inst_err_set(err, "data-file", 500, "%s: is no file", from);
    else if (!copy->from || !copy->to || !copy->buffer)
        status = inst_err_nomem(err);
    if (status == INST_OK) {
        copy->total = (uint64_t)st.st_size;
        copy->out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (copy->out < 0)
            status = failed(err, to, "cannot be made");
    }
    if (status != INST_OK) {
        inst_file_copy_free(copy);
        return status;
    }
    *out = copy;
    return INST_OK;
}

enum inst_status inst_file_copy_step(struct inst_file_copy *copy, bool *is_done,
                                     struct inst_err *err) {
    *is_done = false;
    ssize_t n = read(copy->in, copy->buffer, PIECE_BYTES);
    if (n < 0)
        return errno == EINTR ? INST_OK : failed(err, copy->from, "cannot be read");
    if (n > 0) {
        copy->done += (uint64_t)n;
        return write_all(copy->out, copy->to, copy->buffer, (size_t)n, err);
    }
    if (fsync(copy->out) != 0)
        return failed(err, copy->to, "cannot be synced");
    *is_done = copy->is_whole = true;
    return INST_OK;
}

void inst_file_copy_show(const struct inst_file_copy *copy, uint64_t *done, uint64_t *total) {
    *done = copy->done;
    *total = copy->total;
}

void inst_file_copy_free(struct inst_file_copy *copy) {
    if (!copy)
        return;
    if (copy->in >= 0)
        close(copy->in);
    if (copy->out >= 0) {
        close(copy->out);
        if (!copy->is_whole)
            unlink(copy->to);
    }
    free(copy->from);
    free(copy->to);
    free(copy->buffer);
    free(copy);
}
