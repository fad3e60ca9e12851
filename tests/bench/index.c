/*
 * bench_index SMALL LARGE FOLDER: the same query against SMALL and LARGE rows in SQLite; files that
 * are in FOLDER from before are taken as they are.
 *
 * A row has an id, a title (indexed, "row 7"), a rank (indexed number, its own number), a state
 * (not indexed) and a link to one of the groups, which have 20 rows each. Every query gives the
 * same number of triples at both sizes. What is measured is a prepared query into triples, as a
 * live query runs again.
 */
#include "bench.h"
#include "generate.h"

#include "base/json.h"
#include "instaql/eval.h"
#include "io/sqlite_app_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Kinds of ids. */
enum { ROW = 1, GROUP, ATTR, IDENTITY };
enum { ROWS_A_GROUP = 20, ROWS_A_COMMIT = 10000 };

/* With ' for ". */
static const char *const attrs[] = {
    "'blob','forward-identity':['@1','rows','id'],'unique?':true,'index?':false",
    "'blob','forward-identity':['@2','rows','title'],'unique?':false,'index?':true,"
    "'checked-data-type':'string'",
    "'blob','forward-identity':['@3','rows','rank'],'unique?':false,'index?':true,"
    "'checked-data-type':'number'",
    "'blob','forward-identity':['@4','rows','state'],'unique?':false,'index?':false",
    "'ref','forward-identity':['@5','rows','group'],'unique?':false,'index?':false,"
    "'reverse-identity':['@6','groups','rows']",
    "'blob','forward-identity':['@7','groups','id'],'unique?':true,'index?':false",
    "'blob','forward-identity':['@8','groups','name'],'unique?':true,'index?':true",
};
enum { ROW_ID, ROW_TITLE, ROW_RANK, ROW_STATE, ROW_GROUP, GROUP_ID, GROUP_NAME, ATTRS };

struct shape {
    const char *name;
    const char *query; /* with ' for ", and # for the id of row 777 */
};

static const struct shape shapes[] = {
    {"eq", "{'rows':{'$':{'where':{'title':'row 777'}}}}"},
    {"$in", "{'rows':{'$':{'where':{'title':{'$in':['row 1','row 777','row 1500','none']}}}}}"},
    {"range", "{'rows':{'$':{'where':{'rank':{'$lt':20}}}}}"},
    {"range from two sides",
     "{'rows':{'$':{'where':{'and':[{'rank':{'$gte':500}},{'rank':{'$lt':520}}]}}}}"},
    {"range and an unindexed attr", "{'rows':{'$':{'where':{'rank':{'$lt':40},'state':'open'}}}}"},
    {"order, limit", "{'rows':{'$':{'order':{'rank':'desc'},'limit':20}}}"},
    {"newest 10", "{'rows':{'$':{'order':{'serverCreatedAt':'desc'},'limit':10}}}"},
    {"reverse link", "{'groups':{'$':{'where':{'rows.title':'row 777'}}}}"},
    {"nested", "{'groups':{'$':{'where':{'name':'group 7'}},'rows':{}}}"},
    {"by id", "{'rows':{'$':{'where':{'id':'#'}}}}"},
};

struct file {
    struct inst_app_db *db;
    const struct inst_attr *attrs[ATTRS];
    struct inst_err err;
};

static void must(struct file *file, enum inst_status status) {
    if (status != INST_OK) {
        bench_die("%s", file->err.message);
    }
}

/* ---- filling ---- */

/* ' to ", @N to an identity's id, # to the id of row 777. */
static struct inst_value json_of(struct inst_arena *arena, const char *text) {
    struct inst_buf buf;
    struct inst_value value;
    struct inst_err err = {0};
    char id[GEN_UUID];
    inst_buf_init(&buf);
    for (const char *c = text; *c; c++) {
        if (*c == '@' || *c == '#') {
            bool is_identity = *c == '@';
            gen_uuid(is_identity ? IDENTITY : ROW, is_identity ? (uint32_t) * ++c : 777, id);
            inst_buf_add_str(&buf, id);
        } else {
            inst_buf_add_char(&buf, *c == '\'' ? '"' : *c);
        }
    }
    if (buf.failed || inst_json_parse(arena, buf.data, buf.len, &value, &err) != INST_OK) {
        bench_die("%s: %s", text, err.message);
    }
    inst_buf_free(&buf);
    return value;
}

static void save_attr(struct file *file, struct inst_arena *arena, uint32_t number) {
    char id[GEN_UUID];
    char text[512];
    struct inst_attrs *one;
    struct inst_buf json;
    uint32_t row = 0;
    gen_uuid(ATTR, number, id);
    snprintf(text, sizeof text, "[{'id':'%s','cardinality':'one','value-type':%s}]", id,
             attrs[number]);
    struct inst_value list = json_of(arena, text);
    must(file, inst_attrs_new(&list, &one, &file->err));
    inst_buf_init(&json);
    inst_json_write(&json, list.u.items);
    must(file, file->db->db_ops->save_attr(file->db, inst_attrs_at(one, 0), json.data, json.len,
                                           false, &row, &file->err));
    inst_buf_free(&json);
    inst_attrs_unref(one);
}

static void save_attrs(struct file *file) {
    struct inst_app_db *db = file->db;
    struct inst_arena arena;
    inst_arena_init(&arena);
    must(file, db->db_ops->begin(db, &file->err));
    for (uint32_t i = 0; i < ATTRS; i++) {
        save_attr(file, &arena, i);
    }
    must(file, db->db_ops->commit(db, &file->err));
    inst_arena_free(&arena);
}

