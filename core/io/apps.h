/*
 * apps.h - the apps of one backend.
 *
 *     folder      DIR/system.db                 id, title, created, expires, token hash; operators
 *                 DIR/apps/<app-id>.db          one data file each
 *     file        PATH                          one app; what it is stands in its own `meta`
 *     memory      -                             any number of apps, each gone when closed
 *
 * Creating makes the data file first and then the record: a crash in between leaves an empty file
 * that nothing names, never a name without a file. Tokens are random uuids, kept as SHA-256.
 *
 * The file and memory variants serve this process only, `local:` and tests, never a network: the
 * first app asked for becomes the file's app, and any admin token opens it, since whoever can open
 * the file owns it. A data file remembers its app, so a file of another app is refused.
 */
#ifndef INST_IO_APPS_H
#define INST_IO_APPS_H

#include "base/env.h"
#include "io/sqlite_file.h"
#include "server/app_db.h"

/* How long the data file of a removed app stays (inst_apps_purge). */
#define INST_APPS_REMOVED_MS (7ll * 24 * 60 * 60 * 1000)

struct inst_apps;

/* ctx of these is a struct inst_apps *. */
extern const struct inst_apps_ops inst_apps_ops;

/* options may be NULL; env is kept (for the clock and for logs). */
enum inst_status inst_apps_open_dir(const char *dir, const struct inst_sqlite_options *options,
                                    const struct inst_env *env, struct inst_apps **out,
                                    struct inst_err *err);
/* One data file, made when missing. ":memory:" gives the memory variant. */
enum inst_status inst_apps_open_file(const char *path, const struct inst_sqlite_options *options,
                                     const struct inst_env *env, struct inst_apps **out,
                                     struct inst_err *err);
/* Every app that was opened from here must have been closed. NULL is fine. */
void inst_apps_close(struct inst_apps *apps);

/* Calls back for every app, oldest first; false stops. */
enum inst_status inst_apps_each(struct inst_apps *apps,
                                bool (*fn)(void *ctx, const struct inst_app_info *info), void *ctx,
                                struct inst_err *err);
/* Deletes the data files of apps that were removed long enough ago; opening does it too. */
enum inst_status inst_apps_purge(struct inst_apps *apps, struct inst_err *err);
/* Was there an app of this id whose data file is still here? */
bool inst_apps_is_removed(struct inst_apps *apps, const char *app_id);
/* The id of a file's app; "" while it has none, and for the other variants. */
const char *inst_apps_only_id(const struct inst_apps *apps);
/* The connection of a folder's system.db, to copy it from; NULL for the other variants. */
sqlite3 *inst_apps_system(const struct inst_apps *apps);

#endif
