/* Contents of files on the disk: what is kept, what is left after a crash or on a full disk. */
#include "io/file_sweep.h"

#include "base/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "aaaaaaaa-0000-4000-8000-000000000001"
#define AT1 "bbbbbbbb-0000-4000-8000-000000000001"
#define AT2 "bbbbbbbb-0000-4000-8000-000000000002"
#define AT3 "cccccccc-0000-4000-8000-000000000003"

struct world {
    char dir[64];
    char root[96];
    struct inst_env env;
    int64_t now;
    unsigned random;
    struct inst_file_store *store;
    struct inst_err err;
};

static int64_t world_now(void *ctx) { return ((struct world *)ctx)->now; }

static void world_random(void *ctx, uint8_t *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(w->random = w->random * 1103515245 + 12345);
}

/* ---- a disk that fails ---- */

/* Changes to the disk until it fails with `fault`, or until the process is gone (fault 0). */
static int steps_left = -1;
static int fault;
static size_t write_most; /* bytes of one write; 0: all */
static int64_t room_left = -1;

static bool fails(void) {
    if (steps_left < 0 || steps_left-- > 0)
        return false;
    if (fault == 0)
        _exit(42);
    steps_left = 0;
    errno = fault;
    return true;
}

static ssize_t test_write(int fd, const void *bytes, size_t len) {
    if (fails())
        return -1;
    return write(fd, bytes, write_most && len > write_most ? write_most : len);
}
static int test_sync(int fd) { return fails() ? -1 : fsync(fd); }
static int test_link(const char *from, const char *to) { return fails() ? -1 : link(from, to); }
static int64_t test_room(const char *path) {
    (void)path;
    return room_left;
}
static const struct inst_file_disk disk = {test_write, test_sync, test_link, test_room};

static void whole_disk(void) {
    steps_left = -1;
    write_most = 0;
    room_left = -1;
}

/* ---- helpers ---- */

#define must(status)                                                                               \
    do {                                                                                           \
        if ((status) != INST_OK)                                                                   \
            fail_msg("%s", w->err.message);                                                        \
    } while (0)

static void reopen(struct world *w) {
    inst_file_store_close(w->store);
    must(inst_file_store_open(w->root, &disk, &w->env, &w->store, &w->err));
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    w->now = (int64_t)time(NULL) * 1000;
    w->random = 1;
    w->env = (struct inst_env){.ctx = w, .now_ms = world_now, .random = world_random};
    strcpy(w->dir, "/dev/shm/instant-file-store-XXXXXX");
    if (!mkdtemp(w->dir)) {
        strcpy(w->dir, "/tmp/instant-file-store-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
    }
    snprintf(w->root, sizeof w->root, "%s/files", w->dir);
    whole_disk();
    reopen(w);
    *state = w;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static int teardown(void **state) {
    struct world *w = *state;
    whole_disk();
    inst_file_store_close(w->store);
    inst_err_clear(&w->err);
    nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    return 0;
}

static enum inst_status put_at(struct world *w, const char *location, const char *text,
                               struct inst_file_stored *out) {
    struct inst_file_writer *writer;
    struct inst_file_stored stored;
    size_t len = strlen(text), half = len / 2;
    inst_err_clear(&w->err);
    enum inst_status status = inst_file_writer_new(w->store, APP, len, &writer, &w->err);
    if (status != INST_OK)
        return status;
    status = inst_file_writer_add(writer, text, half, &w->err);
    if (status == INST_OK)
        status = inst_file_writer_add(writer, text + half, len - half, &w->err);
    if (status == INST_OK)
        status = inst_file_writer_finish(writer, location, out ? out : &stored, &w->err);
    inst_file_writer_free(writer);
    return status;
}

static void put(struct world *w, const char *location, const char *text) {
    must(put_at(w, location, text, NULL));
}

/* What is at a location; "(none)". */
static const char *at(struct world *w, const char *location) {
    static char text[256];
    int fd;
    uint64_t size;
    must(inst_file_store_read(w->store, APP, location, &fd, &size, &w->err));
    if (fd < 0)
        return "(none)";
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    assert_int_equal((uint64_t)n, size);
    text[n] = '\0';
    return text;
}

static int counted;
static int count_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)path;
    (void)where;
    counted += kind == FTW_F && S_ISREG(st->st_mode);
    return 0;
}

