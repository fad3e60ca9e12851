/*
 * table_rows.h - the entities of a sync table, in order (session.md 5.13).
 *
 *     rows     row  row  row ...        in the order of the query, once sorted
 *     by_id    id -> row
 *     row      id, created-at, key, cells as JSON: [k,value,k,value,...]
 *     attrs    k -> attr id
 *
 * A table may be large, so a row is its text: it is read when it is shown or changed. Cells hold
 * one value: that is all that sync tables carry. Known by attr ids, they outlive changes of the
 * catalog; what an entity looks like is decided by the catalog it is shown with.
 */
#ifndef INST_CLIENT_TABLE_ROWS_H
#define INST_CLIENT_TABLE_ROWS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/collate.h"
#include "base/err.h"
#include "client/map.h"
#include "instaql/sort.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_TABLE_MAX_ROWS 10000000
/* Different attrs of one table. */
#define INST_TABLE_MAX_ATTRS 10000

struct inst_table_row {
    struct inst_row sort; /* id, key */
    int64_t created_at;   /* of the id triple; INST_NO_TIME: unknown */
    uint32_t place;       /* in a transaction: see table_rows.c */
    bool is_moved;        /* in a transaction: not where it stands */
    bool is_gone;         /* in a transaction: no entity any more */
    uint32_t cells_len;
    char *data; /* owned: cells, then the bytes of the key */
    char id[];
};

struct inst_table_rows {
    struct inst_arena arena; /* attr ids */
    const char **attrs;      /* by k; owned list */
    size_t attr_count, attr_cap;
    struct inst_value etype;     /* borrowed */
    const char *order_attr;      /* id; NULL: by creation */
    enum inst_checked_type type; /* of the order attr */
    /* Scratch is owned. order.collator is the owner's to set before anything compares texts. */
    struct inst_row_order order;
    struct inst_table_row **items;
    size_t count, cap;
    struct inst_map by_id;
    struct inst_table_row **touched; /* by the transaction at hand; owned list */
    size_t touched_count, touched_cap;
};

/* etype is borrowed as long as the rows live; seed is the map's. */
void inst_table_rows_init(struct inst_table_rows *rows, const struct inst_value *etype,
                          uint64_t seed);
/* By the values of this attr; NULL: by creation. Before there are rows. */
enum inst_status inst_table_rows_order(struct inst_table_rows *rows, const struct inst_attr *attr,
                                       bool is_desc, struct inst_err *err);
void inst_table_rows_free(struct inst_table_rows *rows);
/* Forgets the rows, keeps the order. */
void inst_table_rows_clear(struct inst_table_rows *rows);

/* One entity of a batch, triples [e, a, v, t], behind those that are there; *out NULL: it is none.
 * An entity that is there already is replaced where it stands. */
enum inst_status inst_table_rows_load(struct inst_table_rows *rows,
                                      const struct inst_value *triples, struct inst_table_row **out,
                                      struct inst_err *err);
/* Puts what was loaded in order. */
void inst_table_rows_sort(struct inst_table_rows *rows);

/* ---- a transaction ----
 *
 *     find, touch ... for every entity that is there ... ─┐
 *     (the entity as it was) ─ apply ─ (as it is) ... next entity ... ─ finish
 *
 * Rows stay where they are until finish puts those that changed in order; rows that are gone live
 * until then. */

struct inst_table_row *inst_table_rows_find(const struct inst_table_rows *rows, const char *id,
                                            size_t len);
/* Once for a row that is going to change, before any does: the search for its place needs every key
 * as it was. false: out of memory. */
bool inst_table_rows_touch(struct inst_table_rows *rows, struct inst_table_row *row);
/* Applies changes of one entity, each {"action": "added"|"removed", "triple": [e, a, v, t]}. row:
 * what find gave, touched, or NULL. *out: the row it is now; NULL: it is no entity. */
enum inst_status inst_table_rows_apply(struct inst_table_rows *rows, struct inst_table_row *row,
                                       const struct inst_value *const *changes, size_t count,
                                       struct inst_table_row **out, struct inst_err *err);
/* false: out of memory; the rows are not to be used any more, but for being cleared. */
bool inst_table_rows_finish(struct inst_table_rows *rows);

/* ---- showing and keeping ---- */

/* The entity as the app sees it. Arrays and objects in arena. */
enum inst_status inst_table_row_object(const struct inst_table_rows *rows,
                                       const struct inst_table_row *row, struct inst_attrs *attrs,
                                       bool use_date_objects, struct inst_arena *arena,
                                       struct inst_value *out, struct inst_err *err);
/* `"attrs":[...],"rows":[[id,created-at,[cells]],...]`; read back by inst_table_rows_read from an
 * object with these members. */
void inst_table_rows_write(const struct inst_table_rows *rows, struct inst_buf *out);
/* Into empty rows. false: it is not understood, or out of memory; the rows are empty then. */
bool inst_table_rows_read(struct inst_table_rows *rows, const struct inst_value *kept);

#endif
