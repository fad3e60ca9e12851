#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_set_and_clear(void **state) {
    (void)state;
    struct inst_err err = {0};
    assert_int_equal(inst_err_set(&err, "param-missing", 400, "No %s in %d", "id", 7), INST_FAILED);
    assert_string_equal(err.type, "param-missing");
    assert_string_equal(err.message, "No id in 7");
    assert_int_equal(err.status, 400);
    assert_null(err.hint);
    inst_err_hint(&err, "{\"in\":[\"id\"]}");
    inst_err_hint(&err, "{\"in\":[]}");
    assert_string_equal(err.hint, "{\"in\":[]}");
    /* Setting drops the old hint, and may quote the old message. */
    inst_err_set(&err, "other", 500, "While opening: %s", err.message);
    assert_string_equal(err.message, "While opening: No id in 7");
    assert_null(err.hint);
    inst_err_clear(&err);
    assert_null(err.type);
    assert_null(err.message);
    inst_err_clear(&err);
}

static void test_nobody_cares(void **state) {
    (void)state;
    assert_int_equal(inst_err_set(NULL, "x", 400, "%d", 1), INST_FAILED);
    assert_int_equal(inst_err_nomem(NULL), INST_NOMEM);
    inst_err_hint(NULL, "{}");
    inst_err_move(NULL, NULL);
    inst_err_clear(NULL);
    struct inst_err err = {0};
    inst_err_hint(&err, "{}");
    assert_null(err.hint);
}

static void test_nomem(void **state) {
    (void)state;
    struct inst_err err = {0};
    inst_err_set(&err, "x", 400, "before");
    assert_int_equal(inst_err_nomem(&err), INST_NOMEM);
    assert_string_equal(err.type, "out-of-memory");
    assert_string_equal(err.message, "Out of memory");
    assert_int_equal(err.status, 500);
    inst_err_clear(&err);
}

static void test_move(void **state) {
    (void)state;
    struct inst_err from = {0};
    struct inst_err to = {0};
    inst_err_set(&from, "a", 400, "first");
    inst_err_hint(&from, "{}");
    inst_err_set(&to, "b", 401, "second");
    inst_err_move(&to, &from);
    assert_string_equal(to.message, "first");
    assert_string_equal(to.hint, "{}");
    assert_null(from.type);
    assert_null(from.message);
    inst_err_move(&to, &to);
    assert_string_equal(to.message, "first");
    inst_err_move(&to, NULL);
    assert_null(to.type);
    inst_err_set(&from, "a", 400, "dropped");
    inst_err_move(NULL, &from);
    assert_null(from.message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_clear),
        cmocka_unit_test(test_nobody_cares),
        cmocka_unit_test(test_nomem),
        cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
