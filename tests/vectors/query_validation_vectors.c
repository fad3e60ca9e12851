/* query-validation.jsonl: {schema?, query, expected}. */
#include "validation.h"

#include "schema/query_validation.h"

vec_handler_fn vec_query_validation;

void vec_query_validation(struct vec_case *c) {
    const struct inst_schema *schema;
    struct inst_err err = {0};
    if (validation_schema(c, &schema)) {
        struct inst_value query = vec_js(c, vec_get(c, "query"));
        validation_outcome(c, inst_query_validate(&query, schema, &err), &err);
    }
}
