/*
 * transaction.h - tx-steps checked and applied, all or nothing (transactions.md 3, 7-10, 12).
 *
 *     steps ─ lower-case uuids ─ shape ─ deletes expanded ─ system columns ─ modes ─ rules
 *           ─ groups in order of first appearance ─ the owner's checks ─ required ─ rules again
 *           ─ inferred types
 *           ─ log record
 *
 * Runs inside the open group of the app's data file, in a savepoint: when it fails everything it
 * wrote, its changes and its catalog are as before. Nothing is durable before the group's commit.
 *
 * The log record's `changes` is one JSON object:
 *     {"triples":[["+",e,attr,value,created-at] | ["-",e,attr,value,created-at], ...],
 *      "attrs":[["+",attr] | ["~",attr] | ["-",attr-id], ...]}
 * in the order written; an overwritten value is a "-" then a "+". Ids are uuid texts.
 */
#ifndef INST_SERVER_TRANSACTION_H
#define INST_SERVER_TRANSACTION_H

#include "base/arena.h"
#include "base/env.h"
#include "server/app_db.h"
#include "server/catalog.h"
#include "server/changes.h"

struct inst_tx;
struct inst_tx_permit;

/* What is done in the place of steps (jobs.h); it sets tx->has_written when it wrote what is not
 * logged. */
typedef enum inst_status inst_tx_fn(void *ctx, struct inst_tx *tx, struct inst_err *err);

/* What the owner of the app says to what was written, before it is committed (functions.h). */
struct inst_tx_checks {
    void *ctx;
    bool (*wants)(void *ctx, const struct inst_value *etype);
    enum inst_status (*run)(void *ctx, const struct inst_value *changes, struct inst_arena *arena,
                            struct inst_value *values, struct inst_err *err);
};

struct inst_transaction {
    /* in */
    const struct inst_env *env;
    struct inst_app_db *db;   /* a group is open */
    struct inst_arena *arena; /* scratch, for as long as the transaction runs */
    bool is_admin;
    bool is_engine;                /* the engine's own rows: columns that nobody else may change */
    struct inst_tx_permit *permit; /* the rules' say (tx_permissions.h); NULL: none */
    const struct inst_tx_checks *checks; /* the owner's; NULL: none */
    int64_t tx_id;                       /* what the log record says */
    int64_t at_ms;                       /* ... and what is new is said to be created at */
    const struct inst_uuid *event;       /* client-event-id when it is a uuid, or NULL */
    const char *who;                     /* JSON text */
    inst_tx_fn *apply;                   /* NULL: the steps */
    void *apply_ctx;
    /* in and out */
    struct inst_catalog *catalog; /* the caller's reference; replaced when attrs changed */
    struct inst_changes *changes; /* of the group; this transaction's are added */
    /* out */
    bool is_logged;     /* there is a record of it; always, when it applied steps */
    bool has_written;   /* it wrote something, logged or not */
    bool is_group_lost; /* the savepoint could not be undone: the group must be rolled back */
};

enum inst_status inst_transaction_run(struct inst_transaction *transaction,
                                      const struct inst_value *steps, struct inst_err *err);

#endif
