/*
 * zip.h - ZIP archives read entry by entry and written from files, of any size (zip64).
 *
 * On libzip, which is loaded when it is first needed: whoever neither imports nor exports runs
 * without it. Names are UTF-8 and are not made into paths here. Errors: "archive", one sentence
 * that names the file.
 */
#ifndef INST_IO_ZIP_H
#define INST_IO_ZIP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- reading ---- */

struct inst_zip;

enum inst_status inst_zip_open(const char *path, struct inst_zip **out, struct inst_err *err);
uint64_t inst_zip_count(const struct inst_zip *zip);
/* The entry's name, borrowed until the archive is closed, and its size when it is unpacked. */
enum inst_status inst_zip_entry(struct inst_zip *zip, uint64_t i, const char **name, uint64_t *size,
                                struct inst_err *err);
/* Begins reading entry i, from its start. */
enum inst_status inst_zip_begin(struct inst_zip *zip, uint64_t i, struct inst_err *err);
/* The next bytes of it, checked against its checksum at the end; *len 0: that was all. */
enum inst_status inst_zip_read(struct inst_zip *zip, void *bytes, size_t cap, size_t *len,
                               struct inst_err *err);
void inst_zip_close(struct inst_zip *zip); /* NULL is fine */

/* ---- writing ---- */

struct inst_zip_writer;

/* Nothing is at path before finish; err when there is something. */
enum inst_status inst_zip_create(const char *path, struct inst_zip_writer **out,
                                 struct inst_err *err);
/* The bytes of a file, which stays as it is until finish. In order. */
enum inst_status inst_zip_add(struct inst_zip_writer *writer, const char *name, const char *file,
                              struct inst_err *err);
/* Writes it all; progress (may be NULL) hears from 0 to 1. Frees the writer in any case. */
enum inst_status inst_zip_finish(struct inst_zip_writer *writer,
                                 void (*progress)(void *ctx, double done), void *ctx,
                                 struct inst_err *err);
/* Gives up. NULL is fine. */
void inst_zip_discard(struct inst_zip_writer *writer);

#endif