/* Names of files below ROOT/<folder>. */
static int files_in(struct world *w, const char *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", w->root, folder);
    counted = 0;
    nftw(path, count_entry, 16, FTW_PHYS);
    return counted;
}

/* ---- keeping ---- */

static void test_keeps_contents_by_their_hash(void **state) {
    struct world *w = *state;
    struct inst_file_stored stored;
    char wanted[INST_SHA256_HEX + 1], path[PATH_MAX];
    struct stat st;
    assert_string_equal(at(w, AT1), "(none)");
    must(put_at(w, AT1, "hello", &stored));
    inst_sha256_hex("hello", 5, wanted);
    assert_string_equal(stored.sha256, wanted);
    assert_int_equal(stored.size, 5);
    assert_string_equal(at(w, AT1), "hello");
    put(w, AT2, "hello");
    put(w, AT3, "");
    assert_string_equal(at(w, AT2), "hello");
    assert_string_equal(at(w, AT3), "");
    assert_int_equal(files_in(w, APP "/content"), 2);
    assert_int_equal(files_in(w, APP "/at"), 3);
    assert_int_equal(files_in(w, "incoming"), 0);
    snprintf(path, sizeof path, "%s/%s/content/%.2s/%s", w->root, APP, wanted, wanted);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 3);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(w->root, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    reopen(w);
    assert_string_equal(at(w, AT1), "hello");
    must(inst_file_store_remove_app(w->store, APP, &w->err));
    assert_string_equal(at(w, AT1), "(none)");
    assert_int_equal(files_in(w, APP), 0);
}

/* Nothing that a client may say becomes a path. */
static void test_takes_only_uuids_for_names(void **state) {
    struct world *w = *state;
    static const char *const names[] = {"",      "..",     "../../etc/passwd", "a/b",
                                        AT1 "/", AT1 "\n", "/etc/passwd",      "bbbbbbbb"};
    struct inst_file_writer *writer;
    struct inst_file_stored stored;
    int fd;
    uint64_t size;
    put(w, AT1, "x");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        must(inst_file_store_read(w->store, APP, names[i], &fd, &size, &w->err));
        assert_int_equal(fd, -1);
        must(inst_file_store_read(w->store, names[i], AT1, &fd, &size, &w->err));
        assert_int_equal(fd, -1);
        assert_int_equal(inst_file_writer_new(w->store, names[i], 0, &writer, &w->err),
                         INST_FAILED);
        must(inst_file_writer_new(w->store, APP, 0, &writer, &w->err));
        assert_int_equal(inst_file_writer_finish(writer, names[i], &stored, &w->err), INST_FAILED);
        inst_file_writer_free(writer);
        must(inst_file_store_remove_app(w->store, names[i], &w->err));
    }
    /* Another spelling is the same name. */
    must(inst_file_store_read(w->store, "AAAAAAAA-0000-4000-8000-000000000001",
                              "BBBBBBBB-0000-4000-8000-000000000001", &fd, &size, &w->err));
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(files_in(w, "incoming"), 0);
}

