#include "data.h"

#include "base/json.h"
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *folder, const char *name, size_t *len) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return bench_read_file(path, len);
}

static struct inst_value parse(struct inst_arena *arena, const char *text, size_t len,
                               const char *name) {
    struct inst_value value;
    struct inst_err err = {0};
    if (inst_json_parse(arena, text, len, &value, &err) != INST_OK) {
        bench_die("%s: %s", name, err.message);
    }
    return value;
}

struct inst_value data_read(struct inst_arena *arena, const char *folder, const char *name) {
    size_t len;
    char *text = read_file(folder, name, &len);
    struct inst_value value = parse(arena, text, len, name);
    free(text);
    return value;
}

struct inst_value data_read_lines(struct inst_arena *arena, const char *folder, const char *name) {
    size_t len;
    char *text = read_file(folder, name, &len);
    size_t cap = 0;
    for (size_t i = 0; i < len; i++) {
        cap += text[i] == '\n';
    }
    struct inst_value *items = inst_arena_alloc(arena, (cap + 1) * sizeof *items);
    if (!items) {
        bench_die("out of memory");
    }
    size_t count = 0;
    for (char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        end = end ? end : text + len;
        size_t n = (size_t)(end - line);
        n -= n > 0 && line[n - 1] == ',';
        if (n > 1) { /* neither of the lines `[` and `]` */
            items[count++] = parse(arena, line, n, name);
        }
    }
    free(text);
    return inst_array(items, count);
}
