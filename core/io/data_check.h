/*
 * data_check.h - is a data folder (or one app's file) whole? Reads everything.
 *
 *     system.db       SQLite's own check; every app has its file
 *     apps/<id>.db    inst_sqlite_app_db_check: pages, triples in both trees, order keys, attrs,
 * log; and it is that app's files/          every location that a `$files` row names is there, and
 * bytes are what their hash says
 *
 * A problem does not end the check: all are found, each one line with the path. Needs the files for
 * itself: a server that uses them is told by the error that opening gives.
 */
#ifndef INST_IO_DATA_CHECK_H
#define INST_IO_DATA_CHECK_H

#include "base/env.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Problems that are told; more are only counted. */
#define INST_DATA_CHECK_TOLD 100

struct inst_data_check;

struct inst_data_check_progress {
    const char *name;   /* what is being looked at */
    size_t file, files; /* databases: 1 .. files */
    uint64_t contents;  /* looked at */
    size_t problems;
    const char *text; /* one line each; borrowed until the next step */
};

/* path: a data folder, or one app's data file. env is kept. err: there is nothing to be checked, or
 * somebody uses it. */
enum inst_status inst_data_check_begin(const char *path, const struct inst_env *env,
                                       struct inst_data_check **out, struct inst_err *err);
/* One database, or some contents. err: out of memory. */
enum inst_status inst_data_check_step(struct inst_data_check *check, bool *is_done,
                                      struct inst_err *err);
void inst_data_check_show(const struct inst_data_check *check,
                          struct inst_data_check_progress *out);
/* NULL is fine. */
void inst_data_check_free(struct inst_data_check *check);

#endif
