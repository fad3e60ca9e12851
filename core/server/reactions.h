/*
 * reactions.h - the owner's code after a commit (functions.h): each reaction reads its app's log as
 * changes (feed.h), and has a place of its own in it.
 *
 *     log      ── change ── change ── change ── ...
 *                    ^ note "reaction NAME": all before it was taken
 *
 *     ops->react(change) ─┬─ what it wrote and the next place: one commit
 *                         └─ failed: nothing of it, the same change again later
 *
 * So a change is never missed, and what a reaction writes to its app it writes once, whatever
 * happens in between; one that writes nothing may see the last changes again after a crash. A
 * change that fails INST_REACTION_TRIES times is given up and the log says so. A reaction that is
 * new begins with what is committed from then on.
 *
 * A turn runs one change of each reaction, on the engine's thread. Apps that are read-only or
 * disabled have none until they are active again.
 */
#ifndef INST_SERVER_REACTIONS_H
#define INST_SERVER_REACTIONS_H

#include "server/engine.h"

#define INST_REACTION_TRIES 8
/* Pauses between tries: doubled from the first to the last, ms. */
#define INST_REACTION_PAUSE_MS 1000
#define INST_REACTION_MAX_PAUSE_MS 60000
/* The place of a reaction that writes nothing is kept when it is at the head, and so often. */
#define INST_REACTION_KEEP_EVERY 100u

struct inst_reaction;

void inst_reactions_free(struct inst_app *app);
/* Something was committed, or the app takes writes again. Cheap. */
void inst_reactions_wake(struct inst_app *app);
/* The functions are others: every app's reactions are looked up again. */
void inst_reactions_reload(struct inst_server *server);
void inst_reactions_forget_apps(struct inst_server *server); /* part of freeing the server */
bool inst_reactions_are_due(const struct inst_app *app);

void inst_reactions_turn(struct inst_server *server);
bool inst_reactions_are_pending(const struct inst_server *server);
/* When the next try is due, ms; INT64_MAX: none is. */
int64_t inst_reactions_due_ms(const struct inst_server *server);

#endif
