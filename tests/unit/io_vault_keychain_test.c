/* The keychain against a real gnome-keyring-daemon. */
#include "io_keychain_fixture.h"

/* In a process that has not met GLib yet. */
static void test_no_bus(void **state) {
    struct fixture *f = *state;
    int status;
    if (!home)
        skip();
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1);
    pid_t child = fork();
    if (child == 0) {
        struct inst_vault *vault = NULL;
        bool is_refused = inst_vault_open(NULL, &keychain, &vault, &f->err) == INST_FAILED &&
                          strcmp(f->err.type, "vault") == 0 &&
                          strstr(f->err.message, "use a vault file");
        _exit(is_refused ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void test_no_keychain(void **state) {
    struct fixture *f = *state;
    if (!home)
        skip();
    start_bus();
    expect_refusal(f, keychain, "The keychain cannot be reached");
}

static void test_secrets_survive(void **state) {
    struct fixture *f = *state;
    if (!home)
        skip();
    start_keyring("password");
    struct inst_vault *vault = open_vault(f, keychain);
    expect(f, vault, "user", NULL);
    put(f, vault, "user", "{\"id\":\"1\"}");
    put(f, vault, "other", "2");
    expect(f, vault, "user", "{\"id\":\"1\"}");
    put(f, vault, "user", "{\"id\":\"3\"}");
    expect(f, vault, "user", "{\"id\":\"3\"}");
    inst_vault_close(vault);
    vault = open_vault(f, keychain);
    expect(f, vault, "user", "{\"id\":\"3\"}");

    /* The daemon starts anew, under the vault's feet. */
    end(&keyring);
    start_keyring("password");
    expect(f, vault, "user", "{\"id\":\"3\"}");
    expect(f, vault, "other", "2");
    end(&keyring);
    start_keyring("password");
    put(f, vault, "user", NULL);
    put(f, vault, "user", NULL);
    expect(f, vault, "user", NULL);
    expect(f, vault, "other", "2");
    inst_vault_close(vault);
}

/* Locked, and nobody there to be asked: an error, not "nothing there". */
static void test_locked(void **state) {
    struct fixture *f = *state;
    struct inst_secret secret;
    if (!home)
        skip();
    start_keyring("password");
    struct inst_vault *vault = open_vault(f, keychain);
    put(f, vault, "user", "{\"id\":\"1\"}");
    inst_vault_close(vault);
    end(&keyring);
    start_keyring(NULL);
    vault = open_vault(f, keychain);
    assert_int_equal(inst_vault_get(vault, "user", &secret, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "vault");
    assert_non_null(strstr(f->err.message, "locked"));
    assert_null(secret.bytes);
    assert_int_equal(inst_vault_put(vault, "user", "x", 1, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "vault");
    assert_int_equal(inst_vault_put(vault, "user", NULL, 0, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "vault");
    inst_vault_close(vault);
    end(&keyring);
    start_keyring("password");
    vault = open_vault(f, keychain);
    expect(f, vault, "user", "{\"id\":\"1\"}");
    inst_vault_close(vault);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, end_keyring)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_no_bus),
        TEST(test_no_keychain),
        TEST(test_secrets_survive),
        TEST(test_locked),
    };
    return cmocka_run_group_tests(tests, start_all, end_all);
}
