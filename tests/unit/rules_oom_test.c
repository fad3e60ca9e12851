/* Every allocation of compiling, looking up, validating and evaluating fails once. */
#include "base/json.h"
#include "oom.h"
#include "rules/cel_where.h"
#include "rules/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char RULES[] =
    "{\"a\":{\"allow\":{\"view\":\"isOwner && data.l.map(x, x + 1).exists(x, x == 2) || "
    "'a,b'.split(',').join('-') == {'k': string(1.5)}.k || 'x'.matches('y')\"},"
    "\"bind\":[\"isOwner\",\"isIn && auth.id == data.id\",\"isIn\",\"auth.id != null\"],"
    "\"fields\":{\"f\":\"!10\"}},\"$rateLimits\":{\"b\":{}}}";
static const char DATA[] = "{\"id\":\"e\",\"l\":[1,2,3]}";

/* INST_NOMEM, or what it is worth. */
static enum inst_status use(const struct inst_value *code, const struct inst_value *data,
                            struct inst_err *err) {
    struct inst_rules *rules = NULL;
    const struct inst_rule *rule = NULL;
    struct inst_arena arena;
    struct inst_value errors;
    struct inst_cel_value value;
    struct inst_cel_error error = {0};
    struct inst_cel_bindings bindings = {.objects = {[INST_CEL_DATA] = data}};
    inst_arena_init(&arena);
    enum inst_status status = inst_rules_new(code, &rules, err);
    if (status == INST_OK)
        status = inst_rules_find(rules, "a", 1, INST_RULE_VIEW, NULL, 0, &rule, err);
    if (status == INST_OK)
        status = inst_rules_validate(code, &arena, &errors, err);
    if (status == INST_OK) {
        assert_int_equal(errors.len, 2);
        assert_null(rule->program->issues);
        if (!inst_cel_program_run(rule->program, &bindings, NULL, &arena, 0, &value, &error)) {
            assert_int_equal(error.code, INST_CEL_NO_MEMORY);
            status = inst_err_nomem(err);
        }
    }
    inst_rules_free(rules);
    inst_arena_free(&arena);
    return status;
}

static void test_rules(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value code, data;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, RULES, strlen(RULES), &code, NULL), INST_OK);
    assert_int_equal(inst_json_parse(&arena, DATA, strlen(DATA), &data, NULL), INST_OK);
    long n = 0;
    for (enum inst_status status = INST_NOMEM; status != INST_OK; n++) {
        struct inst_err err = {0};
        oom_after(n);
        status = use(&code, &data, &err);
        oom_off();
        assert_true(status == INST_OK || status == INST_NOMEM);
        inst_err_clear(&err);
    }
    assert_true(n > 20);
    inst_arena_free(&arena);
}

static const char ATTRS[] =
    "[{\"id\":\"a1\",\"forward-identity\":[\"f1\",\"a\",\"owner\"],\"value-type\":\"blob\","
    "\"cardinality\":\"one\"},{\"id\":\"a2\",\"forward-identity\":[\"f2\",\"a\",\"team\"],"
    "\"reverse-identity\":[\"r2\",\"b\",\"rows\"],\"value-type\":\"ref\",\"cardinality\":\"one\"},"
    "{\"id\":\"a3\",\"forward-identity\":[\"f3\",\"b\",\"name\"],\"value-type\":\"blob\","
    "\"cardinality\":\"one\"}]";
static const char RULE[] =
    "cel.bind(own, data.owner in ['x', 'y'], own || !(data.owner != auth.id) && "
    "'n' + 'm' in data.ref('team.name') && size(data.owner) > 1)";

static void test_where(void **state) {
    (void)state;
    struct inst_value list, data;
    struct inst_arena arena;
    struct inst_cel_program *program;
    struct inst_attrs *attrs;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, ATTRS, strlen(ATTRS), &list, NULL), INST_OK);
    assert_int_equal(inst_json_parse(&arena, DATA, strlen(DATA), &data, NULL), INST_OK);
    assert_int_equal(inst_attrs_new(&list, &attrs, NULL), INST_OK);
    assert_int_equal(inst_cel_compile(RULE, strlen(RULE), INST_CEL_SCOPE_READ, &program, NULL),
                     INST_OK);
    assert_null(program->issues);
    struct inst_cel_bindings bindings = {.objects = {[INST_CEL_AUTH] = &data}};
    struct inst_cel_where_of of = {.attrs = attrs, .etype = inst_cstring("a"), .is_strict = true};
    bool ok = false;
    long n = 0;
    for (; !ok; n++) {
        struct inst_arena own;
        struct inst_cel_where where;
        inst_arena_init(&own);
        oom_after(n);
        ok = inst_cel_program_where(program, &bindings, NULL, &of, &own, &where);
        oom_off();
        if (ok) {
            assert_int_equal(where.kind, INST_CEL_WHERE_SOME);
            assert_false(where.is_exact);
        }
        inst_arena_free(&own);
    }
    assert_true(n > 1);
    inst_attrs_unref(attrs);
    inst_cel_program_free(program);
    inst_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_where)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
