/* dates.jsonl (instaql.md 6.2): {input, ms} (ms null and `invalid`: out of range) or {input,
 * error}.
 */
#include "vectors.h"

#include "base/date.h"

#include <math.h>
#include <string.h>

vec_handler_fn vec_dates;

static void expect_error(struct vec_case *c, const struct inst_value *expected,
                         enum inst_status status, struct inst_err *err) {
    if (status == INST_OK) {
        vec_fail(c, "accepted, expected the error: %.*s", (int)expected->len, expected->u.str);
        return;
    }
    vec_expect_text(c, "error", expected->u.str, expected->len, err->message, strlen(err->message));
}

void vec_dates(struct vec_case *c) {
    struct inst_value input = vec_js(c, vec_get(c, "input"));
    const struct inst_value *error = inst_get_string(c->line, "error");
    struct inst_value out;
    struct inst_err err = {0};
    enum inst_status status = inst_date_coerce(&input, &out, &err);
    if (error) {
        expect_error(c, error, status, &err);
    } else if (vec_expect_ok(c, "coerce", status, &err)) {
        struct inst_value ms = out.tag == INST_DATE ? inst_number(out.u.num) : out;
        if (inst_get_true(c->line, "invalid") && !(out.tag == INST_DATE && isnan(out.u.num))) {
            vec_fail(c, "expected an invalid date");
        }
        vec_expect_json(c, "ms", vec_get(c, "ms"), &ms);
    }
    inst_err_clear(&err);
}
