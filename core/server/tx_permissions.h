/*
 * tx_permissions.h - the rules' say in a transaction (permissions.md 7.2).
 *
 *     steps ──> checks before writing: update, delete, link, unlink, view of what is there
 *       │
 *       └────── checks after writing: create, link, view of what is new, attrs
 *
 * Each distinct check runs once, and all of a phase run before any of them is judged: an error of
 * evaluation beats a denial.
 */
#ifndef INST_SERVER_TX_PERMISSIONS_H
#define INST_SERVER_TX_PERMISSIONS_H

#include "server/permissions.h"
#include "server/tx.h"

struct inst_tx_check;

struct inst_tx_permit {
    struct inst_permissions permissions;
    struct inst_tx_check *first, **end; /* found before writing, for both phases */
    struct inst_table known;            /* entities of the transaction, by id and etype */
    struct inst_table done;             /* checks that are in the list */
    struct inst_table kinds;            /* memo of inst_tx_is_of_etype */
    inst_tx_verdict_fn *report;         /* NULL: a denial refuses the transaction */
    void *report_ctx;
};

/* One for each transaction. */
void inst_tx_permit_init(struct inst_tx_permit *permit, struct inst_app *app,
                         struct inst_rules *rules, const struct inst_viewer *viewer,
                         struct inst_store *store, struct inst_arena *arena);
void inst_tx_permit_release(struct inst_tx_permit *permit);

/* Before anything is written; the expanded deletes are known. Errors: the original's. */
enum inst_status inst_tx_permit_before(struct inst_tx *tx, struct inst_err *err);
/* With all writes in the store. */
enum inst_status inst_tx_permit_after(struct inst_tx *tx, struct inst_err *err);

#endif
