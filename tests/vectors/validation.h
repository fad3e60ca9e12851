/*
 * validation.h - what the handlers of query-validation and tx-validation share (transactions.md
 * 15): {schema?, expected}, expected {ok: true} or {name, error}.
 */
#ifndef INST_TESTS_VALIDATION_H
#define INST_TESTS_VALIDATION_H

#include "vectors.h"

#include "schema/schema.h"

#include <string.h>

/* The schema of the line: *out is NULL when it names none. false: the case has failed. */
static inline bool validation_schema(struct vec_case *c, const struct inst_schema **out) {
    const struct inst_value *json = vec_fixture(c, inst_getz(c->line, "schema"), "schema");
    struct inst_err err = {0};
    *out = NULL;
    if (!json) {
        return !c->has_failed;
    }
    return vec_expect_ok(c, "schema", inst_schema_read(c->arena, json, out, &err), &err);
}

/* Compares the outcome of a validator and clears err. */
static inline void validation_outcome(struct vec_case *c, enum inst_status status,
                                      struct inst_err *err) {
    const struct inst_value *error = inst_get_string(vec_get(c, "expected"), "error");
    if (!error) {
        vec_expect_ok(c, "expected ok", status, err);
    } else if (status == INST_OK) {
        vec_fail(c, "accepted, expected the error: %.*s", (int)error->len, error->u.str);
    } else {
        vec_expect_text(c, "error", error->u.str, error->len, err->message, strlen(err->message));
    }
    inst_err_clear(err);
}

#endif
