/*
 * attrs.h - the attrs of one app (instaql.md 1.2).
 *
 *     by id            attr id text          -> attr
 *     forward          (etype, label)        -> attr    a later attr of the same name replaces the
 *     reverse          (etype, label)        -> attr    earlier one but keeps its place
 *     blobs of etype   etype                 -> attrs in order: the key order of result objects
 *
 * A catalog is immutable and counted; changing it makes a new one that shares the attrs. So a
 * store, a pending mutation and an undo journal can each hold the catalog they were made with.
 */
#ifndef INST_TRIPLES_ATTRS_H
#define INST_TRIPLES_ATTRS_H

#include "base/err.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_checked_type {
    INST_CHECKED_NONE = 0,
    INST_CHECKED_STRING,
    INST_CHECKED_NUMBER,
    INST_CHECKED_BOOLEAN,
    INST_CHECKED_DATE,
};

struct inst_ident {
    struct inst_value id; /* ident uuid text; UNDEFINED when the attr has no such identity */
    struct inst_value etype;
    struct inst_value label;
};

/* One attr; immutable, owned by the catalogs that hold it. */
struct inst_attr {
    struct inst_value id; /* STRING: the attr id text, as given */
    struct inst_ident forward;
    struct inst_ident reverse; /* reverse.label.tag == INST_UNDEFINED: none */
    struct inst_value json;    /* the whole attr as it came (wire shape), for sending it again */
    enum inst_checked_type checked_type;
    bool is_ref;
    bool is_many; /* cardinality "many" */
    bool is_unique;
    bool is_indexed;
    bool is_required;
    bool is_primary; /* "primary?" */
    bool is_system;  /* catalog "system" */
    bool is_unsynced;
    bool on_delete_cascade;
    bool on_delete_reverse_cascade;
    bool is_indexing;       /* "indexing?": the index does not count yet */
    bool is_checking_type;  /* "checking-data-type?" */
    bool is_setting_unique; /* "setting-unique?" */
    /* Asked for, not so yet: every entity, every link is looked at first. */
    bool is_setting_required;    /* "setting-required?" */
    bool is_setting_cardinality; /* "setting-cardinality?": to one */
    uint32_t position;           /* in the catalog, from 0; changes from catalog to catalog */
    uint32_t row;                /* server: the attr's number in the data file; 0 elsewhere */
};

/* One attr of its wire shape, borrowed from json. */
enum inst_status inst_attr_read(const struct inst_value *json, struct inst_attr *out,
                                struct inst_err *err);

struct inst_attrs; /* opaque, counted */

/* attrs: ARRAY of attr objects in map order (a repeated id keeps the first place, last value). A
 * wire shape that lacks what is needed (id, forward-identity) fails with "validation-failed".
 * Copies what it needs. One reference, the caller's. */
enum inst_status inst_attrs_new(const struct inst_value *attrs, struct inst_attrs **out,
                                struct inst_err *err);
struct inst_attrs *inst_attrs_ref(struct inst_attrs *attrs);
void inst_attrs_unref(struct inst_attrs *attrs); /* NULL is fine */

/* New catalogs; the old one is untouched, *out has one reference. `put` adds (at the end) or
 * replaces (in place) by id; `merge` lays the members of partial over the attr partial.id names and
 * gives the same catalog again when there is none; `drop` likewise. `row` is kept from the attr
 * that is replaced, or 0. */
enum inst_status inst_attrs_put(struct inst_attrs *attrs, const struct inst_value *attr,
                                struct inst_attrs **out, struct inst_err *err);
/* Several at once, in order, at the cost of one. */
enum inst_status inst_attrs_put_all(struct inst_attrs *attrs, const struct inst_value *items,
                                    size_t count, struct inst_attrs **out, struct inst_err *err);
enum inst_status inst_attrs_merge(struct inst_attrs *attrs, const struct inst_value *partial,
                                  struct inst_attrs **out, struct inst_err *err);
enum inst_status inst_attrs_drop(struct inst_attrs *attrs, const char *id, size_t id_len,
                                 struct inst_attrs **out, struct inst_err *err);
/* Server: the catalog with the attr's `row` set, in place; only right after making it, before
 * anybody else holds a reference. */
void inst_attrs_set_row(struct inst_attrs *attrs, const char *id, size_t id_len, uint32_t row);

size_t inst_attrs_count(const struct inst_attrs *attrs);
const struct inst_attr *inst_attrs_at(const struct inst_attrs *attrs, size_t position);
/* NULL when there is none. */
const struct inst_attr *inst_attrs_by_id(const struct inst_attrs *attrs, const char *id,
                                         size_t id_len);
const struct inst_attr *inst_attrs_forward(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len, const char *label, size_t label_len);
const struct inst_attr *inst_attrs_reverse(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len, const char *label, size_t label_len);
/* The id attr of a namespace: its primary attr, else forward "id"; NULL when unknown. */
const struct inst_attr *inst_attrs_id_attr(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len);
/* The blob attrs of a namespace in result-key order: *out points into the catalog. Integer-like
 * labels come first, ascending, as in a JavaScript object. */
size_t inst_attrs_blobs(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                        const struct inst_attr *const **out);
/* Every attr whose forward etype it is, in catalog order. */
size_t inst_attrs_of(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                     const struct inst_attr *const **out);
/* Every ref whose reverse etype it is, in catalog order. */
size_t inst_attrs_reverse_of(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                             const struct inst_attr *const **out);

#endif
