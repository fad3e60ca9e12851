#include "io_vault_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define USER "{\"id\":\"1\",\"refresh_token\":\"t0ken\"}"

static void test_memory(void **state) {
    struct fixture *f = *state;
    struct inst_vault *vault = open_vault(f, (struct inst_vault_config){0});
    expect(f, vault, "a", NULL);
    put(f, vault, "a", USER);
    put(f, vault, "b", "2");
    put(f, vault, "a", "1");
    expect(f, vault, "a", "1");
    put(f, vault, "a", NULL);
    put(f, vault, "never there", NULL);
    expect(f, vault, "a", NULL);
    expect(f, vault, "b", "2");
    inst_vault_close(vault);
    inst_vault_close(NULL);
}

static void test_limits(void **state) {
    struct fixture *f = *state;
    struct inst_vault *vault = open_vault(f, (struct inst_vault_config){0});
    static char long_name[INST_VAULT_MAX_NAME + 2];
    static char big[INST_VAULT_MAX_SECRET + 1];
    struct inst_secret out;
    char name[32];
    memset(long_name, 'n', sizeof long_name - 1);
    assert_int_equal(inst_vault_put(vault, "", "x", 1, &f->err), INST_FAILED);
    assert_int_equal(inst_vault_put(vault, long_name, "x", 1, &f->err), INST_FAILED);
    assert_int_equal(inst_vault_get(vault, long_name, &out, &f->err), INST_FAILED);
    assert_int_equal(inst_vault_put(vault, "a", big, sizeof big, &f->err), INST_FAILED);
    must(inst_vault_put(vault, "a", big, sizeof big - 1, &f->err), &f->err);
    must(inst_vault_put(vault, long_name + 1, "", 0, &f->err), &f->err);
    for (unsigned i = 2; i < INST_VAULT_MAX_ENTRIES; i++) {
        snprintf(name, sizeof name, "name %u", i);
        must(inst_vault_put(vault, name, "x", 1, &f->err), &f->err);
    }
    assert_int_equal(inst_vault_put(vault, "one more", "x", 1, &f->err), INST_FAILED);
    put(f, vault, "name 7", "replacing is fine");
    inst_vault_close(vault);
}

/* ---- files ---- */

static void test_file_by_passphrase(void **state) {
    struct fixture *f = *state;
    struct inst_vault_config config = by_passphrase(f, "correct horse");
    struct inst_vault *vault = open_vault(f, config);
    expect(f, vault, "user", NULL);
    assert_int_equal(access(f->path, F_OK), -1); /* nothing is written before there is something */
    put(f, vault, "user", USER);
    expect(f, vault, "user", USER);
    inst_vault_close(vault);

    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    unsigned char bytes[1024];
    size_t len = read_file(f->path, bytes, sizeof bytes);
    assert_null(memmem(bytes, len, "t0ken", 5));
    assert_null(memmem(bytes, len, "user", 4));

    vault = open_vault(f, config);
    expect(f, vault, "user", USER);
    put(f, vault, "user", NULL);
    put(f, vault, "other", "2");
    inst_vault_close(vault);
    vault = open_vault(f, config);
    expect(f, vault, "user", NULL);
    expect(f, vault, "other", "2");
    inst_vault_close(vault);
}

