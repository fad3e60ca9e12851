/*
 * rooms.h - who is in which room of an app, and what they show of themselves (session.md 3.6).
 *
 *     session ── peer ── room        one peer for each session in a room
 *                  ├── data          what it shows now, JSON text
 *                  └── shown         what the others were last told, while that differs
 *
 * Changes are told at the end of the turn, however many there were: a room's changes are made into
 * edits once, as one message for all who were told before; who came since gets the whole room.
 * Below the version gate (session.md 8) everybody gets the whole room. A topic message first tells
 * what changed before it, so that it never arrives ahead of what its sender shows.
 *
 * Where we are safer than upstream: a session that joins, also again, always gets the whole room; a
 * peer that left and came back within a turn is no newcomer to the others; sizes have limits.
 *
 * A room lives as long as somebody is in it. Nothing of it is kept on disk.
 */
#ifndef INST_SERVER_ROOMS_H
#define INST_SERVER_ROOMS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

#include <stdbool.h>

struct inst_app;
struct inst_peer;
struct inst_room;
struct inst_server;
struct inst_session;

/* Enters the room; data (NULL or null: `{}`) is shown unless the session is in it already. */
enum inst_status inst_rooms_join(struct inst_session *session, const struct inst_value *room_id,
                                 const struct inst_value *data, struct inst_err *err);
/* Nothing when the session is not in it. */
void inst_rooms_leave(struct inst_session *session, const struct inst_value *room_id);
void inst_rooms_leave_all(struct inst_session *session);
bool inst_rooms_is_in(const struct inst_session *session, const struct inst_value *room_id);
/* Replaces what the session shows. `validation-failed` when it is not in the room. */
enum inst_status inst_rooms_set_presence(struct inst_session *session,
                                         const struct inst_value *room_id,
                                         const struct inst_value *data, struct inst_err *err);
/* Sends `server-broadcast` to all others in the room and leaves the message's `data` (`{"peer-id",
 * "user","data"}`) in sent, which the caller made. `validation-failed` when it is not in the room.
 */
enum inst_status inst_rooms_broadcast(struct inst_session *session,
                                      const struct inst_value *room_id,
                                      const struct inst_value *topic, const struct inst_value *data,
                                      struct inst_buf *sent, struct inst_err *err);

/* Who is in the room: an object by session id, `{}` when nobody is. */
void inst_rooms_write(struct inst_app *app, const char *room_id, size_t len, struct inst_buf *buf);

/* Tells what changed in this turn. */
void inst_rooms_flush(struct inst_server *server);
/* The app is closed: no session is left in it. */
void inst_rooms_close(struct inst_app *app);

#endif
