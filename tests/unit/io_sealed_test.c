/*
 * The user's record beside a storage, where no keychain answers: in an encrypted file, or in memory
 * with a warning; never in the storage's own files.
 */
#include "io_sealed_fixture.h"

static void each(void **state, void (*test)(struct keep *k)) {
    struct fixture *f = *state;
    static const char *const kinds[] = {"file", "sqlite"};
    for (int i = 0; i < 2; i++) {
        struct keep k;
        char command[96];
        keep_begin(&k, f, kinds[i]);
        test(&k);
        keep_end(&k);
        snprintf(command, sizeof command, "rm -rf %s/keep*", f->dir);
        assert_int_equal(system(command), 0);
    }
}

/* ---- as it should be ---- */

static void survives(struct keep *k) {
    keep_open(k);
    keep_expect(k, "currentUser", NULL);
    keep_write(k, "other", "{\"a\":1}");
    keep_write(k, "currentUser", ANN);
    keep_warned(k, NULL);
    keep_expect(k, "currentUser", ANN);
    keep_close(k);
    assert_false(on_disk(k->f, TOKEN));
    assert_true(is_private(k->beside, ".vault") && is_private(k->beside, ".key"));

    keep_open(k);
    keep_expect(k, "currentUser", ANN);
    keep_expect(k, "currentUser", ANN);
    keep_expect(k, "other", "{\"a\":1}");
    keep_write(k, "currentUser", BOB);
    keep_close(k);

    keep_open(k);
    keep_expect(k, "currentUser", BOB);
    keep_write(k, "currentUser", NULL);
    keep_close(k);
    keep_open(k);
    keep_expect(k, "currentUser", NULL);
    keep_warned(k, NULL);
    keep_close(k);
    assert_false(on_disk(k->f, TOKEN));
    assert_false(on_disk(k->f, "keptIn"));
}
static void test_survives(void **state) { each(state, survives); }

/* Among others of one write, and what was set aside as no user. */
static void in_company(struct keep *k) {
    struct inst_disk_pair pairs[] = {
        {"first", "1", 1},
        {"currentUser", ANN, strlen(ANN)},
        {"__aside_currentUser", "{" TOKEN, strlen("{" TOKEN)},
        {"last", "2", 1},
    };
    keep_open(k);
    must(k->storage->ops->write(k->storage, "kv", pairs, 4, true, &k->f->err), &k->f->err);
    keep_close(k);
    assert_false(on_disk(k->f, TOKEN));
    keep_open(k);
    keep_expect(k, "currentUser", ANN);
    keep_expect(k, "__aside_currentUser", "{" TOKEN);
    keep_expect(k, "first", "1");
    keep_expect(k, "last", "2");
}
static void test_in_company(void **state) { each(state, in_company); }

/* ---- from plain text ---- */

static void moves(struct keep *k) {
    keep_open_plain(k);
    keep_write(k, "currentUser", ANN);
    keep_write(k, "other", "{}");
    keep_close(k);
    assert_true(on_disk(k->f, TOKEN));
    keep_open(k);
    keep_warned(k, NULL);
    keep_close(k); /* also when nobody asks for it */
    assert_false(on_disk(k->f, TOKEN));
    keep_open(k);
    keep_expect(k, "currentUser", ANN);
    keep_expect(k, "other", "{}");
}
static void test_moves(void **state) { each(state, moves); }

static void write_beside(struct keep *k, const char *tail, const char *text, mode_t mode) {
    char path[300];
    snprintf(path, sizeof path, "%s%s", k->beside, tail);
    write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, mode), 0);
}

static void stays(struct keep *k) {
    keep_open_plain(k);
    keep_write(k, "currentUser", ANN);
    keep_close(k);
    write_beside(k, ".vault", "this is something else", 0600);
    keep_open(k);
    keep_warned(k, "cannot be moved");
    keep_expect(k, "currentUser", ANN);
    keep_close(k);
    assert_true(on_disk(k->f, TOKEN));
    assert_true(on_disk(k->f, "this is something else"));
}
static void test_stays_when_it_cannot_be_moved(void **state) { each(state, stays); }

/* ---- what must not be taken for nobody ---- */

/* Twice is not at all. */
static void flip(const char *head, const char *tail, size_t at) {
    unsigned char bytes[4096];
    char path[300];
    snprintf(path, sizeof path, "%s%s", head, tail);
    size_t len = read_file(path, bytes, sizeof bytes);
    assert_true(at < len);
    bytes[at] ^= 1;
    write_file(path, bytes, len);
}

static void sign_in(struct keep *k) {
    keep_open(k);
    keep_write(k, "currentUser", ANN);
    keep_close(k);
}

static void altered(struct keep *k) {
    sign_in(k);
    flip(k->beside, ".vault", 70);
    keep_refuses(k, "user.vault");
    keep_refuses(k, "user.vault");
    flip(k->beside, ".vault", 70);
    keep_open(k);
    keep_expect(k, "currentUser", ANN);
}
static void test_altered_file(void **state) { each(state, altered); }

