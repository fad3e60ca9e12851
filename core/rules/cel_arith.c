#include "rules/cel_functions.h"
#include "rules/cel_run.h"

#include <math.h>

typedef struct inst_cel_run run_t;
typedef const struct inst_cel_value args_t;
typedef struct inst_cel_value out_t;

static bool give(out_t *out, struct inst_cel_value value) {
    *out = value;
    return true;
}

static bool overflow(run_t *run, const char *text) {
    return inst_cel_fail(run, INST_CEL_NUMERIC_OVERFLOW, "%s", text);
}

/* ---- logic and comparing ---- */

bool inst_cel_not(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_bool(!args[0].u.b));
}

bool inst_cel_equals(run_t *run, args_t *args, out_t *out) {
    bool is_equal;
    return inst_cel_compare(run, args, args + 1, &is_equal) && give(out, inst_cel_bool(is_equal));
}

bool inst_cel_not_equals(run_t *run, args_t *args, out_t *out) {
    return inst_cel_equals(run, args, out) && give(out, inst_cel_bool(!out->u.b));
}

bool inst_cel_less(run_t *run, args_t *args, out_t *out) {
    int order;
    (void)run;
    return give(out, inst_cel_bool(inst_cel_order(&args[0], &args[1], &order) && order < 0));
}

bool inst_cel_less_equals(run_t *run, args_t *args, out_t *out) {
    int order;
    (void)run;
    return give(out, inst_cel_bool(inst_cel_order(&args[0], &args[1], &order) && order <= 0));
}

bool inst_cel_greater(run_t *run, args_t *args, out_t *out) {
    int order;
    (void)run;
    return give(out, inst_cel_bool(inst_cel_order(&args[0], &args[1], &order) && order > 0));
}

bool inst_cel_greater_equals(run_t *run, args_t *args, out_t *out) {
    int order;
    (void)run;
    return give(out, inst_cel_bool(inst_cel_order(&args[0], &args[1], &order) && order >= 0));
}

/* ---- int ---- */

bool inst_cel_add_int(run_t *run, args_t *args, out_t *out) {
    int64_t i;
    return __builtin_add_overflow(args[0].u.i, args[1].u.i, &i) ? overflow(run, "long overflow")
                                                                : give(out, inst_cel_int(i));
}

bool inst_cel_sub_int(run_t *run, args_t *args, out_t *out) {
    int64_t i;
    return __builtin_sub_overflow(args[0].u.i, args[1].u.i, &i) ? overflow(run, "long overflow")
                                                                : give(out, inst_cel_int(i));
}

bool inst_cel_mul_int(run_t *run, args_t *args, out_t *out) {
    int64_t i;
    return __builtin_mul_overflow(args[0].u.i, args[1].u.i, &i) ? overflow(run, "long overflow")
                                                                : give(out, inst_cel_int(i));
}

static bool divisible(run_t *run, args_t *args) {
    if (args[1].u.i == 0)
        return inst_cel_fail(run, INST_CEL_DIVIDE_BY_ZERO, "/ by zero");
    return args[0].u.i != INT64_MIN || args[1].u.i != -1 ||
           overflow(run, "most negative number wraps");
}

bool inst_cel_div_int(run_t *run, args_t *args, out_t *out) {
    return divisible(run, args) && give(out, inst_cel_int(args[0].u.i / args[1].u.i));
}

bool inst_cel_mod_int(run_t *run, args_t *args, out_t *out) {
    return divisible(run, args) && give(out, inst_cel_int(args[0].u.i % args[1].u.i));
}

bool inst_cel_neg_int(run_t *run, args_t *args, out_t *out) {
    return args[0].u.i == INT64_MIN ? overflow(run, "most negative number wraps")
                                    : give(out, inst_cel_int(-args[0].u.i));
}

/* ---- uint ---- */

bool inst_cel_add_uint(run_t *run, args_t *args, out_t *out) {
    uint64_t u;
    return __builtin_add_overflow(args[0].u.u, args[1].u.u, &u)
               ? overflow(run, "range overflow on unsigned addition")
               : give(out, inst_cel_uint(u));
}

bool inst_cel_sub_uint(run_t *run, args_t *args, out_t *out) {
    uint64_t u;
    return __builtin_sub_overflow(args[0].u.u, args[1].u.u, &u)
               ? overflow(run, "unsigned subtraction underflow")
               : give(out, inst_cel_uint(u));
}

bool inst_cel_mul_uint(run_t *run, args_t *args, out_t *out) {
    uint64_t u;
    return __builtin_mul_overflow(args[0].u.u, args[1].u.u, &u)
               ? overflow(run, "multiply out of unsigned integer range")
               : give(out, inst_cel_uint(u));
}

bool inst_cel_div_uint(run_t *run, args_t *args, out_t *out) {
    if (args[1].u.u == 0)
        return inst_cel_fail(run, INST_CEL_DIVIDE_BY_ZERO, "/ by zero");
    return give(out, inst_cel_uint(args[0].u.u / args[1].u.u));
}

bool inst_cel_mod_uint(run_t *run, args_t *args, out_t *out) {
    if (args[1].u.u == 0)
        return inst_cel_fail(run, INST_CEL_DIVIDE_BY_ZERO, "/ by zero");
    return give(out, inst_cel_uint(args[0].u.u % args[1].u.u));
}

/* ---- double ---- */

bool inst_cel_add_double(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(args[0].u.d + args[1].u.d));
}

bool inst_cel_sub_double(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(args[0].u.d - args[1].u.d));
}

bool inst_cel_mul_double(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(args[0].u.d * args[1].u.d));
}

