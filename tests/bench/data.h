/*
 * data.h - JSON files of the benchmarks, as values.
 */
#ifndef INST_BENCH_DATA_H
#define INST_BENCH_DATA_H

#include "base/arena.h"
#include "base/value.h"

/* One JSON text of at most INST_JSON_MAX_BYTES. Ends the program when there is none. */
struct inst_value data_read(struct inst_arena *arena, const char *folder, const char *name);

/* A JSON array of any size, with one item a line. */
struct inst_value data_read_lines(struct inst_arena *arena, const char *folder, const char *name);

#endif
