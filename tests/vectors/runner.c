#include "runner.h"

#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Longer texts are cut around the place where they part. */
#define VEC_SHOWN_BYTES 400
#define VEC_MAX_FILES 256

struct vec_loaded {
    struct vec_loaded *next;
    char *path;
    struct inst_value value;
};

struct vec_run {
    const char *dir;
    struct inst_arena arena;   /* of the loaded files */
    struct vec_loaded *loaded; /* newest first */
    size_t passed;
    size_t failed;
    size_t skipped; /* of the file at hand */
    const char *why;
};

static void *must(void *p) {
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return p;
}

/* ---- failing ---- */

static void print_head(struct vec_case *c) {
    c->has_failed = true;
    printf("FAIL %s:%zu \"%s\": ", c->file, c->line_no, c->name);
}

void vec_fail(struct vec_case *c, const char *fmt, ...) {
    va_list args;
    print_head(c);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

static void print_around(const char *label, const char *text, size_t len, size_t at) {
    size_t from = at > VEC_SHOWN_BYTES / 2 && len > VEC_SHOWN_BYTES ? at - VEC_SHOWN_BYTES / 2 : 0;
    size_t n = len - from < VEC_SHOWN_BYTES ? len - from : VEC_SHOWN_BYTES;
    printf("  %s%s", label, from ? "..." : "");
    fwrite(text + from, 1, n, stdout);
    puts(from + n < len ? "..." : "");
}

bool vec_expect_text(struct vec_case *c, const char *what, const char *expected,
                     size_t expected_len, const char *actual, size_t actual_len) {
    size_t at = 0;
    if (expected_len == actual_len && memcmp(expected, actual, actual_len) == 0) {
        return true;
    }
    while (at < expected_len && at < actual_len && expected[at] == actual[at]) {
        at++;
    }
    print_head(c);
    printf("%s\n", what);
    print_around("expected: ", expected, expected_len, at);
    print_around("actual:   ", actual, actual_len, at);
    printf("  differs at byte %zu\n", at);
    return false;
}

static bool expect_values(struct vec_case *c, const char *what, const struct inst_value *expected,
                          const struct inst_value *actual) {
    struct inst_buf a, b;
    bool ok;
    inst_buf_init(&a);
    inst_buf_init(&b);
    inst_json_write(&a, expected);
    inst_json_write(&b, actual);
    must(a.failed || b.failed ? NULL : &a);
    ok = vec_expect_text(c, what, a.data ? a.data : "", a.len, b.data ? b.data : "", b.len);
    inst_buf_free(&a);
    inst_buf_free(&b);
    return ok;
}

bool vec_expect_json(struct vec_case *c, const char *what, const struct inst_value *expected,
                     const struct inst_value *actual) {
    return expect_values(c, what, expected, actual);
}

bool vec_expect_equal(struct vec_case *c, const char *what, const struct inst_value *expected,
                      const struct inst_value *actual) {
    if (inst_value_equal(expected, actual)) {
        return true;
    }
    if (expect_values(c, what, expected, actual)) {
        vec_fail(c, "%s: same JSON, but not equal", what);
    }
    return false;
}

bool vec_expect_ok(struct vec_case *c, const char *what, enum inst_status status,
                   struct inst_err *err) {
    if (status != INST_OK) {
        vec_fail(c, "%s: %s: %s", what, err->type ? err->type : "?",
                 err->message ? err->message : "?");
    }
    inst_err_clear(err);
    return status == INST_OK;
}

/* ---- input ---- */

/* The whole file, malloc'ed; NULL when it cannot be read. */
static char *read_all(const char *path, size_t *len) {
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    size_t cap = 0;
    *len = 0;
    if (!f) {
        return NULL;
    }
    for (;;) {
        size_t got;
        if (*len == cap) {
            cap = cap ? cap * 2 : 65536;
            bytes = must(realloc(bytes, cap));
        }
        got = fread(bytes + *len, 1, cap - *len, f);
        if (got == 0) {
            break;
        }
        *len += got;
    }
    if (ferror(f)) {
        free(bytes);
        bytes = NULL;
    }
    fclose(f);
    return bytes;
}

static char *join_path(const char *dir, const char *name) {
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = must(malloc(n));
    snprintf(path, n, "%s/%s", dir, name);
    return path;
}

static bool load_file(struct vec_case *c, const char *path, struct inst_value *out) {
    struct inst_err err = {0};
    char *full = join_path(c->run->dir, path);
    size_t len;
    char *bytes = read_all(full, &len);
    bool ok = false;
    if (!bytes) {
        vec_fail(c, "cannot read %s: %s", full, strerror(errno));
    } else {
        ok = vec_expect_ok(c, full, inst_json_parse(&c->run->arena, bytes, len, out, &err), &err);
    }
    free(bytes);
    free(full);
    return ok;
}

const struct inst_value *vec_file(struct vec_case *c, const char *path) {
    struct inst_value value;
    struct vec_loaded *l;
    for (l = c->run->loaded; l; l = l->next) {
        if (strcmp(l->path, path) == 0) {
            return &l->value;
        }
    }
    if (!load_file(c, path, &value)) {
        return NULL;
    }
    l = must(inst_arena_zalloc(&c->run->arena, sizeof *l));
    l->path = must(inst_arena_dup(&c->run->arena, path, strlen(path)));
    l->value = value;
    l->next = c->run->loaded;
    c->run->loaded = l;
    return &l->value;
}

const struct inst_value *vec_fixture(struct vec_case *c, const struct inst_value *v,
                                     const char *part) {
    const struct inst_value *all, *one, *found;
    if (!v || v->tag != INST_STRING) {
        return v;
    }
    all = vec_file(c, "tx-fixtures.json");
    if (!all) {
        return NULL;
    }
    one = inst_get(all, v->u.str, v->len);
    found = one ? inst_getz(one, part) : NULL;
    if (!found) {
        vec_fail(c, "tx-fixtures.json has no \"%.*s\" with \"%s\"", (int)v->len, v->u.str, part);
    }
    return found;
}

const struct inst_value *vec_triples(struct vec_case *c, const struct inst_value *v) {
    const struct inst_value *all, *found;
    if (!v || v->tag != INST_STRING) {
        return v;
    }
    all = vec_file(c, "tx-triples.json");
    if (!all) {
        return NULL;
    }
    found = inst_get(all, v->u.str, v->len);
    if (!found) {
        vec_fail(c, "tx-triples.json has no \"%.*s\"", (int)v->len, v->u.str);
    }
    return found;
}

const struct inst_value *vec_get(const struct vec_case *c, const char *key) {
    static const struct inst_value none;
    const struct inst_value *v = inst_getz(c->line, key);
    return v ? v : &none;
}

/* ---- walking ---- */

static char *line_name(struct vec_case *c) {
    const struct inst_value *name = inst_get_string(c->line, "name");
    return name ? must(inst_arena_dup(c->arena, name->u.str, name->len)) : "";
}

static void run_line(struct vec_run *run, const char *file, size_t line_no, const char *bytes,
                     size_t len, vec_handler_fn *handler) {
    struct inst_arena arena;
    struct inst_value line;
    struct inst_err err = {0};
    struct vec_case c = {.run = run, .arena = &arena, .line = &line, .file = file, .name = ""};
    c.line_no = line_no;
    inst_arena_init(&arena);
    if (vec_expect_ok(&c, "line", inst_json_parse(&arena, bytes, len, &line, &err), &err)) {
        if (line.tag != INST_OBJECT) {
            vec_fail(&c, "the line is no object");
        } else {
            c.name = line_name(&c);
            handler(&c);
        }
    }
    if (c.has_failed) {
        run->failed++;
    } else if (c.skipped) {
        run->skipped++;
        run->why = c.skipped;
    } else {
        run->passed++;
    }
    inst_arena_free(&arena);
}

static void run_file(struct vec_run *run, const char *file, vec_handler_fn *handler) {
    char *path = join_path(run->dir, file);
    size_t len, pos = 0, line_no = 0;
    size_t passed = run->passed, failed = run->failed;
    char *bytes = read_all(path, &len);
    if (!bytes) {
        printf("FAIL %s: cannot read it: %s\n", file, strerror(errno));
        run->failed++;
        free(path);
        return;
    }
    while (pos < len) {
        const char *nl = memchr(bytes + pos, '\n', len - pos);
        size_t end = nl ? (size_t)(nl - bytes) : len;
        line_no++;
        if (end > pos) {
            run_line(run, file, line_no, bytes + pos, end - pos, handler);
        }
        pos = end + 1;
    }
    if (run->skipped) {
        printf("not run: %zu cases of %s: %s\n", run->skipped, file, run->why);
    }
    run->skipped = 0;
    printf("%s: %zu passed, %zu failed\n", file, run->passed - passed, run->failed - failed);
    fflush(stdout);
    free(bytes);
    free(path);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The *.jsonl of dir, sorted; -1 when dir cannot be read. */
static int list_files(const char *dir, char **names) {
    DIR *d = opendir(dir);
    struct dirent *entry;
    int count = 0;
    if (!d) {
        return -1;
    }
    while ((entry = readdir(d)) != NULL) {
        size_t n = strlen(entry->d_name);
        if (n > 6 && strcmp(entry->d_name + n - 6, ".jsonl") == 0 && count < VEC_MAX_FILES) {
            names[count++] = must(strdup(entry->d_name));
        }
    }
    closedir(d);
    qsort(names, (size_t)count, sizeof *names, by_name);
    return count;
}

static bool is_stem(const char *file, const char *stem) {
    size_t n = strlen(stem);
    return strncmp(file, stem, n) == 0 && strcmp(file + n, ".jsonl") == 0;
}

static bool is_wanted(const char *file, char *const *only, size_t only_count) {
    for (size_t i = 0; i < only_count; i++) {
        if (is_stem(file, only[i])) {
            return true;
        }
    }
    return only_count == 0;
}

static vec_handler_fn *handler_of(const char *file, const struct vec_handler *handlers) {
    for (; handlers->name; handlers++) {
        if (is_stem(file, handlers->name)) {
            return handlers->run;
        }
    }
    return NULL;
}

int vec_run_dir(const char *dir, char *const *only, size_t only_count,
                const struct vec_handler *handlers) {
    struct vec_run run = {.dir = dir};
    char *names[VEC_MAX_FILES];
    struct stat st;
    size_t wanted = 0;
    int count;

    if (stat(dir, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        printf("%s: no such folder, nothing was run\n0 passed, 0 failed\n", dir);
        return 0;
    }
    count = list_files(dir, names);
    inst_arena_init(&run.arena);
    for (int i = 0; i < count; i++) {
        vec_handler_fn *handler = handler_of(names[i], handlers);
        if (is_wanted(names[i], only, only_count)) {
            wanted++;
            if (handler) {
                run_file(&run, names[i], handler);
            } else {
                printf("not run: %s: no handler yet\n", names[i]);
            }
        }
        free(names[i]);
    }
    if (wanted == 0) {
        printf("FAIL %s: %s\n", dir, count < 0 ? strerror(errno) : "holds no such vectors");
        run.failed++;
    }
    printf("%zu passed, %zu failed\n", run.passed, run.failed);
    inst_arena_free(&run.arena);
    return run.failed ? 1 : 0;
}
