/*
 * oom.h - lets the n-th allocation fail, and every one after it.
 *
 * For tests named *_oom_test.c: they are linked with --wrap for malloc, calloc and realloc, so that
 * calls from our own code come here; those inside libraries do not. Typical use:
 *
 *     for (long n = 1; ; n++) {
 *         oom_after(n - 1);
 *         enum inst_status status = ...;
 *         oom_off();
 *         if (status == INST_OK) break;
 *         // it said INST_NOMEM, and its inputs are whole
 *     }
 */
#ifndef INST_TESTS_OOM_H
#define INST_TESTS_OOM_H

#include <stdbool.h>
#include <stddef.h>

static long oom_left = -1; /* allocations that still succeed; -1: all of them */

static void oom_after(long count) { oom_left = count; }
static void oom_off(void) { oom_left = -1; }

static bool oom_fails(void) {
    if (oom_left < 0) {
        return false;
    }
    if (oom_left == 0) {
        return true;
    }
    oom_left--;
    return false;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) { return oom_fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) {
    return oom_fails() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return oom_fails() ? NULL : __real_realloc(old, size);
}

#endif