static void test_file_by_key_file(void **state) {
    struct fixture *f = *state;
    struct inst_vault *vault = open_vault(f, by_key_file(f));
    put(f, vault, "user", USER);
    inst_vault_close(vault);
    struct stat st;
    assert_int_equal(stat(f->key_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    vault = open_vault(f, by_key_file(f));
    expect(f, vault, "user", USER);
    inst_vault_close(vault);
}

static void test_default_cost(void **state) {
    struct fixture *f = *state;
    struct inst_vault_config config = by_passphrase(f, "p");
    config.scrypt_log_n = 0;
    struct inst_vault *vault = open_vault(f, config);
    put(f, vault, "user", USER);
    inst_vault_close(vault);
    unsigned char bytes[1024];
    read_file(f->path, bytes, sizeof bytes);
    assert_int_equal(bytes[10], 15); /* 2^15 * 8 * 128 bytes */
    assert_int_equal(bytes[11], 8);
    assert_int_equal(bytes[12], 3);
    vault = open_vault(f, config);
    expect(f, vault, "user", USER);
    inst_vault_close(vault);
}

/* The same secrets never make the same file: nonces do not repeat. */
static void test_fresh_nonces(void **state) {
    struct fixture *f = *state;
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    unsigned char before[1024], after[1024];
    put(f, vault, "user", USER);
    size_t len = read_file(f->path, before, sizeof before);
    put(f, vault, "user", USER);
    assert_int_equal(read_file(f->path, after, sizeof after), len);
    assert_memory_equal(before + 16, after + 16, 32);     /* salt and check stay */
    assert_memory_not_equal(before + 48, after + 48, 12); /* the nonce does not */
    assert_memory_not_equal(before + 64, after + 64, len - 64);
    inst_vault_close(vault);
}

static void make_vault(struct fixture *f, struct inst_vault_config config) {
    struct inst_vault *vault = open_vault(f, config);
    put(f, vault, "user", USER);
    inst_vault_close(vault);
}

static void test_wrong_keys(void **state) {
    struct fixture *f = *state;
    unsigned char before[1024], after[1024];
    make_vault(f, by_passphrase(f, "right"));
    size_t len = read_file(f->path, before, sizeof before);
    expect_refusal(f, by_passphrase(f, "wrong"), "passphrase is not the one");
    expect_refusal(f, by_passphrase(f, ""), "1 to 4096 bytes");
    struct inst_vault_config both = by_passphrase(f, "right"), neither = both;
    both.key_file = f->key_path;
    neither.passphrase = NULL;
    expect_refusal(f, both, "one of them");
    expect_refusal(f, neither, "one of them");
    /* No key is made beside a vault that it could not open. */
    expect_refusal(f, by_key_file(f), "key file is missing");
    assert_int_equal(access(f->key_path, F_OK), -1);
    char key[65];
    memset(key, 'a', sizeof key);
    key[64] = '\n';
    write_file(f->key_path, key, sizeof key);
    expect_refusal(f, by_key_file(f), "made with a passphrase");
    assert_int_equal(read_file(f->path, after, sizeof after), len);
    assert_memory_equal(before, after, len);
}

static void test_key_files(void **state) {
    struct fixture *f = *state;
    make_vault(f, by_key_file(f));
    char key[80], moved[128];
    memset(key, 'a', sizeof key);
    key[64] = '\n';
    snprintf(moved, sizeof moved, "%s/moved", f->dir);
    rename(f->key_path, moved);
    expect_refusal(f, by_key_file(f), "key file is missing");
    write_file(f->key_path, key, 65);
    expect_refusal(f, by_key_file(f), "key file is not the one");
    write_file(f->key_path, key, 63);
    expect_refusal(f, by_key_file(f), "no key file");
    write_file(f->key_path, key, 80);
    expect_refusal(f, by_key_file(f), "too many");
    key[3] = 'g';
    write_file(f->key_path, key, 65);
    expect_refusal(f, by_key_file(f), "no key file");
    write_file(f->key_path, "", 0);
    expect_refusal(f, by_key_file(f), "no key file");
    rename(moved, f->key_path);
    chmod(f->key_path, 0640);
    expect_refusal(f, by_key_file(f), "chmod 600");
    chmod(f->key_path, 0600);
    struct inst_vault *vault = open_vault(f, by_key_file(f));
    expect(f, vault, "user", USER);
    inst_vault_close(vault);
    expect_refusal(f, by_passphrase(f, "p"), "made with a key file");
}

static void test_permissions(void **state) {
    struct fixture *f = *state;
    make_vault(f, by_passphrase(f, "p"));
    const int modes[] = {0604, 0640, 0602, 0610, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        chmod(f->path, (mode_t)modes[i]);
        expect_refusal(f, by_passphrase(f, "p"), "chmod 600");
    }
    unlink(f->path);
    mkdir(f->path, 0700);
    expect_refusal(f, by_passphrase(f, "p"), "no file");
    rmdir(f->path);
    mkfifo(f->path, 0600);
    expect_refusal(f, by_passphrase(f, "p"), "no file");
    struct inst_vault_config config = by_passphrase(f, "p");
    config.file = "/nowhere/at/all/vault";
    expect_refusal(f, config, "folder cannot be reached");
    config.file = "";
    expect_refusal(f, config, "no name");
}

/* A file that is no vault is left as it is, also by a write. */
static void test_foreign_files(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *part;
    } files[] = {
        {"", 0, "this is no vault"},          {"INSTVLT", 7, "this is no vault"},
        {"INSTVLT\n", 8, "this is no vault"}, {"SQLite format 3", 16, "this is no vault"},
        {"INSTVLT\n\2", 9, "format 2"},       {"INSTVLT\n\1\1", 10, "altered"},
    };
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unsigned char after[64];
        write_file(f->path, files[i].bytes, files[i].len);
        expect_refusal(f, by_passphrase(f, "p"), files[i].part);
        assert_int_equal(inst_vault_put(vault, "user", USER, 5, &f->err), INST_FAILED);
        assert_int_equal(read_file(f->path, after, sizeof after), files[i].len);
        assert_memory_equal(after, files[i].bytes, files[i].len);
    }
    inst_vault_close(vault);
}

