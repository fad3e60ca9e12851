/*
 * app_backups_internal.h - only for app_backups.c (what is there) and app_backup_job.c (what is
 * being made).
 */
#ifndef INST_IO_APP_BACKUPS_INTERNAL_H
#define INST_IO_APP_BACKUPS_INTERNAL_H

#include "io/app_backups.h"

#include <limits.h>

struct inst_app_backup_job;

struct inst_app_backups {
    struct inst_loop *loop;
    char *root;
    struct inst_server *server;
    struct inst_app_backup_job *jobs; /* oldest first */
    size_t job_count;
};

/* ROOT/<fmt...> */
enum inst_status inst_app_backups_path(const struct inst_app_backups *backups, char out[PATH_MAX],
                                       struct inst_err *err, const char *fmt, ...)
    INST_PRINTF(4, 5);

/* Finished jobs that are remembered, in all. */
#define INST_APP_BACKUPS_MAX_DONE 64

/* ---- app_backup_job.c ---- */
enum inst_status inst_app_backup_begin(struct inst_app_backups *backups,
                                       const struct inst_backup_job *what, const char *title,
                                       struct inst_err *err);
const struct inst_backup_job *inst_app_backup_what(const struct inst_app_backup_job *job);
struct inst_app_backup_job *inst_app_backup_next(struct inst_app_backup_job *job);
void inst_app_backup_cancel(struct inst_app_backup_job *job);
/* Cancelled when it is not done; out of the list. */
void inst_app_backup_free(struct inst_app_backup_job *job);

#endif
