/*
 * The memory store: loading, its size, reading, local transactions and undoing them.
 *
 *     bench_generate 100000 FOLDER; instaml_store_bench FOLDER ...
 *
 * Prints `store_<triples>_<what>_<unit> value` lines; a transaction's times are medians.
 */
#include "bench.h"
#include "data.h"

#include "instaml/transact.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_ROUNDS = 5, MAX_ROUNDS = 4001, READS = 300000 };
#define ROUNDS_SECONDS 0.5

struct side {
    const char *folder;
    struct inst_arena arena;
    struct inst_value triples;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct inst_store *base;
    uint32_t *posts, *users; /* in the order of the data */
    size_t posts_len, users_len;
};

static double now_ns(void) { return bench_now() * 1e9; }

static int64_t fixed_ms(void *ctx) {
    (void)ctx;
    return 1800000000000;
}

static void print(const struct side *side, const char *what, double value) {
    printf("store_%u_%s %.2f\n", (unsigned)side->triples.len, what, value);
    fflush(stdout);
}

static void must(enum inst_status status) {
    if (status != INST_OK) {
        bench_die("failed");
    }
}

static const struct inst_attr *attr_of(const struct side *side, const char *etype,
                                       const char *label) {
    return inst_attrs_forward(side->attrs, etype, strlen(etype), label, strlen(label));
}

/* ---- loading ---- */

static struct inst_mem_store *load(const struct side *side) {
    struct inst_mem_options options = {0};
    struct inst_mem_store *store;
    must(inst_mem_store_new(side->attrs, options, &store, NULL));
    must(inst_mem_store_load(store, &side->triples, NULL));
    return store;
}

static void measure_load(struct side *side) {
    double times[MAX_ROUNDS], start = bench_now(), count = side->triples.len;
    size_t rounds = 0;
    malloc_trim(0);
    double before = bench_rss();
    side->store = load(side);
    print(side, "rss_bytes_per_triple", (bench_rss() - before) / count);
    print(side, "overhead_bytes_per_triple", (double)inst_mem_store_overhead(side->store) / count);
    while (rounds < MIN_ROUNDS || (rounds < MAX_ROUNDS && bench_now() - start < ROUNDS_SECONDS)) {
        double from = now_ns();
        struct inst_mem_store *store = load(side);
        times[rounds++] = (now_ns() - from) / count;
        inst_mem_store_free(store);
    }
    print(side, "load_ns_per_triple", bench_quantile(times, rounds, 0.5));
}

/* ---- reading ---- */

static size_t read_all(const struct side *side, const struct inst_scan *scan) {
    struct inst_cursor cursor;
    struct inst_triple triple;
    size_t count = 0;
    must(side->base->ops->scan(side->base, scan, &cursor, NULL));
    while (side->base->ops->next(&cursor, &triple, NULL) == 1) {
        count++;
    }
    side->base->ops->close(&cursor);
    return count;
}

static uint32_t *list_entities(const struct side *side, const char *etype, size_t *len) {
    struct inst_scan scan = {.attr = attr_of(side, etype, "id")};
    struct inst_cursor cursor;
    struct inst_triple triple;
    uint32_t *list = malloc((read_all(side, &scan) + 1) * sizeof(*list));
    *len = 0;
    must(side->base->ops->scan(side->base, &scan, &cursor, NULL));
    while (list && side->base->ops->next(&cursor, &triple, NULL) == 1) {
        list[(*len)++] = triple.e;
    }
    side->base->ops->close(&cursor);
    if (!list || !*len) {
        bench_die("no %s", etype);
    }
    return list;
}

