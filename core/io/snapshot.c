#include "io/snapshot.h"

#include "io/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct inst_snapshot {
    sqlite3 *from, *copy;
    sqlite3_backup *backup;
    char *from_path, *to, *part;
    bool is_done;
};

static enum inst_status disk_error(struct inst_err *err, const char *path, const char *what) {
    return inst_err_set(err, "data-file", 500, "%s: %s (%s)", path, what, strerror(errno));
}

/* Private, before SQLite sees it; nothing that is there is written over. */
static enum inst_status make_file(const char *path, struct inst_err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return disk_error(err, path, "cannot be made");
    }
    close(fd);
    return INST_OK;
}

/* The copy needs no journal: it counts for nothing before it is whole and synced. */
static enum inst_status open_copy(struct inst_snapshot *snapshot, struct inst_err *err) {
    enum inst_status status = make_file(snapshot->part, err);
    if (status != INST_OK) {
        free(snapshot->part);
        snapshot->part = NULL; /* not ours to delete */
        return status;
    }
    int rc = sqlite3_open_v2(snapshot->part, &snapshot->copy,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        return inst_sqlite_error(snapshot->copy, snapshot->part, rc, err);
    }
    sqlite3_extended_result_codes(snapshot->copy, 1);
    return inst_sqlite_exec(snapshot->copy, snapshot->part,
                            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF;"
                            "PRAGMA synchronous=OFF",
                            err);
}

enum inst_status inst_snapshot_begin(sqlite3 *from, const char *from_path, const char *to,
                                     struct inst_snapshot **out, struct inst_err *err) {
    struct inst_snapshot *snapshot = calloc(1, sizeof *snapshot);
    size_t len = strlen(to) + sizeof ".part";
    if (!snapshot) {
        return inst_err_nomem(err);
    }
    snapshot->from = from;
    snapshot->from_path = strdup(from_path);
    snapshot->to = strdup(to);
    snapshot->part = malloc(len);
    enum inst_status status = INST_OK;
    if (!snapshot->from_path || !snapshot->to || !snapshot->part) {
        free(snapshot->part);
        snapshot->part = NULL;
        status = inst_err_nomem(err);
    }
    if (status == INST_OK) {
        snprintf(snapshot->part, len, "%s.part", to);
        status = open_copy(snapshot, err);
    }
    if (status == INST_OK) {
        snapshot->backup = sqlite3_backup_init(snapshot->copy, "main", from, "main");
        if (!snapshot->backup) {
            status = inst_sqlite_error(snapshot->copy, snapshot->part,
                                       sqlite3_extended_errcode(snapshot->copy), err);
        }
    }
    if (status != INST_OK) {
        inst_snapshot_free(snapshot);
        return status;
    }
    *out = snapshot;
    return INST_OK;
}

static enum inst_status close_copy(struct inst_snapshot *snapshot, struct inst_err *err) {
    int rc = sqlite3_backup_finish(snapshot->backup);
    snapshot->backup = NULL;
    enum inst_status status =
        rc == SQLITE_OK ? INST_OK : inst_sqlite_error(snapshot->copy, snapshot->part, rc, err);
    sqlite3_close(snapshot->copy);
    snapshot->copy = NULL;
    return status;
}

static enum inst_status sync_file(const char *path, struct inst_err *err) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    enum inst_status status =
        fd < 0 || fsync(fd) != 0 ? disk_error(err, path, "cannot be synced") : INST_OK;
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

static enum inst_status keep(struct inst_snapshot *snapshot, struct inst_err *err) {
    char folder[PATH_MAX];
    enum inst_status status = sync_file(snapshot->part, err);
    if (status != INST_OK) {
        return status;
    }
    /* A link fails where a rename would replace. */
    if (link(snapshot->part, snapshot->to) != 0) {
        return disk_error(err, snapshot->to, "cannot be made");
    }
    snapshot->is_done = true;
    const char *slash = strrchr(snapshot->to, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - snapshot->to) : 1,
             slash ? snapshot->to : ".");
    return inst_sync_dir(folder[0] ? folder : "/", err);
}

enum inst_status inst_snapshot_step(struct inst_snapshot *snapshot, bool *is_done,
                                    struct inst_err *err) {
    *is_done = false;
    errno = 0;
    int rc = sqlite3_backup_step(snapshot->backup, INST_SNAPSHOT_PAGES);
    /* The backup keeps no cause of a write that failed. */
    if ((rc & 0xff) == SQLITE_IOERR && (errno == EFBIG || errno == EDQUOT || errno == ENOSPC)) {
        rc = SQLITE_FULL;
    }
    if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        return INST_OK;
    }
    if (rc != SQLITE_DONE) {
        bool is_of_copy = (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_CANTOPEN ||
                          sqlite3_errcode(snapshot->from) == SQLITE_OK;
        return inst_sqlite_error(is_of_copy ? snapshot->copy : snapshot->from,
                                 is_of_copy ? snapshot->to : snapshot->from_path, rc, err);
    }
    enum inst_status status = close_copy(snapshot, err);
    if (status == INST_OK) {
        status = keep(snapshot, err);
    }
    *is_done = status == INST_OK;
    return status;
}

void inst_snapshot_progress(const struct inst_snapshot *snapshot, size_t *done, size_t *total) {
    int all = snapshot->backup ? sqlite3_backup_pagecount(snapshot->backup) : 0;
    int left = snapshot->backup ? sqlite3_backup_remaining(snapshot->backup) : 0;
    *total = all > 0 ? (size_t)all : 0;
    *done = all > left ? (size_t)(all - left) : 0;
}

void inst_snapshot_free(struct inst_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    if (snapshot->backup) {
        sqlite3_backup_finish(snapshot->backup);
    }
    if (snapshot->copy) {
        sqlite3_close(snapshot->copy);
    }
    if (snapshot->part) {
        unlink(snapshot->part);
    }
    free(snapshot->part);
    free(snapshot->to);
    free(snapshot->from_path);
    free(snapshot);
}
