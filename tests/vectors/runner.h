/*
 * runner.h - walks a folder of vectors and counts. Handlers see vectors.h only.
 */
#ifndef INST_TESTS_RUNNER_H
#define INST_TESTS_RUNNER_H

#include "vectors.h"

struct vec_handler {
    const char *name; /* file name without .jsonl */
    vec_handler_fn *run;
};

/* Runs the files of dir (all, or the `only_count` named ones); handlers ends with a NULL name.
 * Returns the exit code: 0 when nothing failed (or dir does not exist), 1 when something did or
 * when dir holds no vectors. */
int vec_run_dir(const char *dir, char *const *only, size_t only_count,
                const struct vec_handler *handlers);

#endif
