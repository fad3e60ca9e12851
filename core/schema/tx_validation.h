/*
 * tx_validation.h - what the client refuses in a transaction (transactions.md 6).
 *
 * Only the first problem is reported, in the official client's words. Everything from the id check
 * on needs a schema.
 */
#ifndef INST_SCHEMA_TX_VALIDATION_H
#define INST_SCHEMA_TX_VALIDATION_H

#include "base/err.h"
#include "base/value.h"
#include "schema/schema.h"

/* chunks: one chunk or an array of them (instaml/chunks.h). schema may be NULL. err:
 * "validation-failed", 400 (a TransactionValidationError). */
enum inst_status inst_tx_validate(const struct inst_value *chunks, const struct inst_schema *schema,
                                  struct inst_err *err);

#endif
