/*
 * export.h - an app as an archive has it (http.md 12.2): what import.h reads.
 *
 *     begin ── config ── for every etype: shard, then lines until there are no more ── files
 *
 * Everything committed, past rules, as of the moment of each call: for whoever has the data folder
 * to himself, or a copy of it.
 */
#ifndef INST_SERVER_EXPORT_H
#define INST_SERVER_EXPORT_H

#include "base/buf.h"
#include "server/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_export;

/* err: "record-not-found". *out is the caller's, and freed before the server. */
enum inst_status inst_export_begin(struct inst_server *server, const char *app_id,
                                   struct inst_export **out, struct inst_err *err);

/* config.json is added to out: what the app is, how much there is, its schema, rules and
 * settings. */
enum inst_status inst_export_config(struct inst_export *exported, struct inst_buf *out,
                                    struct inst_err *err);

/* The namespaces that have a shard, sorted: the app's own, and those of the system's that are not
 * empty. Borrowed. */
size_t inst_export_etypes(const struct inst_export *exported);
const struct inst_value *inst_export_etype(const struct inst_export *exported, size_t i);
uint64_t inst_export_entities(const struct inst_export *exported, size_t i);

/* Begins the shard of this etype. */
enum inst_status inst_export_shard(struct inst_export *exported, size_t i, struct inst_err *err);
/* Adds whole lines to out until there are `about` bytes more; *more: it is not at its end. */
enum inst_status inst_export_lines(struct inst_export *exported, size_t about, struct inst_buf *out,
                                   bool *more, struct inst_err *err);

/* Calls back with the location of every file's content; false stops. */
enum inst_status inst_export_files(struct inst_export *exported,
                                   bool (*fn)(void *ctx, const char *location), void *ctx,
                                   struct inst_err *err);

void inst_export_free(struct inst_export *exported); /* NULL is fine */

#endif
