/*
 * bench_compare NAME FOLDER SHAPES SHAPES_FOLDER: our side of `evaluator`.
 *
 * Reads the same files as compare.mjs, does the same things, prints the same lines: NAME, KEY and a
 * number, or for a query's result the hash of its JSON text. Beside them: `prepared: ` (a query
 * that is run again), `first: ` (before any index over values was made) and what memory is used.
 */
#include "bench.h"
#include "data.h"

#include "base/json.h"
#include "instaml/transact.h"
#include "instaql/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct side {
    const char *name;
    struct inst_value triples;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct inst_env env;
    struct inst_created_at counter;
    struct inst_collator *collator;
    struct inst_err err;
};

static void must(struct side *side, enum inst_status status) {
    if (status != INST_OK) {
        bench_die("%s: %s", side->name, side->err.message);
    }
}

static void print(const struct side *side, const char *key, double value) {
    printf("%s\t%s\t%.9g\n", side->name, key, value);
    fflush(stdout);
}

static int64_t now_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- load, memory ---- */

static void load(struct side *side) {
    struct inst_mem_options options = {0};
    must(side, inst_mem_store_new(side->attrs, options, &side->store, &side->err));
    must(side, inst_mem_store_load(side->store, &side->triples, &side->err));
}

/* The peer's garbage is collected sometime, ours at once: freeing counts. */
static void load_and_free(void *ctx) {
    struct side *side = ctx;
    load(side);
    inst_mem_store_free(side->store);
    side->store = NULL;
}

static bool is_own(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    double *bytes = ctx;
    (void)attr;
    *bytes += triple->v.tag == INST_STRING && !triple->ref ? triple->v.len : 0;
    return true;
}

/* Loads the store for all that follows. */
static void measure_memory(struct side *side) {
    double before = bench_rss();
    load(side);
    double after = bench_rss();
    double own = 0;
    inst_mem_store_each(side->store, is_own, &own);
    print(side, "bytes", after - before);
    print(side, "own bytes", own);
    print(side, "overhead", (double)inst_mem_store_overhead(side->store));
    print(side, "triples", (double)inst_mem_store_count(side->store));
}

/* ---- queries ---- */

struct shape {
    struct side *side;
    struct inst_value query;
    struct inst_query *prepared;
    struct inst_eval_options options;
    struct inst_arena arena;
    struct inst_value result;
};

static void run_fresh(void *ctx) {
    struct shape *shape = ctx;
    struct side *side = shape->side;
    inst_arena_reset(&shape->arena);
    must(side, inst_instaql_eval(inst_mem_store_as_store(side->store), &shape->query,
                                 &shape->options, &shape->arena, &shape->result, &side->err));
}

static void run_prepared(void *ctx) {
    struct shape *shape = ctx;
    struct side *side = shape->side;
    inst_arena_reset(&shape->arena);
    must(side, inst_query_eval(shape->prepared, inst_mem_store_as_store(side->store),
                               &shape->options, &shape->arena, &shape->result, &side->err));
}

/* FNV-1a. */
static uint32_t hash(const char *text, size_t len) {
    uint32_t h = 0x811c9dc5;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)text[i]) * 0x01000193;
    }
    return h;
}

static void measure_shape(struct side *side, const struct inst_value *line) {
    struct shape shape = {.side = side, .query = *inst_getz(line, "query")};
    const struct inst_value *name = inst_get_string(line, "name");
    char key[128];
    struct inst_buf text;
    shape.options.collator = side->collator;
    inst_arena_init(&shape.arena);
    inst_buf_init(&text);

    double start = bench_now();
    run_fresh(&shape);
    double first = bench_now() - start;
    inst_json_write(&text, &shape.result);
    printf("%s\tresult of %.*s\t%08x\n", side->name, (int)name->len, name->u.str,
           hash(text.data, text.len));
    snprintf(key, sizeof key, "query: %.*s", (int)name->len, name->u.str);
    print(side, key, bench_measure(run_fresh, &shape));
    must(side, inst_query_new(&shape.query, INST_QUERY_CLIENT, &shape.prepared, &side->err));
    snprintf(key, sizeof key, "prepared: %.*s", (int)name->len, name->u.str);
    print(side, key, bench_measure(run_prepared, &shape));
    snprintf(key, sizeof key, "first: %.*s", (int)name->len, name->u.str);
    print(side, key, first);

    inst_query_free(shape.prepared);
    inst_buf_free(&text);
    inst_arena_free(&shape.arena);
}

/* ---- optimistic writes ---- */

struct write {
    struct side *side;
    struct inst_value steps;
};

/* As the reactor shows a pending mutation: on top of the server's triples, and off again. */
static void run_write(void *ctx) {
    struct write *write = ctx;
    struct side *side = write->side;
    uint64_t mark = inst_mem_store_mark(side->store);
    if (mark == 0) {
        bench_die("out of memory");
    }
    must(side, inst_transact(side->store, &write->steps, &side->env, &side->counter, &side->err));
    must(side, inst_mem_store_rollback(side->store, mark, &side->err));
}

static void measure_write(struct side *side, const char *folder, unsigned steps) {
    struct inst_arena arena;
    struct write write = {.side = side};
    char text[32];
    inst_arena_init(&arena);
    snprintf(text, sizeof text, "tx-%u.json", steps);
    write.steps = data_read(&arena, folder, text);
    snprintf(text, sizeof text, "write %u", steps);
    print(side, text, bench_measure(run_write, &write));
    inst_arena_free(&arena);
}

int main(int argc, char **argv) {
    static const unsigned steps[] = {1, 100, 10000};
    if (argc != 5) {
        bench_die("usage: bench_compare NAME FOLDER SHAPES SHAPES_FOLDER");
    }
    struct side side = {.name = argv[1], .env = {.now_ms = now_ms}};
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value attrs = data_read(&arena, argv[2], "attrs.json");
    struct inst_value all = data_read(&arena, argv[4], "shapes.json");
    const struct inst_value *shapes = inst_getz(&all, argv[3]);
    if (!shapes || shapes->tag != INST_ARRAY) {
        bench_die("no shapes %s", argv[3]);
    }
    side.triples = data_read_lines(&arena, argv[2], "triples.json");
    must(&side, inst_attrs_new(&attrs, &side.attrs, &side.err));
    must(&side, inst_collator_new(&side.collator, &side.err));

    measure_memory(&side);
    /* In the order of compare.mjs; writing comes first, as it does there. */
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        measure_write(&side, argv[2], steps[i]);
    }
    for (uint32_t i = 0; i < shapes->len; i++) {
        measure_shape(&side, &shapes->u.items[i]);
    }
    inst_mem_store_free(side.store);
    print(&side, "load", bench_measure(load_and_free, &side));

    inst_collator_free(side.collator);
    inst_attrs_unref(side.attrs);
    inst_arena_free(&arena);
    return 0;
}