static void test_has_one_key(void **state) {
    struct world *w = *state;
    uint8_t first[INST_FILE_KEY], again[INST_FILE_KEY];
    char path[PATH_MAX];
    struct stat st;
    must(inst_file_store_key(w->store, first, &w->err));
    must(inst_file_store_key(w->store, again, &w->err));
    assert_memory_equal(first, again, sizeof first);
    reopen(w);
    must(inst_file_store_key(w->store, again, &w->err));
    assert_memory_equal(first, again, sizeof first);
    snprintf(path, sizeof path, "%s/key", w->root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(truncate(path, 5), 0);
    reopen(w);
    assert_int_equal(inst_file_store_key(w->store, again, &w->err), INST_FAILED);
    assert_non_null(strstr(w->err.message, "not a key"));
}

static void test_a_temporary_store_leaves_nothing(void **state) {
    struct world *w = *state;
    struct inst_file_store *kept = w->store;
    setenv("TMPDIR", w->dir, 1);
    must(inst_file_store_open(NULL, NULL, &w->env, &w->store, &w->err));
    assert_string_equal(at(w, AT1), "(none)");
    put(w, AT1, "hello");
    assert_string_equal(at(w, AT1), "hello");
    inst_file_store_close(w->store);
    w->store = kept;
    unsetenv("TMPDIR");
    DIR *dir = opendir(w->dir);
    struct dirent *entry;
    while ((entry = readdir(dir)))
        assert_null(strstr(entry->d_name, "instant-files-"));
    closedir(dir);
}

/* A content that was cut short behind our back is not what later uploads share. */
static void test_mends_a_short_content(void **state) {
    struct world *w = *state;
    char hash[INST_SHA256_HEX + 1], path[PATH_MAX];
    put(w, AT1, "hello");
    inst_sha256_hex("hello", 5, hash);
    snprintf(path, sizeof path, "%s/%s/content/%.2s/%s", w->root, APP, hash, hash);
    assert_int_equal(truncate(path, 2), 0);
    put(w, AT2, "hello");
    assert_string_equal(at(w, AT2), "hello");
    assert_string_equal(at(w, AT1), "he");
}

/* ---- a disk that fails ---- */

static void test_short_writes(void **state) {
    struct world *w = *state;
    write_most = 1;
    put(w, AT1, "one byte after the other");
    assert_string_equal(at(w, AT1), "one byte after the other");
}

static void test_without_hard_links(void **state) {
    struct world *w = *state;
    fault = EPERM;
    steps_left = 3; /* two writes, a sync, then every link */
    put(w, AT1, "hello");
    whole_disk();
    assert_string_equal(at(w, AT1), "hello");
    assert_int_equal(files_in(w, APP "/content"), 0);
    put(w, AT2, "hello");
    assert_string_equal(at(w, AT2), "hello");
    fault = EMLINK; /* the content has as many names as the file system gives one */
    steps_left = 4;
    put(w, AT3, "hello");
    whole_disk();
    assert_string_equal(at(w, AT3), "hello");
}

static void test_full_disk(void **state) {
    struct world *w = *state;
    static const int faults[] = {ENOSPC, EDQUOT, EIO};
    for (size_t i = 0; i < 3; i++) {
        for (int n = 0; n < 3; n++) { /* either write, the sync */
            fault = faults[i];
            steps_left = n;
            assert_int_equal(put_at(w, AT1, "hello", NULL), INST_FAILED);
            whole_disk();
            assert_string_equal(w->err.type, faults[i] == EIO ? "data-file" : "storage-full");
            assert_int_equal(w->err.status, faults[i] == EIO ? 500 : 507);
            if (faults[i] != EIO) /* told to clients: without paths */
                assert_null(strstr(w->err.message, w->dir));
            assert_string_equal(at(w, AT1), "(none)");
            assert_int_equal(files_in(w, ""), 0);
        }
    }
    put(w, AT1, "hello");
}

static void test_says_at_once_that_there_is_no_room(void **state) {
    struct world *w = *state;
    struct inst_file_writer *writer;
    room_left = INST_FILE_RESERVE + 100;
    assert_int_equal(inst_file_writer_new(w->store, APP, 101, &writer, &w->err), INST_FAILED);
    assert_string_equal(w->err.type, "storage-full");
    must(inst_file_writer_new(w->store, APP, 100, &writer, &w->err));
    inst_file_writer_free(writer);
    room_left = 5;
    assert_int_equal(inst_file_writer_new(w->store, APP, 1, &writer, &w->err), INST_FAILED);
    assert_int_equal(files_in(w, ""), 0);
}

/* Killed before the n-th change of the disk, for every n: afterwards all of it is there, or nothing
 * but what the next start and the sweep take away. */
static void test_crash_at_every_step(void **state) {
    struct world *w = *state;
    put(w, AT2, "older");
    for (int n = 0;; n++) {
        pid_t child = fork();
        if (child == 0) {
            fault = 0;
            steps_left = n;
            enum inst_status status = put_at(w, AT1, "hello", NULL);
            _exit(status == INST_OK ? 0 : 1);
        }
        int ended;
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFEXITED(ended));
        reopen(w);
        assert_int_equal(files_in(w, "incoming"), 0);
        assert_string_equal(at(w, AT2), "older");
        if (WEXITSTATUS(ended) == 0) {
            assert_string_equal(at(w, AT1), "hello");
            assert_true(n >= 4); /* two writes, a sync, a link at least */
            return;
        }
        assert_int_equal(WEXITSTATUS(ended), 42);
        assert_string_equal(at(w, AT1), "(none)");
        assert_true(n < 20);
    }
}

