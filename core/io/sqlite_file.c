#include "io/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HEADER_BYTES 100
#define VERSION_AT 60
#define APPLICATION_AT 68

enum header {
    HEADER_NEW, /* absent, empty, or a creation that a crash cut short */
    HEADER_OURS,
    HEADER_NEWER,
    HEADER_FOREIGN,
    HEADER_NOT_SQLITE,
};

static enum inst_status data_file_error(struct inst_err *err, const char *path, const char *what) {
    return inst_err_set(err, "data-file", 500, "%s: %s", path, what);
}

/* The process that holds a lock on the file, from the kernel's list (opening the file to ask fcntl
 * would drop our own locks when closed); 0 when unknown. */
static long lock_holder(const char *path) {
    struct stat st;
    FILE *locks = stat(path, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
    if (!locks) {
        return 0;
    }
    long holder = 0;
    char line[256];
    while (!holder && fgets(line, sizeof line, locks)) {
        long pid = 0;
        unsigned major_no = 0, minor_no = 0;
        uint64_t inode = 0;
        if (sscanf(line, "%*s %*s %*s %*s %ld %x:%x:%" SCNu64, &pid, &major_no, &minor_no,
                   &inode) == 4 &&
            inode == (uint64_t)st.st_ino && major_no == major(st.st_dev) &&
            minor_no == minor(st.st_dev)) {
            holder = pid;
        }
    }
    fclose(locks);
    return holder;
}

static enum inst_status say_locked(const char *path, struct inst_err *err) {
    long pid = lock_holder(path);
    if (pid == (long)getpid()) {
        return data_file_error(err, path, "already open in this process; use one connection");
    }
    if (pid > 0) {
        return inst_err_set(err, "data-file", 500,
                            "%s: in use by process %ld; stop it first, or work through it", path,
                            pid);
    }
    return data_file_error(err, path, "in use by another process; stop it first");
}

/* The hint tells what is in use from what is broken. */
static enum inst_status locked_error(const char *path, struct inst_err *err) {
    enum inst_status status = say_locked(path, err);
    inst_err_hint(err, "{\"in-use\":true}");
    return status;
}

enum inst_status inst_sqlite_error(sqlite3 *db, const char *path, int rc, struct inst_err *err) {
    int cause = db ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return inst_err_nomem(err);
    case SQLITE_FULL:
        return data_file_error(err, path, "the disk is full; free some space and try again");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return locked_error(path, err);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return data_file_error(err, path,
                               "cannot be written; check the permissions of the file, its folder "
                               "and the disk");
    case SQLITE_CANTOPEN:
        return inst_err_set(err, "data-file", 500,
                            "%s: cannot be opened (%s); check the path and the permissions of its "
                            "folder",
                            path, cause ? strerror(cause) : sqlite3_errstr(rc));
    case SQLITE_IOERR:
        if (cause == EFBIG || cause == EDQUOT) {
            return data_file_error(err, path, "the disk is full; free some space and try again");
        }
        return inst_err_set(err, "data-file", 500,
                            "%s: the disk failed (%s); check the disk, what was not acknowledged "
                            "is not stored",
                            path, cause ? strerror(cause) : sqlite3_errstr(rc));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return data_file_error(err, path, "the file is damaged; restore it from a backup");
    case SQLITE_TOOBIG:
        return data_file_error(err, path, "the value is too large to store");
    default:
        return inst_err_set(err, "data-file", 500, "%s: %s", path,
                            db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    }
}

bool inst_sqlite_is_damage(int rc) {
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

enum inst_status inst_sqlite_exec(sqlite3 *db, const char *path, const char *sql,
                                  struct inst_err *err) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? INST_OK : inst_sqlite_error(db, path, rc, err);
}

enum inst_status inst_sqlite_prepare(sqlite3 *db, const char *path, const char *sql,
                                     sqlite3_stmt **out, struct inst_err *err) {
    int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return rc == SQLITE_OK ? INST_OK : inst_sqlite_error(db, path, rc, err);
}

/* ---- folders ---- */

enum inst_status inst_sync_dir(const char *path, struct inst_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    /* Some file systems cannot sync a folder and need not. */
    if (failed && failed != EINVAL && failed != EROFS) {
        return inst_err_set(err, "data-file", 500, "%s: the folder cannot be synced (%s)", path,
                            strerror(failed));
    }
    return INST_OK;
}

static void parent_of(const char *path, char out[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!slash) {
        strcpy(out, ".");
    } else if (len == 0) {
        strcpy(out, "/");
    } else {
        memcpy(out, path, len);
        out[len] = '\0';
    }
}

enum inst_status inst_make_private_dir(const char *path, struct inst_err *err) {
    char part[PATH_MAX], parent[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return data_file_error(err, path, "no valid path for a folder");
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, 0700) == 0) {
            parent_of(part, parent);
            enum inst_status status = inst_sync_dir(parent, err);
            if (status != INST_OK) {
                return status;
            }
        } else if (errno != EEXIST) {
            return inst_err_set(err, "data-file", 500,
                                "%s: the folder cannot be made (%s); check the path and the "
                                "permissions of its parent",
                                part, strerror(errno));
        }
        part[i] = path[i];
    }
    return INST_OK;
}

