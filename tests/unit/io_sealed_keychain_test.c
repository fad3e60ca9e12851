/* The user's record of a storage in a real keychain, and what happens when that is not there. */
#include "io_keychain_fixture.h"
#include "io_sealed_fixture.h"

static void sign_in(struct keep *k, const char *who) {
    keep_open(k);
    keep_write(k, "currentUser", who);
    keep_warned(k, NULL);
    keep_close(k);
}

/* No test before it: GLib has one bus for a process. */
static void test_kept(void **state) {
    struct keep k;
    if (!home)
        skip();
    start_bus();
    start_keyring("password");
    keep_begin(&k, *state, "file");
    sign_in(&k, ANN);
    assert_false(on_disk(k.f, TOKEN));
    assert_false(has_file(k.beside, ".vault"));
    assert_true(on_disk(k.f, "keychain"));
    keep_open(&k);
    keep_expect(&k, "currentUser", ANN);
    keep_write(&k, "currentUser", BOB);
    keep_close(&k);
    keep_open(&k);
    keep_expect(&k, "currentUser", BOB);
    keep_write(&k, "currentUser", NULL);
    keep_close(&k);
    keep_open(&k);
    keep_expect(&k, "currentUser", NULL);
    keep_warned(&k, NULL);
    keep_end(&k);
}

static void test_moved_from_plain(void **state) {
    struct keep k;
    if (!home)
        skip();
    start_keyring("password");
    keep_begin(&k, *state, "sqlite");
    keep_open_plain(&k);
    keep_write(&k, "currentUser", ANN);
    keep_close(&k);
    keep_open(&k);
    keep_warned(&k, NULL);
    keep_close(&k);
    assert_false(on_disk(k.f, TOKEN));
    keep_open(&k);
    keep_expect(&k, "currentUser", ANN);
    keep_end(&k);
}

/* Two storages of one app have a user each. */
static void test_two_storages(void **state) {
    struct keep a, b;
    if (!home)
        skip();
    start_keyring("password");
    keep_begin(&a, *state, "file");
    keep_begin(&b, *state, "sqlite");
    snprintf(b.spec, sizeof b.spec, "sqlite:%s/another", b.f->dir);
    sign_in(&a, ANN);
    sign_in(&b, BOB);
    keep_open(&a);
    keep_expect(&a, "currentUser", ANN);
    keep_open(&b);
    keep_expect(&b, "currentUser", BOB);
    keep_end(&a);
    keep_end(&b);
}

/* At a start: nobody is signed out by it. */
static void test_missing_at_start(void **state) {
    struct keep k;
    if (!home)
        skip();
    start_keyring("password");
    keep_begin(&k, *state, "file");
    sign_in(&k, ANN);
    end(&keyring);
    keep_refuses(&k, "keychain");
    keep_refuses(&k, "keychain");
    assert_false(has_file(k.beside, ".vault"));
    start_keyring(NULL);
    keep_refuses(&k, "locked");
    end(&keyring);
    start_keyring("password");
    keep_open(&k);
    keep_expect(&k, "currentUser", ANN);
    keep_end(&k);
}

/* While the program runs: the file takes over, and keeps it when the keychain is back. */
static void test_disappears(void **state) {
    struct keep k;
    if (!home)
        skip();
    start_keyring("password");
    keep_begin(&k, *state, "file");
    keep_open(&k);
    keep_write(&k, "currentUser", ANN);
    keep_warned(&k, NULL);
    end(&keyring);
    keep_write(&k, "currentUser", BOB);
    keep_warned(&k, "encrypted file from now on");
    keep_write(&k, "currentUser", BOB);
    keep_warned(&k, NULL);
    keep_close(&k);
    assert_false(on_disk(k.f, TOKEN));
    keep_open(&k);
    keep_expect(&k, "currentUser", BOB);
    keep_close(&k);
    start_keyring("password");
    keep_open(&k);
    keep_expect(&k, "currentUser", BOB);
    keep_end(&k);
}

/* Signing out needs no keychain; that its entry stays is said. */
static void test_disappears_before_signing_out(void **state) {
    struct keep k;
    if (!home)
        skip();
    start_keyring("password");
    keep_begin(&k, *state, "file");
    keep_open(&k);
    keep_write(&k, "currentUser", ANN);
    end(&keyring);
    keep_write(&k, "currentUser", NULL);
    keep_warned(&k, "could not be removed");
    keep_close(&k);
    start_keyring("password");
    keep_open(&k);
    keep_expect(&k, "currentUser", NULL);
    keep_warned(&k, NULL);
    keep_end(&k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, end_keyring)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_kept),         TEST(test_moved_from_plain),
        TEST(test_two_storages), TEST(test_missing_at_start),
        TEST(test_disappears),   TEST(test_disappears_before_signing_out),
    };
    return cmocka_run_group_tests(tests, start_all, end_all);
}
