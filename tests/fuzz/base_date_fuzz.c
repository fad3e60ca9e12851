/*
 * Any bytes as date text: what is accepted is an instant of a Date's range that survives being
 * written and read again; what is refused is refused with the client's message.
 */
#include "base/date.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

static void check_instant(double ms) {
    char text[INST_DATE_TEXT_MAX];
    size_t len = inst_date_iso(ms, text);
    FUZZ_REQUIRE(ms == trunc(ms) && fabs(ms) <= 8.64e15);
    FUZZ_REQUIRE(len == strlen(text) && len >= 24);
    FUZZ_REQUIRE(inst_date_engine_parse(text, len) == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_value v = inst_string((const char *)data, size), out;
    struct inst_err err = {0};
    double ms = inst_date_engine_parse(v.u.str, size);
    if (!isnan(ms)) {
        check_instant(ms);
    }
    if (inst_date_coerce(&v, &out, &err) == INST_OK) {
        FUZZ_REQUIRE(out.tag == INST_DATE);
        check_instant(out.u.num);
    } else {
        FUZZ_REQUIRE(isnan(ms));
        FUZZ_REQUIRE(strncmp(err.message, "Unable to parse `", 17) == 0);
        inst_err_clear(&err);
    }
    return 0;
}
