#include "io/event_in.h"

#include <string.h>

/* Large results come rarely; their memory is not kept for the small ones. */
#define KEEP 65536

static void empty(struct inst_buf *buf) {
    if (buf->cap > KEEP)
        inst_buf_free(buf);
    else
        inst_buf_clear(buf);
}

static bool add(struct inst_event_in *in, struct inst_buf *buf, const char *bytes, size_t len) {
    if (len > in->max - buf->len)
        return false;
    if (len > 0)
        inst_buf_add(buf, bytes, len);
    return !buf->failed;
}

static bool add_data(struct inst_event_in *in, const char *value, size_t len) {
    if (in->has_data && !add(in, &in->data, "\n", 1))
        return false;
    in->has_data = true;
    return add(in, &in->data, value, len);
}

static bool end_line(struct inst_event_in *in, const char *line, size_t len, inst_event_in_fn *fn,
                     void *ctx) {
    if (len == 0) {
        bool had_data = in->has_data;
        in->has_data = false;
        bool goes_on = !had_data || fn(ctx, in->data.data ? in->data.data : "", in->data.len);
        empty(&in->data);
        return goes_on;
    }
    const char *colon = memchr(line, ':', len);
    size_t name = colon ? (size_t)(colon - line) : len;
    if (name != 4 || memcmp(line, "data", 4) != 0)
        return true;
    const char *value = colon ? colon + 1 : line + len;
    size_t left = (size_t)(line + len - value);
    if (left > 0 && *value == ' ')
        value++, left--;
    return add_data(in, value, left);
}

/* The line's end is at bytes + len; what came of it before is in in->line. */
static bool take_line(struct inst_event_in *in, const char *bytes, size_t len, inst_event_in_fn *fn,
                      void *ctx) {
    if (in->line.len == 0)
        return end_line(in, bytes, len, fn, ctx);
    bool goes_on =
        add(in, &in->line, bytes, len) && end_line(in, in->line.data, in->line.len, fn, ctx);
    empty(&in->line);
    return goes_on;
}

static size_t find_end(const char *bytes, size_t len) {
    const char *lf = memchr(bytes, '\n', len);
    size_t end = lf ? (size_t)(lf - bytes) : len;
    const char *cr = memchr(bytes, '\r', end);
    return cr ? (size_t)(cr - bytes) : end;
}

bool inst_event_in_read(struct inst_event_in *in, const char *bytes, size_t len,
                        inst_event_in_fn *fn, void *ctx) {
    while (len > 0) {
        bool is_rest = in->was_cr && *bytes == '\n';
        in->was_cr = false;
        if (is_rest) {
            bytes++, len--;
            continue;
        }
        size_t end = find_end(bytes, len);
        if (end == len)
            return add(in, &in->line, bytes, len);
        in->was_cr = bytes[end] == '\r';
        if (!take_line(in, bytes, end, fn, ctx))
            return false;
        bytes += end + 1, len -= end + 1;
    }
    return true;
}

void inst_event_in_free(struct inst_event_in *in) {
    inst_buf_free(&in->line);
    inst_buf_free(&in->data);
}
