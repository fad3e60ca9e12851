#include "io_vault_fixture.h"

#include "oom.h"

/* One life of a vault; whatever it reports, the file is one that can be opened. */
static enum inst_status live(struct inst_vault_config config, struct inst_err *err) {
    struct inst_vault *vault = NULL;
    struct inst_secret secret = {0};
    enum inst_status status = inst_vault_open(NULL, &config, &vault, err);
    if (status == INST_OK)
        status = inst_vault_put(vault, "user", "new", 3, err);
    if (status == INST_OK)
        status = inst_vault_put(vault, "other", "2", 1, err);
    if (status == INST_OK)
        status = inst_vault_get(vault, "user", &secret, err);
    if (status == INST_OK)
        status = inst_vault_put(vault, "other", NULL, 0, err);
    inst_secret_free(&secret);
    inst_vault_close(vault);
    return status;
}

static void each_allocation(struct fixture *f, struct inst_vault_config config) {
    struct inst_vault *vault = open_vault(f, config);
    put(f, vault, "user", "old");
    inst_vault_close(vault);
    for (long n = 0;; n++) {
        oom_after(n);
        enum inst_status status = live(config, &f->err);
        oom_off();
        if (status == INST_OK) {
            assert_true(n > 5);
            break;
        }
        assert_int_equal(status, INST_NOMEM);
        inst_err_clear(&f->err);
        struct inst_secret secret;
        vault = open_vault(f, config);
        must(inst_vault_get(vault, "user", &secret, &f->err), &f->err);
        assert_non_null(secret.bytes);
        inst_secret_free(&secret);
        inst_vault_close(vault);
    }
}

static void test_passphrase(void **state) {
    struct fixture *f = *state;
    each_allocation(f, by_passphrase(f, "p"));
}

static void test_key_file(void **state) {
    struct fixture *f = *state;
    each_allocation(f, by_key_file(f));
}

static void test_memory(void **state) {
    struct fixture *f = *state;
    for (long n = 0;; n++) {
        oom_after(n);
        enum inst_status status = live((struct inst_vault_config){0}, &f->err);
        oom_off();
        if (status == INST_OK)
            break;
        assert_int_equal(status, INST_NOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_passphrase),
        TEST(test_key_file),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
