/*
 * app_db.h - what the engine asks of one app's data file.
 *
 *     begin ─┬─ savepoint ─ writes ─┬─ release ─┬─ ... ─ commit ── durable
 *            │                      └─ undo ────┘           └──── failed: all since begin is undone
 *            reads (the Store interface) see the writes made so far
 *
 * One writer, one thread. Everything between begin and commit is one group: it becomes durable
 * together or not at all; each transaction in it is atomic by its savepoint. The implementation on
 * SQLite is in io/; a test may have another.
 *
 * Keys: an entity is a handle (its row number), an attr its `row`. Values of links are entities.
 * Indexed attrs (is_indexed or is_unique) have an ordered index over (value, e); the id attr one
 * over (created-at, e); links one over (target, e).
 */
#ifndef INST_SERVER_APP_DB_H
#define INST_SERVER_APP_DB_H

#include "base/buf.h"
#include "base/uuid.h"
#include "triples/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One committed transaction, as the log keeps it. */
struct inst_log_record {
    int64_t tx_id;                 /* 1, 2, 3 ... per app, without gaps among committed ones */
    int64_t at_ms;                 /* commit time by the environment's clock */
    const struct inst_uuid *event; /* client-event-id when it is a uuid, else NULL */
    const char *who;               /* JSON text: who wrote; "null" when anonymous */
    size_t who_len;
    const char *changes; /* JSON text, see transaction.h */
    size_t changes_len;
};

struct inst_app_db;

struct inst_app_db_ops {
    /* ---- the group ---- */
    enum inst_status (*begin)(struct inst_app_db *db, struct inst_err *err); /* no-op when begun */
    enum inst_status (*commit)(struct inst_app_db *db, struct inst_err *err);
    void (*rollback)(struct inst_app_db *db); /* gives up the whole group */
    enum inst_status (*savepoint)(struct inst_app_db *db, struct inst_err *err);
    enum inst_status (*release)(struct inst_app_db *db, struct inst_err *err);
    enum inst_status (*undo)(struct inst_app_db *db, struct inst_err *err); /* to the savepoint */
    /* Between evaluations: texts that entity_id gave may go. Commit and rollback do it too. */
    void (*trim)(struct inst_app_db *db);

