/*
 * file_store.h - the contents of apps' files, on the disk beside their data files.
 *
 *     ROOT/key                           signs download addresses, seals client secrets of sign-in
 *                                        providers; made when first needed
 *     ROOT/incoming/<uuid>               an upload on its way; emptied at opening
 *     ROOT/<app>/content/ab/abcd...      bytes, by their SHA-256: the same bytes are kept once
 *     ROOT/<app>/at/ab/<location>        the same file again, a hard link: the location-id of a
 *                                        `$files` row; the kernel counts who still needs the bytes
 *     ROOT/<app>/gone/<location>         no row names it any more, since its mtime (file_sweep.h)
 *     ROOT/<app>/remote/ab/<location>    empty: the bytes are elsewhere (inst_file_remote) ...
 *     ROOT/<app>/gone-remote/<location>  ... and no row names them any more
 *
 * An upload is written and hashed in pieces, synced, linked, and its folders synced, before
 * inst_file_writer_finish says so; only then a row may name its location. A crash in between leaves
 * something in incoming/, or a location without a row, never a row without its bytes. Nothing a
 * client says becomes part of a path: apps and locations are uuids in their canonical spelling.
 *
 * A writer may work on another thread than the store's other users; everything else is one thread.
 *
 * Errors: "data-file" (which the wire does not repeat) for a broken disk, "storage-full" with
 * status 507 when there is no room.
 */
#ifndef INST_IO_FILE_STORE_H
#define INST_IO_FILE_STORE_H

#include "base/env.h"
#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INST_FILE_KEY 32
/* Uploads leave so many bytes of the disk free: the data files have to grow, too. */
#define INST_FILE_RESERVE (64u << 20)

/* How the store changes the disk, so that tests can make that fail. */
struct inst_file_disk {
    ssize_t (*write)(int fd, const void *bytes, size_t len);
    int (*sync)(int fd);
    int (*link)(const char *from, const char *to);
    /* Bytes that are free below this path; -1: unknown. */
    int64_t (*room)(const char *path);
};
extern const struct inst_file_disk inst_file_real_disk;

/* Where contents are kept instead of here, under `<app>/<location>`. An upload is still written
 * here first, so that its length and its end are known before anything leaves, and it waits in our
 * disk's room, not in memory. Both block, on any thread. */
struct inst_file_remote {
    void *ctx;
    enum inst_status (*put)(void *ctx, const char *key, const char *path, uint64_t size,
                            struct inst_err *err);
};
/* `<app>/<location>` */
#define INST_FILE_KEY_TEXT (2 * INST_UUID_TEXT + 1)

struct inst_file_store;

/* root is a folder that is made when the first file comes; NULL: a temporary one, deleted at
 * closing. disk and env are kept. */
enum inst_status inst_file_store_open(const char *root, const struct inst_file_disk *disk,
                                      const struct inst_env *env, struct inst_file_store **out,
                                      struct inst_err *err);
/* Uploads from now on go there; what is here already stays. Copied. */
void inst_file_store_set_remote(struct inst_file_store *store,
                                const struct inst_file_remote *remote);
/* Is the content of this location elsewhere? key gets its name there. */
bool inst_file_store_is_remote(struct inst_file_store *store, const char *app, const char *location,
                               char key[INST_FILE_KEY_TEXT + 1]);
/* One more user, who closes it too: the last one lets it go. */
struct inst_file_store *inst_file_store_ref(struct inst_file_store *store);
/* NULL is fine. */
void inst_file_store_close(struct inst_file_store *store);

/* The store's secret, the same for as long as the folder exists. */
enum inst_status inst_file_store_key(struct inst_file_store *store, uint8_t out[INST_FILE_KEY],
                                     struct inst_err *err);

/* Opens the content at a location for reading; the caller closes *fd. *fd is -1, and INST_OK
 * returned, when there is none. */
enum inst_status inst_file_store_read(struct inst_file_store *store, const char *app,
                                      const char *location, int *fd, uint64_t *size,
                                      struct inst_err *err);

/* Where the content at a location is on the disk: out has room for PATH_MAX bytes. There need be
 * none. */
enum inst_status inst_file_store_path(struct inst_file_store *store, const char *app,
                                      const char *location, char *out, struct inst_err *err);

/* Deletes everything of one app. */
enum inst_status inst_file_store_remove_app(struct inst_file_store *store, const char *app,
                                            struct inst_err *err);

/* ---- writing ---- */

struct inst_file_writer;

struct inst_file_stored {
    uint64_t size;
    char sha256[65];
};

/* expected: bytes that will come, to be told at once that there is no room; 0: not known. */
enum inst_status inst_file_writer_new(struct inst_file_store *store, const char *app,
                                      uint64_t expected, struct inst_file_writer **out,
                                      struct inst_err *err);
enum inst_status inst_file_writer_add(struct inst_file_writer *writer, const void *bytes,
                                      size_t len, struct inst_err *err);
/* Durable at the location when it returns INST_OK. */
enum inst_status inst_file_writer_finish(struct inst_file_writer *writer, const char *location,
                                         struct inst_file_stored *out, struct inst_err *err);
/* Deletes what was not finished. NULL is fine. */
void inst_file_writer_free(struct inst_file_writer *writer);

#endif
