/*
 * import.h - an app is filled from outside, past tx-steps and rules (http.md 12.2, 12.3).
 *
 *     begin ── the app, with its schema and rules, disabled until the end
 *       │
 *       ├─ shard "todos" ── feed bytes ... ── end     lines {"entity":{...},"createdAt":ms}
 *       │        └─ commit(position): durable with all that was fed; from there a new begin goes on
 *       │
 *     finish ── the app is as any other
 *
 * For whoever has the data folder to himself: nobody is served by the app meanwhile. What cannot be
 * taken (a field without an attr, a value of another type, a second owner of a unique value) is
 * reported and left out; everything else of its entity stays. Not taken at all: codes and sign-ins
 * under way, which have expired, and secrets that were encrypted with the other server's key.
 * Whether required attrs are there is not asked, as upstream does not.
 */
#ifndef INST_SERVER_IMPORT_H
#define INST_SERVER_IMPORT_H

#include "server/server.h"

#include <stdbool.h>
#include <stdint.h>

struct inst_import;

struct inst_import_config {
    const char *app_id; /* of the app to be made; NULL: a new one */
    const char *title;
    const struct inst_value *schema; /* transactions.md 13.1 */
    const struct inst_value *rules;  /* NULL or null: none */
    bool drop_sessions;              /* nobody stays signed in */
    /* Hears what could not be taken. Calls nothing here. */
    void (*problem)(void *ctx, const char *message);
    void *ctx;
};

struct inst_import_counts {
    uint64_t entities, triples, problems; /* since begin */
};

/* token gets the new app's admin token, "" when an import that was broken off goes on. err:
 * "validation-failed" of the schema or the rules, or when the app is there and no import of it was
 * broken off; *out is the caller's, and freed before the server. */
enum inst_status inst_import_begin(struct inst_server *server,
                                   const struct inst_import_config *config,
                                   struct inst_import **out, char token[INST_UUID_TEXT + 1],
                                   struct inst_err *err);
const char *inst_import_app_id(const struct inst_import *import);
/* What the last commit said; "" when there was none. */
const char *inst_import_position(const struct inst_import *import);

/* The lines that follow are of this etype. */
enum inst_status inst_import_shard(struct inst_import *import, const char *etype, size_t len,
                                   struct inst_err *err);
/* The next bytes of it, cut anywhere. Fails for what concerns the whole only: a broken disk, no
 * memory, a line longer than INST_JSON_MAX_BYTES. */
enum inst_status inst_import_feed(struct inst_import *import, const char *bytes, size_t len,
                                  struct inst_err *err);
/* The last line need not end with a newline. */
enum inst_status inst_import_end(struct inst_import *import, struct inst_err *err);
/* Bytes of this shard that were taken, as whole lines. */
uint64_t inst_import_taken(const struct inst_import *import);

/* Is this location one of a `$files` entity that was taken? */
enum inst_status inst_import_names_file(struct inst_import *import, const char *location, bool *out,
                                        struct inst_err *err);

/* Calls back with the location of every file that the app names; false stops. */
enum inst_status inst_import_files(struct inst_import *import,
                                   bool (*fn)(void *ctx, const char *location), void *ctx,
                                   struct inst_err *err);

/* position: any text, for the one who goes on from here. */
enum inst_status inst_import_commit(struct inst_import *import, const char *position, size_t len,
                                    struct inst_err *err);
void inst_import_counts(const struct inst_import *import, struct inst_import_counts *out);
/* What config.json has beside schema and rules (app_settings.h); behind a commit. */
enum inst_status inst_import_settings(struct inst_import *import, const struct inst_value *config,
                                      struct inst_err *err);
/* Everything was fed: the app opens. */
enum inst_status inst_import_finish(struct inst_import *import, struct inst_err *err);
/* What was not committed is given up. NULL is fine. */
void inst_import_free(struct inst_import *import);

#endif
