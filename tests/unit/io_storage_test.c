/*
 * The storages on real files: what is written is there, whoever looks and whatever else is there;
 * one client at a time; what is not ours is set aside; a full disk is said.
 */
#include "base/uuid.h"
#include "io/sqlite_file.h"
#include "io/storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define OTHER_APP "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7f"

struct fixture {
    char dir[64];
    char spec[128];
    bool is_sqlite;
    struct inst_loop *loop;
    struct inst_storage *storage;
    struct inst_err err;
};

static void open_it(struct fixture *f) {
    if (inst_storage_open(f->loop, f->spec, APP, &f->storage, &f->err) != INST_OK) {
        fail_msg("%s", f->err.message);
    }
}

static void close_it(struct fixture *f) {
    f->storage->ops->close(f->storage);
    f->storage = NULL;
}

static int set_up(void **state, bool is_sqlite) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->is_sqlite = is_sqlite;
    snprintf(f->dir, sizeof(f->dir), "/tmp/instant-storage-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->spec, sizeof(f->spec), is_sqlite ? "sqlite:%s/keep.db" : "file:%s/keep", f->dir);
    assert_int_equal(inst_loop_new(&f->loop, NULL), INST_OK);
    open_it(f);
    *state = f;
    return 0;
}

static int set_up_folder(void **state) { return set_up(state, false); }
static int set_up_sqlite(void **state) { return set_up(state, true); }

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    if (f->storage) {
        close_it(f);
    }
    inst_loop_free(f->loop);
    inst_err_clear(&f->err);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* ---- short forms ---- */

static enum inst_status put(struct fixture *f, const char *store, const char *key,
                            const char *value) {
    struct inst_disk_pair pair = {key, value, value ? strlen(value) : 0};
    return f->storage->ops->write(f->storage, store, &pair, 1, true, &f->err);
}

/* The text, "" when there is none; to be freed. */
static char *get(struct fixture *f, const char *store, const char *key) {
    struct inst_buf buf;
    bool is_there;
    inst_buf_init(&buf);
    if (f->storage->ops->load(f->storage, store, key, &buf, &is_there, &f->err) != INST_OK) {
        fail_msg("%s", f->err.message);
    }
    assert_true(is_there == (buf.len > 0));
    inst_buf_add(&buf, "", 0);
    char *text = inst_buf_take(&buf, NULL);
    return text ? text : strdup("");
}

static void check(struct fixture *f, const char *store, const char *key, const char *expected) {
    char *text = get(f, store, key);
    assert_string_equal(text, expected);
    free(text);
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each with a comma behind it. */
static void check_keys(struct fixture *f, const char *store, const char *expected) {
    struct inst_buf keys, all;
    const char *sorted[64];
    size_t count = 0;
    inst_buf_init(&keys);
    inst_buf_init(&all);
    if (f->storage->ops->list(f->storage, store, &keys, &f->err) != INST_OK) {
        fail_msg("%s", f->err.message);
    }
    for (size_t i = 0; i < keys.len; i += strlen(keys.data + i) + 1) {
        sorted[count++] = keys.data + i;
    }
    qsort(sorted, count, sizeof(*sorted), compare);
    for (size_t i = 0; i < count; i++) {
        inst_buf_addf(&all, "%s,", sorted[i]);
    }
    assert_string_equal(all.data ? all.data : "", expected);
    inst_buf_free(&keys);
    inst_buf_free(&all);
}

static void check_warning(struct fixture *f, const char *part) {
    assert_non_null(f->storage->warning);
    if (!strstr(f->storage->warning, part)) {
        fail_msg("%s", f->storage->warning);
    }
    free(f->storage->warning);
    f->storage->warning = NULL;
}

/* Names in the folder that hold this text; a write-ahead log goes with its file. */
static int count_files(const char *dir, const char *part) {
    DIR *d = opendir(dir);
    struct dirent *entry;
    int count = 0;
    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        count += strstr(entry->d_name, part) && !strstr(entry->d_name, "-wal");
    }
    closedir(d);
    return count;
}

/* ---- both ---- */

