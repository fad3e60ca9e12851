#include "io/content_copy.h"

#include "base/arena.h"
#include "base/uuid.h"
#include "io/sqlite_file.h"
#include "server/table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20)
#define PIECE_ENTRIES 64
#define HASH_TEXT 64

/* The folders of one app in this order: content/00 .. ff, at/00 .. ff, gone. */
#define FOLDERS (256 + 256 + 1)

struct inst_content_copy {
    char *from, *to;
    DIR *apps;
    char app[INST_UUID_TEXT + 1]; /* "" before the first */
    unsigned folder;
    DIR *entries; /* of the folder; NULL: none is open */
    /* inode -> hash, in names: what was copied of this app */
    struct inst_table known;
    struct inst_arena names;
    /* the content on its way */
    int in, out;
    char source[PATH_MAX], target[PATH_MAX];
    char expected[HASH_TEXT + 1]; /* "": not known, the target is named by what comes out */
    char link[PATH_MAX];          /* a location to be linked to it behind; "": none */
    EVP_MD_CTX *hash;
    struct inst_table_key inode;
    struct inst_content_progress shown;
    char first_damaged[PATH_MAX];
    unsigned char *buffer;
};

static enum inst_status failed(struct inst_err *err, const char *path, const char *what) {
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return inst_err_set(err, "data-file", 500,
                            "%s: the disk is full; free some space and try again", path);
    return inst_err_set(err, "data-file", 500, "%s: %s (%s)", path, what, strerror(errno));
}

static bool print(char out[PATH_MAX], const char *fmt, ...) INST_PRINTF(2, 3);
static bool print(char out[PATH_MAX], const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, PATH_MAX, fmt, args);
    va_end(args);
    errno = ENAMETOOLONG;
    return n < PATH_MAX;
}

static enum inst_status make_parent(const char *path, struct inst_err *err) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    return access(parent, F_OK) == 0 ? INST_OK : inst_make_private_dir(parent, err);
}

/* ---- one content ---- */

static void close_content(struct inst_content_copy *copy) {
    if (copy->in >= 0)
        close(copy->in);
    if (copy->out >= 0)
        close(copy->out);
    copy->in = copy->out = -1;
}

/* Opens source; what is gone meanwhile is passed over. The target's name waits for the hash when it
 * is not known. */
