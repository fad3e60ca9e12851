/*
 * Queries over the memory store: prepared, read and compiled each time, and collected as the server
 * does (without an index over values, so only small data says something about that).
 *
 *     bench_generate 100000 FOLDER; instaql_bench SHAPES_FOLDER made FOLDER ...
 *     instaql_bench SHAPES_FOLDER zeneca ../shared/vectors/data/zeneca.
 *
 * The shapes are those of shapes.json; FOLDER ends in / or in the first part of the files' names.
 * Prints `instaql_<triples>_<shape>_<how> microseconds` lines.
 */
#include "bench.h"
#include "data.h"

#include "base/json.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
    struct inst_store *store;
    struct inst_collator *collator;
    size_t triples;
    struct inst_err err;
};

struct shape {
    struct side *side;
    const struct inst_value *query;
    struct inst_query *prepared;
    struct inst_query *collected;
    struct inst_arena arena;
};

static void must(struct side *side, enum inst_status status) {
    if (status != INST_OK) {
        bench_die("%s", side->err.message);
    }
}

static void run_prepared(void *ctx) {
    struct shape *shape = ctx;
    const struct inst_eval_options options = {.collator = shape->side->collator};
    struct inst_value out;
    inst_arena_reset(&shape->arena);
    must(shape->side, inst_query_eval(shape->prepared, shape->side->store, &options, &shape->arena,
                                      &out, &shape->side->err));
}

static void run_fresh(void *ctx) {
    struct shape *shape = ctx;
    const struct inst_eval_options options = {.collator = shape->side->collator};
    struct inst_value out;
    inst_arena_reset(&shape->arena);
    must(shape->side, inst_instaql_eval(shape->side->store, shape->query, &options, &shape->arena,
                                        &out, &shape->side->err));
}

static void run_collected(void *ctx) {
    struct shape *shape = ctx;
    const struct inst_collect_options options = {.collator = shape->side->collator};
    struct inst_collected out;
    inst_arena_reset(&shape->arena);
    must(shape->side, inst_query_collect(shape->collected, shape->side->store, &options,
                                         &shape->arena, &out, &shape->side->err));
}

static void print(const struct side *side, const struct inst_value *name, const char *how,
                  double seconds) {
    char text[64];
    size_t len = 0;
    for (uint32_t i = 0; i < name->len && len + 1 < sizeof(text); i++) {
        char c = name->u.str[i];
        if (isalnum((unsigned char)c)) {
            text[len++] = c;
        } else if (len && text[len - 1] != '-') {
            text[len++] = '-';
        }
    }
    text[len] = '\0';
    printf("instaql_%zu_%s_%s_us %.2f\n", side->triples, text, how, seconds * 1e6);
    fflush(stdout);
}

static void measure(struct side *side, const struct inst_value *line) {
    const struct inst_value *name = inst_get_string(line, "name");
    struct shape shape = {.side = side, .query = inst_getz(line, "query")};
    inst_arena_init(&shape.arena);
    must(side, inst_query_new(shape.query, INST_QUERY_CLIENT, &shape.prepared, &side->err));
    must(side, inst_query_new(shape.query, INST_QUERY_SERVER, &shape.collected, &side->err));
    print(side, name, "prepared", bench_measure(run_prepared, &shape));
    print(side, name, "fresh", bench_measure(run_fresh, &shape));
    if (inst_query_prepare(shape.collected, side->store->attrs, &side->err) == INST_OK) {
        print(side, name, "collect", bench_measure(run_collected, &shape));
    } else {
        inst_err_clear(&side->err); /* the data lacks the index that the server wants */
    }
    inst_query_free(shape.prepared);
    inst_query_free(shape.collected);
    inst_arena_free(&shape.arena);
}

/* FOLDER and a name: "x/" and "attrs.json", or "x/zeneca." and the same. */
static struct inst_value read_part(struct inst_arena *arena, const char *folder, const char *name,
                                   bool is_lines) {
    char path[1024];
    char file[256];
    const char *slash = strrchr(folder, '/');
    if (!slash) {
        bench_die("no folder: %s", folder);
    }
    snprintf(path, sizeof(path), "%.*s", (int)(slash - folder), folder);
    snprintf(file, sizeof(file), "%s%s", slash + 1, name);
    return is_lines ? data_read_lines(arena, path, file) : data_read(arena, path, file);
}

static void run_folder(const char *folder, const struct inst_value *shapes, bool is_made) {
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct side side = {0};
    inst_arena_init(&arena);
    struct inst_value list = read_part(&arena, folder, "attrs.json", false);
    struct inst_value triples = read_part(&arena, folder, "triples.json", is_made);
    must(&side, inst_attrs_new(&list, &attrs, &side.err));
    must(&side, inst_mem_store_new(attrs, (struct inst_mem_options){0}, &store, &side.err));
    must(&side, inst_mem_store_load(store, &triples, &side.err));
    must(&side, inst_collator_new(&side.collator, &side.err));
    side.store = inst_mem_store_as_store(store);
    side.triples = triples.len;
    for (uint32_t i = 0; i < shapes->len; i++) {
        measure(&side, &shapes->u.items[i]);
    }
    inst_collator_free(side.collator);
    inst_mem_store_free(store);
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
}

int main(int argc, char **argv) {
    struct inst_arena arena;
    if (argc < 4) {
        bench_die("usage: instaql_bench SHAPES_FOLDER SHAPES FOLDER...");
    }
    inst_arena_init(&arena);
    struct inst_value all = data_read(&arena, argv[1], "shapes.json");
    const struct inst_value *shapes = inst_getz(&all, argv[2]);
    if (!shapes || shapes->tag != INST_ARRAY) {
        bench_die("no shapes %s", argv[2]);
    }
    for (int i = 3; i < argc; i++) {
        run_folder(argv[i], shapes, strcmp(argv[2], "made") == 0);
    }
    inst_arena_free(&arena);
    return 0;
}
