#include "io_app_db_fixture.h"

static void test_empty_file_knows_nothing(void **state) {
    struct fixture *f = *state;
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    assert_string_equal(scan_text(f, &scan), "");
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 0);
    assert_int_equal(inst_attrs_count(f->db->store.attrs), A_COUNT);
}

static void test_values_come_back_as_written(void **state) {
    static const char *const values[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "1.5",
        "1e300",
        "9007199254740993",
        "''",
        "'abc'",
        "'a\\u0000b'",
        "[]",
        "{}",
        "[1]",
        "{'a':[1,{}]}",
        "'\\ud800'",
        "'\xc3\xa9\xf0\x9f\x98\x80'",
    };
    struct fixture *f = *state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    for (uint32_t row = A_TITLE; row <= A_BODY; row++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            begin(f);
            uint32_t e = entity_of(f, (uint32_t)i + 1);
            struct inst_value v = json_of(&arena, values[i]);
            put(f, e, row, v, 0, 100, NULL);
            commit(f);
            struct inst_buf want;
            inst_buf_init(&want);
            inst_buf_addf(&want, "%u=", e);
            inst_json_write(&want, &v);
            struct inst_scan scan = {.attr = attr_of(f->db, row), .e = e};
            assert_string_equal(scan_text(f, &scan), want.data);
            inst_buf_free(&want);
        }
    }
    inst_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty_file_knows_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_come_back_as_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
