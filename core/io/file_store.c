#include "io/file_store.h"

#include "io/file_store_internal.h"
#include "io/sqlite_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int64_t real_room(const char *path) {
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return -1;
    return (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

const struct inst_file_disk inst_file_real_disk = {
    .write = write, .sync = fsync, .link = link, .room = real_room};

/* ---- paths ---- */

enum inst_status inst_file_no_room(struct inst_err *err) {
    return inst_err_set(err, "storage-full", 507, "There is no room for this file.");
}

enum inst_status inst_file_error(struct inst_err *err, const char *path, const char *what) {
    int cause = errno;
    if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
        return inst_file_no_room(err);
    if (cause == ENOMEM)
        return inst_err_nomem(err);
    return inst_err_set(err, "data-file", 500, "%s: %s (%s)", path, what, strerror(cause));
}

enum inst_status inst_file_path(const struct inst_file_store *store, char out[PATH_MAX],
                                struct inst_err *err, const char *fmt, ...) {
    int n = snprintf(out, PATH_MAX, "%s/", store->root);
    va_list args;
    va_start(args, fmt);
    if (n < PATH_MAX)
        n += vsnprintf(out + n, PATH_MAX - (size_t)n, fmt, args);
    va_end(args);
    return n < PATH_MAX
               ? INST_OK
               : inst_err_set(err, "data-file", 500, "%s: the path is too long", store->root);
}

bool inst_file_name(const char *id, char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    if (!inst_uuid_parse(id, strlen(id), &uuid))
        return false;
    inst_uuid_print(&uuid, out);
    return true;
}

static void parent_of(const char *path, char out[PATH_MAX]) {
    snprintf(out, PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
}

enum inst_status inst_file_make_parents(const char *path, struct inst_err *err) {
    char parent[PATH_MAX];
    parent_of(path, parent);
    return access(parent, F_OK) == 0 ? INST_OK : inst_make_private_dir(parent, err);
}

enum inst_status inst_file_sync_parent(const char *path, struct inst_err *err) {
    char parent[PATH_MAX];
    parent_of(path, parent);
    return inst_sync_dir(parent, err);
}

/* ---- deleting folders ---- */

static int delete_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* The folder with all that is in it; links are not followed. */
static enum inst_status delete_tree(const char *path, struct inst_err *err) {
    if (nftw(path, delete_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return inst_file_error(err, path, "cannot be deleted");
    return INST_OK;
}

/* ---- the store ---- */

enum inst_status inst_file_make_root(struct inst_file_store *store, struct inst_err *err) {
    if (store->root)
        return INST_OK;
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/instant-files-XXXXXX",
                     folder && folder[0] ? folder : "/tmp");
    if (n >= (int)sizeof path || !mkdtemp(path))
        return inst_err_set(err, "data-file", 500, "%s: no temporary folder can be made (%s)", path,
                            strerror(errno));
    store->root = strdup(path);
    return store->root ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_file_store_open(const char *root, const struct inst_file_disk *disk,
                                      const struct inst_env *env, struct inst_file_store **out,
                                      struct inst_err *err) {
    struct inst_file_store *store = calloc(1, sizeof *store);
    if (!store)
        return inst_err_nomem(err);
    store->refs = 1;
    store->disk = disk ? disk : &inst_file_real_disk;
    store->env = env;
    store->is_temporary = !root;
    enum inst_status status = INST_OK;
    if (root && !(store->root = strdup(root)))
        status = inst_err_nomem(err);
    char incoming[PATH_MAX];
    if (status == INST_OK && root)
        status = inst_file_path(store, incoming, err, "incoming");
    if (status == INST_OK && root)
        status = delete_tree(incoming, err);
    if (status != INST_OK) {
        inst_file_store_close(store);
        return status;
    }
    *out = store;
    return INST_OK;
}

struct inst_file_store *inst_file_store_ref(struct inst_file_store *store) {
    store->refs++;
    return store;
}

void inst_file_store_close(struct inst_file_store *store) {
    if (!store || --store->refs > 0)
        return;
    if (store->is_temporary && store->root)
        delete_tree(store->root, NULL);
    free(store->root);
    free(store);
}

enum inst_status inst_file_store_remove_app(struct inst_file_store *store, const char *app,
                                            struct inst_err *err) {
    char name[INST_UUID_TEXT + 1], path[PATH_MAX];
    if (!store->root || !inst_file_name(app, name))
        return INST_OK;
    enum inst_status status = inst_file_path(store, path, err, "%s", name);
    return status == INST_OK ? delete_tree(path, err) : status;
}

/* ---- the key ---- */

static enum inst_status read_key(const char *path, uint8_t out[INST_FILE_KEY], bool *is_there,
                                 struct inst_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *is_there = fd >= 0;
    if (fd < 0)
        return errno == ENOENT ? INST_OK : inst_file_error(err, path, "cannot be read");
    uint8_t bytes[INST_FILE_KEY + 1];
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    if (n != INST_FILE_KEY)
        return inst_err_set(err, "data-file", 500,
                            "%s: not a key of %d bytes; delete it to get a new one (addresses "
                            "given out before end with it, and client secrets of sign-in providers "
                            "have to be entered again)",
                            path, INST_FILE_KEY);
    memcpy(out, bytes, INST_FILE_KEY);
    return INST_OK;
}

/* Complete under its name or not at all. */
static enum inst_status write_key(struct inst_file_store *store, const char *path,
                                  const uint8_t key[INST_FILE_KEY], struct inst_err *err) {
    char fresh[PATH_MAX];
    enum inst_status status = inst_file_path(store, fresh, err, "key.new");
    if (status == INST_OK)
        status = inst_file_make_parents(fresh, err);
    if (status != INST_OK)
        return status;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return inst_file_error(err, fresh, "cannot be made");
    if (store->disk->write(fd, key, INST_FILE_KEY) != INST_FILE_KEY || store->disk->sync(fd) != 0 ||
        rename(fresh, path) != 0)
        status = inst_file_error(err, fresh, "cannot be written");
    close(fd);
    return status == INST_OK ? inst_file_sync_parent(path, err) : status;
}

enum inst_status inst_file_store_key(struct inst_file_store *store, uint8_t out[INST_FILE_KEY],
                                     struct inst_err *err) {
    char path[PATH_MAX];
    bool is_there = store->has_key;
    enum inst_status status = INST_OK;
    if (!store->has_key) {
        if ((status = inst_file_make_root(store, err)) != INST_OK ||
            (status = inst_file_path(store, path, err, "key")) != INST_OK ||
            (status = read_key(path, store->key, &is_there, err)) != INST_OK)
            return status;
        if (!is_there) {
            store->env->random(store->env->ctx, store->key, INST_FILE_KEY);
            status = write_key(store, path, store->key, err);
        }
        if (status != INST_OK)
            return status;
        store->has_key = true;
    }
    memcpy(out, store->key, INST_FILE_KEY);
    return INST_OK;
}

/* ---- reading ---- */

/* A location that the sweep took out while a row names it again (a restored data file) goes back.
 */
static int open_gone(struct inst_file_store *store, const char *app, const char *location,
                     const char *path) {
    char gone[PATH_MAX];
    if (inst_file_path(store, gone, NULL, "%s/gone/%s", app, location) != INST_OK ||
        inst_file_make_parents(path, NULL) != INST_OK || rename(gone, path) != 0) {
        errno = ENOENT;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

enum inst_status inst_file_store_path(struct inst_file_store *store, const char *app,
                                      const char *location, char *out, struct inst_err *err) {
    char app_name[INST_UUID_TEXT + 1], name[INST_UUID_TEXT + 1];
    if (!store->root || !inst_file_name(app, app_name) || !inst_file_name(location, name))
        return inst_err_set(err, "param-malformed", 400, "An app and a location must be uuids");
    return inst_file_path(store, out, err, "%s/at/%.2s/%s", app_name, name, name);
}

enum inst_status inst_file_store_read(struct inst_file_store *store, const char *app,
                                      const char *location, int *fd, uint64_t *size,
                                      struct inst_err *err) {
    char app_name[INST_UUID_TEXT + 1], name[INST_UUID_TEXT + 1], path[PATH_MAX];
    struct stat st;
    *fd = -1;
    *size = 0;
    if (!store->root || !inst_file_name(app, app_name) || !inst_file_name(location, name))
        return INST_OK;
    enum inst_status status =
        inst_file_path(store, path, err, "%s/at/%.2s/%s", app_name, name, name);
    if (status != INST_OK)
        return status;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && errno == ENOENT)
        *fd = open_gone(store, app_name, name, path);
    if (*fd < 0)
        return errno == ENOENT ? INST_OK : inst_file_error(err, path, "cannot be opened");
    if (fstat(*fd, &st) != 0) {
        status = inst_file_error(err, path, "cannot be read");
        close(*fd);
        *fd = -1;
        return status;
    }
    *size = (uint64_t)st.st_size;
    return INST_OK;
}

/* ---- elsewhere ---- */

void inst_file_store_set_remote(struct inst_file_store *store,
                                const struct inst_file_remote *remote) {
    store->remote = *remote;
}

bool inst_file_store_is_remote(struct inst_file_store *store, const char *app, const char *location,
                               char key[INST_FILE_KEY_TEXT + 1]) {
    char app_name[INST_UUID_TEXT + 1], name[INST_UUID_TEXT + 1], path[PATH_MAX], gone[PATH_MAX];
    if (!store->root || !store->remote.put || !inst_file_name(app, app_name) ||
        !inst_file_name(location, name) ||
        inst_file_path(store, path, NULL, "%s/remote/%.2s/%s", app_name, name, name) != INST_OK ||
        inst_file_path(store, gone, NULL, "%s/gone-remote/%s", app_name, name) != INST_OK)
        return false;
    snprintf(key, INST_FILE_KEY_TEXT + 1, "%s/%s", app_name, name);
    /* As open_gone does. */
    return access(path, F_OK) == 0 ||
           (access(gone, F_OK) == 0 && inst_file_make_parents(path, NULL) == INST_OK &&
            rename(gone, path) == 0);
}
