/*
 * Drives a fuzz target without libFuzzer: every file (or file of a folder) given, then a bounded
 * number of mutations of them, the same ones for the same seed.
 *
 *     base_json_fuzz [--runs N] [--seed N] [file or folder ...]
 *
 * When a FUZZ_REQUIRE fails the input is left in ./crash-input. After a sanitizer's report, which
 * ends the process its own way, run it again with the same seed under a debugger.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INPUT_MAX = 8192, /* longer files are run as they are, but mutated only up to here */
    FILES_MAX = 4096,
    MUTATIONS_MAX = 6,
};

struct input {
    uint8_t *bytes;
    size_t len;
};

struct corpus {
    struct input inputs[FILES_MAX];
    size_t count;
};

/* What the crash handler writes out; a handler can reach nothing but statics. */
static const uint8_t *volatile current;
static volatile size_t current_len;

static void keep_input(int signal_number) {
    int file = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0) {
        ssize_t written = write(file, (const void *)current, current_len);
        (void)written;
        close(file);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* The exact bytes on the heap, so that a sanitizer sees a read past them. */
static void run(const uint8_t *bytes, size_t len) {
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact) {
        abort();
    }
    memcpy(exact, bytes, len);
    current = exact;
    current_len = len;
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static void add_input(struct corpus *corpus, const void *bytes, size_t len) {
    if (corpus->count < FILES_MAX) {
        uint8_t *copy = malloc(len ? len : 1);
        if (!copy) {
            abort();
        }
        memcpy(copy, bytes, len);
        corpus->inputs[corpus->count++] = (struct input){copy, len};
    }
}

static bool add_file(struct corpus *corpus, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        return false;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
    size_t len = bytes && size > 0 ? fread(bytes, 1, (size_t)size, file) : 0;
    fclose(file);
    if (bytes) {
        add_input(corpus, bytes, len);
    }
    free(bytes);
    return true;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool add_path(struct corpus *corpus, const char *path) {
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return add_file(corpus, path);
    }
    /* Sorted: the same seed must mean the same runs on every machine. */
    struct dirent **names;
    int count = scandir(path, &names, NULL, compare_names);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            char file[4096];
            snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
            add_file(corpus, file);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
    return count >= 0;
}

static uint64_t next_random(uint64_t *seed) {
    *seed += 0x9E3779B97F4A7C15u;
    uint64_t z = *seed;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static size_t below(uint64_t *seed, size_t limit) {
    return limit ? (size_t)(next_random(seed) % limit) : 0;
}

static size_t erase(uint8_t *bytes, size_t len, size_t at, size_t n) {
    memmove(bytes + at, bytes + at + n, len - at - n);
    return len - n;
}

static size_t insert(uint8_t *bytes, size_t len, size_t at, const uint8_t *from, size_t n) {
    if (len + n > INPUT_MAX) {
        return len;
    }
    uint8_t moved[INPUT_MAX];
    memcpy(moved, from, n); /* from may be part of bytes */
    memmove(bytes + at + n, bytes + at, len - at);
    memcpy(bytes + at, moved, n);
    return len + n;
}

/* One change: of a bit, of a byte, a piece out, a piece twice, a piece of another input in. */
static size_t mutate(const struct corpus *corpus, uint8_t *bytes, size_t len, uint64_t *seed) {
    static const uint8_t telling[] = {0x00, 0x09, 0x20, '"', '\\', '{', '}',  '[',  ']',  ',',
                                      ':',  '-',  '.',  'e', '0',  '9', 0x7F, 0x80, 0xC3, 0xED,
                                      0xA0, 0xF0, 0xFF, '$', '(',  ')', '\'', '_',  'u',  '\n'};
    size_t at = below(seed, len + 1);
    const struct input *other = &corpus->inputs[below(seed, corpus->count)];
    size_t start = below(seed, other->len + 1);
    size_t n;
    switch (below(seed, 6)) {
    case 0:
        if (at < len) {
            bytes[at] ^= (uint8_t)(1 << below(seed, 8));
        }
        return len;
    case 1:
        if (at < len) {
            bytes[at] = telling[below(seed, sizeof(telling))];
        }
        return len;
    case 2:
        return insert(bytes, len, at, &telling[below(seed, sizeof(telling))], 1);
    case 3:
        return erase(bytes, len, at, below(seed, (len - at < 16 ? len - at : 16) + 1));
    case 4:
        n = below(seed, (len - at < 64 ? len - at : 64) + 1);
        return insert(bytes, len, below(seed, len + 1), bytes + at, n);
    default:
        n = below(seed, (other->len - start < 64 ? other->len - start : 64) + 1);
        return insert(bytes, len, at, other->bytes + start, n);
    }
}

static void run_mutated(const struct corpus *corpus, uint64_t *seed) {
    uint8_t bytes[INPUT_MAX];
    const struct input *input = &corpus->inputs[below(seed, corpus->count)];
    size_t len = input->len < INPUT_MAX ? input->len : INPUT_MAX;
    memcpy(bytes, input->bytes, len);
    for (size_t i = below(seed, MUTATIONS_MAX) + 1; i > 0; i--) {
        len = mutate(corpus, bytes, len, seed);
    }
    run(bytes, len);
}

static bool read_options(int argc, char **argv, long *runs, uint64_t *seed, struct corpus *corpus) {
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            *runs = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            *seed = strtoull(argv[++i], NULL, 10);
        } else {
            good = add_path(corpus, argv[i]) && good;
        }
    }
    return good;
}

int main(int argc, char **argv) {
    long runs = 10000;
    uint64_t seed = 1;
    struct corpus *corpus = calloc(1, sizeof(*corpus));
    if (!corpus || !read_options(argc, argv, &runs, &seed, corpus)) {
        free(corpus);
        return 2;
    }
    if (corpus->count == 0) {
        add_input(corpus, "", 0);
    }
    fprintf(stderr, "%zu files, %ld mutations, seed %llu\n", corpus->count, runs,
            (unsigned long long)seed);
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    for (size_t i = 0; i < corpus->count; i++) {
        run(corpus->inputs[i].bytes, corpus->inputs[i].len);
    }
    for (long i = 0; i < runs; i++) {
        run_mutated(corpus, &seed);
    }
    for (size_t i = 0; i < corpus->count; i++) {
        free(corpus->inputs[i].bytes);
    }
    free(corpus);
    return 0;
}