static void other_key(struct keep *k) {
    char key[300], away[310];
    sign_in(k);
    snprintf(key, sizeof key, "%s.key", k->beside);
    snprintf(away, sizeof away, "%s.away", key);
    assert_int_equal(rename(key, away), 0);
    keep_refuses(k, "user.key");
    write_beside(k, ".key", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
                 0600);
    keep_refuses(k, "user.vault");
    assert_int_equal(rename(away, key), 0);
    assert_int_equal(chmod(key, 0644), 0);
    keep_refuses(k, "chmod 600");
    assert_int_equal(chmod(key, 0600), 0);
    keep_open(k);
    keep_expect(k, "currentUser", ANN);
}
static void test_other_key(void **state) { each(state, other_key); }

/* Somebody removed it: known, and said. */
static void removed(struct keep *k) {
    char path[300];
    sign_in(k);
    snprintf(path, sizeof path, "%s.vault", k->beside);
    assert_int_equal(unlink(path), 0);
    keep_open(k);
    keep_warned(k, "nobody is signed in");
    keep_expect(k, "currentUser", NULL);
}
static void test_removed_file(void **state) { each(state, removed); }

/* ---- memory ---- */

static void in_memory(struct keep *k) {
    keep_open(k);
    keep_write(k, "currentUser", NULL);
    write_beside(k, ".vault", "this is something else", 0600);
    keep_write(k, "currentUser", ANN);
    keep_warned(k, "in memory only");
    keep_close(k);
    assert_false(on_disk(k->f, TOKEN));
    assert_true(on_disk(k->f, "this is something else"));
    keep_open(k);
    keep_expect(k, "currentUser", NULL);
}
static void test_memory(void **state) { each(state, in_memory); }

/* ---- vaults of the program's own ---- */

static void move_to_own(struct keep *k, struct inst_vault *vault) {
    keep_open_plain(k);
    must(inst_storage_move_user(k->storage, vault, "own", &k->f->err), &k->f->err);
    assert_null(k->storage->warning);
    keep_close(k);
    assert_false(on_disk(k->f, TOKEN));
    assert_false(on_disk(k->f, "keptIn"));
}

static void own_vault(struct keep *k) {
    struct inst_vault *vault = open_vault(k->f, by_passphrase(k->f, "p"));
    put(k->f, vault, "own", NULL);
    move_to_own(k, vault); /* nobody */
    expect(k->f, vault, "own", NULL);

    keep_open_plain(k);
    keep_write(k, "currentUser", ANN);
    keep_close(k);
    move_to_own(k, vault);
    expect(k->f, vault, "own", "{\"id\":\"ann\",\"refresh_token\":\"" TOKEN "\"}");

    put(k->f, vault, "own", NULL);
    sign_in(k);
    move_to_own(k, vault);
    expect(k->f, vault, "own", "{\"id\":\"ann\",\"refresh_token\":\"" TOKEN "\"}");

    /* Who is in the vault already stays. */
    put(k->f, vault, "own", "{\"id\":\"eve\"}");
    sign_in(k);
    move_to_own(k, vault);
    expect(k->f, vault, "own", "{\"id\":\"eve\"}");
    inst_vault_close(vault);
}
static void test_own_vault(void **state) { each(state, own_vault); }

/* Nothing goes before it is where it should be. */
static void own_vault_fails(struct keep *k) {
    struct inst_vault *vault = open_vault(k->f, by_passphrase(k->f, "p"));
    put(k->f, vault, "own", NULL);
    sign_in(k);
    flip(k->beside, ".vault", 70);
    keep_open_plain(k);
    assert_int_equal(inst_storage_move_user(k->storage, vault, "own", &k->f->err), INST_FAILED);
    assert_string_equal(k->f->err.type, "vault");
    inst_err_clear(&k->f->err);
    keep_close(k);
    flip(k->beside, ".vault", 70);
    keep_open(k);
    keep_expect(k, "currentUser", ANN);
    inst_vault_close(vault);
}
static void test_own_vault_fails(void **state) { each(state, own_vault_fails); }

/* ---- notes that nobody wrote ---- */

static void strange(struct keep *k) {
    static const char *const texts[] = {
        "{\"keptIn\":\"cellar\",\"name\":\"x\"}",
        "{\"keptIn\":7,\"name\":\"x\"}",
        "{\"keptIn\":\"file\",\"name\":\"\"}",
        "{\"keptIn\":\"file\"}",
        "{\"keptIn\":\"file\",\"name\":",
        "[]",
        "not JSON at all",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        keep_open_plain(k);
        keep_write(k, "currentUser", texts[i]);
        keep_close(k);
        keep_open(k);
        keep_expect(k, "currentUser", texts[i]); /* for the reactor to set aside */
        keep_close(k);
    }
    keep_open_plain(k);
    keep_write(k, "currentUser", "{\"keptIn\":\"file\",\"name\":\"not there\"}");
    keep_close(k);
    keep_open(k);
    keep_warned(k, "nobody is signed in");
    keep_expect(k, "currentUser", NULL);
}
static void test_strange_notes(void **state) { each(state, strange); }

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_survives),      TEST(test_in_company),
        TEST(test_moves),         TEST(test_stays_when_it_cannot_be_moved),
        TEST(test_altered_file),  TEST(test_other_key),
        TEST(test_removed_file),  TEST(test_memory),
        TEST(test_own_vault),     TEST(test_own_vault_fails),
        TEST(test_strange_notes),
    };
    setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:", 1); /* no keychain answers */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A libsecret that was loaded in vain leaves what GLib never frees. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libgio-2.0\nleak:libglib-2.0\n"; }
