/*
 * file_sweep.h - finds the contents that no `$files` row needs any more, and deletes them.
 *
 *     at/<location>     no row names it           -> gone/<location>
 *     gone/<location>   for INST_FILE_GONE_MS     -> deleted   (a row names it again -> at/)
 *     content/<hash>    no location shares it     -> deleted
 *     remote/<location> likewise, over gone-remote/
 *
 * Nothing else deletes contents: a row that goes (by a transaction, an upload to the same path, an
 * app's restored data file, a crash in the middle of an upload) only stops naming its location.
 * What is younger than INST_FILE_YOUNG_MS is left alone: its row may be on its way.
 *
 * Works in slices, so that the loop goes on in between.
 */
#ifndef INST_IO_FILE_SWEEP_H
#define INST_IO_FILE_SWEEP_H

#include "io/file_store.h"

/* How long the bytes of a deleted file stay on the disk, for a data file that is restored from a
 * backup; downloads of it end at once. */
#define INST_FILE_GONE_MS (7ll * 24 * 60 * 60 * 1000)
#define INST_FILE_YOUNG_MS (60ll * 60 * 1000)
/* Entries of one slice. */
#define INST_FILE_SWEEP_SLICE 64

struct inst_file_sweep;

struct inst_file_sweep_config {
    void *ctx;
    /* Does a row of the app name this location? -1: that cannot be told now. */
    int (*is_named)(void *ctx, const char *app, const char *location);
    /* Deletes a content that is elsewhere, later, and then the file at path. NULL: they are kept.
     */
    void (*remove)(void *ctx, const char *app, const char *location, const char *path);
};

enum inst_status inst_file_sweep_new(struct inst_file_store *store,
                                     const struct inst_file_sweep_config *config,
                                     struct inst_file_sweep **out, struct inst_err *err);
/* Looks at a slice; false when it has seen everything. What cannot be deleted waits for the next
 * sweep. */
bool inst_file_sweep_step(struct inst_file_sweep *sweep);
/* NULL is fine; also in the middle. */
void inst_file_sweep_free(struct inst_file_sweep *sweep);

#endif
