/*
 * tx.h - one transaction while it is applied. Only for transaction.c, tx_*.c and jobs_stages.c.
 *
 *     tx_shape     steps as they came -> struct inst_tx_step, or the original's refusal
 *     tx_delete    delete-entity steps expanded over etypes and cascades, then carried out
 *     tx_rules     system columns, modes, what needs an admin
 *     tx_permissions  the app's permission rules, before and after writing
 *     tx_lookup    entities and lookups
 *     tx_write     one triple put or retracted: constraints, change record, log
 *     tx_triples   the groups add-triple, deep-merge-triple, retract-triple
 *     tx_attrs     the groups of attr steps, inferred types
 *     tx_flags     what changed attrs ask of existing triples
 *     tx_checks    the app's owner asked about what was written (functions.h)
 *     tx_required  required attrs
 */
#ifndef INST_SERVER_TX_H
#define INST_SERVER_TX_H

#include "base/buf.h"
#include "server/table.h"
#include "server/transaction.h"

enum inst_tx_op {
    INST_TX_ADD_TRIPLE,
    INST_TX_DEEP_MERGE,
    INST_TX_RETRACT,
    INST_TX_DELETE_ENTITY,
    INST_TX_RULE_PARAMS,
    INST_TX_ADD_ATTR,
    INST_TX_UPDATE_ATTR,
    INST_TX_DELETE_ATTR,
    INST_TX_RESTORE_ATTR,
    INST_TX_OPS,
};

enum inst_tx_mode { INST_TX_UPSERT, INST_TX_CREATE, INST_TX_UPDATE };

/* What later checks know of an attr: as it will be after this transaction's attr steps. */
struct inst_tx_attr {
    const struct inst_value *etype; /* NULL: the attr is unknown */
    const struct inst_value *label;
    const struct inst_value *reverse_etype; /* of a link; NULL: none */
    const struct inst_value *reverse_label;
    bool is_ref;
    bool is_system;
};

struct inst_tx_step {
    enum inst_tx_op op;
    enum inst_tx_mode mode;
    const struct inst_value *raw;   /* the step as it came */
    const struct inst_value *e;     /* uuid text or lookup pair; NULL for attr steps */
    const struct inst_value *a;     /* attr id text; of delete- and restore-attr too */
    const struct inst_value *v;     /* value, patch, or the attr */
    const struct inst_value *etype; /* delete-entity; NULL: none given */
};

/* An entity under one etype, for deletes and required attrs. */
struct inst_tx_member {
    uint32_t e;
    struct inst_value etype;
};
struct inst_tx_members {
    struct inst_tx_member *items;
    size_t count, cap;
    struct inst_table set; /* (e, hash of etype) */
};

struct inst_tx_permit;

struct inst_tx {
    struct inst_transaction *transaction;
    const struct inst_env *env;
    struct inst_app_db *db;
    struct inst_store *store;
    struct inst_arena *arena;
    struct inst_catalog *catalog; /* current, a reference */
    struct inst_changes *changes;
    bool is_admin;
    bool has_written;              /* what is not logged: rows of an index that moved */
    struct inst_tx_permit *permit; /* NULL: rules do not apply */
    int64_t now;
    uint64_t seed;
    struct inst_value steps; /* lower-cased */
    struct inst_tx_step *list;
    size_t count;
    struct inst_table attr_steps;   /* hash of attr id -> the add- or update-attr's value */
    struct inst_table handles;      /* uuid -> handle */
    struct inst_table newborn;      /* (e, 0): made by this transaction; (e, attr row): written */
    struct inst_table lookups;      /* hash of a lookup -> handle */
    struct inst_table made;         /* (e, attr row) written by a lookup that made its entity */
    struct inst_table kinds;        /* attr row -> kinds newly seen */
    struct inst_tx_members fresh;   /* whose id triple a lookup wrote: nulls to be filled */
    struct inst_tx_members touched; /* for required */
    struct inst_tx_members deletes; /* what delete-entity steps come to */
    struct inst_buf log_triples;
    struct inst_buf log_attrs;
};

/* ---- transaction.c ---- */
bool inst_tx_members_add(struct inst_tx *tx, struct inst_tx_members *members, uint32_t e,
                         const struct inst_value *etype, bool *is_new);
/* Everything but its catalog and arena. */
void inst_tx_release(struct inst_tx *tx);
/* {"data-type": "tx-step", "input": the step} with a message. */
enum inst_status inst_tx_refuse_step(const struct inst_tx_step *step, struct inst_err *err,
                                     const char *message);

/* ---- tx_shape.c ---- */
/* Fills steps, list and attr_steps. */
enum inst_status inst_tx_shape(struct inst_tx *tx, const struct inst_value *steps,
                               struct inst_err *err);
struct inst_tx_attr inst_tx_attr_of(const struct inst_tx *tx, const struct inst_value *attr_id);
bool inst_tx_is_lookup(const struct inst_value *v);       /* in the place of an entity */
bool inst_tx_is_value_lookup(const struct inst_value *v); /* [attr uuid, value] */

