/*
 * bench.h - what the benchmarks share: time, rows of the report, a little randomness.
 *
 * A program prints one row a line, fields parted by tabs; report.awk makes the table:
 *
 *     row  NAME  OURS  PEER  UNIT  RULE  BAR
 *
 *     RULE    ratio         holds when
 *     faster  peer / ours   ratio >= bar     times, ours against a peer's
 *     rate    ours / peer   ratio >= bar     per second, ours against a peer's
 *     growth  ours / peer   ratio <= bar     times, large case against small case
 *     atmost  ours          ours <= bar      no peer
 *     info    ours / peer   always
 */
#ifndef INST_BENCH_H
#define INST_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Seconds of a clock that never steps. */
double bench_now(void);

/* Prints a row. peer < 0: there is none. bar < 0: none. */
void bench_row(const char *name, double ours, double peer, const char *unit, const char *rule,
               double bar);

/* Seconds that one call takes: warmed up, then the median of up to nine batches of at least 10 ms;
 * a call of more than 300 ms is measured three times. */
double bench_measure(void (*fn)(void *ctx), void *ctx);

/* The same for two functions in turns, so that what else the machine does hits both alike. */
void bench_measure_pair(void (*a)(void *ctx), void *a_ctx, void (*b)(void *ctx), void *b_ctx,
                        double *a_seconds, double *b_seconds);

/* Sorts the values and gives the one at this share (0.5: the median). */
double bench_quantile(double *values, size_t count, double share);

/* Bytes of this process in memory, what malloc holds back given to the kernel first. */
double bench_rss(void);
/* Bytes of another process in memory; -1 when it is gone. */
double bench_rss_of(int pid);

/* The text of a whole file, NUL-terminated, to free(); ends the program when there is none. */
char *bench_read_file(const char *path, size_t *len);

/* Prints a sentence and ends the program with 2: a benchmark that cannot run is not a missed bar.
 */
void bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* A number for a number: the same on every machine. */
static inline uint64_t bench_mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

#endif
