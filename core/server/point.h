/*
 * point.h - a value as the engine compares it: its hash, and its place in an attr's order.
 *
 *     null < false < true < numbers and instants < strings by bytes        (store.h, struct
 * inst_scan)
 *
 * The id attr is ordered by created-at. Only attrs with one checked type are ever scanned by range,
 * so a comparison across classes only has to be consistent.
 */
#ifndef INST_SERVER_POINT_H
#define INST_SERVER_POINT_H

#include "triples/store.h"

enum inst_point_class {
    INST_POINT_LOWEST, /* in front of everything */
    INST_POINT_NULL,
    INST_POINT_BOOLEAN,
    INST_POINT_NUMBER, /* and instants */
    INST_POINT_STRING,
    INST_POINT_HIGHEST,
    INST_POINT_UNKNOWN, /* no place is known: falls into every range */
};

struct inst_point {
    enum inst_point_class class;
    double num;
    const char *str;
    size_t len;
};

/* <0, 0, >0; neither may be UNKNOWN. */
int inst_point_compare(const struct inst_point *a, const struct inst_point *b);
/* Where the value stands among those of attr; t is its created-at. Borrows strings. */
struct inst_point inst_point_of(const struct inst_attr *attr, const struct inst_value *value,
                                int64_t t);
/* A bound of a scan as the evaluator gives it (dates as DATE). */
struct inst_point inst_point_of_bound(const struct inst_value *value);
/* Equal (inst_value_same) values have equal hashes; links hash their entity. */
uint64_t inst_point_hash(const struct inst_value *value, uint64_t seed);

#endif
