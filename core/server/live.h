/*
 * live.h - live queries: computations and who subscribes to them.
 *
 *     computation ── canonical q, return-type, viewer     one for all sessions of the app that ask
 *         │                                               the same
 *         ├── read set         what its last run read (read_set.h)
 *         ├── result bytes     as last sent, serialised once
 *         └── subscriptions    one a session
 *
 * After a commit the changes are asked which computations they touch; each of those runs once, and
 * when its result differs (as a set of triples) from the one last sent, one refresh-ok goes to all
 * its subscribers as the same bytes. A computation that fails tells its subscribers and stops
 * nobody else; it runs again when what it read changes (after a failure of the machine: at the next
 * commit).
 *
 * Viewers share a computation unless it meets rows that not everybody sees alike (viewer.h): then
 * it is one user's. Sessions part when new attrs make it so.
 *
 * A computation lives as long as somebody subscribes.
 */
#ifndef INST_SERVER_LIVE_H
#define INST_SERVER_LIVE_H

#include "base/err.h"
#include "base/value.h"
#include "server/changes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_app;
struct inst_live;
struct inst_session;
struct inst_subscription;
struct inst_buf;

/* How a result reads. */
struct inst_live_form {
    bool is_tree; /* return-type "tree" (session.md 3.2) */
    bool infers;  /* of a tree: `inference?` of an admin's stream (session.md 7.2) */
};

enum inst_status inst_live_new(struct inst_app *app, struct inst_live **out, struct inst_err *err);
/* Nobody may subscribe any more. */
void inst_live_free(struct inst_live *live);

/* Is this session subscribed to an equal q? Key order does not matter. */
bool inst_live_has(struct inst_session *session, const struct inst_value *q);
/* Subscribes the session and, when the computation is new or outdated, runs it. The app has no open
 * group. When it fails nothing is kept. */
enum inst_status inst_live_add(struct inst_session *session, const struct inst_value *q,
                               struct inst_live_form form, struct inst_subscription **out,
                               struct inst_err *err);
/* `,"result":...,"result-meta":...,"processed-tx-id":...` as of the last run. */
void inst_live_write_result(const struct inst_subscription *subscription, struct inst_buf *buf);
void inst_live_remove(struct inst_session *session, const struct inst_value *q);
void inst_live_remove_all(struct inst_session *session);

/* Runs what the committed changes touch and sends refresh-ok; first the attrs, when they changed.
 */
void inst_live_refresh(struct inst_live *live, const struct inst_changes *changes);

/* Runs again what shows addresses of files that were made on another day (files.h). No group is
 * open. */
void inst_live_renew_urls(struct inst_live *live);
/* The app has other rules: every result that they may concern is made again, and viewers part or
 * come together as the rules want it. */
void inst_live_rules_changed(struct inst_live *live);

size_t inst_live_count(const struct inst_live *live);

#endif
