/*
 * data_folder.h - files and folders that are made beside what they become.
 *
 *     TO.partial ── written, synced ──> TO       a name is only taken when all of it is there
 *                                  └──> TO is there: refused, or moved aside first
 */
#ifndef INST_IO_DATA_FOLDER_H
#define INST_IO_DATA_FOLDER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The folder, which must be new, private; its parents are made. */
enum inst_status inst_data_make_folder(const char *path, struct inst_err *err);
/* A file of these bytes, which must be new, private and synced. */
enum inst_status inst_data_write(const char *path, const void *bytes, size_t len,
                                 struct inst_err *err);
/* Gives what is complete its name. aside: where what has the name goes; NULL: nothing may have it.
 * Everything on the disk of `part` is synced first. */
enum inst_status inst_data_seal(const char *part, const char *to, const char *aside,
                                struct inst_err *err);
/* Deletes a file or a folder with all that is in it; fine when it is not there. */
enum inst_status inst_data_remove(const char *path, struct inst_err *err);

/* ---- one file, copied in pieces ---- */

struct inst_file_copy;
/* TO must be new; it is private, and synced at the end. */
enum inst_status inst_file_copy_begin(const char *from, const char *to, struct inst_file_copy **out,
                                      struct inst_err *err);
enum inst_status inst_file_copy_step(struct inst_file_copy *copy, bool *is_done,
                                     struct inst_err *err);
void inst_file_copy_show(const struct inst_file_copy *copy, uint64_t *done, uint64_t *total);
void inst_file_copy_free(struct inst_file_copy *copy); /* NULL is fine */

#endif
