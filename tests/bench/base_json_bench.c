/*
 * How fast JSON is read and written, beside cJSON, in MB/s of text (10^6 bytes).
 *
 *     base_json_bench [file ...]       without a file: texts made here
 */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Each figure is the best of several rounds, each of at least this many seconds. */
#define ROUND_SECONDS 0.2
enum { ROUNDS = 5 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct job {
    const char *text;
    size_t len;
    struct inst_arena arena;
    struct inst_value value;
    struct inst_buf out;
    cJSON *tree;
};

static void read_ours(struct job *job) {
    inst_arena_reset(&job->arena);
    if (inst_json_parse(&job->arena, job->text, job->len, &job->value, NULL) != INST_OK) {
        abort();
    }
}

static void read_cjson(struct job *job) {
    cJSON *tree = cJSON_ParseWithLength(job->text, job->len);
    if (!tree) {
        abort();
    }
    cJSON_Delete(tree);
}

static void write_ours(struct job *job) {
    inst_buf_clear(&job->out);
    inst_json_write(&job->out, &job->value);
}

static void write_cjson(struct job *job) {
    char *text = cJSON_PrintUnformatted(job->tree);
    free(text);
}

static double megabytes_per_second(struct job *job, void (*step)(struct job *)) {
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        double spent;
        double bytes = 0;
        do {
            step(job);
            bytes += (double)job->len;
            spent = now() - start;
        } while (spent < ROUND_SECONDS);
        double rate = bytes / spent / 1e6;
        best = rate > best ? rate : best;
    }
    return best;
}

static void measure(const char *name, const char *text, size_t len) {
    struct job job = {.text = text, .len = len};
    inst_arena_init(&job.arena);
    inst_buf_init(&job.out);
    job.tree = cJSON_ParseWithLength(text, len);
    read_ours(&job);
    double ours = megabytes_per_second(&job, read_ours);
    double theirs = megabytes_per_second(&job, read_cjson);
    printf("%-28s %9zu bytes  read %7.1f MB/s  cJSON %6.1f  ratio %5.2f", name, len, ours, theirs,
           ours / theirs);
    ours = megabytes_per_second(&job, write_ours);
    theirs = megabytes_per_second(&job, write_cjson);
    printf("   write %7.1f  cJSON %6.1f  ratio %5.2f\n", ours, theirs, ours / theirs);
    cJSON_Delete(job.tree);
    inst_buf_free(&job.out);
    inst_arena_free(&job.arena);
}

static void measure_file(const char *path) {
    struct inst_buf buf;
    char block[65536];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        return;
    }
    inst_buf_init(&buf);
    for (size_t n; (n = fread(block, 1, sizeof(block), file)) > 0;) {
        inst_buf_add(&buf, block, n);
    }
    fclose(file);
    const char *slash = strrchr(path, '/');
    measure(slash ? slash + 1 : path, buf.data, buf.len);
    inst_buf_free(&buf);
}

static void measure_made(void) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_char(&buf, '[');
    for (int i = 0; i < 8000; i++) {
        inst_buf_addf(
            &buf,
            "%s[\"%08x-0000-4000-8000-000000000000\",\"%08x-1111-4111-8111-111111111111\","
            "\"value number %d\",17000000%05d]",
            i ? "," : "", (unsigned)i * 2654435761u, (unsigned)i % 7, i, i);
    }
    inst_buf_add_char(&buf, ']');
    measure("triples", buf.data, buf.len);
    inst_buf_clear(&buf);
    inst_buf_add_char(&buf, '[');
    for (int i = 0; i < 50000; i++) {
        inst_buf_addf(&buf, "%s%d.%d,%d", i ? "," : "", i * 7, i % 100, i);
    }
    inst_buf_add_char(&buf, ']');
    measure("numbers", buf.data, buf.len);
    inst_buf_clear(&buf);
    inst_buf_add_char(&buf, '"');
    for (int i = 0; i < 20000; i++) {
        inst_buf_add_str(&buf, "A long string of plain words, as documents have them. ");
    }
    inst_buf_add_char(&buf, '"');
    measure("long string", buf.data, buf.len);
    inst_buf_clear(&buf);
    inst_buf_add_char(&buf, '[');
    for (int i = 0; i < 8000; i++) {
        inst_buf_addf(&buf, "%s{\"id\":%d,\"title\":\"t%d\",\"done\":false,\"at\":null,\"n\":1.5}",
                      i ? "," : "", i, i);
    }
    inst_buf_add_char(&buf, ']');
    measure("objects", buf.data, buf.len);
    inst_buf_free(&buf);
}

int main(int argc, char **argv) {
    if (argc == 1) {
        measure_made();
    }
    for (int i = 1; i < argc; i++) {
        measure_file(argv[i]);
    }
    return 0;
}
