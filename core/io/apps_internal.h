/*
 * apps_internal.h - what the parts of apps share. Only for apps*.c.
 *
 *     apps           opening, the list, tokens of apps
 *     apps_manage    what an operator does: operators' tokens, titles, removing
 */
#ifndef INST_IO_APPS_INTERNAL_H
#define INST_IO_APPS_INTERNAL_H

#include "io/apps.h"

#include <limits.h>
#include <openssl/sha.h>

enum inst_apps_variant { INST_APPS_IN_DIR, INST_APPS_IN_FILE, INST_APPS_IN_MEMORY };

/* One app of the memory variant. */
struct inst_memory_app {
    struct inst_app_info info;
    struct inst_memory_app *next; /* younger */
};

struct inst_apps {
    enum inst_apps_variant variant;
    char *path;
    struct inst_sqlite_options options;
    char *vfs; /* owned copy of options.vfs */
    const struct inst_env *env;

    sqlite3 *system; /* folder: system.db */
    sqlite3_stmt *find;
    sqlite3_stmt *add;

    struct inst_app_db *ready; /* file: open and not handed out yet */
    struct inst_app_info only; /* file: its app; id "" while there is none */

    struct inst_memory_app *oldest; /* memory */
};

/* ---- apps.c ---- */
enum inst_status inst_apps_not_found(struct inst_err *err);
void inst_apps_hash(const char *token, size_t len, unsigned char out[SHA256_DIGEST_LENGTH]);
/* From a row that begins with id, title, created, expires. */
void inst_apps_read_info(sqlite3_stmt *stmt, struct inst_app_info *out);
/* The data file; false for what is no uuid, which never reaches a file name. */
bool inst_apps_data_path(const struct inst_apps *apps, const char *app_id, char out[PATH_MAX]);

/* ---- apps_manage.c ---- */
/* Tables that a folder made before them lacks, and the files of apps removed long ago. */
enum inst_status inst_apps_manage_open(struct inst_apps *apps, struct inst_err *err);
extern const struct inst_app_manage_ops inst_apps_manage_ops;

#endif
