/*
 * The edits that the backend makes, applied by the reactor, give what was to be shown: for any two
 * values, and for any number of them in a row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/patch.h"
#include "random_json.h"
#include "server/edits.h"

#include <stdlib.h>
#include <string.h>

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, text, strlen(text), &v, NULL), INST_OK);
    return v;
}

/* One value after another, each shown as edits of the one before. */
static void rounds(void **state) {
    (void)state;
    struct inst_arena kept[2], scratch;
    struct inst_value server = inst_object(NULL, 0);
    inst_arena_init(&kept[0]);
    inst_arena_init(&kept[1]);
    inst_arena_init(&scratch);
    struct inst_member data = {"data", 4, server};
    struct inst_value client = inst_object(&data, 1);
    struct inst_member *own = NULL;
    for (int round = 0; round < 30000; round++) {
        struct inst_buf text;
        inst_buf_init(&text);
        if (round % 10 == 0) {
            add_random(&text, 4);
        } else {
            add_like(&text, &server, 3);
        }
        struct inst_value next = parse(&scratch, text.data);
        inst_buf_clear(&text);
        inst_buf_add_char(&text, '[');
        inst_edits_write(&text, "\"data\"", &server, &next);
        if (text.len > 1)
            text.data[1] = ' ';
        inst_buf_add_char(&text, ']');
        struct inst_value edits = parse(&scratch, text.data);
        for (uint32_t i = 0; i < edits.len; i++) {
            const struct inst_value *edit = edits.u.items[i].u.items;
            assert_true(inst_patch_apply(&scratch, &client, edit[0].u.items, edit[0].len,
                                         edit[1].u.str[0], edit + 2));
        }
        if (!inst_value_equal(inst_getz(&client, "data"), &next))
            fail_msg("not the same after %s", text.data);
        inst_buf_free(&text);
        /* on with copies: what is left of the former ones may go */
        struct inst_arena *arena = &kept[round % 2];
        inst_arena_reset(arena);
        own = inst_arena_alloc(arena, sizeof *own);
        *own = (struct inst_member){"data", 4, inst_null()};
        assert_true(inst_value_dup(arena, &next, &server));
        assert_true(inst_value_dup(arena, inst_getz(&client, "data"), &own->value));
        client = inst_object(own, 1);
        inst_arena_reset(&scratch);
    }
    inst_arena_free(&kept[0]);
    inst_arena_free(&kept[1]);
    inst_arena_free(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