/* The file, empty and private, before SQLite sees it: SQLite gives its companions the same mode. */
static enum inst_status make_private_file(const char *path, struct inst_err *err) {
    char dir[PATH_MAX];
    if (strlen(path) >= sizeof dir) {
        return data_file_error(err, path, "the path is too long");
    }
    parent_of(path, dir);
    enum inst_status status = inst_make_private_dir(dir, err);
    if (status != INST_OK) {
        return status;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        return INST_OK;
    }
    if (fd < 0) {
        return inst_err_set(err, "data-file", 500,
                            "%s: cannot be made (%s); check the permissions of its folder and the "
                            "disk",
                            path, strerror(errno));
    }
    close(fd);
    return inst_sync_dir(dir, err);
}

/* ---- the header ---- */

static uint32_t read_be32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum header judge_header(const unsigned char *bytes, sqlite3_int64 size,
                                const struct inst_sqlite_kind *kind) {
    static const unsigned char zeros[HEADER_BYTES];
    if (size == 0 || (size >= HEADER_BYTES && memcmp(bytes, zeros, HEADER_BYTES) == 0)) {
        return HEADER_NEW;
    }
    if (size < HEADER_BYTES || memcmp(bytes, "SQLite format 3", 16) != 0) {
        return HEADER_NOT_SQLITE;
    }
    if (read_be32(bytes + APPLICATION_AT) != (uint32_t)kind->application_id) {
        return HEADER_FOREIGN;
    }
    return read_be32(bytes + VERSION_AT) > (uint32_t)kind->version ? HEADER_NEWER : HEADER_OURS;
}

/* Reads the header through the VFS: it knows which locks this process holds, and closing a file
 * behind its back would drop them. */
static int read_header(const char *path, const struct inst_sqlite_kind *kind, const char *vfs_name,
                       bool *exists, enum header *out) {
    *out = HEADER_NEW;
    *exists = false;
    sqlite3_vfs *vfs = sqlite3_vfs_find(vfs_name);
    if (!vfs) {
        return SQLITE_ERROR;
    }
    sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    /* The VFS wants the full name, with the two NULs that end a list of parameters. */
    char *full = calloc(1, (size_t)vfs->mxPathname + 4);
    int rc = SQLITE_NOMEM;
    if (!file || !full) {
        goto out;
    }
    rc = vfs->xFullPathname(vfs, path, vfs->mxPathname, full);
    if ((rc & 0xff) == SQLITE_OK) {
        int found = 0;
        rc = vfs->xAccess(vfs, full, SQLITE_ACCESS_EXISTS, &found);
        *exists = found != 0;
    }
    if ((rc & 0xff) != SQLITE_OK || !*exists) {
        goto out;
    }
    rc = vfs->xOpen(vfs, full, file, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB, NULL);
    if (rc == SQLITE_OK) {
        unsigned char bytes[HEADER_BYTES] = {0};
        sqlite3_int64 size = 0;
        rc = file->pMethods->xFileSize(file, &size);
        if (rc == SQLITE_OK && size > 0) {
            rc = file->pMethods->xRead(file, bytes, HEADER_BYTES, 0);
            rc = rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc;
        }
        if (rc == SQLITE_OK) {
            *out = judge_header(bytes, size, kind);
        }
    }
    if (file->pMethods) {
        file->pMethods->xClose(file);
    }
out:
    free(file);
    free(full);
    return rc;
}

static void say_unusable(const struct inst_sqlite_options *options) {
    if (options->is_unusable) {
        *options->is_unusable = true;
    }
}

static enum inst_status refuse(const char *path, const struct inst_sqlite_kind *kind,
                               const struct inst_sqlite_options *options, enum header header,
                               struct inst_err *err) {
    say_unusable(options);
    if (header == HEADER_NEWER) {
        return inst_err_set(err, "data-file", 500,
                            "%s: made by a newer version of this program; use that version or "
                            "another file",
                            path);
    }
    return inst_err_set(err, "data-file", 500, "%s: %s, not an %s; choose another path", path,
                        header == HEADER_FOREIGN ? "a SQLite file of another program"
                                                 : "not a SQLite file",
                        kind->noun);
}

/* ---- opening ---- */

static int read_pragma(sqlite3 *db, const char *sql, int *out) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        *out = rc == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : 0;
    }
    int end = sqlite3_finalize(stmt);
    return end != SQLITE_OK ? end : rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static enum inst_status configure(sqlite3 *db, const char *path,
                                  const struct inst_sqlite_options *options, struct inst_err *err) {
    char sql[512];
    int cache = options->cache_kib > 0 ? options->cache_kib : INST_SQLITE_CACHE_KIB;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    snprintf(sql, sizeof sql,
             "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-%d; PRAGMA synchronous=FULL;"
             "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
             "PRAGMA journal_size_limit=%d;",
             cache, INST_SQLITE_WAL_KEEP);
    enum inst_status status = inst_sqlite_exec(db, path, sql, err);
    if (status == INST_OK && options->max_pages > 0) {
        snprintf(sql, sizeof sql, "PRAGMA max_page_count=%u", options->max_pages);
        status = inst_sqlite_exec(db, path, sql, err);
    }
    return status;
}