static enum inst_status open_content(struct inst_content_copy *copy, const struct stat *st,
                                     struct inst_err *err) {
    enum inst_status status;
    copy->inode = (struct inst_table_key){st->st_ino, st->st_dev};
    copy->in = open(copy->source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (copy->in < 0)
        return errno == ENOENT ? INST_OK : failed(err, copy->source, "cannot be read");
    if (EVP_DigestInit_ex(copy->hash, EVP_sha256(), NULL) != 1)
        return inst_err_nomem(err);
    if (!copy->to)
        return INST_OK;
    if (!print(copy->target, "%s/%s/content/copying", copy->to, copy->app))
        return failed(err, copy->to, "the path is too long");
    if ((status = make_parent(copy->target, err)) != INST_OK)
        return status;
    unlink(copy->target);
    copy->out = open(copy->target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return copy->out < 0 ? failed(err, copy->target, "cannot be made") : INST_OK;
}

static bool remember(struct inst_content_copy *copy, const char *hash) {
    const char *name = inst_arena_dup(&copy->names, hash, HASH_TEXT);
    return name && inst_table_put(&copy->known, copy->inode, (void *)name);
}

static enum inst_status make_link(struct inst_content_copy *copy, const char *hash,
                                  const char *location, const struct timespec *at,
                                  struct inst_err *err) {
    char content[PATH_MAX];
    enum inst_status status;
    if (!copy->to)
        return INST_OK;
    if (!print(content, "%s/%s/content/%.2s/%s", copy->to, copy->app, hash, hash))
        return failed(err, copy->to, "the path is too long");
    if ((status = make_parent(location, err)) != INST_OK)
        return status;
    if (link(content, location) != 0 && errno != EEXIST)
        return failed(err, location, "cannot be linked");
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (at) /* since when no row names it (file_sweep.h) */
        times[1] = *at;
    utimensat(AT_FDCWD, location, times, AT_SYMLINK_NOFOLLOW);
    return INST_OK;
}

static void note_damage(struct inst_content_copy *copy) {
    if (copy->shown.damaged++ == 0) {
        memcpy(copy->first_damaged, copy->source, sizeof copy->first_damaged);
        copy->shown.first_damaged = copy->first_damaged;
    }
}

static enum inst_status name_target(struct inst_content_copy *copy, const char *hash,
                                    struct inst_err *err) {
    char path[PATH_MAX];
    enum inst_status status;
    int out = copy->out;
    copy->out = -1;
    if (close(out) != 0)
        return failed(err, copy->target, "cannot be written");
    if (!print(path, "%s/%s/content/%.2s/%s", copy->to, copy->app, hash, hash))
        return failed(err, copy->to, "the path is too long");
    if ((status = make_parent(path, err)) != INST_OK)
        return status;
    return rename(copy->target, path) == 0 ? INST_OK : failed(err, path, "cannot be made");
}

static enum inst_status end_content(struct inst_content_copy *copy, struct inst_err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hash[HASH_TEXT + 1];
    if (EVP_DigestFinal_ex(copy->hash, digest, &len) != 1 || len != HASH_TEXT / 2)
        return inst_err_nomem(err);
    for (unsigned i = 0; i < len; i++)
        snprintf(hash + 2 * (size_t)i, 3, "%02x", digest[i]);
    if (copy->expected[0] && strcmp(copy->expected, hash) != 0) {
        note_damage(copy);
        memcpy(hash, copy->expected, sizeof hash);
    }
    enum inst_status status = copy->to ? name_target(copy, hash, err) : INST_OK;
    close_content(copy);
    if (status != INST_OK)
        return status;
    copy->shown.files++;
    if (!remember(copy, hash))
        return inst_err_nomem(err);
    return copy->link[0] ? make_link(copy, hash, copy->link, NULL, err) : INST_OK;
}

static enum inst_status copy_piece(struct inst_content_copy *copy, struct inst_err *err) {
    ssize_t n = read(copy->in, copy->buffer, PIECE_BYTES);
    if (n < 0)
        return errno == EINTR ? INST_OK : failed(err, copy->source, "cannot be read");
    if (n == 0)
        return end_content(copy, err);
    if (EVP_DigestUpdate(copy->hash, copy->buffer, (size_t)n) != 1)
        return inst_err_nomem(err);
    for (ssize_t done = 0; copy->to && done < n;) {
        ssize_t m = write(copy->out, copy->buffer + done, (size_t)(n - done));
        if (m < 0 && errno != EINTR)
            return failed(err, copy->target, "cannot be written");
        done += m > 0 ? m : 0;
    }
    copy->shown.bytes += (uint64_t)n;
    return INST_OK;
}

/* ---- entries ---- */

static bool is_hash(const char *name) {
    return strlen(name) == HASH_TEXT && strspn(name, "0123456789abcdef") == HASH_TEXT;
}

static bool is_uuid(const char *name) {
    struct inst_uuid id;
    char text[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(name, strlen(name), &id))
        return false;
    inst_uuid_print(&id, text);
    return strcmp(name, text) == 0;
}

static bool folder_path(const struct inst_content_copy *copy, const char *root,
                        char out[PATH_MAX]) {
    if (copy->folder == 512)
        return print(out, "%s/%s/gone", root, copy->app);
    return print(out, "%s/%s/%s/%02x", root, copy->app, copy->folder < 256 ? "content" : "at",
                 copy->folder % 256);
}

static enum inst_status take_entry(struct inst_content_copy *copy, const char *name,
                                   struct inst_err *err) {
    char folder[PATH_MAX], location[PATH_MAX];
    struct stat st;
    bool is_content = copy->folder < 256;
    if (is_content ? !is_hash(name) : !is_uuid(name))
        return INST_OK;
    if (!folder_path(copy, copy->from, folder) || !print(copy->source, "%s/%s", folder, name) ||
        !folder_path(copy, copy->to ? copy->to : "", folder) ||
        !print(location, "%s/%s", folder, name))
        return failed(err, copy->from, "the path is too long");
    if (lstat(copy->source, &st) != 0)
        return errno == ENOENT ? INST_OK : failed(err, copy->source, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return INST_OK;
    struct inst_table_key inode = {st.st_ino, st.st_dev};
    const char *hash = is_content ? NULL : inst_table_get(&copy->known, inode);
    if (hash)
        return make_link(copy, hash, location, copy->folder == 512 ? &st.st_mtim : NULL, err);
    snprintf(copy->expected, sizeof copy->expected, "%s", is_content ? name : "");
    snprintf(copy->link, sizeof copy->link, "%s", is_content ? "" : location);
    return open_content(copy, &st, err);
}

/* Goes on to the next app; false: there is none. */
static bool next_app(struct inst_content_copy *copy) {
    struct dirent *entry;
    while ((entry = readdir(copy->apps))) {
        if (!is_uuid(entry->d_name))
            continue;
        memcpy(copy->app, entry->d_name, sizeof copy->app);
        copy->folder = 0;
        inst_table_clear(&copy->known);
        inst_arena_reset(&copy->names);
        return true;
    }
    return false;
}

/* Opens the next folder that is there; false: all were seen. */
static bool next_folder(struct inst_content_copy *copy) {
    char path[PATH_MAX];
    if (copy->entries)
        closedir(copy->entries);
    copy->entries = NULL;
    for (;;) {
        if (copy->app[0])
            copy->folder++;
        if ((!copy->app[0] || copy->folder >= FOLDERS) && !next_app(copy))
            return false;
        if (folder_path(copy, copy->from, path) && (copy->entries = opendir(path)))
            return true;
    }
}

enum inst_status inst_content_copy_step(struct inst_content_copy *copy, bool *is_done,
                                        struct inst_err *err) {
    enum inst_status status = INST_OK;
    *is_done = !copy->apps;
    for (int i = 0; i < PIECE_ENTRIES && status == INST_OK && !*is_done; i++) {
        if (copy->in >= 0)
            return copy_piece(copy, err);
        struct dirent *entry = copy->entries ? readdir(copy->entries) : NULL;
        if (entry)
            status = take_entry(copy, entry->d_name, err);
        else
            *is_done = !next_folder(copy);
    }
    return status;
}

/* ---- beginning and ending ---- */

static enum inst_status copy_key(struct inst_content_copy *copy, struct inst_err *err) {
    char from[PATH_MAX], to[PATH_MAX];
    unsigned char bytes[256];
    enum inst_status status;
    if (!print(from, "%s/key", copy->from) || !print(to, "%s/key", copy->to))
        return failed(err, copy->to, "the path is too long");
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? INST_OK : failed(err, from, "cannot be read");
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    if (n < 0)
        return failed(err, from, "cannot be read");
    if ((status = make_parent(to, err)) != INST_OK)
        return status;
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    status =
        fd < 0 || write(fd, bytes, (size_t)n) != n ? failed(err, to, "cannot be written") : INST_OK;
    if (fd >= 0)
        close(fd);
    return status;
}

enum inst_status inst_content_copy_begin(const char *from, const char *to,
                                         struct inst_content_copy **out, struct inst_err *err) {
    struct inst_content_copy *copy = calloc(1, sizeof *copy);
    if (!copy)
        return inst_err_nomem(err);
    copy->in = copy->out = -1;
    inst_table_init(&copy->known);
    inst_arena_init(&copy->names);
    copy->from = strdup(from);
    copy->to = to ? strdup(to) : NULL;
    copy->hash = EVP_MD_CTX_new();
    copy->buffer = malloc(PIECE_BYTES);
    enum inst_status status = copy->from && (copy->to || !to) && copy->hash && copy->buffer
                                  ? INST_OK
                                  : inst_err_nomem(err);
    if (status == INST_OK) {
        copy->apps = opendir(from);
        if (!copy->apps && errno != ENOENT)
            status = failed(err, from, "cannot be read");
    }
    if (status == INST_OK && copy->apps && to)
        status = copy_key(copy, err);
    if (status != INST_OK) {
        inst_content_copy_free(copy);
        return status;
    }
    *out = copy;
    return INST_OK;
}

void inst_content_copy_show(const struct inst_content_copy *copy,
                            struct inst_content_progress *out) {
    *out = copy->shown;
}

void inst_content_copy_free(struct inst_content_copy *copy) {
    if (!copy)
        return;
    close_content(copy);
    if (copy->entries)
        closedir(copy->entries);
    if (copy->apps)
        closedir(copy->apps);
    inst_table_free(&copy->known);
    inst_arena_free(&copy->names);
    EVP_MD_CTX_free(copy->hash);
    free(copy->buffer);
    free(copy->from);
    free(copy->to);
    free(copy);
}
