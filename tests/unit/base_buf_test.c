#include "base/buf.h"
#include "base/shared.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_add(void **state) {
    (void)state;
    struct inst_buf buf;
    inst_buf_init(&buf);
    assert_null(buf.data);
    inst_buf_add(&buf, "", 0);
    inst_buf_add_str(&buf, "ab");
    inst_buf_add_char(&buf, 'c');
    inst_buf_add(&buf, "d\0e", 3);
    assert_int_equal(buf.len, 6);
    assert_memory_equal(buf.data, "abcd\0e", 7);
    inst_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    inst_buf_free(&buf);
    assert_null(buf.data);
}

static void test_grows_at_every_length(void **state) {
    (void)state;
    for (size_t n = 0; n < 300; n++) {
        struct inst_buf buf;
        inst_buf_init(&buf);
        char *bytes = malloc(n + 1);
        memset(bytes, 'x', n);
        bytes[n] = '\0';
        inst_buf_add(&buf, bytes, n);
        inst_buf_add_char(&buf, 'y');
        inst_buf_addf(&buf, "%s", bytes);
        assert_int_equal(buf.len, 2 * n + 1);
        assert_int_equal(strlen(buf.data), buf.len);
        free(bytes);
        inst_buf_free(&buf);
    }
}

static void check_int(int64_t n) {
    char want[32];
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_int(&buf, n);
    snprintf(want, sizeof(want), "%" PRId64, n);
    assert_string_equal(buf.data, want);
    inst_buf_free(&buf);
}

static void test_ints(void **state) {
    (void)state;
    check_int(0);
    check_int(7);
    check_int(-10);
    check_int(INT64_MAX);
    check_int(INT64_MIN);
}

static void test_failure_is_sticky(void **state) {
    (void)state;
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "kept");
    assert_false(inst_buf_reserve(&buf, SIZE_MAX - 2));
    assert_true(buf.failed);
    inst_buf_add_str(&buf, "lost");
    inst_buf_add_char(&buf, 'x');
    inst_buf_addf(&buf, "%d", 1);
    assert_string_equal(buf.data, "kept");
    inst_buf_clear(&buf);
    inst_buf_add_str(&buf, "new");
    assert_string_equal(buf.data, "new");
    assert_false(inst_buf_reserve(&buf, SIZE_MAX / 2));
    assert_null(inst_buf_take(&buf, NULL));
    assert_null(buf.data);
    assert_false(buf.failed);
}

static void test_take(void **state) {
    (void)state;
    struct inst_buf buf;
    size_t len = 99;
    inst_buf_init(&buf);
    char *nothing = inst_buf_take(&buf, &len);
    assert_string_equal(nothing, "");
    assert_int_equal(len, 0);
    free(nothing);
    inst_buf_addf(&buf, "%s-%d", "abc", 5);
    char *taken = inst_buf_take(&buf, &len);
    assert_string_equal(taken, "abc-5");
    assert_int_equal(len, 5);
    assert_null(buf.data);
    free(taken);
}

static void test_shared(void **state) {
    (void)state;
    struct inst_shared *shared = inst_shared_new("a\0b", 3);
    assert_memory_equal(shared->data, "a\0b", 4);
    assert_int_equal(shared->len, 3);
    /* The headroom is the owner's to write. */
    memset(shared->data - INST_SHARED_HEADROOM, 0xFF, INST_SHARED_HEADROOM);
    assert_int_equal(shared->refs, 1);
    assert_int_equal(shared->len, 3);
    assert_ptr_equal(inst_shared_ref(shared), shared);
    inst_shared_unref(shared);
    assert_memory_equal(shared->data, "a\0b", 4);
    inst_shared_unref(shared);
    inst_shared_unref(NULL);
    assert_null(inst_shared_new("", SIZE_MAX - 8));
    shared = inst_shared_new(NULL, 0);
    assert_string_equal(shared->data, "");
    inst_shared_unref(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),  cmocka_unit_test(test_grows_at_every_length),
        cmocka_unit_test(test_ints), cmocka_unit_test(test_failure_is_sticky),
        cmocka_unit_test(test_take), cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
