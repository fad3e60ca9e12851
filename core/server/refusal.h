/*
 * refusal.h - errors in the original's words and with its hints (session.md 2.4, transactions.md
 * 10).
 *
 * Each sets err and gives INST_FAILED, so that `return inst_refuse_...(...)` reads well. Values in
 * hints are left out when they are longer than INST_SERVER_ECHO_MAX.
 */
#ifndef INST_SERVER_REFUSAL_H
#define INST_SERVER_REFUSAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

/* `validation-failed`: "Validation failed for <data_type>[: <message>]", hint {"data-type","input",
 * "errors":[{"message"?, <more>}]}. input: NULL is null. more: JSON members without braces, such as
 * `"in":[0,1]`, or NULL. fmt NULL: no message. */
enum inst_status inst_refuse_validation(struct inst_err *err, const char *data_type,
                                        const struct inst_value *input, const char *more,
                                        const char *fmt, ...) INST_PRINTF(5, 6);
/* `sql-raise`: "Raised Exception: <text>". */
enum inst_status inst_refuse_raise(struct inst_err *err, const char *fmt, ...) INST_PRINTF(2, 3);
/* `record-not-found`: "Record not found: <record_type>". args: JSON array text or NULL ([]). */
enum inst_status inst_refuse_not_found(struct inst_err *err, const char *record_type,
                                       const char *args);
/* `record-not-unique` of a name. */
enum inst_status inst_refuse_ident(struct inst_err *err, const struct inst_ident *ident);
/* `record-not-unique` of a value. */
enum inst_status inst_refuse_unique(struct inst_err *err, const struct inst_attr *attr,
                                    const struct inst_value *value);
/* `permission-denied`, as a rule that is false. */
enum inst_status inst_refuse_permission(struct inst_err *err, const char *etype,
                                        const char *action);
/* The same with what else was expected: "has-storage-permission?" (permissions.md 5.1). */
enum inst_status inst_refuse_expected(struct inst_err *err, const char *expected, const char *etype,
                                      const char *action);
/* `param-missing` and `param-malformed`: path is the JSON text of an array, which is also how the
 * message shows it (`["body" "title"]`), with commas in the hint. */
enum inst_status inst_refuse_missing(struct inst_err *err, const char *const *path, size_t count);
enum inst_status inst_refuse_malformed(struct inst_err *err, const char *const *path, size_t count,
                                       const struct inst_value *input);
/* A value that an attr does not take: `validation-failed` without prefix, hint with the triple. */
enum inst_status inst_refuse_value(struct inst_err *err, const struct inst_attr *attr,
                                   const char *entity_id, const struct inst_value *value,
                                   bool is_too_large, const char *fmt, ...) INST_PRINTF(6, 7);

/* `parameter-limit-exceeded` of a transaction with more than INST_SERVER_MAX_STEPS steps. */
enum inst_status inst_refuse_too_many_steps(struct inst_err *err, size_t count);
/* Of the app whose id stands for the system's catalog: there is none that takes writes. */
enum inst_status inst_refuse_catalog_app(struct inst_err *err, const char *app_id);

/* The value as JSON, or null when that is longer than INST_SERVER_ECHO_MAX. NULL writes null. */
void inst_write_bounded(struct inst_buf *buf, const struct inst_value *value);
/* How a value of a transaction reads in a message: strings bare, a lookup as `[#uuid "a" "v"]`,
 * anything else as JSON; cut at 200 bytes. */
void inst_write_readable(struct inst_buf *buf, const struct inst_value *value);
/* "string", "number", "boolean", "null", "array" or "object". */
const char *inst_json_type(const struct inst_value *value);

#endif
