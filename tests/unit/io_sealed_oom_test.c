/* Memory runs out anywhere while a user is kept beside a storage: the user is there afterwards, and
 * never in plain text where it was not before. */
#include "io_sealed_fixture.h"

#include "oom.h"

/* An open storage, as it was before. */
static enum inst_status seal(struct keep *k, struct inst_err *err) {
    struct inst_storage *inner = k->storage;
    k->storage = NULL;
    return inst_storage_seal(inner, APP, &k->storage, err);
}

static enum inst_status write_user(struct keep *k, struct inst_err *err) {
    struct inst_disk_pair pairs[] = {{"other", "1", 1}, {"currentUser", BOB, strlen(BOB)}};
    return k->storage->ops->write(k->storage, "kv", pairs, 2, true, err);
}

static void start(struct keep *k, void **state, bool is_plain) {
    keep_begin(k, *state, "file");
    if (is_plain)
        keep_open_plain(k);
    else
        keep_open(k);
    keep_write(k, "currentUser", ANN);
    keep_close(k);
}

static void test_opening(void **state) {
    struct keep k;
    start(&k, state, false);
    for (long n = 0;; n++) {
        keep_open_plain(&k);
        oom_after(n);
        enum inst_status status = seal(&k, &k.f->err);
        oom_off();
        keep_close(&k);
        inst_err_clear(&k.f->err);
        assert_false(on_disk(k.f, TOKEN));
        if (status == INST_OK && n > 20)
            break;
        assert_true(n < 1000);
    }
    keep_open(&k);
    keep_expect(&k, "currentUser", ANN);
    keep_end(&k);
}

static void test_moving(void **state) {
    struct keep k;
    bool is_plain = true;
    start(&k, state, true);
    for (long n = 0; is_plain; n++) {
        keep_open_plain(&k);
        oom_after(n);
        seal(&k, &k.f->err);
        oom_off();
        inst_err_clear(&k.f->err);
        keep_close(&k);
        is_plain = on_disk(k.f, TOKEN);
        assert_true(n < 1000);
    }
    keep_open(&k);
    keep_expect(&k, "currentUser", ANN);
    keep_end(&k);
}

static void test_writing(void **state) {
    struct keep k;
    start(&k, state, false);
    for (long n = 0;; n++) {
        keep_open(&k);
        oom_after(n);
        enum inst_status status = write_user(&k, &k.f->err);
        oom_off();
        inst_err_clear(&k.f->err);
        keep_close(&k);
        assert_false(on_disk(k.f, TOKEN));
        if (status == INST_OK)
            break;
        assert_true(n < 1000);
    }
    keep_open(&k);
    keep_expect(&k, "currentUser", BOB);
    keep_end(&k);
}

static void test_own_vault(void **state) {
    struct keep k;
    start(&k, state, false);
    struct inst_vault *vault = open_vault(k.f, by_passphrase(k.f, "p"));
    for (long n = 0;; n++) {
        keep_open_plain(&k);
        oom_after(n);
        enum inst_status status = inst_storage_move_user(k.storage, vault, "own", &k.f->err);
        oom_off();
        inst_err_clear(&k.f->err);
        keep_close(&k);
        if (status == INST_OK)
            break;
        assert_true(n < 1000);
    }
    expect(k.f, vault, "own", "{\"id\":\"ann\",\"refresh_token\":\"" TOKEN "\"}");
    inst_vault_close(vault);
    keep_end(&k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_opening),
        TEST(test_moving),
        TEST(test_writing),
        TEST(test_own_vault),
    };
    setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A libsecret that was loaded in vain leaves what GLib never frees. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libgio-2.0\nleak:libglib-2.0\n"; }
