#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stands in for a message that could not be allocated; never freed, never written. */
static const char nomem_text[] = "Out of memory";

enum inst_status inst_err_set(struct inst_err *err, const char *type, int status, const char *fmt,
                              ...) {
    if (!err) {
        return INST_FAILED;
    }
    /* Formatted before clearing: the arguments may be parts of the error that is replaced. */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *message = n < 0 ? NULL : malloc((size_t)n + 1);
    if (message) {
        va_start(args, fmt);
        vsnprintf(message, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    inst_err_clear(err);
    err->type = type;
    err->status = status;
    err->message = message ? message : (char *)nomem_text;
    return INST_FAILED;
}

void inst_err_hint(struct inst_err *err, const char *json) {
    if (!err || !err->type) {
        return;
    }
    /* An error without its hint is still that error, so a failed copy is let go. */
    size_t size = strlen(json) + 1;
    char *copy = malloc(size);
    if (copy) {
        memcpy(copy, json, size);
    }
    free(err->hint);
    err->hint = copy;
}

enum inst_status inst_err_nomem(struct inst_err *err) {
    if (err) {
        inst_err_clear(err);
        err->type = "out-of-memory";
        err->status = 500;
        err->message = (char *)nomem_text;
    }
    return INST_NOMEM;
}

void inst_err_move(struct inst_err *dst, struct inst_err *src) {
    if (dst == src) {
        return;
    }
    if (!dst) {
        inst_err_clear(src);
        return;
    }
    inst_err_clear(dst);
    if (src) {
        *dst = *src;
        *src = (struct inst_err){0};
    }
}

void inst_err_clear(struct inst_err *err) {
    if (!err) {
        return;
    }
    if (err->message != nomem_text) {
        free(err->message);
    }
    free(err->hint);
    *err = (struct inst_err){0};
}
