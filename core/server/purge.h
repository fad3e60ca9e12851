/*
 * purge.h - deleted attrs and their triples go for good when their days of grace are over.
 *
 *     delete-attr ──> hidden ── GRACE_DAYS ──> over: no restore-attr finds it, no list shows it
 *                                              its triples go, some a turn, then the attr
 *
 * Open apps are looked at every hour, every app when it is opened. While an app takes no writes
 * nothing of it goes. What goes is not in the log: nobody has seen it since it was hidden.
 */
#ifndef INST_SERVER_PURGE_H
#define INST_SERVER_PURGE_H

#include "base/value.h"

#include <stdbool.h>
#include <stdint.h>

#define INST_PURGE_GRACE_DAYS 2

struct inst_app;
struct inst_server;

/* Is the grace of this attr (wire shape) over? */
bool inst_purge_is_over(const struct inst_value *attr, int64_t now_ms);
/* Looks whether the app has such attrs. */
void inst_purge_look(struct inst_app *app);
/* One piece for every app that has some; no group is open. */
void inst_purge_turn(struct inst_server *server);
bool inst_purge_is_pending(const struct inst_server *server);

#endif
