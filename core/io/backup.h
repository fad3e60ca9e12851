/*
 * backup.h - the databases of a data folder (or one app's file), copied into another folder while
 * they are used.
 *
 *     DIR/system.db      first: what it names is copied behind it
 *     DIR/apps/<id>.db   one after the other, each as of its own moment
 *
 * The contents of files need no server: content_copy.h takes them, afterwards, so that what a row
 * of a copied database names is there (a deleted content stays for a week, file_sweep.h).
 *
 * Whoever has the apps says how an app's connection is held: the server's engine keeps it open
 * (inst_server_hold_app), a program without a server opens it.
 */
#ifndef INST_IO_BACKUP_H
#define INST_IO_BACKUP_H

#include "io/apps.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_backup_source {
    struct inst_apps *apps;
    enum inst_status (*hold)(void *ctx, const char *app_id, struct inst_app_db **out,
                             struct inst_err *err);
    void (*let_go)(void *ctx, const char *app_id, struct inst_app_db *db);
    void *ctx;
};

struct inst_backup;

struct inst_backup_progress {
    const char *name;         /* "system.db", or the id of the app that is being copied */
    size_t file, files;       /* 1 .. files */
    size_t pages, page_count; /* of that one */
};

/* to: a folder that is there and has none of the files; of one app's file: the file to be made. */
enum inst_status inst_backup_begin(const struct inst_backup_source *source, const char *to,
                                   struct inst_backup **out, struct inst_err *err);
/* A piece, short enough for an event loop. */
enum inst_status inst_backup_step(struct inst_backup *backup, bool *is_done, struct inst_err *err);
void inst_backup_show(const struct inst_backup *backup, struct inst_backup_progress *out);
/* NULL is fine; also in the middle. */
void inst_backup_free(struct inst_backup *backup);

/* A source without a server: opens each app for as long as it is copied. */
struct inst_backup_source inst_backup_offline(struct inst_apps *apps);

#endif
