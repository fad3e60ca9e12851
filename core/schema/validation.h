/*
 * validation.h - what both validators of this floor share: entries of a value, lists of names.
 */
#ifndef INST_SCHEMA_VALIDATION_H
#define INST_SCHEMA_VALIDATION_H

#include "base/buf.h"
#include "base/value.h"
#include "schema/schema.h"

/* For a `%.*s` of a STRING. */
#define INST_TEXT(v) (int)(v)->len, (v)->u.str

/* typeof is "object" and it is not null: objects, arrays and dates. */
bool inst_is_object_like(const struct inst_value *v);

/* One of Object.entries(v). */
struct inst_entry {
    struct inst_value key; /* STRING; of an array its index, in `digits` */
    const struct inst_value *value;
    char digits[12];
};

/* How many entries; 0 for anything but an object or array. */
uint32_t inst_entry_count(const struct inst_value *v);
void inst_entry_at(const struct inst_value *v, uint32_t i, struct inst_entry *out);

/* Is it of this attr type, by the client's rules? Null and undefined are of every type. */
bool inst_is_of_type(const struct inst_value *v, enum inst_checked_type type);

/* `a, b`, or `none`. */
void inst_add_etypes(struct inst_buf *buf, const struct inst_schema *schema);
void inst_add_attr_labels(struct inst_buf *buf, const struct inst_schema_entity *entity);
void inst_add_link_labels(struct inst_buf *buf, const struct inst_schema_entity *entity);

/* The buffer's text as a "validation-failed" error; frees the buffer. */
enum inst_status inst_validation_refuse(struct inst_buf *message, struct inst_err *err);

#endif
