/*
 * sync_tables.h - whole namespaces kept here (session.md 5.13), for apps with an admin token.
 *
 *     subscribe ──> start-sync ──> InitialSyncBatch* ──> InitialSyncComplete ──> SyncTransaction*
 *         └───────> (kept from before) LoadFromStorage, resync-table ──────────> SyncTransaction*
 *
 * An event describes the table right behind it: messages are applied one by one as their events are
 * delivered. A resync that the server refuses starts over with InitialSyncBatch.
 */
#ifndef INST_CLIENT_SYNC_TABLES_H
#define INST_CLIENT_SYNC_TABLES_H

#include "client/reactor.h"

#define INST_REACTOR_MAX_TABLES 1000 /* different ones at once */

struct inst_table_event;

/* What is absent is NULL. Everything is borrowed until the callback returns. */
struct inst_sync_event {
    const char *type;                       /* the names above, or "Error" */
    const struct inst_value *batch;         /* InitialSyncBatch: entities */
    const struct inst_value *added;         /* SyncTransaction: entities */
    const struct inst_value *removed;       /* as they were */
    const struct inst_value *updated;       /* [{oldEntity, newEntity, changedFields}] */
    const struct inst_reactor_error *error; /* Error */
    struct inst_table_event *inner;         /* for inst_sync_event_data */
};

typedef void inst_sync_fn(void *ctx, const struct inst_sync_event *event);

/* The whole table, {etype: [entities in order]}, made when first asked for; NULL: out of memory. */
const struct inst_value *inst_sync_event_data(const struct inst_sync_event *event);

/* q: one namespace, with nothing but an order. Copied. The server judges it: what it refuses comes
 * as an Error event. A table that others follow already is shared; the new listener is told what is
 * there with LoadFromStorage.
 * err: "validation-failed" when q is no object with a namespace. */
enum inst_status inst_reactor_subscribe_table(struct inst_reactor *reactor,
                                              const struct inst_value *q, inst_sync_fn *fn,
                                              void *ctx, uint64_t *id, struct inst_err *err);
/* As inst_reactor_unsubscribe, which does not keep. keep: when it was the last listener, the server
 * and the storage keep the subscription, and the next one goes on from there. */
void inst_reactor_unsubscribe_table(struct inst_reactor *reactor, uint64_t id, bool keep);
/* What this subscription's table holds now, as inst_sync_event_data; entities in arena. UNDEFINED
 * when there is no such subscription. */
enum inst_status inst_reactor_table_data(struct inst_reactor *reactor, uint64_t id,
                                         struct inst_arena *arena, struct inst_value *out,
                                         struct inst_err *err);

/* ---- for the reactor ---- */

struct inst_tables; /* NULL until one is followed */
struct inst_problem;

void inst_tables_resend(struct inst_reactor *r);
/* The storage is ready, or given up. */
void inst_tables_load_all(struct inst_reactor *r);
void inst_tables_start_ok(struct inst_reactor *r, const struct inst_value *msg);
/* sync-load-batch, sync-init-finish, sync-update-triples. */
void inst_tables_message(struct inst_reactor *r, const struct inst_value *msg);
/* problem is the caller's. */
void inst_tables_start_error(struct inst_reactor *r, const struct inst_value *msg,
                             struct inst_problem *problem);
void inst_tables_resync_error(struct inst_reactor *r, const struct inst_value *msg,
                              struct inst_problem *problem);
void inst_tables_free(struct inst_reactor *r);

#endif
