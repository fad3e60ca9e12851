/*
 * file_store_internal.h - paths of the store. Only for file_store.c, file_writer.c, file_sweep.c.
 */
#ifndef INST_IO_FILE_STORE_INTERNAL_H
#define INST_IO_FILE_STORE_INTERNAL_H

#include "io/file_store.h"

#include <limits.h>

struct inst_file_store {
    int refs;
    char *root; /* NULL: a temporary store that nothing came into yet */
    const struct inst_file_disk *disk;
    const struct inst_env *env;
    struct inst_file_remote remote; /* put NULL: there is none */
    bool is_temporary;
    bool has_key;
    uint8_t key[INST_FILE_KEY];
};

/* What errno says: "storage-full", or "data-file" with the path and what could not be done. */
enum inst_status inst_file_error(struct inst_err *err, const char *path, const char *what);
enum inst_status inst_file_no_room(struct inst_err *err);

/* ROOT/<fmt...>. */
enum inst_status inst_file_path(const struct inst_file_store *store, char out[PATH_MAX],
                                struct inst_err *err, const char *fmt, ...) INST_PRINTF(4, 5);
/* The canonical spelling of an app's or a location's id; false: it is no uuid. */
bool inst_file_name(const char *id, char out[INST_UUID_TEXT + 1]);
/* Makes the folders that lead to a path. */
enum inst_status inst_file_make_parents(const char *path, struct inst_err *err);
enum inst_status inst_file_sync_parent(const char *path, struct inst_err *err);
/* Makes the root of a temporary store. */
enum inst_status inst_file_make_root(struct inst_file_store *store, struct inst_err *err);

#endif
