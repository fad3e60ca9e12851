/*
 * app_backups.h - backups of single apps, beside their data (server/backups.h).
 *
 *     ROOT/<app>/<backup>/<location>     an object: config.json, or a namespace's lines
 *     ROOT/<app>/<backup>/backup.json    what it is, and which object has which name
 *     ROOT/<app>/<backup>/locations      uuids of the files' contents that it names, sorted
 *     ROOT/<app>/<backup>.part/          one that is being made
 *
 * Made in pieces, so that the loop goes on in between:
 *
 *     copy.db <─ snapshot.h ─ the app's file      as of one moment
 *        └─ an engine of its own ─ export.h ─> objects ─ a worker thread syncs and names them
 */
#ifndef INST_IO_APP_BACKUPS_H
#define INST_IO_APP_BACKUPS_H

#include "io/apps.h"
#include "io/loop.h"
#include "server/backups.h"
#include "server/server.h"

struct inst_app_backups;

/* root: a folder, made with the first backup; what was being made when a process died is deleted.
 * The server is borrowed, and asked for the apps' files. */
enum inst_status inst_app_backups_open(struct inst_loop *loop, const char *root,
                                       struct inst_app_backups **out, struct inst_err *err);
void inst_app_backups_serve(struct inst_app_backups *backups, struct inst_server *server);
/* Gives up what is being made. Before the server is freed. */
void inst_app_backups_stop(struct inst_app_backups *backups);
/* NULL is fine. */
void inst_app_backups_free(struct inst_app_backups *backups);

/* ctx is a struct inst_app_backups *. */
extern const struct inst_backups_ops inst_app_backups_ops;

/* Does a backup name this content? */
bool inst_app_backups_name(struct inst_app_backups *backups, const char *app, const char *location);
/* Opens an object for reading; *fd is -1, and INST_OK returned, when there is none. */
enum inst_status inst_app_backups_read(struct inst_app_backups *backups, const char *app,
                                       const char *backup, const char *location, int *fd,
                                       uint64_t *size, struct inst_err *err);
/* Deletes those that have expired, and those of apps that are gone. */
void inst_app_backups_sweep(struct inst_app_backups *backups, struct inst_apps *apps);

#endif
