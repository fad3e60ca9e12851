#include "rules/cel_functions.h"
#include "rules/cel_run.h"

#include "base/number.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool inst_cel_same_value(struct inst_cel_run *run, const struct inst_cel_value *args,
                         struct inst_cel_value *out) {
    (void)run;
    *out = args[0];
    return true;
}

static bool bad_format(struct inst_cel_run *run, const struct inst_cel_value *text,
                       const char *type) {
    return inst_cel_fail(run, INST_CEL_BAD_FORMAT,
                         "Type conversion error from 'string' to '%s': [%.*s]", type,
                         (int)(text->len < 200 ? text->len : 200), text->u.str);
}

/* A NUL-terminated copy of a short text without blanks; false when it is none. */
static bool short_text(const struct inst_cel_value *text, char out[400]) {
    if (text->len == 0 || text->len >= 400)
        return false;
    memcpy(out, text->u.str, text->len);
    out[text->len] = 0;
    return strlen(out) == text->len && !strpbrk(out, " \t\n\v\f\r");
}

static bool is_digits(const char *text) {
    return *text && strspn(text, "0123456789") == strlen(text);
}

bool inst_cel_to_int(struct inst_cel_run *run, const struct inst_cel_value *args,
                     struct inst_cel_value *out) {
    const struct inst_cel_value *v = &args[0];
    char text[400];
    switch (v->tag) {
    case INST_CEL_V_UINT:
        if (v->u.u > INT64_MAX)
            return inst_cel_fail(run, INST_CEL_NUMERIC_OVERFLOW, "unsigned out of int range");
        *out = inst_cel_int((int64_t)v->u.u);
        return true;
    case INST_CEL_V_DOUBLE:
        if (!(v->u.d >= -9223372036854775808.0 && v->u.d < 9223372036854775808.0))
            return inst_cel_fail(run, INST_CEL_NUMERIC_OVERFLOW, "double is out of range for int");
        *out = inst_cel_int((int64_t)v->u.d);
        return true;
    case INST_CEL_V_TIMESTAMP:
        *out = inst_cel_int(v->u.seconds);
        return true;
    default:
        break;
    }
    errno = 0;
    if (!short_text(v, text) || !is_digits(text + (*text == '-' || *text == '+')))
        return bad_format(run, v, "int");
    *out = inst_cel_int(strtoll(text, NULL, 10));
    return !errno || bad_format(run, v, "int");
}

bool inst_cel_to_uint(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    const struct inst_cel_value *v = &args[0];
    char text[400];
    if (v->tag == INST_CEL_V_INT) {
        if (v->u.i < 0)
            return inst_cel_fail(run, INST_CEL_NUMERIC_OVERFLOW, "int out of uint range");
        *out = inst_cel_uint((uint64_t)v->u.i);
        return true;
    }
    if (v->tag == INST_CEL_V_DOUBLE) {
        if (!(v->u.d > -1 && v->u.d < 18446744073709551616.0))
            return inst_cel_fail(run, INST_CEL_NUMERIC_OVERFLOW, "double out of uint range");
        *out = inst_cel_uint((uint64_t)v->u.d);
        return true;
    }
    errno = 0;
    if (!short_text(v, text) || !is_digits(text + (*text == '+')))
        return bad_format(run, v, "uint");
    *out = inst_cel_uint(strtoull(text, NULL, 10));
    return !errno || bad_format(run, v, "uint");
}

bool inst_cel_to_double(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    const struct inst_cel_value *v = &args[0];
    char text[400];
    if (v->tag != INST_CEL_V_STRING) {
        *out = inst_cel_double(v->tag == INST_CEL_V_INT ? (double)v->u.i : (double)v->u.u);
        return true;
    }
    bool is_fine = short_text(v, text) && !strpbrk(text, "xXoObB_");
    double d = is_fine ? inst_number_from_text(text, strlen(text)) : NAN;
    if (isnan(d) && !(is_fine && strcmp(text, "NaN") == 0))
        return bad_format(run, v, "double");
    *out = inst_cel_double(d);
    return true;
}

bool inst_cel_to_string(struct inst_cel_run *run, const struct inst_cel_value *args,
                        struct inst_cel_value *out) {
    struct inst_buf buf;
    if (args[0].tag == INST_CEL_V_BYTES && !inst_text_is_utf8(args[0].u.str, args[0].len))
        return inst_cel_fail(run, INST_CEL_BAD_FORMAT,
                             "invalid UTF-8 in bytes, cannot convert to string");
    inst_buf_init(&buf);
    if (args[0].tag == INST_CEL_V_BYTES)
        inst_buf_add(&buf, args[0].u.str, args[0].len);
    else
        inst_cel_show(&args[0], &buf);
    return inst_cel_take_text(run, &buf, INST_CEL_V_STRING, out);
}

bool inst_cel_to_bool(struct inst_cel_run *run, const struct inst_cel_value *args,
                      struct inst_cel_value *out) {
    static const char *const texts[] = {"true",  "TRUE",  "True",  "t", "1",
                                        "false", "FALSE", "False", "f", "0"};
    for (size_t i = 0; i < 10; i++) {
        if (args[0].len == strlen(texts[i]) && memcmp(args[0].u.str, texts[i], args[0].len) == 0) {
            *out = inst_cel_bool(i < 5);
            return true;
        }
    }
    return bad_format(run, &args[0], "bool");
}

bool inst_cel_to_bytes(struct inst_cel_run *run, const struct inst_cel_value *args,
                       struct inst_cel_value *out) {
    (void)run;
    *out = args[0];
    out->tag = INST_CEL_V_BYTES;
    return true;
}
