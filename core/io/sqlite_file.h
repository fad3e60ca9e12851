/*
 * sqlite_file.h - opening a data file safely, and saying in one sentence why not.
 *
 *     header bytes ──> absent or empty ── made: private, tables, application id, WAL, fsync of DIR
 *     (read only)      ours, this version ── opened and locked
 *                      ours, newer ┐
 *                      foreign     ├── refused, nothing written
 *                      not SQLite  ┘
 *
 * One connection owns a file: it holds SQLite's exclusive lock from opening to closing, so every
 * write and every checkpoint is its own (SQLite before 3.51.3 can lose commits when two connections
 * checkpoint) and a second process is told who has the file. There is no shared-memory file.
 *
 * Errors have type "data-file", status 500, and a sentence with the path that says what to do.
 */
#ifndef INST_IO_SQLITE_FILE_H
#define INST_IO_SQLITE_FILE_H

#include "base/err.h"

#include "io/sqlite_api.h"
#include <stdbool.h>

/* Page cache of one connection when the options say nothing. */
#define INST_SQLITE_CACHE_KIB 2000
/* The write-ahead log is cut back to this many bytes after a checkpoint. */
#define INST_SQLITE_WAL_KEEP (8 << 20)

struct inst_sqlite_options {
    const char *vfs;    /* SQLite VFS by name; NULL: the system's. Others own their namespace: no
                         * folder is made and no mode is set for them */
    int cache_kib;      /* page cache; 0: INST_SQLITE_CACHE_KIB */
    unsigned max_pages; /* the file grows no larger, as on a full disk; 0: no limit */
    bool is_existing;   /* a missing file is an error */
    bool *is_unusable;  /* set when opening fails because what is there is no whole file of this
                         * kind and version; NULL: nobody asks */
};

/* What a kind of data file is. */
struct inst_sqlite_kind {
    const char *noun;   /* "app data file", for messages */
    int application_id; /* SQLite's field at byte 68 of the file */
    int version;        /* user_version, byte 60 */
    const char *schema; /* SQL that makes the tables of an empty file */
};

/* Opens path (":memory:": a new database in memory); *out is the caller's to close. */
enum inst_status inst_sqlite_open(const char *path, const struct inst_sqlite_kind *kind,
                                  const struct inst_sqlite_options *options, sqlite3 **out,
                                  struct inst_err *err);

/* Closes and forgets; NULL is fine. All statements must have been finalized. */
void inst_sqlite_close(sqlite3 *db);

/* The sentence for what just went wrong on db (result code rc) at the file path. Returns
 * INST_FAILED, or INST_NOMEM for SQLITE_NOMEM. */
enum inst_status inst_sqlite_error(sqlite3 *db, const char *path, int rc, struct inst_err *err);

/* Does the result code say that the file is not whole? */
bool inst_sqlite_is_damage(int rc);

/* Runs SQL that gives no rows. */
enum inst_status inst_sqlite_exec(sqlite3 *db, const char *path, const char *sql,
                                  struct inst_err *err);

/* Prepares a statement that is kept as long as the connection. */
enum inst_status inst_sqlite_prepare(sqlite3 *db, const char *path, const char *sql,
                                     sqlite3_stmt **out, struct inst_err *err);

/* Makes the folder and its missing parents, mode 0700; those that exist stay as they are. */
enum inst_status inst_make_private_dir(const char *path, struct inst_err *err);
/* fsync of a folder, so that a file made in it survives a power cut. */
enum inst_status inst_sync_dir(const char *path, struct inst_err *err);

#endif
