/*
 * Any bytes: the reader refuses them or gives a value that survives being written and read again,
 * and whose text, once written, is written the same way for good.
 */
#include "base/json.h"
#include "base/number.h"
#include "base/text.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_refusal(const struct inst_arena *arena, struct inst_err *err) {
    FUZZ_REQUIRE(strcmp(err->type, "param-malformed") == 0);
    FUZZ_REQUIRE(strncmp(err->message, "Invalid JSON", 12) == 0);
    FUZZ_REQUIRE(arena->total == 0);
    inst_err_clear(err);
}

static void check_value(const struct inst_value *v) {
    struct inst_arena arena;
    struct inst_value again;
    struct inst_value copy;
    struct inst_buf first;
    struct inst_buf second;
    inst_arena_init(&arena);
    inst_buf_init(&first);
    inst_buf_init(&second);
    inst_json_write(&first, v);
    FUZZ_REQUIRE(inst_text_is_utf8(first.data, first.len));
    FUZZ_REQUIRE(inst_json_parse(&arena, first.data, first.len, &again, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_value_equal(v, &again));
    FUZZ_REQUIRE(inst_value_dup(&arena, v, &copy));
    inst_json_write(&second, &copy);
    FUZZ_REQUIRE(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    inst_buf_free(&first);
    inst_buf_free(&second);
    inst_arena_free(&arena);
}

/* The same bytes as plain text: decoding ends, and its two views agree. */
static void check_text(const char *bytes, size_t len) {
    FUZZ_REQUIRE(inst_text_utf16_len(bytes, len) <= len);
    FUZZ_REQUIRE(inst_text_cmp_utf16(bytes, len, bytes, len) == 0);
    char text[INST_NUMBER_TEXT_MAX];
    double num = inst_number_from_text(bytes, len);
    size_t n = inst_number_text(num, text);
    double back = inst_number_from_text(text, n);
    FUZZ_REQUIRE(back == num || (num != num && back != back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_arena arena;
    struct inst_value v;
    struct inst_err err = {0};
    const char *bytes = (const char *)data;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, bytes, size, &v, &err) == INST_OK) {
        check_value(&v);
    } else {
        check_refusal(&arena, &err);
    }
    check_text(bytes, size);
    inst_arena_free(&arena);
    return 0;
}
