/*
 * date_zones.h - the zone abbreviations that date text may end in, as PostgreSQL's default table
 * has them (instaql.md 1.7).
 *
 * Ascending by name. A name is looked for from the end of the table to its start, so that METDST
 * is found before MET.
 */
#ifndef INST_BASE_DATE_ZONES_H
#define INST_BASE_DATE_ZONES_H

#include <stdint.h>

#define INST_DATE_ZONES 194

struct inst_date_zone {
    char name[7];    /* upper case, NUL-terminated */
    int16_t minutes; /* east of UTC */
};

extern const struct inst_date_zone inst_date_zones[INST_DATE_ZONES];

#endif