/* Every bit of every byte, and every length: opening fails, and no write gets through. */
static void test_altered_files(void **state) {
    struct fixture *f = *state;
    unsigned char bytes[1024] = {0}, after[1024];
    make_vault(f, by_passphrase(f, "p"));
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    size_t len = read_file(f->path, bytes, sizeof bytes);
    assert_true(len > 64 + 16 && len < sizeof bytes);
    for (size_t i = 0; i < len * 8; i++) {
        bytes[i / 8] ^= 1 << i % 8;
        /* A higher cost of scrypt is an alteration like any other, but takes its time. */
        if (i / 8 == 10 && bytes[10] > 10) {
            bytes[i / 8] ^= 1 << i % 8;
            continue;
        }
        write_file(f->path, bytes, len);
        struct inst_vault_config config = by_passphrase(f, "p");
        struct inst_vault *other = NULL;
        if (inst_vault_open(NULL, &config, &other, &f->err) == INST_OK)
            fail_msg("bit %zu may be altered", i);
        assert_string_equal(f->err.type, "vault");
        assert_int_equal(inst_vault_put(vault, "b", "1", 1, &f->err), INST_FAILED);
        assert_int_equal(read_file(f->path, after, sizeof after), len);
        assert_memory_equal(bytes, after, len);
        bytes[i / 8] ^= 1 << i % 8;
    }
    for (size_t cut = 0; cut < len; cut++) {
        write_file(f->path, bytes, cut);
        expect_refusal(f, by_passphrase(f, "p"), f->path);
    }
    write_file(f->path, bytes, len);
    write_file(f->path, bytes, len + 1);
    expect_refusal(f, by_passphrase(f, "p"), "altered");
    write_file(f->path, bytes, len);
    put(f, vault, "b", "1");
    expect(f, vault, "user", USER);
    inst_vault_close(vault);
}

/* A header may not ask for all the memory there is. */
static void test_costs_are_bounded(void **state) {
    struct fixture *f = *state;
    unsigned char bytes[1024];
    make_vault(f, by_passphrase(f, "p"));
    size_t len = read_file(f->path, bytes, sizeof bytes);
    static const unsigned char costs[][3] = {{19, 8, 1}, {63, 8, 1},  {255, 8, 1},
                                             {18, 9, 1}, {15, 17, 1}, {15, 8, 17},
                                             {0, 8, 1},  {15, 0, 1},  {15, 8, 0}};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        memcpy(bytes + 10, costs[i], 3);
        write_file(f->path, bytes, len);
        expect_refusal(f, by_passphrase(f, "p"), "altered");
    }
}

/* Another program may have made the file anew, under the same passphrase. */
static void test_a_file_made_anew(void **state) {
    struct fixture *f = *state;
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    put(f, vault, "user", USER);
    unlink(f->path);
    expect(f, vault, "user", NULL);
    struct inst_vault *other = open_vault(f, by_passphrase(f, "p"));
    put(f, other, "other", "2");
    inst_vault_close(other);
    expect(f, vault, "other", "2");
    put(f, vault, "user", "again");
    inst_vault_close(vault);
    vault = open_vault(f, by_passphrase(f, "p"));
    expect(f, vault, "user", "again");
    expect(f, vault, "other", "2");
    inst_vault_close(vault);
}

static void test_links_and_leftovers(void **state) {
    struct fixture *f = *state;
    char link_path[96], left[128];
    struct stat st;
    snprintf(link_path, sizeof link_path, "%s/link", f->dir);
    snprintf(left, sizeof left, "%s.new", f->path);
    make_vault(f, by_passphrase(f, "p"));
    assert_int_equal(symlink(f->path, link_path), 0);
    write_file(left, "half a vaul", 11); /* of a write that a crash cut short */
    struct inst_vault_config config = by_passphrase(f, "p");
    config.file = link_path;
    struct inst_vault *vault = open_vault(f, config);
    put(f, vault, "b", "2");
    inst_vault_close(vault);
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(access(left, F_OK), -1);
    vault = open_vault(f, by_passphrase(f, "p"));
    expect(f, vault, "b", "2");
    expect(f, vault, "user", USER);
    inst_vault_close(vault);
}

