/*
 * catalog.h - the attrs of one app as the engine needs them: by their row in the data file, with
 * the kinds of values ever written, and as bytes to send.
 *
 *     attrs      in id order (what `init-ok` and `refresh-ok` list, system attrs among them)
 *     rows[r]    the attr whose row is r, or none: unknown or deleted
 *
 * Immutable and counted, as struct inst_attrs is: whoever changes attrs makes a new catalog, and
 * undoing a transaction is going back to the former one.
 */
#ifndef INST_SERVER_CATALOG_H
#define INST_SERVER_CATALOG_H

#include "base/err.h"
#include "base/shared.h"
#include "triples/attrs.h"

/* Kinds of values written, `inferred-types` (transactions.md 8.1). */
enum {
    INST_KIND_NUMBER = 1,
    INST_KIND_STRING = 2,
    INST_KIND_BOOLEAN = 4,
    INST_KIND_JSON = 8,
};

struct inst_catalog_row {
    const struct inst_attr *attr; /* NULL: none */
    uint8_t kinds;
};

struct inst_catalog {
    int refs;
    struct inst_attrs *attrs;
    struct inst_catalog_row *rows;
    size_t row_count;
    char *json; /* the list of all attrs, as sent; NULL until asked for */
    size_t json_len;
};

/* Takes the reference to attrs, also when it fails. One reference, the caller's. */
enum inst_status inst_catalog_new(struct inst_attrs *attrs_take, struct inst_catalog **out,
                                  struct inst_err *err);
struct inst_catalog *inst_catalog_ref(struct inst_catalog *catalog);
void inst_catalog_unref(struct inst_catalog *catalog); /* NULL is fine */

/* NULL when there is none. */
const struct inst_attr *inst_catalog_at_row(const struct inst_catalog *catalog, uint32_t row);
/* Kinds seen on the attr of this row. */
uint8_t inst_catalog_kinds(const struct inst_catalog *catalog, uint32_t row);
/* The attr list as JSON, made once; borrowed for as long as the catalog lives. */
enum inst_status inst_catalog_json(struct inst_catalog *catalog, const char **json, size_t *len,
                                   struct inst_err *err);

/* Is it the `id` attr of its etype? */
bool inst_attr_is_id(const struct inst_attr *attr);
/* Is its value an entity: a link, or the id attr? Stores give such values as `ref`. */
bool inst_attr_names_entity(const struct inst_attr *attr);
/* The kind of one value, 0 for null. */
uint8_t inst_kind_of(const struct inst_value *value);

/* An attr on its way into a catalog. */
struct inst_attr_entry {
    struct inst_value id;   /* text */
    struct inst_value json; /* the whole attr, wire shape */
    uint32_t row;           /* 0: not saved yet */
};
/* These attrs in id order, rows set; a repeated id keeps the last. One reference, the caller's;
 * rows may still be set before a catalog is made of them. */
enum inst_status inst_catalog_attrs(const struct inst_attr_entry *entries, size_t count,
                                    struct inst_attrs **out, struct inst_err *err);

#endif