/* Divides by zero as IEEE 754 has it, which C leaves open. */
__attribute__((no_sanitize("float-divide-by-zero"))) bool
inst_cel_div_double(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(args[0].u.d / args[1].u.d));
}

bool inst_cel_neg_double(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(-args[0].u.d));
}

/* ---- math.* ---- */

static bool is_number(args_t *v) {
    return v->tag == INST_CEL_V_INT || v->tag == INST_CEL_V_UINT || v->tag == INST_CEL_V_DOUBLE;
}

static long double wide(args_t *v) {
    return v->tag == INST_CEL_V_INT    ? (long double)v->u.i
           : v->tag == INST_CEL_V_UINT ? (long double)v->u.u
                                       : (long double)v->u.d;
}

/* The first of the largest (or smallest), of all arguments or of one list. */
static bool extreme(run_t *run, args_t *args, bool is_greatest, out_t *out) {
    bool is_list = inst_cel_is_list(&args[0]) && args[1].tag == INST_CEL_V_UNBOUND;
    uint32_t count = is_list ? inst_cel_count(&args[0]) : 0;
    const char *name = is_greatest ? "math.@max" : "math.@min";
    while (!is_list && args[count].tag != INST_CEL_V_UNBOUND)
        count++;
    if (count == 0 || !inst_cel_spend(run, count))
        return count ? false
                     : inst_cel_fail(run, INST_CEL_INTERNAL_ERROR,
                                     "%s(list) argument must not be empty", name);
    for (uint32_t i = 0; i < count; i++) {
        struct inst_cel_value one = is_list ? inst_cel_element(&args[0], i) : args[i];
        if (!is_number(&one))
            return inst_cel_fail(run, INST_CEL_OVERLOAD_NOT_FOUND,
                                 "No matching overload for function '%s'. Overload candidates: "
                                 "%s_list_dyn",
                                 name, is_greatest ? "math_@max" : "math_@min");
        if (i == 0 || (is_greatest ? wide(&one) > wide(out) : wide(&one) < wide(out)))
            *out = one;
    }
    return true;
}

bool inst_cel_greatest(run_t *run, args_t *args, out_t *out) {
    return extreme(run, args, true, out);
}

bool inst_cel_least(run_t *run, args_t *args, out_t *out) { return extreme(run, args, false, out); }

bool inst_cel_abs(run_t *run, args_t *args, out_t *out) {
    if (args[0].tag == INST_CEL_V_DOUBLE)
        return give(out, inst_cel_double(fabs(args[0].u.d)));
    if (args[0].tag == INST_CEL_V_UINT)
        return give(out, args[0]);
    if (args[0].u.i == INT64_MIN)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "integer overflow");
    return give(out, inst_cel_int(args[0].u.i < 0 ? -args[0].u.i : args[0].u.i));
}

bool inst_cel_sign(run_t *run, args_t *args, out_t *out) {
    double d = args[0].u.d;
    (void)run;
    if (args[0].tag == INST_CEL_V_INT)
        return give(out, inst_cel_int((args[0].u.i > 0) - (args[0].u.i < 0)));
    if (args[0].tag == INST_CEL_V_UINT)
        return give(out, inst_cel_uint(args[0].u.u > 0));
    return give(out, inst_cel_double(d > 0 ? 1 : d < 0 ? -1 : d));
}

bool inst_cel_ceil(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(ceil(args[0].u.d)));
}

bool inst_cel_floor(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(floor(args[0].u.d)));
}

/* Half to even. */
bool inst_cel_round(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(nearbyint(args[0].u.d)));
}

bool inst_cel_trunc(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(trunc(args[0].u.d)));
}

bool inst_cel_is_nan(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_bool(isnan(args[0].u.d)));
}

bool inst_cel_is_inf(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_bool(isinf(args[0].u.d)));
}

bool inst_cel_is_finite(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_bool(isfinite(args[0].u.d)));
}

bool inst_cel_sqrt(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give(out, inst_cel_double(sqrt((double)wide(&args[0]))));
}

/* ---- bits; int and uint share their bits ---- */

static bool give_bits(args_t *like, uint64_t bits, out_t *out) {
    return give(out,
                like->tag == INST_CEL_V_INT ? inst_cel_int((int64_t)bits) : inst_cel_uint(bits));
}

static uint64_t bits(args_t *v) { return v->tag == INST_CEL_V_INT ? (uint64_t)v->u.i : v->u.u; }

bool inst_cel_bit_and(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give_bits(&args[0], bits(&args[0]) & bits(&args[1]), out);
}

bool inst_cel_bit_or(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give_bits(&args[0], bits(&args[0]) | bits(&args[1]), out);
}

bool inst_cel_bit_xor(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give_bits(&args[0], bits(&args[0]) ^ bits(&args[1]), out);
}

bool inst_cel_bit_not(run_t *run, args_t *args, out_t *out) {
    (void)run;
    return give_bits(&args[0], ~bits(&args[0]), out);
}

static bool can_shift(run_t *run, args_t *args) {
    return args[1].u.i >= 0 ||
           inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "math.bitShift() negative offset: %lld",
                         (long long)args[1].u.i);
}

bool inst_cel_shift_left(run_t *run, args_t *args, out_t *out) {
    uint64_t by = (uint64_t)args[1].u.i;
    return can_shift(run, args) && give_bits(&args[0], by > 63 ? 0 : bits(&args[0]) << by, out);
}

/* Without the sign, also for int. */
bool inst_cel_shift_right(run_t *run, args_t *args, out_t *out) {
    uint64_t by = (uint64_t)args[1].u.i;
    return can_shift(run, args) && give_bits(&args[0], by > 63 ? 0 : bits(&args[0]) >> by, out);
}
