/* tx-validation.jsonl: {schema?, chunks, expected}. */
#include "validation.h"

#include "schema/tx_validation.h"

vec_handler_fn vec_tx_validation;

void vec_tx_validation(struct vec_case *c) {
    const struct inst_schema *schema;
    struct inst_err err = {0};
    if (validation_schema(c, &schema)) {
        struct inst_value chunks = vec_js(c, vec_get(c, "chunks"));
        validation_outcome(c, inst_tx_validate(&chunks, schema, &err), &err);
    }
}
