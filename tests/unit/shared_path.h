/*
 * shared_path.h - finds data that lies beside the project, not in it.
 *
 * INSTANT_SHARED names the folder; without it, every folder above the working directory and above
 * this source file is tried for shared/<what>.
 */
#ifndef INST_TESTS_SHARED_PATH_H
#define INST_TESTS_SHARED_PATH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARED_PATH_MAX 4096

static inline bool shared_path_above(char *folder, const char *what, char out[SHARED_PATH_MAX]) {
    for (;;) {
        int n = snprintf(out, SHARED_PATH_MAX, "%s/shared/%s", folder, what);
        if (n < SHARED_PATH_MAX && access(out, R_OK) == 0) {
            return true;
        }
        char *slash = strrchr(folder, '/');
        if (!slash) {
            return false;
        }
        *slash = '\0';
    }
}

/* The readable path of shared/<what>; false, with the reason on stdout, when there is none. */
static inline bool shared_path(const char *what, char out[SHARED_PATH_MAX]) {
    const char *given = getenv("INSTANT_SHARED");
    char folder[SHARED_PATH_MAX];
    if (given) {
        snprintf(out, SHARED_PATH_MAX, "%s/%s", given, what);
        if (access(out, R_OK) == 0) {
            return true;
        }
    } else {
        if (getcwd(folder, sizeof(folder)) && shared_path_above(folder, what, out)) {
            return true;
        }
        snprintf(folder, sizeof(folder), "%s", __FILE__);
        if (shared_path_above(folder, what, out)) {
            return true;
        }
    }
    printf("skipped: no shared/%s beside the project (set INSTANT_SHARED)\n", what);
    return false;
}

#endif