/* ---- tx_rules.c ---- */
enum inst_status inst_tx_check_rules(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_check_modes(struct inst_tx *tx, struct inst_err *err);

/* Has e any triple of this etype? Remembered in memo, for many steps ask about one entity. */
enum inst_status inst_tx_is_of_etype(struct inst_tx *tx, struct inst_table *memo, uint32_t e,
                                     const struct inst_value *etype, bool *out,
                                     struct inst_err *err);

/* ---- tx_attrs.c, for jobs ---- */
/* Lays members over an attr (UNDEFINED takes one away) and does nothing else: what its new flags
 * ask of triples is the caller's. Attrs move: look it up again. */
enum inst_status inst_tx_set_attr(struct inst_tx *tx, const struct inst_value *id,
                                  const struct inst_member *members, size_t count,
                                  struct inst_err *err);

/* ---- tx_lookup.c ---- */
const struct inst_attr *inst_tx_attr_by_id(const struct inst_tx *tx, const struct inst_value *id);
/* "We could not find an attribute with id = '...'" */
enum inst_status inst_tx_refuse_attr(const struct inst_value *id, struct inst_err *err);
/* The handle of a uuid; *e 0 when it has none and make is false. */
enum inst_status inst_tx_entity(struct inst_tx *tx, const struct inst_uuid *id, bool make,
                                uint32_t *e, struct inst_err *err);
/* The entity that has this value of a unique attr; *e 0: none. */
enum inst_status inst_tx_find(struct inst_tx *tx, const struct inst_attr *attr,
                              const struct inst_value *v, uint32_t *e, struct inst_err *err);
/* The entity of a step (uuid or lookup). make: an unknown one is made, by lookup with its triple.
 * Else *e is 0 when there is none. */
enum inst_status inst_tx_resolve(struct inst_tx *tx, const struct inst_value *e_value, bool make,
                                 uint32_t *e, struct inst_err *err);
/* The entity that a value names: a uuid or a lookup; *e 0: not found. */
enum inst_status inst_tx_resolve_value(struct inst_tx *tx, const struct inst_value *v, bool make,
                                       uint32_t *e, struct inst_err *err);

/* ---- tx_write.c ---- */
/* The first triple of (e, attr), copied into the arena; *found says whether there is one. */
enum inst_status inst_tx_read(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                              struct inst_triple *out, bool *found, struct inst_err *err);
/* Writes one triple; nothing when it is there already. v is checked against the attr. For links v
 * may be NULL. *changed (may be NULL) says whether something was written. */
enum inst_status inst_tx_put(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                             const struct inst_value *v, uint32_t ref, bool *changed,
                             struct inst_err *err);
/* For imports (import.h): writes a triple of an entity that has none of this attr, or not this
 * link, created at t. Checked as any, but neither logged nor told to live queries. */
enum inst_status inst_tx_load(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                              const struct inst_value *v, uint32_t ref, int64_t t,
                              struct inst_err *err);
enum inst_status inst_tx_retract(struct inst_tx *tx, const struct inst_attr *attr,
                                 const struct inst_triple *triple, struct inst_err *err);
/* Does the attr take this value, by its checked type? And is it short enough for an index? */
bool inst_tx_has_checked_type(const struct inst_attr *attr, const struct inst_value *v);
bool inst_tx_fits_index(const struct inst_value *v);
/* Nulls for the indexed blobs of etype that e has no triple of (transactions.md 8.1). */
enum inst_status inst_tx_fill_nulls(struct inst_tx *tx, uint32_t e, const struct inst_value *etype,
                                    struct inst_err *err);

/* ---- tx_flags.c ---- */
/* More rows than are touched at once? attr NULL: no. */
bool inst_tx_has_many(struct inst_tx *tx, const struct inst_attr *attr);
/* What an attr of that JSON says instead while jobs (jobs.h) do what its changes ask of many rows;
 * before NULL: it is new. */
#define INST_TX_PUT_OFF_MAX 6
enum inst_status inst_tx_put_off(struct inst_tx *tx, const struct inst_attr *before,
                                 const struct inst_value *json,
                                 struct inst_member out[INST_TX_PUT_OFF_MAX], size_t *count,
                                 struct inst_err *err);
/* There are entities without what shall be required. */
enum inst_status inst_tx_refuse_required(const struct inst_value *etype,
                                         const struct inst_value *label, struct inst_err *err);

/* ---- tx_triples.c, tx_delete.c, tx_attrs.c, tx_flags.c, tx_checks.c, tx_required.c ---- */
enum inst_status inst_tx_add_triples(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_deep_merges(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_retracts(struct inst_tx *tx, struct inst_err *err);
/* Before anything is written. */
enum inst_status inst_tx_expand_deletes(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_deletes(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_attr_group(struct inst_tx *tx, enum inst_tx_op op, struct inst_err *err);
enum inst_status inst_tx_save_kinds(struct inst_tx *tx, struct inst_err *err);
/* A triple that was read and taken out. */
struct inst_tx_kept {
    struct inst_triple triple;
    struct inst_tx_kept *next;
};
/* What a changed value type needs of the old attr: its triples, taken out. */
enum inst_status inst_tx_take_out(struct inst_tx *tx, const struct inst_attr *before,
                                  const struct inst_attr *after, struct inst_tx_kept **out,
                                  struct inst_err *err);
/* With the new catalog in use. before NULL: the attr is new. converted: what was taken out. */
enum inst_status inst_tx_apply_flags(struct inst_tx *tx, const struct inst_attr *before,
                                     const struct inst_attr *after, struct inst_tx_kept *converted,
                                     struct inst_err *err);
/* After the groups; writes what the checks want written. */
enum inst_status inst_tx_run_checks(struct inst_tx *tx, struct inst_err *err);
enum inst_status inst_tx_check_required(struct inst_tx *tx, struct inst_err *err);
/* After update-attr with required?: does every entity have it? */
enum inst_status inst_tx_check_updated_required(struct inst_tx *tx, struct inst_err *err);

#endif
