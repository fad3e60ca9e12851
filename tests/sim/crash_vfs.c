#include "crash_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define MAX_PATH 256

struct bytes {
    unsigned char *data;
    size_t len;
    size_t cap;
};

/* One write, or (data NULL) a cut to `at` bytes. */
struct pending {
    size_t at;
    size_t len;
    unsigned char *data;
    struct pending *next;
};

struct disk_file {
    char path[MAX_PATH];
    struct bytes now;
    struct bytes disk;
    struct pending *first, *last;
    bool is_durable; /* its name is on the disk */
    bool is_deleted; /* gone for the process, its name may be on the disk still */
    bool is_temporary;
    int opened; /* handles */
    struct handle *handles;
    struct disk_file *next;
};

/* SQLite's file object. */
struct handle {
    sqlite3_file base;
    struct crash_vfs *vfs;
    struct disk_file *file;
    uint64_t life; /* of the machine that opened it */
    int lock;
    bool syncs_folder;   /* a new journal or log: its first sync is also one of the folder */
    struct handle *next; /* of the same file */
};

struct crash_vfs {
    sqlite3_vfs base;
    char name[48];
    struct disk_file *files;
    uint64_t random;
    uint64_t life; /* counts crashes */
    uint64_t syncs;
    bool is_down;
    int crash_in, fail_sync_in, fail_write_in; /* 0: never */
    size_t room;
    double clock; /* Julian days; moves by asking */
};

static uint64_t draw(struct crash_vfs *vfs) {
    vfs->random ^= vfs->random >> 12;
    vfs->random ^= vfs->random << 25;
    vfs->random ^= vfs->random >> 27;
    return vfs->random * 0x2545f4914f6cdd1dULL;
}

static bool toss(struct crash_vfs *vfs) { return draw(vfs) >> 63; }

/* ---- bytes ---- */

static bool resize(struct bytes *bytes, size_t len) {
    if (len > bytes->cap) {
        size_t cap = bytes->cap ? bytes->cap : 4096;
        while (cap < len) {
            cap *= 2;
        }
        unsigned char *data = realloc(bytes->data, cap);
        if (!data) {
            return false;
        }
        bytes->data = data;
        bytes->cap = cap;
    }
    if (len > bytes->len) {
        memset(bytes->data + bytes->len, 0, len - bytes->len);
    }
    bytes->len = len;
    return true;
}

static bool write_at(struct bytes *bytes, size_t at, const void *data, size_t len) {
    if (at + len > bytes->len && !resize(bytes, at + len)) {
        return false;
    }
    if (len > 0) {
        memcpy(bytes->data + at, data, len);
    }
    return true;
}

/* ---- what is pending ---- */

static bool add_pending(struct disk_file *file, size_t at, const void *data, size_t len) {
    struct pending *pending = calloc(1, sizeof *pending);
    if (!pending || (data && !(pending->data = malloc(len ? len : 1)))) {
        free(pending);
        return false;
    }
    pending->at = at;
    pending->len = len;
    if (data) {
        memcpy(pending->data, data, len);
    }
    if (file->last) {
        file->last->next = pending;
    } else {
        file->first = pending;
    }
    file->last = pending;
    return true;
}

/* A pending write or cut reaches the disk: all of it, or the sectors that the coin says. */
static void reach_disk(struct crash_vfs *vfs, struct disk_file *file, const struct pending *pending,
                       bool is_whole) {
    if (!pending->data) {
        if ((is_whole || toss(vfs)) && pending->at < file->disk.len) {
            resize(&file->disk, pending->at);
        }
        return;
    }
    for (size_t at = pending->at, end = at + pending->len; at < end;) {
        size_t stop = at - at % SECTOR + SECTOR;
        stop = stop < end ? stop : end;
        if (is_whole || toss(vfs)) {
            write_at(&file->disk, at, pending->data + (at - pending->at), stop - at);
        }
        at = stop;
    }
}