    /* ---- writing ---- */
    /* The entity of this uuid, made when new; *is_new says so. */
    enum inst_status (*make_entity)(struct inst_app_db *db, const struct inst_uuid *id, uint32_t *e,
                                    bool *is_new, struct inst_err *err);
    /* Writes (e, attr) = v, or the link to ref. Cardinality one: in place of what was there, given
     * as `old` (NULL: nothing was; the caller knows, having read it). Many: adds. Keeps every
     * index. */
    enum inst_status (*put)(struct inst_app_db *db, uint32_t e, const struct inst_attr *attr,
                            const struct inst_value *v, uint32_t ref, int64_t t,
                            const struct inst_triple *old, struct inst_err *err);
    /* Removes exactly this triple (as read from the store); nothing when it is not there. */
    enum inst_status (*retract)(struct inst_app_db *db, const struct inst_attr *attr,
                                const struct inst_triple *triple, struct inst_err *err);
    /* Calls back for every link that points at e, whatever its attr. false stops. fn writes
     * nothing: it notes what it wants to change. */
    enum inst_status (*each_link_to)(struct inst_app_db *db, uint32_t e,
                                     bool (*fn)(void *ctx, uint32_t attr_row,
                                                const struct inst_triple *triple),
                                     void *ctx, struct inst_err *err);
    /* Calls back for every triple of e, whatever its attr, likewise. */
    enum inst_status (*each_of)(struct inst_app_db *db, uint32_t e,
                                bool (*fn)(void *ctx, uint32_t attr_row,
                                           const struct inst_triple *triple),
                                void *ctx, struct inst_err *err);
    /* Saves the attr (wire shape JSON text) and gives it a row when *row is 0; `deleted` hides it.
     */
    enum inst_status (*save_attr)(struct inst_app_db *db, const struct inst_attr *attr,
                                  const char *json, size_t len, bool deleted, uint32_t *row,
                                  struct inst_err *err);
    /* The wire shape JSON text of the attr of this id, hidden ones too: *json is the caller's to
     * free(), NULL when there is none. */
    enum inst_status (*find_attr)(struct inst_app_db *db, const char *id, size_t id_len,
                                  char **json, size_t *len, bool *deleted, uint32_t *row,
                                  struct inst_err *err);
    /* Removes an attr that has no triples any more. */
    enum inst_status (*drop_attr)(struct inst_app_db *db, uint32_t row, struct inst_err *err);
    /* (Re)builds or drops the ordered index of an attr whose is_indexed, is_unique or checked type
     * changed; nothing to do is cheap. Until then the attr is not offered for ranges. What triples
     * of links and of id attrs are never changes while there are any. */
    enum inst_status (*reindex_attr)(struct inst_app_db *db, const struct inst_attr *attr,
                                     struct inst_err *err);
    /* The same in pieces: looks at no more than limit rows, *count of them; place is empty at first
     * and keeps where the next call goes on (a new empty one begins anew, which is right at any
     * time). Reads and writes in between are right; ranges and orders are not offered then. */
    enum inst_status (*reindex_some)(struct inst_app_db *db, const struct inst_attr *attr,
                                     size_t limit, struct inst_buf *place, size_t *count,
                                     bool *is_done, struct inst_err *err);
    /* Calls back for the next triples of attr behind the place, no more than limit of them, in the
     * order of its index; false stops. Every triple that is not written between two calls is met
     * (again, should the attr's kind of index change: the walk begins anew). fn writes nothing; the
     * triple is borrowed. */
    enum inst_status (*walk)(struct inst_app_db *db, const struct inst_attr *attr, size_t limit,
                             struct inst_buf *place,
                             bool (*fn)(void *ctx, const struct inst_triple *triple), void *ctx,
                             size_t *count, bool *is_done, struct inst_err *err);
    /* An entity other than e that has the value v (a link: that points at ref), by the ordered
     * index alone: of an attr that just gets one, rows that have no place in it yet do not count.
     * *other 0: none. */
    enum inst_status (*find_other)(struct inst_app_db *db, const struct inst_attr *attr,
                                   const struct inst_value *v, uint32_t ref, uint32_t e,
                                   uint32_t *other, struct inst_err *err);
    enum inst_status (*append_log)(struct inst_app_db *db, const struct inst_log_record *record,
                                   struct inst_err *err);
    /* Keeps bytes under a key; NULL removes it. For what the engine must remember of an app beside
     * its data. Outside of a transaction's savepoint. */
    enum inst_status (*set_note)(struct inst_app_db *db, const char *key, const char *bytes,
                                 size_t len, struct inst_err *err);

    /* ---- reading beyond the Store interface ---- */
    /* tx-id of the committed (or, in this group, pending) transaction with this event; 0: none. */
    enum inst_status (*find_event)(struct inst_app_db *db, const struct inst_uuid *event,
                                   int64_t *tx_id, struct inst_err *err);
    int64_t (*last_tx_id)(struct inst_app_db *db); /* 0 when nothing was committed yet */
    /* Calls back for every record of the log behind `after`, in order; false stops. The record is
     * borrowed until fn returns; fn does not read the log again. */
    enum inst_status (*read_log)(struct inst_app_db *db, int64_t after,
                                 bool (*fn)(void *ctx, const struct inst_log_record *record),
                                 void *ctx, struct inst_err *err);
    /* The note of this key, added to out. */
    enum inst_status (*get_note)(struct inst_app_db *db, const char *key, struct inst_buf *out,
                                 bool *found, struct inst_err *err);
    /* Calls back for every note whose key begins with prefix, by key; false stops. after: only for
     * those behind this key; NULL: all. fn writes nothing. */
    enum inst_status (*each_note)(struct inst_app_db *db, const char *prefix, const char *after,
                                  bool (*fn)(void *ctx, const char *key, const char *bytes,
                                             size_t len),
                                  void *ctx, struct inst_err *err);
    /* The user attrs as last committed or pending, in id order, `row` set; one reference. */
    enum inst_status (*load_attrs)(struct inst_app_db *db, struct inst_attrs **out,
                                   struct inst_err *err);
    /* Calls back with the JSON text of every attr that is hidden, by id; false stops. fn writes
     * nothing. */
    enum inst_status (*each_hidden_attr)(struct inst_app_db *db,
                                         bool (*fn)(void *ctx, const char *json, size_t len),
                                         void *ctx, struct inst_err *err);
    void (*close)(struct inst_app_db *db); /* frees it; an open group is rolled back */
};

/* First member of every implementation. `store` is read through the Store interface; its catalog
 * (store.attrs) is set by the engine whenever attrs change; close drops the reference in it. */
