/*
 * number.h - JavaScript's number text, both ways (instaql.md 1.8).
 */
#ifndef INST_BASE_NUMBER_H
#define INST_BASE_NUMBER_H

#include <stddef.h>

#define INST_NUMBER_TEXT_MAX 32

/* Shortest decimal that reads back as the same double, as JavaScript prints it: exponent form from
 * 1e21 and below 1e-6, -0 as "0", "NaN", "Infinity". Returns the length; out is NUL-terminated. */
size_t inst_number_text(double num, char out[INST_NUMBER_TEXT_MAX]);

/* JavaScript's Number(text): trimmed, "" is 0, 0x/0o/0b, Infinity; anything else NaN. */
double inst_number_from_text(const char *text, size_t len);

/* A JSON number token (already known to match the grammar) as a double, independent of the locale.
 */
double inst_number_parse(const char *text, size_t len);

#endif
