/*
 * bench_bare FILE FOLDER GROUP SECONDS: how many transactions a second SQLite alone commits.
 *
 * FILE is an app's data file that `bench_load write` has filled. Its very rows are inserted again
 * into the same tables with the same indexes in a new file in FOLDER, GROUP transactions a commit,
 * opened as core/io/sqlite_file.c opens it (WAL, synchronous=FULL, one exclusive connection). The
 * rows stand ready in memory and nothing is read or checked. The first second is not counted, or
 * the first quarter of the transactions when that is less. Prints the transactions a second.
 */
#include "bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP_SECONDS 1.0
enum { MAX_COLUMNS = 5, MAX_SQL = 512 };

/* One table's rows, and how they are inserted. */
struct table {
    const char *select; /* in the order of transactions */
    const char *insert;
    int columns;
    size_t each; /* rows of one transaction */
    sqlite3_value **values;
    size_t rows, cap;
    sqlite3_stmt *stmt;
};

static struct table tables[] = {
    {.select = "SELECT e,uuid FROM ents ORDER BY e",
     .insert = "INSERT INTO ents VALUES(?1,?2)",
     .columns = 2,
     .each = 1},
    {.select = "SELECT e,a,ref,v,t FROM triples ORDER BY e,a",
     .insert = "INSERT INTO triples(e,a,ref,v,t) VALUES(?1,?2,?3,?4,?5)",
     .columns = 5,
     .each = 3},
    {.select = "SELECT a,k,e,t FROM ave ORDER BY e,a",
     .insert = "INSERT INTO ave(a,k,e,t) VALUES(?1,?2,?3,?4)",
     .columns = 4,
     .each = 3},
    {.select = "SELECT tx_id,at,event,who,changes FROM log WHERE event NOT NULL ORDER BY tx_id",
     .insert = "INSERT INTO log(tx_id,at,event,who,changes) VALUES(?1,?2,?3,?4,?5)",
     .columns = 5,
     .each = 1},
};
enum { TABLES = sizeof tables / sizeof tables[0] };

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

static void forget_table(struct table *table) {
    sqlite3_finalize(table->stmt);
    for (size_t i = 0; i < table->rows * (size_t)table->columns; i++) {
        sqlite3_value_free(table->values[i]);
    }
    free(table->values);
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

static void insert(sqlite3 *db, struct table *table, size_t transaction) {
    for (size_t i = 0; i < table->each; i++) {
        size_t row = transaction * table->each + i;
        for (int c = 0; c < table->columns; c++) {
            sqlite3_bind_value(table->stmt, c + 1,
                               table->values[row * (size_t)table->columns + (size_t)c]);
        }
        must(db, sqlite3_step(table->stmt));
        sqlite3_reset(table->stmt);
    }
}

static double commit_all(sqlite3 *db, size_t transactions, size_t group, double seconds) {
    double now = bench_now();
    double warm = now + WARM_UP_SECONDS;
    double start = 0;
    size_t counted = 0;
    for (size_t at = 0; at + group <= transactions; at += group) {
        if (start == 0 && (now >= warm || at >= transactions / 4)) {
            start = now;
        }
        if (start > 0 && now >= start + seconds) {
            break;
        }
        run(db, "BEGIN IMMEDIATE");
        for (size_t i = 0; i < group; i++) {
            for (size_t t = 0; t < TABLES; t++) {
                insert(db, &tables[t], at + i);
            }
        }
        run(db, "COMMIT");
        now = bench_now();
        counted += start > 0 ? group : 0;
    }
    if (counted < group * 10) {
        bench_die("too few transactions in the data file to measure anything");
    }
    return (double)counted / (now - start);
}

int main(int argc, char **argv) {
    size_t group = argc == 5 ? (size_t)atoi(argv[3]) : 0;
    double seconds = argc == 5 ? atof(argv[4]) : 0;
    sqlite3 *from;
    sqlite3 *to;
    char path[4096];
    if (group == 0 || seconds <= 0) {
        bench_die("usage: bench_bare FILE FOLDER GROUP SECONDS");
    }
    must(NULL, sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READONLY, NULL));
    snprintf(path, sizeof path, "%s/bare.db", argv[2]);
    must(NULL, sqlite3_open(path, &to));
    run(to, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-2000; PRAGMA synchronous=FULL;"
            "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
            "PRAGMA journal_size_limit=8388608; PRAGMA journal_mode=WAL");
    copy_schema(from, to);
    for (size_t i = 0; i < TABLES; i++) {
        read_table(from, &tables[i]);
        must(to, sqlite3_prepare_v2(to, tables[i].insert, -1, &tables[i].stmt, NULL));
    }
    size_t transactions = tables[0].rows;
    for (size_t i = 0; i < TABLES; i++) {
        if (tables[i].rows != transactions * tables[i].each) {
            bench_die("%s: not the rows that bench_load writes", argv[1]);
        }
    }
    printf("%.1f\n", commit_all(to, transactions, group, seconds));
    for (size_t i = 0; i < TABLES; i++) {
        forget_table(&tables[i]);
    }
    sqlite3_close(from);
    sqlite3_close(to);
    return 0;
}