static void test_round_trip(void **state) {
    struct fixture *f = *state;
    check(f, "kv", "a", "");
    assert_int_equal(put(f, "kv", "a", "1"), INST_OK);
    assert_int_equal(put(f, "querySubs", "a", "other"), INST_OK);
    check(f, "kv", "a", "1");
    assert_int_equal(put(f, "kv", "a", "22"), INST_OK);
    struct inst_disk_pair pairs[] = {
        {"b", "2", 1}, {"a", NULL, 0}, {"gone", NULL, 0}, {"c", "3", 1}};
    assert_int_equal(f->storage->ops->write(f->storage, "kv", pairs, 4, false, &f->err), INST_OK);
    close_it(f);
    open_it(f);
    check(f, "kv", "a", "");
    check(f, "kv", "b", "2");
    check(f, "querySubs", "a", "other");
    check_keys(f, "kv", "b,c,");
    check_keys(f, "querySubs", "a,");
    check_keys(f, "syncSubs", "");
}

static void test_odd_keys(void **state) {
    struct fixture *f = *state;
    static const char *const keys[] = {"..", "../../etc/passwd", "a/b", "é ✓",  "%41",
                                       ".",  "A.json",           "~",   "a\nb", "x.tmp"};
    char value[8];
    size_t count = sizeof(keys) / sizeof(keys[0]);
    for (size_t i = 0; i < count; i++) {
        snprintf(value, sizeof(value), "%zu", i + 1);
        assert_int_equal(put(f, "kv", keys[i], value), INST_OK);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(value, sizeof(value), "%zu", i + 1);
        check(f, "kv", keys[i], value);
    }
    check_keys(f, "kv", "%41,.,..,../../etc/passwd,A.json,a\nb,a/b,x.tmp,~,é ✓,");
}

static void test_large(void **state) {
    struct fixture *f = *state;
    size_t len = 5 << 20;
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + i % 26);
    }
    text[len] = '\0';
    assert_int_equal(put(f, "kv", "big", text), INST_OK);
    check(f, "kv", "big", text);
    free(text);
}

static void test_apps_are_apart(void **state) {
    struct fixture *f = *state;
    struct inst_storage *other;
    assert_int_equal(put(f, "kv", "a", "1"), INST_OK);
    assert_int_equal(inst_storage_open(f->loop, f->spec, OTHER_APP, &other, &f->err), INST_OK);
    struct inst_storage *mine = f->storage;
    f->storage = other;
    check(f, "kv", "a", "");
    assert_int_equal(put(f, "kv", "a", "other"), INST_OK);
    f->storage = mine;
    other->ops->close(other);
    check(f, "kv", "a", "1");
}

