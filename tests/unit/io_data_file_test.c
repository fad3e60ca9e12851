/* Files that are not what they should be: one clear sentence, and nothing is written to them. */
#include "io_app_db_fixture.h"

#include "../sim/crash_vfs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A file's bytes; *len -1 when there is none. */
static char *slurp(const char *path, long *len) {
    FILE *file = fopen(path, "rb");
    *len = -1;
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    *len = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)*len + 1);
    assert_int_equal(fread(bytes, 1, (size_t)*len, file), (size_t)*len);
    fclose(file);
    return bytes;
}

static void spill(const char *path, const char *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void run_sql(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int count_files(const char *dir) {
    char command[160], text[16] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return atoi(text);
}

/* Opening fails with these words and the path, leaves the file and its folder as they were. */
static void assert_refused(struct fixture *f, const char *words) {
    long before_len, after_len;
    char *before = slurp(f->path, &before_len);
    int files = count_files(f->dir);
    struct inst_app_db *db = NULL;
    assert_int_equal(inst_sqlite_app_db_open(f->path, NULL, &db, &f->err), INST_FAILED);
    assert_null(db);
    assert_string_equal(f->err.type, "data-file");
    if (!strstr(f->err.message, words) || !strstr(f->err.message, f->path)) {
        fail_msg("not about `%s`: %s", words, f->err.message);
    }
    char *after = slurp(f->path, &after_len);
    assert_int_equal(before_len, after_len);
    if (before_len > 0) {
        assert_memory_equal(before, after, (size_t)before_len);
    }
    assert_int_equal(count_files(f->dir), files);
    free(before);
    free(after);
}

static void test_foreign_files(void **state) {
    struct fixture *f = *state;
    close_file(f);
    unlink(f->path);
    run_sql(f->path, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    assert_refused(f, "SQLite file of another program");
    run_sql(f->path, "PRAGMA journal_mode=WAL; PRAGMA application_id=7; PRAGMA user_version=1");
    assert_refused(f, "SQLite file of another program");
    spill(f->path, "Dear diary, ...", 15);
    assert_refused(f, "not a SQLite file");
    char zeros[8192] = {0};
    memcpy(zeros + 4000, "something", 9);
    spill(f->path, zeros, sizeof zeros);
    assert_refused(f, "damaged");
}

static void test_a_newer_file(void **state) {
    struct fixture *f = *state;
    close_file(f);
    run_sql(f->path, "PRAGMA journal_mode=DELETE; PRAGMA user_version=99");
    assert_refused(f, "newer version");
    /* The version may be in the write-ahead log only. */
    run_sql(f->path, "PRAGMA user_version=1; PRAGMA journal_mode=WAL");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_refused(f, "newer version");
}

static void test_a_damaged_file(void **state) {
    struct fixture *f = *state;
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    close_file(f);
    long len;
    char *bytes = slurp(f->path, &len);
    memset(bytes + 100, 0xa5, (size_t)len - 100);
    spill(f->path, bytes, (size_t)len);
    spill(wal, "", 0); /* there or not, it says nothing */
    assert_refused(f, "damaged");
    /* Cut short. */
    free(bytes);
    bytes = calloc(1, 60);
    memcpy(bytes, "SQLite format 3", 16);
    spill(f->path, bytes, 60);
    assert_refused(f, "not a SQLite file");
    free(bytes);
}

static void test_places_where_no_file_can_be(void **state) {
    struct fixture *f = *state;
    close_file(f);
    struct inst_app_db *db = NULL;
    char path[128];
    assert_int_equal(inst_sqlite_app_db_open(f->dir, NULL, &db, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, f->dir));
    snprintf(path, sizeof path, "%s/below/x.db", f->path); /* a file is no folder */
    assert_int_equal(inst_sqlite_app_db_open(path, NULL, &db, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, f->path));
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(inst_sqlite_app_db_open(longest, NULL, &db, &f->err), INST_FAILED);
    assert_int_equal(inst_sqlite_app_db_open("", NULL, &db, &f->err), INST_FAILED);
    struct inst_sqlite_options options = {.is_existing = true};
    snprintf(path, sizeof path, "%s/missing.db", f->dir);
    assert_int_equal(inst_sqlite_app_db_open(path, &options, &db, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, "no such file"));
    assert_int_equal(access(path, F_OK), -1);
}

static void test_an_empty_file_becomes_one(void **state) {
    struct fixture *f = *state;
    close_file(f);
    spill(f->path, "", 0);
    open_file(f, NULL);
    assert_int_equal(inst_attrs_count(f->db->store.attrs), 0);
}

static void test_files_are_private(void **state) {
    struct fixture *f = *state;
    struct stat st;
    char path[160];
    close_file(f);
    mode_t mask = umask(0);
    snprintf(path, sizeof path, "%s/a/b/c.db", f->dir);
    struct inst_app_db *db;
    must(inst_sqlite_app_db_open(path, NULL, &db, &f->err), &f->err);
    must(inst_sqlite_app_db_set_meta(db, "k", "v", 1, &f->err), &f->err);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    strcat(path, "-wal");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/a", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/a/b/c.db-shm", f->dir);
    assert_int_equal(access(path, F_OK), -1);
    db->db_ops->close(db);
}

/* Runs fn in a process of its own, as nobody when we are root; its answer is 0 when all is well. */
static void in_child(struct fixture *f, int (*fn)(struct fixture *f)) {
    pid_t pid = fork();
    if (pid == 0) {
        bool is_root = geteuid() == 0;
        int answer = is_root && (setgid(65534) != 0 || setuid(65534) != 0) ? 99 : fn(f);
        _exit(answer);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int expect_failure(struct fixture *f, const char *path, const char *words) {
    struct inst_app_db *db = NULL;
    if (inst_sqlite_app_db_open(path, NULL, &db, &f->err) != INST_FAILED) {
        return 1;
    }
    if (!strstr(f->err.message, words)) {
        fprintf(stderr, "not about `%s`: %s\n", words, f->err.message);
        return 2;
    }
    return 0;
}

static int open_read_only_file(struct fixture *f) {
    return expect_failure(f, f->path, "cannot be written");
}
static int open_in_read_only_dir(struct fixture *f) {
    char path[128];
    snprintf(path, sizeof path, "%s/new.db", f->dir);
    return expect_failure(f, path, "cannot be made (Permission denied)");
}
static int open_unreadable(struct fixture *f) {
    return expect_failure(f, f->path, "cannot be opened");
}

static void test_read_only_places(void **state) {
    struct fixture *f = *state;
    close_file(f);
    chmod(f->dir, 0555);
    chmod(f->path, 0444);
    in_child(f, open_read_only_file);
    in_child(f, open_in_read_only_dir);
    chmod(f->path, 0000);
    in_child(f, open_unreadable);
    /* A file that may be written in a folder where no log can be made beside it. */
    chmod(f->path, 0666);
    in_child(f, open_read_only_file);
    chmod(f->dir, 0700);
}

static void test_one_process_has_the_file(void **state) {
    struct fixture *f = *state;
    int ready[2], done[2];
    char byte = 0, words[64];
    struct inst_app_db *second = NULL;
    assert_int_equal(inst_sqlite_app_db_open(f->path, NULL, &second, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, "already open in this process"));
    begin(f);
    commit(f);
    close_file(f);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct inst_app_db *db = NULL;
        close(done[1]);
        bool is_open = inst_sqlite_app_db_open(f->path, NULL, &db, NULL) == INST_OK;
        byte = is_open ? 'y' : 'n';
        bool is_told = write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) >= 0;
        _exit(is_open && is_told ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    snprintf(words, sizeof words, "in use by process %d", (int)pid);
    assert_refused(f, words);
    close(done[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(done[0]);
    close(ready[0]);
    close(ready[1]);
    /* Its process died with it open: nothing is in the way. */
    open_file(f, NULL);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

/* Writes notes with large bodies until it fails; how many were committed. */
static uint32_t fill(struct fixture *f, uint32_t from) {
    char *body = malloc(20000);
    memset(body, 'x', 20000);
    struct inst_value v = inst_string(body, 20000);
    enum inst_status status = INST_OK;
    uint32_t i = from;
    for (; status == INST_OK && i < from + 1000; i++) {
        struct inst_uuid id = uuid_of(i);
        uint32_t e;
        bool is_new;
        status = f->db->db_ops->begin(f->db, &f->err);
        if (status == INST_OK) {
            status = f->db->db_ops->make_entity(f->db, &id, &e, &is_new, &f->err);
        }
        if (status == INST_OK) {
            status = f->db->db_ops->put(f->db, e, attr_of(f->db, A_BODY), &v, 0, 1, NULL, &f->err);
        }
        if (status == INST_OK) {
            status = f->db->db_ops->commit(f->db, &f->err);
        } else {
            f->db->db_ops->rollback(f->db);
        }
    }
    free(body);
    assert_int_equal(status, INST_FAILED);
    assert_string_equal(f->err.type, "data-file");
    assert_non_null(strstr(f->err.message, "disk is full"));
    return i - 1 - from;
}

static size_t count_bodies(struct fixture *f) {
    struct inst_scan scan = {.attr = attr_of(f->db, A_BODY)};
    return f->db->store.ops->estimate(&f->db->store, &scan, 100000);
}

static void test_a_full_disk(void **state) {
    struct fixture *f = *state;
    struct inst_sqlite_options options = {.max_pages = 200};
    close_file(f);
    open_file(f, &options);
    uint32_t stored = fill(f, 1);
    assert_true(stored > 10);
    assert_int_equal(count_bodies(f), stored);
    begin(f); /* still good for what fits */
    entity_of(f, 5000);
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_a_disk_that_fills_under_the_log(void **state) {
    struct fixture *f = *state;
    struct crash_vfs *vfs = crash_vfs_new(1);
    struct inst_sqlite_options options = {.vfs = crash_vfs_name(vfs)};
    close_file(f);
    strcpy(f->path, "app.db");
    open_file(f, &options);
    save_attrs(f, fixture_attrs);
    crash_vfs_set_room(vfs, crash_vfs_used(vfs) + 300000);
    uint32_t stored = fill(f, 1);
    assert_true(stored > 5);
    assert_int_equal(count_bodies(f), stored);
    crash_vfs_set_room(vfs, 0);
    begin(f);
    put(f, entity_of(f, 5000), A_BODY, inst_cstring("room again"), 0, 1, NULL);
    commit(f);
    assert_int_equal(count_bodies(f), stored + 1);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    close_file(f);
    open_file(f, &options);
    assert_int_equal(count_bodies(f), stored + 1);
    close_file(f);
    crash_vfs_free(vfs);
}

static void test_the_check_finds_what_is_wrong(void **state) {
    static const char *const damages[][2] = {
        {"DELETE FROM ave WHERE a=2", "lacks a triple"},
        {"INSERT INTO ave VALUES(2,'zzz',1,1)", "no triple"},
        {"UPDATE triples SET v='other' WHERE a=2", "lacks a triple"},
        {"UPDATE triples SET t=t+1 WHERE a=2", "differ in time"},
        {"DELETE FROM ents", "entity that is not there"},
        {"DELETE FROM attrs WHERE row=2", "attr"},
        {"DELETE FROM log WHERE tx_id=1", "gap"},
        {"UPDATE ents SET uuid=x'00'", "without a uuid"},
        {"UPDATE triples SET v=x'7b' WHERE a=3", "no JSON"},
    };
    struct fixture *f = *state;
    begin(f);
    put(f, entity_of(f, 1), A_TITLE, inst_cstring("title"), 0, 1, NULL);
    put(f, entity_of(f, 1), A_BODY, inst_array(NULL, 0), 0, 1, NULL);
    for (int64_t tx_id = 1; tx_id <= 2; tx_id++) {
        struct inst_log_record record = {.tx_id = tx_id, .who = "", .changes = ""};
        must(f->db->db_ops->append_log(f->db, &record, &f->err), &f->err);
    }
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    close_file(f);
    long len;
    char *whole = slurp(f->path, &len);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        spill(f->path, whole, (size_t)len);
        run_sql(f->path, damages[i][0]);
        must(inst_sqlite_app_db_open(f->path, NULL, &f->db, &f->err), &f->err);
        assert_int_equal(inst_sqlite_app_db_check(f->db, &f->err), INST_FAILED);
        if (!strstr(f->err.message, damages[i][1])) {
            fail_msg("%s: %s", damages[i][0], f->err.message);
        }
        close_file(f);
    }
    free(whole);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_foreign_files),
        TEST(test_a_newer_file),
        TEST(test_a_damaged_file),
        TEST(test_places_where_no_file_can_be),
        TEST(test_an_empty_file_becomes_one),
        TEST(test_files_are_private),
        TEST(test_read_only_places),
        TEST(test_one_process_has_the_file),
        TEST(test_a_full_disk),
        TEST(test_a_disk_that_fills_under_the_log),
        TEST(test_the_check_finds_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
