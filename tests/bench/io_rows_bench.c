/*
 * How many transactions a second the app data file commits durably, beside bare SQLite committing
 * the same rows to the same tables by prepared statements in one loop. A transaction makes one
 * entity with three attrs, one of them indexed, and its log record: 8 rows. Both fill a file of
 * their own, in turns; the figure is the median of the rounds.
 *
 *     io_rows_bench [seconds per round]
 */
#include "base/json.h"
#include "io/sqlite_app_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, ATTRS = 3 };

static const char changes[] =
    "[[\"+\",1,1,\"aa000000-0000-4000-8000-000000000001\",1700000000000],[\"+\",1,2,\"note number "
    "1\",1700000000000],[\"+\",1,3,\"The text of this note, which is about as long as such a text "
    "is.\",1700000000000]]";
static const char body[] = "The text of this note, which is about as long as such a text is.";
static const char who[] = "null";

struct file {
    char path[128];
    uint64_t made; /* transactions so far */
    uint64_t random;
    struct inst_app_db *db; /* ours */
    const struct inst_attr *attrs[ATTRS];
    sqlite3 *bare;
    sqlite3_stmt *begin, *commit, *ent, *triple, *ave, *log;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(enum inst_status status, const struct inst_err *err) {
    if (status != INST_OK) {
        fprintf(stderr, "%s\n", err->message);
        exit(2);
    }
}

static struct inst_uuid random_uuid(struct file *file) {
    struct inst_uuid id;
    for (size_t i = 0; i < sizeof id.bytes; i += 8) {
        file->random ^= file->random >> 12;
        file->random ^= file->random << 25;
        file->random ^= file->random >> 27;
        uint64_t word = file->random * 0x2545f4914f6cdd1dULL;
        memcpy(id.bytes + i, &word, 8);
    }
    return id;
}

static size_t title_of(uint64_t n, char out[32]) {
    return (size_t)snprintf(out, 32, "note %llu", (unsigned long long)(n * 2654435761u % 1000003));
}

/* ---- ours ---- */

static void make_attrs(struct file *file) {
    static const char text[] =
        "[{\"id\":\"00000000-0000-4000-8000-000000000001\",\"value-type\":\"blob\","
        "\"cardinality\":\"one\",\"unique?\":true,\"index?\":false,"
        "\"forward-identity\":[\"10000000-0000-4000-8000-000000000001\",\"notes\",\"id\"]},"
        "{\"id\":\"00000000-0000-4000-8000-000000000002\",\"value-type\":\"blob\","
        "\"cardinality\":\"one\",\"unique?\":false,\"index?\":true,"
        "\"forward-identity\":[\"10000000-0000-4000-8000-000000000002\",\"notes\",\"title\"]},"
        "{\"id\":\"00000000-0000-4000-8000-000000000003\",\"value-type\":\"blob\","
        "\"cardinality\":\"one\",\"unique?\":false,\"index?\":false,"
        "\"forward-identity\":[\"10000000-0000-4000-8000-000000000003\",\"notes\",\"body\"]}]";
    struct inst_err err = {0};
    struct inst_arena arena;
    struct inst_value list;
    struct inst_attrs *attrs;
    inst_arena_init(&arena);
    must(inst_json_parse(&arena, text, sizeof text - 1, &list, &err), &err);
    must(inst_attrs_new(&list, &attrs, &err), &err);
    must(file->db->db_ops->begin(file->db, &err), &err);
    for (uint32_t i = 0; i < ATTRS; i++) {
        struct inst_buf json;
        uint32_t row = 0;
        inst_buf_init(&json);
        inst_json_write(&json, &list.u.items[i]);
        must(file->db->db_ops->save_attr(file->db, inst_attrs_at(attrs, i), json.data, json.len,
                                         false, &row, &err),
             &err);
        inst_buf_free(&json);
    }
    must(file->db->db_ops->commit(file->db, &err), &err);
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
    must(file->db->db_ops->load_attrs(file->db, &file->db->store.attrs, &err), &err);
    for (uint32_t i = 0; i < ATTRS; i++) {
        file->attrs[i] = inst_attrs_at(file->db->store.attrs, i);
    }
}

static void transact_ours(struct file *file) {
    struct inst_app_db *db = file->db;
    const struct inst_app_db_ops *ops = db->db_ops;
    struct inst_uuid id = random_uuid(file), event = random_uuid(file);
    struct inst_err err = {0};
    char title[32];
    size_t title_len = title_of(file->made, title);
    struct inst_value values[ATTRS] = {inst_undefined(), inst_string(title, title_len),
                                       inst_string(body, sizeof body - 1)};
    int64_t t = 1700000000000 + (int64_t)file->made;
    uint32_t e;
    bool is_new;
    must(ops->savepoint(db, &err), &err);
    must(ops->make_entity(db, &id, &e, &is_new, &err), &err);
    for (int i = 0; i < ATTRS; i++) {
        must(ops->put(db, e, file->attrs[i], &values[i], 0, t, NULL, &err), &err);
    }
    struct inst_log_record record = {.tx_id = ops->last_tx_id(db) + 1,
                                     .at_ms = t,
                                     .event = &event,
                                     .who = who,
                                     .who_len = sizeof who - 1,
                                     .changes = changes,
                                     .changes_len = sizeof changes - 1};
    must(ops->append_log(db, &record, &err), &err);
    must(ops->release(db, &err), &err);
    file->made++;
}

static void group_ours(struct file *file, int size) {
    struct inst_err err = {0};
    must(file->db->db_ops->begin(file->db, &err), &err);
    for (int i = 0; i < size; i++) {
        transact_ours(file);
    }
    must(file->db->db_ops->commit(file->db, &err), &err);
}

/* ---- bare SQLite ---- */

static void check(struct file *file, int rc) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE) {
        fprintf(stderr, "%s\n", sqlite3_errmsg(file->bare));
        exit(2);
    }
}

