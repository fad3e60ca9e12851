#include "bench.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_SECONDS 0.01
#define SLOW_SECONDS 0.3
#define WARM_SECONDS 0.1
enum { BATCHES = 9, SLOW_BATCHES = 3 };

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void bench_row(const char *name, double ours, double peer, const char *unit, const char *rule,
               double bar) {
    printf("row\t%s\t%.9g\t%.9g\t%s\t%s\t%g\n", name, ours, peer, unit, rule, bar);
    fflush(stdout);
}

struct job {
    void (*fn)(void *ctx);
    void *ctx;
    size_t calls; /* a batch */
    double seconds[BATCHES];
};

/* Warms up; says how long one call takes. */
static double warm_up(struct job *job) {
    double start = bench_now();
    double spent = 0;
    size_t calls = 0;
    while (spent < WARM_SECONDS) {
        job->fn(job->ctx);
        calls++;
        spent = bench_now() - start;
    }
    double each = spent / (double)calls;
    job->calls = each < BATCH_SECONDS ? (size_t)(BATCH_SECONDS / each) + 1 : 1;
    return each;
}

static void run_batch(struct job *job, size_t batch) {
    double start = bench_now();
    for (size_t i = 0; i < job->calls; i++) {
        job->fn(job->ctx);
    }
    job->seconds[batch] = (bench_now() - start) / (double)job->calls;
}

double bench_measure(void (*fn)(void *ctx), void *ctx) {
    struct job job = {.fn = fn, .ctx = ctx};
    size_t batches = warm_up(&job) > SLOW_SECONDS ? SLOW_BATCHES : BATCHES;
    for (size_t i = 0; i < batches; i++) {
        run_batch(&job, i);
    }
    return bench_quantile(job.seconds, batches, 0.5);
}

void bench_measure_pair(void (*a)(void *ctx), void *a_ctx, void (*b)(void *ctx), void *b_ctx,
                        double *a_seconds, double *b_seconds) {
    struct job jobs[2] = {{.fn = a, .ctx = a_ctx}, {.fn = b, .ctx = b_ctx}};
    double slow = warm_up(&jobs[0]);
    double other = warm_up(&jobs[1]);
    slow = other > slow ? other : slow;
    size_t batches = slow > SLOW_SECONDS ? SLOW_BATCHES : BATCHES;
    for (size_t i = 0; i < batches; i++) {
        run_batch(&jobs[0], i);
        run_batch(&jobs[1], i);
    }
    *a_seconds = bench_quantile(jobs[0].seconds, batches, 0.5);
    *b_seconds = bench_quantile(jobs[1].seconds, batches, 0.5);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double share) {
    qsort(values, count, sizeof *values, compare);
    size_t at = (size_t)((double)count * share);
    return values[at < count ? at : count - 1];
}

double bench_rss_of(int pid) {
    char path[64];
    char line[256];
    long pages = -1;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "re");
    if (!file) {
        return -1;
    }
    if (!fgets(line, sizeof line, file) || sscanf(line, "%*s %ld", &pages) != 1) {
        pages = -1;
    }
    fclose(file);
    return pages < 0 ? -1 : (double)pages * (double)sysconf(_SC_PAGESIZE);
}

double bench_rss(void) {
    malloc_trim(0);
    return bench_rss_of((int)getpid());
}

char *bench_read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rbe");
    long size;
    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        bench_die("cannot read %s", path);
    }
    rewind(file);
    char *text = malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) {
        bench_die("cannot read %s", path);
    }
    fclose(file);
    text[size] = 0;
    *len = (size_t)size;
    return text;
}

void bench_die(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fflush(stdout);
    fputs("bench: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}
