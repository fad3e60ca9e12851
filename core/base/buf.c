#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 64 };

void inst_buf_init(struct inst_buf *buf) { *buf = (struct inst_buf){0}; }

void inst_buf_free(struct inst_buf *buf) {
    free(buf->data);
    inst_buf_init(buf);
}

void inst_buf_clear(struct inst_buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

bool inst_buf_reserve(struct inst_buf *buf, size_t n) {
    if (buf->failed) {
        return false;
    }
    /* One byte of the capacity is always kept for the NUL. */
    if (buf->data && n < buf->cap - buf->len) {
        return true;
    }
    if (n >= SIZE_MAX / 2 - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t cap = buf->cap ? buf->cap : BUF_FIRST;
    while (cap - buf->len <= n) {
        cap *= 2;
    }
    char *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

void inst_buf_add(struct inst_buf *buf, const void *bytes, size_t n) {
    if (n == 0 || !inst_buf_reserve(buf, n)) {
        return;
    }
    memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void inst_buf_add_str(struct inst_buf *buf, const char *str) {
    inst_buf_add(buf, str, strlen(str));
}

void inst_buf_add_char(struct inst_buf *buf, char c) {
    if (inst_buf_reserve(buf, 1)) {
        buf->data[buf->len++] = c;
        buf->data[buf->len] = '\0';
    }
}

void inst_buf_add_int(struct inst_buf *buf, int64_t n) {
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0) {
        digits[--at] = '-';
    }
    inst_buf_add(buf, digits + at, sizeof(digits) - at);
}

void inst_buf_addf(struct inst_buf *buf, const char *fmt, ...) {
    if (buf->failed) {
        return;
    }
    va_list args;
    size_t room = buf->data ? buf->cap - buf->len : 0;
    va_start(args, fmt);
    int n = vsnprintf(buf->data ? buf->data + buf->len : NULL, room, fmt, args);
    va_end(args);
    if (n < 0) {
        buf->failed = true;
    } else if ((size_t)n < room) {
        buf->len += (size_t)n;
    } else if (inst_buf_reserve(buf, (size_t)n)) {
        va_start(args, fmt);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
        va_end(args);
        buf->len += (size_t)n;
    }
    /* A first attempt that did not fit left a cut text behind the end. */
    if (buf->data) {
        buf->data[buf->len] = '\0';
    }
}

char *inst_buf_take(struct inst_buf *buf, size_t *len) {
    if (buf->failed || !inst_buf_reserve(buf, 0)) {
        inst_buf_free(buf);
        return NULL;
    }
    char *data = buf->data;
    if (len) {
        *len = buf->len;
    }
    inst_buf_init(buf);
    return data;
}
