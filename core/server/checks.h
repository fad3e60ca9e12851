/*
 * checks.h - what `debugQuery` and `debugTransact` tell (http.md 6.3, permissions.md 7, 8): which
 * entities a query or a transaction touches, and what the rules say to each.
 *
 *     steps ── before writing: update, delete, view of what is there ──┐
 *       └───── after writing: create, view of what is new, attrs ──────┴─> [check, ...]
 *
 * No rules exist yet, so every check is that of an app without any: allowed, except for the
 * fallbacks of the system's namespaces (permissions.md 2.1). Cascaded deletes are not listed.
 */
#ifndef INST_SERVER_CHECKS_H
#define INST_SERVER_CHECKS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"
#include "server/table.h"
#include "server/viewer.h"
#include "triples/attrs.h"
#include "triples/store.h"

#include <stdbool.h>

/* The entity as rules get it: its values of cardinality one by label, links as ids. On arena. */
enum inst_status inst_checks_record(struct inst_store *store, const struct inst_value *etype,
                                    uint32_t e, struct inst_arena *arena, struct inst_value *out,
                                    struct inst_err *err);
/* `{}` where no rule applies, else {"code","display-code","etype","action"}. */
void inst_checks_write_program(struct inst_buf *buf, const struct inst_value *etype,
                               const char *action);
bool inst_checks_allow(const struct inst_viewer *viewer, const struct inst_value *etype,
                       const char *action, const struct inst_value *record);

/* The checks of one transaction; everything lives on its arena. */
struct inst_checks {
    struct inst_arena *arena;
    struct inst_store *store;
    struct inst_attrs *attrs;       /* with those that the transaction makes; a reference */
    const struct inst_value *steps; /* tx-steps, as inst_admin_steps_to_tx made them */
    const struct inst_viewer *viewer;
    struct inst_checks_step *list; /* the steps, read */
    struct inst_table known;       /* entities by id and etype; checks already listed */
    struct inst_buf json;          /* the list so far, without brackets */
    size_t count;
    bool all_ok;
};

struct inst_checks_step;

/* What is there before anything is written. Release even when it fails. */
enum inst_status inst_checks_begin(struct inst_checks *checks, struct inst_store *store,
                                   const struct inst_value *steps, const struct inst_viewer *viewer,
                                   struct inst_arena *arena, struct inst_err *err);
/* With the transaction's writes in the store. */
enum inst_status inst_checks_end(struct inst_checks *checks, struct inst_err *err);
void inst_checks_release(struct inst_checks *checks);

#endif
