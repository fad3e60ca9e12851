/*
 * date_engine.h - "engine(s)" over a text given in pieces (instaql.md 1.7).
 *
 * The client's date forms hand the engine texts that they compose (`date + "T" + time + "Z"`);
 * taking the pieces as they are needs no memory. A character never straddles two pieces.
 */
#ifndef INST_BASE_DATE_ENGINE_H
#define INST_BASE_DATE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_date_piece {
    const char *text;
    size_t len;
};

double inst_date_engine_pieces(const struct inst_date_piece *pieces, size_t count);

/* JavaScript's white space and line terminators. */
bool inst_date_is_space(uint32_t code_point);

/* MakeTime and MakeDay of ECMAScript in UTC: fields overflow into the next, month from 0; NaN for
 * what lies outside a Date's range. Not clipped. */
double inst_date_make(double year, double month, double day, double ms_of_day);
/* NaN beyond 8.64e15 ms of the epoch, the fraction cut off. */
double inst_date_clip(double ms);

#endif
