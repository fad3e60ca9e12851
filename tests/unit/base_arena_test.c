#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_alloc_is_aligned_and_apart(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    char *kept[200];
    for (size_t i = 0; i < 200; i++) {
        kept[i] = inst_arena_alloc(&arena, i);
        assert_non_null(kept[i]);
        assert_int_equal((uintptr_t)kept[i] % 8, 0);
        memset(kept[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_equal((unsigned char)kept[i][k], i);
        }
    }
    /* Empty pieces are pieces of their own. */
    assert_ptr_not_equal(inst_arena_alloc(&arena, 0), inst_arena_alloc(&arena, 0));
    inst_arena_free(&arena);
}

static void test_zalloc_and_dup(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_arena_mark mark = inst_arena_mark(&arena);
    memset(inst_arena_alloc(&arena, 64), 0xAA, 64);
    inst_arena_rewind(&arena, mark);
    char *zeros = inst_arena_zalloc(&arena, 64);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(zeros[i], 0);
    }
    char *copy = inst_arena_dup(&arena, "a\0b", 3);
    assert_memory_equal(copy, "a\0b", 4);
    assert_string_equal(inst_arena_dup(&arena, NULL, 0), "");
    inst_arena_free(&arena);
}

static void test_impossible_sizes(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    assert_null(inst_arena_alloc(&arena, SIZE_MAX));
    assert_null(inst_arena_alloc(&arena, SIZE_MAX - 8));
    assert_null(inst_arena_dup(&arena, "", SIZE_MAX));
    assert_int_equal(arena.total, 0);
    assert_non_null(inst_arena_alloc(&arena, 8));
    inst_arena_free(&arena);
}

static void test_big_request_gets_its_own_block(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    char *small = inst_arena_dup(&arena, "small", 5);
    size_t size = 4 * (size_t)INST_ARENA_BLOCK_MAX;
    char *big = inst_arena_alloc(&arena, size);
    memset(big, 1, size);
    assert_string_equal(small, "small");
    assert_true(arena.total >= size);
    inst_arena_free(&arena);
    assert_int_equal(arena.total, 0);
}

static void test_marks_nest(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_arena_mark empty = inst_arena_mark(&arena);
    char *first = inst_arena_dup(&arena, "first", 5);
    struct inst_arena_mark outer = inst_arena_mark(&arena);
    size_t total = arena.total;
    char *second = inst_arena_dup(&arena, "second", 6);
    struct inst_arena_mark inner = inst_arena_mark(&arena);
    for (int i = 0; i < 1000; i++) {
        memset(inst_arena_alloc(&arena, 100), i, 100);
    }
    inst_arena_rewind(&arena, inner);
    assert_string_equal(second, "second");
    inst_arena_rewind(&arena, outer);
    assert_string_equal(first, "first");
    assert_int_equal(arena.total, total);
    assert_ptr_equal(inst_arena_dup(&arena, "again", 5), second);
    inst_arena_rewind(&arena, empty);
    assert_null(arena.last);
    assert_int_equal(arena.total, 0);
    inst_arena_free(&arena);
}

static void test_reset_keeps_one_ordinary_block(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    inst_arena_reset(&arena);
    assert_int_equal(arena.total, 0);
    for (int i = 0; i < 10000; i++) {
        assert_non_null(inst_arena_alloc(&arena, 100));
    }
    assert_non_null(inst_arena_alloc(&arena, 10 * (size_t)INST_ARENA_BLOCK_MAX));
    inst_arena_reset(&arena);
    size_t total = arena.total;
    assert_true(total > 0 && total < 2 * (size_t)INST_ARENA_BLOCK_MAX);
    assert_non_null(inst_arena_alloc(&arena, 100));
    assert_int_equal(arena.total, total);
    inst_arena_free(&arena);
    inst_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_is_aligned_and_apart),
        cmocka_unit_test(test_zalloc_and_dup),
        cmocka_unit_test(test_impossible_sizes),
        cmocka_unit_test(test_big_request_gets_its_own_block),
        cmocka_unit_test(test_marks_nest),
        cmocka_unit_test(test_reset_keeps_one_ordinary_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
