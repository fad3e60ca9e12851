/*
 * sqlite_app_db.h - one app's data file on SQLite: the storage behind server/app_db.h.
 *
 *     ents      e -> uuid                        unique on uuid
 *     attrs     row -> id, wire JSON, index      index: what `ave` holds for this attr (below)
 *     triples   (e, a, ref) -> v, t              every triple once; ref: target of a link, else 0
 *     ave       (a, k, e) -> t                   every triple once more, by its order key k
 *     log       tx_id -> at, event, who, changes
 *     meta      key -> value                     what app this is
 *
 *     attr                      k in ave                                scan serves
 *     the id attr               created-at                              serverCreatedAt order
 *     link                      target entity                           (a, ref), reverse
 *     blob, indexed or unique   the value; dates as instants            (a, v), ranges, order
 *     blob, neither             0                                       (a), in entity order
 *
 * triples.v by SQLite's types: NULL is JSON null, INTEGER and REAL a number (INTEGER when the
 * double is a whole one), TEXT a string (lone surrogates as three bytes, may hold NUL), BLOB the
 * JSON text of a boolean, array or object. Links and id triples keep no v: it is the ref, and e.
 * k is the value as stored, except null, which is -Infinity (below all numbers), and dates. So the
 * order of `ave` is: null, numbers and dates, strings by bytes, the rest by JSON text.
 *
 * An attr's index kind changes only through reindex_attr; until then scans by range are not
 * offered (`can_range`), all other scans stay right. Entities are never removed from `ents`.
 */
#ifndef INST_IO_SQLITE_APP_DB_H
#define INST_IO_SQLITE_APP_DB_H

#include "io/sqlite_file.h"
#include "server/app_db.h"

#include <stddef.h>

/* "INST", and the version of the tables. */
#define INST_APP_FILE_ID 0x494e5354
#define INST_APP_FILE_VERSION 1

/* entity_id texts kept past a commit or trim, about. A rollback lets go of all. */
#define INST_SQLITE_KEPT_TEXTS 16384

/* Opens the file, making it when it is missing (unless options say it must exist) or empty.
 * options may be NULL. path ":memory:": in memory, gone when closed. The store's catalog
 * (base.store.attrs) starts as NULL; the engine sets it and keeps its reference. */
enum inst_status inst_sqlite_app_db_open(const char *path,
                                         const struct inst_sqlite_options *options,
                                         struct inst_app_db **out, struct inst_err *err);

/* What the file says about itself, by key; *len 0 when it says nothing. A longer text is cut to
 * cap - 1 bytes; NUL-terminated. */
enum inst_status inst_sqlite_app_db_meta(struct inst_app_db *db, const char *key, char *out,
                                         size_t cap, size_t *len, struct inst_err *err);
/* Outside a group: durable when it returns. */
enum inst_status inst_sqlite_app_db_set_meta(struct inst_app_db *db, const char *key,
                                             const char *value, size_t len, struct inst_err *err);

/* Its connection, to copy the file from (snapshot.h); borrowed. */
sqlite3 *inst_sqlite_app_db_connection(struct inst_app_db *db);

/* Is the file whole? SQLite's own check, then: every triple has its entity, its attr and exactly
 * its row in ave, ave has no other rows, keys are those of the values, the log has no gap. On
 * INST_FAILED err says what is wrong first and hint {"problems": n} how much was found. Reads
 * everything. */
enum inst_status inst_sqlite_app_db_check(struct inst_app_db *db, struct inst_err *err);

#endif
