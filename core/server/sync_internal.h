/*
 * sync_internal.h - what the parts of sync tables share. Only for sync*.c.
 *
 *     sync        ops, subscriptions and what is kept of them, the turn
 *     sync_load   the snapshot, piece by piece
 *     sync_log    the log as updates
 */
#ifndef INST_SERVER_SYNC_INTERNAL_H
#define INST_SERVER_SYNC_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "server/engine.h"
#include "server/sync.h"

struct inst_sync_load;

struct inst_sync {
    struct inst_session *session;
    struct inst_sync *next, *previous; /* of the app */
    struct inst_arena arena;           /* q, etype, attr_ids */
    char id[INST_UUID_TEXT + 1];
    char token_hash[INST_SHA256_HEX + 1];
    struct inst_value q;        /* UNDEFINED: resumed, so failures are those of resync-table */
    struct inst_value event_id; /* of start-sync */
    struct inst_value etype;    /* STRING; UNDEFINED: of an older note, which does not say */
    struct inst_value *attr_ids;
    size_t attr_count;
    struct inst_table attrs;     /* uuid of a covered attr -> its place in attr_ids + 1 */
    int64_t sent_tx;             /* the client has everything up to here */
    struct inst_sync_load *load; /* NULL: it has its snapshot */
    struct inst_buf txes;        /* updates about to be sent */
    size_t tx_count;
    bool is_blocked; /* this turn: its connection takes nothing */
};

static inline struct inst_app *inst_sync_app(const struct inst_sync *sync) {
    return sync->session->app;
}

/* ---- sync.c ---- */

/* The place of a covered attr in attr_ids; -1: not covered. */
int inst_sync_attr(const struct inst_sync *sync, const struct inst_value *id);
/* Has the table triples of an attr that the subscription does not cover: one that was made,
 * restored or made single behind its snapshot? Clients keep the attrs that they began with, so only
 * a new snapshot shows them. */
bool inst_sync_is_outgrown(const struct inst_sync *sync);
/* Looks whether its connection takes more. */
void inst_sync_look(struct inst_sync *sync);
/* Tells the client and ends the subscription. */
void inst_sync_fail(struct inst_sync *sync, const struct inst_err *err);
/* Keeps the note. */
enum inst_status inst_sync_keep(struct inst_sync *sync, struct inst_err *err);
void inst_sync_send(struct inst_sync *sync, struct inst_buf *buf);
/* "transactions for the subscription are no longer available" */
enum inst_status inst_sync_refuse_gap(const char *id, int64_t tx_id, struct inst_err *err);

/* ---- sync_load.c ---- */

/* Begins a snapshot of the app as it is. order: the attr by whose order it is sent. */
enum inst_status inst_sync_load_new(struct inst_sync *sync, const struct inst_attr *order,
                                    bool is_desc, struct inst_err *err);
void inst_sync_load_free(struct inst_sync_load *load); /* NULL is fine */
/* The next piece; at the end sync->load is NULL. When it fails sync is gone. */
void inst_sync_load_turn(struct inst_sync *sync);

/* ---- sync_log.c ---- */

/* What the log's record changed, parsed: its `triples`, and whether attrs changed, too. */
enum inst_status inst_sync_changes(struct inst_arena *arena, const struct inst_log_record *record,
                                   const struct inst_value **out, bool *has_attrs,
                                   struct inst_err *err);
/* Is it ["+" or "-", entity, attr, value, created-at]? */
bool inst_sync_is_change(const struct inst_value *change);
/* Its [entity, attr, value, created-at]. */
void inst_sync_write_change(struct inst_buf *buf, const struct inst_value *change);
/* Sends the app's subscribers what they lack; false: there is more for those that take it. */
bool inst_sync_log_turn(struct inst_app *app);

#endif
