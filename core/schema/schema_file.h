/*
 * schema_file.h - the TypeScript files that a pull writes (transactions.md 14.6), before anybody
 * formats them and without comments.
 *
 * Namespaces, labels and link names are written with JSON's escapes, so that none can break out of
 * its quotes; the original leaves a namespace or label as it is.
 */
#ifndef INST_SCHEMA_SCHEMA_FILE_H
#define INST_SCHEMA_SCHEMA_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

struct inst_schema_file {
    const struct inst_value *schema;   /* JSON form of schema.h */
    const struct inst_value *previous; /* the same, whose rooms are kept; or NULL */
    const char *module;                /* "@instantdb/core" */
    bool is_pulled;                    /* an attr without a type was found so: `i.any()` */
};

/* err: "validation-failed", 400, when the schema has no such shape. */
enum inst_status inst_schema_file(struct inst_buf *buf, const struct inst_schema_file *file,
                                  struct inst_err *err);
void inst_perms_file(struct inst_buf *buf, const struct inst_value *rules, const char *module);

#endif