static void settle(struct crash_vfs *vfs, struct disk_file *file, bool is_whole) {
    while (file->first) {
        struct pending *pending = file->first;
        file->first = pending->next;
        reach_disk(vfs, file, pending, is_whole);
        free(pending->data);
        free(pending);
    }
    file->last = NULL;
}

/* ---- files ---- */

static void free_file(struct crash_vfs *vfs, struct disk_file *file) {
    struct disk_file **at = &vfs->files;
    while (*at != file) {
        at = &(*at)->next;
    }
    *at = file->next;
    settle(vfs, file, true);
    free(file->now.data);
    free(file->disk.data);
    free(file);
}

/* Handles that still point at a dropped file keep it until they are closed. */
static void drop_file(struct crash_vfs *vfs, struct disk_file *file) {
    if (file->opened == 0) {
        free_file(vfs, file);
    } else {
        file->is_deleted = true;
        file->is_durable = false;
        file->path[0] = '\0';
    }
}

static struct disk_file *find_file(struct crash_vfs *vfs, const char *path) {
    struct disk_file *file = vfs->files;
    while (file && (file->is_deleted || strcmp(file->path, path) != 0)) {
        file = file->next;
    }
    return file;
}

static struct disk_file *add_file(struct crash_vfs *vfs, const char *path) {
    struct disk_file *file = calloc(1, sizeof *file);
    if (file) {
        snprintf(file->path, sizeof file->path, "%s", path ? path : "");
        file->is_temporary = !path;
        file->next = vfs->files;
        vfs->files = file;
    }
    return file;
}

/* What a sync of the folder does: names that are there stay, names that were deleted are gone. */
static void sync_folder(struct crash_vfs *vfs) {
    for (struct disk_file *file = vfs->files, *next; file; file = next) {
        next = file->next;
        if (file->is_deleted) {
            drop_file(vfs, file);
        } else {
            file->is_durable = true;
        }
    }
}

size_t crash_vfs_used(const struct crash_vfs *vfs) {
    size_t used = 0;
    for (struct disk_file *file = vfs->files; file; file = file->next) {
        used += file->is_deleted ? 0 : file->now.len;
    }
    return used;
}

/* ---- crashing ---- */

/* A deleted file whose folder was not synced may be there again, unless its name was taken. */
static bool survives(struct crash_vfs *vfs, struct disk_file *file) {
    if (file->is_temporary || !file->path[0]) {
        return false;
    }
    if (file->is_deleted) {
        return file->is_durable && !find_file(vfs, file->path) && toss(vfs);
    }
    return file->is_durable || toss(vfs);
}

void crash_vfs_crash(struct crash_vfs *vfs) {
    if (vfs->is_down) {
        return;
    }
    vfs->is_down = true;
    vfs->life++;
    vfs->crash_in = vfs->fail_sync_in = vfs->fail_write_in = 0;
    for (struct disk_file *file = vfs->files, *next; file; file = next) {
        next = file->next;
        if (!survives(vfs, file)) {
            drop_file(vfs, file);
            continue;
        }
        settle(vfs, file, false);
        file->is_deleted = false;
        file->is_durable = true;
        resize(&file->now, 0);
        write_at(&file->now, 0, file->disk.data, file->disk.len);
    }
}

void crash_vfs_restart(struct crash_vfs *vfs) { vfs->is_down = false; }
bool crash_vfs_is_down(const struct crash_vfs *vfs) { return vfs->is_down; }
void crash_vfs_crash_at_sync(struct crash_vfs *vfs, int n) { vfs->crash_in = n; }
void crash_vfs_fail_at_sync(struct crash_vfs *vfs, int n) { vfs->fail_sync_in = n; }
void crash_vfs_fail_at_write(struct crash_vfs *vfs, int n) { vfs->fail_write_in = n; }
void crash_vfs_set_room(struct crash_vfs *vfs, size_t bytes) { vfs->room = bytes; }
uint64_t crash_vfs_syncs(const struct crash_vfs *vfs) { return vfs->syncs; }
const char *crash_vfs_name(const struct crash_vfs *vfs) { return vfs->name; }