static void run(struct file *file, sqlite3_stmt *stmt) {
    check(file, sqlite3_step(stmt));
    sqlite3_reset(stmt);
}

static void open_bare(struct file *file) {
    static const char *const sql[] = {
        "BEGIN IMMEDIATE",
        "COMMIT",
        "INSERT INTO ents(uuid) VALUES(?1)",
        "INSERT INTO triples(e,a,ref,v,t) VALUES(?1,?2,0,?3,?4)",
        "INSERT INTO ave(a,k,e,t) VALUES(?1,?2,?3,?4)",
        "INSERT INTO log(tx_id,at,event,who,changes) VALUES(?1,?2,?3,?4,?5)",
    };
    sqlite3_stmt **stmts[] = {&file->begin,  &file->commit, &file->ent,
                              &file->triple, &file->ave,    &file->log};
    check(file, sqlite3_open_v2(file->path, &file->bare,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    char pragmas[256];
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-%d; PRAGMA synchronous=FULL;"
             "PRAGMA journal_size_limit=%d; PRAGMA journal_mode=WAL",
             INST_SQLITE_CACHE_KIB, INST_SQLITE_WAL_KEEP);
    check(file, sqlite3_exec(file->bare, pragmas, NULL, NULL, NULL));
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++) {
        check(file, sqlite3_prepare_v3(file->bare, sql[i], -1, SQLITE_PREPARE_PERSISTENT, stmts[i],
                                       NULL));
    }
}