static void load_attrs(struct file *file) {
    struct inst_app_db *db = file->db;
    must(file, db->db_ops->load_attrs(db, &db->store.attrs, &file->err));
    for (uint32_t i = 0; i < ATTRS; i++) {
        char id[GEN_UUID];
        gen_uuid(ATTR, i, id);
        file->attrs[i] = inst_attrs_by_id(db->store.attrs, id, GEN_UUID - 1);
    }
}

static uint32_t entity(struct file *file, uint32_t kind, uint32_t number) {
    char text[GEN_UUID];
    struct inst_uuid id;
    uint32_t e;
    bool is_new;
    gen_uuid(kind, number, text);
    inst_uuid_parse(text, GEN_UUID - 1, &id);
    must(file, file->db->db_ops->make_entity(file->db, &id, &e, &is_new, &file->err));
    return e;
}

static void put(struct file *file, uint32_t e, unsigned attr, struct inst_value v, uint32_t ref) {
    must(file, file->db->db_ops->put(file->db, e, file->attrs[attr], &v, ref,
                                     INT64_C(1700000000000) + e, NULL, &file->err));
}

static struct inst_value text_of(char *text, size_t cap, const char *word, uint32_t number) {
    snprintf(text, cap, "%s %" PRIu32, word, number);
    return inst_cstring(text);
}

static void add_row(struct file *file, uint32_t number) {
    char text[32];
    uint32_t e = entity(file, ROW, number);
    uint32_t group = entity(file, GROUP, number / ROWS_A_GROUP);
    put(file, e, ROW_ID, (struct inst_value){.tag = INST_ENTITY, .u.entity = e}, e);
    put(file, e, ROW_TITLE, text_of(text, sizeof text, "row", number), 0);
    put(file, e, ROW_RANK, inst_number(number), 0);
    put(file, e, ROW_STATE, inst_cstring(number % 2 ? "open" : "done"), 0);
    put(file, e, ROW_GROUP, (struct inst_value){.tag = INST_ENTITY, .u.entity = group}, group);
    if (number % ROWS_A_GROUP == 0) {
        put(file, group, GROUP_ID, (struct inst_value){.tag = INST_ENTITY, .u.entity = group},
            group);
        put(file, group, GROUP_NAME, text_of(text, sizeof text, "group", number / ROWS_A_GROUP), 0);
    }
}

static void open_file(struct file *file, const char *folder, uint32_t rows) {
    char path[4096];
    char made[4200]; /* a file that says that it is whole */
    snprintf(path, sizeof path, "%s/%" PRIu32 ".db", folder, rows);
    snprintf(made, sizeof made, "%s.made", path);
    if (access(made, F_OK) == 0) {
        must(file, inst_sqlite_app_db_open(path, NULL, &file->db, &file->err));
        load_attrs(file);
        return;
    }
    remove(path);
    must(file, inst_sqlite_app_db_open(path, NULL, &file->db, &file->err));
    save_attrs(file);
    load_attrs(file);
    for (uint32_t n = 0; n < rows; n++) {
        must(file, file->db->db_ops->begin(file->db, &file->err));
        add_row(file, n);
        if (n % ROWS_A_COMMIT == ROWS_A_COMMIT - 1 || n == rows - 1) {
            must(file, file->db->db_ops->commit(file->db, &file->err));
        }
    }
    FILE *mark = fopen(made, "w");
    if (!mark || fclose(mark) != 0) {
        bench_die("%s cannot be written", made);
    }
}

/* ---- measuring ---- */

struct run {
    struct file *file;
    struct inst_query *query;
    struct inst_arena arena;
    size_t triples;
};

static void collect(void *ctx) {
    struct run *run = ctx;
    struct inst_collected collected;
    inst_arena_reset(&run->arena);
    must(run->file, inst_query_collect(run->query, &run->file->db->store, NULL, &run->arena,
                                       &collected, &run->file->err));
    run->triples = collected.triple_count;
    run->file->db->db_ops->trim(run->file->db);
}

static void measure(struct file files[2], const struct shape *shape, const char *large) {
    struct run runs[2];
    char name[64];
    double seconds[2];
    for (int i = 0; i < 2; i++) {
        struct inst_arena arena;
        inst_arena_init(&arena);
        struct inst_value query = json_of(&arena, shape->query);
        runs[i] = (struct run){.file = &files[i]};
        inst_arena_init(&runs[i].arena);
        must(&files[i], inst_query_new(&query, INST_QUERY_SERVER, &runs[i].query, &files[i].err));
        inst_arena_free(&arena);
    }
    bench_measure_pair(collect, &runs[0], collect, &runs[1], &seconds[0], &seconds[1]);
    if (runs[0].triples != runs[1].triples || runs[0].triples == 0) {
        bench_die("%s: %zu and %zu triples", shape->name, runs[0].triples, runs[1].triples);
    }
    snprintf(name, sizeof name, "%s, %zu triples, %s rows", shape->name, runs[0].triples, large);
    bench_row(name, seconds[1], seconds[0], "s", "growth", 2);
    for (int i = 0; i < 2; i++) {
        inst_query_free(runs[i].query);
        inst_arena_free(&runs[i].arena);
    }
}

int main(int argc, char **argv) {
    static struct file files[2];
    unsigned long small = argc == 4 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long large = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    if (small < 2000 || large < small || large > 100000000) {
        bench_die("usage: bench_index SMALL LARGE FOLDER   (SMALL: 2000 or more)");
    }
    open_file(&files[0], argv[3], (uint32_t)small);
    open_file(&files[1], argv[3], (uint32_t)large);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        measure(files, &shapes[i], argv[2]);
    }
    for (int i = 0; i < 2; i++) {
        files[i].db->db_ops->close(files[i].db);
    }
    return 0;
}