/* Counts down; true when it is this one. */
static bool is_due(int *in) { return *in > 0 && --*in == 0; }

/* ---- sqlite3_io_methods ---- */

static bool is_dead(const struct handle *handle) {
    return handle->vfs->is_down || handle->life != handle->vfs->life;
}

static int file_close(sqlite3_file *base) {
    struct handle *handle = (struct handle *)base;
    struct disk_file *file = handle->file;
    struct handle **at = &file->handles;
    while (*at != handle) {
        at = &(*at)->next;
    }
    *at = handle->next;
    file->opened--;
    if (file->opened == 0 && (file->is_temporary || !file->path[0])) {
        free_file(handle->vfs, file);
    }
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *out, int n, sqlite3_int64 at) {
    struct handle *handle = (struct handle *)base;
    const struct bytes *now = &handle->file->now;
    if (is_dead(handle)) {
        return SQLITE_IOERR_READ;
    }
    size_t from = (size_t)at, len = (size_t)n;
    size_t got = from >= now->len ? 0 : now->len - from < len ? now->len - from : len;
    if (got > 0) {
        memcpy(out, now->data + from, got);
    }
    memset((char *)out + got, 0, len - got);
    return got == len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 at) {
    struct handle *handle = (struct handle *)base;
    struct disk_file *file = handle->file;
    size_t end = (size_t)at + (size_t)n;
    if (is_dead(handle) || is_due(&handle->vfs->fail_write_in)) {
        return SQLITE_IOERR_WRITE;
    }
    if (handle->vfs->room > 0 && end > file->now.len &&
        crash_vfs_used(handle->vfs) + (end - file->now.len) > handle->vfs->room) {
        return SQLITE_FULL;
    }
    bool is_kept = write_at(&file->now, (size_t)at, data, (size_t)n) &&
                   (file->is_temporary || add_pending(file, (size_t)at, data, (size_t)n));
    return is_kept ? SQLITE_OK : SQLITE_IOERR_NOMEM;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    struct handle *handle = (struct handle *)base;
    struct disk_file *file = handle->file;
    if (is_dead(handle)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    bool is_kept = resize(&file->now, (size_t)size) &&
                   (file->is_temporary || add_pending(file, (size_t)size, NULL, 0));
    return is_kept ? SQLITE_OK : SQLITE_IOERR_NOMEM;
}

static int file_sync(sqlite3_file *base, int flags) {
    struct handle *handle = (struct handle *)base;
    struct crash_vfs *vfs = handle->vfs;
    (void)flags;
    if (is_dead(handle)) {
        return SQLITE_IOERR_FSYNC;
    }
    vfs->syncs++;
    if (is_due(&vfs->crash_in)) {
        crash_vfs_crash(vfs);
        return SQLITE_IOERR_FSYNC;
    }
    if (is_due(&vfs->fail_sync_in)) {
        settle(vfs, handle->file, false);
        return SQLITE_IOERR_FSYNC;
    }
    settle(vfs, handle->file, true);
    if (handle->syncs_folder) {
        handle->syncs_folder = false;
        sync_folder(vfs);
    }
    handle->file->is_durable = !handle->file->is_deleted || handle->file->is_durable;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out) {
    struct handle *handle = (struct handle *)base;
    *out = (sqlite3_int64)handle->file->now.len;
    return is_dead(handle) ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

/* The strongest lock that another living handle has on the file. */
static int others_lock(const struct handle *handle) {
    int strongest = SQLITE_LOCK_NONE;
    for (struct handle *other = handle->file->handles; other; other = other->next) {
        if (other != handle && other->life == handle->vfs->life && other->lock > strongest) {
            strongest = other->lock;
        }
    }
    return strongest;
}

static int file_lock(sqlite3_file *base, int level) {
    struct handle *handle = (struct handle *)base;
    if (is_dead(handle)) {
        return SQLITE_IOERR_LOCK;
    }
    int others = others_lock(handle);
    bool is_free = level <= handle->lock ||
                   (level == SQLITE_LOCK_SHARED && others < SQLITE_LOCK_PENDING) ||
                   (level == SQLITE_LOCK_RESERVED && others < SQLITE_LOCK_RESERVED) ||
                   (level == SQLITE_LOCK_EXCLUSIVE && others == SQLITE_LOCK_NONE);
    if (!is_free) {
        return SQLITE_BUSY;
    }
    handle->lock = level > handle->lock ? level : handle->lock;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int level) {
    struct handle *handle = (struct handle *)base;
    handle->lock = level < handle->lock ? level : handle->lock;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *out) {
    struct handle *handle = (struct handle *)base;
    *out = handle->lock >= SQLITE_LOCK_RESERVED || others_lock(handle) >= SQLITE_LOCK_RESERVED;
    return is_dead(handle) ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg) {
    (void)base, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}
static int file_sector_size(sqlite3_file *base) {
    (void)base;
    return 4096;
}
static int file_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* ---- sqlite3_vfs ---- */

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *out, int flags,
                    int *out_flags) {
    struct crash_vfs *vfs = (struct crash_vfs *)base;
    struct handle *handle = (struct handle *)out;
    memset(handle, 0, sizeof *handle);
    if (vfs->is_down) {
        return SQLITE_CANTOPEN;
    }
    struct disk_file *file = path ? find_file(vfs, path) : NULL;
    if (!file && path && !(flags & SQLITE_OPEN_CREATE)) {
        return SQLITE_CANTOPEN;
    }
    bool is_new = !file;
    file = file ? file : add_file(vfs, path);
    if (!file) {
        return SQLITE_IOERR_NOMEM;
    }
    file->opened++;
    handle->base.pMethods = &file_methods;
    handle->vfs = vfs;
    handle->file = file;
    handle->life = vfs->life;
    handle->syncs_folder = is_new && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
    handle->next = file->handles;
    file->handles = handle;
    if (out_flags) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int is_dir_synced) {
    struct crash_vfs *vfs = (struct crash_vfs *)base;
    struct disk_file *file = find_file(vfs, path);
    if (vfs->is_down) {
        return SQLITE_IOERR_DELETE;
    }
    if (!file) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    if (!file->is_durable) {
        drop_file(vfs, file);
    } else if (is_dir_synced) {
        file->is_deleted = true;
        sync_folder(vfs);
    } else {
        file->is_deleted = true;
    }
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *out) {
    struct crash_vfs *vfs = (struct crash_vfs *)base;
    (void)flags;
    *out = find_file(vfs, path) != NULL;
    return vfs->is_down ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int n, char *out) {
    (void)base;
    return snprintf(out, (size_t)n, "%s", path) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *base, int n, char *out) {
    for (int i = 0; i < n; i++) {
        out[i] = (char)(draw((struct crash_vfs *)base) >> 56);
    }
    return n;
}

static int vfs_sleep(sqlite3_vfs *base, int us) {
    (void)base;
    return us;
}

static int vfs_time(sqlite3_vfs *base, double *out) {
    struct crash_vfs *vfs = (struct crash_vfs *)base;
    vfs->clock += 1e-6;
    *out = vfs->clock;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *out) {
    (void)base, (void)n, (void)out;
    return 0;
}

struct crash_vfs *crash_vfs_new(uint64_t seed) {
    struct crash_vfs *vfs = calloc(1, sizeof *vfs);
    if (!vfs) {
        return NULL;
    }
    snprintf(vfs->name, sizeof vfs->name, "crash-%p", (void *)vfs);
    vfs->random = seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL;
    vfs->random = vfs->random ? vfs->random : 1;
    vfs->clock = 2460000.5;
    vfs->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(struct handle),
        .mxPathname = MAX_PATH,
        .zName = vfs->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
    };
    if (sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
        free(vfs);
        return NULL;
    }
    return vfs;
}

void crash_vfs_free(struct crash_vfs *vfs) {
    if (!vfs) {
        return;
    }
    sqlite3_vfs_unregister(&vfs->base);
    while (vfs->files) {
        free_file(vfs, vfs->files);
    }
    free(vfs);
}
