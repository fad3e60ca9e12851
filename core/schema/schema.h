/*
 * schema.h - the JSON form of a schema (transactions.md 13.1) as a struct to ask.
 *
 *     schema ─> entities ─> attrs   as written
 *            │           └> links   derived: forward ones first, then reverse; a reverse label
 * equal │                      to a forward one replaces it in place └> links                as
 * written; both ends
 *
 * Immutable. Lives in the arena it was read into and borrows nothing.
 */
#ifndef INST_SCHEMA_SCHEMA_H
#define INST_SCHEMA_SCHEMA_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entities, links, and attrs of one entity: what a schema may have of each. */
#define INST_SCHEMA_MAX_PARTS 2000

struct inst_schema_attr {
    struct inst_value label;     /* STRING */
    enum inst_checked_type type; /* NONE: json, and every value type that is not known */
    bool is_required;
    bool is_indexed;
    bool is_unique;
};

struct inst_schema_end {
    struct inst_value etype; /* STRING: "on" */
    struct inst_value label; /* STRING */
    bool is_singular;        /* "has" is "one" */
    bool cascades;           /* "onDelete" is "cascade" */
};

struct inst_schema_link {
    struct inst_value name; /* STRING */
    struct inst_schema_end forward;
    struct inst_schema_end reverse;
    bool is_required;
};

/* A link as seen from one of its ends. */
struct inst_schema_side {
    struct inst_value label;
    struct inst_value target; /* STRING: the etype at the other end; need not be in the schema */
    const struct inst_schema_link *link;
    bool is_forward;
    bool is_singular;
};

struct inst_schema_entity {
    struct inst_value etype;
    const struct inst_schema_attr *attrs;
    const struct inst_schema_side *links;
    uint32_t attr_count;
    uint32_t link_count;
};

struct inst_schema {
    struct inst_value json;  /* the whole, as it came */
    struct inst_value rooms; /* OBJECT or UNDEFINED */
    const struct inst_schema_entity *entities;
    const struct inst_schema_link *links;
    uint32_t entity_count;
    uint32_t link_count;
};

/* json: OBJECT. err: "validation-failed", 400, naming the member that has the wrong shape. Nothing
 * of a failed read is usable. */
enum inst_status inst_schema_read(struct inst_arena *arena, const struct inst_value *json,
                                  const struct inst_schema **out, struct inst_err *err);

/* NULL when there is none. Linear, as entities are few. */
const struct inst_schema_entity *inst_schema_entity(const struct inst_schema *schema,
                                                    const char *etype, size_t etype_len);
const struct inst_schema_attr *inst_schema_attr(const struct inst_schema_entity *entity,
                                                const char *label, size_t label_len);
const struct inst_schema_side *inst_schema_side(const struct inst_schema_entity *entity,
                                                const char *label, size_t label_len);

/* "json" "string" "number" "boolean" "date". */
const char *inst_schema_type_name(enum inst_checked_type type);

/* {etype: {label: true}} of every end that gives one object (the linkIndex of instaql.md 3.7): of
 * two links that claim the same end the later counts. Lives in arena, borrows from the schema. */
enum inst_status inst_schema_singular_links(struct inst_arena *arena,
                                            const struct inst_schema *schema,
                                            struct inst_value *out, struct inst_err *err);

#endif
