/*
 * storage.h - texts by store and key on a disk, of one app.
 *
 *     "file:FOLDER"    FOLDER/<app id>/<store>/<key>.json
 *     "sqlite:FILE"    one table in FILE, for any number of apps
 *
 * Every operation blocks until it is done; one at a time. One client owns an app's part of a
 * storage for as long as it is open: two who keep the same queue would send it twice and lose each
 * other's writes. Files are private (mode 0600, folders 0700). What is no storage of ours, damaged
 * or of a newer version is set aside: renamed, with a warning, and a new one takes its place.
 *
 * Errors have type "storage-failed" and a sentence with the path.
 */
#ifndef INST_IO_STORAGE_H
#define INST_IO_STORAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "client/disk.h"
#include "io/loop.h"

/* The largest text that is read back; larger ones are not ours. */
#define INST_STORAGE_MAX_TEXT (64u << 20)

struct inst_storage;

struct inst_storage_ops {
    /* Adds the text to out. */
    enum inst_status (*load)(struct inst_storage *storage, const char *store, const char *key,
                             struct inst_buf *out, bool *is_there, struct inst_err *err);
    enum inst_status (*write)(struct inst_storage *storage, const char *store,
                              const struct inst_disk_pair *pairs, size_t count, bool is_durable,
                              struct inst_err *err);
    /* Adds every key with a NUL behind it. */
    enum inst_status (*list)(struct inst_storage *storage, const char *store, struct inst_buf *out,
                             struct inst_err *err);
    void (*close)(struct inst_storage *storage);
};

/* First member of every implementation. */
struct inst_storage {
    const struct inst_storage_ops *ops;
    char *warning; /* owned; what an operation set aside. For whoever called it to log and free */
    bool is_anew; /* an operation set all of it aside. For whoever called it to pass on and clear */
    char *beside; /* owned; the head of paths for files that belong to it. Never changes */
};

/* spec: "memory" (*out is NULL then: nothing to open), "file:FOLDER", "sqlite:FILE". Fails when
 * another client or process has the app's part of it.
 * err: "param-malformed" for another spec, else "storage-failed". */
enum inst_status inst_storage_open(struct inst_loop *loop, const char *spec, const char *app_id,
                                   struct inst_storage **out, struct inst_err *err);

/* ---- the implementations ---- */

enum inst_status inst_storage_open_folder(const char *folder, const char *app_id,
                                          struct inst_storage **out, struct inst_err *err);
enum inst_status inst_storage_open_sqlite(struct inst_loop *loop, const char *path,
                                          const char *app_id, struct inst_storage **out,
                                          struct inst_err *err);

/* For them: the error of a file as one of a storage; cause is cleared. */
enum inst_status inst_storage_fail(struct inst_err *cause, struct inst_err *err);
/* A name beside path that says when, and renaming path to it, which *warning tells. */
enum inst_status inst_storage_aside_name(const char *path, struct inst_buf *out,
                                         struct inst_err *err);
enum inst_status inst_storage_set_aside(const char *path, const char *name, const char *why,
                                        char **warning, struct inst_err *err);

#endif
