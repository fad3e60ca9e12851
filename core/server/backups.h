/*
 * backups.h - what the engine asks of its host about backups of one app (http.md 12.1).
 *
 *     POST .../backups ── begin ──> job: the app's file is copied, then written out as an archive
 *                                    │   has it (export.h), in pieces beside everything else
 *     GET  .../backup-jobs <── each_job
 *     GET  .../backups     <── each ──> objects: config.json, entities/<etype>.jsonl
 *
 * An object has a location of its own, as a file's content has: whoever has its signed address
 * reads it (files.h). Contents of files that a backup names are kept as long as the backup.
 */
#ifndef INST_SERVER_BACKUPS_H
#define INST_SERVER_BACKUPS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long one is kept. */
#define INST_BACKUPS_KEPT_MS (30ll * 24 * 60 * 60 * 1000)
#define INST_BACKUPS_MAX_DESCRIPTION 255
/* Of one app at the same time. */
#define INST_BACKUPS_MAX 50

struct inst_backup_info {
    char id[INST_UUID_TEXT + 1];
    char description[INST_BACKUPS_MAX_DESCRIPTION + 1]; /* "": none */
    int64_t isn;                                        /* the last transaction in it */
    int64_t at_ms, expires_ms;
    uint64_t files_size, db_size, uncompressed_size;
};

struct inst_backup_object {
    const char *name; /* borrowed for the call */
    char location[INST_UUID_TEXT + 1];
    uint64_t size;
};

enum inst_backup_state {
    INST_BACKUP_PROCESSING,
    INST_BACKUP_COMPLETED,
    INST_BACKUP_ERRORED,
    INST_BACKUP_CANCELLED,
};

struct inst_backup_job {
    char id[INST_UUID_TEXT + 1]; /* also of the backup that it makes */
    char app[INST_UUID_TEXT + 1];
    char description[INST_BACKUPS_MAX_DESCRIPTION + 1];
    enum inst_backup_state state;
    uint64_t work_estimate, work_completed; /* pages and entities */
    int64_t created_ms, updated_ms, done_ms;
};

struct inst_backups_ops {
    /* One at a time and app: *is_busy says that there is one, and nothing was begun. job: id, app,
     * description and created_ms are the caller's to say. */
    enum inst_status (*begin)(void *ctx, const struct inst_backup_job *job, const char *title,
                              bool *is_busy, struct inst_err *err);
    /* Those of this process, oldest first; false stops. */
    void (*each_job)(void *ctx, const char *app_id,
                     bool (*fn)(void *ctx, const struct inst_backup_job *job), void *fn_ctx);
    /* false: no such job is under way. */
    bool (*cancel)(void *ctx, const char *app_id, const char *id);
    /* What is there and has not expired, newest first; false stops. */
    enum inst_status (*each)(void *ctx, const char *app_id,
                             bool (*fn)(void *ctx, const struct inst_backup_info *info),
                             void *fn_ctx, struct inst_err *err);
    /* config.json comes first; *found: there is such a backup. */
    enum inst_status (*each_object)(void *ctx, const char *app_id, const char *id,
                                    bool (*fn)(void *ctx, const struct inst_backup_object *object),
                                    void *fn_ctx, bool *found, struct inst_err *err);
    /* Adds an object's bytes to out. */
    enum inst_status (*read)(void *ctx, const char *app_id, const char *id, const char *location,
                             struct inst_buf *out, struct inst_err *err);
    enum inst_status (*remove)(void *ctx, const char *app_id, const char *id, bool *found,
                               struct inst_err *err);
};

#endif