static void insert_triple(struct file *file, sqlite3_int64 e, int a, const char *v, size_t len,
                          int64_t t) {
    sqlite3_bind_int64(file->triple, 1, e);
    sqlite3_bind_int(file->triple, 2, a);
    if (v) {
        sqlite3_bind_text(file->triple, 3, v, (int)len, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(file->triple, 3);
    }
    sqlite3_bind_int64(file->triple, 4, t);
    run(file, file->triple);
}

static void insert_ave(struct file *file, sqlite3_int64 e, int a, int64_t t) {
    sqlite3_bind_int(file->ave, 1, a);
    sqlite3_bind_int64(file->ave, 3, e);
    if (t) {
        sqlite3_bind_int64(file->ave, 4, t);
    } else {
        sqlite3_bind_null(file->ave, 4);
    }
    run(file, file->ave);
}

static void transact_bare(struct file *file) {
    struct inst_uuid id = random_uuid(file), event = random_uuid(file);
    char title[32];
    size_t title_len = title_of(file->made, title);
    int64_t t = 1700000000000 + (int64_t)file->made;
    sqlite3_bind_blob(file->ent, 1, id.bytes, sizeof id.bytes, SQLITE_STATIC);
    run(file, file->ent);
    sqlite3_int64 e = sqlite3_last_insert_rowid(file->bare);
    insert_triple(file, e, 1, NULL, 0, t);
    insert_triple(file, e, 2, title, title_len, t);
    insert_triple(file, e, 3, body, sizeof body - 1, t);
    sqlite3_bind_int64(file->ave, 2, t);
    insert_ave(file, e, 1, 0);
    sqlite3_bind_text(file->ave, 2, title, (int)title_len, SQLITE_STATIC);
    insert_ave(file, e, 2, t);
    sqlite3_bind_int64(file->ave, 2, 0);
    insert_ave(file, e, 3, 0);
    sqlite3_bind_int64(file->log, 1, (sqlite3_int64)++file->made);
    sqlite3_bind_int64(file->log, 2, t);
    sqlite3_bind_blob(file->log, 3, event.bytes, sizeof event.bytes, SQLITE_STATIC);
    sqlite3_bind_text(file->log, 4, who, sizeof who - 1, SQLITE_STATIC);
    sqlite3_bind_text(file->log, 5, changes, sizeof changes - 1, SQLITE_STATIC);
    run(file, file->log);
}

static void group_bare(struct file *file, int size) {
    run(file, file->begin);
    for (int i = 0; i < size; i++) {
        transact_bare(file);
    }
    run(file, file->commit);
}

/* ---- measuring ---- */

/* Transactions a second. */
static double rate(struct file *file, void (*group)(struct file *, int), int size, double seconds) {
    double start = now(), end = start;
    uint64_t before = file->made;
    while (end - start < seconds) {
        group(file, size);
        end = now();
    }
    return (double)(file->made - before) / (end - start);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(const char *dir, int size, double seconds) {
    struct file ours = {.random = 1}, bare = {.random = 1};
    struct inst_err err = {0};
    double our_rates[ROUNDS], bare_rates[ROUNDS], ratios[ROUNDS];
    snprintf(ours.path, sizeof ours.path, "%s/ours-%d.db", dir, size);
    snprintf(bare.path, sizeof bare.path, "%s/bare-%d.db", dir, size);
    must(inst_sqlite_app_db_open(bare.path, NULL, &bare.db, &err), &err);
    make_attrs(&bare);
    bare.db->db_ops->close(bare.db);
    open_bare(&bare);
    must(inst_sqlite_app_db_open(ours.path, NULL, &ours.db, &err), &err);
    make_attrs(&ours);
    for (int i = 0; i < ROUNDS; i++) {
        our_rates[i] = rate(&ours, group_ours, size, seconds);
        bare_rates[i] = rate(&bare, group_bare, size, seconds);
        ratios[i] = our_rates[i] / bare_rates[i];
    }
    must(inst_sqlite_app_db_check(ours.db, &err), &err);
    ours.db->db_ops->close(ours.db);
    sqlite3_stmt *stmts[] = {bare.begin, bare.commit, bare.ent, bare.triple, bare.ave, bare.log};
    for (size_t i = 0; i < sizeof stmts / sizeof *stmts; i++) {
        sqlite3_finalize(stmts[i]);
    }
    sqlite3_close(bare.bare);
    qsort(our_rates, ROUNDS, sizeof *our_rates, by_size);
    qsort(bare_rates, ROUNDS, sizeof *bare_rates, by_size);
    qsort(ratios, ROUNDS, sizeof *ratios, by_size);
    printf("%5d a group: ours %8.0f tx/s, bare SQLite %8.0f tx/s, ratio %.2f (%.2f to %.2f)\n",
           size, our_rates[ROUNDS / 2], bare_rates[ROUNDS / 2], ratios[ROUNDS / 2], ratios[0],
           ratios[ROUNDS - 1]);
}

int main(int argc, char **argv) {
    static const int sizes[] = {1, 16, 256};
    double seconds = argc > 1 ? atof(argv[1]) : 1.0;
    char dir[] = "/tmp/inst-rows-XXXXXX", command[64];
    if (!mkdtemp(dir)) {
        perror(dir);
        return 2;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        measure(dir, sizes[i], seconds);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : 1;
}