/* ---- the sweep ---- */

static const char *named; /* locations with a row */
static int is_named(void *ctx, const char *app, const char *location) {
    (void)ctx;
    assert_string_equal(app, APP);
    return named ? strstr(named, location) != NULL : -1;
}

static void sweep(struct world *w) {
    struct inst_file_sweep *sweep;
    struct inst_file_sweep_config config = {.is_named = is_named};
    must(inst_file_sweep_new(w->store, &config, &sweep, &w->err));
    int steps = 0;
    while (inst_file_sweep_step(sweep))
        assert_true(++steps < 100);
    assert_false(inst_file_sweep_step(sweep));
    inst_file_sweep_free(sweep);
}

#define HOUR (60ll * 60 * 1000)
#define DAY (24 * HOUR)

static void test_sweeps_what_no_row_names(void **state) {
    struct world *w = *state;
    put(w, AT1, "shared");
    put(w, AT2, "shared");
    put(w, AT3, "alone");
    named = AT1;
    sweep(w); /* too young to be judged: the row may be on its way */
    assert_int_equal(files_in(w, APP "/at"), 3);
    w->now += 2 * HOUR;
    named = NULL; /* nobody can tell */
    sweep(w);
    assert_int_equal(files_in(w, APP "/at"), 3);
    named = AT1;
    sweep(w);
    assert_int_equal(files_in(w, APP "/at"), 1);
    assert_int_equal(files_in(w, APP "/gone"), 2);
    assert_int_equal(files_in(w, APP "/content"), 2);
    assert_string_equal(at(w, AT1), "shared");
    w->now += INST_FILE_GONE_MS - DAY;
    sweep(w);
    assert_int_equal(files_in(w, APP "/gone"), 2);
    w->now += 2 * DAY;
    sweep(w);
    assert_int_equal(files_in(w, APP "/gone"), 0);
    assert_int_equal(files_in(w, APP "/content"), 1);
    assert_string_equal(at(w, AT1), "shared");
    assert_string_equal(at(w, AT2), "(none)");
}

/* A data file that comes back from a backup names them again. */
static void test_gives_back_what_is_named_again(void **state) {
    struct world *w = *state;
    put(w, AT1, "first");
    put(w, AT2, "second");
    w->now += 2 * HOUR;
    named = "";
    sweep(w);
    assert_int_equal(files_in(w, APP "/gone"), 2);
    assert_string_equal(at(w, AT1), "first"); /* asked for: back at once */
    assert_int_equal(files_in(w, APP "/gone"), 1);
    w->now += INST_FILE_GONE_MS + DAY;
    named = AT1 AT2;
    sweep(w);
    assert_int_equal(files_in(w, APP "/gone"), 0);
    assert_string_equal(at(w, AT2), "second");
}