/* Makes the tables in one transaction together with the file's identity, under a rollback journal:
 * page 1 is in the file itself before anything goes to a write-ahead log. */
static enum inst_status make_tables(sqlite3 *db, const char *path,
                                    const struct inst_sqlite_kind *kind, struct inst_err *err) {
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             kind->application_id, kind->version);
    enum inst_status status = inst_sqlite_exec(db, path, "BEGIN EXCLUSIVE", err);
    if (status == INST_OK) {
        status = inst_sqlite_exec(db, path, kind->schema, err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_exec(db, path, sql, err);
    }
    return status == INST_OK ? inst_sqlite_exec(db, path, "COMMIT", err) : status;
}

/* The header in the file may be older than what the write-ahead log holds: what SQLite itself sees
 * decides. */
static enum inst_status verify_identity(sqlite3 *db, const char *path,
                                        const struct inst_sqlite_kind *kind,
                                        const struct inst_sqlite_options *options, bool *is_empty,
                                        struct inst_err *err) {
    int id = 0, version = 0, schema = 0;
    int rc = read_pragma(db, "PRAGMA application_id", &id);
    rc = rc == SQLITE_OK ? read_pragma(db, "PRAGMA user_version", &version) : rc;
    rc = rc == SQLITE_OK ? read_pragma(db, "PRAGMA schema_version", &schema) : rc;
    if (rc != SQLITE_OK) {
        return inst_sqlite_error(db, path, rc, err);
    }
    *is_empty = id == 0 && version == 0 && schema == 0;
    if (*is_empty) {
        return INST_OK;
    }
    if (id != kind->application_id) {
        return refuse(path, kind, options, HEADER_FOREIGN, err);
    }
    return version > kind->version ? refuse(path, kind, options, HEADER_NEWER, err) : INST_OK;
}

static enum inst_status open_connection(const char *path, const struct inst_sqlite_kind *kind,
                                        const struct inst_sqlite_options *options, sqlite3 **out,
                                        struct inst_err *err) {
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    flags |= options->vfs || strcmp(path, ":memory:") == 0 ? SQLITE_OPEN_CREATE : 0;
    int rc = sqlite3_open_v2(path, &db, flags, options->vfs);
    enum inst_status status = INST_OK;
    bool is_empty = false;
    if (rc != SQLITE_OK) {
        status = inst_sqlite_error(db, path, rc, err);
    } else if (sqlite3_db_readonly(db, "main") == 1) {
        status = inst_sqlite_error(db, path, SQLITE_READONLY, err);
    }
    if (status == INST_OK) {
        status = configure(db, path, options, err);
    }
    if (status == INST_OK) {
        status = verify_identity(db, path, kind, options, &is_empty, err);
    }
    if (status == INST_OK && is_empty) {
        status = make_tables(db, path, kind, err);
    }
    if (status == INST_OK) {
        status = inst_sqlite_exec(db, path, "PRAGMA journal_mode=WAL", err);
    }
    if (status != INST_OK) {
        if (inst_sqlite_is_damage(sqlite3_errcode(db))) {
            say_unusable(options);
        }
        /* A file that is refused keeps its write-ahead log as it was. */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_close(db);
        return status;
    }
    *out = db;
    return INST_OK;
}

enum inst_status inst_sqlite_open(const char *path, const struct inst_sqlite_kind *kind,
                                  const struct inst_sqlite_options *options, sqlite3 **out,
                                  struct inst_err *err) {
    enum inst_status loaded = inst_sqlite_load(err);
    if (loaded != INST_OK) {
        return loaded;
    }
    if (strcmp(path, ":memory:") == 0) {
        return open_connection(path, kind, options, out, err);
    }
    enum header header = HEADER_NEW;
    bool exists = false;
    int rc = read_header(path, kind, options->vfs, &exists, &header);
    if (rc != SQLITE_OK) {
        return inst_sqlite_error(NULL, path, rc, err);
    }
    if (!exists && options->is_existing) {
        return inst_err_set(err, "data-file", 500, "%s: there is no such file; check the path",
                            path);
    }
    if (header != HEADER_NEW && header != HEADER_OURS) {
        return refuse(path, kind, options, header, err);
    }
    if (!exists && !options->vfs) {
        enum inst_status status = make_private_file(path, err);
        if (status != INST_OK) {
            return status;
        }
    }
    return open_connection(path, kind, options, out, err);
}

void inst_sqlite_close(sqlite3 *db) { sqlite3_close(db); }
