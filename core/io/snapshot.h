/*
 * snapshot.h - a copy of one SQLite file as of one moment, made by the connection that owns it,
 * some pages at a time.
 *
 *     begin ─ step ─ step ─ ... ─ done: TO is there, whole and durable
 *                             └─ failed or freed: nothing is left
 *
 * What the owning connection writes in between goes into the copy too, so it is of the moment of
 * the last step and never begins anew. A step does nothing while the connection is in the middle of
 * a group. The copy is written beside TO (TO.part) and renamed at the end.
 */
#ifndef INST_IO_SNAPSHOT_H
#define INST_IO_SNAPSHOT_H

#include "base/err.h"
#include "io/sqlite_api.h"

#include <stdbool.h>
#include <stddef.h>

/* Pages of one step. */
#define INST_SNAPSHOT_PAGES 64

struct inst_snapshot;

/* from: borrowed until the snapshot is freed. from_path is for messages. TO must not exist. */
enum inst_status inst_snapshot_begin(sqlite3 *from, const char *from_path, const char *to,
                                     struct inst_snapshot **out, struct inst_err *err);
enum inst_status inst_snapshot_step(struct inst_snapshot *snapshot, bool *is_done,
                                    struct inst_err *err);
/* Pages copied, and all of them; 0 before the first step. */
void inst_snapshot_progress(const struct inst_snapshot *snapshot, size_t *done, size_t *total);
/* Deletes what is not done. NULL is fine. Before the owning connection is closed. */
void inst_snapshot_free(struct inst_snapshot *snapshot);

#endif