/* A second client of the same app would send the same queue again. */
static void test_one_client(void **state) {
    struct fixture *f = *state;
    struct inst_storage *second;
    assert_int_equal(inst_storage_open(f->loop, f->spec, APP, &second, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "storage-failed");
    assert_non_null(strstr(f->err.message, "in use by another client"));
    close_it(f);
    open_it(f);
}

/* Another process hears who has it; when that one is killed it is free. */
static void test_one_process(void **state) {
    struct fixture *f = *state;
    int ready[2];
    char byte = 0;
    close_it(f);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct inst_loop *loop;
        struct inst_storage *storage;
        bool is_open = inst_loop_new(&loop, NULL) == INST_OK &&
                       inst_storage_open(loop, f->spec, APP, &storage, NULL) == INST_OK;
        if (write(ready[1], is_open ? "y" : "n", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    char who[32];
    snprintf(who, sizeof(who), "process %d", (int)child);
    assert_int_equal(inst_storage_open(f->loop, f->spec, APP, &f->storage, &f->err), INST_FAILED);
    if (!strstr(f->err.message, who)) {
        fail_msg("%s", f->err.message);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    open_it(f);
    check(f, "kv", "a", "");
}

/* Files cannot grow: the write fails as a whole, and what was there stays. */
static void test_full_disk(void **state) {
    struct fixture *f = *state;
    struct rlimit before, none;
    size_t len = 1 << 20;
    char *big = malloc(len + 1);
    assert_non_null(big);
    memset(big, 'x', len);
    big[len] = '\0';
    assert_int_equal(put(f, "kv", "a", "small"), INST_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    none = (struct rlimit){200 << 10, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct inst_disk_pair pairs[] = {{"b", "new", 3}, {"a", big, len}};
    enum inst_status status = f->storage->ops->write(f->storage, "kv", pairs, 2, true, &f->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    free(big);
    assert_int_equal(status, INST_FAILED);
    assert_string_equal(f->err.type, "storage-failed");
    check(f, "kv", "a", "small");
    check(f, "kv", "b", "");
    check_keys(f, "kv", "a,");
    assert_int_equal(put(f, "kv", "b", "again"), INST_OK);
    check(f, "kv", "b", "again");
}

static void check_mode(const char *path, mode_t mode) {
    struct stat st;
    if (stat(path, &st) != 0) {
        fail_msg("%s is not there", path);
    }
    assert_int_equal(st.st_mode & 0777, mode);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ---- files ---- */

static void test_folder_files(void **state) {
    struct fixture *f = *state;
    char path[512], dir[256];
    snprintf(dir, sizeof(dir), "%s/keep/" APP "/kv", f->dir);
    mode_t mask = umask(0);
    assert_int_equal(put(f, "kv", "user", "{}"), INST_OK);
    umask(mask);
    snprintf(path, sizeof(path), "%s/user.json", dir);
    check_mode(path, 0600);
    check_mode(dir, 0700);
    /* what is not ours is neither listed nor touched; what a crash left goes */
    snprintf(path, sizeof(path), "%s/notes.txt", dir);
    write_text(path, "mine");
    snprintf(path, sizeof(path), "%s/other.tmp", dir);
    write_text(path, "half");
    check_keys(f, "kv", "user,");
    assert_int_equal(count_files(dir, ".tmp"), 0);
    assert_int_equal(count_files(dir, "notes"), 1);
    char key[400];
    memset(key, 'k', sizeof(key));
    key[399] = '\0';
    assert_int_equal(put(f, "kv", key, "1"), INST_FAILED);
    assert_non_null(strstr(f->err.message, "too long for a file"));
}

/* A folder or a link in the place of a file. */
static void test_folder_foreign(void **state) {
    struct fixture *f = *state;
    char path[512], dir[256], target[256];
    snprintf(dir, sizeof(dir), "%s/keep/" APP "/kv", f->dir);
    snprintf(path, sizeof(path), "%s/a.json", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    check(f, "kv", "a", "");
    check_warning(f, "is set aside");
    snprintf(target, sizeof(target), "%s/secret", f->dir);
    write_text(target, "secret");
    assert_int_equal(symlink(target, path), 0);
    check(f, "kv", "a", "");
    check_warning(f, "is set aside");
    assert_int_equal(put(f, "kv", "a", "1"), INST_OK);
    check(f, "kv", "a", "1");
    assert_int_equal(count_files(dir, "aside"), 2);
    snprintf(path, sizeof(path), "%s/b.tmp", dir);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(put(f, "kv", "b", "1"), INST_FAILED); /* never through a link */
    FILE *file = fopen(target, "r");
    char text[16] = {0};
    assert_int_equal(fread(text, 1, sizeof(text) - 1, file), 6);
    fclose(file);
    assert_string_equal(text, "secret");
}

static void test_folder_cannot(void **state) {
    struct fixture *f = *state;
    char spec[512], path[256];
    struct inst_storage *storage;
    snprintf(path, sizeof(path), "%s/file", f->dir);
    write_text(path, "x");
    snprintf(spec, sizeof(spec), "file:%s", path);
    assert_int_equal(inst_storage_open(f->loop, spec, APP, &storage, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, path));
    assert_int_equal(inst_storage_open(f->loop, "file:", APP, &storage, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "param-malformed");
    assert_int_equal(inst_storage_open(f->loop, "disk", APP, &storage, &f->err), INST_FAILED);
    assert_int_equal(inst_storage_open(f->loop, f->spec, "../..", &storage, &f->err), INST_FAILED);
    assert_int_equal(inst_storage_open(f->loop, "memory", APP, &storage, &f->err), INST_OK);
    assert_null(storage);
}

/* ---- SQLite ---- */

static void db_path(struct fixture *f, char out[256]) { snprintf(out, 256, "%s/keep.db", f->dir); }

static void test_sqlite_file(void **state) {
    struct fixture *f = *state;
    char path[256];
    db_path(f, path);
    assert_int_equal(put(f, "kv", "a", "1"), INST_OK);
    check_mode(path, 0600);
    strcat(path, "-wal");
    check_mode(path, 0600);
}

/* Another program's file, one that is no database, one of a newer version, a damaged one. */
static void test_sqlite_foreign(void **state) {
    struct fixture *f = *state;
    char path[256];
    db_path(f, path);
    for (int kind = 0; kind < 4; kind++) {
        assert_int_equal(put(f, "kv", "a", "1"), INST_OK);
        close_it(f);
        if (kind == 0) {
            write_text(path, "This is a letter to somebody. It is longer than a header, because a "
                             "header has a hundred bytes, and so has this.");
        } else if (kind == 1) {
            unlink(path);
            sqlite3 *db;
            assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
            assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
            sqlite3_close(db);
        } else if (kind == 2) {
            sqlite3 *db;
            assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
            assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=9", NULL, NULL, NULL),
                             SQLITE_OK);
            sqlite3_close(db);
        } else {
            FILE *file = fopen(path, "r+");
            assert_non_null(file);
            fseek(file, 100, SEEK_SET); /* the tree of the schema */
            for (int i = 0; i < 3000; i++) {
                fputc(0xee, file);
            }
            fclose(file);
        }
        open_it(f);
        check_warning(f, "is set aside");
        check(f, "kv", "a", "");
        assert_int_equal(count_files(f->dir, "aside"), kind + 1);
    }
}

/* Found damaged only when it is read. */
static void test_sqlite_damaged_inside(void **state) {
    struct fixture *f = *state;
    char path[256], key[16];
    db_path(f, path);
    char *text = malloc(20001);
    assert_non_null(text);
    memset(text, 'x', 20000);
    text[20000] = '\0';
    for (int i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(put(f, "kv", key, text), INST_OK);
    }
    free(text);
    close_it(f);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    for (long at = 4096; at < size; at += 4096) { /* all pages but the first */
        fseek(file, at, SEEK_SET);
        for (int i = 0; i < 200; i++) {
            fputc(0xee, file);
        }
    }
    fclose(file);
    open_it(f);
    assert_null(f->storage->warning);
    check(f, "kv", "k7", "");
    check_warning(f, "the file is damaged");
    assert_true(f->storage->is_anew);
    check_keys(f, "kv", "");
    assert_int_equal(put(f, "kv", "k7", "new"), INST_OK);
    close_it(f);
    open_it(f);
    check(f, "kv", "k7", "new");
    assert_int_equal(count_files(f->dir, "aside"), 1);
}

/* One file by two of its names is one connection. */
static void test_sqlite_names(void **state) {
    struct fixture *f = *state;
    char spec[256];
    struct inst_storage *other;
    snprintf(spec, sizeof(spec), "sqlite:%s/../%s/keep.db", f->dir, f->dir + 5);
    assert_int_equal(inst_storage_open(f->loop, spec, OTHER_APP, &other, &f->err), INST_OK);
    other->ops->close(other);
    assert_int_equal(inst_storage_open(f->loop, "sqlite:/proc/none/x.db", APP, &other, &f->err),
                     INST_FAILED);
    assert_string_equal(f->err.type, "storage-failed");
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, set_up_folder, tear_down),                               \
        cmocka_unit_test_setup_teardown(test, set_up_sqlite, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOTH(test_round_trip),
        BOTH(test_odd_keys),
        BOTH(test_large),
        BOTH(test_apps_are_apart),
        BOTH(test_one_client),
        BOTH(test_one_process),
        BOTH(test_full_disk),
        cmocka_unit_test_setup_teardown(test_folder_files, set_up_folder, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_foreign, set_up_folder, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_cannot, set_up_folder, tear_down),
        cmocka_unit_test_setup_teardown(test_sqlite_file, set_up_sqlite, tear_down),
        cmocka_unit_test_setup_teardown(test_sqlite_foreign, set_up_sqlite, tear_down),
        cmocka_unit_test_setup_teardown(test_sqlite_damaged_inside, set_up_sqlite, tear_down),
        cmocka_unit_test_setup_teardown(test_sqlite_names, set_up_sqlite, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