static void test_a_folder_that_cannot_be_written(void **state) {
    struct fixture *f = *state;
    if (geteuid() == 0) {
        /* Root may write anywhere; what stands in the way must be something else. */
        char in_the_way[128], inside[160];
        snprintf(in_the_way, sizeof in_the_way, "%s.new", f->path);
        snprintf(inside, sizeof inside, "%s/x", in_the_way);
        assert_int_equal(mkdir(in_the_way, 0700), 0);
        assert_int_equal(mkdir(inside, 0700), 0);
    } else {
        assert_int_equal(chmod(f->dir, 0500), 0);
    }
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    assert_int_equal(inst_vault_put(vault, "user", USER, 5, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "vault");
    assert_non_null(strstr(f->err.message, "cannot be made"));
    assert_int_equal(access(f->path, F_OK), -1);
    inst_vault_close(vault);
    chmod(f->dir, 0700);
}

/* ---- several writers, and a crash ---- */

#define WRITERS 4
#define WRITES 20

struct writer {
    struct fixture *f;
    int number;
    bool has_failed;
};

static void *write_many(void *ctx) {
    struct writer *writer = ctx;
    struct inst_vault_config config = by_passphrase(writer->f, "p");
    struct inst_vault *vault = NULL;
    char name[32];
    writer->has_failed = inst_vault_open(NULL, &config, &vault, NULL) != INST_OK;
    for (int i = 0; i < WRITES && !writer->has_failed; i++) {
        snprintf(name, sizeof name, "%d-%d", writer->number, i);
        writer->has_failed = inst_vault_put(vault, name, "x", 1, NULL) != INST_OK;
    }
    inst_vault_close(vault);
    return NULL;
}

static void test_several_writers(void **state) {
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    char name[32];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(writers[i].has_failed);
    }
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    for (int i = 0; i < WRITERS * WRITES; i++) {
        snprintf(name, sizeof name, "%d-%d", i / WRITES, i % WRITES);
        expect(f, vault, name, "x");
    }
    inst_vault_close(vault);
}