static void test_sweeps_in_slices_and_leaves_strangers(void **state) {
    struct world *w = *state;
    char location[INST_UUID_TEXT + 1], path[PATH_MAX];
    for (int i = 0; i < 300; i++) {
        snprintf(location, sizeof location, "%02x000000-0000-4000-8000-%012x", i % 7, i);
        put(w, location, location);
    }
    snprintf(path, sizeof path, "%s/%s/at/00/README", w->root, APP);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/other", w->root);
    mkdir(path, 0700);
    w->now += 2 * HOUR;
    named = "";
    struct inst_file_sweep *swept;
    struct inst_file_sweep_config config = {.is_named = is_named};
    must(inst_file_sweep_new(w->store, &config, &swept, &w->err));
    int gone = 0, steps = 0;
    while (inst_file_sweep_step(swept)) {
        int now = files_in(w, APP "/gone");
        assert_true(now - gone <= INST_FILE_SWEEP_SLICE);
        gone = now;
        steps++;
    }
    inst_file_sweep_free(swept);
    assert_true(steps >= 300 / INST_FILE_SWEEP_SLICE);
    assert_int_equal(files_in(w, APP "/gone"), 300);
    assert_int_equal(files_in(w, APP "/at"), 1);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- contents that are elsewhere ---- */

struct elsewhere {
    char keys[256], removed[256];
    uint64_t size;
    bool is_away;
};

static enum inst_status put_elsewhere(void *ctx, const char *key, const char *path, uint64_t size,
                                      struct inst_err *err) {
    struct elsewhere *to = ctx;
    struct stat st;
    if (to->is_away)
        return inst_err_set(err, "data-file", 500, "away");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal((uint64_t)st.st_size, size);
    strcat(to->keys, key);
    to->size = size;
    return INST_OK;
}

static void remove_elsewhere(void *ctx, const char *app, const char *location, const char *path) {
    struct elsewhere *to = ctx;
    assert_string_equal(app, APP);
    strcat(to->removed, location);
    if (!to->is_away)
        unlink(path);
}

static void sweep_elsewhere(struct world *w, struct elsewhere *to) {
    struct inst_file_sweep *sweep;
    struct inst_file_sweep_config config = {
        .ctx = to, .is_named = is_named, .remove = remove_elsewhere};
    must(inst_file_sweep_new(w->store, &config, &sweep, &w->err));
    while (inst_file_sweep_step(sweep))
        ;
    inst_file_sweep_free(sweep);
}

static void test_contents_elsewhere(void **state) {
    struct world *w = *state;
    struct elsewhere to = {0};
    struct inst_file_remote remote = {.ctx = &to, .put = put_elsewhere};
    char key[INST_FILE_KEY_TEXT + 1];
    put(w, AT1, "here");
    inst_file_store_set_remote(w->store, &remote);
    put(w, AT2, "there");
    assert_string_equal(to.keys, APP "/" AT2);
    assert_int_equal(to.size, 5);
    assert_int_equal(files_in(w, "incoming"), 0);
    assert_int_equal(files_in(w, APP "/remote"), 1);
    assert_false(inst_file_store_is_remote(w->store, APP, AT1, key));
    assert_string_equal(at(w, AT1), "here");
    assert_true(inst_file_store_is_remote(w->store, APP, AT2, key));
    assert_string_equal(key, APP "/" AT2);
    assert_string_equal(at(w, AT2), "(none)");
    to.is_away = true;
    assert_int_equal(put_at(w, AT3, "nowhere", NULL), INST_FAILED);
    assert_int_equal(files_in(w, "incoming"), 0);
    assert_int_equal(files_in(w, APP "/remote"), 2); /* perhaps it got there all the same */

    w->now += 2 * HOUR;
    named = AT1;
    sweep_elsewhere(w, &to);
    assert_int_equal(files_in(w, APP "/gone-remote"), 2);
    assert_true(inst_file_store_is_remote(w->store, APP, AT2, key)); /* asked for: back at once */
    assert_int_equal(files_in(w, APP "/gone-remote"), 1);
    named = AT1 AT2;
    w->now += INST_FILE_GONE_MS + DAY;
    sweep_elsewhere(w, &to); /* cannot be deleted now */
    assert_string_equal(to.removed, AT3);
    to.is_away = false;
    sweep(w); /* nobody who could */
    assert_int_equal(files_in(w, APP "/gone-remote"), 1);
    sweep_elsewhere(w, &to);
    assert_string_equal(to.removed, AT3 AT3);
    assert_int_equal(files_in(w, APP "/gone-remote"), 0);
    assert_int_equal(files_in(w, APP "/remote"), 1);
    assert_int_equal(files_in(w, APP "/at"), 1);
}

static void test_sweeps_nothing_without_files(void **state) {
    struct world *w = *state;
    named = "";
    sweep(w);
    assert_int_equal(access(w->root, F_OK), -1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keeps_contents_by_their_hash),
        TEST(test_takes_only_uuids_for_names),
        TEST(test_has_one_key),
        TEST(test_a_temporary_store_leaves_nothing),
        TEST(test_mends_a_short_content),
        TEST(test_short_writes),
        TEST(test_without_hard_links),
        TEST(test_full_disk),
        TEST(test_says_at_once_that_there_is_no_room),
        TEST(test_crash_at_every_step),
        TEST(test_sweeps_what_no_row_names),
        TEST(test_gives_back_what_is_named_again),
        TEST(test_sweeps_in_slices_and_leaves_strangers),
        TEST(test_contents_elsewhere),
        TEST(test_sweeps_nothing_without_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