static void measure_entities(const struct side *side) {
    const struct inst_attr *const *all;
    size_t n = inst_attrs_of(side->attrs, "posts", 5, &all), found = 0;
    double from = now_ns();
    for (size_t i = 0; i < READS; i++) {
        struct inst_scan scan = {.attr = all[i % n], .e = side->posts[i / n % side->posts_len]};
        found += read_all(side, &scan);
    }
    print(side, "scan_ea_in_order_ns", (now_ns() - from) / READS);
    from = now_ns();
    for (size_t i = 0; i < READS; i++) {
        struct inst_scan scan = {.attr = all[i % n], .e = side->posts[i * 7919 % side->posts_len]};
        found += read_all(side, &scan);
    }
    print(side, "scan_ea_anywhere_ns", (now_ns() - from) / READS);
    struct inst_value row[16];
    from = now_ns();
    for (size_t i = 0; i < READS; i++) {
        must(side->base->ops->row(side->base, side->posts[i % side->posts_len], all, n, row, NULL));
    }
    print(side, "row_ns_per_field", (now_ns() - from) / READS / (double)n);
    if (!found) {
        bench_die("nothing was read");
    }
}

static void measure_values(const struct side *side) {
    const struct inst_attr *views = attr_of(side, "posts", "views");
    struct inst_scan scan = {.attr = views};
    double from = now_ns();
    size_t count = read_all(side, &scan);
    print(side, "scan_a_ns_per_triple", (now_ns() - from) / (double)count);
    scan = (struct inst_scan){.attr = views, .has_v = true, .v = inst_number(-1)};
    from = now_ns();
    read_all(side, &scan);
    print(side, "hash_build_ns_per_triple", (now_ns() - from) / (double)count);
    count = 1;
    from = now_ns();
    for (int i = 0; i < 1000; i++) {
        scan.v = inst_number(i);
        count += read_all(side, &scan);
    }
    print(side, "scan_av_ns_per_triple", (now_ns() - from) / (double)count);
    count = 1;
    from = now_ns();
    for (size_t i = 0; i < side->users_len; i++) {
        scan = (struct inst_scan){.attr = attr_of(side, "posts", "author"), .ref = side->users[i]};
        count += read_all(side, &scan);
    }
    print(side, "scan_back_ns_per_triple", (now_ns() - from) / (double)count);
}

/* ---- transactions ---- */

static void measure_transact(struct side *side, const char *steps_count) {
    static double apply[MAX_ROUNDS], undo[MAX_ROUNDS];
    const struct inst_env env = {.now_ms = fixed_ms};
    struct inst_created_at counter = {0};
    char name[64];
    size_t rounds = 0;
    snprintf(name, sizeof(name), "tx-%s.json", steps_count);
    struct inst_value steps = data_read_lines(&side->arena, side->folder, name);
    uint64_t mark = inst_mem_store_mark(side->store);
    double start = bench_now();
    while (rounds < MIN_ROUNDS || (rounds < MAX_ROUNDS && bench_now() - start < ROUNDS_SECONDS)) {
        double from = now_ns();
        must(inst_transact(side->store, &steps, &env, &counter, NULL));
        double between = now_ns();
        must(inst_mem_store_rollback(side->store, mark, NULL));
        apply[rounds] = between - from;
        undo[rounds++] = now_ns() - between;
    }
    inst_mem_store_release(side->store, mark);
    snprintf(name, sizeof(name), "transact_%s_ns", steps_count);
    print(side, name, bench_quantile(apply, rounds, 0.5));
    snprintf(name, sizeof(name), "rollback_%s_ns", steps_count);
    print(side, name, bench_quantile(undo, rounds, 0.5));
}

static void measure(const char *folder) {
    struct side side = {.folder = folder};
    inst_arena_init(&side.arena);
    struct inst_value attrs = data_read(&side.arena, folder, "attrs.json");
    side.triples = data_read_lines(&side.arena, folder, "triples.json");
    must(inst_attrs_new(&attrs, &side.attrs, NULL));
    measure_load(&side);
    side.base = inst_mem_store_as_store(side.store);
    side.posts = list_entities(&side, "posts", &side.posts_len);
    side.users = list_entities(&side, "users", &side.users_len);
    measure_transact(&side, "1");
    measure_transact(&side, "100");
    measure_transact(&side, "10000");
    measure_entities(&side);
    measure_values(&side);
    free(side.posts);
    free(side.users);
    inst_mem_store_free(side.store);
    inst_attrs_unref(side.attrs);
    inst_arena_free(&side.arena);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        bench_die("usage: instaml_store_bench FOLDER ...   folders of bench_generate");
    }
    for (int i = 1; i < argc; i++) {
        measure(argv[i]);
    }
    return 0;
}
