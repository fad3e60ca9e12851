/*
 * cel_functions.h - what the rows of cel_library.c call. Arguments fit the row's letters.
 */
#ifndef INST_RULES_CEL_FUNCTIONS_H
#define INST_RULES_CEL_FUNCTIONS_H

#include "rules/cel_library.h"

/* ---- cel_arith.c ---- */
inst_cel_fn inst_cel_not, inst_cel_equals, inst_cel_not_equals, inst_cel_less, inst_cel_less_equals,
    inst_cel_greater, inst_cel_greater_equals;
inst_cel_fn inst_cel_add_int, inst_cel_add_uint, inst_cel_add_double, inst_cel_sub_int,
    inst_cel_sub_uint, inst_cel_sub_double, inst_cel_mul_int, inst_cel_mul_uint,
    inst_cel_mul_double, inst_cel_div_int, inst_cel_div_uint, inst_cel_div_double, inst_cel_mod_int,
    inst_cel_mod_uint, inst_cel_neg_int, inst_cel_neg_double;
inst_cel_fn inst_cel_greatest, inst_cel_least, inst_cel_abs, inst_cel_sign, inst_cel_ceil,
    inst_cel_floor, inst_cel_round, inst_cel_trunc, inst_cel_is_nan, inst_cel_is_inf,
    inst_cel_is_finite, inst_cel_sqrt, inst_cel_bit_and, inst_cel_bit_or, inst_cel_bit_xor,
    inst_cel_bit_not, inst_cel_shift_left, inst_cel_shift_right;

/* ---- cel_lists.c: lists, maps, size ---- */
inst_cel_fn inst_cel_add_list, inst_cel_in_list, inst_cel_in_map, inst_cel_index_list,
    inst_cel_index_map, inst_cel_size, inst_cel_type;

/* ---- cel_strings.c ---- */
inst_cel_fn inst_cel_add_string, inst_cel_starts_with, inst_cel_ends_with, inst_cel_contains,
    inst_cel_matches, inst_cel_char_at, inst_cel_index_of, inst_cel_last_index_of,
    inst_cel_substring, inst_cel_replace, inst_cel_split, inst_cel_join, inst_cel_trim,
    inst_cel_lower, inst_cel_upper;

/* ---- cel_convert.c ---- */
inst_cel_fn inst_cel_same_value, inst_cel_to_int, inst_cel_to_uint, inst_cel_to_double,
    inst_cel_to_string, inst_cel_to_bool, inst_cel_to_bytes;

/* ---- cel_time.c ---- */
inst_cel_fn inst_cel_to_duration, inst_cel_to_timestamp, inst_cel_add_times, inst_cel_sub_times,
    inst_cel_time_string;
inst_cel_fn inst_cel_get_time, inst_cel_get_year, inst_cel_get_month, inst_cel_get_date,
    inst_cel_get_day_of_month, inst_cel_get_day_of_week, inst_cel_get_day_of_year,
    inst_cel_get_hours, inst_cel_get_minutes, inst_cel_get_seconds, inst_cel_get_millis;
inst_cel_fn inst_cel_duration_hours, inst_cel_duration_minutes, inst_cel_duration_seconds,
    inst_cel_duration_millis;
/* Text of a TIMESTAMP or DURATION. */
void inst_cel_time_text(const struct inst_cel_value *v, struct inst_buf *out);

/* ---- cel_run.c: what asks the host ---- */
inst_cel_fn inst_cel_ref, inst_cel_limit;

#endif