struct inst_app_db {
    struct inst_store store;
    const struct inst_app_db_ops *db_ops;
};

/* The apps of one backend. Implemented in io/ on a system data file beside the apps' own. */
struct inst_app_info {
    char id[INST_UUID_TEXT + 1];
    char title[256];
    int64_t created_ms;
    int64_t expires_ms; /* ephemeral apps; 0: never */
};

/* Who runs the backend (operators.h). */
struct inst_operator_token {
    char id[INST_UUID_TEXT + 1]; /* of the token */
    char name[128];              /* what it is for */
    int64_t created_ms;
};

/* What operators do. The file and memory variants have one owner: there any token is an operator's,
 * and what changes the list of apps fails. */
struct inst_app_manage_ops {
    /* token is kept as a hash. Durable when it returns, as everything here. */
    enum inst_status (*add_operator)(void *ctx, const struct inst_operator_token *who,
                                     const char *token, struct inst_err *err);
    /* Compares with the hashes in constant time. */
    bool (*is_operator)(void *ctx, const char *token, size_t len);
    /* Oldest first; false stops. */
    enum inst_status (*each_operator)(void *ctx,
                                      bool (*fn)(void *ctx, const struct inst_operator_token *who),
                                      void *fn_ctx, struct inst_err *err);
    /* One that is not there is removed already. */
    enum inst_status (*remove_operator)(void *ctx, const char *id, struct inst_err *err);
    /* Records beside the apps, by key; bytes NULL removes one. */
    enum inst_status (*set_record)(void *ctx, const char *key, const char *bytes, size_t len,
                                   struct inst_err *err);
    /* Adds the record to out. */
    enum inst_status (*get_record)(void *ctx, const char *key, struct inst_buf *out, bool *found,
                                   struct inst_err *err);
    /* Those whose key begins with prefix, by key; false stops. fn writes nothing. */
    enum inst_status (*each_record)(void *ctx, const char *prefix,
                                    bool (*fn)(void *ctx, const char *key, const char *bytes,
                                               size_t len),
                                    void *fn_ctx, struct inst_err *err);
    /* Every app, oldest first; false stops. fn may open apps, not make or remove them. */
    enum inst_status (*each)(void *ctx, bool (*fn)(void *ctx, const struct inst_app_info *info),
                             void *fn_ctx, struct inst_err *err);
    /* The app whose admin token this is; "record-not-found" when there is none. */
    enum inst_status (*find_by_token)(void *ctx, const char *token, size_t len,
                                      struct inst_app_info *out, struct inst_err *err);
    enum inst_status (*rename)(void *ctx, const char *app_id, const char *title,
                               struct inst_err *err);
    /* The new admin token is the only one. */
    enum inst_status (*set_token)(void *ctx, const char *app_id, const char *token,
                                  struct inst_err *err);
    enum inst_status (*keep_for_ever)(void *ctx, const char *app_id, struct inst_err *err);
    /* From then on nothing finds it; the data file, which may be open, stays for a while. */
    enum inst_status (*remove)(void *ctx, const char *app_id, struct inst_err *err);
    /* Notes that an app has work which goes on whoever looks (jobs.h), or none any more. */
    enum inst_status (*set_working)(void *ctx, const char *app_id, bool is_working,
                                    struct inst_err *err);
    /* The apps noted so, and perhaps others; false stops. fn opens none. */
    enum inst_status (*each_working)(void *ctx, bool (*fn)(void *ctx, const char *app_id),
                                     void *fn_ctx, struct inst_err *err);
};

struct inst_apps_ops {
    /* Makes the app and its empty data file; durable when it returns. token is kept as a hash. */
    enum inst_status (*create)(void *ctx, const struct inst_app_info *info,
                               const char admin_token[INST_UUID_TEXT + 1], struct inst_err *err);
    /* INST_FAILED with type "record-not-found" (hint record-type "app") when there is none. */
    enum inst_status (*find)(void *ctx, const char *app_id, struct inst_app_info *out,
                             struct inst_err *err);
    /* Compares with the hash in constant time. */
    bool (*is_admin_token)(void *ctx, const char *app_id, const char *token, size_t len);
    /* Opens the app's data file; the caller closes it. */
    enum inst_status (*open)(void *ctx, const char *app_id, struct inst_app_db **out,
                             struct inst_err *err);
    /* NULL: the host has a fixed set of apps, and nothing about them is noted outside of their
     * files. */
    const struct inst_app_manage_ops *manage;
};

#endif
