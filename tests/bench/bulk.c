/*
 * bench_bulk FILE FOLDER COMMIT: how many rows a second SQLite alone takes in, in bulk.
 *
 * FILE is an app's data file that an import has filled. Its very rows are inserted again, entity by
 * entity, into the same tables with the same indexes in a new file in FOLDER, COMMIT entities a
 * commit, opened as core/io/sqlite_file.c opens it. The rows stand ready in memory and nothing is
 * read or checked. Prints the seconds.
 */
#include "bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLES = 3, MAX_COLUMNS = 5 };

/* One table's rows, sorted by entity, which is the first column here. */
struct table {
    const char *select, *insert;
    int columns;
    sqlite3_value **values;
    size_t rows, cap, at;
    sqlite3_stmt *stmt;
};

static struct table tables[TABLES] = {
    {.select = "SELECT e,uuid FROM ents ORDER BY e",
     .insert = "INSERT INTO ents(e,uuid) VALUES(?1,?2)",
     .columns = 2},
    {.select = "SELECT e,a,ref,v,t FROM triples ORDER BY e,a",
     .insert = "INSERT INTO triples(e,a,ref,v,t) VALUES(?1,?2,?3,?4,?5)",
     .columns = 5},
    {.select = "SELECT e,a,k,t FROM ave ORDER BY e,a",
     .insert = "INSERT INTO ave(e,a,k,t) VALUES(?1,?2,?3,?4)",
     .columns = 4},
};

static void must(sqlite3 *db, int rc) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        bench_die("sqlite: %s", sqlite3_errmsg(db));
    }
}

static void run(sqlite3 *db, const char *sql) { must(db, sqlite3_exec(db, sql, NULL, NULL, NULL)); }

static void read_table(sqlite3 *db, struct table *table) {
    sqlite3_stmt *stmt;
    must(db, sqlite3_prepare_v2(db, table->select, -1, &stmt, NULL));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        if (table->rows == table->cap) {
            table->cap = table->cap ? table->cap * 2 : 1024;
            table->values =
                realloc(table->values, table->cap * (size_t)table->columns * sizeof *table->values);
            if (!table->values) {
                bench_die("out of memory");
            }
        }
        for (int i = 0; i < table->columns; i++) {
            table->values[table->rows * (size_t)table->columns + (size_t)i] =
                sqlite3_value_dup(sqlite3_column_value(stmt, i));
        }
        table->rows++;
    }
    must(db, sqlite3_finalize(stmt));
}

static void copy_schema(sqlite3 *from, sqlite3 *to) {
    sqlite3_stmt *stmt;
    must(from, sqlite3_prepare_v2(from, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL", -1,
                                  &stmt, NULL));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        run(to, (const char *)sqlite3_column_text(stmt, 0));
    }
    must(from, sqlite3_finalize(stmt));
}

/* Every row of entity e. */
static void insert(sqlite3 *db, struct table *table, sqlite3_int64 e) {
    for (; table->at < table->rows; table->at++) {
        sqlite3_value **row = table->values + table->at * (size_t)table->columns;
        if (sqlite3_value_int64(row[0]) != e) {
            return;
        }
        for (int i = 0; i < table->columns; i++) {
            sqlite3_bind_value(table->stmt, i + 1, row[i]);
        }
        must(db, sqlite3_step(table->stmt));
        sqlite3_reset(table->stmt);
    }
}

static double insert_all(sqlite3 *db, size_t commit) {
    double start = bench_now();
    size_t count = tables[0].rows;
    run(db, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < count; i++) {
        sqlite3_int64 e = sqlite3_value_int64(tables[0].values[i * 2]);
        for (size_t t = 0; t < TABLES; t++) {
            insert(db, &tables[t], e);
        }
        if (i % commit == commit - 1) {
            run(db, "COMMIT");
            run(db, "BEGIN IMMEDIATE");
        }
    }
    run(db, "COMMIT");
    return bench_now() - start;
}

int main(int argc, char **argv) {
    size_t commit = argc == 4 ? (size_t)atoi(argv[3]) : 0;
    sqlite3 *from, *to;
    char path[4096];
    if (commit == 0) {
        bench_die("usage: bench_bulk FILE FOLDER COMMIT");
    }
    must(NULL, sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READONLY, NULL));
    snprintf(path, sizeof path, "%s/bulk.db", argv[2]);
    must(NULL, sqlite3_open(path, &to));
    run(to, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-2000; PRAGMA synchronous=FULL;"
            "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
            "PRAGMA journal_size_limit=8388608; PRAGMA journal_mode=WAL");
    copy_schema(from, to);
    for (size_t i = 0; i < TABLES; i++) {
        read_table(from, &tables[i]);
        must(to, sqlite3_prepare_v2(to, tables[i].insert, -1, &tables[i].stmt, NULL));
    }
    printf("%.3f\n", insert_all(to, commit));
    for (size_t i = 0; i < TABLES; i++) {
        sqlite3_finalize(tables[i].stmt);
        for (size_t v = 0; v < tables[i].rows * (size_t)tables[i].columns; v++) {
            sqlite3_value_free(tables[i].values[v]);
        }
        free(tables[i].values);
    }
    sqlite3_close(from);
    sqlite3_close(to);
    return 0;
}
