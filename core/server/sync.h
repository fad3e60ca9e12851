/*
 * sync.h - sync tables: one namespace kept with a client, whole and up to date (session.md 3.8).
 *
 *     start-sync ──> snapshot as of transaction S, 100 entities a message ──> sync-init-finish {S}
 *                                                                                 │
 *     resync-table {N} ─────────────────────────────────────────> log, N+1 ...  <─┘ log, S+1 ...
 *
 * Everything behind the snapshot is read from the app's log, so a client that was away, and one
 * whose server was restarted, misses nothing: it is told what its last tx-id lacks, or, when the
 * log does not reach back that far, that it must start over. Nothing is sent in one go: each turn
 * sends a piece, and none while the connection has not taken what it was sent before.
 *
 * A subscription is kept as a note of the app's data file from sync-init-finish on, so that
 * resync-table finds it: its query, the hash of its token, the attrs that it covers.
 */
#ifndef INST_SERVER_SYNC_H
#define INST_SERVER_SYNC_H

#include "base/value.h"

#include <stdbool.h>

struct inst_app;
struct inst_server;
struct inst_session;

/* Ops of a session; false: it has to wait for the commit. */
bool inst_sync_start(struct inst_session *session, const struct inst_value *event);
bool inst_sync_resync(struct inst_session *session, const struct inst_value *event);
bool inst_sync_remove(struct inst_session *session, const struct inst_value *event);

/* Ends the session's subscriptions; what is kept of them stays. */
void inst_sync_leave(struct inst_session *session);
/* The app has new transactions. */
void inst_sync_committed(struct inst_app *app);
/* Sends the next piece of everything that has one and whose connection takes it. No group is open.
 */
void inst_sync_turn(struct inst_server *server);

#endif
