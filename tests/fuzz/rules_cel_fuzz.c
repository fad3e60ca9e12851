/*
 * Any bytes as a rule: they compile or they do not, with a message; what compiles is evaluated
 * within its steps and gives a value that has a JSON form, or an error with a text.
 */
#include "base/json.h"
#include "fuzz.h"
#include "rules/cel.h"

#include <string.h>

#define STEPS 20000

static const char DATA[] =
    "{\"id\":\"e\",\"n\":1,\"x\":2.5,\"s\":\"text\",\"l\":[1,\"a\",{\"k\":null}],"
    "\"o\":{\"p\":{\"q\":true}},\"z\":null}";

static enum inst_status give_ref(void *ctx, enum inst_cel_object object,
                                 const struct inst_value *entity, const char *path, size_t path_len,
                                 struct inst_arena *arena, struct inst_value *out,
                                 struct inst_err *err) {
    (void)object;
    (void)entity;
    (void)path;
    (void)arena;
    *out = *(const struct inst_value *)ctx;
    return path_len < 100 ? INST_OK : inst_err_set(err, "too-long", 400, "A path too long.");
}

static enum inst_status take(void *ctx, const char *bucket, size_t bucket_len,
                             const struct inst_value *key, int64_t tokens,
                             struct inst_cel_limit *out, struct inst_err *err) {
    (void)ctx;
    (void)bucket;
    (void)key;
    (void)err;
    *out = (struct inst_cel_limit){.is_allowed = tokens < 3 && bucket_len < 8};
    return INST_OK;
}

static void evaluate(const struct inst_cel_program *program) {
    struct inst_arena arena;
    struct inst_value data, list, json;
    struct inst_cel_value value;
    struct inst_cel_error error = {0};
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, DATA, strlen(DATA), &data, NULL) == INST_OK);
    list = *inst_getz(&data, "l");
    struct inst_cel_host host = {&list, give_ref, take};
    struct inst_cel_bindings bindings = {
        .objects = {[INST_CEL_DATA] = &data, [INST_CEL_AUTH] = &data, [INST_CEL_NEW_DATA] = &data},
        .request = {.time_seconds = 1700000000},
    };
    if (inst_cel_program_run(program, &bindings, &host, &arena, STEPS, &value, &error)) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_cel_to_json(&value, &arena, &json); /* or it has too many parts */
        inst_json_write(&text, &json);
        inst_cel_show(&value, &text);
        size_t left = 1000000;
        FUZZ_REQUIRE(inst_cel_equal(&value, &value, &left) || left == 0 ||
                     memchr("\x04\x0a\x0b", value.tag, 3));
        inst_buf_free(&text);
    } else {
        FUZZ_REQUIRE(error.code != INST_CEL_NO_ERROR && error.text);
    }
    inst_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_cel_program *program;
    enum inst_cel_scope scope = size % 2 ? INST_CEL_SCOPE_WRITE : INST_CEL_SCOPE_READ;
    FUZZ_REQUIRE(inst_cel_compile((const char *)data, size, scope, &program, NULL) == INST_OK);
    if (program->issues)
        FUZZ_REQUIRE(*program->issues->message);
    else
        evaluate(program);
    inst_cel_program_free(program);
    return 0;
}
