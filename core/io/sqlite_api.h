/*
 * sqlite_api.h - SQLite, loaded when it is first needed: a program that keeps nothing on disk runs
 * without it.
 *
 *     sqlite3_step(...)  ──macro──>  inst_sqlite_api->step(...)  ──>  libsqlite3.so.0 (dlopen)
 *
 * The macros are those that SQLite gives its own extensions (sqlite3ext.h). Nothing here may be
 * called before inst_sqlite_load succeeded; opening a file (sqlite_file.h) sees to that.
 */
#ifndef INST_IO_SQLITE_API_H
#define INST_IO_SQLITE_API_H

#include "base/err.h"

#define sqlite3_api inst_sqlite_api /* the name that the macros use, under our prefix */
#include <sqlite3ext.h>

/* The library's table of functions: written once, by inst_sqlite_load, and the same for the whole
 * process. */
extern const sqlite3_api_routines *inst_sqlite_api;

/* Loads the library at the first call; later ones do nothing. From any thread.
 * err: "data-file" with what to install. */
enum inst_status inst_sqlite_load(struct inst_err *err);

#endif