static void write_until_killed(struct fixture *f, int told) {
    struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
    for (int i = 1;; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        if (inst_vault_put(vault, "n", text, strlen(text), NULL) != INST_OK ||
            write(told, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static void test_killed_while_writing(void **state) {
    struct fixture *f = *state;
    for (int round = 1; round <= 5; round++) {
        int ends[2], last = 0, status;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            write_until_killed(f, ends[1]);
        close(ends[1]);
        for (int i = 0; i < 7 * round; i++)
            assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        while (read(ends[0], &last, sizeof last) == sizeof last) {
        }
        close(ends[0]);
        struct inst_secret secret;
        struct inst_vault *vault = open_vault(f, by_passphrase(f, "p"));
        must(inst_vault_get(vault, "n", &secret, &f->err), &f->err);
        int kept = atoi(secret.bytes);
        inst_secret_free(&secret);
        assert_true(kept == last || kept == last + 1);
        put(f, vault, "n", "0"); /* no lock outlives its process */
        inst_vault_close(vault);
    }
}

/* ---- later ---- */

struct told {
    int count;
    bool has_failed;
};

static void note(void *ctx, const struct inst_err *err) {
    struct told *told = ctx;
    told->count++;
    told->has_failed = err != NULL;
}

static void test_put_later(void **state) {
    struct fixture *f = *state;
    struct inst_loop *loop;
    struct inst_vault *vault;
    struct inst_vault_config config = by_passphrase(f, "p");
    struct inst_secret secret;
    struct told told = {0};
    must(inst_loop_new(&loop, &f->err), &f->err);
    must(inst_vault_open(loop, &config, &vault, &f->err), &f->err);
    must(inst_vault_put_later(vault, "a", "1", 1, note, &told, &f->err), &f->err);
    must(inst_vault_put_later(vault, "b", "2", 1, note, &told, &f->err), &f->err);
    must(inst_vault_put_later(vault, "a", NULL, 0, note, &told, &f->err), &f->err);
    assert_int_equal(inst_vault_put_later(vault, "", "x", 1, note, &told, &f->err), INST_FAILED);
    assert_true(inst_vault_is_busy(vault));
    assert_int_equal(inst_vault_get(vault, "a", &secret, &f->err), INST_FAILED);
    assert_int_equal(told.count, 0);
    inst_loop_run(loop); /* ends once everything was told */
    assert_int_equal(told.count, 3);
    assert_false(told.has_failed);
    assert_false(inst_vault_is_busy(vault));
    expect(f, vault, "a", NULL);
    expect(f, vault, "b", "2");

    chmod(f->path, 0644);
    must(inst_vault_put_later(vault, "a", "1", 1, note, &told, &f->err), &f->err);
    inst_loop_run(loop);
    assert_int_equal(told.count, 4);
    assert_true(told.has_failed);
    chmod(f->path, 0600);

    /* Closing waits for all of it, and tells nobody. */
    must(inst_vault_put_later(vault, "c", "3", 1, note, &told, &f->err), &f->err);
    must(inst_vault_put_later(vault, "d", "4", 1, note, &told, &f->err), &f->err);
    inst_vault_close(vault);
    assert_false(inst_loop_is_held(loop));
    inst_loop_free(loop);
    assert_int_equal(told.count, 4);
    vault = open_vault(f, config);
    expect(f, vault, "c", "3");
    expect(f, vault, "d", "4");
    inst_vault_close(vault);
}

/* ---- nothing is left in memory ---- */

/* Behind some padding, because allocators write into the start of what is freed. Nothing here
 * holds the needle itself. */
#define PADDING 40
#define NEEDLE 24
#define SECRET (PADDING + NEEDLE)
static void make_secret(char out[SECRET + 1], int seed) {
    memset(out, '.', PADDING);
    for (int i = 0; i < NEEDLE; i++)
        out[PADDING + i] = (char)('A' + (i * 7 + seed) % 26);
    out[SECRET] = '\0';
}

__attribute__((no_sanitize("address"))) static bool is_in(const char *from, const char *to,
                                                          int seed) {
    for (const char *at = from; at + NEEDLE <= to; at++) {
        int i = 0;
        while (i < NEEDLE && at[i] == (char)('A' + (i * 7 + seed) % 26))
            i++;
        if (i == NEEDLE)
            return true;
    }
    return false;
}

/* Is it anywhere in the heap? The sanitizer keeps freed memory as it was, which serves here. */
static bool is_in_memory(int seed) {
    char line[512], rights[8], name[256];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        name[0] = '\0';
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, rights, name) < 3 ||
            strncmp(rights, "rw", 2) != 0 || to - from > (64ul << 20) ||
            (name[0] && strcmp(name, "[heap]") != 0))
            continue;
        found = is_in((const char *)from, (const char *)to, seed);
    }
    fclose(maps);
    return found;
}

static void use_secrets(struct fixture *f) {
    char secret[SECRET + 1], passphrase[SECRET + 1];
    struct inst_secret out;
    make_secret(secret, 3);
    make_secret(passphrase, 11);
    struct inst_vault *vault = open_vault(f, by_passphrase(f, passphrase));
    must(inst_vault_put(vault, "user", secret, SECRET, &f->err), &f->err);
    must(inst_vault_get(vault, "user", &out, &f->err), &f->err);
    assert_true(is_in_memory(3));
    assert_true(is_in_memory(11));
    inst_secret_free(&out);
    must(inst_vault_put(vault, "user", "other", 5, &f->err), &f->err);
    assert_false(is_in_memory(3));
    inst_vault_close(vault);
    assert_false(is_in_memory(11));
}

static void test_secrets_are_wiped(void **state) {
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload"))
        skip(); /* looking at freed memory is what valgrind forbids */
    use_secrets(*state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_memory),
        TEST(test_limits),
        TEST(test_file_by_passphrase),
        TEST(test_file_by_key_file),
        TEST(test_default_cost),
        TEST(test_fresh_nonces),
        TEST(test_wrong_keys),
        TEST(test_key_files),
        TEST(test_permissions),
        TEST(test_foreign_files),
        TEST(test_altered_files),
        TEST(test_costs_are_bounded),
        TEST(test_a_file_made_anew),
        TEST(test_links_and_leftovers),
        TEST(test_a_folder_that_cannot_be_written),
        TEST(test_several_writers),
        TEST(test_killed_while_writing),
        TEST(test_put_later),
        TEST(test_secrets_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
